/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery keys as text that people write down (spec 4.1).
 *
 * Layer:   format. Pure.
 * Secrets: keys and texts are the caller's, in locked memory; nothing is kept here.
 */
#ifndef XTSFS_FORMAT_RECOVERY_H
#define XTSFS_FORMAT_RECOVERY_H

#include "base/errors.h"

#include <stddef.h>
#include <stdint.h>

#define XTSFS_RECOVERY_BYTES	   25U
#define XTSFS_RECOVERY_GROUPS	   8U
#define XTSFS_RECOVERY_GROUP_CHARS 6U /* five of content, one that checks */
#define XTSFS_RECOVERY_TEXT_CHARS  (XTSFS_RECOVERY_GROUPS * XTSFS_RECOVERY_GROUP_CHARS + XTSFS_RECOVERY_GROUPS - 1)

/** Groups with hyphens between them, terminated. */
void xtsfs_recovery_print(const uint8_t key[static XTSFS_RECOVERY_BYTES],
			  char ret_text[static XTSFS_RECOVERY_TEXT_CHARS + 1]);
/**
 * In either case, O for 0, I and L for 1, U for V; anything that is no letter or digit, or nothing, between groups.
 * @ret_wrong: on -EILSEQ bit g is set for each wrong group, 0 to 7. NULL is fine.
 * Returns 0, -EILSEQ (a recovery key with wrong groups: at least half of them are right), or -EINVAL (something else).
 */
xtsfs_must_check int xtsfs_recovery_parse(const void *text, size_t bytes, uint8_t ret_key[static XTSFS_RECOVERY_BYTES],
					  unsigned *ret_wrong);

#endif
