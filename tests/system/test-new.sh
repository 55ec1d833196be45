#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# loam new: for each role a project that builds outside the tree, loads, runs and passes; mistakes are refused and leave nothing.
. "${srcdir:-.}/tests/system/lib.sh"
# The makes below are not part of the one that runs the tests.
unset MAKEFLAGS MFLAGS MAKELEVEL
command -v pkg-config >/dev/null || { echo "no pkg-config"; exit 77; }
export PKG_CONFIG_PATH=$builddir LOAM LOAM_SLOW=1 # other tests run at the same time
flags="-O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror"
case ${LOAM_SANITIZER:-no} in no) ;; *) flags="$flags -fsanitize=$LOAM_SANITIZER" ;; esac
case ${LOAM_SANITIZER:-no} in address | thread) preload= ;; *) preload=yes ;; esac
# The compiler of the build: a sanitizer's library is the compiler's.
cc=$(sed -n 's/^CC = //p' "$builddir/Makefile")
build() { make -s -C "$1" CC="$cc" CFLAGS="$flags" "${@:2}" >log 2>&1 || { tail -n 40 log; fail "make ${*:2}"; }; }

# project ROLE NAME: made and built, here.
project() {
	run 0 "$LOAM" new "$1" "$2"; out_has "$2"; err_lines 0
	build "$2"
	[ ! -s log ] || { cat log; fail "built with a message"; }
	cd "$2"
	! grep -rlw NAME . || fail "the word NAME was left"
	run 0 "$LOAM" info "./$2.so"; out_has "$2 0.1"; out_has "role ${3:-$1}"
	case ${LOAM_SANITIZER:-no} in no) [ "$(nm -D --defined-only "$2.so" | wc -l)" -eq 1 ] || fail "more than the descriptor is exported" ;; esac
	run 0 "$LOAM" check "$2.conf"; out_has ok
	run 0 "$LOAM" graph "$2.conf"; out_has "$2"
}
# serves [-o KEY=VALUE]...: the configuration runs a program, from another folder too, and its summary agrees with itself.
serves() {
	[ -n "$preload" ] || return 0
	run 0 "$LOAM" exec --summary=summary mine.conf "$@" -- env -C / ls -lR /usr/bin
	grep -q 'consistent *yes' summary || { cat summary; fail "not consistent"; }
}
# What the projects' README.md say beside that, too.
heap() {
	project heap mine
	serves; serves -o heap.plugin=slub
	serves -o front.plugin=magazine -o front.lower=heap -o malloc.heap=front
}
pages() {
	project pages mine
	serves; serves -o frames.plugin=buddy
	serves -o watch.plugin=stats -o watch.lower=frames -o objects.pages=watch
}
objects() { project objects mine; run 0 "$LOAM" run mine.conf; out_has "no leaks"; }
# kernel_code ROLE SECTION "PLUGIN..." [ARGUMENT]...: a machine with it, alone and with the kernel code of the project, and the same
# on other plugins.
kernel_code() {
	local role=$1 section=$2 plugins=$3 sanitizer=
	shift 3
	project "$role" mine
	run 0 "$LOAM" run mine.conf; out_has "no leaks"
	case ${LOAM_SANITIZER:-no} in no) ;; *) sanitizer=-fsanitize=$LOAM_SANITIZER ;; esac
	# shellcheck disable=SC2046,SC2086
	$cc -g -Wall -Wextra -Werror $sanitizer -shared -fPIC $(pkg-config --cflags loam-kernel) use-mine.c -o use-mine.so \
		$(pkg-config --libs loam-kernel)
	for plugin in ./mine.so $plugins; do
		run 0 "$LOAM" run mine.conf -o "$section.plugin=$plugin" -o kernel.track=on ./use-mine.so "$@"
		out_has "no leaks"
		! grep -E 'BUG|WARNING|not ok' err || fail "$plugin: the kernel complains"
	done
}
boot() { kernel_code boot early "memblock bump" pages=64; }
pool() { kernel_code pool pools "mempool ring" count=10; }
percpu() {
	kernel_code percpu units "percpu percpu-flat" threads=12; err_has "2400000 hits of 12 threads"
	run 0 "$LOAM" run mine.conf -o machine.cpus=1 ./use-mine.so
}
vmap() { kernel_code vmap areas "vmalloc vmap-flat" mib=9; err_has "written there"; }
kmap() { kernel_code kmap slots kmap count=1000; err_has "1000 pages, 1000 of them of high memory, 1000 have"; }
filter() {
	project filter mine heap
	serves; serves -o front.lower=frames -o objects.pages=front -o malloc.heap=objects
	[ -n "$preload" ] || return 0
	"$LOAM" exec --summary=summary mine.conf -o front.limit=10 -- ls / 2>/dev/null || true
	! grep -q 'refused 0 ' summary || { cat summary; fail "the limit refuses nothing"; }
}
# Each project as it is keeps the contract; with the thread sanitizer, which is slow, that of threads.
tests=
case ${LOAM_SANITIZER:-no} in thread) tests="--filter '*thread*,*beside*'" ;; esac
passes() {
	[ -x "$builddir/tests/conformance/loam-conform" ] || { echo "   (built without Check: no conformance runner)"; return 0; }
	run 0 "$LOAM" new "$1" mine
	build mine check CONFORM="--time quick $tests"
}
every_role_has_a_test() {
	[ -n "$roles" ] || fail "no roles"
	for role in $roles; do
		declare -F "$role" >/dev/null || fail "no test of $role"
		for file in "$srcdir"/templates/{common,$role}/*; do
			grep -q "${file#"$srcdir"/}" "$srcdir/templates/templates.am" || fail "$file is not installed"
		done
	done
}
# Names that are no C identifiers, or words of C.
odd_names() {
	for name in 9 a-b 3-_x int page heap a234567890123456789012345678901; do
		run 0 "$LOAM" new heap "$name"
		build "$name"
		(cd "$name"; run 0 "$LOAM" check "$name.conf"; run 0 "$LOAM" info "./$name.so"; out_has "$name 0.1")
	done
}
another_folder() {
	run 0 "$LOAM" new pages mine there; [ -f there/mine.c ] || fail "no there/mine.c"
	run 0 "$LOAM" new pages mine "a folder"; build "a folder"
}
installs() {
	run 0 "$LOAM" new heap mine
	build mine install DESTDIR="$PWD/dest" plugindir=/plugins
	LOAM_PLUGIN_PATH=$PWD/dest/plugins run 0 "$LOAM" list; out_has "mine "
	build mine clean; [ ! -e mine/mine.so ] || fail "make clean leaves mine.so"
}
# Whatever the umask, the host loads what was built.
any_umask() { (umask 0; run 0 "$LOAM" new heap mine; build mine; run 0 "$LOAM" info mine/mine.so); }

usage() {
	run 2 "$LOAM" new; err_has "expected ROLE NAME"; err_lines 1
	run 2 "$LOAM" new heap; err_lines 1
	run 2 "$LOAM" new heap a b c; err_lines 1
	run 2 "$LOAM" new --lost; err_has "unknown option '--lost'"; err_lines 1
	run 2 "$LOAM" new heep mine; err_has "no role 'heep'"; err_has "did you mean 'heap'?"; err_has "there are boot, filter, heap"; err_lines 1
	run 2 "$LOAM" new common mine; err_has "no role 'common'"
	run 2 "$LOAM" new dma mine; err_has "role 'dma' yet"; err_has "there are boot, filter, heap"; err_lines 1
	for name in "" "a b" a/b ../a a.so -x é a2345678901234567890123456789012; do
		run 2 "$LOAM" new heap -- "$name"; err_has "'$name' is no name of a plugin"; err_lines 1
	done
	[ "$(ls)" = "$(printf 'err\nout')" ] || { ls; fail "something was left"; }
}
refused() {
	mkdir there; touch file
	run 1 "$LOAM" new heap there; err_has "there: File exists"; err_lines 1
	run 1 "$LOAM" new heap file; err_has "file: File exists"; err_lines 1
	run 1 "$LOAM" new heap mine nowhere/mine; err_has "nowhere/mine: No such file"; err_lines 1
	run 1 "$LOAM" new heap mine /dev/null/mine; err_has "Not a directory"; err_lines 1
	mkdir shut; chmod 555 shut
	[ "$(id -u)" -eq 0 ] || { run 1 "$LOAM" new heap mine shut/mine; err_has "Permission denied"; err_lines 1; }
	rmdir there shut; rm file
	[ "$(ls)" = "$(printf 'err\nout')" ] || { ls; fail "something was left"; }
	LOAM_TEMPLATES=$PWD/none run 1 "$LOAM" new heap mine; err_has "none: No such file"; err_lines 1
}
# A failure half way: a template that cannot be read, one that is a folder, a disk that is full.
leaves_nothing() {
	cp -r "$srcdir/templates" t; chmod -R u+w t
	ln -s nowhere t/heap/ZZ
	LOAM_TEMPLATES=$PWD/t run 1 "$LOAM" new heap mine; err_has "t/heap/ZZ: No such file"; err_lines 1
	[ ! -e mine ] || fail "a folder was left"
	rm t/heap/ZZ; mkdir t/heap/ZZ
	LOAM_TEMPLATES=$PWD/t run 1 "$LOAM" new heap mine; err_lines 1
	[ ! -e mine ] || fail "a folder was left"
	(trap '' XFSZ; ulimit -f 4; run 1 "$LOAM" new heap mine; err_has "mine/mine.c: File too large")
	[ ! -e mine ] || fail "a folder was left"
}
a_role_more_is_a_folder_more() {
	cp -r "$srcdir/templates" t; chmod -R u+w t; cp -r t/heap t/dma
	LOAM_TEMPLATES=$PWD/t run 0 "$LOAM" new --list; out_has dma
	LOAM_TEMPLATES=$PWD/t run 0 "$LOAM" new dma mine; [ -f mine/mine.c ] || fail "no mine.c"
}

roles=$("$LOAM" new --list)
try every-role-has-a-test every_role_has_a_test
for role in $roles; do try "$role" "$role"; done
for role in $roles; do try "$role-passes" passes "$role"; done
try odd-names odd_names
try another-folder another_folder
try installs installs
try any-umask any_umask
try usage usage
try refused refused
try leaves-nothing leaves_nothing
try a-role-more-is-a-folder-more a_role_more_is_a_folder_more
finish
