/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passphrases and keyfiles in the kernel's keyrings (keyrings(7)): keys of type "user".
 *
 * Layer:   base.
 * Threads: one at a time, before other threads run: reading puts the key into the process' own keyring for a moment.
 * Secrets: bytes go from the kernel into xtsfs_secret memory and back, and nowhere else.
 */
#ifndef XTSFS_BASE_KEYRING_H
#define XTSFS_BASE_KEYRING_H

#include "base/secret.h"

#define XTSFS_KEYRING_KEY_MAX_BYTES 32767U /* what a key of type "user" can hold */

#define XTSFS_KEYRING_MISSING \
	"there are no keyrings here: the kernel has none, or the container's policy forbids add_key(2) and keyctl(2)"

enum xtsfs_keyring {
	XTSFS_KEYRING_SESSION, /* of this login session, and of what it starts */
	XTSFS_KEYRING_USER,    /* of all processes of this user */
	XTSFS_KEYRING__COUNT
};

/**
 * Read the key called @description: from the session's keyring and what is linked there, else from the user's.
 * Returns 0, -ENOKEY (no such key, or an empty one), -EKEYEXPIRED, -EKEYREVOKED, -EACCES (it may not be read), -ENOSYS
 * (no keyrings in the kernel, or forbidden by a container), -EFBIG, -EINVAL (a description that cannot be), or an error
 * of locked memory.
 */
xtsfs_must_check int xtsfs_keyring_read(const char *description, struct xtsfs_secret **ret_secret);
/**
 * Put @secret into @keyring as @description, or in the place of the key that has that name there. After @timeout_s
 * seconds (0: never) the kernel wipes it. A key that is given a timeout and cannot have one is not left behind.
 * @ret_of_user: whether there is no keyring of the session and the user's default session has it, which all of the
 * user's processes without one share. NULL is fine.
 * Returns 0, -EFBIG (more than XTSFS_KEYRING_KEY_MAX_BYTES), -EDQUOT (the user's quota of keys), -EINVAL, -EACCES,
 * -ENOSYS.
 */
xtsfs_must_check int xtsfs_keyring_add(enum xtsfs_keyring keyring, const char *description,
				       const struct xtsfs_secret *secret, unsigned timeout_s, bool *ret_of_user);
/** Revoke the key, which wipes it wherever it is linked, and take it out of @keyring. Returns 0, or as
 * xtsfs_keyring_read(). */
xtsfs_must_check int xtsfs_keyring_drop(enum xtsfs_keyring keyring, const char *description);

#endif
