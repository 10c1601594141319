/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume that several mounts write at once, on one machine or on several (docs/shared.md).
 *
 * All is done by locks on bytes of files of the backing directory, which a network filesystem hands on to its server.
 * They belong to the open file (F_OFD_SETLK), so that threads and other descriptors of this process do not meet them.
 * They lie where no file has content.
 *
 * xtsfs.lock:
 * - a byte of its own, chosen at random, for each who shares the volume, for as long as it does. Who does not share it
 *   holds a lock on all bytes, and so waits for the last of them, or keeps all of them out;
 * - one byte that is held while somebody comes or goes;
 * - one for each stripe of directories, held while names change in one of them (xtsfs_dirs_lock()).
 * A backing file: one byte, held over each operation on its content (xtsfs_io_lock()).
 *
 * Its text counts who has come and not gone in order. The last to go removes the unclean marker if the count is zero
 * then; if somebody died it is not, and the marker stays for fsck. Any of the others may die at any moment, so who
 * shares a volume reads it by the rules for an unclean one all the time (spec 9.7, 9.8, 10 rule 5).
 *
 * Nothing waits in the kernel for a lock: it is asked for again and again, so that the wait can be given up, and ends
 * if who holds it is gone and its server has not noticed.
 */
#include "core/internal.h"

#include "base/mountinfo.h"
#include "crypto/kdf.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysmacros.h>
#include <time.h>

#define COMING_AT    (XTSFS_SHARE_AT + XTSFS_DIR_STRIPES)
#define CHECK_AT     (COMING_AT + 1)
#define CHECK_TICKS  5
#define MEMBERS_AT   (XTSFS_SHARE_AT + (1ULL << 32))
#define MEMBERS	     (1ULL << 60)
#define WAIT_S	     180 /* longer than servers keep the locks of a client that is gone */
#define WAIT_LEAST   100000L
#define WAIT_MOST    10000000L
#define TEXT_PATTERN "%u mounts that share it, marker %4s"

static void pause_ns(long ns)
{
	uint8_t random = 0;

	if (xtsfs_random(&random, 1) < 0)
		random = 128;
	nanosleep(&(struct timespec){.tv_nsec = ns / 2 + ns / 256 * random}, NULL);
}

int xtsfs_share_lock(struct xtsfs_volume *volume, int handle, short type, uint64_t at)
{
	struct xtsfs_store *store = volume->store;
	struct timespec begun, now;
	long wait_ns = WAIT_LEAST;
	int r;

	if (__atomic_load_n(&volume->lost_locks, __ATOMIC_RELAXED))
		return -EIO;
	r = store->ops->lock_range(store, handle, type, at, 1, false);
	if (r != -EWOULDBLOCK)
		return r;
	clock_gettime(CLOCK_MONOTONIC, &begun);
	do {
		if (volume->is_given_up && volume->is_given_up())
			return -EINTR;
		pause_ns(wait_ns);
		wait_ns = wait_ns * 2 < WAIT_MOST ? wait_ns * 2 : WAIT_MOST;
		r = store->ops->lock_range(store, handle, type, at, 1, false);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (r == -EWOULDBLOCK && now.tv_sec - begun.tv_sec < WAIT_S);
	if (r == -EWOULDBLOCK) {
		xtsfs_error("a lock that another mount of the volume holds does not come in %d s, giving up", WAIT_S);
		r = -EIO;
	}
	return r;
}

void xtsfs_share_unlock(struct xtsfs_volume *volume, int handle, uint64_t at)
{
	int r = volume->store->ops->lock_range(volume->store, handle, F_UNLCK, at, 1, false);

	if (r < 0)
		xtsfs_error("cannot give a lock back: %s", xtsfs_strerror(r));
}

/*
 * A server forgets a client that it has not heard of for some time, and its locks. The client's kernel then refuses to
 * read by a descriptor that had locks, if it has to ask the server: so what it has cached goes first, by a lock.
 */
void xtsfs_share_check(struct xtsfs_volume *volume)
{
	struct xtsfs_store *store = volume->store;
	char byte;
	int r;

	if (!volume->shared || !store->flock_is_range || volume->lost_locks || ++volume->check_ticks % CHECK_TICKS)
		return;
	r = store->ops->lock_range(store, volume->lock_handle, F_RDLCK, CHECK_AT, 1, false);
	if (r == 0)
		xtsfs_share_unlock(volume, volume->lock_handle, CHECK_AT);
	if (r == 0)
		r = (int)xtsfs_store_pread(store, volume->lock_handle, &byte, 1, 0);
	if (r >= 0 || r == -EWOULDBLOCK)
		return;
	__atomic_store_n(&volume->lost_locks, true, __ATOMIC_RELAXED);
	xtsfs_error("the server has forgotten the locks of this mount, and others may have the volume: %s; refusing "
		    "everything, "
		    "unmount it",
		    xtsfs_strerror(r));
}

/* What xtsfs.lock says of who shares the volume. */
struct text {
	unsigned count;
	bool made; /* the marker is of these mounts, and not of somebody who died before them */
};

static int read_text(struct xtsfs_volume *volume, struct text *ret_text)
{
	char line[256] = "", marker[5] = "";
	ssize_t n = xtsfs_store_pread(volume->store, volume->lock_handle, line, sizeof(line) - 1, 0);

	*ret_text = (struct text){0};
	if (n < 0)
		return (int)n;
	/* NOLINTNEXTLINE(cert-err34-c): a count that overflows is one that does not come to zero */
	if (sscanf(line, TEXT_PATTERN, &ret_text->count, marker) != 2)
		return -ENOENT;
	ret_text->made = strcmp(marker, "made") == 0;
	return 0;
}

static int write_text(struct xtsfs_volume *volume, const struct text *text, const char *holder)
{
	struct xtsfs_store *store = volume->store;
	char line[256];
	int r;

	snprintf(line, sizeof(line), "%u mounts that share it, marker %s%s%s\n", text->count,
		 text->made ? "made" : "kept", holder ? ", the last: " : "", holder ? holder : "");
	r = store->ops->truncate(store, volume->lock_handle, 0);
	return r < 0 ? r : xtsfs_store_pwrite(store, volume->lock_handle, line, strlen(line), 0);
}

/* Is somebody in the way who does not share it, and will not go away soon? */
static int refused(struct xtsfs_volume *volume, char *ret_problem, size_t problem_bytes)
{
	char line[256] = "";
	ssize_t n = xtsfs_store_pread(volume->store, volume->lock_handle, line, sizeof(line) - 1, 0);

	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	snprintf(ret_problem, problem_bytes,
		 "the volume is in use%s%s, which does not share it; unmount it there first, or mount it there with -o "
		 "shared too",
		 line[0] ? " by " : " by a reader", line);
	return -EBUSY;
}

/* NFS before version 4 can be told to keep locks to itself. */
static bool locks_are_local(struct xtsfs_store *store)
{
	struct xtsfs_mountinfo_reader reader;
	struct xtsfs_mountinfo line;
	bool local = false;
	struct stat st;

	if (!store->flock_is_range || store->ops->fstat(store, store->root, &st) < 0)
		return false;
	if (xtsfs_mountinfo_open(&reader) == 0)
		while (!local && xtsfs_mountinfo_next(&reader, &line))
			local = line.device_major == major(st.st_dev) && line.device_minor == minor(st.st_dev) &&
				(strstr(line.super_options, "nolock") || strstr(line.super_options, "nobrl") ||
				 strstr(line.super_options, "local_lock=all") ||
				 strstr(line.super_options, "local_lock=posix"));
	xtsfs_mountinfo_close(&reader);
	return local;
}

/* Does somebody else share it for writing? Readers hold a lock for reading on their byte. */
static int others_write(struct xtsfs_volume *volume)
{
	return volume->store->ops->lock_range(volume->store, volume->lock_handle, F_RDLCK, MEMBERS_AT, MEMBERS, true);
}

int xtsfs_share_join(struct xtsfs_volume *volume, char *ret_problem, size_t problem_bytes)
{
	struct xtsfs_store *store = volume->store;
	bool writer = !volume->read_only;
	uint64_t number = 0;
	int r = xtsfs_random((uint8_t *)&number, sizeof(number)), tries = 0;

	number %= MEMBERS;
	if (r == 0 && locks_are_local(store)) {
		snprintf(ret_problem, problem_bytes,
			 "-o shared needs locks that hold for all clients, and its filesystem is mounted so that they "
			 "do not (nolock, local_lock)");
		return -EOPNOTSUPP;
	}
	/* Programs that know of nothing else. Where it is a lock on all bytes they meet the others below. */
	if (r == 0 && !store->flock_is_range) {
		r = store->ops->flock(store, volume->lock_handle, LOCK_SH | LOCK_NB);
		if (r == -EWOULDBLOCK)
			return refused(volume, ret_problem, problem_bytes);
	}
	/* Who comes or goes is done soon. */
	while (r == 0 && writer) {
		r = store->ops->lock_range(store, volume->lock_handle, F_WRLCK, COMING_AT, 1, false);
		if (r != -EWOULDBLOCK)
			break;
		r = store->ops->lock_range(store, volume->lock_handle, F_WRLCK, 0, 1, true);
		if (r > 0 || tries++ == 3000)
			return refused(volume, ret_problem, problem_bytes);
		pause_ns(WAIT_MOST);
	}
	if (r == 0)
		r = store->ops->lock_range(store, volume->lock_handle, writer ? F_WRLCK : F_RDLCK, MEMBERS_AT + number,
					   1, false);
	if (r == -EWOULDBLOCK)
		return refused(volume, ret_problem, problem_bytes);
	if (r == 0 && writer)
		r = others_write(volume);
	if (r < 0) {
		snprintf(ret_problem, problem_bytes,
			 "cannot lock %s: %s; -o shared needs a backing filesystem that has such locks for all its "
			 "clients",
			 XTSFS_NAME_LOCK, xtsfs_strerror(r));
		return r;
	}
	volume->first_to_share = writer && r == 0;
	return 0;
}

int xtsfs_share_joined(struct xtsfs_volume *volume, const char *holder, bool marker_kept)
{
	struct text text;
	int r;

	volume->unclean = volume->read_first = true;
	volume->made_marker = false;
	if (volume->read_only)
		return 0;
	r = read_text(volume, &text);
	if (r < 0 && r != -ENOENT)
		return r;
	if (volume->first_to_share)
		text = (struct text){.made = !marker_kept};
	text.count++;
	r = write_text(volume, &text, holder);
	if (r == 0)
		xtsfs_share_unlock(volume, volume->lock_handle, COMING_AT);
	return r;
}

int xtsfs_share_leave(struct xtsfs_volume *volume, int error)
{
	struct xtsfs_store *store = volume->store;
	struct text text;
	int r = error ? error : store->ops->syncfs(store), others;

	if (r == 0 && volume->lost_locks)
		r = -EIO;
	if (r < 0) /* it stays counted, and with it the marker */
		return r;
	volume->is_given_up = NULL;
	r = xtsfs_share_lock(volume, volume->lock_handle, F_WRLCK, COMING_AT);
	if (r == 0)
		r = read_text(volume, &text);
	if (r < 0 || text.count == 0)
		return r == -ENOENT ? 0 : r;
	text.count--;
	others = others_write(volume);
	if (others == 0 && text.count == 0 && text.made) {
		r = xtsfs_volume_clear_marker(volume);
		return r < 0 ? r : store->ops->truncate(store, volume->lock_handle, 0);
	}
	return write_text(volume, &text, NULL);
}
