#!/usr/bin/env bash
# Brings Chromium into FOLDER out of Debian's packages, with the libraries that the machine lacks, without installing it;
# and the library that drives it, out of npm. A Chromium of the machine's own is used where there is one.
set -euo pipefail
PLAYWRIGHT=1.65.1
command -v npm >/dev/null || { echo "npm is missing: install Node.js"; exit 1; }
rm -rf "$1"; mkdir -p "$1/part"
npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$1" "playwright-core@$PLAYWRIGHT"
command -v chromium >/dev/null && exit 0
command -v apt-get >/dev/null || { echo "chromium is missing, and there is no apt-get: install it by your package manager"; exit 1; }
cd "$1/part"
# What the machine has already is not brought once more.
bring() {
  apt-get download -qq $(apt-get -s install --no-install-recommends chromium fonts-dejavu-core | sed -n 's/^Inst \([^ ]*\).*/\1/p')
}
bring 2>/dev/null || { apt-get update -qq; bring; }
for deb in *.deb; do dpkg -x "$deb" ../root; done
cd ..; rm -r part
