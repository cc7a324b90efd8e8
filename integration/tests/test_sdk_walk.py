"""Every type of the official Python SDKs, sent through the filter: no request, reply or event is refused for its shape.

The types are walked, so that a new version of an SDK brings its new types along. `sdk_walk/lists.py` says how what does
not pass is listed; `SDK_WALK=write` takes out what has begun to pass, `SDK_WALK=FILE` writes every failing case there.

AWS's SDK has descriptions for types; those of Converse, ConverseStream and CountTokens are walked. InvokeModel's bodies are
bytes to it, and not walked.
"""

import collections
import importlib.util
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from conftest import Site
from harness import upstream as scripts
from harness.client import H1, Client
from harness.paths import CLI
from sdk_walk.cases import Case, of_endpoint, of_mcp, varied
from sdk_walk.endpoints import ENDPOINTS, kind
from sdk_walk.instances import Builder, top
from sdk_walk.lists import List
from sdk_walk.shapes import described

# Where a request may differ at the upstream: the cap of the role, and the usage that is asked for.
ADDED = {"max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "maxTokens", "stream_options"}
HOLDERS = ("generationConfig", "inferenceConfig")
EVERY = [endpoint for endpoints in ENDPOINTS.values() for endpoint in endpoints]
WRITE = os.environ.get("SDK_WALK", "")


def kinds_of_unscanned() -> list[str]:
    """The kinds that the policy's own schema knows."""
    schema = json.loads(subprocess.run([str(CLI), "schema"], capture_output=True, text=True, check=True, timeout=60).stdout)
    return list(schema["$defs"]["Unscanned"]["properties"])


def open_to_all(document: dict) -> None:
    """Every operation and tool; what is no text passes, what could be read and was not is refused."""
    document["authn"]["tokenFrom"] = ["authorization", "x-api-key"]
    document["routes"] = [
        {"match": {"pathPrefix": "/v1/"}, "protocol": "openai"},
        {"match": {"pathPrefix": "/v1/"}, "protocol": "anthropic"},
        {"match": {"pathPrefix": "/v1beta/"}, "protocol": "gemini"},
        {"match": {"pathPrefix": "/v2/"}, "protocol": "cohere"},
        {"match": {"pathPrefix": "/bedrock/"}, "protocol": "bedrock"},
        {"match": {"path": "/mcp"}, "protocol": "mcp"},
    ]
    document["unscanned"] = {name: "flag" for name in kinds_of_unscanned()} | {"default": "deny", "budget": "deny", "lines": "file"}
    document["roles"]["analyst"].update(
        operations=["chat", "completions", "responses", "embeddings", "moderations", "conversations", "countTokens", "batch",
                    "files", "trainingFiles", "fineTuning", "images", "audio", "rerank", "mcp"],
        models=["*"], tools={"allow": ["*"]}, toolHosts=["*"], parameters={"allow": ["*"]}, maxChoices=10, quotas=[],
    )  # fmt: skip
    document["guards"]["standard"].update(pii={"action": "mask"}, secrets={"action": "block"})
    document["guards"]["standard"]["output"] = {"secrets": "mask", "pii": "mask", "exfiltration": "remove", "script": "remove"}


def accepted(_):
    """What an MCP server says to a message that has no answer."""
    yield "head", 202, []


scripts.SCRIPTS["accepted"] = accepted


def differs(case: Case, site: Site, client: Client) -> str | None:
    """What came out, when it is not what went in."""
    scripts.CANNED[:] = [case.reply_type, case.reply, 1 << 20]
    headers = [("x-script", "canned" if case.status == 200 else "accepted"), ("content-type", case.content_type), *case.headers]
    outcome = site.send(H1, case.body, path=case.target, headers=headers, client=client)
    reply, seen = outcome.reply, outcome.seen
    site.upstream.forget()
    if reply.status != case.status or reply.reason:
        return f"{reply.status} {reply.reason}"
    if not reply.complete:
        return "cut off"
    if reply.body != case.reply:
        return "the reply changed"
    if len(seen) != 1 or not seen[0].complete:
        return f"the upstream saw {len(seen)} requests"
    came = bytes(seen[0].body)
    if came == case.body:
        return None
    if case.content_type != "application/json":
        return "the form changed"
    return None if without_added(case.body) == without_added(came) else "the request changed"


def without_added(body: bytes) -> dict:
    """A request without what the filter may write into it."""
    request = json.loads(body)
    holders = [request, *(request.get(name) or {} for name in HOLDERS)]
    for holder in holders:
        for name in ADDED:
            holder.pop(name, None)
    return {name: value for name, value in request.items() if name not in HOLDERS or value}


def cases_of(sdk: str, builder: Builder) -> list[Case]:
    if sdk == "mcp":
        return list(of_mcp(builder))
    return [case for endpoint in ENDPOINTS[sdk] for case in of_endpoint(builder, endpoint)]


@pytest.mark.timeout(1500)  # 15,000 requests in half a minute, where the machine has nothing else to do
@pytest.mark.parametrize("sdk", [*ENDPOINTS, "mcp"])
def test_every_type_passes(sites, sdk, record_property):
    builder = Builder()
    cases = cases_of(sdk, builder)
    failed: dict[tuple[str, ...], str] = {}
    for mode in ("strong", "weak"):
        site = sites(mode, change=open_to_all)
        with Client(site.proxy.port, H1) as client:
            for case in cases:
                if came := differs(case, site, client):
                    failed.setdefault(case.path, came)
    designed, faults = List("refused.txt", sdk), List("not-mended.txt", sdk)
    record_property("figures", table(sdk, cases, builder, failed, designed))
    every = [case.path for case in cases]
    if WRITE == "write":
        designed.write({path: came for path, came in failed.items() if designed.covers(path)}, every)
        faults.write({path: came for path, came in failed.items() if faults.covers(path) and not designed.covers(path)}, every)
        designed, faults = List("refused.txt", sdk), List("not-mended.txt", sdk)
    elif WRITE:
        with open(WRITE, "a") as out:
            for case in cases:
                if came := failed.get(case.path):
                    row = {"case": case.path, "came": came, "request": case.body.decode("latin-1"), "reply": case.reply.decode("latin-1")}
                    out.write(json.dumps(row) + "\n")
    unlisted = {path: came for path, came in failed.items() if not designed.covers(path) and not faults.covers(path)}
    assert not unlisted, f"{len(unlisted)} do not pass:\n" + "\n".join(f"{' > '.join(path)} # {came}" for path, came in list(unlisted.items())[:40])
    listed = [path for path in every if path not in failed and (designed.covers(path) or faults.covers(path))]
    gone = [" > ".join(row) for row in [*designed.rows, *faults.rows] if not any(path[: len(row)] == row for path in every)]
    assert not listed, f"{len(listed)} pass and are listed; SDK_WALK=write takes them out:\n" + "\n".join(" > ".join(path) for path in listed[:40])
    assert not gone, f"rows that name nothing: {gone}"


def test_the_instances_are_what_the_sdks_take():
    """What is sent is no form of our own: the SDKs' types accept it."""
    from mcp_types import methods
    from pydantic import TypeAdapter

    builder, wrong = Builder(), []
    kinds = [kind(name) for endpoint in EVERY for name in (endpoint.reply, endpoint.event) if name]
    tables = (methods.CLIENT_REQUESTS, methods.CLIENT_NOTIFICATIONS, methods.CLIENT_RESULTS, methods.SERVER_REQUESTS,
              methods.SERVER_NOTIFICATIONS, methods.SERVER_RESULTS)  # fmt: skip
    kinds += [of for table in tables for of in table.values()]
    found = [(of, builder.instances(of)) for of in kinds]
    found += [(of, top(builder, of, endpoint.given)) for endpoint in EVERY if not endpoint.form for of in [kind(endpoint.params)]]
    for of, instances in found:
        adapter = TypeAdapter(of)
        for label, value in varied(instances):
            try:
                adapter.validate_python(value)
            except ValueError as error:
                wrong.append(f"{of} {label}: {error}")
    assert wrong == []


def test_botocore_takes_the_instances():
    """The types of Bedrock are made here; botocore judges by the description itself what is made of them."""
    from botocore.model import ServiceModel
    from botocore.validate import ParamValidator

    builder, service, wrong = Builder(), ServiceModel(described()), []
    for name, endpoint in zip(("Converse", "ConverseStream", "CountTokens"), ENDPOINTS["bedrock"], strict=True):
        found = [(f"{name}Request", {"modelId": "smollm2", **value}) for _, value in top(builder, kind(endpoint.params), endpoint.given)]
        for shape, of in ((f"{name}Response", endpoint.reply), (f"{name}Output", endpoint.event)):
            found += [(shape, value) for _, value in builder.instances(kind(of))] if of else []
        for shape, value in found:
            report = ParamValidator().validate(without_nulls(value), service.shape_for(shape))
            wrong += [f"{shape}: {report.generate_report()}"] if report.has_errors() else []
    assert wrong == []


def without_nulls(value):
    """The value without the fields that say nothing: botocore sends none."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def test_every_path_that_is_read_is_walked(sites):
    """Of all paths that the SDKs post to, those that the filter knows are endpoints of the walk."""
    site = sites("strong", change=open_to_all)
    walked = {path for endpoint in EVERY for path in (endpoint.path, endpoint.stream_path)}
    known = set()
    with Client(site.proxy.port, H1) as client:
        for package, prefix in (("openai", "/v1"), ("anthropic", ""), ("google.genai", "/v1beta/models/"), ("cohere.v2", "/"),
                                ("botocore", "/bedrock")):  # fmt: skip
            for path in sorted(posted(package)):
                target = prefix + re.sub(r"\{\w+\}", "smollm2" if package in ("google.genai", "botocore") else "id_1", path)
                ends = path.split("?")[0].endswith((*BODYLESS, *UNTYPED))
                if site.send(H1, b"{}", path=target, client=client).reply.reason not in UNREAD and not ends:
                    known.add(target)
    assert known <= walked, "they are read, and no endpoint of the walk"
    assert len(known) > len(walked) / 2, known


# Where an SDK's source names its paths, and how.
SOURCES = {
    "openai": ("resources", r'self\._post\(\s*(?:path_template\(\s*)?f?"([^"]+)"'),
    "anthropic": ("resources", r'self\._post\(\s*(?:path_template\(\s*)?f?"([^"]+)"'),
    "google.genai": ("models.py", r"path = '(\{model\}:[^']+)'"),
    "cohere.v2": ("raw_client.py", r'"(v2/\w+)"'),
}


# What is said of a path that is not read, or is a list of models.
UNREAD = ("route.unmatched", "route.method", "route.realtime", "rbac.operation")
# What is done with a job, a batch or a response: nothing is in the body.
BODYLESS = ("/cancel", "/pause", "/resume")
# What is bytes to the SDK.
UNTYPED = ("/invoke", "/invoke-with-response-stream")


def posted(package: str) -> set[str]:
    """The paths in the source of an SDK, or in its description."""
    if package == "botocore":
        found = [operation["http"] for operation in described()["operations"].values()]
        return {http["requestUri"] for http in found if http["method"] == "POST"}
    place, pattern = SOURCES[package]
    found = Path(importlib.util.find_spec(package).origin).parent / place
    files = found.rglob("*.py") if found.is_dir() else [found]
    return {path for file in files for path in re.findall(pattern, file.read_text())}


def table(sdk: str, cases: list[Case], builder: Builder, failed: dict, designed: List) -> str:
    """What was sent, by endpoint and part; MCP's methods are counted together."""
    sent, refused, faults = collections.Counter(), collections.Counter(), collections.Counter()
    for case in cases:
        name = " ".join(case.endpoint.split()[:2]) if sdk == "mcp" else case.endpoint
        key = name, case.part
        sent[key] += 1
        refused[key] += case.path in failed and designed.covers(case.path)
        faults[key] += case.path in failed and not designed.covers(case.path)
    lines = [f"{sdk}: {len(builder.seen)} types, {len(cases)} instances, each in both modes",
             f"{'endpoint':28} {'part':28} {'sent':>6} {'refused by design':>18} {'not mended':>11}"]  # fmt: skip
    lines += [f"{name:28} {part:28} {count:6} {refused[name, part]:18} {faults[name, part]:11}" for (name, part), count in sent.items()]
    return "\n".join(lines)
