#!/bin/sh
# Runs a command with a Node that can run Stowage first on PATH: scripts/with-node.sh node src/cli.ts serve
set -eu
node=$("$(dirname "$0")/node.sh")
PATH="$(dirname "$node"):$PATH"
export PATH
exec "$@"
