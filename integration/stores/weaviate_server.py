"""Weaviate's REST interface and its GraphQL as they are documented, in memory: a stand-in, because its server can't be had.

Usage: PORT. It reads requests as the Go server does: keys of JSON without case and the last one counts, the path is cleaned
before it is matched, the last of a query's parameters counts, a class's first letter is raised. Nothing checks who asks.
"""

import json
import posixpath
import uuid

from graphql import GraphQLError, parse
from graphql.language import ast

from .standin import Refused, Request, Routes, near, serve

routes = Routes()
# By class: its description, its tenants, and by tenant its objects.
classes: dict[str, dict] = {}
tenants: dict[str, dict[str, str]] = {}
objects: dict[str, dict[str, dict[str, dict]]] = {}
KEYS = {"tenant", "class", "id", "properties", "vector", "objects", "match", "where", "query", "variables", "operationname", "limit", "name",
        "path", "operator", "operands", "valuetext", "beacon", "from", "to", "activitystatus", "multitenancyconfig", "enabled"}  # fmt: skip


def as_go_reads(data: bytes):
    """The first value of the text; known keys in any case, the last of equal ones."""

    def keys(pairs: list[tuple[str, object]]) -> dict:
        return {key.lower() if key.lower() in KEYS and key != key.lower() else key: value for key, value in pairs}

    value, _ = json.JSONDecoder(object_pairs_hook=keys).raw_decode(data.decode().lstrip())
    return value


def cleaned(path: str) -> str:
    return "/" + posixpath.normpath(path).lstrip("/")


def home(name: str, tenant: str) -> dict[str, dict]:
    """The objects of a class, of one tenant where it has tenants."""
    name = name[:1].upper() + name[1:]
    if name not in classes:
        raise Refused(422, f"class {name} not found")
    if classes[name].get("multiTenancyConfig", classes[name].get("multitenancyconfig", {})).get("enabled"):
        if tenant not in tenants[name]:
            raise Refused(422, f'tenant not found: "{tenant}"' if tenant else "class has multi-tenancy enabled, but request was without tenant")
        return objects[name].setdefault(tenant, {})
    if tenant:
        raise Refused(422, "class has multi-tenancy disabled, but request was with tenant")
    return objects[name].setdefault("", {})


def holds(one: dict, where: dict | None) -> bool:
    if not where:
        return True
    operator, operands = where["operator"], where.get("operands") or []
    if operator in ("And", "Or"):
        return (all if operator == "And" else any)(holds(one, part) for part in operands)
    if operator == "Not":
        return not holds(one, operands[0])
    value = next((value for key, value in where.items() if key.lower().startswith("value")), None)
    have = one["id"] if where["path"] == ["id"] else one["properties"].get(where["path"][-1])
    ways = {
        "Equal": lambda: have == value, "NotEqual": lambda: have != value, "IsNull": lambda: (have is None) == value,
        "Like": lambda: value.strip("*").lower() in str(have).lower(), "ContainsAny": lambda: have in value,
        "GreaterThan": lambda: have is not None and have > value, "LessThan": lambda: have is not None and have < value,
    }  # fmt: skip
    if operator not in ways:
        raise Refused(422, f"unknown operator {operator}")
    return ways[operator]()


def stored(body: dict) -> dict:
    one = {"class": body["class"][:1].upper() + body["class"][1:], "id": body.get("id") or str(uuid.uuid4()), "properties": body.get("properties") or {}}
    return one | {key: body[key] for key in ("vector", "vectors", "tenant") if body.get(key)} | {"creationTimeUnix": 1, "lastUpdateTimeUnix": 1}


@routes("GET", "/ready")
def ready(_: Request):
    return {}


@routes("GET", "/v1/meta")
def meta(_: Request):
    return {"hostname": "http://[::]:8080", "version": "1.36.0", "modules": {}, "grpcMaxMessageSize": 10485760}


@routes("GET", "/v1/objects")
def list_objects(request: Request):
    name, limit = request.last("class"), int(request.last("limit", "10"))
    found = [one for each in ([name] if name else list(classes)) for one in home(each, request.last("tenant")).values()]
    return {"objects": found[:limit], "totalResults": len(found[:limit]), "deprecations": None}


@routes("POST", "/v1/objects")
def create(request: Request):
    one = stored(request.body)
    home(one["class"], request.body.get("tenant") or "")[one["id"]] = one
    return one


@routes("GET HEAD DELETE PUT PATCH", "/v1/objects/{name}/{one}")
def single(request: Request, name: str, one: str):
    writes = request.method in ("PUT", "PATCH")
    # A write names its tenant in the body alone, everything else in the query alone.
    place = home(name, (request.body.get("tenant") or "") if writes else request.last("tenant"))
    if request.method == "PUT":
        place[one] = stored(request.body | {"class": name, "id": one})
        return place[one]
    if one not in place:
        return 404, None
    if request.method == "PATCH":
        place[one]["properties"] |= request.body.get("properties") or {}
        return 204, None
    if request.method == "DELETE":
        del place[one]
    return (204, None) if request.method in ("HEAD", "DELETE") else place[one]


@routes("POST DELETE", "/v1/objects/{name}/{one}/references/{what}")
def reference(request: Request, name: str, one: str, what: str):
    place = home(name, request.last("tenant"))
    if one not in place:
        return 404, None
    held = place[one]["properties"].setdefault(what, [])
    beacon = {"beacon": request.body["beacon"]}
    if request.method == "POST":
        held.append(beacon)
        return 200, None
    place[one]["properties"][what] = [other for other in held if other != beacon]
    return 204, None


@routes("POST", "/v1/batch/objects")
def create_many(request: Request):
    made = []
    for body in request.body["objects"]:
        try:
            one = stored(body)
            home(one["class"], body.get("tenant") or "")[one["id"]] = one
            made.append(one | {"result": {"status": "SUCCESS"}})
        except Refused as refused:
            made.append(stored(body) | {"result": {"status": "FAILED", "errors": {"error": [{"message": refused.message}]}}})
    return made


@routes("DELETE", "/v1/batch/objects")
def delete_many(request: Request):
    match = request.body["match"]
    place = home(match["class"], request.last("tenant"))
    chosen = [one for one, value in place.items() if holds(value, match.get("where"))]
    for one in chosen:
        del place[one]
    return {"match": match, "output": "minimal", "dryRun": False, "results": {"matches": len(chosen), "limit": 10000, "successful": len(chosen), "failed": 0}}


@routes("POST", "/v1/batch/references")
def references(request: Request):
    made = []
    for body in request.body:
        name, one, what = body["from"].rsplit("/", 3)[1:]
        place = home(name, body.get("tenant") or "")
        if one in place:
            place[one]["properties"].setdefault(what, []).append({"beacon": body["to"]})
        made.append(body | {"result": {"status": "SUCCESS" if one in place else "FAILED"}})
    return made


@routes("GET POST", "/v1/schema")
def schema(request: Request):
    if request.method == "GET":
        return {"classes": list(classes.values())}
    name = request.body["class"][:1].upper() + request.body["class"][1:]
    if name in classes:
        raise Refused(422, f"class name {name} already exists")
    classes[name] = {"properties": [], "vectorizer": "none"} | request.body | {"class": name}
    tenants[name], objects[name] = {}, {}
    return classes[name]


@routes("GET DELETE PUT", "/v1/schema/{name}")
def one_class(request: Request, name: str):
    name = name[:1].upper() + name[1:]
    if request.method == "DELETE":
        for held in (classes, tenants, objects):
            held.pop(name, None)
        return 200, None
    if name not in classes:
        return 404, None
    if request.method == "PUT":
        classes[name] |= request.body | {"class": name}
    return classes[name]


@routes("GET POST PUT DELETE", "/v1/schema/{name}/tenants")
def all_tenants(request: Request, name: str):
    held = tenants[name[:1].upper() + name[1:]]
    if request.method in ("POST", "PUT"):
        for one in request.body:
            held[one["name"]] = one.get("activityStatus") or one.get("activitystatus") or "ACTIVE"
    elif request.method == "DELETE":
        for one in request.body:
            held.pop(one, None)
            objects[name[:1].upper() + name[1:]].pop(one, None)
        return 200, None
    return [{"name": one, "activityStatus": status} for one, status in held.items()]


@routes("GET HEAD", "/v1/schema/{name}/tenants/{tenant}")
def one_tenant(_: Request, name: str, tenant: str):
    held = tenants[name[:1].upper() + name[1:]]
    return {"name": tenant, "activityStatus": held[tenant]} if tenant in held else (404, None)


@routes("POST", "/v1/search/{name}/{way}")
def search(request: Request, name: str, way: str):
    if way not in ("near-text", "bm25", "hybrid", "near-object"):
        raise Refused(404, "not found")
    body = request.body
    found = [one for one in home(name, body.get("tenant") or "").values() if holds(one, body.get("where"))]
    if way != "near-object":
        words = " ".join([body["query"]] if isinstance(body["query"], str) else body["query"]).lower().split()
        found.sort(key=lambda one: -sum(word in str(one["properties"]).lower() for word in words))
    results = [{"id": one["id"], "properties": one["properties"], "metadata": {"score": 1.0}} for one in found[: body.get("limit") or 10]]
    return {"results": results, "tookMs": 1}


@routes("POST", "/v1/aggregate/{name}")
def aggregate(request: Request, name: str):
    found = [one for one in home(name, request.body.get("tenant") or "").values() if holds(one, request.body.get("where"))]
    return {"count": len(found), "tookMs": 1}


@routes("POST", "/v1/graphql")
def graphql(request: Request):
    return resolved(request.body)


@routes("POST", "/v1/graphql/batch")
def graphql_batch(request: Request):
    return [resolved(body) for body in request.body]


def resolved(body: dict) -> dict:
    """`Get` and `Aggregate` of classes, with aliases, fragments and variables."""
    try:
        document = parse(body["query"])
        operations = [one for one in document.definitions if isinstance(one, ast.OperationDefinitionNode)]
        wanted = body.get("operationName") or body.get("operationname")
        [operation] = [one for one in operations if not wanted or one.name and one.name.value == wanted]
        fragments = {one.name.value: one for one in document.definitions if isinstance(one, ast.FragmentDefinitionNode)}
        defaults = {one.variable.name.value: constant(one.default_value, {}) for one in operation.variable_definitions or () if one.default_value}
        variables = defaults | (body.get("variables") or {})
        data: dict = {}
        for root in fields(operation.selection_set, fragments):
            if root.name.value not in ("Get", "Aggregate"):
                raise Refused(422, f"Cannot query field {root.name.value}")
            held = data.setdefault(root.alias.value if root.alias else root.name.value, {})
            for field in fields(root.selection_set, fragments):
                found = selected(field, fragments, variables)
                if root.name.value == "Aggregate":
                    found = [{"meta": {"count": len(found)}}]
                held[field.alias.value if field.alias else field.name.value] = found
        return {"data": data}
    except (GraphQLError, Refused, ValueError) as error:
        return {"data": None, "errors": [{"message": str(getattr(error, "message", error)), "path": None, "locations": None}]}


def fields(selections, fragments: dict) -> list:
    found = []
    for one in selections.selections if selections else ():
        if isinstance(one, ast.FieldNode):
            found.append(one)
        elif isinstance(one, ast.InlineFragmentNode):
            found += fields(one.selection_set, fragments)
        else:
            found += fields(fragments[one.name.value].selection_set, fragments)
    return found


def constant(node, variables: dict):
    """The value of an argument."""
    if isinstance(node, ast.VariableNode):
        return variables.get(node.name.value)
    if isinstance(node, ast.ListValueNode):
        return [constant(one, variables) for one in node.values]
    if isinstance(node, ast.ObjectValueNode):
        return {one.name.value: constant(one.value, variables) for one in node.fields}
    if isinstance(node, (ast.IntValueNode, ast.FloatValueNode)):
        return json.loads(node.value)
    return getattr(node, "value", None)


def selected(field, fragments: dict, variables: dict) -> list[dict]:
    arguments = {one.name.value: constant(one.value, variables) for one in field.arguments or ()}
    found = [one for one in home(field.name.value, arguments.get("tenant") or "").values() if holds(one, arguments.get("where"))]
    if vector := (arguments.get("nearVector") or {}).get("vector"):
        found.sort(key=lambda one: -near(vector, one["vector"]))
    elif text := (arguments.get("bm25") or arguments.get("hybrid") or {}).get("query"):
        found.sort(key=lambda one: -sum(word in str(one["properties"]).lower() for word in text.lower().split()))
    rows = []
    for one in found[: arguments.get("limit") or 100]:
        row = {}
        for part in fields(field.selection_set, fragments):
            key = part.alias.value if part.alias else part.name.value
            if part.name.value == "_additional":
                row[key] = {inner.name.value: {"id": one["id"]}.get(inner.name.value) for inner in fields(part.selection_set, fragments)}
            else:
                row[key] = one["properties"].get(part.name.value)
        rows.append(row)
    return rows


if __name__ == "__main__":
    serve(routes, cleaned, as_go_reads, lambda refused: {"error": [{"message": refused.message}]})
