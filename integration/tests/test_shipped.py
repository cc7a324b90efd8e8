"""What is shipped is what is tested: files, tables and words."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from harness import cli, envoy, istio
from harness.paths import ROOT

# compose.yaml is none of Envoy's; integration/clouds runs it.
ENVOY_FILES = sorted(path for path in (ROOT / "envoy").glob("*.yaml") if path.name != "compose.yaml")


@pytest.mark.parametrize("path", ENVOY_FILES, ids=lambda path: path.name)
def test_envoy_accepts_the_file_as_it_is(path):
    code, log = envoy.validate(path)
    assert code == 0, log
    assert cli.check(path) == (0, cli.check(path)[1])


def test_envoy_accepts_what_istio_makes(tmp_path):
    plugin = istio.plugin()
    response = istio.ecds(plugin, plugin["spec"]["pluginConfig"], "1")
    (tmp_path / "ecds.json").write_text(response)
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(envoy.load(envoy.ECDS)).replace("@FOLDER@", str(tmp_path)))
    code, log = envoy.validate(file)
    assert code == 0, log


def test_the_two_modes_differ_in_nothing_else():
    strong, weak = envoy.policy(envoy.load(envoy.STRONG)), envoy.policy(envoy.load(envoy.WEAK))
    assert strong.pop("holdHeaders") is True and weak.pop("holdHeaders") is False
    assert strong == weak
    assert istio.plugin()["spec"]["pluginConfig"] == {key: value for key, value in strong.items()}


@pytest.mark.parametrize("path", ENVOY_FILES, ids=lambda path: path.name)
def test_what_stands_around_the_policy_fits_it(path):
    config = yaml.safe_load(path.read_text())
    limit = envoy.policy(config).get("limits", {}).get("maxBodyBytes", 16 << 20)
    for place in (*config["static_resources"]["listeners"], *config["static_resources"]["clusters"]):
        assert place["per_connection_buffer_limit_bytes"] > limit
    http = envoy.manager(config)
    assert http["normalize_path"] and http["merge_slashes"]
    assert http["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
    assert http["request_timeout"] == "60s"
    assert envoy.wasm(config)["failure_policy"] == "FAIL_RELOAD"


def test_no_shipped_policy_refuses_a_caller_for_strikes():
    policies = [envoy.policy(envoy.load(path)) for path in ENVOY_FILES]
    policies += [document["spec"]["pluginConfig"] for document in shipped("WasmPlugin")]
    policies += [document["spec"]["wasm"]["pluginConfig"] for document in shipped("TrafficExtension")]
    policies += [json.loads(patch["patch"]["value"]["typed_config"]["config"]["configuration"]["value"])
                 for document in shipped("EnvoyFilter") for patch in document["spec"]["configPatches"]
                 if patch["applyTo"] == "EXTENSION_CONFIG"]  # fmt: skip
    policies.append(yaml.safe_load((ROOT / "charts/bartizan/values.yaml").read_text())["policy"])
    assert len(policies) == 12
    assert all(policy["abuse"] == {"mode": "shadow"} for policy in policies)


def shipped(kind: str) -> list[dict]:
    """The objects of this kind in `istio/`."""
    files = sorted((ROOT / "istio").glob("**/*.yaml"))
    documents = [document for path in files for document in yaml.safe_load_all(path.read_text())]
    return [document for document in documents if document and document.get("kind") == kind]


def test_every_label_has_its_stats_tag():
    source = (ROOT / "src" / "audit" / "metrics.rs").read_text()
    labels = {label for name in re.findall(r'"(bartizan\.[^"]+)"', source) for label in re.findall(r"\.([a-z]+)\.\{", name)}
    for path in ENVOY_FILES:
        tags = {tag["tag_name"] for tag in yaml.safe_load(path.read_text())["stats_config"]["stats_tags"]}
        assert labels and labels <= tags, f"{path.name} lacks {labels - tags}"


def reasons() -> list[tuple[str, str]]:
    source = (ROOT / "src" / "reason.rs").read_text()
    return re.findall(r'= "([a-zA-Z.]+)", (\d{3});', source)


def test_the_reasons_of_the_manual_are_the_codes():
    table = re.findall(r"^\| `([a-zA-Z.]+)` \| (\d{3}) \|", (ROOT / "src/manual/reasons.md").read_text(), re.M)
    assert table == reasons()


def test_the_files_that_contributing_names_are_there():
    rows = [line for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if re.match(r"^\| .* \| `[0-9a-f]{7}` \|$", line)]
    named = [path for row in rows for path in re.findall(r"`([\w./*-]+/[\w./*-]*)`", row)]
    assert len(rows) > 15 and len(named) > 25
    assert not [path for path in named if not list(ROOT.glob(path.rstrip("/")))]


def test_the_commits_that_contributing_names_made_such_a_change():
    """A commit touched a file that its row names, or one of that name before folders moved."""
    rows = re.findall(r"^\| (.*) \| `([0-9a-f]{7})` \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    show = ["git", "show", "--format=", "--name-only", "--no-renames"]
    strays = []
    for row, commit in rows:
        told = subprocess.run([*show, commit], cwd=ROOT, capture_output=True, text=True)
        if told.returncode:
            continue  # a clone without history
        touched = told.stdout.split()
        named = [path for path in re.findall(r"`([\w./*-]+/[\w./*-]*)`", row)]
        is_of = lambda file, path: file.startswith(path) if path.endswith("/") else Path(file).match(Path(path).name)
        if not any(is_of(file, path) for file in touched for path in named):
            strays.append((commit, row))
    assert not strays


def test_no_word_of_a_machine_stands_in_the_repository():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    words = re.compile(r"(?:^|[\s\"'=(])/(?:work|root|home)/")
    for name in tracked:
        if name.endswith((".lock", ".jsonl", ".bin")):
            continue
        try:
            text = (ROOT / name).read_text()
        except (UnicodeDecodeError, OSError):
            continue
        assert not words.search(text), name


def test_the_documents_of_the_readme_compile(keys, tmp_path):
    pages = [ROOT / "README.md", ROOT / "src/manual/policy.md"]
    blocks = [block for page in pages for block in re.findall(r"```yaml\n(version: 1.*?)```", page.read_text(), re.S)]
    assert len(blocks) == len(pages)
    for block in blocks:
        file = tmp_path / "policy.yaml"
        file.write_text(block.replace("[...]", json.dumps([keys["ES256"].jwk])))
        code, said = cli.check(file)
        assert code == 0, said
