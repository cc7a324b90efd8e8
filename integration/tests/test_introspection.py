"""Opaque tokens of a real OpenID provider: introspection, its cache, revocation, an outage; in both modes."""

import pytest

from conftest import Site, chat, everywhere
from harness import envoy, idp
from harness.client import H1
from harness.tokens import Key
from test_jwks import cluster

SECRET = "IDP_CLIENT_SECRET"


@pytest.fixture(scope="module")
def provider():
    if reason := idp.missing():
        pytest.skip(reason)
    with idp.Provider([Key("RS256", "one")]) as server:
        yield server


def site(mode: str, upstream, keys, provider: idp.Provider) -> Site:
    def change(document: dict) -> None:
        document["authn"]["issuers"].append({
            "name": "opaque", "issuer": provider.issuer, "audiences": ["urn:llm:opaque"], "claims": {"subject": "/client_id"},
            "introspection": {
                "cluster": "idp", "authority": f"127.0.0.1:{provider.port}", "path": "/token/introspection",
                "clientId": idp.CLIENT[0], "clientSecret": {"fromEnv": SECRET}, "keepFor": "2s", "keepRefusedFor": "1s",
                "timeout": "20s",
            },
        })  # fmt: skip
        document["roles"]["analyst"].pop("quotas")

    def edit(config: dict) -> None:
        cluster(provider.port)(config)
        envoy.environment(config, {SECRET: idp.CLIENT[1]})

    return Site(mode, upstream, keys, change=change, edit=edit)


def test_an_opaque_token_is_good_for_as_long_as_its_issuer_says_so(mode, upstream, keys, provider):
    proxy = site(mode, upstream, keys, provider)
    try:
        send = lambda token: proxy.send(H1, chat(), token=token)
        good, other = (provider.token("urn:llm:opaque") for _ in range(2))
        assert good.count(".") == 0
        for _ in range(4):
            assert send(good).passed().audit["bartizan.issuer"] == "opaque"
        send(None).refused(401, "jwt.missing", before_body=True)
        send("made-up").refused(401, "jwt.inactive", before_body=True)
        send("made up").refused(401, "jwt.malformed", before_body=True)
        # The same issuer says of another resource's token that it is active; it is not for us.
        send(provider.token("urn:other:opaque")).refused(401, "jwt.audience", before_body=True)
        proxy.send(H1, chat()).passed()
        # Revoked: good for what is left of the answer, and not longer, on any worker.
        provider.post("/token/revocation", {"token": good})
        gone = everywhere(lambda: send(good), lambda got: got.reply.status == 401, "the answer is forgotten")
        gone.refused(401, "jwt.inactive", before_body=True)
        # The issuer is away: what it said counts for its time, everything else is refused, and a JWT does not care.
        send(other).passed()
        provider.stop()
        try:
            gone = everywhere(lambda: send(other), lambda got: got.reply.status == 503, "the answer is forgotten")
            gone.refused(503, "jwt.unavailable", before_body=True)
            send("made-up-too").refused(503, "jwt.unavailable", before_body=True)
            proxy.send(H1, chat()).passed()
        finally:
            provider.start([Key("RS256", "one")])
    finally:
        proxy.proxy.stop()
