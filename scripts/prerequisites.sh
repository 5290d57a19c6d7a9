#!/usr/bin/env bash
# Makes sure that everything the tests need is there. What apt-get can install
# is installed when this runs as root on a Debian-like system; all the rest is
# named at once, and the script fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
GO=${GO:-go}
MIN_GO=1.26

missing=()
packages=()

# has_go: the go command in use here, go.mod's toolchain line included.
has_go() {
  local have
  have=$("$GO" env GOVERSION 2>/dev/null) || return 1
  have=${have#go}
  [[ $(printf '%s\n' "$MIN_GO" "$have" | sort -V | head -n 1) == "$MIN_GO" ]]
}

# has_cc: the race detector links against the C library.
has_cc() {
  local cc
  cc=$("$GO" env CC 2>/dev/null || echo cc)
  echo '#include <stdlib.h>' | ${cc:-cc} -E - >/dev/null 2>&1
}

# has_node: the peers of the tests run in Node.js.
has_node() { command -v node >/dev/null && command -v npm >/dev/null; }

# has_chromium: the tests of the pages drive it.
has_chromium() { command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; }

# tests ENGINE: CODEWORD_TEST_ENGINES, a list separated by commas, says which
# engines are tested beside the embedded one; all when it is not set.
tests() { [[ -z ${CODEWORD_TEST_ENGINES+set} || ,$CODEWORD_TEST_ENGINES, == *,$1,* ]]; }

has_postgres() { command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

has_redis() { command -v redis-server >/dev/null || command -v valkey-server >/dev/null; }

has_go || missing+=("Go $MIN_GO or later: https://go.dev/dl/")
has_cc || packages+=(gcc libc6-dev)
command -v timeout >/dev/null || packages+=(coreutils)
has_node || packages+=(nodejs npm)
has_chromium || packages+=(chromium fonts-dejavu-core)
command -v promtool >/dev/null || packages+=(prometheus)
if tests postgres; then has_postgres || packages+=(postgresql); fi
if tests redis; then has_redis || packages+=(redis-server); fi

if ((${#packages[@]})) && [[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null; then
  echo "installing: ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  export RUNLEVEL=1 # the tests start servers of their own; packages start none
  apt-get update -qq && apt-get install -qq -y --no-install-recommends "${packages[@]}" || true
fi
has_cc || missing+=("a C compiler with its headers, for the race detector (Debian: apt-get install gcc libc6-dev)")
command -v timeout >/dev/null || missing+=("the command timeout (Debian: apt-get install coreutils)")
without="or CODEWORD_TEST_ENGINES=sqlite, to test without"
if tests postgres; then has_postgres || missing+=("PostgreSQL 15 or later (Debian: apt-get install postgresql), $without"); fi
if tests redis; then has_redis || missing+=("Redis 7 or Valkey (Debian: apt-get install redis-server), $without"); fi
has_chromium || missing+=("Chromium, for the tests of the pages (Debian: apt-get install chromium)")
command -v promtool >/dev/null || missing+=("promtool, which reads the alert rules (Debian: apt-get install prometheus)")
has_node || missing+=("Node.js 18 or later with npm, for the peers of the tests (Debian: apt-get install nodejs npm)")

if ((${#missing[@]})); then
  echo "missing:" >&2
  printf '  %s\n' "${missing[@]}" >&2
  exit 1
fi
