"""A real registry on this machine, and what is needed to talk to it: push a layout, pull as Istio's agent does."""

import gzip
import hashlib
import io
import json
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from harness.paths import run_folder
from harness.process import Child, Running

from . import parts
from .cluster import free_port
from .image import LAYER, MANIFEST, WASM_LAYER


class Registry(Running):
    """Docker's registry with its files in a scratch folder. A context manager."""

    def __init__(self):
        binary = parts.tool("docker-registry")
        self.folder, self.port = run_folder("registry"), free_port()
        config = self.folder / "config.yml"
        config.write_text(yaml.safe_dump({
            "version": 0.1, "log": {"level": "warn"}, "http": {"addr": f"127.0.0.1:{self.port}"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "store")}},
        }))  # fmt: skip
        self.child = Child([binary, "serve", str(config)], log=self.folder / "registry.log")
        self.child.wait_until(lambda: self.call("GET", "/v2/")[0] == 200, "the registry")
        self.host = f"127.0.0.1:{self.port}"

    def call(self, method: str, path: str, body: bytes | None = None, **headers) -> tuple[int, bytes, dict]:
        url = path if path.startswith("http") else f"http://127.0.0.1:{self.port}{path}"
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        request = urllib.request.Request(url, data=body, method=method, headers=named)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, reply.read(), dict(reply.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)
        except OSError:
            return 0, b"", {}

    def push(self, layout: Path, name: str) -> dict[str, str]:
        """Every manifest of a layout with its blobs; the digests by tag, as the registry gives them."""
        digests = {}
        for entry in json.loads((layout / "index.json").read_text())["manifests"]:
            tag = entry["annotations"]["org.opencontainers.image.ref.name"]
            body = blob(layout, entry["digest"])
            manifest = json.loads(body)
            for part in (manifest["config"], *manifest["layers"]):
                status, _, headers = self.call("POST", f"/v2/{name}/blobs/uploads/", b"")
                assert status == 202, status
                place = headers["Location"]
                status, said, _ = self.call(
                    "PUT", f"{place}{'&' if '?' in place else '?'}digest={part['digest']}", blob(layout, part["digest"]),
                    content_type="application/octet-stream",
                )  # fmt: skip
                assert status == 201, said
            status, said, headers = self.call("PUT", f"/v2/{name}/manifests/{tag}", body, content_type=entry["mediaType"])
            assert status == 201, said
            digests[tag] = headers["Docker-Content-Digest"]
        return digests


class PullFailed(Exception):
    """The agent would put a deny-all in the filter's place."""


def pull(registry: Registry, url: str, sha256: str | None = None) -> bytes:
    """The module behind an `oci://` URL, with the checks of Istio's agent (pkg/wasm): the manifest's digest against
    the URL's and against `sha256`, then the image form, then the artifact form, then the magic number."""
    place = url.removeprefix("oci://")
    host, _, rest = place.partition("/")
    name, _, reference = rest.partition("@") if "@" in rest else rest.rpartition(":")
    assert host == registry.host, url
    status, body, _ = registry.call("GET", f"/v2/{name}/manifests/{reference}", accept=MANIFEST)
    if status != 200:
        raise PullFailed(f"manifest: {status}")
    actual = hashlib.sha256(body).hexdigest()
    if reference.startswith("sha256:") and reference != f"sha256:{actual}":
        raise PullFailed("the manifest is not the one of the URL")
    if sha256 and sha256 != actual:
        raise PullFailed(f"module downloaded from {url} has checksum {actual}, which does not match: {sha256}")
    layers = json.loads(body)["layers"]

    def content(layer: dict) -> bytes:
        status, data, _ = registry.call("GET", f"/v2/{name}/blobs/{layer['digest']}")
        if status != 200 or "sha256:" + hashlib.sha256(data).hexdigest() != layer["digest"]:
            raise PullFailed(f"layer: {status}")
        return data

    module = None
    if layers and layers[-1]["mediaType"] == LAYER:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content(layers[-1])))) as tar:
            module = next((tar.extractfile(entry).read() for entry in tar if Path(entry.name).name == "plugin.wasm"), None)
    elif len(layers) == 2:
        module = next((content(layer) for layer in layers if layer["mediaType"] == WASM_LAYER), None)
    if module is None or not module.startswith(b"\0asm"):
        raise PullFailed("no module in the image")
    return module


def blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()
