"""A real Open Policy Agent behind the filter, with the policy that is shipped as an example; in both modes."""

import json
import subprocess

import openai
import pytest

from conftest import ATTACK, Site, chat, everywhere, user
from harness import envoy
from harness.client import H1
from harness.providers import TEXT
from opa.server import BINARY, POLICY, Opa, missing

MAIL = "Write to jane.doe@example.org, please."


@pytest.fixture(scope="module")
def opa():
    if reason := missing():
        pytest.skip(reason)
    with Opa() as server:
        yield server


def policy(document: dict, **more) -> None:
    document["authz"] = {"opa": {"cluster": "opa", "path": "/v1/data/bartizan/decision", "timeout": "5s", "onUnavailable": "deny", **more}}
    document["guards"]["standard"].update(pii={"action": "mask"})
    document["guards"]["strict"] = {"pii": {"action": "block"}}
    analyst = document["roles"]["analyst"]
    analyst.update(models=["smollm2", "long"], operations=["chat", "models"])
    analyst["tools"] = {"allow": ["*"]}
    for name in ("trial", "agent"):
        document["roles"][name] = dict(analyst)
    document["authn"]["issuers"][0]["grants"]["roles"] = list(document["roles"])


def make(mode: str, upstream, keys, port: int, **more) -> Site:
    return Site(mode, upstream, keys, change=lambda document: policy(document, **more),
                edit=lambda config: envoy.with_cluster(config, "opa", port))  # fmt: skip


@pytest.fixture(scope="module", params=["strong", "weak"])
def site(request, upstream, keys, opa):
    made = make(request.param, upstream, keys, opa.port)
    yield made
    made.proxy.stop()


def token(site: Site, role: str = "analyst", tenant: str = "acme") -> str:
    from harness.tokens import claims

    return site.keys["ES256"].sign(claims("alice", [role]) | {"tenant": tenant})


def test_the_example_has_tests_of_its_own():
    if reason := missing():
        pytest.skip(reason)
    subprocess.run([str(BINARY), "test", str(POLICY)], check=True, timeout=60)
    subprocess.run([str(BINARY), "check", "--strict", str(POLICY)], check=True, timeout=60)


def test_what_is_allowed_goes_on_as_it_came(site):
    got = site.send(H1, chat(user("hello")))
    got.passed()
    assert got.audit["bartizan.authz.decision"] == "allow"
    assert site.send(H1, None, method="GET", path="/v1/models").reply.status == 200


def test_a_refusal_tells_the_reason(site):
    got = site.send(H1, chat(user("hello")), token=token(site, tenant="evil"))
    got.refused(403, "authz.denied")
    assert "this tenant is suspended" in got.reply.json()["error"]["message"]
    assert got.audit["bartizan.authz.reason"] == "this tenant is suspended"
    # Without a body the headers have not left in either mode.
    site.send(H1, None, method="GET", path="/v1/models", token=token(site, tenant="evil")).refused(403, "authz.denied", before_body=True)
    sdk = openai.OpenAI(base_url=f"{site.proxy.url}/v1", api_key=token(site, "agent"), max_retries=0)
    tool = {"type": "function", "function": {"name": "billing_refund", "parameters": {"type": "object", "properties": {}}}}
    with pytest.raises(openai.PermissionDeniedError, match="billing tools"):
        sdk.chat.completions.create(model="smollm2", messages=[{"role": "user", "content": "hello"}], tools=[tool])
    answer = sdk.chat.completions.create(model="smollm2", messages=[{"role": "user", "content": "hello"}])
    assert answer.choices[0].message.content.strip() == TEXT
    with sdk.chat.completions.create(model="smollm2", messages=[{"role": "user", "content": "hello"}], stream=True) as events:
        said = "".join(event.choices[0].delta.content or "" for event in events if event.choices)
    assert said.strip() == TEXT


def test_obligations_tighten(site):
    got = site.send(H1, chat(user("hello")), token=token(site, "trial"))
    got.passed()
    sent = got.one.json()
    assert 256 in (sent.get("max_tokens"), sent.get("max_completion_tokens")), sent
    long = site.send(H1, chat(user("A sentence of the handbook. " * 2500)))
    assert long.reply.status == 200 and long.one.json()["model"] == "long"
    assert long.audit["gen_ai.request.model"] == "long"


def test_what_is_refused_anyway_is_refused(site):
    site.send(H1, chat(user(ATTACK))).refused(400, "scan.injection")


def test_killed_and_hung(mode, upstream, keys):
    if reason := missing():
        pytest.skip(reason)
    for unavailable in ("deny", "allow"):
        with Opa() as server:
            site = make(mode, upstream, keys, server.port, onUnavailable=unavailable, timeout="500ms")
            try:
                send = lambda: site.send(H1, chat(user("hello")))
                send().passed()
                for away, back in ((server.pause, server.go_on), (server.stop, server.start)):
                    away()
                    for _ in range(3):
                        got = send()
                        if unavailable == "deny":
                            got.refused(503, "authz.unavailable")
                        else:
                            got.passed()
                        assert got.audit["bartizan.authz.decision"] == "unavailable"
                        site.send(H1, chat(user(ATTACK))).refused(400, "scan.injection")
                    back()
                    everywhere(send, lambda got: got.audit["bartizan.authz.decision"] == "allow", "it is asked again")
            finally:
                site.proxy.stop()


def test_nothing_of_the_text_is_asked_about(mode, upstream, keys):
    from harness.relay import Relay

    if reason := missing():
        pytest.skip(reason)
    with Opa() as server, Relay(lambda: server.url) as relay:
        site = make(mode, upstream, keys, relay.port)
        try:
            site.send(H1, chat(user(f"heliotrope {MAIL}"))).passed("mask")
            [asked] = relay.bodies
            assert b"heliotrope" not in asked and b"jane" not in asked
            assert json.loads(asked)["input"]["scan"]["findings"][0]["act"] == "mask"
        finally:
            site.proxy.stop()
