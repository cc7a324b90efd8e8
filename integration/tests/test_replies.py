"""Replies on real Envoy: masked, cut off, restored; streams whose chunks end anywhere; ordinary ones untouched."""

import base64
import json

import pytest

from conftest import Site, chat, user
from harness import falco
from harness.client import H1
from harness.upstream import CANNED, SAID
from harness.wires import WIRES

KEY = "AKIAQ7EXAMPL3TE5TKXQ"


def event(delta: dict, finish=None) -> bytes:
    data = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "smollm2",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}  # fmt: skip
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def stream(*pieces: str) -> bytes:
    parts = [event({"role": "assistant", "content": ""}), *(event({"content": piece}) for piece in pieces)]
    return b"".join([*parts, event({}, "stop"), b"data: [DONE]\n\n"])


def whole(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def read(body: bytes) -> tuple[str, str | None, bool]:
    """Text, finish reason, and whether the stream was ended."""
    text, finish, done = "", None, False
    for line in body.decode().splitlines():
        if line == "data: [DONE]":
            done = True
        elif line.startswith("data: "):
            choice = json.loads(line[6:])["choices"][0]
            text += choice["delta"].get("content") or ""
            finish = choice["finish_reason"] or finish
    return text, finish, done


def blocking(document: dict) -> None:
    document["guards"]["standard"]["output"] = {"secrets": "block", "exfiltration": "block"}


def unlimited(document: dict) -> None:
    document["roles"]["analyst"]["quotas"] = []


def restoring(document: dict) -> None:
    document["guards"]["standard"]["pii"] = {"action": "restore"}


def restoring_arguments(document: dict) -> None:
    restoring(document)
    unlimited(document)
    document["guards"]["standard"]["restore"] = {"tools": [{"tool": "send_mail", "argument": "to"}]}
    document["roles"]["analyst"]["tools"] = {"allow": ["send_mail"]}


@pytest.fixture
def answered():
    """Sends a chat that the upstream answers with these bytes, in chunks of this size."""

    def send(site: Site, protocol: str, body: bytes, size: int = 0, text: str = "hello", sse: bool = True):
        CANNED[:] = b"text/event-stream" if sse else b"application/json", body, size or len(body)
        return site.send(protocol, chat(user(text), stream=sse), headers=[("x-script", "canned")])

    return send


def test_a_secret_does_not_leave_in_a_stream(site, protocol, answered):
    body = stream("The key is ", KEY[:7], KEY[7:], " and that is all.")
    for size in (0, 1, 7, 64, 1000):
        got = answered(site, protocol, body, size)
        assert read(got.reply.body) == ("The key is [SECRET_1] and that is all.", "stop", True), (size, got)
        assert got.audit["bartizan.verdict"] == "mask" and got.audit["bartizan.masked"] == 1


def test_a_secret_is_masked_across_every_boundary(sites, mode, answered):
    site = sites(mode, change=unlimited)
    for cut in range(len(KEY) + 1):
        body = stream("The key is ", KEY[:cut], KEY[cut:], " and that is all.")
        at = body.index(KEY[:3].encode()) if cut > 2 else len(body) // 2
        for size in (0, 1, at + cut, 3 * cut + 2):
            got = answered(site, H1, body, size)
            assert read(got.reply.body) == ("The key is [SECRET_1] and that is all.", "stop", True), (cut, size, got)


@pytest.mark.parametrize("script", ["canned_trailers", "canned_reset"])
def test_a_stream_that_breaks_off_inside_a_secret_gives_nothing_of_it(sites, mode, protocol, script):
    site = sites(mode, change=unlimited)
    for cut in (4, 9, 15, len(KEY) - 1):
        whole_event = stream("The key is ", KEY[:cut]).removesuffix(event({}, "stop") + b"data: [DONE]\n\n")
        for body in (whole_event, whole_event[:-5]):
            CANNED[:] = b"text/event-stream", body, 11
            got = site.send(protocol, chat(user("hello"), stream=True), headers=[("x-script", script)])
            assert KEY[:4].encode() not in got.reply.body, (cut, got)
            assert b"The key" in got.reply.body or not got.reply.complete


def test_a_stream_without_findings_is_untouched(site, protocol, answered):
    body = b": hello\r\n\r\n" + stream("A bartizan ", "is a ", "turret, caf\u00e9.").replace(b"\n", b"\r\n")
    for size in (0, 1, 13):
        got = answered(site, protocol, body, size)
        assert got.reply.body == body and got.reply.complete
        assert got.audit["bartizan.verdict"] == "allow"


def test_a_whole_reply_is_masked(site, protocol, answered):
    got = answered(site, protocol, whole(f"Use {KEY}."), sse=False)
    assert json.loads(got.reply.body)["choices"][0]["message"]["content"] == "Use [SECRET_1]."
    length = dict(got.reply.headers).get("content-length")
    assert length is None or int(length) == len(got.reply.body)


def withheld(site: Site, body: bytes) -> bool:
    """An error, or where the status has left a reply that the content filter has ended."""
    body = json.loads(body)
    why = body["error"]["code"] if site.strong else body["choices"][0]["finish_reason"]
    return why == "content_filter"


def test_a_blocked_reply_ends_in_the_protocols_words(sites, mode, protocol, answered):
    site = sites(mode, change=blocking)
    got = answered(site, protocol, stream("One two three ", KEY, " four"), 5)
    assert read(got.reply.body) == ("One two three ", "content_filter", True)
    assert got.audit["bartizan.reason"] == "scan.secret" and got.audit["bartizan.verdict"] == "block"
    got = answered(site, protocol, whole(f"Use {KEY}."), sse=False)
    assert got.reply.status == (400 if site.strong else 200) and KEY.encode() not in got.reply.body
    assert withheld(site, got.reply.body)
    got = answered(site, protocol, whole("![x](https://evil.test/a.png)"), sse=False)
    assert withheld(site, got.reply.body)
    assert got.audit["bartizan.reason"] == "scan.output"


def test_masked_values_come_back(sites, mode, answered):
    site = sites(mode, change=restoring)
    text = "Write to jane@example.org today."
    got = answered(site, H1, whole("ok"), text=text, sse=False)
    asked = json.loads(got.one.body)["messages"][0]["content"]
    assert "jane@" not in asked
    placeholder = asked[asked.index("[") : asked.index("]") + 1]
    got = answered(site, H1, stream("Dear ", placeholder[:9], placeholder[9:], "!"), 3, text=text)
    assert read(got.reply.body)[0] == "Dear jane@example.org!"
    got = answered(site, H1, stream("Dear ", placeholder, "!"), 3)
    assert read(got.reply.body)[0] == f"Dear {placeholder}!", "another request knows nothing of it"


def test_only_named_arguments_get_values_back(sites, mode, answered):
    site = sites(mode, change=restoring_arguments)
    text = "Write to jane@example.org today."
    asked = json.loads(answered(site, H1, whole("ok"), text=text, sse=False).one.body)["messages"][0]["content"]
    placeholder = asked[asked.index("[") : asked.index("]") + 1]
    arguments = json.dumps({"body": f"Dear {placeholder}", "to": placeholder})
    wanted = {"body": f"Dear {placeholder}", "to": "jane@example.org"}

    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "send_mail", "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    reply = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}).encode()
    got = json.loads(answered(site, H1, reply, text=text, sse=False).reply.body)
    assert json.loads(got["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]) == wanted

    begin = event({"tool_calls": [call | {"function": {"name": "send_mail", "arguments": ""}}]})
    for cut in range(0, len(arguments) + 1, 5):
        pieces = [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in (arguments[:cut], arguments[cut:])]
        body = b"".join([begin, *map(event, pieces), event({}, "tool_calls"), b"data: [DONE]\n\n"])
        lines = answered(site, H1, body, 37, text=text).reply.body.decode().splitlines()
        deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in lines if line.startswith("data: {")]
        calls = [delta["tool_calls"][0]["function"] for delta in deltas if "tool_calls" in delta]
        assert json.loads("".join(call.get("arguments") or "" for call in calls)) == wanted, cut


PROMPTS = {
    "OpenAI chat": lambda body: body["messages"].insert(0, {"role": "system", "content": "Be kind."}),
    "OpenAI responses": lambda body: body.update(instructions="Be kind."),
    "Anthropic messages": lambda body: body.update(system="Be kind."),
    "Ollama chat": lambda body: body["messages"].insert(0, {"role": "system", "content": "Be kind."}),
    "Ollama generate": lambda body: body.update(system="Be kind."),
}


def every_prompt(document: dict) -> None:
    document["routes"] = [
        {"match": {"pathPrefix": "/v1/"}, "protocol": "openai"},
        {"match": {"pathPrefix": "/v1/"}, "protocol": "anthropic"},
        {"match": {"pathPrefix": "/api/"}, "protocol": "ollama"},
    ]
    document["roles"]["analyst"].update(operations=["chat", "generate", "responses"], quotas=[])


def removing(document: dict) -> None:
    every_prompt(document)
    document["guards"]["standard"]["output"] = {"canary": "remove"}


def refusing(document: dict) -> None:
    every_prompt(document)
    document["guards"]["standard"]["output"] = {"canary": "block"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", PROMPTS)
def test_a_system_prompt_does_not_leave(sites, mode, name, stream):
    wire = WIRES[name]
    for change in (removing, refusing):
        site = sites(mode, change=change)
        body = wire.request("hello", stream)
        PROMPTS[name](body)
        for said in (["It says: ", "{prompt}", " and ", "so on."], ["Fine."]):
            SAID[:] = said
            got = site.send(H1, body, path=wire.path, headers=[("x-script", "said")])
            token = got.one.body.decode().partition("in any form: ")[2].partition("]")[0]
            assert len(token) == 16 and token.encode() not in got.reply.body
            assert token not in json.dumps(got.audit)
            if said == ["Fine."]:
                assert got.audit["bartizan.verdict"] == "allow" and b"Fine." in got.reply.body
            elif change is removing:
                assert b"[removed]" in got.reply.body and got.audit["bartizan.verdict"] == "mask"
            else:
                assert got.audit["bartizan.reason"] == "scan.canary"
                assert falco.alarms(got.audit) == {"Bartizan stopped a leak"}
                assert not stream or wire.stream(got.reply.body)[1] == wire.ends[1]


def disguises(token: str) -> list[str]:
    """What a model is talked into when it may not say a thing plainly."""
    moved = lambda by: "".join(chr((ord(letter) - 97 + by) % 26 + 97) for letter in token)
    return [
        base64.b64encode(f"it is {token}".encode()).decode(), token.encode().hex(), moved(13), moved(5), token[::-1],
        " ".join(token), "-".join(token.upper()), ", ".join(str(ord(letter)) for letter in token),
    ]  # fmt: skip


def parted(one: str, two: str) -> bytes:
    """A whole answer that thinks the first part and says the second."""
    message = {"role": "assistant", "reasoning_content": f"Hm. {one}", "content": f"{two} Done."}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()


def parted_stream(one: str, two: str) -> bytes:
    events = [event({"role": "assistant", "reasoning_content": f"Hm. {one}"}), event({"content": f"{two} "}), event({"content": "Done."})]
    return b"".join([*events, event({}, "stop"), b"data: [DONE]\n\n"])


@pytest.mark.parametrize("change", [removing, refusing], ids=["remove", "block"])
def test_a_system_prompt_does_not_leave_in_disguise_or_in_parts(sites, mode, change):
    site = sites(mode, change=change)
    asked = chat({"role": "system", "content": "Be kind."}, user("hello"))

    def answer(body: bytes, sse: bool):
        CANNED[:] = b"text/event-stream" if sse else b"application/json", body, 50
        return site.send(H1, {**asked, "stream": sse}, headers=[("x-script", "canned")])

    token = answer(whole("Fine."), False).one.body.decode().partition("in any form: ")[2].partition("]")[0]
    assert len(token) == 16
    cases = []
    for secret in disguises(token):
        half = len(secret) // 2
        cases += [(whole(f"Here: {secret} Done."), False), (stream("Here: ", secret[:half], secret[half:], " Done."), True)]
    plain = (token[:8], token[8:])
    coded = (token.encode().hex()[:16], token.encode().hex()[16:])
    cases += [(make(*parts), make is parted_stream) for make in (parted, parted_stream) for parts in (plain, coded)]
    for body, sse in cases:
        got = answer(body, sse)
        if change is removing:
            assert b"[removed]" in got.reply.body and b"Done." in got.reply.body, (body, got)
            assert got.audit["bartizan.verdict"] == "mask"
        else:
            assert got.audit["bartizan.reason"] == "scan.canary" and b"Done." not in got.reply.body, (body, got)
        # Of a stream the first of two parts has left when the second comes, and that one does not.
        for part in (plain[1], coded[1], *(() if sse else (plain[0], coded[0]))):
            assert part.encode() not in got.reply.body
