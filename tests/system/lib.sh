# SPDX-License-Identifier: MIT
# lib.sh: what the system tests share. A test is a function; `try NAME FUNCTION` runs it in a folder of its own.
set -u
: "${LOAM:?the program under test}" "${srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}"
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
unset LOAM_CONFIG LOAM_CONFIG_TEXT LOAM_SUMMARY 2>/dev/null || true

fail() { echo "   $*"; return 1; }

try() {
	local name=$1 status
	shift
	mkdir -p "$work/$name"
	# Not as a condition: there bash would go on after a command that failed.
	(set -e; cd "$work/$name"; "$@")
	status=$?
	if [ $status -eq 0 ]; then echo "ok $name"
	else echo "not ok $name"; failures=$((failures + 1)); fi
}

# run STATUS COMMAND...: its output goes to the files out and err.
run() {
	local want=$1 status=0
	shift
	"$@" >out 2>err </dev/null || status=$?
	[ "$status" -eq "$want" ] || { cat out err | tail -n 20; fail "exit $status, expected $want: $*"; }
}
out_has() { grep -qF -- "$1" out || { cat out; fail "standard output lacks: $1"; }; }
err_has() { grep -qF -- "$1" err || { cat err; fail "standard error lacks: $1"; }; }
err_lines() { [ "$(wc -l <err)" -eq "$1" ] || { cat err; fail "standard error has not $1 lines"; }; }
is_json() { ! command -v python3 >/dev/null || python3 -m json.tool <"$1" >/dev/null || fail "$1 is not JSON"; }

# A preloaded malloc cannot stand in front of a sanitizer's own.
skip_under_sanitizer() {
	case ${LOAM_SANITIZER:-no} in
	address | thread) echo "a preloaded malloc does not work under the $LOAM_SANITIZER sanitizer; test-face covers the face"; exit 77 ;;
	esac
}
finish() { [ "$failures" -eq 0 ]; exit $?; }
