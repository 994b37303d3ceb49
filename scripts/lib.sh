# Shared by the scripts of this directory, which source it: the root of the tree, the names that the
# build derives from the machine, and the few functions that all of them need.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ARCH=$(uname -m)
# The build host calls it arm64 on some systems; Rust and clang say aarch64.
[ "$ARCH" != arm64 ] || ARCH=aarch64
TARGET=${TARGET:-$ARCH-unknown-linux-musl}
# rustup puts cargo there without telling the shells that run already.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }
die() {
  say "$*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# attempt TIMES COMMAND...: runs what reaches for the network again, after a pause, when it fails.
attempt() {
  local times=$1
  shift
  until "$@"; do
    times=$((times - 1))
    [ "$times" -gt 0 ] || return 1
    sleep 5
  done
}

# Runs a command as root; an ordinary user needs sudo for that. See scripts/as-root.sh.
as_root() { "$ROOT/scripts/as-root.sh" "$@"; }

# The version that the workspace's Cargo.toml declares.
workspace_version() {
  sed -n '/^\[workspace.package\]/,/^\[/s/^version *= *"\(.*\)"/\1/p' "$ROOT/Cargo.toml"
}

in_git() { git rev-parse --is-inside-work-tree >/dev/null 2>&1; }

# When what is packed was made, in seconds since the epoch: the same sources give the same bytes.
timestamp() {
  if [ -n "${SOURCE_DATE_EPOCH:-}" ]; then
    echo "$SOURCE_DATE_EPOCH"
  elif in_git && git rev-parse --verify --quiet HEAD >/dev/null; then
    git log -1 --format=%ct
  else
    echo 946684800
  fi
}
