/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is mounted, and where its configuration is: elsewhere for a reverse view only.
 *
 * Layer:   fuse.
 */
#ifndef XTSFS_FUSE_PLACE_H
#define XTSFS_FUSE_PLACE_H

#include "core/conf.h"
#include "core/volume.h"
#include "fuse/options.h"

#define XTSFS_NAME_IGNORE ".xtsfsignore"

struct xtsfs_place {
	struct xtsfs_store *store;
	struct xtsfs_store *aside;	     /* of a reverse view: where its configuration is; else NULL */
	struct xtsfs_reverse_params reverse; /* points to the options, and to @aside */
};

/**
 * Open it, load the configuration, and, for a reverse view, what is to be left out. An exit code; the reason has been
 * told. xtsfs_place_close() is due in any case.
 */
int xtsfs_place_open(struct xtsfs_options *options, struct xtsfs_place *place, struct xtsfs_conf **ret_conf);
/** The store in which xtsfs.conf is. */
struct xtsfs_store *xtsfs_place_conf(const struct xtsfs_place *place);
void xtsfs_place_close(struct xtsfs_place *place);

#endif
