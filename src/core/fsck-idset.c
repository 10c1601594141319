/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers seen before: a hash table of pairs, open addressing, doubled at three quarters.
 *
 * It is asked whether two objects of a volume have one id, and whether an inode was checked under another name. The ids
 * are random, so 64 of their 128 bits tell them apart (two of a hundred million collide with probability 2^-12, and
 * then only an info is wrong). A pair takes 22 to 43 bytes; past 2^27 pairs nothing more is remembered.
 */
#include "core/fsck-internal.h"

#include <stdlib.h>

#define ROOM_MAX ((size_t)1 << 28)

void xtsfs_idset_init(struct xtsfs_idset *set)
{
	*set = (struct xtsfs_idset){0};
	pthread_mutex_init(&set->mutex, NULL);
}

void xtsfs_idset_done(struct xtsfs_idset *set)
{
	pthread_mutex_destroy(&set->mutex);
	free(set->slots);
	set->slots = NULL;
}

static size_t place_of(const struct xtsfs_idset *set, uint64_t key)
{
	size_t at = (size_t)((key * 0x9e3779b97f4a7c15ULL) >> 20) & (set->room - 1);

	while (set->slots[at].key && set->slots[at].key != key)
		at = (at + 1) & (set->room - 1);
	return at;
}

static bool make_room(struct xtsfs_idset *set)
{
	struct xtsfs_idset bigger = {.room = set->room ? set->room * 2 : 1024};

	if (set->count < set->room / 4 * 3)
		return true;
	if (!set->full && bigger.room <= ROOM_MAX)
		bigger.slots = calloc(bigger.room, sizeof(*bigger.slots));
	if (!bigger.slots) {
		set->full = true;
		return false;
	}
	for (size_t i = 0; i < set->room; i++)
		if (set->slots[i].key)
			bigger.slots[place_of(&bigger, set->slots[i].key)] = set->slots[i];
	free(set->slots);
	set->slots = bigger.slots;
	set->room = bigger.room;
	return true;
}

bool xtsfs_idset_seen(struct xtsfs_idset *set, uint64_t key, uint64_t value, uint64_t *ret_value)
{
	bool room;
	size_t at;

	xtsfs_guard_mutex(&set->mutex);
	room = make_room(set);
	if (!set->slots)
		return false;
	key = key ? key : 1;
	at = place_of(set, key);
	if (set->slots[at].key) {
		*ret_value = set->slots[at].value;
		return true;
	}
	if (room) {
		set->slots[at] = (struct xtsfs_idset_slot){.key = key, .value = value};
		set->count++;
	}
	return false;
}
