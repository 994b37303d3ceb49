#!/bin/bash
# Builds the bundle as someone without network and without a cargo cache would: unpacked elsewhere,
# in a network namespace that has no interface, with an empty CARGO_HOME.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${BUILD_DIR:?run this through make}"

NAME=security-agent-$(workspace_version)-source
ARCHIVE=$BUILD_DIR/bundle/$NAME.tar.gz
# An ordinary user may only unshare the network in a user namespace of his own.
UNSHARE=(unshare --net)
[ "$(id -u)" = 0 ] || UNSHARE+=(--map-root-user)

[ -e "$ARCHIVE" ] || die "$ARCHIVE is missing: make bundle"
# rustup's proxies stay in PATH, the toolchain is no part of the bundle.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
work=$(mktemp -d "${TMPDIR:-/tmp}/bundle-test.XXXXXX")
trap 'rm -rf "$work"' EXIT
tar -C "$work" -xzf "$ARCHIVE"
mkdir "$work/cargo-home"
"${UNSHARE[@]}" env -u CARGO_TARGET_DIR -u MAKEFLAGS -u MAKELEVEL CARGO_HOME="$work/cargo-home" \
  make -C "$work/$NAME" build OFFLINE=1 PROFILE=dev
built=$work/$NAME/target/$TARGET/debug/security-agent
"$built" version >/dev/null || die "the binary that was built from the bundle does not run"
say "builds offline: $(du -h "$built" | cut -f1)"
