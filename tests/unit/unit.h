/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What unit tests share: cmocka with the headers it wants before it, hex, a reproducible random sequence.
 *
 * Included first, so that assertions survive a release build.
 */
#ifndef XTSFS_UNIT_H
#define XTSFS_UNIT_H

#undef NDEBUG

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Address and thread sanitizers make mlock() do nothing, and processes too large for limits on memory. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNIT_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNIT_SANITIZED 1
#endif
#endif
#ifndef UNIT_SANITIZED
#define UNIT_SANITIZED 0
#endif

static inline unsigned unit_hex_digit(char c)
{
	const char *at = strchr("0123456789abcdef", c);

	assert(at && *at);
	return (unsigned)(at - "0123456789abcdef");
}

/* Decode @text to @ret_data of @room bytes; returns the count. */
static inline size_t unit_unhex(const char *text, uint8_t *ret_data, size_t room)
{
	size_t bytes = strlen(text) / 2;

	assert(strlen(text) % 2 == 0 && bytes <= room);
	for (size_t i = 0; i < bytes; i++)
		ret_data[i] = (uint8_t)(unit_hex_digit(text[2 * i]) << 4 | unit_hex_digit(text[2 * i + 1]));
	return bytes;
}

static inline void unit_assert_hex(const uint8_t *data, const char *want)
{
	uint8_t bytes[256];
	size_t count = unit_unhex(want, bytes, sizeof(bytes));

	assert_memory_equal(data, bytes, count);
}

/* A different sequence for each seed, the same in every run (xorshift64*). */
static inline uint64_t unit_random(uint64_t *state)
{
	uint64_t x = *state ? *state : 88172645463325252ULL;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 2685821657736338717ULL;
}

static inline void unit_random_fill(uint64_t *state, void *data, size_t bytes)
{
	uint8_t *at = data;

	for (size_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)(unit_random(state) >> 56);
}

#endif
