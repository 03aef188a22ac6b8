#!/bin/sh
# Makes .tools/python, a virtual environment with the aws command and boto3 in the versions pinned by
# test/support/requirements.txt. Does nothing when it holds exactly those.
set -eu
cd "$(dirname "$0")/.."
requirements=test/support/requirements.txt
venv=.tools/python
stamp=$venv/installed-requirements.txt
cmp -s "$requirements" "$stamp" && exit 0

mkdir -p .tools
exec 9>.tools/python.lock
flock 9
cmp -s "$requirements" "$stamp" && exit 0

# Debian ships ensurepip, which venv needs, in a package of its own. Its python3 is preferred to
# another one that may come first in PATH, since the pinned versions are those tested with it.
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3) || python=/usr/bin/python3
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    echo "setup-python.sh: needs python3 with venv; as root: apt-get install python3-venv" >&2
    exit 1
  fi
  echo "installing python3-venv (apt-get)" >&2
  log=$(mktemp)
  export DEBIAN_FRONTEND=noninteractive
  {
    apt-get -q -o DPkg::Lock::Timeout=300 update
    apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends python3-venv
  } >"$log" 2>&1 9>&- || { cat "$log" >&2; exit 1; }
  rm -f "$log"
fi

echo "installing the aws command and boto3 into $venv (pip)" >&2
rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r "$requirements" >&2
cp "$requirements" "$stamp"
