/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The known answers of tests/vectors/format-v1.json through the core: what it writes, given the vectors' random bytes,
 * is what they say byte for byte (but for filler, which has no meaning), and what they say is read.
 */
#undef NDEBUG
#include "unit.h"

#include "core-fixture.h"

#include "core/internal.h"
#include "crypto/kdf.h"
#include "format/span.h"

#include <fcntl.h>
#include <json-c/json.h>

static struct json_object *vectors;
static const uint8_t *next_random; /* 16 bytes, once */

int __real_xtsfs_random(void *ret_data, size_t bytes);
int __wrap_xtsfs_random(void *ret_data, size_t bytes);

/* The core's randomness, replaced at link time. */
int __wrap_xtsfs_random(void *ret_data, size_t bytes)
{
	if (!next_random || bytes != 16)
		return __real_xtsfs_random(ret_data, bytes);
	memcpy(ret_data, next_random, bytes);
	next_random = NULL;
	return 0;
}

static struct json_object *get(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(object, key, &value) ? value : NULL;
}

static const char *text_of(struct json_object *object, const char *key)
{
	return json_object_get_string(get(object, key));
}

static int64_t number_of(struct json_object *object, const char *key)
{
	return json_object_get_int64(get(object, key));
}

/* A volume as in the vectors, with the root's id. */
static void begin(struct core *core, struct xtsfs_store **ret_store, enum xtsfs_integrity integrity,
		  unsigned content_keys)
{
	uint8_t id[16];

	core_init(core, integrity, content_keys);
	unit_unhex(text_of(vectors, "uuid_bytes"), core->conf->config->uuid, 16);
	unit_unhex(text_of(vectors, "volume_key"), core->key->data, 32);
	unit_unhex(text_of(vectors, "directory_id"), id, sizeof(id));
	assert_int_equal(xtsfs_store_memory_new(ret_store), 0);
	next_random = id;
	core_format(core, *ret_store);
	assert_null(next_random);
	core_open(core);
}

static void end(struct core *core, struct xtsfs_store *store)
{
	core_close(core);
	core_fini(core);
	xtsfs_store_free(store);
}

static void test_dirid(void **state)
{
	struct json_object *all = get(vectors, "dirid");

	(void)state;
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *vector = json_object_array_get_idx(all, i);
		enum xtsfs_integrity integrity = strcmp(text_of(vector, "mac"), "hmac-sha256") == 0
							 ? XTSFS_INTEGRITY_HMAC_SHA256
							 : XTSFS_INTEGRITY_AES_GMAC;
		struct xtsfs_store *store;
		struct core core;
		uint8_t want[48], file[48];
		int handle;

		if (strcmp(text_of(vector, "id"), text_of(vectors, "directory_id")) != 0 ||
		    strspn(text_of(vector, "parent"), "0") != 32)
			continue;
		begin(&core, &store, integrity, 1);
		unit_unhex(text_of(vector, "file"), want, sizeof(want));
		handle = store->ops->open(store, store->root, "xtsfs.dirid", O_RDONLY, 0, NULL);
		assert_int_equal(xtsfs_store_pread(store, handle, file, sizeof(file), 0), 48);
		assert_memory_equal(file, want, sizeof(want));
		store->ops->close(store, handle);
		end(&core, store);
	}
}

static void test_names(void **state)
{
	struct json_object *all = get(vectors, "names");
	struct xtsfs_store *store;
	struct core core;
	uint8_t dirid[16];

	(void)state;
	begin(&core, &store, XTSFS_INTEGRITY_AES_GMAC, 1);
	unit_unhex(text_of(vectors, "directory_id"), dirid, sizeof(dirid));
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *vector = json_object_array_get_idx(all, i);
		const char *name_file = text_of(vector, "name_file");
		struct xtsfs_backing_name backing;
		char name[256], back[256];

		name[unit_unhex(text_of(vector, "name_hex"), (uint8_t *)name, 255)] = '\0';
		assert_int_equal(xtsfs_names_seal(core.volume, dirid, name, &backing), 0);
		assert_string_equal(backing.entry, text_of(vector, "entry"));
		assert_string_equal(backing.long_text, name_file ? name_file : "");
		assert_int_equal(xtsfs_names_place(core.volume, store->root, &backing), 0);
		assert_int_equal(xtsfs_names_open(core.volume, dirid, store->root, backing.entry, back), 0);
		assert_string_equal(back, name);
	}
	all = get(vectors, "names_refused");
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		char back[256];
		int r = xtsfs_names_open(core.volume, dirid, store->root,
					 text_of(json_object_array_get_idx(all, i), "entry"), back);

		assert_true(r == -EUCLEAN || r == -EBADMSG);
	}
	end(&core, store);
}

static void test_mapping(void **state)
{
	struct json_object *mapping = get(vectors, "mapping"), *rows = get(get(mapping, "plain_to_stored"), "rows");

	(void)state;
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);
		uint64_t n[3];

		for (size_t j = 0; j < 3; j++)
			n[j] = (uint64_t)json_object_get_int64(json_object_array_get_idx(row, j));
		assert_int_equal(xtsfs_plain_to_cipher_bytes(XTSFS_LAYOUT_GROUPS, n[0]), n[1]);
		assert_int_equal(xtsfs_plain_to_cipher_bytes(XTSFS_LAYOUT_PLAIN, n[0]), n[2]);
	}
	rows = get(get(mapping, "stored_to_plain"), "rows");
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);
		uint64_t n[3];

		for (size_t j = 0; j < 3; j++)
			n[j] = (uint64_t)json_object_get_int64(json_object_array_get_idx(row, j));
		assert_int_equal(xtsfs_cipher_to_plain_bytes(XTSFS_LAYOUT_GROUPS, n[0]), n[1]);
		assert_int_equal(xtsfs_cipher_to_plain_bytes(XTSFS_LAYOUT_PLAIN, n[0]), n[2]);
	}
	rows = get(mapping, "tail");
	for (size_t i = 0; i < json_object_array_length(rows); i++) {
		struct json_object *row = json_object_array_get_idx(rows, i);

		assert_int_equal(
			xtsfs_tail_cipher_bytes((uint32_t)json_object_get_int(json_object_array_get_idx(row, 0))),
			json_object_get_int(json_object_array_get_idx(row, 1)));
	}
}

static void test_symlinks(void **state)
{
	struct json_object *all = get(vectors, "symlinks");
	struct xtsfs_store *store;
	struct core core;

	(void)state;
	begin(&core, &store, XTSFS_INTEGRITY_AES_GMAC, 1);
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *vector = json_object_array_get_idx(all, i);
		size_t bytes = (size_t)number_of(vector, "target_length");
		char target[XTSFS_SYMLINK_MAX + 1] = "", back[XTSFS_SYMLINK_MAX + 1], stored[4096] = "";
		uint8_t r16[16], hash[32];
		struct xtsfs_node *node;
		struct xtsfs_at at;
		struct stat st;
		ssize_t n;
		int r;

		if (text_of(vector, "target_hex"))
			unit_unhex(text_of(vector, "target_hex"), (uint8_t *)target, bytes);
		else
			for (size_t j = 0; j < bytes; j++)
				target[j] = (char)(1 + j % 250);
		unit_unhex(text_of(vector, "r"), r16, sizeof(r16));
		next_random = r16;
		assert_int_equal(core_try_symlink(&core, target, "link"), 0);
		node = core_node(&core, "link", &st, &r);
		assert_int_equal(st.st_size, bytes);
		assert_int_equal(xtsfs_readlink(core.volume, node, back), 0);
		assert_string_equal(back, target);
		assert_int_equal(xtsfs_at_get(core.volume, node, &at), 0);
		n = store->ops->readlink(store, at.handle, at.name, stored, sizeof(stored));
		xtsfs_at_put(core.volume, &at);
		core_forget(&core, node);
		assert_int_equal(n, number_of(vector, "stored_length"));
		assert_int_equal(xtsfs_sha256(stored, (size_t)n, hash), 0);
		unit_assert_hex(hash, text_of(vector, "stored_sha256"));
		assert_int_equal(core_try_unlink(&core, "link"), 0);
	}
	end(&core, store);
}

static void test_xattrs(void **state)
{
	struct json_object *all = get(vectors, "xattrs");
	struct xtsfs_store *store;
	struct core core;

	(void)state;
	begin(&core, &store, XTSFS_INTEGRITY_AES_GMAC, 1);
	assert_int_equal(core_try_create(&core, "f"), 0);
	assert_int_equal(core_try_symlink(&core, "x", "other"), 0);
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *vector = json_object_array_get_idx(all, i);
		const char *path = strcmp(text_of(vector, "object"), "other") == 0 ? "other" : "f";
		uint8_t r16[16], value[64], want[1024], stored[1024];
		size_t bytes = unit_unhex(text_of(vector, "value_hex"), value, sizeof(value));
		size_t want_bytes = unit_unhex(text_of(vector, "backing_value"), want, sizeof(want));
		struct xtsfs_at at;
		int r;
		struct xtsfs_node *node = core_node(&core, path, NULL, &r);
		const char *name = text_of(vector, "name");
		char list[1024];

		unit_unhex(text_of(vector, "r"), r16, sizeof(r16));
		next_random = r16;
		assert_int_equal(xtsfs_setxattr(core.volume, node, name, value, bytes, 0), 0);
		assert_int_equal(xtsfs_at_get(core.volume, node, &at), 0);
		assert_int_equal(store->ops->getxattr(store, at.handle, at.name, text_of(vector, "backing_name"),
						      stored, sizeof(stored)),
				 want_bytes);
		assert_memory_equal(stored, want, want_bytes);
		xtsfs_at_put(core.volume, &at);
		assert_int_equal(xtsfs_getxattr(core.volume, node, name, stored, sizeof(stored)), bytes);
		assert_memory_equal(stored, value, bytes);
		assert_int_equal(xtsfs_listxattr(core.volume, node, list, sizeof(list)), strlen(name) + 1);
		assert_string_equal(list, name);
		assert_int_equal(xtsfs_removexattr(core.volume, node, name), 0);
		core_forget(&core, node);
	}
	end(&core, store);
}

static void pattern(uint8_t *ret_data, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		ret_data[i] = (uint8_t)(i % 251);
}

static void compare_stored(struct core *core, struct json_object *vector, uint64_t plain_bytes, bool is_inline)
{
	uint8_t *stored, hash[32];
	size_t bytes = core_backing(core, "f", &stored), used;
	uint64_t tail = plain_bytes % CORE_B;

	assert_int_equal(bytes, number_of(vector, "stored_length"));
	used = is_inline ? 128 + xtsfs_pad16((uint32_t)plain_bytes)
			 : bytes - (tail ? xtsfs_tail_cipher_bytes((uint32_t)tail) - xtsfs_pad16((uint32_t)tail) : 0);
	memset(stored + used, 0, bytes - used); /* filler */
	unit_assert_hex(stored, text_of(vector, "header"));
	assert_int_equal(xtsfs_sha256(stored, bytes, hash), 0);
	unit_assert_hex(hash, text_of(vector, "stored_sha256"));
	free(stored);
}

static void files(const char *list, bool is_inline)
{
	struct json_object *all = get(vectors, list);
	unsigned done = 0;

	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *vector = json_object_array_get_idx(all, i);
		size_t bytes = (size_t)number_of(vector, "plain_length");
		unsigned content_keys = is_inline ? 4 : (unsigned)number_of(vector, "content_keys");
		const char *hex = text_of(vector, "plain_hex"), *plain = text_of(vector, "plain");
		enum xtsfs_integrity integrity;
		struct xtsfs_store *store;
		struct core core;
		uint8_t id[16], *data = malloc(bytes + 1), *back;

		if ((!is_inline && bytes <= XTSFS_INLINE_MAX) || (plain && strcmp(plain, "pattern") != 0)) {
			free(data); /* not what the core writes in one go; the interop test reads such */
			continue;
		}
		assert_int_equal(xtsfs_integrity_parse(text_of(vector, "integrity"), &integrity), 0);
		begin(&core, &store, integrity, is_inline ? 1 : content_keys);
		if (hex)
			unit_unhex(hex, data, bytes);
		else
			pattern(data, bytes);
		assert_int_equal(core_try_create(&core, "f"), 0);
		unit_unhex(text_of(vectors, "file_id"), id, sizeof(id));
		next_random = id;
		assert_int_equal(core_try_write(&core, "f", data, bytes, 0), bytes);
		compare_stored(&core, vector, bytes, is_inline);
		assert_int_equal(core_try_read(&core, "f", &back), bytes);
		assert_memory_equal(back, data, bytes);
		free(back);
		free(data);
		end(&core, store);
		done++;
	}
	assert_true(done >= 12);
}

static void test_inline_files(void **state)
{
	(void)state;
	files("inline_files", true);
}

static void test_sector_files(void **state)
{
	(void)state;
	files("sector_files", false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dirid),	     cmocka_unit_test(test_names),  cmocka_unit_test(test_mapping),
		cmocka_unit_test(test_symlinks),     cmocka_unit_test(test_xattrs), cmocka_unit_test(test_inline_files),
		cmocka_unit_test(test_sector_files),
	};
	const char *directory = getenv("XTSFS_VECTORS");
	char path[4096];
	int r;

	snprintf(path, sizeof(path), "%s/format-v1.json", directory ? directory : "tests/vectors");
	vectors = json_object_from_file(path);
	assert(vectors);
	r = cmocka_run_group_tests_name("core-vectors", tests, NULL, NULL);
	json_object_put(vectors);
	return r;
}
