/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl header backup, restore, repair.
 *
 * Restoring is the verb that can do harm: it can put back slots that were removed for a reason, and the header of
 * another volume would lock everybody out. So it wants to see three things first.
 * - The backup is whole: a passphrase or keyfile opens one of its slots and its HMAC verifies (not with --no-verify).
 * - It is of this volume: the UUID of xtsfs.conf in place, or, where that is missing or damaged, the root's dirid in
 *   place. With --force neither.
 * - Nobody has the volume, unless all that changes are slots: same UUID, and the dirid in place stays.
 * It tells which slots go and which come. Then the root's dirid is replaced, if it is not the one in the backup (it
 * never changes in the life of a volume), and xtsfs.conf last, each whole or not at all.
 */
#include "cli-volume.h"
#include "commands.h"
#include "describe.h"
#include "header-file.h"
#include "header-note.h"

#include "core/keys.h"
#include "core/replace.h"
#include "format/header.h"
#include "store/aside.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define PROBLEM_BYTES 512
#define WHAT_BYTES    320

static int cmd_header_backup(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_volume volume = CLI_VOLUME_NONE;
	bool quiet = false;
	const struct cli_option options[] = {
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &quiet, .help = "say nothing"},
		CLI_END,
	};
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 2, 2, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_volume_open(arguments[0], CLI_READ, &volume);
	if (exit_code == 0)
		exit_code = header_backup(&volume, arguments[1]);
	if (exit_code == 0 && !quiet)
		cli_say("Wrote the header of '%s' to '%s'. It opens with the passphrases of today, also when they "
			"are changed later: keep it where only you can read it.",
			volume.dir, arguments[1]);
	cli_volume_done(&volume);
	return exit_code;
}

struct restore {
	const char *dir, *path;
	bool force, no_verify, quiet;
	bool is_reverse; /* of a plain directory, which has nothing that could be lost with it; asked for, or found */
	struct cli_unlock unlock;
	struct header_file backup;

	struct xtsfs_store *store;
	struct xtsfs_conf *in_place; /* NULL: missing or damaged */
	bool same_uuid;		     /* of what is in place */
	bool has_dirid;		     /* in place, of the right length */
	struct xtsfs_disk_dirid dirid;
	bool restores_dirid;
	int lock_handle, conf_lock_handle;
};

/* Is the backup's dirid that of the root, and authentic? */
static int check_backup_dirid(struct restore *restore, const struct xtsfs_secret *volume_key)
{
	const struct xtsfs_disk_dirid *dirid = &restore->backup.dirid;
	struct xtsfs_keys *keys = NULL;
	uint8_t tag[XTSFS_TAG_BYTES];
	struct iovec parts[2];
	bool good;
	int r;

	if (!restore->backup.has_dirid)
		return 0;
	r = xtsfs_keys_new(volume_key, restore->backup.conf->config, /* engine= */ NULL, 0, &keys);
	if (r == 0)
		r = xtsfs_mac_tag(keys->meta, parts, xtsfs_dirid_tag_parts(dirid, parts), tag);
	xtsfs_keys_free(keys);
	if (r < 0)
		return cli_fail(r, "cannot check the directory id in '%s'", restore->path);
	good = xtsfs_equal_secret(tag, dirid->tag, sizeof(tag)) &&
	       xtsfs_is_zero(dirid->parent_id, sizeof(dirid->parent_id));
	if (!good)
		return cli_fail_exit(XTSFS_EXIT_CONFIG, "refusing '%s': the directory id in it is not authentic",
				     restore->path);
	return 0;
}

static int verify_backup(struct restore *restore)
{
	xtsfs_auto_secret *volume_key = NULL;
	char what[WHAT_BYTES];
	int exit_code;

	if (restore->no_verify)
		return 0;
	snprintf(what, sizeof(what), "the header in '%s'", restore->path);
	exit_code = cli_conf_unlock(restore->backup.conf, what, &restore->unlock, &volume_key, NULL);
	return exit_code ? exit_code : check_backup_dirid(restore, volume_key);
}

static int look_in_place(struct restore *restore)
{
	char problem[PROBLEM_BYTES];
	struct stat st;
	bool found;
	int r = cli_store_open(restore->dir, &restore->store, &found);

	if (restore->is_reverse && r == 0 && !found &&
	    restore->store->ops->stat(restore->store, restore->store->root, XTSFS_NAME_CONF, &st) == 0)
		return cli_fail_exit(XTSFS_EXIT_USAGE, "'%s' is a volume; --reverse is for what has a reverse view",
				     restore->dir);
	if (restore->is_reverse && !found) {
		restore->store = xtsfs_store_free(restore->store);
		r = xtsfs_store_aside_new(restore->dir, &restore->store);
	}
	restore->is_reverse |= found;
	if (r < 0)
		return cli_fail(r, "cannot open '%s'", restore->dir);
	r = cli_conf_lock(restore->store, restore->dir, &restore->conf_lock_handle);
	if (r < 0 && r != -ELOOP)
		return cli_fail(r, "cannot lock '%s/%s'", restore->dir, XTSFS_NAME_CONF);
	r = xtsfs_conf_load(restore->store, XTSFS_NAME_CONF, &restore->in_place, problem, sizeof(problem));
	if (r < 0 && r != -ENOENT && r != -ELOOP && r != -XTSFS_EDAMAGED && r != -ERANGE && r != -XTSFS_EFEATURE)
		return cli_fail(r, "cannot read '%s/%s'", restore->dir, XTSFS_NAME_CONF);
	/* A newer program's volume is not a damaged one. */
	if (r == -XTSFS_EFEATURE && !restore->force)
		return cli_fail_exit(XTSFS_EXIT_FEATURE, "refusing to replace '%s/%s': %s; --force would", restore->dir,
				     XTSFS_NAME_CONF, problem);
	restore->same_uuid = restore->in_place && memcmp(restore->in_place->config->uuid,
							 restore->backup.conf->config->uuid, XTSFS_UUID_BYTES) == 0;
	r = header_read_dirid(restore->store, &restore->dirid);
	if (r < 0 && r != -ENOENT && r != -XTSFS_EDAMAGED)
		return cli_fail(r, "cannot read '%s/%s'", restore->dir, XTSFS_NAME_DIRID);
	restore->has_dirid = r == 0;
	restore->restores_dirid = restore->backup.has_dirid &&
				  (!restore->has_dirid ||
				   memcmp(&restore->dirid, &restore->backup.dirid, sizeof(restore->dirid)) != 0);
	return 0;
}

/* Is the backup of the volume that is in place? */
static int check_same_volume(const struct restore *restore)
{
	char in_place[XTSFS_UUID_CHARS + 1], backup[XTSFS_UUID_CHARS + 1];
	bool same_dirid = restore->has_dirid && restore->backup.has_dirid && !restore->restores_dirid;

	if (restore->force || restore->same_uuid || (restore->is_reverse && !restore->in_place))
		return 0;
	xtsfs_uuid_format(restore->backup.conf->config->uuid, backup);
	if (restore->in_place) {
		xtsfs_uuid_format(restore->in_place->config->uuid, in_place);
		return cli_fail_exit(XTSFS_EXIT_OTHER_VOLUME,
				     "'%s' is the header of volume %s, but '%s' is volume %s, refusing; with --force "
				     "the data there is lost unless you have its own header",
				     restore->path, backup, restore->dir, in_place);
	}
	if (same_dirid)
		return 0;
	if (restore->has_dirid && restore->backup.has_dirid &&
	    memcmp(restore->dirid.id, restore->backup.dirid.id, sizeof(restore->dirid.id)) == 0)
		return cli_fail_exit(
			XTSFS_EXIT_OTHER_VOLUME,
			"the root directory of '%s' is that of '%s', but under another volume key, or damaged, "
			"refusing; a backup from before a re-encryption opens nothing there any more",
			restore->dir, restore->path);
	return cli_fail_exit(XTSFS_EXIT_OTHER_VOLUME,
			     "nothing in '%s' shows that it is volume %s, whose header is in '%s', refusing; use "
			     "--force if you know that it is",
			     restore->dir, backup, restore->path);
}

/*
 * Is it from before the volume key was replaced? Then it opens nothing of what is there, and what does would be lost
 * with the xtsfs.conf in place: no option is for that.
 */
static int check_generation(const struct restore *restore)
{
	const struct xtsfs_config *in_place = restore->in_place ? restore->in_place->config : NULL;

	if (!in_place || !restore->same_uuid ||
	    in_place->key_generation <= restore->backup.conf->config->key_generation)
		return 0;
	return cli_fail_exit(XTSFS_EXIT_OTHER_VOLUME,
			     "refusing '%s': it was made before '%s' was re-encrypted, with the volume key of then, "
			     "which opens nothing there any more",
			     restore->path, restore->dir);
}

/* For what must not happen under a mount. */
static int take_lock(struct restore *restore)
{
	struct xtsfs_store *store = restore->store;
	struct cli_holder holder;
	int r;

	if (restore->is_reverse || (restore->same_uuid && !restore->restores_dirid))
		return 0;
	r = store->ops->open(store, store->root, XTSFS_NAME_LOCK, O_RDWR | O_CREAT, 0600, NULL);
	if (r < 0)
		return cli_fail(r, "cannot open '%s/%s'", restore->dir, XTSFS_NAME_LOCK);
	restore->lock_handle = r;
	r = store->ops->flock(store, restore->lock_handle, LOCK_EX | LOCK_NB);
	if (r == 0 || r == -EOPNOTSUPP || r == -ENOLCK || r == -ENOSYS)
		return 0;
	if (r != -EWOULDBLOCK)
		return cli_fail(r, "cannot lock '%s/%s'", restore->dir, XTSFS_NAME_LOCK);
	r = cli_volume_holder(store, &holder);
	return cli_fail_exit(XTSFS_EXIT_BUSY,
			     "'%s' is in use%s%s; unmount it first: more than keyslots would be replaced", restore->dir,
			     r == 0 && holder.text[0] ? " by " : "", r == 0 ? holder.text : "");
}

static void say_what_happens(const struct restore *restore)
{
	if (restore->quiet)
		return;
	if (restore->in_place) {
		cli_say("Keyslots of '%s' that are replaced:", restore->dir);
		cli_describe_slots(restore->in_place->config, "  ");
	} else {
		cli_say("'%s/%s' is missing or damaged.", restore->dir, XTSFS_NAME_CONF);
	}
	cli_say("Keyslots of the backup, made %s:", restore->backup.created);
	cli_describe_slots(restore->backup.conf->config, "  ");
}

static int write_header(const struct restore *restore)
{
	const struct xtsfs_conf *conf = restore->backup.conf;
	int r;

	if (restore->restores_dirid) {
		r = xtsfs_file_replace(restore->store, XTSFS_NAME_DIRID, &restore->backup.dirid,
				       sizeof(restore->backup.dirid), /* exclusive= */ false);
		if (r < 0)
			return cli_fail(r, "cannot write '%s/%s'", restore->dir, XTSFS_NAME_DIRID);
	}
	r = xtsfs_conf_put(restore->store, conf->text, conf->text_bytes, /* exclusive= */ false);
	if (r < 0)
		return cli_fail(r, "cannot write '%s/%s'", restore->dir, XTSFS_NAME_CONF);
	if (!restore->quiet)
		cli_say("Restored %s%s%s of '%s'.", XTSFS_NAME_CONF, restore->restores_dirid ? " and " : "",
			restore->restores_dirid ? XTSFS_NAME_DIRID : "", restore->dir);
	return 0;
}

static int run_restore(struct restore *restore)
{
	int exit_code = header_file_read(restore->path, &restore->backup);

	if (exit_code == 0)
		exit_code = look_in_place(restore);
	if (exit_code == 0)
		exit_code = check_same_volume(restore);
	if (exit_code == 0)
		exit_code = check_generation(restore);
	if (exit_code == 0)
		exit_code = verify_backup(restore);
	if (exit_code == 0)
		exit_code = take_lock(restore);
	if (exit_code == 0) {
		say_what_happens(restore);
		exit_code = write_header(restore);
	}
	return exit_code;
}

static int cmd_header_restore(const struct cli_verb *verb, int argc, char **argv)
{
	struct restore restore = {.unlock = CLI_UNLOCK_NONE, .lock_handle = -1, .conf_lock_handle = -1};
	const struct cli_option options[] = {
		CLI_SOURCE_OPTIONS(restore.unlock),
		CLI_SLOT_OPTION(restore.unlock),
		{.name = "force",
		 .type = CLI_FLAG,
		 .value = &restore.force,
		 .help = "restore though it may be of another volume"},
		{.name = "no-verify",
		 .type = CLI_FLAG,
		 .value = &restore.no_verify,
		 .help = "restore without a passphrase, and so without\nknowing that the backup is authentic"},
		{.name = "reverse",
		 .type = CLI_FLAG,
		 .value = &restore.is_reverse,
		 .help = "DIR is a plain directory with a reverse view, or\nthe file of its configuration, which may "
			 "be gone"},
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &restore.quiet, .help = "say nothing"},
		CLI_END,
	};
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 2, 2, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &restore.unlock);
	if (exit_code)
		return exit_code;
	restore.dir = arguments[0];
	restore.path = arguments[1];
	exit_code = run_restore(&restore);
	if (restore.lock_handle >= 0)
		restore.store->ops->close(restore.store, restore.lock_handle);
	if (restore.conf_lock_handle >= 0)
		restore.store->ops->close(restore.store, restore.conf_lock_handle);
	header_file_done(&restore.backup);
	xtsfs_conf_free(restore.in_place);
	xtsfs_store_free(restore.store);
	return exit_code;
}

/* Which of the two is right? The one that the passphrase opens and that verifies, and xtsfs.conf if both are. */
static int choose(struct cli_volume *volume, const struct cli_unlock *unlock, struct xtsfs_conf **ret_copy)
{
	char problem[PROBLEM_BYTES], what[WHAT_BYTES];
	int r, exit_code;

	snprintf(what, sizeof(what), "'%s/%s'", volume->dir, volume->why_copy ? XTSFS_NAME_CONF_COPY : XTSFS_NAME_CONF);
	exit_code = cli_conf_unlock(volume->conf, what, unlock, &volume->volume_key, NULL);
	if (exit_code == 0 || volume->why_copy || (exit_code != XTSFS_EXIT_PASS && exit_code != XTSFS_EXIT_CONFIG))
		return exit_code;
	r = xtsfs_conf_copy_is_same(volume->store, volume->conf);
	if (r == 0)
		r = xtsfs_conf_load(volume->store, XTSFS_NAME_CONF_COPY, ret_copy, problem, sizeof(problem));
	else if (r > 0)
		return exit_code; /* they are the same */
	if (r < 0)
		return cli_fail_exit(exit_code, "and there is no copy of '%s/%s' that can be read", volume->dir,
				     XTSFS_NAME_CONF);
	snprintf(what, sizeof(what), "'%s/%s'", volume->dir, XTSFS_NAME_CONF_COPY);
	return cli_conf_unlock(*ret_copy, what, unlock, &volume->volume_key, NULL);
}

static int repair(struct cli_volume *volume, const struct cli_unlock *unlock, bool quiet)
{
	struct xtsfs_conf *copy = NULL;
	const struct xtsfs_conf *good;
	int r, exit_code = choose(volume, unlock, &copy);
	bool from_copy = volume->why_copy || copy;

	good = copy ? copy : volume->conf;
	if (exit_code) {
		xtsfs_conf_free(copy);
		return exit_code;
	}
	r = from_copy ? 0 : xtsfs_conf_copy_is_same(volume->store, good);
	if (r == 1) {
		if (!quiet)
			cli_say("'%s' has two good copies of %s.", volume->dir, XTSFS_NAME_CONF);
		return 0;
	}
	/* The bad one is not to be in place of the good one for an instant: it is replaced, and the other stays. */
	if (from_copy)
		r = xtsfs_file_replace_like(volume->store, XTSFS_NAME_CONF, XTSFS_NAME_CONF_COPY, good->text,
					    good->text_bytes);
	else
		r = xtsfs_conf_put_copy(volume->store, good);
	if (r == 0 && !quiet)
		cli_say("Put '%s/%s' back from %s.", volume->dir, from_copy ? XTSFS_NAME_CONF : XTSFS_NAME_CONF_COPY,
			from_copy ? XTSFS_NAME_CONF_COPY : XTSFS_NAME_CONF);
	xtsfs_conf_free(copy);
	return r < 0 ? cli_fail(r, "cannot write in '%s'", volume->dir) : 0;
}

static int cmd_header_repair(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_volume volume = CLI_VOLUME_NONE;
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	bool quiet = false;
	const struct cli_option options[] = {
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &quiet, .help = "say nothing"},
		CLI_END,
	};
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code)
		return exit_code;
	exit_code = cli_volume_open(arguments[0], CLI_REPAIR, &volume);
	if (exit_code == 0)
		exit_code = repair(&volume, &unlock, quiet);
	cli_volume_done(&volume);
	return exit_code;
}

const struct cli_verb cli_header_verbs[] = {
	{"header backup", cmd_header_backup, "Write what opens the volume in DIR to a new FILE",
	 "[OPTION]... DIR FILE"},
	{"header restore", cmd_header_restore, "Put a header backup in the place of what is in DIR",
	 "[OPTION]... DIR FILE"},
	{"header repair", cmd_header_repair, "Put xtsfs.conf back from its copy, or the copy from it",
	 "[OPTION]... DIR"},
	{.name = NULL},
};
