#!/bin/bash
# fetch.sh DIR SERIES: leaves Debian's newest cloud kernel of SERIES (5.10, 6.1, or `newest` of all) in
# DIR: DIR/root (the unpacked package) and DIR/release (its name, such as 6.1.0-9-cloud-amd64). Quick
# when it is there already. The package comes from the host's own apt sources, or, where those have
# none, from the same mirrors' suites that have, by an apt configuration of its own under DIR.
# KERNEL_DEB=FILE takes a package that is at hand, whatever DIR holds.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
DIR=$(realpath -m "${1:?usage: fetch.sh DIR SERIES}")
SERIES=${2:?usage: fetch.sh DIR SERIES}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
HELP="give it one: KERNEL_DEB=linux-image-*-cloud-amd64*.deb make kernels"
# The suites that have the series: of Debian itself, and of its security archive.
case $SERIES in
  5.10) PATTERN='5\.10\.[0-9.-]+' SUITE=bullseye SECURITY=bullseye-security ;;
  6.1) PATTERN='6\.1\.[0-9.-]+' SUITE=bookworm SECURITY=bookworm-security ;;
  newest) PATTERN='[0-9.]+\+deb[0-9]+' SUITE=trixie-backports SECURITY= ;;
  *) die "knows the series 5.10, 6.1 and newest, not $SERIES" ;;
esac
PATTERN="^linux-image-$PATTERN-cloud-amd64$"

# The newest one is taken, as superseded versions leave the mirrors.
newest_offered() { apt-cache pkgnames linux-image- | grep -E "$PATTERN" | sort -V | tail -n 1; }

# Prints source lines for the suites at the mirrors that this host uses.
suite_sources() {
  apt-get indextargets --format '$(REPO_URI) $(LABEL)' 'Created-By: Packages' 'Origin: Debian' |
    sort -u | while read -r uri label; do
    case $label in
      Debian) suite=$SUITE ;;
      Debian-Security) suite=$SECURITY ;;
      *) continue ;;
    esac
    [ -z "$suite" ] || echo "deb [arch=amd64 signed-by=$KEYRING] $uri $suite main"
  done
}

# Points apt at a configuration of our own; nothing of the host's is changed.
use_private_apt() {
  local apt=$DIR/apt
  [ -e "$KEYRING" ] || die "this host has no Debian archive keyring to check a kernel with; $HELP"
  mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/dpkg"
  : >"$apt/dpkg/status"
  suite_sources >"$apt/sources.list"
  [ -s "$apt/sources.list" ] || die "this host has no Debian mirror to fetch a kernel from; $HELP"
  cat >"$apt/apt.conf" <<APT
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "/nonexistent";
Dir::State "$apt/state";
Dir::State::status "$apt/dpkg/status";
Dir::Cache "$apt/cache";
APT::Architectures { "amd64"; };
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "root";
APT
  export APT_CONFIG=$apt/apt.conf
  attempt 3 apt-get -qq update
}

# Leaves the package in DIR, and those that newer ones are split into, and prints their paths.
download() {
  local package= debs=
  have apt-get || die "kernels come as Debian packages and this host has no apt; $HELP"
  # The host's own newest is not the newest of all.
  [ "$SERIES" = newest ] || package=$(newest_offered || true)
  # Its lists may be older than the mirror, which keeps no package that was replaced.
  [ -z "$package" ] || debs=$(parts_of "$package") || debs=
  if [ -z "$debs" ]; then
    use_private_apt
    package=$(newest_offered || true)
    [ -n "$package" ] || die "no mirror of this host offers a cloud kernel of the series $SERIES; $HELP"
    debs=$(parts_of "$package") || die "$package cannot be had from the mirrors of this host; $HELP"
  fi
  echo "$debs"
}

parts_of() {
  local part
  for part in image binary modules; do
    part=linux-$part-${1#linux-image-}
    [ -n "$(apt-cache pkgnames "$part" | grep -x "$part")" ] || continue
    say "downloading $part"
    (cd "$DIR" && attempt 2 apt-get -qq -o APT::Sandbox::User=root download "$part" >&2) || return
    echo "$DIR/$part"_*.deb
  done
}

if [ -z "${KERNEL_DEB:-}" ] && [ -e "$DIR/release" ] && [ -e "$DIR/root/boot/vmlinuz-$(cat "$DIR/release")" ]; then
  exit
fi
rm -rf "$DIR"
mkdir -p "$DIR"
debs=${KERNEL_DEB:-$(download)}
for deb in $debs; do
  dpkg-deb -x "$deb" "$DIR/root"
  [ -n "${KERNEL_DEB:-}" ] || rm -f "$deb"
done
image=$(find "$DIR/root" -name 'vmlinuz*' -type f)
[ -n "$image" ] || die "$debs holds no vmlinuz"
release=$(basename "$(find "$DIR/root" -path '*/lib/modules/*' -prune)")
[ -n "$release" ] || die "$debs holds no modules"
# Where newer packages keep it, it has no version in its name.
mkdir -p "$DIR/root/boot"
[ -e "$DIR/root/boot/vmlinuz-$release" ] || cp "$image" "$DIR/root/boot/vmlinuz-$release"
echo "$release" >"$DIR/release"
say "kernel $release"
