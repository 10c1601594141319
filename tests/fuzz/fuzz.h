/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets share: reading an input piece by piece, checks that end the process, and what the harness puts
 * in the place of some functions at link time (wrap.c).
 *
 * A target is one function, LLVMFuzzerTestOneInput(), which libFuzzer or main.c calls. It keeps no state from one input
 * to the next, so that an input alone tells what happens: random bytes begin anew with each (fuzz_begin()).
 */
#ifndef XTSFS_TEST_FUZZ_H
#define XTSFS_TEST_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* What is left of an input. Past its end everything is zero. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

/** Start of an input: random bytes begin anew. */
struct fuzz_input fuzz_begin(const uint8_t *data, size_t bytes);
/** Unsigned little-endian number of @bytes, 1 to 8. */
uint64_t fuzz_number(struct fuzz_input *input, unsigned bytes);
static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
	return (uint8_t)fuzz_number(input, 1);
}
/** Up to @most bytes, as many as there are. */
const uint8_t *fuzz_take(struct fuzz_input *input, size_t most, size_t *ret_bytes);
/** A text of up to @room − 1 bytes, without NULs; its length is one number before it. */
size_t fuzz_text(struct fuzz_input *input, char *ret_text, size_t room);
/** An offset near a place that the format makes special, up to @most. @now: such a place, the size of a file say. */
uint64_t fuzz_offset(struct fuzz_input *input, uint64_t now, uint64_t most);

/* A claim that does not hold: a finding, as a report of a sanitizer is. */
#define FUZZ_CHECK(condition, ...)                                                                     \
	do {                                                                                           \
		if (!(condition)) {                                                                    \
			fprintf(stderr, "%s:%d: does not hold: %s: ", __FILE__, __LINE__, #condition); \
			fprintf(stderr, __VA_ARGS__);                                                  \
			fputc('\n', stderr);                                                           \
			abort();                                                                       \
		}                                                                                      \
	} while (0)

/* Deliberate mistakes (wrap.c), to see that they are found: XTSFS_FUZZ_PLANT names one. */
enum fuzz_plant {
	FUZZ_PLANT_NONE,
	FUZZ_PLANT_TAGS,   /* every tag is taken for right */
	FUZZ_PLANT_ZEROS,  /* reserved bytes are not checked */
	FUZZ_PLANT_TAILS,  /* a class of tails has a wrong length */
	FUZZ_PLANT_SIV,	   /* what is sealed is opened without looking at its IV */
	FUZZ_PLANT_BASE64, /* trailing bits are not checked */
	FUZZ_PLANT_COSTS,  /* the costs of a KDF are not bounded */
	FUZZ_PLANT_READS,  /* a read of the store gives the sector behind */
	FUZZ_PLANT__COUNT
};
enum fuzz_plant fuzz_planted(void);

/** Argon2id was asked for since fuzz_begin(): how often, and the most it would have cost. */
struct fuzz_costs {
	unsigned calls;
	uint64_t memory_kib, work;
};
struct fuzz_costs fuzz_costs(void);

#endif
