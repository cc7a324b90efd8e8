#!/usr/bin/env bash
# rsyslog, the official sender and receiver of the Fluentd forward protocol, and a store with OpenSearch's interface.
#
# usage: tools.sh FOLDER
#
# Nothing is installed outside FOLDER: Debian's packages are unpacked, and the programs find their parts by variables.
set -euo pipefail
FOLDER=$(realpath -m "$1"); HERE=$(cd "$(dirname "$0")" && pwd)

python3 -m venv "$FOLDER/venv"
"$FOLDER/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$HERE/requirements.txt"

# What can't be had is a reported skip of the tests that need it.
rm -rf "$FOLDER/debian" "$FOLDER/debian.missing"; mkdir -p "$FOLDER/debian/part"
PACKAGES="rsyslog rsyslog-elasticsearch libestr0 libfastjson4 liblognorm5 libcurl4"
if command -v apt-get >/dev/null; then
  (cd "$FOLDER/debian/part" && { apt-get download -qq $PACKAGES 2>/dev/null || { apt-get update -qq && apt-get download -qq $PACKAGES; }; } 2>/dev/null) \
    || echo "rsyslog's packages can't be had" > "$FOLDER/debian.missing"
  for deb in "$FOLDER"/debian/part/*.deb; do [ ! -e "$deb" ] || dpkg -x "$deb" "$FOLDER/debian"; done
else
  echo "no apt-get: rsyslog comes from Debian's packages" > "$FOLDER/debian.missing"
fi
rm -r "$FOLDER/debian/part"

rm -rf "$FOLDER/forward"; mkdir -p "$FOLDER/forward"
rm -f "$FOLDER/forward.missing"; cp "$HERE/forward/package.json" "$HERE/forward/package-lock.json" "$FOLDER/forward/"
if command -v npm >/dev/null; then
  npm ci --silent --no-audit --no-fund --ignore-scripts --prefix "$FOLDER/forward" \
    || echo "the receiver of Fluentd's forward protocol can't be had" > "$FOLDER/forward.missing"
else
  echo "no npm: the receiver of Fluentd's forward protocol comes from there" > "$FOLDER/forward.missing"
fi
