/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is mounted, and where its configuration is: elsewhere for a reverse view only.
 *
 * Layer:   fuse.
 */
#ifndef XTSFS_FUSE_SOURCE_H
#define XTSFS_FUSE_SOURCE_H

#include "core/conf.h"
#include "core/volume.h"
#include "fuse/options.h"

#define XTSFS_NAME_IGNORE ".xtsfsignore"

struct xtsfs_mount_source {
	struct xtsfs_store *store;
	struct xtsfs_store *aside;	     /* of a reverse view: where its configuration is; else NULL */
	struct xtsfs_reverse_params reverse; /* points to the options, and to @aside */
};

/**
 * Open it, load the configuration, and, for a reverse view, what is to be left out. An exit code; the reason has been
 * told. xtsfs_mount_source_close() is due in any case.
 */
int xtsfs_mount_source_open(struct xtsfs_options *options, struct xtsfs_mount_source *source,
			    struct xtsfs_conf **ret_conf);
/** The store in which xtsfs.conf is. */
struct xtsfs_store *xtsfs_mount_source_conf(const struct xtsfs_mount_source *source);
void xtsfs_mount_source_close(struct xtsfs_mount_source *source);

#endif
