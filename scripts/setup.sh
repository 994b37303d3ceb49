#!/bin/bash
# setup.sh build|test: installs what building (and testing) needs, and only what is missing.
# Debian and Ubuntu first; Fedora and Alpine by the names that their packages have there.
# With OFFLINE=1 nothing is installed: what is missing is named.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

CHANNEL=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)
RUSTUP_HELP="install rustup as https://rustup.rs tells, open a new shell and try again"
missing=()

# need COMMAND|FILE DEBIAN FEDORA ALPINE: notes the distribution's package when the first is absent.
need() {
  case $1 in
    /*) [ ! -e "$1" ] || return 0 ;;
    *) ! have "$1" || return 0 ;;
  esac
  case $manager in
    apt-get) missing+=("$2") ;;
    dnf) missing+=("$3") ;;
    apk) missing+=("$4") ;;
    *) missing+=("$1") ;;
  esac
}

need_build_tools() {
  need make make make make
  need git git git git
  need tar tar tar tar
  need gzip gzip gzip gzip
  need cc gcc gcc gcc
  need /usr/include/stdio.h libc6-dev glibc-devel musl-dev
  # The same two that image.sh looks for.
  [ -e /etc/pki/tls/certs/ca-bundle.crt ] ||
    need /etc/ssl/certs/ca-certificates.crt ca-certificates ca-certificates ca-certificates
  # Probes that came compiled, as in a bundle, need no BPF compiler.
  [ -z "${OFFLINE:-}" ] || [ ! -e "probes/compiled/agent.$ARCH.o" ] || return 0
  need clang clang clang clang
}

need_test_tools() {
  need python3 python3 python3 python3
  need ip iproute2 iproute iproute2
  need ps procps procps-ng procps
  need unshare util-linux util-linux util-linux
  need openssl openssl openssl openssl
  need curl curl curl curl
  need crun crun crun crun
  [ "$manager" != dnf ] || need /usr/lib64/libc.a libc glibc-static musl-dev
  [ "$ARCH" = x86_64 ] || return 0
  need qemu-system-x86_64 qemu-system-x86 qemu-system-x86-core qemu-system-x86_64
  need cpio cpio cpio cpio
  need busybox busybox-static busybox busybox-static
  # Kernels for the virtual machine are Debian packages.
  need dpkg-deb dpkg dpkg dpkg
}

install_packages() {
  say "installing $*"
  case $manager in
    apt-get) apt_install "$@" ;;
    dnf) as_root dnf install -y "$@" ;;
    apk) as_root apk add "$@" ;;
    *) die "knows apt-get, dnf and apk only; install these yourself: $*" ;;
  esac
}

# The package lists of a fresh machine are empty or old: the first try may fail.
apt_install() {
  local apt=(apt-get -y -o Dpkg::Lock::Timeout=300 -o Acquire::Retries=3)
  local install=(env DEBIAN_FRONTEND=noninteractive "${apt[@]}" install --no-install-recommends)
  as_root "${install[@]}" "$@" >/dev/null 2>&1 && return
  attempt 3 as_root "${apt[@]}" update
  attempt 2 as_root "${install[@]}" "$@"
}

refuse_offline() { [ -z "${OFFLINE:-}" ] || die "missing, and OFFLINE=1 installs nothing: $*"; }

install_missing() {
  [ ${#missing[@]} -gt 0 ] || return 0
  refuse_offline "${missing[*]}"
  install_packages "${missing[@]}"
}

# Debian's rustup package (from 13 on) brings cargo itself; those of Fedora and Alpine bring rustup-init.
install_rustup() {
  refuse_offline cargo
  if [ "$manager" = none ] || { [ "$manager" = apt-get ] && ! apt_offers rustup; }; then
    die "cargo $CHANNEL or newer is missing and this distribution has no rustup package: $RUSTUP_HELP"
  fi
  install_packages rustup
  have rustup || rustup-init -y --no-modify-path --default-toolchain none
}

apt_offers() {
  [ -n "$(apt-cache pkgnames "$1" | grep -x "$1")" ] && return
  attempt 3 as_root apt-get -y update >/dev/null
  [ -n "$(apt-cache pkgnames "$1" | grep -x "$1")" ]
}

# Whether version $1 is at least $2.
at_least() { printf '%s\n%s\n' "$2" "$1" | sort -V -C; }

# The toolchain's directory; fails where it is not installed.
sysroot() { RUSTUP_AUTO_INSTALL=0 rustc --print sysroot 2>/dev/null; }

setup_rust() {
  have cargo || have rustup || install_rustup
  if have rustup; then
    sysroot >/dev/null || install_toolchain
  else
    local version
    version=$(rustc --version | cut -d' ' -f2)
    at_least "$version" "$CHANNEL" || die "cargo is $version, needed is $CHANNEL: $RUSTUP_HELP"
  fi
  local root
  root=$(sysroot) || die "rustc does not run: $RUSTUP_HELP"
  [ -d "$root/lib/rustlib/$TARGET/lib" ] || add_target
  [ "$mode" = test ] || return 0
  [ -x "$root/bin/cargo-clippy" ] && [ -x "$root/bin/cargo-fmt" ] || add_components
}

install_toolchain() {
  refuse_offline "the Rust toolchain $CHANNEL"
  say "installing the Rust toolchain $CHANNEL"
  rustup toolchain install "$CHANNEL" --profile minimal -c clippy -c rustfmt -t "$TARGET"
}

# rustup does not add a target that rust-toolchain.toml lists when it may not install by itself.
add_target() {
  refuse_offline "the Rust target $TARGET"
  have rustup || die "this Rust lacks the target $TARGET: $RUSTUP_HELP"
  say "adding the Rust target $TARGET"
  rustup target add --toolchain "$CHANNEL" "$TARGET"
}

add_components() {
  refuse_offline "clippy and rustfmt"
  have rustup || die "this Rust lacks clippy or rustfmt: install them, or $RUSTUP_HELP"
  say "adding clippy and rustfmt"
  rustup component add --toolchain "$CHANNEL" clippy rustfmt
}

# A web server for the tests: one that is installed, or Debian's package unpacked below the build
# directory, because installing it starts a service on port 80. The libraries that it needs came
# with git and openssl.
setup_nginx() {
  local tools=${TOOLS_DIR:?run this through make} stage
  if have nginx || [ -x /usr/sbin/nginx ] || [ -x "$tools/nginx/usr/sbin/nginx" ]; then return; fi
  if [ "$manager" != apt-get ]; then
    say "tests that need nginx are skipped: install its package, the service need not run"
    return
  fi
  refuse_offline nginx
  say "unpacking nginx below $tools"
  mkdir -p "$tools"
  stage=$(mktemp -d "$tools/nginx.XXXXXX")
  # The package lists of a fresh machine are empty or old: the first try may fail.
  if ! unpack_nginx "$stage"; then
    attempt 3 as_root apt-get -y update >/dev/null
    unpack_nginx "$stage" || { rm -rf "$stage" && die "the nginx package cannot be had from apt-get"; }
  fi
  rm -rf "$tools/nginx"
  mv "$stage/root" "$tools/nginx"
  rm -rf "$stage"
}

# unpack_nginx DIR: leaves it in DIR/root. Where nginx is only a name for variants, the core one serves.
unpack_nginx() {
  local name
  for name in nginx nginx-core; do
    (cd "$1" && apt-get download "$name") >/dev/null 2>&1 || continue
    dpkg -x "$1/$name"_*.deb "$1/root" || continue
    [ ! -x "$1/root/usr/sbin/nginx" ] || return 0
  done
  return 1
}

# Python packages of the tests in an environment of their own. Without a package index the tests that
# need them are skipped, and say so.
setup_python() {
  local tools=${TOOLS_DIR:?run this through make} venv
  venv=$tools/venv
  ! cmp -s tests/requirements.txt "$venv/requirements.txt" || return 0
  if [ -n "${OFFLINE:-}" ]; then
    say "tests that need Python packages are skipped: OFFLINE=1 installs nothing"
    return
  fi
  say "installing the Python packages of the tests below $venv"
  mkdir -p "$tools"
  rm -rf "$venv"
  # Debian has it in a package that python3 does not need.
  if ! python3 -m venv "$venv" >/dev/null 2>&1; then
    [ "$manager" = apt-get ] && apt_install python3-venv || true
    rm -rf "$venv"
    python3 -m venv "$venv" >/dev/null || true
  fi
  if attempt 3 "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/requirements.txt; then
    cp tests/requirements.txt "$venv/requirements.txt"
  else
    rm -rf "$venv"
    say "tests that need Python packages are skipped: pip cannot install tests/requirements.txt"
  fi
}

mode=${1:-}
manager=none
for candidate in apt-get dnf apk; do
  ! have "$candidate" || { manager=$candidate && break; }
done
case $mode in
  build) need_build_tools ;;
  test) need_build_tools && need_test_tools ;;
  *) die "usage: setup.sh build|test" ;;
esac
install_missing
setup_rust
if [ "$mode" = test ]; then
  setup_nginx
  setup_python
fi
