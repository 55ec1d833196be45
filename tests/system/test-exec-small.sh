#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The programs of test-exec-programs, with smaller inputs, under the heaps that search linearly, filters, and the system's mallocs.
. "${srcdir:-.}/tests/system/lib.sh"
skip_under_sanitizer
cat >"$work/mix.conf" <<-'END2'
	[machine]
	backing = anon
	release = lazy
	[frames]
	plugin = buddy
	[objects]
	plugin = slob
	pages = frames
	[front]
	plugin = magazine
	lower = objects
	[top]
	plugin = stats
	lower = front
	[malloc]
	heap = top
	END2
cat >"$work/foreign.conf" <<-'END2'
	[machine]
	backing = anon
	[foreign]
	plugin = foreign
	[malloc]
	heap = foreign
	END2
settings="objects.plugin=slob
objects.plugin=slub frames.plugin=bitmap
$work/mix.conf
$work/mix.conf objects.plugin=slab top.plugin=fault"
for library in glibc jemalloc mimalloc tcmalloc; do
	if "$LOAM" exec "$work/foreign.conf" -o foreign.library=$library -- true 2>"$work/why"; then
		settings+="
$work/foreign.conf foreign.library=$library"
	elif [ $library = glibc ]; then fail "glibc's own malloc"; exit 1
	else echo "   (no $library: $(cat "$work/why"))"; fi
done
export LOAM_EXEC_SETTINGS=$settings LOAM_EXEC_SCALE=20 LOAM_EXEC_FORKS=30 srcdir LOAM
bash "$srcdir/tests/system/test-exec-programs.sh"
