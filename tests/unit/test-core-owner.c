/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A daemon and a checker that are not root: files that their owner's mode forbids to him, and what he cannot read at
 * all. Run by root this becomes another user for the length of each test.
 */
#undef NDEBUG
#include "unit.h"

#include "core-fixture.h"

#include "core/fsck.h"
#include "core/internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOMEBODY 65534U
#define BYTES	 10000U

static char directory[64];

static int set_up(void **state)
{
	static struct core core;
	struct xtsfs_store *store;

	strcpy(directory, "/tmp/xtsfs-test-owner-XXXXXX");
	assert_non_null(mkdtemp(directory));
	if (geteuid() == 0) {
		assert_int_equal(chown(directory, SOMEBODY, SOMEBODY), 0);
		assert_int_equal(seteuid(SOMEBODY), 0);
	}
	assert_int_equal(xtsfs_store_posix_new(directory, &store), 0);
	core_init(&core, XTSFS_INTEGRITY_AES_GMAC, 1);
	core_format(&core, store);
	core_open(&core);
	*state = &core;
	return 0;
}

static int tear_down(void **state)
{
	struct core *core = *state;
	struct xtsfs_store *store = core->store;
	char command[192];

	core_close(core);
	core_fini(core);
	xtsfs_store_free(store);
	assert_int_equal(seteuid(getuid()), 0);
	snprintf(command, sizeof(command), "chmod -R u+rwx '%s' && rm -rf '%s'", directory, directory);
	return system(command);
}

static void reopen(struct core *core)
{
	core_close(core);
	core_open(core);
}

static void set_mode(struct core *core, const char *path, mode_t mode)
{
	const struct xtsfs_setattr set = {
		.mode_set = true, .mode = mode, .times = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}}};
	struct stat st;
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	assert_int_equal(r, 0);
	assert_int_equal(xtsfs_setattr(core->volume, node, &set, &st), 0);
	core_forget(core, node);
}

static mode_t mode_of(struct core *core, const char *path)
{
	struct stat st;
	int r;

	core_forget(core, core_node(core, path, &st, &r));
	assert_int_equal(r, 0);
	return st.st_mode & 07777;
}

static void make_file(struct core *core, const char *path, mode_t mode)
{
	uint8_t data[BYTES];

	core_pattern(1, 0, data, BYTES);
	assert_int_equal(core_try_create(core, path), 0);
	assert_int_equal(core_try_write(core, path, data, BYTES, 0), BYTES);
	assert_int_equal(core_try_fsync(core, path), 0);
	set_mode(core, path, mode);
}

static void assert_content(struct core *core, const char *path)
{
	uint8_t data[BYTES], *read;

	core_pattern(1, 0, data, BYTES);
	assert_int_equal(core_try_read(core, path, &read), BYTES);
	assert_memory_equal(read, data, BYTES);
	free(read);
}

/* The kernel has granted access when the mode was another one: it is not for the daemon to refuse. */
static void test_used_against_its_mode(void **state)
{
	struct core *core = *state;
	static const mode_t modes[] = {0, 0200, 0400, 0040, 0111};

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		char name[16];

		snprintf(name, sizeof(name), "file%zu", i);
		make_file(core, name, modes[i]);
		reopen(core);
		assert_content(core, name);
		assert_int_equal(core_try_write(core, name, "\1", 1, BYTES), 1);
		assert_int_equal(core_try_truncate(core, name, BYTES), 0);
		assert_int_equal(core_try_fsync(core, name), 0);
		assert_int_equal(mode_of(core, name), modes[i]);
		reopen(core);
		assert_content(core, name);
	}
}

/* What belongs to somebody else stays shut. */
static void test_not_of_others(void **state)
{
	struct core *core = *state;
	uint8_t *read;

	if (getuid() != 0) {
		print_message("giving a file to another user needs root\n");
		skip();
	}
	make_file(core, "file", 0600);
	core_close(core);
	assert_int_equal(seteuid(0), 0);
	{
		DIR *dir = opendir(directory);
		struct dirent *entry;

		while ((entry = readdir(dir)) != NULL) {
			if (strncmp(entry->d_name, "xtsfs.", 6) != 0 && entry->d_name[0] != '.')
				assert_int_equal(fchownat(dirfd(dir), entry->d_name, 1, 1, AT_SYMLINK_NOFOLLOW), 0);
		}
		closedir(dir);
	}
	assert_int_equal(seteuid(SOMEBODY), 0);
	core_open(core);
	assert_int_equal(core_try_read(core, "file", &read), -EACCES);
	assert_int_equal(mode_of(core, "file"), 0600);
}

static unsigned found;
static char last_code[64], last_detail[256];

static void note(void *data, const struct xtsfs_fsck_finding *finding)
{
	(void)data;
	if (finding->severity == XTSFS_FSCK_INFO)
		return;
	found++;
	snprintf(last_code, sizeof(last_code), "%s", finding->code);
	snprintf(last_detail, sizeof(last_detail), "%s", finding->detail);
}

static struct xtsfs_fsck_totals check(struct core *core, bool repair)
{
	const struct xtsfs_volume_params params = {
		.engine = &xtsfs_engine_user, .threads = 2, .fds = 64, .repair = true, .read_only = !repair};
	const struct xtsfs_fsck_options options = {.repair = repair,
						   .damage = repair ? XTSFS_FSCK_DAMAGE_SALVAGE
								    : XTSFS_FSCK_DAMAGE_REPORT,
						   .content_keys = 1,
						   .finding = note};
	struct xtsfs_fsck_totals totals;

	core_close(core);
	found = 0;
	assert_int_equal(core_try_open(core, &params), 0);
	assert_int_equal(xtsfs_fsck_run(core->volume, &options, &totals), 0);
	reopen(core);
	return totals;
}

/* A check leaves modes alone and says what it could not look at; a repair may widen them for a moment. */
static void test_checked_against_its_mode(void **state)
{
	struct core *core = *state;
	struct xtsfs_fsck_totals totals;

	make_file(core, "file", 0);
	totals = check(core, false);
	assert_int_equal(totals.io_errors, 1);
	assert_string_equal(last_code, "io-error");
	totals = check(core, true);
	assert_int_equal(found, 0);
	assert_int_equal(totals.sectors, 3);
	assert_int_equal(mode_of(core, "file"), 0);
	assert_content(core, "file");
}

/* A directory that its owner may not read is a finding, and what is beside it is checked all the same. */
static void test_directory_that_cannot_be_read(void **state)
{
	struct core *core = *state;
	struct xtsfs_fsck_totals totals;

	assert_int_equal(core_try_mkdir(core, "dir"), 0);
	make_file(core, "dir/inside", 0644);
	make_file(core, "file", 0644);
	set_mode(core, "dir", 0300);
	totals = check(core, false);
	assert_int_equal(totals.io_errors, 1);
	assert_string_equal(last_code, "io-error");
	assert_non_null(strstr(last_detail, "read the directory"));
	assert_int_equal(totals.sectors, 3);
	set_mode(core, "dir", 0700);
	totals = check(core, false);
	assert_int_equal(found, 0);
	assert_int_equal(totals.sectors, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_used_against_its_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_not_of_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_checked_against_its_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_directory_that_cannot_be_read, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
