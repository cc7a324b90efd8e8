"""envoy/compose.yaml: its form, and its services as processes that work together."""

import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest
import yaml

from clouds.compose import Compose, interpolated, llama_server
from conftest import ATTACK, chat, user
from harness import cli, envoy, llama
from harness.paths import CACHE, ROOT
from harness.wait import eventually
from mesh import parts

FILE = ROOT / "envoy" / "compose.yaml"
PYTHON = CACHE / "clouds" / "bin" / "python"
VALIDATE = "import sys, compose_spec; compose_spec.PyCompose.from_yaml(sys.stdin.read()).validate()"


def valid(text: str) -> subprocess.CompletedProcess:
    if not PYTHON.exists():
        pytest.skip("compose-spec is not installed: make cloud-tools")
    return subprocess.run([PYTHON, "-c", VALIDATE], input=text, capture_output=True, text=True, timeout=60)


def test_the_file_has_the_form_of_the_compose_specification():
    text = interpolated(FILE.read_text(), {})
    done = valid(text)
    assert done.returncode == 0, done.stderr
    for good, bad in (("working_dir:", "workin_dir:"), ("command: [--model", "commands: [--model"), ("internal: true", "internal: [1]"), ("127.0.0.1:10000:10000", "127.0.0.1:10000:x")):
        assert good in text and valid(text.replace(good, bad)).returncode != 0, bad


def test_only_envoy_leads_to_the_model():
    document = yaml.safe_load(FILE.read_text())
    services = document["services"]
    assert "ports" not in services["model"] and services["model"]["networks"] == ["back"] and document["networks"]["back"]["internal"] is True
    assert [name for name, service in services.items() if "back" in service["networks"]] == ["envoy", "model"]
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert service["cap_drop"] == ["ALL"]
        # No image without a version; llama.cpp publishes its server as one name that moves, and the manual says so.
        assert ":v" in service["image"] or service["image"] == "ghcr.io/ggml-org/llama.cpp:server"


def envoy_here(words: list[str]) -> list[str]:
    """The shell's line with this machine's Envoy, which may have neighbours."""
    assert words[:2] == ["/bin/sh", "-ec"] and words[2].count("exec envoy -c") == 1
    return [*words[:2], words[2].replace("exec envoy", f"exec {envoy.binary_path()} --use-dynamic-base-id")]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    try:
        prometheus = parts.tool("prometheus")
    except parts.Missing as why:
        pytest.skip(str(why))
    folder = tmp_path_factory.mktemp("compose")
    # What "Five minutes" tells a user to do: keys, a policy that trusts them, rendered into a copy of the file.
    issuer = cli.DevIssuer(folder / "keys")
    config = yaml.safe_load((ROOT / "envoy/envoy.yaml").read_text())
    document = json.loads(config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][3]["typed_config"]["config"]["configuration"]["value"])
    document["authn"]["issuers"][0]["jwks"] = {"inline": {"keys": issuer.keys}}
    (folder / "policy.json").write_text(json.dumps(document))
    own = folder / "envoy.yaml"
    own.write_text((ROOT / "envoy/envoy.yaml").read_text())
    done = cli.bartizan("render", str(folder / "policy.json"), "--into", str(own))
    assert done.returncode == 0, done.stdout + done.stderr
    made = Compose(FILE, {"ENVOY_FILE": str(own), "MODEL": str(llama.tiny_model())}, {
        "envoy": envoy_here, "model": llama_server, "prometheus": lambda words: [prometheus, *words],
    })  # fmt: skip
    try:
        for name in made.services:
            made.start(name)
        yield made, issuer
    finally:
        made.stop()


def get(port: str, path: str, body: dict | None = None, **headers) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"content-type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def test_the_services_work_together(running):
    made, issuer = running
    front, admin, prometheus = made.ports["10000"], made.ports["9901"], made.ports["9090"]
    assert made.published == {"10000", "9090"}
    token = issuer.token("alice", ["analyst"])

    def alive(name: str, port: str, path: str) -> None:
        child = made.children[name]
        child.wait_until(lambda: get(port, path)[0] == 200, name, 240)

    alive("envoy", admin, "/ready")
    alive("model", made.ports["8080"], "/health")
    alive("prometheus", prometheus, "/-/ready")
    status, body = get(front, "/v1/chat/completions", chat(user("hello"), max_tokens=8), authorization=f"Bearer {token}")
    assert status == 200 and json.loads(body)["choices"][0]["message"]["role"] == "assistant", (status, body)
    status, body = get(front, "/v1/chat/completions", chat(user(ATTACK)), authorization=f"Bearer {token}")
    assert status == 400 and json.loads(body)["error"]["code"] == "content_filter", body
    assert get(front, "/v1/chat/completions", chat())[0] == 401

    def asked(query: str) -> list[dict]:
        status, body = get(prometheus, f"/api/v1/query?{urllib.parse.urlencode({'query': query})}")
        return json.loads(body)["data"]["result"] if status == 200 else []

    # Prometheus reads each 15 s: this waits for the second reading, whatever the machine does.
    found = eventually(lambda: asked('bartizan_requests{verdict="block",reason="scan-injection"}') or asked('bartizan_requests{verdict="block",reason="scan_injection"}'), "a refused request in Prometheus", 120)
    assert found[0]["metric"]["job"] == "bartizan" and found[0]["value"][1] == "1"
    status, body = get(prometheus, "/api/v1/rules")
    rules = {rule["name"]: rule["health"] for group in json.loads(body)["data"]["groups"] for rule in group["rules"]}
    assert "BartizanSilent" in rules or len(rules) > 10, rules


def test_the_variables_have_defaults_that_stand_in_the_checkout():
    document = Compose(FILE, {}, {}).document
    assert document["services"]["envoy"]["volumes"][0] == "./envoy.yaml:/etc/bartizan/envoy.yaml:ro"
    assert (FILE.parent / "envoy.yaml").exists() and not [name for name in os.environ if name in ("ENVOY_FILE", "MODEL")]
