"""Token quotas on real Envoy: what 64 official SDK clients get through two workers is counted at the upstream."""

import json
import threading
import time

import openai
import pytest

from conftest import ATTACK, Site, chat, user
from harness import envoy
from harness.client import H1, Client
from harness.upstream import GATE, METERED
from harness.wait import eventually

LIMIT, CLIENTS = 10_000, 64


def shared(policy: dict) -> None:
    policy["roles"]["analyst"]["quotas"] = [{"per": "tenant", "tokens": LIMIT, "window": "1h"}]


def small(policy: dict) -> None:
    policy["roles"]["analyst"]["quotas"] = [
        {"per": "subject", "tokens": 1000, "window": "31d"},
        {"per": "subject", "inputTokens": 5000, "window": "31d"},
    ]


def busy(policy: dict) -> None:
    policy["roles"]["analyst"]["quotas"] = [{"per": "subject", "concurrent": 2}]


@pytest.fixture
def sdk(keys):
    def make(site: Site, subject: str) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"{site.proxy.url}/v1", api_key=site.token(subject), max_retries=0, timeout=60,
            default_headers={"x-script": "metered"},
        )  # fmt: skip

    return make


def test_64_clients_do_not_overrun_a_bucket(sites, mode, sdk):
    site = sites(mode, change=shared)
    METERED.clear()
    refusals, passed, wrong, lock = [], [], [], threading.Lock()
    started = time.monotonic()

    def caller(number: int) -> None:
        client = sdk(site, f"caller-{number % 5}")
        for turn in range(6):
            stream = (number + turn) % 2 == 1
            try:
                reply = client.chat.completions.create(
                    model="smollm2", max_tokens=120, messages=[user("Tell me about castles. " * (1 + turn))], stream=stream
                )
                if stream:
                    list(reply)
                with lock:
                    passed.append(reply)
            except openai.RateLimitError as error:
                with lock:
                    refusals.append(error)
            except Exception as error:
                with lock:
                    wrong.append(error)

    callers = [threading.Thread(target=caller, args=(number,)) for number in range(CLIENTS)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    seconds = time.monotonic() - started
    assert not wrong, wrong[:3]
    used = sum(map(sum, METERED))
    drained = LIMIT * seconds / 3600
    assert used <= 1.02 * LIMIT + drained, f"{used} tokens of {LIMIT}, {drained:.0f} came back in {seconds:.1f} s"
    assert used >= 0.9 * LIMIT, f"only {used} tokens of {LIMIT}: {len(passed)} answers, {len(refusals)} refusals"
    assert refusals and len(passed) == len(METERED)
    assert {error.code for error in refusals} == {"rate_limit_exceeded"}
    assert {error.response.headers["x-bartizan-reason"] for error in refusals} == {"quota.tokens"}


def ask(text: str = "hello", **more) -> dict:
    return chat(user(text), max_tokens=50, **more)


def left(site: Site, subject: str) -> int:
    """Tokens that remain, by an answer that the upstream refuses and that costs nothing."""
    got = site.send(H1, ask(), token=site.token(subject), headers=[("x-script", "error")])
    assert got.reply.status == 500 and got.audit["bartizan.tokens.basis"] == "refunded"
    held = got.audit["bartizan.tokens.reserved_input"] + got.audit["bartizan.tokens.reserved_output"]
    return int(got.reply.header("x-ratelimit-remaining-tokens")) + held


def settles(site: Site, subject: str, before: int, cost: int) -> None:
    """The bucket as it was, but for this cost; it drains by one token in 45 minutes."""
    assert before - cost <= left(site, subject) <= before - cost + 1


SCRIPTS = [
    ("default", False, "usage"), ("default", True, None), ("sse_bytes", True, None), ("sse_reset", True, "counted"),
    ("sse_trailers", True, None), ("reset", False, "refunded"), ("reset_mid", False, "reserved"), ("slow", False, "usage"),
    ("error", False, "refunded"), ("not_json", False, None), ("empty", False, "reserved"),
]  # fmt: skip


def test_every_end_is_settled(sites, mode, protocol):
    site = sites(mode, change=small)
    for number, (script, stream, basis) in enumerate(SCRIPTS):
        subject = f"{mode}-{protocol}-{number}"
        before = left(site, subject)
        got = site.send(protocol, ask(stream=stream), token=site.token(subject), headers=[("x-script", script)])
        record = got.audit
        assert basis is None or record["bartizan.tokens.basis"] == basis, (script, record)
        if record["bartizan.tokens.basis"] == "usage":
            assert record["bartizan.tokens.charged"] == 24
        settles(site, subject, before, record["bartizan.tokens.charged"])


def retrying(config: dict) -> None:
    """Envoy tries again what the upstream answers with 5xx."""
    for host in envoy.manager(config)["route_config"]["virtual_hosts"]:
        host["retry_policy"] = {"retry_on": "5xx", "num_retries": 2}


@pytest.mark.parametrize("stream", [False, True])
def test_what_envoy_tries_again_is_charged_once(sites, mode, protocol, stream):
    site = sites(mode, change=small, edit=retrying)
    subject = f"retried-{mode}-{protocol}-{stream}"
    before = left(site, subject)
    got = site.send(protocol, ask(stream=stream), token=site.token(subject), headers=[("x-script", "fails_once")])
    assert got.reply.status == 200 and got.reply.complete, got
    assert [seen.complete for seen in got.seen] == [True, True], "the upstream saw both attempts whole"
    assert got.seen[0].body == got.seen[1].body
    assert (got.audit["bartizan.tokens.basis"], got.audit["bartizan.tokens.charged"]) == ("usage", 24)
    settles(site, subject, before, 24)


def test_a_blocked_prompt_costs_nothing(sites, mode, protocol):
    site = sites(mode, change=small)
    subject = f"blocked-{mode}-{protocol}"
    before = left(site, subject)
    site.send(protocol, ask(ATTACK), token=site.token(subject)).refused(400, "scan.injection")
    settles(site, subject, before, 0)


def test_what_never_fits_is_not_waited_for(sites, mode, protocol):
    site = sites(mode, change=small)
    got = site.send(protocol, ask("word " * 1200), token=site.token(f"large-{mode}-{protocol}")).refused(429, "quota.tooLarge")
    assert got.reply.header("retry-after") is None and got.reply.header("x-should-retry") == "false"
    assert json.loads(got.reply.body)["error"]["type"] == "tokens"


def test_what_is_reserved_follows_what_the_model_bills(sites, mode):
    site = sites(mode, change=small)
    token = site.token(f"learns-{mode}")
    body = chat(user("a " * 60), max_tokens=5)
    with Client(site.proxy.port, H1) as client:  # one connection is one worker, and each learns by itself
        seen = [site.send(H1, body, token=token, headers=[("x-script", "metered")], client=client).audit for _ in range(9)]
    estimated, billed = seen[0]["bartizan.tokens.estimated_input"], seen[0]["gen_ai.usage.input_tokens"]
    assert (estimated, billed) == (64, 68)
    assert [one["bartizan.tokens.reserved_input"] for one in seen] == [estimated] * 8 + [billed]


def test_requests_under_way(sites, mode, protocol):
    site = sites(mode, change=busy)
    token = site.token(f"busy-{mode}-{protocol}")
    answers = []

    def caller() -> None:
        answers.append(site.send(protocol, ask(), token=token, headers=[("x-script", "gated")]).reply)

    for _ in range(2):
        GATE.clear()
        callers = [threading.Thread(target=caller) for _ in range(6)]
        for thread in callers:
            thread.start()
        eventually(lambda: len(answers) >= 4, "all but two are refused")
        GATE.set()
        for thread in callers:
            thread.join()
        assert sorted(reply.status for reply in answers) == [200, 200, 429, 429, 429, 429]
        assert {reply.reason for reply in answers if reply.status == 429} == {"quota.concurrent"}
        answers.clear()


def test_a_client_that_leaves_is_charged(sites, mode):
    import socket

    site = sites(mode, change=small)
    subject = f"leaves-{mode}"
    before = left(site, subject)
    body = json.dumps(ask()).encode()
    head = [
        "POST /v1/chat/completions HTTP/1.1", "host: x", "content-type: application/json", "x-script: gated",
        f"x-case: {subject}", f"authorization: Bearer {site.token(subject)}", f"content-length: {len(body)}",
    ]  # fmt: skip
    GATE.clear()
    with socket.create_connection(("127.0.0.1", site.proxy.port)) as sock:
        sock.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        eventually(lambda: site.upstream.seen(subject), "the upstream has it")
    record = site.proxy.entry(subject).audit
    GATE.set()
    assert record["bartizan.tokens.basis"] == "reserved"
    settles(site, subject, before, record["bartizan.tokens.charged"])
