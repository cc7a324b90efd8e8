"""Clients and frameworks through the filter, whole and streamed, in both modes: an answer, a masked one, and refusals as the
exceptions that their callers branch on."""

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from clients.ask import CLIENTS
from conftest import ATTACK
from harness import envoy
from harness import upstream as scripts
from harness.paths import ROOT
from harness.idp import free_port
from harness.process import Child
from harness.tokens import claims
from mesh.pki import Authority

KEY = "AKIAQ7EXAMPL3TE5TKXQ"
SAID = ("The key is ", KEY[:9], KEY[9:], ", keep ", "it.")
READ = "The key is [SECRET_1], keep it."


class Case(NamedTuple):
    """What is asked, by whom, and the status of the refusal."""

    status: int | None = None
    text: str = "hello"
    role: str = "analyst"
    lifetime: int = 600
    is_other: bool = False


CASES = {
    "answer": Case(), "attack": Case(400, ATTACK), "expired": Case(401, lifetime=-600), "model": Case(403, is_other=True),
    "first": Case(role="guest"), "second": Case(role="guest"), "spent": Case(429, role="guest"),
}  # fmt: skip
# The class that callers branch on, by client and status; what begins as a client does is of its kind.
CLASSES = {
    "litellm completions streamed": dict.fromkeys((400, 401, 403, 429), "OpenAIError"),  # litellm has no classes of its own there
    "litellm openai": {400: "BadRequestError", 401: "AuthenticationError", 403: "NotFoundError", 429: "RateLimitError"},
    "litellm": {400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError", 429: "RateLimitError"},
    "langchain openai": {400: "ModelInvalidRequestError", 401: "ModelAuthenticationError", 403: "ModelPermissionDeniedError", 429: "ModelRateLimitError"},
    "langchain mistral": dict.fromkeys((400, 401, 403, 429), "HTTPStatusError"),
    "langchain cohere": {400: "BadRequestError", 401: "UnauthorizedError", 403: "ForbiddenError", 429: "TooManyRequestsError"},
    "llama-index openai": {400: "BadRequestError", 401: "AuthenticationError", 403: "PermissionDeniedError", 429: "RateLimitError"},
    "llama-index google": dict.fromkeys((400, 401, 403, 429), "ClientError"),
    "boto3": {400: "ValidationException", 401: "AccessDeniedException", 403: "AccessDeniedException", 429: "ThrottlingException"},
    "langserve": dict.fromkeys((400, 401, 403, 429), "HTTPStatusError"),
    "langgraph": dict.fromkeys((400, 401, 403, 429), "HTTPStatusError"),
    "mistralai": dict.fromkeys((400, 401, 403, 429), "SDKError"),
    "ollama": dict.fromkeys((400, 401, 403, 429), "ResponseError"),
}  # fmt: skip
SAME = {
    "langchain aws": "boto3", "llama-index aws": "boto3",
    "litellm completions": "litellm openai",
    "langchain anthropic": "langchain openai", "langchain google": "langchain openai", "langchain ollama": "ollama",
    "llama-index ollama": "ollama", "llama-index anthropic": "llama-index openai", "llama-index mistral": "mistralai",
}  # fmt: skip


def every_provider(document: dict) -> None:
    document["authn"]["tokenFrom"] = ["authorization", "x-api-key", "x-goog-api-key"]
    document["routes"] = [
        {"match": {"pathPrefix": "/v1/"}, "protocol": "openai"},
        {"match": {"pathPrefix": "/v1/"}, "protocol": "anthropic"},
        {"match": {"pathPrefix": "/v1/"}, "protocol": "gemini"},
        {"match": {"pathPrefix": "/v1beta/"}, "protocol": "gemini"},
        {"match": {"pathPrefix": "/api/"}, "protocol": "ollama"},
        {"match": {"pathPrefix": "/v2/"}, "protocol": "cohere"},
        {"match": {"pathPrefix": "/"}, "protocol": "bedrock"},
        {"match": {"pathPrefix": "/"}, "protocol": "langserve"},
        {"match": {"pathPrefix": "/mistral/v1/"}, "protocol": "openai", "dialect": "mistral"},
    ]
    for role in ("analyst", "guest"):
        document["roles"][role]["models"] = sorted({client.model for client in CLIENTS.values()})
        document["roles"][role]["operations"] = ["chat", "models", "generate", "completions"]


def over_tls(authority: Authority) -> Callable[[dict], None]:
    """A listener with a certificate of this authority's, which keeps the escaped slashes of Bedrock's ARNs."""
    certificate, key = authority.issue("localhost", "DNS:localhost")
    files = {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
    context = {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
               "common_tls_context": {"tls_certificates": [files]}}  # fmt: skip

    def edit(config: dict) -> None:
        for chain in config["static_resources"]["listeners"][0]["filter_chains"]:
            chain["filters"][0]["typed_config"]["path_with_escaped_slashes_action"] = "KEEP_UNCHANGED"
            chain["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": context}

    return edit


def to_port(config: dict, port: int) -> None:
    """The upstream is another one."""
    cluster = config["static_resources"]["clusters"][0]
    cluster["load_assignment"] = envoy.with_upstream(config, port)["static_resources"]["clusters"][0]["load_assignment"]


def chains(document: dict) -> None:
    document["routes"] = [{"match": {"pathPrefix": "/"}, "protocol": "langserve"}]
    for role in ("analyst", "guest"):
        document["roles"][role].update(models=["chain"], operations=["chat"])


def named(client: str, stream: bool, status: int) -> str:
    """The class of the exception for a refusal."""
    names = (f"{client} streamed" if stream else "", SAME.get(client, client), client.split()[0])
    return next(CLASSES[name] for name in names if name in CLASSES)[status]


def python(environment: str) -> Path:
    return ROOT / ".cache" / environment / "bin" / "python"


def asked(environment: str, questions: list[dict], certificate: Path) -> list[dict]:
    variables = {"PATH": "/usr/bin:/bin", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "HOME": str(ROOT / ".cache"),
                 "AWS_CA_BUNDLE": str(certificate)}  # fmt: skip
    done = subprocess.run(
        [python(environment), ROOT / "integration" / "clients" / "ask.py"],
        input=json.dumps(questions), capture_output=True, text=True, timeout=300, env=variables,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def chain_server(tmp_path_factory):
    """A real LangServe server."""
    port = free_port()
    log = tmp_path_factory.mktemp("chain") / "log"
    command = ["env", f"SAID={json.dumps(SAID)}", str(python("clients")), str(ROOT / "integration/clients/chain_server.py"), str(port)]

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with Child(command, log=log) as server:
        server.wait_until(listens, "LangServe")
        yield port


@pytest.fixture(scope="module", params=["strong", "weak"])
def answers(request, sites, keys, chain_server, tmp_path_factory) -> dict[tuple, dict]:
    """Everything that is asked through every client: answers by client, stream and case."""
    authority = Authority(tmp_path_factory.mktemp("tls"))
    made = {
        "plain": sites(request.param, change=every_provider),
        "tls": sites(request.param, change=every_provider, edit=over_tls(authority)),
        "chain": sites(request.param, change=chains, edit=lambda config: to_port(config, chain_server)),
    }
    urls = {name: site.proxy.url for name, site in made.items()} | {"tls": f"https://localhost:{made['tls'].proxy.port}"}
    questions: dict[str, dict[tuple, dict]] = {}
    for name, client in CLIENTS.items():
        for stream in (False, True):
            for case, (_, text, role, lifetime, is_other) in CASES.items():
                token = keys["ES256"].sign(claims(f"{request.param}-{name}-{stream}", [role], lifetime=lifetime))
                model = client.other if is_other else client.model
                one = {"client": name, "url": urls[client.site], "token": token, "text": text, "model": model, "stream": stream}
                questions.setdefault(client.environment, {})[name, stream, case] = one
    got = {}
    scripts.SAID[:], scripts.DEFAULT[0] = SAID, "said"
    try:
        for environment, of_environment in questions.items():
            got |= dict(zip(of_environment, asked(environment, list(of_environment.values()), authority.certificate), strict=True))
    finally:
        scripts.DEFAULT[0] = "default"
    return got


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("client", CLIENTS)
def test_client(client, stream, case, answers):
    answer, asked = answers[client, stream, case], CASES[case]
    if asked.status is None:
        assert answer.get("text") == READ, answer
    else:
        assert answer.get("status") == asked.status and named(client, stream, asked.status) in answer["kinds"], answer
        assert ATTACK not in answer["message"]
