/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Re-encryption of a volume that is mounted: a thread that walks over it while others use it (docs/reencrypt.md).
 *
 * Layer:   fuse, internal.
 * Threads: the server's, but for the thread itself; stopped by the main thread, too, once the server is gone.
 */
#ifndef XTSFS_FUSE_REENCRYPT_H
#define XTSFS_FUSE_REENCRYPT_H

#include "fuse/lock.h"

#include <stdio.h>

struct xtsfs_reencrypter;

xtsfs_must_check int xtsfs_reencrypter_new(struct xtsfs_locker *locker, struct xtsfs_reencrypter **ret_reencrypter);
/** Stops it, too. NULL is fine. */
void xtsfs_reencrypter_free(struct xtsfs_reencrypter *reencrypter);

struct xtsfs_reencrypt_request {
	struct xtsfs_unlock with; /* a passphrase or keyfile, and the slot */
	bool drop_slots;
	uint64_t rate; /* stored bytes a second; 0: as fast as it goes */
};
/**
 * Begin, if it has not begun, and walk. The mount is locked for the moment in which the keys change. 0, or -errno with
 * a sentence: -EALREADY (it works already), -EKEYREJECTED, -EROFS, -ENOTUNIQ (keyslots would be lost), -EBUSY, -EEXIST
 * (lost+found), ...
 */
xtsfs_must_check int xtsfs_reencrypter_start(struct xtsfs_reencrypter *reencrypter,
					     const struct xtsfs_reencrypt_request *request,
					     struct xtsfs_mount_facts *facts, char *ret_problem, size_t problem_bytes);
/** Ends the thread, and wipes the volume key. It may be started again. */
void xtsfs_reencrypter_stop(struct xtsfs_reencrypter *reencrypter);
/** Lines of the reply to "status". */
void xtsfs_reencrypter_print(struct xtsfs_reencrypter *reencrypter, FILE *out);

#endif
