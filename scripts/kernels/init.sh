#!/bin/busybox sh
# The first process of the test virtual machine: mounts what a small host has, loads the modules of
# /lib/modules/list, runs /test/run and hands its exit code out. Output goes to the second serial
# port, which carries no kernel messages.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
while read -r module; do
  insmod "/lib/modules/$module" || echo "insmod $module failed"
done </lib/modules/list
echo "booted $(uname -r)"
/test/run >/dev/ttyS1 2>&1
code=$?
echo "exit code $code"
sync
# An exit code has 8 bits, one of them is qemu's.
[ "$code" -le 100 ] || code=100
# 16 more, so that 0 is told from a machine that was merely switched off.
/test/vmexit $((16 + code))
poweroff -f
