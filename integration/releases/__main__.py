"""`python -m releases OLD.wasm NEW.wasm TEXTS... [--policy FILE [--new-policy FILE]] [--every N]`: where two modules, or two policies, decide otherwise.

TEXTS are labelled rows (`{"id", "text", "label", "zone"?}`, one a line), or requests as `bartizan capture open` prints them. Each
goes to both modules on real Envoy under one policy; verdict, reason, score and rules come from the audit records.
"""

import argparse
import json
import random
import sys
import threading
from collections import Counter, defaultdict
from pathlib import Path

from conftest import Site
from harness import envoy
from harness.client import H1, Call, Client
from harness.tokens import Key
from harness.upstream import Upstream
from harness.wait import eventually

ROLES = {"user": "user", "system": "system", "tool": "tool", "document": "tool", "assistant": "assistant"}


def body_of(row: dict, model: str) -> bytes:
    """A row's text as a chat, in the place of its zone; a captured request as it was."""
    if "body" in row:
        return row["body"].encode()
    zone = ROLES.get(row.get("zone", "user"), "user")
    messages = [{"role": zone, "content": row["text"]}]
    if zone == "tool":
        call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
        messages = [{"role": "user", "content": "Look it up."}, {"role": "assistant", "content": None, "tool_calls": [call]},
                    {**messages[0], "tool_call_id": "c1"}]  # fmt: skip
    return json.dumps({"model": model, "messages": messages}).encode()


def rows_of(files: list[Path], every: int) -> list[dict]:
    rows = []
    for file in files:
        lines = [line for line in file.read_text().splitlines() if line.strip()]
        for at, line in enumerate(random.Random(file.name).sample(lines, max(1, len(lines) // every))):
            row = json.loads(line)
            rows.append({"id": f"{file.stem}:{at}", "file": file.stem, **row})
    return rows


def judged(site: Site, rows: list[dict], threads: int = 4) -> list[dict]:
    """What became of each row, by its audit record."""
    token, results = site.token(), [None] * len(rows)
    model = next((name for name in site.policy["roles"]["analyst"]["models"] if "*" not in name), "gpt-4o")

    def work(part: int) -> None:
        with Client(site.proxy.port, H1) as client:
            for at in range(part, len(rows), threads):
                headers = [("content-type", "application/json"), ("authorization", f"Bearer {token}"), ("x-case", f"row-{at}")]
                results[at] = client.call(Call(headers=headers, body=body_of(rows[at], model))).status

    workers = [threading.Thread(target=work, args=(part,)) for part in range(threads)]
    [one.start() for one in workers]
    [one.join() for one in workers]
    eventually(lambda: len(site.proxy.access_lines()) >= len(rows), "every record is written")
    records = {}
    for line in site.proxy.access_lines():
        entry = envoy.LogEntry(line)
        if entry.audit:
            records[entry.case] = entry.audit
    out = []
    for at, status in enumerate(results):
        audit = records.get(f"row-{at}", {})
        out.append({
            "status": status, "verdict": audit.get("bartizan.verdict", "no record"), "reason": audit.get("bartizan.reason"),
            "score": audit.get("bartizan.score"), "rules": sorted({one["rule"] for one in audit.get("bartizan.findings", [])}),
        })  # fmt: skip
    return out


def open_quotas(policy: dict) -> None:
    """Quotas and cool-downs would judge the load, not the texts."""
    for role in policy["roles"].values():
        role.pop("quotas", None)
    policy.pop("abuse", None)


def compared(modules: tuple[Path, Path], rows: list[dict], policies=(None, None)) -> tuple[list[dict], list[dict]]:
    keys = {key.algorithm: key for key in (Key("RS256", "rsa"), Key("ES256", "ec"), Key("EdDSA", "ed"))}
    sides = []

    for module, policy in zip(modules, policies):

        def change(document: dict, policy=policy) -> None:
            if policy:
                own = {"authn": document["authn"]}
                document.clear()
                document.update(policy, **own)
            open_quotas(document)

        def edit(config: dict, module=module) -> None:
            envoy.wasm(config)["vm_config"]["code"]["local"]["filename"] = str(module.resolve())

        with Upstream() as upstream:
            site = Site("strong", upstream, keys, change=change, edit=edit)
            try:
                sides.append(judged(site, rows))
            finally:
                site.proxy.stop()
    return sides[0], sides[1]


def table(rows: list[dict], old: list[dict], new: list[dict]) -> str:
    """Verdicts that changed by label, then the rules that made the difference."""
    groups = defaultdict(Counter)
    changed = []
    for row, before, after in zip(rows, old, new):
        label = row.get("label", "captured")
        groups[label]["all"] += 1
        refused = (before["verdict"] == "block", after["verdict"] == "block")
        groups[label][{(False, True): "refused now", (True, False): "passes now"}.get(refused, "same")] += 1
        if refused[0] == refused[1] and (before["verdict"], before["reason"]) != (after["verdict"], after["reason"]):
            groups[label]["otherwise"] += 1
        if (before["verdict"], before["reason"], before["rules"]) != (after["verdict"], after["reason"], after["rules"]):
            changed.append((row, before, after))
    lines = ["| label | texts | refused now | passes now | same refusal, other reason or change |", "|---|--:|--:|--:|--:|"]
    for label, counts in sorted(groups.items()):
        lines.append(f"| {label} | {counts['all']} | {counts['refused now']} | {counts['passes now']} | {counts['otherwise']} |")
    rules = Counter()
    for _, before, after in changed:
        rules.update(f"+{rule}" for rule in set(after["rules"]) - set(before["rules"]))
        rules.update(f"-{rule}" for rule in set(before["rules"]) - set(after["rules"]))
    lines += ["", "Rules that find something in more (+) or fewer (-) of the texts: "
              + (", ".join(f"{rule} {count}" for rule, count in rules.most_common(20)) or "none"), ""]  # fmt: skip
    for row, before, after in changed[:20]:
        side = lambda one: f"{one['verdict']} {one['reason'] or ''} {one['score']}".strip()  # noqa: E731
        lines.append(f"{row['id']}: {side(before)} -> {side(after)}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="releases", description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--policy", type=Path, help="a policy in JSON; its authn is replaced by the tests' issuer")
    parser.add_argument("--new-policy", type=Path, help="the policy of the new side, where it is another one")
    parser.add_argument("--every", type=int, default=1, help="one of so many rows")
    given = parser.parse_args()
    rows = rows_of([file for file in given.texts if file.stat().st_size], given.every)
    before, after = given.policy, given.new_policy or given.policy
    policies = tuple(json.loads(file.read_text()) if file else None for file in (before, after))
    old, new = compared((given.old, given.new), rows, policies)
    print(table(rows, old, new))
    return 0


if __name__ == "__main__":
    sys.exit(main())
