#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What can be counted exactly of the kernel's fast paths: instructions of kmalloc beyond the plugin's own, and
# all those of mempool_alloc and mempool_free.
. "${srcdir:-.}/tests/system/lib.sh"
case ${LOAM_SANITIZER:-no} in no) ;; *) echo "instrumented code has more instructions"; exit 77 ;; esac
command -v callgrind_annotate >/dev/null || { echo "no valgrind"; exit 77; }
case $(grep -o '^CFLAGS = .*' "$builddir/Makefile" 2>/dev/null) in *-g*-O[23s]*) ;; *) echo "not optimised"; exit 77 ;; esac
. "$srcdir/tests/bench/kernel-lib.sh"
build_bench || exit 1

# Two of them any call of an op has: the load of the instance, and the jump.
kmalloc_is_short() {
	local objects n
	for objects in slub slab slob; do
		n=$(kmalloc_instructions $objects)
		echo "   kmalloc over $objects: $n instructions"
		[ "$n" -gt 2 ] && [ "$n" -le 12 ] || fail "over $objects kmalloc has $n instructions of its own; the bar is 10 above a call"
	done
}
# No call is among them: the bar is less than two calls and what they do would need.
mempool_is_short() {
	local n
	n=$(mempool_instructions)
	echo "   mempool_alloc and mempool_free: $n instructions with their loop"
	[ "$n" -gt 20 ] && [ "$n" -le 50 ] || fail "mempool_alloc and mempool_free have $n instructions; the bar is 50"
}
try kmalloc_is_short kmalloc_is_short
try mempool_is_short mempool_is_short
finish
