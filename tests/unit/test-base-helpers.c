/* SPDX-License-Identifier: Apache-2.0 */
/* The inline helpers: little endian, guards. */
#undef NDEBUG
#include "unit.h"

#include "base/cleanup.h"
#include "base/endian.h"

#include <fcntl.h>

static void test_endian(void **state)
{
	uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 0x88};

	(void)state;
	assert_int_equal(xtsfs_load_le(bytes, 0), 0);
	assert_int_equal(xtsfs_load_le(bytes, 3), 0x030201);
	assert_true(xtsfs_load_le(bytes, 8) == 0x8807060504030201ULL);
	assert_memory_equal(xtsfs_le16_of(0x0102).b, "\2\1", 2);
	assert_memory_equal(xtsfs_le32_of(0x01020384).b, "\x84\3\2\1", 4);
	assert_memory_equal(xtsfs_le64_of(0x8807060504030201ULL).b, bytes, 8);
	assert_int_equal(xtsfs_le16_get(xtsfs_le16_of(UINT16_MAX)), UINT16_MAX);
	assert_int_equal(xtsfs_le32_get(xtsfs_le32_of(UINT32_MAX)), UINT32_MAX);
	assert_true(xtsfs_le64_get(xtsfs_le64_of(UINT64_MAX - 1)) == UINT64_MAX - 1);
	xtsfs_store_le(bytes, 2, 0xabcdef);
	assert_memory_equal(bytes, "\xef\xcd\3", 3);
}

static void test_fd(void **state)
{
	int inner, taken;

	(void)state;
	{
		xtsfs_auto_fd fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		assert_true(fd >= 0);
		inner = fd;
		errno = E2BIG;
	}
	assert_int_equal(errno, E2BIG); /* closing keeps it */
	assert_int_equal(fcntl(inner, F_GETFD), -1);
	{
		xtsfs_auto_fd fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		taken = xtsfs_take_fd(&fd);
		assert_int_equal(fd, -1);
	}
	assert_true(fcntl(taken, F_GETFD) >= 0);
	close(taken);
}

static char *make_string(void)
{
	xtsfs_auto_free char *dropped = strdup("dropped"); /* a leak would show under ASan */
	xtsfs_auto_free char *kept = strdup("kept");

	assert_non_null(dropped);
	return xtsfs_take(kept);
}

static void test_pointer(void **state)
{
	char *text = make_string();

	(void)state;
	assert_string_equal(text, "kept");
	free(text);
}

static void test_locks(void **state)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

	(void)state;
	{
		xtsfs_guard_mutex(&mutex);
		assert_int_equal(pthread_mutex_trylock(&mutex), EBUSY);
	}
	assert_int_equal(pthread_mutex_trylock(&mutex), 0);
	pthread_mutex_unlock(&mutex);
	{
		xtsfs_guard_shared(&lock);
		assert_int_equal(pthread_rwlock_trywrlock(&lock), EBUSY);
		assert_int_equal(pthread_rwlock_tryrdlock(&lock), 0);
		pthread_rwlock_unlock(&lock);
	}
	{
		xtsfs_guard_exclusive(&lock);
		assert_int_equal(pthread_rwlock_tryrdlock(&lock), EBUSY);
	}
	assert_int_equal(pthread_rwlock_trywrlock(&lock), 0);
	pthread_rwlock_unlock(&lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endian),
		cmocka_unit_test(test_fd),
		cmocka_unit_test(test_pointer),
		cmocka_unit_test(test_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
