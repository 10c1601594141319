/* SPDX-License-Identifier: Apache-2.0 */
/* AES-256-SIV: published vectors, every kind of tampering, reuse of contexts, threads. */
#undef NDEBUG
#include "unit.h"

#include "base/secret.h"
#include "crypto/siv.h"

#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>

/*
 * One component of associated data. The first is the input of RFC 5297 A.1 with a 512-bit key, from OpenSSL's test
 * vectors; numbers are those of Wycheproof's aes_siv_cmac_test.json.
 */
static const struct {
	const char *key, *ad, *plain, *cipher;
} vectors[] = {
	{"fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
	 "f0f1f2f3f4f5f6f7f8f9fafbfcfdfefffffefdfcfbfaf9f8f7f6f5f4f3f2f1f0",
	 "101112131415161718191a1b1c1d1e1f2021222324252627", "112233445566778899aabbccddee",
	 "724dfb2eaf94dbb19b0ba3a299a0801ef3b05a55498ec2552690b89810e4"},
	/* 307 */
	{"9e575cd8991b32f06fbaf55ad79eb74822349e07fa77c409848c86820011569f"
	 "26dcb49afaea19a52a96b27e67f780ac7a00da9a3054d1678d60417cf34996b1",
	 "7f89a3f648c1c7c23edbd5ca", "35ac33", "3834fbedc3502227e3c91a861f2e3195fbb344"},
	/* 319 */
	{"2a93a0c37797bee0c344b9ceed1a609813d8c5ee686d260f3aa6fc2f66dc59f4"
	 "00479d1dfe04e89e6df608a3f699ff1cb4e9bf24a78fb2dfddaa0011a2e40208",
	 "6ae54f41ac52baf2f89abe8e", "3fc3bf53bb485c9edcb1d25adb4ca0",
	 "2d344a54038a857f47e0c77eb0834538aaf01e61a8ac82c0012f9dac6f15ef"},
	/* 320 */
	{"139383f3f82dc78e0b380027f9e5fcd2ed23716404be5c554452e4dc73d23702"
	 "6594491820c6b8297185cc1fa84f49a5c7d7cd05c5de090ff1c3397bc2740437",
	 "d39da73ffc03ad0a9213ffc7", "48604944a80fadf50d55b87727934458c8",
	 "a9cf73951cb39823777f35c96c845169476e2ec2317cb6b8dd8b6172fdceabff9d"},
	/* 324 */
	{"72a76714e0171e8213de624f00e273bc900050e69d25c454cc42b61e8b3fbc92"
	 "d4942e1ae14421e164046c1479a7b9c9f4b50b382cb62dfeaa210b98dec7d937",
	 "6a8aaf2c84003e0e6f409658",
	 "92d8f4dc7d41e8b180d66e8994022db79249cdc76fd7f3ea12d9925b51925250cd75a15fcfd78ea8"
	 "5c57fe6196f8d7545086f99ea796a0ea69170db9944200435d9d3d551943892400ce787f703c1105",
	 "69f720f36b0da86ec8cc0f46d62835dcb35ac23f5b891152d861c4e0f0018f19d272ee8b12d83300"
	 "bfd46aeec0124d5d23b3cb849c1cab1fdf64b70947ebf79f5442e209076dfa9a3f36ab0a6d3cf4a7"
	 "5ddfcdc21837743b20885db4c803ac27"},
	/* 326, 330: the counter's cleared bits, and its carry */
	{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	 "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
	 "000102030405060708090a0b0c0d0e0f", "bfa1733d07afa03cb3f2eeb81bbde037",
	 "000000000000000000000000000000004ce637d6ca9cdf1c2feb0d140865cddb"},
	{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	 "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
	 "000102030405060708090a0b0c0d0e0f", "cd53e1763fbb8663afe74dc1bd443e52",
	 "ffffffffffffffffffffffff7fffffff82b74728b73fc76c14b6bdb999625008"},
	/* a padded name under a directory's id; computed with Python's cryptography module */
	{"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	 "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f",
	 "000102030405060708090a0b0c0d0e0f", "68656c6c6f2e74787400000000000000",
	 "09fa20c519b729ad860aba269a8afc3130fbb61bc5ed0352b4a65d50e2471013"},
};

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
		uint8_t key[64], ad[64], plain[128], want[128], cipher[128], again[128];
		size_t ad_bytes = unit_unhex(vectors[i].ad, ad, sizeof(ad));
		size_t plain_bytes = unit_unhex(vectors[i].plain, plain, sizeof(plain));
		struct xtsfs_siv *siv;

		unit_unhex(vectors[i].key, key, sizeof(key));
		assert_int_equal(unit_unhex(vectors[i].cipher, want, sizeof(want)), plain_bytes + XTSFS_SIV_IV_BYTES);
		assert_int_equal(xtsfs_siv_new(key, &siv), 0);
		for (int round = 0; round < 3; round++) { /* on contexts that had messages before */
			assert_int_equal(xtsfs_siv_seal(siv, ad, ad_bytes, plain, plain_bytes, cipher), 0);
			assert_memory_equal(cipher, want, plain_bytes + XTSFS_SIV_IV_BYTES);
			assert_int_equal(
				xtsfs_siv_open(siv, ad, ad_bytes, cipher, plain_bytes + XTSFS_SIV_IV_BYTES, again), 0);
			assert_memory_equal(again, plain, plain_bytes);
		}
		assert_null(xtsfs_siv_free(siv));
	}
}

/* Each bit of ciphertext and associated data, and each length: not authentic, the output wiped, and no later message
 * disturbed. */
static void test_tampering(void **state)
{
	uint8_t key[64], ad[16], plain[48], cipher[64], again[48];
	struct xtsfs_siv *siv;
	uint64_t random = 11;

	(void)state;
	unit_random_fill(&random, key, sizeof(key));
	unit_random_fill(&random, ad, sizeof(ad));
	unit_random_fill(&random, plain, sizeof(plain));
	assert_int_equal(xtsfs_siv_new(key, &siv), 0);
	assert_int_equal(xtsfs_siv_seal(siv, ad, sizeof(ad), plain, sizeof(plain), cipher), 0);
	for (size_t bit = 0; bit < 8 * (sizeof(cipher) + sizeof(ad)); bit++) {
		uint8_t *at = bit < 8 * sizeof(cipher) ? cipher + bit / 8 : ad + (bit / 8 - sizeof(cipher));

		*at = (uint8_t)(*at ^ 1U << bit % 8);
		memset(again, 0x77, sizeof(again));
		assert_int_equal(xtsfs_siv_open(siv, ad, sizeof(ad), cipher, sizeof(cipher), again), -EBADMSG);
		assert_true(xtsfs_is_zero(again, sizeof(again)));
		*at = (uint8_t)(*at ^ 1U << bit % 8);
		assert_int_equal(xtsfs_siv_open(siv, ad, sizeof(ad), cipher, sizeof(cipher), again), 0);
		assert_memory_equal(again, plain, sizeof(plain));
	}
	for (size_t bytes = XTSFS_SIV_IV_BYTES + 1; bytes < sizeof(cipher); bytes++)
		assert_int_equal(xtsfs_siv_open(siv, ad, sizeof(ad), cipher, bytes, again), -EBADMSG);
	for (size_t bytes = 1; bytes < sizeof(ad); bytes++)
		assert_int_equal(xtsfs_siv_open(siv, ad, bytes, cipher, sizeof(cipher), again), -EBADMSG);
	xtsfs_siv_free(siv);
}

static void test_limits(void **state)
{
	uint8_t key[64] = {1}, ad[1] = {2}, plain[1] = {3}, cipher[17], again[1] = {9};
	struct xtsfs_siv *siv;

	(void)state;
	assert_int_equal(xtsfs_siv_new(key, &siv), 0);
	assert_int_equal(xtsfs_siv_seal(siv, ad, 0, plain, 1, cipher), -EINVAL);
	assert_int_equal(xtsfs_siv_seal(siv, ad, 1, plain, 0, cipher), -EINVAL);
	assert_int_equal(xtsfs_siv_seal(siv, ad, (size_t)INT_MAX + 1, plain, 1, cipher), -EINVAL);
	assert_int_equal(xtsfs_siv_seal(siv, ad, 1, plain, (size_t)INT_MAX + 1, cipher), -EINVAL);
	for (size_t bytes = 0; bytes <= XTSFS_SIV_IV_BYTES; bytes++)
		assert_int_equal(xtsfs_siv_open(siv, ad, 1, cipher, bytes, again), -EINVAL);
	assert_int_equal(xtsfs_siv_open(siv, ad, 0, cipher, 17, again), -EINVAL);
	assert_int_equal(again[0], 9);
	assert_int_equal(xtsfs_siv_seal(siv, ad, 1, plain, 1, cipher), 0);
	assert_int_equal(xtsfs_siv_open(siv, ad, 1, cipher, 17, again), 0);
	assert_int_equal(again[0], 3);
	xtsfs_siv_free(siv);
	assert_null(xtsfs_siv_free(NULL));
}

/* A freshly keyed context of OpenSSL for each message. */
static void seal_directly(const uint8_t *key, const uint8_t *ad, int ad_bytes, const uint8_t *plain, int plain_bytes,
			  uint8_t *cipher)
{
	EVP_CIPHER *siv = EVP_CIPHER_fetch(NULL, "AES-256-SIV", NULL);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int done;

	assert(EVP_EncryptInit_ex(ctx, siv, NULL, key, NULL) == 1);
	assert(EVP_EncryptUpdate(ctx, NULL, &done, ad, ad_bytes) == 1);
	assert(EVP_EncryptUpdate(ctx, cipher + 16, &done, plain, plain_bytes) == 1);
	assert(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, cipher) == 1);
	EVP_CIPHER_CTX_free(ctx);
	EVP_CIPHER_free(siv);
}

struct shared {
	struct xtsfs_siv *siv;
	uint8_t ad[16];
	uint8_t plain[256];
	uint8_t cipher[256][16 + 256]; /* by length */
};

static void *check_messages(void *argument)
{
	struct shared *shared = argument;

	for (unsigned i = 0; i < 2000; i++) {
		size_t bytes = 1 + i * 37 % 256;
		uint8_t *want = shared->cipher[bytes - 1], cipher[16 + 256], plain[256];

		assert(xtsfs_siv_seal(shared->siv, shared->ad, 16, shared->plain, bytes, cipher) == 0);
		assert(memcmp(cipher, want, 16 + bytes) == 0);
		if (i % 5 == 0) {
			cipher[i % (16 + bytes)] ^= 1;
			assert(xtsfs_siv_open(shared->siv, shared->ad, 16, cipher, 16 + bytes, plain) == -EBADMSG);
		}
		assert(xtsfs_siv_open(shared->siv, shared->ad, 16, want, 16 + bytes, plain) == 0);
		assert(memcmp(plain, shared->plain, bytes) == 0);
	}
	return NULL;
}

static void test_threads(void **state)
{
	static const unsigned counts[] = {1, 2, 4, 16};
	static struct shared shared;
	uint64_t random = 12;
	uint8_t key[64];

	(void)state;
	unit_random_fill(&random, key, sizeof(key));
	unit_random_fill(&random, shared.ad, sizeof(shared.ad));
	unit_random_fill(&random, shared.plain, sizeof(shared.plain));
	for (int bytes = 1; bytes <= 256; bytes++)
		seal_directly(key, shared.ad, 16, shared.plain, bytes, shared.cipher[bytes - 1]);
	assert_int_equal(xtsfs_siv_new(key, &shared.siv), 0);
	for (size_t c = 0; c < ARRAY_COUNT(counts); c++) {
		pthread_t threads[16];

		for (unsigned i = 0; i < counts[c]; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, check_messages, &shared), 0);
		for (unsigned i = 0; i < counts[c]; i++)
			pthread_join(threads[i], NULL);
	}
	xtsfs_siv_free(shared.siv);
}

/* The longest symlink target and an xattr value of 64 KiB. */
static void test_long(void **state)
{
	static uint8_t plain[65536], cipher[16 + 65536], want[16 + 65536];
	uint8_t key[64] = {5}, ad[16] = {6};
	struct xtsfs_siv *siv;
	uint64_t random = 13;

	(void)state;
	unit_random_fill(&random, plain, sizeof(plain));
	assert_int_equal(xtsfs_siv_new(key, &siv), 0);
	for (size_t bytes = 3039; bytes <= sizeof(plain); bytes += sizeof(plain) - 3039) {
		assert_int_equal(xtsfs_siv_seal(siv, ad, 16, plain, bytes, cipher), 0);
		seal_directly(key, ad, 16, plain, (int)bytes, want);
		assert_memory_equal(cipher, want, 16 + bytes);
		/* in place, behind the IV */
		assert_int_equal(xtsfs_siv_open(siv, ad, 16, cipher, 16 + bytes, cipher + 16), 0);
		assert_memory_equal(cipher + 16, plain, bytes);
	}
	xtsfs_siv_free(siv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors), cmocka_unit_test(test_tampering), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_threads), cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
