"""charts/terraform: what real Terraform says of it without providers, and what its values become in real Helm.

The helm and kubernetes providers can't be had here. So the blocks that need them are cut out, and all the rest of each example
is validated and applied by Terraform: variables, their types, the module's arguments, the values. What was cut out is read by
python-hcl2 and held against the providers' documented arguments.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from harness import cli
from harness.paths import CACHE, ROOT
from mesh import parts

FOLDER = ROOT / "charts" / "terraform"
CHART = ROOT / "charts" / "bartizan"
EXAMPLES = ("eks", "gke", "aks")
PYTHON = CACHE / "clouds" / "bin" / "python"
DIGEST = "sha256:" + "1" * 64
GIVEN = {
    "eks": {"account": "123456789012", "region": "eu-central-1", "role_arn": "arn:aws:iam::123456789012:role/llm"},
    "gke": {"project": "a-project", "location": "europe-west4", "service_account": "llm@a-project.iam.gserviceaccount.com"},
    "aks": {"registry": "aregistry", "client_id": "00000000-0000-0000-0000-000000000000"},
}
REPOSITORY = {
    "eks": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/llm/bartizan",
    "gke": "europe-west4-docker.pkg.dev/a-project/llm/bartizan",
    "aks": "aregistry.azurecr.io/llm/bartizan",
}
# What the providers' documentation lists of the arguments in use.
DOCUMENTED = {
    "helm_release": {"name", "namespace", "create_namespace", "chart", "version", "values", "atomic", "cleanup_on_fail", "timeout"},
    "kubernetes_service_account_v1": {"count", "metadata"},
    "helm": {"kubernetes"},
    "kubernetes": {"host", "cluster_ca_certificate", "exec"},
}


def terraform(folder: Path, *words: str) -> tuple[int, str]:
    path = shutil.which("terraform")
    if not path:
        pytest.skip("terraform is not on the PATH")
    done = subprocess.run([path, f"-chdir={folder}", *words], capture_output=True, text=True, timeout=120, env={"PATH": "/usr/bin:/bin", "CHECKPOINT_DISABLE": "1"})
    return done.returncode, done.stdout if done.returncode == 0 and words[0] == "output" else done.stdout + done.stderr


def without_providers(text: str) -> str:
    """The file without its blocks `terraform`, `provider` and `resource`."""
    kept, depth, cut = [], 0, False
    for line in text.splitlines():
        if depth == 0 and re.match(r"(terraform|provider|resource)\b.*\{$", line):
            cut = True
        bare = re.sub(r'"(?:[^"\\]|\\.)*"|#.*', "", line)
        depth += bare.count("{") - bare.count("}")
        if not cut:
            kept.append(line)
        cut = cut and depth > 0
    return "\n".join(kept) + "\n"


@pytest.fixture
def copied(tmp_path):
    for path in FOLDER.rglob("*.tf"):
        if ".terraform" not in path.parts:
            target = tmp_path / "charts" / "terraform" / path.relative_to(FOLDER)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(without_providers(path.read_text()))
    return tmp_path / "charts" / "terraform"


def rendered(values: str, folder: Path) -> tuple[int, str]:
    """What real Helm makes of the values; it holds them against values.schema.json."""
    file = folder / "values.yaml"
    file.write_text(values)
    try:
        helm = parts.tool("helm")
    except parts.Missing as why:
        pytest.skip(str(why))
    done = subprocess.run([helm, "template", "demo", str(CHART), "--namespace", "bartizan", "-f", str(file)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


def test_the_files_are_formatted():
    code, said = terraform(FOLDER, "fmt", "-check", "-diff", "-recursive")
    assert code == 0, said


def test_the_values_module_is_valid_and_passes_its_own_tests(tmp_path):
    shutil.copytree(FOLDER / "modules" / "values", tmp_path / "values", ignore=shutil.ignore_patterns(".terraform*"))
    for words in (["init"], ["validate"], ["test"]):
        code, said = terraform(tmp_path / "values", *words, "-no-color")
        assert code == 0, said
    # Six today; a run that vanishes is seen.
    assert int(re.search(r"(\d+) passed, 0 failed", said)[1]) >= 6


@pytest.mark.parametrize("cloud", EXAMPLES)
def test_an_example_becomes_a_chart_that_check_accepts(cloud, copied, tmp_path):
    folder = copied / "examples" / cloud
    cluster = '{name = "a", endpoint = "https://api.example.com", ca = "eA=="}'
    given = [f"-var={name}={value}" for name, value in {"cluster": cluster, "digest": DIGEST, **GIVEN[cloud]}.items()]
    for words in (["init"], ["validate"], ["apply", "-auto-approve", *given]):
        code, said = terraform(folder, *words, "-no-color")
        assert code == 0, said
    code, values = terraform(folder, "output", "-raw", "values")
    assert code == 0 and yaml.safe_load(values)["image"]["repository"] == REPOSITORY[cloud]
    code, said = rendered(values, tmp_path)
    assert code == 0, said
    (plugin,) = [one for one in yaml.safe_load_all(said) if one and one["kind"] == "WasmPlugin"]
    assert plugin["spec"]["url"] == f"oci://{REPOSITORY[cloud]}@{DIGEST}" and plugin["spec"]["failStrategy"] == "FAIL_RELOAD"
    assert plugin["spec"]["imagePullSecret"] == yaml.safe_load((CHART / f"values-{cloud}.yaml").read_text())["image"]["pullSecret"]
    assert plugin["spec"]["pluginConfig"]["roles"]["analyst"]["quotas"][0]["requests"] == 60
    file = tmp_path / "render.yaml"
    file.write_text(said)
    code, said = cli.check(file)
    assert code == 0, said


@pytest.mark.parametrize("change", [("operations", "operatons"), ('"chat"', '"chatter"'), ('place     = "gateway"', 'place     = "gatway"')])
def test_a_wrong_word_of_the_policy_is_refused_before_a_cluster_sees_it(change, copied, tmp_path):
    """Terraform takes the policy as it comes; the chart's schema does not."""
    folder = copied / "examples" / "eks"
    text = (folder / "main.tf").read_text()
    assert change[0] in text
    (folder / "main.tf").write_text(text.replace(*change))
    given = {"cluster": '{name = "a", endpoint = "https://api.example.com", ca = "eA=="}', "digest": DIGEST, **GIVEN["eks"]}
    for words in (["init"], ["apply", "-auto-approve", *(f"-var={name}={value}" for name, value in given.items())]):
        code, said = terraform(folder, *words, "-no-color")
        assert code == 0, said
    code, said = rendered(terraform(folder, "output", "-raw", "values")[1], tmp_path)
    assert code != 0 and "schema" in said, said


def blocks() -> dict:
    if not PYTHON.exists():
        pytest.skip("python-hcl2 is not installed: make cloud-tools")
    files = [path for path in sorted(FOLDER.rglob("*.tf")) if ".terraform" not in path.parts]
    done = subprocess.run([PYTHON, ROOT / "integration/clouds/hcl.py", *files], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return {str(Path(name).relative_to(FOLDER)): value for name, value in json.loads(done.stdout).items()}


def arguments(block: dict) -> set[str]:
    return {name for name in block if not name.startswith("__")}


def test_blocks_of_the_providers_have_documented_arguments_only():
    found = blocks()
    seen = set()
    for file, top in found.items():
        for named in [*top.get("resource", []), *top.get("provider", [])]:
            for kind, inner in named.items():
                kind = kind.strip('"')
                # A resource has its name between kind and block.
                body = next(iter(inner.values())) if kind in ("helm_release", "kubernetes_service_account_v1") else inner
                assert arguments(body) <= DOCUMENTED[kind], (file, kind)
                seen.add(kind)
    assert seen == set(DOCUMENTED)
    release = next(block["\"helm_release\""]["\"bartizan\""] for block in found["main.tf"]["resource"] if '"helm_release"' in block)
    assert release["values"] == ["${module.values.yaml}"], "the release does not get the tested values"


def test_examples_give_what_the_module_wants():
    found = blocks()
    variables = {next(iter(block)).strip('"'): next(iter(block.values())) for block in found["variables.tf"]["variable"]}
    required = {name for name, block in variables.items() if "default" not in block}
    for cloud in EXAMPLES:
        (module,) = found[f"examples/{cloud}/main.tf"]["module"]
        given = arguments(module['"bartizan"']) - {"source"}
        assert required <= given <= set(variables), cloud
    text = (FOLDER / "main.tf").read_text()
    assert all(f"var.{name}" in text for name in variables), "a variable that nothing reads"
