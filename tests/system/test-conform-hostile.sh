#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A plugin that loops, exits, crashes, makes processes or writes over the host's memory in one op fails the tests that come by that
# op, and all others still run and pass. The plugin is sound but in find; with "reports" it only says so, which shows who comes by.
. "${srcdir:-.}/tests/system/lib.sh"
[ -x "${builddir:-.}/tests/conformance/loam-conform" ] || { echo "built without Check"; exit 77; }
[ "${LOAM_SANITIZER:-no}" = no ] || { echo "judged without a sanitizer, which ends the process itself"; exit 77; }

so=$work/plugin-hostile.so
${CC:-gcc} -std=gnu11 -O1 -shared -fPIC -fvisibility=hidden -I"$srcdir/include" \
	"$srcdir/tests/conformance/mutants/plugin-hostile.c" -o "$so" || exit 1

# The failed tests, a line each, and how many there were in all.
judge() {
	"$LOAM" conform --time quick --seed 11 --json "$so" mistake="$1" >report 2>err && status=0 || status=$?
	awk -F'"' '$2 == "name" { name = $4; n++ } $2 == "result" && $4 == "failed" && name { print name } END { print n >"all" }' report >failed
}
sound() { judge none; [ "$status" -eq 0 ] && [ ! -s failed ] || { cat failed; fail "a sound plugin fails"; }; }
comes_by() {
	judge reports
	[ "$status" -eq 1 ] && [ -s failed ] || fail "no test comes by find"
	cp failed all "$work/"
	[ "$(wc -l <failed)" -lt $(($(cat all) / 4)) ] || fail "nearly all tests come by find: this shows nothing"
}
# The same tests fail and no other, and all ran.
only_its_own() {
	judge "$1"
	[ "$status" -eq 1 ] || { cat err; fail "exit $status"; }
	diff "$work/failed" failed || fail "other tests fail than those that come by find"
	diff "$work/all" all || fail "not all tests ran"
	[ "$(grep -c PLUG-01 report)" -gt 0 ] || fail "PLUG-01 is not reported broken"
	[ -z "$(pgrep -f "$so" || true)" ] || fail "processes were left behind"
}
try sound sound
try comes-by comes_by
for mistake in loops exits vanishes crashes forks clones scribbles; do try "$mistake" only_its_own "$mistake"; done
finish
