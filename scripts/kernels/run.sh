#!/bin/bash
# run.sh [TEST...]: runs the end-to-end tests in virtual machines with other kernels. Shows the tests'
# output, which ends with their closing line, and exits with the code of the last ones that failed.
# Debian's 6.1, whose kprobes carry the probes, runs all tests, then no-btf.sh with a kernel that hides
# its BTF; 5.10 and the newest run those of the network, where kernels differ most. Named tests run on
# all of them. KERNELS="SERIES..." takes others of fetch.sh's; KERNEL_DEB=FILE is the only one then.
# VM_COMMAND=FILE runs that static program or busybox script in the machines instead of the tests.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
: "${BUILD_DIR:?run this through make}" "${BINARY:?run this through make}" "${E2E:?run this through make}"
: "${TOOLS_DIR:?run this through make}"
HERE=$ROOT/scripts/kernels
WORK=$BUILD_DIR/kernels
KERNELS=${KERNELS:-5.10 6.1 newest}
[ -z "${KERNEL_DEB:-}" ] || KERNELS=6.1
NETWORK_TESTS=(network_ metadata_ sockets_ coexistence_)

# The command of the machine: the runner, told by environment where things are.
write_command() {
  cat >"$WORK/run" <<RUN
#!/bin/sh
# busybox has an ip and a tc too, which know too little.
export PATH=/usr/sbin:\$PATH
export SECURITY_AGENT_BIN=/test/security-agent SECURITY_AGENT_TOOLS=/test/tools
export DD_RUNTIME_SECURITY_CONFIG_NETWORK_INTERFACES_INCLUDE='cwst*'
export SECURITY_AGENT_VM=1
cd /tmp && exec /test/e2e $(printf '%q ' "$@")
RUN
}

# Prints FILE:DEST for a program of the host and the libraries that it needs, where it looks for them.
with_libraries() {
  local program library
  program=$(command -v "$1") || die "$1 is missing: install iproute2"
  echo "$program:usr/sbin/$1"
  ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
    echo "$library:${library#/}"
  done
}

build_initramfs() {
  local files=("$WORK/vmexit" "$BINARY:test/security-agent" "$E2E:test/e2e") tool line
  # Static programs only: nginx is a directory there, its tests do not apply in the machine.
  for tool in "$TOOLS_DIR"/*; do
    [ ! -f "$tool" ] || [ ! -x "$tool" ] || files+=("$tool:test/tools/${tool##*/}")
  done
  while read -r line; do files+=("$line"); done < <(with_libraries ip && with_libraries tc)
  files+=("$WORK/run:test/run")
  chmod +x "$WORK/run"
  "$HERE/initramfs.sh" "$WORK/initramfs.gz" "$KERNEL_DIR" "${files[@]}"
}

if [ "$ARCH" != x86_64 ]; then
  echo "skip kernels: the virtual machine needs an x86-64 host"
  echo "0 passed, 0 failed, 1 skipped"
  exit
fi
mkdir -p "$WORK"
"${CC:-cc}" -O2 -Wall -Wextra -static -o "$WORK/vmexit" "$HERE/vmexit.c"

# boot_machine SERIES [KERNEL-ARGUMENT...]: boots $WORK/run, shows its output, returns its code.
boot_machine() {
  local code=0 series=$1 release
  # A package that was given leaves the series that was fetched alone.
  KERNEL_DIR=$WORK/${KERNEL_DEB:+given-}$1
  shift
  # A condition around this function switches off that errors end it.
  "$HERE/fetch.sh" "$KERNEL_DIR" "$series" || return
  release=$(cat "$KERNEL_DIR/release")
  build_initramfs || return
  : >"$WORK/output"
  say "booting $release $*"
  "$HERE/boot.sh" "$KERNEL_DIR/root/boot/vmlinuz-$release" "$WORK/initramfs.gz" "$WORK/output" "$@" \
    >"$WORK/console" || code=$?
  tr -d '\r' <"$WORK/output"
  [ "$code" = 0 ] || say "ended with code $code; the last lines of the console ($WORK/console):"
  [ "$code" = 0 ] || tail -n 20 "$WORK/console" | tr -d '\r' >&2
  return "$code"
}

code=0
for series in $KERNELS; do
  if [ -n "${VM_COMMAND:-}" ]; then
    cp "$VM_COMMAND" "$WORK/run"
  elif [ $# = 0 ] && [ "$series" != 6.1 ]; then
    write_command "${NETWORK_TESTS[@]}"
  else
    write_command "$@"
  fi
  boot_machine "$series" || code=$?
  if [ $# = 0 ] && [ "$series" = 6.1 ] && [ -z "${VM_COMMAND:-}" ]; then
    cp "$HERE/no-btf.sh" "$WORK/run"
    boot_machine "$series" initcall_blacklist=btf_vmlinux_init || code=$?
  fi
done
exit "$code"
