"""A blocked request, from real Envoy through the file access log and rsyslog into each store, found by its caller's id."""

import base64
import json
import re

import pytest

from conftest import ATTACK, Site, user
from harness.paths import ROOT, run_folder
from harness.wait import eventually

from .proxy import add
from .shippers import LABELS, pipeline, unavailable
from .stores import STORES
from .test_access_logs import records

MARKS = {"text": "marked-zq7-text", "token": "marked-zq7-subject", "key": "sk-proj-markedZq7AbCdEfGhIjKlMnOpQrStUvWxYz012345"}


def routes(policy: dict) -> None:
    policy["routes"].append({"match": {"path": "/v1/messages"}, "protocol": "anthropic"})


@pytest.fixture(scope="module")
def line(upstream, keys):
    """A proxy with the shipped file log, and its log."""
    file = run_folder("audit") / "audit.log"
    site = Site("strong", upstream, keys, change=routes, edit=lambda config: add(config, "file", path=file))
    yield site, file
    site.proxy.stop()


@pytest.fixture(scope="module", params=STORES)
def pipe(request, line):
    """A store, and rsyslog that fills it."""
    if why := unavailable(request.param):
        pytest.skip(why)
    with pipeline(request.param, line[1]) as parts:
        yield parts


def blocked(site, marks: str = "", key: str = "") -> str:
    """Sends an attack in Anthropic's format; the id is what the error body gives to the caller."""
    body = {"model": "smollm2", "max_tokens": 9, "messages": [user(f"{ATTACK} {marks} {key}")]}
    headers = [("x-api-key", key)] if key else []
    got = site.send("h1", body, token=site.token(MARKS["token"]), path="/v1/messages", headers=headers)
    got.refused(400, "scan.injection")
    return json.loads(got.reply.body)["request_id"]


def test_the_query_finds_exactly_the_blocked_request(line, pipe):
    site, file = line
    store, _ = pipe
    ids = [blocked(site) for _ in range(3)]
    for wanted in ids:
        [found] = eventually(lambda wanted=wanted: store.find(wanted), f"{wanted} in the store")
        [written] = [json.loads(text) for text in records(file) if json.loads(text)["http.request.id"] == wanted]
        assert found == written and found["bartizan.reason"] == "scan.injection"
    assert store.find("no-such-request") == []


def test_lines_that_came_while_the_shipper_was_away_come_later_and_once(line, pipe):
    site, _ = line
    store, shipper = pipe
    first = blocked(site)
    eventually(lambda: store.find(first), "the first record")
    shipper.stop()
    meanwhile = [blocked(site) for _ in range(3)]
    shipper.start()
    for wanted in [*meanwhile, first]:
        assert len(eventually(lambda wanted=wanted: store.find(wanted), f"{wanted} in the store")) == 1


def forms(mark: str) -> set[bytes]:
    """How a text may look in a store: plain, in hex, and in base64 at each of the three offsets."""
    raw = mark.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    for pad in range(3):
        # The outer characters of each form depend on what stands beside the text.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(b"\0" * pad + raw)[4 if pad else 0 : -4])
    return found


def test_no_text_token_or_key_is_in_a_store(line, pipe):
    site, file = line
    store, _ = pipe
    wanted = blocked(site, MARKS["text"], MARKS["key"])
    eventually(lambda: store.find(wanted), f"{wanted} in the store")
    kept = store.everything()
    assert wanted.encode() in kept
    token = site.token(MARKS["token"])
    secrets = [*MARKS.values(), ATTACK, token, *token.split(".")]
    leaks = [mark for mark in secrets for form in forms(mark) if form.lower() in kept.lower() or form in file.read_bytes()]
    assert leaks == []
    # The search would see them.
    for mark in secrets:
        for text in (mark, mark.encode().hex(), *(base64.b64encode(b"x" * pad + mark.encode() + b"yyy").decode() for pad in range(3))):
            assert any(form in text.encode() for form in forms(mark)), text


def manual(language: str) -> list[str]:
    """The queries of the manual's page."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "src/manual/pipelines.md").read_text(), re.M | re.S)


def test_loki_has_bounded_labels_and_the_id_beside_them(line):
    if why := unavailable("loki"):
        pytest.skip(why)
    site, file = line
    with pipeline("loki", file) as (store, _):
        wanted = blocked(site)
        eventually(lambda: store.find(wanted), f"{wanted} in the store")
        [asked] = manual("logsql")
        [hit] = store.query(asked.replace("REQUEST_ID", wanted))
        stream = dict(pair.split("=", 1) for pair in hit["_stream"].strip("{}").split(","))
        assert {name: json.loads(value) for name, value in stream.items()} == {
            "service": "bartizan", "verdict": "block", "reason": "scan.injection", "protocol": "anthropic", "operation": "chat",
        }  # fmt: skip
        assert set(stream) == {"service", *LABELS}
        assert hit["_msg"].encode() in records(file)


def test_opensearch_answers_the_queries_of_the_manual(line):
    if why := unavailable("opensearch"):
        pytest.skip(why)
    site, file = line
    with pipeline("opensearch", file) as (store, _):
        wanted = blocked(site)
        eventually(lambda: store.find(wanted), f"{wanted} in the store")
        one, rule = [json.loads(asked.replace("REQUEST_ID", wanted))["query"] for asked in manual("json")]
        assert [hit["_source"]["http.request.id"] for hit in store.search(one)] == [wanted]
        found = store.search(rule)
        assert wanted in [hit["_source"]["http.request.id"] for hit in found]
        # The worker and its count are the document's id, so that a record that is sent twice is stored once.
        for hit in found:
            source = hit["_source"]
            assert hit["_id"] == f"{source['bartizan.worker']}-{source['bartizan.sequence']}-{source['http.request.id']}"
