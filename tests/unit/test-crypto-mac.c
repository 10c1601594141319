/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The MACs. aes-gmac against the definition of GMAC written out bit by bit (itself checked with the vectors of the GCM
 * specification), hmac-sha256 against RFC 4231; parts, reuse, threads.
 */
#undef NDEBUG
#include "unit.h"

#include "crypto/faster.h"
#include "crypto/mac-impl.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>

static void aes_block(const uint8_t *key, const uint8_t *in, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int done;

	assert(EVP_EncryptInit_ex(ctx, EVP_aes_256_ecb(), NULL, key, NULL) == 1);
	EVP_CIPHER_CTX_set_padding(ctx, 0);
	assert(EVP_EncryptUpdate(ctx, out, &done, in, 16) == 1 && done == 16);
	EVP_CIPHER_CTX_free(ctx);
}

/* y = y · h in GF(2^128) as SP 800-38D section 6.3 has it: bit 0 is the leftmost. */
static void gf_multiply(uint8_t *y, const uint8_t *h)
{
	uint8_t z[16] = {0}, v[16];

	memcpy(v, h, 16);
	for (unsigned i = 0; i < 128; i++) {
		unsigned carry = v[15] & 1U;

		if (y[i / 8] >> (7 - i % 8) & 1)
			for (unsigned j = 0; j < 16; j++)
				z[j] ^= v[j];
		for (unsigned j = 15; j > 0; j--)
			v[j] = (uint8_t)(v[j] >> 1 | v[j - 1] << 7);
		v[0] = (uint8_t)(v[0] >> 1 ^ (carry ? 0xe1 : 0));
	}
	memcpy(y, z, 16);
}

static void ghash_data(uint8_t *y, const uint8_t *h, const uint8_t *data, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += 16) {
		for (size_t i = 0; i < 16 && at + i < bytes; i++)
			y[i] ^= data[at + i];
		gf_multiply(y, h);
	}
}

static void gcm_tag(const uint8_t *key, const uint8_t *nonce, const uint8_t *ad, size_t ad_bytes, const uint8_t *cipher,
		    size_t cipher_bytes, uint8_t *ret_tag)
{
	uint8_t h[16] = {0}, y[16] = {0}, lengths[16] = {0}, counter[16] = {0};

	aes_block(key, h, h);
	ghash_data(y, h, ad, ad_bytes);
	ghash_data(y, h, cipher, cipher_bytes);
	for (unsigned i = 0; i < 8; i++) {
		lengths[7 - i] = (uint8_t)((uint64_t)ad_bytes * 8 >> (8 * i));
		lengths[15 - i] = (uint8_t)((uint64_t)cipher_bytes * 8 >> (8 * i));
	}
	ghash_data(y, h, lengths, 16);
	memcpy(counter, nonce, 12);
	counter[15] = 1;
	aes_block(key, counter, ret_tag);
	for (unsigned i = 0; i < 16; i++)
		ret_tag[i] ^= y[i];
}

/* The GCM specification (McGrew, Viega), test cases 13, 14 and 16. */
static void test_reference(void **state)
{
	uint8_t key[32] = {0}, nonce[12] = {0}, cipher[64], ad[20], tag[16];
	size_t bytes;

	(void)state;
	gcm_tag(key, nonce, NULL, 0, NULL, 0, tag);
	unit_assert_hex(tag, "530f8afbc74536b9a963b4f1c4cb738b");
	unit_unhex("cea7403d4d606b6e074ec5d3baf39d18", cipher, sizeof(cipher));
	gcm_tag(key, nonce, NULL, 0, cipher, 16, tag);
	unit_assert_hex(tag, "d0d1c8a799996bf0265b98b5d48ab919");
	unit_unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", key, sizeof(key));
	unit_unhex("cafebabefacedbaddecaf888", nonce, sizeof(nonce));
	unit_unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2", ad, sizeof(ad));
	bytes = unit_unhex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
			   "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
			   cipher, sizeof(cipher));
	gcm_tag(key, nonce, ad, 20, cipher, bytes, tag);
	unit_assert_hex(tag, "76fc6ece0f4e1768cddf8853bb2d551b");
}

static void reference_tag(enum xtsfs_mac_kind kind, const uint8_t *key, const uint8_t *data, size_t bytes,
			  uint8_t *ret_tag)
{
	if (kind == XTSFS_MAC_AES_GMAC) {
		uint8_t g[16];

		gcm_tag(key, (const uint8_t[12]){0}, data, bytes, NULL, 0, g);
		aes_block(key + 32, g, ret_tag);
	} else {
		uint8_t full[32];

		assert_non_null(HMAC(EVP_sha256(), key, 64, data, bytes, full, NULL));
		memcpy(ret_tag, full, 16);
	}
}

/* A message of every length, in 0 to 6 parts of which some are empty; the same object for all. */
static void test_parts(void **state)
{
	uint8_t data[400], key[64], tag[16], want[16];
	uint64_t random = 8;

	(void)state;
	unit_random_fill(&random, data, sizeof(data));
	unit_random_fill(&random, key, sizeof(key));
	for (enum xtsfs_mac_kind kind = 0; kind < XTSFS_MAC__COUNT; kind++) {
		struct xtsfs_mac *mac;

		assert_int_equal(xtsfs_mac_new(kind, key, &mac), 0);
		for (size_t bytes = 0; bytes <= sizeof(data); bytes++) {
			unsigned count = bytes ? 1 + (unsigned)(unit_random(&random) % 6)
					       : (unsigned)(unit_random(&random) % 3);
			struct iovec parts[6];
			size_t at = 0;

			for (unsigned i = 0; i < count; i++) {
				size_t now = i + 1 == count ? bytes - at : unit_random(&random) % (bytes - at + 1);

				parts[i] = (struct iovec){now ? data + at : NULL, now};
				at += now;
			}
			assert_int_equal(xtsfs_mac_tag(mac, parts, count, tag), 0);
			reference_tag(kind, key, data, bytes, want);
			assert_memory_equal(tag, want, 16);
		}
		assert_null(xtsfs_mac_free(mac));
	}
}

static void test_sector_sizes(void **state)
{
	static uint8_t data[32 + 4096];
	uint8_t key[64], tag[16], want[16];
	uint64_t random = 9;

	(void)state;
	unit_random_fill(&random, data, sizeof(data));
	unit_random_fill(&random, key, sizeof(key));
	for (enum xtsfs_mac_kind kind = 0; kind < XTSFS_MAC__COUNT; kind++) {
		struct iovec parts[2] = {{data, 32}, {data + 32, 4096}};
		struct xtsfs_mac *mac;

		assert_int_equal(xtsfs_mac_new(kind, key, &mac), 0);
		assert_int_equal(xtsfs_mac_tag(mac, parts, 2, tag), 0);
		reference_tag(kind, key, data, sizeof(data), want);
		assert_memory_equal(tag, want, 16);
		xtsfs_mac_free(mac);
	}
}

/* Key 00 to 3f, message 00 to 63 (hex); computed with Python's cryptography and hmac modules. */
static void test_frozen(void **state)
{
	static const char *const want[] = {"153bfb2c0fb412012af7965bf5b4caeb", "e0fc11a31f1f2b329e227864906e9a8b"};
	uint8_t key[64], data[100], tag[16];

	(void)state;
	for (unsigned i = 0; i < sizeof(data); i++) {
		data[i] = (uint8_t)i;
		key[i % 64] = (uint8_t)(i % 64);
	}
	for (enum xtsfs_mac_kind kind = 0; kind < XTSFS_MAC__COUNT; kind++) {
		struct iovec part = {data, sizeof(data)};
		struct xtsfs_mac *mac;

		assert_int_equal(xtsfs_mac_new(kind, key, &mac), 0);
		assert_int_equal(xtsfs_mac_tag(mac, &part, 1, tag), 0);
		unit_assert_hex(tag, want[kind]);
		xtsfs_mac_free(mac);
	}
}

/* RFC 4231, test cases 1 to 4: HMAC fills a shorter key with zeros to 64 bytes, and ours has 64. */
static void test_rfc_4231(void **state)
{
	static const struct {
		const char *key, *data, *want;
	} cases[] = {
		{"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265", "b0344c61d8db38535ca8afceaf0bf12b"},
		{"4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f",
		 "5bdcc146bf60754e6a042426089575c7"},
		{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		 "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
		 "773ea91e36800e46854db8ebd09181a7"},
		{"0102030405060708090a0b0c0d0e0f10111213141516171819",
		 "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd",
		 "82558a389a443c0ea4cc819899f2083a"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint8_t key[64] = {0}, data[64], tag[16];
		struct iovec part = {data, 0};
		struct xtsfs_mac *mac;

		unit_unhex(cases[i].key, key, sizeof(key));
		part.iov_len = unit_unhex(cases[i].data, data, sizeof(data));
		assert_int_equal(xtsfs_mac_new(XTSFS_MAC_HMAC_SHA256, key, &mac), 0);
		for (int again = 0; again < 3; again++) {
			assert_int_equal(xtsfs_mac_tag(mac, &part, 1, tag), 0);
			unit_assert_hex(tag, cases[i].want);
		}
		xtsfs_mac_free(mac);
	}
}

static void test_kinds(void **state)
{
	struct xtsfs_mac *mac = NULL;
	uint8_t key[64] = {0};

	(void)state;
	assert_int_equal(xtsfs_mac_new(XTSFS_MAC__COUNT, key, &mac), -EINVAL);
	assert_int_equal(xtsfs_mac_new((enum xtsfs_mac_kind) - 1, key, &mac), -EINVAL);
	assert_null(mac);
	assert_null(xtsfs_mac_free(NULL));
}

#define MESSAGES 64

struct shared {
	struct xtsfs_mac *mac;
	uint8_t data[32 + 4096];
	uint8_t tags[MESSAGES][16];
};

static void *check_tags(void *argument)
{
	struct shared *shared = argument;

	for (unsigned i = 0; i < 1500; i++) {
		unsigned message = i * 7 % MESSAGES;
		struct iovec parts[2] = {{shared->data, 32}, {shared->data + 32, 64 * message}};
		uint8_t tag[16];

		assert(xtsfs_mac_tag(shared->mac, parts, 2, tag) == 0);
		assert(memcmp(tag, shared->tags[message], 16) == 0);
	}
	return NULL;
}

static void test_threads(void **state)
{
	static const unsigned counts[] = {1, 2, 4, 16, 80}; /* 80: more than contexts are kept */
	static struct shared shared;
	uint8_t key[64];
	uint64_t random = 10;

	(void)state;
	unit_random_fill(&random, key, sizeof(key));
	unit_random_fill(&random, shared.data, sizeof(shared.data));
	for (enum xtsfs_mac_kind kind = 0; kind < XTSFS_MAC__COUNT; kind++) {
		assert_int_equal(xtsfs_mac_new(kind, key, &shared.mac), 0);
		for (unsigned i = 0; i < MESSAGES; i++)
			reference_tag(kind, key, shared.data, 32 + 64 * i, shared.tags[i]);
		for (size_t c = 0; c < ARRAY_COUNT(counts); c++) {
			pthread_t threads[80];

			for (unsigned i = 0; i < counts[c]; i++)
				assert_int_equal(pthread_create(&threads[i], NULL, check_tags, &shared), 0);
			for (unsigned i = 0; i < counts[c]; i++)
				pthread_join(threads[i], NULL);
		}
		xtsfs_mac_free(shared.mac);
	}
}

static const struct xtsfs_mac_impl *const gmacs[] = {
	&xtsfs_gmac_openssl,
#if XTSFS_HAVE_IPSEC_MB
	&xtsfs_gmac_ipsec_mb,
#endif
};

/* aes-gmac by each library: lengths up to three sectors, in parts that do not end at blocks, against the definition
 * where that is quick enough and against the first library else. The one that is chosen is among them. */
static void test_libraries(void **state)
{
	static uint8_t data[3 * 4096 + 40];
	uint8_t key[64], tag[16], want[16];
	struct xtsfs_mac *macs[ARRAY_COUNT(gmacs)];
	bool found = false;
	uint64_t random = 11;

	(void)state;
	unit_random_fill(&random, data, sizeof(data));
	unit_random_fill(&random, key, sizeof(key));
	for (size_t m = 0; m < ARRAY_COUNT(gmacs); m++) {
		int r = xtsfs_mac_new_by(gmacs[m], key, &macs[m]);

		if (m > 0 && r == -EOPNOTSUPP) {
			print_message("%s: not on this processor\n", gmacs[m]->library);
			macs[m] = NULL;
		} else {
			assert_int_equal(r, 0);
		}
	}
	for (size_t bytes = 0; bytes <= sizeof(data); bytes += bytes < 300 ? 1 : 1 + unit_random(&random) % 64) {
		struct iovec parts[4];
		size_t at = 0;

		for (unsigned i = 0; i < 4; i++) {
			size_t now = i == 3 ? bytes - at : unit_random(&random) % (bytes - at + 1);

			parts[i] = (struct iovec){data + at, now};
			at += now;
		}
		if (bytes < 300)
			reference_tag(XTSFS_MAC_AES_GMAC, key, data, bytes, want);
		else
			assert_int_equal(xtsfs_mac_tag(macs[0], parts, 4, want), 0);
		for (size_t m = 0; m < ARRAY_COUNT(gmacs); m++) {
			if (!macs[m])
				continue;
			assert_int_equal(xtsfs_mac_tag(macs[m], parts, 4, tag), 0);
			assert_memory_equal(tag, want, 16);
		}
	}
	for (size_t m = 0; m < ARRAY_COUNT(gmacs); m++)
		found = found || (macs[m] && strcmp(gmacs[m]->library, xtsfs_gmac_library()) == 0);
	assert_true(found);
	for (size_t m = 0; m < ARRAY_COUNT(gmacs); m++)
		xtsfs_mac_free(macs[m]);
	print_message("GMAC by %s\n", xtsfs_gmac_library());
}

static int count_down(void *data)
{
	int *left = data;

	return (*left)-- > 0 ? 0 : -EIO;
}

static void test_faster(void **state)
{
	int left = 100;

	(void)state;
	assert_true(xtsfs_shortest_ns(count_down, &left) > 0);
	left = 2;
	assert_int_equal(xtsfs_shortest_ns(count_down, &left), -EIO);
	assert_true(xtsfs_is_faster(80, 100));
	assert_false(xtsfs_is_faster(95, 100));
	assert_false(xtsfs_is_faster(100, 80));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reference), cmocka_unit_test(test_parts),	    cmocka_unit_test(test_sector_sizes),
		cmocka_unit_test(test_frozen),	  cmocka_unit_test(test_rfc_4231),  cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_threads),	  cmocka_unit_test(test_libraries), cmocka_unit_test(test_faster),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
