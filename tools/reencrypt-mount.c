/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Re-encryption of a mount: its daemon does it (docs/control.md), and this program asks for it, shows how far it is,
 * and asks it to stop when it is itself asked to. If this program is killed the daemon goes on.
 */
#include "reencrypt-mount.h"

#include "mount-client.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS	      200000000L
#define PROBLEMS_MOST 16U

/* What a reply to "status" says about it. */
struct progress {
	char state[16], error[128];
	unsigned long long walks, directories, files, bytes, problems;
	char *told[PROBLEMS_MOST];
	unsigned told_count;
};

static void free_progress(struct progress *progress)
{
	for (unsigned i = 0; i < progress->told_count; i++)
		free(progress->told[i]);
	*progress = (struct progress){0};
}

static int ask(const struct cli_mount *mount, const char *request, const struct xtsfs_secret *secret)
{
	struct cli_reply reply = {0};
	int r = cli_mount_ask(mount, request, secret, &reply), exit_code = 0;

	if (r < 0)
		exit_code = cli_mount_fail(mount, r);
	else if (reply.code)
		exit_code = cli_fail_exit(reply.code, "'%s': %s", mount->mountpoint, reply.error);
	free(reply.text);
	return exit_code;
}

static void take_line(struct progress *progress, const char *name, const char *value)
{
	const struct {
		const char *name;
		unsigned long long *count;
	} counts[] = {{"reencrypt.walks", &progress->walks},
		      {"reencrypt.directories", &progress->directories},
		      {"reencrypt.files", &progress->files},
		      {"reencrypt.bytes", &progress->bytes},
		      {"reencrypt.problems", &progress->problems}};

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (strcmp(name, counts[i].name) == 0)
			*counts[i].count = strtoull(value, NULL, 10);
	if (strcmp(name, "reencrypt.state") == 0)
		snprintf(progress->state, sizeof(progress->state), "%s", value);
	else if (strcmp(name, "reencrypt.error") == 0)
		snprintf(progress->error, sizeof(progress->error), "%s", value);
	else if (strcmp(name, "reencrypt.problem") == 0 && progress->told_count < PROBLEMS_MOST &&
		 (progress->told[progress->told_count] = strdup(value)))
		progress->told_count++;
}

static int get_progress(const struct cli_mount *mount, struct progress *ret_progress)
{
	struct cli_reply reply = {0};
	int r = cli_mount_ask(mount, "status", NULL, &reply);
	xtsfs_auto_free char *lines = r == 0 && !reply.code ? strdup(reply.lines) : NULL;
	char *position = lines, *name, *value;

	free_progress(ret_progress);
	free(reply.text);
	if (r < 0)
		return cli_mount_fail(mount, r);
	while (lines && cli_reply_next(&position, &name, &value))
		take_line(ret_progress, name, value);
	if (ret_progress->state[0])
		return 0;
	return cli_fail_exit(XTSFS_EXIT_NOT_MOUNTED, "the daemon of '%s' does not tell of re-encryption",
			     mount->mountpoint);
}

static void show(const struct progress *progress)
{
	char bytes[16];

	dprintf(STDERR_FILENO, "\rwalk %llu: %llu directories, %llu files, %s rewritten, %llu problems\033[K",
		progress->walks, progress->directories, progress->files, xtsfs_format_size(progress->bytes, bytes),
		progress->problems);
}

static int watch(const struct cli_mount *mount, const struct reencrypt_request *request, struct progress *progress)
{
	const struct timespec tick = {.tv_nsec = TICK_NS};
	bool shows = reencrypt_shows_progress(request), asked = false;
	int exit_code;

	for (;;) {
		exit_code = get_progress(mount, progress);
		if (exit_code || strcmp(progress->state, "running") != 0)
			break;
		if (shows)
			show(progress);
		if (reencrypt_cancelled && !asked) {
			asked = true;
			exit_code = ask(mount, "reencrypt stop", NULL);
			if (exit_code)
				break;
			continue;
		}
		(void)nanosleep(&tick, NULL);
	}
	if (shows)
		dprintf(STDERR_FILENO, "\r\033[K");
	return exit_code;
}

static int result_of(const struct cli_mount *mount, const struct reencrypt_request *request,
		     const struct progress *progress)
{
	char bytes[16];

	for (unsigned i = 0; i < progress->told_count; i++)
		cli_fail_exit(0, "'%s': cannot re-encrypt: %s", mount->mountpoint, progress->told[i]);
	if (strcmp(progress->state, "done") == 0) {
		if (!request->quiet)
			cli_say("Re-encrypted '%s': %llu directories, %llu files, %s rewritten. The old key opens "
				"nothing any more.",
				mount->mountpoint, progress->directories, progress->files,
				xtsfs_format_size(progress->bytes, bytes));
		return 0;
	}
	if (strcmp(progress->state, "stopped") == 0)
		return cli_fail_exit(reencrypt_cancelled ? 128 + (int)reencrypt_cancelled : XTSFS_EXIT_OTHER,
				     "stopped; '%s' can be used, and the same command goes on with it",
				     mount->mountpoint);
	if (strcmp(progress->state, "problems") == 0)
		return cli_fail_exit(XTSFS_EXIT_OTHER,
				     "%llu things are still under the old key of '%s', which so is not at its end; "
				     "repair or remove them, and repeat the command",
				     progress->problems, mount->mountpoint);
	return cli_fail_exit(XTSFS_EXIT_IO, "cannot go on with '%s' now: %s; the same command will", mount->mountpoint,
			     progress->error);
}

static int start(const struct cli_mount *mount, const struct reencrypt_request *request)
{
	xtsfs_auto_secret *secret = NULL;
	xtsfs_auto_fd fd = open(mount->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char prompt[320], words[128], slot[8] = "any";
	bool is_keyfile;
	int exit_code;

	snprintf(prompt, sizeof(prompt), "Passphrase for '%.250s'", mount->source);
	exit_code = cli_source_read(&request->unlock.source, prompt, false, &secret, &is_keyfile);
	if (exit_code)
		return exit_code;
	if (request->unlock.slot != CLI_UNSET)
		snprintf(slot, sizeof(slot), "%u", (unsigned)request->unlock.slot);
	snprintf(words, sizeof(words), "reencrypt %s %zu %s %s %llu", is_keyfile ? "keyfile" : "passphrase",
		 secret->bytes, slot, request->drop_slots ? "drop" : "keep", (unsigned long long)request->rate);
	/* Many pages at once are faster than one by one (cmd-lock.c). */
	if (fd >= 0)
		(void)syncfs(fd);
	return ask(mount, words, secret);
}

/* The one that is mounted last there. */
static const struct cli_mount *find(const struct cli_mounts *mounts, const char *path)
{
	const struct cli_mount *found = NULL;

	for (size_t i = 0; i < mounts->count; i++)
		if (strcmp(mounts->list[i].mountpoint, path) == 0)
			found = &mounts->list[i];
	return found;
}

bool reencrypt_mounted(const char *path, const struct reencrypt_request *request, int *ret_exit)
{
	xtsfs_auto_free char *real = realpath(path, NULL);
	struct cli_mounts mounts;
	struct progress progress = {0};
	const struct cli_mount *mount;
	int exit_code = cli_mounts_find(NULL, &mounts);

	mount = exit_code == 0 ? find(&mounts, real ? real : path) : NULL;
	if (mount) {
		if (request->unlock.source.tpm)
			exit_code = cli_fail_exit(
				XTSFS_EXIT_SOURCE,
				"'%s' is mounted, and its daemon takes a passphrase or a keyfile only", path);
		if (exit_code == 0)
			exit_code = start(mount, request);
		if (exit_code == 0) {
			if (!request->quiet)
				cli_say("'%s' has a new volume key, or goes on with that of before. Header backups "
					"that were "
					"made before are of no use any more; make a new one with 'xtsfsctl header "
					"backup'.",
					mount->mountpoint);
			(void)fflush(stdout);
			reencrypt_catch_signals();
			exit_code = watch(mount, request, &progress);
		}
		if (progress.state[0] && exit_code == 0)
			exit_code = result_of(mount, request, &progress);
		*ret_exit = exit_code;
	}
	free_progress(&progress);
	cli_mounts_done(&mounts);
	return mount != NULL;
}
