#!/usr/bin/env bash
# Everything that has to pass before a change goes in: the whole of "make test".
#
# All steps run, so that one run tells all that is wrong; the last line sums up.
# Together they get TEST_LIMIT seconds, without what a fresh machine has to fetch and
# compile once: two idle cores take 10 minutes. The fuzz targets run when CI is set;
# their seeds run as tests always.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
GO=${GO:-go}
TEST_LIMIT=${TEST_LIMIT:-1800}

export GO
export FUZZTIME=${FUZZTIME:-2s}
scripts/prerequisites.sh

child=
# Job control: a step is its own process group and does not inherit an ignored
# SIGINT, which would reach the servers that tests start.
set -m
trap '[[ -z $child ]] || kill "$child" 2>/dev/null; exit 130' INT TERM

summary=()
failed=0

# step NAME COMMAND...: runs the command within what is left of the time.
step() {
  local name=$1 began=$SECONDS left=$((TEST_LIMIT - SECONDS)) status=0
  shift
  printf '\n== %s\n' "$name"
  if ((left <= 0)); then
    echo "no time left of $TEST_LIMIT s" >&2
    summary+=("$name: NOT RUN")
    failed=1
    return
  fi
  timeout --kill-after=10 "$left" "$@" </dev/null &
  child=$!
  wait "$child" || status=$?
  child=
  if ((status == 0)); then
    summary+=("$name $((SECONDS - began))s")
    return
  fi
  failed=1
  summary+=("$name: FAILED")
  ((status != 124 && status != 137)) || echo "$name: stopped, the limit is $TEST_LIMIT s in all" >&2
}

tool=("$GO" tool -modfile=tools/go.mod)

# fetch makes what later steps find in the caches of Go and npm.
fetch() {
  scripts/peers.sh
  "$GO" build ./...
  "$GO" build -race ./...
  CGO_ENABLED=0 "$GO" build -trimpath -buildvcs=false -o /dev/null ./cmd/codeword
  CGO_ENABLED=0 "$GO" build -trimpath -o /dev/null ./cmd/codeword # as releases and reproducible.sh do
  "${tool[@]}" golangci-lint version
  "$GO" -C tools vet ./...
}
printf '== fetch and compile\n'
fetch
echo "ready after ${SECONDS}s"
SECONDS=0

step tidy "$GO" mod tidy -diff
step tidy-tools "$GO" -C tools mod tidy -diff
step vet "$GO" vet ./...
export CODEWORD_PEERS=required
# The black-box tests run a binary of their own, which the detector does not see. Those
# of overload measure latency and have the machine to themselves.
mapfile -t white < <("$GO" list ./... | grep -v '^codeword/test/')
mapfile -t black < <("$GO" list ./test/... | grep -v '/overload$')
# More packages at once than processors: they wait for engines and peers half the time.
step test "$GO" test -vet=off -race -p 3 -timeout 8m "${white[@]}"
step test-binary "$GO" test -vet=off -p 3 -timeout 8m "${black[@]}"
step test-overload "$GO" test -vet=off -timeout 8m ./test/overload
step test-engines scripts/engines.sh
step test-tools "$GO" -C tools test ./...
step lint "${tool[@]}" golangci-lint run ./...
step deadcode scripts/deadcode.sh
step vuln scripts/vuln.sh
step rules scripts/rules.sh
step unit scripts/unit.sh
step reproducible scripts/reproducible.sh
if [[ -n ${CI:-} ]]; then
  step fuzz scripts/fuzz.sh
fi

printf -v steps '%s, ' "${summary[@]}"
if ((failed)); then
  printf '\nFAIL in %ds: %s\n' "$SECONDS" "${steps%, }"
  exit 1
fi
printf '\nok in %ds: %s\n' "$SECONDS" "${steps%, }"
