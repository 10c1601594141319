/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread calls the same walk as xtsfsctl does on a volume that nobody has mounted; the core's locks are all that is
 * between it and the requests. What takes care is the beginning: from one instant on everything that the mount makes
 * must be under the new key, and everything that it reads may be. So the mount is locked as by "xtsfsctl lock", which
 * writes out what waits and destroys the keys; xtsfs.conf is replaced; and the mount is unlocked with both keys. If
 * that fails on the way, the mount is unlocked with what xtsfs.conf says then; should even this fail it stays locked,
 * and "xtsfsctl unlock" brings it back.
 *
 * Whoever changes xtsfs.conf holds a lock on it from reading to saving, as xtsfsctl does.
 *
 * The volume key is kept in locked memory while the thread runs: the end replaces xtsfs.conf once more, which it
 * authenticates.
 */
#include "fuse/reencrypt.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "core/reencrypt.h"
#include "format/ondisk.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#define SLICE_NS      50000000L
#define PROBLEMS_MOST 10U
#define PROBLEM_BYTES 512U

enum state { NONE, RUNNING, STOPPED, PROBLEMS, FAILED, DONE };

struct xtsfs_reencrypter {
	struct xtsfs_locker *locker;
	pthread_t thread;
	bool has_thread;
	volatile sig_atomic_t cancel;
	struct xtsfs_secret *volume_key;
	uint64_t rate;
	struct timespec start;

	pthread_mutex_t mutex; /* the rest; a leaf */
	enum state state;
	int error;
	struct xtsfs_reencrypt_totals totals;
	char problems[PROBLEMS_MOST][PROBLEM_BYTES]; /* of this walk, the first few, escaped */
	unsigned problem_count;
};

int xtsfs_reencrypter_new(struct xtsfs_locker *locker, struct xtsfs_reencrypter **ret_reencrypter)
{
	struct xtsfs_reencrypter *reencrypter = calloc(1, sizeof(*reencrypter));

	if (!reencrypter)
		return -ENOMEM;
	reencrypter->locker = locker;
	pthread_mutex_init(&reencrypter->mutex, NULL);
	*ret_reencrypter = reencrypter;
	return 0;
}

void xtsfs_reencrypter_free(struct xtsfs_reencrypter *reencrypter)
{
	if (!reencrypter)
		return;
	xtsfs_reencrypter_stop(reencrypter);
	pthread_mutex_destroy(&reencrypter->mutex);
	free(reencrypter);
}

static void set_state(struct xtsfs_reencrypter *reencrypter, enum state state, int error)
{
	pthread_mutex_lock(&reencrypter->mutex);
	reencrypter->state = state;
	reencrypter->error = error;
	pthread_mutex_unlock(&reencrypter->mutex);
}

void xtsfs_reencrypter_print(struct xtsfs_reencrypter *reencrypter, FILE *out)
{
	static const char *const names[] = {[NONE] = "none",	     [RUNNING] = "running", [STOPPED] = "stopped",
					    [PROBLEMS] = "problems", [FAILED] = "failed",   [DONE] = "done"};
	struct xtsfs_reencrypt_totals totals;
	enum state state;
	int error;

	xtsfs_guard_mutex(&reencrypter->mutex);
	totals = reencrypter->totals;
	state = reencrypter->state;
	error = reencrypter->error;
	if (state == NONE)
		return;
	fprintf(out, "reencrypt.state %s\n", names[state]);
	fprintf(out, "reencrypt.walks %" PRIu64 "\n", totals.walks);
	fprintf(out, "reencrypt.directories %" PRIu64 "\n", totals.directories);
	fprintf(out, "reencrypt.files %" PRIu64 "\n", totals.files);
	fprintf(out, "reencrypt.bytes %" PRIu64 "\n", totals.bytes);
	fprintf(out, "reencrypt.problems %" PRIu64 "\n", totals.problems);
	if (state == FAILED)
		fprintf(out, "reencrypt.error %s\n", xtsfs_strerror(error));
	for (unsigned i = 0; i < reencrypter->problem_count; i++)
		fprintf(out, "reencrypt.problem %s\n", reencrypter->problems[i]);
}

/* ---- the thread ---- */

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

static void on_progress(void *data, const struct xtsfs_reencrypt_totals *totals)
{
	const struct timespec slice = {.tv_nsec = SLICE_NS};
	struct xtsfs_reencrypter *reencrypter = data;

	pthread_mutex_lock(&reencrypter->mutex);
	if (reencrypter->totals.walks != totals->walks)
		reencrypter->problem_count = 0;
	reencrypter->totals = *totals;
	pthread_mutex_unlock(&reencrypter->mutex);
	while (reencrypter->rate && !reencrypter->cancel &&
	       seconds_since(&reencrypter->start) < (double)totals->bytes / (double)reencrypter->rate)
		(void)nanosleep(&slice, NULL);
}

/* Names are for who asks at the socket, and for no log. The core has logged what is damaged. */
static void on_problem(void *data, const char *path, const char *what, int error)
{
	struct xtsfs_reencrypter *reencrypter = data;
	xtsfs_auto_free char *text = NULL;

	if (asprintf(&text, "%.60s, %s: %.100s", xtsfs_strerror(error), what, path) < 0)
		text = NULL;
	xtsfs_guard_mutex(&reencrypter->mutex);
	if (!text || reencrypter->problem_count == PROBLEMS_MOST)
		return;
	xtsfs_text_escape(text,
			  strlen(text) < PROBLEM_BYTES / XTSFS_ESCAPE_FACTOR ? strlen(text)
									     : PROBLEM_BYTES / XTSFS_ESCAPE_FACTOR - 1,
			  /* backslash= */ false, reencrypter->problems[reencrypter->problem_count++]);
}

/* Of what is xtsfs.conf now; *@ret_handle -1 where there are no such locks. -EBUSY: somebody else is changing it. */
static int lock_conf(struct xtsfs_store *store, int *ret_handle)
{
	struct stat locked, named;
	int handle = store->ops->open(store, store->root, XTSFS_NAME_CONF, O_RDONLY | O_NONBLOCK, 0, NULL), r;

	*ret_handle = -1;
	if (handle < 0)
		return handle;
	r = store->ops->flock(store, handle, LOCK_EX | LOCK_NB);
	if (r == -EOPNOTSUPP || r == -ENOLCK || r == -ENOSYS || r == -EBADF) {
		store->ops->close(store, handle);
		return 0;
	}
	if (r == 0)
		r = store->ops->fstat(store, handle, &locked);
	if (r == 0)
		r = store->ops->stat(store, store->root, XTSFS_NAME_CONF, &named);
	if (r == 0 && (locked.st_dev != named.st_dev || locked.st_ino != named.st_ino))
		r = -EWOULDBLOCK;
	if (r == 0)
		*ret_handle = handle;
	else
		store->ops->close(store, handle);
	return r == -EWOULDBLOCK ? -EBUSY : r;
}

static void unlock_conf(struct xtsfs_store *store, int handle)
{
	if (handle >= 0)
		store->ops->close(store, handle);
}

static int end(struct xtsfs_reencrypter *reencrypter)
{
	const struct timespec slice = {.tv_nsec = SLICE_NS};
	struct xtsfs_store *store = reencrypter->locker->store;
	struct xtsfs_conf *conf = NULL;
	char problem[512];
	int handle, r;

	/* Somebody changes a keyslot: that takes seconds. */
	while ((r = lock_conf(store, &handle)) == -EBUSY && !reencrypter->cancel)
		(void)nanosleep(&slice, NULL);
	if (r < 0)
		return r == -EBUSY ? -ECANCELED : r;
	r = xtsfs_conf_load(store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem));
	if (r == 0)
		r = xtsfs_reencrypt_end(store, conf, reencrypter->volume_key);
	xtsfs_conf_free(conf);
	unlock_conf(store, handle);
	return r;
}

static void *run(void *data)
{
	struct xtsfs_reencrypter *reencrypter = data;
	const struct xtsfs_reencrypt_options options = {
		.cancel = &reencrypter->cancel, .progress = on_progress, .problem = on_problem, .data = reencrypter};
	struct xtsfs_reencrypt_totals totals;
	int r = xtsfs_reencrypt_run(reencrypter->locker->mount->volume, &options, &totals);

	pthread_mutex_lock(&reencrypter->mutex);
	reencrypter->totals = totals;
	pthread_mutex_unlock(&reencrypter->mutex);
	if (r == 0)
		r = end(reencrypter);
	if (r == 0)
		xtsfs_notice("re-encryption is at its end");
	else if (r < 0 && r != -ECANCELED)
		xtsfs_error("re-encryption cannot go on: %s; both keys stay", xtsfs_strerror(r));
	set_state(reencrypter, r == 0 ? DONE : r > 0 ? PROBLEMS : r == -ECANCELED ? STOPPED : FAILED, r);
	return NULL;
}

void xtsfs_reencrypter_stop(struct xtsfs_reencrypter *reencrypter)
{
	if (!reencrypter || !reencrypter->has_thread)
		return;
	reencrypter->cancel = 1;
	pthread_join(reencrypter->thread, NULL);
	reencrypter->has_thread = false;
	reencrypter->volume_key = xtsfs_secret_free(reencrypter->volume_key);
}

/* ---- the beginning ---- */

__attribute__((format(printf, 4, 5))) static int refuse(int error, char *ret_problem, size_t problem_bytes,
							const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ret_problem, problem_bytes, format, args);
	va_end(args);
	return error;
}

/* What xtsfsctl looks at before it begins without a mount. */
static int check(struct xtsfs_reencrypter *reencrypter, const struct xtsfs_reencrypt_request *request,
		 const struct xtsfs_conf *conf, char *ret_problem, size_t problem_bytes)
{
	struct xtsfs_volume_state state;
	int r = xtsfs_reencrypt_lost(reencrypter->locker->store);

	if (reencrypter->locker->mount->shared)
		return refuse(
			-EBUSY, ret_problem, problem_bytes,
			"the mount shares the volume; unmount it everywhere, and mount it once without -o shared");
	xtsfs_volume_state(reencrypter->locker->mount->volume, &state);
	if (r < 0)
		return refuse(r, ret_problem, problem_bytes, "cannot read %s: %s", XTSFS_NAME_LOST, xtsfs_strerror(r));
	if (conf->config->reencrypting)
		return 0;
	if (r > 0)
		return refuse(
			-EEXIST, ret_problem, problem_bytes,
			"%s holds what repairs moved there, and would be lost with the old key; move or remove it "
			"first",
			XTSFS_NAME_LOST);
	if (state.marker)
		return refuse(-EUCLEAN, ret_problem, problem_bytes,
			      "the volume was not shut down cleanly before; unmount it and run xtsfsctl fsck --repair "
			      "first");
	if (conf->config->slot_count > 1 && !request->drop_slots)
		return refuse(-ENOTUNIQ, ret_problem, problem_bytes,
			      "%u other keyslots would be lost; --drop-slots accepts that, and xtsfsctl slot add makes "
			      "them again",
			      conf->config->slot_count - 1);
	return 0;
}

/* Locked, changed, unlocked. */
static int change_keys(struct xtsfs_reencrypter *reencrypter, const struct xtsfs_reencrypt_request *request,
		       struct xtsfs_conf *conf, const struct xtsfs_secret *key, int slot,
		       const struct xtsfs_secret *slot_key, struct xtsfs_mount_facts *facts)
{
	struct xtsfs_locker *locker = reencrypter->locker;
	struct xtsfs_secret *new_key = NULL;
	size_t left;
	int r = xtsfs_lock(locker, XTSFS_HELD_WAIT, &left), unlocked;

	if (r < 0)
		return r;
	if (!conf->config->reencrypting)
		r = xtsfs_reencrypt_begin(locker->store, conf, key, slot, slot_key, &new_key);
	xtsfs_secret_free(new_key);
	unlocked = xtsfs_unlock(locker, &request->with, facts);
	if (unlocked < 0)
		xtsfs_error("cannot give the mount its keys back: %s; it is locked, xtsfsctl unlock tries again",
			    xtsfs_strerror(unlocked));
	return r < 0 ? r : unlocked;
}

/* With the lock on xtsfs.conf held. */
static int begin(struct xtsfs_reencrypter *reencrypter, const struct xtsfs_reencrypt_request *request,
		 struct xtsfs_mount_facts *facts, char *ret_problem, size_t problem_bytes)
{
	struct xtsfs_store *store = reencrypter->locker->store;
	struct xtsfs_unlock with = request->with;
	struct xtsfs_secret *key = NULL, *slot_key = NULL;
	struct xtsfs_conf *conf = NULL;
	char problem[512];
	int slot = -1, r;

	with.ret_slot_key = &slot_key;
	r = xtsfs_conf_load(store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem));
	if (r == 0)
		r = xtsfs_conf_unlock(conf, &with, &key, &slot);
	if (r < 0)
		(void)refuse(r, ret_problem, problem_bytes, "%s",
			     r == -XTSFS_EPASS ? "no keyslot opens with this passphrase or keyfile"
					       : xtsfs_strerror(r));
	if (r == 0)
		r = check(reencrypter, request, conf, ret_problem, problem_bytes);
	if (r == 0) {
		r = change_keys(reencrypter, request, conf, key, slot, slot_key, facts);
		if (r < 0)
			(void)refuse(r, ret_problem, problem_bytes, "cannot change the key: %s", xtsfs_strerror(r));
	}
	conf = xtsfs_conf_free(conf);
	key = xtsfs_secret_free(key);
	xtsfs_secret_free(slot_key);
	if (r == 0)
		r = xtsfs_conf_load(store, XTSFS_NAME_CONF, &conf, problem, sizeof(problem));
	if (r == 0)
		r = xtsfs_conf_unlock(conf, &request->with, &reencrypter->volume_key, &slot);
	xtsfs_conf_free(conf);
	return r;
}

int xtsfs_reencrypter_start(struct xtsfs_reencrypter *reencrypter, const struct xtsfs_reencrypt_request *request,
			    struct xtsfs_mount_facts *facts, char *ret_problem, size_t problem_bytes)
{
	struct xtsfs_store *store = reencrypter->locker->store;
	enum state state;
	int handle, r;

	snprintf(ret_problem, problem_bytes, "the re-encryption cannot begin");
	pthread_mutex_lock(&reencrypter->mutex);
	state = reencrypter->state;
	pthread_mutex_unlock(&reencrypter->mutex);
	if (state == RUNNING)
		return refuse(-EALREADY, ret_problem, problem_bytes, "it is being re-encrypted already");
	if (reencrypter->locker->locked)
		return refuse(-EBUSY, ret_problem, problem_bytes, "the mount is locked");
	if (facts->read_only)
		return refuse(-EROFS, ret_problem, problem_bytes, "the mount is read-only");
	xtsfs_reencrypter_stop(reencrypter); /* a thread that has ended */
	r = lock_conf(store, &handle);
	if (r < 0)
		return refuse(r, ret_problem, problem_bytes, "cannot lock %s: %s", XTSFS_NAME_CONF,
			      r == -EBUSY ? "another program is changing it" : xtsfs_strerror(r));
	r = begin(reencrypter, request, facts, ret_problem, problem_bytes);
	unlock_conf(store, handle);
	if (r < 0)
		return r;
	reencrypter->cancel = 0;
	reencrypter->rate = request->rate;
	reencrypter->totals = (struct xtsfs_reencrypt_totals){0};
	clock_gettime(CLOCK_MONOTONIC, &reencrypter->start);
	set_state(reencrypter, RUNNING, 0);
	r = -pthread_create(&reencrypter->thread, NULL, run, reencrypter); /* with our signals: none */
	reencrypter->has_thread = r == 0;
	if (r < 0) {
		reencrypter->volume_key = xtsfs_secret_free(reencrypter->volume_key);
		set_state(reencrypter, FAILED, r);
		return refuse(r, ret_problem, problem_bytes, "no thread for it: %s", xtsfs_strerror(r));
	}
	xtsfs_notice("re-encryption has begun");
	return 0;
}
