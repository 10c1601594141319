/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a mount of a reverse view needs beside its source: the configuration, and what is left out.
 *
 * Layer:   fuse.
 */
#ifndef XTSFS_FUSE_REVERSE_H
#define XTSFS_FUSE_REVERSE_H

#include "fuse/options.h"

#include "core/volume.h"

#define XTSFS_NAME_IGNORE ".xtsfsignore"

/**
 * Open where the configuration is and read what is to be left out. @store: the source. *@ret_params points to @options
 * and to *@ret_conf_store, which the caller frees. An exit code; the reason has been told.
 */
int xtsfs_reverse_prepare(struct xtsfs_options *options, struct xtsfs_store *store, struct xtsfs_store **ret_conf_store,
			  struct xtsfs_reverse_params *ret_params);
/** Where a configuration is missing: why, for people. */
void xtsfs_reverse_explain(const struct xtsfs_options *options);

#endif
