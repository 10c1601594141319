/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locking a mount: its keys and what is plain in caches go, the mount stays (docs/control.md).
 *
 * Layer:   fuse, internal.
 * Threads: the server's.
 */
#ifndef XTSFS_FUSE_LOCK_H
#define XTSFS_FUSE_LOCK_H

#include "core/conf.h"
#include "fuse/gate.h"
#include "fuse/ops.h"
#include "fuse/status.h"

struct xtsfs_locker {
	struct fuse_session *se;
	struct xtsfs_mount *mount;
	struct xtsfs_store *store;
	bool locked;
	enum xtsfs_held held; /* while it is locked */
};

/** 0 or -errno: it is open as before; -ESHUTDOWN: the daemon is at its end. *@ret_left: files of which the kernel may
 * still have pages. Of a locked one only @held is changed. */
xtsfs_must_check int xtsfs_lock(struct xtsfs_locker *locker, enum xtsfs_held held, size_t *ret_left);
/** 0 or -errno of loading xtsfs.conf, of xtsfs_conf_unlock() or xtsfs_volume_unlock(): it is locked as before. */
xtsfs_must_check int xtsfs_unlock(struct xtsfs_locker *locker, const struct xtsfs_unlock *with,
				  struct xtsfs_mount_facts *facts);

#endif
