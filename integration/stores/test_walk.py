"""Every property of every body in the OpenAPI document that Chroma serves, in each of its types: what the server takes on a
tenant's own data, it takes through the filter, and answers the same.

The document is walked, so that a new version of the server brings its new properties along.
"""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.client import Client

from . import chroma, guarded, servers
from .chroma import FIELDS
from .crossings import Crossing, Operation, Value
from .test_crossings import Guarded

pytestmark = pytest.mark.skipif(bool(servers.missing()), reason=servers.missing() or "")
# What a search may be made of, where the document says no more than "an object".
FREE = {
    "where": [{"team": "acme"}, {"team": {"$in": ["acme", "b"]}}, {"$and": [{"team": "acme"}, {"note": {"$ne": "x"}}]}],
    "where_document": [{"$contains": "report"}, {"$or": [{"$contains": "report"}, {"$not_contains": "x"}]}, {"$regex": "rep.*t"}],
    "filter": [{}, {"#id": {"$in": ["1"]}}, {"team": "acme"}],
    "rank": [{}, {"$knn": {"query": FIELDS["query_embeddings"][0], "limit": 5}}],
    "limit": [{"limit": 5, "offset": 1}],
    "select": [{"keys": ["#id", "#score", "team"]}],
}
# Nested below any key, at most.
DEPTH = 5


def resolved(document: dict, schema: dict) -> dict:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def properties(document: dict, schema: dict) -> tuple[dict, set]:
    schema = resolved(document, schema)
    found, required = dict(schema.get("properties", {})), set(schema.get("required", []))
    for part in schema.get("allOf", []):
        more, needed = properties(document, part)
        found, required = found | more, required | needed
    return found, required


def instances(document: dict, schema: dict, key: str = "", depth: int = 0) -> list:
    """Values of this type, one for each way that it has."""
    schema = resolved(document, schema)
    if depth > DEPTH:
        return []
    if "enum" in schema:
        return list(schema["enum"])
    ways = [*schema.get("oneOf", []), *schema.get("anyOf", [])]
    if ways:
        return [value for way in ways for value in instances(document, way, key, depth + 1)]
    kinds = schema.get("type", "object")
    values = []
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind == "array":
            values += [[], *([one] for one in instances(document, schema.get("items", {}), key, depth + 1))]
        elif kind == "object":
            values += objects(document, schema, key, depth)
        else:
            values += {"string": ["word"], "integer": [1], "number": [0.5], "boolean": [True, False], "null": [None]}[kind]
    return values


def objects(document: dict, schema: dict, key: str, depth: int) -> list:
    held, required = properties(document, schema)
    if not held:
        inner = schema.get("additionalProperties")
        return FREE.get(key) or [{}, *({"word": one} for one in instances(document, inner or {}, "", depth + 1))]
    least = {name: instances(document, held[name], name, depth + 1) for name in required}
    base = {name: values[0] for name, values in least.items() if values}
    return [base, *(base | {name: value} for name, inner in held.items() for value in instances(document, inner, name, depth + 1))]


def bodies(document: dict, operation: Operation, schema: dict) -> Iterator[dict]:
    """The operation's body, with each property in each type, and without it."""
    held, required = properties(document, schema)
    for name, inner in held.items():
        if "{body_" in str(operation.body.get(name)):
            # It names whose data is meant.
            continue
        if name not in required:
            yield {key: value for key, value in operation.body.items() if key != name}
        for value in [*FREE.get(name, []), *instances(document, inner, name)]:
            yield operation.body | {name: value}


def cases(world) -> list[tuple[Operation, dict]]:
    found = []
    for operation in chroma.operations(world.document):
        described = world.document["paths"][operation.path][operation.method.lower()]
        schema = described.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        if operation.body is None or operation.path in world.over_all:
            continue
        made = {json.dumps(body, sort_keys=True): body for body in bodies(world.document, operation, schema)}
        found += [(operation, body) for body in made.values()]
    return found


def answer(reply) -> tuple[int, object]:
    """What a client sees. A new collection has an id that no other has."""
    try:
        value = json.loads(reply.body) if reply.body else None
    except ValueError:
        value = reply.body
    if isinstance(value, dict) and "configuration_json" in value:
        value = {key: inner for key, inner in value.items() if key not in ("id", "log_position", "version")}
    return reply.status, value


def test_what_the_server_takes_the_filter_takes(sites, keys, record_property):
    with servers.chroma() as server:
        world = chroma.World(server.port)
        guard = Guarded(sites("strong", change=guarded.change("chroma"), edit=guarded.to(server.port)), keys)
        taken, differ = 0, []
        walked = cases(world)
        with Client(server.port) as straight:
            for operation, body in walked:
                said = []
                for send in (straight.call, guard):
                    world.seed("a")
                    world.open(send)
                    values = {place: Value("a") for place in operation.places()}
                    said.append(answer(send(Crossing(replace(operation, body=body), "its own", values).call(world))))
                # 0: this body ends the server's connection without an answer.
                is_taken = 0 < said[0][0] < 400
                taken += is_taken
                if is_taken and said[0] != said[1]:
                    differ.append((operation.method, operation.path, body, said))
        record_property("figures", f"chroma: {len(walked)} bodies, {taken} taken by the server, {len(differ)} differ through the filter")
        assert taken > 60
        assert not differ, "\n".join(map(str, differ[:20]))
