/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl lock, unlock: take the keys from a running mount, and give them back.
 *
 * The daemon derives the keys: what it is sent is the passphrase or keyfile, by a socket that only its user and root
 * have. Before it is asked to lock, the kernel writes what it has: many pages at once are faster than one by one.
 */
#include "cli-volume.h"
#include "commands.h"
#include "mount-client.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 3

/* An exit code. @ret_reply may be NULL. */
static int ask(const struct cli_mount *mount, const char *request, const struct xtsfs_secret *secret,
	       unsigned long *ret_cached)
{
	struct cli_reply reply = {0};
	int r = cli_mount_ask(mount, request, secret, &reply), exit_code = 0;

	if (r < 0)
		exit_code = cli_mount_fail(mount, r);
	else if (reply.code)
		exit_code = cli_fail_exit(reply.code, "'%s': %s", mount->mountpoint, reply.error);
	/* NOLINTNEXTLINE(cert-err34-c): the daemon's own number */
	else if (ret_cached && sscanf(reply.lines, "cached_files %lu", ret_cached) != 1)
		*ret_cached = 0;
	free(reply.text);
	return exit_code;
}

static void write_out(const char *mountpoint)
{
	xtsfs_auto_fd fd = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		(void)syncfs(fd);
}

static int is_locked(const struct cli_mount *mount, bool *ret_locked)
{
	struct cli_reply reply = {0};
	int r = cli_mount_ask(mount, "status", NULL, &reply), exit_code = 0;

	if (r < 0)
		exit_code = cli_mount_fail(mount, r);
	else if (reply.code)
		exit_code = cli_fail_exit(reply.code, "'%s': %s", mount->mountpoint, reply.error);
	else
		*ret_locked = strncmp(reply.lines, "locked no\n", strlen("locked no\n")) != 0;
	free(reply.text);
	return exit_code;
}

int cmd_lock(const struct cli_verb *verb, int argc, char **argv)
{
	bool wait = false, fail = false, quiet = false, locked = false;
	const struct cli_option options[] = {
		{.name = "wait",
		 .type = CLI_FLAG,
		 .value = &wait,
		 .help = "who uses the mount waits until it is unlocked\n(the default)"},
		{.name = "fail", .type = CLI_FLAG, .value = &fail, .help = "who uses the mount gets an error, ENOKEY"},
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &quiet, .help = "say nothing but errors"},
		CLI_END,
	};
	struct cli_mounts mounts;
	unsigned long cached = 0;
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	if (wait && fail)
		return cli_fail_usage(verb, "--wait and --fail exclude each other");
	exit_code = cli_mounts_find(arguments[0], &mounts);
	if (exit_code == 0)
		exit_code = is_locked(mounts.list, &locked);
	if (exit_code == 0 && !locked)
		write_out(mounts.list->mountpoint);
	if (exit_code == 0)
		exit_code = ask(mounts.list, fail ? "lock fail" : "lock wait", NULL, &cached);
	if (exit_code == 0 && cached)
		cli_fail_exit(0, "the kernel may still have pages of %lu files that are being written all the time",
			      cached);
	if (exit_code == 0 && !quiet)
		cli_say("Locked '%s'; xtsfsctl unlock brings it back.", mounts.list->mountpoint);
	cli_mounts_done(&mounts);
	return exit_code;
}

static int unlock(const struct cli_mount *mount, const struct cli_unlock *with)
{
	xtsfs_auto_secret *secret = NULL;
	char prompt[320], request[64], slot[16] = "";
	bool is_keyfile;
	int exit_code;

	snprintf(prompt, sizeof(prompt), "Passphrase for '%.250s'", mount->source);
	exit_code = cli_source_read(&with->source, prompt, false, &secret, &is_keyfile);
	if (exit_code)
		return exit_code;
	if (with->slot != CLI_UNSET)
		snprintf(slot, sizeof(slot), " slot %u", (unsigned)with->slot);
	snprintf(request, sizeof(request), "unlock %s %zu%s", is_keyfile ? "keyfile" : "passphrase", secret->bytes,
		 slot);
	return ask(mount, request, secret, NULL);
}

int cmd_unlock(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock with = CLI_UNLOCK_NONE;
	bool quiet = false, locked = false;
	const struct cli_option options[] = {
		CLI_SOURCE_OPTIONS(with),
		CLI_SLOT_OPTION(with),
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &quiet, .help = "say nothing but errors"},
		CLI_END,
	};
	struct cli_mounts mounts;
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &with);
	if (exit_code)
		return exit_code;
	exit_code = cli_mounts_find(arguments[0], &mounts);
	if (exit_code == 0)
		exit_code = is_locked(mounts.list, &locked);
	if (exit_code == 0 && !locked)
		exit_code = cli_fail_exit(XTSFS_EXIT_BUSY, "'%s' is not locked", mounts.list->mountpoint);
	if (exit_code == 0) {
		int tries = xtsfs_source_count(&with.source) ? 1 : TRIES;

		do
			exit_code = unlock(mounts.list, &with);
		while (exit_code == XTSFS_EXIT_PASS && --tries > 0);
	}
	if (exit_code == 0 && !quiet)
		cli_say("Unlocked '%s'.", mounts.list->mountpoint);
	cli_mounts_done(&mounts);
	return exit_code;
}
