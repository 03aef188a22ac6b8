#!/bin/sh
# Builds Amazon's newest docker-credential-ecr-login into .tools/go-bin and prints its path. A machine without Go, or
# without a way to its modules, is told so and prints no path: the tests then drive Debian's older one only.
set -eu
cd "$(dirname "$0")/.."

helper=github.com/awslabs/amazon-ecr-credential-helper/ecr-login/cli/docker-credential-ecr-login@v0.12.0

if ! command -v go >/dev/null 2>&1; then
  echo "setup-ecr-login.sh: not built: it is a Go program and this machine has no go command" >&2
  exit 0
fi

bin=$PWD/.tools/go-bin
mkdir -p "$bin"
exec 9>"$bin/ecr-login.lock"
flock 9
if [ "$(cat "$bin/ecr-login.version" 2>/dev/null)" != "$helper" ]; then
  echo "installing docker-credential-ecr-login into .tools/" >&2
  if ! GOBIN=$bin GOFLAGS= go install "$helper" >"$bin/ecr-login.log" 2>&1; then
    echo "setup-ecr-login.sh: not built: $(tail -n 1 "$bin/ecr-login.log")" >&2
    exit 0
  fi
  echo "$helper" >"$bin/ecr-login.version"
fi
echo "$bin/docker-credential-ecr-login"
