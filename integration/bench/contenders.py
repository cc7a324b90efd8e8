"""What is measured: one Envoy without a filter, Envoy's own chain, and Bartizan with its stages added in turn.

Every contender is the shipped Envoy file with its access log taken out, in front of the same model server.
"""

import copy
import json
import os
from pathlib import Path

from harness import envoy
from harness.envoy import EXTENSIONS
from harness.tokens import AUDIENCE, ISSUER, Key
from harness.upstream import completion

from .load import native

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
BARE, STRONG, WEAK = "no filter", "+ secrets, PII: strong", "the same: weak"
# The same with a line a request in Envoy's log, beside the record in the filter state.
LINE = "the same: strong, log line"
OWN = [10, 100, 1000]
# An earlier module, which takes turns with this one.
BASE_FILTER = os.environ.get("BASE_FILTER", "")
EARLIER = "the same: earlier module"


def model_server() -> dict:
    """An Envoy that answers every request by itself with a completion, once it has read the whole body.

    A direct response alone is sent on the headers, and the connection is closed because the body is still under way: each
    request of the proxy in front would then open another. The buffer filter waits for the body.
    """
    config = envoy.without_filter(envoy.load())
    http = envoy.manager(config)
    http.pop("access_log")
    buffer = {"@type": f"{EXTENSIONS}.filters.http.buffer.v3.Buffer", "max_request_bytes": 8 << 20}
    http["http_filters"].insert(0, {"name": "envoy.filters.http.buffer", "typed_config": buffer})
    header = {"header": {"key": "content-type", "value": "application/json"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    http["route_config"]["virtual_hosts"][0]["routes"] = [{
        "match": {"prefix": "/"}, "response_headers_to_add": [header],
        "direct_response": {"status": 200, "body": {"inline_string": json.dumps(completion())}},
    }]  # fmt: skip
    return config


def events(words: list[str]) -> list[str]:
    """A streamed completion of these words, and its end."""

    def event(delta: dict, finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        return f"data: {json.dumps(body)}\n\n"

    return [*(event({"content": word + " "}) for word in words), event({}, "stop"), "data: [DONE]\n\n"]


def chain_of(key: Key, stages: tuple[str, ...], cache: bool) -> list[dict]:
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

    def own(count: int) -> dict:
        made = copy.deepcopy(everything)
        made["rules"] = {"custom": json.loads(native("rules", str(count)))}
        return made

    attacks = ["injection", "jailbreak", "leakage", "exfiltration", "hijack", "obfuscation"]
    everything = variant(quotas=True)
    everything.pop("rules")
    return {
        "token, roles": variant(),
        "+ quota": variant(quotas=True),
        "+ attack rules": variant(quotas=True, packs=attacks),
        "+ scorer": variant(quotas=True, packs=attacks, scorer=True),
        STRONG: everything,
        **{f"{count} own rules": own(count) for count in OWN},
    }


def contenders(port: int, key: Key) -> dict[str, dict]:
    """One configuration a name, all in front of the model server at `port`."""

    def bare(path=envoy.STRONG) -> dict:
        config = envoy.with_upstream(envoy.load(path), port)
        envoy.manager(config).pop("access_log")
        return config

    made = {BARE: envoy.without_filter(bare())}
    chain = ("jwt", "rbac", "limit", "lua")
    for name, stages, cache in (
        ("jwt_authn", ("jwt",), False),
        ("native chain", chain, False),
        ("native, JWT cache", chain, True),
    ):
        config = envoy.without_filter(bare())
        filters = envoy.manager(config)["http_filters"]
        filters[:0] = chain_of(key, stages, cache)
        made[name] = config
    strong, weak = bare(), bare(envoy.WEAK)
    for name, policy in policies(envoy.with_keys(envoy.policy(strong), [key.jwk])).items():
        made[name] = envoy.with_policy(strong, policy)
    everything = policies(envoy.with_keys(envoy.policy(weak), [key.jwk]))[STRONG]
    made[LINE] = made[STRONG]
    if BASE_FILTER:
        made[EARLIER] = copy.deepcopy(made[STRONG])
        plugin = envoy.wasm(made[EARLIER])
        plugin["vm_config"]["code"]["local"]["filename"] = str(Path(BASE_FILTER).resolve())
    made[WEAK] = envoy.with_policy(weak, everything)
    return made
