#!/bin/sh
# Installs, from Debian's archive, the programs that tests and benchmarks drive beside Stowage: real
# clients, PostgreSQL, a TLS proxy, a peer registry. Does nothing for a program that is there.
#
#   scripts/setup-tools.sh [docker] [skopeo] [buildah] [postgres] [nginx] [docker-registry]
#                          [openssl] [curl] [wrk] [strace] [faketime] [gcc] [promtool]
#                          [docker-credential-ecr-login] [aws-2]
#                          [python-with-aiosmtpd] [rsyslogd]  (no argument: all of them)
set -eu

present() {
  case "$1" in
    postgres) set -- /usr/lib/postgresql/*/bin/initdb && [ -x "$1" ] ;;
    aws-2) [ -x /usr/bin/aws ] ;;
    python-with-aiosmtpd) [ -d /usr/lib/python3/dist-packages/aiosmtpd ] ;;
    docker) [ -x /usr/sbin/dockerd ] && [ -x /usr/bin/docker ] ;;
    *) [ -x "/usr/bin/$1" ] || [ -x "/usr/sbin/$1" ] ;;
  esac
}

package_of() {
  case "$1" in
    docker) echo docker.io ;;
    postgres) echo postgresql ;;
    nginx) echo nginx-light ;;
    gcc) echo gcc libc6-dev ;;
    promtool) echo prometheus ;;
    docker-credential-ecr-login) echo amazon-ecr-credential-helper ;;
    aws-2) echo awscli ;;
    python-with-aiosmtpd) echo python3-aiosmtpd ;;
    rsyslogd) echo rsyslog ;;
    skopeo | buildah | docker-registry | openssl | curl | wrk | strace | faketime) echo "$1" ;;
    *) echo "setup-tools.sh: no tool is called '$1'" >&2; return 1 ;;
  esac
}

[ $# -gt 0 ] || set -- docker skopeo buildah postgres nginx docker-registry openssl curl wrk strace faketime gcc promtool docker-credential-ecr-login aws-2 python-with-aiosmtpd rsyslogd
packages=
for tool in "$@"; do
  package=$(package_of "$tool")
  present "$tool" || packages="$packages $package"
done
[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "setup-tools.sh: this machine has no apt-get; install these yourself:$packages" >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  echo "setup-tools.sh: needs root once: apt-get install --no-install-recommends$packages" >&2
  exit 1
fi

# Test files run side by side and may all find the same tool missing.
exec 9>/var/lock/stowage-setup-tools
flock 9

# Debian starts a service as soon as its package is there. The tests start their own on private
# ports, so the packages' must neither run now nor be enabled for the next boot.
guard=/usr/sbin/policy-rc.d
scratch=$(mktemp -d)
made_guard=
clean_up() {
  rm -rf "$scratch"
  [ -z "$made_guard" ] || rm -f "$guard"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
if [ ! -e "$guard" ]; then
  made_guard=yes
  printf '#!/bin/sh\nexit 101\n' >"$guard"
  chmod 755 "$guard"
fi

echo "installing$packages (apt-get)" >&2
export DEBIAN_FRONTEND=noninteractive
dpkg-query -W -f '${Package}\n' | sort >"$scratch/before"
{
  apt-get -q -o DPkg::Lock::Timeout=300 update
  # shellcheck disable=SC2086 # a list of package names
  apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $packages
} >"$scratch/log" 2>&1 9>&- || { cat "$scratch/log" >&2; exit 1; }
dpkg-query -W -f '${Package}\n' | sort >"$scratch/after"

if [ -d /run/systemd/system ]; then
  for package in $(comm -13 "$scratch/before" "$scratch/after"); do
    dpkg -L "$package" | sed -n 's,^\(/usr\)\{0,1\}/lib/systemd/system/\([^/@]*\.\(service\|socket\)\)$,\2,p' |
      while read -r unit; do systemctl --quiet disable --now "$unit" 2>/dev/null || true; done
  done
fi
