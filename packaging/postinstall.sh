#!/bin/sh
# After the files are there: the user, the rights, a token. Nothing is started: a
# server needs a keyset and a public URL, and those are the operator's.
set -e

if ! getent passwd codeword >/dev/null; then
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers codeword.conf
  else
    useradd --system --user-group --home-dir /var/lib/codeword --no-create-home --shell /usr/sbin/nologin codeword
  fi
fi
install -d -m 0700 -o codeword -g codeword /var/lib/codeword
chown root:codeword /etc/codeword /etc/codeword/codeword.yaml
chmod 0750 /etc/codeword
chmod 0640 /etc/codeword/codeword.yaml

env=/etc/codeword/codeword.env
chmod 0600 "$env"
if grep -q '^CODEWORD_ADMIN_TOKEN=$' "$env"; then
  token=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
  # Through a file, so that the token is in no command line.
  printf 's/^CODEWORD_ADMIN_TOKEN=$/CODEWORD_ADMIN_TOKEN=%s/\n' "$token" | sed -i -f - "$env"
fi

if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  # An upgrade: the server drains, and the new one brings the schema up to date.
  systemctl try-restart codeword.service || true
fi

if [ ! -e /etc/codeword/keyset.json ]; then
  cat <<'TEXT'
Codeword is installed and not started. It needs a keyset (on a second node the copy of
the first one's) and its public URL:

  codeword keys init --keyset /etc/codeword/keyset.json
  chown codeword: /etc/codeword/keyset.json
  editor /etc/codeword/codeword.yaml            # public-url
  systemctl enable --now codeword
TEXT
fi
