"""What keeps a broken policy out: the admission policies by two implementations of CEL, their typed part by a real API server, and
the chart's check job.

The API server that can be built here has no ValidatingAdmissionPolicy, because that needs namespaces. Rules of a custom
resource's schema are judged by the same engine of Kubernetes; they can't see `pluginConfig`, which has no schema.
"""

import copy
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from harness import cli
from harness.paths import CACHE, CLI, ROOT
from mesh import manifests, parts
from mesh.cluster import Cluster, documents
from mesh.test_chart import CASES, CHART, case_name, helm, render

PYTHON = CACHE / "clouds" / "bin" / "python"
POLICY, _ = manifests.documents(ROOT / "istio" / "admission.yaml")
GATEWAY, _ = manifests.documents(ROOT / "envoy" / "gateway" / "admission.yaml")
DIGEST = "1" * 64


def judged(policy: dict, objects: list[dict]) -> list[list[str] | None]:
    """Which messages refuse each object; both implementations must say the same."""
    if not PYTHON.exists():
        pytest.skip("no implementation of CEL is installed: make cloud-tools")
    text = json.dumps({"policy": policy, "objects": objects})
    done = subprocess.run([PYTHON, ROOT / "integration/clouds/admission.py"], input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    verdicts = []
    for one in json.loads(done.stdout):
        first, second = one.values()
        # Words of an error differ, what is refused does not.
        bare = lambda messages: None if messages is None else [re.sub(r" \[.*\]$", "", message) for message in messages]
        assert bare(first) == bare(second), one
        verdicts.append(first)
    return verdicts


def plugins() -> list[dict]:
    """Every plugin that the repository ships or the chart renders."""
    found = [one for path in manifests.FILES for one in manifests.documents(path)]
    for path in CASES:
        found += documents(render("-f", path))
    return [one for one in found if one["kind"] in ("WasmPlugin", "TrafficExtension")]


def the(kind: str) -> dict:
    return copy.deepcopy(next(one for one in plugins() if one["kind"] == kind))


def wasm(plugin: dict) -> dict:
    return plugin["spec"]["wasm"] if plugin["kind"] == "TrafficExtension" else plugin["spec"]


def config(plugin: dict) -> dict:
    return wasm(plugin)["pluginConfig"]


WRONG = {
    "it fails open": (lambda p: wasm(p).update(failStrategy="FAIL_OPEN"), "failStrategy"),
    "a tag": (lambda p: wasm(p).update(url="oci://registry.example.com/llm/bartizan:latest"), "url"),
    "http": (lambda p: wasm(p).update(url="https://example.com/bartizan.wasm"), "url"),
    "no sha256": (lambda p: wasm(p).pop("sha256"), "sha256"),
    "another sha256": (lambda p: wasm(p).update(sha256="2" * 64), "sha256"),
    "no policy": (lambda p: wasm(p).pop("pluginConfig"), "pluginConfig"),
    "no callers": (lambda p: config(p).update(authn={}), "authn"),
    "no roles": (lambda p: config(p).pop("roles"), "roles"),
    "no routes": (lambda p: config(p).update(routes=[]), "routes"),
    "another version": (lambda p: config(p).update(version=2), "version"),
    "it would hold headers": (lambda p: config(p).update(holdHeaders=True), "holdHeaders"),
    "another name, the same image": (lambda p: (wasm(p).update(pluginName="other"), wasm(p).update(failStrategy="FAIL_OPEN")), "failStrategy"),
}


def test_every_shipped_plugin_is_admitted():
    found = plugins()
    assert len(found) >= 8
    assert judged(POLICY, found) == [[]] * len(found)


@pytest.mark.parametrize("kind", ["WasmPlugin", "TrafficExtension"])
def test_what_lacks_something_is_refused_by_name(kind):
    broken = []
    for change, _ in WRONG.values():
        plugin = the(kind)
        change(plugin)
        broken.append(plugin)
    for (name, (_, word)), said in zip(WRONG.items(), judged(POLICY, broken), strict=True):
        assert said and any(word in message for message in said), (name, said)


def test_a_missing_key_is_never_admitted():
    """Each key that the rules name, taken out of a good plugin: refused, unless its absence is safe."""
    broken, names = [], []
    for kind in ("WasmPlugin", "TrafficExtension"):
        for key in ("failStrategy", "url", "sha256", "pluginConfig", "pluginName"):
            plugin = the(kind)
            wasm(plugin).pop(key)
            broken.append(plugin)
            names.append(key)
    for name, said in zip(names, judged(POLICY, broken), strict=True):
        # Istio's default is FAIL_CLOSE. Without its name the image still tells what it is.
        assert (said == []) == (name in ("failStrategy", "pluginName")), (name, said)


def test_other_plugins_are_left_alone():
    other = the("WasmPlugin")
    other["spec"].update(url="oci://registry.example.com/team/headers:latest", pluginName="headers", failStrategy="FAIL_OPEN")
    assert judged(POLICY, [other]) == [None]


def test_a_real_api_server_judges_the_typed_rules(tmp_path):
    """The rules without `pluginConfig`, as rules of WasmPlugin's schema: Kubernetes' own engine compiles and runs them."""
    rules = [rule for rule in POLICY["spec"]["validations"] if "config" not in rule["expression"]]
    assert len(rules) == 3
    try:
        crds = documents(parts.istio_crds().read_text())
    except parts.Missing as why:
        pytest.skip(str(why))
    for crd in crds:
        if crd["spec"]["names"]["kind"] == "WasmPlugin":
            for version in crd["spec"]["versions"]:
                spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
                own = [{"rule": rule["expression"].replace("variables.wasm", "self"), "message": rule["message"]} for rule in rules]
                spec["x-kubernetes-validations"] = [*spec.get("x-kubernetes-validations", []), *own]
    file = tmp_path / "crds.yaml"
    file.write_text(yaml.safe_dump_all(crds))
    try:
        cluster = Cluster(file)
    except parts.Missing as why:
        pytest.skip(str(why))
    with cluster:
        code, said = cluster.apply([the("WasmPlugin")], "--dry-run=server")
        assert code == 0, said
        for name in ("it fails open", "a tag", "http", "no sha256", "another sha256"):
            plugin = the("WasmPlugin")
            change, word = WRONG[name]
            change(plugin)
            code, said = cluster.apply([plugin], "--dry-run=server")
            assert code != 0 and next(rule["message"] for rule in rules if rule["message"].startswith(word)) in said, (name, said)


@pytest.mark.parametrize("path", ["istio/admission.yaml", "envoy/gateway/admission.yaml"])
def test_the_policies_are_kubernetes_own_kinds(path):
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: make mesh-tools")
    policy, binding = manifests.documents(ROOT / path)
    for one in (policy, binding):
        validate.validate(one, validate.latest_version(), strict=True)
    assert binding["spec"]["policyName"] == policy["metadata"]["name"] and binding["spec"]["validationActions"] == ["Deny"]
    assert policy["spec"]["failurePolicy"] == "Fail"


# -- Envoy Gateway


def extension() -> dict:
    (one,) = manifests.documents(ROOT / "envoy/gateway/extension-policy.yaml")
    return one


# Its definition stands outside the repository, as Istio's do: no package has it.
CRD = Path(os.environ.get("ENVOY_GATEWAY_CRD") or ROOT.parent / "shared" / "envoy-gateway-extensionpolicies.yaml")
# The fields of a Wasm extension in Envoy Gateway's API (v1alpha1, August 2026), for where the definition is missing.
SHAPE = {
    "spec": {"targetRefs", "targetRef", "targetSelectors", "wasm", "extProc", "lua", "dynamicModule", "mergeType"},
    "wasm": {"name", "rootID", "code", "config", "failOpen", "env"},
    "code": {"type", "http", "image", "pullPolicy"},
    "image": {"url", "sha256", "pullSecretRef", "tls"},
}


def test_the_extension_policy_has_the_documented_shape_and_a_good_policy(tmp_path):
    spec = extension()["spec"]
    (plugin,) = spec["wasm"]
    assert set(spec) <= SHAPE["spec"] and set(plugin) <= SHAPE["wasm"]
    assert set(plugin["code"]) <= SHAPE["code"] and set(plugin["code"]["image"]) <= SHAPE["image"] and plugin["code"]["type"] == "Image"
    assert plugin["failOpen"] is False and plugin["config"].get("holdHeaders", False) is False
    assert plugin["code"]["image"]["url"].endswith(f"@sha256:{plugin['code']['image']['sha256']}")
    code, said = cli.check(ROOT / "envoy/gateway/extension-policy.yaml")
    assert code == 0, said
    # A mistake is told by its place in the file.
    spec = extension()
    spec["spec"]["wasm"][0]["config"]["roles"] = {}
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(spec))
    code, said = cli.check(file)
    assert code == 1 and "spec.wasm[0].config.authn.issuers[0].grants.roles[0]" in said, said


def test_a_real_api_server_admits_the_extension_policy():
    if not CRD.exists():
        pytest.skip("Envoy Gateway's definition is not at ../shared/envoy-gateway-extensionpolicies.yaml; ENVOY_GATEWAY_CRD names another place")
    try:
        cluster = Cluster(CRD)
    except parts.Missing as why:
        pytest.skip(str(why))
    with cluster:
        code, said = cluster.apply([extension()], "--dry-run=server")
        assert code == 0, said
        wrong = extension()
        wrong["spec"]["wasm"][0]["failOpened"] = True
        code, said = cluster.apply([wrong], "--dry-run=server")
        assert code != 0 and "failOpened" in said, said
        wrong = extension()
        wrong["spec"]["wasm"][0]["code"]["type"] = "HTTP"
        code, said = cluster.apply([wrong], "--dry-run=server")
        assert code != 0 and "http field needs to be set" in said, said


def test_an_extension_policy_that_takes_bartizan_off_is_refused():
    def changed(change) -> dict:
        one = extension()
        change(one["spec"])
        return one

    wrong = {
        "wasm": lambda spec: spec.pop("wasm"),
        "take Bartizan off": lambda spec: spec["wasm"][0].update(name="other"),
        "failOpen": lambda spec: spec["wasm"][0].update(failOpen=True),
        "failOpen: ": lambda spec: spec["wasm"].append({"name": "other", "failOpen": True, "code": {"type": "HTTP"}}),
        "code.image": lambda spec: spec["wasm"][0]["code"]["image"].update(url="registry.example.com/llm/bartizan:latest"),
        "config": lambda spec: spec["wasm"][0].pop("config"),
        "config: ": lambda spec: spec["wasm"][0]["config"].update(authn={}),
    }
    good, *bad = judged(GATEWAY, [extension(), *(changed(change) for change in wrong.values())])
    assert good == []
    for word, said in zip(wrong, bad, strict=True):
        assert said and any(word in message for message in said), (word, said)


# -- The check job


def job(*words: str) -> tuple[dict, dict]:
    path = next(path for path in CASES if case_name(path) == "sidecar")
    made = documents(render("-f", path, "--set", "check.enabled=true,check.image=registry.example.com/llm/bartizan-cli:1", *words))
    return tuple(next(one for one in made if one["kind"] == kind and one["metadata"]["name"].endswith("-check")) for kind in ("ConfigMap", "Job"))


def run(configmap: dict, work: dict, folder) -> subprocess.CompletedProcess:
    """The job's command on the files that it would see."""
    (container,) = work["spec"]["template"]["spec"]["containers"]
    (mount,) = container["volumeMounts"]
    folder.mkdir()
    for name, text in configmap["data"].items():
        (folder / name).write_text(text)
    program, *words = [word.replace(mount["mountPath"], str(folder)) for word in container["command"]]
    assert program == "bartizan" and str(folder) in words
    return subprocess.run([CLI, *words], capture_output=True, text=True, timeout=120)


def test_the_check_job_ends_a_release_whose_policy_is_broken(tmp_path):
    """The chart's schema knows keys and words; that a role names a guard which is not there, only `check` does."""
    done = run(*job(), tmp_path / "good")
    assert done.returncode == 0, done.stdout
    done = run(*job("--set", "policy.roles.analyst.guard=missing"), tmp_path / "bad")
    assert done.returncode != 0 and "missing" in done.stdout, done.stdout


def test_the_check_job_is_a_hook_before_anything_is_applied():
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed: make mesh-tools")
    for one in job():
        validate.validate(one, validate.latest_version(), strict=True)
        assert one["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job()[1]["spec"]["backoffLimit"] == 0
    code, _, error = helm("template", "demo", CHART, "-f", CASES[0], "--set", "check.enabled=true")
    assert code != 0 and "check.image" in error
    assert "bartizan-check" not in render("-f", CASES[0])
