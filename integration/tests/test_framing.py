"""Replies on real Envoy that hold nothing, or hide something in their form; and refused ones, as the official SDKs read them."""

import json

import anthropic
import openai
import pytest

from conftest import chat, user
from harness.upstream import CANNED, DEFAULT

KEY = "AKIAQ7EXAMPL3TE5TKXQ"
LEAK = json.dumps({"text": f"the key is {KEY}"}).encode()


def all_paths(document: dict) -> None:
    document["routes"] = [
        {"match": {"pathPrefix": "/v1/"}, "protocol": "openai"},
        {"match": {"pathPrefix": "/v1/"}, "protocol": "anthropic"},
        {"match": {"path": "/mcp"}, "protocol": "mcp"},
    ]
    operations = ["chat", "completions", "responses", "embeddings", "moderations", "mcp"]
    document["roles"]["analyst"].update(operations=operations, models=["*"], quotas=[], tools={"allow": ["get_*"]})
    document["guards"]["standard"]["output"] = {"secrets": "block"}


@pytest.fixture
def site(sites, mode):
    return sites(mode, change=all_paths)


def rpc(method: str, **fields) -> dict:
    return {"jsonrpc": "2.0", "method": method, **fields}


@pytest.mark.parametrize("script", ["accepted", "accepted_text", "nothing"])
def test_a_reply_without_a_body_passes(site, protocol, script):
    got = site.send(protocol, rpc("notifications/initialized"), path="/mcp", headers=[("x-script", script)])
    assert got.reply.status == (200 if script == "nothing" else 202) and got.reply.complete, got
    assert got.reply.body == b""
    assert got.audit["bartizan.verdict"] == "allow"


def test_json_under_the_type_of_a_stream_does_not_pass(site, protocol):
    call = {"id": "t", "type": "function", "function": {"name": "delete_all", "arguments": "{}"}}
    message = {"role": "assistant", "content": f"key {KEY} end", "tool_calls": [call]}
    whole = json.dumps({"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    for body in (whole, whole + b"\n", whole + b"\n" + whole + b"\n", whole + b"\n\n"):
        for size in (7, len(body)):
            CANNED[:] = b"text/event-stream", body, size
            got = site.send(protocol, chat(user("hello")), headers=[("x-script", "canned")])
            assert KEY.encode() not in got.reply.body and b"delete_all" not in got.reply.body, got
            assert got.audit["bartizan.reason"] == "reply.unreadable"


def test_a_list_in_another_form_does_not_pass(site, protocol):
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("delete_all", "get_rate")]
    plain = rpc("", id=1, result={"tools": tools})
    del plain["method"]
    forms = [plain, [plain], {**plain, "result": {"Tools": tools}}, {**plain, "result": {"tools": {"0": tools[0]}}}]
    for content_type in (b"application/json", b"text/event-stream"):
        for form in forms:
            body = json.dumps(form).encode()
            CANNED[:] = content_type, b"data: %s\n\n" % body if b"stream" in content_type else body, 50
            got = site.send(protocol, rpc("tools/list", id=1), path="/mcp", headers=[("x-script", "canned")])
            assert b"delete_all" not in got.reply.body, got
            if form is plain:
                assert b"get_rate" in got.reply.body


def test_no_other_call_rides_on_an_allowed_one(site, protocol):
    def event(piece: dict) -> bytes:
        data = {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None}]}
        return b"data: " + json.dumps(data).encode() + b"\n\n"

    def piece(name: str, arguments: str, **more) -> dict:
        return {**more, "type": "function", "function": {"name": name, "arguments": arguments}}

    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\ndata: [DONE]\n\n'
    streams = {
        "one index": [piece("get_rate", "{}", index=0, id="a"), piece("delete_all", "{}", index=0, id="b")],
        "no index": [piece("get_rate", "{}", id="a"), piece("delete_all", "{}", id="b")],
        "a name again": [piece("get_rate", '{"c"', index=0, id="a"), piece("get_rate", ":1}", index=0, id="a")],
        "two allowed": [piece("get_rate", "{}", id="a"), piece("get_time", "{}", id="b")],
    }
    wanted = {"one index": b"get_rate", "no index": b"get_rate", "a name again": b":1}", "two allowed": b"get_time"}
    for name, pieces in streams.items():
        body = b"".join(map(event, pieces)) + end
        for size in (31, len(body)):
            CANNED[:] = b"text/event-stream", body, size
            got = site.send(protocol, chat(user("hello"), stream=True), headers=[("x-script", "canned")])
            assert b"delete_all" not in got.reply.body, (name, got)
            assert wanted[name] in got.reply.body and b'"tool_calls"}' in got.reply.body.replace(b" ", b""), (name, got)


def test_a_refused_reply_is_not_asked_for_again(site, protocol):
    CANNED[:] = b"application/json", LEAK, len(LEAK)
    got = site.send(protocol, chat(user("hello")), headers=[("x-script", "canned")])
    if site.strong:
        assert got.reply.status == 400 and got.reply.header("x-should-retry") == "false", got
    CANNED[:] = b"application/json", b"oops", 4
    got = site.send(protocol, chat(user("hello")), headers=[("x-script", "canned")])
    if site.strong:
        assert got.reply.status == 502 and got.reply.header("x-should-retry") == "false", got
    assert got.audit["bartizan.reason"] == "reply.unreadable"


@pytest.fixture(params=[(b"application/json", LEAK), (b"application/json", b"oops"), (b"text/html", b"<p>")],
                ids=["leak", "no JSON", "page"])  # fmt: skip
def withheld(request):
    """Every reply is one that must be refused."""
    content_type, body = request.param
    CANNED[:] = content_type, body, len(body)
    DEFAULT[0] = "canned"
    yield
    DEFAULT[0] = "default"


def refused(site, call):
    """The SDK's own error in strong mode, asked for once; what it reads in weak mode."""
    before = site.upstream.total
    try:
        got = call()
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        assert site.strong and error.status_code in (400, 502)
        got = None
    assert (got is None) == site.strong
    assert site.upstream.total == before + 1
    return got


def test_the_openai_sdk_reads_a_withheld_reply(site, withheld):
    client = openai.OpenAI(base_url=f"{site.proxy.url}/v1", api_key=site.token(), max_retries=2)
    got = refused(site, lambda: client.chat.completions.create(model="m", messages=[user("hello")]))
    if got:
        assert (got.choices[0].finish_reason, len(got.choices[0].message.content)) == ("content_filter", 0)
        assert got.usage.total_tokens == 0 and got.choices[0].message.refusal
    got = refused(site, lambda: client.completions.create(model="m", prompt="hello"))
    if got:
        assert (got.choices[0].finish_reason, got.choices[0].text) == ("content_filter", "")
    got = refused(site, lambda: client.responses.create(model="m", input="hello"))
    if got:
        assert (got.status, got.incomplete_details.reason, got.output_text) == ("incomplete", "content_filter", "")
        assert got.output[0].content[0].type == "refusal"
    got = refused(site, lambda: client.moderations.create(model="m", input="hello"))
    if got:
        assert got.results == []
    if not site.strong:
        with pytest.raises(ValueError, match="No embedding data"):
            client.embeddings.create(model="m", input="hello")


def test_the_anthropic_sdk_reads_a_withheld_reply(site, withheld):
    client = anthropic.Anthropic(base_url=site.proxy.url, auth_token=site.token(), api_key=None, max_retries=2)
    got = refused(site, lambda: client.messages.create(model="m", max_tokens=8, messages=[user("hello")]))
    if got:
        assert (got.stop_reason, got.type, got.usage.output_tokens) == ("refusal", "message", 0)
        assert "".join(block.text for block in got.content)
