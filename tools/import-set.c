/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of what was seen, for trees of millions of files: 24 bytes for each, whatever its path.
 *
 * A key is the first half of a SHA-256, so two things do not share one. A table of open addresses, doubled when it is
 * half full; nothing is ever taken out.
 */
#include "import.h"

#include "base/cleanup.h"
#include "crypto/kdf.h"

#include <stdlib.h>
#include <string.h>

struct place {
	struct import_key key; /* 0, 0: empty */
	uint64_t value;
};

struct import_set {
	struct place *places;
	size_t count, room; /* a power of two */
};

#define ROOM_FIRST 64U

struct import_set *import_set_new(void)
{
	struct import_set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	set->room = ROOM_FIRST;
	set->places = calloc(set->room, sizeof(*set->places));
	if (!set->places) {
		free(set);
		return NULL;
	}
	return set;
}

void import_set_free(struct import_set *set)
{
	if (!set)
		return;
	free(set->places);
	free(set);
}

static bool is_none(const struct import_key *key)
{
	return key->word[0] == 0 && key->word[1] == 0;
}

static bool is_empty(const struct place *place)
{
	return is_none(&place->key);
}

static struct place *find(const struct import_set *set, struct import_key key)
{
	size_t at = (size_t)key.word[0] & (set->room - 1);

	while (!is_empty(&set->places[at]) && memcmp(&set->places[at].key, &key, sizeof(key)) != 0)
		at = (at + 1) & (set->room - 1);
	return &set->places[at];
}

static int grow(struct import_set *set)
{
	struct import_set larger = {.count = set->count, .room = set->room * 2};

	larger.places = calloc(larger.room, sizeof(*larger.places));
	if (!larger.places)
		return -ENOMEM;
	for (size_t i = 0; i < set->room; i++)
		if (!is_empty(&set->places[i]))
			*find(&larger, set->places[i].key) = set->places[i];
	free(set->places);
	*set = larger;
	return 0;
}

int import_set_add(struct import_set *set, struct import_key key, uint64_t value)
{
	struct place *place = find(set, key);

	if (is_none(&key))
		return -ENOMEM;
	if (!is_empty(place))
		return 0;
	if (set->count * 2 >= set->room) {
		if (grow(set) < 0)
			return -ENOMEM;
		place = find(set, key);
	}
	*place = (struct place){.key = key, .value = value};
	set->count++;
	return 1;
}

bool import_set_has(const struct import_set *set, struct import_key key, uint64_t *ret_value)
{
	const struct place *place = find(set, key);

	if (is_empty(place))
		return false;
	if (ret_value)
		*ret_value = place->value;
	return true;
}

void import_set_change(struct import_set *set, struct import_key key, uint64_t value)
{
	struct place *place = find(set, key);

	if (!is_empty(place))
		place->value = value;
}

size_t import_set_count(const struct import_set *set)
{
	return set->count;
}

struct import_key import_key_of(const char *path, const void *data, size_t bytes)
{
	size_t path_bytes = strlen(path) + 1;
	xtsfs_auto_free uint8_t *text = malloc(path_bytes + bytes);
	struct import_key key = {{0, 0}};
	uint8_t hash[32];

	if (text) {
		memcpy(text, path, path_bytes);
		if (bytes > 0) /* data may be NULL then */
			memcpy(text + path_bytes, data, bytes);
		if (xtsfs_sha256(text, path_bytes + bytes, hash) == 0)
			memcpy(&key, hash, sizeof(key));
	}
	return key; /* without memory the empty one, which no set takes */
}
