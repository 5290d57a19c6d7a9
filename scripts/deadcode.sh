#!/usr/bin/env bash
# Fails when a function is reachable neither from a command nor from a test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
GO=${GO:-go}

found=$("$GO" tool -modfile=tools/go.mod deadcode -test ./...)
if [[ -n $found ]]; then
  printf '%s\n' "$found" >&2
  exit 1
fi
