/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets in pages of their own.
 *
 * Each secret is an anonymous mapping: mlock() and MADV_DONTDUMP work on whole pages, and munlock() of a page that two
 * secrets share would unlock both. The price is one page (4 KiB) for each key; RLIMIT_MEMLOCK is commonly 8 MiB, so a
 * volume with 256 content keys takes an eighth of it. The describing struct holds nothing secret and is on the heap.
 *
 * A secret that cannot be locked could be written to swap and found there years later, so that is an error, unless the
 * user allowed it; then it is said once. Core dumps are excluded twice, for each mapping and for the whole process.
 *
 * Locks on pages are not inherited by fork(). A daemon that read its keys before it went to the background would run
 * with all of them unlocked, so every secret is on a list, and xtsfs_secret_lock_again() walks it.
 *
 * What this does not do: it does not hide secrets from root, from a debugger attached before
 * xtsfs_process_harden(), from hibernation, or from copies that libraries make (each user of one says what it knows).
 */
#include "base/secret.h"

#include "base/cleanup.h"
#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_BYTES ((size_t)64 << 20)

static atomic_bool swap_allowed;
static atomic_flag swap_warned = ATOMIC_FLAG_INIT;

static struct {
	pthread_mutex_t mutex; /* guards the list, a leaf; fork() while another thread holds it is not supported */
	struct xtsfs_secret *first;
} all = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void xtsfs_secret_allow_swap(bool allow)
{
	atomic_store(&swap_allowed, allow);
}

/* May the failure to lock be passed over? Said once; not to be called with the list's mutex held. */
static int tolerate(int error)
{
	if (error == 0 || !atomic_load(&swap_allowed))
		return error;
	if (!atomic_flag_test_and_set(&swap_warned))
		xtsfs_warning("cannot lock keys in memory: %s; they may reach the swap space, continuing as asked",
			      xtsfs_strerror(error));
	return 0;
}

static void list_insert(struct xtsfs_secret *secret)
{
	xtsfs_guard_mutex(&all.mutex);

	secret->previous = NULL;
	secret->next = all.first;
	if (all.first)
		all.first->previous = secret;
	all.first = secret;
}

static void list_remove(struct xtsfs_secret *secret)
{
	xtsfs_guard_mutex(&all.mutex);

	if (secret->previous)
		secret->previous->next = secret->next;
	else
		all.first = secret->next;
	if (secret->next)
		secret->next->previous = secret->previous;
}

int xtsfs_secret_lock_again(void)
{
	int error = 0;

	pthread_mutex_lock(&all.mutex);
	for (struct xtsfs_secret *secret = all.first; secret; secret = secret->next)
		if (mlock(secret->data, secret->capacity) < 0 && error == 0)
			error = -errno;
	pthread_mutex_unlock(&all.mutex);
	return tolerate(error);
}

int xtsfs_secret_new(size_t bytes, struct xtsfs_secret **ret_secret)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	struct xtsfs_secret *secret;
	size_t capacity;
	void *data;
	int r;

	if (bytes == 0 || bytes > MAX_BYTES)
		return -EINVAL;
	capacity = (bytes + page_bytes - 1) / page_bytes * page_bytes;

	secret = malloc(sizeof(*secret));
	if (!secret)
		return -ENOMEM;
	data = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (data == MAP_FAILED) {
		r = -errno;
		free(secret);
		return r;
	}
	r = tolerate(mlock(data, capacity) < 0 ? -errno : 0);
	if (r == 0 && madvise(data, capacity, MADV_DONTDUMP) < 0)
		r = -errno;
	if (r < 0) {
		munmap(data, capacity);
		free(secret);
		return r;
	}

	*secret = (struct xtsfs_secret){.data = data, .bytes = bytes, .capacity = capacity};
	list_insert(secret);
	*ret_secret = secret;
	return 0;
}

struct xtsfs_secret *xtsfs_secret_free(struct xtsfs_secret *secret)
{
	if (!secret)
		return NULL;
	list_remove(secret);
	/* All of it: the holder may have made bytes smaller after writing more. */
	xtsfs_wipe(secret->data, secret->capacity);
	munmap(secret->data, secret->capacity); /* unlocks too */
	free(secret);
	return NULL;
}

void xtsfs_cleanup_secret(struct xtsfs_secret **secret)
{
	*secret = xtsfs_secret_free(*secret);
}

void xtsfs_wipe(void *data, size_t bytes)
{
	if (bytes)
		explicit_bzero(data, bytes);
}

/* Not inlined, and the difference passes an empty asm, so that no compiler learns enough to leave the loop early. */
__attribute__((noinline)) bool xtsfs_equal_secret(const void *a, const void *b, size_t bytes)
{
	const uint8_t *x = a, *y = b;
	unsigned difference = 0;

	for (size_t i = 0; i < bytes; i++) {
		difference |= (unsigned)(x[i] ^ y[i]);
		__asm__ volatile("" : "+r"(difference));
	}
	return difference == 0;
}

bool xtsfs_is_zero(const void *data, size_t bytes)
{
	const uint8_t *p = data;

	/* Every byte equals the one before it, and the first is zero; memcmp() is as fast as the machine can. */
	return bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0);
}

int xtsfs_process_harden(void)
{
	static const struct rlimit none = {0, 0};

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return -errno;
	return 0;
}
