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

static bool is_cut_of_any(const struct content *versions, unsigned count, const uint8_t *data, uint64_t bytes,
			  uint64_t start)
{
	for (unsigned new = 1; new < count; new ++)
		for (unsigned old = 0; old < new; old++)
			if (is_cut(data, bytes, start, &versions[old], &versions[new]))
				return true;
	return false;
}

static bool is_like_any(const struct content *versions, unsigned count, const uint8_t *data, uint64_t bytes,
			uint64_t start)
{
	for (unsigned v = 0; v < count; v++)
		if (is_like(data, bytes, start, &versions[v]))
			return true;
	return false;
}

bool content_is_among(const struct content *versions, unsigned count, const uint8_t *data, uint64_t bytes, bool none,
		      char *ret_why, size_t room)
{
	uint64_t low = UINT64_MAX, high = 0;

	for (unsigned v = 0; v < count; v++) {
		low = versions[v].bytes < low ? versions[v].bytes : low;
		high = versions[v].bytes > high ? versions[v].bytes : high;
		if (bytes == versions[v].bytes && memcmp(data, versions[v].data, bytes) == 0)
			return true;
	}
	/* A whole last sector may be a tail of 4081 bytes or more whose length was still to come. */
	bool maybe_tail = none && bytes > 0 && bytes % CORE_B == 0;

	if (maybe_tail && bytes > high && bytes <= high + 15)
		while (bytes > high && !data[bytes - 1])
			bytes--;
	if (bytes < low || bytes > high) {
		snprintf(ret_why, room, "size %llu, should be %llu to %llu", (unsigned long long)bytes,
			 (unsigned long long)low, (unsigned long long)high);
		return false;
	}
	for (uint64_t start = 0; start < bytes; start += CORE_B) {
		uint64_t part = bytes - start < CORE_B ? bytes - start : CORE_B;

		/* Also one that was to be the end of the file for a moment only (a gap before the write). */
		if (maybe_tail && start + part == bytes)
			while (part > CORE_B - 15 && !data[start + part - 1])
				part--;
		if (is_like_any(versions, count, data + start, part, start) ||
		    (none && is_cut_of_any(versions, count, data + start, part, start)))
			continue;
		snprintf(ret_why, room, "sector %llu of %llu bytes is of no version (sizes %llu to %llu)",
			 (unsigned long long)(start / CORE_B), (unsigned long long)bytes, (unsigned long long)low,
			 (unsigned long long)high);
		return false;
	}
	return true;
}

bool content_is_between(const struct content *old, const struct content *new, const uint8_t *data, uint64_t bytes,
			bool none, char *ret_why, size_t room)
{
	const struct content both[] = {*old, *new};

	return content_is_among(both, 2, data, bytes, none, ret_why, room);
}

void history_add(struct history *history, const uint8_t *data, uint64_t bytes)
{
	struct content *last = history->count ? &history->versions[history->count - 1] : NULL;

	if (last && last->bytes == bytes && memcmp(last->data, data, bytes) == 0)
		return;
	assert(history->count < HISTORY_MAX);
	last = &history->versions[history->count++];
	last->bytes = bytes;
	last->data = malloc(bytes + 1);
	assert(last->data);
	memcpy(last->data, data, bytes);
}

void history_clear(struct history *history)
{
	while (history->count)
		free(history->versions[--history->count].data);
}
