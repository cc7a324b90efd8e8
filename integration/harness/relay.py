"""A relay in front of a real server, which fails as it is told."""

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .process import Running

# What it does instead of handing a question on: status and body.
ANSWERS = {
    "error": (500, b""),
    "garbage": (200, b"<html>signed in</html>"),
    "empty": (200, b"{}"),
    "missing": (404, b"{}"),
    "huge": (200, b'{"result": "' + b"x" * (1 << 20) + b'"}'),
}
# How long it waits before it hands on.
WAITS = {"slow": 0.3, "hang": 20.0}


class Relay(Running):
    """`mood` is `pass`, a word of `ANSWERS` or `WAITS`, `reset` (the connection ends without an answer), or one of `answers`."""

    def __init__(self, base: Callable[[], str], names: tuple[str, ...] = ("authorization", "content-type"), answers: dict | None = None):
        self.mood, self.asked, self.bodies = "pass", 0, []
        own = ANSWERS | {mood: (200, body) for mood, body in (answers or {}).items()}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                mood = outer.mood
                outer.asked += 1
                outer.bodies = [*outer.bodies[-63:], body]
                time.sleep(WAITS.get(mood, 0.0))
                status, answer = own.get(mood, (200, b""))
                try:
                    if mood == "reset":
                        raise ConnectionResetError
                    if mood in ("pass", "slow"):
                        asked = urllib.request.Request(base() + self.path, body)
                        for name in names:
                            if self.headers[name] is not None:
                                asked.add_header(name, self.headers[name])
                        try:
                            with urllib.request.urlopen(asked, timeout=5) as reply:
                                status, answer = reply.status, reply.read()
                        except urllib.error.HTTPError as error:
                            status, answer = error.code, error.read()
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except (OSError, urllib.error.URLError):
                    # The server is gone, or Envoy gave up: no answer.
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
