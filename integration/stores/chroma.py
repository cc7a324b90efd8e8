"""Two tenants in a real Chroma, and its operations out of the OpenAPI document that it serves itself."""

import json
import secrets
from urllib.parse import quote

from harness.client import Call, Client, Reply

from .crossings import Operation
from .embedding import embed

# What stands in a parameter of a path, by its name. `collection_id` is a name or a UUID: see `BY_NAME`.
PARAMETERS = {
    "tenant": "tenant", "tenant_name": "tenant", "database": "database", "collection_id": "uuid", "crn": "crn",
    "name": "function", "function_name": "function",
}  # fmt: skip
# `DELETE` and `GET` of a collection take its name, everything else its UUID.
BY_NAME = {"get_collection", "delete_collection"}
# Keys of a body that name whose data it is, by operation.
BODIES = {
    "create_tenant": {"name": "tenant"}, "create_database": {"name": "database"}, "create_collection": {"name": "collection"},
    "update_collection": {"new_name": "collection"}, "fork_collection": {"new_name": "collection"},
    "attach_function": {"output_collection": "collection"},
}  # fmt: skip
# Values of a body's other keys; a key that is in none is left out where it may be.
FIELDS = {
    "ids": ["1"], "embeddings": [embed("planted by the other tenant")], "documents": ["planted by the other tenant"],
    "metadatas": [{"planted": True}], "query_embeddings": [embed("the quarter's report")], "n_results": 50, "get_or_create": True,
    "include": ["documents", "metadatas"], "searches": [{"limit": {"limit": 50}, "select": {"keys": ["#document", "#metadata"]}}],
    "name": "made", "new_metadata": {"planted": True}, "function_id": "record_counter", "delete_output": True, "resource_name": "made",
}  # fmt: skip
KINDS = {"query": "query", "search": "query", "add": "upsert", "upsert": "upsert", "update": "upsert", "delete": "delete", "get": "read"}


def operations(document: dict) -> list[Operation]:
    """Every method of every path."""
    found = []
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            name = described["operationId"]
            roles = {one["name"]: PARAMETERS[one["name"]] for one in described.get("parameters", []) if one["in"] == "path"}
            if name in BY_NAME:
                roles["collection_id"] = "collection"
            query = {one["name"]: "50" for one in described.get("parameters", []) if one["in"] == "query" and one["name"] == "limit"}
            body = None
            if schema := described.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema"):
                named = BODIES.get(name, {})
                roles |= {f"body_{key}": role for key, role in named.items()}
                body = instance(document, schema, {key: "{body_" + key + "}" for key in named})
            last = path.rsplit("/", 1)[1] if method == "post" and "collection_id" in path else ""
            kind = KINDS.get(last) or ("read" if method == "get" else "admin")
            found.append(Operation(method.upper(), path, kind, roles, query, body))
    return found


def instance(document: dict, schema: dict, named: dict) -> dict:
    """An object of this schema: places where data is named, and of the rest what `FIELDS` has."""
    if "$ref" in schema:
        return instance(document, document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], named)
    made = {}
    for part in schema.get("allOf", []):
        made |= instance(document, part, named)
    for key in schema.get("properties", {}):
        if key in named or key in FIELDS:
            made[key] = named.get(key, FIELDS.get(key))
    assert set(schema.get("required", [])) <= set(made), f"no value for one of {schema['required']}"
    return made


class World:
    """Tenants `acme` (the sender) and `globex`, with collections of the same name and ids of the same name.

    `look` and `seed` go straight to the server, past every proxy.
    """

    roles = ("tenant", "database", "collection", "uuid", "crn", "function")
    # What a request may name a tenant's data by.
    keys = {"tenant": "tenant", "database": "database", "tenant_name": "tenant", "collection_id": "uuid", "collection_name": "collection"}
    owners = {"a": "acme", "b": "globex"}
    # What is no one tenant's: refused where tenants are kept apart, whoever asks.
    over_all = ("/api/v2/reset", "/api/v2/collections/{crn}")

    def __init__(self, port: int):
        self.client = Client(port)
        self.marker = f"marker{secrets.token_hex(8)}"
        # The other's second database and its collections have names that no request can know.
        self.vault = f"vault{secrets.token_hex(8)}"
        self.uuids: dict[str, str] = {}
        self.document = self.ask("GET", "/openapi.json").json()
        for owner in self.owners:
            self.seed(owner)

    def ask(self, method: str, path: str, body=None) -> Reply:
        data = b"" if body is None else json.dumps(body).encode()
        return self.client.call(Call(method=method, path=path, headers=[("content-type", "application/json")], body=data))

    def value(self, owner: str, role: str) -> str:
        tenant = self.owners[owner]
        return {
            "tenant": tenant, "database": f"{tenant}-main", "collection": "docs", "uuid": self.uuids[owner],
            "crn": f"{tenant}:{tenant}-main:docs", "function": "counter",
        }[role]  # fmt: skip

    def seed(self, owner: str) -> None:
        """A tenant as it is at first; what is too much is taken away."""
        tenant = self.owners[owner]
        self.ask("POST", "/api/v2/tenants", {"name": tenant})
        for database in (f"{tenant}-main", self.vault) if owner == "b" else (f"{tenant}-main",):
            home = f"/api/v2/tenants/{tenant}/databases/{database}"
            self.ask("POST", f"/api/v2/tenants/{tenant}/databases", {"name": database})
            for one in self.ask("GET", f"{home}/collections").json():
                self.ask("DELETE", f"{home}/collections/{quote(one['name'], safe='')}")
            metadata = {"note": self.marker if owner == "b" else "own"}
            name = self.vault if database == self.vault else "docs"
            made = self.ask("POST", f"{home}/collections", {"name": name, "metadata": metadata}).json()
            if name == "docs":
                self.uuids[owner] = made["id"]
            self.fill(owner, f"{home}/collections/{made['id']}")
        if owner == "b":
            for one in self.ask("GET", f"/api/v2/tenants/{tenant}/databases").json():
                if one["name"] not in (f"{tenant}-main", self.vault):
                    self.ask("DELETE", f"/api/v2/tenants/{tenant}/databases/{quote(one['name'], safe='')}")
            self.seeded = self.look()

    def fill(self, owner: str, collection: str) -> None:
        """The sender has two records, the other seven, which no count of the sender's can be."""
        texts = [f"the quarter's report {at} of {self.owners[owner]}" for at in range(2 if owner == "a" else 7)]
        if owner == "b":
            texts = [f"{text}: {self.marker}" for text in texts]
        done = self.ask("POST", f"{collection}/upsert", {
            "ids": [str(at) for at in range(len(texts))], "documents": texts, "embeddings": [embed(text) for text in texts],
            "metadatas": [{"team": self.owners[owner], "note": text} for text in texts],
        })  # fmt: skip
        assert done.status == 200, done

    def look(self) -> object:
        """All that the other tenant has: databases, collections, records."""
        tenant, found = self.owners["b"], {}
        for database in self.ask("GET", f"/api/v2/tenants/{tenant}/databases").json():
            home = f"/api/v2/tenants/{tenant}/databases/{quote(database['name'], safe='')}"
            for one in self.ask("GET", f"{home}/collections").json():
                records = self.ask("POST", f"{home}/collections/{one['id']}/get", {}).json()
                metadatas = [json.dumps(metadata, sort_keys=True) for metadata in records["metadatas"]]
                rows = sorted(zip(records["ids"], map(str, records["documents"]), metadatas, strict=True))
                found[database["name"], one["name"], one["id"], json.dumps(one["metadata"], sort_keys=True)] = rows
        return found

    def open(self, send) -> None:
        """A client asks for a collection by its name before it uses its UUID; who guards the store learns from it whose that is."""
        assert send(Call(method="GET", path=b"/api/v2/tenants/acme/databases/acme-main/collections/docs")).status == 200

    def untouched(self) -> bool:
        """The other's data is as it was."""
        return self.look() == self.seeded

    def usable(self) -> bool:
        """The sender still has what its next request names, and a search in it works: after some deletions it does not in Chroma."""
        home = "/api/v2/tenants/acme/databases/acme-main/collections"
        if self.ask("GET", f"{home}/docs").json().get("id") != self.uuids["a"]:
            return False
        found = self.ask("POST", f"{home}/{self.uuids['a']}/query", {"query_embeddings": [embed("report")], "n_results": 2})
        return found.status == 200 and len(found.json()["ids"][0]) == 2

    def leaked(self, reply: Reply) -> str | None:
        """What of the other's is in this reply."""
        if mark := next((mark for mark in (self.marker, self.vault) if mark.encode() in reply.body), None):
            return "the other's text" if mark == self.marker else "the other's names"
        if reply.status == 200 and reply.body.strip() == b"7":
            return "a count of the other's"
        return None
