# Functions for what is built from the Go source packages of Debian; to be sourced, with TARGET set.
#
# Nothing is installed: packages are unpacked in a scratch folder beside TARGET, which needs 5 GB for some
# four minutes. apt verifies every signature. The system's own keyring starts the chain: when it does not know
# a suite's key, it vouches for a newer stable release's debian-archive-keyring, and that one for the suite.
set -euo pipefail
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
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

apt_for() { # SUITE KEYRING ARGUMENTS...
  echo "deb [signed-by=$2] $MIRROR $1 main" > "$WORK/sources.list"; : > "$WORK/status"
  apt-get "${OPTIONS[@]}" "${@:3}"
}

read_lists() { # SUITE
  rm -rf "$WORK"/lists; mkdir -p "$WORK"/lists/partial
  apt_for "$1" "$KEYRING" update -qq 2>"$WORK/update.log" && return
  grep -q NO_PUBKEY "$WORK/update.log" || { cat "$WORK/update.log" >&2; exit 3; }
  for suite in forky trixie; do
    apt_for $suite "$KEYRING" update -qq 2>/dev/null || continue
    (cd "$WORK/debs" && apt_for $suite "$KEYRING" download -qq debian-archive-keyring && dpkg -x debian-archive-keyring_*.deb "$WORK/keyring" && rm ./*.deb)
    KEYRING=$WORK/keyring/usr/share/keyrings/debian-archive-keyring.gpg
    break
  done
  rm -rf "$WORK"/lists; mkdir -p "$WORK"/lists/partial
  apt_for "$1" "$KEYRING" update -qq || { echo "no key that $1 is signed with" >&2; exit 3; }
}

unpack() { # SUITE FOLDER PACKAGES...       the packages and what they need, below FOLDER
  read_lists "$1"
  mkdir -p "$2"; rm -f "$WORK"/debs/*.deb
  apt_for "$1" "$KEYRING" -s install "${@:3}" | awk '/^Inst/{print $2}' | grep -E '^(golang|gogoproto)' > "$WORK/names"
  (cd "$WORK/debs" && xargs -a "$WORK/names" apt-get "${OPTIONS[@]}" download -qq)
  for deb in "$WORK"/debs/*.deb; do dpkg -x "$deb" "$2"; done
}

package() { # NAME                          what of it was unpacked last
  basename "$WORK"/debs/"$1"_*.deb .deb
}

go_build() { # TREE[:TREE...] ARGUMENTS...   with the newest Go of the first tree
  local tree=${1%%:*} paths; paths=$(sed -E 's#([^:]+)#\1/usr/share/gocode#g' <<< "$1")
  GO=$(ls -d "$tree"/usr/lib/go-*/bin/go | sort -V | tail -1)
  GOROOT=${GO%/bin/go} GOPATH=$paths GO111MODULE=off CGO_ENABLED=0 GOTOOLCHAIN=local \
    GOFLAGS=-buildvcs=false GOCACHE=$WORK/gocache "$GO" build -p 2 "${@:2}"
}
