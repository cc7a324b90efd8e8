"""Two tenants on one store: no generated request of one reaches what the other has.

Straight to an unguarded server the same requests do come across, so that the look from behind is known to see it. Through the
filter none does; and what a tenant asks for its own data is answered as it is without a filter.
"""

from functools import partial

import pytest

from conftest import Site
from harness.client import Call, Client, Reply
from harness.tokens import claims

from . import chroma, guarded, pinecone, servers, weaviate
from .crossings import Crossing, Operation, Value, crossings, table, tried

SEED = 20261128
# A store without a filter is made anew after each crossing: a part of them is enough to see that they cross.
EVERY = 4
pytestmark = pytest.mark.skipif(bool(servers.missing()), reason=servers.missing() or "")


@pytest.fixture(scope="module")
def chroma_world():
    with servers.chroma() as server:
        world = chroma.World(server.port)
        yield world, server, chroma.operations(world.document)


@pytest.fixture(scope="module")
def pinecone_world():
    with servers.stand_in("stores.pinecone_server") as server:
        yield pinecone.World(server.port), server, pinecone.OPERATIONS


@pytest.fixture(scope="module")
def weaviate_world():
    with servers.stand_in("stores.weaviate_server") as server:
        yield weaviate.World(server.port), server, weaviate.OPERATIONS


@pytest.fixture(params=["chroma", "pinecone", "weaviate"])
def store(request):
    """The world in a store, its server, its operations."""
    return request.param, *request.getfixturevalue(f"{request.param}_world")


def requests(world, operations: list[Operation]) -> list[Crossing]:
    return list(crossings(operations, SEED, world.keys))


def honest(operation: Operation) -> Crossing:
    return Crossing(operation, "its own", {place: Value("a") for place in operation.places()})


def test_the_requests_are_many_and_no_two_the_same(store):
    _, world, _, operations = store
    made = requests(world, operations)
    wires = {(call.method, call.path, call.body, tuple(call.headers)) for call in (one.call(world) for one in made)}
    assert len(made) >= 200 and len(wires) > 0.9 * len(made)
    assert {(one.operation.method, one.operation.path) for one in made} == {(one.method, one.path) for one in operations}


def test_a_store_alone_keeps_no_tenants_apart(store, record_property):
    name, world, server, operations = store
    plain = [one for one in requests(world, operations) if one.trick.startswith("the other's")]
    others = [one for one in requests(world, operations) if one not in plain][::EVERY]
    with Client(server.port) as client:
        outcomes = tried(world, client.call, [*plain, *others])
    record_property("figures", f"{name}, no filter\n{table(outcomes)}")
    across = {(outcome.crossing.operation.kind, bool(outcome.leaked), outcome.changed) for outcome in outcomes if outcome.crossed}
    assert {kind for kind, leaked, _ in across if leaked} >= {"read", "query"}
    assert {kind for kind, _, changed in across if changed} >= {"upsert", "delete"}


def test_chroma_looks_a_uuid_up_in_all_tenants(chroma_world):
    """Why a path of one's own is not enough: the filter has to know whose UUID it is."""
    world, server, operations = chroma_world
    [get] = [one for one in operations if one.path.endswith("/{collection_id}/get")]
    values = {place: Value("b" if place == "collection_id" else "a") for place in get.places()}
    with Client(server.port) as client:
        reply = client.call(Crossing(get, "the other's UUID in a path of one's own", values).call(world))
    assert reply.status == 200 and world.marker.encode() in reply.body


def test_an_id_that_no_answer_told_is_asked_for(chroma_world, sites, keys):
    """A proxy that began anew knows no id: the store tells it. The other's stays refused."""
    world, server, _ = chroma_world
    world.seed("a")
    for change, own in ((guarded.change("chroma"), (403, "rbac.tenant")), (guarded.asking(), (200, None))):
        # A change of its own makes a proxy of its own.
        guard = Guarded(sites("strong", change=partial(change), edit=guarded.to(server.port)), keys)
        path = f"/api/v2/tenants/acme/databases/acme-main/collections/{world.uuids['a']}/count"
        reply = guard(Call(method="GET", path=path.encode()))
        assert (reply.status, reply.reason) == own
        reply = guard(Call(method="GET", path=path.replace(world.uuids["a"], world.uuids["b"]).encode()))
        assert (reply.status, reply.reason) == (403, "rbac.tenant")


class Guarded:
    """Requests of the tenant `acme` through the filter, one connection for all of them."""

    def __init__(self, site: Site, keys):
        self.client, self.keys = Client(site.proxy.port), keys

    def __call__(self, call: Call) -> Reply:
        token = self.keys["ES256"].sign(claims("alice", tenant="acme"))
        call.headers = [*call.headers, ("authorization", f"Bearer {token}")]
        return self.client.call(call)


@pytest.fixture(params=["shipped", "paths-as-they-come", "the-store-is-asked"])
def guard(request, store, sites, keys):
    name, _, server, _ = store
    if request.param == "the-store-is-asked":
        if name != "chroma":
            pytest.skip("names its tenants beside every id")
        return Guarded(sites("strong", change=guarded.asking(), edit=guarded.to(server.port)), keys)
    return Guarded(sites("strong", change=guarded.change(name), edit=guarded.to(server.port, request.param != "shipped")), keys)


def test_no_request_crosses(store, guard, record_property):
    name, world, _, operations = store
    outcomes = tried(world, guard, requests(world, operations))
    record_property("figures", f"{name}, guarded\n{table(outcomes)}")
    assert not [outcome for outcome in outcomes if outcome.crossed]
    named = [outcome for outcome in outcomes if names_the_other(outcome.crossing)]
    # What the protocol does not know, and a class behind a fragment, is refused before anybody's data is looked at.
    refusals = {(403, "rbac.tenant"), (404, "route.unmatched"), (400, "body.shape")}
    assert named and not [outcome for outcome in named if (outcome.status, outcome.reason) not in refusals]
    assert any(outcome.reason == "rbac.tenant" for outcome in named)


def names_the_other(crossing: Crossing) -> bool:
    """Says the other tenant's name as it is, in a place where a tenant is named."""
    chosen = [place for place, value in crossing.values.items() if value.owner == "b" and not value.write]
    return crossing.trick.startswith("the other's") and not crossing.method and any(crossing.operation.roles[place] == "tenant" for place in chosen)


def test_own_data_is_answered(store, guard):
    """What the filter lets through it lets through whole: the same status as without it, for every operation on one's own data."""
    _, world, server, operations = store
    differ = []
    with Client(server.port) as straight:
        for operation in operations:
            if operation.path in world.over_all or any(form in str(operation.body) for form in ("...Rest", '"""')):
                # Over all tenants; a class behind a fragment, where the filter reads only what stands under `Get` itself; a tenant
                # in a block string, which servers read in more ways than one.
                continue
            statuses = []
            for send in (straight.call, guard):
                world.seed("a")
                world.open(send)
                statuses.append(send(honest(operation).call(world)).status)
            if statuses[0] != statuses[1] and min(statuses) < 400:
                differ.append((operation.method, operation.path, statuses))
    assert not differ
