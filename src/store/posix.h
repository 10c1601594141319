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

int xtsfs_posix_open(struct xtsfs_store *store, int dir, const char *name, int flags, mode_t mode,
		     const struct xtsfs_cred *cred);
int xtsfs_posix_mkdir(struct xtsfs_store *store, int dir, const char *name, mode_t mode, const struct xtsfs_cred *cred);
int xtsfs_posix_mknod(struct xtsfs_store *store, int dir, const char *name, mode_t mode, dev_t rdev,
		      const struct xtsfs_cred *cred);
int xtsfs_posix_symlink(struct xtsfs_store *store, const char *target, int dir, const char *name,
			const struct xtsfs_cred *cred);

/* Around a call that may allocate blocks; errno stays. */
void xtsfs_posix_allocation_begin(void);
void xtsfs_posix_allocation_end(void);

#endif
