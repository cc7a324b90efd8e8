"""One request through every stage, in both modes, over HTTP/1.1 and HTTP/2."""

import gzip
import json

import pytest

from conftest import ATTACK, chat, user
from harness.client import H1, H2, Client, send_raw
from harness.upstream import REPLY_TEXT

CREDENTIALS = {"authorization", "x-api-key", "api-key", "x-goog-api-key"}


def test_a_chat_passes_and_its_credential_stays_here(site, protocol):
    got = site.send(protocol, chat(), headers=[("x-api-key", "sk-own"), ("api-key", "k"), ("x-goog-api-key", "g")]).passed()
    assert got.reply.json()["choices"][0]["message"]["content"] == REPLY_TEXT
    assert not CREDENTIALS & got.one.names()
    assert got.one.json()["messages"] == chat()["messages"]


def test_usage_and_limits_are_reported(site, protocol):
    got = site.send(protocol, chat(), token=site.token("limits")).passed()
    assert got.audit["gen_ai.usage.input_tokens"] == 11
    assert got.audit["gen_ai.usage.output_tokens"] == 13
    assert got.reply.header("x-ratelimit-limit-requests") == "600"


def test_a_stream_passes_as_it_came(site, protocol):
    plain = site.send(protocol, chat(stream=True)).passed()
    cut = site.send(protocol, chat(stream=True), headers=[("x-script", "sse_bytes")]).passed()
    assert plain.reply.body == cut.reply.body
    assert plain.reply.body.endswith(b"data: [DONE]\n\n")
    assert cut.audit["gen_ai.usage.output_tokens"] == 13


def test_the_output_cap_is_put_in_and_lowered(site, protocol):
    assert site.send(protocol, chat()).passed().one.json()["max_tokens"] == 1024
    assert site.send(protocol, chat(max_tokens=99_999)).passed().one.json()["max_tokens"] == 1024
    body = site.send(protocol, chat(max_tokens=7)).passed().one.json()
    assert body["max_tokens"] == 7 and "max_completion_tokens" not in body
    body = site.send(protocol, chat(max_completion_tokens=99_999)).passed().one.json()
    assert body["max_completion_tokens"] == 1024 and "max_tokens" not in body


def test_the_length_that_arrives_is_the_bodys(site, protocol):
    one = site.send(protocol, chat()).passed().one
    declared = one.header("content-length")
    assert declared is None or int(declared) == len(one.body)
    assert site.strong == (declared is not None)


@pytest.mark.parametrize("size", [1, 7, 100, 4096])
def test_a_body_in_pieces_is_the_same_body(site, protocol, size):
    body = json.dumps(chat(user("What is a bartizan? " * 20))).encode()
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    got = site.send(protocol, chunks=chunks).passed()
    assert got.one.json()["messages"] == json.loads(body)["messages"]
    attack = json.dumps(chat(user(f"Hello. {ATTACK}"))).encode()
    chunks = [attack[at : at + size] for at in range(0, len(attack), size)]
    site.send(protocol, chunks=chunks).refused(400, "scan.injection")


def test_an_injection_is_refused(site, protocol):
    got = site.send(protocol, chat(user(f"Hello. {ATTACK}"))).refused(400, "scan.injection")
    error = got.reply.json()["error"]
    assert error["code"] == "content_filter"
    assert ATTACK not in got.reply.body.decode() and "PI-" not in got.reply.body.decode()


def test_an_injection_in_a_tool_result_is_replaced(site, protocol):
    turns = [
        user("Look it up."),
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "search_web", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": f"Castles are old. {ATTACK}"},
    ]  # fmt: skip
    one = site.send(protocol, chat(*turns)).passed("replace").one
    assert ATTACK not in one.body.decode()
    assert one.json()["messages"][0] == turns[0]


def test_a_session_is_not_locked_by_its_history(site, protocol):
    turns = [user(ATTACK), {"role": "assistant", "content": "No."}, user("What is a bartizan?")]
    one = site.send(protocol, chat(*turns)).passed("replace").one
    assert ATTACK not in one.body.decode()
    assert one.json()["messages"][2] == turns[2]


def test_a_secret_is_refused(site, protocol):
    key = "AKIA" + "QX7Z2MPLW4TR6VNB"
    site.send(protocol, chat(user(f"aws_access_key_id = {key}"))).refused(400, "scan.secret")


def test_the_generic_form(site, protocol):
    got = site.send(protocol, {"prompt": "A bartizan is"}, path="/llm").passed()
    assert got.one.path == b"/v1/completions"
    site.send(protocol, {"prompt": ATTACK}, path="/llm").refused(400, "scan.injection")


def test_the_list_of_models(site, protocol):
    got = site.send(protocol, method="GET", path="/v1/models").passed()
    assert got.reply.json()["data"]
    site.send(protocol, method="GET", path="/v1/models", token=None).refused(401, "jwt.missing", before_body=True)


# Headers and trailers


@pytest.mark.parametrize("name", ["x-bartizan-subject", "X-Bartizan-Roles", "x_bartizan_subject", "X-BARTIZAN_TENANT", "x-bartizan-new"])
def test_spoofed_headers_do_not_arrive(site, protocol, name):
    got = site.send(protocol, chat(), headers=[(name, "root"), (name, "admin")]).passed()
    assert not [key for key in got.one.names() if key.replace("_", "-").startswith("x-bartizan")]


def test_headers_for_the_upstream_are_ours(sites, mode, protocol):
    site = sites(mode, change=with_upstream_headers)
    got = site.send(protocol, chat(), headers=[("x-bartizan-subject", "root"), ("x_bartizan_roles", "admin")]).passed()
    assert got.one.header("x-bartizan-subject") == b"alice"
    assert got.one.header("x-bartizan-roles") == b"analyst"
    assert "x_bartizan_roles" not in got.one.names()


def with_upstream_headers(policy: dict) -> None:
    policy["audit"] = {"upstreamHeaders": ["subject", "roles"]}


@pytest.mark.parametrize("http2", [False, True])
def test_request_trailers(sites, mode, protocol, http2):
    site = sites(mode, http2)
    spoofed = [("x-checksum", "1"), ("x-bartizan-subject", "root"), ("X_Bartizan_Roles", "admin")]
    body = json.dumps(chat()).encode()
    got = site.send(protocol, chunks=[body[:9], body[9:]], trailers=spoofed).passed()
    assert not [key for key, _ in got.one.trailers if key.decode().lower().replace("_", "-").startswith("x-bartizan")]
    attack = json.dumps(chat(user(ATTACK))).encode()
    site.send(protocol, chunks=[attack[:9], attack[9:]], trailers=spoofed).refused(400, "scan.injection")


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("script", ["trailers", "sse_trailers"])
def test_response_trailers(sites, mode, protocol, http2, script):
    site = sites(mode, http2)
    got = site.send(protocol, chat(stream=script.startswith("sse")), headers=[("x-script", script), ("te", "trailers")]).passed()
    # What the upstream says in the filter's name does not arrive.
    assert [name for name, _ in got.reply.trailers] == ["x-checksum"]


@pytest.mark.parametrize("http2", [True])
def test_an_http2_upstream(sites, mode, protocol, http2):
    site = sites(mode, http2)
    site.send(protocol, chat()).passed()
    site.send(protocol, chat(stream=True)).passed()
    site.send(protocol, chat(user(ATTACK))).refused(400, "scan.injection")


def test_header_bytes_that_are_no_utf8(site, protocol):
    site.send(protocol, chat(), headers=[("x-note", b"caf\xe9 \xff\xfe")]).passed()
    site.send(protocol, chat(), headers=[("x-bartizan-note", b"\xff")]).passed()
    site.send(protocol, chat(), token=None, headers=[("authorization", b"Bearer \xff\xfe.a.b")]).refused(401, "jwt.malformed", True)
    assert site.send(protocol, chat(), headers=[("content-length", b"\xff")], length=None).reply.status in (0, 400)


# Bodies


@pytest.mark.parametrize(
    ("status", "reason", "body"),
    [
        (400, "body.malformed", b""),
        (400, "body.malformed", b"{"),
        (400, "body.malformed", b'{"model":"smollm2","messages":[]} x'),
        (400, "body.malformed", b'{"model":"smollm2","messages":[{"role":"user","content":"caf\xe9"}]}'),
        (400, "body.malformed", b'{"model":"smollm2","messages":[{"role":"user","content":"\\ud800"}]}'),
        (400, "body.duplicateKey", b'{"model":"smollm2","model":"gpt-4o","messages":[]}'),
        (400, "body.duplicateKey", b'{"model":"smollm2","messages":[{"role":"user","content":"a","content":"b"}]}'),
        (400, "body.depth", b'{"model":"smollm2","messages":[],"x":' + b"[" * 70 + b"]" * 70 + b"}"),
        (400, "body.shape", b'{"model":"smollm2"}'),
        (400, "body.shape", b"[]"),
        (403, "rbac.model", json.dumps(chat(model="gpt-4o")).encode()),
        (403, "rbac.tool", json.dumps(chat(tools=[{"type": "function", "function": {"name": "shell"}}])).encode()),
        (403, "rbac.parameter", json.dumps(chat(n=9)).encode()),
        (400, "body.unscanned", json.dumps(chat(user([{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]))).encode()),
    ],
)
def test_bad_bodies(site, protocol, status, reason, body):
    site.send(protocol, body).refused(status, reason)


def test_other_content_types_and_encodings(site, protocol):
    for value in ("text/plain", "application/json; charset=utf-16", "multipart/form-data; boundary=x"):
        site.send(protocol, chat(), headers=[("content-type", value)]).refused(415, "body.contentType", before_body=True)
    packed = gzip.compress(json.dumps(chat()).encode())
    site.send(protocol, packed, headers=[("content-encoding", "gzip")]).passed()
    site.send(protocol, packed, headers=[("content-encoding", "deflate")]).refused(415, "body.encoding", before_body=True)
    site.send(protocol, chat(), headers=[("content-type", "Application/JSON; charset=UTF-8")]).passed()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit(site, protocol, chunked):
    body = json.dumps(chat(user("lorem ipsum " * 1_410_000))).encode()
    assert len(body) > 16 << 20
    more = {"chunks": [body[at : at + 65536] for at in range(0, len(body), 65536)]} if chunked else {"body": body}
    body = more.pop("body", None)
    got = site.send(protocol, body, **more)
    assert (got.reply.status, got.reply.reason) == (413, "body.tooLarge"), got
    assert sum(len(seen.body) for seen in got.seen) == 0


def test_a_large_body_under_the_limit(site, protocol):
    text = "the lighthouse keeper walked home along the shore. " * 15_000
    got = site.send(protocol, chat(user(text))).passed()
    assert got.one.json()["messages"][0]["content"] == text


def test_a_length_that_is_not_the_bodys(site):
    body = json.dumps(chat(user(ATTACK))).encode()
    got = site.send(H2, body, length=len(body) + 5)
    assert got.reply.status in (0, 400), got
    assert sum(len(seen.body) for seen in got.seen) == 0
    # HTTP/1.1: the rest of a body longer than declared is read as another request, which has no token.
    before = site.upstream.seen("")
    got = site.send(H1, json.dumps(chat()).encode() + b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n", length=len(json.dumps(chat())))
    assert got.reply.status == 200
    assert site.upstream.seen("") == before


def test_a_body_that_never_ends(site):
    """A caller that hangs up in the middle leaves nothing behind."""
    body = json.dumps(chat()).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-case: half-{site.mode}\r\nauthorization: Bearer {site.token()}\r\n"
    send_raw(site.proxy.port, head.encode() + b"content-type: application/json\r\ncontent-length: 999\r\n\r\n" + body, timeout=0.5)
    site.proxy.entry(f"half-{site.mode}")  # Envoy has seen it and its end
    assert sum(len(seen.body) for seen in site.upstream.seen(f"half-{site.mode}")) == 0
    site.send(H1, chat()).passed()


# Paths, methods, upgrades


TRICKS = [
    "//v1/chat/completions", "/v1//chat/completions", "/v1/./chat/completions", "/v1/x/../chat/completions",
    "/v1/%63hat/completions", "/v1/chat/completions/", "/v1/chat%2Fcompletions", "/v1/chat%5Ccompletions",
    "/V1/Chat/Completions", "/v1/chat/completions;a=b", "/v1/chat/completions?x=/v1/other", "/v1/chat/completions%20",
    "/v1/%2563hat/completions", "/../v1/chat/completions", "/v1/chat/completions#x", "/x/..%2f../v1/chat/completions",
    "/v1/chat/completions;x=1", "/v1/chat/completions;", "/v1;a/chat/completions", "/v1/chat;v=1/completions", "/;/v1/chat/completions",
    "/v1/chat/completions%3bx=1", "/v1/chat/completions%3B", "/v1%3Ba/chat/completions", "/v1/chat/completions%253bx", "/v1/..;/v1/chat/completions",
]  # fmt: skip


@pytest.mark.parametrize("path", TRICKS)
def test_path_tricks_lead_nowhere(sites, mode, protocol, path):
    """However a guarded path is written: no token, no passage; an attack, no passage; also where unmatched paths pass."""
    for site in (sites(mode), sites(mode, change=unmatched_pass)):
        got = site.send(protocol, chat(), token=None, path=path)
        assert got.reply.status in (0, 400, 401, 404), got
        assert got.seen == []
        got = site.send(protocol, chat(user(ATTACK)), path=path)
        assert got.reply.status in (0, 400, 404), got
        assert sum(len(seen.body) for seen in got.seen) == 0


def unmatched_pass(policy: dict) -> None:
    policy["unmatched"] = "pass"


def test_unmatched_paths(sites, mode, protocol):
    site = sites(mode)
    for path in ("/", "/v1/embeddings", "/v1/chat/completions/more"):
        site.send(protocol, chat(), path=path).refused(404, "route.unmatched", before_body=True)
    passing = sites(mode, change=unmatched_pass)
    got = passing.send(protocol, chat(), path="/other", token=None, headers=[("x-bartizan-subject", "root")]).passed("pass")
    assert "x-bartizan-subject" not in got.one.names()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods(site, protocol, method):
    site.send(protocol, method=method).refused(405, "route.method", before_body=True)


def test_upgrades_are_refused(sites, mode):
    upgrade = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), ("sec-websocket-version", "13")]
    site = sites(mode)
    for path in ("/v1/chat/completions", "/v1/models"):
        site.send(H1, method="GET", path=path, headers=upgrade).refused(426, "route.upgrade", before_body=True)
    got = site.send(H2, method="CONNECT", headers=[(":protocol", "websocket")])
    assert got.reply.status in (0, 400, 403, 404) and got.seen == []
    assert b" 200 " not in send_raw(site.proxy.port, b"CONNECT llm.example.com:443 HTTP/1.1\r\nhost: llm.example.com:443\r\n\r\n", 1)


# Upstream trouble


def test_an_upstream_that_fails(site, protocol):
    got = site.send(protocol, chat(), headers=[("x-script", "error")])
    assert got.reply.status == 500 and got.audit["bartizan.verdict"] == "allow"
    assert got.audit["http.response.status_code"] == 500
    got = site.send(protocol, chat(), headers=[("x-script", "reset")])
    assert got.reply.status == 503 and got.reply.reason is None
    got = site.send(protocol, chat(), headers=[("x-script", "reset_mid")])
    # In strong mode nothing has left before the reply is whole, so that Envoy still can say what happened.
    assert got.reply.status == 502 if site.strong else not got.reply.complete
    got = site.send(protocol, chat(stream=True), headers=[("x-script", "sse_reset")])
    assert not got.reply.complete
    for script in ("slow", "sse_slow"):
        site.send(protocol, chat(), headers=[("x-script", script)]).passed()
    got = site.send(protocol, chat(), headers=[("x-script", "not_json")])
    assert got.reply.status == (502 if site.strong else 200) and b"can't be checked" in got.reply.body
    assert got.audit["bartizan.reason"] == "reply.unreadable"
    assert site.send(protocol, chat(), headers=[("x-script", "empty")]).reply.status == 204


def test_a_reply_over_every_buffer(site, protocol):
    got = site.send(protocol, chat(), headers=[("x-script", "huge")])
    assert got.reply.status == (502 if site.strong else 200) and b"too large" in got.reply.body
    assert len(got.reply.body) < 4096 and got.reply.complete
    assert got.audit["bartizan.reason"] == "reply.tooLarge"


def test_an_upstream_that_is_down(sites, mode, protocol):
    site = sites(mode, edit=nobody_listens)
    got = site.send(protocol, chat())
    assert got.reply.status == 503 and got.reply.reason is None
    assert got.audit["bartizan.verdict"] == "allow"
    site.send(protocol, chat(user(ATTACK))).refused(400, "scan.injection")


def nobody_listens(config: dict) -> None:
    from harness.upstream import closed_port

    cluster = config["static_resources"]["clusters"][0]
    address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
    address["socket_address"]["port_value"] = closed_port()


def test_many_requests_on_one_connection(site, protocol):
    with Client(site.proxy.port, protocol) as client:
        for number in range(50):
            if number % 3:
                site.send(protocol, chat(), client=client).passed()
            else:
                site.send(protocol, chat(user(ATTACK)), client=client).refused(400, "scan.injection")
