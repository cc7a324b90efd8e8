#!/usr/bin/env bash
# Brings Alertmanager and Prometheus into FOLDER out of Debian's packages, without installing anything.
#
# usage: alertmanager.sh FOLDER
#
# What can't be had is named in FOLDER/missing; the tests that need it are skipped with that reason.
set -uo pipefail
rm -rf "$1"; mkdir -p "$1/part" && cd "$1/part" || exit 1
packages=(prometheus-alertmanager prometheus)
command -v apt-get >/dev/null || { echo "no apt-get: Alertmanager and Prometheus come from Debian's packages" > ../missing; exit 0; }
{ apt-get download -qq "${packages[@]}" 2>/dev/null || { apt-get update -qq && apt-get download -qq "${packages[@]}"; }; } ||
  { echo "apt-get download ${packages[*]} failed" > ../missing; exit 0; }
for deb in *.deb; do dpkg -x "$deb" .. || { echo "$deb can't be unpacked" > ../missing; exit 0; }; done
cd ..; rm -r part
