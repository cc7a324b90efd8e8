"""A real LangGraph server behind the filter: every way in which a run's answer streams, several models at a time, and threads."""

import json
import shutil
import socket

import pytest

from conftest import ATTACK, Site
from harness import envoy
from harness.client import H1, Call, Client
from harness.idp import free_port
from harness.paths import ROOT
from harness.process import Child

KEY = "AKIAQ7EXAMPL3TE5TKXQ"
SAID = {
    "hello": ["The castle ", "has two ", "gates."],
    "secret": ["The key is ", KEY[:9], KEY[9:15], KEY[15:], ", keep ", "it."],
    "aside": ["Meanwhile ", "somebody ", "else ", "talks ", "at ", "length."],
}
READ = "The key is [SECRET_1], keep it."
# `messages` comes as far as it has come, again and again, and is refused.
MODES = ["values", "updates", "messages-tuple", "events", "tasks", "debug", "custom", ["values", "messages-tuple", "updates"]]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph") / "app"
    shutil.copytree(ROOT / "integration" / "clients" / "graph", folder)
    port = free_port()
    settings = {"SAID": json.dumps(SAID), "LANGSMITH_TRACING": "false", "LANGGRAPH_CLI_NO_ANALYTICS": "1"}
    command = ["env", *(f"{name}={value}" for name, value in settings.items()), str(ROOT / ".cache/graph/bin/langgraph"),
               "dev", "--no-browser", "--no-reload", "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with Child(command, log=folder / "log", cwd=folder) as child:
        child.wait_until(listens, "the LangGraph server", 120)
        yield port


def graphs(document: dict) -> None:
    document["routes"] = [{"match": {"pathPrefix": "/"}, "protocol": "langserve"}]
    document["unscanned"] = {**document.get("unscanned", {}), "state": "own"}
    document["roles"]["analyst"].update(models=["small", "pair", "default"], operations=["chat", "conversations"], quotas=[])
    document["guards"]["standard"]["output"] = {"secrets": "mask"}


@pytest.fixture(scope="module", params=["strong", "weak"])
def site(request, sites, server) -> Site:
    def to_server(config: dict) -> None:
        cluster = config["static_resources"]["clusters"][0]
        cluster["load_assignment"] = envoy.with_upstream(config, server)["static_resources"]["clusters"][0]["load_assignment"]

    return sites(request.param, change=graphs, edit=to_server)


def run(text: str, graph: str = "small", **more) -> dict:
    return {"assistant_id": graph, "input": {"messages": [{"role": "user", "content": text}]}, **more}


def post(site: Site, path: str, body: dict, subject: str = "alice"):
    return site.send(H1, body, path=path, token=site.token(subject))


def events(body: bytes) -> list[tuple[str, object]]:
    found = []
    for frame in body.decode().replace("\r\n", "\n").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line and not line.startswith(":"))
        if "data" in lines:
            found.append((lines.get("event"), json.loads(lines["data"])))
    return found


def contents(value) -> list[str]:
    """What is said, wherever it is in an event."""
    if isinstance(value, list):
        return [text for inner in value for text in contents(inner)]
    if not isinstance(value, dict):
        return []
    own = [value[key] for key in ("content", "progress") if isinstance(value.get(key), str)]
    return own + [text for inner in value.values() for text in contents(inner)]


def said(body: bytes) -> list[tuple[str, list[str]]]:
    return [(name, contents(data)) for name, data in events(body)]


def joined(body: bytes) -> dict[str, str]:
    """What each message says whose pieces come one by one."""
    messages: dict[str, str] = {}
    for name, data in events(body):
        if name == "messages":
            messages[data[0]["id"]] = messages.get(data[0]["id"], "") + data[0]["content"]
    return messages


def directly(port: int, body: dict) -> bytes:
    with Client(port, H1) as client:
        headers = [("content-type", "application/json")]
        return client.call(Call(path="/runs/stream", headers=headers, body=json.dumps(body).encode())).body


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_stream_comes_as_the_server_wrote_it(site, server, mode):
    body = run("hello", stream_mode=mode)
    got = post(site, "/runs/stream", body)
    assert got.reply.status == 200 and got.reply.complete
    assert said(got.reply.body) == said(directly(server, body))
    assert any(texts for _, texts in said(got.reply.body))


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_no_mode_lets_a_secret_out(site, mode):
    got = post(site, "/runs/stream", run("secret", stream_mode=mode))
    assert got.reply.status == 200 and got.reply.complete
    text = got.reply.body.decode()
    assert not any(piece in text for piece in (KEY, KEY[:9], KEY[9:15], KEY[15:])), text
    if mode == "messages-tuple":
        assert list(joined(got.reply.body).values()) == [READ]
    else:
        assert READ in text


def test_two_models_at_a_time_are_two_texts(site):
    got = post(site, "/runs/stream", run("secret", "pair", stream_mode="messages-tuple"))
    assert sorted(joined(got.reply.body).values()) == sorted([READ, "".join(SAID["aside"])]), got.reply.body


def test_a_whole_answer_is_masked_and_counted(site):
    got = post(site, "/runs/wait", run("secret"))
    assert [message["content"] for message in got.reply.json()["messages"]] == ["secret", READ]
    assert got.audit["gen_ai.usage.output_tokens"] == 13


@pytest.mark.parametrize("path", ["/runs/wait", "/runs/stream"])
def test_refusals_are_the_filters_own(site, path):
    for body, status, reason in [
        (run(ATTACK), 400, "scan.injection"),
        (run("hello", "another"), 403, "rbac.model"),
        (run("hello", stream_mode="messages"), 400, "body.shape"),
        (run("hello", stream_mode=["values", "messages"]), 400, "body.shape"),
        (run("hello", webhook="https://elsewhere.example/"), 403, "rbac.parameter"),
        (run("hello", config={"configurable": {"model": "large"}}), 403, "rbac.parameter"),
    ]:
        reply = post(site, path, body).reply
        assert (reply.status, reply.reason) == (status, reason), body
        assert isinstance(reply.json()["detail"], str)


def test_a_thread_is_its_callers_and_costs_what_is_new(site):
    thread = post(site, "/threads", {}).reply.json()["thread_id"]
    for turn in (1, 2, 3):
        got = post(site, f"/threads/{thread}/runs/wait", run("hello"))
        assert len(got.reply.json()["messages"]) == 2 * turn
        # The state holds the turns before, each with what it cost then.
        assert got.audit["gen_ai.usage.output_tokens"] == 13
    assert post(site, f"/threads/{thread}/runs/wait", run("hello"), "bob").reply.reason == "body.unscanned"
    for path in (f"/threads/{thread}/runs", f"/threads/{thread}/state", f"/threads/{thread}/history", "/runs"):
        assert post(site, path, run("hello")).reply.reason == "route.unmatched", path
