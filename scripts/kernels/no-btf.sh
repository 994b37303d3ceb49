#!/bin/sh
# Runs in the test virtual machine, booted so that the kernel hides its BTF: either the built-in table
# knows this kernel and the agent works, or it says what is missing and exits with the code for "cannot
# run here".
export DD_RUN_PATH=/tmp/run DD_RUNTIME_SECURITY_CONFIG_POLICIES_DIR=/tmp/policies
agent=/test/security-agent
cannot_run_here=3

fail() {
  echo "FAIL no_btf: $1"
  cat /tmp/log
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
}

[ ! -e /sys/kernel/btf/vmlinux ] || fail "the kernel shows BTF"
"$agent" run --json >/tmp/events 2>/tmp/log &
pid=$!
tries=0
until "$agent" status >/dev/null 2>&1; do
  tries=$((tries + 1))
  kill -0 "$pid" 2>/dev/null || break
  [ "$tries" -lt 500 ] || fail "the agent neither came up nor ended"
  sleep 0.2
done
if kill -0 "$pid" 2>/dev/null; then
  "$agent" status -j | grep -q 'the built-in table' || fail "nobody knows where the offsets came from"
  "$agent" runtime self-test >>/tmp/log || fail "the self-test failed with offsets of the built-in table"
  kill -INT "$pid"
  wait "$pid" || fail "the agent did not stop cleanly"
else
  wait "$pid"
  [ $? = "$cannot_run_here" ] || fail "the exit code is not $cannot_run_here"
  grep -q 'system_probe_config.btf_path' /tmp/log || fail "no sentence says what to do"
fi
echo "ok no_btf"
echo "1 passed, 0 failed, 0 skipped"
