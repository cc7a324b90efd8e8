"""`make bench-count`: instructions a byte of whole requests, natively, by callgrind: a busy machine counts the same.

    python3 tests/bench/count.py target/release/examples/bench [KIND...]

Each cell is the difference of two runs that prepare the same requests: one sends them, the other does not. A stage's row
holds all that its function calls, in all readings of the text; what the compiler inlines is in the rest.
"""

import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

KINDS = ["prose", "chat", "issues", "code", "logs", "json", "chinese", "arabic", "base64"]
# Bytes of the text, and how many requests are counted.
SIZES = [(1024, 64), (16384, 8)]
STAGES = [
    ("scan", r"^bartizan::scan::conversation::scan"),
    ("  raw pass", r"^bartizan::scan::engine::Engine::raw"),
    ("  normalised pass", r"^bartizan::scan::engine::Engine::normalised"),
    ("  scorer", r"^bartizan(::scan|_rules)::scorer::(score|read)"),
    ("  decode", r"^bartizan::scan::decode::decode"),
    ("token estimate", r"^bartizan::estimate::Estimate::push"),
    ("record", r"^bartizan::audit::record::Record::to_json"),
]
REST_OF_SCAN = "  normalise, the rest"
REST = "headers, JSON, the rest"
ROWS = ["whole request", *(label for label, _ in STAGES[:5]), REST_OF_SCAN, *(label for label, _ in STAGES[5:]), REST]
RESULTS = Path(__file__).parent / "results"


def run(binary: str, folder: str, kind: str, size: int, prepared: int, sent: int) -> tuple[dict, int, dict[str, int]]:
    """What the program says, the instructions in all, and those of each function with what it calls."""
    out = f"{folder}/{kind}-{size}-{sent}"
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", binary, "count", kind, str(size), str(prepared), str(sent)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    listing = subprocess.run(
        ["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--show-percs=no", out],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    total, functions = 0, {}
    for line in listing.splitlines():
        found = re.match(r"\s*([\d,]+)\s+(.*)", line)
        if not found:
            continue
        number, rest = int(found[1].replace(",", "")), found[2]
        if rest.startswith("PROGRAM TOTALS"):
            total = number
            continue
        # `file:function [object]`; a name in angle brackets is that of an implementation.
        name = re.sub(r" \[[^\]]*\]$", "", rest)
        name = name.split(":", 1)[1] if ":" in name and not name.startswith(("<", "bartizan")) else name
        functions[name] = functions.get(name, 0) + number
    return json.loads(done.stdout), total, functions


def stage(functions: dict[str, int], form: str) -> int | None:
    """The largest of a stage's functions: the outermost one."""
    costs = [cost for name, cost in functions.items() if re.match(form, name)]
    return max(costs, default=None)


def column(binary: str, folder: str, kind: str, size: int, count: int) -> dict:
    """Instructions a byte: in all, and by stage."""
    (said, total, functions), (_, before, early) = (run(binary, folder, kind, size, count, sent) for sent in (count, 0))
    cells = {"whole request": (total - before) / said["bytes"], "refused": sum(said["refused"].values())}
    for label, form in STAGES:
        late = stage(functions, form)
        cells[label] = None if late is None else (late - (stage(early, form) or 0)) / said["bytes"]
    of_scan = sum(cells[label] or 0 for label, _ in STAGES if label.startswith(" "))
    cells[REST_OF_SCAN] = (cells["scan"] or 0) - of_scan
    cells[REST] = cells["whole request"] - sum(cells[label] or 0 for label, _ in STAGES if not label.startswith(" "))
    return cells


def main() -> int:
    binary, kinds = sys.argv[1], sys.argv[2:] or KINDS
    lines: list[str] = []

    def say(line: str = "") -> None:
        lines.append(line)
        print(line, flush=True)

    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    compiler = subprocess.run(["rustc", "-V"], capture_output=True, text=True).stdout.strip()
    say(f"{datetime.date.today()}  {commit}  {compiler}")
    say("instructions a byte of text, callgrind, native, whole requests of fresh text under envoy/envoy.yaml's policy")
    for size, count in SIZES:
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
            table = list(pool.map(lambda kind: column(binary, folder, kind, size, count), kinds))
        say(f"\n{size // 1024} KiB, {count} requests each")
        say(" " * 24 + "".join(f"{kind:>9}" for kind in kinds))
        for label in ROWS:
            cells = [column[label] for column in table]
            say(f"{label:<24}" + "".join(f"{'-' if cell is None else round(cell):>9}" for cell in cells))
        if any(column["refused"] for column in table):
            say(f"{'refused requests':<24}" + "".join(f"{column['refused']:>9}" for column in table))
        middle = sorted(column["whole request"] for column in table)[len(table) // 2]
        say(f"median of the kinds: {middle:.0f}")
    if os.environ.get("WRITE"):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{datetime.date.today()}-count.txt").write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
