"""Each fault: what is done, what is right, and what was seen. A scenario gets the ground and its size, 1 for the shortest."""

import copy
import json
import random
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from conftest import ATTACK, Site, chat, user
from harness import envoy, idp, istio
from harness.client import H1, H2, Call, Client
from harness.envoy import Envoy
from harness.fragile import little_memory
from harness.paths import run_folder
from harness.tokens import Key, claims
from harness.upstream import GATE
from harness.wait import eventually
from oracle.kinds import KINDS
from oracle.run import run as run_mix
from oracle.world import World

from .ground import BLOCKED, PASSED, Ground, Seen, head, records, sample, slots, verdicts

@dataclass
class Scenario:
    name: str
    expected: str
    run: Callable[[Ground, int], Seen]


SCENARIOS: dict[str, Scenario] = {}


def fault(expected: str):
    """`expected` is what a client sees."""

    def add(function: Callable) -> Callable:
        SCENARIOS[function.__name__] = Scenario(function.__name__.replace("_", " "), expected, function)
        return function

    return add


def rests(site: Site, seen: Seen) -> None:
    """Everything is closed again, and no descriptor is left over; what is held is kept in `seen.after`."""

    def at_rest() -> bool:
        seen.after = sample(site)
        return seen.after.open == 0 and seen.after.descriptors <= seen.before.descriptors

    try:
        eventually(at_rest, "rest", 20)
    except AssertionError:
        seen.wrong.append(f"not at rest: {seen.before} before, {seen.after} after")
    seen.expect(seen.after.machines == seen.before.machines, f"VMs: {seen.before.machines} before, {seen.after.machines} after")
    seen.expect(site.proxy.child.alive(), "the proxy is dead")
    seen.expect("panic" not in site.proxy.log().lower(), "a panic in the log")


def on_ground(act: Callable[[Ground, int, Seen, str, str], list[str] | None]) -> Callable[[Ground, int], Seen]:
    """A scenario on the common proxy: afterwards slots, descriptors and verdicts are as before, and all records are there."""

    def scenario(ground: Ground, size: int) -> Seen:
        seen, site = Seen(), ground.site
        subject = ground.subject()
        token = ground.token(subject)
        verdicts(site, seen, token)
        seen.before = sample(site)
        cases = act(ground, size, seen, subject, token)
        if cases:
            missing = records(site, cases)
            seen.lost = f"{len(missing)} records of {len(cases)}" if missing else "nothing"
            seen.expect(not missing, f"no record of {missing[:5]}")
        slots(site, seen, subject, token)
        verdicts(site, seen, token)
        rests(site, seen)
        return seen

    scenario.__name__ = act.__name__
    return scenario


def case(site: Site) -> str:
    return f"t{next(site.numbers)}"


BODY = json.dumps(chat()).encode()
STREAM = json.dumps(chat(stream=True)).encode()


@fault("every verdict as an independent judge says")
def mixed_and_hostile_load(ground: Ground, size: int) -> Seen:
    """The oracle's kinds, each as often; a proxy of its own, whose policy the oracle knows."""
    seen = Seen()
    world = World(20260923 + size, strong=ground.mode == "strong")
    with Envoy(world.config(ground.upstream.port), "soak-mix") as proxy:
        holder = type("Held", (), {"proxy": proxy})
        seen.before = sample(holder)
        figures = run_mix(world, proxy, ground.upstream, len(KINDS) * size)
        seen.client.update({name: count for name, count in figures.by_outcome.items()})
        seen.wrong += figures.wrong[:10]
        rests(holder, seen)
    ground.upstream.forget()
    return seen


@fault("200, and slots free again")
@on_ground
def slow_clients(ground: Ground, size: int, seen: Seen, subject: str, token: str) -> list[str]:
    """Bodies that come in drops, and a stream that is read in drops."""
    site, cases = ground.site, []
    for _ in range(size):
        for body in (BODY, STREAM):
            name = case(site)
            cases.append(name)
            with socket.create_connection(("127.0.0.1", site.proxy.port), timeout=60) as connection:
                connection.sendall(head(token, name, len(body)))
                for at in range(0, len(body), 16):
                    connection.sendall(body[at : at + 16])
                    time.sleep(0.01)
                got = b""
                # Until the body's end, or the stream's.
                while not (got.endswith(b"0\r\n\r\n") or (b"\r\n\r\n" in got and b"content-length" in got and got.endswith(b"}"))):
                    piece = connection.recv(64)
                    if not piece:
                        break
                    got += piece
                    time.sleep(0.005)
                seen.tell((int(got.split()[1]) if got else 0, None, b"turret" in got), {PASSED})
    return cases


@fault("200, late")
@on_ground
def slow_upstream(ground: Ground, size: int, seen: Seen, subject: str, token: str) -> list[str]:
    cases = []
    for turn in range(4 * size):
        script = ("slow", "sse_slow")[turn % 2]
        got = ground.site.send((H1, H2)[turn // 2 % 2], chat(stream=script == "sse_slow"), token=token, headers=[("x-script", script)])
        cases.append(got.case)
        seen.got(got.reply, {PASSED})
    return cases


def stop_at(phase: str, site: Site, token: str, name: str) -> None:
    """A client that goes away in this phase of its request."""
    script, body = {"in the reply": ("sse_slow", STREAM), "before the reply": ("slow", BODY)}.get(phase, ("default", BODY))
    whole = head(token, name, len(body), script) + body
    cut = {"in the head": 60, "behind the head": len(whole) - len(body), "in the body": len(whole) - len(body) // 2}.get(phase, len(whole))
    connection = socket.create_connection(("127.0.0.1", site.proxy.port), timeout=30)
    connection.sendall(whole[:cut])
    if phase == "in the reply":
        while b"data: " not in connection.recv(4096):
            pass
    elif phase == "before the reply":
        eventually(lambda: site.upstream.seen(name), "the upstream has it", 30)
    else:
        time.sleep(0.05)
    if random.random() < 0.5:
        # A reset instead of an end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


PHASES = ("in the head", "behind the head", "in the body", "before the reply", "in the reply")


@fault("nothing: it is gone; slots free again")
@on_ground
def clients_that_go_away(ground: Ground, size: int, seen: Seen, subject: str, token: str) -> list[str]:
    """At every phase, by an end and by a reset."""
    cases = []
    for turn in range(len(PHASES) * 2 * size):
        phase, name = PHASES[turn % len(PHASES)], case(ground.site)
        stop_at(phase, ground.site, token, name)
        seen.client[f"gone {phase}"] += 1
        if phase != "in the head":
            cases.append(name)
    return cases


@fault("503 or a cut reply, never a whole one; slots free again")
@on_ground
def upstreams_that_reset(ground: Ground, size: int, seen: Seen, subject: str, token: str) -> list[str]:
    cases = []
    for turn in range(6 * size):
        script = ("reset", "reset_mid", "sse_reset")[turn % 3]
        got = ground.site.send((H1, H2)[turn // 3 % 2], chat(stream=script == "sse_reset"), token=token, headers=[("x-script", script)])
        cases.append(got.case)
        seen.got(got.reply)
        seen.expect(got.reply.status != 200 or not got.reply.complete, f"{script}: a whole reply {got.reply}")
    return cases


@fault("431 or a reset from Envoy, nothing at the upstream")
@on_ground
def huge_heads(ground: Ground, size: int, seen: Seen, subject: str, token: str) -> list[str]:
    site = ground.site
    for turn in range(4 * size):
        many = [(f"x-{number}", "y" * 900) for number in range(100)]
        headers = ([("x-huge", "y" * 90_000)], many)[turn // 2 % 2]
        got = site.send((H1, H2)[turn % 2], chat(), token=token, headers=headers)
        seen.got(got.reply)
        seen.expect(got.reply.status in (0, 431) and not got.seen, f"a huge head got {got}")
    return []


@fault("200 for each")
@on_ground
def many_subjects(ground: Ground, size: int, seen: Seen, subject: str, token: str) -> list[str]:
    """Callers that nobody has seen before, each with a token of its own."""
    site, lock, left = ground.site, threading.Lock(), [200 * size]

    def caller() -> None:
        with Client(site.proxy.port, H1) as client:
            while True:
                with lock:
                    if not left[0]:
                        return
                    left[0] -= 1
                    name = ground.subject()
                headers = [("authorization", f"Bearer {ground.token(name)}"), ("content-type", "application/json")]
                reply = client.call(Call(headers=headers, body=BODY))
                with lock:
                    seen.got(reply, {PASSED})

    threads = [threading.Thread(target=caller) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ground.upstream.forget()
    return []


class Traffic:
    """Questions and attacks from a thread while something else happens; each must be judged as ever."""

    def __init__(self, site: Site, seen: Seen, token: Callable[[], str], also: set = frozenset()):
        self.site, self.seen, self.token, self.also = site, seen, token, set(also)
        self.stopping, self.sent = threading.Event(), 0
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self.stopping.is_set():
            hostile = self.sent % 2
            try:
                reply = self.site.send(H1, chat(user(ATTACK)) if hostile else chat(), token=self.token()).reply
                self.seen.got(reply, {BLOCKED if hostile else PASSED} | self.also)
            except Exception as error:
                self.seen.wrong.append(repr(error))
            self.sent += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def more(self, number: int = 4) -> None:
        """Waits until that many more were answered."""
        wanted = self.sent + number
        eventually(lambda: self.sent >= wanted, "traffic", 120)


@fault("200 and 400 as ever, before, during and after each")
def policy_pushes(ground: Ground, size: int) -> Seen:
    """By ECDS, as Istio sends them; every third is refused and changes nothing."""
    seen = Seen()
    site = copy.copy(ground.site)
    site.mode, site.strong = "weak", False
    plugin = istio.plugin()
    document = envoy.with_keys(plugin["spec"]["pluginConfig"], [key.jwk for key in ground.keys.values()])
    document["roles"]["analyst"].pop("quotas", None)
    config = envoy.with_upstream(envoy.load(envoy.ECDS), ground.upstream.port)
    with Envoy(config, "soak-pushes", extra={"ecds.json": istio.ecds(plugin, document, "0")}) as proxy:
        site.proxy = proxy
        token = ground.token(ground.subject())
        verdicts(site, seen, token)
        seen.before = sample(site)
        count = lambda name: sum(value for key, value in proxy.stats("extension_config_discovery").items() if key.endswith(f".{name}"))
        done = lambda: count("config_reload") + count("config_fail") + count("update_rejected")
        with Traffic(site, seen, lambda: token) as traffic:
            for number in range(3 * size):
                changed, before = copy.deepcopy(document), done()
                changed["roles"]["analyst"]["maxOutputTokens"] = 100 + number
                if number % 3 == 2:
                    changed["roles"]["analyst"]["requets"] = 1
                istio.push(proxy.folder, istio.ecds(plugin, changed, str(number + 1)))
                eventually(lambda: done() > before, "the push was judged", 120)
                traffic.more()
        verdicts(site, seen, token)
        # Envoy ends the VMs of a policy after the policy's last stream.
        rests(site, seen)
    return seen


@fault("200 with known keys; 503 jwt.unavailable at most until a new key is fetched; 401 for a forged one")
def key_rotation(ground: Ground, size: int) -> Seen:
    seen = Seen()
    with idp.Scripted() as server:
        keys = [Key("ES256", "first")]
        server.serve(keys)

        def change(policy: dict) -> None:
            policy["authn"]["issuers"][0]["jwks"] = {"cluster": "idp", "authority": "idp.test", "path": "/jwks", "timeout": "20s"}
            policy["roles"]["analyst"].pop("quotas")

        site = ground.made(change, edit=lambda config: envoy.with_cluster(config, "idp", server.port))
        try:
            sign = lambda key: key.sign(claims(ground.subject()))
            seen.got(site.send(H1, chat(), token=sign(keys[-1])).reply, {PASSED})
            seen.before = sample(site)
            for number in range(size):
                fresh = Key("ES256", f"next-{number}")
                keys.append(fresh)
                server.serve(keys[-2:])

                def known() -> bool:
                    reply = site.send(H1, chat(), token=sign(fresh)).reply
                    seen.got(reply, {PASSED, (503, "jwt.unavailable", True)})
                    return reply.status == 200

                eventually(known, "the new key is known", 120)
                seen.got(site.send(H1, chat(), token=sign(keys[-2])).reply, {PASSED})
                forged = Key("ES256", fresh.kid).sign(claims("mallory"))
                seen.got(site.send(H1, chat(), token=forged).reply, {(401, "jwt.signature", True)})
            rests(site, seen)
        finally:
            site.proxy.stop()
    return seen


@fault("200 and 400 as ever; a stream that is open ends whole")
def hot_restart(ground: Ground, size: int) -> Seen:
    """A second Envoy takes the listening socket over while the first ends."""
    seen, port = Seen(), idp.free_port()
    base = str(random.randrange(1000, 30_000))

    def fixed(config: dict) -> None:
        config["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = port

    def meter(policy: dict) -> None:
        policy["roles"]["analyst"]["quotas"] = [{"per": "subject", "requests": 100_000, "window": "1d"}]

    site = ground.made(meter, edit=fixed, flags=("--base-id", base, "--restart-epoch", "0"))
    first = site.proxy
    token, other = ground.token(ground.subject()), ground.token(ground.subject())
    left = lambda: int(site.send(H1, chat(), token=token).reply.header("x-ratelimit-remaining-requests"))
    try:
        for epoch in range(1, size + 1):
            was = [left() for _ in range(5)][-1]
            seen.before = sample(site)
            with Traffic(site, seen, lambda: other) as traffic:
                streams = []
                stream = threading.Thread(
                    target=lambda: streams.append(site.send(H1, chat(stream=True), token=other, headers=[("x-script", "sse_halves")]).reply)
                )
                GATE.clear()
                asked = ground.upstream.total
                config = json.loads((first.folder / "envoy.json").read_text())
                stream.start()
                eventually(lambda: ground.upstream.total > asked, "the stream is open")
                # Not from a thread of its own: Envoy ends with the thread that started it.
                second = Envoy(config, "soak-restart", flags=("--base-id", base, "--restart-epoch", str(epoch)))
                site.proxy = second
                GATE.set()
                stream.join()
                seen.got(streams[0], {PASSED})
                eventually(lambda: not first.child.alive(), "the first Envoy has ended", 60)
                traffic.more()
            now = left()
            # Counters of a quota are in the process; a service of rate limits keeps them over a restart.
            seen.lost = f"counters of local quotas: {was} were left, then {now}" if now > was else "nothing"
            first = site.proxy
        verdicts(site, seen, other)
        rests(site, seen)
    finally:
        GATE.set()
        site.proxy.stop()
        first.stop()
    return seen


def dated(ground: Ground, subject: str, hours: int) -> str:
    """A token of 15 minutes, made so many hours from now; each is another one."""
    now = int(time.time()) + 3600 * hours
    return ground.keys["ES256"].sign(claims(subject, iat=now, nbf=now, exp=now + 900, jti=str(random.random())))


@fault("401 jwt.expired an hour ahead, jwt.notYetValid an hour behind; quotas as ever afterwards")
def clock_steps(ground: Ground, size: int) -> Seen:
    """The system's clock, as the proxy reads it, steps by an hour and back; the monotonic clock does not."""
    seen = Seen()
    if not (compiler := shutil.which("cc")):
        seen.skipped = "no C compiler, which the stepping clock is made by"
        return seen
    folder = run_folder("soak-clock")
    library, offset = folder / "clock.so", folder / "offset"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(Path(__file__).with_name("clock.c"))], check=True)
    offset.write_bytes(bytes(8))

    def step(hours: int) -> None:
        with open(offset, "r+b") as file:
            file.write(struct.pack("=q", 3600 * hours))

    env = {"LD_PRELOAD": str(library), "STEPPED_CLOCK": str(offset)}

    def meter(policy: dict) -> None:
        policy["roles"]["analyst"]["quotas"] = [{"per": "subject", "concurrent": 4}, {"per": "subject", "requests": 600, "window": "1m"}]

    site = ground.made(meter, env=env)
    try:
        for _ in range(size):
            subject = ground.subject()
            known, unseen = dated(ground, subject, 0), dated(ground, subject, 0)
            seen.got(site.send(H1, chat(), token=known).reply, {PASSED})
            seen.before = seen.before or sample(site)
            for hours, word in ((1, "jwt.expired"), (-1, "jwt.notYetValid")):
                step(hours)
                moved = dated(ground, subject, hours)
                seen.got(site.send(H1, chat(), token=unseen).reply, {(401, word, True)})
                # Also by a worker that had verified it before the step.
                seen.got(site.send(H1, chat(), token=known).reply, {(401, word, True)})
                seen.got(site.send(H1, chat(), token=moved).reply, {PASSED})
                seen.got(site.send(H1, chat(user(ATTACK)), token=moved).reply, {BLOCKED})
                step(0)
                # What the subject did under the other clock does not hold it back.
                seen.got(site.send(H1, chat(), token=known).reply, {PASSED})
        rests(site, seen)
    finally:
        site.proxy.stop()
    return seen


@fault("200 and 400 as ever")
def full_disk_for_logs(ground: Ground, size: int) -> Seen:
    """An access log on a device that is always full, beside one that is not."""
    seen = Seen()

    def full(config: dict) -> None:
        logs = envoy.manager(config)["access_log"]
        log = copy.deepcopy(logs[0])
        log["name"] = "envoy.access_loggers.file"
        log["typed_config"]["@type"] = f"{envoy.EXTENSIONS}.access_loggers.file.v3.FileAccessLog"
        log["typed_config"]["path"] = "/dev/full"
        logs.append(log)

    site = ground.made(edit=full)
    try:
        subject = ground.subject()
        token = ground.token(subject)
        verdicts(site, seen, token)
        seen.before = sample(site)
        cases = []
        for turn in range(40 * size):
            got = site.send(H1, chat(user(ATTACK)) if turn % 2 else chat(), token=token)
            seen.got(got.reply, {BLOCKED if turn % 2 else PASSED})
            cases.append(got.case)
        failed = lambda: site.proxy.stats("filesystem.write_failed").get("filesystem.write_failed", 0)
        eventually(lambda: failed() > 0, "Envoy counts what it could not write")
        missing = records(site, cases)
        seen.lost = f"records on the full disk ({failed()} writes failed, in Envoy's filesystem.write_failed); in the other log {len(missing) or 'none'}"
        seen.expect(not missing, f"the other log lacks {missing[:5]}")
        slots(site, seen, subject, token)
        verdicts(site, seen, token)
        rests(site, seen)
    finally:
        site.proxy.stop()
    return seen


@fault("503 for the request in it, a cut stream for the others in it; then 200 and 400 as ever")
def death_of_a_vm(ground: Ground, size: int) -> Seen:
    """The module with little memory; a large body takes more."""
    seen = Seen()
    site = ground.made(lambda policy: policy["roles"]["analyst"].pop("quotas"), edit=little_memory, workers=1)
    try:
        token = ground.token(ground.subject())
        verdicts(site, seen, token)
        seen.before = sample(site)
        for number in range(size):
            killer = site.send(H1, chat(user("lantern " * 480_000)), token=token)
            seen.got(killer.reply, {(503, None, True), (503, "internal", True)})
            seen.expect(not any(one.body for one in killer.seen), "a byte of the request that killed the VM is at the upstream")

            def again() -> bool:
                reply = site.send(H1, chat(), token=token).reply
                seen.got(reply, {PASSED, (503, None, True)})
                return reply.status == 200

            eventually(again, "a fresh VM")
            seen.expect(site.proxy.stats("vm_reload_success").get("wasm.bartizan.vm_reload_success") == number + 1, "not one fresh VM")
        verdicts(site, seen, token)
        rests(site, seen)
    finally:
        site.proxy.stop()
    return seen
