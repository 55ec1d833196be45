#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# loam conform: its options, what it says of mistakes, its reports for programs. What the tests find is test-mutants.sh's matter.
. "${srcdir:-.}/tests/system/lib.sh"
[ -x "${builddir:-.}/tests/conformance/loam-conform" ] || { echo "built without Check"; exit 77; }
case ${LOAM_SANITIZER:-no} in thread | undefined) echo "run under the address sanitizer"; exit 77 ;; esac

conform() { "$LOAM" conform "$@"; }
# What was asked for was wrong usage: one line, which has $1.
refused() { local want=$1; shift; run 2 conform "$@"; err_lines 1; err_has "$want"; err_has "loam conform --help"; }

help_and_usage() {
	run 0 conform --help; out_has "usage: loam conform"; out_has "--strict"
	refused "expected a plugin"
	refused "unknown option '--quick'" --quick slob
	refused "--time 'soon'" --time soon slob
	refused "--seed 'x'" --seed x slob
	refused "--seed '-1'" --seed -1 slob
	refused "--shard '3/2'" --shard 3/2 slob
	refused "--threads '1'" --threads 1 slob
	refused "--role 'page'" --role page slob
	refused "--with 'slob'" --with slob stats
	refused "'classes': expected key=value" slub classes
	refused "'--filter' wants a value" --filter
}
bad_plugins() {
	run 1 conform ./nothing.so; err_lines 1; err_has "nothing.so"
	echo hello >text.so
	run 1 conform text.so; err_lines 1; err_has "text.so"
	run 1 conform sluub; err_lines 1; err_has "sluub"
	run 1 conform slub classes=huge; err_lines 1; err_has "expected"
	run 1 conform slub clases=fine; err_lines 1; err_has "classes"
	run 1 conform --with pages=slob slub; err_lines 1
	run 1 conform --filter no-such-test slub; err_lines 1; err_has "no test is left"
}
configurations() {
	printf '[machine]\nmemory = 64M\n[f]\nplugin = bitmap\n[o]\nplugin = slob\npages = f\n[top]\nplugin = stats\nlower = o\n' >lab.conf
	run 0 conform --time quick --filter 'heap/sequences,objects/*' 'lab.conf#top'; out_has "stats"
	run 1 conform 'lab.conf#o'; err_lines 1; err_has "behind the filter [top]"
	run 1 conform 'lab.conf#x'; err_lines 1; err_has "[x]"
	run 1 conform 'none.conf#x'; err_lines 1; err_has "none.conf"
	printf '[f]\nplugin = bitmap\n[o]\nplugin = slob\npages = g\n' >bad.conf
	run 1 conform 'bad.conf#o'; err_has "pages"
}
lists() {
	run 0 conform --list; out_has "PLUG-01"; out_has "HEAP-01"; out_has "OBJ-01"; out_has "PAGES-01"; out_has "FILT-01"
	run 0 conform --list --json; is_json out
	run 0 conform --list slob; cp out all
	grep -q '^pages/' all && fail "slob has no tests of the role pages"
	run 0 conform --list --role heap slob
	grep -vqE '^(heap|plugin)/' out && fail "--role heap shows others"
	run 0 conform --list --filter HEAP-01 slob
	[ "$(grep -c . out)" -eq "$(grep -cw HEAP-01 all)" ] || fail "--filter HEAP-01 is not what names HEAP-01"
	for i in 1 2 3; do run 0 conform --list --shard $i/3 slob; cat out; done | sort >parts
	sort all | cmp - parts || fail "three shards are not the whole"
}
reports() {
	run 0 conform --time quick --seed 7 --filter 'heap/*' slob; out_has "seed 7"; out_has " kept, 0 broken"
	[ ! -s err ] || fail "without a terminal nothing goes to standard error"
	run 0 conform --time quick --filter 'heap/*' --json slob; is_json out; out_has '"good": true'
	run 0 conform --time quick --filter 'heap/*' --tap slob
	n=$(sed -n 's/^1\.\.//p' out)
	[ "$n" -gt 5 ] && [ "$(grep -c '^ok ' out)" -eq "$n" ] || fail "the plan says $n"
	run 0 conform --time quick --filter 'heap/*' --junit out.xml slob
	grep -q "tests=\"$n\" failures=\"0\"" out.xml || fail "JUnit counts others"
	! command -v python3 >/dev/null || python3 -c 'import xml.dom.minidom, sys; xml.dom.minidom.parse(sys.argv[1])' out.xml
	run 1 conform --time quick --filter 'heap/*' --junit /nowhere/out.xml slob; err_has "/nowhere/out.xml"
	run 0 conform --time quick --filter HEAP-01 --verbose slob
	grep -q '^passed ' out || fail "--verbose shows no test"
}
strict_fails_on_what_is_not_claimed() {
	run 0 conform --time quick --filter HEAP-06 slob; out_has "not claimed"
	run 1 conform --time quick --filter HEAP-06 --strict slob
}
# A heap that claims every capability and keeps it: so each clause of the role is judged at least once.
a_heap_that_claims_all_keeps_all() {
	${CC:-gcc} -std=gnu11 -O1 -shared -fPIC -fvisibility=hidden -I"$srcdir/include" \
		"$srcdir/tests/conformance/mutants/heap-guard.c" -o heap-guard.so
	run 0 conform --time quick --strict --filter 'HEAP-*' ./heap-guard.so; out_has " 0 not claimed, 0 skipped"
}
other_ports() { run 0 conform --time quick --filter HEAP-01 --with pages=bitmap slob; }
scripts() {
	printf 'role heap\nalloc slot=1 bytes=100 align=8\nfree slot=1\n' >good.script
	run 0 conform --script good.script slob; out_has "1 passed"
	printf 'role heap\nalloc slot=1 bites=100\n' >bad.script
	run 1 conform --script bad.script slob; out_has "bad.script:2: 'bites=100'"
	printf 'role heap\nallok slot=1\n' >bad.script
	run 1 conform --script bad.script slob; out_has "bad.script:2: 'allok'"
	printf 'alloc slot=1\n' >bad.script
	run 1 conform --script bad.script slob; err_lines 1; err_has "role NAME"
	run 1 conform --script good.script buddy; err_lines 1; err_has "role heap"
	run 1 conform --script none.script slob; err_lines 1; err_has "none.script"
}
under_gdb() {
	mkdir bin
	printf '#!/bin/sh\nprintf "%%s\\n" "$@"\n' >bin/gdb
	chmod +x bin/gdb
	PATH=$PWD/bin:$PATH run 0 conform --gdb --filter heap/contents-survive slob
	out_has "--args"; out_has "loam-conform"; out_has "--no-fork"
	PATH=$PWD/bin:$PATH run 2 conform --gdb --filter 'heap/*' slob; err_has "wants one test"
	run 0 conform --no-fork --filter heap/contents-survive slob; out_has "1 passed"
}
time_in_seconds_goes_on() {
	run 0 conform --time 1 --filter heap/sequences --json slob
	[ "$(sed -n 's/.*"milliseconds": \([0-9]*\).*/\1/p' out | head -n 1)" -gt 0 ] || fail "no time"
}
try help-and-usage help_and_usage
try bad-plugins bad_plugins
try configurations configurations
try lists lists
try reports reports
try strict-fails-on-what-is-not-claimed strict_fails_on_what_is_not_claimed
try a-heap-that-claims-all-keeps-all a_heap_that_claims_all_keeps_all
try other-ports other_ports
try scripts scripts
try under-gdb under_gdb
try time-in-seconds-goes-on time_in_seconds_goes_on
finish
