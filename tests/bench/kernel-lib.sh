# SPDX-License-Identifier: MIT
# kernel-lib.sh: builds and runs bench-kernel.c. For tests/bench/kernel, and for the test of what can be counted.
work=${work:-$(mktemp -d)}
trap 'rm -rf "$work"' EXIT
export PKG_CONFIG_PATH=$builddir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
umask 022

build_bench() {
	# shellcheck disable=SC2046
	${CC:-cc} -std=gnu11 -O2 -g -shared -fPIC $(pkg-config --cflags loam-kernel) "$srcdir/tests/bench/bench-kernel.c" \
		-o "$work/bench.so" $(pkg-config --libs loam-kernel)
}

# bench OBJECTS ARGUMENT...: what the module says, on a machine with those objects.
bench() {
	cat >"$work/bench.conf" <<-END2
	[machine]
	memory = 48M
	backing = memfd
	zones = DMA:4M NORMAL:28M HIGHMEM:*
	[frames]
	plugin = buddy
	[objects]
	plugin = $1
	pages = frames
	[units]
	plugin = percpu
	pages = frames
	[slots]
	plugin = kmap
	[pools]
	plugin = ring
	[kernel]
	pool = pools
	pages = frames
	objects = objects
	heap = objects
	percpu = units
	kmap = slots
	END2
	shift
	"$LOAM" run "$work/bench.conf" "$@" 2>&1
}

# kmalloc_instructions OBJECTS: how many instructions kmalloc executes itself, what it calls left out, of the short way.
kmalloc_instructions() {
	local loops=10000
	LOAM_WRAP="valgrind -q --tool=callgrind --callgrind-out-file=$work/counts --toggle-collect=loop_kmalloc" \
		bench "$1" "$work/bench.so" what=kmalloc loops=$loops >"$work/said" || { cat "$work/said" >&2; return 1; }
	callgrind_annotate --threshold=100 --auto=no "$work/counts" |
		awk -v n=$loops '/(slab.c|loam.h):kmalloc( |$)/ { gsub(",", "", $1); sum += $1 } END { printf "%.0f\n", sum / n }'
}

# mempool_instructions: all that a mempool_alloc and a mempool_free execute, with the loop around them, of the short way.
mempool_instructions() {
	local loops=10000
	LOAM_WRAP="valgrind -q --tool=callgrind --callgrind-out-file=$work/counts --toggle-collect=loop_mempool" \
		bench slub "$work/bench.so" what=mempool loops=$loops >"$work/said" || { cat "$work/said" >&2; return 1; }
	callgrind_annotate --threshold=100 --auto=no "$work/counts" |
		awk -v n=$loops '/PROGRAM TOTALS/ { gsub(",", "", $1); printf "%.0f\n", $1 / n }'
}
