"""The image: reproducible, whole, taken by a real registry and by what Istio's agent checks; the release pins it."""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys

import pytest

from harness.paths import MODULE, ROOT
from mesh import image, manifests, release
from mesh.registry import PullFailed, blob, pull


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    digests = image.pack(MODULE.read_bytes(), folder, "1.2.3")
    return folder, digests


def files(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_module_gives_the_same_bits(layout, tmp_path):
    folder, digests = layout
    code = (
        "import sys, pathlib, time; sys.path.insert(0, sys.argv[1]); from mesh import image;"
        "image.pack(pathlib.Path(sys.argv[2]).read_bytes(), pathlib.Path(sys.argv[3]), '1.2.3')"
    )
    # Another process, another day, another zone, another mask.
    subprocess.run(
        ["sh", "-c", 'umask 077; exec "$@"', "sh", sys.executable, "-c", code, str(ROOT / "integration"), str(MODULE), str(tmp_path)],
        check=True, env={"TZ": "Asia/Tokyo", "PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert files(tmp_path) == files(folder)


def test_every_blob_is_what_its_name_says(layout):
    folder, digests = layout
    index = json.loads((folder / "index.json").read_text())
    assert [entry["digest"] for entry in index["manifests"]] == [digests["image"], digests["artifact"]]
    for path in (folder / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    for entry in index["manifests"]:
        manifest = json.loads(blob(folder, entry["digest"]))
        for part in (manifest["config"], *manifest["layers"]):
            assert len(blob(folder, part["digest"])) == part["size"]
    picture = json.loads(blob(folder, digests["image"]))
    config = json.loads(blob(folder, picture["config"]["digest"]))
    (layer,) = picture["layers"]
    assert config["rootfs"]["diff_ids"] == [image.digest(gzip.decompress(blob(folder, layer["digest"])))]


def test_a_registry_takes_both_forms_and_istio_reads_them(layout, registry):
    folder, digests = layout
    pushed = registry.push(folder, "llm/bartizan")
    assert pushed == {"1.2.3": digests["image"], "1.2.3-artifact": digests["artifact"]}
    for form in ("image", "artifact"):
        url = f"oci://{registry.host}/llm/bartizan@{digests[form]}"
        assert pull(registry, url, digests[form].removeprefix("sha256:")) == MODULE.read_bytes(), form


def test_a_sum_of_the_module_itself_is_refused_as_istio_refuses_it(layout, registry):
    folder, digests = layout
    registry.push(folder, "llm/bartizan")
    url = f"oci://{registry.host}/llm/bartizan@{digests['image']}"
    with pytest.raises(PullFailed, match="does not match"):
        pull(registry, url, hashlib.sha256(MODULE.read_bytes()).hexdigest())
    with pytest.raises(PullFailed, match="manifest: 404"):
        pull(registry, f"oci://{registry.host}/llm/bartizan@sha256:{'0' * 64}")


def test_the_bill_of_materials_names_what_is_in_the_module():
    bill = image.bill_of_materials(MODULE.read_bytes())
    names = {component["name"] for component in bill["components"]}
    assert {"serde_json", "aho-corasick", "regex-automata", "proxy-wasm"} <= names
    # The command line's crates and the tests' are not in the module.
    assert not names & {"clap", "proptest", "insta", "indicatif"}
    # Crates of this repository are hashed with the module.
    others = [component for component in bill["components"] if not component["name"].startswith("bartizan")]
    assert all(component.get("licenses") and component.get("hashes") for component in others), "a crate without licence or checksum"
    assert len({component["bom-ref"] for component in bill["components"]}) == len(bill["components"])
    assert image.bill_of_materials(MODULE.read_bytes()) == bill


def test_make_image_writes_it_all(tmp_path):
    folder = tmp_path / "image"
    subprocess.run([sys.executable, str(ROOT / "integration/mesh/image.py"), str(MODULE), str(folder)], check=True, capture_output=True)
    done = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"bartizan.wasm", "bartizan.cdx.json", "digests.json", "oci/index.json", "oci/oci-layout"} <= set(files(folder))


def test_a_release_pins_the_digest_everywhere(tmp_path):
    for name in ("istio", "charts", "envoy"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "Cargo.toml", tmp_path)
    version = image.version()
    digest = "sha256:" + "ab" * 32
    release.pin(tmp_path, version, digest, "registry.test/guard/bartizan")
    pins = set()
    for path in [*(tmp_path / "istio").rglob("*.yaml"), *(tmp_path / "charts").rglob("*.yaml"), *(tmp_path / "envoy/gateway").glob("*.yaml")]:
        pins |= set(re.findall(r"\b[0-9a-f]{64}\b", path.read_text()))
    assert pins == {"ab" * 32}
    holders = [path for path in manifests.FILES if re.search(r"oci://", path.read_text())]
    for path in holders:
        assert f"oci://registry.test/guard/bartizan@{digest}" in (tmp_path / path.relative_to(ROOT)).read_text()
    assert f"digest: {digest}" in (tmp_path / "charts/bartizan/values.yaml").read_text()
    assert release.pin(tmp_path, version, digest, "registry.test/guard/bartizan") == [], "a second run changes something"
    with pytest.raises(SystemExit, match="set its version"):
        release.pin(tmp_path, "99.0.0", digest)
