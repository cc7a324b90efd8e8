"""The rate-limit service of a test: Limitador's engine where it is built, else the double of the harness."""

import shutil
import signal
import socket

from harness.paths import ROOT, run_folder
from harness.process import Child, Running
from harness.ratelimit import RateLimits
from harness.upstream import closed_port

# Where `redis.sh` unpacks Debian's packages.
UNPACKED = ROOT / ".cache" / "redis" / "usr"
BINARY = ROOT / ".cache" / "limits" / "release" / "bartizan-test-limits"


def missing() -> str | None:
    """Why the real engine can't be had."""
    if not BINARY.exists():
        return "Limitador's engine is not built: make fleet-test"
    return None


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Limitador(Running):
    """The real engine behind Envoy's protocol, as a process that can be killed."""

    name = "Limitador"

    def __init__(self, *options: str):
        self.port, self.options = closed_port(), options
        self.folder = run_folder("limits")
        self.start()

    def start(self) -> None:
        self.child = Child([str(BINARY), str(self.port), *self.options], log=self.folder / "limits.log")
        self.child.wait_until(lambda: answers(self.port), "the rate-limit service")

    def stop(self) -> None:
        self.child.process.kill()
        self.child.process.wait(5)


class Double(RateLimits):
    """The double, which answers what it is told."""

    name = "double"


class Redis:
    """A Redis of one test: the machine's, or the one in the cache. It writes every change to disk before it answers."""

    @staticmethod
    def command() -> list[str]:
        """How it is called; nothing where there is none."""
        if own := shutil.which("redis-server"):
            return [own]
        binary = UNPACKED / "bin" / "redis-server"
        libraries = ":".join(sorted({str(path.parent) for path in UNPACKED.glob("lib/*/lib*.so*")}))
        return ["env", f"LD_LIBRARY_PATH={libraries}", str(binary)] if binary.exists() else []

    @staticmethod
    def missing() -> str | None:
        if not Redis.command():
            return "no redis-server: make fleet-test unpacks it"
        return missing()

    def __init__(self):
        self.port, self.folder = closed_port(), run_folder("redis")
        self.start()

    def start(self) -> None:
        options = ["--port", str(self.port), "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self.child = Child([*self.command(), *options, "--dir", str(self.folder)], log=self.folder / "redis.log")
        self.child.wait_until(self.ready, "Redis")

    def stop(self) -> None:
        self.child.process.kill()
        self.child.process.wait(5)

    def ready(self) -> bool:
        """Whether it has read its log and takes commands."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def pause(self) -> None:
        self.child.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.child.process.send_signal(signal.SIGCONT)
