/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes in memory for the targets that go through the core, and the other side of them: backing objects by inode,
 * edited directly, with their tags made anew where a target wants to get behind authentication.
 */
#ifndef XTSFS_TEST_FUZZ_VOLUME_H
#define XTSFS_TEST_FUZZ_VOLUME_H

#include "fuzz.h"

#include "core-fixture.h"
#include "core/fsck.h"
#include "core/internal.h"
#include "store/memory-internal.h"

struct fuzz_volume {
	struct core core;
	struct xtsfs_store *store; /* owned, the core's */
};

/** A fresh volume of that mode, not open. Keys are shared by all of that mode and last for the process. */
void fuzz_volume_begin(struct fuzz_volume *volume, enum xtsfs_integrity integrity);
/** The same with a copy of @store in it. */
void fuzz_volume_begin_from(struct fuzz_volume *volume, enum xtsfs_integrity integrity,
			    const struct xtsfs_store *store);
void fuzz_volume_end(struct fuzz_volume *volume);
/** For making tags and sealing names: the keys of all volumes of that mode. */
struct xtsfs_keys *fuzz_keys(enum xtsfs_integrity integrity);

enum fuzz_open { FUZZ_OPEN_WRITE, FUZZ_OPEN_READ, FUZZ_OPEN_SALVAGE, FUZZ_OPEN_REPAIR, FUZZ_OPEN_CHECK };
int fuzz_volume_open(struct fuzz_volume *volume, enum fuzz_open how);

enum fuzz_fsck { FUZZ_FSCK_CHECK, FUZZ_FSCK_REPAIR, FUZZ_FSCK_SALVAGE, FUZZ_FSCK_ZERO, FUZZ_FSCK__COUNT };
/** On a volume that is not open. A check must change nothing. Returns -errno of opening, or what fsck gave. */
int fuzz_fsck(struct fuzz_volume *volume, enum fuzz_fsck mode, struct xtsfs_fsck_totals *ret_totals);
/** A repair in that mode, after which a check finds nothing that the repair did not leave; what is left is told. */
void fuzz_fsck_and_again(struct fuzz_volume *volume, enum fuzz_fsck mode, struct xtsfs_fsck_totals *ret_totals);

/* ---- the backing side ---- */
struct mem_inode *fuzz_inode(struct fuzz_volume *volume, ino_t ino);
/** The inode behind a backing name in the root, or NULL. */
struct mem_inode *fuzz_backing(struct fuzz_volume *volume, const char *backing_name);
/** A change as the attacker makes it; errors are his. */
void fuzz_store_do(struct fuzz_volume *volume, const struct mem_call *call);
void fuzz_store_write(struct fuzz_volume *volume, ino_t ino, const void *data, size_t bytes, uint64_t offset);
void fuzz_store_truncate(struct fuzz_volume *volume, ino_t ino, uint64_t bytes);
/** Make the tags of a file's blocks right again: of headers and meta blocks, with @sectors those of the sectors too. */
void fuzz_reseal(struct fuzz_volume *volume, ino_t ino, bool sectors);

#endif
