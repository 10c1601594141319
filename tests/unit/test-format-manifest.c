/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of manifests: what is packed is parsed again, and what is malformed is refused (docs/manifest-format.md). */
#include "unit.h"

#include "format/manifest.h"

#include <string.h>
#include <sys/stat.h>

static struct xtsfs_manifest_entry sample(void)
{
	struct xtsfs_manifest_entry entry = {.depth = 3,
					     .mode = S_IFREG | 0640,
					     .uid = 1000,
					     .gid = 0xfffffffe,
					     .size = 1ULL << 40,
					     .mtime_s = -5,
					     .mtime_ns = 999999999};

	memset(entry.id, 1, sizeof(entry.id));
	memset(entry.tag, 2, sizeof(entry.tag));
	memset(entry.attr, 3, sizeof(entry.attr));
	strcpy(entry.name, "name");
	return entry;
}

static void test_round_trip(void **state)
{
	struct xtsfs_manifest_entry entry = sample(), again;
	uint8_t bytes[XTSFS_MANIFEST_ENTRY_MAX];
	size_t count = xtsfs_manifest_pack(&entry, bytes);

	(void)state;
	assert_int_equal(count, XTSFS_MANIFEST_FIXED_BYTES + 4);
	assert_int_equal(xtsfs_manifest_parse(bytes, count, &again), (int)count);
	assert_memory_equal(&entry, &again, sizeof(entry));
	memset(entry.name, 'n', XTSFS_NAME_MAX);
	count = xtsfs_manifest_pack(&entry, bytes);
	assert_int_equal(count, XTSFS_MANIFEST_ENTRY_MAX);
	assert_int_equal(xtsfs_manifest_parse(bytes, count, &again), (int)count);
	assert_string_equal(again.name, entry.name);
}

static void test_cut(void **state)
{
	struct xtsfs_manifest_entry entry = sample(), again;
	uint8_t bytes[XTSFS_MANIFEST_ENTRY_MAX];
	size_t count = xtsfs_manifest_pack(&entry, bytes);

	(void)state;
	for (size_t room = 0; room < count; room++)
		assert_int_equal(xtsfs_manifest_parse(bytes, room, &again), -EUCLEAN);
}

static void test_malformed(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
	} edits[] = {
		{0, 0},	    /* depth 0 with a name */
		{4, 0},	    /* no name */
		{5, 1},	    /* 260 bytes of name */
		{6, 1},	    /* reserved */
		{7, 1},	    /* reserved */
		{35, 0xff}, /* nanoseconds */
		{36, 1},    /* reserved */
		{39, 1},    /* reserved */
		{88, '/'},  /* in the name */
		{90, 0},    /* in the name */
	};
	struct xtsfs_manifest_entry entry = sample(), again;
	uint8_t bytes[XTSFS_MANIFEST_ENTRY_MAX], bad[sizeof(bytes) + 300] = {0};
	size_t count = xtsfs_manifest_pack(&entry, bytes);

	(void)state;
	for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
		memcpy(bad, bytes, count);
		bad[edits[i].at] = edits[i].value;
		assert_int_equal(xtsfs_manifest_parse(bad, sizeof(bad), &again), -EUCLEAN);
	}
	strcpy(entry.name, "..");
	assert_int_equal(xtsfs_manifest_parse(bytes, xtsfs_manifest_pack(&entry, bytes), &again), -EUCLEAN);
	strcpy(entry.name, ".");
	assert_int_equal(xtsfs_manifest_parse(bytes, xtsfs_manifest_pack(&entry, bytes), &again), -EUCLEAN);
	entry.depth = 0;
	entry.name[0] = '\0';
	assert_int_equal(xtsfs_manifest_parse(bytes, xtsfs_manifest_pack(&entry, bytes), &again), -EUCLEAN);
	entry.mode = S_IFDIR | 0700;
	assert_true(xtsfs_manifest_parse(bytes, xtsfs_manifest_pack(&entry, bytes), &again) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
