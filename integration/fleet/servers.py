"""The rate-limit service of a test: Limitador's engine where it is built, else the double of the harness."""

import shutil
import signal
import socket
import time

from harness.paths import ROOT, run_folder
from harness.process import Child
from harness.ratelimit import RateLimits
from harness.upstream import closed_port

BINARY = ROOT / ".cache" / "limits" / "release" / "bartizan-test-limits"


def missing() -> str | None:
    """Why the real engine can't be had."""
    if not BINARY.exists():
        return "Limitador's engine is not built: make fleet-test"
    return None


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Limitador:
    """The real engine behind Envoy's protocol, as a process that can be killed."""

    name = "Limitador"

    def __init__(self, *options: str):
        self.port, self.options = closed_port(), options
        self.folder = run_folder("limits")
        self.start()

    def start(self) -> None:
        self.child = Child([str(BINARY), str(self.port), *self.options], log=self.folder / "limits.log")
        self.child.wait_until(lambda: answers(self.port), "the rate-limit service", 30)

    def stop(self) -> None:
        self.child.process.kill()
        self.child.process.wait(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Double(RateLimits):
    """The double, which answers what it is told."""

    name = "double"


class Redis:
    """A Redis of one test, if the machine has one. It writes every change to disk before it answers."""

    @staticmethod
    def missing() -> str | None:
        if not shutil.which("redis-server"):
            return "no redis-server on this machine (on Debian: apt-get install redis-server)"
        return missing()

    def __init__(self):
        self.port, self.folder = closed_port(), run_folder("redis")
        self.start()

    def start(self) -> None:
        options = ["--port", str(self.port), "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
        self.child = Child(["redis-server", *options, "--dir", str(self.folder)], log=self.folder / "redis.log")
        self.child.wait_until(lambda: answers(self.port), "Redis", 20)
        time.sleep(0.1)

    def stop(self) -> None:
        self.child.process.kill()
        self.child.process.wait(5)

    def pause(self) -> None:
        self.child.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.child.process.send_signal(signal.SIGCONT)
