"""Falco's rules of `envoy/falco`, read as Falco reads them as far as they go: `=`, `in`, `exists`, `and`, `or`, `not`, macros, lists.

A stand-in for Falco, which can't be had here. Fields are those of its plugin `json`: text, or nothing.
"""

import json
import re
import uuid

import yaml

from .paths import ROOT

RULES = yaml.safe_load((ROOT / "envoy" / "falco" / "rules.yaml").read_text())
LISTS = {entry["list"]: entry["items"] for entry in RULES if "list" in entry}
MACROS = {entry["macro"]: entry["condition"] for entry in RULES if "macro" in entry}
FIELD = re.compile(r"json\.value\[(/[^\]]+)\]")
TOKEN = re.compile(r'\s*(?:(json\.value\[/[^\]]+\])|("[^"]*")|([A-Za-z_]+)|([()=]))')
IN = re.compile(r"\s*\(([^)]+)\)")


def value(record: dict, pointer: str) -> str | None:
    at = record
    for step in pointer[1:].split("/"):
        if isinstance(at, list):
            at = at[int(step)] if step.isdigit() and int(step) < len(at) else None
        else:
            at = at.get(step) if isinstance(at, dict) else None
    return at if at is None or isinstance(at, str) else json.dumps(at)


def as_python(condition: str) -> str:
    """The condition as an expression of Python's, with `field` for a field; refuses what it does not know."""
    out, at = [], 0
    condition = condition.strip()
    while at < len(condition):
        match = TOKEN.match(condition, at)
        assert match, f"not understood: {condition[at:]!r}"
        at = match.end()
        field, text, word, sign = match.groups()
        if field:
            out.append(f"field({FIELD.fullmatch(field)[1]!r})")
        elif text:
            out.append(repr(text[1:-1]))
        elif sign:
            out.append({"=": "=="}.get(sign, sign))
        elif word == "exists":
            out.append("is not None")
        elif word == "in":
            match = IN.match(condition, at)
            at = match.end()
            named = [item.strip() for item in match[1].split(",")]
            items = [item for name in named for item in ([name[1:-1]] if name[0] == '"' else LISTS[name])]
            out.append(f"in {items!r}")
        elif word in ("and", "or", "not"):
            out.append(word)
        else:
            out.append(f"({as_python(MACROS[word])})")
    return " ".join(out)


def alarms(record: dict) -> set[str]:
    """The rules that this record sets off. What they print of it must stand in it."""
    fired = set()
    for rule in RULES:
        if "rule" in rule and eval(as_python(rule["condition"]), {"field": lambda pointer: value(record, pointer)}):
            missing = [pointer for pointer in FIELD.findall(rule["output"]) if value(record, pointer) is None]
            assert not missing, f"{rule['rule']}: no {missing} in {record}"
            fired.add(rule["rule"])
    return fired


def event(record: dict, rule: str) -> dict:
    """The event that Falcosidekick's webhook would send for a record, in its documented form."""
    [entry] = [entry for entry in RULES if entry.get("rule") == rule]
    output = entry["output"]
    fields = {f"json.value[{pointer}]": value(record, pointer) for pointer in FIELD.findall(output)}
    text = FIELD.sub(lambda match: fields[match[0]] or "<NA>", output).replace("%", "")
    return {
        "uuid": str(uuid.uuid4()), "output": text, "priority": entry["priority"].capitalize(), "rule": rule, "time": record["@timestamp"],
        "source": entry["source"], "tags": sorted(entry.get("tags", [])), "hostname": "proxy-1", "output_fields": fields,
    }  # fmt: skip
