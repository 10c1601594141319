/* SPDX-License-Identifier: Apache-2.0 */
/* Argon2id: published vectors, the bounds of the spec, calibration that keeps to its bounds and to its time. */
#undef NDEBUG
#include "unit.h"

#include "base/secret.h"
#include "crypto/kdf.h"

#include <argon2.h>
#include <time.h>

/* RFC 9106 section 5.3 has a secret and associated data, which the format does not use: the library itself. */
static void test_rfc_9106(void **state)
{
	uint8_t out[32], password[32], salt[16], secret[8], ad[12];
	argon2_context context = {.out = out,
				  .outlen = 32,
				  .pwd = password,
				  .pwdlen = 32,
				  .salt = salt,
				  .saltlen = 16,
				  .secret = secret,
				  .secretlen = 8,
				  .ad = ad,
				  .adlen = 12,
				  .t_cost = 3,
				  .m_cost = 32,
				  .lanes = 4,
				  .threads = 4,
				  .version = ARGON2_VERSION_13};

	(void)state;
	memset(password, 1, sizeof(password));
	memset(salt, 2, sizeof(salt));
	memset(secret, 3, sizeof(secret));
	memset(ad, 4, sizeof(ad));
	assert_int_equal(argon2id_ctx(&context), ARGON2_OK);
	unit_assert_hex(out, "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
}

/* The test vectors of the reference implementation (version 0x13). */
static void test_vectors(void **state)
{
	static const struct {
		struct xtsfs_argon2 params;
		const char *want;
	} cases[] = {
		{{2, 65536, 1}, "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"},
		{{2, 256, 1}, "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"},
		{{2, 256, 2}, "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint8_t password[8], out[32];

		memcpy(password, "password", 8);
		assert_int_equal(xtsfs_argon2id(&cases[i].params, password, 8, (const uint8_t *)"somesalt", 8, out, 32),
				 0);
		unit_assert_hex(out, cases[i].want);
		assert_memory_equal(password, "password", 8); /* the caller's to wipe */
	}
}

static void test_same_as_library(void **state)
{
	static const struct xtsfs_argon2 cases[] = {{1, 8, 1}, {3, 100, 3}, {1, 128, 16}, {4, 1000, 4}};
	uint8_t salt[32] = {7}, out[32], want[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
		for (size_t password_bytes = 0; password_bytes < 100; password_bytes += 33) {
			uint8_t password[100] = {1, 2, 3};

			assert_int_equal(argon2id_hash_raw(cases[i].time, cases[i].memory_kib, cases[i].parallel,
							   password, password_bytes, salt, 32, want, 32),
					 ARGON2_OK);
			assert_int_equal(xtsfs_argon2id(&cases[i], password, password_bytes, salt, 32, out, 32), 0);
			assert_memory_equal(out, want, 32);
		}
	/* An empty password may be NULL. */
	assert_int_equal(xtsfs_argon2id(&cases[0], NULL, 0, salt, 32, out, 32), 0);
}

static void test_check(void **state)
{
	static const struct {
		struct xtsfs_argon2 params;
		int want;
	} cases[] = {
		{{1, 8, 1}, 0},
		{{1, 7, 1}, -EINVAL},
		{{0, 8, 1}, -EINVAL},
		{{1, 8, 0}, -EINVAL},
		{{1, 0, 1}, -EINVAL},
		{{1, 127, 16}, -EINVAL},
		{{1, 128, 16}, 0},
		{{1, 136, 17}, -ERANGE},
		{{1024, 8, 1}, 0},
		{{1025, 8, 1}, -ERANGE},
		{{1, 4194304, 1}, 0},
		{{1, 4194305, 1}, -ERANGE},
		{{64, 4194304, 1}, 0},
		{{65, 4194304, 1}, -ERANGE},
		{{1024, 262144, 1}, 0},
		{{1024, 262145, 1}, -ERANGE},
		{{UINT32_MAX, UINT32_MAX, UINT32_MAX}, -ERANGE},
		{{1, UINT32_MAX, 1}, -ERANGE},
		{{1, 8, UINT32_MAX}, -ERANGE}, /* 8 · parallel would overflow */
	};
	uint8_t salt[16] = {0}, out[32] = {9};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_int_equal(xtsfs_argon2_check(&cases[i].params), cases[i].want);
		if (cases[i].want)
			assert_int_equal(xtsfs_argon2id(&cases[i].params, salt, 1, salt, 16, out, 32), cases[i].want);
	}
	assert_int_equal(out[0], 9);
	assert_int_equal(xtsfs_argon2id(&cases[0].params, salt, 1, salt, 7, out, 32), -EINVAL); /* a salt too short */
	assert_int_equal(xtsfs_argon2id(&cases[0].params, salt, 1, salt, 16, out, 3), -EINVAL);
	if (sizeof(size_t) > 4)
		assert_int_equal(xtsfs_argon2id(&cases[0].params, salt, (size_t)UINT32_MAX + 1, salt, 16, out, 32),
				 -EINVAL);
}

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void test_calibrate(void **state)
{
	static const struct {
		uint32_t target_ms, max_memory_kib, max_parallel;
		uint32_t least_memory_kib, most_memory_kib, most_parallel;
	} cases[] = {
		{100, 65536, 1, 32768, 65536, 1},     {100, 65536, 0, 32768, 65536, 4}, {50, 8192, 2, 8192, 8192, 2},
		{1, 1 << 20, 1, 32768, 65536, 1},     {0, 0, 1, 32768, 65536, 1},	{50, 1, 16, 128, 128, 16},
		{100, 16384, 1000, 16384, 16384, 16}, {200, 0, 0, 32768, 1 << 20, 4},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct xtsfs_argon2 params = {0};
		double begin = now_ms(), spent;

		assert_int_equal(xtsfs_argon2_calibrate(cases[i].target_ms, cases[i].max_memory_kib,
							cases[i].max_parallel, &params),
				 0);
		spent = now_ms() - begin;
		assert_int_equal(xtsfs_argon2_check(&params), 0);
		assert_in_range(params.memory_kib, cases[i].least_memory_kib, cases[i].most_memory_kib);
		assert_in_range(params.parallel, 1, cases[i].most_parallel);
		assert_in_range(params.time, 4, XTSFS_ARGON2_MAX_TIME);
		/* A loaded machine or a sanitizer makes any of this slow; hours would be a fault. */
		assert_true(spent < 30e3);
	}
}

/* Much more work for much more time, and a bound on memory makes passes. */
static void test_calibrate_direction(void **state)
{
	struct xtsfs_argon2 bounded;

	(void)state;
	assert_int_equal(xtsfs_argon2_calibrate(400, 4096, 1, &bounded), 0);
	assert_int_equal(bounded.memory_kib, 4096);
	assert_true(bounded.time > 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_9106),	cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_same_as_library), cmocka_unit_test(test_check),
		cmocka_unit_test(test_calibrate),	cmocka_unit_test(test_calibrate_direction),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
