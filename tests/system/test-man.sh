#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Help texts, manual pages and the tables of plugins agree, in both directions.
. "${srcdir:-.}/tests/system/lib.sh"

options_agree() {
	for c in list info check graph run exec new; do
		"$LOAM" $c --help | sed 1d | grep -oE '(^| )--?[a-z]+' | tr -d ' ' | sort -u >help
		# The page's part on this command: from ".Ss loam NAME" to the next one.
		sed -n "/^\.Ss loam $c/,/^\.S[sh]/p" "$srcdir/doc/man/loam.1" | sed -n 's/^\.It Fl //p' |
			sed 's/^-\{0,1\}\([a-z]*\).*/\1/' | sort -u >page
		sed 's/^-*//' help | grep -v '^help$' | sort -u >words
		diff words page || fail "loam $c: the help and the page name other options"
	done
}
# conform's options are on a page of their own.
conform_agrees() {
	"$LOAM" conform --help | sed -n 's/^  --\([a-z]*\).*/\1/p' | grep -v '^help$' | sort -u >help
	sed -n 's/^\.It Fl -\([a-z]*\).*/\1/p' "$srcdir/doc/man/loam-conform.1" | sort -u >page
	[ -s help ] || fail "no options in the help"
	diff help page || fail "loam conform: the help and the page name other options"
}
plugins() { "$LOAM" list | sed 's/ .*//'; }
# agree KIND HEADING: each plugin's table of them, and the part of its page under the heading.
agree() {
	for p in $(plugins); do
		page=$srcdir/plugins/$p/loam-$p.7
		[ -f "$page" ] || fail "$p: no manual page plugins/$p/loam-$p.7"
		"$LOAM" info "$p" >info
		sed -n "s/^$1 \([^ :]*\)[ :].*/\1/p" info | sort >table
		sed -n "/^\.Sh $2/,/^\.Sh /s/^\.It Cm //p" "$page" | sort >items
		diff table items || fail "$p: the plugin and its page name other $1s"
	done
}
parameters_agree() { agree parameter PARAMETERS; }
ports_agree() { agree port PORTS; }
pages_and_plugins_agree() {
	plugins | sort >listed
	[ -s listed ] || fail "loam list shows no plugins"
	for page in "$srcdir"/plugins/*/loam-*.7; do page=${page##*/loam-}; echo "${page%.7}"; done | sort >paged
	diff listed paged || fail "plugins and manual pages are not the same ones"
	for p in $(cat listed); do
		grep -q "^\.Xr loam-$p 7" "$srcdir/doc/man/loam.1" || fail "loam.1 does not lead to loam-$p.7"
		grep -q "loam-$p\.7" "$srcdir/plugins/plugins.am" || fail "loam-$p.7 is not installed"
	done
}
machine_agrees() {
	sed -n '/^\.Ss \[machine\]/,/^\.Ss /s/^\.It Cm //p' "$srcdir/doc/man/loam.conf.5" | sort >page
	sed -n '/loam__machine_params\[LOAM_M_COUNT\] = {/,/^};/s/.*\.name = "\([a-z_]*\)".*/\1/p' "$srcdir/core/zones.c" | sort >table
	diff table page || fail "[machine]: the host and its page name other keys"
}
pages_are_clean() {
	command -v mandoc >/dev/null || { echo "   (no mandoc here)"; return 0; }
	for page in "$srcdir"/doc/man/*.[1-9] "$srcdir"/plugins/*/*.7; do mandoc -Tlint -Wwarning "$page" || fail "$page"; done
}
example_compiles() {
	sed -n '/^\.\\" example begins/,/^\.\\" example ends/p' "$srcdir/doc/man/loam-plugin.3" | grep -v '^\.' | sed 's/\\e/\\/g' >bump.c
	[ -s bump.c ] || fail "no example in loam-plugin.3"
	gcc -std=gnu11 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden -I"$srcdir/include" bump.c -o bump.so
	run 0 "$LOAM" info ./bump.so; out_has "role heap"
}
try options-agree options_agree
try conform-agrees conform_agrees
try pages-and-plugins-agree pages_and_plugins_agree
try parameters-agree parameters_agree
try ports-agree ports_agree
try machine-agrees machine_agrees
try pages-are-clean pages_are_clean
try example-compiles example_compiles
finish
