#!/bin/bash
# fetch.sh DIR: leaves Debian's newest 6.1 cloud kernel in DIR: DIR/root (the unpacked package) and
# DIR/release (its name, such as 6.1.0-9-cloud-amd64). Quick when it is there already.
# The package comes from the host's own apt sources, or, where those are of a later Debian, from the
# same mirrors' Debian 12 by an apt configuration of its own under DIR. KERNEL_DEB=FILE takes a package
# that is at hand.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
DIR=$(realpath -m "${1:?usage: fetch.sh DIR}")
PATTERN='^linux-image-6\.1\.[0-9.-]+-cloud-amd64$'
SUITES='bookworm bookworm-security'
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
HELP="give it one: KERNEL_DEB=linux-image-6.1.*-cloud-amd64*.deb make kernels"

# The newest one is taken, as superseded versions leave the mirrors.
newest_offered() { apt-cache pkgnames linux-image-6.1. | grep -E "$PATTERN" | sort -V | tail -n 1; }

# Prints source lines for Debian 12 at the mirrors that this host uses.
debian_12_sources() {
  apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 'Origin: Debian' |
    sort -u | while read -r uri label; do
    case $label in
      Debian) suite=${SUITES% *} ;;
      Debian-Security) suite=${SUITES#* } ;;
      *) continue ;;
    esac
    echo "deb [arch=amd64 signed-by=$KEYRING] $uri $suite main"
  done
}

# Points apt at a configuration of our own; nothing of the host's is changed.
use_private_apt() {
  local apt=$DIR/apt
  [ -e "$KEYRING" ] || die "this host has no Debian archive keyring to check a kernel with; $HELP"
  mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/dpkg"
  : >"$apt/dpkg/status"
  debian_12_sources >"$apt/sources.list"
  [ -s "$apt/sources.list" ] || die "this host has no Debian mirror to fetch a 6.1 kernel from; $HELP"
  cat >"$apt/apt.conf" <<APT
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/nonexistent";
Dir::State "$apt/state";
Dir::State::status "$apt/dpkg/status";
Dir::Cache "$apt/cache";
APT::Architectures { "amd64"; };
Acquire::Languages "none";
APT::Sandbox::User "root";
APT
  export APT_CONFIG=$apt/apt.conf
  apt-get -qq update
}

# Leaves the package in DIR and prints its path.
download() {
  local package
  have apt-get || die "kernels come as Debian packages and this host has no apt; $HELP"
  package=$(newest_offered || true)
  if [ -z "$package" ]; then
    use_private_apt
    package=$(newest_offered || true)
  fi
  [ -n "$package" ] || die "no mirror of this host offers a 6.1 cloud kernel; $HELP"
  say "downloading $package"
  (cd "$DIR" && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2)
  echo "$DIR/$package"_*.deb
}

if [ -e "$DIR/release" ] && [ -e "$DIR/root/boot/vmlinuz-$(cat "$DIR/release")" ]; then
  exit
fi
rm -rf "$DIR"
mkdir -p "$DIR"
deb=${KERNEL_DEB:-$(download)}
dpkg-deb -x "$deb" "$DIR/root"
image=$(ls "$DIR"/root/boot/vmlinuz-*) || die "$deb holds no boot/vmlinuz"
[ -n "${KERNEL_DEB:-}" ] || rm -f "$deb"
echo "${image##*/vmlinuz-}" >"$DIR/release"
say "kernel $(cat "$DIR/release")"
