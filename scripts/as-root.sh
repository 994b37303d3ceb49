#!/bin/bash
# as-root.sh COMMAND...: runs COMMAND as root. As another user through sudo, which drops the
# environment: what configures the agent and the tests is handed over by name.
set -euo pipefail
[ "$(id -u)" != 0 ] || exec "$@"
if ! command -v sudo >/dev/null; then
  echo "as-root.sh: needs root: $*" >&2
  echo "as-root.sh: run it as root, or install sudo" >&2
  exit 1
fi
kept=("PATH=$PATH")
while IFS= read -r -d '' variable; do
  case $variable in
    CI=* | DD_* | SECURITY_AGENT_* | RUST_BACKTRACE=* | TMPDIR=*) kept+=("$variable") ;;
  esac
done < <(env -0)
exec sudo env "${kept[@]}" "$@"
