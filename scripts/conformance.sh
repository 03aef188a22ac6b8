#!/bin/sh
# Runs the OCI distribution conformance suite against a fresh server; reports in .cache/conformance/<version>/.
# With --if-possible a machine without Go is told why nothing runs, and that is no failure.
set -eu
cd "$(dirname "$0")/.."

# The suite has no release since it became a program of its own: this is the commit of 2026-08-31.
suite=github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111

if ! command -v go >/dev/null 2>&1; then
  reason="the OCI conformance suite is a Go program and this machine has no go command"
  if [ "${1:-}" = --if-possible ]; then
    echo "conformance: not run: $reason"
    exit 0
  fi
  echo "conformance: $reason" >&2
  exit 1
fi

bin=$PWD/.tools/go-bin
if [ "$(cat "$bin/conformance.version" 2>/dev/null)" != "$suite" ]; then
  echo "installing the OCI conformance suite into .tools/" >&2
  mkdir -p "$bin"
  GOBIN=$bin GOFLAGS= go install "$suite" >"$bin/conformance.log" 2>&1 || { cat "$bin/conformance.log" >&2; exit 1; }
  echo "$suite" >"$bin/conformance.version"
fi

exec ./scripts/with-node.sh node scripts/run-conformance.ts "$bin/conformance"
