#!/bin/sh
# Data, keyset and token stay, also when the package is purged: without the keyset a
# backup of the database is worth nothing.
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
