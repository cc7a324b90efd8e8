"""Runbook, alerts and the page on rolling out: what they say is run."""

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request

import pytest
import yaml

from conftest import Site, chat, user
from harness import cli, falco
from harness.client import H1
from harness.paths import ROOT, run_folder
from harness.process import Child
from harness.tokens import AUDIENCE, Key, claims
from mesh import parts
from mesh.cluster import free_port
from mesh.load import ATTACK

PAGES = [ROOT / "istio/README.md", ROOT / "istio/ROLLOUT.md", ROOT / "envoy/RUNBOOK.md", ROOT / "integration/mesh/README.md"]
PROMETHEUS = ROOT / "envoy" / "prometheus"


def tool(name: str) -> str:
    try:
        return parts.tool(name)
    except parts.Missing as why:
        pytest.skip(str(why))


def test_promtool_accepts_the_alerts_and_they_fire():
    for words in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts.test.yaml"]):
        done = subprocess.run([tool("promtool"), *words], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_paragraph():
    headings = {line[3:].lower().replace(" ", "-") for line in (ROOT / "envoy/RUNBOOK.md").read_text().splitlines() if line.startswith("## ")}
    groups = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())["groups"]
    for rule in [rule for group in groups for rule in group["rules"] if "alert" in rule]:
        assert rule["annotations"]["runbook"].removeprefix("RUNBOOK.md#") in headings, rule["alert"]


def test_every_counter_of_the_pages_exists():
    source = (ROOT / "src/audit/metrics.rs").read_text()
    known = {name.rstrip(".").replace(".", "_") for name in re.findall(r'"(bartizan\.[a-z_.]+?)(?:\.[a-z]+\.\{|")', source)}
    for path in [*PAGES, PROMETHEUS / "alerts.yaml"]:
        named = {name.removesuffix("_bucket") for name in re.findall(r"\bbartizan_[a-z_]+\b", path.read_text())}
        assert named <= known, f"{path.name}: {named - known}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_targets_of_the_pages_exist(page):
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for name in re.findall(r"`make ([a-z-]+)", text):
        assert name in targets, name
    for name in re.findall(r"`((?:\.\./|[a-z]+/)?[A-Za-z0-9_./-]+\.(?:md|yaml|py|sh))`", text):
        assert "shared/" in name or (page.parent / name).exists() or (ROOT / name).exists(), name


def test_relabelling_makes_the_labels_in_a_real_prometheus(upstream, keys):
    """A proxy without our `stats_tags`, as Istio's, read by Prometheus with the shipped rules."""

    def edit(config):
        config.pop("stats_config")

    site = Site("weak", upstream, keys, edit=edit)
    folder, port = run_folder("prometheus"), free_port()
    rules = yaml.safe_load((PROMETHEUS / "relabel.yaml").read_text())
    job = {"job_name": "proxies", "scrape_interval": "1s", "metrics_path": "/stats/prometheus", **rules}
    job["static_configs"] = [{"targets": [site.proxy.admin_address]}]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    try:
        site.send(H1, chat()).passed()
        site.send(H1, chat(user(ATTACK))).refused(400, "scan.injection")
        site.send(H1, chat(), token=None).refused(401, "jwt.missing", before_body=True)
        words = [f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
        with Child([tool("prometheus"), *words], log=folder / "prometheus.log"):

            def series(query: str) -> list[dict]:
                url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
                try:
                    with urllib.request.urlopen(url, timeout=5) as reply:
                        return [found["metric"] for found in json.loads(reply.read())["data"]["result"]]
                except OSError:
                    return []

            end = time.monotonic() + 60
            while not (found := series("bartizan_requests")) or not (findings := series("bartizan_findings")):
                assert time.monotonic() < end, "Prometheus has nothing"
                time.sleep(0.3)
    finally:
        site.proxy.stop()
    labels = {(one["verdict"], one["reason"], one["protocol"], one["role"]) for one in found}
    assert labels == {
        ("allow", "none", "openai", "analyst"), ("block", "scan_injection", "openai", "analyst"), ("block", "jwt_missing", "openai", "none"),
    }  # fmt: skip
    assert ("pi_1010", "block") in {(one["rule"], one["action"]) for one in findings}


def blocks(page: str) -> list:
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text().replace("\n   ", "\n"), re.S)]


def test_the_shadow_of_the_rollout_page_compiles(document, tmp_path):
    (shadow,) = blocks("istio/ROLLOUT.md")
    document |= {"guards": shadow["guards"], "roles": shadow["roles"]}
    document["authn"]["issuers"][0].pop("grants", None)
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(document))
    code, said = cli.check(file)
    assert code == 0, said


def test_break_glass_ends_by_itself(upstream, keys):
    """The runbook's role: its token passes the guard, counted under its own role, until the token is over."""
    exceptions, role = blocks("envoy/RUNBOOK.md")
    safe = Key("ES256", "safe")

    def change(document):
        (issuer,) = role["authn"]["issuers"]
        issuer = issuer | {"audiences": [AUDIENCE], "jwks": {"inline": {"keys": [safe.jwk]}}}
        document["authn"]["issuers"].append(issuer)
        document["roles"] |= role["roles"]
        document["guards"] |= role["guards"]
        document["guards"]["standard"]["exceptions"] = exceptions["exceptions"]

    def token(lifetime: int) -> str:
        return safe.sign(claims("on-call", ["breakglass"], lifetime, iss="urn:break-glass"))

    site = Site("strong", upstream, keys, change=change)
    try:
        site.send(H1, chat(user(ATTACK))).refused(400, "scan.injection")
        passed = site.send(H1, chat(user(ATTACK)), token=token(3600)).passed()
        assert passed.audit["bartizan.shadow"] == ["scan.injection"] and passed.audit["user.roles"] == ["breakglass"]
        assert falco.alarms(passed.audit) == {"Bartizan break-glass role used"}
        site.send(H1, chat(user(ATTACK)), token=token(-120)).refused(401, "jwt.expired")
        # The safe's key is worth nothing beyond its role.
        analyst = safe.sign(claims("on-call", ["analyst"], iss="urn:break-glass"))
        site.send(H1, chat(), token=analyst).refused(403, "rbac.operation")
    finally:
        site.proxy.stop()
