/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locking, in this order:
 *
 * 1. The gate is closing: what was being served is answered, nothing new is looked up, opened or read.
 * 2. The kernel is told to drop the pages of every file that it knows. Dirty ones it writes first, by requests that
 * pass. A thread of its own tells it, since that may wait for reads that are kept here; when nothing moves any more
 * they are served, and that file's turn begins anew (gate.c).
 * 3. The gate is shut. What waits in the core is written, files that are open are settled, and the keys are destroyed.
 * 4. Every thread wipes its buffers.
 *
 * Where a step fails the gate opens and what was kept is served. Unlocking makes new keys, and does the same.
 *
 * A daemon that is to end must not do so while the kernel waits for answers to what a notification has begun, so 2 is
 * done with the seeker held (seek.h).
 */
#include "fuse/lock.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "format/ondisk.h"
#include "fuse/places.h"
#include "fuse/seek.h"
#include "fuse/wire.h"

#include <stdlib.h>
#include <time.h>

#define TURNS	 100U /* for each file: a program that writes parts of pages all the time is not waited for */
#define STUCK_MS 50
#define NO_FILE	 0

struct drop {
	struct xtsfs_locker *locker;
	struct xtsfs_node **nodes;
	size_t count, left;

	pthread_mutex_t mutex; /* the rest; a leaf */
	pthread_cond_t changed;
	uint64_t ino; /* whose pages are being dropped */
	uint64_t steps;
	bool done;
};

static void step(struct drop *drop, uint64_t ino)
{
	xtsfs_guard_mutex(&drop->mutex);

	drop->ino = ino;
	drop->steps++;
	pthread_cond_signal(&drop->changed);
}

/* false: somebody reads it again and again. */
static bool drop_file(struct drop *drop, uint64_t ino)
{
	struct xtsfs_gate_range ranges[XTSFS_GATE_RANGES];

	for (unsigned turn = 0; turn < TURNS; turn++) {
		unsigned count = xtsfs_gate_drop_begin(ino, ranges);

		step(drop, ino);
		for (unsigned i = 0; i < count; i++) {
			off_t bytes = ranges[i].to == UINT64_MAX ? 0 : (off_t)(ranges[i].to - ranges[i].from);

			/* An error means that the kernel has forgotten it. */
			(void)fuse_lowlevel_notify_inval_inode(drop->locker->se, ino, (off_t)ranges[i].from, bytes);
		}
		step(drop, NO_FILE);
		if (xtsfs_gate_drop_end())
			return true;
	}
	return false;
}

static void *drop_all(void *data)
{
	struct drop *drop = data;
	const struct xtsfs_node *root = xtsfs_root(drop->locker->mount->volume);

	for (size_t i = 0; i < drop->count; i++)
		if (!drop_file(drop, drop->nodes[i] == root ? FUSE_ROOT_ID : (uint64_t)(uintptr_t)drop->nodes[i]))
			drop->left++;
	pthread_mutex_lock(&drop->mutex);
	drop->done = true;
	pthread_cond_signal(&drop->changed);
	pthread_mutex_unlock(&drop->mutex);
	return NULL;
}

static void serve_one(struct xtsfs_locker *locker, void *data, size_t bytes)
{
	xtsfs_wire_serve(locker->se, data, bytes);
	explicit_bzero(data, bytes);
	free(data);
}

/* While the other thread drops: if it does not get on it waits for a read that is kept. */
static void help_on(struct drop *drop)
{
	uint64_t seen = 0;
	bool done = false;

	while (!done) {
		struct timespec until;
		uint64_t ino = NO_FILE;
		size_t bytes = 0;
		void *data;
		int r = 0;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += STUCK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		pthread_mutex_lock(&drop->mutex);
		while (!drop->done && r == 0)
			r = pthread_cond_timedwait(&drop->changed, &drop->mutex, &until);
		done = drop->done;
		if (!done && drop->steps == seen)
			ino = drop->ino;
		seen = drop->steps;
		pthread_mutex_unlock(&drop->mutex);
		if (ino != NO_FILE)
			while ((bytes = xtsfs_gate_take(ino, &data)))
				serve_one(drop->locker, data, bytes);
	}
}

static int drop_pages(struct xtsfs_locker *locker, size_t *ret_left)
{
	struct drop drop = {.locker = locker};
	struct xtsfs_volume *volume = locker->mount->volume;
	pthread_condattr_t attr;
	pthread_t thread;
	int r = xtsfs_nodes_hold(volume, &drop.nodes, &drop.count);

	if (r < 0)
		return r;
	pthread_mutex_init(&drop.mutex, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&drop.changed, &attr);
	pthread_condattr_destroy(&attr);
	r = -pthread_create(&thread, NULL, drop_all, &drop); /* with our signals: none */
	if (r == 0) {
		help_on(&drop);
		pthread_join(thread, NULL);
		*ret_left = drop.left;
	}
	pthread_cond_destroy(&drop.changed);
	pthread_mutex_destroy(&drop.mutex);
	xtsfs_nodes_let_go(volume, drop.nodes, drop.count);
	return r;
}

static void open_gate(struct xtsfs_locker *locker)
{
	size_t bytes;
	void *data;

	xtsfs_gate_set(XTSFS_GATE_OPEN, XTSFS_HELD_WAIT);
	while ((bytes = xtsfs_gate_take(NO_FILE, &data)))
		serve_one(locker, data, bytes);
}

int xtsfs_lock(struct xtsfs_locker *locker, enum xtsfs_held held, size_t *ret_left)
{
	int r = 0;

	*ret_left = 0;
	if (!locker->locked) {
		xtsfs_gate_set(XTSFS_GATE_CLOSING, held);
		if (locker->mount->seeker && !xtsfs_seeker_hold(locker->mount->seeker))
			r = -ESHUTDOWN;
		if (r == 0) {
			r = drop_pages(locker, ret_left);
			xtsfs_seeker_let_go(locker->mount->seeker);
		}
	}
	if (r == 0) {
		xtsfs_gate_set(XTSFS_GATE_SHUT, held);
		r = xtsfs_volume_lock(locker->mount->volume);
	}
	if (r < 0) {
		open_gate(locker);
		return r;
	}
	locker->locked = true;
	locker->held = held;
	if (held == XTSFS_HELD_FAIL)
		xtsfs_gate_fail_kept(fuse_session_fd(locker->se), -ENOKEY);
	xtsfs_gate_wipe_threads();
	return 0;
}

int xtsfs_unlock(struct xtsfs_locker *locker, const struct xtsfs_unlock *with, struct xtsfs_mount_facts *facts)
{
	struct xtsfs_secret *key = NULL;
	struct xtsfs_conf *conf = NULL;
	char problem[512];
	int slot = -1, why_copy, r;

	if (!locker->locked)
		return -EALREADY;
	r = xtsfs_conf_load_any(locker->store, &conf, &why_copy, problem, sizeof(problem));
	if (r == 0)
		r = xtsfs_conf_unlock(conf, with, &key, &slot);
	if (r == 0)
		r = xtsfs_volume_unlock(locker->mount->volume, conf->config, key);
	xtsfs_secret_free(key);
	if (r == 0) {
		xtsfs_mount_facts_slot(facts, xtsfs_config_slot(conf->config, slot));
		locker->locked = false;
		open_gate(locker);
	}
	xtsfs_conf_free(conf);
	return r;
}
