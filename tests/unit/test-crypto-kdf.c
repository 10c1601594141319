/* SPDX-License-Identifier: Apache-2.0 */
/* HKDF-SHA-512, AES-256-GCM, SHA-256, HMAC-SHA-256, random bytes: published vectors, limits, tampering. */
#undef NDEBUG
#include "unit.h"

#include "base/secret.h"
#include "crypto/kdf.h"

#include <limits.h>
#include <sys/wait.h>
#include <unistd.h>

/* Wycheproof's hkdf_sha512_test.json, numbers 3, 9, 12, 18 and 20 (RFC 5869 has none for SHA-512). */
static void test_hkdf(void **state)
{
	static const struct {
		const char *key, *salt, *info, *want;
	} cases[] = {
		{"d4dcb92a769f57c8bab8a420ee0aa351", "", "",
		 "a8420281c08c5f087c9d54d5660847805b0fff2d6257f02bf849badfa8a29bee"
		 "84ebe704a6eadc0beba0c33805d5843e167b1966aeba6a15b0f1f7b3db8c407a"},
		{"08867e76311126089356623ba5381e73", "0c164c443edcdfaedb1ab150f047951f", "",
		 "098d9f9e0e0c609b94e8aa57b0449cdb3929605f821cda305e4d93746553a40a"
		 "1e4c97565183e116511c3dc5d9d56561c698849a114692c8128b5d3c1cd728f7"},
		{"8677dc79233ef3480777c4c601ef4f0b", "ad88db718244e2cb60e35f874d7ad81f",
		 "a38f634d947819a9bfa792174b42baa20c9fce15",
		 "918e9cda37bf7f52506111048a878e64a503f9869d0c2615047b995f1efedc4f"
		 "713b4dbcc940838e68f6a2bf772ebefae9154e9075da80ea1fd68b9df580ad76"},
		{"6cf725e939e8824d4392233eeac75d30", "1e72f24b05a91a0093f34306ffced79e7003055b0833c6d0f27a4f33a1bd",
		 "495425d9727fee2e2b7e78899868c1c3e7735e1d",
		 "379e6d4fc3c9b344754a1094eac60b71e47e281695515987abbc3b22c1e267d9"
		 "5b101592896e08c869557ea82ba075d9c9524d3cb79d7d8cabb33364f5252968"},
		{"34bae5a158c1678aa76a744417a70d7a",
		 "1532075f363e061133780ac959bf653c7687d181b9431215d6f62dd2f1ec3019"
		 "d61c50fa82c70ae25e624c849a276b0c57d7c02a4d753fe84a1a6621e9a5ef01",
		 "87ec30aa53acfc3d09ccc1d57d654fdbce403cd4",
		 "65f5385dab06d375033a6a25926ef4bf5dc660737ab8ccef370af10cc9dcd7743cf273fd048f64b7301e"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint8_t key[32], salt[64], out[64];
		char info[32] = "";
		size_t key_bytes = unit_unhex(cases[i].key, key, sizeof(key));
		size_t salt_bytes = unit_unhex(cases[i].salt, salt, sizeof(salt));

		unit_unhex(cases[i].info, (uint8_t *)info, sizeof(info) - 1);
		assert_int_equal(
			xtsfs_hkdf_sha512(key, key_bytes, salt, salt_bytes, info, out, strlen(cases[i].want) / 2), 0);
		unit_assert_hex(out, cases[i].want);
	}
}

static void test_hkdf_limits(void **state)
{
	static uint8_t out[255 * 64 + 1];
	uint8_t key[32] = {1}, head[16];

	(void)state;
	assert_int_equal(xtsfs_hkdf_sha512(key, 32, NULL, 0, "x", out, 0), -EINVAL);
	assert_int_equal(xtsfs_hkdf_sha512(key, 0, NULL, 0, "x", out, 16), -EINVAL);
	assert_int_equal(xtsfs_hkdf_sha512(key, 32, NULL, 0, "x", out, sizeof(out)), -EINVAL);
	assert_true(xtsfs_is_zero(out, sizeof(out)));
	assert_int_equal(xtsfs_hkdf_sha512(key, 32, NULL, 0, "x", out, sizeof(out) - 1), 0);
	assert_int_equal(out[sizeof(out) - 1], 0);
	/* A shorter output is the beginning of a longer one; another label or salt is something else. */
	assert_int_equal(xtsfs_hkdf_sha512(key, 32, NULL, 0, "x", head, 16), 0);
	assert_memory_equal(head, out, 16);
	assert_int_equal(xtsfs_hkdf_sha512(key, 32, NULL, 0, "y", head, 16), 0);
	assert_memory_not_equal(head, out, 16);
	assert_int_equal(xtsfs_hkdf_sha512(key, 32, key, 16, "x", head, 16), 0);
	assert_memory_not_equal(head, out, 16);
}

/* The GCM specification (McGrew, Viega), test cases 13 to 16. */
static void test_gcm(void **state)
{
	static const struct {
		const char *key, *nonce, *ad, *plain, *cipher, *tag;
	} cases[] = {
		{"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "",
		 "", "530f8afbc74536b9a963b4f1c4cb738b"},
		{"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
		 "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18",
		 "d0d1c8a799996bf0265b98b5d48ab919"},
		{"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "",
		 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
		 "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
		 "b094dac5d93471bdec1a502270e3cc6c"},
		{"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
		 "feedfacedeadbeeffeedfacedeadbeefabaddad2",
		 "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		 "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
		 "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
		 "76fc6ece0f4e1768cddf8853bb2d551b"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint8_t key[32], nonce[12], ad[32], plain[64], cipher[64] = {0}, tag[16], again[64] = {0};
		size_t ad_bytes = unit_unhex(cases[i].ad, ad, sizeof(ad));
		size_t bytes = unit_unhex(cases[i].plain, plain, sizeof(plain));

		unit_unhex(cases[i].key, key, sizeof(key));
		unit_unhex(cases[i].nonce, nonce, sizeof(nonce));
		assert_int_equal(xtsfs_gcm_seal(key, nonce, ad, ad_bytes, plain, bytes, cipher, tag), 0);
		unit_assert_hex(cipher, cases[i].cipher);
		unit_assert_hex(tag, cases[i].tag);
		assert_int_equal(xtsfs_gcm_open(key, nonce, ad, ad_bytes, cipher, bytes, tag, again), 0);
		assert_memory_equal(again, plain, bytes);
	}
}

/* Wrapping as a keyslot does it: each bit of key, nonce, data and tag counts, and the output is wiped. */
static void test_gcm_tampering(void **state)
{
	struct {
		uint8_t key[32], nonce[12], ad[30], cipher[32], tag[16];
	} box;
	uint8_t volume_key[32], again[32], *at = (uint8_t *)&box;
	uint64_t random = 14;

	(void)state;
	unit_random_fill(&random, &box, sizeof(box));
	unit_random_fill(&random, volume_key, sizeof(volume_key));
	assert_int_equal(
		xtsfs_gcm_seal(box.key, box.nonce, box.ad, sizeof(box.ad), volume_key, 32, box.cipher, box.tag), 0);
	for (size_t bit = 0; bit < 8 * sizeof(box); bit++) {
		at[bit / 8] = (uint8_t)(at[bit / 8] ^ 1U << bit % 8);
		memset(again, 0x77, sizeof(again));
		assert_int_equal(
			xtsfs_gcm_open(box.key, box.nonce, box.ad, sizeof(box.ad), box.cipher, 32, box.tag, again),
			-EBADMSG);
		assert_true(xtsfs_is_zero(again, sizeof(again)));
		at[bit / 8] = (uint8_t)(at[bit / 8] ^ 1U << bit % 8);
	}
	assert_int_equal(xtsfs_gcm_open(box.key, box.nonce, box.ad, sizeof(box.ad), box.cipher, 32, box.tag, again), 0);
	assert_memory_equal(again, volume_key, 32);
	assert_int_equal(xtsfs_gcm_open(box.key, box.nonce, box.ad, sizeof(box.ad) - 1, box.cipher, 32, box.tag, again),
			 -EBADMSG);
	assert_int_equal(
		xtsfs_gcm_seal(box.key, box.nonce, box.ad, (size_t)INT_MAX + 1, volume_key, 32, box.cipher, box.tag),
		-EINVAL);
	assert_int_equal(xtsfs_gcm_open(box.key, box.nonce, box.ad, 1, box.cipher, (size_t)INT_MAX + 1, box.tag, again),
			 -EINVAL);
}

static void test_sha256(void **state)
{
	uint8_t hash[32];

	(void)state; /* FIPS 180-4 examples */
	assert_int_equal(xtsfs_sha256("", 0, hash), 0);
	unit_assert_hex(hash, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_int_equal(xtsfs_sha256("abc", 3, hash), 0);
	unit_assert_hex(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_int_equal(xtsfs_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, hash), 0);
	unit_assert_hex(hash, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* RFC 4231, test cases 1, 2 and 6. */
static void test_hmac(void **state)
{
	uint8_t key[131], mac[32];
	static const char long_text[] = "Test Using Larger Than Block-Size Key - Hash Key First";

	(void)state;
	memset(key, 0x0b, 20);
	assert_int_equal(xtsfs_hmac_sha256(key, 20, "Hi There", 8, mac), 0);
	unit_assert_hex(mac, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_int_equal(xtsfs_hmac_sha256((const uint8_t *)"Jefe", 4, "what do ya want for nothing?", 28, mac), 0);
	unit_assert_hex(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	assert_int_equal(xtsfs_hmac_sha256(key, sizeof(key), long_text, strlen(long_text), mac), 0);
	unit_assert_hex(mac, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_random(void **state)
{
	static uint8_t large[(3U << 20) + 5];
	uint8_t ids[200][16];
	size_t counts[256] = {0};
	int pipes[2], status;
	pid_t pid;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
		assert_int_equal(i & 1 ? xtsfs_random(ids[i], 16) : xtsfs_random_secret(ids[i], 16), 0);
		for (size_t j = 0; j < i; j++)
			assert_memory_not_equal(ids[i], ids[j], 16);
	}
	assert_int_equal(xtsfs_random(NULL, 0), 0);
	assert_int_equal(xtsfs_random(large, sizeof(large)),
			 0); /* more than one call of the library, to the last byte */
	for (size_t i = 0; i < sizeof(large); i++)
		counts[large[i]]++;
	for (size_t i = 0; i < 256; i++)
		assert_in_range(counts[i], 12288 * 9 / 10, 12288 * 11 / 10);
	assert_false(xtsfs_is_zero(large + sizeof(large) - 5, 5));

	/* A child does not repeat the parent. */
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		uint8_t own[16];

		_exit(xtsfs_random(own, 16) == 0 && write(pipes[1], own, 16) == 16 ? 0 : 1);
	}
	assert_int_equal(xtsfs_random(ids[0], 16), 0);
	assert_int_equal(read(pipes[0], ids[1], 16), 16);
	assert_memory_not_equal(ids[0], ids[1], 16);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hkdf),	      cmocka_unit_test(test_hkdf_limits), cmocka_unit_test(test_gcm),
		cmocka_unit_test(test_gcm_tampering), cmocka_unit_test(test_sha256),	  cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
