/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The faulty store: another store, of which the n-th call fails. For tests.
 *
 * Layer:   store.
 * Threads: every operation from any thread; arming by one thread while nobody else is in.
 */
#ifndef XTSFS_STORE_FAULTY_H
#define XTSFS_STORE_FAULTY_H

#include "store/store.h"

enum xtsfs_fault_kind {
	XTSFS_FAULT_OPEN = 1 << 0,
	XTSFS_FAULT_READ = 1 << 1,
	XTSFS_FAULT_WRITE = 1 << 2,    /* pwritev */
	XTSFS_FAULT_LENGTH = 1 << 3,   /* truncate, fallocate */
	XTSFS_FAULT_SYNC = 1 << 4,     /* sync, syncfs */
	XTSFS_FAULT_STAT = 1 << 5,     /* stat, fstat, statfs, seek, readlink, getdents, seekdir, getxattr, listxattr */
	XTSFS_FAULT_ENTRY = 1 << 6,    /* mkdir, mknod, symlink, link, rename, unlink */
	XTSFS_FAULT_ATTRIBUTE = 1 << 7 /* chmod, chown, utimens, setxattr, removexattr */
};
#define XTSFS_FAULT_ANY	    0xffU
#define XTSFS_FAULT_CHANGES (XTSFS_FAULT_WRITE | XTSFS_FAULT_LENGTH | XTSFS_FAULT_ENTRY | XTSFS_FAULT_ATTRIBUTE)

struct xtsfs_fault {
	unsigned kinds; /* enum xtsfs_fault_kind: the calls that are counted */
	unsigned nth;	/* which of them fails, from 1; 0: none */
	int error;	/* with which errno, positive */
	bool forever;	/* and all after it: a disk that is full stays full */
	bool cut; /* a pwritev over a page border first writes up to that border, and it is the next call that fails */
};

/** @inner is borrowed and outlives it. Nothing fails before it is armed. */
xtsfs_must_check int xtsfs_store_faulty_new(struct xtsfs_store *inner, struct xtsfs_store **ret_store);
/** Begin to count anew. */
void xtsfs_faulty_arm(struct xtsfs_store *store, const struct xtsfs_fault *fault);
/** How many calls have failed since it was armed. */
unsigned xtsfs_faulty_fired(const struct xtsfs_store *store);

#endif
