"""The shipped dashboards are those of the code, are what Grafana's own types allow, and their queries run on a real Prometheus."""

import json
import re
import subprocess

import pytest

from conftest import Site
from dashboards.__main__ import FOLDER, text
from dashboards.boards import BOARDS, asked, board
from harness.paths import CACHE, ROOT, run_folder
from harness.wait import eventually
from mesh.parts import Missing, tool
from observe.__main__ import Prometheus, traffic

TYPES = CACHE / "grafana"
PANELS = [(name, panel) for name, (_, panels) in BOARDS.items() for panel in panels]


@pytest.mark.parametrize("name", BOARDS)
def test_the_shipped_file_is_what_the_code_makes(name):
    assert (FOLDER / f"{name}.json").read_text() == text(name), "stale: python -m dashboards --write"
    assert {file.stem for file in FOLDER.glob("*.json")} == set(BOARDS)


@pytest.mark.parametrize("panel", [panel for _, panel in PANELS], ids=lambda panel: panel.title)
def test_a_panel_says_what_it_shows_and_where_to_read_on(panel):
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in (ROOT / "envoy/RUNBOOK.md").read_text().splitlines() if line.startswith("##")}
    assert panel.says.endswith(".") and panel.unit and panel.queries and panel.anchor in headings
    known = (ROOT / "envoy/RUNBOOK.md").read_text()
    for _, query in panel.queries:
        for metric in re.findall(r"\bbartizan_[a-z_]+", query):
            assert f"`{metric.removesuffix('_bucket')}`" in known or metric == "bartizan_vm_memory_bytes", metric
        assert not re.search(r"\b(user|subject|caller)\b", query)


def compiled(boards: dict[str, dict]) -> str:
    """What TypeScript says of dashboards under the types that Grafana publishes."""
    folder = run_folder("grafana")
    (folder / "node_modules").symlink_to(TYPES / "node_modules")
    for name, one in boards.items():
        (folder / f"{name}.ts").write_text(f'import type {{ Dashboard }} from "@grafana/schema";\nexport const board: Dashboard = {json.dumps(one)};\n')
    words = ["--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler", "--module", "esnext"]
    done = subprocess.run([str(TYPES / "node_modules/.bin/tsc"), *words, *(f"{name}.ts" for name in boards)], cwd=folder, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_grafanas_types_take_them_and_refuse_broken_ones():
    if not (TYPES / "node_modules/.bin/tsc").exists():
        pytest.skip("Grafana's types are not here: npm is missing, or make .cache/grafana/.ready")
    assert compiled({name: board(name) for name in BOARDS}) == ""
    breakages = [
        lambda one: one["panels"][0].update(targtes=one["panels"][0].pop("targets")),
        lambda one: one["panels"][0].update(gridPos={"h": "8", "w": 12, "x": 0, "y": 0}),
        lambda one: one["templating"]["list"][0].update(type="datasuorce"),
        lambda one: one.update(schemaVersion="39"),
        lambda one: one["panels"][0]["fieldConfig"]["defaults"].update(unit=5),
    ]
    for at, breakage in enumerate(breakages):
        broken = board("overview")
        breakage(broken)
        assert "error TS" in compiled({f"broken{at}": broken}), at


def test_every_query_is_answered_by_a_real_prometheus(upstream, keys):
    try:
        tool("prometheus")
    except Missing as missing:
        pytest.skip(str(missing))

    def change(document: dict) -> None:
        document["abuse"] = {"strikes": 3, "window": "1m", "cooldown": "1s", "maxCooldown": "2s"}
        for guard in document["guards"].values():
            guard["pii"] = {"action": "mask"}

    site = Site("strong", upstream, keys, change=change)
    prometheus = Prometheus(site.proxy.admin_address)
    try:
        wanting = {"Checkpoints of the audit trail"}  # Only a chain makes them; `make observe` has one.

        def all_answer() -> bool:
            # A counter comes into being with its first event: its rate is seen at the second one.
            traffic(site, 5)
            answers = asked(prometheus)
            assert all(answered for *_, answered, _ in answers), [one for one in answers if not one[3]]
            empty = {panel.title for _, panel, _, _, series in answers if panel.expects and not series}
            return empty <= wanting

        eventually(all_answer, "every panel that a mixed minute fills has data", seconds=120)
    finally:
        prometheus.stop()
        site.proxy.stop()
