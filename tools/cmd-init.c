/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl init, mkfs.xtsfs: a new volume.
 *
 * All that may fail or take long comes before anything is written: the options, the passphrase, the key derivation.
 * What is left then are a directory and three small files, made with the ending signals blocked, and undone as a whole
 * when one of them fails. xtsfs.conf is written last, so a directory that has it is a whole volume.
 *
 * Two programs that make a volume in one directory at the same time: both take a flock on the directory, the second is
 * refused. Under the lock the directory is seen to be empty, so whatever is found in it after a failure is ours.
 */
#include "commands.h"
#include "describe.h"
#include "init-safety.h"
#include "new-key.h"

#include "core/volume.h"
#include "store/aside.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRENT_BYTES 4096
#define PROMPT_BYTES 320

struct init {
	const char *dir;
	bool reverse;	    /* a configuration for a plain directory, which is not changed */
	const char *config; /* with that: the file; NULL: in the directory */
	const char *integrity_name;
	uint64_t content_keys;
	struct cli_unlock unlock; /* its source is that of the first slot */
	struct cli_new_key new;
	bool quiet, json;
	struct init_safety safety;

	enum xtsfs_integrity integrity;
	struct xtsfs_conf *conf;
	struct xtsfs_secret *volume_key;
	struct xtsfs_store *store;
	bool made_dir;
};

/* 0, -ENOTEMPTY or an error. */
static int check_empty(struct xtsfs_store *store)
{
	union {
		struct dirent64 first;
		char bytes[DIRENT_BYTES];
	} records;
	int handle = store->ops->open(store, store->root, ".", O_RDONLY | O_DIRECTORY, 0, NULL);
	ssize_t n = handle;
	int r = 0;

	if (handle < 0)
		return handle;
	while (r == 0 && (n = store->ops->getdents(store, handle, &records, sizeof(records))) > 0) {
		const struct dirent64 *record;

		for (ssize_t at = 0; at < n; at += record->d_reclen) {
			record = (const struct dirent64 *)(const void *)(records.bytes + at);
			if (strcmp(record->d_name, ".") != 0 && strcmp(record->d_name, "..") != 0)
				r = -ENOTEMPTY;
		}
	}
	store->ops->close(store, handle);
	return r < 0 ? r : (int)n;
}

static int fail_dir(int error, const char *dir)
{
	if (error == -ENOTEMPTY)
		return cli_fail_exit(XTSFS_EXIT_EXISTS, "'%s' is not empty, refusing to make a volume in it", dir);
	if (error == -ENOTDIR)
		return cli_fail_exit(XTSFS_EXIT_EXISTS, "'%s' exists and is not a directory", dir);
	if (error == -EWOULDBLOCK)
		return cli_fail_exit(XTSFS_EXIT_BUSY, "another program is making a volume in '%s'", dir);
	return cli_fail(error, "cannot open '%s'", dir);
}

static const char *place_of(const struct init *init)
{
	return init->reverse && init->config ? init->config : init->dir;
}

/* What counts is that saving does not replace a file. */
static int look_at_plain_dir(const struct init *init)
{
	struct xtsfs_store *store = NULL, *conf_store = NULL;
	struct stat status;
	int r = xtsfs_store_posix_new(init->dir, &store), exit_code = 0;

	if (r == 0)
		r = xtsfs_store_aside_new(place_of(init), &conf_store);
	if (r < 0)
		exit_code = fail_dir(r, store ? place_of(init) : init->dir);
	else if (store->ops->stat(store, store->root, XTSFS_NAME_CONF, &status) == 0)
		exit_code = cli_fail_exit(XTSFS_EXIT_EXISTS,
					  "'%s' is an encrypted volume already: it can be copied as it is", init->dir);
	else if (conf_store->ops->stat(conf_store, conf_store->root, XTSFS_NAME_CONF, &status) == 0)
		exit_code = cli_fail_exit(XTSFS_EXIT_EXISTS, "'%s' has the configuration of a reverse view already",
					  place_of(init));
	xtsfs_store_free(conf_store);
	xtsfs_store_free(store);
	return exit_code;
}

/* Early, so that nobody types a passphrase for nothing; what counts is the look under the lock. */
static int look_at_dir(const char *dir)
{
	struct xtsfs_store *store = NULL;
	struct stat status;
	int r;

	if (stat(dir, &status) < 0 && errno == ENOENT)
		return 0;
	r = xtsfs_store_posix_new(dir, &store);
	if (r == 0)
		r = check_empty(store);
	xtsfs_store_free(store);
	return r < 0 ? fail_dir(r, dir) : 0;
}

static int make_config(struct init *init)
{
	char prompt[PROMPT_BYTES];
	int r;

	r = xtsfs_conf_new(init->integrity, (unsigned)init->content_keys, &init->conf);
	if (r == 0)
		r = xtsfs_secret_new(XTSFS_VOLUME_KEY_BYTES, &init->volume_key);
	if (r == 0)
		r = xtsfs_random_secret(init->volume_key->data, init->volume_key->bytes);
	if (r < 0)
		return cli_fail_keys(r, "cannot make the keys of '%s'", init->dir);
	snprintf(prompt, sizeof(prompt), "New passphrase for '%s'", init->dir);
	r = cli_new_key_add(&init->new, prompt, init->conf, init->volume_key,
			    init->new.slot_name ? init->new.slot_name : "", NULL);
	return r == 0 && init->safety.recovery ? init_safety_add_recovery(&init->safety, init->conf, init->volume_key)
					       : r;
}

/* The name of a new directory must be durable too, or a power loss takes the volume with it. */
static int sync_parent(const char *dir)
{
	int fd, r = 0;
	char *copy = strdup(dir), *end;

	if (!copy)
		return -ENOMEM;
	for (end = copy + strlen(copy); end > copy + 1 && end[-1] == '/';)
		*--end = '\0';
	end = strrchr(copy, '/');
	if (end)
		end[end == copy ? 1 : 0] = '\0';
	fd = open(end ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	free(copy);
	/* A parent that may be written to and not be read cannot be synced; that is its owner's wish. */
	return r == -EACCES || r == -EINVAL ? 0 : r;
}

static int open_dir(struct init *init)
{
	int r = 0;

	if (mkdir(init->dir, 0700) == 0) {
		init->made_dir = true;
		r = sync_parent(init->dir);
		if (r < 0)
			return cli_fail(r, "cannot make '%s'", init->dir);
	} else if (errno != EEXIST) {
		return cli_fail(-errno, "cannot make '%s'", init->dir);
	}
	r = xtsfs_store_posix_new(init->dir, &init->store);
	if (r == 0) {
		r = init->store->ops->flock(init->store, init->store->root, LOCK_EX | LOCK_NB);
		if (r == -EOPNOTSUPP || r == -ENOLCK || r == -ENOSYS || r == -EBADF)
			r = 0;
	}
	if (r == 0)
		r = check_empty(init->store);
	return r < 0 ? fail_dir(r, init->dir) : 0;
}

/* After a failure in a directory that was empty. */
static void remove_files(struct xtsfs_store *store)
{
	static const char *const names[] = {XTSFS_NAME_CONF, XTSFS_NAME_CONF_COPY, XTSFS_NAME_LOCK, XTSFS_NAME_DIRID};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)store->ops->unlink(store, store->root, names[i], 0);
}

static int write_aside(struct init *init)
{
	int r = xtsfs_store_aside_new(place_of(init), &init->store);

	if (r == 0)
		r = xtsfs_conf_save(init->store, init->conf, init->volume_key, /* exclusive= */ true);
	return r < 0 ? cli_fail_keys(r, "cannot write the configuration for '%s'", place_of(init)) : 0;
}

static int write_volume(struct init *init)
{
	int r, exit_code = init->reverse ? write_aside(init) : open_dir(init);

	if (init->reverse)
		return exit_code;
	if (exit_code == 0) {
		r = xtsfs_volume_format(init->store, init->conf->config, init->volume_key);
		if (r == 0 && xtsfs_store_folds_case(init->store, XTSFS_NAME_DIRID) > 0) {
			exit_code = cli_fail_exit(XTSFS_EXIT_OTHER, "cannot make a volume in '%s': %s", init->dir,
						  XTSFS_FOLDS_CASE);
			remove_files(init->store);
		} else if (r == 0)
			r = xtsfs_conf_save(init->store, init->conf, init->volume_key, /* exclusive= */ true);
		if (r < 0) {
			exit_code = cli_fail_keys(r, "cannot make a volume in '%s'", init->dir);
			remove_files(init->store);
		}
	}
	if (exit_code && init->made_dir)
		(void)rmdir(init->dir); /* the first error has been told */
	return exit_code;
}

static int write_volume_undisturbed(struct init *init)
{
	sigset_t ending, before;
	int exit_code;

	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGHUP);
	sigaddset(&ending, SIGQUIT);
	sigaddset(&ending, SIGTSTP);
	pthread_sigmask(SIG_BLOCK, &ending, &before);
	exit_code = write_volume(init);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return exit_code;
}

static int report_json(const struct init *init)
{
	const struct xtsfs_config *config = init->conf->config;
	json_object *object = json_object_new_object();
	char uuid[XTSFS_UUID_CHARS + 1];
	bool good;

	xtsfs_uuid_format(config->uuid, uuid);
	good = cli_json_add(object, "dir", json_object_new_string(init->dir));
	good = good && cli_json_add(object, "uuid", json_object_new_string(uuid));
	good = good &&
	       cli_json_add(object, "integrity", json_object_new_string(xtsfs_integrity_name(config->integrity)));
	good = good && cli_json_add(object, "content_keys", json_object_new_int64(config->content_keys));
	good = good && cli_json_add(object, "slots", cli_json_slots(config));
	if (!good) {
		json_object_put(object);
		object = NULL;
	}
	return init->safety.recovery ? init_safety_show(&init->safety, object) : cli_print_json(object);
}

static int report(const struct init *init)
{
	const struct xtsfs_config *config = init->conf->config;
	char uuid[XTSFS_UUID_CHARS + 1], text[CLI_DESCRIPTION_BYTES];

	if (init->json)
		return report_json(init);
	if (init->quiet)
		return init->safety.recovery ? init_safety_show(&init->safety, NULL) : 0;
	xtsfs_uuid_format(config->uuid, uuid);
	cli_say(init->reverse ? "Made a configuration for an encrypted view of '%s'."
			      : "Made an encrypted volume in '%s'.",
		init->dir);
	cli_say("  UUID:          %s", uuid);
	cli_say("  integrity:     %s", xtsfs_integrity_name(config->integrity));
	cli_say("  content keys:  %u", config->content_keys);
	cli_say("  keyslot %u:     %s", config->slots[0].id, cli_describe_slot(&config->slots[0], text));
	if (init->reverse && init->config)
		cli_say("To use it:         xtsfs --reverse -o config=%s %s MOUNTPOINT", init->config, init->dir);
	else
		cli_say("To use it:         xtsfs %s%s MOUNTPOINT", init->reverse ? "--reverse " : "", init->dir);
	if (!init->safety.header_backup)
		cli_say("To be safe:        xtsfsctl header backup %s FILE", place_of(init));
	cli_say("Nobody can read the data without xtsfs.conf and a passphrase or keyfile. Keep the backup elsewhere.");
	return init->safety.recovery ? init_safety_show(&init->safety, NULL) : 0;
}

static int check_options(const struct cli_verb *verb, struct init *init)
{
	int exit_code = cli_unlock_check(verb, &init->unlock);

	if (exit_code)
		return exit_code;
	init->new.source = init->unlock.source;
	exit_code = cli_new_key_check(verb, &init->new);
	if (exit_code)
		return exit_code;
	if (init->config && !init->reverse)
		return cli_fail_usage(verb, "--config is for --reverse only");
	if (xtsfs_integrity_parse(init->integrity_name, &init->integrity) < 0)
		return cli_fail_usage(verb, "--integrity '%s' is not aes-gmac, hmac-sha256 or none",
				      init->integrity_name);
	if ((init->content_keys & (init->content_keys - 1)) != 0)
		return cli_fail_usage(verb, "--content-keys %llu is not a power of two",
				      (unsigned long long)init->content_keys);
	return 0;
}

int cmd_init(const struct cli_verb *verb, int argc, char **argv)
{
	struct init init = {
		.integrity_name = "aes-gmac",
		.content_keys = 1,
		.unlock = CLI_UNLOCK_NONE,
		.new = CLI_NEW_KEY_NONE,
	};
	const struct cli_option options[] = {
		{.name = "integrity",
		 .argument = "aes-gmac|hmac-sha256|none",
		 .type = CLI_TEXT,
		 .value = &init.integrity_name,
		 .help = "how content is authenticated (default: aes-gmac)"},
		{.name = "content-keys",
		 .argument = "N",
		 .type = CLI_NUMBER,
		 .value = &init.content_keys,
		 .min = 1,
		 .max = 256,
		 .help = "divide content over N keys, a power of two (1);\none for each TiB is advised"},
		{.name = "reverse",
		 .type = CLI_FLAG,
		 .value = &init.reverse,
		 .help = "DIR has plain files, which stay: make a configuration for\nxtsfs --reverse"},
		{.name = "config",
		 .argument = "FILE",
		 .type = CLI_TEXT,
		 .value = &init.config,
		 .help = "with --reverse: the configuration is FILE, and DIR is not\nwritten to (default: "
			 "DIR/.xtsfs.reverse.conf)"},
		CLI_SOURCE_OPTIONS(init.unlock),
		CLI_WITH_PASSPHRASE_OPTION(init.new),
		CLI_SLOT_NAME_OPTION(init.new),
		{.name = "recovery",
		 .type = CLI_FLAG,
		 .value = &init.safety.recovery,
		 .help = "make a recovery key, and print it: to be written down"},
		{.name = "header-backup",
		 .argument = "FILE",
		 .type = CLI_TEXT,
		 .value = &init.safety.header_backup,
		 .help = "write a header backup to the new FILE"},
		CLI_KDF_OPTIONS(init.new),
		{.name = "quiet", .letter = 'q', .type = CLI_FLAG, .value = &init.quiet, .help = "say nothing"},
		{.name = "json", .type = CLI_FLAG, .value = &init.json, .help = "print JSON"},
		CLI_END,
	};
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 1, 1, &arguments, &exit_code))
		return exit_code;
	init.dir = arguments[0];
	init.safety.json = init.json;
	exit_code = check_options(verb, &init);
	if (exit_code == 0)
		exit_code = init_safety_check(&init.safety);
	if (exit_code == 0)
		exit_code = init.reverse ? look_at_plain_dir(&init) : look_at_dir(init.dir);
	if (exit_code == 0)
		exit_code = make_config(&init);
	if (exit_code == 0)
		exit_code = write_volume_undisturbed(&init);
	if (exit_code == 0)
		exit_code = report(&init);
	if (exit_code == 0 && init.safety.header_backup)
		exit_code = init_safety_backup(place_of(&init), init.store, init.safety.header_backup);
	if (exit_code == 0 && !init.quiet && !init.json)
		exit_code = init_safety_offer(&init.safety, place_of(&init), init.store, init.conf, init.volume_key);
	xtsfs_secret_free(init.safety.key_text);
	xtsfs_conf_free(init.conf);
	xtsfs_secret_free(init.volume_key);
	xtsfs_store_free(init.store);
	return exit_code;
}
