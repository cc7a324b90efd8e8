"""Bodies that parsers read differently: each is refused, or reaches the upstream as what was scanned. Python's
json, which the SDKs and most model servers read with, is the other parser."""

import json

import pytest

from harness.client import H1
from harness.paths import ROOT
from harness.upstream import CANNED

ROWS = json.loads((ROOT / "tests" / "data" / "bodies" / "differentials.json").read_text())


def read(body: bytes):
    """Strict about what Python's reader is lax about, so that equal means equal."""

    def pairs(items):
        assert len({key for key, _ in items}) == len(items), "a key stands twice"
        return [(key, repr(value) if isinstance(value, float) and value else value) for key, value in items]

    return json.loads(body, object_pairs_hook=pairs, parse_constant=lambda word: pytest.fail(word))


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_each(site, row):
    body = bytes.fromhex(row["hex"]) if "hex" in row else row["body"].encode()
    outcome = site.send(H1, body, headers=list((row.get("headers") or {}).items()))
    if row["refused"]:
        status = 415 if row["refused"] in ("body.contentType", "body.encoding") else 400
        outcome.refused(status, row["refused"])
        return
    assert outcome.reply.status == 200, outcome
    sent = [pair for pair in read(body)]
    came = [pair for pair in read(bytes(outcome.one.body)) if pair[0] != "max_tokens"]
    assert came == sent


TRAILERS = [("x-bartizan-roles", "admin"), ("X_Bartizan_Subject", "root"), ("content-encoding", "gzip"), ("x-checksum", "42")]


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_chunks_and_trailers(site, protocol, size):
    """The body is read whole, whatever its chunks; what claims to be ours goes, and no trailer changes how the body is read."""
    body = ROWS[0]["body"].encode()
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    outcome = site.send(protocol, body, chunks=chunks, trailers=TRAILERS)
    assert outcome.reply.status == 200, outcome
    assert [pair for pair in read(bytes(outcome.one.body)) if pair[0] != "max_tokens"] == read(body)
    assert not any(b"artizan" in name for name, _ in outcome.one.trailers)


KEY = "AKIAQ7EXAMPL3TE5TKXQ"


def event(text: str, **more) -> str:
    delta = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return json.dumps({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [delta], **more})


def framed(one: str, two: str) -> dict[str, str]:
    """One stream of two events in every way that server-sent events may be written."""
    end = "data: [DONE]\n\n"
    head, tail = two.split('"choices"')
    return {
        "line feeds": f"data: {one}\n\ndata: {two}\n\n{end}",
        "carriage returns and line feeds": f"data: {one}\r\n\r\ndata: {two}\r\n\r\n{end}",
        "carriage returns": f"data: {one}\r\rdata: {two}\r\r{end}",
        "no space": f"data:{one}\n\ndata:{two}\n\n{end}",
        "a BOM": f"\ufeffdata: {one}\n\ndata: {two}\n\n{end}",
        "comments": f": a\ndata: {one}\n: data: x\n\n:\n\ndata: {two}\n\n{end}",
        "several lines": f'data: {one}\n\ndata: {head}\ndata: "choices"{tail}\n\n{end}',
        "other fields": f"id: 1\nretry: 5\ndata: {one}\n\nid: 2\ndata: {two}\n\n{end}",
        "no end": f"data: {one}\n\ndata: {two}",
        "line separators in a text": f"data: {one}\n\ndata: {two[:-1]}, \"x\": \"\u2028\x85\"}}\n\n{end}",
    }


def decoders() -> dict:
    """How each SDK cuts a stream."""
    import anthropic._streaming
    import openai._streaming

    def sdk(module):
        return lambda body: [event.data for event in module.SSEDecoder().iter_bytes(iter([body]))]

    return {"openai": sdk(openai._streaming), "anthropic": sdk(anthropic._streaming)}


@pytest.mark.parametrize("name", framed(event(""), event("")))
def test_no_sdk_reads_a_stream_otherwise_than_the_filter(site, name):
    body = framed(event(f"It is {KEY[:9]}"), event(f"{KEY[9:]}, keep it."))[name].encode()
    for size in (1, 50, len(body)):
        CANNED[:] = b"text/event-stream", body, size
        request = {**json.loads(ROWS[0]["body"]), "stream": True}
        got = site.send(H1, request, headers=[("x-script", "canned")])
        for sdk, decode in decoders().items():
            said = ""
            for data in decode(bytes(got.reply.body)):
                if data.startswith("{"):
                    said += json.loads(data)["choices"][0]["delta"].get("content") or ""
            assert KEY not in said and KEY[9:] not in said, (sdk, said)
            assert said in ("It is [SECRET_1], keep it.", "It is [SECRET_1]"), (sdk, name, said)


REPLIES = {
    "a key twice": '{"choices":[{"message":{"content":"a","content":"KEY"}}]}',
    "a key in another case": '{"choices":[{"message":{"Content":"KEY","content":"a"}}]}',
    "a BOM": '\ufeff{"choices":[{"message":{"content":"KEY"}}]}',
    "NaN": '{"choices":[{"message":{"content":"KEY"}}],"x":NaN}',
    "a lone surrogate": '{"choices":[{"message":{"content":"KEY \\ud800"}}]}',
    "escapes": '{"choices":[{"message":{"content":"\\u0041KIAQ7EXAMPL3TE5TKXQ"}}]}',
    "bytes after it": '{"choices":[{"message":{"content":"a"}}]}{"choices":[{"message":{"content":"KEY"}}]}',
    "a comment": '{/* KEY */"choices":[]}',
    "deep": '{"choices":[{"message":{"content":"a"}}],"x":' + "[" * 200 + '"KEY"' + "]" * 200 + "}",
    "a large number": '{"choices":[{"message":{"content":"KEY"}}],"x":1e999}',
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_whole_reply_is_read_as_python_reads_it_or_refused(site, name):
    body = REPLIES[name].replace("KEY", KEY).encode()
    CANNED[:] = b"application/json", body, len(body)
    got = site.send(H1, json.loads(ROWS[0]["body"]), headers=[("x-script", "canned")])
    assert KEY not in json.dumps(json.loads(got.reply.body)), got
    assert got.audit.get("bartizan.reason") == "reply.unreadable" or got.audit["bartizan.verdict"] == "mask"
