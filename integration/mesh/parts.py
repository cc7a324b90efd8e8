"""Where the mesh tests' real parts are, and why one is missing."""

import os
import shutil
from pathlib import Path

from harness.paths import CACHE, ROOT

# Istio's CRDs stand outside the repository: Istio's licence is another, and they are 1 MB.
ISTIO_CRDS = Path(os.environ.get("ISTIO_CRDS") or ROOT.parent / "shared" / "istio-crds.yaml")
APISERVER = CACHE / "apiserver" / "apiserver"
_DEBIAN = {"etcd": "etcd-server", "docker-registry": "docker-registry", "promtool": "prometheus", "prometheus": "prometheus"}


class Missing(Exception):
    """A part is not here; the text says which and what would bring it."""


def tool(name: str) -> str:
    """The path of `kubectl`, `helm`, `etcd`, `docker-registry`, `promtool`; `Missing` when it can't be had."""
    folder = CACHE / ("debian" if name in _DEBIAN else "kube")
    path = folder / "usr" / "bin" / name if name in _DEBIAN else folder / name
    if path.exists():
        return str(path)
    if name in _DEBIAN and shutil.which(name):
        return shutil.which(name)
    why = folder / "missing"
    raise Missing(why.read_text().strip() if why.exists() else f"{name} is not in {folder.name}/: make mesh-tools")


def apiserver() -> str:
    """The API server's path; `Missing` when it was never built, or could not be."""
    if APISERVER.exists():
        return str(APISERVER)
    why = APISERVER.parent / "missing"
    raise Missing(why.read_text().strip() if why.exists() else "the API server is not built: make mesh-test builds it once, in some minutes")


def istio_crds() -> Path:
    """The file with Istio's CRDs; `Missing` when it is not beside the checkout."""
    if ISTIO_CRDS.exists():
        return ISTIO_CRDS
    raise Missing("Istio's CRDs are not at ../shared/istio-crds.yaml; ISTIO_CRDS=crd-all.gen.yaml of Istio's base chart names another place")
