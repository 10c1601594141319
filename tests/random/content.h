/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies of what files should hold, and whether what they do hold is legal in the middle of an operation.
 */
#ifndef XTSFS_RANDOM_CONTENT_H
#define XTSFS_RANDOM_CONTENT_H

#include "random-ops.h"

struct content {
	uint8_t *data;
	uint64_t bytes;
};

/** One for each file of the model. */
struct content *content_copy(const struct run *run);
void content_free(struct content *copy);
/**
 * A sector is old or new and never a mixture, as far as the file goes; its length is between the old and the new one.
 * Only without tags (@none) may a tail that was being extended show zeros (up to 15) behind its end.
 */
bool content_is_between(const struct content *old, const struct content *new, const uint8_t *data, uint64_t bytes,
			bool none, char *ret_why, size_t room);

/** The same for any number of versions, oldest first. */
bool content_is_among(const struct content *versions, unsigned count, const uint8_t *data, uint64_t bytes, bool none,
		      char *ret_why, size_t room);

#define HISTORY_MAX 64U
/* What a file has been since something made it durable, that first. */
struct history {
	struct content versions[HISTORY_MAX];
	unsigned count;
};
/** Unless it is as the last one. */
void history_add(struct history *history, const uint8_t *data, uint64_t bytes);
void history_clear(struct history *history);

#endif
