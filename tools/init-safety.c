/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A header backup and a recovery key, as a volume is made: later nobody thinks of them before it is too late.
 *
 * At a terminal both are explained and asked for, and no is an answer. Scripts ask by options, and are never asked. By
 * then the volume is made and whole, so an end at a question leaves it as it is. The answers are no secrets: they are
 * read with echo.
 */
#include "init-safety.h"

#include "cli-run.h"
#include "header-note.h"
#include "new-key.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROBLEM_BYTES 512
#define SLOT_NAME     "recovery"

int init_safety_check(const struct init_safety *safety)
{
	struct stat st;

	if (safety->header_backup && lstat(safety->header_backup, &st) == 0)
		return cli_fail_exit(XTSFS_EXIT_EXISTS, "'%s' exists, refusing to overwrite it", safety->header_backup);
	return 0;
}

int init_safety_add_recovery(struct init_safety *safety, struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key)
{
	unsigned slot;

	return cli_new_recovery(conf, volume_key, SLOT_NAME, &slot, &safety->key_text);
}

int init_safety_show(const struct init_safety *safety, json_object *object)
{
	static const char open[] = ",\"recovery_key\":\"";
	const char *printed = "Recovery key:      ";
	size_t bytes = strlen(printed);
	int r = 0;

	if (safety->json) {
		printed = object ? json_object_to_json_string_length(
					   object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &bytes)
				 : NULL;
		if (!printed || bytes < 2) {
			json_object_put(object);
			return cli_fail(-ENOMEM, "cannot print");
		}
		bytes--; /* without its end */
	}
	fflush(stdout);
	r = cli_write_secret(printed, bytes);
	if (r == 0 && safety->json)
		r = cli_write_secret(open, sizeof(open) - 1);
	if (r == 0)
		r = cli_write_secret(safety->key_text->data, safety->key_text->bytes);
	if (r == 0)
		r = safety->json ? cli_write_secret("\"}\n", 3) : cli_write_secret("\n", 1);
	json_object_put(object);
	return r < 0 ? cli_fail_exit(XTSFS_EXIT_IO, "cannot write the recovery key to standard output: %s",
				     xtsfs_strerror(r))
		     : 0;
}

int init_safety_backup(const char *dir, struct xtsfs_store *store, const char *path)
{
	struct cli_volume volume = CLI_VOLUME_NONE;
	char problem[PROBLEM_BYTES];
	int exit_code, r;

	volume.dir = dir;
	volume.store = store; /* the caller's */
	r = xtsfs_conf_load(store, XTSFS_NAME_CONF, &volume.conf, problem, sizeof(problem));
	if (r < 0)
		return cli_fail_conf(r, XTSFS_NAME_CONF, problem);
	exit_code = header_backup(&volume, path);
	xtsfs_conf_free(volume.conf);
	return exit_code;
}

static int offer_recovery(struct init_safety *safety, const char *dir, struct xtsfs_store *store,
			  struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key)
{
	char answer[CLI_ANSWER_BYTES];
	int r, exit_code;

	cli_say("A recovery key opens the volume when the passphrase is forgotten or the keyfile lost. It is shown "
		"once,");
	cli_say("to be written down and kept where only you find it. 'xtsfsctl slot add --recovery' makes one later, "
		"too.");
	if (!cli_is_yes(cli_ask("Make a recovery key? [y/N] ", answer)))
		return 0;
	exit_code = init_safety_add_recovery(safety, conf, volume_key);
	if (exit_code == 0)
		exit_code = init_safety_show(safety, NULL); /* one that nobody saw is not to be saved */
	if (exit_code)
		return exit_code;
	r = xtsfs_conf_save(store, conf, volume_key, /* exclusive= */ false);
	return r < 0 ? cli_fail(r, "cannot write '%s/%s'; that key does not open it", dir, XTSFS_NAME_CONF) : 0;
}

static int offer_backup(const char *dir, struct xtsfs_store *store)
{
	char answer[CLI_ANSWER_BYTES];

	cli_say("A header backup is a copy of what opens the volume. Without xtsfs.conf and its copy beside it nobody "
		"can");
	cli_say("read anything, so keep a backup on another disk. It opens with the passphrases of today.");
	for (;;) {
		struct stat st;

		cli_ask("Write a header backup to which new file? (empty: not now) ", answer);
		if (!answer[0])
			return 0;
		if (lstat(answer, &st) == 0) {
			cli_say("'%s' exists already.", answer);
			continue;
		}
		if (init_safety_backup(dir, store, answer) == 0) {
			cli_say("Wrote it to '%s'.", answer);
			return 0;
		}
	}
}

int init_safety_offer(struct init_safety *safety, const char *dir, struct xtsfs_store *store, struct xtsfs_conf *conf,
		      const struct xtsfs_secret *volume_key)
{
	int exit_code = 0;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return 0;
	if (!safety->recovery)
		exit_code = offer_recovery(safety, dir, store, conf, volume_key);
	if (exit_code == 0 && !safety->header_backup)
		exit_code = offer_backup(dir, store);
	return exit_code;
}
