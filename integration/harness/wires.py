"""Every wire format that the filter guards: how a text is asked, how an answer reads, and how it ends when it is refused."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from . import eventstream
from .providers import CLAUDE

MODEL = "smollm2"


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def events(body: bytes) -> list[dict]:
    """The JSON of every event of a stream, or of every line."""
    lines = [line.removeprefix("data:").strip() for line in body.decode().splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def openai_error(body: dict) -> bool:
    return body["error"]["code"] == "content_filter" and set(body["error"]) == {"message", "type", "param", "code"}


def chat_stream(body: bytes) -> tuple[str, str]:
    text, end = "", ""
    for event in events(body):
        for choice in event["choices"]:
            text += choice["delta"].get("content") or ""
            end += choice["finish_reason"] or ""
    return text, end + ("" if body.rstrip().endswith(b"data: [DONE]") else " unfinished")


def completions_stream(body: bytes) -> tuple[str, str]:
    choices = [choice for event in events(body) for choice in event["choices"]]
    end = "".join(choice["finish_reason"] or "" for choice in choices)
    return "".join(choice["text"] for choice in choices), end + ("" if body.rstrip().endswith(b"data: [DONE]") else " unfinished")


def responses_stream(body: bytes) -> tuple[str, str]:
    all_events = events(body)
    last = all_events[-1]["response"]
    details = last.get("incomplete_details") or {}
    text = "".join(event["delta"] for event in all_events if event["type"] == "response.output_text.delta")
    return text, details.get("reason") or last["status"]


def results(body: bytes) -> tuple[str, str]:
    """The last line of a batch's results."""
    *_, last = events(body)
    if last["error"]:
        return "", last["error"]["code"]
    [choice] = last["response"]["body"]["choices"]
    return choice["message"]["content"], choice["finish_reason"]


FORM = "multipart/form-data; boundary=b1"


def upload(text: str) -> bytes:
    """A batch of one chat."""
    call = {"model": MODEL, "messages": user(text), "max_tokens": 20}
    line = json.dumps({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": call})
    parts = [('name="purpose"', "batch"), ('name="file"; filename="a.jsonl"', line)]
    lines = [f"--b1\r\ncontent-disposition: form-data; {name}\r\n\r\n{value}\r\n" for name, value in parts]
    return "".join([*lines, "--b1--\r\n"]).encode()


def messages_stream(body: bytes) -> tuple[str, str]:
    all_events = events(body)
    deltas = [event["delta"] for event in all_events if "delta" in event]
    end = "".join(delta.get("stop_reason") or "" for delta in deltas)
    opened = sum(event["type"] == "content_block_start" for event in all_events)
    closed = sum(event["type"] == "content_block_stop" for event in all_events)
    good = all_events[-1]["type"] == "message_stop" and opened == closed
    return "".join(delta.get("text") or "" for delta in deltas), end if good else end + " unfinished"


def ollama_stream(key: Callable[[dict], str]) -> Callable[[bytes], tuple[str, str]]:
    def read(body: bytes) -> tuple[str, str]:
        lines = events(body)
        return "".join(map(key, lines)), lines[-1].get("done_reason") or "unfinished"

    return read


def cohere_stream(body: bytes) -> tuple[str, str]:
    all_events = events(body)
    contents = [event["delta"]["message"]["content"] for event in all_events if event["type"] == "content-delta"]
    opened = sum(event["type"] == "content-start" for event in all_events)
    closed = sum(event["type"] == "content-end" for event in all_events)
    end = (all_events[-1].get("delta") or {}).get("finish_reason") or ""
    good = all_events[-1]["type"] == "message-end" and opened == closed
    return "".join(content.get("text") or "" for content in contents), end if good else end + " unfinished"


def converse_stream(body: bytes) -> tuple[str, str]:
    text, end, open_blocks = "", "", set()
    for kind, payload in eventstream.read(body):
        if kind == "contentBlockDelta":
            open_blocks.add(payload["contentBlockIndex"])
            text += payload["delta"].get("text") or ""
        elif kind == "contentBlockStop":
            open_blocks.discard(payload["contentBlockIndex"])
        elif kind == "messageStop":
            end += payload["stopReason"]
    return text, end + (" unfinished" if open_blocks else "")


def invoked_stream(body: bytes) -> tuple[str, str]:
    """Anthropic's events inside Bedrock's."""
    return messages_stream(b"".join(b"data: %s\n\n" % json.dumps(event).encode() for _, event in eventstream.read(body)))


def chain_stream(body: bytes) -> tuple[str, str]:
    text, end = "", "unfinished"
    for frame in body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line)
        if lines.get("event") == "data":
            text += json.loads(lines["data"])
        elif lines.get("event") in ("end", "error"):
            end = lines["event"]
    return text, end


def graph_stream(body: bytes) -> tuple[str, str]:
    text, end = "", "end"
    for frame in body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line)
        if lines.get("event") == "messages":
            text += json.loads(lines["data"])[0]["content"]
        elif lines.get("event") == "error":
            end = "error"
    return text, end


def detail(body: dict) -> bool:
    return isinstance(body["detail"], str)


def bedrock_error(body: dict) -> bool:
    return list(body) == ["message"]


def tgi_stream(body: bytes) -> tuple[str, str]:
    all_events = events(body)
    text = "".join(event["token"]["text"] for event in all_events if "token" in event)
    return text, all_events[-1].get("error_type") or "stop"


def gemini_text(body: dict) -> str:
    return "".join(part["text"] for part in body["candidates"][0]["content"]["parts"])


def gemini_stream(body: bytes) -> tuple[str, str]:
    all_events = events(body)
    return "".join(map(gemini_text, all_events)), all_events[-1]["candidates"][0].get("finishReason") or "unfinished"


def mcp_message(body: bytes) -> tuple[str, str]:
    [message] = events(body) if body.startswith((b"data", b"event")) else [json.loads(body)]
    if "error" in message:
        return "", message["error"]["data"]["reason"]
    return message["result"]["content"][0]["text"], "stop"


@dataclass
class Wire:
    """One row of the matrix. A reason in place of a function: the protocol has no such thing."""

    path: str
    ask: Callable[[str], dict | bytes] | str
    whole: Callable[[dict], str] | str
    stream: Callable[[bytes], tuple[str, str]] | str
    error: Callable[[dict], bool]
    usage: tuple[int, int] | str = (11, 13)
    # How a stream ends, by itself and when it is refused.
    ends: tuple[str, str] = ("stop", "content_filter")
    # How a whole reply ends that is withheld under the upstream's status; `None`: as an error.
    withheld: Callable[[dict], bool] | None = None
    asks_usage: bool = False
    # Where a stream has a path of its own; the body then says nothing of it.
    stream_path: str | None = None
    zones: tuple[str, ...] = field(default_factory=tuple)
    method: str = "POST"
    content_type: str = "application/json"
    # A request names a file that the provider fetches.
    refers: bool = False
    # Why a masked request is none.
    masks: str | None = None
    # The body where the request has no text.
    body: dict = field(default_factory=dict)

    def request(self, text: str, stream: bool = False) -> dict | bytes:
        if isinstance(self.ask, str):
            return self.body or b""
        body = self.ask(text)
        has_no_switch = self.path in ("/mcp", "/graphql", "/ask") or self.stream_path or isinstance(self.stream, str)
        return body if isinstance(body, bytes) or has_no_switch else {**body, "stream": stream}


# A collection of Chroma's.
COLLECTION = "/chroma/api/v2/tenants/acme/databases/main/collections/00000000-0000-4000-8000-000000000001"
EMBEDDED = "a stored document's vector would be of another text: a finding refuses"
OLLAMA_CHAT = ollama_stream(lambda line: line["message"]["content"])
OLLAMA_GENERATE = ollama_stream(lambda line: line["response"])
WIRES = {
    "OpenAI chat": Wire(
        "/v1/chat/completions", lambda text: {"model": MODEL, "messages": user(text)},
        lambda body: body["choices"][0]["message"]["content"], chat_stream, openai_error, asks_usage=True,
        withheld=lambda body: body["choices"][0]["finish_reason"] == "content_filter",
    ),
    "OpenAI completions": Wire(
        "/v1/completions", lambda text: {"model": MODEL, "prompt": text},
        lambda body: body["choices"][0]["text"], completions_stream, openai_error, asks_usage=True,
        withheld=lambda body: body["choices"][0]["finish_reason"] == "content_filter",
    ),
    "OpenAI responses": Wire(
        "/v1/responses", lambda text: {"model": MODEL, "input": text},
        lambda body: body["output"][0]["content"][0]["text"], responses_stream, openai_error, ends=("completed", "content_filter"),
        withheld=lambda body: (body["status"], body["incomplete_details"]["reason"]) == ("incomplete", "content_filter"),
    ),
    "OpenAI stored response": Wire(
        "/v1/responses/resp_1", "the request has no body", lambda body: body["output"][0]["content"][0]["text"], responses_stream,
        openai_error, "it was counted when it was made", ("completed", "content_filter"), method="GET",
        withheld=lambda body: (body["status"], body["incomplete_details"]["reason"]) == ("incomplete", "content_filter"),
        stream_path="/v1/responses/resp_1?stream=true",
    ),
    "OpenAI batches": Wire(
        "/v1/batches",
        lambda text: {
            "input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"why": text},
        },
        "the reply has no text of a model", "the API has no stream", openai_error, "quotas count it as a request", refers=True,
    ),
    "OpenAI upload of a batch": Wire(
        "/v1/files", upload, "the reply has no text of a model", "the API has no stream",
        lambda body: body["error"]["code"] == "content_filter" and body["error"]["param"] == "file:1", "quotas count it as a request",
        content_type=FORM, masks="an upload is refused, never rewritten",
    ),
    "OpenAI results of a batch": Wire(
        "/v1/files/file-1/content", "the request has no body", "a file is read line by line, as a stream", results, openai_error,
        "it was counted when it was made", method="GET",
    ),
    "OpenAI fine-tuning": Wire(
        "/v1/fine_tuning/jobs", lambda text: {"model": MODEL, "training_file": "file-1", "suffix": text},
        "the reply has no text of a model", "the API has no stream", openai_error, "quotas count it as a request", refers=True,
    ),
    "OpenAI embeddings": Wire(
        "/v1/embeddings", lambda text: {"model": MODEL, "input": [text]},
        "the reply is numbers", "the API has no stream", openai_error, (3, 0),
    ),
    "OpenAI moderations": Wire(
        "/v1/moderations", lambda text: {"model": MODEL, "input": text},
        "the reply is numbers", "the API has no stream", openai_error, "the API counts no tokens",
    ),
    "Anthropic messages": Wire(
        "/v1/messages", lambda text: {"model": MODEL, "max_tokens": 64, "messages": user(text)},
        lambda body: body["content"][0]["text"], messages_stream,
        lambda body: body["type"] == "error" and body["error"]["type"] == "invalid_request_error", (15, 13), ("end_turn", "refusal"),
        withheld=lambda body: body["stop_reason"] == "refusal",
    ),
    "Ollama chat": Wire(
        "/api/chat", lambda text: {"model": MODEL, "messages": user(text)}, lambda body: body["message"]["content"],
        OLLAMA_CHAT, lambda body: isinstance(body["error"], str), withheld=lambda body: body["done_reason"] == "content_filter",
    ),
    "Ollama generate": Wire(
        "/api/generate", lambda text: {"model": MODEL, "prompt": text}, lambda body: body["response"],
        OLLAMA_GENERATE, lambda body: isinstance(body["error"], str), withheld=lambda body: body["done_reason"] == "content_filter",
    ),
    "TGI generate": Wire(
        "/hf", lambda text: {"inputs": text}, lambda body: body[0]["generated_text"], tgi_stream,
        lambda body: body["error_type"] == "validation", ends=("stop", "incomplete_generation"),
        withheld=lambda body: body["generated_text"] == "",
    ),
    "Gemini": Wire(
        "/v1beta/models/smollm2:generateContent", lambda text: {"contents": [{"role": "user", "parts": [{"text": text}]}]},
        gemini_text, gemini_stream, lambda body: body["error"]["code"] == 400 and body["error"]["status"] == "INVALID_ARGUMENT",
        ends=("STOP", "SAFETY"), withheld=lambda body: body["candidates"][0]["finishReason"] == "SAFETY",
        stream_path="/v1beta/models/smollm2:streamGenerateContent?alt=sse",
    ),
    "Bedrock Converse": Wire(
        "/model/smollm2/converse", lambda text: {"messages": [{"role": "user", "content": [{"text": text}]}]},
        lambda body: body["output"]["message"]["content"][0]["text"], converse_stream, bedrock_error,
        ends=("end_turn", "content_filtered"), withheld=lambda body: body["stopReason"] == "content_filtered",
        stream_path="/model/smollm2/converse-stream",
    ),
    "Bedrock InvokeModel": Wire(
        f"/model/{CLAUDE}/invoke",
        lambda text: {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 64, "messages": user(text)},
        lambda body: body["content"][0]["text"], invoked_stream, bedrock_error, (15, 13), ("end_turn", "refusal"),
        withheld=lambda body: body["stop_reason"] == "refusal", stream_path=f"/model/{CLAUDE}/invoke-with-response-stream",
    ),
    "LangServe": Wire(
        "/chain/invoke", lambda text: {"input": text}, lambda body: body["output"], chain_stream, detail,
        "an answer in words tells no usage", ("end", "error"), withheld=detail, stream_path="/chain/stream",
    ),
    "LangGraph runs": Wire(
        "/runs/wait", lambda text: {"assistant_id": MODEL, "input": {"messages": user(text)}},
        lambda body: body["messages"][-1]["content"], graph_stream, detail, ends=("end", "error"), withheld=detail,
        stream_path="/runs/stream",
    ),
    "Cohere chat": Wire(
        "/v2/chat", lambda text: {"model": MODEL, "messages": user(text)}, lambda body: body["message"]["content"][0]["text"],
        cohere_stream, lambda body: list(body) == ["message"], ends=("COMPLETE", "ERROR"),
        withheld=lambda body: body["finish_reason"] == "ERROR",
    ),
    "Cohere embed": Wire(
        "/v2/embed", lambda text: {"model": MODEL, "input_type": "search_document", "texts": [text]},
        "the reply is numbers, and texts that were sent", "the API has no stream",
        lambda body: list(body) == ["message"], (3, 0),
    ),
    "Cohere rerank": Wire(
        "/v2/rerank", lambda text: {"model": MODEL, "query": text, "documents": ["A tower."]},
        "the reply is numbers, and documents that were sent", "the API has no stream",
        lambda body: list(body) == ["message"], "searches are billed, not tokens",
    ),
    "MCP": Wire(
        "/mcp",
        lambda text: {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "search_x", "arguments": {"q": text}}},
        lambda body: body["result"]["content"][0]["text"], mcp_message,
        lambda body: body["id"] == 7 and body["error"]["code"] == -32010, "the protocol counts no tokens", ("stop", "scan.secret"),
    ),
    "GraphQL": Wire(
        "/graphql", lambda text: {"query": f"{{ ask(question: {json.dumps(text)}) {{ text }} }}"},
        lambda body: body["data"]["ask"]["text"], "subscriptions are refused",
        lambda body: body["errors"][0]["extensions"]["code"] == "CONTENT_FILTERED", "the protocol counts no tokens",
        withheld=lambda body: body["data"] is None and bool(body["errors"]),
    ),
    "Chroma upsert": Wire(
        f"{COLLECTION}/upsert", lambda text: {"ids": ["1"], "documents": [text], "embeddings": [[0.5, 0.25]]},
        "the reply has no text", "the API has no stream", lambda body: body["error"] == "InvalidArgumentError", "the API counts no tokens",
        masks=EMBEDDED,
    ),
    "Chroma query": Wire(
        f"{COLLECTION}/query", "a search is numbers", lambda body: body["documents"][0][0], "the API has no stream",
        lambda body: isinstance(body["message"], str), "the API counts no tokens",
        body={"query_embeddings": [[0.5, 0.25]], "n_results": 2},
    ),
    "Pinecone upsert": Wire(
        "/pinecone/vectors/upsert", lambda text: {"vectors": [{"id": "1", "values": [0.5], "metadata": {"text": text}}], "namespace": "acme"},
        "the reply has no text", "the API has no stream", lambda body: body["error"]["code"] == "INVALID_ARGUMENT", "the API counts no tokens",
        masks=EMBEDDED,
    ),
    "Pinecone query": Wire(
        "/pinecone/query", "a search is numbers", lambda body: body["matches"][0]["metadata"]["text"], "the API has no stream",
        lambda body: isinstance(body["error"]["message"], str), "the API counts no tokens",
        body={"vector": [0.5], "topK": 2, "namespace": "acme", "includeMetadata": True},
    ),
    "Weaviate objects": Wire(
        "/weaviate/v1/objects", lambda text: {"class": "Docs", "tenant": "acme", "properties": {"text": text}},
        "the reply is what was sent", "the API has no stream", lambda body: isinstance(body["error"][0]["message"], str), "the API counts no tokens",
        masks=EMBEDDED,
    ),
    "Weaviate GraphQL": Wire(
        "/weaviate/v1/graphql", lambda text: {"query": f"{{Get{{Docs(bm25: {{query: {json.dumps(text)}}}, tenant: \"acme\", limit: 2){{text}}}}}}"},
        lambda body: body["data"]["Get"]["Docs"][0]["text"], "the API has no stream",
        lambda body: isinstance(body["error"][0]["message"], str), "the API counts no tokens",
    ),
    "generic": Wire(
        "/ask", lambda text: {"prompt": text}, lambda body: body["response"],
        "a JSON Pointer names no pieces of a text; every string of an event is judged by itself",
        lambda body: isinstance(body["error"]["message"], str), (11, 13),
    ),
}  # fmt: skip
