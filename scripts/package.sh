#!/usr/bin/env bash
# Builds a deb and an rpm for each of ARCHES (amd64), with an SBOM of each binary,
# into dist/. VERSION is what git describes, or 0.0.0. The same commit gives the same
# bytes: all times are those of the commit.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
GO=${GO:-go}
ARCHES=${ARCHES:-amd64}
VERSION=${VERSION:-$(git describe --tags --match 'v*' 2>/dev/null || echo v0.0.0)}
export VERSION=${VERSION#v}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
tool=("$GO" tool -modfile=tools/release/go.mod)

STAGE=$(mktemp -d)
export STAGE
trap 'rm -rf "$STAGE"' EXIT
mkdir -p dist

cp packaging/codeword.service packaging/codeword.sysusers packaging/environment "$STAGE"
cp deploy/codeword.yaml deploy/carriers.yaml "$STAGE"
mkdir "$STAGE/docs"
cp docs/*.md "$STAGE/docs"
cp LICENSE "$STAGE/copyright"
for ARCH in $ARCHES; do
  export ARCH
  CGO_ENABLED=0 GOOS=linux GOARCH=$ARCH "$GO" build -trimpath -buildvcs=true -o "$STAGE/codeword" ./cmd/codeword
  find "$STAGE" -type f -exec touch --date="@$SOURCE_DATE_EPOCH" {} +
  for packager in deb rpm; do
    "${tool[@]}" nfpm package --config packaging/nfpm.yaml --packager "$packager" --target dist/
  done
  "${tool[@]}" cyclonedx-gomod bin -json -std -noserial -notimestamp -version "v$VERSION" -output "dist/codeword_${VERSION}_linux_$ARCH.cdx.json" "$STAGE/codeword"
done
