"""The shipped manifests: which files there are, and the plugins in them."""

from pathlib import Path

import yaml

from harness.paths import ROOT

ISTIO = ROOT / "istio"
FILES = sorted(path for path in ISTIO.rglob("*.yaml") if not path.name.startswith("values"))


def documents(path: Path) -> list[dict]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def name(path: Path) -> str:
    return str(path.relative_to(ISTIO))


def plugins() -> list[tuple[str, dict, dict]]:
    """Every WasmPlugin and TrafficExtension: file, spec, and the part that says what to load."""
    found = []
    for path in FILES:
        for document in documents(path):
            if document["kind"] == "WasmPlugin":
                found.append((name(path), document["spec"], document["spec"]))
            elif document["kind"] == "TrafficExtension":
                found.append((name(path), document["spec"], document["spec"]["wasm"]))
    return found
