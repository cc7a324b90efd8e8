"""litellm through the filter, to every provider that it and the filter both know."""

import json
import subprocess

import pytest

from conftest import ATTACK
from harness import upstream as scripts
from harness.paths import ROOT
from harness.providers import TEXT
from harness.tokens import claims
from test_protocols import KEY, MODEL, every_provider

PYTHON = ROOT / ".cache" / "litellm" / "bin" / "python"
PROVIDERS = ["openai", "text-completion-openai", "anthropic", "ollama_chat", "ollama"]
# A stream of older completions: its errors come without litellm's own classes.
RAW = ("text-completion-openai", True)


@pytest.fixture(scope="module")
def site(sites):
    return sites("strong", change=every_provider)


def answers(questions: list[dict]) -> list[dict]:
    environment = {"PATH": "/usr/bin:/bin", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": str(ROOT / ".cache")}
    done = subprocess.run(
        [str(PYTHON), str(ROOT / "integration" / "harness" / "litellm_client.py")], input=json.dumps(questions),
        capture_output=True, text=True, timeout=300, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture
def ask(site, keys):
    """Asks every provider the same, whole and streamed; answers by provider and form."""

    def ask(text: str = "hello", times: int = 1, model: str = MODEL, **who) -> dict[tuple, list[dict]]:
        questions = []
        for provider in PROVIDERS:
            subject = who.get("subject", "litellm") + provider
            token = keys["ES256"].sign(claims(subject, list(who.get("roles", ("analyst",))), **who.get("claims", {})))
            for stream in (False, True):
                one = {"provider": provider, "url": site.proxy.url, "token": token, "text": text, "model": model, "stream": stream}
                questions += [one] * times
        all_answers = iter(answers(questions))
        return {(one["provider"], one["stream"]): next(all_answers) for one in questions}

    return ask


def test_an_answer_and_a_stream(ask):
    for asked, answer in ask().items():
        assert answer.get("text", "").strip() == TEXT, (asked, answer)


def test_an_answer_with_a_secret_in_it(ask):
    scripts.SAID[:], scripts.DEFAULT[0] = ["The key is ", KEY[:9], KEY[9:], ", keep ", "it."], "said"
    try:
        for asked, answer in ask().items():
            assert answer.get("text") == "The key is [SECRET_1], keep it.", (asked, answer)
    finally:
        scripts.DEFAULT[0] = "default"


def test_an_attack(ask):
    for asked, answer in ask(ATTACK).items():
        assert answer.get("status") == 400 and (asked == RAW or "BadRequestError" in answer["kinds"]), (asked, answer)
        assert ATTACK not in answer["message"]


def test_a_token_that_has_expired(ask):
    for asked, answer in ask(claims={"lifetime": -600}).items():
        assert answer.get("status") == 401, (asked, answer)
        assert asked == RAW or "AuthenticationError" in answer["kinds"], (asked, answer)


def test_too_many_requests(ask):
    got = ask(times=3, subject="guest-", roles=("guest",))
    for provider in PROVIDERS:
        answer = got[provider, True]
        assert answer.get("status") == 429, (provider, answer)
        assert (provider, True) == RAW or "RateLimitError" in answer["kinds"], (provider, answer)


def test_weak_mode(sites, keys):
    """All of it once more: an answer with a secret in it, an attack, an expired token and a spent quota, in one process."""
    site = sites("weak", change=every_provider)
    asked = []
    for provider in PROVIDERS:
        for stream in (False, True):
            for kind, text, roles, lifetime in (
                ("said", "hello", "analyst", 600), ("attack", ATTACK, "analyst", 600), ("expired", "hello", "analyst", -600),
                ("first", "hello", "guest", 600), ("second", "hello", "guest", 600), ("spent", "hello", "guest", 600),
            ):  # fmt: skip
                token = keys["ES256"].sign(claims(f"weak-{provider}-{stream}", [roles], lifetime=lifetime))
                asked.append((kind, {"provider": provider, "url": site.proxy.url, "token": token, "text": text, "model": MODEL, "stream": stream}))
    scripts.SAID[:], scripts.DEFAULT[0] = ["The key is ", KEY[:9], KEY[9:], ", keep ", "it."], "said"
    try:
        got = answers([question for _, question in asked])
    finally:
        scripts.DEFAULT[0] = "default"
    wanted = {"attack": (400, "BadRequestError"), "expired": (401, "AuthenticationError"), "spent": (429, "RateLimitError")}
    for (kind, question), answer in zip(asked, got):
        if kind in wanted:
            status, name = wanted[kind]
            raw = (question["provider"], question["stream"]) == RAW
            assert answer.get("status") == status and (raw or name in answer["kinds"]), (kind, question, answer)
        else:
            assert answer.get("text") == "The key is [SECRET_1], keep it.", (kind, question, answer)
