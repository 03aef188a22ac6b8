#!/bin/sh
# Writes every generated document anew; with --check it only says which one is out of date, and fails.
# A generator is a file scripts/generate-*.ts that knows the same two ways.
set -eu
cd "$(dirname "$0")/.."
status=0
for generator in scripts/generate-*.ts; do
  [ -e "$generator" ] || continue
  node "$generator" "$@" || status=1
done
exit $status
