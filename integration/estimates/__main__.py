"""How far the token estimate is from what real tokenizers count: `make estimates` prints the table of README.md beside it.

The texts are this repository's own: paragraphs in twelve languages, code, documents, data. The calibrated table says what is
left when a worker has seen traffic of that kind alone: it multiplies with the third quarter of billed to estimated.
"""

import base64
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.paths import CLI, ROOT

HERE = Path(__file__).parent
SIZE = 1200
MOST = 40_000


def pieces(text: str) -> list[str]:
    """Parts of about a request's length, cut between lines."""
    parts, part = [], ""
    for line in text[:MOST].splitlines(keepends=True):
        if part and len(part) + len(line) > SIZE:
            parts.append(part)
            part = ""
        part += line
    return [*parts, part]


def files(*patterns: str) -> str:
    return "\n".join(path.read_text() for pattern in patterns for path in sorted(ROOT.glob(pattern)))


def rows(seed: int = 1) -> str:
    draw = random.Random(seed)
    return "".join(f"2026-{draw.randint(1, 12):02},{draw.randint(1, 99999)},{draw.uniform(0, 1000):.2f}\n" for _ in range(400))


def binary(seed: int = 1) -> str:
    return base64.encodebytes(random.Random(seed).randbytes(9000)).decode()


def texts() -> dict[str, list[str]]:
    kinds = {path.stem.capitalize(): path.read_text().strip().split("\n\n") for path in sorted((HERE / "texts").glob("*.txt"))}
    english = kinds.pop("English")
    rest = {
        "Markdown": files("README.md", "envoy/RUNBOOK.md"), "Rust": files("src/quota/*.rs"),
        "Python": files("integration/harness/*.py"), "JavaScript": files("integration/**/*.mjs", "tests/bench/*.mjs"),
        "YAML": files("istio/*.yaml", "envoy/*.yaml"), "JSON": files("charts/*/values.schema.json"),
        "numbers": rows(), "base64": binary(),
    }  # fmt: skip
    return {"English": english} | kinds | {kind: pieces(text) for kind, text in rest.items()}


def estimated(parts: list[str]) -> list[int]:
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for number, part in enumerate(parts):
            names.append(Path(folder) / f"{number}.txt")
            names[-1].write_text(part)
        return json.loads(subprocess.check_output([CLI, "estimate", "--json", *names]))


def third_quarter(ratios: list[float]) -> float:
    ratios = sorted(min(max(ratio, 0.5), 2.0) for ratio in ratios)
    return ratios[-(-len(ratios) * 3 // 4) - 1]


def table(title: str, families: list[str], lines: list[tuple[str, list[float]]]) -> None:
    wide = max(len(kind) for kind, _ in lines)
    print(f"\n{title}\n{'':{wide}}  " + "  ".join(f"{family:>14}" for family in families))
    for kind, errors in lines:
        print(f"{kind:{wide}}  " + "  ".join(f"{error:>+13.0%} " for error in errors).rstrip())


def main() -> None:
    kinds = texts()
    every = [part for parts in kinds.values() for part in parts]
    command = ["node", str(HERE / "count.mjs"), sys.argv[1]]
    counts = json.loads(subprocess.run(command, input=json.dumps(every), stdout=subprocess.PIPE, text=True, check=True).stdout)
    guesses, places, at = estimated(every), {}, 0
    for kind, parts in kinds.items():
        places[kind] = range(at, at + len(parts))
        at += len(parts)

    def error(places, family: str, factor: float = 1.0) -> float:
        return factor * sum(guesses[place] for place in places) / sum(counts[family][place] for place in places) - 1

    def ratio(places, family: str) -> float:
        return third_quarter([counts[family][place] / guesses[place] for place in places])

    families, whole = list(counts), range(len(every))
    print(f"{len(every)} texts, {sum(map(len, every))} characters; estimated beside counted, +: too much is reserved")
    table("the estimate itself", families, [(kind, [error(here, family) for family in families]) for kind, here in places.items()])
    calibrated = [(kind, [error(here, family, ratio(here, family)) for family in families]) for kind, here in places.items()]
    table("calibrated by traffic of that kind", families, calibrated)
    mixed = [error(whole, family, ratio(whole, family)) for family in families]
    table("all texts", families, [("itself", [error(whole, family) for family in families]), ("calibrated", mixed)])


main()
