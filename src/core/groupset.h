/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of group numbers: which meta blocks have something to finalise. Open addressing, grown at half full.
 *
 * Layer:   core, internal. Threads: the caller's lock.
 */
#ifndef XTSFS_CORE_GROUPSET_H
#define XTSFS_CORE_GROUPSET_H

#include <stddef.h>
#include <stdint.h>

struct xtsfs_groupset {
	uint64_t *slots; /* group number + 1; 0 is free */
	size_t room, count;
};

/** 0 or -ENOMEM. */
int xtsfs_groupset_add(struct xtsfs_groupset *set, uint64_t group_no);
int xtsfs_groupset_has(const struct xtsfs_groupset *set, uint64_t group_no);
void xtsfs_groupset_clear(struct xtsfs_groupset *set);
/** Iterate: start with *position 0; returns 0 at the end. */
int xtsfs_groupset_next(const struct xtsfs_groupset *set, size_t *position, uint64_t *ret_group_no);

#endif
