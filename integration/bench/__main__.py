"""A 1 KiB chat request with a cached token through one Envoy worker: no filter, weak mode, strong mode, alternating.

    make bench                  five rounds of three seconds each
    ROUNDS=9 SECONDS=5 make bench

The model server is another Envoy that answers a fixed completion, so that its own cost is small and even.
"""

import json
import os
import platform
import statistics
import sys

from harness import envoy
from harness.envoy import Envoy
from harness.paths import MODULE, ROOT
from harness.tokens import Key, claims
from harness.upstream import completion

from .load import drive

ROUNDS = int(os.environ.get("ROUNDS", "5"))
LENGTH = float(os.environ.get("SECONDS", "3"))
CONNECTIONS = int(os.environ.get("CONNECTIONS", "16"))
TEXT = "The keeper of the lighthouse walked home along the shore and thought about supper. "


def model_server() -> dict:
    """An Envoy that answers every request by itself."""
    config = envoy.without_filter(envoy.load())
    http = envoy.manager(config)
    http.pop("access_log")
    answer = {"status": 200, "body": {"inline_string": json.dumps(completion())}}
    json_type = {"header": {"key": "content-type", "value": "application/json"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    http["route_config"]["virtual_hosts"][0]["routes"] = [
        {"match": {"prefix": "/"}, "direct_response": answer, "response_headers_to_add": [json_type]}
    ]
    return config


def proxies(port: int, key: Key) -> dict[str, dict]:
    """One configuration a variant; the policy is the shipped one with a quota that nobody reaches."""
    made = {}
    for name, path in (("no filter", None), ("weak", envoy.WEAK), ("strong", envoy.STRONG)):
        config = envoy.with_upstream(envoy.load(path or envoy.STRONG), port)
        envoy.manager(config).pop("access_log")
        if path is None:
            config = envoy.without_filter(config)
        else:
            policy = envoy.with_keys(envoy.policy(config), [key.jwk])
            policy["roles"]["analyst"]["quotas"][0]["requests"] = 1_000_000_000
            config = envoy.with_policy(config, policy)
        made[name] = config
    return made


def request(token: str) -> bytes:
    body = {"model": "smollm2", "max_tokens": 16, "messages": [{"role": "user", "content": ""}]}
    body["messages"][0]["content"] = (TEXT * 20)[: 1024 - len(json.dumps(body))]
    data = json.dumps(body).encode()
    assert len(data) == 1024
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: llm.example.com\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {token}\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def cpu(pid: int) -> float:
    """Seconds of processor time a process has used."""
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    key = Key("RS256", "bench")
    data = request(key.sign(claims("bench", lifetime=86400)))
    results: dict[str, list[tuple[float, float, float, float]]] = {}
    running: dict[str, Envoy] = {}
    try:
        running["model"] = Envoy(model_server(), "model", workers=1)
        for name, config in proxies(running["model"].port, key).items():
            running[name] = Envoy(config, name.replace(" ", "-"), workers=1)
        names = [name for name in running if name != "model"]
        rest = {name: running[name].memory() for name in names}
        for name in names:
            drive(running[name].port, data, CONNECTIONS, 1.5)
        for number in range(ROUNDS):
            for name in names if number % 2 == 0 else reversed(names):
                proxy = running[name]
                before = cpu(proxy.child.pid)
                count, latencies, wrong = drive(proxy.port, data, CONNECTIONS, LENGTH)
                if wrong:
                    print(f"{name}: {wrong} of {count} replies were not 200")
                    return 1
                used = (cpu(proxy.child.pid) - before) / count
                latencies.sort()
                results.setdefault(name, []).append(
                    (count / LENGTH, latencies[count // 2], latencies[count * 99 // 100], used)
                )
                print(f"  round {number + 1}/{ROUNDS} {name:<10} {count / LENGTH:8.0f} requests/s", flush=True)
        report(results, rest, {name: running[name].memory() for name in names})
        return 0
    finally:
        for server in running.values():
            server.stop()


def report(results: dict, rest: dict[str, int], after: dict[str, int]) -> None:
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, one Envoy worker, {CONNECTIONS} connections, HTTP/1.1, 1 KiB chat, cached RS256 token")
    print(f"{'':<10} {'requests/s':>10} {'of no filter':>13} {'p50':>9} {'p99':>9} {'CPU/request':>12} {'memory':>10} {'under load':>11}")
    for name, rows in results.items():
        rate, p50, p99, used = (statistics.median(row[at] for row in rows) for at in range(4))
        # Against the same round, so that a machine that is busy for a while does not decide.
        share = statistics.median(row[0] / bare[0] for row, bare in zip(rows, results["no filter"], strict=True))
        print(f"{name:<10} {rate:>10.0f} {share:>13.2f} {p50 * 1e3:>6.2f} ms {p99 * 1e3:>6.2f} ms {used * 1e6:>9.0f} us"
              f" {rest[name] / 2**20:>6.1f} MiB {after[name] / 2**20:>7.1f} MiB")
    print(f"module: {MODULE.relative_to(ROOT)}, {MODULE.stat().st_size} bytes ({MODULE.stat().st_size / 2**20:.2f} MiB)")


if __name__ == "__main__":
    sys.exit(main())
