#!/bin/bash
# Writes BUILD_DIR/bundle/security-agent-VERSION-source.tar.gz: the sources, the dependencies from
# vendor/registry and the compiled probes, so that `make build OFFLINE=1` needs no network and no BPF
# compiler. The same commit gives the same bytes.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
: "${BUILD_DIR:?run this through make}"

NAME=security-agent-$(workspace_version)-source
BUNDLE_DIR=$BUILD_DIR/bundle
ARCHIVE=$BUNDLE_DIR/$NAME.tar.gz
# The agent's build script copies what it compiles there; kept, for it runs again only on a change.
export SECURITY_AGENT_PROBES_OUT=$BUILD_DIR/probes

# The source files, each ended by a NUL.
list_sources() {
  if in_git; then
    git ls-files -z
  else
    find . -type f -not -path "./target/*" -not -path './vendor/registry/*' \
      -not -path './probes/compiled/*' -printf '%P\0'
  fi | sort -z
}

# A file may be listed by git and deleted here.
existing() {
  local file
  while IFS= read -r -d '' file; do
    [ ! -e "$file" ] || printf '%s\0' "$file"
  done
}

# `cargo check` is the least that makes the build script of the agent run.
compile_probes() {
  mkdir -p "$SECURITY_AGENT_PROBES_OUT"
  cargo check --quiet --locked --target "$TARGET" --package security-agent
  ls "$SECURITY_AGENT_PROBES_OUT"/agent.*.o >/dev/null 2>&1 ||
    die "the agent's build script left no compiled probes in $SECURITY_AGENT_PROBES_OUT"
}

fill() {
  list_sources | existing | xargs -0 cp --parents --no-dereference --preserve=mode -t "$1"
  [ -e "$1/Cargo.lock" ] || die "Cargo.lock is not among the sources: commit it"
  mkdir -p "$1/vendor" "$1/probes/compiled"
  cp -R vendor/registry "$1/vendor/registry"
  cp "$SECURITY_AGENT_PROBES_OUT"/agent.*.o "$1/probes/compiled/"
  # Modes differ by the umask of whoever checked out; git knows only "executable" or not.
  chmod -R u=rwX,go=rX "$1"
}

pack() {
  tar --directory "$(dirname "$1")" --create --sort=name --mtime="@$(timestamp)" --owner=0 --group=0 \
    --numeric-owner --format=gnu "$NAME" | gzip --no-name --best >"$ARCHIVE.part"
  mv "$ARCHIVE.part" "$ARCHIVE"
}

compile_probes
mkdir -p "$BUNDLE_DIR"
stage=$(mktemp -d "$BUNDLE_DIR/stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT
mkdir "$stage/$NAME"
fill "$stage/$NAME"
pack "$stage/$NAME"
say "$ARCHIVE: $(du -h "$ARCHIVE" | cut -f1)"
