#!/bin/bash
# install.sh install|uninstall: puts the built binary and its names into DESTDIR, or takes them away.
# What people wrote into SYSCONFDIR and what the agent keeps in its run directory is theirs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${PREFIX:?run this through make}" "${SYSCONFDIR:?run this through make}"

BIN_DIR=${DESTDIR:-}$PREFIX/embedded/bin
RUN_PATH=${DESTDIR:-}$PREFIX/run
CONFIG_DIR=${DESTDIR:-}$SYSCONFDIR
# One binary answers to three names; the other two are symbolic links to the first.
NAMES=(system-probe cws-instrumentation)
# What the admission webhook copies into containers, named as Kubernetes names the machine.
HELPER_DIR=${DESTDIR:-}$PREFIX/bin/datadog-cws-instrumentation
case $TARGET in
  x86_64-*) HELPER=$HELPER_DIR/cws-instrumentation.amd64 ;;
  aarch64-*) HELPER=$HELPER_DIR/cws-instrumentation.arm64 ;;
  *) die "there is no build for $TARGET" ;;
esac

# Root is needed for the usual place and rarely for a DESTDIR.
writable() {
  local dir=$1
  while [ ! -e "$dir" ]; do dir=$(dirname "$dir"); done
  [ -w "$dir" ]
}

run() {
  if writable "$BIN_DIR" && writable "$CONFIG_DIR"; then "$@"; else as_root "$@"; fi
}

# The vendor's agent uses the same paths; there system-probe is a program of its own.
refuse_foreign() {
  local path=$BIN_DIR/system-probe
  [ -L "$path" ] || [ ! -e "$path" ] ||
    die "another agent is installed in ${DESTDIR:-}$PREFIX: remove it first, or choose a PREFIX"
}

install_agent() {
  refuse_foreign
  run install -d -m 0755 "$BIN_DIR" "$HELPER_DIR" "$CONFIG_DIR"
  run install -d -m 0750 "$RUN_PATH" "$CONFIG_DIR/runtime-security.d"
  # A name beside it and a rename: a running binary cannot be written, only replaced.
  run install -m 0755 "${BINARY:?run this through make}" "$BIN_DIR/.security-agent.new"
  run mv -f "$BIN_DIR/.security-agent.new" "$BIN_DIR/security-agent"
  local name
  for name in "${NAMES[@]}"; do
    run ln -sfn security-agent "$BIN_DIR/$name"
  done
  # The same file again: a link that is no symbolic one costs no space and can be copied on its own.
  run ln -f "$BIN_DIR/security-agent" "$HELPER"
  say "installed $BIN_DIR/security-agent (also as ${NAMES[*]})"
}

uninstall_agent() {
  refuse_foreign
  local name
  for name in "${NAMES[@]}" security-agent; do
    run rm -f "$BIN_DIR/$name"
  done
  run rm -f "$HELPER"
  # Only what is empty goes.
  for dir in "$CONFIG_DIR/runtime-security.d" "$CONFIG_DIR" "$RUN_PATH" "$BIN_DIR" \
    "$(dirname "$BIN_DIR")" "$HELPER_DIR" "$(dirname "$HELPER_DIR")" "${DESTDIR:-}$PREFIX"; do
    [ ! -d "$dir" ] || run rmdir --ignore-fail-on-non-empty "$dir"
  done
  say "removed the agent from $BIN_DIR"
  for dir in "$CONFIG_DIR" "$RUN_PATH"; do
    [ ! -e "$dir" ] || say "left $dir, which holds files that install did not make"
  done
}

case ${1:-} in
  install) install_agent ;;
  uninstall) uninstall_agent ;;
  *) die "usage: install.sh install|uninstall" ;;
esac
