"""The lists of what does not pass. A row names a branch of the walk, and says that every case on it fails.

`refused.txt` holds what is refused by design, with its reason; `not-mended.txt` holds faults. A case that passes and is
listed fails the test, so that the lists can only shrink.
"""

import re
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent
STEP = re.compile(r"(?:(\w+)=)?(?:([A-Z]\w*))?(?:\.?\d+)?(?:\((.*)\))?", re.S)


def branch(endpoint: str, part: str, label: str) -> tuple[str, ...]:
    """The case as a path: endpoint, part, and field by field the types that stand inside each other, then its label."""
    path, rest = [endpoint, part], label
    while rest:
        step = STEP.match(rest)
        if not step[1] and not step[2]:
            break
        path += [name for name in step.groups()[:2] if name]
        rest = step[3] or ""
    return *path, label or "-"


class List:
    """The rows of one file that belong to one SDK, each with the remark that follows ` # `."""

    def __init__(self, name: str, sdk: str):
        self.path, self.sdk = FOLDER / name, sdk
        self.rows: dict[tuple[str, ...], str] = {}
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            row, _, remark = line.partition(" # ")
            if row.startswith(f"{sdk} "):
                self.rows[tuple(row.strip().split(" > "))] = remark

    def covers(self, path: tuple[str, ...]) -> bool:
        return any(path[:size] in self.rows for size in range(1, len(path) + 1))

    def remark(self, path: tuple[str, ...]) -> str:
        return next((self.rows[path[:size]] for size in range(1, len(path) + 1) if path[:size] in self.rows), "")

    def write(self, failed: dict[tuple[str, ...], str], every: Iterable[tuple[str, ...]]) -> None:
        """Puts the shortest branches on which all cases fail in the place of this SDK's rows."""
        passed = {path[:size] for path in every if path not in failed for size in range(1, len(path) + 1)}
        rows: dict[tuple[str, ...], str] = {}
        for path, came in failed.items():
            # The endpoint alone is too wide a branch.
            size = next(size for size in range(2, len(path) + 1) if path[:size] not in passed)
            rows.setdefault(path[:size], self.remark(path) or came)
        lines = [line for line in (self.path.read_text().splitlines() if self.path.exists() else []) if not line.startswith(f"{self.sdk} ")]
        lines += [f"{' > '.join(row)} # {came}" for row, came in sorted(rows.items())]
        self.path.write_text("".join(f"{line}\n" for line in lines))
