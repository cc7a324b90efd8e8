"""What Istio makes of the shipped WasmPlugin, on real Envoy: the filter by ECDS, and policies that change under it."""

import copy
import json
import threading
import time

import pytest

from conftest import ATTACK, Site, chat, user
from harness import cli, envoy, falco, istio
from harness.envoy import Envoy
from harness.tokens import claims
from harness.upstream import GATE, SECRET
from harness.wait import eventually


class Sidecar:
    """An Envoy whose filter comes from a file; `push` puts another policy there and waits for Envoy's word."""

    def __init__(self, upstream, keys):
        self.mode, self.strong, self.upstream, self.keys = "weak", False, upstream, keys
        self.plugin = istio.plugin()
        self.document = envoy.with_keys(self.plugin["spec"]["pluginConfig"], [key.jwk for key in keys.values()])
        config = envoy.with_upstream(envoy.load(envoy.ECDS), upstream.port)
        first = istio.ecds(self.plugin, self.document, "1")
        self.proxy = Envoy(config, "istio", extra={"ecds.json": first})
        self.version, self.tokens = 1, {}

    token, send = Site.token, Site.send
    numbers = Site.numbers

    def count(self, name: str) -> int:
        return next(value for key, value in self.proxy.stats("extension_config_discovery").items() if key.endswith(f".{name}"))

    def push(self, document, counter: str) -> None:
        before = self.count(counter)
        self.version += 1
        istio.push(self.proxy.folder, istio.ecds(self.plugin, document, str(self.version)))
        end = time.monotonic() + 60
        while self.count(counter) == before:
            assert time.monotonic() < end, f"Envoy's {counter} did not move: {self.proxy.child.tail()}"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def sidecar(upstream, keys):
    made = Sidecar(upstream, keys)
    yield made
    made.proxy.stop()


def test_the_manifest_passes_check():
    code, said = cli.check(istio.PLUGIN)
    assert code == 0, said


def test_a_chat_through_the_sidecar(sidecar, protocol):
    sidecar.send(protocol, chat()).passed()
    sidecar.send(protocol, chat(), token=None).refused(401, "jwt.missing", before_body=True)
    sidecar.send(protocol, chat(user(ATTACK))).refused(400, "scan.injection")


def test_a_bad_document_changes_nothing_and_the_next_good_one_does(sidecar, protocol):
    bad = copy.deepcopy(sidecar.document)
    bad["roles"]["analyst"]["requets"] = 1
    sidecar.push(bad, "update_rejected" if "update_rejected" in str(sidecar.proxy.stats("extension_config")) else "config_fail")
    log = sidecar.proxy.log()
    assert "roles.analyst.requets: unknown field" in log
    records = [json.loads(line[line.index("{") :]) for line in log.splitlines() if '"event.action":"policy-refuse"' in line]
    assert records and all(record["event.outcome"] == "failure" for record in records)
    assert any("roles.analyst.requets" in error for error in records[-1]["bartizan.policy.errors"])
    assert falco.alarms(records[-1]) == {"Bartizan policy refused"}
    assert sum(sidecar.proxy.stats("bartizan.policies.outcome.refused").values()) >= 1
    sidecar.send(protocol, chat()).passed()
    sidecar.send(protocol, chat(), token=None).refused(401, "jwt.missing", before_body=True)

    good = copy.deepcopy(sidecar.document)
    good["roles"]["analyst"]["models"] = ["other"]
    sidecar.push(good, "config_reload")
    sidecar.send(protocol, chat()).refused(403, "rbac.model")
    sidecar.push(sidecar.document, "config_reload")
    sidecar.send(protocol, chat()).passed()


def test_streams_end_under_the_policy_they_began_with_and_hold_nothing(sidecar, protocol):
    """Envoy keeps the old VM for its streams; what one of them holds comes free with its end, under the new policy too."""
    busy = copy.deepcopy(sidecar.document)
    busy["roles"]["analyst"]["quotas"] = [{"per": "subject", "concurrent": 2}, {"per": "subject", "tokens": 5000, "window": "31d"}]
    sidecar.push(busy, "config_reload")
    token = sidecar.token(f"held-{protocol}")
    before = sidecar.send(protocol, chat(), token=token).passed()
    open_ones = {}

    def caller(script: str) -> None:
        body = chat(stream=script == "sse_halves", max_tokens=50)
        open_ones[script] = sidecar.send(protocol, body, token=token, headers=[("x-script", script)])

    asked = sidecar.upstream.total
    threads = [threading.Thread(target=caller, args=(script,)) for script in ("gated", "sse_halves")]
    GATE.clear()
    for thread in threads:
        thread.start()
    eventually(lambda: sidecar.upstream.total == asked + 2, "both are under way")
    changed = copy.deepcopy(busy)
    changed["guards"]["standard"]["output"] = {"secrets": "flag"}
    sidecar.push(changed, "config_reload")
    during = sidecar.send(protocol, chat(), token=token)
    GATE.set()
    for thread in threads:
        thread.join()
    # Both slots were still held when the new policy came.
    during.refused(429, "quota.concurrent")
    open_ones["gated"].passed()
    stream = open_ones["sse_halves"].passed("mask")
    assert SECRET.encode() not in stream.reply.body and stream.reply.body.endswith(b"data: [DONE]\n\n")
    digests = {outcome.audit["bartizan.policy.digest"] for outcome in (before, *open_ones.values())}
    assert len(digests) == 1 and {one.audit["bartizan.tokens.basis"] for one in open_ones.values()} == {"usage"}
    after = sidecar.send(protocol, chat(), token=token).passed()
    assert after.audit["bartizan.policy.digest"] == during.audit["bartizan.policy.digest"] not in digests
    # Each has cost its 24 tokens and nothing is held any more but what this last one was told before its own end.
    held = after.audit["bartizan.tokens.reserved_input"] + after.audit["bartizan.tokens.reserved_output"]
    assert int(after.reply.header("x-ratelimit-remaining-tokens")) == 5000 - 3 * 24 - held
    # What the old policy masked, the new one lets pass.
    late = sidecar.send(protocol, chat(stream=True), token=token, headers=[("x-script", "sse_halves")]).passed()
    assert SECRET.encode() in late.reply.body
    sidecar.push(sidecar.document, "config_reload")


def test_quotas_survive_a_new_policy(sidecar, protocol, keys):
    token = keys["ES256"].sign(claims(f"ecds-{protocol}", ["guest"]))
    for _ in range(2):
        sidecar.send(protocol, chat(), token=token).passed()
    changed = copy.deepcopy(sidecar.document)
    changed["roles"]["analyst"]["maxOutputTokens"] = 7
    sidecar.push(changed, "config_reload")
    sidecar.send(protocol, chat(), token=token).refused(429, "quota.requests", before_body=True)
    sidecar.push(sidecar.document, "config_reload")
