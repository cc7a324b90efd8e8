"""Forged, expired, misdirected and missing tokens never reach the upstream: counted there, in both modes."""

import hashlib
import hmac
import json
import time

import pytest

from conftest import chat
from harness.tokens import AUDIENCE, Key, b64, claims, forged, tampered


@pytest.fixture(scope="module")
def foreign() -> dict[str, Key]:
    """Keys nobody trusts, under the trusted ids."""
    return {key.algorithm: key for key in (Key("RS256", "rsa"), Key("ES256", "ec"), Key("EdDSA", "ed"), Key("PS256", "rsa"))}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_good_tokens_pass(site, protocol, algorithm):
    site.send(protocol, chat(), token=site.token("alice", algorithm=algorithm)).passed()
    # Again: from the cache.
    site.send(protocol, chat(), token=site.token("alice", algorithm=algorithm)).passed()


def bad_tokens(keys: dict[str, Key], foreign: dict[str, Key]) -> list[tuple[str, str | None, str]]:
    now = int(time.time())
    good = keys["ES256"].sign(claims())
    head, payload, signature = good.split(".")
    rsa = keys["RS256"]
    hs = b64(json.dumps({"alg": "HS256", "kid": "rsa"}).encode()) + "." + payload
    pem_like = json.dumps(rsa.jwk).encode()
    rows: list[tuple[str, str | None, str]] = [
        ("missing", None, "jwt.missing"),
        ("no token at all", "", "jwt.malformed"),
        ("two parts", f"{head}.{payload}", "jwt.malformed"),
        ("four parts", f"{good}.x", "jwt.malformed"),
        ("truncated", good[:-10], "jwt.signature"),
        ("not base64url", good.replace(".", ".+", 1), "jwt.malformed"),
        ("no signature", f"{head}.{payload}.", "jwt.signature"),
        ("none", forged({"alg": "none", "kid": "ec"}, claims(), b""), "jwt.algorithm"),
        ("None", forged({"alg": "None", "kid": "ec"}, claims()), "jwt.algorithm"),
        ("public key as a secret", f"{hs}.{b64(hmac.digest(pem_like, hs.encode(), hashlib.sha256))}", "jwt.algorithm"),
        ("PS256, not listed", foreign["PS256"].sign(claims()), "jwt.algorithm"),
        ("another key type under the kid", keys["ES256"].sign(claims(), kid="rsa"), "jwt.algorithm"),
        ("unknown kid", keys["ES256"].sign(claims(), kid="nobody"), "jwt.key"),
        ("own key in the header", foreign["ES256"].sign(claims(), jwk=foreign["ES256"].jwk), "jwt.signature"),
        ("own key set in the header", foreign["ES256"].sign(claims(), jku="https://evil.example/jwks"), "jwt.signature"),
        ("tampered", tampered(good, claims(roles=["analyst", "admin"])), "jwt.signature"),
        ("expired", keys["ES256"].sign(claims(lifetime=-120)), "jwt.expired"),
        ("without exp", keys["ES256"].sign(claims(exp=None)), "jwt.claims"),
        ("not yet valid", keys["ES256"].sign(claims(nbf=now + 600)), "jwt.notYetValid"),
        ("issued in the future", keys["ES256"].sign(claims(iat=now + 600)), "jwt.notYetValid"),
        ("another audience", keys["ES256"].sign(claims(aud="billing")), "jwt.audience"),
        ("no audience", keys["ES256"].sign(claims(aud=None)), "jwt.audience"),
        ("a part of the audience", keys["ES256"].sign(claims(aud=AUDIENCE[:-1])), "jwt.audience"),
        ("another issuer", keys["ES256"].sign(claims(iss="https://evil.example")), "jwt.issuer"),
        ("no issuer", keys["ES256"].sign(claims(iss=None)), "jwt.issuer"),
        ("no subject", keys["ES256"].sign(claims(sub=None)), "jwt.claims"),
    ]
    rows += [(f"forged {name}", key.sign(claims()), "jwt.signature") for name, key in foreign.items() if name != "PS256"]
    return rows


def test_bad_tokens_never_arrive(site, protocol, keys, foreign):
    before = site.upstream.total
    wrong = []
    for name, token, reason in bad_tokens(keys, foreign):
        got = site.send(protocol, chat(), token=token)
        if (got.reply.status, got.reply.reason) != (401, reason):
            wrong.append(f"{name}: expected {reason}, got {got}")
        assert got.reply.header("www-authenticate") is not None
    assert not wrong, "\n".join(wrong)
    assert site.upstream.total == before


def test_two_credentials(site, protocol, foreign):
    before = site.upstream.total
    other = ("authorization", f"Bearer {foreign['ES256'].sign(claims('eve'))}")
    site.send(protocol, chat(), headers=[other]).refused(400, "jwt.ambiguous", before_body=True)
    assert site.upstream.total == before


def test_roles_that_the_issuer_may_not_give(site, protocol, keys):
    for roles in ([], ["admin"], ["Analyst"], ["root", "operator"]):
        site.send(protocol, chat(), token=keys["ES256"].sign(claims(roles=roles))).refused(403, "rbac.operation", before_body=True)
    guest = site.token("bob", ("guest",))
    site.send(protocol, method="GET", path="/v1/models", token=guest).refused(403, "rbac.operation", before_body=True)
