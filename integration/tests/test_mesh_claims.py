"""Claims that Envoy's own `jwt_authn` has verified, as Istio's RequestAuthentication sets it up."""

import json

import pytest

from conftest import Site, chat
from harness.client import H1
from harness.tokens import ISSUER, Key, claims


def from_mesh(document: dict) -> None:
    document["authn"]["fromMesh"] = True
    entry = document["authn"]["issuers"][0]
    entry.pop("jwks")
    entry.pop("algorithms")
    document["roles"]["analyst"]["when"] = (
        "(!has(principal.claims.level) || principal.claims.level >= 2) && "
        "(!has(principal.claims.suspended) || !principal.claims.suspended)"
    )


@pytest.fixture(scope="module")
def guarded(upstream, keys):
    """A site with `jwt_authn` in front of the filter, in both modes."""

    def edit(config: dict) -> None:
        filters = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
        rules = {"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": [
            {"provider_name": "corp"}, {"allow_missing": {}}]}}}  # fmt: skip
        filters.insert(0, {"name": "envoy.filters.http.jwt_authn", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"corp": {"issuer": ISSUER, "forward": True, "payload_in_metadata": "payload",
                "local_jwks": {"inline_string": json.dumps({"keys": [keys["ES256"].jwk]})}}},
            "rules": [rules]}})  # fmt: skip

    made = {mode: Site(mode, upstream, keys, change=from_mesh, edit=edit) for mode in ("strong", "weak")}
    yield made
    for site in made.values():
        site.proxy.stop()


def test_claims_of_the_mesh_are_the_callers(guarded, mode):
    site = guarded[mode]
    outcome = site.send(H1, chat(), token=site.token()).passed()
    assert outcome.one.header("authorization") is None, "the token goes no further"
    site.send(H1, chat(), token=site.token(roles=("nothing",))).refused(403, "rbac.operation", before_body=True)
    # The mesh lets requests without a token through; the policy does not.
    site.send(H1, chat(), token=None).refused(401, "jwt.missing", before_body=True)


def test_a_token_that_the_mesh_refuses_goes_nowhere(guarded, mode):
    site = guarded[mode]
    outcome = site.send(H1, chat(), token=Key("ES256", "ec").sign(claims()))
    assert outcome.reply.status == 401 and outcome.seen == []


@pytest.mark.parametrize("more, passes", [
    ({}, True), ({"level": 2}, True), ({"level": 2.5}, True), ({"level": 1}, False), ({"level": 0}, False), ({"level": -3}, False),
    ({"level": "high"}, False), ({"suspended": False}, True), ({"suspended": True}, False), ({"suspended": "yes"}, False),
    ({"level": 10**9, "suspended": False}, True),
])  # fmt: skip
def test_conditions_read_numbers_and_booleans_of_the_mesh(guarded, mode, more, passes):
    """Envoy gives claims as bytes, and does not say of which type they are."""
    site = guarded[mode]
    token = site.keys["ES256"].sign(claims("mia", ["analyst"]) | more)
    outcome = site.send(H1, chat(), token=token)
    if passes:
        outcome.passed()
    else:
        outcome.refused(403, "rbac.condition")
