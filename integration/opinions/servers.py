"""Outside judges: a real Presidio, and a double of what can't be had."""

import json
import sys
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness.idp import free_port
from harness.paths import CACHE, ROOT, run_folder
from harness.process import Child, Running

PYTHON = CACHE / "judges" / "bin" / "python"


def missing() -> str | None:
    """Why Presidio can't run here; `None`: it can."""
    return None if (CACHE / "judges" / ".ready").exists() else "Presidio is not installed: make .cache/judges/.ready"


class Presidio(Running):
    """The analyzer. Keeps its port over restarts."""

    def __init__(self):
        self.port, self.log = free_port(), run_folder("presidio") / "presidio.log"
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        script = ROOT / "integration" / "opinions" / "presidio_server.py"
        self.child = Child([str(PYTHON), str(script), str(self.port)], log=self.log)
        self.child.wait_until(lambda: answers(self.url), "Presidio", 120)


class Guardrails(Running):
    """The adapter of `envoy/opinions`, as users run it. Keeps its port over restarts."""

    def __init__(self, environment: dict[str, str]):
        self.port, self.environment, self.log = free_port(), environment, run_folder("guardrails") / "guardrails.log"
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        script = ROOT / "envoy" / "opinions" / "guardrails.py"
        self.child = Child([sys.executable, str(script), "--port", str(self.port)], log=self.log, env=self.environment)
        self.child.wait_until(lambda: answers(self.url), "the adapter")


def answers(url: str) -> bool:
    """Whether the server says that it is well."""
    try:
        with urllib.request.urlopen(url + "/health", timeout=1) as reply:
            return reply.status == 200
    except (OSError, urllib.error.URLError):
        return False


class Judge(Running):
    """A double: answers each path as `answers` says, which gets the question. What it was asked is in `asked`, with its headers."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                question = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked.append((self.path, dict(self.headers.items()), question))
                body = json.dumps(outer.answers(self.path, question)).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
