/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known answers, at every mount.
 *
 * An engine that computes something else than AES-256-XTS would write a volume that nobody can read, so before any key
 * of a volume reaches one it must give: vector 10 of IEEE 1619-2007 (512 bytes), the same pattern over a sector of 4096
 * bytes, both compared by their SHA-256, and a run of sectors whose tweak carries past 64 bits compared with its
 * sectors one by one. Each both ways, from buffer to buffer and in place. This takes well under a millisecond.
 *
 * The test keys are public. The volume's own key is never used here: its first use is the first sector of the volume.
 */
#include "base/cleanup.h"
#include "base/endian.h"
#include "crypto/engine-common.h"
#include "crypto/kdf.h"

#include <stdlib.h>
#include <string.h>

#define RUN_SECTORS 3

/* IEEE 1619-2007, vector 10. */
static const uint8_t test_key[XTSFS_XTS_KEY_BYTES] = {
	0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60, 0x28, 0x74, 0x71, 0x35, 0x26,
	0x62, 0x49, 0x77, 0x57, 0x24, 0x70, 0x93, 0x69, 0x99, 0x59, 0x57, 0x49, 0x66, 0x96, 0x76, 0x27,
	0x31, 0x41, 0x59, 0x26, 0x53, 0x58, 0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95,
	0x02, 0x88, 0x41, 0x97, 0x16, 0x93, 0x99, 0x37, 0x51, 0x05, 0x82, 0x09, 0x74, 0x94, 0x45, 0x92,
};
static const uint8_t test_tweak[XTSFS_XTS_TWEAK_BYTES] = {0xff};

static const struct {
	size_t bytes;
	uint8_t hash[32];
} answers[] = {
	{512, {0xe9, 0x7e, 0x97, 0x4f, 0xa3, 0x93, 0xaf, 0x79, 0x4f, 0x7a, 0x46, 0x84, 0x39, 0x58, 0x14, 0xcf,
	       0x82, 0x0d, 0xe6, 0x0a, 0x01, 0xea, 0xec, 0x67, 0x7d, 0x87, 0xb4, 0x52, 0xe3, 0x16, 0xb3, 0x64}},
	{4096, {0xd7, 0x4a, 0xad, 0x83, 0xce, 0xba, 0x04, 0x1c, 0x96, 0x97, 0xf0, 0xcd, 0x1a, 0x0f, 0x94, 0xa1,
		0xef, 0xd9, 0x8c, 0xb9, 0x74, 0x0c, 0xe6, 0x30, 0x72, 0x4e, 0x96, 0x4b, 0xe6, 0xb8, 0x54, 0x36}},
};

struct buffers {
	uint8_t plain[RUN_SECTORS * XTSFS_XTS_MAX_BYTES];
	uint8_t cipher[RUN_SECTORS * XTSFS_XTS_MAX_BYTES];
	uint8_t again[RUN_SECTORS * XTSFS_XTS_MAX_BYTES];
};

/* What is tested. After an error the OP is only freed. */
struct subject {
	const struct xtsfs_engine *engine;
	struct xtsfs_op *op;
};

static int process(const struct subject *subject, enum xtsfs_direction direction, const uint8_t *tweak,
		   const uint8_t *in, uint8_t *out, size_t bytes, size_t sector_bytes)
{
	struct xtsfs_run run = {.in = in, .out = out, .bytes = bytes, .sector_bytes = sector_bytes};

	memcpy(run.first_tweak, tweak, sizeof(run.first_tweak));
	return subject->engine->crypt(subject->op, direction, &run);
}

static int check_hash(const uint8_t *data, size_t bytes, const uint8_t *want)
{
	uint8_t hash[32];
	int r = xtsfs_sha256(data, bytes, hash);

	if (r < 0)
		return r;
	return memcmp(hash, want, sizeof(hash)) == 0 ? 0 : -ELIBBAD;
}

static int check_answer(const struct subject *subject, struct buffers *b, size_t bytes, const uint8_t *hash)
{
	int r = process(subject, XTSFS_ENCRYPT, test_tweak, b->plain, b->cipher, bytes, bytes);

	if (r == 0)
		r = check_hash(b->cipher, bytes, hash);
	if (r == 0)
		r = process(subject, XTSFS_DECRYPT, test_tweak, b->cipher, b->again, bytes, bytes);
	if (r == 0 && memcmp(b->again, b->plain, bytes) != 0)
		r = -ELIBBAD;

	/* In place: again holds the plaintext. */
	if (r == 0)
		r = process(subject, XTSFS_ENCRYPT, test_tweak, b->again, b->again, bytes, bytes);
	if (r == 0 && memcmp(b->again, b->cipher, bytes) != 0)
		r = -ELIBBAD;
	if (r == 0)
		r = process(subject, XTSFS_DECRYPT, test_tweak, b->again, b->again, bytes, bytes);
	if (r == 0 && memcmp(b->again, b->plain, bytes) != 0)
		r = -ELIBBAD;
	return r;
}

/* Tweaks 2^64 − 2, 2^64 − 1 and 2^64, the last sector shorter. */
static int check_run(const struct subject *subject, struct buffers *b)
{
	static const uint8_t first[XTSFS_XTS_TWEAK_BYTES] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const size_t sector_bytes = XTSFS_XTS_MAX_BYTES, bytes = (RUN_SECTORS - 1) * sector_bytes + 48;
	int r = process(subject, XTSFS_ENCRYPT, first, b->plain, b->cipher, bytes, sector_bytes);

	for (size_t i = 0; r == 0 && i < RUN_SECTORS; i++) {
		uint8_t tweak[XTSFS_XTS_TWEAK_BYTES];
		size_t at = i * sector_bytes, now = bytes - at < sector_bytes ? bytes - at : sector_bytes;

		/* Written out, not by xtsfs_tweak_add(), which is part of what is tested. */
		xtsfs_store_le(tweak, 8, UINT64_MAX - 1 + i);
		xtsfs_store_le(tweak + 8, 8, i == 2);
		r = process(subject, XTSFS_ENCRYPT, tweak, b->plain + at, b->again + at, now, now);
	}
	if (r == 0 && memcmp(b->again, b->cipher, bytes) != 0)
		r = -ELIBBAD;
	if (r == 0)
		r = process(subject, XTSFS_DECRYPT, first, b->again, b->again, bytes, sector_bytes);
	if (r == 0 && memcmp(b->again, b->plain, bytes) != 0)
		r = -ELIBBAD;
	return r;
}

int xtsfs_engine_selftest(const struct xtsfs_engine *engine)
{
	xtsfs_auto_free struct buffers *b = malloc(sizeof(*b));
	struct subject subject = {.engine = engine};
	struct xtsfs_tfm *tfm;
	int r;

	if (!b)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(b->plain); i++)
		b->plain[i] = (uint8_t)i;

	r = engine->tfm_new(test_key, &tfm);
	if (r < 0)
		return r;
	r = engine->op_new(tfm, &subject.op);
	if (r == 0) {
		for (size_t i = 0; r == 0 && i < sizeof(answers) / sizeof(answers[0]); i++)
			r = check_answer(&subject, b, answers[i].bytes, answers[i].hash);
		if (r == 0)
			r = check_run(&subject, b);
		engine->op_free(subject.op);
	}
	engine->tfm_free(tfm);
	return r;
}
