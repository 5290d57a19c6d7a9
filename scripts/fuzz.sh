#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME (10s) each. All of them run
# even when one fails; go test writes a failing input to testdata/fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
GO=${GO:-go}
FUZZTIME=${FUZZTIME:-10s}

# Only packages that mention a target are built to be asked for their names.
mapfile -t dirs < <(grep -rlE --include='*_test.go' --exclude-dir=tools --exclude-dir=testdata '^func Fuzz' . | xargs -r dirname | sort -u)

ran=0
failed=()
for dir in "${dirs[@]}"; do
  targets=$("$GO" test -vet=off -list '^Fuzz' "$dir" | grep '^Fuzz' || true)
  if [[ -z $targets ]]; then
    echo "$dir: has fuzz targets, but go test lists none" >&2
    failed+=("$dir")
    continue
  fi
  for target in $targets; do
    echo "fuzz $dir $target"
    "$GO" test -vet=off -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 5s "$dir" ||
      failed+=("$dir $target")
    ran=$((ran + 1))
  done
done

if ((${#failed[@]})); then
  printf 'fuzz failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "fuzz: $ran targets, $FUZZTIME each"
