"""The kinds of requests. Each function makes one request (or a sequence that must go out in order)."""

import gzip
import hashlib
import hmac
import json
import zlib
from collections.abc import Callable

from harness.client import Call
from harness.tokens import b64, claims, forged, tampered

from .world import ATTACKS, MAX_BODY, SECRETS, World

Kind = Callable[[World], list[Call]]
KINDS: dict[str, Kind] = {}

CHAT, MODELS, GENERIC = "/v1/chat/completions", "/v1/models", "/llm"


def kind(function: Callable) -> Callable:
    def make(world: World) -> list[Call]:
        made = function(world)
        return made if isinstance(made, list) else [made]

    KINDS[function.__name__] = make
    return function


def user(text) -> dict:
    return {"role": "user", "content": text}


def chat(world: World, *messages: dict, **more) -> dict:
    body = {"model": "smollm2", "messages": list(messages) or [user(world.prompt())]}
    return {key: value for key, value in (body | more).items() if value is not None}


def post(world: World, body, token: str | None = "good", path: str = CHAT, headers=(), **fields) -> Call:
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=world.random.random() < 0.5).encode()
    lines = [("content-type", "application/json"), *headers]
    token = world.token() if token == "good" else token
    if token is not None:
        lines.append(("authorization", f"Bearer {token}"))
    return Call(path=path, headers=lines, body=data, **fields)


def pieces(world: World, data: bytes, most: int = 12) -> list[bytes]:
    """The data cut at random places."""
    cuts = sorted({world.random.randrange(1, len(data)) for _ in range(world.random.randrange(most))})
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


# What must pass


@kind
def a_chat(w: World) -> Call:
    return post(w, chat(w))


@kind
def a_streamed_chat(w: World) -> Call:
    return post(w, chat(w, stream=True))


@kind
def a_conversation(w: World) -> Call:
    turns = [{"role": "system", "content": "You are a helpful assistant."}]
    for _ in range(w.random.randrange(1, 6)):
        turns += [user(w.prompt()), {"role": "assistant", "content": w.prose(12)}]
    return post(w, chat(w, *turns, user([{"type": "text", "text": w.prompt()}, {"type": "text", "text": w.prose(8)}])))


@kind
def a_chat_with_tools(w: World) -> Call:
    tool = {"type": "function", "function": {"name": "search_web", "description": w.prose(6), "parameters": {
        "type": "object", "properties": {"q": {"type": "string"}}}}}  # fmt: skip
    call = {"id": "c1", "type": "function", "function": {"name": "search_web", "arguments": json.dumps({"q": w.prose(2)})}}
    return post(w, chat(w, user(w.prompt()), {"role": "assistant", "content": None, "tool_calls": [call]},
                        {"role": "tool", "tool_call_id": "c1", "content": w.prose(30)}, tools=[tool]))  # fmt: skip


@kind
def a_long_chat(w: World) -> Call:
    return post(w, chat(w, user(w.prose(w.random.randrange(1000, 6000)))))


@kind
def a_chunked_chat(w: World) -> Call:
    call = post(w, chat(w))
    call.chunks = pieces(w, call.body)
    return call


@kind
def a_chat_with_trailers(w: World) -> Call:
    call = post(w, chat(w), trailers=[("x-checksum", "1"), ("x-bartizan-subject", "root"), ("X_Bartizan_Roles", "admin")])
    call.chunks = pieces(w, call.body)
    return call


@kind
def a_chat_with_spoofed_headers(w: World) -> Call:
    spoofed = [("x-bartizan-subject", "root"), ("X-Bartizan-Roles", "admin"), ("x_bartizan_subject", "root"),
               ("X-BARTIZAN_TENANT", "acme"), ("x-api-key", "sk-own"), ("api-key", "k"), ("x-goog-api-key", "g")]  # fmt: skip
    return post(w, chat(w), headers=w.random.sample(spoofed, w.random.randrange(1, len(spoofed) + 1)))


@kind
def a_chat_over_its_cap(w: World) -> Call:
    cap = w.random.choice(["max_tokens", "max_completion_tokens"])
    return post(w, chat(w, **{cap: w.random.choice([1, 500, 1024, 1025, 100_000])}))


@kind
def a_generic_prompt(w: World) -> Call:
    return post(w, {"prompt": w.prompt()}, path=GENERIC)


@kind
def the_list_of_models(w: World) -> Call:
    return Call(method="GET", path=MODELS, headers=[("authorization", f"Bearer {w.token()}")])


@kind
def a_failing_upstream(w: World) -> Call:
    return post(w, chat(w), headers=[("x-script", "error")])


@kind
def a_path_that_means_chat(w: World) -> Call:
    path = w.random.choice(["//v1/chat/completions", "/v1//chat/completions", "/v1/./chat/completions",
                            "/v1/x/../chat/completions", "/v1/chat/completions?a=b"])  # fmt: skip
    return post(w, chat(w), path=path)


# Bad papers


@kind
def no_token(w: World) -> Call:
    return post(w, chat(w), token=None)


@kind
def an_expired_token(w: World) -> Call:
    return post(w, chat(w), token=w.key().sign(claims(w.fresh_subject(), lifetime=-w.random.randrange(120, 90_000))))


@kind
def a_forged_token(w: World) -> Call:
    foreign = w.random.choice(list(w.foreign.values()))
    return post(w, chat(w), token=foreign.sign(claims("alice", roles=["analyst"])))


@kind
def a_tampered_token(w: World) -> Call:
    payload = claims("bob", roles=["analyst"], tenant="globex")
    return post(w, chat(w), token=tampered(w.token(), payload))


@kind
def a_wrong_audience(w: World) -> Call:
    audience = w.random.choice(["billing", ["billing", "mail"], "LLM", ""])
    return post(w, chat(w), token=w.key().sign(claims(aud=audience)))


@kind
def a_wrong_issuer(w: World) -> Call:
    return post(w, chat(w), token=w.key().sign(claims(iss=w.random.choice(["https://evil.example", "https://idp.example.com/realms/llm/"]))))


@kind
def a_wrong_algorithm(w: World) -> Call:
    payload = claims()
    choice = w.random.randrange(4)
    if choice == 0:
        return post(w, chat(w), token=w.refused_algorithm.sign(payload))
    if choice == 1:
        return post(w, chat(w), token=forged({"alg": "none", "kid": "rsa"}, payload, b"x"))
    if choice == 2:  # the public key taken for a shared secret
        head = b64(json.dumps({"alg": "HS256", "kid": "rsa", "typ": "JWT"}).encode())
        text = f"{head}.{b64(json.dumps(payload).encode())}"
        return post(w, chat(w), token=f"{text}.{b64(hmac.digest(json.dumps(w.keys['RS256'].jwk).encode(), text.encode(), hashlib.sha256))}")
    return post(w, chat(w), token=w.keys["ES256"].sign(payload, kid="rsa"))


@kind
def an_unknown_key(w: World) -> Call:
    return post(w, chat(w), token=w.key().sign(claims(), kid="other"))


@kind
def two_credentials(w: World) -> Call:
    return post(w, chat(w), headers=[("authorization", f"Bearer {w.foreign['ES256'].sign(claims('eve'))}")])


@kind
def no_known_role(w: World) -> Call:
    return post(w, chat(w), token=w.key().sign(claims(w.fresh_subject(), roles=w.random.choice([[], ["admin"], ["Analyst"]]))))


# What a role does not allow


@kind
def a_forbidden_model(w: World) -> Call:
    return post(w, chat(w, model=w.random.choice(["gpt-4o", "gpt-4o-mini-2", "GPT-4O-MINI", "o1", "smollm1"])))


@kind
def a_forbidden_tool(w: World) -> Call:
    tools = [{"type": "function", "function": {"name": name}} for name in ("search_web", "delete_everything")]
    return post(w, chat(w, tools=tools))


@kind
def a_forbidden_parameter(w: World) -> Call:
    return post(w, chat(w, **w.random.choice([{"n": 5}, {"api_base": "https://models.example.com"}])))


@kind
def a_spent_quota(w: World) -> list[Call]:
    token = w.key().sign(claims(w.fresh_subject(), roles=["guest"]))
    return [post(w, chat(w), token=token) for _ in range(3)]


# Attacks


@kind
def an_injection(w: World) -> Call:
    return post(w, chat(w, user(f"{w.prompt()} {w.random.choice(ATTACKS)}")))


@kind
def an_injection_in_a_part(w: World) -> Call:
    parts = [{"type": "text", "text": w.prompt()}, {"type": "text", "text": w.random.choice(ATTACKS)}]
    w.random.shuffle(parts)
    call = post(w, chat(w, user(parts), stream=True))
    call.chunks = pieces(w, call.body)
    return call


@kind
def an_injection_in_a_tool_result(w: World) -> Call:
    call = {"id": "c1", "type": "function", "function": {"name": "search_web", "arguments": "{}"}}
    return post(w, chat(w, user(w.prompt()), {"role": "assistant", "content": None, "tool_calls": [call]},
                        {"role": "tool", "tool_call_id": "c1", "content": f"{w.prose(20)}. {w.random.choice(ATTACKS)}"}))  # fmt: skip


@kind
def an_injection_in_an_earlier_turn(w: World) -> Call:
    return post(w, chat(w, user(w.random.choice(ATTACKS)), {"role": "assistant", "content": "No."}, user(w.prompt())))


@kind
def an_injection_in_an_unknown_field(w: World) -> Call:
    return post(w, chat(w, **{w.random.choice(["prompt_suffix", "x_note", "extra"]): {"note": w.random.choice(ATTACKS)}}))


@kind
def an_injection_in_a_generic_prompt(w: World) -> Call:
    return post(w, {"prompt": w.random.choice(ATTACKS)}, path=GENERIC)


@kind
def a_secret(w: World) -> Call:
    return post(w, chat(w, user(f"{w.prompt()} {w.random.choice(SECRETS)}")))


@kind
def an_image(w: World) -> Call:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    return post(w, chat(w, user([{"type": "text", "text": w.prompt()}, image])))


# Bad bodies and paths


@kind
def a_duplicate_key(w: World) -> Call:
    text = json.dumps(chat(w))
    return post(w, (text[:-1] + w.random.choice([', "model": "gpt-4o"}', ', "messages": []}'])).encode())


@kind
def a_broken_body(w: World) -> Call:
    body = json.dumps(chat(w)).encode()
    return post(w, w.random.choice([body[: w.random.randrange(1, len(body))], body + b"}", b"{'model': 1}", body + body, b"[1,", b"NaN"]))


@kind
def a_body_that_is_no_utf8(w: World) -> Call:
    body = json.dumps(chat(w, user("caf\u00e9")), ensure_ascii=False).encode("latin-1")
    return post(w, body)


@kind
def a_deep_body(w: World) -> Call:
    deep = w.random.choice([65, 100, 900])
    return post(w, b'{"model":"smollm2","messages":[],"x":' + b"[" * deep + b"]" * deep + b"}")


@kind
def a_body_of_another_shape(w: World) -> Call:
    return post(w, w.random.choice([[], "text", 7, {"model": "smollm2"}, {"messages": []}, chat(w, model=7),
                                    chat(w, {"role": "root", "content": "x"}), chat(w) | {"messages": "hello"}]))  # fmt: skip


@kind
def a_body_over_the_limit(w: World) -> Call:
    call = post(w, chat(w, user("a b c " * (MAX_BODY // 6 + 1))))
    if w.random.random() < 0.5:
        call.chunks = pieces(w, call.body)
    return call


@kind
def another_content_type(w: World) -> Call:
    call = post(w, chat(w))
    call.headers[0] = ("content-type", w.random.choice(["text/plain", "multipart/form-data; boundary=x", "application/xml"]))
    return call


@kind
def a_compressed_body(w: World) -> Call:
    return post(w, gzip.compress(json.dumps(chat(w)).encode()), headers=[("content-encoding", "gzip")])


@kind
def a_body_in_an_encoding_that_nobody_opens(w: World) -> Call:
    return post(w, zlib.compress(json.dumps(chat(w)).encode()), headers=[("content-encoding", "deflate")])


@kind
def another_method(w: World) -> Call:
    return Call(method=w.random.choice(["GET", "DELETE", "PUT"]), path=CHAT, headers=[("authorization", f"Bearer {w.token()}")])


@kind
def an_unmatched_path(w: World) -> Call:
    return post(w, chat(w), path=w.random.choice(["/", "/v1", "/v1/embeddings", "/v1/chat/completions/", "/V1/chat/completions",
                                                  "/v1/chat/completions/x", "/v1/chat%2Fcompletions", "/llm/"]))  # fmt: skip


@kind
def a_path_trick_without_a_token(w: World) -> Call:
    return post(w, chat(w), token=None, path=w.random.choice(["//v1/chat/completions", "/v1/./chat/completions", "/x/../llm"]))
