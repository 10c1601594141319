/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Libraries have code for some processors and not for others, and which one is ahead changes with their versions. So
 * it is measured, in less than a millisecond for each process, and not looked up in a table.
 */
#include "crypto/faster.h"

#include <time.h>

#define RUNS 5

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t xtsfs_shortest_ns(int (*work)(void *data), void *data)
{
	int64_t shortest = INT64_MAX;

	for (unsigned i = 0; i < RUNS; i++) {
		int64_t start = now_ns(), took;
		int r = work(data);

		if (r < 0)
			return r;
		took = now_ns() - start;
		if (took < shortest)
			shortest = took;
	}
	return shortest > 0 ? shortest : 1;
}
