"""Who calls, by the mesh's certificates alone; and what the upstream is told of it, signed."""

import ssl
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from conftest import Site, chat
from harness.client import H1, Client
from harness.envoy import EXTENSIONS
from harness.tokens import Key, claims
from mesh.pki import Authority, spiffe

SECRET = "a secret of thirty-two bytes or more"
PRIVATE = "1f" * 32


class Workload(Client):
    """A client with a workload's certificate, or with none."""

    def __init__(self, port: int, authority: Authority, certificate):
        super().__init__(port)
        self.context = ssl.create_default_context(cafile=str(authority.certificate))
        self.context.check_hostname = False
        if certificate:
            self.context.load_cert_chain(*map(str, certificate))

    def _connect(self) -> None:
        super()._connect()
        self.socket = self.context.wrap_socket(self.socket)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def meshed(upstream, keys, authority):
    """A site whose listener speaks TLS, and takes connections without a certificate too (Istio's PERMISSIVE)."""
    certificate, key = authority.workload("llm", "model")

    def tls(config: dict) -> None:
        (chain,) = config["static_resources"]["listeners"][0]["filter_chains"]
        common = {
            "tls_certificates": [{"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}],
            "validation_context": {"trusted_ca": {"filename": str(authority.certificate)}},
        }
        chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": f"{EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": common}}  # fmt: skip

    def workloads(policy: dict) -> None:
        policy["authn"]["workloads"] = [{"match": spiffe("batch", "*"), "roles": ["analyst"], "tenant": "batch"}]
        policy["roles"]["analyst"]["quotas"] = [{"per": "workload", "requests": 3, "window": "31d"}]
        policy.setdefault("audit", {})["subject"] = "plain"

    made = {mode: Site(mode, upstream, keys, change=workloads, edit=tls) for mode in ("strong", "weak")}
    yield made
    for site in made.values():
        site.proxy.stop()


def test_a_workload_is_a_caller_by_its_certificate(meshed, authority, mode):
    site = meshed[mode]

    def send(certificate, token=None):
        with Workload(site.proxy.port, authority, certificate) as client:
            return site.send(H1, chat(), token=token, client=client)

    nightly, other = authority.workload("batch", "nightly"), authority.workload("web", "shop")
    record = send(nightly).passed().audit
    assert (record["bartizan.issuer"], record["user.id"]) == ("mesh", spiffe("batch", "nightly"))
    assert record["organization.id"] == "batch"
    # Another namespace, no name of that kind, and no certificate at all.
    send(other).refused(401, "jwt.missing", before_body=True)
    send(authority.issue("dns", "DNS:nightly.batch")).refused(401, "jwt.missing", before_body=True)
    send(None).refused(401, "jwt.missing", before_body=True)
    # A credential that is there and bad stays a refusal; a good one is the caller.
    send(nightly, token=Key("ES256", "stranger").sign(claims())).refused(401, "jwt.key", before_body=True)
    assert send(other, token=site.token()).passed().audit["user.id"] == "alice"

    # `per: workload`: whoever the token says, the connection's peer pays.
    for subject in ("bob", "carol"):
        send(nightly, token=site.token(subject)).passed()
    send(nightly, token=site.token("dave")).refused(429, "quota.requests", before_body=True)
    send(authority.workload("batch", "daily")).passed()


def signed(algorithm: str):
    def change(policy: dict) -> None:
        policy["upstream"] = {"identity": {"algorithm": algorithm, "key": {"fromEnv": "IDENTITY_KEY"}, "keyId": "k1",
            "issuer": "bartizan", "audience": "models", "lifetime": "60s"}}  # fmt: skip

    return change


def environment(variables: dict):
    def walk(node) -> None:
        if isinstance(node, dict):
            if "vm_config" in node:
                node["vm_config"]["environment_variables"] = {"key_values": variables}
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    return walk


def verifier(algorithm: str):
    """What the upstream checks with, made from the same secret by another implementation."""
    if algorithm == "HS256":
        return SECRET
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.from_private_bytes(bytes.fromhex(PRIVATE)).public_key()
    return ec.derive_private_key(int(PRIVATE, 16), ec.SECP256R1()).public_key()


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "EdDSA"])
def test_the_upstream_verifies_who_calls(upstream, keys, mode, algorithm):
    variables = {"IDENTITY_KEY": SECRET if algorithm == "HS256" else PRIVATE}
    site = Site(mode, upstream, keys, change=signed(algorithm), edit=environment(variables))
    try:
        seen = []
        for subject in ("alice", "alice", "bob"):
            forged = [("x-bartizan-identity", "forged"), ("X_Bartizan_Identity", "forged")]
            got = site.send(H1, chat(), token=site.token(subject), headers=forged).passed()
            values = [value for name, value in got.one.headers if name.lower().replace(b"_", b"-") == b"x-bartizan-identity"]
            assert len(values) == 1, "one, and it is the filter's"
            token = values[0].decode()
            told = jwt.decode(token, verifier(algorithm), [algorithm], audience="models", issuer="bartizan")
            assert told["sub"] == subject and told["roles"] == ["analyst"] and told["tenant"] == "acme"
            assert told["exp"] - told["iat"] == 60 and abs(told["iat"] - time.time()) < 30
            assert jwt.get_unverified_header(token) == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
            seen.append(token)
            with pytest.raises(jwt.InvalidTokenError):
                jwt.decode(token, verifier(algorithm), [algorithm], audience="another", issuer="bartizan")
        assert len(set(seen)) == 3 or algorithm != "HS256", "each has an id of its own"
        assert seen[2] not in seen[:2]
        log = site.proxy.log()
        assert SECRET not in log and PRIVATE not in log and seen[0] not in log
    finally:
        site.proxy.stop()
