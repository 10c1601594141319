/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl: administration of volumes without a mount.
 *
 * A table of verbs, each a file cmd-*.c of its own. The program also answers to mkfs.xtsfs and fsck.xtsfs (links to it,
 * which mkfs(8) and fsck(8) look for): then the name is the verb, and the exit codes are those that their callers
 * expect. To add a verb: its file, a line in commands.h, a row here.
 */
#include "cli.h"
#include "commands.h"

#include <stdio.h>
#include <string.h>

static const char find_notes[] = "Expression, behind the paths: tests as for find(1), with not, and, or, parentheses.\n"
				 "    name or path fits           -name, -iname, -path PATTERN\n"
				 "    is f, d, l, p, s, b or c    -type LETTER\n"
				 "    size, in 512 bytes          -size [+|-]N[c|w|k|M|G|T]\n"
				 "    changed N days ago          -mtime [+|-]N, and in minutes -mmin [+|-]N\n"
				 "    changed later than a path   -newer PATH\n"
				 "    owner, group, names         -uid, -gid, -links [+|-]N\n"
				 "    nothing in it; always       -empty, -true\n"
				 "    how deep                    -mindepth, -maxdepth N, -prune\n"
				 "    what to do                  -print, -print0\n";

static const struct cli_verb verbs[] = {
	{"init", cmd_init, "Make a new volume in DIR", "[OPTION]... DIR"},
	{"info", cmd_info, "Show what can be known of a volume without a passphrase", "[OPTION]... DIR"},
	{"passwd", cmd_passwd, "Change a passphrase or keyfile", "[OPTION]... DIR"},
	{"slot", cli_dispatch, "List, add, test and remove keyslots", "VERB ...", .verbs = cli_slot_verbs},
	{"key", cli_dispatch, "Keep a passphrase or keyfile in the kernel", "VERB ...", .verbs = cli_key_verbs},
	{"header", cli_dispatch, "Back up and restore what opens a volume", "VERB ...", .verbs = cli_header_verbs},
	{"ls", cmd_ls, "List entries without a mount", "[OPTION]... DIR [PATH]..."},
	{"stat", cmd_stat, "Tell all that is known of paths without a mount", "[OPTION]... DIR PATH..."},
	{"find", cmd_find, "List what an expression holds for, as find(1), without a mount",
	 "[OPTION]... DIR [PATH]... [expression]", .notes = find_notes},
	{"cat", cmd_cat, "Write files to standard output without a mount", "[OPTION]... DIR PATH..."},
	{"extract", cmd_extract, "Copy a tree out of a volume without a mount", "[OPTION]... DIR PATH TARGET"},
	{"import", cmd_import, "Copy a tree into a volume, and verify what came", "[OPTION]... DIR SOURCE [PATH]",
	 .notes = "DIR is the directory of a volume that is not mounted, or a mount point.\n"},
#if XTSFS_HAVE_ARCHIVE
	{"tar", cli_dispatch, "Read and write plaintext tar streams without a mount", "VERB ...",
	 .verbs = cli_tar_verbs},
#endif
	{"path", cmd_path, "Map plain paths to paths of the backing directory, and back", "[OPTION]... DIR [PATH]..."},
	{"fsck", cmd_fsck, "Check a volume, and repair it", "[OPTION]... DIR", .usage_exit = XTSFS_FSCK_USAGE},
	{"verify", cmd_verify, "Check every tag of a volume, mounted or not, and change nothing", "[OPTION]... DIR"},
	{"manifest", cmd_manifest, "Write what the volume is now, sealed, to compare copies with", "[OPTION]... DIR"},
	{"changed-since", cmd_changed_since, "List what was changed since a manifest", "[OPTION]... FILE DIR"},
	{"reencrypt", cmd_reencrypt, "Give a volume another key, and encrypt everything anew", "[OPTION]... DIR",
	 .notes = "DIR is the directory of a volume that is not mounted, or a mount point.\n"},
	{"bench", cmd_bench, "Measure encryption and key derivation on this machine", "[OPTION]..."},
	{"status", cmd_status, "Show what running mounts are and have done", "[OPTION]... [MOUNTPOINT]"},
	{"lock", cmd_lock, "Destroy the keys of a running mount, and keep it", "[OPTION]... MOUNTPOINT"},
	{"unlock", cmd_unlock, "Give a locked mount its keys back", "[OPTION]... MOUNTPOINT"},
	{"version", cmd_version, "Show versions", "[OPTION]..."},
	{.name = NULL},
};

static const struct cli_verb program = {
	.name = "",
	.run = cli_dispatch,
	.summary = "Administration of xtsfs volumes",
	.usage = "VERB ...",
	.verbs = verbs,
};

/* Other names of this program. */
static const struct alias {
	const char *program, *verb;
	int failed;  /* the exit code for all failures; 0: as the verb has it */
	int unknown; /* for a verb that is not in the table */
} aliases[] = {
	{"mkfs.xtsfs", "init", XTSFS_MKFS_FAILED, XTSFS_MKFS_FAILED},
	{"fsck.xtsfs", "fsck", 0, XTSFS_FSCK_OPERATIONAL},
};

static const struct alias *find_alias(const char *name)
{
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (strcmp(aliases[i].program, name) == 0)
			return &aliases[i];
	return NULL;
}

static const struct cli_verb *find_verb(const char *name)
{
	for (const struct cli_verb *verb = verbs; verb->name; verb++)
		if (strcmp(verb->name, name) == 0)
			return verb;
	return NULL;
}

static bool is_version(const char *text)
{
	return strcmp(text, "--version") == 0 || strcmp(text, "-V") == 0;
}

static int run(const struct alias *alias, int argc, char **argv)
{
	const struct cli_verb *verb = alias ? find_verb(alias->verb) : &program;

	if (argc == 2 && is_version(argv[1])) {
		printf("%s %s\n", cli_program(), XTSFS_VERSION);
		return XTSFS_EXIT_OK;
	}
	if (!verb)
		return cli_fail_exit(alias->unknown, "this build has no verb '%s'", alias->verb);
	return verb->run(verb, argc, argv);
}

int main(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = argc < 1 ? CLI_NAME : slash ? slash + 1 : argv[0];
	const struct alias *alias = find_alias(name);
	int exit_code = cli_init(alias ? alias->program : CLI_NAME);

	if (exit_code == 0)
		exit_code = cli_finish(run(alias, argc, argv));
	return exit_code && alias && alias->failed ? alias->failed : exit_code;
}
