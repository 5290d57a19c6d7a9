#!/usr/bin/env bash
# Checks the alert rules in deploy/prometheus and runs their tests. That they and the
# dashboard use metrics that exist is a test of internal/app.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../deploy/prometheus"
promtool check rules rules.yaml
promtool test rules rules_test.yaml
