"""A GraphQL server (ariadne) before a model: `ask` sends its arguments, as they were read, to a chat.

    python server.py PORT MODEL_URL
"""

import json
import sys
import urllib.request

import uvicorn
from ariadne import MutationType, ObjectType, QueryType, make_executable_schema
from ariadne.asgi import GraphQL

SCHEMA = """
type Query {
  ask(question: String, input: Input, notes: [Note!], style: Style = SHORT, card: ID, first: Int): Answer
  secret: String
  chapters(first: Int): [Chapter!]!
}
type Mutation { remember(text: String!): String }
type Chapter { title: String  chapters(first: Int): [Chapter!]! }
type Answer { text: String  read: String  parts: [Answer!] }
input Input { text: String  list: [String!]  inner: Input }
input Note { text: String! }
enum Style { SHORT LONG }
"""
query, mutation, chapter = QueryType(), MutationType(), ObjectType("Chapter")


@query.field("ask")
def ask(_, info, **arguments):
    """The model is told every argument; `read` is what it was told."""
    read = json.dumps(arguments, ensure_ascii=False, sort_keys=True)
    body = {"model": "smollm2", "messages": [{"role": "user", "content": read}]}
    headers = {"content-type": "application/json", "x-script": "said", "x-case": info.context["request"].headers.get("x-case", "")}
    request = urllib.request.Request(f"{sys.argv[2]}/v1/chat/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = json.load(answer)["choices"][0]["message"]["content"]
    return {"text": text, "read": read, "parts": []}


@query.field("secret")
def secret(*_):
    return "hidden"


@query.field("chapters")
@chapter.field("chapters")
def chapters(*_, first: int = 1):
    return [{"title": f"chapter {number}"} for number in range(first)]


@mutation.field("remember")
def remember(_, __, text: str):
    return text


if __name__ == "__main__":
    app = GraphQL(make_executable_schema(SCHEMA, query, mutation, chapter), debug=False)
    # It says nothing of requests: they hold what tests must not log.
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="critical")
