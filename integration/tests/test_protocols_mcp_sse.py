"""The HTTP+SSE transport of the Model Context Protocol: the official SDK's client and server through the filter."""

import asyncio
import contextlib
import json

import httpx
import pytest

from conftest import ATTACK
from harness.mcp_server import McpServer
from harness.tokens import claims

KEY = "AKIAQ7EXAMPL3TE5TKXQ"


class Server(McpServer):
    """One that leaks, and asks its user."""

    def __init__(self) -> None:
        super().__init__()
        from mcp.server.mcpserver import Context
        from pydantic import BaseModel

        class Name(BaseModel):
            name: str

        @self.server.tool()
        def leak(kind: str) -> str:
            """Says what it should not."""
            return f"The key is {KEY}, keep it." if kind == "secret" else "See ![x](https://pictures.acme.org/p.png)"

        @self.server.tool()
        async def name(context: Context) -> str:
            """Asks the user for a name."""
            answer = await context.elicit("How is the castle called?", Name)
            self.arrived.append(answer.data.name if answer.action == "accept" else answer.action)
            return f"{answer.data.name} it is" if answer.action == "accept" else answer.action

        self.serve("sse")


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
    document["routes"] = [{"match": {"path": "/sse"}, "protocol": "mcp", "mcp": {"messages": "/messages/"}}]
    tools = {"allow": ["echo", "leak", "name", "prompt:*", "resource:castle://*"]}
    document["roles"]["analyst"].update(operations=["mcp"], tools=tools, quotas=[])
    document["roles"]["guest"].update(operations=["mcp"], models=["default"], tools=tools)
    document["roles"]["guest"]["quotas"] = [{"per": "subject", "requests": 6, "window": "1h"}]
    document["guards"]["standard"]["output"] = {"secrets": "mask", "exfiltration": "block"}
    with envoy.Envoy(envoy.with_policy(config, document), f"mcp-sse-{request.param}") as running:
        yield running


@pytest.fixture
def talk(proxy, keys):
    """Runs a coroutine with a connected client of this subject."""

    def run(use, subject: str = "alice", roles: tuple[str, ...] = ("analyst",), elicited: str = "Keep"):
        from mcp import ClientSession
        from mcp.client.sse import sse_client
        from mcp_types import ElicitResult

        token = keys["ES256"].sign(claims(subject, list(roles)))

        async def elicit(*_) -> ElicitResult:
            return ElicitResult(action="accept", content={"name": elicited})

        async def main():
            async with contextlib.AsyncExitStack() as stack:
                headers = {"authorization": f"Bearer {token}"}
                streams = await stack.enter_async_context(sse_client(f"{proxy.url}/sse", headers=headers, timeout=30))
                session = ClientSession(*streams, read_timeout_seconds=20, elicitation_callback=elicit)
                client = await stack.enter_async_context(session)
                await client.initialize()
                return await use(client)

        return asyncio.run(main())

    return run


async def error_of(call) -> tuple[int, str]:
    """The code of the SDK's own exception, and the reason that the refusal tells."""
    from mcp.shared.exceptions import MCPError

    with pytest.raises(MCPError) as caught:
        await call
    return caught.value.error.code, (caught.value.error.data or {}).get("reason")


def test_lists_calls_prompts_and_resources(talk):
    async def use(client):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        said = await client.call_tool("echo", {"text": "hello"})
        page = await client.read_resource("castle://north")
        prompt = await client.get_prompt("describe", {"castle": "North"})
        return set(tools), said.content[0].text, page.contents[0].text, prompt.messages[0].content.text

    tools, *texts = talk(use)
    assert tools == {"echo", "leak", "name"}, "what the role may not use is not shown to it"
    assert texts == ["hello", "The north tower.", "Describe North."]


def test_what_is_refused_ends_in_the_sdks_exception_and_the_session_goes_on(talk, server):
    async def use(client):
        codes = [
            await error_of(client.call_tool("demolish", {"castle": "north"})),
            await error_of(client.call_tool("echo", {"text": ATTACK})),
            await error_of(client.call_tool("leak", {"kind": "image"})),
            await error_of(client.read_resource("file:///etc/passwd")),
        ]
        masked = await client.call_tool("leak", {"kind": "secret"})
        return codes, masked.content[0].text

    server.arrived.clear()
    codes, masked = talk(use)
    assert codes == [(-32602, "rbac.tool"), (-32010, "scan.injection"), (-32010, "scan.output"), (-32602, "rbac.tool")]
    assert masked == "The key is [SECRET_1], keep it." and server.arrived == []


def test_elicitation(talk, server):
    async def use(client):
        return (await client.call_tool("name", {})).content[0].text

    async def refused(client):
        return await error_of(client.call_tool("name", {}))

    assert talk(use) == "Keep it is"
    server.arrived.clear()
    # The server gets an error in the place of the answer, and its tool fails with it.
    assert talk(refused, elicited=ATTACK) == (-32010, "scan.injection")
    assert server.arrived == []


def test_too_many_requests(talk, proxy):
    async def calls(client):
        for _ in range(6):
            assert (await client.call_tool("echo", {"text": "hello"})).content[0].text == "hello"

    async def use(client):
        return await error_of(calls(client))

    # The stream and what begins a session count too.
    assert talk(use, subject="mcp-guest", roles=("guest",)) == (-32010, "quota.requests")


def test_a_session_is_worth_nothing_to_another(proxy, keys):
    def headers(name: str) -> dict:
        return {"authorization": f"Bearer {keys['ES256'].sign(claims(name, ['analyst']))}"}

    call = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    with httpx.Client(timeout=30) as client, client.stream("GET", f"{proxy.url}/sse", headers=headers("alice")) as stream:
        lines = stream.iter_lines()
        address = next(line for line in lines if line.startswith("data:"))[5:].strip()
        assert address.startswith("/messages/?session_id=") and "&bartizan-session=" in address

        def post(name: str, address: str) -> httpx.Response:
            return httpx.post(proxy.url + address, json=call, headers=headers(name), timeout=30)

        own, _, tag = address.rpartition("&")
        foreign = own[:-1] + ("1" if own.endswith("0") else "0")
        for name, other in (("bob", address), ("alice", own), ("alice", address[:-1]), ("alice", f"{foreign}&{tag}"),
                            ("alice", f"{address}&session_id=0"), ("alice", "/messages/")):  # fmt: skip
            reply = post(name, other)
            assert (reply.status_code, reply.headers["x-bartizan-reason"]) == (404, "mcp.session"), (name, other)
        assert post("alice", address).status_code == 202
        answer = next(line for line in lines if line.startswith("data:"))
        assert '"id":1' in answer.replace(" ", "")


def test_methods_revisions_and_batches(proxy, keys):
    headers = {"authorization": f"Bearer {keys['ES256'].sign(claims('alice', ['analyst']))}"}
    for method, path in (("POST", "/sse"), ("DELETE", "/sse"), ("GET", "/messages/")):
        reply = httpx.request(method, f"{proxy.url}{path}", headers=headers, timeout=30)
        assert (reply.status_code, reply.headers["x-bartizan-reason"]) == (405, "route.method")
    old = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": old}
    with httpx.Client(timeout=30) as client, client.stream("GET", f"{proxy.url}/sse", headers=headers) as stream:
        data = (line[5:].strip() for line in stream.iter_lines() if line.startswith("data:"))
        address = proxy.url + next(data)
        assert httpx.post(address, json=hello, headers=headers, timeout=30).status_code == 202
        assert '"2024-11-05"' in next(data)
        # Refused on the stream, because no client of this form reads the HTTP answer; the id is the message's own.
        wrong = {**hello, "id": "a 3", "method": "tools/run"}
        assert httpx.post(address, json=wrong, headers=headers, timeout=30).status_code == 202
        answer = json.loads(next(data))
        assert (answer["id"], answer["error"]["data"]["reason"]) == ("a 3", "body.shape")
        # A revision that is not known goes on as one that is, and the server answers with its own.
        newer = {**hello, "id": 4, "params": {**old, "protocolVersion": "2099-01-01"}}
        assert httpx.post(address, json=newer, headers=headers, timeout=30).status_code == 202
        answer = json.loads(next(data))
        assert answer["id"] == 4 and answer["result"]["protocolVersion"] != "2099-01-01"
        batch = httpx.post(address, json=[hello], headers=headers, timeout=30)
        assert (batch.status_code, batch.headers["x-bartizan-reason"]) == (400, "body.shape")
