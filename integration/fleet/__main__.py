"""`python -m fleet`: what is away, and the verdicts of a constant load meanwhile. Ends with 1 when one is wrong."""

import sys
import time
from collections import Counter

from harness import idp
from harness.tokens import Key
from harness.upstream import Upstream

from . import servers
from .load import Load
from .site import FEW, Fleet

SECONDS = 3.0


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


def row(name: str, fleet: Fleet, begin, end, is_service: bool) -> bool:
    for role in ("spent-deny", "spent-local"):
        for _ in range(FEW):
            fleet.once(role)
    load = Load(fleet)
    try:
        load.enter("before", away=False)
        time.sleep(SECONDS / 2)
        load.enter("during", away=is_service, settle=1.0)
        begin()
        # Keys are fetched again every ten seconds.
        time.sleep(SECONDS if is_service else 12)
        load.enter("after", away=False, settle=2.0, forgot="Limitador" in name)
        end()
        time.sleep(SECONDS)
    finally:
        load.stop()
    during, wrong = load.tallies["during"], sum((tally.wrong for tally in load.tallies.values()), start=Counter())
    total = sum(tally.requests for tally in load.tallies.values())
    cells = [total, during.requests]
    for status in (200, 429, 503):
        cells.append(sum(count for (got, _), count in during.seen.items() if got == status))
    line(name, *cells, sum(wrong.values()))
    for (kind, got), count in wrong.items():
        print(f"    wrong: {kind}: {got} x {count}")
    return not wrong and during.requests > 0


def line(name: str, *cells) -> None:
    print(f"{name:<38} " + " ".join(f"{cell:>8}" for cell in cells), flush=True)


def main() -> int:
    key = Key("ES256", "ec")
    reason = servers.missing()
    no_redis = reason or servers.Redis.missing()
    real = None if reason else servers.Limitador("count-refused")
    redis = None if no_redis else servers.Redis()
    stored = servers.Limitador("count-refused", "redis", f"redis://127.0.0.1:{redis.port}/") if redis else None
    good = True
    with Upstream() as upstream, servers.Double() as double, idp.Scripted() as scripted:
        upstream.keep = False
        scripted.serve([key])
        fleets = {"double": Fleet(upstream, double.port, key, scripted.port)}
        if real:
            fleets["real"] = Fleet(upstream, real.port, key)
        if stored:
            # The engine waits for its store for seconds: nobody waits for it.
            fleets["redis"] = Fleet(upstream, stored.port, key)
        try:
            print(f"two proxies of two workers, four clients, seven kinds of requests; each outage takes {SECONDS:.0f} s, the issuer's 12 s\n")
            line("away", "requests", "in it", "200", "429", "503", "wrong")
            # The first requests wait for the issuer's keys.
            for fleet in fleets.values():
                for proxy in range(len(fleet.proxies)):
                    assert fleet.once("deny", proxy=proxy).status == 200
            for name, which, begin, end, is_service in scenarios(double, real, redis, scripted):
                good &= row(name, fleets[which], begin, end, is_service)
            for name, why in (("service: killed (Limitador)", reason), ("store: Redis killed (Limitador)", no_redis)):
                if why:
                    print(f"{name:<38} not had: {why}")
        finally:
            for fleet in fleets.values():
                fleet.stop()
            for server in (real, stored, redis):
                if server:
                    server.stop()
    print("wrong verdicts: 0" if good else "WRONG VERDICTS")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
