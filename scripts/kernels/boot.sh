#!/bin/bash
# boot.sh KERNEL INITRAMFS OUTPUT [KERNEL-ARGUMENT...]: boots a virtual machine, writes its test output
# to OUTPUT (its console goes to standard output) and exits with the code of the tests in it.
# Exit codes of its own: 124 after VM_TIMEOUT seconds, 125 when it ended without a report.
#
# Emulated on purpose: a host that is a virtual machine itself often has a /dev/kvm that is slower.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
KERNEL=${1:?usage: boot.sh KERNEL INITRAMFS OUTPUT [KERNEL-ARGUMENT...]} INITRAMFS=$2 OUTPUT=$3
shift 3
# vmexit.c writes to this port; init.sh adds this offset to the exit code.
EXIT_PORT=0x501
EXIT_OFFSET=16
# A kernel that panics ends the machine (panic=-1, -no-reboot) and is found by its missing report.
ARGUMENTS="console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable no_timer_check"
ARGUMENTS+=" random.trust_cpu=on nokaslr $*"

code=0
timeout --foreground -k 5 "${VM_TIMEOUT:-3600}" qemu-system-x86_64 -M q35 -accel tcg,thread=multi -cpu max \
  -smp 1 -m "${VM_MEMORY:-512}" -nodefaults -no-user-config -no-reboot -display none \
  -serial stdio -serial "file:$OUTPUT" \
  -device isa-debug-exit,iobase=$EXIT_PORT,iosize=1 \
  -kernel "$KERNEL" -initrd "$INITRAMFS" -append "$ARGUMENTS" </dev/null || code=$?
case $code in
  124 | 137)
    say "the virtual machine did not end within ${VM_TIMEOUT:-3600} s"
    exit 124
    ;;
esac
report=$(((code >> 1) - EXIT_OFFSET))
if [ $((code & 1)) = 0 ] || [ "$report" -lt 0 ]; then
  say "the virtual machine ended without a report (qemu exit code $code)"
  exit 125
fi
exit "$report"
