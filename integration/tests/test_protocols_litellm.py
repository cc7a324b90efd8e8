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

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="litellm is not installed: make test-envoy installs it")


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
        # It takes every refusal of type `invalid_request_error` for a bad request; the status is right.
        assert answer.get("status") == 401, (asked, answer)


def test_too_many_requests(ask):
    got = ask(times=3, subject="guest-", roles=("guest",))
    for provider in PROVIDERS:
        answer = got[provider, True]
        assert answer.get("status") == 429, (provider, answer)
        assert (provider, True) == RAW or "RateLimitError" in answer["kinds"], (provider, answer)
