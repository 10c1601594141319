/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine "user": by the library that is fastest on this machine, of those that give the known answers. OpenSSL is
 * taken where nothing is clearly faster, and its own errors are then found by the self-test of whoever asks.
 */
#include "base/cleanup.h"
#include "crypto/engine-common.h"
#include "crypto/faster.h"

#include <pthread.h>
#include <stdlib.h>

#define MEASURED_SECTORS 32

struct xtsfs_tfm {
	const struct xtsfs_engine *by;
	struct xtsfs_tfm *tfm; /* of that */
};

struct xtsfs_op {
	const struct xtsfs_engine *by;
	struct xtsfs_op *op;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct xtsfs_engine *chosen = &xtsfs_engine_openssl;

#if XTSFS_HAVE_GCRYPT
struct work {
	const struct xtsfs_engine *engine;
	struct xtsfs_op *op;
	uint8_t *sectors;
};

static int both_ways(void *data)
{
	const struct work *work = data;
	const struct xtsfs_run run = {.in = work->sectors,
				      .out = work->sectors,
				      .bytes = (size_t)MEASURED_SECTORS * XTSFS_XTS_MAX_BYTES,
				      .sector_bytes = XTSFS_XTS_MAX_BYTES};
	int r = work->engine->crypt(work->op, XTSFS_ENCRYPT, &run);

	return r < 0 ? r : work->engine->crypt(work->op, XTSFS_DECRYPT, &run);
}

static int64_t measure(const struct xtsfs_engine *engine, uint8_t *sectors)
{
	static const uint8_t key[XTSFS_XTS_KEY_BYTES] = {1}; /* any whose halves differ */
	struct work work = {.engine = engine, .sectors = sectors};
	struct xtsfs_tfm *tfm;
	int64_t r = engine->tfm_new(key, &tfm);

	if (r < 0)
		return r;
	r = engine->op_new(tfm, &work.op);
	if (r == 0) {
		r = xtsfs_shortest_ns(both_ways, &work);
		engine->op_free(work.op);
	}
	engine->tfm_free(tfm);
	return r;
}

static void choose(void)
{
	xtsfs_auto_free uint8_t *sectors = calloc(MEASURED_SECTORS, XTSFS_XTS_MAX_BYTES);
	int64_t openssl, gcrypt;

	if (!sectors || xtsfs_engine_selftest(&xtsfs_engine_gcrypt) < 0)
		return;
	openssl = measure(&xtsfs_engine_openssl, sectors);
	gcrypt = measure(&xtsfs_engine_gcrypt, sectors);
	if (gcrypt > 0 && (openssl < 0 || xtsfs_is_faster(gcrypt, openssl)))
		chosen = &xtsfs_engine_gcrypt;
}
#else
static void choose(void)
{
}
#endif

const char *xtsfs_engine_user_library(void)
{
	pthread_once(&once, choose);
	return chosen->name;
}

static void tfm_free(struct xtsfs_tfm *tfm)
{
	if (!tfm)
		return;
	tfm->by->tfm_free(tfm->tfm);
	free(tfm);
}

static int tfm_new(const uint8_t key[static XTSFS_XTS_KEY_BYTES], struct xtsfs_tfm **ret_tfm)
{
	struct xtsfs_tfm *tfm = calloc(1, sizeof(*tfm));
	int r;

	if (!tfm)
		return -ENOMEM;
	pthread_once(&once, choose);
	tfm->by = chosen;
	r = tfm->by->tfm_new(key, &tfm->tfm);
	if (r < 0) {
		free(tfm);
		return r;
	}
	*ret_tfm = tfm;
	return 0;
}

static void op_free(struct xtsfs_op *op)
{
	if (!op)
		return;
	op->by->op_free(op->op);
	free(op);
}

static int op_new(struct xtsfs_tfm *tfm, struct xtsfs_op **ret_op)
{
	struct xtsfs_op *op = calloc(1, sizeof(*op));
	int r;

	if (!op)
		return -ENOMEM;
	op->by = tfm->by;
	r = op->by->op_new(tfm->tfm, &op->op);
	if (r < 0) {
		free(op);
		return r;
	}
	*ret_op = op;
	return 0;
}

static int crypt_run(struct xtsfs_op *op, enum xtsfs_direction direction, const struct xtsfs_run *run)
{
	return op->by->crypt(op->op, direction, run);
}

const struct xtsfs_engine xtsfs_engine_user = {
	.name = "user",
	.tfm_new = tfm_new,
	.tfm_free = tfm_free,
	.op_new = op_new,
	.op_free = op_free,
	.crypt = crypt_run,
};
