"""The native command line: `bartizan`."""

import json
import subprocess
from pathlib import Path

from .paths import CLI, ROOT
from .tokens import AUDIENCE, ISSUER


def bartizan(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess:
    """Runs the command line from the root of the checkout."""
    return subprocess.run([str(CLI), *arguments], cwd=ROOT, input=text, capture_output=True, text=True, timeout=120)


def check(path: Path) -> tuple[int, str]:
    """`bartizan check`: exit code and everything it said."""
    done = bartizan("check", str(path))
    return done.returncode, done.stdout + done.stderr


class DevIssuer:
    """The development issuer: keys and tokens by `bartizan token`. The keys in `folder` are kept over runs."""

    def __init__(self, folder: Path):
        self.folder = folder
        if not (folder / "jwks.json").exists():
            self._run("token", "keys", str(folder), "--force")
        self.keys: list[dict] = json.loads((folder / "jwks.json").read_text())["keys"]

    def token(self, subject: str, roles: list[str], seconds: int = 3600, key: str = "es256") -> str:
        return self._run(
            "token", "sign", "--key", str(self.folder / f"{key}.pem"), "--issuer", ISSUER, "--audience", AUDIENCE,
            "--subject", subject, "--roles", ",".join(roles), "--tenant", "acme", "--ttl", str(seconds),
        ).strip()  # fmt: skip

    def _run(self, *arguments: str) -> str:
        done = bartizan(*arguments)
        if done.returncode != 0:
            raise RuntimeError(f"bartizan {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout
