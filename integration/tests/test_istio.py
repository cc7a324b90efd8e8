"""What Istio makes of the shipped WasmPlugin, on real Envoy: the filter by ECDS, and policies that change under it."""

import copy
import json
import threading
import time

import pytest

from conftest import ATTACK, Site, chat, user
from harness import cli, envoy, istio
from harness.envoy import Envoy
from harness.tokens import claims


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
        end = time.monotonic() + 20
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
    assert sum(sidecar.proxy.stats("bartizan.policies.outcome.refused").values()) >= 1
    sidecar.send(protocol, chat()).passed()
    sidecar.send(protocol, chat(), token=None).refused(401, "jwt.missing", before_body=True)

    good = copy.deepcopy(sidecar.document)
    good["roles"]["analyst"]["models"] = ["other"]
    sidecar.push(good, "config_reload")
    sidecar.send(protocol, chat()).refused(403, "rbac.model")
    sidecar.push(sidecar.document, "config_reload")
    sidecar.send(protocol, chat()).passed()


def test_what_a_stream_holds_comes_free_though_the_policy_changed_under_it(sidecar, protocol):
    """Envoy keeps the old VM for its streams; the slot that one of them holds ends with it, under the new policy too."""
    busy = copy.deepcopy(sidecar.document)
    busy["roles"]["analyst"]["quotas"] = [{"per": "subject", "concurrent": 1}, {"per": "subject", "tokens": 5000, "window": "31d"}]
    sidecar.push(busy, "config_reload")
    token, slow = sidecar.token(f"held-{protocol}"), [("x-script", "slower")]
    before = sidecar.send(protocol, chat(), token=token).passed()
    open_stream = []
    thread = threading.Thread(target=lambda: open_stream.append(sidecar.send(protocol, chat(), token=token, headers=slow)))
    thread.start()
    time.sleep(0.15)
    changed = copy.deepcopy(busy)
    changed["roles"]["analyst"]["maxOutputTokens"] = 77
    sidecar.push(changed, "config_reload")
    thread.join()
    open_stream[0].passed()
    digests = {outcome.audit["bartizan.policy.digest"] for outcome in (before, open_stream[0])}
    assert len(digests) == 1 and open_stream[0].audit["bartizan.tokens.basis"] == "usage"
    after = sidecar.send(protocol, chat(), token=token).passed()
    assert after.audit["bartizan.policy.digest"] not in digests
    # Each has cost its 24 tokens and nothing is held any more but what this last one was told before its own end.
    held = after.audit["bartizan.tokens.reserved_input"] + after.audit["bartizan.tokens.reserved_output"]
    assert int(after.reply.header("x-ratelimit-remaining-tokens")) >= 5000 - 2 * 24 - held
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
