/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A secret that only one FIDO2 authenticator gives out, by hmac-secret, and only as it was agreed: when it is touched,
 * when its PIN is known (spec 4.3).
 *
 * Layer:   token (may include base/ and format/).
 * Threads: one at a time. Calls wait for people, a minute at most.
 * Secrets: in xtsfs_secret; on their way to and from the authenticator encrypted. The library wipes its own copies.
 */
#ifndef XTSFS_TOKEN_FIDO2_H
#define XTSFS_TOKEN_FIDO2_H

#include "base/secret.h"
#include "format/config.h"

#include <stddef.h>

#define XTSFS_FIDO2_SECRET_BYTES 32U
#define XTSFS_FIDO2_AUTO	 "auto" /* the one that is plugged in; of several the one that knows the credential */

struct xtsfs_fido2_device {
	char path[256];
	bool has_pin, has_built_in; /* one is set; its own way to know the user is set up */
};

/**
 * Which authenticator: @where is XTSFS_FIDO2_AUTO or a device such as "/dev/hidraw0"; @fido2 is of the slot that it is
 * for, NULL for a new one. Asks nothing of the user.
 * @ret_problem: on failure a sentence for people.
 * Returns 0, -EOPNOTSUPP (a build without it, or an authenticator without hmac-secret), -ENODEV (none), -EACCES,
 * -ENOTUNIQ (several), -EXDEV (it does not know the credential), -EIO.
 */
xtsfs_must_check int xtsfs_fido2_find(const char *where, const struct xtsfs_slot_fido2 *fido2,
				      struct xtsfs_fido2_device *ret_device, char *ret_problem, size_t problem_bytes);
/**
 * Have it make a credential for @fido2, whose salt, touch and user are set. It wants to be touched, and its PIN if it
 * has one. @uuid: of the volume; shown by authenticators with a display.
 * Returns 0, -XTSFS_EPASS (another PIN), -EBUSY (it takes no PIN any more), -ETIMEDOUT, -ECANCELED (denied there),
 * -ENODEV (removed), -EINVAL (no PIN can be that), -EOPNOTSUPP (not in this way), -EIO, -ENOMEM, ...
 */
xtsfs_must_check int xtsfs_fido2_make(const char *path, const struct xtsfs_secret *pin,
				      const uint8_t uuid[static XTSFS_UUID_BYTES], struct xtsfs_slot_fido2 *fido2,
				      char *ret_problem, size_t problem_bytes);
/** Have it give out the secret; @pin is for slots whose user is to know it. Returns as before, and -EXDEV. */
xtsfs_must_check int xtsfs_fido2_get(const char *path, const struct xtsfs_secret *pin,
				     const struct xtsfs_slot_fido2 *fido2, struct xtsfs_secret **ret_secret,
				     char *ret_problem, size_t problem_bytes);

#endif
