"""The official clients of Chroma, Pinecone and Weaviate: their values without a filter and through it, and the exceptions that their
callers branch on."""

import json
import os
import subprocess
from typing import NamedTuple

import pytest

from conftest import ATTACK
from harness.paths import ROOT
from harness.tokens import claims

from . import chroma, guarded, pinecone, servers, weaviate
from .embedding import embed

pytestmark = pytest.mark.skipif(bool(servers.missing()), reason=servers.missing() or "")
WORLDS = {"chroma": chroma.World, "pinecone": pinecone.World, "weaviate": weaviate.World}
FIRST = weaviate.SHARED


class Ask(NamedTuple):
    """A call of a client; `operation` is what the role must have for it, `holds` what its value must hold without a filter."""

    store: str
    call: str
    operation: str
    holds: str
    arguments: dict = {}

    def __repr__(self) -> str:
        return f"{self.store} {self.call}"


CALLS = [
    Ask("chroma", "query", "query", "the quarter's report 0 of acme", {"text": "report 0 of the quarter", "n_results": 2}),
    Ask("chroma", "get", "query", "the quarter's report 1 of acme", {"ids": ["1"], "include": ["documents", "metadatas", "embeddings"]}),
    Ask("chroma", "count", "query", "2"),
    Ask("chroma", "peek", "query", "the quarter's report 1 of acme"),
    Ask("chroma", "list_collections", "query", "docs"),
    Ask("chroma", "upsert", "upsert", "null", {"ids": ["1"], "documents": ["a note"], "metadatas": [{"kind": "note"}]}),
    Ask("chroma", "delete", "delete", "deleted", {"ids": ["1"]}),
    Ask("chroma", "create_collection", "upsert", "done", {"name": "more"}),
    Ask("pinecone", "query", "query", "the quarter's report 0 of acme", {"text": "report 0 of the quarter", "top_k": 2, "include_metadata": True}),
    Ask("pinecone", "search", "query", "the quarter's report 0 of acme", {"inputs": {"text": "report 0 of the quarter"}, "top_k": 2}),
    Ask("pinecone", "fetch", "query", "the quarter's report 1 of acme", {"ids": ["1"]}),
    Ask("pinecone", "list", "query", "0"),
    Ask("pinecone", "upsert", "upsert", "1", {"texts": {"1": "a note"}}),
    Ask("pinecone", "upsert_records", "upsert", "1", {"records": [{"_id": "1", "text": "a note"}]}),
    Ask("pinecone", "update", "upsert", "null", {"id": "1", "set_metadata": {"text": "a note"}}),
    Ask("pinecone", "delete", "delete", "null", {"ids": ["1"]}),
    Ask("weaviate", "graphql", "query", "the quarter's report 0 of acme", {"query": '{Get{Docs(tenant: "TENANT", limit: 2){text}}}'}),
    Ask("weaviate", "over_rest", "query", "the quarter's report 1 of acme", {"uuid": FIRST}),
    Ask("weaviate", "exists", "query", "true", {"uuid": FIRST}),
    Ask("weaviate", "tenant", "query", "true"),
    Ask("weaviate", "insert", "upsert", FIRST, {"properties": {"text": "a note"}, "uuid": FIRST}),
    Ask("weaviate", "replace", "upsert", "null", {"properties": {"text": "a note"}, "uuid": FIRST}),
    Ask("weaviate", "delete_by_id", "delete", "true", {"uuid": FIRST}),
]
WRITES = [ask for ask in CALLS if ask.call in ("upsert", "upsert_records", "insert", "replace")]
# What callers branch on, by store and status.
CLASSES = {
    "chroma": {400: "InvalidArgumentError", 401: "AuthorizationError", 403: "ChromaAuthError", 429: "RateLimitError"},
    "pinecone": {400: "ApiError", 401: "UnauthorizedError", 403: "ForbiddenError", 429: "RateLimitError"},
    "weaviate": dict.fromkeys((400, 401, 429), "UnexpectedStatusCodeError") | {403: "InsufficientPermissionsError"},
}


@pytest.fixture(scope="module")
def stores():
    """Each store with its server and the two tenants in it."""
    running = {"chroma": servers.chroma(), **{name: servers.stand_in(f"stores.{name}_server") for name in ("pinecone", "weaviate")}}
    yield {name: (server, WORLDS[name](server.port)) for name, server in running.items()}
    for server in running.values():
        server.stop()


@pytest.fixture(scope="module")
def asked():
    """Asks one question; the clients' process stays up."""
    child = subprocess.Popen(
        [servers.PYTHON, "-m", "stores.ask"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "integration")},
    )  # fmt: skip

    def ask(question: dict) -> dict:
        child.stdin.write(json.dumps(question) + "\n")
        child.stdin.flush()
        return json.loads(child.stdout.readline())

    yield ask
    child.stdin.close()
    child.wait(30)


def question(ask: Ask, url: str, token: str, tenant: str = "acme", changed=lambda arguments: arguments) -> dict:
    arguments = json.loads(json.dumps(ask.arguments).replace("TENANT", tenant))
    return {"store": ask.store, "call": ask.call, "url": url, "token": token, "tenant": tenant, "arguments": changed(arguments)}


def ordered(value) -> str:
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize("ask", CALLS, ids=repr)
def test_values_without_a_filter(ask, stores, asked):
    server, world = stores[ask.store]
    world.seed("a")
    answer = asked(question(ask, server.url, "any"))
    assert ask.holds in ordered(answer.get("value", "no value")), answer


@pytest.fixture
def through(stores, sites, keys, asked):
    """Asks through the filter with a token of this role's operations and this tenant."""

    def ask(one: Ask, tenant: str = "acme", operations: tuple[str, ...] = guarded.OPERATIONS, signed: bool = True, changed=lambda it: it) -> dict:
        server, world = stores[one.store]
        world.seed("a")
        site = sites("strong", change=guarded.change(one.store, operations), edit=guarded.to(server.port))
        token = keys["ES256"].sign(claims("alice", tenant="acme")) if signed else "none"
        return asked(question(one, site.proxy.url, token, tenant, changed))

    return ask


def refused(answer: dict, store: str, status: int) -> None:
    assert CLASSES[store][status] in answer.get("kinds", ()), answer


@pytest.mark.parametrize("ask", CALLS, ids=repr)
def test_values_are_the_same_through_the_filter(ask, stores, through, asked):
    server, world = stores[ask.store]
    got = through(ask)
    world.seed("a")
    plain = asked(question(ask, server.url, "any"))
    assert ordered(got) == ordered(plain)


@pytest.mark.parametrize("ask", CALLS, ids=repr)
def test_another_tenant_s_data(ask, stores, through):
    _, world = stores[ask.store]
    answer = through(ask, tenant="globex")
    refused(answer, ask.store, 403)
    assert world.marker not in ordered(answer) and world.untouched()


@pytest.mark.parametrize("ask", CALLS, ids=repr)
def test_an_operation_that_the_role_has_not(ask, through):
    # What a client asks first is allowed with any operation; a list of names is asked so.
    if ask.call in ("list_collections", "tenant"):
        pytest.skip("allowed with any operation: clients ask it on start")
    rest = tuple(word for word in guarded.OPERATIONS if word != ask.operation)
    refused(through(ask, operations=rest), ask.store, 403)


@pytest.mark.parametrize("ask", CALLS, ids=repr)
def test_no_token(ask, through):
    refused(through(ask, signed=False), ask.store, 401)


@pytest.mark.parametrize("ask", WRITES, ids=repr)
def test_a_document_that_attacks_is_not_stored(ask, through):
    """The same write with an attack in the text's place."""
    answer = through(ask, changed=lambda arguments: json.loads(json.dumps(arguments).replace("a note", ATTACK)))
    refused(answer, ask.store, 400)
    assert ATTACK not in answer["message"]


def test_a_hostile_chunk_is_taken_out_of_every_list(stores, through):
    """Chroma's reply is lists beside each other: what is taken out is taken out of all of them, and the rest keeps its order."""
    _, world = stores["chroma"]
    [query] = [ask for ask in CALLS if repr(ask) == "chroma query"]
    whole = Ask("chroma", "query", "query", "", query.arguments | {"n_results": 10, "include": ["documents", "metadatas", "distances", "embeddings"]})

    def poisoned(arguments: dict) -> dict:
        texts = [f"the quarter's report, once more. {ATTACK}", "the quarter's report, the end"]
        home = f"/api/v2/tenants/acme/databases/acme-main/collections/{world.uuids['a']}"
        world.ask("POST", f"{home}/upsert", {
            "ids": ["hostile", "last"], "documents": texts, "embeddings": [embed(text) for text in texts], "metadatas": [{"at": 1}, {"at": 2}],
        })  # fmt: skip
        return arguments

    value = through(whole, changed=poisoned)["value"]
    assert ATTACK not in ordered(value) and len(value["documents"][0]) in (3, 4)
    lengths = {len(value[key][0]) for key in ("ids", "documents", "metadatas", "distances", "embeddings")}
    assert lengths == {len(value["documents"][0])}
    for one, text in zip(value["ids"][0], value["documents"][0], strict=True):
        assert one != "last" or text == "the quarter's report, the end"
