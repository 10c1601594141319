# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Completion for bash of xtsfs, xtsfsctl and the other names of the two.
#
# The verbs, options and arguments are those that the program itself tells with --help, so that nothing here grows old. What an
# argument is, its word in the help says: FILE, DIR, COMMAND, or the values between bars. Files are left to readline, which knows
# how to quote them.

# _xtsfs_argument KIND WORD: complete WORD as what KIND says.
_xtsfs_argument() {
	case $1 in
	FILE | TARGET) compopt -o default ;;
	DIR | SOURCE | MOUNTPOINT) compopt -o dirnames ;;
	COMMAND) mapfile -t COMPREPLY < <(compgen -c -- "$2") ;;
	*'|'*) mapfile -t COMPREPLY < <(compgen -W "${1//|/ }" -- "$2") ;;
	esac
}

# Sets help, and from it verbs, options (name or letter to the kind of its argument), mount (the same, for -o), arguments.
_xtsfs_ask() {
	local line part=

	verbs=() options=() mount=() arguments=()
	help=$("$@" --help 2>/dev/null </dev/null) || return
	while IFS= read -r line; do
		case $line in
		'Usage: '*)
			for line in ${line#Usage: }; do
				[[ $line =~ ^\[?([A-Z]+)\]?(\.\.\.)?$ ]] || continue
				case ${BASH_REMATCH[1]} in
				OPTION | VERB | N) ;;
				*) arguments+=("${BASH_REMATCH[1]}${BASH_REMATCH[2]}") ;;
				esac
			done
			;;
		'Verbs:' | 'Options:') part=${line%:} ;;
		'Options for -o:') part=mount ;;
		'') part= ;;
		*)
			if [ "$part" = Verbs ] && [[ $line =~ ^'  '([a-z-]+)' ' ]]; then
				verbs+=("${BASH_REMATCH[1]}")
			elif [ "$part" = mount ] && [[ $line =~ ^'  '([a-z0-9_]+)(=([A-Za-z|]+))?' ' ]]; then
				mount[${BASH_REMATCH[1]}]=${BASH_REMATCH[3]}
			elif [[ $line =~ ^' '+((-.),' ')?(-[-a-z0-9]+)(' '([A-Z]+|[a-z0-9-]+('|'[a-z0-9-]+)+))?(' '|$) ]]; then
				options[${BASH_REMATCH[3]}]=${BASH_REMATCH[5]}
				[ -z "${BASH_REMATCH[2]}" ] || options[${BASH_REMATCH[2]}]=${BASH_REMATCH[5]}
			fi
			;;
		esac
	done <<<"$help"
}

# $1 is the list after -o, up to the cursor.
_xtsfs_mount_option() {
	local last=${1##*,} before option

	if [[ $last == *=* ]]; then
		_xtsfs_argument "${mount[${last%%=*}]-}" "${last#*=}"
		return
	fi
	before=${1%"$last"}
	for option in "${!mount[@]}"; do
		[ -z "${mount[$option]}" ] || option+='='
		[[ $option != "$last"* ]] || COMPREPLY+=("${before##*=}$option")
	done
	compopt -o nospace
}

_xtsfs() {
	local command=$1 cur help word before='' taken='' only_arguments='' count=0 i
	local -a words=() verb=() verbs arguments
	local -A options mount

	COMPREPLY=()
	# readline ends words at "=", too.
	for ((i = 1; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [ ${#words[@]} -gt 0 ] && { [ "$word" = = ] || [ "$before" = = ]; }; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
		before=$word
	done
	cur=${words[-1]}
	unset 'words[-1]'

	[ "${command:0:2}" != \~/ ] || command=$HOME/${command:2}
	_xtsfs_ask "$command"
	while [ ${#verbs[@]} -gt 0 ]; do
		if [ ${#words[@]} = 0 ]; then
			word="${verbs[*]}"
			[[ $cur != -* ]] || word='--help -h'
			[[ $cur != -* ]] || [ ${#verb[@]} -gt 0 ] || word+=' --version -V'
			mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur")
			return
		fi
		verb+=("${words[0]}")
		words=("${words[@]:1}")
		_xtsfs_ask "$command" "${verb[@]}" || return
	done
	[ ${#mount[@]} = 0 ] || options[-o]=OPTIONS

	for word in "${words[@]}"; do
		if [ -n "$taken" ]; then
			taken=
		elif [[ $only_arguments || $word != -?* ]]; then
			count=$((count + 1))
		elif [ "$word" = -- ]; then
			only_arguments=1
		elif [ -n "${options[$word]-}" ]; then
			taken=$word
		fi
	done
	if [ "$taken" = -o ] && [ ${#mount[@]} -gt 0 ]; then
		_xtsfs_mount_option "$cur"
	elif [ -n "$taken" ]; then
		_xtsfs_argument "${options[$taken]}" "$cur"
	elif [[ ! $only_arguments && $cur == --*=* ]]; then
		_xtsfs_argument "${options[${cur%%=*}]-}" "${cur#*=}"
	elif [[ ! $only_arguments && $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${!options[*]}" -- "$cur")
	elif [ "$count" -lt ${#arguments[@]} ]; then
		_xtsfs_argument "${arguments[count]%...}" "$cur"
	elif [[ ${arguments[*]} == *... ]]; then
		_xtsfs_argument "${arguments[-1]%...}" "$cur"
	fi
}

complete -F _xtsfs xtsfs mount.xtsfs mount.fuse.xtsfs umount.xtsfs umount.fuse.xtsfs xtsfsctl mkfs.xtsfs fsck.xtsfs
