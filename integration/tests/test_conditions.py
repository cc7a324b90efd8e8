"""Conditions: a role for some requests, a guard for one model, a quota for streams."""

import pytest

from conftest import Site, user
from harness.tokens import claims
from harness.wires import MODEL

ADDRESS = "Write to alice@example.com."


def conditional(document: dict) -> None:
    analyst = document["roles"]["analyst"]
    analyst.update(operations=["chat"], models=["*"], guard="careful")
    analyst["when"] = "request.headers['x-office'] == 'open' && principal.claims.level >= 2"
    analyst["quotas"] = [{"per": "subject", "requests": 2, "window": "1h", "when": "request.stream"}]
    document["guards"]["careful"] = {"pii": {"action": "mask"}, "when": f"model == '{MODEL}'"}


@pytest.fixture
def site(sites, mode) -> Site:
    return sites(mode, change=conditional)


def openai_of(site: Site, subject: str, level: int | None = 2, office: str | None = "open", case: str = "none"):
    import openai

    signed = claims(subject, ["analyst"]) | ({} if level is None else {"level": level})
    headers = {"x-case": case} | ({} if office is None else {"x-office": office})
    url, key = f"{site.proxy.url}/v1", site.keys["ES256"].sign(signed)
    return openai.OpenAI(base_url=url, api_key=key, max_retries=0, timeout=60, default_headers=headers).chat.completions


@pytest.mark.parametrize("level, office", [(1, "open"), (None, "open"), (2, "closed"), (2, None)])
def test_a_role_for_some_requests(site, level, office):
    import openai

    asked = {"model": MODEL, "messages": [user("Hi.")]}
    assert openai_of(site, "bob").create(**asked).choices
    with pytest.raises(openai.PermissionDeniedError) as caught:
        openai_of(site, "bob", level, office).create(**asked)
    assert caught.value.response.headers["x-bartizan-reason"] == "rbac.condition"


def test_a_guard_for_one_model(site):
    for model, masked in ((MODEL, True), (f"{MODEL}-other", False)):
        case = f"conditions-{site.mode}-{model}"
        openai_of(site, "carol", case=case).create(model=model, messages=[user(ADDRESS)])
        [message] = site.upstream.seen(case)[-1].json()["messages"]
        assert ("alice@example.com" not in message["content"]) == masked, message


def test_a_quota_for_streams(site):
    import openai

    sdk = openai_of(site, f"dave-{site.mode}")
    asked = {"model": MODEL, "messages": [user("Hi.")]}
    for _ in range(4):
        assert sdk.create(**asked).choices
    for _ in range(2):
        assert list(sdk.create(**asked, stream=True))
    with pytest.raises(openai.RateLimitError) as caught:
        sdk.create(**asked, stream=True)
    assert caught.value.response.headers["x-bartizan-reason"] == "quota.requests"
    assert sdk.create(**asked).choices


def deepest() -> str:
    """Every bracket that the language takes, and in as many as may be every operator that waits for its right side."""
    text = f"{'(' * 20}1 < 2{')' * 20}"
    for _ in range(6):
        text = f"true||true&&1<1+1*-(({text})?1:0)"
    return text


def nested(document: dict) -> None:
    document["roles"]["analyst"] |= {"operations": ["chat"], "models": ["*"], "when": f"{deepest()} || request.stream"}
    document["roles"]["analyst"]["quotas"] = [{"per": "subject", "requests": 9, "window": "1h", "when": "[" * 32 + "]" * 32 + " == []"}]


def test_what_nests_deepest_has_room_on_the_stack(sites, mode):
    site = sites(mode, change=nested)
    assert openai_of(site, "erin").create(model=MODEL, messages=[user("Hi.")]).choices
