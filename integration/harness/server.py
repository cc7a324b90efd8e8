"""A server of a test's own: asyncio in a thread, on a free port of 127.0.0.1."""

import abc
import asyncio
import threading

from .process import Running


class Server(abc.ABC, Running):
    """Give it `serve(reader, writer)`. It can be stopped and started again on its port; as a context manager it stops."""

    port = 0

    def start(self) -> None:
        ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._main(ready)), daemon=True)
        self.thread.start()
        assert ready.wait(10), f"{type(self).__name__} did not start"

    def stop(self) -> None:
        """As if killed: every connection breaks."""
        self.loop.call_soon_threadsafe(self.finish.set)
        self.thread.join(10)

    @abc.abstractmethod
    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; it is closed afterwards."""

    async def _main(self, ready: threading.Event) -> None:
        self.loop, self.finish, writers = asyncio.get_running_loop(), asyncio.Event(), set()

        async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.add(writer)
            try:
                await self.serve(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                writers.discard(writer)
                writer.close()

        server = await asyncio.start_server(connection, "127.0.0.1", self.port, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self.finish.wait()
        server.close()
        for writer in writers:
            writer.transport.abort()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
