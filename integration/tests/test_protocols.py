"""Each provider's own SDK through the filter: an answer and a stream read as ever, and a refusal is the
exception that its callers branch on."""

import httpx
import pytest

from conftest import ATTACK, user
from harness import upstream as scripts
from harness.client import H1
from harness.providers import TEXT
from harness.tokens import claims
from harness.wait import eventually

MODEL = "smollm2"


def every_provider(document: dict) -> None:
    document["authn"]["tokenFrom"] = ["authorization", "x-api-key"]
    document["routes"] = [
        {"match": {"pathPrefix": "/v1/"}, "protocol": "openai"},
        {"match": {"pathPrefix": "/v1/"}, "protocol": "anthropic"},
        {"match": {"pathPrefix": "/api/"}, "protocol": "ollama"},
        {"match": {"pathPrefix": "/v2/"}, "protocol": "cohere"},
        {"match": {"pathPrefix": "/openai/"}, "protocol": "openai", "dialect": "azure"},
        {"match": {"path": "/hf"}, "protocol": "tgi", "operation": "generate"},
        {"match": {"path": "/generate"}, "protocol": "tgi"},
    ]
    analyst = document["roles"]["analyst"]
    analyst["operations"] = [
        "chat", "models", "generate", "completions", "responses", "embeddings", "moderations", "countTokens", "modelCard", "rerank",
    ]  # fmt: skip
    document.setdefault("audit", {})["usage"] = True
    guest = document["roles"]["guest"]
    guest["operations"] = analyst["operations"]
    guest["models"] = [*guest["models"], "default"]


@pytest.fixture(scope="module", params=["strong", "weak"])
def site(request, sites):
    return sites(request.param, change=every_provider)


def anthropic_sdk(url: str, token: str):
    import anthropic

    client = anthropic.Anthropic(base_url=url, api_key=token, max_retries=0, timeout=60)

    def ask(text: str, model: str = MODEL, stream: bool = False, ended=("end_turn",), **_) -> str:
        arguments = {"model": model, "max_tokens": 64, "messages": [user(text)]}
        if not stream:
            reply = client.messages.create(**arguments)
            assert reply.usage.output_tokens == 13
            return reply.content[0].text
        with client.messages.stream(**arguments) as events:
            said = "".join(events.text_stream)
            assert events.get_final_message().stop_reason in ended
        return said

    errors = {
        400: anthropic.BadRequestError, 401: anthropic.AuthenticationError, 403: anthropic.PermissionDeniedError,
        429: anthropic.RateLimitError,
    }  # fmt: skip
    kinds = {400: "invalid_request_error", 401: "authentication_error", 403: "not_found_error", 429: "rate_limit_error"}

    def right(error, status: int) -> bool:
        named = error.request_id and error.body["request_id"] == error.request_id
        return type(error) is errors[status] and error.body["error"]["type"] == kinds[status] and bool(named)

    return ask, right


def openai_with(call, said, streamed):
    """A way to ask with the OpenAI SDK: `call` sends, `said` and `streamed` read what came."""

    def make(url: str, token: str):
        import openai

        client = openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=60)
        errors = {
            400: openai.BadRequestError, 401: openai.AuthenticationError, 403: openai.PermissionDeniedError,
            429: openai.RateLimitError,
        }  # fmt: skip
        codes = {400: "content_filter", 401: "invalid_api_key", 403: "model_not_found", 429: "rate_limit_exceeded"}

        def ask(text: str, model: str = MODEL, stream: bool = False, **_) -> str:
            reply = call(client, text, model, **({"stream": True} if stream else {}))
            return streamed(reply) if stream else said(reply)

        return ask, lambda error, status: type(error) is errors[status] and error.code == codes[status]

    return make


openai_chat = openai_with(
    lambda client, text, model, **more: client.chat.completions.create(model=model, messages=[user(text)], **more),
    lambda reply: reply.choices[0].message.content,
    lambda chunks: "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices),
)
openai_completions = openai_with(
    lambda client, text, model, **more: client.completions.create(model=model, prompt=text, **more),
    lambda reply: reply.choices[0].text,
    lambda chunks: "".join(chunk.choices[0].text for chunk in chunks),
)
openai_responses = openai_with(
    lambda client, text, model, **more: client.responses.create(model=model, input=text, **more),
    lambda reply: reply.output_text,
    lambda events: "".join(event.delta for event in events if event.type == "response.output_text.delta"),
)


def ollama_chat(url: str, token: str):
    import ollama

    client = ollama.Client(host=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def ask(text: str, model: str = MODEL, stream: bool = False, **_) -> str:
        reply = client.chat(model=model, messages=[user(text)], stream=stream)
        return "".join(part.message.content for part in reply) if stream else reply.message.content

    return ask, lambda error, status: type(error) is ollama.ResponseError and error.status_code == status and error.error


def ollama_generate(url: str, token: str):
    import ollama

    client = ollama.Client(host=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def ask(text: str, model: str = MODEL, stream: bool = False, **_) -> str:
        reply = client.generate(model=model, prompt=text, stream=stream)
        return "".join(part.response for part in reply) if stream else reply.response

    return ask, lambda error, status: type(error) is ollama.ResponseError and error.status_code == status


def hub_generate(url: str, token: str):
    from huggingface_hub import InferenceClient
    from huggingface_hub.errors import HfHubHTTPError, OverloadedError, ValidationError

    client = InferenceClient(model=f"{url}/hf", token=token, timeout=60)
    errors = {400: ValidationError, 401: HfHubHTTPError, 429: OverloadedError}

    def ask(text: str, model: str = MODEL, stream: bool = False, **_) -> str:
        reply = client.text_generation(text, max_new_tokens=20, stream=stream)
        return "".join(reply) if stream else reply

    return ask, lambda error, status: type(error) is errors[status]


def hub_chat(url: str, token: str):
    from huggingface_hub import InferenceClient
    from huggingface_hub.errors import HfHubHTTPError

    client = InferenceClient(base_url=f"{url}/v1", token=token, timeout=60)

    def ask(text: str, model: str = MODEL, stream: bool = False, **_) -> str:
        reply = client.chat_completion([user(text)], model=model, max_tokens=20, stream=stream)
        if stream:
            return "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)
        return reply.choices[0].message.content

    return ask, lambda error, status: isinstance(error, HfHubHTTPError) and error.response.status_code == status


def langchain_openai(url: str, token: str):
    import openai
    from langchain_openai import ChatOpenAI

    def ask(text: str, model: str = MODEL, stream: bool = False, **_) -> str:
        chat = ChatOpenAI(model=model, base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=60)
        return "".join(part.text for part in chat.stream(text)) if stream else chat.invoke(text).text

    return ask, lambda error, status: isinstance(error, openai.APIStatusError) and error.status_code == status


def langchain_anthropic(url: str, token: str):
    import anthropic
    from langchain_anthropic import ChatAnthropic

    def ask(text: str, model: str = MODEL, stream: bool = False, **_) -> str:
        chat = ChatAnthropic(model=model, base_url=url, api_key=token, max_retries=0, timeout=60, max_tokens=64)
        return "".join(part.text for part in chat.stream(text)) if stream else chat.invoke(text).text

    return ask, lambda error, status: isinstance(error, anthropic.APIStatusError) and error.status_code == status


def azure_chat(url: str, token: str):
    import openai

    client = openai.AzureOpenAI(
        azure_endpoint=url, azure_ad_token=token, api_version="2024-10-21", max_retries=0, timeout=60
    )
    errors = {
        400: openai.BadRequestError, 401: openai.AuthenticationError, 403: openai.PermissionDeniedError,
        429: openai.RateLimitError,
    }  # fmt: skip

    def ask(text: str, model: str = MODEL, stream: bool = False, **_) -> str:
        reply = client.chat.completions.create(model=model, messages=[user(text)], stream=stream)
        if not stream:
            assert reply.prompt_filter_results[0]["content_filter_results"]["jailbreak"]["detected"] is False
            return reply.choices[0].message.content
        chunks = list(reply)
        assert len({chunk.id for chunk in chunks if chunk.choices}) == 1, "events of ours repeat the id"
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)

    def right(error, status: int) -> bool:
        if status == 400 and not (error.code == "content_filter" and error.body["innererror"]["content_filter_result"]):
            return False
        return type(error) is errors[status]

    return ask, right


def cohere_chat(url: str, token: str):
    import cohere
    from cohere.core.request_options import RequestOptions

    client = cohere.ClientV2(api_key=token, base_url=url, timeout=60)
    once = RequestOptions(max_retries=0)
    errors = {
        400: cohere.BadRequestError, 401: cohere.UnauthorizedError, 403: cohere.ForbiddenError, 429: cohere.TooManyRequestsError,
    }  # fmt: skip

    def ask(text: str, model: str = MODEL, stream: bool = False, ended=("COMPLETE",), **_) -> str:
        asked = {"model": model, "messages": [user(text)], "request_options": once}
        if not stream:
            reply = client.chat(**asked)
            assert (reply.finish_reason, reply.usage.tokens.output_tokens) == ("COMPLETE", 13)
            return reply.message.content[0].text
        events = list(client.chat_stream(**asked))
        last = events[-1]
        assert last.type == "message-end" and last.delta.finish_reason in ended
        return "".join(event.delta.message.content.text for event in events if event.type == "content-delta")

    return ask, lambda error, status: type(error) is errors[status] and list(error.body) == ["message"]


SDKS = [
    anthropic_sdk, openai_chat, openai_completions, openai_responses, ollama_chat, ollama_generate, hub_generate, hub_chat,
    langchain_openai, langchain_anthropic, cohere_chat, azure_chat,
]  # fmt: skip
NAMES = [
    "anthropic", "openai-chat", "openai-completions", "openai-responses", "ollama-chat", "ollama-generate", "hub-generate",
    "hub-chat", "langchain-openai", "langchain-anthropic", "cohere-chat", "azure-chat",
]  # fmt: skip


@pytest.fixture(params=list(zip(NAMES, SDKS)), ids=NAMES)
def sdk(request, site, keys):
    """Asks as this subject with these roles; the second of the pair tells whether an exception is the right one."""
    name, make = request.param

    def open(subject: str = f"{name}-alice", roles: tuple[str, ...] = ("analyst",), **more):
        return make(site.proxy.url, keys["ES256"].sign(claims(subject, list(roles), **more)))

    open.name = name
    return open


def refused(sdk, status: int, text: str = "hello", times: int = 1, stream: bool = False, **more) -> None:
    client = {key: more.pop(key) for key in list(more) if key in ("subject", "roles", "lifetime")}
    ask, right = sdk(**client)
    for _ in range(times - 1):
        ask(text)
    with pytest.raises(Exception) as caught:
        ask(text, stream=stream, **more)
    assert right(caught.value, status), repr(caught.value)
    assert text == "hello" or text not in str(caught.value)


def test_an_answer_and_a_stream(sdk):
    ask, _ = sdk()
    assert ask("What is a bartizan?").strip() == TEXT
    assert ask("What is a bartizan?", stream=True).strip() == TEXT


def test_an_attack(sdk):
    refused(sdk, 400, ATTACK)
    refused(sdk, 400, ATTACK, stream=True)


KEY = "AKIAQ7EXAMPL3TE5TKXQ"


@pytest.fixture
def says():
    """What the model says to every request from here on."""

    def say(*pieces: str) -> None:
        scripts.SAID[:], scripts.DEFAULT[0] = pieces, "said"

    yield say
    scripts.DEFAULT[0] = "default"


def test_an_answer_with_a_secret_in_it(sdk, says):
    says("The key is ", KEY[:9], KEY[9:], ", keep ", "it.")
    ask, _ = sdk()
    assert ask("hello") == "The key is [SECRET_1], keep it."
    assert ask("hello", stream=True) == "The key is [SECRET_1], keep it."


def withholding(document: dict) -> None:
    every_provider(document)
    document["guards"]["standard"]["output"] = {"secrets": "block"}


@pytest.mark.parametrize("make", SDKS, ids=NAMES)
def test_an_answer_that_is_withheld(make, sites, says, keys):
    """Whole: the exception of a content filter. As a stream: it ends as a filter's does, without the secret."""
    site = sites("strong", change=withholding)
    ask, right = make(site.proxy.url, keys["ES256"].sign(claims("withheld", ["analyst"])))
    says("One ", "two ", KEY, " three.")
    with pytest.raises(Exception) as caught:
        ask("hello")
    assert right(caught.value, 400), repr(caught.value)
    try:
        said = ask("hello", stream=True, ended=("refusal", "content_filter", "ERROR"))
    except Exception as error:
        from huggingface_hub.errors import IncompleteGenerationError

        assert make is hub_generate and isinstance(error, IncompleteGenerationError), repr(error)
    else:
        assert said.strip() == "One two"


def capped(document: dict) -> None:
    every_provider(document)
    document["roles"]["analyst"]["maxOutputTokens"] = 20
    document["roles"]["analyst"].pop("quotas")


@pytest.mark.parametrize("make", SDKS, ids=NAMES)
def test_a_stream_far_beyond_its_cap_ends_as_the_model_would_end_it(make, sites, says, keys):
    """The upstream does not care about its cap: every SDK gets an end that it understands, and at most the beginning."""
    site = sites("weak", change=capped)
    ask, _ = make(site.proxy.url, keys["ES256"].sign(claims("capped", ["analyst"])))
    words = [f"word{number} " for number in range(600)]
    says(*words)
    ended = lambda: site.proxy.log().count('"bartizan.reason":"reply.tokens"')
    before = ended()
    try:
        said = ask("hello", stream=True, ended=("max_tokens", "MAX_TOKENS"))
    except Exception as error:
        from huggingface_hub.errors import IncompleteGenerationError

        # TGI's words for it, which its SDK raises.
        assert make is hub_generate and isinstance(error, IncompleteGenerationError), repr(error)
    else:
        assert "".join(words).startswith(said.strip()) and len(said) < len("".join(words)) / 2, said[-60:]
    eventually(lambda: ended() != before, "the record says why the stream was ended")


def test_a_token_that_has_expired(sdk):
    refused(sdk, 401, lifetime=-600)


def test_a_model_that_is_not_allowed(sdk):
    if sdk.name == "hub-generate":  # the API names no model
        return
    refused(sdk, 403, model="gpt-4o")


def test_too_many_requests(sdk, site):
    refused(sdk, 429, times=3, subject=f"{sdk.name}-guest", roles=("guest",))


def test_the_apis_without_an_answer_in_words(site):
    """Embeddings, moderations, counts of tokens and lists of models: the value, or the SDK's own exception."""
    import anthropic
    import cohere
    import ollama
    import openai

    token = site.token("wordless")
    sdk = openai.OpenAI(base_url=f"{site.proxy.url}/v1", api_key=token, max_retries=0, timeout=60)
    claude = anthropic.Anthropic(base_url=site.proxy.url, api_key=token, max_retries=0, timeout=60)
    llama = ollama.Client(host=site.proxy.url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    assert sdk.embeddings.create(model=MODEL, input=["hello"], encoding_format="float").data[0].embedding == [0.25, 0.5]
    assert sdk.moderations.create(model=MODEL, input="hello").results[0].flagged is False
    assert claude.messages.count_tokens(model=MODEL, messages=[user("hello")]).input_tokens == 7
    command = cohere.ClientV2(api_key=token, base_url=site.proxy.url, timeout=60)
    embed = {"model": MODEL, "input_type": "search_document", "embedding_types": ["float"]}
    assert command.embed(texts=["hello"], **embed).embeddings.float_ == [[0.25, 0.5]]
    assert command.rerank(model=MODEL, query="hello", documents=["A tower."]).results[0].index == 0
    assert llama.list().models[0].model == MODEL and llama.show(MODEL).details.family == "llama"
    for call, error in (
        (lambda: sdk.embeddings.create(model=MODEL, input=[ATTACK]), openai.BadRequestError),
        (lambda: sdk.moderations.create(model=MODEL, input=ATTACK), openai.BadRequestError),
        (lambda: claude.messages.count_tokens(model=MODEL, messages=[user(ATTACK)]), anthropic.BadRequestError),
        (lambda: command.embed(texts=[ATTACK], **embed), cohere.BadRequestError),
        (lambda: command.rerank(model=MODEL, query=ATTACK, documents=["A tower."]), cohere.BadRequestError),
        (lambda: sdk.embeddings.create(model="gpt-4o", input=["hello"]), openai.PermissionDeniedError),
    ):
        with pytest.raises(error):
            call()


def test_what_the_upstream_reads(site):
    """Caps are injected where each API has them, tools and stored state are decided by the policy."""
    url, headers = site.proxy.url, {"authorization": f"Bearer {site.token()}"}

    def post(path: str, body: dict, **more) -> httpx.Response:
        return httpx.post(url + path, json=body, headers={**headers, "x-case": path, **more}, timeout=60)

    def sent(path: str) -> dict:
        return site.upstream.seen(path)[-1].json()

    cap = site.policy["roles"]["analyst"]["maxOutputTokens"]
    assert post("/v1/messages", {"model": MODEL, "max_tokens": 99999, "messages": [user("hi")]}).status_code == 200
    assert sent("/v1/messages")["max_tokens"] == cap
    assert post("/v1/responses", {"model": MODEL, "input": "hi"}).status_code == 200
    assert sent("/v1/responses")["max_output_tokens"] == cap
    assert post("/api/chat", {"model": MODEL, "messages": [user("hi")], "options": {"num_predict": -1}}).status_code == 200
    assert sent("/api/chat")["options"] == {"num_predict": cap}
    assert post("/api/generate", {"model": MODEL, "prompt": "hi", "options": None}).status_code == 200
    assert sent("/api/generate")["options"] == {"num_predict": cap}
    assert post("/v2/chat", {"model": MODEL, "messages": [user("hi")]}).status_code == 200
    assert sent("/v2/chat")["max_tokens"] == cap
    assert post("/generate", {"inputs": "hi"}).status_code == 200
    assert sent("/generate")["parameters"] == {"max_new_tokens": cap}

    def refused(path: str, body: dict, status: int, reason: str) -> None:
        reply = post(path, body)
        assert (reply.status_code, reply.headers.get("x-bartizan-reason")) == (status, reason), reply.text

    stored = {"model": MODEL, "input": "go on", "previous_response_id": "resp_0"}
    refused("/v1/responses", stored, 400, "body.unscanned")
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    refused("/v1/messages", {"model": MODEL, "max_tokens": 9, "messages": [user("hi")], "tools": tools}, 403, "rbac.tool")
    refused("/v1/responses", {"model": MODEL, "input": "hi", "tools": [{"type": "web_search"}]}, 403, "rbac.tool")
    refused("/api/pull", {"model": MODEL}, 404, "route.unmatched")
    refused("/v1/files", {}, 403, "rbac.operation")
    for path, body in {
        "/v1/embeddings": {"model": MODEL, "input": [ATTACK]},
        "/v1/moderations": {"model": MODEL, "input": ATTACK},
        "/v1/messages": {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": [{"type": "text", "text": ATTACK}]}]},
        "/v1/responses": {"model": MODEL, "input": [{"type": "hologram", "beam": ATTACK}]},
        "/api/generate": {"model": MODEL, "prompt": "hi", "suffix": ATTACK},
        "/generate": {"inputs": "hi", "parameters": {"stop": [ATTACK]}},
    }.items():
        refused(path, body, 400, "scan.injection")


def test_azures_version_of_the_api_reaches_it(site):
    """The query is the provider's; the deployment in the path is the model, whatever the body says."""
    path = f"/openai/deployments/{MODEL}/chat/completions?api-version=2024-10-21"
    got = site.send(H1, {"model": "gpt-4o", "messages": [user("hi")]}, path=path)
    assert got.reply.status == 200, got
    assert got.one.path == path.encode() and got.audit["gen_ai.request.model"] == MODEL
    refused = site.send(H1, {"messages": [user("hi")]}, path=path.replace(MODEL, "gpt-4o"))
    assert (refused.reply.status, refused.reply.reason) == (403, "rbac.model")


USAGE = {
    "chat": ("/v1/chat/completions", {"messages": [user("hi")]}, (11, 13)),
    "completions": ("/v1/completions", {"prompt": "hi"}, (11, 13)),
    "responses": ("/v1/responses", {"input": "hi"}, (11, 13)),
    "embeddings": ("/v1/embeddings", {"input": "hi"}, (3, 0)),
    "messages": ("/v1/messages", {"max_tokens": 9, "messages": [user("hi")]}, (15, 13)),
    "ollama-chat": ("/api/chat", {"messages": [user("hi")]}, (11, 13)),
    "ollama-generate": ("/api/generate", {"prompt": "hi"}, (11, 13)),
    "tgi": ("/hf", {"inputs": "hi"}, (11, 13)),
    "cohere-chat": ("/v2/chat", {"messages": [user("hi")]}, (11, 13)),
}


# Embeddings have no stream.
COSTS = [(name, stream) for name in USAGE for stream in (False, True) if not (stream and name == "embeddings")]


@pytest.mark.parametrize("name,stream", COSTS, ids=[f"{name}-{'stream' if stream else 'whole'}" for name, stream in COSTS])
def test_what_a_reply_cost(site, name, stream):
    path, body, counts = USAGE[name]
    named = {} if path == "/hf" else {"model": MODEL}
    got = site.send(H1, {**named, **body, "stream": stream}, path=path)
    assert got.reply.status == 200, got
    assert (got.audit["gen_ai.usage.input_tokens"], got.audit["gen_ai.usage.output_tokens"]) == counts
    assert b'"choices": []' not in got.reply.body, "the client did not ask for it"
    asks = stream and path.endswith("completions")
    assert got.one.json().get("stream_options") == ({"include_usage": True} if asks else None)
    if asks:
        wanted = {**named, **body, "stream": True, "stream_options": {"include_usage": True}}
        assert b'"choices": []' in site.send(H1, wanted, path=path).reply.body


def forms(document: dict) -> None:
    every_provider(document)
    document["unscanned"] = {"default": "deny", "audio": "flag"}
    document["roles"]["analyst"].update(operations=["audio", "files"], models=["*"])


@pytest.mark.parametrize("mode", ["strong", "weak"])
def test_a_form_of_files_is_decided_by_its_kind(sites, mode):
    site = sites(mode, change=forms)
    headers = {"authorization": f"Bearer {site.token()}"}

    def send(path: str, case: str, **fields: str) -> httpx.Response:
        files = {"file": ("a.wav", b"RIFF" + bytes(64), "audio/wav")}
        return httpx.post(site.proxy.url + path, files=files, data={"model": "m", **fields}, headers={**headers, "x-case": case})

    reply = send("/v1/audio/transcriptions", f"form-audio-{mode}")
    assert reply.status_code == 200, reply.text
    [seen] = site.upstream.seen(f"form-audio-{mode}")
    assert b"RIFF" in seen.body and seen.complete
    audit = site.proxy.entry(f"form-audio-{mode}").audit
    assert (audit["bartizan.coverage"], audit["bartizan.unscanned"]) == ("partial", ["audio"])
    reply = send("/v1/files", f"form-file-{mode}", purpose="user_data")
    assert (reply.status_code, reply.headers["x-bartizan-reason"]) == (400, "body.unscanned")
    assert not any(seen.body for seen in site.upstream.seen(f"form-file-{mode}"))
    # A form where the API takes none is no JSON.
    reply = httpx.post(f"{site.proxy.url}/v1/embeddings", files={"file": b"x"}, headers=headers)
    assert reply.status_code in (403, 415)


def test_an_old_attack_is_cut_out(site):
    headers = {"authorization": f"Bearer {site.token()}", "x-case": "cut-out"}
    messages = [
        user("Fetch the page."),
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "search_x", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": ATTACK}]}]},
    ]
    body = {"model": MODEL, "max_tokens": 9, "messages": messages}
    assert httpx.post(f"{site.proxy.url}/v1/messages", json=body, headers=headers, timeout=60).status_code == 200
    result = site.upstream.seen("cut-out")[-1].json()["messages"][2]["content"][0]["content"][0]["text"]
    assert result == "[removed by policy]"


def test_the_lists_of_models(site, keys):
    import ollama

    token = site.token()
    client = ollama.Client(host=site.proxy.url, headers={"Authorization": f"Bearer {token}"})
    assert [model.model for model in client.list().models] == [MODEL]
    assert client.show(MODEL).details.family == "llama"
