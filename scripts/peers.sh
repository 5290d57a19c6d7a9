#!/usr/bin/env bash
# Installs the peers of the tests (test/peers) from their lock file, unless they
# are there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../test/peers"

stamp=node_modules/.installed-from
if [[ -f $stamp ]] && cmp -s package-lock.json "$stamp"; then
  exit 0
fi
npm ci --no-audit --no-fund --ignore-scripts
cp package-lock.json "$stamp"
