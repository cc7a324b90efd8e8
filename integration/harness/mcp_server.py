"""An MCP server of the official SDK on a port of its own: what the tests of both of its forms have in common."""

import socket
import threading


class McpServer:
    """Some tools, a prompt and a resource; `arrived` is what the tools were called with. Add to `server`, then `serve`."""

    def __init__(self) -> None:
        from mcp.server.mcpserver import MCPServer

        self.server = server = MCPServer("castles")
        self.arrived: list[str] = []

        @server.tool()
        def echo(text: str) -> str:
            """Says it again."""
            self.arrived.append(text)
            return text

        @server.tool()
        def demolish(castle: str) -> str:
            """Takes a castle down."""
            self.arrived.append(castle)
            return f"{castle} is gone"

        @server.prompt()
        def describe(castle: str) -> str:
            return f"Describe {castle}."

        @server.resource("castle://north")
        def north() -> str:
            return "The north tower."

    def serve(self, form: str) -> None:
        """Serves the app of this form: `sse`, or `streamable_http`."""
        import uvicorn
        from mcp.server.transport_security import TransportSecuritySettings

        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        settings = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        app = getattr(self.server, f"{form}_app")(transport_security=settings)
        self.running = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="error", timeout_graceful_shutdown=1))
        self.thread = threading.Thread(target=self.running.run, daemon=True)
        self.thread.start()
        while not self.running.started:
            self.thread.join(0.05)
            assert self.thread.is_alive(), "the MCP server did not start"

    def stop(self) -> None:
        self.running.should_exit = True
        self.thread.join(10)
