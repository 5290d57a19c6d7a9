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
for engine in postgres redis; do
  if [[ -z ${CODEWORD_TEST_ENGINES+set} || ,$CODEWORD_TEST_ENGINES, == *,$engine,* ]]; then
    CODEWORD_TEST_ENGINE=$engine "$GO" test -timeout 8m ./test/attack ./test/crash >"$dir/$engine" 2>&1 &
    running[$engine]=$!
  fi
done

failed=0
for engine in "${!running[@]}"; do
  wait "${running[$engine]}" || failed=1
  echo "on $engine:"
  cat "$dir/$engine"
done
exit "$failed"
