"""A broken document is refused with the key's path, by `bartizan check` and in Envoy's log alike."""

import copy
import json

import pytest

from harness import cli, envoy
from harness.tokens import Key

BROKEN = {
    "unknown key": (lambda d: d["roles"]["analyst"].update(requets=1), "roles.analyst.requets"),
    "wrong type": (lambda d: d["roles"]["analyst"].update(maxOutputTokens="many"), "roles.analyst.maxOutputTokens"),
    "bad duration": (lambda d: d["roles"]["guest"]["quotas"][0].update(window="1 minute"), "roles.guest.quotas[0].window"),
    "unknown role in grants": (lambda d: d["authn"]["issuers"][0]["grants"].update(roles=["analist"]),
                               "authn.issuers[0].grants.roles[0]"),
    "unknown guard": (lambda d: d["roles"]["analyst"].update(guard="lax"), "roles.analyst.guard"),
    "unknown protocol": (lambda d: d["routes"][0].update(protocol="opneai"), "routes[0].protocol"),
    "empty key set": (lambda d: d["authn"]["issuers"][0].update(jwks={"inline": {"keys": []}}),
                      "authn.issuers[0].jwks.inline.keys"),
    "key too small": (lambda d: d["authn"]["issuers"][0]["jwks"]["inline"].update(keys=[Key("RS256", "small", 1024).jwk]),
                      "authn.issuers[0].jwks.inline.keys[0].n"),
    "rule that does not compile": (lambda d: d.update(rules={"custom": [
        {"id": "X-1", "title": "broken", "keywords": ["a"], "pattern": "a("}]}), "rules.custom[0].pattern"),
    "rule id that does not exist": (lambda d: d.update(rules={"disable": ["PI-9999"]}), "rules.disable[0]"),
    "two routes that match the same": (lambda d: d["routes"].append(copy.deepcopy(d["routes"][0])), "routes[3].match.path"),
    "no authn": (lambda d: d.pop("authn"), "authn"),
}  # fmt: skip


def broken(name: str, document: dict) -> tuple[str, str]:
    edit, path = BROKEN[name]
    edit(document)
    return json.dumps(document), path


def duplicate(document: dict) -> tuple[str, str]:
    text = json.dumps(document | {"limits": {"maxJsonDepth": 64}})
    return text.replace('"maxJsonDepth": 64', '"maxJsonDepth": 64, "maxJsonDepth": 65'), "limits.maxJsonDepth"


@pytest.mark.parametrize("name", ["duplicate key", *BROKEN])
def test_one_clear_message_in_both_places(name, document, tmp_path):
    text, path = duplicate(document) if name == "duplicate key" else broken(name, document)
    plain = tmp_path / "policy.json"
    plain.write_text(text)
    code, said = cli.check(plain)
    assert code == 1, said
    told = [line for line in said.splitlines() if f"{path}:" in line]
    assert len(told) == 1, said
    message = told[0][told[0].index(f"{path}:") :]

    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(envoy.with_policy(envoy.load(), text)))
    code, log = envoy.validate(file)
    assert code != 0
    assert message in log, f"{message!r} not in Envoy's log:\n{log}"
    code, said = cli.check(file)
    assert code == 1 and message in said, said


def test_all_errors_at_once(document, tmp_path):
    for name in ("unknown key", "bad duration", "unknown guard"):
        BROKEN[name][0](document)
    plain = tmp_path / "policy.json"
    plain.write_text(json.dumps(document))
    _, said = cli.check(plain)
    for name in ("unknown key", "bad duration", "unknown guard"):
        assert BROKEN[name][1] in said


def test_the_switch_behind_hold_headers(document, tmp_path):
    """`check` sees a strong policy in a file that lacks Envoy's switch."""
    config = envoy.with_policy(envoy.load(), document)
    del envoy.wasm(config)["allow_on_headers_stop_iteration"]
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(config))
    code, said = cli.check(file)
    assert code == 1 and "allow_on_headers_stop_iteration" in said
