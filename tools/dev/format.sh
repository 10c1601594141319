#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Format all C files, or those given, with clang-format 14 and the rules in .clang-format.
#
#   tools/dev/format.sh [--check] [FILE...]
#
# --check changes nothing and fails where something would change. Exit status: 0, 1 (something would change), 2 (usage),
# 77 (clang-format 14 is not installed; other versions format differently).
set -eu

check=
case ${1:-} in
-h | --help)
	sed -n '4,9s/^# \{0,1\}//p' "$0"
	exit 0
	;;
--check)
	check=1
	shift
	;;
-*)
	echo "format.sh: unknown option '$1'; see --help" >&2
	exit 2
	;;
esac

if [ $# -eq 0 ]; then
	cd "$(dirname "$0")/../.."
	mapfile -t files < <(find src tools tests -name '*.[ch]' -type f | sort)
else
	files=("$@")
fi

for program in clang-format-14 clang-format; do
	if command -v "$program" >/dev/null && "$program" --version | grep -q 'version 14\.'; then
		if [ -n "$check" ]; then
			exec "$program" --dry-run -Werror "${files[@]}"
		fi
		exec "$program" -i "${files[@]}"
	fi
done
echo "format.sh: clang-format 14 is not installed" >&2
exit 77
