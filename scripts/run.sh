#!/bin/bash
# Runs the built agent in place, apart from anything installed: state and sockets under RUN_DIR, the
# policy that is built in (policies put into RUN_DIR/runtime-security.d are taken up), network off
# unless NETWORK=1. Becomes the agent, so signals and the exit code are the agent's own.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
: "${RUN_DIR:?run this through make}" "${BINARY:?run this through make}"

export DD_RUN_PATH=$RUN_DIR
export DD_RUNTIME_SECURITY_CONFIG_ENABLED=true
export DD_RUNTIME_SECURITY_CONFIG_SOCKET=$RUN_DIR/runtime-security.sock
export DD_RUNTIME_SECURITY_CONFIG_CMD_SOCKET=$RUN_DIR/cmd-runtime-security.sock
export DD_RUNTIME_SECURITY_CONFIG_POLICIES_DIR=$RUN_DIR/runtime-security.d
[ "${NETWORK:-}" = 1 ] || export DD_EVENT_MONITORING_CONFIG_NETWORK_ENABLED=false
exec "$ROOT/scripts/as-root.sh" "$BINARY" run "$@"
