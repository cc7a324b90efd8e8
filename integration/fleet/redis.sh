#!/usr/bin/env bash
# Brings Redis into FOLDER out of Debian's packages, with the libraries that it names, without installing anything.
set -euo pipefail
command -v redis-server >/dev/null && exit 0
command -v apt-get >/dev/null || { echo "redis-server is missing, and there is no apt-get: install it by your package manager"; exit 1; }
rm -rf "$1"; mkdir -p "$1/part"; cd "$1/part"
# The libraries change their names with Debian's release; libc is the machine's own.
bring() {
  apt-get download -qq redis-server redis-tools \
    $(apt-cache depends --important redis-tools | sed -nE 's/^ *Depends: (lib[^ ]+|lua-[^ ]+)$/\1/p' | grep -v '^libc6$')
}
bring 2>/dev/null || { apt-get update -qq; bring; }
for deb in *.deb; do dpkg -x "$deb" ..; done
cd ..; rm -r part
