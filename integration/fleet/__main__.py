"""`python -m fleet [WORD...]`: what is away, and the verdicts of a constant load meanwhile. Ends with 1 when one is wrong.

With words, only the rows whose names have all of them.
"""

import functools
import itertools
import sys
import time
from collections import Counter
from contextlib import ExitStack

from harness import idp
from harness.tokens import Key
from harness.upstream import Upstream
from opa import server as opa_server
from opinions import servers as judges

from . import servers
from .engine import Asked
from .judges import OUTSIDE, Busy, Judged
from .load import Load
from .opaque import AWAY_SECONDS, Opaque
from .site import FEW, Fleet

SECONDS = 3.0


def wanted(name: str) -> bool:
    return all(word in name for word in sys.argv[1:])


def scenarios(double: servers.Double, real, redis, scripted: idp.Scripted):
    """Name, the fleet, how it begins, how it ends, and whether the rate-limit service is what is away."""

    def mood(word: str):
        return lambda: setattr(double, "mood", word)

    calm = mood("count")
    def publishes(**what):
        return lambda: [setattr(scripted, name, value) for name, value in what.items()]

    keys = scripted.body
    yield "IdP: keys unreachable", "double", publishes(status=500), publishes(status=200), False
    yield "IdP: garbage for keys", "double", publishes(body=b"<html>"), publishes(body=keys), False
    yield "service: hangs", "double", mood("hang"), calm, True
    yield "service: garbage", "double", mood("garbage"), calm, True
    yield "service: no verdict", "double", mood("unknown"), calm, True
    yield "service: resets", "double", mood("reset"), calm, True
    yield "service: its store away (status 13)", "double", mood("refuse"), calm, True
    yield "service: stopped", "double", double.stop, double.start, True
    if real:
        yield "service: killed (Limitador)", "real", real.stop, real.start, True
    if redis:
        yield "store: Redis killed (Limitador)", "redis", redis.stop, redis.start, True
        yield "store: Redis hangs (Limitador)", "redis", redis.pause, redis.go_on, True


def row(name: str, fleet: Fleet, begin, end, is_service: bool) -> bool:
    for role in ("spent-deny", "spent-local"):
        for _ in range(FEW):
            fleet.once(role)
    # An engine that counts in its own memory forgets with its process; Redis remembers.
    forgot = "killed" in name and "store" not in name
    # Keys are fetched again every ten seconds.
    seconds = SECONDS if is_service else 12
    return play(name, Load(fleet), begin, end, is_service, seconds, forgot)


def opaque_row(name: str, fleet: Opaque, begin, end, is_away: bool) -> bool:
    # A worker asks 200 times a second at most; this load stays below.
    return play(name, Load(fleet, mix=fleet.mix(), pause=0.04), begin, end, is_away, AWAY_SECONDS if is_away else SECONDS)


def play(name: str, load: Load, begin, end, is_away: bool, seconds: float, forgot: bool = False) -> bool:
    try:
        load.enter("before", away=False)
        time.sleep(SECONDS / 2)
        load.enter("during", away=is_away, settle=1.0)
        begin()
        time.sleep(seconds)
        # A server needs its time to start.
        load.enter("returning", away=is_away, settle=600, forgot=forgot)
        end()
        # Two seconds without a call, where the service hung, and the answer to the first.
        load.enter("after", away=False, settle=2.6, forgot=forgot, goes_on=True)
        time.sleep(SECONDS + 1)
    finally:
        load.stop()
    during, wrong = load.tallies["during"], sum((tally.wrong for tally in load.tallies.values()), start=Counter())
    total = sum(tally.requests for tally in load.tallies.values())
    cells = [total, during.requests]
    for status in (200, 400, 401, 429, 503):
        cells.append(sum(count for (got, _), count in during.seen.items() if got == status))
    line(name, *cells, *(f"{during.quantile(share):.0f}" for share in (0.5, 0.99)), sum(wrong.values()))
    for (kind, got), count in wrong.items():
        print(f"    wrong: {kind}: {got} x {count}")
    return not wrong and during.requests > 0


def line(name: str, *cells) -> None:
    print(f"{name:<52} " + " ".join(f"{cell:>7}" for cell in cells), flush=True)


def judged(upstream: Upstream, key: Key, absent: dict[str, str]) -> bool:
    """The rows of outside judges that can be had."""
    good = True
    # A word that names one of them starts no other.
    for name in [name for name in OUTSIDE if any(name in word for word in sys.argv[1:])] or [name for name in OUTSIDE if name not in absent]:
        with OUTSIDE[name]() as outside:
            for of, on_unavailable in itertools.product((Judged, Busy), ("deny", "localVerdict", "allow")):
                with of(upstream, key, outside, on_unavailable) as fleet:
                    for row_name, mix, *how in fleet.scenarios():
                        if wanted(row_name):
                            fleet.start()
                            good &= play(row_name, Load(fleet, mix=mix, pause=outside.pause), *how, SECONDS)
    return good


def main() -> int:
    key = Key("ES256", "ec")
    reason = servers.missing()
    no_redis = reason or servers.Redis.missing()
    absent = {
        "OPA": opa_server.missing(), "Presidio": judges.missing(), "service: killed (Limitador)": reason,
        "store: Redis (Limitador)": no_redis, "IdP: introspection": idp.missing(),
    }  # fmt: skip
    good = True
    with ExitStack() as running:
        started = running.enter_context
        upstream, double, scripted = started(Upstream()), started(servers.Double()), started(idp.Scripted())
        upstream.keep = False
        scripted.serve([key])
        real = None if reason else started(servers.Limitador("count-refused"))
        redis = None if no_redis else servers.Redis()
        if redis:
            running.callback(redis.stop)
        # The engine waits for its store for seconds: nobody waits for it.
        stored = started(servers.Limitador("count-refused", "redis", f"redis://127.0.0.1:{redis.port}/")) if redis else None
        ports = {"double": (double.port, key, scripted.port), "real": (real and real.port, key), "redis": (stored and stored.port, key)}

        @functools.cache
        def fleet_of(which: str) -> Fleet:
            fleet = started(Fleet(upstream, *ports[which]))
            # The first requests wait for the issuer's keys.
            for proxy in range(len(fleet.proxies)):
                assert fleet.once("deny", proxy=proxy).status == 200
            return fleet

        seconds = f"each outage takes {SECONDS:.0f} s, the issuer's 12 s, that of introspection {AWAY_SECONDS:.0f} s"
        print(f"{time.strftime('%-d %B %Y')}: two proxies of two workers, four clients; {seconds}\n")
        line("away", "all", "in it", "200", "400", "401", "429", "503", "p50 ms", "p99 ms", "wrong")
        for name, which, begin, end, is_service in scenarios(double, real, redis, scripted):
            if wanted(name):
                good &= row(name, fleet_of(which), begin, end, is_service)
        if not absent["IdP: introspection"]:
            provider = started(idp.Provider([Key("RS256", "one")]))
            with Opaque(upstream, key, provider) as opaque:
                for name, *how in opaque.scenarios():
                    if wanted(name):
                        opaque.start()
                        good &= opaque_row(name, opaque, *how)
        if not absent["OPA"]:
            opa = started(opa_server.Opa())
            for on_unavailable in ("deny", "allow"):
                with Asked(upstream, key, opa, on_unavailable) as asked:
                    for name, mood, *how in asked.scenarios():
                        if wanted(name):
                            asked.start()
                            good &= play(name, Load(asked, mix=asked.mix(mood)), *how, SECONDS)
        good &= judged(upstream, key, {name: why for name, why in absent.items() if why})
        for name, why in absent.items():
            if why:
                print(f"{name:<52} not had: {why}")
    print("wrong verdicts: 0" if good else "WRONG VERDICTS")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
