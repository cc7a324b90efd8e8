"""What is measured: one Envoy without a filter, Envoy's own chain, and Bartizan with its stages added in turn.

Every contender is the shipped Envoy file with its access log taken out, in front of the same model server.
"""

import copy
import json

from harness import envoy
from harness.envoy import EXTENSIONS
from harness.tokens import AUDIENCE, ISSUER, Key
from harness.upstream import completion

# The same two phrases that DESIGN's own measurement looks for.
LUA = """
function envoy_on_request(handle)
  local body = handle:body()
  if body == nil then return end
  local text = string.lower(body:getBytes(0, body:length()))
  if string.find(text, "ignore previous instructions", 1, true) or string.find(text, "system prompt", 1, true) then
    handle:respond({[":status"] = "400"}, "blocked")
  end
end
"""
PLENTY = 1_000_000_000


def model_server() -> dict:
    """An Envoy that answers every request by itself: a completion, or at `/stream/...` fifty events in one piece."""
    config = envoy.without_filter(envoy.load())
    http = envoy.manager(config)
    http.pop("access_log")

    def answer(match: dict, kind: str, body: str) -> dict:
        header = {"header": {"key": "content-type", "value": kind}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        return {
            "match": match, "direct_response": {"status": 200, "body": {"inline_string": body}},
            "response_headers_to_add": [header],
        }  # fmt: skip

    streams = {"prefix": "/", "headers": [{"name": "x-stream", "present_match": True}]}
    http["route_config"]["virtual_hosts"][0]["routes"] = [
        answer(streams, "text/event-stream", "".join(events(50))),
        answer({"prefix": "/"}, "application/json", json.dumps(completion())),
    ]
    http["route_config"]["max_direct_response_body_size_bytes"] = 65536
    return config


def events(count: int) -> list[str]:
    """A streamed completion of so many words."""

    def event(delta: dict, finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        return f"data: {json.dumps(body)}\n\n"

    words = "the keeper of the lighthouse walked home along the shore and thought about supper ".split()
    deltas = [event({"content": words[at % len(words)] + " "}) for at in range(count)]
    return [*deltas, event({}, "stop"), "data: [DONE]\n\n"]


def native(key: Key, stages: tuple[str, ...], cache: bool) -> list[dict]:
    """Envoy's own filters for the same work."""

    def entry(name: str, kind: str, body: dict) -> dict:
        return {"name": f"envoy.filters.http.{name}", "typed_config": {"@type": f"{EXTENSIONS}.filters.http.{kind}", **body}}

    provider = {
        "issuer": ISSUER, "audiences": [AUDIENCE], "payload_in_metadata": "claims",
        "local_jwks": {"inline_string": json.dumps({"keys": [key.jwk]})},
    }  # fmt: skip
    if cache:
        provider["jwt_cache_config"] = {"jwt_cache_size": 1000}
    jwt = {
        "providers": {"corp": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "corp"}}],
    }
    claim = {
        "filter": "envoy.filters.http.jwt_authn", "path": [{"key": "claims"}, {"key": "roles"}],
        "value": {"list_match": {"one_of": {"string_match": {"exact": "analyst"}}}},
    }  # fmt: skip
    rbac = {"rules": {"action": "ALLOW", "policies": {"analyst": {"permissions": [{"any": True}], "principals": [{"metadata": claim}]}}}}
    whole = {"numerator": 100, "denominator": "HUNDRED"}
    limit = {
        "stat_prefix": "bench", "token_bucket": {"max_tokens": PLENTY, "tokens_per_fill": PLENTY, "fill_interval": "60s"},
        "filter_enabled": {"default_value": whole}, "filter_enforced": {"default_value": whole},
    }  # fmt: skip
    chain = {
        "jwt": entry("jwt_authn", "jwt_authn.v3.JwtAuthentication", jwt),
        "rbac": entry("rbac", "rbac.v3.RBAC", rbac),
        "limit": entry("local_ratelimit", "local_ratelimit.v3.LocalRateLimit", limit),
        "lua": entry("lua", "lua.v3.Lua", {"default_source_code": {"inline_string": LUA}}),
    }
    return [chain[stage] for stage in stages]


def policies(document: dict) -> dict[str, dict]:
    """The shipped policy, stage by stage."""

    def variant(**changes) -> dict:
        made = copy.deepcopy(document)
        for role in made["roles"].values():
            role.pop("quotas")
            if changes.get("quotas"):
                role["quotas"] = [{"per": "subject", "requests": PLENTY, "window": "1m"}]
        made["rules"] = {"packs": changes.get("packs", []), "scorer": changes.get("scorer", False)}
        return made

    attacks = ["injection", "jailbreak", "leakage", "exfiltration", "hijack", "obfuscation"]
    everything = variant(quotas=True)
    everything.pop("rules")
    return {
        "token, roles": variant(),
        "+ quota": variant(quotas=True),
        "+ attack rules": variant(quotas=True, packs=attacks),
        "+ scorer": variant(quotas=True, packs=attacks, scorer=True),
        "+ secrets, PII: strong": everything,
    }


def contenders(port: int, key: Key) -> dict[str, dict]:
    """One configuration a name, all in front of the model server at `port`."""

    def bare(path=envoy.STRONG) -> dict:
        config = envoy.with_upstream(envoy.load(path), port)
        envoy.manager(config).pop("access_log")
        return config

    made = {"no filter": envoy.without_filter(bare())}
    chain = ("jwt", "rbac", "limit", "lua")
    for name, stages, cache in (
        ("jwt_authn", ("jwt",), False),
        ("native chain", chain, False),
        ("native, JWT cache", chain, True),
    ):
        config = envoy.without_filter(bare())
        filters = envoy.manager(config)["http_filters"]
        filters[:0] = native(key, stages, cache)
        made[name] = config
    strong, weak = bare(), bare(envoy.WEAK)
    for name, policy in policies(envoy.with_keys(envoy.policy(strong), [key.jwk])).items():
        made[name] = envoy.with_policy(strong, policy)
    everything = policies(envoy.with_keys(envoy.policy(weak), [key.jwk]))["+ secrets, PII: strong"]
    made["the same: weak"] = envoy.with_policy(weak, everything)
    return made
