#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Kernel modules, one for each row of what kernel code relies on, on each of the kernel's allocators.
. "${srcdir:-.}/tests/system/lib.sh"
pkg-config --exists "loam-kernel" 2>/dev/null || export PKG_CONFIG_PATH="$builddir"
export PKG_CONFIG_PATH="$builddir${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
modules=$work/modules
mkdir -p "$modules"
sanitizer=
case ${LOAM_SANITIZER:-no} in no) ;; *) sanitizer=-fsanitize=$LOAM_SANITIZER ;; esac
for source in "$srcdir"/tests/modules/*.c; do
	name=$(basename "$source" .c)
	# shellcheck disable=SC2046
	${CC:-cc} -std=gnu11 -O1 -g -Wall -Wextra -Werror $sanitizer -shared -fPIC $(pkg-config --cflags loam-kernel) \
		"$source" -o "$modules/$name.so" $(pkg-config --libs loam-kernel) || { echo "not ok module $name builds"; exit 1; }
done

# config OBJECTS [LINE]...
config() {
	cat >k.conf <<-END2
	[machine]
	memory = 64M
	zones = DMA:16M NORMAL:16M HIGHMEM:*
	mem = 60M
	cpus = 2
	seed = 11
	[boot]
	plugin = ${boot:-memblock}
	[frames]
	plugin = ${frames:-buddy}
	[objects]
	plugin = $1
	pages = frames
	[pools]
	plugin = ${pool:-mempool}
	[units]
	plugin = ${percpu:-percpu}
	pages = frames
	[areas]
	plugin = ${vmap:-vmalloc}
	[slots]
	plugin = ${kmap:-kmap}
	[kernel]
	boot = boot
	pages = frames
	objects = objects
	heap = objects
	pool = pools
	percpu = units
	vmap = areas
	kmap = slots
	END2
}
# good NAME [ARGUMENT]...: on the configuration that is there
good() {
	local name=$1
	shift
	run 0 timeout $((60 + ${LOAM_PRESSURE_SECONDS:-0})) "$LOAM" run k.conf "${options[@]}" "$modules/$name.so" "$@"
	! grep -q "not ok" err || fail "$name: $(grep 'not ok' err)"
	out_has "no leaks"
}
options=()

on_each_allocator() {
	local name=$1 objects
	shift
	for objects in slub slab slob; do
		config "$objects"
		good "$name" "$@" || fail "on $objects"
	done
}
contexts_are_reported() {
	config slub
	good contexts
	[ "$(grep -c 'BUG: sleeping function called from invalid context' err)" -eq 4 ] || { cat err; fail "not four reports"; }
	err_has "BUG: mutex unlocked by who does not hold it"
	err_has "contexts_init"
}
debugging_finds_what_is_wrong() {
	local objects
	for objects in slub slab; do
		config $objects
		run 0 "$LOAM" run k.conf "$modules/debug.so"
		! grep -q "not ok" err || { cat err; fail "$objects"; }
		err_has "Redzone overwritten"
		err_has "oison overwritten"
		err_has "Slab cache still has objects"
	done
}
warnings_can_be_silenced() {
	config slub
	good flags
	[ "$(grep -c 'page allocation failure' err)" -eq 1 ] || { grep -n 'allocation failure' err; fail "not one warning"; }
	! grep -E 'mode:.*\|0x' err || fail "a flag without a name"
	options=(-o machine.reserve=old)
	good flags old=1
}
# On 32 MiB, eight threads: short here, a minute in the long runs.
pressure() {
	local objects
	for objects in slub slab slob; do
		config $objects
		options=(-o machine.memory=32M -o machine.zones=DMA:8M\ NORMAL:* -o machine.mem=0 -o machine.cpus=4)
		good pressure seconds="${LOAM_PRESSURE_SECONDS:-2}" seed="$RANDOM"
		grep -h "pressure:" err
		! grep -E 'gfp_mask=.*\|0x' err || fail "a flag without a name"
	done
}
an_overflow_is_named() {
	config slub
	good stack
	[ "${LOAM_SANITIZER:-no}" = no ] || return 0
	run 139 bash -c "\"$LOAM\" run k.conf '$modules/stack.so' how=deep"
	err_has "the guard page below the stack of stacked: its 8192 bytes have overflowed"
	options=(-o kernel.stack=4K)
	good stack
	run 139 bash -c "\"$LOAM\" run k.conf -o kernel.stack=4K '$modules/stack.so' how=deep"
	err_has "its 4096 bytes"
}
other_backends() {
	frames=bitmap boot=bump pool=ring percpu=percpu-flat vmap=vmap-flat kmap=kmap-flat
	config slub
	good pages flat=1
	for name in early kmalloc vmalloc cache mempool percpu demo; do
		config slub
		good "$name"
	done
	good highmem slots=0
}
# The tables are those of while the modules are there.
tables_show_what_is_held() {
	config slub
	good demo
	out_has "== vmallocinfo"
	grep -qE '^0x[0-9a-f]+-0x[0-9a-f]+ 1007616 demo_init\+.* pages=245 vmalloc$' out || { cat out; fail "no area of 1,000,000 bytes"; }
	cat >holder.c <<-'END2'
	#include <linux/gfp.h>
	#include <linux/module.h>
	static struct page *page;
	static int __init holder_init(void)
	{
		page = alloc_page(GFP_KERNEL);
		return page ? 0 : -ENOMEM;
	}
	static void __exit holder_exit(void) { __free_page(page); }
	module_init(holder_init);
	module_exit(holder_exit);
	END2
	# shellcheck disable=SC2046
	${CC:-cc} -shared -fPIC $(pkg-config --cflags loam-kernel) holder.c -o holder.so $(pkg-config --libs loam-kernel)
	run 0 "$LOAM" run k.conf ./holder.so
	awk '/^Node/ { zone = $4 } zone == "Normal" && $1 == "count:" { n += $2 } END { exit n != 62 }' out ||
		{ cat out; fail "no CPU keeps the rest of a batch"; }
}
leaks_are_told_by_call_site() {
	config slub
	cat >leaky.c <<-'END2'
	#include <linux/module.h>
	#include <linux/slab.h>
	#include <linux/vmalloc.h>
	static int three = 3;
	static int __init leaky_init(void)
	{
		while (three--)
			kmalloc(100, GFP_KERNEL);
		vmalloc(5000);
		return 0;
	}
	static void __exit leaky_exit(void) {}
	module_init(leaky_init);
	module_exit(leaky_exit);
	END2
	# shellcheck disable=SC2046
	${CC:-cc} -g -O1 -shared -fPIC $(pkg-config --cflags loam-kernel) leaky.c -o leaky.so $(pkg-config --libs loam-kernel)
	run 1 "$LOAM" run k.conf -o kernel.track=on ./leaky.so
	err_has "leak: leaky: 3 blocks, 300 bytes of kmalloc at leaky_init"
	err_has "leak: leaky: 1 blocks, 5000 bytes of vmalloc at leaky_init"
	run 1 "$LOAM" run k.conf ./leaky.so
	out_has "leak: [objects] slub:"
}
mistakes_are_told() {
	config slub
	run 1 "$LOAM" run k.conf ./none.so
	err_has "none.so: cannot open the module: No such file or directory"
	run 1 "$LOAM" run k.conf "$modules/stack.so" howe=deep
	err_has "module stack has no parameter 'howe'; did you mean 'how'?"
	run 1 "$LOAM" run k.conf "$modules/highmem.so" slots=many
	err_has "parameter slots: 'many' is not a value of type int"
	run 1 "$LOAM" run k.conf "$builddir/plugins/buddy/.libs/buddy.so"
	err_has "not a module: it has no module_init"
	sed -i '/percpu = units/d' k.conf
	run 1 "$LOAM" run k.conf "$modules/percpu.so"
	err_has "its per-CPU variables need an instance for [kernel] percpu"
}
for name in pages early kmalloc format vmalloc cache mempool percpu highmem reclaim demo; do
	try "$name" on_each_allocator "$name"
done
try contexts_are_reported contexts_are_reported
try debugging_finds_what_is_wrong debugging_finds_what_is_wrong
try warnings_can_be_silenced warnings_can_be_silenced
try pressure pressure
try an_overflow_is_named an_overflow_is_named
try other_backends other_backends
try tables_show_what_is_held tables_show_what_is_held
try leaks_are_told_by_call_site leaks_are_told_by_call_site
try mistakes_are_told mistakes_are_told
finish
