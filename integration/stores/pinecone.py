"""Two tenants in Pinecone's stand-in, and the operations of its data plane."""

import json
import secrets

from harness.client import Call, Client, Reply

from .crossings import Operation
from .embedding import embed

PLANTED = "planted by the other tenant"
VECTOR = {"id": "1", "values": embed(PLANTED), "metadata": {"text": PLANTED}}
ASKED = embed("the quarter's report")
ALL = {"team": {"$exists": True}}
IN_BODY, IN_PATH = {"body_namespace": "tenant"}, {"namespace": "tenant"}


def body(method: str, path: str, kind: str, **keys) -> Operation:
    """The namespace stands in the body."""
    return Operation(method, path, kind, IN_BODY, body={"namespace": "{body_namespace}", **keys})


def path(method: str, under: str, kind: str, content=None, query=None) -> Operation:
    """The namespace stands in the path."""
    kind_of_text = "application/x-ndjson" if isinstance(content, list) else "application/json"
    return Operation(method, under, kind, IN_PATH, query or {}, content, kind_of_text)


RECORDS, DOCUMENTS = "/records/namespaces/{namespace}", "/namespaces/{namespace}/documents"
OPERATIONS = [
    body("POST", "/vectors/upsert", "upsert", vectors=[VECTOR]),
    body("POST", "/query", "query", vector=ASKED, topK=10, includeMetadata=True),
    body("POST", "/query", "query", id="1", topK=10, includeMetadata=True, filter=ALL),
    Operation("GET", "/vectors/fetch", "read", {"namespace": "tenant"}, {"ids": "1", "namespace": "{namespace}"}),
    body("POST", "/vectors/fetch_by_metadata", "read", filter=ALL),
    body("POST", "/vectors/delete", "delete", ids=["1"]),
    body("POST", "/vectors/delete", "delete", deleteAll=True),
    body("POST", "/vectors/delete", "delete", filter=ALL),
    body("POST", "/vectors/update", "upsert", id="1", setMetadata={"text": PLANTED}),
    body("POST", "/vectors/update", "upsert", filter=ALL, setMetadata={"text": PLANTED}),
    Operation("GET", "/vectors/list", "read", {"namespace": "tenant"}, {"namespace": "{namespace}"}),
    path("POST", RECORDS + "/upsert", "upsert", [{"_id": "1", "text": PLANTED}]),
    path("POST", RECORDS + "/search", "query", {"query": {"inputs": {"text": "the quarter's report"}, "top_k": 10}}),
    path("GET", "/namespaces/{namespace}", "read"),
    path("DELETE", "/namespaces/{namespace}", "admin"),
    Operation("POST", "/namespaces", "admin", IN_BODY, body={"name": "{body_namespace}"}),
    path("POST", DOCUMENTS + "/upsert", "upsert", {"documents": [{"_id": "1", "text": PLANTED}]}),
    path("POST", DOCUMENTS + "/search", "query", {"score_by": [{"type": "text", "query": "report", "fields": ["text"]}], "top_k": 10}),
    path("POST", DOCUMENTS + "/fetch", "read", {"ids": ["1"]}),
    path("POST", DOCUMENTS + "/delete", "delete", {"delete_all": True}),
    path("POST", DOCUMENTS + "/update", "upsert", {"documents": [{"_id": "1", "text": PLANTED}]}),
    path("POST", DOCUMENTS + "/list", "read", {}),
    Operation("POST", "/describe_index_stats", "read", {}, body={}),
    Operation("GET", "/describe_index_stats", "read", {}),
    Operation("GET", "/namespaces", "admin", {}),
    Operation("POST", "/bulk/imports", "admin", {}, body={"uri": "s3://bucket/globex"}),
]


class World:
    """Namespaces `acme` (the sender's) and `globex`, and one of the other's by a name that no request knows."""

    roles = ("tenant",)
    keys = {"namespace": "tenant", "tenant": "tenant", "name": "tenant"}
    owners = {"a": "acme", "b": "globex"}
    over_all = ("/describe_index_stats", "/namespaces", "/bulk/imports")

    def __init__(self, port: int):
        self.client = Client(port)
        self.marker, self.vault = f"marker{secrets.token_hex(8)}", f"vault{secrets.token_hex(8)}"
        for owner in self.owners:
            self.seed(owner)

    def ask(self, method: str, target: str, content=None) -> Reply:
        data = b"" if content is None else json.dumps(content).encode()
        return self.client.call(Call(method=method, path=target, headers=[("content-type", "application/json")], body=data))

    def value(self, owner: str, _: str) -> str:
        return self.owners[owner]

    def seed(self, owner: str) -> None:
        tenant = self.owners[owner]
        for namespace in (tenant, self.vault) if owner == "b" else (tenant,):
            texts = [f"the quarter's report {at} of {tenant}" for at in range(2 if owner == "a" else 7)]
            texts = [f"{text}: {self.marker}" if owner == "b" else text for text in texts]
            vectors = [{"id": str(at), "values": embed(text), "metadata": {"text": text, "team": tenant}} for at, text in enumerate(texts)]
            self.ask("POST", "/vectors/delete", {"namespace": namespace, "deleteAll": True})
            assert self.ask("POST", "/vectors/upsert", {"namespace": namespace, "vectors": vectors}).status == 200
        if owner == "b":
            self.seeded = self.look()

    def look(self) -> object:
        names = ("globex", self.vault)
        stats = self.ask("POST", "/describe_index_stats", {}).json()["namespaces"]
        return [stats.get(name) for name in names], [
            self.ask("POST", "/vectors/fetch_by_metadata", {"namespace": name, "filter": ALL, "limit": 100}).json() for name in names
        ]

    def open(self, _) -> None:
        """Nothing is asked first."""

    def untouched(self) -> bool:
        return self.look() == self.seeded

    def usable(self) -> bool:
        return len(self.ask("GET", "/vectors/list?namespace=acme").json()["vectors"]) == 2

    def leaked(self, reply: Reply) -> str | None:
        if mark := next((mark for mark in (self.marker, self.vault) if mark.encode() in reply.body), None):
            return "the other's text" if mark == self.marker else "the other's names"
        return "a count of the other's" if b'"record_count": "7"' in reply.body else None
