#!/usr/bin/env bash
# Runs the attacks and the crashes once more, on two nodes on each engine that nodes
# share: CODEWORD_TEST_ENGINES, a list separated by commas, or all. The engines take
# their runs at the same time, since half of it is waiting for claims to run out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
GO=${GO:-go}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

declare -A running=()

# run ENGINE: as CODEWORD_TEST_ENGINE names it.
run() {
  CODEWORD_TEST_ENGINE=$1 "$GO" test -timeout 8m ./test/attack ./test/crash >"$dir/$1" 2>&1 &
  running[$1]=$!
}

# wanted ENGINE: as CODEWORD_TEST_ENGINES names it.
wanted() { [[ -z ${CODEWORD_TEST_ENGINES+set} || ,$CODEWORD_TEST_ENGINES, == *,$1,* ]]; }

if wanted postgres; then
  run postgres
  if wanted redis; then
    run redis
    run redis-cluster
  fi
fi

failed=0
for engine in "${!running[@]}"; do
  wait "${running[$engine]}" || failed=1
  echo "on $engine:"
  cat "$dir/$engine"
done
exit "$failed"
