"""Identity providers: a real one (oidc-provider on Node.js), and one that misbehaves on command."""

import base64
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from .paths import CACHE, run_folder
from .process import Child, Running
from .tokens import Key, b64_int

PACKAGE = "oidc-provider@9.13.3"
CLIENT = ("service", "a secret of this test alone, 0123456789")


def missing() -> str | None:
    """Why the real provider can't run here; `None`: it can. Installs it once."""
    if not shutil.which("node") or not shutil.which("npm"):
        return "Node.js with npm is missing, which the real OpenID provider runs on"
    folder = _folder()
    if not (folder / ".ready").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"type":"module","private":true}')
        done = subprocess.run(
            ["npm", "install", "--loglevel=error", "--no-audit", "--no-fund", PACKAGE], cwd=folder, capture_output=True, text=True
        )
        if done.returncode != 0:
            return f"npm install {PACKAGE} failed: {done.stderr[-300:]}"
        (folder / ".ready").touch()
    return None


def _folder() -> Path:
    return CACHE / PACKAGE.replace("@", "-")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def private_jwk(key: Key) -> dict:
    """The whole key as a JWK: for the provider alone."""
    numbers = key.private.private_numbers()
    if key.algorithm == "ES256":
        return key.jwk | {"d": b64_int(numbers.private_value, 32)}
    rest = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
    return key.jwk | {name: b64_int(number) for name, number in rest.items()}


class Provider(Running):
    """The real OpenID provider. The first key signs; all are published. Keeps its port over restarts. `clients`
    are further clients by name, with the claims of their tokens."""

    def __init__(self, keys: list[Key], clients: dict[str, dict] | None = None):
        self.port, self.folder, self.clients = free_port(), run_folder("oidc"), clients or {}
        self.start(keys)

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, keys: list[Key]) -> None:
        keyfile = self.folder / "keys.json"
        keyfile.write_text(json.dumps({"keys": [private_jwk(key) for key in keys]}))
        shutil.copy(Path(__file__).with_name("oidc.mjs"), _folder() / "oidc.mjs")
        log = self.folder / "oidc.log"
        self.child = Child(["node", str(_folder() / "oidc.mjs"), str(self.port), str(keyfile), json.dumps(self.clients)], log=log)
        self.child.wait_until(lambda: b"listening" in log.read_bytes(), "the OpenID provider")

    def rotate(self, keys: list[Key]) -> None:
        self.stop()
        self.start(keys)

    def token(self, resource: str = "urn:llm", client: str = CLIENT[0]) -> str:
        """A token by the client credentials grant (RFC 6749 section 4.4, RFC 8707)."""
        form = {"grant_type": "client_credentials", "scope": "llm", "resource": resource}
        return self.post("/token", form, client)["access_token"]

    def post(self, path: str, form: dict, client: str = CLIENT[0]) -> dict:
        user, secret = (urllib.parse.quote_plus(part) for part in (client, CLIENT[1]))
        request = urllib.request.Request(self.issuer + path, urllib.parse.urlencode(form).encode())
        request.add_header("authorization", "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode())
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.loads(reply.read() or b"{}")


class Scripted(Running):
    """A key set server that answers as told: no real one can be made to lie."""

    def __init__(self, body: bytes = b"", status: int = 200, delay: float = 0.0):
        self.body, self.status, self.delay, self.asked = body, status, delay, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.asked += 1
                time.sleep(outer.delay)
                body = outer.body
                try:
                    self.send_response(outer.status)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:  # Envoy gave up
                    pass

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, keys: list[Key]) -> None:
        self.body, self.status, self.delay = json.dumps({"keys": [key.jwk for key in keys]}).encode(), 200, 0.0

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
