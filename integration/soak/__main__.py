"""`make soak`: faults in front of real Envoy, in rounds until `MINUTES` are over, as a table; see README.md.

Exits with 1 when something was not as expected, or when memory or descriptors grew from round to round.
"""

import datetime
import os
import platform
import subprocess
import sys
import time
from collections import Counter

from harness.envoy import release
from harness.paths import MODULE, ROOT

from .ground import Ground, Seen, sample
from .scenarios import SCENARIOS

MINUTES = float(os.environ.get("MINUTES") or 5)
# Of the proxy that lives through all rounds: the last round's end beside the first one's.
GROWTH = 1.10
# A round is that much larger than the one before, up to the largest.
LARGEST = 64


def cell(counts: Counter) -> str:
    return ", ".join(f"{count} x {word}" for word, count in counts.most_common())


class Row:
    """A scenario over all rounds."""

    def __init__(self, name: str):
        self.scenario, self.rounds, self.client, self.wrong = SCENARIOS[name], 0, Counter(), []
        self.lost, self.skipped, self.before, self.after = "nothing", "", None, None

    def add(self, seen: Seen) -> None:
        self.rounds += 1
        self.client += seen.client
        self.wrong += seen.wrong
        self.skipped = seen.skipped
        if seen.lost != "nothing":
            self.lost = seen.lost
        self.before, self.after = self.before or seen.before, seen.after or self.after

    def text(self) -> str:
        if self.skipped:
            return f"| {self.scenario.name} | {self.scenario.expected} | skipped: {self.skipped} | | | | |"
        word = f"BAD: {self.wrong[0][:200]}" if self.wrong else "good"
        return f"| {self.scenario.name} | {self.scenario.expected} | {cell(self.client)} | {self.lost} | {self.before} | {self.after} | {word} |"


def main() -> int:
    names = os.environ.get("ONLY", "").split() or list(SCENARIOS)
    if strays := [name for name in names if name not in SCENARIOS]:
        raise SystemExit(f"no such scenario: {', '.join(strays)}; there are {', '.join(SCENARIOS)}")
    rows, start, size, number = {name: Row(name) for name in names}, time.monotonic(), 1, 0
    held = []
    with Ground() as ground:
        while True:
            number += 1
            for name in names:
                begun = time.monotonic()
                try:
                    seen = SCENARIOS[name].run(ground, size)
                except Exception as error:  # a scenario that ends early is a bad row, not the end of the run
                    seen = Seen(wrong=[f"{type(error).__name__}: {str(error)[:200]}"])
                rows[name].add(seen)
                word = "skipped" if seen.skipped else "BAD" if seen.wrong else "good"
                print(f"round {number} x{size}  {name:<26} {word:<8} {time.monotonic() - begun:.0f} s", flush=True)
                for wrong in seen.wrong[:5]:
                    print(f"    {wrong[:300]}", flush=True)
            held.append(sample(ground.site))
            if time.monotonic() - start > 60 * MINUTES:
                break
            size = min(2 * size, LARGEST)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    grown = held[-1].memory > GROWTH * held[0].memory or held[-1].descriptors > held[0].descriptors
    lines = [
        f"# make soak, {datetime.date.today()}",
        "",
        f"Commit {commit}, module of {MODULE.stat().st_size} bytes, Envoy {'.'.join(map(str, release()))}, {platform.machine()};"
        f" {number} rounds in {(time.monotonic() - start) / 60:.0f} minutes, {ground.subjects} subjects.",
        "",
        f"The proxy that lived through all rounds held {held[0]} after the first one, and {held[-1]} after the last: {'BAD, it grew' if grown else 'good'}.",
        "",
        "| fault | expected | the client saw | lost | before | after | |",
        "|---|---|---|---|---|---|---|",
        *(row.text() for row in rows.values()),
    ]
    print("\n".join(["", *lines]))
    if os.environ.get("WRITE"):
        to = ROOT / "integration" / "results" / f"{datetime.date.today()}-soak.md"
        to.write_text("\n".join(lines) + "\n")
        print(f"kept in {to.relative_to(ROOT)}")
    return 1 if (grown and number > 1) or any(row.wrong for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
