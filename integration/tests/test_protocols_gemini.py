"""Google's own SDK through the filter, and Anthropic's as Vertex AI serves it: an answer and a stream read as ever, and a
refusal is the exception that its callers branch on."""

import httpx
import pytest
from google import genai
from google.genai import errors, types

from conftest import ATTACK
from harness import upstream as scripts
from harness.providers import TEXT
from harness.tokens import claims

MODEL = "smollm2"
KEY = "AKIAQ7EXAMPL3TE5TKXQ"
MAIL = "jane@example.org"
PATH = f"/v1beta/models/{MODEL}:generateContent"
BODY = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


def google(document: dict) -> None:
    document["authn"]["tokenFrom"] = ["authorization", "x-api-key", "x-goog-api-key"]
    document["routes"] = [{"match": {"pathPrefix": prefix}, "protocol": "gemini"} for prefix in ("/v1beta/", "/v1/", "/v1beta1/")]
    for role in ("analyst", "guest"):
        document["roles"][role]["operations"] = ["chat", "models", "embeddings", "countTokens"]
    document["guards"]["standard"].update(pii={"action": "mask"})
    document.setdefault("audit", {})["usage"] = True


def withholding(document: dict) -> None:
    google(document)
    document["guards"]["standard"]["output"] = {"secrets": "block"}


def capped(document: dict) -> None:
    google(document)
    document["roles"]["analyst"]["maxOutputTokens"] = 20
    document["roles"]["analyst"].pop("quotas")


@pytest.fixture
def site(sites, mode):
    return sites(mode, change=google)


@pytest.fixture
def says():
    def say(*pieces: str) -> None:
        scripts.SAID[:], scripts.DEFAULT[0] = pieces, "said"

    yield say
    scripts.DEFAULT[0] = "default"


def client(site, subject: str = "google", roles: tuple[str, ...] = ("analyst",), case: str = "", version: str | None = None, **more) -> genai.Client:
    headers = {"x-case": case} if case else {}
    options = types.HttpOptions(base_url=site.proxy.url, api_version=version, headers=headers, timeout=60_000)
    return genai.Client(api_key=site.keys["ES256"].sign(claims(subject, list(roles), **more)), http_options=options)


def ask(sdk: genai.Client, text: str = "hello", model: str = MODEL, **config):
    return sdk.models.generate_content(model=model, contents=text, config=config or None)


def stream(sdk: genai.Client, text: str = "hello", model: str = MODEL, **config) -> list:
    return list(sdk.models.generate_content_stream(model=model, contents=text, config=config or None))


def refused(call, code: int, status: str) -> errors.ClientError:
    with pytest.raises(errors.ClientError) as caught:
        call()
    assert (caught.value.code, caught.value.status) == (code, status) and caught.value.message
    return caught.value


def test_an_answer_and_a_stream(site):
    sdk = client(site)
    reply = ask(sdk, "What is a bartizan?", system_instruction="Be brief.", temperature=0.2)
    assert reply.text.strip() == TEXT and reply.usage_metadata.thoughts_token_count == 3
    events = stream(sdk, "What is a bartizan?")
    assert "".join(event.text for event in events).strip() == TEXT
    assert events[-1].candidates[0].finish_reason == types.FinishReason.STOP


def test_what_is_refused_raises_what_callers_branch_on(site):
    sdk = client(site)
    for send in (ask, stream):
        assert ATTACK not in str(refused(lambda: send(sdk, ATTACK), 400, "INVALID_ARGUMENT"))
        refused(lambda: send(sdk, model="gpt-4o"), 403, "PERMISSION_DENIED")
        refused(lambda: send(client(site, lifetime=-600)), 401, "UNAUTHENTICATED")


def test_too_many_requests(site):
    sdk = client(site, f"guest-{site.proxy.port}", roles=("guest",))
    ask(sdk), ask(sdk)
    error = refused(lambda: ask(sdk), 429, "RESOURCE_EXHAUSTED")
    assert any("retryDelay" in detail for detail in error.details["error"]["details"])


def test_values_are_masked_in_both_directions(site, says):
    says("The key is ", KEY[:9], KEY[9:], ", keep ", "it.")
    sdk = client(site, case=f"masked-{site.proxy.port}")
    assert ask(sdk, f"Write to {MAIL}.").text == "The key is [SECRET_1], keep it."
    sent = site.upstream.seen(f"masked-{site.proxy.port}")[-1]
    assert MAIL not in bytes(sent.body).decode() and b"[EMAIL_1]" in bytes(sent.body)
    assert "".join(event.text or "" for event in stream(sdk)) == "The key is [SECRET_1], keep it."


def test_an_answer_that_is_withheld(sites, mode, says):
    says("One ", "two ", KEY, " three.")
    sdk = client(sites(mode, change=withholding))
    if mode == "strong":
        refused(lambda: ask(sdk), 400, "INVALID_ARGUMENT")
    else:
        reply = ask(sdk)
        assert reply.candidates[0].finish_reason == types.FinishReason.SAFETY and not reply.text
    events = stream(sdk)
    assert "".join(event.text or "" for event in events).strip() == "One two"
    assert events[-1].candidates[0].finish_reason == types.FinishReason.SAFETY


def test_a_cap(sites, says):
    site = sites("weak", change=capped)
    words = [f"word{number} " for number in range(600)]
    says(*words)
    events = stream(client(site, case="capped"), max_output_tokens=4096)
    assert events[-1].candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    assert len("".join(event.text or "" for event in events)) < len("".join(words)) / 2
    assert site.upstream.seen("capped")[-1].json()["generationConfig"]["maxOutputTokens"] == 20


def test_the_operations_without_an_answer_in_words(site):
    sdk = client(site)
    assert sdk.models.count_tokens(model=MODEL, contents="hello").total_tokens == 7
    refused(lambda: sdk.models.count_tokens(model=MODEL, contents=ATTACK), 400, "INVALID_ARGUMENT")
    assert sdk.models.embed_content(model=MODEL, contents=["hello"]).embeddings[0].values == [0.25, 0.5]
    refused(lambda: sdk.models.embed_content(model=MODEL, contents=[ATTACK]), 400, "INVALID_ARGUMENT")
    older = client(site, version="v1beta")
    assert [model.name for model in older.models.list()] == [f"models/{MODEL}"]


def test_a_key_in_the_query_is_the_credential_and_goes_no_further(site):
    token = site.token("query")

    def post(query: str, **headers) -> httpx.Response:
        return httpx.post(f"{site.proxy.url}{PATH}{query}", json=BODY, headers={"x-case": f"query-{site.proxy.port}", **headers}, timeout=60)

    for query in (f"?key={token}", f"?alt=json&key={token}", f"?%6bey={token}", f"?access_token={token}"):
        assert post(query).status_code == 200, query
        seen = site.upstream.seen(f"query-{site.proxy.port}")[-1]
        assert token not in seen.path.decode() and seen.header("x-goog-api-key") is None
    assert seen.path.decode() == PATH
    for query, headers in (
        (f"?key={token}&key={token}", {}), (f"?key={token}&%6Bey=x", {}), (f"?key={token}", {"x-goog-api-key": token}),
        (f"?key={token}", {"authorization": f"Bearer {token}"}),
    ):  # fmt: skip
        reply = post(query, **headers)
        assert (reply.status_code, reply.headers["x-bartizan-reason"]) == (400, "jwt.ambiguous"), query
    assert post("?key=AIzaSyA0123456789").status_code == 401
    assert token not in site.proxy.log()


def test_vertex_answers_and_embeds(site):
    """Google's own SDK in the mode for Vertex AI: older models of embeddings are asked by "predict"."""
    from google.oauth2.credentials import Credentials

    held = Credentials(site.token("vertex"))
    sdk = genai.Client(vertexai=True, project="p", location="l", credentials=held,
                       http_options=types.HttpOptions(base_url=site.proxy.url, headers={"x-case": "vertex-sdk"}, timeout=60_000))  # fmt: skip
    assert ask(sdk).text.strip() == TEXT
    got = sdk.models.embed_content(model=MODEL, contents=["hello", "a wall"])
    assert [(one.values, one.statistics.token_count) for one in got.embeddings] == [([0.25, 0.5], 3)] * 2
    assert site.upstream.seen("vertex-sdk")[-1].path.decode().endswith(":predict")
    refused(lambda: sdk.models.embed_content(model=MODEL, contents=["hello", ATTACK]), 400, "INVALID_ARGUMENT")
    refused(lambda: sdk.models.embed_content(model="other", contents=["hello"]), 403, "PERMISSION_DENIED")


def test_vertex_serves_other_makers(site):
    """Anthropic's SDK for Vertex AI reads Anthropic's words, of the answer and of a refusal."""
    import anthropic

    url = f"{site.proxy.url}/v1"
    sdk = anthropic.AnthropicVertex(region="l", project_id="p", access_token=site.token("vertex"), base_url=url, max_retries=0)
    asked = {"model": MODEL, "max_tokens": 64}
    assert sdk.messages.create(**asked, messages=[{"role": "user", "content": "hello"}]).content[0].text.strip() == TEXT
    with sdk.messages.stream(**asked, messages=[{"role": "user", "content": "hello"}]) as events:
        assert "".join(events.text_stream).strip() == TEXT
    with pytest.raises(anthropic.BadRequestError):
        sdk.messages.create(**asked, messages=[{"role": "user", "content": ATTACK}])
    with pytest.raises(anthropic.PermissionDeniedError):
        sdk.messages.create(**{**asked, "model": "claude-x"}, messages=[{"role": "user", "content": "hello"}])
    gemini = f"{url}/projects/p/locations/l/publishers/google/models/{MODEL}:generateContent"
    headers = {"authorization": f"Bearer {site.token('vertex')}"}
    assert httpx.post(gemini, json=BODY, headers=headers, timeout=60).status_code == 200
    other = f"{url}/projects/p/locations/l/publishers/other/models/{MODEL}:rawPredict"
    assert httpx.post(other, json=BODY, headers=headers, timeout=60).status_code == 404
