#!/usr/bin/env bash
# Builds the binary twice, in two directories with names of different length, in
# different time zones and languages, and compares the bytes.
#
# A build from nothing takes minutes, nearly all of them for other people's packages
# whose bytes nothing here decides. So by default those come from the cache, and each
# build compiles the packages of this module itself: the flag -c (how many functions
# the compiler takes at once) is not the same in the two, so that neither finds in the
# cache what the other made. Nothing else of the binaries may differ than that flag,
# which Go writes down in them; it is made equal before they are compared.
#
# --fresh compiles everything twice, with an empty cache each and the flags of a
# release. Do that before a release.
#
# TARGET (the machine's own) is what to build for: linux/arm64, for example.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
GO=${GO:-go}
TARGET=${TARGET:-$("$GO" env GOOS)/$("$GO" env GOARCH)}
fresh=
[[ ${1:-} != --fresh ]] || fresh=yes

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# build WHERE CONCURRENCY TIMEZONE LANGUAGE: into $dir/WHERE.bin.
build() {
  local where=$1 at=$dir/$1/src flags=()
  mkdir -p "$at"
  # What is committed, and what is not yet.
  git ls-files -z --cached --others --exclude-standard -- '*.go' go.mod go.sum cmd internal api client \
    | while IFS= read -rd '' f; do [[ ! -f $f ]] || printf '%s\0' "$f"; done \
    | tar -c --null --files-from=- | tar -x -C "$at"
  if [[ $fresh ]]; then
    export GOCACHE=$dir/$where.cache
  else
    # An own build ID would tell the flag, as a digest.
    flags=("-gcflags=codeword/...=-c=$2" "-ldflags=-buildid=")
  fi
  (
    cd "$at"
    TZ=$3 LC_ALL=$4 CGO_ENABLED=0 GOOS=${TARGET%/*} GOARCH=${TARGET#*/} \
      "$GO" build -trimpath -buildvcs=false "${flags[@]}" -o "$dir/$where.bin" ./cmd/codeword
  )
  [[ $fresh ]] || LC_ALL=C sed -i 's|codeword/\.\.\.=-c=[0-9]|codeword/...=-c=0|g' "$dir/$where.bin"
}

build a 1 UTC C
build another/and/deeper 2 Asia/Kathmandu C.UTF-8

if ! cmp "$dir/a.bin" "$dir/another/and/deeper.bin"; then
  echo "reproducible: two builds of $TARGET differ" >&2
  exit 1
fi
echo "reproducible: $TARGET, $(wc -c <"$dir/a.bin") bytes, sha256 $(sha256sum "$dir/a.bin" | cut -c -16)"
