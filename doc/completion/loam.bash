# SPDX-License-Identifier: MIT
# bash completion for loam

_loam_sections() {
	# section.key= of the configuration that stands on the line
	local word
	for word in "${COMP_WORDS[@]}"; do
		[ -f "$word" ] && sed -n 's/^\[\([A-Za-z0-9_-]*\)\].*/@\1/p; s/^\([A-Za-z0-9_-]*\)[ \t]*=.*/\1/p' "$word" |
			while read -r line; do case $line in @*) section=${line#@} ;; *) echo "$section.$line=" ;; esac; done
	done
}

_loam() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} i
	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		COMPREPLY=($(compgen -W 'list info check graph run exec conform new help --help --version' -- "$cur"))
		return
	fi
	if [ "$command" = exec ]; then
		for ((i = 2; i < COMP_CWORD; i++)); do
			if [ "${COMP_WORDS[i]}" = -- ]; then
				COMPREPLY=($(compgen -c -- "$cur"))
				return
			fi
		done
	fi
	if [ "$prev" = -o ]; then
		compopt -o nospace 2>/dev/null
		COMPREPLY=($(compgen -W "$(_loam_sections)" -- "$cur"))
		return
	fi
	case $command,$cur in
	list,*) COMPREPLY=($(compgen -W '--json --help' -- "$cur")) ;;
	info,-*) COMPREPLY=($(compgen -W '--json --help' -- "$cur")) ;;
	info,*) COMPREPLY=($(compgen -W "$(loam list 2>/dev/null | cut -d' ' -f1)" -- "$cur")) ;;
	check,-*) COMPREPLY=($(compgen -W '-o --help' -- "$cur")) ;;
	graph,-*) COMPREPLY=($(compgen -W '-o --format=text --format=dot --format=svg --help' -- "$cur")) ;;
	run,-*) COMPREPLY=($(compgen -W '-o --json --help' -- "$cur")) ;;
	exec,-*) COMPREPLY=($(compgen -W '-o --summary --summary= --json --help --' -- "$cur")) ;;
	conform,-*) COMPREPLY=($(compgen -W '--with --role --filter --list --seed --time --threads --shard --strict --script
		--verbose --tap --json --junit --gdb --help' -- "$cur")) ;;
	new,-*) COMPREPLY=($(compgen -W '--list --help' -- "$cur")) ;;
	new,*) [ "$COMP_CWORD" -ne 2 ] || COMPREPLY=($(compgen -W "$(loam new --list 2>/dev/null)" -- "$cur")) ;;
	help,*) COMPREPLY=($(compgen -W 'list info check graph run exec conform new' -- "$cur")) ;;
	*) COMPREPLY=($(compgen -f -- "$cur")) ;;
	esac
}
complete -F _loam loam
