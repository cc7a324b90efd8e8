"""Quotas that a service counts for the fleet, on real Envoy, with a service that fails as it is told."""

import itertools
import socket
import threading

import pytest

from conftest import ATTACK, Site, chat, everywhere, user
from harness import falco
from harness.client import H1
from harness.ratelimit import RateLimits, cluster
from harness.upstream import GATE
from harness.wait import eventually

REQUESTS, TOKENS = "analyst.requests.subject.60s", "analyst.tokens.subject.3600s"


@pytest.fixture(scope="module")
def service():
    with RateLimits() as server:
        server.clock = lambda: 1_800_000_000.0
        yield server


def counted(mode: str, timeout: str, upstream, keys, service: RateLimits) -> Site:
    """A site whose analysts are counted by the service: `deny` for requests and tokens, `local` for the role `batch`."""

    def change(policy: dict) -> None:
        policy["rateLimitService"] = {"cluster": "limits", "domain": "llm", "timeout": timeout, "refunds": True}
        analyst = policy["roles"]["analyst"]
        analyst["quotas"] = [
            {"per": "subject", "requests": 30, "window": "1m", "scope": "fleet"},
            {"per": "subject", "tokens": 1000, "window": "1h", "scope": "fleet"},
        ]
        policy["authn"]["issuers"][0].get("grants", {}).get("roles", []).append("batch")
        local = {"scope": "fleet", "onUnavailable": "local"}
        policy["roles"]["batch"] = analyst | {
            "quotas": [
                {"per": "subject", "requests": 3, "window": "1m"} | local,
                {"per": "subject", "tokens": 1000, "window": "1h"} | local,
            ]
        }

    return Site(mode, upstream, keys, change=change, edit=lambda config: config["static_resources"]["clusters"].append(cluster(service.port)))


@pytest.fixture(scope="module", params=["strong", "weak"])
def fleet(request, upstream, keys, service):
    """Waits for the service as long as it may, so that a machine that is busy is no outage."""
    site = counted(request.param, "10s", upstream, keys, service)
    yield site
    site.proxy.stop()


@pytest.fixture(autouse=True)
def calm(service):
    yield
    service.mood = "count"
    service.gate.set()
    GATE.set()


def ask(site: Site, subject: str, protocol: str = H1, roles=("analyst",), text: str = "hello", **fields):
    return site.send(protocol, chat(user(text), max_tokens=50), token=site.token(subject, roles), **fields)


def spent(service: RateLimits, expected: int, quota: str = TOKENS) -> None:
    """The counter comes to this; settlements are told within a moment."""
    eventually(lambda: service.total(quota) == expected, f"{quota} comes to {expected}")


def test_the_service_counts_requests_and_tokens(fleet, service, protocol):
    service.counters.clear()
    subject = f"one-{fleet.mode}-{protocol}"
    for number in range(1, 4):
        got = ask(fleet, subject, protocol).passed()
        assert got.reply.header("x-ratelimit-remaining-requests") == str(30 - number)
        assert got.reply.header("x-ratelimit-limit-tokens") == "1000"
        assert got.audit["bartizan.tokens.charged"] == 24
        spent(service, 24 * number)
    assert service.total(REQUESTS) == 3 and service.domains == {"llm"}
    # What is blocked costs a request and no tokens.
    ask(fleet, subject, protocol, text=ATTACK).refused(400, "scan.injection")
    assert service.total(REQUESTS) == 4
    spent(service, 72)


def test_a_spent_quota_refuses(fleet, service, protocol):
    subject = f"spent-{fleet.mode}-{protocol}"
    token = fleet.token(subject)
    answers = [fleet.send(protocol, method="GET", path="/v1/models", token=token) for _ in range(31)]
    assert [got.reply.status for got in answers] == [200] * 30 + [429]
    last = answers[-1].refused(429, "quota.requests", before_body=True)
    assert 1 <= int(last.reply.header("retry-after")) <= 60
    big = ask(fleet, f"big-{fleet.mode}-{protocol}", protocol, text="word " * 1200)
    assert big.refused(429, "quota.tooLarge").reply.header("x-should-retry") == "false"
    subject = f"tokens-{fleet.mode}-{protocol}"
    service.counters.clear()
    ask(fleet, subject, protocol, text="word " * 700).passed()
    spent(service, 24)
    GATE.clear()
    seen = fleet.upstream.total
    busy = threading.Thread(target=ask, args=(fleet, subject), kwargs={"text": "word " * 700, "headers": [("x-script", "gated")]})
    busy.start()
    eventually(lambda: fleet.upstream.total > seen, "the upstream has it")
    ask(fleet, subject, protocol, text="word " * 700).refused(429, "quota.tokens")
    GATE.set()
    busy.join()


@pytest.mark.parametrize("mood", ["garbage", "unknown", "huge", "refuse", "reset"])
def test_without_a_verdict_the_policy_decides(fleet, service, mood):
    without_a_verdict(fleet, service, mood)


def test_nobody_waits_longer_than_the_policy_says(mode, upstream, keys, service):
    site = counted(mode, "300ms", upstream, keys, service)
    try:
        without_a_verdict(site, service, "hang")
    finally:
        site.proxy.stop()


def without_a_verdict(fleet: Site, service: RateLimits, mood: str) -> None:
    service.mood = mood
    service.counters.clear()
    ask(fleet, f"deny-{mood}-{fleet.mode}").refused(503, "quota.unavailable", before_body=True)
    # This proxy counts by itself: three a minute, and the tokens too.
    subject = f"local-{mood}-{fleet.mode}"
    answers = [ask(fleet, subject, roles=("batch",)) for _ in range(4)]
    assert [got.reply.status for got in answers] == [200] * 3 + [429]
    assert answers[0].audit["bartizan.quota.counted_by"] == "proxy"
    assert falco.alarms(answers[0].audit) == {"Bartizan counts by itself"}
    assert answers[0].audit["bartizan.tokens.charged"] == 24
    answers[3].refused(429, "quota.requests", before_body=True)
    service.mood = "count"
    # After this number of failed calls a worker asks nobody for two seconds.
    numbers = itertools.count()
    asks = lambda: ask(fleet, f"{subject}-{next(numbers)}", roles=("batch",)).passed()
    everywhere(asks, lambda got: "bartizan.quota.counted_by" not in got.audit, "the service is asked again")


def test_a_service_that_fails_between_two_calls(fleet, service, protocol):
    """The request is counted, and then nobody counts its tokens: the body stays here."""
    service.mood = "half"
    ask(fleet, f"mid-{fleet.mode}-{protocol}", protocol).refused(503, "quota.unavailable")


def test_a_service_that_is_away_and_comes_back(fleet, service):
    service.stop()
    try:
        ask(fleet, f"away-{fleet.mode}").refused(503, "quota.unavailable", before_body=True)
        ask(fleet, f"away-{fleet.mode}", roles=("batch",)).passed()
    finally:
        service.start()
    answers(fleet, "back")


def answers(fleet: Site, name: str) -> None:
    """The service is asked again, by both workers."""
    numbers = itertools.count()
    everywhere(lambda: ask(fleet, f"{name}-{fleet.mode}-{next(numbers)}"), lambda got: got.reply.status == 200, "the service is asked")


def test_callers_that_leave_while_they_wait(fleet, service):
    """No effect but the charge, and the worker goes on."""
    service.gate.clear()
    asked = service.asked
    token = fleet.token(f"leaves-{fleet.mode}")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
    for number in range(20):
        with socket.create_connection(("127.0.0.1", fleet.proxy.port)) as connection:
            connection.sendall((head + "content-length: 10\r\n\r\n{}").encode())
            eventually(lambda: service.asked > asked + number, "the service is asked")
    service.gate.set()
    answers(fleet, "stays")
    assert "panicked" not in fleet.proxy.log() and "Proxy-Wasm VM" not in fleet.proxy.log()


def test_waiting_holds_everything(fleet, service, protocol):
    """A slow service: chunks, trailers and all wait; the upstream sees one whole request."""
    service.gate.clear()
    asked, got = service.asked, []
    waits = threading.Thread(target=lambda: got.append(ask(fleet, f"waits-{fleet.mode}-{protocol}", protocol)))
    seen = fleet.upstream.total
    waits.start()
    eventually(lambda: service.asked > asked, "the service is asked")
    assert fleet.upstream.total == seen and not got
    service.gate.set()
    waits.join()
    got[0].passed()
