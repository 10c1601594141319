/* SPDX-License-Identifier: Apache-2.0 */
#undef NDEBUG
#include "content.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct content *content_copy(const struct run *run)
{
	struct content *copy = calloc(MODEL_FILES, sizeof(*copy));

	assert(copy);
	for (unsigned file = 0; file < MODEL_FILES; file++) {
		copy[file].bytes = run->files[file].bytes;
		copy[file].data = malloc(copy[file].bytes + 1);
		assert(copy[file].data);
		memcpy(copy[file].data, run->files[file].data, copy[file].bytes);
	}
	return copy;
}

void content_free(struct content *copy)
{
	for (unsigned file = 0; file < MODEL_FILES; file++)
		free(copy[file].data);
	free(copy);
}

static bool is_like(const uint8_t *data, uint64_t bytes, uint64_t start, const struct content *want)
{
	return start + bytes <= want->bytes && memcmp(data, want->data + start, bytes) == 0;
}

/* Without tags, of a file that is to be cut: the sector of its new end may have zeros behind that already. */
static bool is_cut(const uint8_t *data, uint64_t bytes, uint64_t start, const struct content *old,
		   const struct content *new)
{
	if (new->bytes <= start || new->bytes >= start + bytes || start + bytes > old->bytes)
		return false;
	for (uint64_t i = 0; i < bytes; i++)
		if (data[i] != old->data[start + i] && (data[i] || start + i < new->bytes))
			return false;
	return true;
}

bool content_is_between(const struct content *old, const struct content *new, const uint8_t *data, uint64_t bytes,
			bool none, char *ret_why, size_t room)
{
	uint64_t low = old->bytes < new->bytes ? old->bytes : new->bytes;
	uint64_t high = old->bytes > new->bytes ? old->bytes : new->bytes;

	if ((bytes == old->bytes && memcmp(data, old->data, bytes) == 0) ||
	    (bytes == new->bytes &&memcmp(data, new->data, bytes) == 0))
		return true;
	/* A whole last sector may be a tail of 4081 bytes or more whose length was still to come. */
	bool maybe_tail = none && bytes > 0 && bytes % CORE_B == 0;

	if (maybe_tail && bytes > high && bytes <= high + 15)
		while (bytes > high && !data[bytes - 1])
			bytes--;
	if (bytes < low || bytes > high) {
		snprintf(ret_why, room, "size %llu, was %llu, to be %llu", (unsigned long long)bytes,
			 (unsigned long long)old->bytes, (unsigned long long)new->bytes);
		return false;
	}
	for (uint64_t start = 0; start < bytes; start += CORE_B) {
		uint64_t part = bytes - start < CORE_B ? bytes - start : CORE_B;

		/* Also one that was to be the end of the file for a moment only (a gap before the write). */
		if (maybe_tail && start + part == bytes)
			while (part > CORE_B - 15 && !data[start + part - 1])
				part--;
		if (is_like(data + start, part, start, old) || is_like(data + start, part, start, new) ||
		    (none && is_cut(data + start, part, start, old, new)))
			continue;
		snprintf(ret_why, room, "sector %llu of %llu bytes is neither old nor new (%llu, %llu)",
			 (unsigned long long)(start / CORE_B), (unsigned long long)bytes,
			 (unsigned long long)old->bytes, (unsigned long long)new->bytes);
		return false;
	}
	return true;
}
