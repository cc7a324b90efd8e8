"""Two tenants of one class in Weaviate's stand-in, and its operations on data and schema."""

import json
import secrets
import uuid

from harness.client import Call, Client, Reply

from .crossings import Operation
from .embedding import embed

PLANTED = {"text": "planted by the other tenant"}
# Of the sender's objects one has the id of one of the other's.
SHARED = "00000000-0000-4000-8000-000000000001"
BY_BODY, BY_QUERY = {"body_tenant": "tenant"}, {"tenant": "tenant"}
WHERE = {"path": ["text"], "operator": "Like", "valueText": "*"}


def query(method: str, path: str, kind: str, content=None, **more) -> Operation:
    """The tenant stands in the query, the object in the path."""
    roles = BY_QUERY | ({"one": "id"} if "{one}" in path else {})
    return Operation(method, path, kind, roles, {"tenant": "{tenant}", **more}, content)


def body(method: str, path: str, kind: str, content: dict, **more) -> Operation:
    """The tenant stands in the body."""
    roles = BY_BODY | ({"one": "id"} if "{one}" in path else {})
    return Operation(method, path, kind, roles, more, content | {"tenant": "{body_tenant}"})


def graphql(text: str, **variables) -> Operation:
    """The tenant stands in a query's text, or in a variable."""
    content = {"query": text} | ({"variables": variables} if variables else {})
    return Operation("POST", "/v1/graphql", "query", BY_BODY, body=content)


ONE = "/v1/objects/Docs/{one}"
OPERATIONS = [
    query("GET", "/v1/objects", "read", **{"class": "Docs", "limit": "50"}),
    body("POST", "/v1/objects", "upsert", {"class": "Docs", "id": SHARED, "properties": PLANTED}),
    query("GET", ONE, "read"),
    query("HEAD", ONE, "read"),
    body("PUT", ONE, "upsert", {"class": "Docs", "properties": PLANTED}),
    body("PATCH", ONE, "upsert", {"class": "Docs", "properties": PLANTED}),
    query("DELETE", ONE, "delete"),
    query("POST", ONE + "/references/seeAlso", "upsert", {"beacon": f"weaviate://localhost/Docs/{SHARED}"}),
    query("DELETE", ONE + "/references/seeAlso", "delete", {"beacon": f"weaviate://localhost/Docs/{SHARED}"}),
    Operation("POST", "/v1/batch/objects", "upsert", BY_BODY, body={
        "objects": [{"class": "Docs", "id": SHARED, "properties": PLANTED, "tenant": "{body_tenant}"}],
    }),
    query("DELETE", "/v1/batch/objects", "delete", {"match": {"class": "Docs", "where": WHERE}}),
    graphql('{Get{Docs(tenant: "{body_tenant}", limit: 10){text _additional{id}}}}'),
    graphql('{Aggregate{Docs(tenant: "{body_tenant}"){meta{count}}}}'),
    graphql("query($of: String){Get{Docs(tenant: $of, limit: 10){text}}}", of="{body_tenant}"),
    graphql('{Get{mine: Docs(tenant: "acme", limit: 1){text} also: Docs(tenant: "{body_tenant}", limit: 10){text}}}'),
    graphql('{Get{...Rest}} fragment Rest on GetObjectsObj {Docs(tenant: "{body_tenant}", limit: 10){text}}'),
    graphql('{Get{Docs(tenant: """{body_tenant}""", bm25: {query: "report"}, limit: 10){text}}}'),
    graphql('query a{Get{Docs(tenant: "{body_tenant}", limit: 10){text}}}'),
    body("POST", "/v1/search/Docs/bm25", "query", {"query": "the quarter's report"}),
    body("POST", "/v1/search/Docs/near-text", "query", {"query": ["report"]}),
    body("POST", "/v1/aggregate/Docs", "query", {}),
    Operation("GET", "/v1/schema/Docs/tenants/{tenant}", "read", BY_QUERY),
    Operation("GET", "/v1/schema/Docs/tenants", "admin", {}),
    Operation("POST", "/v1/schema/Docs/tenants", "admin", BY_BODY, body=[{"name": "{body_tenant}"}]),
    Operation("DELETE", "/v1/schema/Docs/tenants", "admin", BY_BODY, body=["{body_tenant}"]),
]  # fmt: skip


class World:
    """Tenants `acme` (the sender) and `globex` of the class `Docs`, and a tenant of the other's that no request knows."""

    roles = ("tenant", "id")
    keys = {"tenant": "tenant", "tenantName": "tenant", "tenants": "tenant"}
    owners = {"a": "acme", "b": "globex"}
    over_all = ("/v1/schema/Docs/tenants",)

    def __init__(self, port: int):
        self.client = Client(port)
        self.marker, self.vault = f"marker{secrets.token_hex(8)}", f"vault{secrets.token_hex(8)}"
        self.ids = {"a": str(uuid.uuid4()), "b": str(uuid.uuid4())}
        self.ask("POST", "/v1/schema", {"class": "Docs", "multiTenancyConfig": {"enabled": True}})
        for owner in self.owners:
            self.seed(owner)

    def ask(self, method: str, target: str, content=None) -> Reply:
        data = b"" if content is None else json.dumps(content).encode()
        return self.client.call(Call(method=method, path=target, headers=[("content-type", "application/json")], body=data))

    def value(self, owner: str, role: str) -> str:
        return self.owners[owner] if role == "tenant" else self.ids[owner]

    def seed(self, owner: str) -> None:
        tenant = self.owners[owner]
        for name in (tenant, self.vault) if owner == "b" else (tenant,):
            self.ask("DELETE", "/v1/schema/Docs/tenants", [name])
            self.ask("POST", "/v1/schema/Docs/tenants", [{"name": name}])
            ids = [self.ids[owner], SHARED] + [str(uuid.UUID(int=at)) for at in range(5 if owner == "b" else 0)]
            texts = [f"the quarter's report {at} of {tenant}" + (f": {self.marker}" if owner == "b" else "") for at in range(len(ids))]
            made = self.ask("POST", "/v1/batch/objects", {"objects": [
                {"class": "Docs", "id": one, "properties": {"text": text}, "vector": embed(text), "tenant": name} for one, text in zip(ids, texts, strict=True)
            ]})  # fmt: skip
            assert b"FAILED" not in made.body, made
        if owner == "b":
            self.seeded = self.look()

    def look(self) -> object:
        names = {one["name"] for one in self.ask("GET", "/v1/schema/Docs/tenants").json()} - {"acme"}
        return [(name, self.ask("GET", f"/v1/objects?class=Docs&limit=100&tenant={name}").json()) for name in ("globex", self.vault) if name in names]

    def open(self, _) -> None:
        """Nothing is asked first."""

    def untouched(self) -> bool:
        return self.look() == self.seeded

    def usable(self) -> bool:
        found = self.ask("GET", "/v1/objects?class=Docs&tenant=acme")
        return found.status == 200 and {one["id"] for one in found.json()["objects"]} >= {self.ids["a"], SHARED}

    def leaked(self, reply: Reply) -> str | None:
        if mark := next((mark for mark in (self.marker, self.vault) if mark.encode() in reply.body), None):
            return "the other's text" if mark == self.marker else "the other's names"
        return "a count of the other's" if b'"count": 7' in reply.body else None
