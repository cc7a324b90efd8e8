"""What `bartizan audit drift` compares is in the record of real requests: why a reply ended, who refused, script, lengths, group."""

import json
import subprocess

import pytest

from conftest import ATTACK, chat, user
from harness import eventstream
from harness import upstream as scripts
from harness.client import H1
from harness.paths import CLI
from harness.tokens import claims
from harness.upstream import CANNED
from harness.wires import WIRES
from tests.test_matrix import every_protocol

GROUPS = ["research", "sales"]
# Formats whose replies, as the upstream writes them, have no word for their end.
WITHOUT = {
    "LangServe", "LangGraph runs", "TGI generate", "MCP", "GraphQL", "Chroma query", "Pinecone query", "Weaviate GraphQL", "generic",
    "OpenAI results of a batch",
}  # fmt: skip
ENDING = [
    (name, stream)
    for name, wire in WIRES.items()
    if name not in WITHOUT
    for stream, reads in ((False, wire.whole), (True, wire.stream))
    if callable(reads)
]


def grouped(document: dict) -> None:
    every_protocol(document)
    document["audit"]["group"] = {"claim": "/department", "values": GROUPS}


def events(*parts: dict) -> bytes:
    return b"".join(b"event: %s\ndata: %s\n\n" % (part.get("type", "message").encode(), json.dumps(part).encode()) for part in parts)


def choice(finish: str, message: dict) -> bytes:
    said = {"role": "assistant", "content": None, **message}
    return json.dumps({"id": "c1", "model": "smollm2", "choices": [{"index": 0, "message": said, "finish_reason": finish}]}).encode()


def piece(delta: dict, finish: str | None = None) -> dict:
    return {"id": "c1", "model": "smollm2", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def sse(*parts: dict) -> bytes:
    return b"".join(b"data: %s\n\n" % json.dumps(part).encode() for part in parts) + b"data: [DONE]\n\n"


REFUSAL = "I can't help with that."
# The wire, whether it streams, the reply, what the record says of its end, and who refused.
REFUSED = {
    "OpenAI's refusal": ("OpenAI chat", False, choice("stop", {"refusal": REFUSAL}), ["stop"], "model"),
    "OpenAI's refusal in a stream": (
        "OpenAI chat", True, sse(piece({"refusal": REFUSAL[:9]}), piece({"refusal": REFUSAL[9:]}), piece({}, "stop")), ["stop"], "model",
    ),
    "OpenAI's filter": ("OpenAI chat", False, choice("content_filter", {"content": ""}), ["content_filter"], "provider"),
    "OpenAI's filter in a stream": (
        "OpenAI chat", True, sse(piece({"content": "So"}), piece({}, "content_filter")), ["content_filter"], "provider",
    ),
    "an empty refusal": ("OpenAI chat", False, choice("stop", {"content": "Hi.", "refusal": ""}), ["stop"], None),
    "a word that nobody knows": ("OpenAI chat", False, choice("jane@example.org", {"content": "Hi."}), ["other"], None),
    "the responses API": (
        "OpenAI responses", False,
        json.dumps({
            "id": "resp_1", "object": "response", "status": "completed", "model": "smollm2",
            "output": [{"type": "message", "role": "assistant", "status": "completed", "id": "msg_1",
                        "content": [{"type": "refusal", "refusal": REFUSAL}]}],
        }).encode(),
        ["completed"], "model",
    ),
    "Anthropic": (
        "Anthropic messages", False,
        json.dumps({"id": "msg_1", "type": "message", "role": "assistant", "model": "smollm2", "content": [], "stop_reason": "refusal",
                    "stop_sequence": None, "usage": {"input_tokens": 3, "output_tokens": 0}}).encode(),
        ["refusal"], "model",
    ),
    "Anthropic's stream": (
        "Anthropic messages", True,
        events(
            {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "smollm2", "content": [],
                                                  "stop_reason": None, "usage": {"input_tokens": 3, "output_tokens": 0}}},
            {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_sequence": None}, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        ),
        ["refusal"], "model",
    ),
    "Gemini's prompt": (
        "Gemini", False, json.dumps({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}).encode(), ["PROHIBITED_CONTENT"], "provider",
    ),
    "Gemini's answer": (
        "Gemini", False, json.dumps({"candidates": [{"finishReason": "SAFETY", "index": 0}]}).encode(), ["SAFETY"], "provider",
    ),
    "Bedrock's guardrail": (
        "Bedrock Converse", False,
        json.dumps({"output": {"message": {"role": "assistant", "content": [{"text": "No."}]}}, "stopReason": "guardrail_intervened",
                    "usage": {"inputTokens": 3, "outputTokens": 1, "totalTokens": 4}, "metrics": {"latencyMs": 1}}).encode(),
        ["guardrail_intervened"], "provider",
    ),
    "Bedrock's stream": (
        "Bedrock Converse", True,
        b"".join(eventstream.message(kind, body) for kind, body in (
            ("messageStart", {"role": "assistant"}),
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "No."}}),
            ("contentBlockStop", {"contentBlockIndex": 0}),
            ("messageStop", {"stopReason": "content_filtered"}),
        )),
        ["content_filtered"], "provider",
    ),
}  # fmt: skip


@pytest.fixture
def site(sites, mode):
    return sites(mode, change=grouped)


@pytest.mark.parametrize("name,stream", ENDING, ids=[f"{name}-{'stream' if stream else 'whole'}".replace(" ", "_") for name, stream in ENDING])
def test_the_end_of_every_format_is_recorded(site, name, stream):
    wire = WIRES[name]
    scripts.SAID[:] = ["Hello ", "there."]
    path = (stream and wire.stream_path) or wire.path
    headers = [("x-script", "said"), ("content-type", wire.content_type), *([("x-stream", "1")] if stream else [])]
    got = site.send(H1, wire.request("hello", stream), path=path, method=wire.method, headers=headers)
    assert got.reply.status == 200, got
    assert got.audit["gen_ai.response.finish_reasons"] == [wire.ends[0]]
    assert "bartizan.refusal" not in got.audit


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_of_the_models_side_is_recorded(site, case):
    name, stream, body, ends, by = REFUSED[case]
    wire = WIRES[name]
    is_events = stream and name == "Bedrock Converse"
    kind = b"application/vnd.amazon.eventstream" if is_events else b"text/event-stream" if stream else b"application/json"
    CANNED[:] = kind, body, len(body)
    path = (stream and wire.stream_path) or wire.path
    got = site.send(H1, wire.request("hello", stream), path=path, headers=[("x-script", "canned")])
    assert got.reply.status == 200, got
    assert got.audit["gen_ai.response.finish_reasons"] == ends, got.audit
    assert got.audit.get("bartizan.refusal") == by
    assert got.audit["bartizan.verdict"] == "allow"


@pytest.mark.parametrize(
    "claim,group", [("research", "research"), ("jane@example.org", "other"), (["board", "sales"], "sales"), (None, None)], ids=str
)
def test_the_record_names_the_group(site, claim, group):
    more = {} if claim is None else {"department": claim}
    token = site.keys["ES256"].sign(claims("alice", ["analyst"], **more))
    for text, verdict in (("What is a bartizan?", "allow"), (ATTACK, "block")):
        got = site.send(H1, chat(user(text)), token=token)
        assert got.audit["bartizan.verdict"] == verdict
        assert got.audit.get("bartizan.group") == group
        assert "jane@example.org" not in json.dumps(got.audit)


@pytest.mark.parametrize(
    "texts,script", [(["Was ist ein Erker?"], "latin"), (["Hello.", "Что такое эркер?"], "cyrillic"), (["1 + 1"], "none")], ids=str
)
def test_script_and_lengths_are_recorded(site, texts, script):
    got = site.send(H1, chat(*(user(text) for text in texts)), headers=[("x-script", "said")]).passed()
    assert got.audit["bartizan.script"] == script
    assert got.audit["bartizan.request.text_bytes"] == sum(len(text.encode()) for text in texts)
    answer = got.reply.json()["choices"][0]["message"]["content"]
    assert got.audit["bartizan.reply.text_bytes"] == len(answer.encode())


def test_the_command_reads_what_the_proxy_wrote(site, tmp_path):
    """Records of the access log make a baseline that they do not differ from."""
    scripts.SAID[:] = ["Hello ", "there."]
    for at in range(40):
        token = site.keys["ES256"].sign(claims("alice", ["analyst"], department=GROUPS[at % 2]))
        site.send(H1, chat(user("hello " * (at + 1))), token=token, headers=[("x-script", "said")]).passed()
    log, baseline = tmp_path / "access.log", tmp_path / "baseline.json"
    log.write_text((site.proxy.folder / "access.log").read_text())
    drift = [CLI, "audit", "drift", log, "--json", "--least", "30"]
    assert subprocess.run([*drift, "--write-baseline", baseline], capture_output=True, check=False).returncode in (0, 1)
    told = json.loads(subprocess.run([*drift, "--baseline", baseline], capture_output=True, check=False).stdout)
    assert told["records"] == told["baselineRecords"] >= 40
    assert not [one for one in told["comparisons"] if one["state"] == "differs"]
    assert {"replyBytes", "script", "finish", "durationMs", "group"} <= {one["feature"] for one in told["comparisons"]}
    assert {one["name"] for one in told["parity"] if one["by"] == "group"} >= set(GROUPS)
