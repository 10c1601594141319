/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the posix store: creating objects as somebody else (posix-create.c), allocating within limits
 * (posix-limits.c).
 *
 * Layer:   store.
 */
#ifndef XTSFS_STORE_POSIX_H
#define XTSFS_STORE_POSIX_H

#include "store/store.h"

#include <errno.h>

int xtsfs_posix_open(struct xtsfs_store *store, int dir, const char *name, int flags, mode_t mode,
		     const struct xtsfs_cred *cred);
int xtsfs_posix_mkdir(struct xtsfs_store *store, int dir, const char *name, mode_t mode, const struct xtsfs_cred *cred);
int xtsfs_posix_mknod(struct xtsfs_store *store, int dir, const char *name, mode_t mode, dev_t rdev,
		      const struct xtsfs_cred *cred);
int xtsfs_posix_symlink(struct xtsfs_store *store, const char *target, int dir, const char *name,
			const struct xtsfs_cred *cred);

/*
 * What a system call gives, or -errno. It is made again when a signal has interrupted it: signals of this process are
 * nothing to the caller who waits for the answer. It takes no handler: a process that is stopped and goes on, frozen or
 * traced is enough for some calls (fallocate() on tmpfs before Linux 6.10). fuse/gate.c interrupts threads, in read()
 * of requests only.
 */
#define XTSFS_CALL(call)                               \
	({                                             \
		__typeof__(call) result_;              \
		do                                     \
			result_ = (call);              \
		while (result_ < 0 && errno == EINTR); \
		result_ < 0 ? -errno : result_;        \
	})

/* Around a call that may allocate blocks; errno stays. */
void xtsfs_posix_allocation_begin(void);
void xtsfs_posix_allocation_end(void);

#endif
