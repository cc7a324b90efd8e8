"""Stores that tests, and later a demonstration, start on free ports. Each has `find(request_id)` and `everything()`."""

import json
import os
import socket
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from harness.paths import CACHE, run_folder
from harness.process import Child, Running

from .proxy import PIPELINES

TOOLS = CACHE / "pipelines"
PYTHON = TOOLS / "venv" / "bin" / "python"
TEMPLATE = PIPELINES / "elasticsearch-index-template.json"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def missing(*parts: str) -> str | None:
    """Why a part can't be had; `None` when it is there."""
    for part in parts:
        note = TOOLS / f"{part}.missing"
        if note.exists():
            return note.read_text().strip()
    return None if (TOOLS / ".ready").exists() else "its parts are not there: make pipeline-tools"


class Store(Running):
    """A child with an HTTP interface."""

    def call(self, path: str, body=None, method: str | None = None) -> bytes:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, {"content-type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method or ''} {path}: {error.code} {error.read()[:500]!r}") from None

    def answers(self, path: str) -> bool:
        try:
            self.call(path)
        except (OSError, AssertionError):
            return False
        return True


class VictoriaLogs(Store):
    """In Loki's place: it takes Loki's pushes; its query language is another."""

    needs = ("victorialogs",)

    def __init__(self):
        self.port, self.folder = free_port(), run_folder("victorialogs")
        self.url = f"http://127.0.0.1:{self.port}"
        self.push = f"{self.url}/insert/loki/api/v1/push"
        command = [str(TOOLS / "victorialogs" / "victoria-logs"), f"-httpListenAddr=127.0.0.1:{self.port}",
                   f"-storageDataPath={self.folder / 'data'}"]  # fmt: skip
        self.child = Child(command, log=self.folder / "log")
        self.child.wait_until(lambda: self.answers("/health"), "VictoriaLogs")

    def query(self, text: str) -> list[dict]:
        lines = self.call(f"/select/logsql/query?{urllib.parse.urlencode({'query': text, 'limit': 1000})}").splitlines()
        return [json.loads(line) for line in lines]

    def find(self, request_id: str) -> list[dict]:
        """The records with this id."""
        hits = self.query(f'_time:1h {{service="bartizan"}} request_id:={json.dumps(request_id)}')
        return [json.loads(hit["_msg"]) for hit in hits]

    def everything(self) -> bytes:
        return json.dumps(self.query("_time:1h *"), ensure_ascii=False).encode()


class OpenSearch(Store):
    """In the place of Elasticsearch and OpenSearch: osmem-server, a store in memory with OpenSearch's interface."""

    needs = ()

    def __init__(self):
        self.port, self.folder = free_port(), run_folder("opensearch")
        self.url = f"http://127.0.0.1:{self.port}"
        [program] = (TOOLS / "venv").glob("lib/python3*/site-packages/osmem_server/bin/osmem-server")
        command = [str(program), "-addr", f"127.0.0.1:{self.port}", "-no-stdin-watch", "-parent-pid", str(os.getpid())]
        self.child = Child(command, log=self.folder / "log")
        self.child.wait_until(lambda: self.answers("/"), "the OpenSearch store")
        template = json.loads(TEMPLATE.read_text())
        # OpenSearch does not know this setting: its policy names the indices itself.
        del template["template"]["settings"]["index.lifecycle.name"]
        # The stand-in has no data streams: here it is an index of that name.
        del template["data_stream"]
        self.call("/_index_template/bartizan-audit", template, "PUT")

    def search(self, query: dict) -> list[dict]:
        if not self.answers("/bartizan-audit/_count"):
            return []
        self.call("/bartizan-audit/_refresh", b"", "POST")
        return json.loads(self.call("/bartizan-audit/_search", {"query": query, "size": 1000}))["hits"]["hits"]

    def find(self, request_id: str) -> list[dict]:
        return [hit["_source"] for hit in self.search({"term": {"http.request.id": request_id}})]

    def everything(self) -> bytes:
        return json.dumps(self.search({"match_all": {}}), ensure_ascii=False).encode()


class Forward(Running):
    """The official receiver of Fluentd's forward protocol, and the file that it writes as its store."""

    needs = ("forward",)

    def __init__(self):
        self.port, self.folder = free_port(), run_folder("forward")
        self.file = self.folder / "entries.jsonl"
        script = Path(__file__).parent / "forward" / "receiver.cjs"
        command = ["node", str(script), str(self.port), str(self.file)]
        self.child = Child(command, log=self.folder / "log", env={"NODE_PATH": str(TOOLS / "forward" / "node_modules")})
        self.child.wait_until(self.file.exists, "the forward receiver")

    def entries(self) -> list[dict]:
        text = self.file.read_text()
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def find(self, request_id: str) -> list[dict]:
        return [one["record"] for one in self.entries() if one["record"]["http.request.id"] == request_id]

    def everything(self) -> bytes:
        return self.file.read_bytes()


STORES = {"loki": VictoriaLogs, "opensearch": OpenSearch, "forward": Forward}
