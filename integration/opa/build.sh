#!/usr/bin/env bash
# Builds Open Policy Agent, server and command line, from the Go source packages of Debian.
#
# usage: build.sh TARGET        writes TARGET and TARGET.txt (what it was made of)
#
# sid moves, so a build may fail one day: the tests then skip with the reason that this script gave.
TARGET=$(realpath -m "$1"); HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/../harness/debian_go.sh"

unpack sid "$WORK/tree" golang-github-open-policy-agent-opa-dev golang-go
PACKAGE=$(package golang-github-open-policy-agent-opa-dev)
# OPA is written for an older one of this library than sid has.
unpack trixie "$WORK/older" golang-github-olekukonko-tablewriter-dev
cd "$WORK/tree/usr/share/gocode/src/github.com/open-policy-agent/opa"
mv "$WORK/tree/usr/share/gocode/src/github.com/olekukonko/tablewriter" "$WORK/newer" 2>/dev/null || true
go_build "$WORK/tree:$WORK/older" -ldflags "-s -w" -o "$TARGET.new" .
{ echo "$PACKAGE"; "$GO" version; } > "$TARGET.txt"
mv "$TARGET.new" "$TARGET"
