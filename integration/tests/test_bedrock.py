"""Bedrock behind the filter: Envoy signs what the filter has changed; escaped slashes pass in the names of models only."""

import datetime
import hashlib
import hmac

import pytest
import yaml

from conftest import Site
from harness.client import H1
from harness.paths import ROOT
from harness.providers import PROFILE

KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
MAIL = "jane@example.org"
PATH = "/model/smollm2/converse"


def bedrock(document: dict) -> None:
    document["routes"] = [
        {"match": {"pathPrefix": "/"}, "protocol": "bedrock"},
        {"match": {"pathPrefix": "/v1/"}, "protocol": "openai", "dialect": "azure"},
    ]
    document["roles"]["analyst"].update(models=["smollm2", "arn:*"], operations=["chat"], quotas=[])
    document["guards"]["standard"].update(pii={"action": "mask"})


def keep_escaped_slashes(config: dict) -> None:
    for chain in config["static_resources"]["listeners"][0]["filter_chains"]:
        chain["filters"][0]["typed_config"]["path_with_escaped_slashes_action"] = "KEEP_UNCHANGED"


def signing(config: dict) -> None:
    """The example of the manual."""
    page = (ROOT / "src/manual/protocols.md").read_text()
    example = page.partition("<!-- bedrock -->")[2].partition("```yaml\n")[2].partition("  ```")[0]
    config["static_resources"]["clusters"][0].update(yaml.safe_load(example))
    keep_escaped_slashes(config)


@pytest.fixture
def signed_by(upstream, keys, monkeypatch):
    """Sites whose Envoy has these credentials, or none."""
    made = []

    def make(mode: str, credentials: bool) -> Site:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        for name, value in {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}.items():
            monkeypatch.setenv(name, value) if credentials else monkeypatch.delenv(name, raising=False)
        made.append(Site(mode, upstream, keys, change=bedrock, edit=signing))
        return made[-1]

    yield make
    for site in made:
        site.proxy.stop()


def body(text: str) -> dict:
    return {"messages": [{"role": "user", "content": [{"text": text}]}]}


def signature(seen, headers: dict[str, str], scope: str, names: str) -> str:
    """The signature of a request, after "Signature Version 4" of AWS's general reference."""
    date, region, service, end = scope.split("/")
    canonical = "\n".join([
        "POST", seen.path.decode(), "", *(f"{name}:{headers[name]}" for name in names.split(";")), "", names,
        hashlib.sha256(bytes(seen.body)).hexdigest(),
    ])  # fmt: skip
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET}".encode()
    for part in (date, region, service, end, text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key.hex()


def sent_headers(seen) -> dict[str, str]:
    headers = {name.decode(): value.decode() for name, value in seen.headers}
    return headers | {"host": headers.get("host") or headers.get(":authority", "")}


def test_envoy_signs_the_body_as_it_was_changed(signed_by, mode):
    got = signed_by(mode, True).send(H1, body(f"Write to {MAIL}."), path=PATH, headers=[("x-amz-date", "20200101T000000Z")])
    assert got.reply.status == 200 and MAIL.encode() not in bytes(got.one.body)
    headers = sent_headers(got.one)
    credential, names, told = (part.split("=", 1)[1] for part in headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(", "))
    key_id, scope = credential.split("/", 1)
    assert key_id == KEY_ID and scope.endswith("/us-east-1/bedrock/aws4_request")
    assert told == signature(got.one, headers, scope, names)
    now = datetime.datetime.now(datetime.timezone.utc)
    assert headers["x-amz-date"][:4] == f"{now:%Y}", "the caller's date is gone"


def test_without_credentials_envoy_forwards_unsigned(signed_by, mode):
    got = signed_by(mode, False).send(H1, body("hello"), path=PATH)
    assert got.reply.status == 200 and got.one.header("authorization") is None


def test_a_caller_does_not_sign(sites, mode):
    site = sites(mode, change=bedrock, edit=keep_escaped_slashes)
    signed = f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20261128/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00"
    sent = [("authorization", signed), ("x-amz-security-token", "t"), ("x-amz-content-sha256", "0" * 64)]
    got = site.send(H1, body("hello"), token=None, path=PATH, headers=sent)
    assert got.reply.status == 401 and got.reply.header("x-amzn-errortype") == "AccessDeniedException"
    assert "AWS_BEARER_TOKEN_BEDROCK" in got.reply.json()["message"] and not got.seen
    got = site.send(H1, body("hello"), path=PATH, headers=sent[1:])
    assert got.reply.status == 200
    assert not [name for name, _ in got.one.headers if name.startswith(b"x-amz-")]


def test_a_signed_query_says_why_and_a_project_is_not_the_callers(sites, mode):
    site = sites(mode, change=bedrock, edit=keep_escaped_slashes)
    got = site.send(H1, body("hello"), token=None, path=f"{PATH}?X-Amz-Credential={KEY_ID}&X-Amz-Signature=00")
    assert got.reply.status == 401 and got.reply.header("x-amzn-errortype") == "AccessDeniedException"
    assert "AWS_BEARER_TOKEN_BEDROCK" in got.reply.json()["message"] and not got.seen
    got = site.send(H1, {"prompt": "hello"}, path="/model/smollm2/invoke", headers=[("X-Amzn-Bedrock-ProjectIdentifier", "p-1")])
    assert got.reply.header("x-bartizan-reason") == "rbac.parameter" and not got.seen


def test_escaped_slashes_are_for_models_only(sites, mode):
    site = sites(mode, change=bedrock, edit=keep_escaped_slashes)
    got = site.send(H1, body("hello"), path=f"/model/{PROFILE}/converse")
    assert got.reply.status == 200 and got.one.path.decode() == f"/model/{PROFILE}/converse"
    assert got.audit["gen_ai.request.model"] == "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0"
    for path in (
        "/model/smollm2%2Fconverse", "/model/a%2Fb/converse", "/model/arn:x%2F..%2Fy/converse", "/model/arn:x%252Fy/converse",
        "/model/smollm2%5C/converse", "/v1%2Fchat/completions", "/v1/deployments/a%2Fb/chat/completions", "/v1/models/a%2f..%2fchat",
    ):  # fmt: skip
        got = site.send(H1, body("hello"), path=path)
        assert got.reply.status == 404 and not got.seen, path
