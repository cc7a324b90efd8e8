"""Every protocol, every direction, every kind of verdict, on real Envoy: the table in src/manual/protocols.md names these tests.

A "yes" in it is a cell that is tested in both modes. `MATRIX=write` writes the table.
"""

import json
import os

import pytest

from conftest import ATTACK
from harness import upstream as scripts
from harness.client import H1
from harness.paths import ROOT
from harness.wires import WIRES, Wire

KEY = "AKIAQ7EXAMPL3TE5TKXQ"
MAIL = "jane@example.org"
IMAGE = "![x](https://evil.test/p.png)"
PARTS = ["request", "whole reply", "stream"]
KINDS = ["scan", "mask", "block", "usage", "denial shape"]
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"


def every_protocol(document: dict) -> None:
    document["routes"] = [
        {"match": {"pathPrefix": "/v1/"}, "protocol": "openai"},
        {"match": {"pathPrefix": "/v1/"}, "protocol": "anthropic"},
        {"match": {"pathPrefix": "/api/"}, "protocol": "ollama"},
        {"match": {"pathPrefix": "/v1beta/"}, "protocol": "gemini"},
        {"match": {"pathPrefix": "/v2/"}, "protocol": "cohere"},
        {"match": {"pathPrefix": "/"}, "protocol": "bedrock"},
        {"match": {"pathPrefix": "/"}, "protocol": "langserve"},
        {"match": {"pathPrefix": "/chroma/api/v2/"}, "protocol": "chroma", "tenancy": "none"},
        {"match": {"pathPrefix": "/pinecone/"}, "protocol": "pinecone", "tenancy": "none"},
        {"match": {"pathPrefix": "/weaviate/v1/"}, "protocol": "weaviate", "tenancy": "none"},
        {"match": {"path": "/hf"}, "protocol": "tgi", "operation": "generate"},
        {"match": {"path": "/mcp"}, "protocol": "mcp"},
        {"match": {"path": "/graphql"}, "protocol": "graphql"},
        {"match": {"path": "/ask"}, "protocol": {"generic": {"prompt": ["/prompt"], "output": ["/response"]}}},
    ]
    document["audit"] = {**document.get("audit", {}), "usage": True}
    analyst = document["roles"]["analyst"]
    document["unscanned"] = {**document.get("unscanned", {}), "state": "flag", "reference": "flag", "lines": "scan"}
    analyst.update(
        operations=["chat", "generate", "completions", "responses", "embeddings", "rerank", "moderations", "mcp", "batch", "files",
                    "fineTuning", "query", "upsert"],
        models=["*"], tools={"allow": ["search_*", "Query.ask"]}, quotas=[],
    )  # fmt: skip


def masking(document: dict) -> None:
    every_protocol(document)
    document["guards"]["standard"].update(pii={"action": "mask"}, output={"secrets": "mask", "pii": "flag"})


def blocking(document: dict) -> None:
    every_protocol(document)
    document["guards"]["standard"]["output"] = {"secrets": "block"}


def na(wire: Wire, part: str, kind: str) -> str | None:
    """Why there is no such cell."""
    if part == "request":
        if isinstance(wire.ask, str):
            return wire.ask
        if kind == "usage" and not wire.asks_usage:
            return wire.usage if isinstance(wire.usage, str) else "counted in the reply"
        return wire.masks if kind == "mask" else None
    read = wire.whole if part == "whole reply" else wire.stream
    if isinstance(wire.usage, str) and kind == "usage":
        return wire.usage
    return read if isinstance(read, str) and not (kind == "usage" and part == "whole reply") else None


CELLS = [(row, part, kind) for row in WIRES for part in PARTS for kind in KINDS if na(WIRES[row], part, kind) is None]


@pytest.fixture
def send(sites, mode):
    def send(wire: Wire, text: str = "hello", said=("Hello ", "there."), stream: bool = False, change=masking):
        scripts.SAID[:] = said
        extra = [("x-stream", "1")] if stream else []
        path, body = (stream and wire.stream_path) or wire.path, wire.request(text, stream)
        headers = [("x-script", "said"), ("content-type", wire.content_type), *extra]
        return sites(mode, change=change).send(H1, body, path=path, method=wire.method, headers=headers)

    return send


def text_of(wire: Wire, got, stream: bool) -> tuple[str, str]:
    return wire.stream(got.reply.body) if stream else (wire.whole(got.reply.json()), wire.ends[0])


def in_a_request(wire: Wire, kind: str, send) -> None:
    if kind == "scan":
        got = send(wire, f"Hello. {ATTACK}")
        assert got.audit["bartizan.reason"] == "scan.injection" and got.reply.status == 400
        assert got.audit["bartizan.findings"] and got.audit["bartizan.coverage"] == ("partial" if wire.refers else "full")
        assert got.audit.get("bartizan.unscanned") == (["reference"] if wire.refers else None)
    elif kind == "mask":
        got = send(wire, f"Write to {MAIL}.")
        assert got.reply.status == 200, got
        body = got.one.body.decode()
        assert MAIL not in body and "[EMAIL_1]" in body
    elif kind == "block":
        got = send(wire, f"My key is {KEY}.")
        assert (got.reply.status, got.reply.reason) == (400, "scan.secret")
        assert not got.seen or not any(seen.body for seen in got.seen)
    elif kind == "usage":
        assert send(wire, stream=True).one.json()["stream_options"] == {"include_usage": True}
    else:
        assert wire.error(send(wire, ATTACK).reply.json())


def in_a_reply(wire: Wire, kind: str, send, stream: bool, strong: bool) -> None:
    if kind == "scan":
        # In what a server of MCP sends, such an image is an attack: see test_protocols_mcp.py.
        seen = MAIL if wire.path == "/mcp" else IMAGE
        got = send(wire, said=["Look ", "at ", seen, " here."], stream=stream)
        assert text_of(wire, got, stream) == (f"Look at {seen} here.", wire.ends[0])
        rules = {finding["rule"] for finding in got.audit["bartizan.findings"]}
        assert rules and (seen == MAIL or rules == {"output.exfiltration"})
        assert got.audit["bartizan.verdict"] == "allow"
    elif kind == "mask":
        got = send(wire, said=["The key is ", KEY[:6], KEY[6:], ", keep ", "it."], stream=stream)
        assert text_of(wire, got, stream) == ("The key is [SECRET_1], keep it.", wire.ends[0])
        assert got.audit["bartizan.verdict"] == "mask" and KEY not in json.dumps(got.audit)
    elif kind == "usage":
        got = send(wire, stream=stream)
        assert (got.audit["gen_ai.usage.input_tokens"], got.audit["gen_ai.usage.output_tokens"]) == wire.usage
    else:
        got = send(wire, said=["One ", "two ", KEY, " three."], stream=stream, change=blocking)
        assert got.audit["bartizan.reason"] == "scan.secret" and got.audit["bartizan.verdict"] == "block"
        assert KEY.encode() not in got.reply.body and b"three" not in got.reply.body
        if stream:
            assert got.reply.complete and wire.stream(got.reply.body)[1] == wire.ends[1]
        else:
            assert got.reply.status == (400 if strong else 200)
            told = wire.error if strong else wire.withheld or wire.error
            assert kind == "block" or told(got.reply.json())


@pytest.mark.parametrize("row,part,kind", CELLS, ids=["-".join(cell).replace(" ", "_") for cell in CELLS])
def test_cell(row, part, kind, send, mode):
    wire = WIRES[row]
    if part == "request":
        in_a_request(wire, kind, send)
    else:
        in_a_reply(wire, kind, send, part == "stream", mode == "strong")


def table() -> str:
    """The matrix as Markdown: one line a protocol and direction; reasons below, numbered."""
    notes: list[str] = []

    def cell(row: str, part: str, kind: str) -> str:
        reason = na(WIRES[row], part, kind)
        if reason is None:
            return "yes"
        if reason not in notes:
            notes.append(reason)
        return f"n/a ({notes.index(reason) + 1})"

    lines = [f"| protocol | | {' | '.join(KINDS)} |", "|---" * (len(KINDS) + 2) + "|"]
    for row in WIRES:
        for part in PARTS:
            lines.append(f"| {row if part == PARTS[0] else ''} | {part} | " + " | ".join(cell(row, part, kind) for kind in KINDS) + " |")
    return "\n".join([*lines, "", *(f"({number}) {note}." for number, note in enumerate(notes, 1))])


def test_the_table_of_the_manual_names_what_is_tested():
    page = ROOT / "src/manual/protocols.md"
    before, _, rest = page.read_text().partition(BEGIN)
    old, _, after = rest.partition(END)
    new = f"\n{table()}\n"
    if os.environ.get("MATRIX") == "write":
        page.write_text(before + BEGIN + new + END + after)
    else:
        assert old == new, "the page is stale: MATRIX=write pytest integration/tests/test_matrix.py"
