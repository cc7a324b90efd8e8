"""Chat requests through one Envoy worker: no filter, Envoy's own chain, Bartizan stage by stage, alternating.

    make bench                          three rounds of two seconds each
    ROUNDS=9 SECONDS=5 make bench       ONLY="1 KiB" for one table

The model server is another Envoy that answers a fixed completion, so that its own cost is small and even.
"""

import datetime
import os
import platform
import statistics
import sys

from harness.envoy import Envoy
from harness.paths import MODULE, ROOT
from harness.tokens import Key, claims

from . import events
from .contenders import contenders, model_server
from .load import Load, drive

ROUNDS = int(os.environ.get("ROUNDS", "3"))
LENGTH = float(os.environ.get("SECONDS", "2"))
CONNECTIONS = int(os.environ.get("CONNECTIONS", "16"))
ONLY = os.environ.get("ONLY", "")
# More than the filter's memory of tokens holds, so that each one is new when it comes again.
COLD = 6000

BARE, STRONG, WEAK = "no filter", "+ secrets, PII: strong", "the same: weak"
SHORT = [BARE, "native chain", "native, JWT cache", STRONG, WEAK]


def loads(key: Key) -> list[tuple[Load, list[str] | None]]:
    """Each kind of request and who is measured with it; `None`: everyone."""
    warm = [key.sign(claims("bench", lifetime=86400))]
    cold = [key.sign(claims(f"bench{number}", lifetime=86400)) for number in range(COLD)]
    return [
        (Load("1 KiB, cached token", 1024, warm), None),
        (Load("1 KiB, cold token", 1024, cold), [BARE, "jwt_authn", "native chain", "token, roles", STRONG, WEAK]),
        (Load("0.3 KiB, cached token", 300, warm), SHORT),
        (Load("16 KiB, cached token", 16384, warm), SHORT),
        (Load("256 KiB, cached token", 262144, warm), SHORT),
        (Load("1 KiB, the same text again", 1024, warm, same=True), SHORT),
        (Load("1 KiB, streamed reply of 50 events", 1024, warm, streamed=True), SHORT),
    ]


def cpu(pid: int) -> float:
    """Seconds of processor time a process has used."""
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(running: dict[str, Envoy], load: Load, names: list[str]) -> None:
    """One table: the contenders take turns, and every second round goes backwards."""
    rows: dict[str, list[dict]] = {name: [] for name in names}
    for name in names:
        drive(running[name].port, load, CONNECTIONS, 1)
    for number in range(ROUNDS):
        for name in names if number % 2 == 0 else reversed(names):
            proxy = running[name]
            before = cpu(proxy.child.pid)
            row = drive(proxy.port, load, CONNECTIONS, LENGTH)
            if row["wrong"] or not row["requests"]:
                raise SystemExit(f"{name}, {load.name}: {row['wrong']} of {row['requests']} replies were not 200")
            row["cpu"] = (cpu(proxy.child.pid) - before) / row["requests"]
            row["rate"] = row["requests"] / row["seconds"]
            rows[name].append(row)
    print(f"\n{load.name}")
    print(f"  {'':<24}{'requests/s':>11}{'of no filter':>14}{'p50':>10}{'p99':>10}{'CPU/request':>13}{'more CPU':>11}")
    bare = statistics.median(row["cpu"] for row in rows[BARE])
    for name, measured in rows.items():
        middle = {field: statistics.median(row[field] for row in measured) for field in measured[0]}
        # Against the same round, so that a machine that is busy for a while does not decide.
        share = statistics.median(row["rate"] / other["rate"] for row, other in zip(measured, rows[BARE], strict=True))
        print(
            f"  {name:<24}{middle['rate']:>11.0f}{share:>14.2f}{middle['p50'] / 1e3:>7.2f} ms{middle['p99'] / 1e3:>7.2f} ms"
            f"{middle['cpu'] * 1e6:>10.0f} us{(middle['cpu'] - bare) * 1e6:>8.0f} us",
            flush=True,
        )


def stream_delays(key: Key) -> None:
    """Delays of the first word and of every word, beside no filter."""
    server = events.Server()
    load = Load("events", 1024, [""], streamed=True)
    body = (load.folder / "body").read_bytes()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: llm.example.com\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key.sign(claims('bench', lifetime=86400))}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    names = [BARE, STRONG, WEAK]
    made = contenders(server.port, key)
    running = {}
    first: dict[str, list[float]] = {name: [] for name in names}
    every: dict[str, list[float]] = {name: [] for name in names}
    try:
        for name in names:
            running[name] = Envoy(made[name], "events", workers=1)
            events.delays(running[name].port, head + body)
        for _ in range(max(3, ROUNDS * 3)):
            for name in names:
                found = events.delays(running[name].port, head + body)
                first[name].append(found[0])
                every[name] += found[1:]
    finally:
        server.stop()
        for proxy in running.values():
            proxy.stop()
    print(f"\nfrom the sending of a word to its arrival, {events.WORDS} words {events.PAUSE * 1e3:.0f} ms apart")
    print(f"  {'':<24}{'first word':>12}{'more':>10}{'every word p50':>16}{'p99':>10}{'more':>10}")
    base = statistics.median(first[BARE]), statistics.median(every[BARE])
    for name in names:
        one, all_ = statistics.median(first[name]), sorted(every[name])
        middle = statistics.median(all_)
        print(
            f"  {name:<24}{one * 1e6:>9.0f} us{(one - base[0]) * 1e6:>7.0f} us{middle * 1e6:>13.0f} us"
            f"{all_[len(all_) * 99 // 100] * 1e6:>7.0f} us{(middle - base[1]) * 1e6:>7.0f} us"
        )


def main() -> int:
    print(
        f"{datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, one Envoy worker, {CONNECTIONS} connections, "
        f"HTTP/1.1, RS256, {ROUNDS} rounds of {LENGTH:g} s"
    )
    print(f"{MODULE.relative_to(ROOT)}: {MODULE.stat().st_size} bytes ({MODULE.stat().st_size / 2**20:.2f} MiB)")
    key = Key("RS256", "bench")
    running: dict[str, Envoy] = {}
    try:
        model = Envoy(model_server(), "model", workers=1)
        running["model"] = model
        for name, config in contenders(model.port, key).items():
            running[name] = Envoy(config, "contender", workers=1)
        rest = {name: running[name].memory() for name in running}
        for load, names in loads(key):
            if ONLY in load.name:
                measure(running, load, names or [name for name in running if name != "model"])
        after = {name: running[name].memory() for name in running}
    finally:
        for server in running.values():
            server.stop()
    print("\nresident memory of the proxy: at rest, after all of the above")
    for name in SHORT:
        print(f"  {name:<24}{rest[name] / 2**20:>8.1f} MiB{after[name] / 2**20:>8.1f} MiB")
    if not ONLY or ONLY in "events":
        stream_delays(key)
    return 0


if __name__ == "__main__":
    sys.exit(main())
