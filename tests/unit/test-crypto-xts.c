/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user engine against published vectors and plain OpenSSL calls; tweaks; the self-test, also of engines that are
 * wrong; the choice of the engine.
 */
#undef NDEBUG
#include "unit.h"

#include "crypto/engine-common.h"

#include <openssl/evp.h>

static const char ieee_key[] = "2718281828459045235360287471352662497757247093699959574966967627"
			       "3141592653589793238462643383279502884197169399375105820974944592";

static const struct xtsfs_engine *const engines[] = {
	&xtsfs_engine_user,
	&xtsfs_engine_openssl,
#if XTSFS_HAVE_GCRYPT
	&xtsfs_engine_gcrypt,
#endif
};

/* libgcrypt is for processors with VAES. */
static bool is_usable(const struct xtsfs_engine *engine)
{
	static const uint8_t key[64] = {1};
	struct xtsfs_tfm *tfm;

	if (engine->tfm_new(key, &tfm) == -EOPNOTSUPP) {
		print_message("%s: not on this processor\n", engine->name);
		return false;
	}
	engine->tfm_free(tfm);
	return true;
}

struct xtsfs_tfm {
	uint8_t unused;
};

static int crypt_run(const struct xtsfs_engine *engine, const uint8_t *key, enum xtsfs_direction direction,
		     const struct xtsfs_run *run)
{
	struct xtsfs_tfm *tfm;
	struct xtsfs_op *op;
	int r = engine->tfm_new(key, &tfm);

	if (r < 0)
		return r;
	assert_int_equal(engine->op_new(tfm, &op), 0);
	r = engine->crypt(op, direction, run);
	engine->op_free(op);
	engine->tfm_free(tfm);
	return r;
}

/* IEEE 1619-2007, vectors 10 to 14: 512 bytes, the first 32 and the last 16 bytes of the ciphertext. */
static void check_ieee_1619(const struct xtsfs_engine *engine)
{
	static const char *const cases[][2] = {
		{"1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b",
		 "c4f36ffda9fcea70b9c6e693e148c151"},
		{"77a31251618a15e6b92d1d66dffe7b50b50bad552305ba0217a610688eff7e11",
		 "a4f9e27b42af8100cb9d59cef9645803"},
		{"e387aaa58ba483afa7e8eb469778317ecf4cf573aa9d4eac23f2cdf914e4e200",
		 "2263a1eef52dd6888c309f5a7d712826"},
		{"bf53d2dade78e822a4d949a9bc6766b01b06a8ef70d26748c6a7fc36d80ae4c5",
		 "4c82f335abb152c4a93411373aaa8220"},
		{"64497e5a831e4a932c09be3e5393376daa599548b816031d224bbf50a818ed23",
		 "d609d273ad5b0d59631c531f6a0a57b9"},
	};
	uint8_t key[64], plain[512], cipher[512], again[512];

	unit_unhex(ieee_key, key, sizeof(key));
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)i;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct xtsfs_run run = {.in = plain, .out = cipher, .bytes = 512, .sector_bytes = 512};

		memset(run.first_tweak, 0xff, i + 1);
		assert_int_equal(crypt_run(engine, key, XTSFS_ENCRYPT, &run), 0);
		unit_assert_hex(cipher, cases[i][0]);
		unit_assert_hex(cipher + 512 - 16, cases[i][1]);
		run.in = cipher;
		run.out = again;
		assert_int_equal(crypt_run(engine, key, XTSFS_DECRYPT, &run), 0);
		assert_memory_equal(again, plain, 512);
	}
}

static void test_ieee_1619(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(engines); i++)
		if (is_usable(engines[i]))
			check_ieee_1619(engines[i]);
}

static void test_tweak_add(void **state)
{
	static const struct {
		const char *first;
		uint64_t add;
		const char *want;
	} cases[] = {
		{"00000000000000000000000000000000", 0, "00000000000000000000000000000000"},
		{"00000000000000000000000000000000", 1, "01000000000000000000000000000000"},
		{"ff000000000000000000000000000000", 1, "00010000000000000000000000000000"},
		{"ffffffffffffffff0000000000000000", 1, "00000000000000000100000000000000"},
		{"ffffffffffffffffffffffff00000000", 1, "00000000000000000000000001000000"},
		{"ffffffffffffffffffffffffffffffff", 1, "00000000000000000000000000000000"},
		{"ffffffffffffffffffffffffffffffff", UINT64_MAX, "feffffffffffffff0000000000000000"},
		{"0100000000000000feffffffffffffff", UINT64_MAX, "0000000000000000ffffffffffffffff"},
		{"00000000000000000000000000000000", 1ULL << 63, "00000000000000800000000000000000"},
		{"00000000000000800000000000000000", 1ULL << 63, "00000000000000000100000000000000"},
		{"efcdab89674523011032547698badcfe", 0x1111111111111111, "00dfbc9a785634121032547698badcfe"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint8_t first[16], sum[16];

		unit_unhex(cases[i].first, first, 16);
		xtsfs_tweak_add(first, cases[i].add, sum);
		unit_assert_hex(sum, cases[i].want);
		xtsfs_tweak_add(first, cases[i].add, first); /* in place */
		unit_assert_hex(first, cases[i].want);
	}
}

/* Runs of several sectors with a shorter last one, tweaks past every carry, against a call of OpenSSL for each sector.
 */
static void test_runs(void **state)
{
	static uint8_t plain[65536], cipher[65536], want[65536];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	bool usable[ARRAY_COUNT(engines)];
	uint64_t random = 5;
	uint8_t key[64];

	(void)state;
	unit_random_fill(&random, plain, sizeof(plain));
	unit_random_fill(&random, key, sizeof(key));
	for (size_t e = 0; e < ARRAY_COUNT(engines); e++)
		usable[e] = is_usable(engines[e]);
	for (int i = 0; i < 300; i++) {
		struct xtsfs_run run = {.in = plain, .out = cipher};
		uint8_t tweak[16];
		int done;

		run.sector_bytes = 16 * (1 + unit_random(&random) % 256);
		run.bytes = 16 * (unit_random(&random) % (sizeof(plain) / 16 + 1));
		if (i % 3)
			memset(run.first_tweak, 0xff, unit_random(&random) % 17);
		else
			unit_random_fill(&random, run.first_tweak, 16);
		memcpy(tweak, run.first_tweak, 16);
		for (size_t at = 0; at < run.bytes; at += run.sector_bytes) {
			size_t now = run.bytes - at < run.sector_bytes ? run.bytes - at : run.sector_bytes;

			assert_int_equal(EVP_EncryptInit_ex(ctx, EVP_aes_256_xts(), NULL, key, tweak), 1);
			assert_int_equal(EVP_EncryptUpdate(ctx, want + at, &done, plain + at, (int)now), 1);
			for (int byte = 0; byte < 16 && ++tweak[byte] == 0; byte++)
				;
		}
		for (size_t e = 0; e < ARRAY_COUNT(engines); e++) {
			if (!usable[e])
				continue;
			run.in = plain;
			assert_int_equal(crypt_run(engines[e], key, XTSFS_ENCRYPT, &run), 0);
			assert_memory_equal(cipher, want, run.bytes);
			run.in = cipher; /* in place */
			assert_int_equal(crypt_run(engines[e], key, XTSFS_DECRYPT, &run), 0);
			assert_memory_equal(cipher, plain, run.bytes);
		}
	}
	EVP_CIPHER_CTX_free(ctx);
}

static void test_weak_key(void **state)
{
	uint8_t key[64];

	(void)state;
	memset(key, 7, sizeof(key));
	assert_true(xtsfs_xts_key_is_weak(key));
	key[63] ^= 1;
	assert_false(xtsfs_xts_key_is_weak(key));
	for (size_t i = 0; i < ARRAY_COUNT(engines); i++) {
		struct xtsfs_tfm *tfm = NULL;

		key[63] ^= 1;
		assert_int_equal(engines[i]->tfm_new(key, &tfm), -EINVAL);
		assert_null(tfm);
		key[63] ^= 1;
		if (is_usable(engines[i])) {
			assert_int_equal(engines[i]->tfm_new(key, &tfm), 0);
			engines[i]->tfm_free(tfm);
		}
		engines[i]->tfm_free(NULL);
		engines[i]->op_free(NULL);
	}
}

/* The engine "user" is one of the others, and goes on being it. */
static void test_library(void **state)
{
	const char *library = xtsfs_engine_user_library();
	bool found = false;

	(void)state;
	for (size_t i = 1; i < ARRAY_COUNT(engines); i++)
		found = found || strcmp(library, engines[i]->name) == 0;
	assert_true(found);
	assert_string_equal(xtsfs_engine_user_library(), library);
	print_message("XTS by %s\n", library);
}

static void test_valid_runs(void **state)
{
	static uint8_t buffer[3 * 4096];
	static const struct {
		size_t out_at, bytes, sector_bytes;
		bool want;
	} cases[] = {
		{0, 4096, 4096, true},	    {0, 0, 4096, true},	 {0, 16, 16, true},	   {0, 8192, 4096, true},
		{0, 4112, 4096, true},	    {0, 48, 4096, true}, {4096, 4096, 4096, true}, {4095, 4096, 4096, false},
		{16, 4096, 4096, false},    {0, 15, 16, false},	 {0, 17, 16, false},	   {0, 16, 0, false},
		{0, 16, 8, false},	    {0, 16, 24, false},	 {0, 4112, 4112, false},   {0, 65536, 65536, false},
		{0, 4096, SIZE_MAX, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		for (int swap = 0; swap < 2; swap++) {
			struct xtsfs_run run = {.in = buffer + (swap ? cases[i].out_at : 0),
						.out = buffer + (swap ? 0 : cases[i].out_at),
						.bytes = cases[i].bytes,
						.sector_bytes = cases[i].sector_bytes};

			assert_int_equal(xtsfs_run_is_valid(&run), cases[i].want);
		}
}

/* Engines that are wrong in one respect each; otherwise they are the user engine. */
static enum {
	WRONG_NOTHING,
	WRONG_BIT,
	WRONG_DECRYPT,
	WRONG_TWEAK_HIGH,
	WRONG_TWEAK_STEP,
	WRONG_IN_PLACE,
	FAILING
} wrong;

static int wrong_crypt(struct xtsfs_op *op, enum xtsfs_direction direction, const struct xtsfs_run *run)
{
	struct xtsfs_run own = *run;
	int r;

	if (wrong == FAILING)
		return -EIO;
	if (wrong == WRONG_DECRYPT)
		direction = XTSFS_ENCRYPT;
	if (wrong == WRONG_TWEAK_STEP && run->bytes > run->sector_bytes)
		own.sector_bytes /= 2; /* every sector but the first gets another tweak */
	r = xtsfs_engine_user.crypt(op, direction, &own);
	if (wrong == WRONG_TWEAK_HIGH && run->bytes > 2 * run->sector_bytes) {
		/* The carry into the upper 64 bits is lost. */
		own.in = run->in + 2 * run->sector_bytes;
		own.out = run->out + 2 * run->sector_bytes;
		own.bytes = run->bytes - 2 * run->sector_bytes;
		memset(own.first_tweak, 0, 16);
		r = xtsfs_engine_user.crypt(op, direction, &own);
	}
	if (wrong == WRONG_BIT || (wrong == WRONG_IN_PLACE && run->in == run->out))
		run->out[run->bytes - 1] ^= 0x10;
	return r;
}

static int op_new_failing(struct xtsfs_tfm *tfm, struct xtsfs_op **ret_op)
{
	(void)tfm;
	(void)ret_op;
	return -EMFILE;
}

static int tfm_new_failing(const uint8_t key[static XTSFS_XTS_KEY_BYTES], struct xtsfs_tfm **ret_tfm)
{
	(void)key;
	(void)ret_tfm;
	return -EAFNOSUPPORT;
}

static void test_selftest(void **state)
{
	struct xtsfs_engine engine = xtsfs_engine_user;

	(void)state;
	assert_int_equal(xtsfs_engine_selftest(&xtsfs_engine_user), 0);
	engine.crypt = wrong_crypt;
	wrong = WRONG_NOTHING;
	assert_int_equal(xtsfs_engine_selftest(&engine), 0);
	for (wrong = WRONG_BIT; wrong < FAILING; wrong++)
		assert_int_equal(xtsfs_engine_selftest(&engine), -XTSFS_ESELFTEST);
	assert_int_equal(xtsfs_engine_selftest(&engine), -EIO);
	engine = xtsfs_engine_user;
	engine.op_new = op_new_failing;
	assert_int_equal(xtsfs_engine_selftest(&engine), -EMFILE);
	engine.tfm_new = tfm_new_failing;
	assert_int_equal(xtsfs_engine_selftest(&engine), -EAFNOSUPPORT);
}

static void test_choose(void **state)
{
	static const int unavailable[] = {EAFNOSUPPORT, EPERM, EACCES, ENOENT, EPROTONOSUPPORT};
	static const int real[] = {EMFILE, ENFILE, ENOMEM, ELIBBAD, EIO, EINVAL, 0};
	const struct xtsfs_engine *engine = NULL;
	enum xtsfs_engine_choice choice = XTSFS_ENGINE_USER;
	char why[200] = "", tiny[8];
	int r;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(unavailable); i++)
		assert_true(xtsfs_engine_is_unavailable(-unavailable[i]));
	for (size_t i = 0; i < ARRAY_COUNT(real); i++)
		assert_false(xtsfs_engine_is_unavailable(-real[i]));
	assert_false(xtsfs_engine_is_unavailable(INT32_MIN));

	assert_int_equal(xtsfs_engine_parse("auto", &choice), 0);
	assert_int_equal(choice, XTSFS_ENGINE_AUTO);
	assert_int_equal(xtsfs_engine_parse("kernel", &choice), 0);
	assert_int_equal(choice, XTSFS_ENGINE_KERNEL);
	assert_int_equal(xtsfs_engine_parse("user", &choice), 0);
	assert_int_equal(choice, XTSFS_ENGINE_USER);
	assert_int_equal(xtsfs_engine_parse("", &choice), -EINVAL);
	assert_int_equal(xtsfs_engine_parse("Kernel", &choice), -EINVAL);

	assert_int_equal(xtsfs_engine_choose(XTSFS_ENGINE_USER, &engine, why, sizeof(why)), 0);
	assert_ptr_equal(engine, &xtsfs_engine_user);
	assert_true(strlen(why) > 0);
	assert_int_equal(xtsfs_engine_choose(XTSFS_ENGINE_AUTO, &engine, why, sizeof(why)), 0);
	assert_string_equal(xtsfs_engine_choose(XTSFS_ENGINE_KERNEL, &engine, why, sizeof(why)) == 0 ? "kernel"
												     : "user",
			    engine->name);
	/* Where the kernel is not asked for, or not there, its choice fails with an error that says so. */
	r = xtsfs_engine_choose(XTSFS_ENGINE_KERNEL, &engine, tiny, sizeof(tiny));
	assert_true(r == 0 || xtsfs_engine_is_unavailable(r));
	assert_true(strlen(tiny) < sizeof(tiny));
	assert_int_equal(xtsfs_engine_choose(XTSFS_ENGINE_USER, &engine, tiny, 0), 0);
	assert_int_equal(xtsfs_engine_choose((enum xtsfs_engine_choice)7, &engine, why, sizeof(why)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ieee_1619), cmocka_unit_test(test_tweak_add),  cmocka_unit_test(test_runs),
		cmocka_unit_test(test_weak_key),  cmocka_unit_test(test_valid_runs), cmocka_unit_test(test_selftest),
		cmocka_unit_test(test_choose),	  cmocka_unit_test(test_library),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
