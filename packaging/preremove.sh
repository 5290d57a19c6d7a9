#!/bin/sh
# dpkg says "remove", rpm 0 when no version stays; an upgrade stops nothing here.
set -e
case "$1" in
remove | 0)
  if [ -d /run/systemd/system ]; then
    systemctl disable --now codeword.service || true
  fi
  ;;
esac
