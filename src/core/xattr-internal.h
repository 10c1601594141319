/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes as they are stored (spec 8), for those who read, write and show them.
 *
 * Layer:   core, internal.
 */
#ifndef XTSFS_CORE_XATTR_INTERNAL_H
#define XTSFS_CORE_XATTR_INTERNAL_H

#include "core/internal.h"

#include <malloc.h>

#define NAME_AD		"xtsfs xattr name" /* 16 bytes */
#define SALT_BYTES	16U
#define VALUE_OVERHEAD	(SALT_BYTES + XTSFS_SIV_IV_BYTES + 1U)
#define LONG_PREFIX	"long."
#define NAME_MAX_BYTES	255U
#define VALUE_MAX_BYTES 65536U

#define LONGEST_STORED_BYTES (VALUE_MAX_BYTES + 1024U) /* with the name of a long one, and what goes with both */
/* Nearly all are shorter, or not there. The kernel clears the room it is to fill, and so do we afterwards: for the
 * longest that costs more than the rest of the request. */
#define SHORT_STORED_BYTES 1024U

struct xtsfs_xattr_sealed {
	const char *prefix;
	char backing[XTSFS_NAME_MAX + 1];
	uint8_t cipher[NAME_MAX_BYTES + 16]; /* of the name */
	size_t cipher_bytes;
	bool is_long;
};

/* Values do not stay in freed memory, where a locked volume would still have them. */
static inline void xtsfs_wipe_and_free(uint8_t **memory)
{
	if (*memory)
		xtsfs_wipe(*memory, malloc_usable_size(*memory));
	free(*memory);
}
#define xtsfs_auto_wiped __attribute__((cleanup(xtsfs_wipe_and_free)))

bool xtsfs_xattr_is_acl(const char *name);
/** Of a namespace that can be had? 0, -EOPNOTSUPP, -EINVAL, -ERANGE. */
xtsfs_must_check int xtsfs_xattr_check_name(const char *name);
/** What names begin with on an object of this type. */
const char *xtsfs_xattr_prefix(const struct xtsfs_node *node);
xtsfs_must_check int xtsfs_xattr_seal_name(struct xtsfs_volume *volume, const struct xtsfs_node *node, const char *name,
					   struct xtsfs_xattr_sealed *ret);
/** What is stored: its random bytes are @salt, or new ones. The caller frees *@ret_stored. */
xtsfs_must_check ssize_t xtsfs_xattr_seal_value(const struct xtsfs_keys *keys, const char *name,
						const struct xtsfs_xattr_sealed *attr, const void *value, size_t bytes,
						const uint8_t *salt, uint8_t **ret_stored);

#endif
