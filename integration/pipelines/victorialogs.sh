#!/usr/bin/env bash
# Builds VictoriaLogs from the Go source packages of Debian trixie, a stable suite: the versions are those of the suite.
#
# usage: victorialogs.sh TARGET    writes TARGET and TARGET.txt (what it was made of)
TARGET=$(realpath -m "$1"); HERE=$(cd "$(dirname "$0")" && pwd)
. "$HERE/../harness/debian_go.sh"

unpack trixie "$WORK/tree" golang-github-victoriametrics-victoriametrics-dev \
  golang-github-victoriametrics-{easyproto,fastcache,metrics,metricsql}-dev \
  golang-github-valyala-{fastjson,fastrand,quicktemplate,histogram,gozstd,fasttemplate}-dev \
  golang-github-{klauspost-compress,cespare-xxhash,golang-snappy,bmatcuk-doublestar}-dev \
  golang-golang-x-{sys,net}-dev golang-gopkg-yaml.v2-dev golang-1.24-go
PACKAGE=$(package golang-github-victoriametrics-victoriametrics-dev)
# Only this release is known to hold the program; another one is a reported skip and not a surprise.
[[ $PACKAGE == golang-github-victoriametrics-victoriametrics-dev_1.* ]] || { echo "unexpected $PACKAGE" >&2; exit 3; }
cd "$WORK/tree/usr/share/gocode/src/github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-logs"
go_build "$WORK/tree" -ldflags "-s -w" -o "$TARGET.new" .
{ echo "$PACKAGE"; "$GO" version; } > "$TARGET.txt"
mv "$TARGET.new" "$TARGET"
