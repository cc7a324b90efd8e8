"""Two proxies of one policy: the shipped Envoy file with a rate-limit service and an issuer that publishes its keys."""

import functools
import json

from harness import envoy
from harness.client import H1, Call, Client, Reply
from harness.envoy import Envoy
from harness.process import Running
from harness.ratelimit import cluster
from harness.tokens import Key, claims

# Roles of the tests: who is far from the limit and who is over it, for both answers to an outage.
MANY, FEW = 1_000_000, 3
ROLES = {
    "deny": (MANY, "deny"), "local": (MANY, "local"), "spent-deny": (FEW, "deny"), "spent-local": (FEW, "local"),
}  # fmt: skip


def policy(document: dict, quotas: dict[str, list[dict]] | None = None, abuse: dict | None = None, **service) -> None:
    """The policy for a fleet: one role for each of `ROLES`, and for each of `quotas`."""
    if abuse:
        document["abuse"] = abuse
    document["rateLimitService"] = {"cluster": "limits", "domain": "llm", "timeout": "300ms"} | service
    base = document["roles"]["analyst"]
    document["roles"] = {"analyst": base | {"quotas": []}}
    for name, (limit, unavailable) in ROLES.items():
        quota = {"per": "role", "requests": limit, "window": "1h", "scope": "fleet", "onUnavailable": unavailable}
        document["roles"][name] = base | {"quotas": [quota]}
    for name, own in (quotas or {}).items():
        document["roles"][name] = base | {"quotas": own}
    issuer = document["authn"]["issuers"][0]
    issuer["grants"]["roles"] = list(document["roles"])


class Fleet(Running):
    """Proxies that share a service. `keys_port`: the issuer publishes its keys there. Subclasses may leave `start` to the first row that needs them."""

    label, count = "fleet", 2

    def __init__(self, upstream, service_port: int, key: Key, keys_port: int | None = None, proxies: int = 2,
                 quotas: dict[str, list[dict]] | None = None, abuse: dict | None = None, change=None, **service):  # fmt: skip
        self.key, self.numbers = key, iter(range(1_000_000_000))
        config = envoy.with_upstream(envoy.load(envoy.STRONG), upstream.port)
        document = envoy.with_keys(envoy.policy(config), [key.jwk])
        policy(document, quotas, abuse, **service)
        if change:
            change(document)
        if keys_port:
            document["authn"]["issuers"][0]["jwks"] = {
                "cluster": "idp", "authority": "idp.test", "path": "/jwks", "timeout": "1s", "refresh": "10s", "staleFor": "1h",
            }  # fmt: skip
        config = envoy.with_policy(config, document)
        config["static_resources"]["clusters"].append(cluster(service_port))
        if keys_port:
            envoy.with_cluster(config, "idp", keys_port)
        self.config, self.count = config, proxies
        self.start()

    def start(self) -> None:
        assert self.proxies

    @functools.cached_property
    def proxies(self) -> list[Envoy]:
        return [Envoy(self.config, f"{self.label}-{number}") for number in range(self.count)]

    def restart(self, number: int) -> None:
        """A new process in the place of this proxy: what it kept is gone."""
        self.proxies[number].stop()
        self.proxies[number] = Envoy(self.config, f"fleet-{number}-again")

    def token(self, role: str, subject: str = "alice", key: Key | None = None) -> str:
        return (key or self.key).sign(claims(subject, [role], lifetime=3600))

    def send(self, client: Client, token: str, text: str = "hello", **fields) -> Reply:
        body = json.dumps({"model": "smollm2", "messages": [{"role": "user", "content": text}], "max_tokens": 50})
        headers = [("content-type", "application/json"), ("authorization", f"Bearer {token}"), *fields.pop("headers", [])]
        return client.call(Call(headers=headers, body=body.encode(), **fields))

    def once(self, role: str, subject: str = "alice", proxy: int = 0, **fields) -> Reply:
        with Client(self.proxies[proxy].port, H1) as client:
            return self.send(client, self.token(role, subject), **fields)

    def stop(self) -> None:
        for proxy in self.__dict__.get("proxies", ()):
            proxy.stop()
