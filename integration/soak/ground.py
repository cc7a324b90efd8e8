"""The proxy that a scenario works on, and what of it is measured: memory, descriptors, what is open, slots of quotas."""

import json
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

from conftest import ATTACK, Site, chat, user
from harness.client import H1, Client, Heads
from harness.tokens import Key, claims
from harness.upstream import GATE, Upstream
from harness.wait import eventually

# Requests that a subject may have in flight.
SLOTS = 4
# What must be zero when nobody asks anything any more.
OPEN = ("downstream_cx_active", "downstream_rq_active", "upstream_rq_active", "upstream_rq_pending_active")


def soaked(policy: dict) -> None:
    policy["roles"]["analyst"]["quotas"] = [{"per": "subject", "concurrent": SLOTS}, {"per": "subject", "tokens": 100_000_000, "window": "1d"}]


@dataclass
class Sample:
    """What a proxy holds."""

    memory: int
    descriptors: int
    open: int
    machines: int

    def __str__(self) -> str:
        return f"{self.memory / 2**20:.0f} MiB, {self.descriptors} fds, {self.open} open, {self.machines} VMs"


@dataclass
class Seen:
    """What a scenario came to. `wrong` is empty when everything was as it must be."""

    client: Counter = field(default_factory=Counter)
    lost: str = "nothing"
    wrong: list[str] = field(default_factory=list)
    skipped: str = ""
    before: Sample | None = None
    after: Sample | None = None

    def got(self, reply, wanted: set | None = None) -> None:
        """Counts a reply; `wanted` are the statuses and reasons that are right."""
        self.tell((reply.status, reply.reason, reply.complete), wanted)

    def tell(self, got: tuple, wanted: set | None) -> None:
        status, reason, is_whole = got
        word = f"{status} {reason}" if reason else f"{status}" if status else "reset"
        self.client[word if is_whole or not status else f"{word} cut"] += 1
        if wanted is not None and got not in wanted:
            self.wrong.append(f"got {got}, not one of {sorted(wanted, key=str)}")

    def expect(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)


def sample(site: Site) -> Sample:
    stats = site.proxy.stats("active")
    opened = [value for name, value in stats.items() if name.endswith(OPEN) and ".admin." not in name]
    pool = sum(value for name, value in stats.items() if name.endswith(".upstream_cx_active"))
    # Connections that are kept for the next request to the upstream are no leak.
    return Sample(site.proxy.memory(), site.proxy.descriptors() - pool, sum(opened), sum(value for name, value in stats.items() if name.endswith("runtime.v8.active")))


class Ground:
    """One upstream, one set of keys, one proxy of its own for most scenarios, and subjects that nobody has used."""

    def __init__(self, mode: str = "strong"):
        self.mode = mode
        self.upstream = Upstream()
        self.keys = {key.algorithm: key for key in (Key("ES256", "ec"), Key("EdDSA", "ed"))}
        self.site = self.made()
        self.subjects = 0

    def made(self, change=soaked, **options) -> Site:
        """Another proxy."""
        return Site(self.mode, self.upstream, self.keys, change=change, **options)

    def subject(self) -> str:
        self.subjects += 1
        return f"soak-{self.subjects}"

    def token(self, subject: str, lifetime: int = 7200) -> str:
        return self.keys["ES256"].sign(claims(subject, lifetime=lifetime))

    def stop(self) -> None:
        GATE.set()
        self.site.proxy.stop()
        self.upstream.stop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


PASSED, BLOCKED, NOBODY = (200, None, True), (400, "scan.injection", True), (401, "jwt.missing", True)


def verdicts(site: Site, seen: Seen, token: str) -> None:
    """The proxy still judges: a question passes, an attack and a stranger do not."""
    before = len(seen.wrong)
    told = Seen()
    told.got(site.send(H1, chat(), token=token).reply, {PASSED})
    told.got(site.send(H1, chat(user(ATTACK)), token=token).reply, {BLOCKED})
    told.got(site.send(H1, chat(), token=None).reply, {NOBODY})
    seen.wrong += told.wrong
    if len(seen.wrong) > before:
        seen.wrong.append("verdicts afterwards are wrong")


def slots(site: Site, seen: Seen, subject: str, token: str) -> None:
    """As many requests of this subject as it may have are in flight at once again; one more is refused."""
    GATE.clear()
    asked, got = site.upstream.total, []

    def ask() -> None:
        got.append(site.send(H1, chat(), token=token, headers=[("x-script", "gated")]).reply.status)

    threads = [threading.Thread(target=ask) for _ in range(SLOTS)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: site.upstream.total - asked + len(got) >= SLOTS, "all slots are taken")
        over = site.send(H1, chat(), token=token).reply
        seen.expect((over.status, over.reason) == (429, "quota.concurrent"), f"{subject}: one over the slots got {over.status} {over.reason}")
    except AssertionError as error:
        seen.wrong.append(str(error))
    finally:
        GATE.set()
        for thread in threads:
            thread.join()
    seen.expect(got == [200] * SLOTS, f"{subject}: a slot is not free again: {got}")


def head(token: str, case: str, length: int, script: str = "default", stream: bool = False) -> bytes:
    """The head of a request as bytes, for a client that stops anywhere."""
    lines = [
        "POST /v1/chat/completions HTTP/1.1", "host: llm.example.com", "content-type: application/json", f"x-case: {case}",
        f"x-script: {script}", f"authorization: Bearer {token}", f"content-length: {length}",
    ]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def records(site: Site, cases: list[str], seconds: float = 30.0) -> list[str]:
    """The cases of which no audit record was written."""
    left = set(cases)

    def written() -> bool:
        for line in site.proxy.access_lines():
            case = line.split(" ", 1)[0].removeprefix("case=")
            if '"bartizan.verdict"' in line:
                left.discard(case)
        return not left

    try:
        eventually(written, "every record", seconds)
    except AssertionError:
        pass
    return sorted(left)
