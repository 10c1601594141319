/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why FUSE could not mount, and what is to be done about it.
 *
 * Layer:   fuse, internal.
 */
#ifndef XTSFS_FUSE_EXPLAIN_H
#define XTSFS_FUSE_EXPLAIN_H

#include "fuse/options.h"

#include <stddef.h>

/** A sentence about what this machine, user or container lacks; where nothing is seen, that the reason is above. */
void xtsfs_explain_mount(const struct xtsfs_options *options, char *ret_text, size_t bytes);

#endif
