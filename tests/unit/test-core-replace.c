/* SPDX-License-Identifier: Apache-2.0 */
/* Replacing a small file: the old or the new one, whole, whichever call fails and wherever the program is killed. */
#undef NDEBUG
#include "unit.h"

#include "core/replace.h"
#include "store/faulty.h"
#include "store/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#define NAME "xtsfs.conf"

static const char old_text[] = "old, and longer than the new one", new_text[] = "new";

struct place {
	struct xtsfs_store *memory, *faulty;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	assert_int_equal(xtsfs_store_memory_new(&place->memory), 0);
	assert_int_equal(xtsfs_store_faulty_new(place->memory, &place->faulty), 0);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;

	xtsfs_store_free(place->faulty);
	xtsfs_store_free(place->memory);
	free(place);
	return 0;
}

/* '-': there is none, 'o' or 'n': old or new, 0: something else. */
static char what_is_there(struct xtsfs_store *store)
{
	int handle = store->ops->open(store, store->root, NAME, O_RDONLY, 0, NULL);
	char text[64] = "";
	ssize_t n;

	if (handle == -ENOENT)
		return '-';
	assert_true(handle >= 0);
	n = xtsfs_store_pread(store, handle, text, sizeof(text) - 1, 0);
	store->ops->close(store, handle);
	assert_true(n >= 0);
	return strcmp(text, old_text) == 0 ? 'o' : strcmp(text, new_text) == 0 ? 'n' : '\0';
}

/* Names in the root other than NAME. */
static unsigned count_debris(struct xtsfs_store *store)
{
	union {
		struct dirent64 first;
		char bytes[4096];
	} records;
	int handle = store->ops->open(store, store->root, ".", O_RDONLY | O_DIRECTORY, 0, NULL);
	unsigned count = 0;
	ssize_t n;

	assert_true(handle >= 0);
	while ((n = store->ops->getdents(store, handle, &records, sizeof(records))) > 0) {
		const struct dirent64 *record;

		for (ssize_t at = 0; at < n; at += record->d_reclen) {
			record = (const struct dirent64 *)(const void *)(records.bytes + at);
			count += strcmp(record->d_name, ".") != 0 && strcmp(record->d_name, "..") != 0 &&
				 strcmp(record->d_name, NAME) != 0;
		}
	}
	assert_int_equal(n, 0);
	store->ops->close(store, handle);
	return count;
}

static int replace(struct xtsfs_store *store, const char *text, bool exclusive)
{
	return xtsfs_file_replace(store, NAME, text, strlen(text), exclusive);
}

static struct stat status_of(struct xtsfs_store *store)
{
	struct stat status;

	assert_int_equal(store->ops->stat(store, store->root, NAME, &status), 0);
	return status;
}

static void test_replace(void **state)
{
	struct xtsfs_store *store = ((struct place *)*state)->memory;

	assert_int_equal(replace(store, old_text, false), 0);
	assert_int_equal(what_is_there(store), 'o');
	assert_int_equal(status_of(store).st_mode & 07777, 0600);
	assert_int_equal(replace(store, new_text, true), -EEXIST);
	assert_int_equal(what_is_there(store), 'o');
	assert_int_equal(replace(store, new_text, false), 0);
	assert_int_equal(what_is_there(store), 'n');
	assert_int_equal(count_debris(store), 0);
}

static void test_keeps_owner_and_mode(void **state)
{
	struct xtsfs_store *store = ((struct place *)*state)->memory;
	struct stat status;

	assert_int_equal(replace(store, old_text, false), 0);
	assert_int_equal(store->ops->chown(store, store->root, NAME, 1234, 4321), 0);
	assert_int_equal(store->ops->chmod(store, store->root, NAME, 0640), 0);
	assert_int_equal(replace(store, new_text, false), 0);
	status = status_of(store);
	assert_int_equal(status.st_uid, 1234);
	assert_int_equal(status.st_gid, 4321);
	assert_int_equal(status.st_mode & 07777, 0640);
}

/* What is in the place of the file is replaced, not followed. */
static void test_symlink(void **state)
{
	struct xtsfs_store *store = ((struct place *)*state)->memory;

	assert_int_equal(store->ops->symlink(store, "elsewhere", store->root, NAME, NULL), 0);
	assert_int_equal(replace(store, new_text, true), -EEXIST);
	assert_int_equal(replace(store, new_text, false), 0);
	assert_int_equal(what_is_there(store), 'n');
	assert_int_equal(count_debris(store), 0);
}

/* Fail the first call, the second, and so on, until nothing fails. */
static void replace_with_faults(struct place *place, bool exclusive)
{
	struct xtsfs_fault fault = {.kinds = XTSFS_FAULT_ANY, .error = EIO};
	static const struct xtsfs_fault none;
	int r = -1;

	for (fault.nth = 1; r < 0; fault.nth++) {
		char there;

		if (exclusive)
			(void)place->memory->ops->unlink(place->memory, place->memory->root, NAME, 0);
		else
			assert_int_equal(replace(place->memory, old_text, false), 0);
		xtsfs_faulty_arm(place->faulty, &fault);
		r = replace(place->faulty, new_text, exclusive);
		assert_int_equal(xtsfs_faulty_fired(place->faulty), r < 0 ? 1 : 0);
		xtsfs_faulty_arm(place->faulty, &none);
		there = what_is_there(place->memory);
		assert_int_equal(count_debris(place->memory), 0);
		if (r == 0)
			assert_int_equal(there, 'n');
		else
			assert_true(r == -EIO && (there == (exclusive ? '-' : 'o') || there == 'n'));
	}
	assert_true(fault.nth > 6);
}

static void test_faults(void **state)
{
	replace_with_faults(*state, false);
	replace_with_faults(*state, true);
}

/* A disk that stays full, or dead, so that the temporary file cannot be removed either: the old file is there. */
static void test_lasting_faults(void **state)
{
	struct place *place = *state;
	struct xtsfs_fault fault = {.kinds = XTSFS_FAULT_ANY, .error = ENOSPC, .forever = true};
	static const struct xtsfs_fault none;
	int r = -1;

	for (fault.nth = 1; r < 0; fault.nth++) {
		assert_int_equal(replace(place->memory, old_text, false), 0);
		xtsfs_faulty_arm(place->faulty, &fault);
		r = replace(place->faulty, new_text, false);
		xtsfs_faulty_arm(place->faulty, &none);
		assert_true(r == 0 || r == -ENOSPC);
		if (r < 0)
			assert_in_set((uint8_t)what_is_there(place->memory), ((uintmax_t[]){'o', 'n'}), 2);
	}
}

/* Killed between any two calls. */
static void killed_anywhere(struct place *place, bool exclusive)
{
	struct xtsfs_store *before, *store = place->memory;
	char last = 0;

	assert_int_equal(xtsfs_memory_clone(store, &before), 0);
	xtsfs_memory_record(store);
	assert_int_equal(replace(store, new_text, exclusive), 0);
	for (size_t call = 0; call < xtsfs_memory_calls(store); call++) {
		assert_int_equal(xtsfs_memory_replay(before, store, call, 0), 0);
		last = what_is_there(before);
		assert_true(last == (exclusive ? '-' : 'o') || last == 'n');
	}
	assert_int_equal(last, 'n');
	xtsfs_store_free(before);
}

static void test_killed(void **state)
{
	struct place *place = *state;

	killed_anywhere(place, true);
	assert_int_equal(replace(place->memory, old_text, false), 0);
	killed_anywhere(place, false);
}

/*
 * The memory store with another rename(): one that knows no flags, or that lets somebody else make the file just
 * before. Its operations find their structure by the store's address, so it is the table that is changed.
 */
static const struct xtsfs_store_ops *real_ops;

static int rename_without_flags(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir,
				const char *new_name, unsigned flags)
{
	return flags ? -EINVAL : real_ops->rename(store, old_dir, old_name, new_dir, new_name, 0);
}

static void somebody_makes_it(struct xtsfs_store *store)
{
	const struct xtsfs_store_ops *ops = store->ops;

	store->ops = real_ops;
	assert_int_equal(replace(store, old_text, true), 0);
	store->ops = ops;
}

static int rename_too_late(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir,
			   const char *new_name, unsigned flags)
{
	somebody_makes_it(store);
	return real_ops->rename(store, old_dir, old_name, new_dir, new_name, flags);
}

static int rename_too_late_without_flags(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir,
					 const char *new_name, unsigned flags)
{
	somebody_makes_it(store);
	return rename_without_flags(store, old_dir, old_name, new_dir, new_name, flags);
}

static void test_other_renames(void **state)
{
	static const struct {
		int (*rename)(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir,
			      const char *new_name, unsigned flags);
		int want;
		char there;
	} cases[] = {
		{rename_without_flags, 0, 'n'},
		{rename_too_late, -EEXIST, 'o'},
		{rename_too_late_without_flags, -EEXIST, 'o'},
	};
	struct xtsfs_store *store = ((struct place *)*state)->memory;

	real_ops = store->ops;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct xtsfs_store_ops ops = *real_ops;

		ops.rename = cases[i].rename;
		store->ops = &ops;
		assert_int_equal(replace(store, new_text, true), cases[i].want);
		store->ops = real_ops;
		assert_int_equal(what_is_there(store), cases[i].there);
		assert_int_equal(count_debris(store), 0);
		assert_int_equal(store->ops->unlink(store, store->root, NAME, 0), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_replace, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_keeps_owner_and_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_symlink, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_faults, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lasting_faults, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_killed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_other_renames, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
