"""Chat requests of fresh text through one Envoy worker: no filter, Envoy's own chain, Bartizan stage by stage, alternating.

    make bench                          about seven minutes: three rounds of one second each
    ROUNDS=9 SECONDS=3 make bench       ONLY="by kind" for some of the tables, WRITE=1 to keep them
    BASE_FILTER=old.wasm make bench     an earlier module takes turns with this one
"""

import datetime
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from harness.envoy import Envoy
from harness.paths import MODULE, ROOT
from harness.tokens import Key, claims

from . import events
from .contenders import BARE, BASE_FILTER, EARLIER, LINE, OWN, STRONG, WEAK, contenders, model_server
from .load import Load, drive

ROUNDS = int(os.environ.get("ROUNDS", "3"))
LENGTH = float(os.environ.get("SECONDS", "1"))
CONNECTIONS = int(os.environ.get("CONNECTIONS", "16"))
ONLY = os.environ.get("ONLY", "")
# More than the filter's memory of tokens holds, so that each one is new when it comes again.
COLD = 6000
KINDS = ["prose", "chat", "issues", "code", "logs", "json", "chinese", "arabic", "base64"]
# Seconds until the allocator has given back what V8's compiler took (memory_allocator_manager in the shipped files).
RELEASED = 3
# Refused requests cost less than others: a table with more of them is about something else.
REFUSED = 0.05

NATIVE = ["native chain", "native, JWT cache"]
# This module, and the earlier one beside it where there is one.
BOTH = [STRONG, EARLIER] if BASE_FILTER else [STRONG]
SHORT = [BARE, *NATIVE, *BOTH, WEAK]
STAGES = [BARE, "jwt_authn", *NATIVE, "token, roles", "+ quota", "+ attack rules", "+ scorer", *BOTH, LINE, WEAK]
LINES: list[str] = []


def say(line: str = "") -> None:
    LINES.append(line)
    print(line, flush=True)


def wanted(table: str) -> bool:
    return ONLY in table


def cpu(pid: int) -> float:
    """Seconds of processor time a process has used, all its threads."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


class Running(dict[str, Envoy]):
    """The contenders, each started when a table first measures it."""

    def __init__(self, configs: dict[str, dict], prefix: str):
        super().__init__()
        self.configs, self.prefix = configs, prefix

    def __missing__(self, name: str) -> Envoy:
        levels = "wasm:info,config:info" if name == LINE else "wasm:warning,config:info"
        self[name] = Envoy(self.configs[name], self.prefix, workers=1, levels=levels)
        return self[name]

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        for proxy in self.values():
            proxy.stop()


def measure(running: Running, load: Load, names: list[str], seconds: float = LENGTH, connections: int = CONNECTIONS):
    """The contenders take turns, and every second round goes backwards: each one's medians, and its share of no filter."""
    rows: dict[str, list[dict]] = {name: [] for name in names}
    for name in names:
        drive(running[name].port, load, connections, 1)
    for number in range(ROUNDS):
        for name in names if number % 2 == 0 else reversed(names):
            proxy = running[name]
            before = cpu(proxy.child.pid)
            row = drive(proxy.port, load, connections, seconds)
            if row["lost"] or not row["requests"] or row["refused"] > REFUSED * row["requests"]:
                raise SystemExit(f"{name}, {load.name}: {row['refused']} refused and {row['lost']} lost of {row['requests']}")
            row["cpu"] = (cpu(proxy.child.pid) - before) / row["requests"] * 1e6
            row["rate"] = row["requests"] / row["seconds"]
            rows[name].append(row)
    made = {}
    for name, measured in rows.items():
        made[name] = {field: statistics.median(row[field] for row in measured) for field in measured[0]}
        # Against the same round, so that a machine that is busy for a while does not decide.
        pairs = list(zip(measured, rows[names[0]], strict=True))
        made[name]["share"] = statistics.median(row["rate"] / other["rate"] for row, other in pairs)
        made[name]["more"] = statistics.median(row["cpu"] - other["cpu"] for row, other in pairs)
    return made


def table(running: Running, load: Load, names: list[str], **more) -> None:
    """One load, a row a contender."""
    made = measure(running, load, names, **more)
    say(f"\n{load.name}")
    say(f"  {'':<28}{'CPU/request':>13}{'added':>10}{'requests/s':>12}{'share':>8}{'p50':>11}{'p99':>11}{'refused':>9}")
    for name, row in made.items():
        refused = f"{row['refused'] / row['requests']:.2%}" if row["refused"] else ""
        say(
            f"  {name:<28}{row['cpu']:>10.0f} us{row['more']:>7.0f} us{row['rate']:>12.0f}{row['share']:>8.2f}"
            f"{row['p50'] / 1e3:>8.2f} ms{row['p99'] / 1e3:>8.2f} ms{refused:>9}"
        )


def by_kind(running: Running, tokens: list[str], size: int) -> None:
    """One size, a row a kind of text: what Bartizan adds."""
    title = f"by kind of text, {size // 1024} KiB, cached token: {STRONG}"
    if not wanted(title):
        return
    say(f"\n{title}")
    ratio = f"{'earlier':>12}{'ratio':>7}" if BASE_FILTER else ""
    say(f"  {'':<28}{'no filter':>13}{'added':>10}{'requests/s':>12}{'share':>8}{'p50':>11}{'p99':>11}{'refused':>9}{ratio}")
    added = []
    for kind in KINDS:
        made = measure(running, Load(f"{kind}, {size // 1024} KiB", kind, size, tokens), [BARE, *BOTH])
        bare, row = made[BARE], made[STRONG]
        added.append(row["more"])
        refused = f"{row['refused'] / row['requests']:.2%}" if row["refused"] else ""
        say(
            f"  {kind:<28}{bare['cpu']:>10.0f} us{row['more']:>7.0f} us{row['rate']:>12.0f}{row['share']:>8.2f}"
            f"{row['p50'] / 1e3:>8.2f} ms{row['p99'] / 1e3:>8.2f} ms{refused:>9}{against(made)}"
        )
    say(f"  {'median of the kinds':<28}{'':>13}{statistics.median(added):>7.0f} us")


def against(made: dict) -> str:
    """What the earlier module adds, and this one's share of that."""
    if EARLIER not in made:
        return ""
    earlier = made[EARLIER]["more"]
    return f"{earlier:>9.0f} us{made[STRONG]['more'] / earlier:>7.2f}"


def requests(key: Key) -> None:
    """All tables of whole requests."""
    warm = [key.sign(claims("bench", lifetime=86400))]
    with Envoy(model_server(), "model", workers=1) as model, Running(contenders(model.port, key), "contender") as running:
        for size in (1024, 16384):
            by_kind(running, warm, size)

        def show(name: str, kind: str, size: int, names: list[str], same: bool = False, cold: bool = False) -> None:
            if wanted(name):
                tokens = [key.sign(claims(f"bench{number}", lifetime=86400)) for number in range(COLD)] if cold else warm
                table(running, Load(name, kind, size, tokens, same=same), names)

        show("stage by stage: 1 KiB of chat, cached token", "chat", 1024, STAGES)
        names = [BARE, "jwt_authn", *NATIVE, "token, roles", *BOTH, WEAK]
        show("1 KiB of chat, cold token", "chat", 1024, names, cold=True)
        show("0.3 KiB of prose, cached token", "prose", 300, [*SHORT, LINE])
        show("16 KiB of chat, cached token", "chat", 16384, SHORT)
        show("256 KiB of chat, cached token", "chat", 262144, SHORT)
        show("1 KiB of chat, the same text again", "chat", 1024, [BARE, *BOTH], same=True)
        own = [f"{count} own rules" for count in OWN]
        show("own rules with patterns and hits: 1 KiB of prose", "prose", 1024, [BARE, STRONG, *own])
        connections(running)


def connections(running: Running) -> None:
    """That nobody pays for connections: each contender keeps those to the model server."""
    if not running:
        return
    say("\nconnections to the model server (upstream_cx_total) and requests over them (upstream_rq_total)")
    for name, proxy in running.items():
        stats = proxy.stats("cluster.llm.upstream_")
        total, sent = (stats.get(f"cluster.llm.upstream_{field}_total", 0) for field in ("cx", "rq"))
        if sent:
            say(f"  {name:<28}{total:>8}{sent:>10}")


def streams(key: Key) -> None:
    """Replies whose events come one by one: CPU a request, and how much later each event comes."""
    title = f"streams: {events.EVENTS} events one by one, {events.PAUSE * 1e3:.0f} ms apart, 1 KiB of chat"
    if not wanted(title):
        return
    server = events.Server()
    tokens = [key.sign(claims("bench", lifetime=86400))]
    load = Load(title, "chat", 1024, tokens, streamed=True)
    body = load.body()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: llm.example.com\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {tokens[0]}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    names = [BARE, "native, JWT cache", *BOTH, WEAK]
    first: dict[str, list[float]] = {name: [] for name in names}
    every: dict[str, list[float]] = {name: [] for name in names}
    with server, Running(contenders(server.port, key), "events") as running:
        table(running, load, names, seconds=max(2.0, LENGTH), connections=2 * CONNECTIONS)
        for name in names:
            events.delays(running[name].port, head + body)
        for _ in range(max(3, ROUNDS * 2)):
            for name in names:
                found = events.delays(running[name].port, head + body)
                first[name].append(found[0])
                every[name] += found[1:]
    say(f"\nfrom the sending of a word to its arrival, {events.WORDS} words {events.PAUSE * 1e3:.0f} ms apart")
    say(f"  {'':<28}{'first word':>12}{'more':>10}{'every word p50':>16}{'p99':>10}{'more':>10}")
    base = statistics.median(first[BARE]), statistics.median(every[BARE])
    for name in names:
        one, all_ = statistics.median(first[name]), sorted(every[name])
        middle = statistics.median(all_)
        say(
            f"  {name:<28}{one * 1e6:>9.0f} us{(one - base[0]) * 1e6:>7.0f} us{middle * 1e6:>13.0f} us"
            f"{all_[len(all_) * 99 // 100] * 1e6:>7.0f} us{(middle - base[1]) * 1e6:>7.0f} us"
        )


def sizes(key: Key) -> None:
    """Memory and time to ready, by the number of workers."""
    title = "memory and time to ready"
    if not wanted(title):
        return
    say(f"\n{title}: resident memory at rest and after a second of 16 KiB chats; from the start of the process to ready")
    say(f"  {'':<28}{'workers':>8}{'at rest':>12}{'after':>12}{'ready':>10}{'CPU till then':>15}")
    load = Load(title, "chat", 16384, [key.sign(claims("bench", lifetime=86400))])
    with Envoy(model_server(), "model", workers=1) as model:
        made = contenders(model.port, key)
        for workers in (1, 2, 4, 8):
            for name in (BARE, *BOTH):
                began = time.monotonic()
                with Envoy(made[name], "size", workers=workers, levels="wasm:warning,config:info") as proxy:
                    ready, spent = time.monotonic() - began, cpu(proxy.child.pid)
                    time.sleep(RELEASED)
                    rest = proxy.memory()
                    drive(proxy.port, load, 2 * workers, 1)
                    say(
                        f"  {name:<28}{workers:>8}{rest / 2**20:>8.1f} MiB{proxy.memory() / 2**20:>8.1f} MiB"
                        f"{ready:>8.2f} s{spent:>13.2f} s"
                    )


def main() -> int:
    describe = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
    say(
        f"{datetime.date.today()}  {describe.stdout.strip()}  {model} ({platform.machine()}), {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f} at the start"
    )
    say(f"one Envoy worker, {CONNECTIONS} connections, HTTP/1.1, RS256, {ROUNDS} rounds of {LENGTH:g} s, medians; wrk on the same machine")
    say(f"{MODULE.relative_to(ROOT)}: {MODULE.stat().st_size} bytes")
    if BASE_FILTER:
        say(f"earlier module: {os.stat(BASE_FILTER).st_size} bytes")
    key = Key("RS256", "bench")
    requests(key)
    streams(key)
    sizes(key)
    if os.environ.get("WRITE"):
        folder = ROOT / "tests" / "bench" / "results"
        folder.mkdir(exist_ok=True)
        (folder / f"{datetime.date.today()}-bench.txt").write_text("\n".join(LINES) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
