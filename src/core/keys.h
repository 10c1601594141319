/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of an open volume (spec 3), each already inside the object that uses it.
 *
 * Layer:   core.
 * Threads: read-only after xtsfs_keys_new(). For a volume in re-encryption that makes the old keys, too.
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

/* What a SIV key is for. */
enum xtsfs_siv_use { XTSFS_SIV_NAME, XTSFS_SIV_SYMLINK, XTSFS_SIV_XATTR };

struct xtsfs_keys {
	struct xtsfs_keys *old; /* in re-encryption: those of the key that is being replaced; else NULL */
	struct xtsfs_siv *name, *symlink, *xattr, *manifest;
	struct xtsfs_mac *sector, *meta;
	struct xtsfs_mac *reverse; /* what stands for random numbers in a reverse view (docs/reverse.md) */
	unsigned content_keys;
	struct xtsfs_pool *content[]; /* one TFM each; none without an engine */
};

/** @engine NULL: without content keys (enough to lay out a volume). @max_ops: OP handles for each TFM. */
xtsfs_must_check int xtsfs_keys_new(const struct xtsfs_secret *volume_key, const struct xtsfs_config *config,
				    const struct xtsfs_engine *engine, unsigned max_ops, struct xtsfs_keys **ret_keys);
struct xtsfs_keys *xtsfs_keys_free(struct xtsfs_keys *keys);
/** Open with these keys, then with the old ones. @ret_old (may be NULL): it was with those. As xtsfs_siv_open(). */
xtsfs_must_check int xtsfs_keys_siv_open(const struct xtsfs_keys *keys, enum xtsfs_siv_use use, const void *ad,
					 size_t ad_bytes, const uint8_t *cipher, size_t cipher_bytes, void *ret_plain,
					 bool *ret_old);
/** Is @tag that of the parts under the meta MAC key? 0, -EBADMSG, or an error of the library; @ret_old as above. */
xtsfs_must_check int xtsfs_keys_meta_verify(const struct xtsfs_keys *keys, const struct iovec *parts, unsigned count,
					    const uint8_t tag[static XTSFS_TAG_BYTES], bool *ret_old);
/** The key that is being replaced, wrapped under @volume_key; and back. -EBADMSG. */
xtsfs_must_check int xtsfs_keys_wrap_old(const struct xtsfs_secret *volume_key, const struct xtsfs_secret *old_key,
					 const uint8_t uuid[static XTSFS_UUID_BYTES],
					 struct xtsfs_wrapped_key *ret_wrapped);
xtsfs_must_check int xtsfs_keys_unwrap_old(const struct xtsfs_secret *volume_key,
					   const uint8_t uuid[static XTSFS_UUID_BYTES],
					   const struct xtsfs_wrapped_key *wrapped, struct xtsfs_secret **ret_old_key);

#endif
