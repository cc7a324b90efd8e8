"""`python -m dashboards --write` writes `envoy/grafana`; without it prints what would change."""

import json
import sys

from harness.paths import ROOT

from .boards import BOARDS, board

FOLDER = ROOT / "envoy" / "grafana"


def text(name: str) -> str:
    return json.dumps(board(name), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name in BOARDS:
        file = FOLDER / f"{name}.json"
        if "--write" in sys.argv:
            file.write_text(text(name))
        elif not file.exists() or file.read_text() != text(name):
            print(f"{file.relative_to(ROOT)} is stale: python -m dashboards --write")
