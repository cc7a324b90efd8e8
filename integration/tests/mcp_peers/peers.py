"""MCP servers and clients of the official SDKs, in Python and TypeScript, that offer and do the same."""

import asyncio
import contextlib
import json
import shutil
import subprocess
from pathlib import Path

from harness.mcp_server import McpServer
from harness.paths import CACHE
from harness.process import Child

MODULES = CACHE / "mcp-sdk"
PEER = Path(__file__).with_name("peer.mjs")

# What a client finds at every server when its role may use everything but `demolish`.
FOUND = {
    "session": True,
    "tools": ["announce", "echo", "walk"],
    "prompts": ["describe"],
    "resources": ["castle://north"],
    "templates": ["castle://towers/{side}"],
    "said": "hello",
    "prompt": "Describe North.",
    "page": "The north tower.",
    "tower": "The tower of the east.",
    "walked": "walked",
    "progress": [1, 2, 3],
    "logged": ["round 1", "round 2", "round 3"],
    "refused": "rbac.tool",
    "announced": "announced",
    "changed": True,
    "ended": True,
}


def missing() -> str | None:
    """Why there are no TypeScript peers."""
    if not shutil.which("node"):
        return "Node.js is not installed"
    return None if (MODULES / ".ready").exists() else f"{MODULES.name} is not installed: make mcp-sdk"


class PythonServer(McpServer):
    def __init__(self) -> None:
        super().__init__()
        from mcp.server.mcpserver import Context

        @self.server.tool()
        async def walk(rounds: int, context: Context) -> str:
            """Walks around the wall."""
            for round in range(1, rounds + 1):
                await context.report_progress(round, rounds)
                await context.info(f"round {round}")
            return "walked"

        @self.server.tool()
        async def announce(context: Context) -> str:
            """Tells everybody that the tools have changed."""
            await context.notify_tools_changed()
            await context.session.send_tool_list_changed()
            return "announced"

        @self.server.resource("castle://towers/{side}")
        def tower(side: str) -> str:
            return f"The tower of the {side}."

        self.serve("streamable_http")


class NodeServer:
    """A server of the TypeScript SDK, in a process of its own."""

    def __init__(self, generation: str, folder: Path):
        said = folder / "said"
        command = ["node", str(PEER), str(MODULES), generation, "server"]
        self.child = Child(command, log=folder / "node.log", out=said)
        self.child.wait_until(lambda: said.exists() and "\n" in said.read_text(), f"MCP server ({generation})")
        self.port = json.loads(said.read_text().splitlines()[0])["port"]

    def stop(self) -> None:
        self.child.stop()


def node_client(generation: str, url: str, token: str) -> dict:
    """What a client of the TypeScript SDK finds."""
    command = ["node", str(PEER), str(MODULES), generation, "client", url, token]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{generation}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def python_client(mode: str, url: str, token: str) -> dict:
    """What a client of the Python SDK finds; `mode` is `legacy`, or a revision."""
    return asyncio.run(walk(mode, url, token))


async def walk(mode: str, url: str, token: str) -> dict:
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared.exceptions import MCPError

    legacy, found, logged, progress = mode == "legacy", {}, [], []
    changed = asyncio.Event()
    sessions: set[str] = set()

    async def note(reply) -> None:
        if session := reply.headers.get("mcp-session-id"):
            sessions.add(session)

    async def log(params) -> None:
        logged.append(params.data)

    async def message(message) -> None:
        if type(message).__name__ == "ToolListChangedNotification":
            changed.set()

    async def step(done: float, *_) -> None:
        progress.append(done)

    headers = {"authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60, event_hooks={"response": [note]}) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, read_timeout_seconds=60, logging_callback=log, message_handler=message) as client:
            found["tools"] = sorted(tool.name for tool in (await client.list_tools()).tools)
            found["prompts"] = sorted(prompt.name for prompt in (await client.list_prompts()).prompts)
            found["resources"] = sorted(str(resource.uri) for resource in (await client.list_resources()).resources)
            templates = await client.list_resource_templates()
            found["templates"] = sorted(template.uri_template for template in templates.resource_templates)
            found["said"] = (await client.call_tool("echo", {"text": "hello"})).content[0].text
            found["prompt"] = (await client.get_prompt("describe", {"castle": "North"})).messages[0].content.text
            found["page"] = (await client.read_resource("castle://north")).contents[0].text
            found["tower"] = (await client.read_resource("castle://towers/east")).contents[0].text
            if legacy:
                with contextlib.suppress(MCPError):  # the SDK's own server has no levels
                    await client.set_logging_level("info")
            found["walked"] = (await client.call_tool("walk", {"rounds": 3}, progress_callback=step)).content[0].text
            found["progress"] = progress
            if legacy:
                found["logged"] = logged
            try:
                await client.call_tool("demolish", {"castle": "north"})
            except MCPError as error:
                found["refused"] = (error.error.data or {}).get("reason")
            async with contextlib.AsyncExitStack() as heard:
                events = None if legacy else await heard.enter_async_context(client.listen(tools_list_changed=True))
                found["announced"] = (await client.call_tool("announce", {})).content[0].text
                if events is not None:
                    await asyncio.wait_for(anext(aiter(events)), 20)
                    changed.set()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), 20)
            found["changed"] = changed.is_set()
        found["session"] = bool(sessions)
        if legacy:
            # Closing has ended the session: its id is worth nothing any more.
            ping = {"jsonrpc": "2.0", "id": 9, "method": "ping"}
            more = {"mcp-session-id": sessions.pop(), "accept": "application/json, text/event-stream"}
            found["ended"] = (await http.post(url, json=ping, headers=more)).status_code == 404
    return found
