"""Captures on the wire: sealed by the proxy, opened by the operator, rehearsed; shadow mode counts what replay foretells."""

import json
import subprocess
from collections import Counter

from conftest import ATTACK, Site, chat, user
from harness.client import H1
from harness.paths import CLI, run_folder

SECRET = "please keep AKIAIOSFODNN7EXAMPLQ for me"


def bartizan(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([str(CLI), *map(str, arguments)], capture_output=True, text=True)


def beside_the_guards(site: Site) -> list[dict]:
    """What quotas and roles say, in the records."""
    guest = site.token("visitor", ("guest",))
    tool = {"type": "function", "function": {"name": "rm", "parameters": {"type": "object", "properties": {}}}}
    asked = [(guest, chat()), (guest, chat(user("wall " * 300))), (guest, chat()), (guest, chat())]
    asked += [(site.token(), chat(model="another")), (site.token(), chat(tools=[tool]))]
    return [site.send(H1, body, token=token).audit for token, body in asked]


def counted(site: Site, name: str) -> Counter:
    """Counters by their reason."""
    counts = Counter()
    for full, value in site.proxy.stats(f"bartizan.{name}").items():
        counts[full.split(".reason.")[1].split(".")[0]] += value
    return counts


def test_what_was_flagged_is_sealed_opened_and_rehearsed(upstream, keys):
    folder = run_folder("capture")
    made = json.loads(bartizan("capture", "keygen", "--json", folder / "key").stdout)

    def change(document: dict) -> None:
        document["capture"] = {"publicKey": made["publicKey"], "keepFor": "1h"}
        document["roles"]["analyst"].pop("quotas")
        document["roles"]["guest"]["quotas"] = [
            {"per": "subject", "requests": 3, "window": "1m"}, {"per": "subject", "tokens": 300, "window": "1h"}]  # fmt: skip

    def shadow(document: dict) -> None:
        change(document)
        for guard in document.setdefault("guards", {}).values():
            guard["mode"] = "shadow"
        for role in document["roles"].values():
            role["mode"] = "shadow"
            for quota in role.get("quotas", []):
                quota["mode"] = "shadow"

    prompts = [ATTACK, "What is a bartizan?", SECRET, ATTACK]
    enforcing = Site("strong", upstream, keys, change=change)
    try:
        sent = [enforcing.send(H1, chat(user(prompt))) for prompt in prompts]
        records = [outcome.audit for outcome in sent]
        log = folder / "envoy.log"
        log.write_text(enforcing.proxy.log())
        others = beside_the_guards(enforcing)
        refused = counted(enforcing, "requests.verdict.block.reason.")
    finally:
        enforcing.proxy.stop()
    assert [outcome.reply.status for outcome in sent] == [400, 200, 400, 400]
    assert [record.get("bartizan.capture") for record in records] == ["sealed", None, "sealed", "sealed"]
    lines = [line for line in log.read_text().splitlines() if "bartizan.capture" in line]
    assert not any(ATTACK in line or "AKIA" in line or "alice" in line for line in lines)
    opened = json.loads(bartizan("capture", "open", "--json", "--key", folder / "key", log).stdout)
    assert len(opened["captures"]) == 3 and ATTACK in opened["captures"][0]["body"]

    policy = dict(enforcing.policy)
    same = folder / "same.json"
    same.write_text(json.dumps(policy))
    done = bartizan("replay", "--config", same, "--key", folder / "key", log)
    assert done.returncode == 0, done.stdout + done.stderr

    watched = Site("strong", upstream, keys, change=shadow)
    try:
        rehearsed = folder / "shadow.json"
        rehearsed.write_text(json.dumps(watched.policy))
        done = bartizan("replay", "--config", rehearsed, "--key", folder / "key", "--json", log)
        report = json.loads(done.stdout)
        assert done.returncode == 1 and report["newlyAllowed"]["count"] == 3, report
        passed = [watched.send(H1, chat(user(prompt))).audit for prompt in prompts]
        on_the_proxy = Counter(reason for record in passed for reason in record.get("bartizan.shadow", []))
        assert on_the_proxy == {reason: counts["now"] for reason, counts in report["shadow"].items()}
        # And what enforcing refused is what shadow mode counts.
        assert on_the_proxy == Counter(record["bartizan.reason"] for record in records if "bartizan.reason" in record)
        assert [audit.get("bartizan.reason") for audit in others] == [None, "quota.tooLarge", None, "quota.requests", "rbac.model", "rbac.tool"]
        in_shadow = beside_the_guards(watched)
        assert {audit["bartizan.verdict"] for audit in in_shadow} == {"allow"}
        assert [audit.get("bartizan.shadow", [None])[0] for audit in in_shadow] == [audit.get("bartizan.reason") for audit in others]
        assert counted(watched, "shadow.reason.") == refused
        assert not counted(watched, "requests.verdict.block.reason.")
    finally:
        watched.proxy.stop()
