#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The plugin ABI over time: no field moves, and plugins that were built against shorter and longer tables still work.
. "${srcdir:-.}/tests/system/lib.sh"
[ "$(uname -m)" = x86_64 ] || { echo "the layouts and binaries are x86-64's"; exit 77; }

no_field_moves() {
	gcc -std=gnu11 -Wall -Wextra -Werror -I"$srcdir/include" "$srcdir/tests/abi/layout.c" -o layout
	./layout >now.txt
	diff -u "$srcdir/tests/abi/layout.txt" now.txt ||
		fail "the ABI's layout changed. A field at the end of a struct that carries its size: raise LOAM_ABI_MINOR and take now.txt over; anything else breaks every plugin"
}
every_struct_is_watched() {
	for s in $(sed -n 's/^struct \(LOAM_[A-Z]* \)\{0,1\}\([a-z_]*\) {.*/\2/p' "$srcdir"/include/loam/*.h); do
		grep -q "S(struct $s)" "$srcdir/tests/abi/layout.c" || fail "struct $s is not in tests/abi/layout.c"
	done
}
works() {
	cp "$srcdir/tests/abi/$1.so" . && chmod 755 $1.so
	cat >c.conf <<-END2
	[machine]
	backing = anon
	[frames]
	plugin = buddy
	[h]
	plugin = $PWD/$1.so
	pages = frames
	grain = 4K
	[malloc]
	heap = h
	END2
	run 0 "$LOAM" info ./$1.so; out_has "ABI      $2,"
	run 0 "$LOAM" check c.conf
	run 0 "$LOAM" run c.conf; out_has "no leaks"
	run 1 "$LOAM" check c.conf -o h.grain=x; err_lines 1
	case ${LOAM_SANITIZER:-no} in address | thread) return 0 ;; esac
	ls -l /usr/bin >plain
	"$LOAM" exec c.conf --summary="$PWD/summary" -- ls -l /usr/bin >loam
	cmp plain loam
	grep -q 'consistent  *yes' summary || { cat summary; fail "not consistent"; }
}
for t in no_field_moves every_struct_is_watched; do try "${t//_/-}" $t; done
try shorter-tables works old-heap 1.0
try longer-tables works new-heap 1.99
finish
