"""The audit record and the metrics: what must stand in them, and what must not."""

import json
import re

from conftest import ATTACK, chat, user
from harness import falco
from harness.paths import ROOT
from harness.wait import eventually


def test_a_record_says_who_what_and_why(site, protocol):
    got = site.send(protocol, chat(user(f"Hello. {ATTACK}"))).refused(400, "scan.injection")
    record = got.audit
    assert record["event.outcome"] == "failure"
    assert record["gen_ai.operation.name"] == "chat"
    assert record["gen_ai.request.model"]
    assert record["bartizan.coverage"] == "full"
    assert record["bartizan.score"] >= 50
    finding = record["bartizan.findings"][0]
    assert finding["zone"] == "user" and finding["path"] == "/messages/0/content" and finding["action"] == "block"
    assert 0 <= finding["start"] < finding["end"] <= len(f"Hello. {ATTACK}")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["@timestamp"])


def test_a_record_holds_no_content(site, protocol):
    words = "velociraptor marmalade"
    token = site.token("very-secret-subject")
    got = site.send(protocol, chat(user(f"{words} {ATTACK}"), **{"x_velociraptor": words}), token=token)
    text = json.dumps(got.audit)
    for leak in ("velociraptor", "marmalade", "Ignore all", "very-secret-subject", "acme", token, token.split(".")[2]):
        assert leak not in text
    got = site.send(protocol, chat(model="model-velociraptor"))
    assert "velociraptor" not in json.dumps(got.audit)
    assert "velociraptor" not in site.proxy.log()


def test_the_record_is_a_log_line_too(site, protocol):
    got = site.send(protocol, chat()).passed()
    sequence, worker = got.audit["bartizan.sequence"], got.audit["bartizan.worker"]
    end = f'"bartizan.worker":"{worker}","bartizan.sequence":{sequence}}}'
    eventually(lambda: any(end in line for line in site.proxy.log().splitlines()), "a log line with the record")


def without_lines(document: dict) -> None:
    document.setdefault("audit", {})["logLine"] = False


def test_a_record_can_be_filter_state_alone(sites, protocol):
    site = sites("strong", change=without_lines)
    got = site.send(protocol, chat()).passed()
    refused = site.send(protocol, chat(user(ATTACK))).refused(400, "scan.injection")
    assert got.audit["bartizan.sequence"] and refused.audit["bartizan.sequence"]
    assert not [line for line in site.proxy.log().splitlines() if '"bartizan.sequence"' in line]


def test_metrics_are_prometheus_labels(site, protocol):
    site.send(protocol, chat(), token=None).refused(401, "jwt.missing", before_body=True)
    site.send(protocol, chat(user(ATTACK))).refused(400, "scan.injection")
    site.send(protocol, chat()).passed()
    page = site.proxy.prometheus()
    samples = [line for line in page if not line.startswith("#")]

    def find(name: str, **labels: str) -> list[str]:
        return [line for line in samples if re.match(rf"\w*{name}\{{", line) and all(f'{k}="{v}"' in line for k, v in labels.items())]

    assert find("bartizan_requests", verdict="block", reason="jwt_missing", protocol="openai", role="none")
    assert find("bartizan_requests", verdict="block", reason="scan_injection", protocol="openai", role="analyst")
    assert find("bartizan_requests", verdict="allow", reason="none", protocol="openai", role="analyst")
    assert find("bartizan_findings", action="block")
    assert find("bartizan_tokens", direction="output")
    assert all(re.search(r"\bmodel=\"", line) for line in find("bartizan_model_tokens", direction="output"))
    assert find("bartizan_model_tokens", direction="output")
    # No label value is left in a name.
    names = {re.split(r"[{ ]", line)[0] for line in samples}
    assert not [name for name in names if re.search(r"verdict|reason|protocol|_role|rule_|direction|action", name)], names


def test_the_start_line_says_what_is_in_force(site):
    log = site.proxy.log()
    line = next((line for line in log.splitlines() if "policy llm" in line or '"llm"' in line), None)
    assert line, f"no start line:\n{log[-2000:]}"


def test_falcos_rules_are_in_form_and_ask_for_what_a_record_has():
    known = set()
    for file in ("record.rs", "loading.rs"):
        known |= set(re.findall(r'rename = "([^"]+)"', (ROOT / "src/audit" / file).read_text()))
    must, may = {"rule", "desc", "condition", "output", "priority", "source"}, {"tags", "enabled"}
    rules = [entry for entry in falco.RULES if "rule" in entry]
    assert len({rule["rule"] for rule in rules}) == len(rules) >= 8
    for rule in rules:
        assert must <= set(rule) <= must | may, rule["rule"]
        assert rule["source"] == "collector" and rule["priority"] in ("CRITICAL", "ERROR", "WARNING", "NOTICE")
        assert "%" not in re.sub(r"%json\.value\[/[^\]]+\]", "", rule["output"])
    for text in [entry["condition"] for entry in falco.RULES if "condition" in entry] + [rule["output"] for rule in rules]:
        named = {pointer[1:].split("/")[0] for pointer in falco.FIELD.findall(text)}
        assert named <= known, named - known
    assert falco.alarms({}) == set()


def test_falcos_rules_judge_real_records(site, protocol, keys):
    assert falco.alarms(site.send(protocol, chat()).passed().audit) == set()
    assert falco.alarms(site.send(protocol, chat(user(ATTACK))).refused(400, "scan.injection").audit) == {"Bartizan blocked an attack"}
    head, _, mark = site.token().rpartition(".")
    forged = site.send(protocol, chat(), token=f"{head}.{mark[40:80]}{mark[:40]}{mark[80:]}").refused(401, "jwt.signature", before_body=True)
    assert falco.alarms(forged.audit) == {"Bartizan refused a forged or revoked token"}
