#!/bin/sh
# Builds versitygw, an S3 server on a folder (Apache-2.0), into .tools/go-bin and prints its path: once, a minute or two. A machine
# without Go, or without a way to its modules, is told so and prints no path.
set -eu
cd "$(dirname "$0")/.."

server=github.com/versity/versitygw/cmd/versitygw@v1.8.0

if ! command -v go >/dev/null 2>&1; then
  echo "setup-s3-server.sh: not built: it is a Go program and this machine has no go command" >&2
  exit 0
fi

bin=$PWD/.tools/go-bin
mkdir -p "$bin"
exec 9>"$bin/versitygw.lock"
flock 9
if [ "$(cat "$bin/versitygw.version" 2>/dev/null)" != "$server" ]; then
  echo "installing versitygw into .tools/ (a minute or two)" >&2
  if ! GOBIN=$bin GOFLAGS= go install -ldflags='-s -w' "$server" >"$bin/versitygw.log" 2>&1; then
    echo "setup-s3-server.sh: not built: $(tail -n 1 "$bin/versitygw.log")" >&2
    exit 0
  fi
  echo "$server" >"$bin/versitygw.version"
fi
echo "$bin/versitygw"
