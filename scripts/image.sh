#!/bin/bash
# Writes IMAGE, a container image as an OCI archive: `podman load`, `docker load`, `skopeo copy
# oci-archive:…` and `ctr images import` take it. No engine is needed, and nothing but the binary,
# its names, the certificates of this host and empty directories is in it. The same commit on the
# same host gives the same bytes.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
: "${IMAGE:?run this through make}" "${IMAGE_ARCH:?}" "${BINARY:?}"

VERSION=$(workspace_version)
TIME=$(timestamp)
CREATED=$(date --utc --date="@$TIME" +%Y-%m-%dT%H:%M:%SZ)
PREFIX=/opt/datadog-agent
CERTIFICATES=(/etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt)
LAYOUT_TYPE=application/vnd.oci.image

# pack DIR FILE: the tree as a tar file that depends on names and contents alone.
pack() {
  tar --directory "$1" --create --file "$2" --sort=name --mtime="@$TIME" --owner=0 --group=0 \
    --numeric-owner --format=gnu .
}

digest() { sha256sum "$1" | cut -d' ' -f1; }
size() { stat --format=%s "$1"; }

# descriptor TYPE DIGEST SIZE: how one blob is named in another, without the closing brace.
descriptor() { printf '{"mediaType":"%s.%s","digest":"sha256:%s","size":%s' "$LAYOUT_TYPE" "$1" "$2" "$3"; }

# blob FILE: moves it to where its digest names it; prints the digest.
blob() {
  local sum
  sum=$(digest "$1")
  mv "$1" "$layout/blobs/sha256/$sum"
  echo "$sum"
}

directories() {
  install -d -m 0755 "$root"/{proc,sys,dev,etc/ssl/certs,usr/bin,usr/share/licenses/security-agent} \
    "$root$PREFIX"/{embedded/bin,bin/datadog-cws-instrumentation} "$root"/var/{run,log/datadog}
  install -d -m 0750 "$root$PREFIX/run" "$root"/etc/datadog-agent{,/runtime-security.d} \
    "$root/var/run/sysprobe"
  install -d -m 1777 "$root/tmp"
}

# One binary under all its names.
binaries() {
  local name
  install -m 0755 "$BINARY" "$root$PREFIX/embedded/bin/security-agent"
  for name in system-probe cws-instrumentation; do
    ln -s security-agent "$root$PREFIX/embedded/bin/$name"
  done
  for name in security-agent system-probe cws-instrumentation; do
    ln -s "../..$PREFIX/embedded/bin/$name" "$root/usr/bin/$name"
  done
  ln -s "${PREFIX#/}/embedded/bin/cws-instrumentation" "$root/cws-instrumentation"
  ln -s ../../embedded/bin/cws-instrumentation \
    "$root$PREFIX/bin/datadog-cws-instrumentation/cws-instrumentation.$IMAGE_ARCH"
}

files() {
  local candidate
  for candidate in "${CERTIFICATES[@]}"; do
    [ -e "$candidate" ] || continue
    install -m 0644 "$candidate" "$root/etc/ssl/certs/ca-certificates.crt"
    break
  done
  [ -e "$root/etc/ssl/certs/ca-certificates.crt" ] ||
    die "none of ${CERTIFICATES[*]} exists: install ca-certificates"
  printf 'root:x:0:0:root:/:/\ndd-agent:x:100:100:Datadog Agent:%s:/\n' "$PREFIX" >"$root/etc/passwd"
  printf 'root:x:0:\ndd-agent:x:100:\n' >"$root/etc/group"
  install -m 0644 LICENSE "$root/usr/share/licenses/security-agent/LICENSE"
  install -m 0644 probes/LICENSE "$root/usr/share/licenses/security-agent/LICENSE.probes"
  chmod 0644 "$root/etc/passwd" "$root/etc/group"
}

labels() {
  local prefix=org.opencontainers.image
  printf '"%s.title":"security-agent","%s.version":"%s",' "$prefix" "$prefix" "$VERSION"
  printf '"%s.description":"Workload Protection agent: system-probe and security-agent",' "$prefix"
  printf '"%s.licenses":"Apache-2.0 AND GPL-2.0-only","%s.created":"%s"' "$prefix" "$prefix" "$CREATED"
}

# config LAYER_DIGEST: no entry point, so that a command of a pod and of `docker run` is the whole
# command line.
config() {
  printf '{"architecture":"%s","os":"linux","created":"%s",' "$IMAGE_ARCH" "$CREATED"
  printf '"config":{"User":"0:0","Cmd":["security-agent","run"],"WorkingDir":"/",'
  printf '"Env":["PATH=%s/embedded/bin:/usr/bin"],"Labels":{%s}},' "$PREFIX" "$(labels)"
  printf '"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},' "$1"
  printf '"history":[{"created":"%s","created_by":"make image"}]}' "$CREATED"
}

# manifest CONFIG_DIGEST LAYER_DIGEST
manifest() {
  local blobs=$layout/blobs/sha256
  printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json",' "$LAYOUT_TYPE"
  printf '"config":%s},"layers":[%s}]}' \
    "$(descriptor config.v1+json "$1" "$(size "$blobs/$1")")" \
    "$(descriptor layer.v1.tar "$2" "$(size "$blobs/$2")")"
}

# index MANIFEST_DIGEST
index() {
  printf '{"schemaVersion":2,"mediaType":"%s.index.v1+json","manifests":[%s,' "$LAYOUT_TYPE" \
    "$(descriptor manifest.v1+json "$1" "$(size "$layout/blobs/sha256/$1")")"
  printf '"platform":{"architecture":"%s","os":"linux"},"annotations":{' "$IMAGE_ARCH"
  printf '"io.containerd.image.name":"docker.io/library/security-agent:%s",' "$VERSION"
  printf '"org.opencontainers.image.ref.name":"%s"}}]}' "$VERSION"
}

# Engines from before the OCI layout read this file instead of the index.
docker_manifest() {
  printf '[{"Config":"blobs/sha256/%s","RepoTags":["security-agent:%s"],"Layers":["blobs/sha256/%s"]}]' \
    "$1" "$VERSION" "$2"
}

mkdir -p "$(dirname "$IMAGE")"
stage=$(mktemp -d "$(dirname "$IMAGE")/stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT
root=$stage/root layout=$stage/layout
umask 022
install -d -m 0755 "$root" "$layout/blobs/sha256"
directories
binaries
files
pack "$root" "$stage/layer"
layer_digest=$(blob "$stage/layer")
config "$layer_digest" >"$stage/config"
config_digest=$(blob "$stage/config")
manifest "$config_digest" "$layer_digest" >"$stage/manifest"
manifest_digest=$(blob "$stage/manifest")
index "$manifest_digest" >"$layout/index.json"
docker_manifest "$config_digest" "$layer_digest" >"$layout/manifest.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"
pack "$layout" "$IMAGE.part"
mv "$IMAGE.part" "$IMAGE"
say "$IMAGE: $(du -h "$IMAGE" | cut -f1), sha256:$manifest_digest"
