#!/bin/bash
# run.sh [TEST...]: runs the end-to-end tests in a virtual machine with another kernel, Debian's 6.1,
# whose kprobes carry the probes. Shows the tests' output, which ends with their closing line, and
# exits with their code. When all tests run, a second machine follows whose kernel hides its BTF (no-btf.sh).
# VM_COMMAND=FILE runs that static program or busybox script in the machine instead of the tests.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
: "${BUILD_DIR:?run this through make}" "${BINARY:?run this through make}" "${E2E:?run this through make}"
: "${TOOLS_DIR:?run this through make}"
HERE=$ROOT/scripts/kernels
WORK=$BUILD_DIR/kernels
KERNEL_DIR=$WORK/6.1

# The command of the machine: the runner, told by environment where things are.
write_command() {
  cat >"$WORK/run" <<RUN
#!/bin/sh
export SECURITY_AGENT_BIN=/test/security-agent SECURITY_AGENT_TOOLS=/test/tools
export DD_RUNTIME_SECURITY_CONFIG_NETWORK_INTERFACES_INCLUDE='cwst*'
export SECURITY_AGENT_VM=1
cd /tmp && exec /test/e2e $(printf '%q ' "$@")
RUN
}

build_initramfs() {
  local files=("$WORK/vmexit" "$BINARY:test/security-agent" "$E2E:test/e2e") tool
  # Static programs only: nginx is a directory there, its tests do not apply in the machine.
  for tool in "$TOOLS_DIR"/*; do
    [ ! -f "$tool" ] || [ ! -x "$tool" ] || files+=("$tool:test/tools/${tool##*/}")
  done
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
"$HERE/fetch.sh" "$KERNEL_DIR"
"${CC:-cc}" -O2 -Wall -Wextra -static -o "$WORK/vmexit" "$HERE/vmexit.c"
release=$(cat "$KERNEL_DIR/release")

# boot_machine [KERNEL-ARGUMENT...]: boots $WORK/run, shows its output, returns its code.
boot_machine() {
  local code=0
  build_initramfs
  : >"$WORK/output"
  say "booting $release $*"
  "$HERE/boot.sh" "$KERNEL_DIR/root/boot/vmlinuz-$release" "$WORK/initramfs.gz" "$WORK/output" "$@" \
    >"$WORK/console" || code=$?
  tr -d '\r' <"$WORK/output"
  [ "$code" = 0 ] || say "ended with code $code; the last lines of the console ($WORK/console):"
  [ "$code" = 0 ] || tail -n 20 "$WORK/console" | tr -d '\r' >&2
  return "$code"
}

if [ -n "${VM_COMMAND:-}" ]; then
  cp "$VM_COMMAND" "$WORK/run"
  boot_machine
  exit
fi
code=0
write_command "$@"
boot_machine || code=$?
if [ $# = 0 ]; then
  cp "$HERE/no-btf.sh" "$WORK/run"
  boot_machine initcall_blacklist=btf_vmlinux_init || code=$?
fi
exit "$code"
