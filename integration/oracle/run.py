"""Sends the mix through Envoy over HTTP/1.1 and HTTP/2 and compares every outcome with the oracle's."""

import contextlib
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from harness.client import H1, H2, Call, Client, Reply
from harness.envoy import Envoy, LogEntry
from harness.upstream import Upstream
from harness.wait import eventually

from .judge import CAPS, CREDENTIALS, Expected, Oracle
from .kinds import KINDS
from .world import World

WARM = 2000


@dataclass
class Figures:
    requests: int = 0
    seconds: float = 0.0
    by_kind: Counter = field(default_factory=Counter)
    by_outcome: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    unexpected_5xx: int = 0
    memory_warm: int = 0
    memory_end: int = 0
    upstream_requests: int = 0
    upstream_octets: int = 0
    slowest: tuple[float, str] = (0.0, "")

    def text(self) -> str:
        kinds = min(self.by_kind.items(), key=lambda item: item[1])
        outcomes = ", ".join(f"{count} {name}" for name, count in sorted(self.by_outcome.items()))
        return (
            f"requests        {self.requests} in {self.seconds:.1f} s, {len(self.by_kind)} kinds, at least {kinds[1]} of each\n"
            f"wrong verdicts  {len(self.wrong)}\n"
            f"unexpected 5xx  {self.unexpected_5xx}\n"
            f"memory          {self.memory_warm / 2**20:.1f} MiB after {WARM}, {self.memory_end / 2**20:.1f} MiB at the end"
            f" ({self.memory_end / max(self.memory_warm, 1):.3f})\n"
            f"upstream        {self.upstream_requests} requests, {self.upstream_octets} bytes of bodies\n"
            f"slowest         {self.slowest[0] * 1000:.0f} ms ({self.slowest[1]})\n"
            f"outcomes        {outcomes}"
        )


def mix(world: World, requests: int) -> list[tuple[str, list[Call]]]:
    """Sequences of calls, every kind equally often, shuffled."""
    each = max(1, -(-requests // len(KINDS)))
    made = []
    for name, make in KINDS.items():
        made += [(name, make(world)) for _ in range(each)]
    world.random.shuffle(made)
    return made


def run(world: World, proxy: Envoy, upstream: Upstream, requests: int, threads: int = 6) -> Figures:
    oracle, figures, lock = Oracle(world), Figures(), threading.Lock()
    work = list(enumerate(mix(world, requests)))
    judged: dict[str, tuple[str, Call, Expected, Reply]] = {}
    start, begun = time.monotonic(), upstream.total

    def worker(number: int) -> None:
        clients = {H1: Client(proxy.port, H1), H2: Client(proxy.port, H2)}
        while True:
            with lock:
                if not work:
                    return
                index, (kind, calls) = work.pop()
            for turn, call in enumerate(calls):
                case = f"o{index}-{turn}"
                protocol = H2 if (index + turn) % 2 else H1
                script = next((value for key, value in call.headers if key == "x-script"), "default")
                with lock:
                    expected = oracle.judge(call, script)
                call.headers = [*call.headers, ("x-case", case)]
                try:
                    reply = clients[protocol].call(call)
                except Exception as error:  # a client that fails is a wrong verdict, not the end of the run
                    clients[protocol].close()
                    reply = Reply(body=repr(error).encode())
                with lock:
                    judged[case] = (f"{kind}/{protocol}", call, expected, reply)
                    figures.requests += 1
                    figures.by_kind[kind] += 1
                    if figures.requests == WARM:
                        figures.memory_warm = proxy.memory()
        for client in clients.values():
            client.close()

    workers = [threading.Thread(target=worker, args=(number,)) for number in range(threads)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    figures.seconds = time.monotonic() - start
    figures.memory_end = proxy.memory()
    needed = {f"case={case}" for case, (_, _, expected, _) in judged.items() if expected.verdict}
    with contextlib.suppress(AssertionError):  # what is missing then is a wrong verdict
        eventually(lambda: needed <= {line.split(" ", 1)[0] for line in proxy.access_lines()}, "the access log is written")
    entries = {entry.case: entry for entry in map(LogEntry, proxy.access_lines()) if entry.case.startswith("o")}
    for case, (kind, call, expected, reply) in judged.items():
        faults = compare(call, expected, reply, upstream.seen(case), entries.get(case))
        if reply.status >= 500 and reply.status != expected.status:
            figures.unexpected_5xx += 1
        if faults:
            figures.wrong.append(f"{case} {kind}: {'; '.join(faults)}")
        figures.by_outcome[f"{reply.status} {reply.reason or '-'}"] += 1
        figures.slowest = max(figures.slowest, (reply.seconds, kind))
    if stray := upstream.seen(""):
        figures.wrong.append(f"{len(stray)} requests reached the upstream that nobody sent")
    figures.upstream_requests = upstream.total - begun
    figures.upstream_octets = upstream.body_octets
    return figures


def compare(call: Call, expected: Expected, reply: Reply, seen: list, entry: LogEntry | None) -> list[str]:
    """Everything about one request that is not as the oracle says."""
    faults = []

    def differs(what: str, want, got) -> None:
        if want != got:
            faults.append(f"{what}: expected {want}, got {got}")

    differs("status", expected.status, reply.status)
    if expected.reason or reply.reason:
        differs("reason", expected.reason, reply.reason)
    if expected.verdict:
        audit = entry.audit if entry else None
        differs("verdict", expected.verdict, (audit or {}).get("bartizan.verdict"))
        differs("recorded reason", expected.reason, (audit or {}).get("bartizan.reason"))
    if expected.reason and reply.status and not call.path.endswith("llm"):
        try:
            error = reply.json()["error"]
            if not {"message", "type", "param", "code"} <= set(error):
                faults.append(f"error body lacks fields: {error}")
        except (ValueError, KeyError, TypeError):
            faults.append(f"no OpenAI error body: {reply.body[:80]!r}")
    if expected.arrives == "nothing":
        differs("requests at the upstream", 0, len(seen))
    elif expected.arrives == "headers":
        differs("body bytes at the upstream", 0, sum(len(one.body) for one in seen))
        differs("complete requests at the upstream", 0, sum(one.complete for one in seen))
    else:
        differs("requests at the upstream", 1, len(seen))
        for one in seen:
            faults += arrived(expected, one)
    return faults


def arrived(expected: Expected, seen) -> list[str]:
    faults = []
    if not seen.complete:
        faults.append("the upstream got half a request")
    names = seen.names() | {key.decode("latin-1").lower() for key, _ in seen.trailers}
    if ours := [name for name in names if name.replace("_", "-").startswith("x-bartizan-")]:
        faults.append(f"spoofed headers reached the upstream: {ours}")
    if left := CREDENTIALS & names:
        faults.append(f"credentials reached the upstream: {left}")
    declared = seen.header("content-length")
    if declared is not None and int(declared) != len(seen.body):
        faults.append(f"content-length {declared} for {len(seen.body)} bytes")
    if expected.body is None:
        return faults
    try:
        got = seen.json()
    except ValueError:
        return [*faults, f"the upstream got no JSON: {bytes(seen.body[:80])!r}"]
    for attack in expected.gone:
        if attack in json.dumps(got, ensure_ascii=False):
            faults.append("the attack reached the upstream")
    if expected.cap is not None:
        named = [name for name in CAPS if name in got]
        asked = [expected.body[name] for name in CAPS if name in expected.body]
        want = min([expected.cap, *asked])
        if len(named) != 1 or got[named[0]] != want:
            faults.append(f"output cap: expected {want}, got {[(name, got[name]) for name in named]}")
    if not expected.gone and plain(got) != plain(expected.body):
        faults.append("the upstream got another body")
    return faults


def plain(body: dict) -> dict:
    return {key: value for key, value in body.items() if key not in CAPS}
