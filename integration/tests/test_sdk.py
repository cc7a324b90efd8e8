"""The official OpenAI SDK: a refusal raises the class that its callers branch on, a real answer reads as ever."""

import re

import openai
import pytest

from conftest import ATTACK, user
from harness import envoy
from harness.llama import Llama, tiny_model
from harness.paths import ROOT
from harness.tokens import claims


@pytest.fixture(scope="module")
def llama():
    with Llama(tiny_model(), "smollm2") as server:
        yield server


@pytest.fixture(scope="module", params=["strong", "weak"])
def proxy(request, llama, keys):
    config = envoy.load(envoy.STRONG if request.param == "strong" else envoy.WEAK)
    config = envoy.with_upstream(config, llama.port)
    document = envoy.with_keys(envoy.policy(config), [key.jwk for key in keys.values()])
    document["roles"]["analyst"]["quotas"].append({"per": "subject", "tokens": 100_000, "window": "1h"})
    with envoy.Envoy(envoy.with_policy(config, document), f"sdk-{request.param}") as server:
        yield server


@pytest.fixture
def sdk(proxy, keys):
    def make(subject: str = "alice", roles: tuple[str, ...] = ("analyst",), **more) -> openai.OpenAI:
        token = keys["RS256"].sign(claims(subject, list(roles), **more))
        return openai.OpenAI(base_url=f"{proxy.url}/v1", api_key=token, max_retries=0, timeout=60)

    return make


def ask(client: openai.OpenAI, text: str = "hello", model: str = "smollm2", **more):
    return client.chat.completions.create(model=model, max_tokens=8, messages=[user(text)], **more)


def test_a_real_answer(sdk):
    reply = ask(sdk())
    assert reply.usage.completion_tokens == 8
    assert reply.choices[0].message.content


def test_a_real_stream(sdk):
    chunks = list(ask(sdk(), stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].usage.completion_tokens == 8
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_estimates_come_to_what_a_real_tokenizer_counts(sdk, proxy):
    """Polish, which this model's vocabulary cuts into far more pieces than English."""
    words = (ROOT / "integration/estimates/texts/polish.txt").read_text().split()
    # No two begin alike: what comes from the server's cache teaches nothing.
    texts = [f"{proxy.folder.name} {start} " + " ".join(words[start : start + 40]) for start in range(0, 110, 10)]
    client, records = sdk(f"pole-{proxy.folder.name}"), []  # its requests go over one connection, to one worker
    for number, text in enumerate(texts):
        case = f"{proxy.folder.name}-{number}"
        ask(client, text, extra_headers={"x-case": case})
        records.append(proxy.entry(case).audit)
    estimated, reserved, billed = (
        [record[name] for record in records[8:]]
        for name in ("bartizan.tokens.estimated_input", "bartizan.tokens.reserved_input", "gen_ai.usage.input_tokens")
    )
    assert len(billed) == 3 and sum(estimated) < 0.75 * sum(billed), (estimated, billed)
    assert 0.9 * sum(billed) < sum(reserved) < 1.2 * sum(billed), (estimated, reserved, billed)


def test_the_models(sdk):
    assert "smollm2" in [model.id for model in sdk().models.list()]


def refusal(kind: type[openai.APIStatusError], status: int, reason: str, code: str, send) -> openai.APIStatusError:
    with pytest.raises(kind) as caught:
        send()
    error = caught.value
    assert type(error) is kind
    assert error.status_code == status
    assert error.response.headers["x-bartizan-reason"] == reason
    assert error.code == code
    assert error.body["message"]
    assert re.fullmatch(r"[A-Za-z0-9-]{8,64}", error.request_id), "the id by which a caller reports it"
    return error


def test_401(sdk):
    refusal(openai.AuthenticationError, 401, "jwt.expired", "invalid_api_key", lambda: ask(sdk(lifetime=-600)))
    refusal(openai.AuthenticationError, 401, "jwt.audience", "invalid_api_key", lambda: ask(sdk(aud="billing")))


def test_403(sdk):
    refusal(openai.PermissionDeniedError, 403, "rbac.model", "model_not_found", lambda: ask(sdk(), model="gpt-4o"))
    refusal(openai.PermissionDeniedError, 403, "rbac.operation", "insufficient_permissions", lambda: ask(sdk(roles=("x",))))


def test_400(sdk):
    error = refusal(openai.BadRequestError, 400, "scan.injection", "content_filter", lambda: ask(sdk(), ATTACK))
    assert ATTACK not in str(error)


def test_429(sdk, proxy):
    client = sdk(f"bob-{proxy.port}", roles=("guest",))
    ask(client)
    ask(client)
    error = refusal(openai.RateLimitError, 429, "quota.requests", "rate_limit_exceeded", lambda: ask(client))
    assert 0 < int(error.response.headers["retry-after"]) <= 60
    assert error.response.headers["x-ratelimit-remaining-requests"] == "0"


def test_a_refused_stream_raises_too(sdk):
    refusal(openai.BadRequestError, 400, "scan.injection", "content_filter", lambda: list(ask(sdk(), ATTACK, stream=True)))
