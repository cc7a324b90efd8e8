"""Policies that change while requests run, and two of them in one proxy."""

import copy
import json
import socket

import pytest

from conftest import Site, chat
from harness import envoy, idp
from harness.client import H1
from harness.tokens import claims
from mesh.load import PASSED, Load
from mesh.test_sidecars import ATTACK, Kind, World


@pytest.fixture(scope="module")
def world(tmp_path_factory, upstream):
    if why := idp.missing():
        pytest.skip(why)

    def unlimited(document):
        for role in document["roles"].values():
            role.pop("quotas")

    made = World(tmp_path_factory.mktemp("policy"), upstream, change=unlimited)
    yield made
    made.stop()


def test_documents_change_under_load_without_a_wrong_verdict(world):
    """Good, other, bad, other, good: requests and streams run all the while, on both workers."""
    port, token = world.callers.ports["team-a.assistant"], world.tokens["assistant"]
    kinds = [
        Kind("chat", port, token),
        Kind("stream", port, token, stream=True, script="sse_slow"),
        Kind("70b", port, token, model="llama-3-70b"),
        Kind("attack", port, token, text=ATTACK),
        Kind("no token", port, None),
        Kind("stolen", world.callers.ports["elsewhere.pod"], token),
    ]
    good = {
        "chat": PASSED, "stream": PASSED, "70b": PASSED, "attack": (400, "scan.injection"), "no token": (401, "jwt.missing"),
        "stolen": (403, "rbac.workload"),
    }  # fmt: skip
    strict = good | {"70b": (403, "rbac.model"), "attack": PASSED}
    other, bad = copy.deepcopy(world.document), copy.deepcopy(world.document)
    other["roles"]["assistant"]["models"] = ["llama-3-8b"]
    other["guards"]["standard"]["mode"] = "shadow"
    bad["roles"]["assistant"]["requets"] = 1
    load = Load(kinds)
    load.now(good)
    with load:
        load.lap()
        for document, expect, taken in ((other, strict, True), (bad, strict, False), (world.document, good, True), (bad, good, False)):
            if taken:
                load.either(expect)
            world.push(document, taken)
            load.lap()
            load.now(expect)
            load.lap()
    tally = load.take()
    assert not tally.wrong and not tally.dropped, (tally.wrong[:5], tally.dropped[:5])
    assert tally.requests > 100 and tally.streams > 10
    assert "configuration refused: roles.assistant.requets: unknown field" in world.model.proxy.log()


@pytest.mark.parametrize("names, allowed", [(("first", "second"), 4), (("same", "same"), 2)], ids=["two names", "one name"])
def test_two_plugins_meet_only_under_one_name(upstream, keys, names, allowed):
    """Istio gives every plugin of a proxy the same shared store. Two filters count the same caller, four requests a
    minute each: apart, four pass; with one name for both each request counts twice, which is what the name is for."""

    def change(document):
        document["name"] = names[0]
        document["authn"]["forwardToken"] = True
        document["roles"]["guest"]["quotas"] = [{"per": "subject", "requests": 4, "window": "1m"}]

    def edit(config):
        filters = envoy.manager(config)["http_filters"]
        second = copy.deepcopy(next(entry for entry in filters if "wasm" in str(entry.get("typed_config", {}).get("@type"))))
        document = envoy.policy(config)
        document["name"] = names[1]
        second["name"] = "another"
        inner = second["typed_config"]["config"]
        inner["name"] = "another"
        inner["configuration"]["value"] = json.dumps(document)
        filters.insert(1, second)

    site = Site("weak", upstream, keys, change=change, edit=edit)
    try:
        token = site.token("counted", ("guest",))
        got = [site.send(H1, chat(), token=token).reply.status for _ in range(6)]
    finally:
        site.proxy.stop()
    assert got == [200] * allowed + [429] * (6 - allowed), got


@pytest.mark.timeout(3600)
def test_a_hundred_thousand_subjects_loosen_no_verdict(upstream, keys):
    """More callers than the table has places for, all in one hour: who has spent a quota stays refused, nobody gets more
    than the quota, and neither the table nor the proxy grows with them."""
    subjects, limit = 100_000, 2

    def change(document):
        document["roles"]["guest"].update(operations=["models"], quotas=[{"per": "subject", "requests": limit, "window": "1h"}])

    def edit(config):
        for host in envoy.manager(config)["route_config"]["virtual_hosts"]:
            host["routes"].insert(0, {"match": {"path": "/v1/models"}, "direct_response": {"status": 200}})

    site = Site("weak", upstream, keys, change=change, edit=edit)
    key = keys["EdDSA"]

    def statuses(names: list[str]) -> list[bytes]:
        """One request each, one after the other on one connection."""
        found = []
        with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=60) as connection:
            for name in names:
                token = key.sign(claims(name, ["guest"]))
                connection.sendall(f"GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n".encode())
                head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r")[0])
                while len(body) < length:
                    body += connection.recv(65536)
                found.append(head.split()[1])
        return found

    try:
        assert statuses(["spent"] * (limit + 2)) == [b"200"] * limit + [b"429"] * 2
        early = [f"early-{number}" for number in range(50)]
        assert set(statuses(early * limit)) == {b"200"}
        statuses([f"warm-{number}" for number in range(2000)])
        before = site.proxy.memory()
        got = statuses([f"subject-{number}" for number in range(subjects)])
        after = site.proxy.memory()
        assert set(got) == {b"200", b"429"}, "callers without a place of their own share one"
        assert set(statuses(["spent", *early])) == {b"429"}
        # A caller of the crowd, twice more: one of the two is over the quota wherever the first was counted.
        again = [f"subject-{number}" for number in range(0, subjects, 1000)]
        assert statuses(again * 2).count(b"200") <= len(again)
        assert after - before < 32 << 20, (before, after)
    finally:
        site.proxy.stop()
