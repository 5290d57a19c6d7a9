#!/usr/bin/env bash
# Runs every fuzz target of the module for FUZZTIME (10s) each. All of them run
# even when one fails; go test writes a failing input to testdata/fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
GO=${GO:-go}
FUZZTIME=${FUZZTIME:-10s}

# Targets are read from the sources: to be asked for them, each package would be built
# once more, without what fuzzing adds.
mapfile -t dirs < <(grep -rlE --include='*_test.go' --exclude-dir=tools --exclude-dir=testdata --exclude-dir=node_modules '^func Fuzz' . | xargs -r dirname | sort -u)

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# fuzz runs one target. Now and then go test fails with a bare "context deadline
# exceeded" as the time runs out, although no input failed (a race of its own
# with the deadline). That alone, and never a failing input, is run once more.
fuzz() {
  local dir=$1 target=$2 try
  for try in 1 2; do
    if "$GO" test -vet=off -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 5s "$dir" 2>&1 | tee "$log"; then
      ! grep -q 'no fuzz tests to fuzz' "$log"
      return
    fi
    if ((try == 2)) || grep -q 'Failing input written' "$log" || ! grep -qx ' *context deadline exceeded' "$log"; then
      return 1
    fi
    echo "fuzz $dir $target: go test missed its own deadline; once more"
  done
}

ran=0
failed=()
for dir in "${dirs[@]}"; do
  targets=$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/p' "$dir"/*_test.go)
  for target in $targets; do
    echo "fuzz $dir $target"
    fuzz "$dir" "$target" || failed+=("$dir $target")
    ran=$((ran + 1))
  done
done

if ((${#failed[@]})); then
  printf 'fuzz failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "fuzz: $ran targets, $FUZZTIME each"
