# SPDX-License-Identifier: Apache-2.0
#
# Completion for fish of xtsfs, xtsfsctl and the other names of the two.
#
# The verbs, options and arguments are those that the program itself tells with --help, so that nothing here grows old. What an
# argument is, its word in the help says: FILE, DIR, COMMAND, or the values between bars.

# What completes WORD, an argument of KIND, each behind BEFORE.
function __xtsfs_argument --argument-names kind word before
    set -l found
    switch $kind
        case FILE TARGET
            # fish completes files for a program of which it knows nothing, and minds how they are quoted.
            set found (complete -C "xtsfs-is-not-a-program $word")
        case DIR SOURCE MOUNTPOINT
            set found (complete -C "xtsfs-is-not-a-program $word" | string match --regex '^[^\t]*/(?:\t.*)?$')
        case COMMAND
            set found (complete -C "$word")
        case '*|*'
            set found (string split '|' -- $kind)
    end
    test -z "$found"; or printf '%s\n' $before$found
end

# A line for each option in the help of the command given: letter, name, kind of its argument, text, with tabs between.
function __xtsfs_options
    $argv --help 2>/dev/null </dev/null | string replace --filter --regex \
        '^ +(?:(-.), )?(-[-a-z0-9]+)(?: ([A-Z]+|[a-z0-9-]+(?:\|[a-z0-9-]+)+))?(?: +(.*)|)$' '$1\t$2\t$3\t$4'
end

function __xtsfs_mount_options
    $argv --help 2>/dev/null </dev/null | string replace --filter --regex '^  ([a-z0-9_]+)(=?)([A-Za-z|]*) +(.*)$' '$1$2\t$1\t$3\t$4'
end

# Kinds of the arguments, in their order.
function __xtsfs_arguments
    $argv --help 2>/dev/null </dev/null | string replace --filter 'Usage: ' '' | string split ' ' |
        string replace --filter --regex '^\[?([A-Z]+)\]?(\.\.\.)?$' '$1$2' | string match --invert --regex '^(OPTION|VERB|N)\b'
end

function __xtsfs_verbs
    set -l help ($argv --help 2>/dev/null </dev/null)
    contains 'Verbs:' $help; and string replace --filter --regex '^  ([a-z-]+) +(.*)$' '$1\t$2' -- $help
end

function __xtsfs_list --argument-names program list
    set -l last (string split ',' -- $list)[-1]
    set -l before (string sub --length (math (string length -- $list) - (string length -- $last)) -- $list)
    set -l rows (__xtsfs_mount_options $program)
    if string match --quiet '*=*' -- $last
        set -l parts (string split --max 1 '=' -- $last)
        set -l row (string match --entire --regex "^$parts[1]=\t" -- $rows)
        __xtsfs_argument "$(string split \t -- $row)[3]" "$parts[2]" "$before$parts[1]="
    else
        for row in $rows
            set -l fields (string split \t -- $row)
            printf '%s%s\t%s\n' "$before" $fields[1] $fields[4]
        end
    end
end

function __xtsfs_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l command $words[1]
    set -e words[1]
    type --query -- $command; or return
    set -l verbs (__xtsfs_verbs $command)
    while test -n "$verbs"
        if not set -q words[1]
            printf '%s\n' $verbs
            string match --quiet -- '-*' $word; or return
            printf '%s\n' --help -h
            test (count $command) -gt 1; or printf '%s\n' --version -V
            return
        end
        set command $command $words[1]
        set -e words[1]
        set verbs (__xtsfs_verbs $command)
    end

    # The words before: which option waits for its argument, and how many arguments of the verb there are.
    set -l names
    set -l kinds
    set -l texts
    for row in (__xtsfs_options $command)
        set -l fields (string split \t -- $row)
        for name in $fields[1 2]
            if test -n "$name"
                set names $names $name
                set kinds $kinds "$fields[3]"
                set texts $texts "$fields[4]"
            end
        end
    end
    set -l mount (__xtsfs_mount_options $command)
    if test -n "$mount"
        set names $names -o
        set kinds $kinds OPTIONS
        set texts $texts 'mount options'
    end
    set -l waits
    set -l count 1
    set -l only_arguments
    for before in $words
        if test -n "$waits"
            set waits
        else if test -n "$only_arguments"; or not string match --quiet --regex '^-.' -- $before
            set count (math $count + 1)
        else if test "$before" = --
            set only_arguments yes
        else if set -l at (contains --index -- $before $names); and test -n "$kinds[$at]"
            set waits $before
        end
    end

    if test "$waits" = -o; and test -n "$mount"
        __xtsfs_list $command[1] $word
    else if test -n "$waits"
        __xtsfs_argument $kinds[(contains --index -- $waits $names)] "$word" ''
    else if test -z "$only_arguments"; and string match --quiet --regex '^--[^=]+=' -- $word
        set -l parts (string split --max 1 '=' -- $word)
        set -l at (contains --index -- $parts[1] $names)
        and __xtsfs_argument "$kinds[$at]" "$parts[2]" "$parts[1]="
    else if test -z "$only_arguments"; and string match --quiet -- '-*' $word
        for at in (seq (count $names))
            printf '%s\t%s\n' $names[$at] "$texts[$at]"
        end
    else
        set -l arguments (__xtsfs_arguments $command)
        if not set -q arguments[$count]; and string match --quiet '*...' -- $arguments[-1]
            set count -1
        end
        set -q arguments[$count]
        and __xtsfs_argument (string replace ... '' -- $arguments[$count]) "$word" ''
    end
end

for command in xtsfs mount.xtsfs mount.fuse.xtsfs umount.xtsfs umount.fuse.xtsfs xtsfsctl mkfs.xtsfs fsck.xtsfs
    complete --command $command --erase
    complete --command $command --no-files --arguments '(__xtsfs_complete)'
end
