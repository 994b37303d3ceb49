#!/bin/bash
# initramfs.sh OUT KERNEL_DIR FILE[:DEST]...: writes the file system of the test virtual machine to OUT
# (cpio, gzip): busybox, init.sh, the modules that the tests use, and the FILEs at DEST (default:
# test/NAME). test/run is the command that the machine runs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
OUT=$(realpath -m "${1:?usage: initramfs.sh OUT KERNEL_DIR FILE[:DEST]...}")
KERNEL_DIR=$2
shift 2
# In the order of loading, each after those that it needs. A kernel may have one built in.
MODULES=(overlay veth sch_ingress cls_bpf llc stp bridge)

make_skeleton() {
  # mktemp made it for its owner alone; as / it is for everyone.
  chmod 0755 "$1"
  mkdir -p "$1"/{bin,sbin,usr/bin,usr/sbin,etc,root,home,proc,sys,dev,tmp,run,mnt,var,opt,test,lib/modules}
  install -m 0755 "$(command -v busybox)" "$1/bin/busybox"
  install -m 0755 "$ROOT/scripts/kernels/init.sh" "$1/init"
  printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'daemon:x:1:1:daemon:/:/bin/false' \
    'nobody:x:65534:65534:nobody:/:/bin/false' >"$1/etc/passwd"
  printf '%s\n' 'root:x:0:' 'daemon:x:1:' 'nogroup:x:65534:' >"$1/etc/group"
  printf '%s\n' 'root:*:19000:0:99999:7:::' >"$1/etc/shadow"
  chmod 0640 "$1/etc/shadow"
  echo testvm >"$1/etc/hostname"
}

# Debian compresses modules from 6.12 on, and busybox loads plain ones only.
add_modules() {
  local name found
  for name in "${MODULES[@]}"; do
    found=$(find "$KERNEL_DIR/root" -name "$name.ko*" | head -n 1)
    case $found in
      '') continue ;;
      *.xz) xz -dc "$found" >"$1/lib/modules/$name.ko" ;;
      *) cp "$found" "$1/lib/modules/$name.ko" ;;
    esac
    echo "$name.ko" >>"$1/lib/modules/list"
  done
  touch "$1/lib/modules/list"
}

add_file() {
  local source=${2%%:*} dest=test/${2##*/}
  [ "$source" = "$2" ] || dest=${2#*:}
  mkdir -p "$1/$(dirname "$dest")"
  cp -L "$source" "$1/$dest"
}

stage=$(mktemp -d "$(dirname "$OUT")/initramfs.XXXXXX")
trap 'rm -rf "$stage"' EXIT
make_skeleton "$stage"
add_modules "$stage"
for file in "$@"; do add_file "$stage" "$file"; done
(cd "$stage" && find . -print0 | cpio --null -o -H newc --owner 0:0 --quiet | gzip -1) >"$OUT"
