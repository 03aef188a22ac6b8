#!/usr/bin/env bash
# Builds the container image. The context is put together here, so the image needs no base image: the pinned
# Node with the shared libraries it names, Stowage in few files, and its production dependencies.
#
#   scripts/build-image.sh [tag]           default stowage:latest
#   STOWAGE_IMAGE_CONTEXT_ONLY=1           put the context together and print its folder, build nothing
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:-stowage:latest}
context=$PWD/.cache/image
modules=$PWD/.cache/image-modules

if [ "$(uname -s)" != Linux ]; then
  echo "the image is put together from this machine's libraries, so it needs Linux" >&2
  exit 1
fi
node=$(STOWAGE_PINNED_NODE=1 ./scripts/node.sh)
export PATH="$(dirname "$node"):$PATH"

# Installing takes longest and changes least: kept until the lock file or Node changes.
stamp=$(cat package.json package-lock.json | sha256sum | cut -c -64)-$(node --version)
if [ "$(cat "$modules/stamp" 2>/dev/null)" != "$stamp" ]; then
  rm -rf "$modules"
  mkdir -p "$modules"
  cp package.json package-lock.json .npmrc "$modules/"
  npm ci --prefix "$modules" --omit=dev --prefer-offline --no-audit --no-fund --loglevel=error >&2
  echo "$stamp" >"$modules/stamp"
fi

rm -rf "$context"
mkdir -p "$context"/{empty,modules,app/image} "$context"/rootfs/{etc/ssl/certs,tmp,usr/local/bin,usr/share/doc/stowage}
rootfs=$context/rootfs
chmod 1777 "$rootfs/tmp"
chmod 0700 "$context/empty"

install -m 0755 "$node" "$rootfs/usr/local/bin/node"
cp "$(dirname "$node")/../LICENSE" "$rootfs/usr/share/doc/stowage/LICENSE.node"
cp LICENSE "$rootfs/usr/share/doc/stowage/LICENSE"

# Each library goes where the loader looks for it; the loader itself is the entry without an arrow.
copy_library() {
  install -D -m 0755 "$(readlink -f "$1")" "$rootfs$1"
}
ldd "$node" | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
  copy_library "$library"
done
# The C library loads these by name when it looks up hosts; newer ones have them built in.
libc_folder=$(dirname "$(ldd "$node" | awk '$1 == "libc.so.6" { print $3 }')")
for library in libresolv.so.2 libnss_files.so.2 libnss_dns.so.2; do
  [ ! -e "$libc_folder/$library" ] || copy_library "$libc_folder/$library"
done

certificates=
for candidate in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt; do
  [ ! -e "$candidate" ] || certificates=$candidate
done
if [ -n "$certificates" ]; then
  cp -L "$certificates" "$rootfs/etc/ssl/certs/ca-certificates.crt"
else
  # A machine without authorities of its own: those that Node was built with.
  node -p 'require("node:tls").rootCertificates.join("\n")' >"$rootfs/etc/ssl/certs/ca-certificates.crt"
fi
echo 'stowage:x:65532:65532:Stowage:/data:/nonexistent' >"$rootfs/etc/passwd"
echo 'stowage:x:65532:' >"$rootfs/etc/group"
echo 'hosts: files dns' >"$rootfs/etc/nsswitch.conf"

cp -R "$modules/node_modules" "$context/modules/"
# Descriptions of types are for development, and a third of what the packages weigh.
find "$context/modules" -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete
find "$context/modules" -type d -empty -delete
cp package.json "$context/app/"
node scripts/build-program.ts "$context/app/dist" >&2
# The programs begin with /usr/bin/env, which the image has not; so those of the image are files that name Node.
node -p 'Object.entries(require("./package.json").bin).flat().join("\n")' | while read -r program && read -r source; do
  printf '#!/usr/local/bin/node\nimport("/app/dist/%s.js")\n' "$(basename "$source" .ts)" >"$rootfs/usr/local/bin/$program"
  chmod 0755 "$rootfs/usr/local/bin/$program"
done
cp image/healthcheck.mjs "$context/app/image/"
chmod -R u=rwX,go=rX "$context/app" "$context/modules"
cp image/Dockerfile "$context/Dockerfile"

if [ -n "${STOWAGE_IMAGE_CONTEXT_ONLY:-}" ]; then
  echo "$context"
  exit 0
fi

docker=${DOCKER:-docker}
if ! "$docker" version >/dev/null 2>&1; then
  echo "no container engine answers: start one, or name it with DOCKER_HOST (or DOCKER=podman)" >&2
  exit 1
fi
"$docker" build --quiet --tag "$tag" "$context" >/dev/null
echo "built $tag ($(du -sh --apparent-size "$context" | cut -f 1))"
