/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sector engine: AES-256-XTS of runs of sectors (spec 9.2), in the kernel or in this process, with identical
 * output.
 *
 * Layer:   crypto (may include base/ only).
 * Threads: a tfm is shared by all threads; an op belongs to one thread at a time (pool.h leases them).
 * Secrets: the kcapi engine wipes the key after setkey; the openssl engine keeps it in locked memory until free.
 *          AF_ALG state is shared over fork: make a tfm after the last fork.
 *          libkcapi opens descriptors without CLOEXEC; tfm_new and op_new of the kernel engine therefore mark every
 *          descriptor of the process from 3 up as close-on-exec.
 * Source:  IEEE 1619; AF_ALG facts in docs/design.md.
 */
#ifndef XTSFS_CRYPTO_ENGINE_H
#define XTSFS_CRYPTO_ENGINE_H

#include "base/errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XTSFS_XTS_KEY_BYTES   64
#define XTSFS_XTS_TWEAK_BYTES 16
#define XTSFS_XTS_MAX_BYTES   4096 /* of one sector; AF_ALG misbehaves past 64 KiB */

enum xtsfs_direction { XTSFS_ENCRYPT, XTSFS_DECRYPT };

/* Sectors with consecutive tweaks, processed in place or from @in to @out (which are equal or do not overlap). */
struct xtsfs_run {
	uint8_t first_tweak[XTSFS_XTS_TWEAK_BYTES]; /* 128-bit little endian; sector i uses first_tweak + i mod 2^128 */
	const uint8_t *in;
	uint8_t *out;
	size_t bytes; /* total; a multiple of 16. Every sector has sector_bytes except that the last may have fewer */
	size_t sector_bytes; /* 16 to XTSFS_XTS_MAX_BYTES, a multiple of 16 */
};

struct xtsfs_tfm;
struct xtsfs_op;

struct xtsfs_engine {
	const char *name; /* "kernel" or "user" */
	/**
	 * Make a TFM and give it @key once. The caller wipes its own copy of @key. For the kernel engine the key is
	 * then only in the kernel. Errors: -EINVAL (key1 == key2); kernel: what socket(), bind() and setkey give
	 * (-EAFNOSUPPORT, -EPERM, -EACCES, -ENOENT, -EPROTONOSUPPORT: not offered here; -ELIBBAD: the kernel's own
	 * self-test failed; -EMFILE, -ENFILE, -ENOMEM: real errors).
	 */
	int (*tfm_new)(const uint8_t key[static XTSFS_XTS_KEY_BYTES], struct xtsfs_tfm **ret_tfm);
	void (*tfm_free)(struct xtsfs_tfm *tfm); /* after all its ops; NULL is fine */
	/** An OP handle, warmed by one dummy operation so that it cannot fail lazily. -EMFILE, -ENFILE, -ENOMEM and so
	 * on. */
	int (*op_new)(struct xtsfs_tfm *tfm, struct xtsfs_op **ret_op);
	void (*op_free)(struct xtsfs_op *op);
	/** One run; on an error the op must be freed and the output is undefined (the pool wipes it). */
	int (*crypt)(struct xtsfs_op *op, enum xtsfs_direction direction, const struct xtsfs_run *run);
};

extern const struct xtsfs_engine xtsfs_engine_user; /* by the fastest of those below (engine-user.c) */
extern const struct xtsfs_engine xtsfs_engine_openssl;
#if XTSFS_HAVE_GCRYPT
extern const struct xtsfs_engine xtsfs_engine_gcrypt;
#endif
/** The library that the engine "user" has chosen. It is chosen by the first call, or the first tfm. */
const char *xtsfs_engine_user_library(void);
#if XTSFS_HAVE_KCAPI
extern const struct xtsfs_engine xtsfs_engine_kernel;
#endif

enum xtsfs_engine_choice { XTSFS_ENGINE_AUTO, XTSFS_ENGINE_KERNEL, XTSFS_ENGINE_USER };

xtsfs_must_check int xtsfs_engine_parse(const char *text, enum xtsfs_engine_choice *ret_choice);
/**
 * Probe (a whole tfm, op and known-answer test of both directions with test keys) and choose. @ret_why: a sentence
 * fragment for the log, static or in
 * @why_buffer. auto takes the kernel engine where it probes well, the user engine where it is not offered (the errors
 * listed at tfm_new), and fails for real errors and wrong answers.
 */
xtsfs_must_check int xtsfs_engine_choose(enum xtsfs_engine_choice choice, const struct xtsfs_engine **ret_engine,
					 char *ret_why, size_t why_bytes);
/** Is this error one of "not offered here"? */
bool xtsfs_engine_is_unavailable(int error);

/** Known answers of both directions through a tfm of the engine with the test key (IEEE 1619-2007 vector 10, a
 * 4096-byte sector, a run). 0, -ELIBBAD, or an error. */
xtsfs_must_check int xtsfs_engine_selftest(const struct xtsfs_engine *engine);

/** ret = first + add mod 2^128, little endian. */
void xtsfs_tweak_add(const uint8_t first[static XTSFS_XTS_TWEAK_BYTES], uint64_t add,
		     uint8_t ret[static XTSFS_XTS_TWEAK_BYTES]);

#endif
