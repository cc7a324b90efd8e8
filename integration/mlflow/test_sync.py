"""`bartizan models sync` against a real MLflow server, with TLS and users: what its official client registers, tags and moves is
what the policy says then, and what a request to an alias becomes on real Envoy."""

import json
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from harness.client import H1
from harness.idp import free_port
from harness.paths import CLI, ROOT
from harness.process import Child
from mesh.pki import Authority

VENV = ROOT / ".cache" / "mlflow" / "bin"
HERE = ROOT / "integration" / "mlflow"
PASSWORD = "correct-horse-battery"
POLICY = """# One gateway's policy.
version: 1
name: registry
guards: {standard: {}}
authn: {unsafeAnonymous: true}
models:
  aliases: {cheap: gpt-4o-mini-2024-07-18}
roles:
  anonymous: {operations: [chat], models: [cheap]}   # everybody
  support: {operations: [chat], models: []}
  tester: {operations: [chat], models: []}
routes: [{match: {path: /v1/chat/completions}, protocol: openai}]
"""


class Registry:
    """The server, its administrator's client, and the command line as a user of it."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        self.authority = Authority(folder, "registry")
        certificate, key = self.authority.issue("mlflow", "IP:127.0.0.1", "/O=registry")
        self.url = f"https://127.0.0.1:{self.port}"
        (folder / "auth.ini").write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/users.db\nadmin_username = admin\n"
            f"admin_password = {PASSWORD}\nauthorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            # A password is hashed once, and not for each request: the tests make hundreds.
            "auth_cache_ttl_seconds = 3600\n"
        )
        environment = {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"), "MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test"}
        environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "PATH": f"{VENV}:{os.environ['PATH']}"}
        command = [str(VENV / "mlflow"), "server", "--backend-store-uri", f"sqlite:///{folder}/registry.db", "--host", "127.0.0.1"]
        command += ["--artifacts-destination", str(folder / "artifacts"), "--port", str(self.port), "--workers", "1"]
        command += ["--app-name", "basic-auth", "--uvicorn-opts", f"--ssl-certfile {certificate} --ssl-keyfile {key}"]
        self.child = Child(command, log=folder / "log", cwd=folder, env=environment)
        self.child.wait_until(self.answers, "MLflow", 180)

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/health", context=ssl.create_default_context(cafile=self.authority.certificate))
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def act(self, *calls: list) -> None:
        environment = {**os.environ, "MLFLOW_TRACKING_URI": self.url, "MLFLOW_TRACKING_USERNAME": "admin"}
        environment |= {"MLFLOW_TRACKING_PASSWORD": PASSWORD, "MLFLOW_TRACKING_SERVER_CERT_PATH": str(self.authority.certificate)}
        environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        done = subprocess.run([VENV / "python", HERE / "act.py"], input=json.dumps(calls), env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]

    def sync(self, *arguments, password: str = PASSWORD, trusted: str | None = None, url: str | None = None, token: bool = True):
        environment = {**os.environ, "SSL_CERT_FILE": trusted or str(self.authority.certificate), "REGISTRY_PASSWORD": password}
        command = [str(CLI), "models", "sync", "--mlflow", url or self.url, *map(str, arguments)]
        command += ["--token-env", "REGISTRY_PASSWORD", "--user", "admin"] if token else []
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert PASSWORD not in done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("mlflow"))
    yield registry
    registry.child.stop()


@pytest.fixture
def registry(server):
    """A registry with one model: version 1 goes, 2 is what callers get, 3 is for testers; and one of somebody else's."""
    calls = [["forget_everything", []], ["create_registered_model", ["support"]], ["create_registered_model", ["churn forecast"]]]
    for number in "123":
        calls.append(["create_model_version", ["support", f"s3://models/support/{number}"]])
        calls.append(["set_model_version_tag", ["support", number, "bartizan.serves", f"support-{number}"]])
    calls += [
        ["create_model_version", ["churn forecast", "s3://models/churn"]],
        ["set_registered_model_alias", ["churn forecast", "champion", "1"]],
        ["set_registered_model_alias", ["support", "champion", "1"]],
        ["set_registered_model_alias", ["support", "challenger", "3"]],
        ["set_registered_model_tag", ["support", "bartizan.alias.champion", "fast"]],
        ["set_registered_model_tag", ["support", "bartizan.roles", "support, analyst"]],
        ["set_registered_model_tag", ["support", "bartizan.roles.challenger", "tester"]],
    ]
    server.act(*calls)
    return server


RETIRE = [
    ["set_registered_model_alias", ["support", "champion", "2"]],
    ["set_model_version_tag", ["support", "1", "bartizan.deprecated.since", "2026-11-01"]],
    ["set_model_version_tag", ["support", "1", "bartizan.deprecated.until", "2100-01-31"]],
    ["set_model_version_tag", ["support", "1", "bartizan.deprecated.replacement", "fast"]],
]


def check(path: Path) -> list[str]:
    done = subprocess.run([CLI, "check", "--json", path], capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert report["ok"], report
    return [warning["path"] for file in report["files"] for warning in file["warnings"]]


def test_a_policy_follows_the_registry(registry, tmp_path):
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY + "\n")
    into = ["--into", policy, "--roles", "support,tester,analyst", "--keep", "cheap"]
    policy.write_text(policy.read_text().replace("  tester:", "  analyst: {operations: [chat], models: [cheap]}\n  tester:"))
    before = registry.sync(*into, "--check")
    assert before.returncode == 1 and '+ models.aliases.fast: "support-1"' in before.stdout, before
    assert registry.sync(*into).returncode == 0
    assert registry.sync(*into, "--check").returncode == 0
    document = yaml.safe_load(policy.read_text())
    assert document["models"]["aliases"] == {
        "cheap": "gpt-4o-mini-2024-07-18", "fast": "support-1", "support@challenger": "support-3",
    }  # fmt: skip
    models = {role: fields["models"] for role, fields in document["roles"].items()}
    assert models == {"anonymous": ["cheap"], "analyst": ["fast"], "support": ["fast"], "tester": ["support@challenger"]}
    assert "# One gateway's policy." in policy.read_text() and "# everybody" in policy.read_text()
    assert check(policy) == []

    registry.act(*RETIRE)
    moved = registry.sync(*into, "--check")
    assert moved.returncode == 1 and '- models.aliases.fast: "support-1"\n+ models.aliases.fast: "support-2"' in moved.stdout, moved
    assert yaml.safe_load(policy.read_text()) == document
    assert registry.sync(*into).returncode == 0
    changed = yaml.safe_load(policy.read_text())
    assert changed["models"]["aliases"]["fast"] == "support-2"
    assert changed["models"].pop("deprecated").keys() == {"support-1"}
    assert changed["roles"] == document["roles"] and check(policy) == []

    # A right that the registry takes back is gone.
    registry.act(["set_registered_model_tag", ["support", "bartizan.roles", "support"]])
    assert registry.sync(*into).returncode == 0
    assert yaml.safe_load(policy.read_text())["roles"]["analyst"]["models"] == []


def test_what_is_to_be_merged(registry, tmp_path):
    registry.act(*RETIRE)
    file = tmp_path / "models.yaml"
    output = ["--output", file, "--roles", "support,tester,analyst"]
    assert registry.sync(*output, "--check").returncode == 1 and not file.exists()
    assert registry.sync(*output).returncode == 0
    printed = registry.sync("--roles", "support,tester,analyst")
    assert printed.stdout == file.read_text() and "left out: 1" in printed.stderr
    policy, fragment = yaml.safe_load(POLICY), yaml.safe_load(file.read_text())
    policy["models"] = fragment["models"]
    policy["roles"]["anonymous"]["models"] = ["*"]
    for role, fields in fragment["roles"].items():
        policy["roles"].setdefault(role, {"operations": ["chat"]}).update(fields)
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy))
    assert check(tmp_path / "policy.yaml") == []
    assert registry.sync(*output, "--check").returncode == 0


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([["delete_model_version_tag", ["support", "1", "bartizan.serves"]]],
         'model "support", version 1, tag bartizan.serves: missing, but alias "champion" means this version'),
        ([["set_registered_model_tag", ["support", "bartizan.roles", "boss"]]],
         'model "support", tag bartizan.roles: role "boss" is not one that the registry decides about (--roles): support, tester'),
        ([["set_model_version_tag", ["support", "2", "bartizan.serves", "support-1"]]],
         'model "support", version 2, tag bartizan.serves: "support-1" is what model "support", version 1 is served by too'),
        ([["set_model_version_tag", ["support", "1", "bartizan.deprecated.until", "2027-01-31"]],
          ["set_registered_model_tag", ["support", "bartizan.deprecated.until", "2027-02-28"]]],
         'model "support", version 1, tag bartizan.deprecated.until: "2027-01-31", but the model\'s tag says "2027-02-28"'),
        ([["set_registered_model_alias", ["support", "méchant", "1"]]], 'model "support", version 1: alias "méchant": expected a model\'s name'),
        # MLflow deletes the aliases of a version with it, and a tag about such an alias is left.
        ([["delete_model_version", ["support", "3"]]], 'model "support", tag bartizan.roles.challenger: the model has no such alias'),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_told_and_nothing_is_written(registry, tmp_path, calls, said):
    registry.act(["set_registered_model_tag", ["support", "bartizan.roles", "support"]], *calls)
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    done = registry.sync("--into", policy, "--roles", "support,tester", "--keep", "cheap")
    assert done.returncode == 1 and said in done.stderr, done
    assert policy.read_text() == POLICY


def test_a_registry_with_more_models_than_a_page(registry):
    calls = []
    for number in range(130):
        name = f"small-{number:03}"
        calls += [["create_registered_model", [name]], ["create_model_version", [name, "s3://models/small"]]]
        calls += [["set_model_version_tag", [name, "1", "bartizan.serves", f"{name}-v1"]]]
        calls += [["set_registered_model_alias", [name, "live", "1"]]]
    registry.act(*calls)
    done = registry.sync()
    assert done.returncode == 0, done.stderr
    aliases = yaml.safe_load(done.stdout)["models"]["aliases"]
    small = {alias: served for alias, served in aliases.items() if alias.startswith("small-")}
    assert small == {f"small-{number:03}@live": f"small-{number:03}-v1" for number in range(130)}


def test_a_registry_that_refuses_or_is_not_there(registry):
    for done, said in [
        (registry.sync(token=False), "401, it wants to know who asks: --token-env NAME"),
        (registry.sync(password="wrong-horse-battery"), "401, it does not accept the token"),
        (registry.sync(url=f"{registry.url}/elsewhere"), "404"),
        (registry.sync(trusted="/etc/ssl/certs/ca-certificates.crt"), "certificate"),
        (registry.sync(url=registry.url.replace("https", "http"), token=False), "registered-models/search: "),
        (registry.sync(url=f"https://127.0.0.1:{free_port()}"), "refused"),
    ]:
        assert done.returncode == 2 and not done.stdout, done
        assert said in done.stderr and len(done.stderr.splitlines()) == 1, done


@pytest.mark.parametrize("mode", ["strong", "weak"])
def test_a_request_goes_on_with_the_version_that_the_registry_names(registry, sites, tmp_path, mode):
    def synced(document: dict) -> None:
        path = tmp_path / "policy.yaml"
        path.write_text(yaml.safe_dump(document))
        done = registry.sync("--into", path, "--roles", "analyst,tester")
        assert done.returncode == 0, done.stderr
        document.clear()
        document.update(yaml.safe_load(path.read_text()))

    def with_tester(document: dict) -> None:
        document.pop("models", None)
        document["roles"]["tester"] = {**document["roles"]["analyst"], "models": []}
        for issuer in document["authn"]["issuers"]:
            issuer["grants"]["roles"].append("tester")
        synced(document)

    registry.act(["set_registered_model_tag", ["support", "bartizan.roles", "analyst"]], *RETIRE)
    site = sites(mode, change=with_tester)

    def ask(model: str, *roles: str):
        body = {"model": model, "messages": [{"role": "user", "content": "How do I return a parcel?"}]}
        return site.send(H1, body, path="/v1/chat/completions", token=site.token("registry", roles))

    done = ask("fast", "analyst").passed()
    assert json.loads(done.one.body)["model"] == "support-2" and done.audit["bartizan.model.pinned"] == "support-2"
    assert json.loads(ask("support@challenger", "tester").passed().one.body)["model"] == "support-3"
    for model, role in [("support@challenger", "analyst"), ("fast", "tester"), ("support-2", "analyst"), ("support-1", "analyst")]:
        ask(model, role).refused(403, "rbac.model")
