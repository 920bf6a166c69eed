# A test as a story, for shell scripts: `. "$TAP"`, then claims, then `plan` as the last line.
#
#   ok "two containers hold different pairs" test "$a" != "$b"
#   not "the other's volume is denied" docker exec one cat /other/secret
#   says "the kernel wrote the denial down" 'avc:.*denied' ausearch -m avc
#   comment "what follows needs a restart"
#
# Each claim prints its command and what that really printed as comments, and then its verdict in TAP.
# A story may go on with another one's script: the count goes on. A story that defines `on_failure` has its
# output printed below a claim that fails.
TAP_COUNT=${TAP_COUNT:-0}
TAP_FAILED=${TAP_FAILED:-0}

comment() { printf '%s\n' "$*" | sed 's/^/# /'; }

# _claim EXPECTED CLAIM PATTERN COMMAND…
_claim() {
  local expected=$1 claim=$2 pattern=$3 output status verdict=ok
  shift 3
  TAP_COUNT=$((TAP_COUNT + 1))
  printf '# $'; printf ' %q' "$@"; echo
  output=$("$@" 2>&1 </dev/null) && status=0 || status=$?
  [ -z "$output" ] || printf '%s\n' "$output" | sed 's/^/# /'
  case $expected in
    zero) [ "$status" -eq 0 ] || verdict='not ok' ;;
    other) [ "$status" -ne 0 ] || verdict='not ok' ;;
  esac
  [ -z "$pattern" ] || printf '%s\n' "$output" | grep -Eq -- "$pattern" || verdict='not ok'
  if [ "$verdict" != ok ]; then
    TAP_FAILED=$((TAP_FAILED + 1))
    echo "# exit status $status"
    [ -z "$pattern" ] || echo "# expected to see: $pattern"
    if declare -F on_failure >/dev/null; then on_failure 2>&1 </dev/null | sed 's/^/# /'; fi
  fi
  echo "$verdict $TAP_COUNT - $claim"
  [ "$verdict" = ok ]
}

# The command succeeds.
ok() { local claim=$1; shift; _claim zero "$claim" '' "$@" || true; }
# The command fails.
not() { local claim=$1; shift; _claim other "$claim" '' "$@" || true; }
# The command succeeds, and prints what the extended regular expression matches.
says() { local claim=$1 pattern=$2; shift 2; _claim zero "$claim" "$pattern" "$@" || true; }
# The command fails, and prints what the extended regular expression matches.
refused() { local claim=$1 pattern=$2; shift 2; _claim other "$claim" "$pattern" "$@" || true; }

# after_reboot: the end of a story's first part. Its script runs once more with the argument `again` when the guest has
# booted from its disk again (`# guest: --reboot`), and the count goes on.
TAP_KEPT=/var/lib/mcsd-test-tap
after_reboot() {
  echo "TAP_COUNT=$TAP_COUNT TAP_FAILED=$TAP_FAILED" >"$TAP_KEPT"
  sync
  exit 0
}
[ ! -e "$TAP_KEPT" ] || . "$TAP_KEPT"

# plan [N]: the end. Leaves the script, with failure if a claim failed or N claims were announced and not made.
plan() {
  echo "1..$TAP_COUNT"
  if [ $# -gt 0 ] && [ "$1" -ne "$TAP_COUNT" ]; then
    echo "# planned $1 claims, made $TAP_COUNT"
    exit 1
  fi
  [ "$TAP_FAILED" -eq 0 ] || { echo "# $TAP_FAILED of $TAP_COUNT failed"; exit 1; }
  exit 0
}
