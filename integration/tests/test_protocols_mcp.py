"""The official MCP SDK, client and server, through the filter."""

import asyncio
import contextlib
import socket
import threading

import httpx
import pytest

from conftest import ATTACK
from harness.tokens import claims

mcp = pytest.importorskip("mcp")


def guarded_mcp(document: dict) -> None:
    document["routes"] = [{"match": {"path": "/mcp"}, "protocol": "mcp", "mcp": {"resource": "https://castles.example.com/mcp"}}]
    document["roles"]["analyst"].update(
        operations=["mcp"], tools={"allow": ["add", "echo", "prompt:*", "resource:castle://*"]}
    )
    document["roles"]["guest"].update(operations=["chat"])


class Server:
    """An MCP server of three tools on a port of its own."""

    def __init__(self) -> None:
        import uvicorn
        from mcp.server.mcpserver import MCPServer

        server = MCPServer("castles")

        @server.tool()
        def add(a: int, b: int) -> int:
            """Adds two numbers."""
            return a + b

        @server.tool()
        def echo(text: str) -> str:
            """Says it again."""
            return text

        @server.tool()
        def demolish(castle: str) -> str:
            """Takes a castle down."""
            return f"{castle} is gone"

        @server.resource("castle://north")
        def north() -> str:
            return "The north tower."

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        from mcp.server.transport_security import TransportSecuritySettings

        app = server.streamable_http_app(transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False))
        self.server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="error"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            self.thread.join(0.05)
            assert self.thread.is_alive(), "the MCP server did not start"

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)


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

    def run(use, subject: str = "alice", roles: tuple[str, ...] = ("analyst",)):
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        token = keys["ES256"].sign(claims(subject, list(roles)))

        async def main():
            async with contextlib.AsyncExitStack() as stack:
                headers = {"authorization": f"Bearer {token}"}
                http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=30))
                transport = streamable_http_client(f"{proxy.url}/mcp", http_client=http)
                client = await stack.enter_async_context(Client(transport, mode=request.param, read_timeout_seconds=30))
                return await use(client)

        return asyncio.run(main())

    return run


def code_of(talk, use, **more) -> int:
    from mcp.shared.exceptions import MCPError

    with pytest.raises(BaseException) as caught:
        talk(use, **more)
    error = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, MCPError), repr(error)
    return error.error.code


def test_tools_resources_and_their_lists(talk):
    async def use(client):
        names = [tool.name for tool in (await client.list_tools()).tools]
        total = await client.call_tool("add", {"a": 2, "b": 3})
        page = await client.read_resource("castle://north")
        return names, total.content[0].text, page.contents[0].text

    names, total, page = talk(use)
    assert set(names) == {"add", "echo"}, "what the role may not use is not shown to it"
    assert (total, page) == ("5", "The north tower.")


def test_a_tool_that_the_role_may_not_use(talk):
    assert code_of(talk, lambda client: client.call_tool("demolish", {"castle": "north"})) == -32602


def test_an_attack_in_an_argument(talk):
    assert code_of(talk, lambda client: client.call_tool("echo", {"text": ATTACK})) == -32010


def test_a_role_without_mcp(talk):
    assert code_of(talk, lambda client: client.list_tools(), roles=("guest",)) in (-32010, -32603)


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


def test_the_older_form_is_refused_where_no_route_has_it(proxy, keys):
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
    import json

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
    document["routes"][0]["mcp"] = {"definitions": pins}
    with envoy.Envoy(envoy.with_policy(config, document), "mcp-pins") as running:
        token = keys["ES256"].sign(claims("alice", ["analyst"]))
        shown = read(f"{running.url}/mcp", authorization=f"Bearer {token}")
    assert [tool["name"] for tool in shown] == ["add"]
