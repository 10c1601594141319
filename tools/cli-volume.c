/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a volume for administration.
 *
 * Slots may be changed while the volume is mounted, so these verbs do not want the writer lock (xtsfs.lock). But two
 * of them at once would each save the slots they know, and the later would undo the earlier. So a verb that changes
 * xtsfs.conf takes a flock on that file before it reads it and keeps it until it has saved. The file is replaced by
 * saving, so after the lock was granted the name may belong to another file: then the lock is of no use, and the new
 * file's is taken. Filesystems without flock go without.
 *
 * Sentences: what a user can do about a damaged or foreign config depends on the error, so they are made in one place,
 * cli_fail_conf().
 */
#include "cli-volume.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "core/unlock.h"
#include "store/aside.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define PROBLEM_BYTES 512
#define PROMPT_BYTES  320
#define WHAT_BYTES    512

int cli_fail_conf(int error, const char *what, const char *problem)
{
	switch (-error) {
	case XTSFS_EDAMAGED:
		return cli_fail_exit(XTSFS_EXIT_CONFIG,
				     "%s is damaged: %s; 'xtsfsctl header restore' can put a backup in its place", what,
				     problem);
	case XTSFS_EFEATURE:
		return cli_fail_exit(XTSFS_EXIT_FEATURE, "%s: %s; a newer xtsfs may be needed", what, problem);
	case ERANGE:
		return cli_fail_exit(XTSFS_EXIT_MEMORY, "%s: refusing the cost of key derivation: %s", what, problem);
	default:
		return cli_fail_exit((int)xtsfs_exit_code(error), "cannot read %s: %s", what, problem);
	}
}

int cli_conf_lock(struct xtsfs_store *store, const char *dir, int *ret_handle)
{
	struct stat locked, named;
	int handle, r;

	for (;;) {
		handle = store->ops->open(store, store->root, XTSFS_NAME_CONF, O_RDONLY | O_NONBLOCK, 0, NULL);
		if (handle < 0)
			return handle == -ENOENT ? 0 : handle; /* loading has the sentence for it */
		r = store->ops->flock(store, handle, LOCK_EX | LOCK_NB);
		if (r == -EWOULDBLOCK) {
			cli_fail_exit(0, "waiting for another program that is changing '%s'", dir);
			r = store->ops->flock(store, handle, LOCK_EX);
		}
		if (r == -EOPNOTSUPP || r == -ENOLCK || r == -ENOSYS || r == -EBADF) {
			store->ops->close(store, handle);
			return 0;
		}
		if (r == 0)
			r = store->ops->fstat(store, handle, &locked);
		if (r == 0)
			r = store->ops->stat(store, store->root, XTSFS_NAME_CONF, &named);
		if (r == 0 && locked.st_dev == named.st_dev && locked.st_ino == named.st_ino) {
			*ret_handle = handle;
			return 0;
		}
		store->ops->close(store, handle);
		if (r < 0 && r != -ENOENT)
			return r;
	}
}

/* Of a directory that has its own there is nothing aside. */
static bool is_reverse(struct xtsfs_store *store)
{
	struct stat st;

	return store->ops->stat(store, store->root, XTSFS_NAME_CONF, &st) == -ENOENT &&
	       store->ops->stat(store, store->root, XTSFS_NAME_CONF_COPY, &st) == -ENOENT &&
	       (store->ops->stat(store, store->root, XTSFS_NAME_ASIDE, &st) == 0 ||
		store->ops->stat(store, store->root, XTSFS_NAME_ASIDE ".bak", &st) == 0);
}

/* Whole or not: it begins as one. Any other file is not a directory, as it is everywhere else. */
static bool is_configuration(const char *path)
{
	xtsfs_auto_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	char first;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read(fd, &first, 1) == 1 && first == '{';
}

int cli_store_open(const char *path, struct xtsfs_store **ret_store, bool *ret_reverse)
{
	int r;

	*ret_reverse = is_configuration(path);
	r = *ret_reverse ? xtsfs_store_aside_new(path, ret_store) : xtsfs_store_posix_new(path, ret_store);
	if (r == 0 && !*ret_reverse && is_reverse(*ret_store)) {
		*ret_reverse = true;
		*ret_store = xtsfs_store_free(*ret_store);
		r = xtsfs_store_aside_new(path, ret_store);
	}
	return r;
}

int cli_volume_open(const char *dir, enum cli_access access, struct cli_volume *volume)
{
	char problem[PROBLEM_BYTES], what[PROMPT_BYTES];
	int r;

	*volume = CLI_VOLUME_NONE;
	volume->dir = dir;
	r = cli_store_open(dir, &volume->store, &volume->is_reverse);
	snprintf(what, sizeof(what), volume->is_reverse ? "'%s'" : "'%s/" XTSFS_NAME_CONF "'", dir);
	if (r < 0)
		return cli_fail(r, "cannot open '%s'", dir);
	if (access != CLI_READ) {
		r = cli_conf_lock(volume->store, dir, &volume->lock_handle);
		if (r < 0 && r != -ELOOP)
			return cli_fail(r, "cannot lock %s", what);
	}
	r = xtsfs_conf_load_any(volume->store, &volume->conf, &volume->why_copy, problem, sizeof(problem));
	if (r == -ENOENT)
		return cli_fail_exit(XTSFS_EXIT_NOT_VOLUME, "'%s' is not an xtsfs volume: it has no %s", dir,
				     XTSFS_NAME_CONF);
	if (r < 0)
		return cli_fail_conf(r, what, problem);
	if (volume->why_copy && access == CLI_CHANGE)
		return cli_fail_exit(
			XTSFS_EXIT_CONFIG,
			"%s is %s, only its copy can be read; refusing to change keyslots before 'xtsfsctl "
			"header repair' has put it back",
			what, volume->why_copy == -ENOENT ? "missing" : "damaged");
	return 0;
}

int cli_volume_refuse_reverse(const struct cli_volume *volume)
{
	if (!volume->is_reverse)
		return 0;
	return cli_fail_exit(XTSFS_EXIT_NOT_VOLUME,
			     "'%s' is a plain directory with a reverse view, and has nothing encrypted in it; look at "
			     "what 'xtsfs --reverse' mounts, or at a copy of that",
			     volume->dir);
}

void cli_volume_done(struct cli_volume *volume)
{
	volume->volume_key = xtsfs_secret_free(volume->volume_key);
	volume->conf = xtsfs_conf_free(volume->conf);
	if (volume->lock_handle >= 0)
		volume->store->ops->close(volume->store, volume->lock_handle);
	volume->lock_handle = -1;
	volume->store = xtsfs_store_free(volume->store);
}

/* Now, because later one of our own files may have that number. */
int cli_source_check(const struct cli_verb *verb, const struct xtsfs_source *source)
{
	int exit_code = verb->usage_exit ? verb->usage_exit : XTSFS_EXIT_SOURCE;

	if (source->passfd >= 0 && fcntl(source->passfd, F_GETFD) < 0)
		return cli_fail_exit(exit_code, "descriptor %d is not open", source->passfd);
	return 0;
}

int cli_unlock_check(const struct cli_verb *verb, const struct cli_unlock *unlock)
{
	if (xtsfs_source_passphrases(&unlock->source) > 1)
		return cli_fail_usage(verb, "give one of --passfile, --passfd, --passcmd and --keyring");
	xtsfs_secret_allow_swap(unlock->allow_swap);
	return cli_source_check(verb, &unlock->source);
}

/* What mlock() says of a limit; -ENOMEM is said of other memory, too. */
static bool is_lock_error(int error)
{
	return error == -EPERM || error == -EAGAIN;
}

int cli_fail_keys(int error, const char *format, ...)
{
	char text[WHAT_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!is_lock_error(error))
		return cli_fail(error, "%s", text);
	return cli_fail_exit(XTSFS_EXIT_MEMORY,
			     "%s: cannot lock memory for keys: %s; raise the limit (ulimit -l) or use --allow-swap",
			     text, xtsfs_strerror(error));
}

static int fail_source(int error, const char *problem)
{
	if (is_lock_error(error) || error == -ENOMEM)
		return cli_fail_exit(XTSFS_EXIT_MEMORY, "%s; raise the limit (ulimit -l) or use --allow-swap", problem);
	return cli_fail_exit(XTSFS_EXIT_SOURCE, "%s", problem);
}

int cli_source_read(const struct xtsfs_source *source, const char *prompt, bool confirm,
		    struct xtsfs_secret **ret_secret, bool *ret_is_keyfile)
{
	char problem[PROBLEM_BYTES];
	int r = xtsfs_source_read(source, prompt, confirm, ret_secret, ret_is_keyfile, problem, sizeof(problem));

	return r < 0 ? fail_source(r, problem) : 0;
}

struct context {
	const char *what;
	int slot;
};

static int fail_unlock(int error, const struct context *context, const struct xtsfs_unlock_report *report)
{
	char size[16], slot[40] = "no keyslot opens";

	if (report->of_source && report->told)
		return error == -XTSFS_EPASS ? XTSFS_EXIT_PASS : XTSFS_EXIT_SOURCE;
	if (report->of_source && error == -XTSFS_EPASS)
		return cli_fail_exit(XTSFS_EXIT_PASS, "%s", report->text);
	if (report->of_source)
		return fail_source(error, report->text);
	if (context->slot >= 0)
		snprintf(slot, sizeof(slot), "keyslot %d does not open", context->slot);
	if (report->no_slots)
		return cli_fail_exit(XTSFS_EXIT_SLOT,
				     "%s has no keyslots: nobody can open it, unless 'xtsfsctl header restore' puts a "
				     "backup in place",
				     context->what);
	switch (-error) {
	case ENOENT:
		return cli_fail_exit(XTSFS_EXIT_SLOT, "%s has no keyslot %d", context->what, context->slot);
	case XTSFS_EPASS:
		return cli_fail_exit(XTSFS_EXIT_PASS, "cannot unlock %s: %s with this %s%s", context->what, slot,
				     report->with, report->text);
	case XTSFS_EAUTH:
		return cli_fail_exit(XTSFS_EXIT_CONFIG,
				     "refusing %s: the configuration was edited or damaged, its HMAC does not verify; "
				     "'xtsfsctl header restore' can put a backup in its place",
				     context->what);
	case ENOMEM:
		return cli_fail_exit(XTSFS_EXIT_MEMORY,
				     "cannot unlock %s: not enough memory for key derivation, it takes up to %s",
				     context->what, xtsfs_format_size((uint64_t)report->most_kib << 10, size));
	default:
		return cli_fail_keys(error, "cannot unlock %s", context->what);
	}
}

static void tell_unlock(void *context, int error, const struct xtsfs_unlock_report *report)
{
	(void)fail_unlock(error, context, report);
}

void cli_prompt_touch(void *context, const char *text)
{
	(void)context;
	(void)cli_fail_exit(0, "%s", text);
}

int cli_conf_unlock(const struct xtsfs_conf *conf, const char *what, const struct cli_unlock *unlock,
		    struct xtsfs_secret **ret_volume_key, int *ret_slot)
{
	struct context context = {.what = what, .slot = unlock->slot == CLI_UNSET ? -1 : (int)unlock->slot};
	struct xtsfs_unlock_report report;
	char prompt[PROMPT_BYTES];
	const struct xtsfs_unlock_way way = {.source = &unlock->source,
					     .slot = context.slot,
					     .prompt = prompt,
					     .tell = tell_unlock,
					     .prompt_touch = cli_prompt_touch,
					     .context = &context,
					     .ret_slot_key = unlock->ret_slot_key};
	int r;

	snprintf(prompt, sizeof(prompt), "Passphrase for %s", what);
	r = xtsfs_unlock_volume(conf, &way, ret_volume_key, ret_slot, &report);
	return r < 0 ? fail_unlock(r, &context, &report) : 0;
}

int cli_volume_unlock(struct cli_volume *volume, const struct cli_unlock *unlock)
{
	char what[PROMPT_BYTES];

	int exit_code;

	snprintf(what, sizeof(what), "'%s'", volume->dir);
	exit_code = cli_conf_unlock(volume->conf, what, unlock, &volume->volume_key, &volume->slot);
	if ((exit_code == XTSFS_EXIT_PASS || exit_code == XTSFS_EXIT_CONFIG) && !volume->why_copy &&
	    xtsfs_conf_copy_is_same(volume->store, volume->conf) == 0)
		cli_fail_exit(
			0,
			"%s differs from %s: if the passphrase or keyfile is right, 'xtsfsctl header repair' may help",
			XTSFS_NAME_CONF_COPY, XTSFS_NAME_CONF);
	return exit_code;
}

int cli_volume_save(struct cli_volume *volume)
{
	int r = xtsfs_conf_save(volume->store, volume->conf, volume->volume_key, /* exclusive= */ false);

	return r < 0 ? cli_fail(r, "cannot write '%s/%s'", volume->dir, XTSFS_NAME_CONF) : 0;
}

int cli_volume_holder(struct xtsfs_store *store, struct cli_holder *ret_holder)
{
	struct cli_holder holder = {0};
	ssize_t n;
	int handle, r;

	handle = store->ops->open(store, store->root, XTSFS_NAME_LOCK, O_RDONLY | O_NONBLOCK, 0, NULL);
	if (handle < 0) {
		*ret_holder = holder;
		return handle == -ENOENT ? 0 : handle;
	}
	/* A writer's lock is exclusive, readers share theirs. */
	r = store->ops->flock(store, handle, LOCK_SH | LOCK_NB);
	if (r == 0) {
		r = store->ops->flock(store, handle, LOCK_EX | LOCK_NB);
		holder.read_only = r == -EWOULDBLOCK;
	}
	holder.in_use = r == -EWOULDBLOCK;
	/* On another machine, or sharing the volume, which lets readers of this lock in. */
	if (store->ops->lock_range(store, handle, F_RDLCK, 0, 0, true) == 1) {
		holder.in_use = true;
		holder.read_only = false;
	}
	if (r == -EWOULDBLOCK)
		r = 0;
	/* Readers write no text; what is there then is an earlier writer's. */
	n = holder.in_use && !holder.read_only
		    ? xtsfs_store_pread(store, handle, holder.text, sizeof(holder.text) - 1, 0)
		    : 0;
	holder.text[n > 0 ? n : 0] = '\0';
	holder.text[strcspn(holder.text, "\n")] = '\0';
	store->ops->close(store, handle);
	if (r < 0)
		return r;
	*ret_holder = holder;
	return 0;
}
