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
    """The development issuer: keys and tokens by `bartizan token`."""

    def __init__(self, folder: Path):
        from .tokens import Key

        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.key = Key("ES256", "dev")
        self.keys = [self.key.jwk]

    def token(self, subject: str, roles: list[str], lifetime: str = "1h", expired: bool = False) -> str:
        from .tokens import claims

        return self.key.sign(claims(subject, roles, lifetime=-3600 if expired else 86400))
