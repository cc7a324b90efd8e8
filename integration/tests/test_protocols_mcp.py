"""The official MCP SDK, client and server, through the filter."""

import asyncio
import contextlib
import json
from typing import Annotated

import httpx
import pytest

from conftest import ATTACK
from harness.mcp_server import McpServer
from harness.tokens import claims


def guarded_mcp(document: dict) -> None:
    document["routes"] = [{"match": {"path": "/mcp"}, "protocol": "mcp", "mcp": {"resource": "https://castles.example.com/mcp"}}]
    document["roles"]["analyst"].update(
        operations=["mcp"], quotas=[], tools={"allow": ["add", "echo", "fetch", "guide", "name", "prompt:describe", "resource:castle://*"]}
    )
    document["roles"]["guest"].update(operations=["chat"])
    document["authn"]["issuers"][0]["grants"]["roles"].append("limited")
    document["roles"]["limited"] = {**document["roles"]["analyst"], "quotas": [{"per": "subject", "requests": 6, "window": "1h"}]}
    document["guards"]["standard"]["output"] = {"secrets": "mask", "exfiltration": "block"}


KEY = "AKIAQ7EXAMPL3TE5TKXQ"
PAGES = {
    "secret": f"The key is {KEY}, keep it.",
    "attack": f"A page about castles. {ATTACK}",
    "image": "Look: ![x](https://pictures.acme.org/p.png)",
}


class Server(McpServer):
    """One that has pages of others, asks its user, and tells the way."""

    def __init__(self) -> None:
        super().__init__()
        from mcp.server.mcpserver.resolve import Elicit, Resolve
        from pydantic import BaseModel

        class Name(BaseModel):
            name: str

        @self.server.tool()
        def fetch(page: str) -> str:
            """Fetches a page that somebody else has written."""
            return PAGES[page]

        @self.server.tool(description=f"Tells the way. {ATTACK}")
        def guide() -> str:
            return "Left."

        def ask() -> Elicit[Name]:
            return Elicit("How is the castle called?", Name)

        @self.server.tool()
        def name(answer: Annotated[Name, Resolve(ask)]) -> str:
            """Asks the user for a name."""
            return f"{answer.name} it is"

        @self.server.prompt()
        def besiege(castle: str) -> str:
            return f"Take {castle}."

        @self.server.tool()
        def add(a: int, b: int) -> int:
            """Adds two numbers."""
            return a + b

        self.serve("streamable_http")


@pytest.fixture(scope="module")
def server():
    running = Server()
    yield running
    running.stop()


@pytest.fixture(scope="module", params=["strong", "weak"])
def proxy(request, server, keys):
    from harness import envoy

    config = envoy.load(envoy.STRONG if request.param == "strong" else envoy.WEAK)
    config = envoy.with_upstream(config, server.port)
    document = envoy.with_keys(envoy.policy(config), [key.jwk for key in keys.values()])
    guarded_mcp(document)
    with envoy.Envoy(envoy.with_policy(config, document), f"mcp-{request.param}") as running:
        yield running


@pytest.fixture(params=["legacy", "2026-07-28"])
def talk(request, proxy, keys):
    """Runs a coroutine with a connected client of this subject."""

    def run(use, subject: str = "alice", roles: tuple[str, ...] = ("analyst",), **more):
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        token = keys["ES256"].sign(claims(subject, list(roles)))

        async def main():
            async with contextlib.AsyncExitStack() as stack:
                headers = {"authorization": f"Bearer {token}"}
                http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=30))
                transport = streamable_http_client(f"{proxy.url}/mcp", http_client=http)
                client = await stack.enter_async_context(Client(transport, mode=request.param, read_timeout_seconds=30, **more))
                return await use(client)

        return asyncio.run(main())

    return run


def error_of(talk, use, **more) -> tuple[int, str | None]:
    """The code of the SDK's own exception, and the reason that the refusal tells."""
    from mcp.shared.exceptions import MCPError

    with pytest.raises(BaseException) as caught:
        talk(use, **more)
    error = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, MCPError), repr(error)
    return error.error.code, (error.error.data or {}).get("reason")


def test_tools_prompts_resources_and_their_lists(talk):
    async def use(client):
        tools = {tool.name for tool in (await client.list_tools()).tools}
        prompts = {prompt.name for prompt in (await client.list_prompts()).prompts}
        total = await client.call_tool("add", {"a": 2, "b": 3})
        page = await client.read_resource("castle://north")
        prompt = await client.get_prompt("describe", {"castle": "North"})
        return tools, prompts, total.content[0].text, page.contents[0].text, prompt.messages[0].content.text

    tools, prompts, *texts = talk(use)
    assert "demolish" not in tools and prompts == {"describe"}, "what the role may not use is not shown to it"
    assert texts == ["5", "The north tower.", "Describe North."]


def test_a_poisoned_description_is_not_shown(talk):
    async def use(client):
        return [tool.name for tool in (await client.list_tools()).tools]

    assert sorted(talk(use)) == ["add", "echo", "fetch", "name"], "`guide` is the role's, and its description an attack"


def test_what_a_tool_returns(talk):
    async def use(client):
        return [(await client.call_tool("fetch", {"page": page})).content[0].text for page in ("secret", "attack")]

    assert talk(use) == ["The key is [SECRET_1], keep it.", "[removed by policy]"]
    image = error_of(talk, lambda client: client.call_tool("fetch", {"page": "image"}))
    assert image == (-32010, "scan.output")


def test_what_the_role_may_not_use(talk):
    for use in (
        lambda client: client.call_tool("demolish", {"castle": "north"}),
        lambda client: client.get_prompt("besiege", {"castle": "north"}),
        lambda client: client.read_resource("file:///etc/passwd"),
    ):
        assert error_of(talk, use) == (-32602, "rbac.tool")


def test_an_attack_in_an_argument(talk):
    for use in (
        lambda client: client.call_tool("echo", {"text": ATTACK}),
        lambda client: client.get_prompt("describe", {"castle": ATTACK}),
    ):
        assert error_of(talk, use) == (-32010, "scan.injection")


def test_elicitation(talk, request):
    from mcp_types import ElicitResult

    def asked(name: str) -> dict:
        async def answer(*_) -> ElicitResult:
            return ElicitResult(action="accept", content={"name": name})

        return {"elicitation_callback": answer}

    async def use(client):
        return (await client.call_tool("name", {})).content[0].text

    assert talk(use, **asked("Keep")) == "Keep it is"
    if "2026" in request.node.name:
        # The call comes again with the answer in it; before that revision the answer is a message of its own (below).
        assert error_of(talk, use, **asked(ATTACK)) == (-32010, "scan.injection")


def test_too_many_requests(talk, request):
    async def use(client):
        for _ in range(7):
            assert (await client.call_tool("add", {"a": 2, "b": 3})).content[0].text == "5"

    subject = f"mcp-{request.node.callspec.id}"
    assert error_of(talk, use, subject=subject, roles=("limited",)) == (-32010, "quota.requests")


def test_a_role_without_mcp(talk):
    assert error_of(talk, lambda client: client.list_tools(), roles=("guest",)) == (-32010, "rbac.operation")


def test_headers_and_revisions(proxy, keys):
    token = keys["ES256"].sign(claims("alice", ["analyst"]))

    def post(body, **headers) -> httpx.Response:
        accept = "application/json, text/event-stream"
        headers = {"authorization": f"Bearer {token}", "accept": accept, **headers}
        return httpx.post(f"{proxy.url}/mcp", json=body, headers=headers, timeout=30)

    def refused(body, reason: str, code: int, **headers) -> None:
        reply = post(body, **{key.replace("_", "-"): value for key, value in headers.items()})
        assert reply.headers.get("x-bartizan-reason") == reason, reply.text
        assert (reply.json()["id"], reply.json()["error"]["code"]) == (body.get("id") if isinstance(body, dict) else None, code)

    call = {"jsonrpc": "2.0", "id": "a-1", "method": "tools/call", "params": {"name": "add", "arguments": {"a": 1, "b": 2}}}
    refused(call, "mcp.header", -32020, mcp_name="demolish")
    refused(call, "mcp.header", -32020, mcp_method="tools/list")
    refused({**call, "method": "tools/run"}, "body.shape", -32601)
    refused([call], "body.shape", -32600, mcp_protocol_version="2025-06-18")
    refused({**call, "params": {"name": "demolish"}}, "rbac.tool", -32602)
    unknown = post(call, **{"mcp-protocol-version": "2031-01-01"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, -32022)
    twice = {**call, "params": {}}
    raw = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping"}'
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    reply = httpx.post(f"{proxy.url}/mcp", content=raw, headers=headers, timeout=30)
    assert reply.headers["x-bartizan-reason"] == "body.duplicateKey" and reply.json()["error"]["code"] == -32700
    refused(twice, "body.shape", -32600)


def test_a_session_is_worth_nothing_to_another(proxy, keys):
    accept = {"accept": "application/json, text/event-stream"}
    tokens = {name: keys["ES256"].sign(claims(name, ["analyst"])) for name in ("alice", "bob")}

    def post(name: str, body: dict, session: str | None = None) -> httpx.Response:
        own = {"mcp-session-id": session} if session is not None else {}
        headers = {"authorization": f"Bearer {tokens[name]}", **accept, **own}
        return httpx.post(f"{proxy.url}/mcp", json=body, headers=headers, timeout=30)

    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    begun = post("alice", {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
    assert begun.status_code == 200, begun.text
    session = begun.headers["mcp-session-id"]
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert post("alice", ready, session).status_code == 202
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    own = post("alice", listing, session)
    assert own.status_code == 200 and "demolish" not in own.text and "echo" in own.text
    for name, stolen in (("bob", session), ("alice", session.rsplit(".", 1)[0]), ("alice", session[:-1] + "_")):
        reply = post(name, listing, stolen)
        assert (reply.status_code, reply.headers["x-bartizan-reason"]) == (404, "mcp.session"), reply.text
        assert reply.json()["error"]["data"]["reason"] == "mcp.session"
    end = httpx.delete(f"{proxy.url}/mcp", headers={"authorization": f"Bearer {tokens['alice']}", "mcp-session-id": session})
    assert end.status_code == 200, end.text


def test_a_client_without_a_token_learns_whom_to_ask(proxy, keys):
    address = "https://castles.example.com/.well-known/oauth-protected-resource/mcp"
    reply = httpx.post(f"{proxy.url}/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == f'Bearer resource_metadata="{address}"'
    metadata = httpx.get(f"{proxy.url}/.well-known/oauth-protected-resource/mcp")
    assert metadata.status_code == 200 and metadata.headers["content-type"] == "application/json"
    assert metadata.json()["resource"] == "https://castles.example.com/mcp"
    assert metadata.json()["authorization_servers"] and "x-bartizan-reason" not in metadata.headers
    from mcp.shared.auth import ProtectedResourceMetadata

    assert str(ProtectedResourceMetadata.model_validate(metadata.json()).resource) == "https://castles.example.com/mcp"


def test_http_sse_is_refused_where_no_route_has_it(proxy, keys):
    """HTTP with SSE (revision 2024-11-05): two endpoints, and a version that is spoken there alone."""
    headers = {"authorization": f"Bearer {keys['ES256'].sign(claims('alice', ['analyst']))}"}
    for method, path in (("GET", "/sse"), ("POST", "/messages/")):
        reply = httpx.request(method, f"{proxy.url}{path}", headers=headers, json={} if method == "POST" else None)
        assert (reply.status_code, reply.headers["x-bartizan-reason"]) == (404, "route.unmatched")
    old = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": old}
    reply = httpx.post(f"{proxy.url}/mcp", json=body, headers=headers)
    assert (reply.status_code, reply.headers["x-bartizan-reason"]) == (400, "mcp.revision")


def test_a_definition_that_drifted_is_not_shown(server, keys):
    """Approved as it is, but for `echo`, whose text is not the approved one."""
    import hashlib

    from harness import envoy

    def read(url: str, **more) -> list[dict]:
        headers = {"accept": "application/json, text/event-stream", **more}
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        begun = httpx.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}, headers=headers)
        headers["mcp-session-id"] = begun.headers["mcp-session-id"]
        httpx.post(url, json={"jsonrpc": "2.0", "method": "notifications/initialized"}, headers=headers)
        reply = httpx.post(url, json={"jsonrpc": "2.0", "id": 2, "method": "tools/list"}, headers=headers)
        data = next(line[5:] for line in reply.text.splitlines() if line.startswith("data:")) if "data:" in reply.text else reply.text
        return json.loads(data)["result"]["tools"]

    def pin(tool: dict) -> str:
        text = json.dumps(tool, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    tools = {tool["name"]: tool for tool in read(f"http://127.0.0.1:{server.port}/mcp")}
    pins = {name: pin(tool) for name, tool in tools.items()}
    pins["echo"] = pin({**tools["echo"], "description": "Said something else when it was approved."})
    config = envoy.with_upstream(envoy.load(), server.port)
    document = envoy.with_keys(envoy.policy(config), [key.jwk for key in keys.values()])
    guarded_mcp(document)
    token = keys["ES256"].sign(claims("alice", ["analyst"]))
    for drift in ("remove", "block"):
        document["routes"][0]["mcp"] = {"definitions": pins, "drift": drift}
        with envoy.Envoy(envoy.with_policy(config, document), f"mcp-pins-{drift}") as running:
            if drift == "remove":
                shown = read(f"{running.url}/mcp", authorization=f"Bearer {token}")
                assert sorted(tool["name"] for tool in shown) == ["add", "fetch", "name"]
            else:
                with pytest.raises(KeyError, match="result"):
                    read(f"{running.url}/mcp", authorization=f"Bearer {token}")


def scripted(document: dict) -> None:
    document["routes"] = [{"match": {"path": "/mcp"}, "protocol": "mcp"}]
    document["roles"]["analyst"].update(operations=["mcp"], tools={"allow": ["*"]}, quotas=[])
    document["guards"]["standard"]["output"] = {"secrets": "mask", "exfiltration": "block"}


@pytest.mark.parametrize("sse", [False, True], ids=["whole", "stream"])
def test_tasks_and_what_a_server_asks(sites, mode, sse):
    """Messages that the SDK's own server does not send: results of tasks, and questions to the client's model and user."""
    from harness.client import H1
    from harness.upstream import CANNED

    site = sites(mode, change=scripted)

    def answered(*messages: dict, method: str = "tasks/result", params: dict | None = None):
        texts = [json.dumps({"jsonrpc": "2.0", **message}) for message in messages]
        body = "".join(f"event: message\ndata: {text}\n\n" for text in texts) if sse else texts[0]
        CANNED[:] = b"text/event-stream" if sse else b"application/json", body.encode(), 40
        request = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params or {"taskId": "t-1"}}
        got = site.send(H1, request, path="/mcp", headers=[("x-script", "canned")])
        lines = [line[5:] for line in got.reply.body.decode().splitlines() if line.startswith("data:")] if sse else [got.reply.body]
        return got, [json.loads(line) for line in lines]

    def result(text: str) -> dict:
        return {"id": 7, "result": {"content": [{"type": "text", "text": text}]}}

    for page, text in (("secret", "The key is [SECRET_1], keep it."), ("attack", "[removed by policy]")):
        got, [message] = answered(result(PAGES[page]))
        assert message["result"]["content"][0]["text"] == text, got
        assert got.audit["bartizan.verdict"] == "mask"
    got, [message] = answered(result(PAGES["image"]))
    assert (message["id"], message["error"]["data"]["reason"]) == (7, "scan.output")
    got, [message] = answered({"id": 7, "result": {"taskId": "t-1", "status": "working", "statusMessage": PAGES["attack"]}},
                              method="tasks/get")  # fmt: skip
    assert message["result"]["statusMessage"] == "[removed by policy]" and message["result"]["taskId"] == "t-1"
    assert got.audit["bartizan.findings"]
    if sse:
        asks = {"method": "elicitation/create", "params": {"mode": "form", "message": PAGES["attack"], "requestedSchema": {}}}
        told = {"method": "notifications/tasks/status", "params": {"taskId": "t-1", "status": "failed", "statusMessage": PAGES["secret"]}}
        sample = {"method": "sampling/createMessage", "params": {"messages": [
            {"role": "user", "content": {"type": "text", "text": PAGES["attack"]}}], "maxTokens": 9}}  # fmt: skip
        got, [one, two, three, four] = answered({"id": 1, **asks}, told, {"id": 2, **sample}, result("Done."))
        assert one["params"]["message"] == "[removed by policy]" and KEY not in json.dumps(two)
        assert three["params"]["messages"][0]["content"]["text"] == "[removed by policy]"
        assert four["result"]["content"][0]["text"] == "Done."
    else:
        # What the client answers to such a question.
        for answer in ({"result": {"action": "accept", "content": {"name": ATTACK}}},
                       {"result": {"role": "assistant", "model": "m", "content": {"type": "text", "text": ATTACK}}}):  # fmt: skip
            site.send(H1, {"jsonrpc": "2.0", "id": 1, **answer}, path="/mcp").refused(400, "scan.injection")
