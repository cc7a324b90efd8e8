"""A real Open Policy Agent."""

import urllib.error
import urllib.request
from pathlib import Path

from harness.idp import free_port
from harness.paths import CACHE, ROOT, run_folder
from harness.process import Child, Running

BINARY = CACHE / "opa" / "opa"
POLICY = ROOT / "envoy" / "opa"


def missing() -> str | None:
    """Why it can't run here; `None`: it can."""
    if BINARY.exists():
        return None
    told = CACHE / "opa" / "missing"
    return told.read_text().strip() if told.exists() else "Open Policy Agent is not built: make .cache/opa/.tried"


class Opa(Running):
    """Serves a folder of policy and data. Keeps its port over restarts."""

    def __init__(self, folder: Path = POLICY):
        self.port, self.folder, self.log = free_port(), folder, run_folder("opa") / "opa.log"
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [str(BINARY), "run", "--server", "--disable-telemetry", "--addr", f"127.0.0.1:{self.port}", "--log-level", "error",
                   *(str(path) for path in sorted(self.folder.iterdir()) if not path.name.endswith("_test.rego"))]  # fmt: skip
        self.child = Child(command, log=self.log)
        self.child.wait_until(self._answers, "Open Policy Agent")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + "/health", timeout=1) as reply:
                return reply.status == 200
        except (OSError, urllib.error.URLError):
            return False
