"""envoy/clouds: each file is valid, and each is run: what the cloud would verify is verified by a stand-in."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from conftest import ATTACK, chat, everywhere, user
from clouds import proxy as proxies
from clouds import standins
from clouds.standins import completion, decoded, signed_well
from harness import cli, envoy
from harness.client import H1
from harness.paths import ROOT, run_folder
from harness.process import Child
from harness.upstream import SECRET as LEAKED
from harness.upstream import sse_events
from harness.wait import eventually

MAIL = "jane@example.org"
TENANT = CLIENT = "00000000-0000-0000-0000-000000000000"
RUN, COLD = "https://llm-abc123-ew.a.run.app", "https://cold-abc123-ew.a.run.app"
TOKENS = ROOT / "envoy" / "clouds" / "tokens.py"
GEMINI = {
    "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "A small turret."}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 13, "totalTokenCount": 24},
}


def secret(name: str, value: str) -> str:
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    return json.dumps({"resources": [{"@type": kind, "name": name, "generic_secret": {"secret": {"inline_string": value}}}]})


class World:
    """All stand-ins, one Envoy, and `tokens.py` as the files describe it."""

    def __init__(self, keys):
        made = run_folder("secrets")
        self.folders = {name: made / name for name in ("vertex", "federated", "entra")}
        for folder in self.folders.values():
            folder.mkdir()
        assertion = made / "assertion"
        assertion.write_text("the-pods-token")
        self.metadata = standins.Metadata()
        self.bedrock, self.function = standins.Bedrock(), standins.Lambda()
        self.run = standins.CloudRun(self.metadata, RUN)
        self.vertex, self.azure = standins.Model(GEMINI), standins.Model(completion())
        self.federated_model = standins.Model(completion())
        self.entra = standins.Entra(TENANT, CLIENT, secret="the-secret")
        self.exchange = standins.Entra("a-tenant", "a-client", assertion="the-pods-token", lifetime=4)
        (self.folders["entra"] / "sds.yaml").write_text(secret("entra-secret", "the-secret"))
        self.environment = {
            "GCE_METADATA_HOST": f"127.0.0.1:{self.metadata.port}", "AZURE_AUTHORITY_HOST": f"http://127.0.0.1:{self.exchange.port}/",
            "AZURE_CLIENT_ID": "a-client", "AZURE_TENANT_ID": "a-tenant", "AZURE_FEDERATED_TOKEN_FILE": str(assertion),
        }  # fmt: skip
        self.logs = []
        self.fetchers = [self.fetcher("google", "vertex"), self.fetcher("azure", "federated")]
        eventually(lambda: all((self.folders[name] / "sds.yaml").exists() for name in ("vertex", "federated")), "tokens are fetched")
        parts = {
            "bedrock": (self.bedrock, {}, {}),
            "lambda": (self.function, {}, {}),
            "cloud-run": (self.run, {"metadata": self.metadata.port}, {}),
            "vertex": (self.vertex, {}, {"/run/bartizan-token": self.folders["vertex"]}),
            "azure": (self.azure, {"entra": self.entra.port}, {"/etc/entra": self.folders["entra"]}),
            "azure-federated": (self.federated_model, {}, {"/run/bartizan-token": self.folders["federated"]}),
        }  # fmt: skip
        assert set(parts) == {path.stem for path in proxies.FILES}, "a file without a test"
        # The same file for another service, for which nobody has a token yet.
        self.cold = standins.CloudRun(self.metadata, COLD)
        parts["cloud-run cold"] = self.cold, {"metadata": self.metadata.port}, {RUN: COLD}
        jwks = [key.jwk for key in keys.values()]
        configs = {
            name: proxies.one(
                name.replace(" ", "-"), proxies.FOLDER / f"{name.split()[0]}.yaml", {"llm": behind.port, **more},
                {key: str(value) for key, value in changes.items()}, jwks,
            )
            for name, (behind, more, changes) in parts.items()
        }  # fmt: skip
        own = {"AWS_ACCESS_KEY_ID": standins.KEY_ID, "AWS_SECRET_ACCESS_KEY": standins.SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
        before = {name: os.environ.get(name) for name in own}
        os.environ |= own
        try:
            self.proxy = proxies.together(configs)
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        self.clouds = {name: proxies.Cloud(self.proxy, name, keys, behind) for name, (behind, _, _) in parts.items()}

    def fetcher(self, source: str, name: str) -> Child:
        folder = self.folders[name]
        self.logs.append(folder / "tokens.log")
        return Child([sys.executable, str(TOKENS), source, str(folder / "sds.yaml")], log=folder / "tokens.log", env=self.environment)

    def stop(self) -> None:
        self.proxy.stop()
        for child in self.fetchers:
            child.stop()


@pytest.fixture(scope="module")
def world(keys):
    made = World(keys)
    yield made
    made.stop()


CHATS = {
    "bedrock": ("/model/anthropic.claude-sonnet-4/converse", lambda text: {"messages": [{"role": "user", "content": [{"text": text}]}]}),
    "lambda": ("/v1/chat/completions", lambda text: chat(user(text))),
    "cloud-run": ("/v1/chat/completions", lambda text: chat(user(text))),
    "vertex": (
        "/v1/projects/p/locations/europe-west4/publishers/google/models/gemini-2.5-pro:generateContent",
        lambda text: {"contents": [{"role": "user", "parts": [{"text": text}]}]},
    ),
    "azure": ("/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21", lambda text: chat(user(text))),
    "azure-federated": ("/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21", lambda text: chat(user(text))),
}


def whole(event: dict) -> dict:
    """A function that answers as OpenAI's API does."""
    return {"status_code": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(completion()), "is_base64_encoded": False}


def test_envoy_gets_entras_token_at_its_start(world):
    eventually(lambda: world.entra.made, "a token for the client secret", 30)


def asked(world, name: str, text: str, **more):
    path, make = CHATS[name]
    world.function.function = whole
    cloud = world.clouds[name]
    before = len(cloud.behind.got)
    got = cloud.send(H1, make(text), path=path, **more)
    return got, cloud.behind.got[before:]


@pytest.mark.parametrize("path", proxies.FILES, ids=lambda path: path.stem)
def test_envoy_and_check_accept_the_file_as_it_is(path, tmp_path):
    """Only the folders of secrets are others: Envoy refuses a file that is not there."""
    code, said = cli.check(path)
    assert code == 0 and "warning" not in said, said
    text = path.read_text()
    for folder, name in (("/run/bartizan-token", "any"), ("/etc/entra", "entra-secret")):
        (tmp_path / "sds.yaml").write_text(secret(name, "x"))
        text = text.replace(folder, str(tmp_path))
    file = tmp_path / "envoy.yaml"
    file.write_text(text)
    code, log = envoy.validate(file)
    assert code == 0, log


@pytest.mark.parametrize("path", proxies.FILES, ids=lambda path: path.stem)
def test_the_credential_is_added_behind_bartizan(path):
    config, shipped = yaml.safe_load(path.read_text()), yaml.safe_load(envoy.STRONG.read_text())
    assert config["stats_config"] == shipped["stats_config"]
    chain, known = envoy.manager(config)["http_filters"], envoy.manager(shipped)["http_filters"]
    names = [entry["name"] for entry in chain]
    assert chain[:3] == known[:3] and names[3] == "bartizan" and names[-1] == "envoy.filters.http.router"
    upstream = next(cluster for cluster in config["static_resources"]["clusters"] if cluster["name"] == "llm")
    assert len(names) == 6 or "aws_request_signing" in json.dumps(upstream), "nothing adds a credential"
    for cluster in config["static_resources"]["clusters"]:
        host = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["address"]
        if host != "metadata.google.internal":
            tls = cluster["transport_socket"]["typed_config"]
            (name,) = tls["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]
            assert tls["sni"] == name["matcher"]["exact"] == host, "another name than the certificate's is accepted"


@pytest.mark.parametrize("name", CHATS)
def test_a_chat_gets_the_clouds_credential_and_the_body_as_it_was_masked(world, name):
    got, behind = asked(world, name, f"Write to {MAIL}.")
    assert got.reply.status == 200 and got.reply.complete, (got, behind and behind[-1].headers)
    assert got.audit["bartizan.verdict"] == "mask", got.audit
    (seen,) = behind
    sent = decoded(seen.json()) if name == "lambda" else seen.body
    assert MAIL.encode() not in sent and b"[" in sent, sent
    token = world.clouds[name].token()
    assert token not in str(seen.headers) and token.encode() not in seen.body, "the caller's token left the proxy"


@pytest.mark.parametrize("name", CHATS)
def test_what_is_refused_reaches_no_cloud(world, name):
    got, behind = asked(world, name, ATTACK)
    assert (got.reply.status, got.reply.reason, behind) == (400, "scan.injection", [])
    got, behind = asked(world, name, "hello", token=None)
    assert (got.reply.status, got.reply.reason, behind) == (401, "jwt.missing", [])


def test_the_verifier_of_signatures_refuses_what_differs(world):
    """Without this the tests above would prove little: one thing is changed at a time."""
    _, (seen,) = asked(world, "bedrock", "hello")
    assert signed_well(seen, "bedrock") is None
    for change in ("body", "path", "host", "x-amz-date", "service", "secret"):
        other = standins.Got(seen.method, seen.path, dict(seen.headers), seen.body)
        if change == "body":
            other.body = seen.body.replace(b"hello", b"hullo")
            assert other.body != seen.body
        elif change == "path":
            other.path = seen.path.replace("converse", "invoke")
        elif change in other.headers:
            other.headers[change] = other.headers[change][:-2] + ("0Z" if other.headers[change][-2] != "0" else "1Z")
        assert signed_well(other, "lambda" if change == "service" else "bedrock", "other" if change == "secret" else standins.SECRET), change


def test_a_model_with_an_escaped_name_is_signed(world):
    """The canonical path encodes the percent sign again; AWS and the proxy must see one path."""
    cloud = world.clouds["bedrock"]
    for model in ("anthropic.claude-sonnet-4-v1%3A0", "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fown"):
        got = cloud.send(H1, {"messages": [{"role": "user", "content": [{"text": "hello"}]}]}, path=f"/model/{model}/converse")
        assert got.reply.status == 200, (model, got, cloud.behind.got[-1].headers)


def test_what_a_function_gets(world):
    """The Invoke API's body is Envoy's JSON: snake case, and JSON as text, anything else in base64."""
    events = []
    world.function.function = lambda event: events.append(event) or whole(event)
    got = world.clouds["lambda"].send(H1, chat(user("hello")), path="/v1/chat/completions?seed=7", headers=[("x-team", "blue")])
    assert got.reply.status == 200, got
    (event,) = events
    assert set(event) == {"raw_path", "method", "headers", "query_string_parameters", "body", "is_base64_encoded"}
    assert event["raw_path"] == "/v1/chat/completions?seed=7" and event["method"] == "POST" and event["query_string_parameters"] == {"seed": "7"}
    assert event["is_base64_encoded"] is False and json.loads(event["body"])["messages"] == [user("hello")]
    assert event["headers"]["x-team"] == "blue" and "authorization" not in event["headers"]
    invocation = world.function.got[-1]
    assert invocation.path == "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Allm/invocations" or (
        invocation.path == "/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:llm/invocations"), invocation.path  # fmt: skip


def test_what_a_function_answers_is_read_as_any_reply(world):
    """Bartizan reads what Envoy has unpacked: also base64, also a stream that comes whole."""
    import base64

    cloud = world.clouds["lambda"]
    leak = json.dumps(completion(text=f"the key is {LEAKED}"))
    stream = b"".join(sse_events(f"the key is {LEAKED} , so"))
    kinds = {
        "plain": {"headers": {"content-type": "application/json"}, "body": leak, "is_base64_encoded": False},
        "base64": {"headers": {"content-type": "application/json"}, "body": base64.b64encode(leak.encode()).decode(), "is_base64_encoded": True},
        "stream": {"headers": {"content-type": "text/event-stream"}, "body": stream.decode(), "is_base64_encoded": False},
    }
    for kind, answer in kinds.items():
        world.function.function = lambda event, answer=answer: {"status_code": 200, **answer}
        got = cloud.send(H1, chat(user("hello"), stream=kind == "stream"))
        assert LEAKED.encode() not in got.reply.body, (kind, got.reply.body)
        assert got.reply.status == 200 and got.audit["bartizan.verdict"] == "mask", (kind, got.audit)
        assert got.audit["bartizan.findings"], (kind, got.audit)


def test_a_function_that_fails(world):
    """AWS answers 200 with the error in the body, which Envoy passes on as it is: no chat completion, but scanned."""

    def fails(event):
        raise RuntimeError(f"out of memory near {LEAKED}")

    world.function.function = fails
    got = world.clouds["lambda"].send(H1, chat(user("hello")))
    assert got.reply.status == 200 and got.reply.header("x-amz-function-error") == "Unhandled"
    assert LEAKED.encode() not in got.reply.body and b"out of memory" in got.reply.body, got.reply.body


def test_without_the_metadata_server_the_request_goes_bare_and_cloud_run_refuses_it(world):
    """Envoy's filter does not hold a request for which it gets no token; one that it has serves on."""
    cloud = world.clouds["cloud-run cold"]
    # Each worker has tokens of its own.
    everywhere(lambda: asked(world, "cloud-run", "hello")[0], lambda got: got.reply.status == 200, "a token in each worker")
    world.metadata.up = False
    try:
        got = cloud.send(H1, chat(user("hello")))
        assert got.reply.status == 403 and "authorization" not in world.cold.got[-1].headers, got
        got, _ = asked(world, "cloud-run", "hello")
        assert got.reply.status == 200
    finally:
        world.metadata.up = True
    assert cloud.send(H1, chat(user("hello"))).reply.status == 200
    asks = [one for one in world.metadata.got if "identity" in one.path]
    assert {one.path.partition("audience=")[2].partition("&")[0] for one in asks} == {RUN, COLD}


def test_the_secret_of_entra_is_what_gets_a_token(world):
    _, (seen,) = asked(world, "azure", "hello")
    assert seen.headers["authorization"].startswith("Bearer entra-") and seen.path.endswith("?api-version=2024-10-21")
    assert seen.headers["host"] == "your-resource.openai.azure.com"


def test_a_federated_token_is_renewed_without_a_restart(world):
    """Tokens of four seconds: tokens.py writes the next one, Envoy reads it."""
    seen = set()

    def renewed() -> bool:
        _, (one,) = asked(world, "azure-federated", "hello")
        assert one.headers["authorization"].startswith("Bearer entra-")
        seen.add(one.headers["authorization"])
        return len(seen) >= 3

    eventually(renewed, "three tokens, one after the other")
    _, (one,) = asked(world, "vertex", "hello")
    assert one.headers["authorization"].startswith("Bearer ya29.made-")
    for log in world.logs:
        text = log.read_text()
        assert "a token for" in text and "entra-" not in text and "ya29" not in text, text


def test_tokens_py_once_fails_loudly_and_leaves_no_file(tmp_path):
    nowhere = {**os.environ, "GCE_METADATA_HOST": "127.0.0.1:1"}
    done = subprocess.run([sys.executable, TOKENS, "google", tmp_path / "sds.yaml", "--once"], env=nowhere, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "no token: URLError" in done.stderr and not list(tmp_path.iterdir())
