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
    document["routes"] = [{"match": {"path": "/mcp"}, "protocol": "mcp"}]
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
    assert {"add", "echo"} <= set(names)
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
