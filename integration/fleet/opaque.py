"""Opaque tokens and their issuer: a real OpenID provider behind a relay that fails as it is told."""

import time
import uuid

from harness import envoy, idp
from harness.client import H1, Client
from harness.relay import Relay
from harness.tokens import Key

from .load import PASS, Kind
from .site import Fleet

SECRET = "IDP_CLIENT_SECRET"
# How long an answer counts, and how long the issuer is away.
KEPT, AWAY_SECONDS = 6.0, 9.0
INACTIVE, UNAVAILABLE = (401, "jwt.inactive"), (503, "jwt.unavailable")


class Opaque(Fleet):
    """Two proxies that ask the issuer about opaque tokens, and believe JWTs of another one."""

    label = "opaque"

    def __init__(self, upstream, key: Key, provider: idp.Provider):
        self.key, self.provider, self.relay = key, provider, Relay(lambda: provider.issuer)
        config = envoy.with_upstream(envoy.load(envoy.STRONG), upstream.port)
        document = envoy.with_keys(envoy.policy(config), [key.jwk])
        document["roles"]["analyst"].pop("quotas", None)
        document["authn"]["issuers"].append({
            "name": "opaque", "issuer": provider.issuer, "audiences": ["urn:llm:opaque"], "claims": {"subject": "/client_id"},
            "introspection": {
                "cluster": "idp", "authority": "idp.test", "path": "/token/introspection", "timeout": "1s",
                "clientId": idp.CLIENT[0], "clientSecret": {"fromEnv": SECRET}, "keepFor": f"{KEPT:.0f}s", "keepRefusedFor": "1s",
            },
        })  # fmt: skip
        self.config = envoy.with_policy(config, document)
        envoy.with_cluster(self.config, "idp", self.relay.port)
        envoy.wasm(self.config)["vm_config"]["environment_variables"] = {"key_values": {SECRET: idp.CLIENT[1]}}

    def issue(self) -> None:
        self.known, *self.new = (self.provider.token("urn:llm:opaque") for _ in range(250))

    def restart(self) -> None:
        """The provider's memory of tokens ended with it, so that the old ones are good no more."""
        self.known, self.new = None, []
        self.provider.start([Key("RS256", "one")])
        self.issue()

    def mix(self) -> list[Kind]:
        """What one outage is tried with. Every worker has just been told of the known token, and of no other."""
        self.issue()
        for proxy in self.proxies:
            for _ in range(16):
                with Client(proxy.port, H1) as client:
                    assert self.send(client, self.known).status == 200
        until = time.monotonic() + KEPT
        return [
            Kind("JWT of another issuer", "analyst", {PASS}, {PASS}),
            Kind("known token", "", {PASS}, {UNAVAILABLE}, fresh=lambda: self.known, until=until),
            Kind("new token", "", {PASS}, {UNAVAILABLE}, fresh=lambda: self.new.pop() if self.new else None),
            Kind("made-up token", "", {INACTIVE}, {UNAVAILABLE}, fresh=lambda: f"made-up-{uuid.uuid4()}"),
        ]

    def scenarios(self):
        """Name, how it begins, how it ends, and whether the issuer is then away."""

        def mood(word: str):
            return lambda: setattr(self.relay, "mood", word)

        yield "IdP: introspection slow (0.3 s)", mood("slow"), mood("pass"), False
        yield "IdP: introspection hangs", mood("hang"), mood("pass"), True
        yield "IdP: introspection answers 500", mood("error"), mood("pass"), True
        yield "IdP: introspection answers garbage", mood("garbage"), mood("pass"), True
        yield "IdP: killed (introspection)", self.provider.child.process.kill, self.restart, True

    def stop(self) -> None:
        super().stop()
        self.relay.stop()
