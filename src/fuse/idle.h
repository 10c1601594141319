/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unmounting what nobody has used for long (-o idle=).
 *
 * Layer:   fuse, internal.
 * Threads: started and stopped by the main thread.
 */
#ifndef XTSFS_FUSE_IDLE_H
#define XTSFS_FUSE_IDLE_H

#include "base/errors.h"
#include "fuse/helper.h"

struct xtsfs_idle;

struct xtsfs_idle_params {
	unsigned limit_s; /* 0: never */
	const char *mountpoint;
	dev_t device;
	struct xtsfs_helper *helper; /* NULL where there is no sandbox */
};

/** @ret_idle is NULL for a limit of 0. */
xtsfs_must_check int xtsfs_idle_start(const struct xtsfs_idle_params *params, struct xtsfs_idle **ret_idle);
/** NULL is fine. */
void xtsfs_idle_stop(struct xtsfs_idle *idle);

#endif
