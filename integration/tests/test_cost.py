"""Money on real Envoy: a budget of a few cents is spent, refused in each SDK's words, and adds up to what the upstream counted."""

import anthropic
import openai
import pytest

from conftest import Site, chat, user
from harness import envoy, falco
from harness.client import H1
from harness.upstream import METERED

# Millionths of a dollar for a token.
INPUT, OUTPUT = 100, 400
# Five cents.
BUDGET = 50_000


def priced(policy: dict) -> None:
    policy["prices"] = {
        "currency": "USD",
        "models": [
            {"match": "smollm2", "input": "100", "output": "400"},
            {"match": "scripted", "input": "100", "output": "400"},
            {"match": "claude-*", "input": "100", "output": "400"},
        ],
    }
    policy["authn"]["tokenFrom"] = ["authorization", "x-api-key"]
    policy["routes"].append({"match": {"path": "/v1/messages"}, "protocol": "anthropic"})
    role = policy["roles"]["analyst"]
    role["models"] = ["smollm2", "claude-*", "unpriced"]
    role["quotas"] = [{"per": "subject", "cost": "0.05 USD", "window": "1h", "alertAt": [50, 80]}]


def micros(amount: str) -> int:
    whole, decimals = amount.split(".")
    assert len(decimals) == 6
    return int(whole) * 1_000_000 + int(decimals)


def ask(site: Site, subject: str, model: str = "smollm2", script: str = "metered", **more):
    body = chat(user("Tell me about castles."), model=model, max_tokens=20, **more)
    return site.send(H1, body, token=site.token(subject), headers=[("x-script", script)])


def test_a_record_says_what_the_upstream_counted(sites, mode):
    site = sites(mode, change=priced)
    for stream in (False, True):
        METERED.clear()
        got = ask(site, f"exact-{mode}-{stream}", stream=stream)
        assert got.reply.status == 200
        [(used, written)] = METERED
        record = got.audit
        assert micros(record["bartizan.cost.amount"]) == used * INPUT + written * OUTPUT, record
        assert (record["bartizan.cost.currency"], record["bartizan.cost.basis"]) == ("USD", "usage")
        assert micros(record["bartizan.cost.reserved"]) >= 20 * OUTPUT


def test_a_budget_is_spent_and_then_refused(sites, mode):
    site = sites(mode, change=priced)
    METERED.clear()
    subject, spent, told = f"spender-{mode}", 0, []
    for _ in range(40):
        got = ask(site, subject)
        if got.reply.status != 200:
            break
        spent += micros(got.audit["bartizan.cost.amount"])
        told += [one["share"] for one in got.audit.get("bartizan.budget.crossed", [])]
        assert ("Bartizan budget share reached" in falco.alarms(got.audit)) == ("bartizan.budget.crossed" in got.audit)
    got.refused(429, "quota.cost")
    assert spent == sum(used * INPUT + written * OUTPUT for used, written in METERED)
    # What drains meanwhile is 14 millionths a second.
    assert 0.7 * BUDGET < spent <= BUDGET + 5000
    assert told[0] == 50 and set(told) <= {50, 80}
    client = openai.OpenAI(base_url=f"{site.proxy.url}/v1", api_key=site.token(subject), max_retries=0)
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model="smollm2", max_tokens=40, messages=[user("hello")])
    assert refused.value.code == "insufficient_quota"
    assert refused.value.response.headers["x-bartizan-reason"] == "quota.cost"


def test_anthropics_sdk_reads_a_spent_budget(sites, mode):
    site = sites(mode, change=priced)
    client = anthropic.Anthropic(base_url=site.proxy.url, api_key=site.token(f"claude-{mode}"), max_retries=0)
    refusal = None
    for _ in range(60):
        try:
            client.messages.create(model="claude-3-5-haiku", max_tokens=20, messages=[{"role": "user", "content": "hello"}])
        except anthropic.RateLimitError as error:
            refusal = error
            break
    assert refusal is not None and refusal.body["error"]["type"] == "rate_limit_error", refusal
    assert refusal.response.headers["x-bartizan-reason"] == "quota.cost"


def test_a_model_without_a_price_is_refused(sites, mode):
    site = sites(mode, change=priced)
    ask(site, f"unpriced-{mode}", model="unpriced").refused(403, "quota.unpriced")


def retrying(config: dict) -> None:
    for host in envoy.manager(config)["route_config"]["virtual_hosts"]:
        host["retry_policy"] = {"retry_on": "5xx", "num_retries": 2}


def test_what_envoy_tries_again_is_charged_once(sites, mode):
    site = sites(mode, change=priced, edit=retrying)
    got = ask(site, f"retried-{mode}", script="fails_once")
    assert got.reply.status == 200 and len(got.seen) == 2
    assert micros(got.audit["bartizan.cost.amount"]) == 11 * INPUT + 13 * OUTPUT


def test_counters_add_up_millionths(sites, mode):
    site = sites(mode, change=priced)
    spent = micros(ask(site, f"counted-{mode}").audit["bartizan.cost.amount"])
    lines = [line for line in site.proxy.prometheus() if "bartizan_cost_micros" in line and not line.startswith("#")]
    assert sum(int(float(line.rsplit(" ", 1)[1])) for line in lines) >= spent
    by_model = [line for line in site.proxy.prometheus() if "bartizan_model_cost_micros{" in line]
    assert by_model and all('model="' in line for line in by_model)
