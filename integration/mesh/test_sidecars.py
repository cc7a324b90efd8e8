"""Workload identity over real mTLS, tokens of a real OpenID provider, and the shipped policy of two teams."""

import copy

import pytest
import yaml

from harness import idp, istio
from harness.client import Call, Client, H1
from harness.paths import ROOT
from harness.tokens import Key
from mesh.load import ATTACK, Kind
from mesh.pki import Authority, spiffe
from mesh.sidecars import IDP, Callers, Model

TEAMS = {"assistant": {"roles": ["assistant"], "tenant": "team-a"}, "batch": {"roles": ["batch"], "tenant": "team-b"}}
WORKLOADS = [("team-a", "assistant"), ("team-b", "batch"), ("elsewhere", "pod")]


def shipped() -> tuple[dict, dict]:
    """The WasmPlugin and the AuthorizationPolicy of the worked example."""
    objects = list(yaml.safe_load_all((ROOT / "istio/two-teams/model.yaml").read_text()))
    return tuple(next(entry for entry in objects if entry["kind"] == kind) for kind in ("WasmPlugin", "AuthorizationPolicy"))


def policy(provider: idp.Provider) -> dict:
    """The shipped policy, asking the test's provider under the shipped cluster's name."""
    document = copy.deepcopy(shipped()[0]["spec"]["pluginConfig"])
    (issuer,) = document["authn"]["issuers"]
    assert issuer["jwks"]["cluster"] == IDP
    issuer.update(issuer=provider.issuer, audiences=["urn:llm"])
    return document


class World:
    """The two sidecars, the provider, and a token for each team."""

    def __init__(self, folder, upstream, principals=None, change=None):
        self.authority = Authority(folder / "mesh")
        self.provider = idp.Provider([Key("RS256", "r1"), Key("ES256", "e1")], TEAMS)
        self.plugin = shipped()[0]
        self.document = policy(self.provider)
        if change:
            change(self.document)
        first = istio.ecds(self.plugin, self.document, "1")
        self.model = Model(self.authority, first, upstream.port, self.provider.port, principals)
        self.callers = Callers(self.authority, WORKLOADS, self.model.port)
        self.tokens = {client: self.provider.token(client=client) for client in TEAMS}
        self.version, self.cases = 1, 0

    def kind(self, caller: str, token: str | None, **more) -> Kind:
        return Kind(f"{caller} {token}", self.callers.ports[caller], self.tokens.get(token), **more)

    def send(self, caller: str, token: str | None = None, **more):
        self.cases += 1
        with Client(self.callers.ports[caller], H1) as client:
            return client.call(self.kind(caller, token, **more).call(f"s{self.cases}"))

    def audit(self) -> dict:
        return self.model.proxy.entry(f"s{self.cases}").audit

    def push(self, document, taken: bool = True) -> None:
        self.version += 1
        self.model.push(istio.ecds(self.plugin, document, str(self.version)), taken)

    def stop(self):
        for part in (self.callers, self.model, self.provider):
            part.stop()


@pytest.fixture(scope="module")
def world(tmp_path_factory, upstream):
    if why := idp.missing():
        pytest.skip(why)
    made = World(tmp_path_factory.mktemp("mesh"), upstream)
    yield made
    made.stop()


def verdict(reply) -> tuple:
    return reply.status, reply.reason


def test_each_team_has_its_own_rights(world):
    assert verdict(world.send("team-a.assistant", "assistant")) == (200, None)
    assert verdict(world.send("team-a.assistant", "assistant", model="llama-3-70b")) == (200, None)
    assert verdict(world.send("team-b.batch", "batch")) == (200, None)
    assert verdict(world.send("team-b.batch", "batch", model="llama-3-70b")) == (403, "rbac.model")
    assert verdict(world.send("team-a.assistant")) == (401, "jwt.missing")
    assert verdict(world.send("team-a.assistant", "assistant", text=ATTACK)) == (400, "scan.injection")


def test_a_role_is_worth_nothing_in_another_workloads_hands(world):
    """The token is genuine; the certificate of the connection is not the role's workload's."""
    for caller, token in (("team-b.batch", "assistant"), ("team-a.assistant", "batch"), ("elsewhere.pod", "assistant")):
        reply = world.send(caller, token)
        assert verdict(reply) == (403, "rbac.workload"), (caller, token, reply)
        assert world.audit()["bartizan.reason"] == "rbac.workload"


def test_a_header_does_not_make_a_workload(world):
    call = world.kind("elsewhere.pod", "assistant").call("forged")
    name = spiffe("team-a", "assistant")
    call.headers += [("x-forwarded-client-cert", f"By={spiffe('llm', 'model')};URI={name}"), ("x-bartizan-workload", name)]
    with Client(world.callers.ports["elsewhere.pod"]) as client:
        assert verdict(client.call(call)) == (403, "rbac.workload")


def test_without_mtls_nobody_gets_in(world):
    """PeerAuthentication STRICT: plain text reaches no HTTP at all."""
    try:
        with Client(world.model.port) as client:
            reply = client.call(Call(headers=[("authorization", f"Bearer {world.tokens['assistant']}")], body=b"{}"))
        assert reply.status == 0, reply
    except OSError:
        pass


def test_istios_own_authorisation_stands_behind(tmp_path, upstream):
    """The AuthorizationPolicy of the example, as istiod writes it: another workload is refused without our word."""
    if why := idp.missing():
        pytest.skip(why)
    principals = shipped()[1]["spec"]["rules"][0]["from"][0]["source"]["principals"]

    def anybody(document):
        for role in document["roles"].values():
            role.pop("workloads")

    made = World(tmp_path, upstream, principals, anybody)
    try:
        assert verdict(made.send("team-a.assistant", "assistant")) == (200, None)
        assert verdict(made.send("elsewhere.pod", "assistant")) == (403, None)
    finally:
        made.stop()
