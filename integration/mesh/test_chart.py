"""charts/bartizan: what it renders, what it refuses, and its life against a real API server."""

import os
import re
import subprocess

import pytest
import yaml

from harness import cli
from harness.paths import ROOT
from mesh import chart_schema, parts
from mesh.cluster import documents

CHART = ROOT / "charts" / "bartizan"
CASES = sorted((ROOT / "tests" / "charts").glob("*.values.yaml"))
case_name = {path: path.name.removesuffix(".values.yaml") for path in CASES}.get


def helm(*words, **environment) -> tuple[int, str, str]:
    try:
        path = parts.tool("helm")
    except parts.Missing as why:
        pytest.skip(str(why))
    done = subprocess.run([path, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=180, env=os.environ | environment)
    return done.returncode, done.stdout, done.stderr


def render(*words) -> str:
    code, out, error = helm("template", "demo", CHART, "--namespace", "bartizan", *words)
    assert code == 0, error
    return out


def changed(path, tmp_path, change):
    values = yaml.safe_load(path.read_text())
    change(values)
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def test_lint_is_strict_and_clean():
    for extra in ([], *(["-f", path] for path in CASES)):
        code, out, error = helm("lint", CHART, "--strict", *extra)
        assert code == 0, out + error


@pytest.mark.parametrize("path", CASES, ids=case_name)
def test_a_render_is_the_golden_one(path):
    golden = path.with_name(f"{case_name(path)}.golden.yaml")
    rendered = render("-f", path)
    if os.environ.get("UPDATE"):
        golden.write_text(rendered)
    assert rendered == golden.read_text(), f"see git diff after: UPDATE=1 make test-envoy PYTEST='-k golden' ({golden.name})"


@pytest.mark.parametrize("path", CASES, ids=case_name)
def test_check_accepts_the_policies_of_a_render(path, tmp_path):
    file = tmp_path / "render.yaml"
    file.write_text(render("-f", path))
    code, said = cli.check(file)
    assert code == 0, said


@pytest.mark.parametrize("path", CASES, ids=case_name)
def test_the_api_server_admits_a_render(cluster, path):
    rendered = documents(render("-f", path))
    code, said = cluster.apply([document for document in rendered if cluster.serves(document)], "--dry-run=server")
    assert code == 0, said


@pytest.mark.parametrize("path", CASES, ids=case_name)
def test_core_kinds_of_a_render_fit_their_schemas(path):
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: make mesh-tools")
    for document in documents(render("-f", path)):
        if "istio.io" not in document["apiVersion"]:
            validate.validate(document, validate.latest_version(), strict=True)


@pytest.mark.parametrize("cloud", ["eks", "gke", "aks"])
def test_the_clouds_values_fit_the_chart(cloud):
    rendered = render("-f", CASES[1], "-f", CHART / f"values-{cloud}.yaml")
    values = yaml.safe_load((CHART / f"values-{cloud}.yaml").read_text())
    plugin = next(document for document in documents(rendered) if document["kind"] == "WasmPlugin")
    assert plugin["spec"]["url"].startswith(f"oci://{values['image']['repository']}@sha256:")
    assert plugin["spec"]["imagePullSecret"] == values["image"]["pullSecret"]


def test_the_schema_is_fresh():
    assert chart_schema.FILE.read_text() == chart_schema.text(), "make chart-schema"


def test_every_value_has_its_comment():
    lines = (CHART / "values.yaml").read_text().splitlines()
    commented, depth_limit = set(), 4
    for number, line in enumerate(lines):
        key = re.match(r"( *)([a-zA-Z]+):", line)
        # Below `policy` and deeper the policy's own schema speaks.
        if not key or len(key[1]) >= depth_limit:
            continue
        is_section = line.rstrip().endswith(":") and key[2] not in ("policy", "guards", "routes")
        above = lines[number - 1].strip() if number else ""
        assert is_section or above.startswith("#"), f"values.yaml:{number + 1}: no comment over {key[2]}"
        block = number - 1
        while block >= 0 and lines[block].strip().startswith("#") and "# --" not in lines[block]:
            block -= 1
        assert is_section or "# --" in lines[block], f"values.yaml:{number + 1}: no `# --` over {key[2]}"
        commented.add(key[2])
    assert {"mode", "digest", "policy", "guards", "bytes"} <= commented


def test_the_version_is_the_crates():
    crate = re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == crate


WRONG = {
    "an unknown key of the policy": (lambda v: v["policy"]["roles"]["analyst"].update(requets=1), "requets"),
    "an unknown key of the chart": (lambda v: v.update(imge={}), "imge"),
    "a word that is none": (lambda v: v.update(failStrategy="FAIL_OPEN"), "failStrategy"),
    "a tag for a digest": (lambda v: v["image"].update(digest="latest"), "digest"),
    "no digest": (lambda v: v["image"].update(digest="sha256:" + "0" * 64), "image.digest is not set"),
    "no issuers": (lambda v: v["policy"].pop("authn"), "authn is empty"),
    "no ports at a sidecar": (lambda v: v["guards"]["llm"].pop("ports"), "ports"),
    "ports at a waypoint": (lambda v: v["guards"]["llm"].update(place="waypoint"), "ports"),
    "a pull secret that nobody would use": (lambda v: (v.update(mode="EnvoyFilter"), v["image"].update(pullSecret="x")), "no pull secret"),
    "no workloads": (lambda v: v["guards"]["llm"].pop("selector"), "selector"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_values_are_refused_by_name(wrong, tmp_path):
    change, word = WRONG[wrong]
    path = next(path for path in CASES if case_name(path) == "sidecar")
    code, _, error = helm("template", "demo", CHART, "-f", changed(path, tmp_path, change))
    assert code != 0 and word in error, error


def test_install_upgrade_and_rollback(cluster, tmp_path):
    """Helm itself can't install here: it keeps its releases in Secrets, a core kind that this API server does not
    have (and with its store in memory it talks to no server at all). So its renders are applied server-side, under
    its field manager, as Helm 4 does by itself; a rollback is the first render again."""
    path = next(path for path in CASES if case_name(path) == "sidecar")
    second = tmp_path / "second.yaml"
    second.write_text(yaml.safe_dump({"policy": {"guards": {"standard": {"mode": "enforce"}}}, "image": {"digest": "sha256:" + "2" * 64}}))

    def step(*words) -> dict:
        objects = [document for document in documents(render(*words)) if cluster.serves(document)]
        code, said = cluster.apply(objects, manager="helm")
        assert code == 0, said
        return cluster.get("wasmplugin", "bartizan-llm", "llm")

    installed = step("-f", path)
    assert installed["spec"]["pluginConfig"]["guards"]["standard"]["mode"] == "shadow"
    upgraded = step("-f", path, "-f", second)
    assert upgraded["metadata"]["uid"] == installed["metadata"]["uid"], "replaced, not upgraded"
    assert upgraded["spec"]["pluginConfig"]["guards"]["standard"]["mode"] == "enforce"
    assert upgraded["spec"]["sha256"] == "2" * 64
    back = step("-f", path)
    assert back["spec"] == installed["spec"] and back["metadata"]["uid"] == installed["metadata"]["uid"]
    code, said = cluster.kubectl("delete", "wasmplugin,telemetry,envoyfilter,peerauthentication", "-n", "llm", "--all")
    assert code == 0, said


def test_numbers_stay_whole(tmp_path):
    path = next(path for path in CASES if case_name(path) == "strong-gateway")
    for mode in ("WasmPlugin", "EnvoyFilter"):
        rendered = render("-f", path, "--set", f"mode={mode}")
        assert '"maxBodyBytes": 2097152' in rendered and "e+06" not in rendered


def test_the_notes_tell_the_next_step(cluster, tmp_path):
    releases = tmp_path / "releases.yaml"
    releases.write_text("[]\n")
    store = {"HELM_DRIVER": "memory", "KUBECONFIG": str(cluster.kubeconfig), "HELM_MEMORY_DRIVER_DATA": str(releases)}
    code, out, error = helm("install", "demo", CHART, "-f", next(path for path in CASES if case_name(path) == "sidecar"), **store)
    assert code == 0, error
    notes = out.partition("NOTES:")[2]
    assert "Next:" in notes and "llm/standard" in notes and "-l 'app=model' --tail=-1" in notes and "helm rollback" in notes
    code, out, error = helm("install", "demo", CHART, **store)
    assert code == 0 and "nothing is guarded yet" in out, out + error


def test_monitoring_is_off_by_default():
    for path in CASES:
        assert "monitoring.coreos.com" not in render("-f", path)


@pytest.mark.parametrize("path", CASES, ids=case_name)
def test_monitoring_holds_the_shipped_rules(path):
    """What is applied is the tested files' content. No schema of the operator's kinds can be had here."""
    shipped = {name: (ROOT / "envoy/prometheus" / name).read_text() for name in ("alerts.yaml", "relabel.yaml")}
    for name, text in shipped.items():
        assert (CHART / "files" / name).read_text() == text, f"cp envoy/prometheus/{name} charts/bartizan/files/"
    words = ["--set", "monitoring.podMonitor=true,monitoring.rules=true,monitoring.labels.release=prometheus"]
    found = [one for one in documents(render("-f", path, *words)) if one["apiVersion"] == "monitoring.coreos.com/v1"]
    (rule,) = [one for one in found if one["kind"] == "PrometheusRule"]
    assert rule["spec"] == yaml.safe_load(shipped["alerts.yaml"])
    monitors = [one for one in found if one["kind"] == "PodMonitor"]
    guards = yaml.safe_load(path.read_text())["guards"]
    assert {one["metadata"]["name"] for one in monitors} == {f"bartizan-{name}" for name in guards}
    camel = {"source_labels": "sourceLabels", "target_label": "targetLabel"}
    rules = yaml.safe_load(shipped["relabel.yaml"])["metric_relabel_configs"]
    for one in monitors:
        guard = guards[one["metadata"]["name"].removeprefix("bartizan-")]
        assert one["metadata"]["namespace"] == guard["namespace"] and one["metadata"]["labels"]["release"] == "prometheus"
        (endpoint,) = one["spec"]["podMetricsEndpoints"]
        assert endpoint["metricRelabelings"] == [{camel.get(key, key): value for key, value in rule.items()} for rule in rules]
        selector = one["spec"]["selector"]
        if "selector" in guard:
            assert selector == {"matchLabels": guard["selector"]}
        else:
            assert selector["matchExpressions"][0]["values"] == [reference["name"] for reference in guard["targetRefs"]]
