"""Quotas that a service counts for the fleet, on real Envoy, with a service that fails as it is told."""

import socket
import threading
import time

import pytest

from conftest import ATTACK, Site, chat, user
from harness import falco
from harness.client import H1, H2
from harness.ratelimit import RateLimits, cluster

REQUESTS, TOKENS = "analyst.requests.subject.60s", "analyst.tokens.subject.3600s"


@pytest.fixture(scope="module")
def service():
    with RateLimits() as server:
        yield server


@pytest.fixture(scope="module", params=["strong", "weak"])
def fleet(request, upstream, keys, service):
    """A site whose analysts are counted by the service: `deny` for requests and tokens, `local` for the role `batch`."""

    def change(policy: dict) -> None:
        policy["rateLimitService"] = {"cluster": "limits", "domain": "llm", "timeout": "300ms", "refunds": True}
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

    site = Site(request.param, upstream, keys, change=change, edit=lambda config: config["static_resources"]["clusters"].append(cluster(service.port)))
    yield site
    site.proxy.stop()


@pytest.fixture(autouse=True)
def calm(service):
    yield
    service.mood, service.delay = "count", 0.0


def ask(site: Site, subject: str, protocol: str = H1, roles=("analyst",), text: str = "hello", **fields):
    return site.send(protocol, chat(user(text), max_tokens=50), token=site.token(subject, roles), **fields)


def spent(service: RateLimits, expected: int, quota: str = TOKENS) -> None:
    """The counter comes to this; settlements are told within a moment."""
    end = time.monotonic() + 3
    while service.total(quota) != expected and time.monotonic() < end:
        time.sleep(0.02)
    assert service.total(quota) == expected


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
    ask(fleet, subject, protocol, text="word " * 700, headers=[("x-script", "slow")]).passed()
    busy = [threading.Thread(target=ask, args=(fleet, subject), kwargs={"text": "word " * 700, "headers": [("x-script", "slow")]})]
    [thread.start() for thread in busy]
    time.sleep(0.25)
    ask(fleet, subject, protocol, text="word " * 700).refused(429, "quota.tokens")
    [thread.join() for thread in busy]


@pytest.mark.parametrize("mood", ["hang", "garbage", "unknown", "huge", "refuse", "reset"])
def test_without_a_verdict_the_policy_decides(fleet, service, mood):
    service.mood = mood
    service.counters.clear()
    begun = time.monotonic()
    ask(fleet, f"deny-{mood}-{fleet.mode}").refused(503, "quota.unavailable", before_body=True)
    assert time.monotonic() - begun < 2
    # This proxy counts by itself: three a minute, and the tokens too.
    subject = f"local-{mood}-{fleet.mode}"
    answers = [ask(fleet, subject, roles=("batch",)) for _ in range(4)]
    assert [got.reply.status for got in answers] == [200] * 3 + [429]
    assert answers[0].audit["bartizan.quota.counted_by"] == "proxy"
    assert falco.alarms(answers[0].audit) == {"Bartizan counts by itself"}
    assert answers[0].audit["bartizan.tokens.charged"] == 24
    answers[3].refused(429, "quota.requests", before_body=True)
    service.mood = "count"
    # After so many calls in vain a worker asks nobody for two seconds.
    end, number = time.monotonic() + 5, 0
    while "bartizan.quota.counted_by" in ask(fleet, f"{subject}-{number}", roles=("batch",)).passed().audit:
        assert time.monotonic() < end
        time.sleep(0.1)
        number += 1


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
    end = time.monotonic() + 5
    while ask(fleet, f"back-{fleet.mode}").reply.status != 200:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_callers_that_leave_while_they_wait(fleet, service):
    """No effect but the charge, and the worker goes on."""
    service.delay = 0.2
    token = fleet.token(f"leaves-{fleet.mode}")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n"
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", fleet.proxy.port)) as connection:
            connection.sendall((head + "content-length: 10\r\n\r\n{}").encode())
            time.sleep(0.02)
    time.sleep(0.3)
    service.delay = 0.0
    # On a busy machine some of them may have waited in vain: then nobody waits for two seconds.
    end = time.monotonic() + 5
    while ask(fleet, f"stays-{fleet.mode}").reply.status != 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert "panicked" not in fleet.proxy.log() and "Proxy-Wasm VM" not in fleet.proxy.log()


def test_waiting_holds_everything(fleet, service, protocol):
    """A slow service: chunks, trailers and all wait; the upstream sees one whole request."""
    service.delay = 0.15
    got = ask(fleet, f"waits-{fleet.mode}-{protocol}", protocol)
    got.passed()
