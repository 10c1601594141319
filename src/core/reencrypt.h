/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another volume key for a volume, and everything in it encrypted anew (docs/reencrypt.md).
 *
 * Layer:   core (no terminal: progress and problems go to callbacks).
 * Threads: each of these by one thread. While xtsfs_reencrypt_run() works others may use the volume as ever.
 */
#ifndef XTSFS_CORE_REENCRYPT_H
#define XTSFS_CORE_REENCRYPT_H

#include "core/conf.h"
#include "core/volume.h"

#include <signal.h>

/**
 * The one instant of beginning: draws a new volume key and replaces xtsfs.conf, in which slot @slot, whose key is
 * @slot_key, wraps it; all other slots are gone. @conf is changed in any case, and good for nothing after a failure.
 * The caller holds the lock on xtsfs.conf. -EALREADY: it has begun. -ENOENT: no such slot. -EOVERFLOW: it was done too
 * often. Else as xtsfs_conf_save().
 */
xtsfs_must_check int xtsfs_reencrypt_begin(struct xtsfs_store *store, struct xtsfs_conf *conf,
					   const struct xtsfs_secret *old_key, int slot,
					   const struct xtsfs_secret *slot_key, struct xtsfs_secret **ret_new_key);

/** Does fsck keep things in xtsfs.lost+found? No walk reaches those, so there is no beginning and no end. 1, 0, or
 * -errno. */
xtsfs_must_check int xtsfs_reencrypt_lost(struct xtsfs_store *store);

struct xtsfs_reencrypt_totals {
	uint64_t walks;			     /* begun */
	uint64_t directories, files, others; /* looked at, in this walk */
	uint64_t renewed;		     /* objects, names and attributes, in all walks */
	uint64_t bytes;			     /* of content, likewise; stored */
	uint64_t problems;		     /* in this walk */
};

struct xtsfs_reencrypt_options {
	const volatile sig_atomic_t *cancel; /* may be NULL */
	/* Often, without locks: may sleep. */
	void (*progress)(void *data, const struct xtsfs_reencrypt_totals *totals);
	/* @path: plain, from the root of the mount. @what: what could not be done. */
	void (*problem)(void *data, const char *path, const char *what, int error);
	void *data;
};

/**
 * Walk over the volume, opened for writing, until a whole walk has found nothing under the old key. 0: everything is
 * under the new key, and durable. 1: there were problems, all of which were told, and nothing else is left to do.
 * -ECANCELED; -EIO and others: it cannot go on. It may be called again after any of these.
 */
xtsfs_must_check int xtsfs_reencrypt_run(struct xtsfs_volume *volume, const struct xtsfs_reencrypt_options *options,
					 struct xtsfs_reencrypt_totals *ret_totals);

/**
 * After a run that returned 0, and before the volume is closed: the old key leaves xtsfs.conf, whose lock the caller
 * holds. -EBADMSG: it is not the one of this key. Else as xtsfs_conf_save().
 */
xtsfs_must_check int xtsfs_reencrypt_end(struct xtsfs_store *store, struct xtsfs_conf *conf,
					 const struct xtsfs_secret *volume_key);

#endif
