#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# make install into a folder, use what is there, make uninstall.
. "${srcdir:-.}/tests/system/lib.sh"
case ${LOAM_SANITIZER:-no} in no) ;; *) echo "the installed library would need the sanitizer's"; exit 77 ;; esac

installed() {
	dest=$PWD/dest
	make -s -C "$builddir" install DESTDIR="$dest" >log 2>&1 || { tail log; fail install; }
	prefix=$(sed -n 's/^prefix = //p' "$builddir/Makefile" | head -n 1)
	pc=$(dirname "$(find "$dest" -name loam-plugin.pc)")
	inc=$dest$prefix/include
	export PKG_CONFIG_PATH=$pc PKG_CONFIG_SYSROOT_DIR=$dest PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1
	cat >mine.c <<-'END'
	#include <loam/plugin.h>
	END
	if command -v pkg-config >/dev/null; then
		[ -z "$(pkg-config --libs-only-l loam-plugin)" ] || fail "loam-plugin has libraries"
		sed 's/good/mine/' "$srcdir/tests/unit/plugins/broken.c" >mine.c
		gcc -std=gnu11 -shared -fPIC -fvisibility=hidden -DNAME=mine $(pkg-config --cflags loam-plugin) mine.c -o mine.so
		run 0 "$LOAM" info ./mine.so
	fi
	for h in "$inc"/loam/*.h; do
		echo "#include <loam/$(basename "$h")>" >h.c
		gcc -std=c11 -Wall -Wextra -Werror -I"$inc" -c h.c -o h.o || fail "$h in C"
		! command -v g++ >/dev/null || g++ -x c++ -std=c++17 -Wall -Wextra -Werror -I"$inc" -c h.c -o h.o || fail "$h in C++"
	done
	(unset MAKEFLAGS MFLAGS MAKELEVEL; LOAM_TEMPLATES=$(find "$dest" -path '*/loam/templates'); export LOAM_TEMPLATES
	for role in $("$LOAM" new --list); do run 0 "$LOAM" new "$role" "a-$role"; make -s -C "a-$role" >log 2>&1 || { cat log; fail "a-$role"; }; done)
	[ -n "$(find "$dest" -name loam.1)" ] || fail "no manual page"
	make -s -C "$builddir" uninstall DESTDIR="$dest" >log 2>&1 || { tail log; fail uninstall; }
	[ -z "$(find "$dest" ! -type d)" ] || { find "$dest" ! -type d; fail "uninstall left files"; }
}
try installed installed
finish
