"""Thousands of requests that the filter holds at once, on one connection: each is answered, and nobody else is hurt."""

import copy
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack, contextmanager

import pytest

from conftest import Site, chat
from harness import envoy, idp
from harness.client import H1, Heads
from harness.envoy import environment
from harness.ratelimit import cluster as limits
from harness.tokens import Key, claims
from harness.upstream import GATE
from test_introspection import SECRET

COUNT = 2000
CONNECTIONS = 450
SUBJECTS = 4


def many_streams(config: dict) -> None:
    """One connection may have them all; Envoy's own bounds on answers not yet read stay out of it."""
    options = {"max_concurrent_streams": COUNT + 100, "max_outbound_control_frames": 10 * COUNT, "max_outbound_frames": 10 * COUNT}
    envoy.manager(config)["http2_protocol_options"] = options


def cluster(config: dict, port: int) -> None:
    own = copy.deepcopy(config["static_resources"]["clusters"][0])
    own["name"] = own["load_assignment"]["cluster_name"] = "idp"
    own.pop("typed_extension_protocol_options", None)
    address = own["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
    address["socket_address"]["port_value"] = port
    config["static_resources"]["clusters"].append(own)


def room(policy: dict) -> None:
    """Every request is under way in a slot of its own."""
    policy["roles"]["analyst"]["quotas"] = [{"per": "subject", "concurrent": COUNT // SUBJECTS}]


@contextmanager
def silent_issuer(mode, upstream, keys):
    """A site with a second issuer, whose keys never come."""
    with idp.Scripted() as server:
        server.delay = 600

        def change(policy: dict) -> None:
            room(policy)
            other = copy.deepcopy(policy["authn"]["issuers"][0])
            jwks = {"cluster": "idp", "authority": "idp.test", "path": "/jwks", "timeout": "3s"}
            policy["authn"]["issuers"].append(other | {"name": "silent", "issuer": "https://silent.test", "jwks": jwks})

        def edit(config: dict) -> None:
            many_streams(config)
            cluster(config, server.port)

        site = Site(mode, upstream, keys, change=change, edit=edit, workers=1)
        try:
            yield site
        finally:
            site.proxy.stop()


class Silent:
    """A server that takes connections and answers nothing."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port, self.taken = self.socket.getsockname()[1], []
        threading.Thread(target=self.take, daemon=True).start()

    def take(self) -> None:
        try:
            while True:
                self.taken.append(self.socket.accept()[0])
        except OSError:  # it is closed
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # A listening socket wakes its `accept` by this, not by `close`.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in self.taken:
            connection.close()


def with_room(cluster: dict) -> dict:
    """As many connections and requests at once as there are streams."""
    bounds = {name: 2 * COUNT for name in ("max_connections", "max_pending_requests", "max_requests")}
    return cluster | {"circuit_breakers": {"thresholds": [bounds]}}


def asking_about_tokens(port: int):
    """A site that asks an issuer about tokens."""

    def change(policy: dict) -> None:
        room(policy)
        policy["authn"]["issuers"].append({"name": "opaque", "issuer": "https://silent.test", "audiences": ["urn:opaque"], "introspection": {
            "cluster": "idp", "authority": "idp.test", "path": "/introspect", "clientId": "us", "clientSecret": {"fromEnv": SECRET}, "timeout": "3s"}})  # fmt: skip

    def edit(config: dict) -> None:
        many_streams(config)
        cluster(config, port)
        config["static_resources"]["clusters"][-1] = with_room(config["static_resources"]["clusters"][-1])
        environment(config, {SECRET: "a secret of sixteen and more"})

    return change, edit, lambda site, number: f"made-up-{number}", "jwt.unavailable"


def asking_for_quotas(port: int):
    """A site whose guests are counted by a service."""

    def change(policy: dict) -> None:
        room(policy)
        policy["rateLimitService"] = {"cluster": "limits", "domain": "llm", "timeout": "3s"}
        policy["authn"]["issuers"][0].get("grants", {}).get("roles", []).append("counted")
        fleet = [{"per": "subject", "requests": 1_000_000, "window": "1m", "scope": "fleet"}]
        policy["roles"]["counted"] = policy["roles"]["analyst"] | {"quotas": policy["roles"]["analyst"]["quotas"] + fleet}

    def edit(config: dict) -> None:
        many_streams(config)
        config["static_resources"]["clusters"].append(with_room(limits(port)))

    return change, edit, lambda site, number: site.token(f"caller{number % SUBJECTS}", ("counted",)), "quota.unavailable"


@contextmanager
def bystander(site: Site):
    """A stream of another caller on the same worker, whose second half comes at the end."""
    outcomes = []

    def listen() -> None:
        body = chat(stream=True, max_tokens=50)
        outcomes.append(site.send(H1, body, token=site.token("bystander"), headers=[("x-script", "sse_halves")]))

    GATE.clear()
    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield
    finally:
        GATE.set()
        thread.join()
    (outcome,) = outcomes
    assert outcome.reply.status == 200 and outcome.reply.complete, outcome
    assert b"first" in outcome.reply.body and b"second" in outcome.reply.body and b"[DONE]" in outcome.reply.body


def head(token: str) -> list:
    return [("content-type", "application/json"), ("authorization", f"Bearer {token}")]


def is_alive(site: Site) -> None:
    """The worker's VM never died, and serves on."""
    log = site.proxy.log()
    assert "stack" not in log and "Uncaught" not in log, log[-2000:]
    assert sum(site.proxy.stats("vm_reload").values()) == 0
    site.send(H1, chat()).passed()


def test_streams_that_wait_for_keys(mode, upstream, keys):
    forged = Key("ES256", "nobody").sign(claims(iss="https://silent.test"))
    with silent_issuer(mode, upstream, keys) as site, Heads(site.proxy.port) as heads:
        site.send(H1, chat()).passed()
        with bystander(site):
            for _ in range(COUNT):
                heads.send(head(forged))
            replies = heads.wait()
        reasons = Counter((reply.status, reply.reason) for reply in replies)
        assert set(reasons) <= {(503, "jwt.unavailable"), (503, "overloaded")} and reasons.total() == COUNT, reasons
        assert reasons[503, "jwt.unavailable"] >= 1000, reasons
        assert [reply for reply in replies if not reply.complete] == []
        is_alive(site)


def test_connections_that_wait_for_keys(mode, upstream, keys):
    """The same over HTTP/1.1, where each request has a connection of its own."""
    forged = Key("ES256", "nobody").sign(claims(iss="https://silent.test"))
    lines = [f"{name}: {value}\r\n" for name, value in head(forged)]
    request = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n" + "".join(lines) + "\r\n"
    with silent_issuer(mode, upstream, keys) as site, ExitStack() as open_sockets:
        site.send(H1, chat()).passed()
        with bystander(site):
            waiting = []
            for _ in range(CONNECTIONS):
                connection = socket.create_connection(("127.0.0.1", site.proxy.port), timeout=60)
                waiting.append(open_sockets.enter_context(connection))
                connection.sendall(request.encode())
            answers = Counter(connection.recv(4096).split(b"\r\n", 1)[0] for connection in waiting)
        assert answers == {b"HTTP/1.1 503 Service Unavailable": CONNECTIONS}, answers
        is_alive(site)


@pytest.mark.parametrize("asking", [asking_about_tokens, asking_for_quotas])
def test_streams_that_wait_for_a_call(mode, upstream, keys, asking):
    with Silent() as server:
        change, edit, token, reason = asking(server.port)
        site = Site(mode, upstream, keys, change=change, edit=edit, workers=1)
        try:
            with Heads(site.proxy.port) as heads, bystander(site):
                for number in range(COUNT):
                    heads.send(head(token(site, number)))
                replies = heads.wait()
            reasons = Counter((reply.status, reply.reason) for reply in replies)
            # Who calls in vain for a while is not waited for, and a caller may have so many requests under way.
            assert set(reasons) <= {(503, reason), (503, "overloaded"), (429, "quota.concurrent")} and reasons.total() == COUNT, reasons
            assert reasons[503, reason] >= 300, reasons
            assert [reply for reply in replies if not reply.complete] == []
            is_alive(site)
        finally:
            site.proxy.stop()


def test_streams_whose_body_never_comes(upstream, keys):
    """In weak mode nothing is held for a body: Envoy's `request_timeout` ends such a request."""
    site = Site("strong", upstream, keys, change=room, edit=many_streams, workers=1)
    try:
        with Heads(site.proxy.port) as heads:
            for number in range(COUNT):
                heads.send(head(site.token(f"holder{number % SUBJECTS}")))
            with bystander(site):
                replies = heads.wait()
        reasons = Counter((reply.status, reply.reason) for reply in replies)
        assert reasons == {(503, "internal"): COUNT}, reasons
        assert [reply for reply in replies if not reply.complete] == []
        is_alive(site)
        # As many again of one caller: its slots are all free.
        with Heads(site.proxy.port) as heads:
            for _ in range(COUNT // SUBJECTS):
                heads.send(head(site.token("holder0")))
            reasons = Counter((reply.status, reply.reason) for reply in heads.wait())
        assert reasons == {(503, "internal"): COUNT // SUBJECTS}, reasons
        said = [line for line in site.proxy.log().splitlines() if "allow_on_headers_stop_iteration" in line]
        assert 1 <= len(said) <= COUNT // 20, "one line a second, not one a request"
    finally:
        site.proxy.stop()


def test_the_shipped_request_timeout_ends_what_never_comes(mode, upstream, keys):
    """The upstream has the head by then in weak mode; the slot is free again in both."""

    def one_slot(policy: dict) -> None:
        policy["roles"]["analyst"]["quotas"] = [{"per": "subject", "concurrent": 1}]

    def sooner(config: dict) -> None:
        assert envoy.manager(config)["request_timeout"] == "60s"
        envoy.manager(config)["request_timeout"] = "1s"

    site = Site(mode, upstream, keys, change=one_slot, edit=sooner, workers=1)
    try:
        with Heads(site.proxy.port) as heads:
            heads.send(head(site.token()))
            (reply,) = heads.wait()
        assert (reply.status, reply.complete) == (408, True)
        site.send(H1, chat()).passed()
    finally:
        site.proxy.stop()


def test_requests_that_keep_coming_do_not_put_the_keys_off(mode, upstream, keys):
    """Each request that waits asks for a tick soon; that must not put the tick off that would have come."""
    with idp.Scripted() as server:
        server.serve(list(keys.values()))

        def change(policy: dict) -> None:
            policy["authn"]["issuers"][0]["jwks"] = {"cluster": "idp", "authority": "idp.test", "path": "/jwks", "timeout": "10s"}
            policy["roles"]["analyst"].pop("quotas")

        def edit(config: dict) -> None:
            cluster(config, server.port)

        server.delay = 1.0
        site = Site(mode, upstream, keys, change=change, edit=edit, workers=1)
        try:
            outcomes, threads = [], []
            while not outcomes and len(threads) < 400:
                threads.append(threading.Thread(target=lambda: outcomes.append(site.send(H1, chat()))))
                threads[-1].start()
                time.sleep(0.02)
            assert outcomes, "nobody was answered while requests kept coming"
            [thread.join() for thread in threads]
            assert {outcome.reply.status for outcome in outcomes} == {200}, outcomes
        finally:
            site.proxy.stop()


@pytest.fixture(autouse=True)
def _open_gate():
    yield
    GATE.set()
