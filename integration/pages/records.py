"""Audit records of made-up traffic, for the report's pages and for its speed: python -m pages.records COUNT > FILE."""

import json
import random
import sys
from datetime import datetime, timedelta, timezone

REASONS = ["scan.injection"] * 6 + ["scan.secret"] * 3 + ["rbac.model"] * 2 + ["quota.tokens"] * 3 + ["jwt.expired"] * 4 + [
    "quota.requests", "abuse.cooldown", "body.unscanned"]
RULES = {"scan.injection": ["PI-1010", "PI-1042", "PI-2003"], "scan.secret": ["SEC-2001", "SEC-2107"]}
MODELS = ["gpt-5.1"] * 6 + ["gpt-5.1-mini"] * 9 + ["claude-sonnet-4-5"] * 4 + ["llama-3.3-70b"] * 2
ROLES = ["analyst"] * 8 + ["developer"] * 6 + ["support-agents-of-the-northern-region"] * 2 + ["batch"]
START = datetime(2026, 11, 20, 6, tzinfo=timezone.utc)


def records(count: int, seed: int = 20261128, days: float = 3.0):
    """One record after the other, in the order of time."""
    draw = random.Random(seed)
    callers = [f"{draw.getrandbits(128):032x}" for _ in range(400)]
    workers = [f"{draw.getrandbits(48):012x}" for _ in range(4)]
    sequence = dict.fromkeys(workers, 0)
    for number in range(count):
        at = START + timedelta(days=days * number / count)
        if count > 100 and number == count // 2:
            workers[0] = f"{draw.getrandbits(48):012x}"
            sequence[workers[0]] = 0
        worker = draw.choice(workers)
        sequence[worker] += 2 if draw.random() < 0.0005 else 1
        model = draw.choice(MODELS)
        busy = draw.random() < (0.25 if 9 <= at.hour <= 10 else 0.06)
        verdict = "block" if busy else draw.choices(["allow", "mask", "replace", "pass", "incomplete"], [90, 5, 2, 1, 0.1])[0]
        latency = int(draw.lognormvariate(6, 0.6)) + (draw.randrange(20_000, 300_000) if draw.random() < 0.01 else 0)
        record = {
            "@timestamp": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "event.kind": "event",
            "event.dataset": "bartizan.audit", "event.outcome": "failure" if verdict == "block" else "success",
            "http.request.id": f"{worker}-{sequence[worker]}", "http.request.method": "POST",
            "http.response.status_code": 200, "url.path": "/v1/chat/completions",
            "user.hash": callers[min(399, int(draw.expovariate(0.02)))], "user.roles": [draw.choice(ROLES)],
            "organization.id": f"tenant-{min(30, int(draw.expovariate(0.4)))}", "gen_ai.operation.name": "chat",
            "gen_ai.request.model": model, "bartizan.verdict": verdict, "bartizan.protocol": "openai",
            "bartizan.score": min(100, int(draw.expovariate(0.1))), "bartizan.coverage": "full",
            "bartizan.policy.name": "shipped", "bartizan.policy.digest": "8d21aa0f93c1" if at.day < 22 else "c07b5be21e44",
            "bartizan.rules.digest": "5f0e9a7712bd", "bartizan.latency_us": latency, "bartizan.worker": worker,
            "bartizan.sequence": sequence[worker],
        }
        if verdict == "block":
            reason = draw.choice(REASONS)
            record["bartizan.reason"] = reason
            record["http.response.status_code"] = {"q": 429, "a": 429, "j": 401, "r": 403}.get(reason[0], 400)
            if reason in RULES:
                record["bartizan.findings"] = [{"rule": draw.choice(RULES[reason]), "zone": "user",
                                                "path": "/messages/1/content", "start": 0, "end": 12, "action": "block"}]
                record["bartizan.findings_total"] = 1
            if reason == "abuse.cooldown" and draw.random() < 0.3:
                record["bartizan.abuse.cooldown_s"] = 300
        elif verdict != "incomplete":
            used = draw.randrange(50, 4000), draw.randrange(10, 900)
            record.update({
                "gen_ai.usage.input_tokens": used[0], "gen_ai.usage.output_tokens": used[1],
                "bartizan.tokens.basis": "usage" if draw.random() < 0.995 else "unsettled",
                "bartizan.cost.amount": f"0.{used[0] * 2 + used[1] * 10:06}", "bartizan.cost.currency": "USD",
                "bartizan.cost.basis": "usage",
            })
            if verdict == "mask":
                record["bartizan.findings"] = [{"rule": draw.choice(["PII-3001", "PII-3007"]), "zone": "user",
                                                "path": "/messages/1/content", "start": 4, "end": 19, "action": "mask"}]
                record["bartizan.findings_total"] = record["bartizan.masked"] = 1
            if draw.random() < 0.03:
                record["bartizan.coverage"], record["bartizan.unscanned"] = "partial", [draw.choice(["image", "file", "audio"])]
            if draw.random() < 0.01:
                record["bartizan.shadow"] = ["scan.injection"]
            if draw.random() < 0.05:
                record["bartizan.opinions"] = [{"name": "moderation", "ms": draw.randrange(10, 90), "score": 12,
                                                "outcome": draw.choice(["same"] * 9 + ["raised", "unavailable"])}]
            if draw.random() < 0.004:
                record["bartizan.budget.crossed"] = [{"role": record["user.roles"][0], "per": "tenant", "counts": "tokens",
                                                      "share": draw.choice([50, 80, 100])}]
            if model == "gpt-5.1" and at.day == 22:
                record["gen_ai.response.model"] = "gpt-5.1-2026-11-13"
        yield record


if __name__ == "__main__":
    for one in records(int(sys.argv[1])):
        print(json.dumps(one, separators=(",", ":")))
