#!/usr/bin/env bash
# Brings libfaketime into FOLDER out of Debian's package, without installing it.
#
# usage: clock.sh FOLDER
#
# What can't be had is named in FOLDER/missing; the scenario that needs it is skipped with that reason.
set -uo pipefail
rm -rf "$1"; mkdir -p "$1" && cd "$1" || exit 1
command -v apt-get >/dev/null || { echo "no apt-get: libfaketime comes from Debian's packages" > missing; exit 0; }
{ apt-get download -qq libfaketime 2>/dev/null || { apt-get update -qq && apt-get download -qq libfaketime; }; } ||
  { echo "apt-get download libfaketime failed" > missing; exit 0; }
dpkg -x libfaketime_*.deb . && rm libfaketime_*.deb || echo "libfaketime can't be unpacked" > missing
