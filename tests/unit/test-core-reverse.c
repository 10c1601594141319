/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reverse view without FUSE: what it gives out, stored, is a volume that the core reads as the source; ids follow
 * from names; and a source that changes while it is read is found out.
 */
#undef NDEBUG
#include "core-fixture.h"
#include "unit.h"

#include "core/reverse.h"
#include "store/aside.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP_BYTES (124U * CORE_B)

/* A source and its view. */
struct view {
	struct core core;
	char dir[64], source[80], copy[80];
	struct xtsfs_store *conf_store;
	struct xtsfs_reverse_params params;
};

static void view_open(struct view *view)
{
	const struct xtsfs_volume_params params = {
		.engine = &xtsfs_engine_user, .threads = 2, .fds = 16, .reverse = &view->params};

	assert_int_equal(core_try_open(&view->core, &params), 0);
}

static void view_begin(struct view *view, enum xtsfs_integrity integrity)
{
	const char *tmp = getenv("TMPDIR");

	*view = (struct view){0};
	snprintf(view->dir, sizeof(view->dir), "%s/xtsfs-reverse-XXXXXX", tmp && strlen(tmp) < 30 ? tmp : "/tmp");
	assert_non_null(mkdtemp(view->dir));
	snprintf(view->source, sizeof(view->source), "%s/source", view->dir);
	snprintf(view->copy, sizeof(view->copy), "%s/copy", view->dir);
	assert_int_equal(mkdir(view->source, 0700), 0);
	assert_int_equal(mkdir(view->copy, 0700), 0);
	core_init(&view->core, integrity, 4);
	assert_int_equal(xtsfs_store_posix_new(view->source, &view->core.store), 0);
	assert_int_equal(xtsfs_store_aside_new(view->source, &view->conf_store), 0);
	view->params.conf_store = view->conf_store;
	view_open(view);
}

static void view_end(struct view *view)
{
	char command[160];

	core_close(&view->core);
	xtsfs_store_free(view->core.store);
	xtsfs_store_free(view->conf_store);
	core_fini(&view->core);
	snprintf(command, sizeof(command), "rm -rf '%s'", view->dir);
	assert_int_equal(system(command), 0); /* NOLINT(concurrency-mt-unsafe) */
}

static int source_open(const struct view *view, const char *name, int flags)
{
	char path[200];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", view->source, name);
	fd = open(path, flags | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	return fd;
}

static uint8_t content_at(uint64_t offset)
{
	return (uint8_t)(offset * 7 + offset / 4096 + 1);
}

static void source_write(const struct view *view, const char *name, size_t bytes)
{
	int fd = source_open(view, name, O_WRONLY | O_CREAT | O_TRUNC);
	uint8_t *data = malloc(bytes + 1);

	for (size_t i = 0; i < bytes; i++)
		data[i] = content_at(i);
	assert_int_equal(write(fd, data, bytes), bytes);
	close(fd);
	free(data);
}

/* The name that the view has for (dir, plain): the only one that its own volume decrypts to that. */
static struct xtsfs_node *view_find(struct view *view, ino_t ino, char ret_name[512])
{
	struct xtsfs_volume *volume = view->core.volume;
	struct xtsfs_node *node = NULL;
	struct xtsfs_dirent entry;
	struct xtsfs_dir *dir;
	struct stat st;

	assert_int_equal(xtsfs_opendir(volume, xtsfs_root(volume), &dir), 0);
	while (xtsfs_readdir(dir, &entry) > 0 && !node)
		if (entry.ino == ino && strcmp(entry.name, ".") != 0) {
			snprintf(ret_name, 512, "%s", entry.name);
			assert_int_equal(xtsfs_dir_lookup(dir, &node, &st), 0);
			assert_int_equal(st.st_ino, ino);
		}
	xtsfs_closedir(dir);
	return node;
}

static struct xtsfs_node *view_node(struct view *view, const char *plain, char ret_name[512])
{
	char path[200];
	struct stat st;
	struct xtsfs_node *node;

	snprintf(path, sizeof(path), "%s/%s", view->source, plain);
	assert_int_equal(lstat(path, &st), 0);
	node = view_find(view, st.st_ino, ret_name);
	assert_non_null(node);
	return node;
}

/* All that is stored of an open file, read in pieces of @piece; NULL on an error, which is *@ret_error. */
static uint8_t *read_all(struct xtsfs_reverse_file *file, size_t bytes, size_t piece, int *ret_error)
{
	uint8_t *data = malloc(bytes + piece + 1);
	size_t at = 0;
	ssize_t n;

	while ((n = xtsfs_reverse_read(file, data + at, piece, at)) > 0)
		at += (size_t)n;
	*ret_error = (int)n;
	if (n == 0)
		assert_int_equal(at, bytes);
	if (n == 0)
		return data;
	free(data);
	return NULL;
}

/* Store the root of the view as an ordinary directory. */
static void copy_out(struct view *view, size_t piece)
{
	struct xtsfs_volume *volume = view->core.volume;
	struct xtsfs_dirent entry;
	struct xtsfs_dir *dir;

	assert_int_equal(xtsfs_opendir(volume, xtsfs_root(volume), &dir), 0);
	while (xtsfs_readdir(dir, &entry) > 0) {
		struct xtsfs_reverse_file *file;
		struct xtsfs_node *node;
		struct stat st;
		char path[600];
		uint8_t *data;
		int r, fd;

		if (entry.name[0] == '.')
			continue;
		assert_int_equal(xtsfs_dir_lookup(dir, &node, &st), 0);
		assert_int_equal(xtsfs_reverse_open(volume, node, &file), 0);
		data = read_all(file, (size_t)st.st_size, piece, &r);
		assert_non_null(data);
		snprintf(path, sizeof(path), "%s/%s", view->copy, entry.name);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, data, (size_t)st.st_size), st.st_size);
		close(fd);
		free(data);
		xtsfs_reverse_close(file);
		xtsfs_forget(volume, node, 1);
	}
	xtsfs_closedir(dir);
}

static void check_copy(struct view *view, const size_t *sizes, size_t count)
{
	struct core reader = view->core;
	uint8_t *data;

	assert_int_equal(xtsfs_store_posix_new(view->copy, &reader.store), 0);
	reader.volume = NULL;
	core_open(&reader);
	for (size_t i = 0; i < count; i++) {
		char name[300];

		snprintf(name, sizeof(name), "%zu", sizes[i]);
		assert_int_equal(core_size(&reader, name), sizes[i]);
		assert_int_equal(core_try_read(&reader, name, &data), sizes[i]);
		for (size_t at = 0; at < sizes[i]; at++)
			if (data[at] != content_at(at))
				fail_msg("%s: byte %zu", name, at);
		free(data);
	}
	core_close(&reader);
	xtsfs_store_free(reader.store);
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = {0,
				       1,
				       15,
				       16,
				       17,
				       3952,
				       3953,
				       3954,
				       4080,
				       4081,
				       4095,
				       4096,
				       4097,
				       8191,
				       GROUP_BYTES - 1,
				       GROUP_BYTES,
				       GROUP_BYTES + 1,
				       GROUP_BYTES + 4090,
				       2 * GROUP_BYTES + 12345};

	(void)state;
	for (unsigned mode = 0; mode < 3; mode++) {
		struct view view;

		view_begin(&view, core_integrities[mode]);
		for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
			char name[32];

			snprintf(name, sizeof(name), "%zu", sizes[i]);
			source_write(&view, name, sizes[i]);
		}
		/* Once in large pieces, and, with others, in such that begin and end anywhere. */
		copy_out(&view, mode == 0 ? 1U << 20 : 5003);
		check_copy(&view, sizes, ARRAY_COUNT(sizes));
		view_end(&view);
	}
}

/* Under the volume key 00 01 … 1f. The same names, another machine: the same ciphertext; so the UUID is not random. */
static void test_ids(void **state)
{
	char first[512], second[512], again[512];
	struct xtsfs_node *node;
	struct view view;

	(void)state;
	view_begin(&view, XTSFS_INTEGRITY_AES_GMAC);
	core_close(&view.core);
	for (unsigned i = 0; i < XTSFS_UUID_BYTES; i++)
		view.core.conf->config->uuid[i] = (uint8_t)(i * 17);
	view_open(&view);
	source_write(&view, "a", 10);
	source_write(&view, "b", 10);
	node = view_node(&view, "a", first);
	xtsfs_forget(view.core.volume, node, 1);
	node = view_node(&view, "b", second);
	xtsfs_forget(view.core.volume, node, 1);
	assert_string_not_equal(first, second);
	core_close(&view.core);
	view_open(&view);
	node = view_node(&view, "a", again);
	xtsfs_forget(view.core.volume, node, 1);
	assert_string_equal(first, again);
	view_end(&view);
}

/* The file id (bytes 16 to 31 of what is stored) of a name. */
static void id_of(struct view *view, const char *plain, uint8_t ret_id[16])
{
	struct xtsfs_reverse_file *file;
	uint8_t header[128];
	char name[512];
	struct xtsfs_node *node = view_node(view, plain, name);

	assert_int_equal(xtsfs_reverse_open(view->core.volume, node, &file), 0);
	assert_int_equal(xtsfs_reverse_read(file, header, sizeof(header), 0), sizeof(header));
	memcpy(ret_id, header + 16, 16);
	xtsfs_reverse_close(file);
	xtsfs_forget(view->core.volume, node, 1);
}

static void source_call(const struct view *view, int (*call)(const char *, const char *), const char *from,
			const char *to)
{
	char a[200], b[200];

	snprintf(a, sizeof(a), "%s/%s", view->source, from);
	snprintf(b, sizeof(b), "%s/%s", view->source, to);
	assert_int_equal(call(a, b), 0);
}

/* By its name while it has one, by its inode while it has several. */
static void test_file_ids(void **state)
{
	uint8_t a[16], b[16], c[16];
	struct view view;

	(void)state;
	view_begin(&view, XTSFS_INTEGRITY_AES_GMAC);
	source_write(&view, "a", 100);
	id_of(&view, "a", a);
	/* Replaced, as editors do: the same. */
	source_write(&view, "new", 200);
	id_of(&view, "new", b);
	assert_memory_not_equal(a, b, 16);
	source_call(&view, rename, "new", "a");
	id_of(&view, "a", b);
	assert_memory_equal(a, b, 16);
	/* Elsewhere: another. */
	source_call(&view, rename, "a", "moved");
	id_of(&view, "moved", b);
	assert_memory_not_equal(a, b, 16);
	/* A second name: another, the same under both. */
	source_call(&view, link, "moved", "second");
	id_of(&view, "moved", a);
	assert_memory_not_equal(a, b, 16);
	id_of(&view, "second", c);
	assert_memory_equal(a, c, 16);
	view_end(&view);
}

static struct xtsfs_reverse_file *open_plain(struct view *view, const char *plain)
{
	struct xtsfs_reverse_file *file;
	char name[512];
	struct xtsfs_node *node = view_node(view, plain, name);

	assert_int_equal(xtsfs_reverse_open(view->core.volume, node, &file), 0);
	xtsfs_forget(view->core.volume, node, 1);
	return file;
}

enum change { WRITE, APPEND, CUT, TIMES_BACK, CHANGE__COUNT };

static void make_change(const struct view *view, const char *name, enum change change)
{
	int fd = source_open(view, name, O_RDWR | (change == APPEND ? O_APPEND : 0));
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	if (change == CUT)
		assert_int_equal(ftruncate(fd, st.st_size - 1), 0);
	else
		assert_int_equal(write(fd, "x", 1), 1);
	if (change == TIMES_BACK)
		assert_int_equal(futimens(fd, (struct timespec[]){st.st_atim, st.st_mtim}), 0);
	close(fd);
}

/* A change at once after the opening, and at once after a first part was read. */
static void test_changes(void **state)
{
	struct view view;
	uint8_t part[CORE_B];

	(void)state;
	view_begin(&view, XTSFS_INTEGRITY_AES_GMAC);
	for (unsigned size = 0; size < 3; size++)
		for (unsigned change = 0; change < CHANGE__COUNT; change++)
			for (unsigned part_read = 0; part_read < 2; part_read++) {
				struct xtsfs_reverse_file *file;

				source_write(&view, "f", size == 0 ? 100 : size == 1 ? 50000 : 3 * GROUP_BYTES);
				file = open_plain(&view, "f");
				if (part_read)
					assert_true(xtsfs_reverse_read(file, part, sizeof(part), 0) > 0);
				make_change(&view, "f", (enum change)change);
				assert_int_equal(xtsfs_reverse_read(file, part, sizeof(part), 0), -EIO);
				assert_int_equal(xtsfs_reverse_read(file, part, sizeof(part), CORE_B), -EIO);
				xtsfs_reverse_close(file);
			}
	view_end(&view);
}

/* Stores into a page that is mapped and dirty move no time. What was given out of a group is remembered. */
static void test_mapped(void **state)
{
	const size_t bytes = 40 * GROUP_BYTES;
	struct xtsfs_reverse_file *file;
	uint8_t before[CORE_B], after[CORE_B], *map;
	struct view view;
	int fd;

	(void)state;
	view_begin(&view, XTSFS_INTEGRITY_AES_GMAC);
	source_write(&view, "f", bytes);
	fd = source_open(&view, "f", O_RDWR);
	map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	map[5] ^= 1; /* dirty from now on */
	file = open_plain(&view, "f");
	assert_int_equal(xtsfs_reverse_read(file, before, sizeof(before), 0), sizeof(before));
	map[5] ^= 1;
	/* From memory it is what it was; when it has to be made again it is another, and that is said. */
	assert_int_equal(xtsfs_reverse_read(file, after, sizeof(after), 0), sizeof(after));
	assert_memory_equal(before, after, sizeof(before));
	for (unsigned group = 1; group < 39; group++)
		assert_int_equal(xtsfs_reverse_read(file, after, sizeof(after), 125ULL * CORE_B * group), CORE_B);
	assert_int_equal(xtsfs_reverse_read(file, after, sizeof(after), 0), -EIO);
	xtsfs_reverse_close(file);
	munmap(map, bytes);
	close(fd);
	view_end(&view);
}

/* Holes at every kind of place, read and told. */
static void test_holes(void **state)
{
	static const uint64_t written[] = {0, 5 * CORE_B, 124 * CORE_B, 300 * CORE_B + 100, 1000 * CORE_B};

	(void)state;
	for (unsigned mode = 0; mode < 3; mode++) {
		uint64_t meta = mode < 2 ? 1 : 0;
		struct xtsfs_reverse_file *file;
		struct view view;
		int64_t at = 0, end;
		uint64_t data = 0;
		struct stat st;
		uint8_t *all;
		int fd, r;

		view_begin(&view, core_integrities[mode]);
		fd = source_open(&view, "f", O_RDWR | O_CREAT);
		for (unsigned i = 0; i < ARRAY_COUNT(written); i++)
			assert_int_equal(pwrite(fd, "data", 4, (off_t)written[i]), 4);
		assert_int_equal(ftruncate(fd, 2000 * CORE_B + 77), 0);
		assert_int_equal(fstat(fd, &st), 0);
		close(fd);
		file = open_plain(&view, "f");
		st.st_size = (off_t)((1 + 2000 + meta * (2000 / 124)) * CORE_B + 77 + 15);
		all = read_all(file, (size_t)st.st_size, 1U << 20, &r);
		assert_non_null(all);
		/* What is told to be a hole is zeros; what is told to be data has some in every block. */
		while ((at = xtsfs_reverse_seek(file, (uint64_t)at, SEEK_DATA)) >= 0) {
			end = xtsfs_reverse_seek(file, (uint64_t)at, SEEK_HOLE);
			assert_true(end > at);
			for (int64_t block = at; block < end; block += CORE_B) {
				bool zero = true;

				for (int64_t i = block; i < end && i < block + CORE_B; i++) {
					zero &= all[i] == 0;
					all[i] = 0;
				}
				assert_false(zero);
				data++;
			}
			at = end;
		}
		assert_int_equal(at, -ENXIO);
		for (off_t i = 0; i < st.st_size; i++)
			assert_int_equal(all[i], 0);
		/* Five sectors, block 0, and the meta blocks of three groups more. */
		assert_int_equal(data, 6 + meta * 3);
		free(all);
		xtsfs_reverse_close(file);
		view_end(&view);
	}
}

/* Locked, nothing of the volume's keys is left; unlocked, it goes on, and only with the right one. */
static void test_lock(void **state)
{
	uint8_t a[16], b[16];
	struct xtsfs_secret *wrong;
	struct view view;

	(void)state;
	view_begin(&view, XTSFS_INTEGRITY_HMAC_SHA256);
	source_write(&view, "a", 10);
	id_of(&view, "a", a);
	assert_int_equal(xtsfs_volume_lock(view.core.volume), 0);
	assert_int_equal(xtsfs_secret_new(XTSFS_VOLUME_KEY_BYTES, &wrong), 0);
	assert_int_equal(xtsfs_volume_unlock(view.core.volume, view.core.conf->config, wrong), -EBADMSG);
	xtsfs_secret_free(wrong);
	assert_int_equal(xtsfs_volume_unlock(view.core.volume, view.core.conf->config, view.core.key), 0);
	id_of(&view, "a", b);
	assert_memory_equal(a, b, 16);
	view_end(&view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),	cmocka_unit_test(test_ids),    cmocka_unit_test(test_file_ids),
		cmocka_unit_test(test_changes), cmocka_unit_test(test_mapped), cmocka_unit_test(test_holes),
		cmocka_unit_test(test_lock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
