#!/usr/bin/env bash
# Builds the API server of the tests: k8s.io/apiextensions-apiserver, the part of kube-apiserver that serves
# CustomResourceDefinitions and custom resources, from the Go source packages of Debian sid.
#
# usage: build.sh TARGET        writes TARGET and TARGET.txt (what it was made of)
#
# sid moves, so a build may fail one day: the tests then skip with the reason that this script gave.
TARGET=$(realpath -m "$1"); HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/../../harness/debian_go.sh"

unpack sid "$WORK/tree" golang-k8s-apiextensions-apiserver-dev golang-go
ROOM=$WORK/tree/usr/share/gocode/src/bartizan/apiserver
mkdir -p "$ROOM"; cp "$HERE/main.go" "$ROOM/"
PACKAGE=$(package golang-k8s-apiextensions-apiserver-dev)
VERSION=$(sed -E 's/.*_0\.([0-9]+)\.([0-9]+).*/1.\1.\2/' <<< "$PACKAGE")
FIELD=k8s.io/component-base/version
cd "$ROOM"
go_build "$WORK/tree" \
  -ldflags "-s -w -X $FIELD.gitVersion=v$VERSION -X $FIELD.gitMajor=1 -X $FIELD.gitMinor=$(cut -d. -f2 <<< "$VERSION")" \
  -o "$TARGET.new" .
{ echo "$PACKAGE"; "$GO" version; } > "$TARGET.txt"
mv "$TARGET.new" "$TARGET"
