"""Pinecone's data plane as it is documented, in memory: a stand-in, because its server can't be had. Usage: PORT.

Every record has its namespace, and nothing checks who asks: a request that names another's namespace gets it.
"""

import json

from .embedding import embed
from .standin import Refused, Request, Routes, near, serve

routes = Routes()
namespaces: dict[str, dict[str, dict]] = {}
DEFAULT = "__default__"
# The field that an integrated index embeds.
TEXT = "text"


def inside(name: str | None) -> dict[str, dict]:
    return namespaces.setdefault(name or DEFAULT, {})


def matches(metadata: dict, wanted) -> bool:
    """The filter language: several keys of one object are all to hold."""
    for key, value in (wanted or {}).items():
        if key == "$and":
            holds = all(matches(metadata, one) for one in value)
        elif key == "$or":
            holds = any(matches(metadata, one) for one in value)
        else:
            holds = all(compared(metadata.get(key), *pair) for pair in (value.items() if isinstance(value, dict) else [("$eq", value)]))
        if not holds:
            return False
    return True


def compared(have, word: str, value) -> bool:
    listed = have if isinstance(have, list) else [have]
    ways = {
        "$eq": lambda: value in listed, "$ne": lambda: value not in listed, "$in": lambda: any(one in value for one in listed),
        "$nin": lambda: not any(one in value for one in listed), "$exists": lambda: (have is not None) == value,
        "$gt": lambda: have is not None and have > value, "$gte": lambda: have is not None and have >= value,
        "$lt": lambda: have is not None and have < value, "$lte": lambda: have is not None and have <= value,
    }  # fmt: skip
    if word not in ways:
        raise Refused(400, f"unknown operator {word}")
    return ways[word]()


def nearest(namespace: dict, vector: list[float], wanted, count: int) -> list[tuple[float, dict]]:
    if not isinstance(count, int) or not 1 <= count <= 10_000:
        raise Refused(400, "topK must be from 1 to 10000")
    found = [(near(vector, record["values"]), record) for record in namespace.values() if matches(record.get("metadata") or {}, wanted)]
    return sorted(found, key=lambda pair: (-pair[0], pair[1]["id"]))[:count]


def of(body: dict) -> tuple[str, dict]:
    return body.get("namespace") or "", inside(body.get("namespace"))


@routes("GET", "/ready")
def ready(_: Request):
    return {}


@routes("POST", "/vectors/upsert")
def upsert(request: Request):
    _, records = of(request.body)
    for vector in request.body["vectors"]:
        records[vector["id"]] = vector
    return {"upsertedCount": len(request.body["vectors"])}


@routes("POST", "/query")
def query(request: Request):
    body = request.body
    name, records = of(body)
    vector = records[body["id"]]["values"] if "id" in body else body["vector"]
    left_out = {"values"} - ({"values"} if body.get("includeValues") else set()) | (set() if body.get("includeMetadata") else {"metadata"})
    found = nearest(records, vector, body.get("filter"), body["topK"])
    hits = [{"id": one["id"], "score": score} | {key: one[key] for key in one if key not in left_out} for score, one in found]
    return {"results": [], "matches": hits, "namespace": name, "usage": {"readUnits": 5}}


@routes("GET", "/vectors/fetch")
def fetch(request: Request):
    name = request.last("namespace")
    records = inside(name)
    return {"vectors": {one: records[one] for one in request.all("ids") if one in records}, "namespace": name, "usage": {"readUnits": 1}}


@routes("POST", "/vectors/fetch_by_metadata")
def fetch_by_metadata(request: Request):
    name, records = of(request.body)
    found = {one: record for one, record in records.items() if matches(record.get("metadata") or {}, request.body["filter"])}
    found = dict(list(found.items())[: request.body.get("limit") or 100])
    return {"vectors": found, "namespace": name, "usage": {"readUnits": 1}, "pagination": None}


@routes("POST", "/vectors/delete")
def delete(request: Request):
    _, records = of(request.body)
    remove(records, request.body, request.body.get("deleteAll"))
    return {}


def remove(records: dict, body: dict, everything) -> None:
    if everything:
        records.clear()
    for one in body.get("ids") or []:
        records.pop(one, None)
    if body.get("filter"):
        for one in [one for one, record in records.items() if matches(record.get("metadata") or {}, body["filter"])]:
            del records[one]


@routes("POST", "/vectors/update")
def update(request: Request):
    body = request.body
    _, records = of(body)
    chosen = [body["id"]] if "id" in body else [one for one, record in records.items() if matches(record.get("metadata") or {}, body["filter"])]
    for one in chosen:
        if one in records:
            records[one] |= {key: body[key] for key in ("values", "sparseValues") if key in body}
            records[one]["metadata"] = (records[one].get("metadata") or {}) | (body.get("setMetadata") or {})
    return {"matchedRecords": len(chosen)} if "filter" in body else {}


@routes("GET", "/vectors/list")
def listed(request: Request):
    name, prefix = request.last("namespace"), request.last("prefix")
    found = sorted(one for one in inside(name) if one.startswith(prefix))[: int(request.last("limit", "100"))]
    return {"vectors": [{"id": one} for one in found], "namespace": name, "usage": {"readUnits": 1}}


@routes("POST GET", "/describe_index_stats")
def stats(_: Request):
    counts = {name: {"vectorCount": len(records)} for name, records in namespaces.items() if records}
    total = sum(one["vectorCount"] for one in counts.values())
    return {"namespaces": counts, "dimension": 64, "indexFullness": 0.0, "totalVectorCount": total, "metric": "dotproduct", "vectorType": "dense"}


@routes("POST", "/records/namespaces/{name}/upsert")
def upsert_records(request: Request, name: str):
    for line in request.raw.splitlines():
        if line.strip():
            record = json.loads(line)
            one = record.pop("_id", None) or record.pop("id")
            inside(name)[one] = {"id": one, "values": embed(str(record.get(TEXT, ""))), "metadata": record}
    return 201, None


@routes("POST", "/records/namespaces/{name}/search")
def search(request: Request, name: str):
    asked = request.body["query"]
    records = inside(name)
    if "inputs" in asked:
        vector = embed(asked["inputs"]["text"])
    else:
        vector = records[asked["id"]]["values"] if "id" in asked else asked["vector"]["values"]
    fields = request.body.get("fields")
    hits = [
        {"_id": one["id"], "_score": score, "fields": {key: value for key, value in one["metadata"].items() if fields is None or key in fields}}
        for score, one in nearest(records, vector, asked.get("filter"), asked["top_k"])
    ]
    return {"result": {"hits": hits}, "usage": {"read_units": 6, "embed_total_tokens": 5}}


def described(name: str) -> dict:
    return {"name": name, "record_count": str(len(namespaces[name]))}


@routes("GET", "/namespaces")
def list_namespaces(request: Request):
    return {"namespaces": [described(name) for name in sorted(namespaces)], "pagination": None, "total_count": len(namespaces)}


@routes("POST", "/namespaces")
def create_namespace(request: Request):
    inside(request.body["name"])
    return described(request.body["name"])


@routes("GET", "/namespaces/{name}")
def describe_namespace(_: Request, name: str):
    if name not in namespaces:
        raise Refused(404, "namespace not found")
    return described(name)


@routes("DELETE", "/namespaces/{name}")
def delete_namespace(_: Request, name: str):
    namespaces.pop(name, None)
    return {}


@routes("POST", "/namespaces/{name}/documents/upsert")
def upsert_documents(request: Request, name: str):
    for document in request.body["documents"]:
        fields = {key: value for key, value in document.items() if key != "_id"}
        inside(name)[document["_id"]] = {"id": document["_id"], "values": embed(str(fields.get(TEXT, ""))), "metadata": fields}
    return {"upserted_count": len(request.body["documents"])}


@routes("POST", "/namespaces/{name}/documents/search")
def search_documents(request: Request, name: str):
    [asked] = request.body["score_by"]
    vector = asked["values"] if "values" in asked else embed(asked["query"])
    found = nearest(inside(name), vector, request.body.get("filter"), request.body["top_k"])
    return {"matches": [{"_id": one["id"], "_score": score} | one["metadata"] for score, one in found], "namespace": name, "usage": {"read_units": 1}}


@routes("POST", "/namespaces/{name}/documents/fetch")
def fetch_documents(request: Request, name: str):
    body, records = request.body, inside(name)
    ids = body.get("ids") or [one for one, record in records.items() if matches(record["metadata"], body.get("filter"))]
    found = {one: {"_id": one} | records[one]["metadata"] for one in ids if one in records}
    return {"documents": found, "namespace": name, "usage": {"read_units": 1}}


@routes("POST", "/namespaces/{name}/documents/delete")
def delete_documents(request: Request, name: str):
    remove(inside(name), request.body, request.body.get("delete_all"))
    return {}


@routes("POST", "/namespaces/{name}/documents/update")
def update_documents(request: Request, name: str):
    body, records = request.body, inside(name)
    changes = {one["_id"]: {key: value for key, value in one.items() if not key.startswith("_")} for one in body.get("documents") or []}
    if body.get("filter"):
        changes = {one: body.get("set_fields") or {} for one, record in records.items() if matches(record["metadata"], body["filter"])}
    for one, fields in changes.items():
        if one in records:
            records[one]["metadata"] |= fields
    return {"matched_records": len(changes)}


@routes("POST", "/namespaces/{name}/documents/list")
def list_documents(request: Request, name: str):
    found = sorted(inside(name))[: request.body.get("limit") or 100]
    return {"documents": [{"_id": one} for one in found], "namespace": name, "usage": {"read_units": 1}}


@routes("POST GET", "/bulk/imports")
def imports(request: Request):
    """It takes the request and imports nothing: there is no object store."""
    return {"id": "1"} if request.method == "POST" else {"data": [], "pagination": None}


CODES = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}

if __name__ == "__main__":
    serve(
        routes, lambda path: path, json.loads,
        lambda refused: {"error": {"code": CODES.get(refused.status, "UNKNOWN"), "message": refused.message}, "status": refused.status},
    )  # fmt: skip
