/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash set of 64-bit numbers, as small as one array.
 */
#include "core/groupset.h"

#include <errno.h>
#include <stdlib.h>

static size_t place(const struct xtsfs_groupset *set, uint64_t key)
{
	size_t at = (size_t)((key * 0x9e3779b97f4a7c15ULL) >> 32) & (set->room - 1);

	while (set->slots[at] && set->slots[at] != key)
		at = (at + 1) & (set->room - 1);
	return at;
}

int xtsfs_groupset_add(struct xtsfs_groupset *set, uint64_t group_no)
{
	size_t at;

	if (set->count * 2 >= set->room) {
		struct xtsfs_groupset bigger = {.room = set->room ? set->room * 2 : 16};

		bigger.slots = calloc(bigger.room, sizeof(*bigger.slots));
		if (!bigger.slots)
			return -ENOMEM;
		for (size_t i = 0; i < set->room; i++)
			if (set->slots[i])
				bigger.slots[place(&bigger, set->slots[i])] = set->slots[i];
		bigger.count = set->count;
		free(set->slots);
		*set = bigger;
	}
	at = place(set, group_no + 1);
	if (!set->slots[at]) {
		set->slots[at] = group_no + 1;
		set->count++;
	}
	return 0;
}

int xtsfs_groupset_has(const struct xtsfs_groupset *set, uint64_t group_no)
{
	return set->room && set->slots[place(set, group_no + 1)] != 0;
}

void xtsfs_groupset_clear(struct xtsfs_groupset *set)
{
	free(set->slots);
	*set = (struct xtsfs_groupset){0};
}

int xtsfs_groupset_next(const struct xtsfs_groupset *set, size_t *position, uint64_t *ret_group_no)
{
	while (*position < set->room) {
		uint64_t key = set->slots[(*position)++];

		if (key) {
			*ret_group_no = key - 1;
			return 1;
		}
	}
	return 0;
}
