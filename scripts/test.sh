#!/bin/bash
# Runs every stage of the tests and ends with one line alone: `N passed, N failed, N skipped`.
#
# A stage is a make target. Lines of cargo's test runs (`test result: …`) and closing lines of the
# end-to-end runner (`N passed, N failed, N skipped`) are summed; a stage that prints neither, such as
# lint, counts as one test. A skipped test prints `skip NAME: what is missing`; with CI=true or
# SECURITY_AGENT_STRICT=1 a skip fails the whole.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT" || exit 1
: "${BUILD_DIR:?run this through make}"

STAGES=(lint unit build e2e demo kernels bundle-test)
# Other kernels take longer than all the rest: `make kernels` alone boots them.
export KERNELS=${KERNELS:-6.1}
LOG_DIR=$BUILD_DIR/test-logs
passed=0 failed=0 skipped=0
notes=()

strict() { [ "${CI:-}" = true ] || [ "${SECURITY_AGENT_STRICT:-}" = 1 ]; }

# Prints "PASSED FAILED SKIPPED", the sum of all result lines of a log.
count_results() {
  sed -nE \
    -e 's/^test result: [a-zA-Z]+\. ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored;.*/\1 \2 \3/p' \
    -e 's/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped\r?$/\1 \2 \3/p' "$1" |
    awk '{ p += $1; f += $2; s += $3 } END { if (NR) print p, f, s }'
}

# Prints the lines of a log that name what failed or was skipped.
name_exceptions() {
  tr -d '\r' <"$1" | sed -nE \
    -e 's/^test (.*) \.\.\. FAILED$/FAIL \1/' \
    -e 's/^test (.*) \.\.\. ignored(, (.*))?$/skip \1: \3/' \
    -e '/^(FAIL|skip) /p'
}

# run_stage NAME: runs it, shows its output, adds its counts. A stage that fails without a failed test
# (it does not compile, the virtual machine did not report) is one failure.
run_stage() {
  local stage=$1 log=$LOG_DIR/$1.log code p=0 f=0 s=0 counts started=$SECONDS
  echo "== $stage"
  make "$stage" 2>&1 | tee "$log"
  code=${PIPESTATUS[0]}
  counts=$(count_results "$log")
  if [ -n "$counts" ]; then read -r p f s <<<"$counts"; elif [ "$code" = 0 ]; then p=1; fi
  if [ "$code" != 0 ] && [ "$f" = 0 ]; then
    f=1
    notes+=("$stage: FAIL ended with code $code, see $log")
  fi
  while IFS= read -r line; do notes+=("$stage: $line"); done < <(name_exceptions "$log")
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  echo "== $stage: $p passed, $f failed, $s skipped ($((SECONDS - started)) s)"
  return "$code"
}

trap 'exit 130' INT
mkdir -p "$LOG_DIR"
for stage in "${STAGES[@]}"; do
  run_stage "$stage" && continue
  # Nothing that comes later runs without the binary.
  [ "$stage" != build ] || break
done
[ ${#notes[@]} = 0 ] || printf '%s\n' "${notes[@]}"
if [ "$skipped" != 0 ] && strict; then
  echo "a skipped test counts as a failure here (CI=true or SECURITY_AGENT_STRICT=1)"
  result=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ -z "${result:-}" ]
