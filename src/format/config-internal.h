/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the config*.c files share.
 *
 * Layer:   format. Pure. Not for others.
 */
#ifndef XTSFS_FORMAT_CONFIG_INTERNAL_H
#define XTSFS_FORMAT_CONFIG_INTERNAL_H

#include "base/errors.h"

#include <stddef.h>

#define XTSFS_CONFIG_DEPTH   32U /* objects and arrays inside each other */
#define XTSFS_CONFIG_VERSION 1

#define XTSFS_CONFIG_REENCRYPT "reencrypt" /* an incompatible feature, and the member that it is about */

/* `"hmac": "` 43 characters `"` LF `}` LF, the end of the file (spec 4). */
#define XTSFS_CONFIG_HMAC_OPEN	"\"hmac\": \""
#define XTSFS_CONFIG_HMAC_CLOSE "\"\n}\n"
#define XTSFS_CONFIG_HMAC_CHARS 43U
#define XTSFS_CONFIG_ENDING_BYTES \
	(sizeof(XTSFS_CONFIG_HMAC_OPEN) - 1 + XTSFS_CONFIG_HMAC_CHARS + sizeof(XTSFS_CONFIG_HMAC_CLOSE) - 1)

/**
 * Is @text exactly one JSON value (RFC 8259) within our limits? Counts the members of all objects in it.
 * Returns 0 or -EUCLEAN with a sentence fragment in @ret_problem.
 */
xtsfs_must_check int xtsfs_config_scan(const char *text, size_t bytes, size_t *ret_members, char *ret_problem,
				       size_t problem_bytes);

#endif
