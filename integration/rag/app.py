"""The application: LangChain with Chroma and a chat model. A request a line from stdin, its answer a line to stdout, JSON.

It knows nothing of the filter: its store and its model are two addresses, and the caller's token goes to both.
"""

import json
import sys
from urllib.parse import urlsplit
from uuid import UUID

import chromadb
from chromadb.config import Settings
from langchain_chroma import Chroma
from langchain_core.embeddings import Embeddings
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from stores.embedding import embed

PROMPT = ChatPromptTemplate.from_messages([("user", "Answer from these notes only.\n\n{notes}\n\nQuestion: {question}")])


class Words(Embeddings):
    """Vectors of shared words, the same on every run."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [embed(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return embed(text)


def store(asked: dict) -> Chroma:
    url = urlsplit(asked["store"])
    client = chromadb.HttpClient(
        url.hostname, url.port, tenant=asked["tenant"], database=f"{asked['tenant']}-main", settings=Settings(anonymized_telemetry=False),
        headers={"Authorization": f"Bearer {asked['token']}", "x-case": f"{asked['case']}-store"},
    )  # fmt: skip
    opened = Chroma("notes", Words(), client=client)
    if asked.get("uuid"):
        # The UUID of another team's collection, under a path of one's own.
        opened._chroma_collection._model.id = UUID(asked["uuid"])
    return opened


def run(asked: dict) -> dict:
    notes = store(asked)
    if asked.get("add"):
        return {"answer": f"stored {len(notes.add_texts([asked['add']], ids=[asked['case']]))}"}
    found = notes.similarity_search(asked["question"], k=3)
    model = ChatOpenAI(
        base_url=f"{asked['model']}/v1", api_key=asked["token"], model="smollm2", max_retries=0, default_headers={"x-case": asked["case"]},
    )  # fmt: skip
    chain = PROMPT | model | StrOutputParser()
    return {"answer": chain.invoke({"notes": "\n".join(one.page_content for one in found), "question": asked["question"]})}


def answered(asked: dict) -> dict:
    try:
        return run(asked)
    except Exception as error:
        return {"error": type(error).__name__}


if __name__ == "__main__":
    out, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(answered(json.loads(line))), file=out, flush=True)
