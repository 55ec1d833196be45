#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A heap of at most 60 lines, built outside the tree by pkg-config against the installed files alone, serves real programs.
. "${srcdir:-.}/tests/system/lib.sh"
# The makes below are not part of the one that runs the tests.
unset MAKEFLAGS MFLAGS MAKELEVEL
skip_under_sanitizer
case ${LOAM_SANITIZER:-no} in no) ;; *) echo "the installed library would need the sanitizer's"; exit 77 ;; esac
command -v pkg-config >/dev/null || { echo "no pkg-config"; exit 77; }
python=/usr/bin/python3

# Lines of code as the house's clang-format sets them: no comments, no empty lines.
sixty_lines() {
	cp "$srcdir/.clang-format" "$srcdir/tests/examples/heap/simple.c" .
	! command -v clang-format >/dev/null || clang-format -i simple.c
	n=$(gcc -fpreprocessed -dD -E -P simple.c | grep -cv '^[[:space:]]*$')
	[ "$n" -le 60 ] || fail "simple.c has $n lines"
}

# The program, the library and the plugins that were installed.
as_installed() {
	libs=$(dirname "$(find "$work/dest" -name libloam-malloc.so.0)")
	export LD_LIBRARY_PATH=$libs LOAM_MALLOC_LIB=$libs/libloam-malloc.so.0 LOAM_PLUGIN_PATH=$libs/loam/plugins
	LOAM=$(find "$work/dest" -name loam -path '*/bin/*')
}

install_here() {
	dest=$work/dest
	make -s -C "$builddir" install DESTDIR="$dest" >log 2>&1 || { tail log; fail install; }
	pc=$(dirname "$(find "$dest" -name loam-plugin.pc)")
	cp "$srcdir"/tests/examples/heap/* "$work"
	PKG_CONFIG_PATH=$pc PKG_CONFIG_SYSROOT_DIR=$dest make -s -C "$work" simple.so >log 2>&1 || { cat log; fail "cannot build"; }
	[ ! -s log ] || { cat log; fail "built with warnings"; }
	cat >"$work/simple.conf" <<-END2
	[machine]
	backing = anon
	[frames]
	plugin = buddy
	[simple]
	plugin = $work/simple.so
	pages = frames
	[front]
	plugin = magazine
	lower = simple
	[malloc]
	heap = simple
	END2
	as_installed
	run 0 "$LOAM" info "$work/simple.so"
	out_has "heap"
}

serves() {
	for front in simple front; do
		sed "s/^heap = .*/heap = $front/" "$work/simple.conf" >c.conf
		# What nobody filters may be reached; who stands behind a filter may not.
		[ $front = front ] || sed -i '/^\[front/,/^lower/d' c.conf
		"$@" >plain
		"$LOAM" exec c.conf --summary="$PWD/summary" -- "$@" >loam || fail "$front: exit $?"
		cmp plain loam || fail "$front: other output"
		grep -q 'consistent  *yes' summary || { cat summary; fail "$front: not consistent"; }
		grep -q "served by \[$front\]" summary || fail "served by another heap"
	done
}
ls_usr() { serves ls -lR /usr; }
python_script() {
	[ -x $python ] || return 0
	serves $python -c 'import json; d = [{"k": i, "s": "x" * (i % 97)} for i in range(5000)]; s = json.dumps(d); assert json.loads(s) == d; print(len(s))'
}
try sixty-lines sixty_lines
try install-and-build install_here
as_installed
try ls-lR-usr ls_usr
try python-script python_script
finish
