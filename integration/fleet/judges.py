"""An outside judge of every request: a real Presidio behind a relay that fails as it is told."""

from harness import envoy
from harness.envoy import Envoy
from harness.relay import Relay
from harness.tokens import Key
from opinions.servers import Presidio

from .load import ATTACK, BLOCKED, FORGED, PASS, Kind
from .site import Fleet

AWAY = (503, "opinion.unavailable")


class Judged(Fleet):
    """Two proxies that ask Presidio about each newest text."""

    def __init__(self, upstream, key: Key, presidio: Presidio, on_unavailable: str):
        self.key, self.presidio, self.on_unavailable, self.relay = key, presidio, on_unavailable, Relay(lambda: presidio.url)
        config = envoy.with_upstream(envoy.load(envoy.STRONG), upstream.port)
        document = envoy.with_keys(envoy.policy(config), [key.jwk])
        document["roles"]["analyst"].pop("quotas", None)
        document["guards"]["standard"]["opinions"] = ["names"]
        document["opinions"] = {"names": {
            "kind": "presidio", "cluster": "presidio", "timeout": "1s", "onUnavailable": on_unavailable, "entities": ["PERSON"],
        }}  # fmt: skip
        config = envoy.with_policy(config, document)
        envoy.with_cluster(config, "presidio", self.relay.port)
        self.proxies = [Envoy(config, f"judged-{number}") for number in range(2)]

    def mix(self) -> list[Kind]:
        """What one outage is tried with."""
        away = {AWAY} if self.on_unavailable == "deny" else {PASS}
        return [
            Kind("harmless", "analyst", {PASS}, away),
            Kind("a name", "analyst", {PASS}, away, text="Ada Lovelace wrote it."),
            Kind("attack", "analyst", {BLOCKED}, {BLOCKED}, text=ATTACK),
            Kind("forged token", "analyst", {FORGED}, {FORGED}, forged=True),
        ]

    def scenarios(self):
        """Name, how it begins, how it ends, and whether the judge is then away."""

        def mood(word: str):
            return lambda: setattr(self.relay, "mood", word)

        calm, says = mood("pass"), f" ({self.on_unavailable})"
        yield "Presidio: slow (0.3 s)" + says, mood("slow"), calm, False
        for word in ("hang", "error", "huge", "garbage", "empty", "missing"):
            yield f"Presidio: {word}{says}", mood(word), calm, True
        yield "Presidio: killed" + says, self.presidio.stop, self.presidio.start, True

    def stop(self) -> None:
        super().stop()
        self.relay.stop()
