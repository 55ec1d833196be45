#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A broken configuration: every error at once, each with its line, and nothing is started.
. "${srcdir:-.}/tests/system/lib.sh"

five_errors() {
	cat >five.conf <<-'END'
	[machine]
	memory = 64Q
	[frames]
	plugin = budy
	[objects]
	plugin = slub
	pages = frams
	classes = fine
	clases = fine
	[malloc]
	heap = nobody
	END
	for c in "check five.conf" "run five.conf" "graph five.conf" "exec five.conf -- touch started"; do
		run 1 "$LOAM" $c
		err_lines 5
		err_has "five.conf:2: [machine] memory = 64Q: expected a size such as 64K or 16M"
		err_has "five.conf:4: no plugin 'budy'"
		err_has "did you mean 'buddy'?"
		err_has "five.conf:7: [objects] pages = frams: no section [frams]; did you mean 'frames'?"
		err_has "five.conf:9: [objects] unknown key 'clases'; did you mean 'classes'?"
		err_has "five.conf:11: [malloc] heap = nobody: no section [nobody]"
		[ ! -e started ] || fail "the program was started"
	done
}
overrides_have_errors_too() {
	run 1 "$LOAM" check "$srcdir/doc/examples/lab.conf" -o objects.pages=nobody -o nonsense
	err_lines 2; err_has "-o: 'nonsense': expected section.key=value"
}
try five-errors five_errors
try overrides-have-errors-too overrides_have_errors_too
finish
