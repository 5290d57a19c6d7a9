#!/usr/bin/env bash
# What the roll-ups cost a message: pairs of two builds of this tree, one as it is and
# one whose stores write no journal of figures, so that there is nothing to add up
# either. Prints the processor time of each run in us a message, then the medians and
# the median of the differences pair by pair.
#
#   bench/rollups.sh ENGINE [RECEIPTS A CALL] [PAIRS] [MESSAGES]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
engine=${1:?sqlite or postgres} receipts=${2:-1} pairs=${3:-9} messages=${4:-20000}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# journal_off FILE: a copy of it whose writeFigures does nothing.
journal_off() {
  local name
  name=$(tr / _ <<<"$1")
  awk '
    /^func \(t \*tx\) writeFigures\(/ { print $0; print (/ error \{$/ ? "\treturn nil" : "") "\n}"; body = 1; found = 1; next }
    body && /^}$/ { body = 0; next }
    !body
    END { exit !found }
  ' "$1" >"$dir/$name"
  printf '"%s/%s": "%s/%s"' "$PWD" "$1" "$dir" "$name"
}

store=internal/store/$engine/rollup.go
echo "{\"Replace\": {$(journal_off "$store")}}" >"$dir/overlay.json"
go test -c -o "$dir/with" ./internal/app
go test -c -overlay "$dir/overlay.json" -o "$dir/without" ./internal/app

# run BUILD: all-us/msg and receipt-us/msg and fold-us/msg of one run.
run() {
  (cd internal/app && "$dir/$1" -test.run '^$' -test.bench "Message/$engine/receipts=$receipts\$" -test.benchtime "${messages}x") |
    awk '{ for (i = 2; i <= NF; i++) v[$i] = $(i - 1) } END { print v["all-us/msg"], v["receipt-us/msg"], v["fold-us/msg"] + 0 }'
}

median() { sort -n | awk '{ v[NR] = $1 } END { print (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2) }'; }

printf '%-6s %10s %10s %10s %12s %12s %8s\n' pair without with difference 'rcpt without' 'rcpt with' adding
for ((i = 1; i <= pairs; i++)); do
  if ((i % 2)); then # who goes first must not count
    a=$(run without) b=$(run with)
  else
    b=$(run with) a=$(run without)
  fi
  awk -v i="$i" -v a="$a" -v b="$b" 'BEGIN {
    split(a, x, " "); split(b, y, " ")
    printf "%-6d %10.1f %10.1f %10.1f %12.1f %12.1f %8.1f\n", i, x[1], y[1], y[1] - x[1], x[2], y[2], y[3]
  }'
done | tee "$dir/rows"
printf '%-6s' median
for width_column in 10:2 10:3 10:4 12:5 12:6 8:7; do
  printf " %${width_column%:*}.1f" "$(awk -v c="${width_column#*:}" '{ print $c }' "$dir/rows" | median)"
done
echo
