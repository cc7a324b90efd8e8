"""Where things stand in the checkout."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "target" / "bartizan.wasm"
CLI = ROOT / "target" / "debug" / "bartizan"
CACHE = ROOT / ".cache"
# One folder a process, so that two runs at a time do not meet.
RUN = CACHE / "run" / str(os.getpid())


def run_folder(name: str) -> Path:
    """A fresh folder for the files of one server."""
    RUN.mkdir(parents=True, exist_ok=True)
    number = sum(1 for _ in RUN.iterdir())
    folder = RUN / f"{number:03}-{name}"
    folder.mkdir()
    return folder
