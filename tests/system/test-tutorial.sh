#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The tutorial's commands are run and its listings compared, in the order of the text: it cannot go stale.
#
# ```console      lines "$ command" are run, all in one shell, and lines "> " go on with it; what they print must be as the
#                 lines below say. A command whose line ends in "# fails" must fail, every other one must succeed.
# ```LANG FILE    the lines stand together in FILE, as it is at that point.
# In both, a line "..." stands for any lines, and "…" in a line for any text. Blocks of other kinds are not looked at.
. "${srcdir:-.}/tests/system/lib.sh"
unset MAKEFLAGS MFLAGS MAKELEVEL
skip_under_sanitizer
case ${LOAM_SANITIZER:-no} in no) ;; *) echo "the plugins would need the sanitizer's library"; exit 77 ;; esac
command -v pkg-config >/dev/null || { echo "no pkg-config"; exit 77; }
[ -x /usr/bin/python3 ] || { echo "no /usr/bin/python3"; exit 77; }
[ -x "$builddir/tests/conformance/loam-conform" ] || { echo "no conformance runner"; exit 77; }
text=$srcdir/doc/tutorial/README.md
# As a reader has it; but other tests run at the same time.
unset LOAM LOAM_PLUGIN_PATH GLIBC_TUNABLES
export LOAM_SLOW=1
export PATH=/usr/bin:/bin HOME=$work/home LC_ALL=C.UTF-8

newline='
'
# expression FILE: into $pattern, an extended regular expression for text with the lines of FILE.
expression() {
	local line
	pattern=
	while IFS= read -r line; do
		if [ "$line" = ... ]; then
			pattern+="([^$newline]*$newline)*"
		else
			line=$(sed 's/[][\.*^$+?(){}|]/\\&/g' <<<"$line")
			pattern+=${line//…/[^$newline]*}$newline
		fi
	done <"$1"
}
# same WANTED GOT WHERE BEFORE AFTER: the file GOT is as WANTED says, between those two expressions.
same() {
	expression "$1"
	[[ $(cat "$2"; echo .) =~ ^$4$pattern$5\.$ ]] && return
	echo "   line $3 of the text: expected"; sed 's/^/      /' "$1"
	echo "   and there is"; head -n 60 "$2" | sed 's/^/      /'
	return 1
}

# Runs one command, in this shell. Its listing is in the file wanted.
command_of() {
	local want=0 status=0
	[[ $1 != *'# fails' ]] || want=1
	eval "$1" >"$work/got" 2>&1 </dev/null || status=$?
	[ "$((status != 0))" -eq $want ] || { cat "$work/got"; fail "line $2: exit status $status: $1"; }
	same "$work/wanted" "$work/got" "$2" '' ''
}

# One pass over the text. A command is run when the next one begins or its block ends, for then its listing is complete.
follow() {
	local line number=0 kind= file= pending= at=0 ran=0
	mkdir -p "$HOME/loam"; ln -s "$builddir" "$HOME/loam/build"; cd "$HOME"
	while IFS= read -r -u 3 line; do
		number=$((number + 1))
		case $kind,$line in
		,'```console') kind=console pending= ;;
		,'```'*' '*) kind=listing file=${line#* } at=$number; : >"$work/wanted" ;;
		,'```'*) kind=other ;;
		console,'$ '* | console,'```')
			[ -z "$pending" ] || { command_of "$pending" "$at"; ran=$((ran + 1)); }
			pending=${line#'$ '} at=$number; : >"$work/wanted"
			[ "$line" != '```' ] || kind=
			;;
		console,'> '*) if [ -s "$work/wanted" ]; then printf '%s\n' "$line" >>"$work/wanted"; else pending+=$newline${line#'> '}; fi ;;
		listing,'```') kind=; same "$work/wanted" "$file" "$at" "(.*$newline)?" '.*' ;;
		other,'```') kind= ;;
		console,* | listing,*) printf '%s\n' "$line" >>"$work/wanted" ;;
		esac
	done 3<"$text"
	[ -z "$kind" ] || fail "a block that does not end"
	[ "$ran" -gt 0 ] || fail "no commands"
}
try the-text-is-what-happens follow
finish
