"""A VM that dies under its requests: the module as it is built, with less memory than it asks for."""

import threading

import pytest

from conftest import Site, chat, user
from harness import falco, idp
from harness.client import H1, Reply
from harness.fragile import little_memory
from harness.upstream import GATE, SECRET
from harness.wait import eventually
from test_jwks import cluster, remote


def metered(policy: dict) -> None:
    policy["roles"]["analyst"]["quotas"] = [{"per": "subject", "tokens": 5000, "window": "31d"}]


@pytest.fixture(params=["strong", "weak"])
def fragile(request, upstream, keys):
    made = Site(request.param, upstream, keys, change=metered, edit=little_memory, workers=1)
    yield made
    made.proxy.stop()


def kill(site: Site):
    """A body that takes more memory than there is."""
    return site.send(H1, chat(user("lantern " * 480_000)))


def test_a_vm_that_dies_lets_nothing_pass_and_nothing_go(fragile):
    token = fragile.token("caller")
    first = fragile.send(H1, chat(), token=token).passed()
    full = int(first.reply.header("x-ratelimit-remaining-tokens"))
    streams, coming = [], Reply()

    def caller() -> None:
        body = chat(stream=True, max_tokens=50)
        streams.append(fragile.send(H1, body, token=token, headers=[("x-script", "sse_halves")], into=coming))

    thread = threading.Thread(target=caller)
    GATE.clear()
    thread.start()
    eventually(lambda: b"first" in coming.body, "the first half is through")
    killer = kill(fragile)
    GATE.set()
    thread.join()
    assert "memory allocation of" in fragile.proxy.log()
    # The request in it is refused; in weak mode its head has left, and no byte of its body.
    assert killer.reply.status == 503 and not any(seen.complete or seen.body for seen in killer.seen)
    # A stream that nobody guards any more ends with its next byte.
    (stream,) = streams
    assert stream.reply.status == 200 and not stream.reply.complete
    assert b"first" in stream.reply.body and SECRET.encode() not in stream.reply.body
    assert falco.alarms(stream.audit) == falco.alarms(killer.audit) == {"Bartizan had a fault"}
    # A fresh VM serves the next request, and still holds what was reserved for the stream: nobody knows what it cost.
    again = eventually(lambda: (got := fragile.send(H1, chat(), token=token)).reply.status != 503 and got, "a fresh VM")
    assert int(again.passed().reply.header("x-ratelimit-remaining-tokens")) == full - 24 - (50 + reserved_input(first))
    assert fragile.proxy.stats("vm_reload_success")["wasm.bartizan.vm_reload_success"] == 1


def reserved_input(outcome) -> int:
    """The streamed question is the same."""
    return outcome.audit["bartizan.tokens.reserved_input"]


def test_a_successor_takes_the_keys_over(mode, upstream, keys):
    """The issuer is away when the VM dies. Its keys are still with the proxy: the successor asks for none, and refuses nobody."""
    with idp.Scripted() as server:
        server.serve(list(keys.values()))

        def change(policy: dict) -> None:
            remote(policy, timeout="2s")
            policy["roles"]["analyst"].pop("quotas")

        def edit(config: dict) -> None:
            little_memory(config)
            cluster(server.port)(config)

        site = Site(mode, upstream, keys, change=change, edit=edit, workers=1)
        try:
            site.send(H1, chat()).passed()
            assert server.asked == 1
            server.status = 500
            for number in range(2):
                assert kill(site).reply.status == 503
                again = eventually(lambda: (got := site.send(H1, chat())).reply.status != 503 and got, "a fresh VM")
                again.passed()
                # Tokens that no VM has seen yet, of every key.
                for algorithm in keys:
                    site.send(H1, chat(), token=site.token(f"caller{number}", algorithm=algorithm)).passed()
            assert site.proxy.stats("vm_reload_success")["wasm.bartizan.vm_reload_success"] == 2
            assert server.asked == 1, "the keys are the proxy's, not a VM's"
        finally:
            site.proxy.stop()
