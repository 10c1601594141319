/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a sequence of operations that fails as short as can be: leaves out ever smaller parts, each attempt on a fresh
 * volume. Barriers go for all processes at once, or these would no longer meet. With several processes a failure may
 * need luck, so an attempt counts as good only after some tries.
 */
#undef NDEBUG
#include <stdio.h>

#include "mount-random.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool still_fails(const struct op *ops, size_t count, uint64_t seed, char why[600])
{
	unsigned tries = options.processes > 1 ? options.tries : 1;
	char text[600];

	for (unsigned i = 0; i < tries; i++)
		if (run_once(seed, ops, count, NULL, NULL, text) && !stopped) {
			memcpy(why, text, sizeof(text));
			return true;
		}
	return false;
}

/* Without what is in [from, to), barriers excepted. */
static size_t leave_out(const struct op *ops, size_t count, size_t from, size_t to, struct op *ret_fewer)
{
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		if (i < from || i >= to || ops[i].kind == K_BARRIER)
			ret_fewer[n++] = ops[i];
	return n;
}

/* Without the barrier that is each process' number @nth. */
static size_t leave_barrier(const struct op *ops, size_t count, unsigned nth, struct op *ret_fewer)
{
	unsigned seen[PROCESSES] = {0};
	size_t n = 0;

	for (size_t i = 0; i < count; i++)
		if (ops[i].kind != K_BARRIER || seen[ops[i].who]++ != nth)
			ret_fewer[n++] = ops[i];
	return n;
}

size_t shrink(struct op *ops, size_t count, uint64_t seed, char why[600])
{
	struct op *fewer = malloc((count + 1) * sizeof(*fewer));
	double end = now() + options.shrink_seconds;
	bool keep = options.keep;

	assert(fewer);
	options.keep = false; /* that of the whole sequence is enough */
	for (size_t part = (count + 1) / 2; part >= 1; part /= 2) {
		for (size_t from = 0; from < count && now() < end && !stopped;) {
			size_t left = leave_out(ops, count, from, from + part, fewer);

			if (left == count || !still_fails(fewer, left, seed, why)) {
				from += part;
				continue;
			}
			memcpy(ops, fewer, left * sizeof(*ops));
			count = left;
		}
	}
	for (unsigned nth = 0; now() < end && !stopped;) {
		size_t left = leave_barrier(ops, count, nth, fewer);

		if (left == count)
			break;
		if (still_fails(fewer, left, seed, why)) {
			memcpy(ops, fewer, left * sizeof(*ops));
			count = left;
		} else {
			nth++;
		}
	}
	options.keep = keep;
	free(fewer);
	return count;
}
