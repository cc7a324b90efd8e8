"""The adapter of `envoy/opinions` to four clouds' guardrails: its translations by answers of the documented forms, the adapter in
front of doubles of the services, and both behind the filter. The services themselves can't be had."""

import http.client
import importlib.util
import json
import subprocess
import urllib.error
import urllib.request

import pytest

from conftest import ATTACK, Site, chat, user
from harness import envoy
from harness.client import H1
from harness.paths import CACHE, ROOT
from opinions.servers import PYTHON, Guardrails, missing
from opinions.vendors import KEY, ODD, Vendors, armor, bedrock

spec = importlib.util.spec_from_file_location("guardrails", ROOT / "envoy" / "opinions" / "guardrails.py")
guardrails = importlib.util.module_from_spec(spec)
spec.loader.exec_module(guardrails)
Blocked, Odd = guardrails.Blocked, guardrails.Odd
NAMED = "Ada Lovelace wrote it, and Ada Lovelace signed."
# Paths, and whether the service masks.
PATHS = {"/bedrock": True, "/azure": False, "/azure-documents": False, "/model-armor": True, "/lakera": True}


def outcome(read, answer: dict, text: str):
    try:
        return read(answer, text)
    except (Blocked, Odd) as error:
        return type(error)


def intervened(**assessment) -> dict:
    return {"action": "GUARDRAIL_INTERVENED", "outputs": [{"text": "-"}], "assessments": [assessment]}


def pii(*entities: tuple[str, str]) -> dict:
    return {"piiEntities": [{"match": match, "type": "NAME", "action": action} for match, action in entities], "regexes": []}


@pytest.mark.parametrize(("answer", "expected"), [
    ({"action": "NONE", "outputs": [], "assessments": []}, "Jane and Jan"),
    # Detected and let be: the guardrail's own configuration says so.
    ({"action": "NONE", "outputs": [], "assessments": [{"sensitiveInformationPolicy": pii(("Jane", "NONE"))}]}, "Jane and Jan"),
    (intervened(sensitiveInformationPolicy=pii(("Jane", "ANONYMIZED"), ("Jan", "ANONYMIZED"))), "[NAME] and [NAME]"),
    (intervened(sensitiveInformationPolicy={"piiEntities": [], "regexes": [{"name": "short", "match": "Jan", "regex": "J.n", "action": "ANONYMIZED"}]}),
     "[short]e and [short]"),
    (intervened(sensitiveInformationPolicy=pii(("Jane", "BLOCKED"))), Blocked),
    (intervened(sensitiveInformationPolicy=pii(("Jane", "ANONYMIZED")), topicPolicy={"topics": [{"name": "t", "type": "DENY", "action": "BLOCKED"}]}), Blocked),
    (intervened(contentPolicy={"filters": [{"type": "PROMPT_ATTACK", "confidence": "HIGH", "action": "BLOCKED"}]}), Blocked),
    (intervened(aPolicyOfTomorrow={"findings": [{"action": "REWRITTEN"}]}), Blocked),
    # It intervened and does not say where, or at a place that is not in the text.
    (intervened(), Blocked),
    (intervened(sensitiveInformationPolicy=pii(("Joe", "ANONYMIZED"))), Blocked),
    ({"action": "NONE", "guardrailCoverage": {"textCharacters": {"guarded": 3, "total": 12}}}, Odd),
    ({"action": "SOMETHING"}, Odd), ({}, Odd), ({"action": "GUARDRAIL_INTERVENED"}, Odd),
])  # fmt: skip
def test_bedrock(answer, expected):
    assert outcome(guardrails.bedrock_read, answer, "Jane and Jan") == expected


def test_azure():
    of = lambda *attacks: {"userPromptAnalysis": {"attackDetected": attacks[0]}, "documentsAnalysis": [{"attackDetected": one} for one in attacks[1:]]}
    assert outcome(guardrails.azure_read, of(False), "a") == "a"
    assert outcome(guardrails.azure_read, of(True), "a") is Blocked
    assert outcome(guardrails.azure_documents_read, of(False, True), "a") is Blocked
    assert outcome(guardrails.azure_documents_read, of(True, False), "a") == "a"
    for odd in ({}, {"userPromptAnalysis": {}}, {"userPromptAnalysis": {"attackDetected": "false"}}, {"userPromptAnalysis": {"attackDetected": None}}):
        assert outcome(guardrails.azure_read, odd, "a") is Odd
    for text in ("", "a" * 10_000, "a" * 10_001, "ab" * 15_000):
        parts = guardrails.azure_parts(text)
        assert max(map(len, parts)) <= 10_000 and parts[0] + "".join(part[500:] for part in parts[1:]) == text


def sanitised(state: str = "MATCH_FOUND", result: str = "SUCCESS", **filters) -> dict:
    return {"sanitizationResult": {"filterMatchState": state, "invocationResult": result, "filterResults": filters}}


FOUND, NOT_FOUND = {"executionState": "EXECUTION_SUCCESS", "matchState": "MATCH_FOUND"}, {"executionState": "EXECUTION_SUCCESS", "matchState": "NO_MATCH_FOUND"}
INJECTED, CALM = {"piAndJailbreakFilterResult": FOUND | {"confidenceLevel": "HIGH"}}, {"piAndJailbreakFilterResult": NOT_FOUND}


def inspected(*places: dict, **more) -> dict:
    return {"sdpFilterResult": {"inspectResult": FOUND | {"findings": [{"infoType": "PERSON_NAME", "likelihood": "LIKELY", "location": one} for one in places]} | more}}


@pytest.mark.parametrize(("answer", "expected"), [
    (sanitised("NO_MATCH_FOUND", pi_and_jailbreak=CALM), "Ä Jane"),
    (sanitised(pi_and_jailbreak=INJECTED), Blocked),
    (sanitised(sdp={"sdpFilterResult": {"deidentifyResult": FOUND | {"data": {"text": "Ä [N]"}}}}, pi_and_jailbreak=CALM), "Ä [N]"),
    (sanitised(sdp={"sdpFilterResult": {"deidentifyResult": FOUND | {"data": {"text": "Ä [N]"}}}}, pi_and_jailbreak=INJECTED), Blocked),
    (sanitised(csam={"csamFilterFilterResult": FOUND}), Blocked),
    (sanitised(rai={"raiFilterResult": FOUND | {"raiFilterTypeResults": {}}}), Blocked),
    # Characters, not bytes; numbers of 64 bits are strings, and zero is left out.
    (sanitised(sdp=inspected({"byteRange": {"start": "3", "end": "7"}, "codepointRange": {"start": "2", "end": "6"}})), "Ä [PERSON_NAME]"),
    (sanitised(sdp=inspected({"codepointRange": {"end": "1"}})), "[PERSON_NAME] Jane"),
    (sanitised(sdp=inspected({"codepointRange": {"start": "2", "end": "60"}})), Blocked),
    (sanitised(sdp=inspected({"byteRange": {"start": "3", "end": "7"}})), Blocked),
    (sanitised(sdp=inspected({"codepointRange": {"start": "2", "end": "6"}}, findingsTruncated=True)), Blocked),
    (sanitised(sdp={"sdpFilterResult": {"deidentifyResult": FOUND | {"data": {"text": "Ä Jane"}}}}), Blocked),
    (sanitised(), Blocked),
    # Filters that did not run have not found nothing.
    (sanitised("NO_MATCH_FOUND", "PARTIAL"), Odd), (sanitised("NO_MATCH_FOUND", "FAILURE"), Odd), (sanitised(""), Odd), ({}, Odd),
])  # fmt: skip
def test_model_armor(answer, expected):
    assert outcome(guardrails.armor_read, answer, "Ä Jane") == expected


def flagged(*detectors: str, payload=()) -> dict:
    items = [{"start": start, "end": end, "text": text, "detector_type": "pii/name", "labels": []} for start, end, text in payload]
    return {"flagged": True, "breakdown": [{"detector_type": one, "detected": True} for one in detectors], "payload": items}


@pytest.mark.parametrize(("answer", "expected"), [
    ({"flagged": False, "breakdown": [{"detector_type": "pii/name", "detected": True}]}, "Ä Jane"),
    (flagged("prompt_attack"), Blocked),
    (flagged("pii/name", payload=[(2, 6, "Jane")]), "Ä [NAME]"),
    # The last character, or the one behind it; other units than characters are found by the text.
    (flagged("pii/name", payload=[(2, 5, "Jane")]), "Ä [NAME]"),
    (flagged("pii/name", payload=[(3, 7, "Jane")]), "Ä [NAME]"),
    (flagged("pii/name", payload=[(2, 6, "Joan")]), Blocked),
    (flagged("pii/name", "prompt_attack", payload=[(2, 6, "Jane")]), Blocked),
    (flagged("pii/name"), Blocked), (flagged(), Blocked),
    ({"flagged": True}, Odd), ({"flagged": "no"}, Odd), ({}, Odd),
])  # fmt: skip
def test_lakera(answer, expected):
    assert outcome(guardrails.lakera_read, answer, "Ä Jane") == expected


@pytest.fixture(scope="module")
def vendors():
    with Vendors() as services:
        yield services


@pytest.fixture(scope="module")
def adapter(vendors):
    with Guardrails(vendors.environment) as server:
        yield server


@pytest.fixture(autouse=True)
def calm(vendors):
    vendors.mood = "pass"
    vendors.wrong.clear()
    yield
    assert vendors.wrong == []


def ask(adapter: Guardrails, path: str, *texts: str, kind: str = "request", body: bytes | None = None) -> tuple[int, dict]:
    octets = body if body is not None else json.dumps({"texts": texts, "input_type": kind, "request_data": {}}).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(adapter.url + path, octets, {"content-type": "application/json"}), timeout=30) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize("kind", ["request", "response"])
@pytest.mark.parametrize("path", PATHS)
def test_each_service_is_asked_in_its_words(adapter, path, kind):
    assert ask(adapter, path, "A cat.", "Two cats.", kind=kind) == (200, {"action": "NONE"})
    assert ask(adapter, path, "A cat.", "A tiger.", kind=kind)[1]["action"] == "BLOCKED"
    assert ask(adapter, path, "cat " * 5_000 + "tiger", kind=kind)[1]["action"] == "BLOCKED"
    status, answer = ask(adapter, path, "A cat.", NAMED, kind=kind)
    if PATHS[path]:
        assert answer["action"] == "GUARDRAIL_INTERVENED" and answer["texts"][0] == "A cat."
        assert "Lovelace" not in answer["texts"][1] and answer["texts"][1].endswith("signed.")
    else:
        assert answer == {"action": "NONE"}


@pytest.mark.parametrize("path", PATHS)
def test_no_answer_and_no_sense_are_no_opinion(adapter, vendors, path):
    for vendors.mood in ODD:
        assert ask(adapter, path, "A cat.") == (502, {"error": "no opinion"}), vendors.mood
    vendors.mood = "redirect"
    before = len(vendors.asked)
    ask(adapter, path, "A cat.")
    assert len(vendors.asked) == before + 1, "a redirect was followed, with the credential"


def test_a_question_of_another_form_is_no_opinion(adapter):
    for body in (b"", b"[]", b"{", b"{}", b'{"texts": "a", "input_type": "request"}', b'{"texts": [1], "input_type": "request"}', b'{"texts": ["a"]}'):
        assert ask(adapter, "/lakera", body=body)[0] == 502, body
    assert ask(adapter, "/other", "A cat.")[0] == 404
    for size in (str(5 << 20), "-1", "many"):
        connection = http.client.HTTPConnection("127.0.0.1", adapter.port, timeout=30)
        connection.putrequest("POST", "/lakera")
        connection.putheader("content-length", size)
        connection.endheaders()
        assert connection.getresponse().status == 413
        connection.close()


def test_without_its_settings_a_service_is_not_asked(vendors):
    environment = {name: value for name, value in vendors.environment.items() if not name.startswith("LAKERA")}
    with Guardrails(environment | {"LAKERA_API_KEY_FILE": "/nowhere"}) as server:
        assert ask(server, "/bedrock", "A cat.")[0] == 200
        assert ask(server, "/lakera", "A cat.")[0] == 502
    with Guardrails(environment) as server:
        assert ask(server, "/lakera", "A cat.") == (503, {"error": "LAKERA_API_KEY is not set"})
        log = server.log.read_text()
        assert KEY not in log and "cat" not in log


def test_a_service_that_is_gone_is_no_opinion(vendors):
    from harness.upstream import closed_port

    with Guardrails(vendors.environment | {"LAKERA_URL": f"http://127.0.0.1:{closed_port()}"}) as server:
        assert ask(server, "/lakera", "A cat.")[0] == 502


# The doubles speak as the vendors' own client libraries expect.
SDKS = """
import json, sys
import botocore.session, botocore.parsers
from google.cloud.modelarmor_v1 import SanitizeUserPromptResponse
for name, answer in json.load(sys.stdin):
    if name == "bedrock":
        shape = botocore.session.get_session().get_service_model("bedrock-runtime").operation_model("ApplyGuardrail").output_shape
        parsed = botocore.parsers.RestJSONParser().parse({"status_code": 200, "headers": {}, "body": json.dumps(answer).encode()}, shape)
        known = set(shape.members)
        assert set(answer) <= known, set(answer) - known
        print(parsed["action"])
    else:
        print(SanitizeUserPromptResponse.from_json(json.dumps(answer), ignore_unknown_fields=False).sanitization_result.filter_match_state.name)
"""


def test_the_doubles_speak_as_the_libraries_expect():
    if reason := missing() or (None if list(CACHE.glob("judges/lib/*/site-packages/google/cloud/modelarmor_v1")) else "no google-cloud-modelarmor"):
        pytest.skip(reason)
    texts = ("A cat.", "A tiger.", NAMED)
    answers = [("bedrock", bedrock(text)) for text in texts] + [("armor", armor(text)) for text in texts]
    # And what the tests above call the documented form.
    answers += [("armor", sanitised(sdp=inspected({"byteRange": {"start": "3", "end": "7"}, "codepointRange": {"start": "2", "end": "6"}}))),
                ("armor", sanitised(csam={"csamFilterFilterResult": FOUND})), ("armor", sanitised(rai={"raiFilterResult": FOUND | {"raiFilterTypeResults": {}}}))]  # fmt: skip
    done = subprocess.run([str(PYTHON), "-c", SDKS], input=json.dumps(answers), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["NONE", *["GUARDRAIL_INTERVENED"] * 2, "NO_MATCH_FOUND", *["MATCH_FOUND"] * 5]


@pytest.fixture(scope="module")
def proxies(upstream, keys, adapter):
    """One proxy a service, the entry of `opinions` as the manual has it."""
    made: dict[str, Site] = {}

    def of(path: str) -> Site:
        def policy(document: dict) -> None:
            document["opinions"] = {"cloud": {"kind": "http", "cluster": "guardrails", "path": path, "timeout": "10s", "onUnavailable": "deny"}}
            document["guards"]["standard"].update(opinions=["cloud"])
            document["roles"]["analyst"].pop("quotas", None)

        if path not in made:
            made[path] = Site("strong", upstream, keys, change=policy, edit=lambda config: envoy.with_cluster(config, "guardrails", adapter.port))
        return made[path]

    yield of
    for one in made.values():
        one.proxy.stop()


@pytest.mark.parametrize("path", PATHS)
def test_behind_the_filter(proxies, vendors, path):
    site = proxies(path)
    site.send(H1, chat(user("A harmless cat."))).passed()
    site.send(H1, chat(user("A tiger."))).refused(400, "scan.opinion")
    got = site.send(H1, chat(user("It was Ada Lovelace who wrote it.")))
    if PATHS[path]:
        got.passed("mask")
        content = got.one.json()["messages"][0]["content"]
        assert content.startswith("It was [") and content.endswith("] who wrote it.") and "Lovelace" not in content
    else:
        got.passed()
    for vendors.mood in ("error", "empty", "redirect"):
        site.send(H1, chat(user("A harmless cat."))).refused(503, "opinion.unavailable")
        site.send(H1, chat(user(ATTACK))).refused(400, "scan.injection")
