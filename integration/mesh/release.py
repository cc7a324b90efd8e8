"""`make release VERSION=`: pins the image's digest into the chart and the manifests.

    python3 integration/mesh/release.py VERSION DIGESTS.json [--repository HOST/PATH] [--root FOLDER]
"""

import argparse
import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = re.compile(r"oci://(?P<repository>[^\s@]+)@sha256:[0-9a-f]{64}")
SUM = re.compile(r'(?P<key>\bsha256: )"[0-9a-f]{64}"')


def pin(root: Path, version: str, digest: str, repository: str | None = None) -> list[Path]:
    """Writes version and digest into `charts/` and `istio/` below `root`; the files that changed."""
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise SystemExit(f"not a digest: {digest}")
    crate = re.search(r'^version = "([^"]+)"', (root / "Cargo.toml").read_text(), re.M)[1]
    if crate != version:
        raise SystemExit(f"Cargo.toml says {crate}: set its version to {version} first, so that module, image and chart agree")
    changes = {}

    def change(path: Path, edit) -> None:
        before = path.read_text()
        after = edit(before)
        if after != before:
            changes[path] = after

    def manifest(text: str) -> str:
        text = PLACE.sub(lambda found: f"oci://{repository or found['repository']}@{digest}", text)
        return SUM.sub(lambda found: f'{found["key"]}"{digest.removeprefix("sha256:")}"', text)

    def gateway(text: str) -> str:
        text = re.sub(r"url: (\S+)@sha256:[0-9a-f]{64}", lambda found: f"url: {repository or found[1]}@{digest}", text)
        return SUM.sub(lambda found: f'{found["key"]}"{digest.removeprefix("sha256:")}"', text)

    def values(text: str) -> str:
        text = re.sub(r"^  digest: sha256:[0-9a-f]{64}$", f"  digest: {digest}", text, count=1, flags=re.M)
        return re.sub(r"^  repository: \S+$", f"  repository: {repository}", text, count=1, flags=re.M) if repository else text

    def chart(text: str) -> str:
        return re.sub(r"^(version|appVersion): \S+$", rf"\g<1>: {version}", text, flags=re.M)

    for path in sorted((root / "istio").rglob("*.yaml")):
        change(path, manifest)
    change(root / "envoy" / "gateway" / "extension-policy.yaml", gateway)
    change(root / "charts" / "bartizan" / "values.yaml", values)
    change(root / "charts" / "bartizan" / "Chart.yaml", chart)
    for path, text in changes.items():
        path.write_text(text)
    return list(changes)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("version")
    arguments.add_argument("digests", type=Path)
    arguments.add_argument("--repository")
    arguments.add_argument("--root", type=Path, default=ROOT)
    given = arguments.parse_args()
    digests = json.loads(given.digests.read_text())
    if digests["version"] != given.version:
        raise SystemExit(f"the image was made for {digests['version']}: make image")
    for path in pin(given.root, given.version, digests["image"], given.repository or None):
        print(f"    {path.relative_to(given.root)}")
    print(f"    pinned {digests['image']}")


if __name__ == "__main__":
    main()
