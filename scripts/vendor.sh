#!/bin/bash
# Copies the sources of all dependencies to vendor/registry. A build uses them only when asked:
#   cargo build --offline --locked --config vendor/registry/config.toml     (make build OFFLINE=1)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"
VENDORED=vendor/registry

# The import libraries for Windows are most of the volume and are never compiled here; cargo only
# wants their manifests to resolve the lock file.
empty_windows_crates() {
  local crate
  for crate in "$VENDORED"/windows* "$VENDORED"/winapi*; do
    [ -e "$crate/Cargo.toml" ] || continue
    sed -i 's/"files":{[^}]*}/"files":{}/' "$crate/.cargo-checksum.json"
    find "$crate" -mindepth 1 -maxdepth 1 ! -name Cargo.toml ! -name .cargo-checksum.json \
      -exec rm -rf {} +
    mkdir "$crate/src"
    : >"$crate/src/lib.rs"
  done
}

# cargo reads a relative directory as seen from the parent of the directory of this file.
write_config() {
  cat >"$VENDORED/config.toml" <<'CONFIG'
[source.crates-io]
replace-with = "vendored"

[source.vendored]
directory = "registry"
CONFIG
}

up_to_date() { [ -e "$VENDORED/config.toml" ] && [ ! Cargo.lock -nt "$VENDORED/config.toml" ]; }

if up_to_date; then
  say "$VENDORED is up to date"
  exit
fi
[ -z "${OFFLINE:-}" ] || die "$VENDORED is missing or old, and OFFLINE=1 downloads nothing"
say "copying dependencies to $VENDORED"
# Its standard output is the configuration to use; ours is written below.
cargo vendor --quiet --locked --versioned-dirs "$VENDORED" >/dev/null
empty_windows_crates
write_config
say "$VENDORED: $(find "$VENDORED" -mindepth 1 -maxdepth 1 -type d | wc -l) crates, $(du -sh "$VENDORED" | cut -f1)"
