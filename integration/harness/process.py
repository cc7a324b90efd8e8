"""Child processes that die with their parent's scope and leave their output in a file."""

import os
import signal
import subprocess
import time
from pathlib import Path


class Running:
    """Something that runs until `stop`: a context manager. As it is, it stops its `child`."""

    def stop(self) -> None:
        self.child.stop()

    def pause(self) -> None:
        """The process is there, takes connections, and does nothing."""
        self.child.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.child.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Child(Running):
    """A server process; `log` is where both of its streams go unless `out` takes stdout, `env` what its environment has besides."""

    def __init__(self, command: list[str], log: Path, out: Path | None = None, cwd: Path | None = None, env: dict | None = None):
        self.command, self.log = command, log
        with open(log, "wb") as errors, open(out or log, "ab") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=cwd, env={**os.environ, **(env or {})}
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    def alive(self) -> bool:
        return self.process.poll() is None

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def wait_until(self, ready, what: str, seconds: float = 60.0) -> None:
        """Waits for `ready()`; the error says what was waited for and shows the end of the log."""
        end = time.monotonic() + seconds
        while not ready():
            if not self.alive():
                raise RuntimeError(f"{what} ended with {self.process.returncode}:\n{self.tail()}")
            if time.monotonic() > end:
                self.stop()
                raise RuntimeError(f"{what} is not ready after {seconds:.0f} s:\n{self.tail()}")
            time.sleep(0.03)

    def stop(self) -> None:
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
