"""A policy engine that decides about every request: a real OPA behind a relay that fails as it is told."""

from harness import envoy
from harness.relay import Relay
from harness.tokens import Key
from opa.server import Opa

from .load import ATTACK, BLOCKED, FORGED, PASS, Kind
from .site import Fleet

DENIED, AWAY = (403, "authz.denied"), (503, "authz.unavailable")
# Its answers that are not understood refuse the request whatever `onUnavailable` says.
ODD = ("garbage", "empty", "missing")


class Asked(Fleet):
    """Two proxies that ask OPA about what their roles and guards allow."""

    label = "asked"

    def __init__(self, upstream, key: Key, opa: Opa, on_unavailable: str):
        self.key, self.opa, self.on_unavailable, self.relay = key, opa, on_unavailable, Relay(lambda: opa.url)
        config = envoy.with_upstream(envoy.load(envoy.STRONG), upstream.port)
        document = envoy.with_keys(envoy.policy(config), [key.jwk])
        document["roles"]["analyst"].pop("quotas", None)
        document["roles"]["agent"] = document["roles"]["analyst"] | {"tools": {"allow": ["*"]}}
        document["authn"]["issuers"][0]["grants"]["roles"] = list(document["roles"])
        document["authz"] = {"opa": {
            "cluster": "opa", "path": "/v1/data/bartizan/decision", "timeout": "1s", "onUnavailable": on_unavailable,
        }}  # fmt: skip
        self.config = envoy.with_policy(config, document)
        envoy.with_cluster(self.config, "opa", self.relay.port)

    def token(self, role: str, subject: str = "alice", key: Key | None = None) -> str:
        from harness.tokens import claims

        tenant = "evil" if role == "suspended" else "acme"
        return (key or self.key).sign(claims(subject, ["analyst"], lifetime=3600) | {"tenant": tenant})

    def mix(self, mood: str) -> list[Kind]:
        """What one outage is tried with."""
        away = {AWAY} if self.on_unavailable == "deny" or mood in ODD else {PASS}
        return [
            Kind("allowed by OPA", "analyst", {PASS}, away),
            Kind("refused by OPA", "suspended", {DENIED}, away),
            Kind("attack", "analyst", {BLOCKED}, {BLOCKED}, text=ATTACK),
            Kind("forged token", "analyst", {FORGED}, {FORGED}, forged=True),
        ]

    def scenarios(self):
        """Name, its mood, how it begins, how it ends, and whether OPA is then away."""

        def mood(word: str):
            return lambda: setattr(self.relay, "mood", word)

        calm, says = mood("pass"), f" ({self.on_unavailable})"
        yield "OPA: slow (0.3 s)" + says, "slow", mood("slow"), calm, False
        for word in ("hang", "error", "huge", *ODD):
            yield f"OPA: {word}{says}", word, mood(word), calm, True
        yield "OPA: killed" + says, "killed", self.opa.stop, self.opa.start, True
        yield "OPA: stopped in its tracks" + says, "hang", self.opa.pause, self.opa.go_on, True

    def stop(self) -> None:
        super().stop()
        self.relay.stop()
