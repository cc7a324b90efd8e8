"""The servers: a real Chroma, and stand-ins for Pinecone and Weaviate, each a process in the environment that has the clients."""

import http.client
import os

from harness.idp import free_port
from harness.paths import CACHE, ROOT, run_folder
from harness.process import Child, Running

ENVIRONMENT = CACHE / "stores"
PYTHON = ENVIRONMENT / "bin" / "python"


def missing() -> str | None:
    """Why the servers can't run here; `None`: they can."""
    return None if (ENVIRONMENT / ".ready").exists() else "the stores' environment is not there: make store-test"


class Server(Running):
    """A server process on a free port, ready when it answers `GET {path}`."""

    def __init__(self, name: str, command: list[str], path: str, variables: dict[str, str] | None = None, port: int | None = None):
        self.port = port or free_port()
        self.folder = run_folder(name)
        places = {"PORT": str(self.port), "FOLDER": str(self.folder)}
        command = [word.format_map(places) for word in command]
        variables = {"PYTHONPATH": str(ROOT / "integration"), **(variables or {})}
        self.child = Child(command, log=self.folder / "log", cwd=self.folder, env=variables)
        self.child.wait_until(lambda: self.answers(path), name, 120)

    def answers(self, path: str) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 500
        except OSError:
            return False
        finally:
            connection.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def chroma() -> Server:
    """The server that `chroma run` starts, with its data in a fresh folder."""
    command = [str(ENVIRONMENT / "bin" / "chroma"), "run", "--host", "127.0.0.1", "--port", "{PORT}", "--path", "{FOLDER}/data"]
    return Server("chroma", command, "/api/v2/heartbeat", {"ANONYMIZED_TELEMETRY": "False", "HOME": os.environ.get("HOME", "/")})


def stand_in(module: str) -> Server:
    """`stores.pinecone_server` or `stores.weaviate_server`."""
    return Server(module.rpartition(".")[2], [str(PYTHON), "-m", module, "{PORT}"], "/ready")


