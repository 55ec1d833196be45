#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The program's commands: what they print, how they refuse.
. "${srcdir:-.}/tests/system/lib.sh"
lab=$srcdir/doc/examples/lab.conf

list() {
	run 0 "$LOAM" list; out_has buddy; out_has "objects,heap"
	run 0 "$LOAM" list --json; is_json out
	run 2 "$LOAM" list extra; err_has "unexpected argument 'extra'"
}
list_shows_refused_files() {
	mkdir p; chmod 755 p; echo nonsense >p/odd.so; chmod 644 p/odd.so
	LOAM_PLUGIN_PATH=$PWD/p run 0 "$LOAM" list; out_has "refused"; out_has "not an ELF file"
}
info() {
	run 0 "$LOAM" info slub; out_has "port pages: pages"; out_has "parameter classes = kernel|fine, default kernel"
	run 0 "$LOAM" info buddy --json; is_json out
	run 1 "$LOAM" info sluub; err_has "no plugin 'sluub'"; err_has "did you mean 'slub'?"; err_lines 1
	run 2 "$LOAM" info; err_has "expected one PLUGIN"
}
check() {
	run 0 "$LOAM" check "$lab"; out_has "ok, 2 instances"
	run 0 "$LOAM" check "$srcdir/doc/examples/exec.conf"
	run 1 "$LOAM" check "$lab" -o objects.plugin=slubb; err_has "-o: "; err_has "did you mean 'slub'?"
	run 1 "$LOAM" check nowhere.conf; err_has "nowhere.conf: cannot read"
	run 2 "$LOAM" check; err_has "expected one CONFIG"
	run 2 "$LOAM" check "$lab" -o; err_has "wants a value"
}
graph() {
	run 0 "$LOAM" graph "$lab"; out_has "[kernel] heap -> [objects] slub"; out_has "pages -> [frames] buddy"; out_has "machine"
	run 0 "$LOAM" graph "$lab" --format=dot; out_has '"objects" -> "frames" [label="pages"]'
	run 0 "$LOAM" graph "$lab" --format=svg; out_has "</svg>"
	! command -v python3 >/dev/null || python3 -c 'import sys,xml.dom.minidom as m; m.parse(sys.argv[1])' out
	run 2 "$LOAM" graph "$lab" --format=png; err_has "expected text, dot or svg"
}
run_machine() {
	run 0 "$LOAM" run "$lab"
	out_has "slabinfo - version: 2.1"; out_has "Node 0, zone  HighMem"; out_has "protection: ("; out_has "no leaks"
	run 0 "$LOAM" run "$lab" --json; is_json out
	run 0 "$LOAM" run "$lab" -o machine.memory=1G -o machine.zones=NORMAL:512M\ HIGHMEM:*
	run 1 "$LOAM" run "$lab" module.so; err_has "cannot open the module"
	run 2 "$LOAM" run
}
words() {
	run 0 "$LOAM" --version; out_has "plugin ABI 1.2"
	run 0 "$LOAM" --help; out_has "exec"
	for c in list info check graph run exec new; do run 0 "$LOAM" $c --help; out_has "usage: loam $c"; run 0 "$LOAM" help $c; done
	run 2 "$LOAM"; run 2 "$LOAM" grpah; err_has "did you mean 'graph'?"
	run 2 "$LOAM" list --jason; err_has "unknown option '--jason'"
}
completion() {
	cat >c.sh <<-END
	. $srcdir/doc/completion/loam.bash
	loam() { "$LOAM" "\$@"; }
	try() { COMP_WORDS=("\$@"); COMP_CWORD=\$((\$# - 1)); _loam; echo "\${COMPREPLY[*]}"; }
	try loam g; try loam new h; try loam info s; try loam run $lab -o machine.mem; try loam exec -- tru
	END
	bash c.sh >out 2>&1 || true
	out_has graph; out_has heap; out_has slub; out_has "machine.memory="; out_has true
}
try list list
try list-shows-refused-files list_shows_refused_files
try info info
try check check
try graph graph
try run run_machine
try words words
try completion completion
finish
