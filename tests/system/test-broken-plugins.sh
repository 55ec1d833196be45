#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Broken plugins through every command that would start them: one clear line with the place, exit 1, nothing is started, and no
# code of a refused plugin has run.
. "${srcdir:-.}/tests/system/lib.sh"

# refused FILE TEXT [only-boot]: what check (unless only boot can know), run and exec say of a configuration with this plugin.
refused() {
	cat >c.conf <<-END2
	[machine]
	backing = anon
	[frames]
	plugin = buddy
	[h]
	plugin = $1
	pages = frames
	[malloc]
	heap = h
	END2
	export LOAM_TELLTALE=$PWD/telltale
	local commands=(check run exec) line=6
	[ -z "${3-}" ] || { commands=(run exec) line=5; }
	for command in "${commands[@]}"; do
		case $command in
		exec) skip_exec || run 1 "$LOAM" exec c.conf -- touch started ;;
		*) run 1 "$LOAM" $command c.conf ;;
		esac
		err_lines 1; err_has "c.conf:$line: "; err_has "$2"
		[ ! -e started ] || fail "$command: the program was started"
		[ ! -e telltale ] || fail "$command: code of the refused plugin has run"
	done
}
skip_exec() { case ${LOAM_SANITIZER:-no} in address | thread) return 0 ;; esac; return 1; }
# A copy of a good one in a folder of ours.
good() { cp "$LOAM_TEST_PLUGINS/good.so" good.so; chmod 755 good.so; }
# poke FILE OFFSET BYTE
poke() { printf "\\x$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

while IFS='|' read -r name says; do
	eval "case_${name//-/_}() { refused '$LOAM_TEST_PLUGINS/$name.so' \"$says\"; }"
	try "$name" "case_${name//-/_}"
done <<'END3'
no-descriptor|no descriptor: the symbol loam_plugin_descriptor is missing
no-note|no loam note: not built as a plugin with LOAM_PLUGIN
other-major|built for plugin ABI 9.0
newer-host|needs a host with plugin ABI 1.99 or later
small|a descriptor of 16 bytes; expected at least
wrong-name|it calls itself 'another'; the file must be called another.so
no-op|role heap: no 'alloc'
half-pair|role heap: 'free_bulk' without 'alloc_bulk'
ops-small|role heap: a table of 4 bytes
role-unknown|unknown role 55
role-twice|role heap twice
no-stat|no 'stat'
area-large|a local area of 1000000 bytes; at most 65536
area-flush|a local area without 'flush'
threads|unknown thread model 7
param-type|parameter 'odd': unknown type 77
param-default|parameter 'odd': default 'many'
param-twice|'limit' is declared twice
param-choices|parameter 'odd': no choices
param-reserved|the key 'plugin' is the host's
port-role|port 'pages': an unknown role
undefined|undefined symbol: nobody_has_this
END3

create_fails() { refused "$LOAM_TEST_PLUGINS/create-fails.so" "[h] create-fails cannot start: Operation not supported" only-boot; }
create_invalid() { refused "$LOAM_TEST_PLUGINS/create-invalid.so" "[h] create-invalid cannot start: Invalid argument" only-boot; }
create_memory() { refused "$LOAM_TEST_PLUGINS/create-memory.so" "[h] create-memory cannot start: Cannot allocate memory" only-boot; }
writable_file() { good; chmod 775 good.so; refused "$PWD/good.so" "others may write to it (mode 0775)"; }
writable_folder() { mkdir f; good; mv good.so f; chmod 777 f; refused "$PWD/f/good.so" "others may write to its folder"; }
not_elf() { echo hello >text.so; refused "$PWD/text.so" "not an ELF file"; }
empty_file() { : >empty.so; refused "$PWD/empty.so" "not an ELF file"; }
a_folder() { mkdir folder.so; refused "$PWD/folder.so" "not a regular file"; }
not_there() { refused "$PWD/nowhere.so" "no plugin file"; }
truncated() {
	size=$(stat -c %s "$LOAM_TEST_PLUGINS/good.so")
	for bytes in 10 63 64 200 1000 $((size / 4)) $((size / 2)); do
		good; truncate -s $bytes good.so
		refused "$PWD/good.so" "truncated"
	done
}
other_machine() { good; poke good.so 18 28; refused "$PWD/good.so" "an ELF file for another machine"; }
other_class() { good; poke good.so 4 01; refused "$PWD/good.so" "not a 64-bit ELF file"; }
a_program() { cp /bin/true true.so; poke true.so 16 02; refused "$PWD/true.so" "not a shared object"; }
a_library() { refused "$(realpath "$(ldconfig -p | sed -n 's/.*libz.so.1 .*=> //p' | head -n 1)")" "no loam note"; }
for t in create_fails create_invalid create_memory writable_file writable_folder not_elf empty_file a_folder not_there truncated \
	other_machine other_class a_program; do
	try "${t//_/-}" $t
done
! ldconfig -p 2>/dev/null | grep -q 'libz.so.1 ' || try a-library a_library
finish
