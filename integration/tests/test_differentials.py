"""Bodies that parsers read differently: each is refused, or reaches the upstream as what was scanned. Python's
json, which the SDKs and most model servers read with, is the other parser."""

import json

import pytest

from harness.client import H1
from harness.paths import ROOT

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
    came = [pair for pair in read(bytes(outcome.one.body)) if pair[0] != "max_completion_tokens"]
    assert came == sent
