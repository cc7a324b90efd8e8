"""Tokens that an issuer takes back: the list comes from a cluster, in both modes, on two workers."""

import json
import time

import pytest

from conftest import Site, chat, everywhere
from harness import falco, idp
from harness.client import H1
from harness.tokens import claims
from test_jwks import cluster


@pytest.fixture
def published():
    with idp.Scripted() as server:
        revoke(server)
        yield server


def revoke(server: idp.Scripted, **names) -> None:
    server.body, server.status = json.dumps({"jti": [], **names}).encode(), 200


def site(mode: str, upstream, keys, port: int, on_stale: str) -> Site:
    def change(document: dict) -> None:
        document["authn"]["issuers"][0]["revocation"] = {
            "cluster": "idp", "authority": "idp.test", "path": "/revoked",
            "refresh": "1s", "timeout": "1s", "staleFor": "1s", "onStale": on_stale}  # fmt: skip
        document["roles"]["analyst"].pop("quotas")

    return Site(mode, upstream, keys, change=change, edit=cluster(port))


def until(ask, status: int, reason: str | None, revocation: str | None = None):
    """Every worker says so."""
    wanted = status, reason, revocation
    seen = lambda got: (got.reply.status, got.reply.reason, got.audit.get("bartizan.revocation"))
    return everywhere(ask, lambda got: seen(got) == wanted, f"{wanted}")


def test_a_revoked_token_is_refused_by_every_worker_and_an_outage_is_not_forever(mode, upstream, keys, published):
    on_stale = {"strong": "deny", "weak": "allow"}[mode]
    proxy = site(mode, upstream, keys, published.port, on_stale)
    try:
        stolen, other = (keys["ES256"].sign(claims() | {"jti": name}) for name in ("stolen", "other"))
        send = lambda token: proxy.send(H1, chat(), token=token)
        for token in (stolen, other):
            until(lambda: send(token), 200, None).passed()
        revoke(published, jti=["stolen"])
        refused = until(lambda: send(stolen), 401, "jwt.revoked").refused(401, "jwt.revoked", before_body=True)
        assert falco.alarms(refused.audit) == {"Bartizan refused a forged or revoked token"}
        until(lambda: send(other), 200, None)
        revoke(published, issuedBefore={"alice": int(time.time()) - 3000})
        until(lambda: send(stolen), 200, None)
        revoke(published, sub=["alice"])
        until(lambda: send(other), 401, "jwt.revoked")
        # The list can't be had: for a while the last one counts, then the policy decides.
        published.status = 500
        if on_stale == "deny":
            until(lambda: send(other), 503, "jwt.unavailable")
        else:
            unchecked = until(lambda: send(other), 200, None, "unchecked")
            assert falco.alarms(unchecked.audit) == {"Bartizan could not ask whether a token is revoked"}
        revoke(published)
        until(lambda: send(other), 200, None).passed()
        stats = proxy.proxy.stats("revocations.outcome")
        assert stats["wasmcustom.bartizan.revocations.outcome.stored"] > 2
        assert "revocations of cluster idp: status 500 (" in proxy.proxy.log()
    finally:
        proxy.proxy.stop()
