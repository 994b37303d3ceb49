#!/bin/bash
# Runs an agent of its own beside any other, stages a few things that attackers do, and prints which of
# them the built-in policy reported, and by which rule. Ends with code 0 only when it reported them
# all; usually takes less than 30 seconds; leaves nothing behind.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${BUILD_DIR:?run this through make}" "${BINARY:?run this through make}"
START_SECONDS=120
REPORT_SECONDS=60
STOP_SECONDS=60

# Each action: a name, the event it makes, the path of the event's file, the command.
stage_actions() {
  action "make a file writable for all" chmod "$STAGE/notes" chmod 777 "$STAGE/notes"
  action "make a program set-user-ID" chmod "$STAGE/suid" chmod 4755 "$STAGE/suid"
  action "read the password hashes" open /etc/shadow cat /etc/shadow
  action "run a program from /tmp" exec "$STAGE/dropped" "$STAGE/dropped" -c :
}

action() {
  local name=$1 event=$2 path=$3
  shift 3
  "$@" >/dev/null 2>&1 || die "could not stage an action: $*"
  actions+=("$name|$event|$path")
}

# The run path lies under BUILD_DIR; the staged files in /tmp, where the policy looks for them.
prepare() {
  mkdir -p "$BUILD_DIR"
  RUN=$(mktemp -d "$BUILD_DIR/demo.XXXXXX")
  STAGE=$(mktemp -d /tmp/demo.XXXXXX)
  chmod 0750 "$RUN"
  : >"$STAGE/notes"
  : >"$STAGE/suid"
  # bash is a program of its own everywhere; true and its like may be one with many names.
  install -m 0755 "$(type -P bash)" "$STAGE/dropped"
}

start_agent() {
  export DD_RUN_PATH=$RUN
  export DD_RUNTIME_SECURITY_CONFIG_ENABLED=true
  export DD_RUNTIME_SECURITY_CONFIG_SOCKET=$RUN/runtime-security.sock
  export DD_RUNTIME_SECURITY_CONFIG_CMD_SOCKET=$RUN/cmd-runtime-security.sock
  export DD_RUNTIME_SECURITY_CONFIG_POLICIES_DIR=$RUN/runtime-security.d
  [ "${NETWORK:-}" = 1 ] || export DD_EVENT_MONITORING_CONFIG_NETWORK_ENABLED=false
  "$BINARY" run --json >"$RUN/events" 2>"$RUN/log" &
  agent=$!
}

# `status` succeeds once both roles run, hooks are attached and rules are loaded.
wait_until_up() {
  local deadline=$((SECONDS + START_SECONDS))
  until "$BINARY" status >/dev/null 2>&1; do
    kill -0 "$agent" 2>/dev/null || fail_with_log "the agent ended while starting"
    [ "$SECONDS" -lt "$deadline" ] || fail_with_log "the agent is not up after $START_SECONDS s"
    sleep 0.1
  done
}

fail_with_log() {
  tail -n 20 "$RUN/log" >&2
  die "$1"
}

# rule_of EVENT PATH: prints the rule that reported it; fails when none did.
rule_of() {
  grep -F "\"name\":\"$1\"" "$RUN/events" | grep -F "\"path\":\"$2\"" |
    grep -o '"rule_id":"[^"]*"' | cut -d'"' -f4 | awk 'NR == 1 { print } END { exit !NR }'
}

# Waits for the report of the last action that is still missing; prints the table.
print_table() {
  local deadline=$((SECONDS + REPORT_SECONDS)) entry name event path rule
  missed=0
  printf '%-30s %-37s %s\n' ACTION RULE DETECTED
  for entry in "${actions[@]}"; do
    IFS='|' read -r name event path <<<"$entry"
    until rule=$(rule_of "$event" "$path") || [ "$SECONDS" -ge "$deadline" ]; do sleep 0.1; done
    if [ -n "$rule" ]; then
      printf '%-30s %-37s %s\n' "$name" "$rule" yes
    else
      printf '%-30s %-37s %s\n' "$name" - NO
      missed=$((missed + 1))
    fi
  done
}

# Ends the agent; fails when it had to be killed or said that it failed.
stop_agent() {
  [ -n "${agent:-}" ] || return 0
  local pid=$agent deadline=$((SECONDS + STOP_SECONDS))
  agent=
  kill -TERM "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      kill -KILL "$pid"
      say "the agent did not end within $STOP_SECONDS s"
      return 1
    fi
    sleep 0.1
  done
  wait "$pid"
}

clean_up() {
  stop_agent || true
  rm -rf "${RUN:-}" "${STAGE:-}"
}

[ "$(id -u)" = 0 ] || die "needs root: make demo"
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
actions=()
prepare
start_agent
wait_until_up
stage_actions
print_table
stop_agent || die "the agent did not stop cleanly"
[ "$missed" = 0 ] || die "$missed of ${#actions[@]} actions were not detected"
