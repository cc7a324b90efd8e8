"""The load generator, wrk, and what it sends: fresh texts, drawn by the same program as the scanner's benchmark."""

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from harness.paths import ROOT

CACHE = ROOT / ".cache" / "wrk"
NATIVE = ROOT / "target" / "release" / "examples" / "bench"
# Text of one load: more than any cache of the processor holds, and than a proxy that scans reads in a round.
POOL = 32 << 20

_folders = tempfile.TemporaryDirectory(prefix="bench-")
_pools: dict[tuple[str, int], Path] = {}


def native(*arguments: str) -> str:
    """What the native half of the benchmarks prints."""
    return subprocess.run([str(NATIVE), *arguments], capture_output=True, text=True, check=True).stdout


def texts(kind: str, size: int) -> Path:
    """A file of fresh texts, each a JSON string on a line."""
    if (kind, size) not in _pools:
        path = Path(_folders.name) / f"{kind}-{size}"
        path.write_text(native("texts", kind, str(size), str(max(64, POOL // size)), "5"))
        _pools[kind, size] = path
    return _pools[kind, size]


@dataclass
class Load:
    """One kind of request: a chat of one message, whose text has `size` bytes and, unless `same`, was never sent before."""

    name: str
    kind: str
    size: int
    tokens: list[str]
    streamed: bool = False
    same: bool = False
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=_folders.name))
        body = {"model": "smollm2", "max_tokens": 16, "messages": [{"role": "user", "content": "@"}]}
        if self.streamed:
            # A stream that goes on far beyond its cap would be ended.
            body |= {"stream": True, "max_tokens": 4096}
            (self.folder / "headers").write_bytes(b"x-stream: 1\r\n")
        front, back = json.dumps(body).split('"@"')
        (self.folder / "front").write_text(front)
        (self.folder / "back").write_text(back)
        (self.folder / "texts").symlink_to(texts(self.kind, self.size))
        (self.folder / "tokens").write_text("\n".join(self.tokens))
        if self.same:
            (self.folder / "same").touch()

    def body(self) -> bytes:
        """One of its bodies."""
        with open(self.folder / "texts") as lines:
            text = lines.readline().rstrip("\n")
        return ((self.folder / "front").read_text() + text + (self.folder / "back").read_text()).encode()


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
    """Sends it for so long: requests, seconds, refused and lost ones, p50 and p99 in microseconds."""
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
