#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# loam exec: what it runs, what it refuses, what it tells.
. "${srcdir:-.}/tests/system/lib.sh"
skip_under_sanitizer

status_and_output() {
	run 7 "$LOAM" exec -- bash -c 'echo out; echo err >&2; exit 7'; out_has out; err_has err; err_lines 1
	run 0 "$LOAM" exec "$srcdir/doc/examples/exec.conf" -o objects.classes=kernel -- true
}
usage() {
	run 2 "$LOAM" exec; err_has "expected [CONFIG] -- PROGRAM"
	run 2 "$LOAM" exec ls; err_has "no '--' before the program"
	run 2 "$LOAM" exec --; err_has "no PROGRAM"
}
refusals() {
	run 1 "$LOAM" exec -- no-such-program; err_has "no such program"; err_lines 1
	run 1 "$LOAM" exec "$srcdir/doc/examples/lab.conf" -- true; err_has "[malloc] heap is missing"; err_lines 1
	printf '[machine]\nbacking = memfd\n[f]\nplugin = buddy\n[o]\nplugin = slub\npages = f\n[malloc]\nheap = o\n' >memfd.conf
	run 1 "$LOAM" exec memfd.conf -- true; err_has "backing = anon"; err_lines 1
	cp /bin/true suid; chown 12345 suid 2>/dev/null || return 0; chmod 4755 suid
	run 1 "$LOAM" exec -- ./suid; err_has "setuid"; err_lines 1
}
static_programs() {
	echo 'int main(void) { return 0; }' >s.c
	gcc -static s.c -o s || { echo "no static libc"; return 0; }
	run 1 "$LOAM" exec -- ./s; err_has "a static program"; err_lines 1
	printf '#! %s\n' "$PWD/s" >script; chmod 755 script
	run 1 "$LOAM" exec -- ./script; err_has "a static program"
}
summary() {
	run 0 "$LOAM" exec --summary -- ls /; err_has "consistent        yes"; err_has "fragmentation"; err_has "malloc-64"
	run 0 "$LOAM" exec --summary=sum --json -- bash -c 'cd /; ls >/dev/null; true'; is_json sum
	grep -q '"consistent": true' sum || fail "not consistent"
	# Of the program, not of its children.
	run 0 "$LOAM" exec --summary -- bash -c '(ls; ls) >/dev/null; true'
	[ "$(grep -c 'malloc of process' err)" -eq 1 ] || fail "more than one summary"
}
# What is told must not depend on the telling.
summary_changes_nothing() {
	printf '[machine]\nbacking = anon\n[f]\nplugin = buddy\n[o]\nplugin = slub\npages = f\n[top]\nplugin = stats\nlower = o\n[malloc]\nheap = top\n' >stats.conf
	run 0 "$LOAM" exec stats.conf --summary=sum -- ls /
	face=$(sed -n 's|^  allocations  *\([0-9]*\)$|\1|p' sum) watched=$(sed -n 's/^  allocations \([0-9]*\), .*/\1/p' sum)
	[ "$watched" -eq "$face" ] || fail "the face counts $face allocations, the filter $watched"
}
footprint_of_a_foreign_heap() {
	printf '[machine]\nbacking = anon\n[f]\nplugin = foreign\nlibrary = %s\n[malloc]\nheap = f\n' "${1-glibc}" >f.conf
	run 0 "$LOAM" exec f.conf --summary=sum -- ls /; grep -Eq 'footprint +[1-9][0-9]* bytes' sum || { cat sum; fail "glibc knows its footprint"; }
	"$LOAM" exec f.conf -o f.library=jemalloc -- true 2>/dev/null || return 0
	run 0 "$LOAM" exec f.conf -o f.library=jemalloc --summary=sum -- ls /
	grep -q 'not known to this heap' sum || { cat sum; fail "a footprint of nothing"; }
	run 0 "$LOAM" exec f.conf -o f.library=jemalloc --summary=sum --json -- ls /
	is_json sum; grep -q '"footprint": null' sum || fail "a footprint of nothing"
}
preload_by_hand() {
	lib=${LOAM_MALLOC_LIB:-$builddir/core/.libs/libloam-malloc.so.0}
	LOAM_CONFIG=$srcdir/doc/examples/exec.conf LOAM_SUMMARY=- LD_PRELOAD=$lib run 0 ls /
	err_has "served by [objects] slub"
	LOAM_CONFIG=nowhere.conf LD_PRELOAD=$lib run 1 ls /; err_has "nowhere.conf: cannot read"
}
closed_streams() {
	"$LOAM" exec -- sh -c 'ls / >/dev/null' <&- >&- 2>&- || fail "exit $?"
}
crash_is_explained() {
	# A jump into a block of the heap, whose memory cannot be executed.
	cat >c.c <<-'END'
	#include <stdlib.h>
	int main(int argc, char **argv)
	{
		char *p = malloc(100);
		((void (*)(void))(argc > 1 ? p + 5 : NULL))();
		return 0;
	}
	END
	gcc -w c.c -o c
	run 139 "$LOAM" exec -- ./c; err_has "loam: segmentation fault at 0x0: the null page"
	run 139 "$LOAM" exec -- ./c heap; err_has "of [objects] slub, live block of 112 bytes"; err_has "offset 5"
}
wild_free_is_reported() {
	printf '#include <stdlib.h>\nint main(void) { char c[64]; void *volatile p = c + 16; free(p); return 3; }\n' >w.c
	gcc -w w.c -o w
	run 3 "$LOAM" exec -- ./w; err_has "loam: bad free:"; err_lines 1
	run 134 "$LOAM" exec -o machine.report=stop -- ./w
}
constructors_and_dlopen() {
	cat >lib.cc <<-'END'
	#include <string>
	#include <vector>
	struct Init { std::vector<std::string> v; Init() { for (int i = 0; i < 1000; i++) v.push_back(std::string(100, 'x')); } };
	static Init init;
	extern "C" int count() { return (int)init.v.size(); }
	END
	cat >main.c <<-'END'
	#include <dlfcn.h>
	#include <stdio.h>
	#include <stdlib.h>
	static void *early;
	__attribute__((constructor)) static void first(void) { early = malloc(50); }
	static void last(void) { free(early); }
	int main(void)
	{
		void *lib = dlopen("./lib.so", RTLD_NOW);
		int (*count)(void) = (int (*)(void))dlsym(lib, "count");
		atexit(last);
		printf("%d\n", count());
		return dlclose(lib);
	}
	END
	g++ -shared -fPIC lib.cc -o lib.so && gcc main.c -o main -ldl || return 1
	run 0 "$LOAM" exec --summary -- ./main; out_has 1000; err_has "consistent        yes"
}
# Threads that are inside a call, counted and not done or the other way round, while the summary is taken.
summary_beside_threads() {
	cat >busy.c <<-'END'
	#include <pthread.h>
	#include <stdlib.h>
	#include <unistd.h>
	static void *busy(void *arg)
	{
		unsigned n = 1, calls = 0;
		for (;;) {
			void *volatile p = malloc(1 + (n = n * 1103515245 + 12345) % 2000);
			free(p);
			if (++calls % 16 == 0)
				usleep(2000);
		}
		return arg;
	}
	int main(void)
	{
		pthread_t t;
		for (int i = 0; i < 3; i++)
			pthread_create(&t, NULL, busy, NULL);
		usleep(20000);
		exit(0);
	}
	END
	printf '[machine]\nbacking = anon\n[frames]\nplugin = buddy\n[objects]\nplugin = slub\npages = frames\n[front]\nplugin = magazine\nlower = objects\n[malloc]\nheap = front\n' >busy.conf
	gcc -O1 busy.c -o busy -pthread
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		run 0 "$LOAM" exec --summary=summary busy.conf -- ./busy
		grep -q 'consistent *yes' summary || { cat summary; fail "not consistent"; return 1; }
	done
}
try status-and-output status_and_output
try usage usage
try refusals refusals
try static-programs static_programs
try summary summary
try summary-changes-nothing summary_changes_nothing
try summary-beside-threads summary_beside_threads
try footprint-of-a-foreign-heap footprint_of_a_foreign_heap
try preload-by-hand preload_by_hand
try closed-streams closed_streams
try crash-is-explained crash_is_explained
try wild-free-is-reported wild_free_is_reported
try constructors-and-dlopen constructors_and_dlopen
finish
