"""`make image`: the module as an OCI image layout, with its bill of materials and checksums.

    python3 integration/mesh/image.py MODULE FOLDER      (standard library alone)

The layout holds the module twice. Istio reads both forms:

* the image form, `VERSION`: `FROM scratch` with `/plugin.wasm` in one tar.gz layer, which every registry takes;
* the artifact form, `VERSION-artifact`: the module itself as a layer of type
  `application/vnd.module.wasm.content.layer.v1+wasm`, behind a layer with its configuration; Istio wants both.

The same module gives the same bits, wherever it is packed: no times, no owners, and a gzip stream that is written
here, since compressors differ between versions. It is not compressed for the same reason.
"""

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import uuid
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
WASM_CONFIG = "application/vnd.module.wasm.config.v1+json"
WASM_LAYER = "application/vnd.module.wasm.content.layer.v1+wasm"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def as_json(value) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def stored_gzip(data: bytes) -> bytes:
    """A gzip member (RFC 1952) of stored blocks (RFC 1951, 3.2.4): no time, no name, no compressor's choices."""
    out = [b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"]
    for at in range(0, len(data), 65535):
        block = data[at : at + 65535]
        last = at + 65535 >= len(data)
        size = len(block)
        out += [bytes([last]), size.to_bytes(2, "little"), (size ^ 0xFFFF).to_bytes(2, "little"), block]
    out += [zlib.crc32(data).to_bytes(4, "little"), (len(data) & 0xFFFFFFFF).to_bytes(4, "little")]
    return b"".join(out)


def archive(module: bytes) -> bytes:
    """A tar with `plugin.wasm`, owned by nobody at no time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo("plugin.wasm")
        entry.size, entry.mode = len(module), 0o644
        tar.addfile(entry, io.BytesIO(module))
    return out.getvalue()


class Layout:
    """An OCI image layout under construction."""

    def __init__(self, folder: Path):
        self.folder, self.manifests = folder, []
        (folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)

    def blob(self, kind: str, data: bytes) -> dict:
        name = digest(data)
        (self.folder / "blobs" / "sha256" / name.removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": kind, "digest": name, "size": len(data)}

    def manifest(self, tag: str, config: dict, layers: list[dict], annotations: dict) -> str:
        entry = self.blob(MANIFEST, as_json({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers, "annotations": annotations,
        }))  # fmt: skip
        self.manifests.append(entry | {"annotations": {"org.opencontainers.image.ref.name": tag}})
        return entry["digest"]

    def close(self) -> None:
        (self.folder / "oci-layout").write_bytes(as_json({"imageLayoutVersion": "1.0.0"}))
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": self.manifests}
        (self.folder / "index.json").write_bytes(as_json(index))


def version() -> str:
    return re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]


def bill_of_materials(module: bytes) -> dict:
    """CycloneDX 1.5: every crate that is compiled into the module, with its licence and its checksum in Cargo.lock."""
    said = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked", "--no-default-features", "--features", "full",
         "--filter-platform", "wasm32-wasip1"],
        cwd=ROOT, capture_output=True, check=True,
    )  # fmt: skip
    data = json.loads(said.stdout)
    packages = {package["id"]: package for package in data["packages"]}
    nodes = {node["id"]: node for node in data["resolve"]["nodes"]}
    lock = (ROOT / "Cargo.lock").read_text()
    sums = {(n, v): c for n, v, c in re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"\n(?:source = "[^"]+"\n)checksum = "([^"]+)"', lock)}
    root, found = data["resolve"]["root"], {}
    waiting = [root]
    while waiting:
        at = waiting.pop()
        if at in found:
            continue
        # Normal dependencies alone: what builds the module does not stand in it.
        found[at] = sorted(d["pkg"] for d in nodes[at]["deps"] if any(kind["kind"] is None for kind in d["dep_kinds"]))
        waiting += found[at]

    def reference(package: dict) -> str:
        return f"pkg:cargo/{package['name']}@{package['version']}"

    def component(package: dict) -> dict:
        out = {"type": "library", "bom-ref": reference(package), "name": package["name"], "version": package["version"], "purl": reference(package)}
        if package.get("license"):
            out["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
        if (package["name"], package["version"]) in sums:
            out["hashes"] = [{"alg": "SHA-256", "content": sums[package["name"], package["version"]]}]
        return out

    own = packages[root]
    others = sorted((packages[name] for name in found if name != root), key=reference)
    module_digest = hashlib.sha256(module).hexdigest()
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # Of the module and not of chance, so that the file is the same again.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, module_digest)}",
        "version": 1,
        "metadata": {"component": component(own) | {"type": "application", "hashes": [{"alg": "SHA-256", "content": module_digest}]}},
        "components": [component(package) for package in others],
        "dependencies": sorted(
            ({"ref": reference(packages[name]), "dependsOn": sorted({reference(packages[below]) for below in below_it})} for name, below_it in found.items()),
            key=lambda entry: entry["ref"],
        ),
    }


def pack(module: bytes, folder: Path, tag: str | None = None) -> dict[str, str]:
    """Writes the layout; the manifests' digests by form."""
    tag = tag or version()
    annotations = {
        "org.opencontainers.image.title": "bartizan",
        "org.opencontainers.image.version": tag,
        "org.opencontainers.image.licenses": "MIT",
        # The module's own digest: not the one that a WasmPlugin's sha256 wants, which is the manifest's.
        "bartizan.module.digest": digest(module),
    }
    layout = Layout(folder)
    tar = archive(module)
    config = layout.blob(CONFIG, as_json({
        "architecture": "wasm", "os": "wasip1", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest(tar)]},
    }))  # fmt: skip
    image = layout.manifest(tag, config, [layout.blob(LAYER, stored_gzip(tar))], annotations)
    settings = as_json({"name": "bartizan", "version": tag, "type": "envoy_proxy", "abiVersions": ["v0.2.1"]})
    empty = layout.blob(WASM_CONFIG, b"{}")
    layers = [layout.blob(WASM_CONFIG, settings), layout.blob(WASM_LAYER, module)]
    artifact = layout.manifest(f"{tag}-artifact", empty, layers, annotations)
    layout.close()
    return {"image": image, "artifact": artifact}


def main(module_path: str, folder_name: str) -> None:
    module, folder = Path(module_path).read_bytes(), Path(folder_name)
    if folder.exists():
        import shutil

        shutil.rmtree(folder)
    digests = pack(module, folder / "oci")
    (folder / "bartizan.wasm").write_bytes(module)
    (folder / "bartizan.cdx.json").write_text(json.dumps(bill_of_materials(module), indent=1) + "\n")
    (folder / "digests.json").write_text(json.dumps({"version": version(), "module": digest(module), **digests}, indent=1) + "\n")
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}" for path in sorted(folder.rglob("*")) if path.is_file()]
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    print(f"    {folder}/oci: image {digests['image']}\n    {' ' * len(str(folder))}      artifact {digests['artifact']}")
    print(f"    push it: skopeo copy oci:{folder}/oci:{version()} docker://registry.example.com/llm/bartizan:{version()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
