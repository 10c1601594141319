/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of an open volume (spec 3), each already inside the object that uses it.
 *
 * Layer:   core.
 * Threads: read-only after xtsfs_keys_new().
 * Secrets: nothing here keeps a raw key; the content keys are wiped once the engine has them.
 */
#ifndef XTSFS_CORE_KEYS_H
#define XTSFS_CORE_KEYS_H

#include "base/secret.h"
#include "crypto/engine.h"
#include "crypto/mac.h"
#include "crypto/pool.h"
#include "crypto/siv.h"
#include "format/config.h"

struct xtsfs_keys {
	struct xtsfs_siv *name, *symlink, *xattr;
	struct xtsfs_mac *sector, *meta;
	unsigned content_keys;
	struct xtsfs_pool *content[]; /* one TFM each; none without an engine */
};

/** @engine NULL: without content keys (enough to lay out a volume). @max_ops: OP handles for each TFM. */
xtsfs_must_check int xtsfs_keys_new(const struct xtsfs_secret *volume_key, const struct xtsfs_config *config,
				    const struct xtsfs_engine *engine, unsigned max_ops, struct xtsfs_keys **ret_keys);
struct xtsfs_keys *xtsfs_keys_free(struct xtsfs_keys *keys);

#endif
