/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for secrets: locked, left out of core dumps, wiped when freed.
 *
 * Layer:   base.
 * Threads: a secret belongs to its holder; sharing read-only is fine.
 */
#ifndef XTSFS_BASE_SECRET_H
#define XTSFS_BASE_SECRET_H

#include "base/errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct xtsfs_secret {
	uint8_t *data;
	size_t bytes;			      /* in use; may be made smaller by the holder */
	size_t capacity;		      /* mapped */
	struct xtsfs_secret *next, *previous; /* secret.c's list of all, for xtsfs_secret_lock_again() */
};

/**
 * Pages of their own: mmap, mlock, MADV_DONTDUMP, MADV_DONTFORK is not set (the daemon forks once). Zero-filled.
 * @bytes: 1 to 64 MiB. Returns 0, -EINVAL (@bytes), -ENOMEM, or mlock's error (-ENOMEM, -EPERM, -EAGAIN) unless
 * xtsfs_secret_allow_swap(true) was called; then a failure to lock is logged once as a warning.
 */
xtsfs_must_check int xtsfs_secret_new(size_t bytes, struct xtsfs_secret **ret_secret);
/** Wipes and frees; NULL is fine; returns NULL. */
struct xtsfs_secret *xtsfs_secret_free(struct xtsfs_secret *secret);
void xtsfs_secret_allow_swap(bool allow);
/** A child of fork() has the pages but not their locks. To be called by it (the daemon) before it goes on: locks every
 * secret that exists. Returns as xtsfs_secret_new(). */
xtsfs_must_check int xtsfs_secret_lock_again(void);
void xtsfs_cleanup_secret(struct xtsfs_secret **secret);
#define xtsfs_auto_secret __attribute__((cleanup(xtsfs_cleanup_secret))) struct xtsfs_secret

/** explicit_bzero under our name. */
void xtsfs_wipe(void *data, size_t bytes);
/** Constant time in @bytes. */
bool xtsfs_equal_secret(const void *a, const void *b, size_t bytes);
/** Not for secrets: are all bytes zero? */
bool xtsfs_is_zero(const void *data, size_t bytes);

/** No core dumps, not ptraceable (prctl PR_SET_DUMPABLE 0, RLIMIT_CORE 0). 0 or -errno. */
xtsfs_must_check int xtsfs_process_harden(void);

#endif
