#!/usr/bin/env bash
# Builds the API server of the tests: k8s.io/apiextensions-apiserver, the part of kube-apiserver that serves
# CustomResourceDefinitions and custom resources, from the Go source packages of Debian sid.
#
# usage: build.sh TARGET        writes TARGET and TARGET.txt (what it was made of)
#
# Nothing is installed: packages are unpacked in a scratch folder beside TARGET, which needs 5 GB for some
# four minutes. apt verifies every signature. The system's own keyring starts the chain: when it does not know
# sid's key, it vouches for a newer stable release's debian-archive-keyring, and that one for sid.
# sid moves, so a build may fail one day: the tests then skip with the reason that this script gave.
set -euo pipefail
TARGET=$(realpath -m "$1"); HERE=$(cd "$(dirname "$0")" && pwd)
WORK=${TARGET%/*}/work; rm -rf "$WORK"; mkdir -p "$WORK"/{lists/partial,cache/archives/partial,debs,tree}
trap 'rm -rf "$WORK"' EXIT
command -v apt-get >/dev/null && command -v dpkg >/dev/null || { echo "no apt-get: this is built from Debian's packages" >&2; exit 3; }

# The machine's own mirror of Debian.
MIRROR=$(cat /etc/apt/sources.list.d/debian.sources 2>/dev/null | awk '/^URIs:/{print $2; exit}')
[ -n "$MIRROR" ] || MIRROR=$(awk '$1=="deb"{for(i=2;i<=NF;i++) if($i ~ /:\/\//){print $i; exit}}' /etc/apt/sources.list)
[ -n "$MIRROR" ] || { echo "no mirror of Debian in apt's configuration" >&2; exit 3; }

OPTIONS=(-o Dir::Etc::sourcelist="$WORK/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o Dir::State::lists="$WORK/lists" -o Dir::Cache="$WORK/cache" -o Dir::State::status="$WORK/status"
  -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any)
apt_for() { # SUITE KEYRING ARGUMENTS...
  echo "deb [signed-by=$2] $MIRROR $1 main" > "$WORK/sources.list"; : > "$WORK/status"
  apt-get "${OPTIONS[@]}" "${@:3}"
}

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
if ! apt_for sid "$KEYRING" update -qq 2>"$WORK/update.log"; then
  grep -q NO_PUBKEY "$WORK/update.log" || { cat "$WORK/update.log" >&2; exit 3; }
  for suite in forky trixie; do
    apt_for $suite "$KEYRING" update -qq 2>/dev/null || continue
    (cd "$WORK/debs" && apt_for $suite "$KEYRING" download -qq debian-archive-keyring && dpkg -x debian-archive-keyring_*.deb "$WORK/keyring" && rm ./*.deb)
    KEYRING=$WORK/keyring/usr/share/keyrings/debian-archive-keyring.gpg
    break
  done
  rm -rf "$WORK"/lists; mkdir -p "$WORK"/lists/partial
  apt_for sid "$KEYRING" update -qq || { echo "no key that sid is signed with" >&2; exit 3; }
fi

apt_for sid "$KEYRING" -s install golang-k8s-apiextensions-apiserver-dev golang-go \
  | awk '/^Inst/{print $2}' | grep -E '^(golang|gogoproto)' > "$WORK/names"
(cd "$WORK/debs" && xargs -a "$WORK/names" apt-get "${OPTIONS[@]}" download -qq)
for deb in "$WORK"/debs/*.deb; do dpkg -x "$deb" "$WORK/tree"; done

GO=$(ls -d "$WORK"/tree/usr/lib/go-*/bin/go | sort -V | tail -1)
ROOM=$WORK/tree/usr/share/gocode/src/bartizan/apiserver
mkdir -p "$ROOM"; cp "$HERE/main.go" "$ROOM/"
PACKAGE=$(basename "$WORK"/debs/golang-k8s-apiextensions-apiserver-dev_*.deb .deb)
VERSION=$(sed -E 's/.*_0\.([0-9]+)\.([0-9]+).*/1.\1.\2/' <<< "$PACKAGE")
FIELD=k8s.io/component-base/version
cd "$ROOM"
GOROOT=${GO%/bin/go} GOPATH=$WORK/tree/usr/share/gocode GO111MODULE=off CGO_ENABLED=0 GOTOOLCHAIN=local \
  GOFLAGS=-buildvcs=false GOCACHE=$WORK/gocache "$GO" build -p 2 \
  -ldflags "-s -w -X $FIELD.gitVersion=v$VERSION -X $FIELD.gitMajor=1 -X $FIELD.gitMinor=$(cut -d. -f2 <<< "$VERSION")" \
  -o "$TARGET.new" .
{ echo "$PACKAGE"; "$GO" version; } > "$TARGET.txt"
mv "$TARGET.new" "$TARGET"
