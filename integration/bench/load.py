"""The load generator, wrk, and the body and tokens that it sends."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from harness.paths import ROOT, run_folder

TEXT = "The keeper of the lighthouse walked home along the shore and thought about supper. "
CACHE = ROOT / ".cache" / "wrk"


@dataclass
class Load:
    """One kind of request: a chat whose body has `size` bytes and, unless `same`, a text that was never sent before."""

    name: str
    size: int
    tokens: list[str]
    streamed: bool = False
    same: bool = False
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = run_folder("bench-load")
        body = {"model": "smollm2", "messages": [{"role": "user", "content": ""}]}
        if self.size >= 256:
            # A stream that goes on far beyond its cap would be ended.
            body["max_tokens"] = 4096 if self.streamed else 16
        if self.streamed:
            body["stream"] = True
            (self.folder / "headers").write_bytes(b"x-stream: 1\r\n")
        room = self.size - len(json.dumps(body)) - len("@@@@@@@@ ")
        body["messages"][0]["content"] = "@@@@@@@@ " + (TEXT * (room // len(TEXT) + 1))[:room]
        data = json.dumps(body).encode()
        assert len(data) == self.size, (len(data), self.size)
        (self.folder / "body").write_bytes(data)
        (self.folder / "tokens").write_text("\n".join(self.tokens))
        if self.same:
            (self.folder / "same").touch()


def wrk() -> tuple[str, dict[str, str]]:
    """The program and its environment; out of the cache where it is not installed."""
    installed = shutil.which("wrk")
    if installed:
        return installed, dict(os.environ)
    program = CACHE / "usr" / "bin" / "wrk"
    if not program.exists():
        raise SystemExit("wrk is missing: `apt-get install wrk`, or `make bench`, which brings Debian's package")
    libraries = ":".join(str(path) for path in (CACHE / "usr" / "lib").glob("*") if path.is_dir())
    return str(program), {**os.environ, "LD_LIBRARY_PATH": libraries}


_sent = 0


def drive(port: int, load: Load, connections: int, seconds: float) -> dict:
    """Sends it for so long: requests, seconds, wrong answers, p50 and p99 in microseconds."""
    global _sent
    _sent += 1 << 22
    program, environment = wrk()
    command = [
        program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(Path(__file__).with_suffix(".lua")),
        f"http://127.0.0.1:{port}/", "--", str(load.folder), str(_sent),
    ]  # fmt: skip
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        raise SystemExit(f"wrk: {done.stderr or done.stdout}")
    return json.loads(done.stdout.strip().splitlines()[-1])
