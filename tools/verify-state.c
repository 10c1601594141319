/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of a run that may be ended and gone on with: which parts of which files were found good.
 *
 * A part is known by 64 bits of SHA-256 over a random salt, the backing file's inode, length and time of change, and
 * the part's number (the device is left out, its number may be another after a boot). So a file that was changed since
 * is looked at again, and the file tells nobody anything. What was not good is not in it, and is found again by the
 * next run. It is no protection against somebody who can write to it: it is to lie where whoever may change the volume
 * cannot.
 *
 * Records are appended; what a kill leaves of the last one is cut off. A file is its header, then 8 bytes each.
 */
#include "verify.h"

#include "base/cleanup.h"
#include "base/endian.h"
#include "crypto/kdf.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC	    "xtsfs.v1"
#define SALT_BYTES  16U
#define FLUSH_S	    1
#define BUFFER_MOST 8192U

struct header {
	uint8_t magic[8], uuid[XTSFS_UUID_BYTES], salt[SALT_BYTES], zero[24];
};

struct verify_state {
	int fd;
	char *path;
	struct header header;
	uint64_t *known; /* of earlier runs, sorted */
	size_t known_count;
	pthread_mutex_t mutex; /* guards what follows */
	uint64_t added[BUFFER_MOST];
	size_t added_count;
	int error;
	time_t flushed_s;
};

static int compare(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static int write_all(int fd, const void *data, size_t bytes)
{
	const char *at = data;

	while (bytes > 0) {
		ssize_t n = write(fd, at, bytes);

		if (n < 0 && errno != EINTR)
			return -errno;
		at += n > 0 ? n : 0;
		bytes -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int read_all(int fd, void *ret_data, size_t bytes)
{
	char *at = ret_data;

	while (bytes > 0) {
		ssize_t n = read(fd, at, bytes);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EPROTO;
		at += n > 0 ? n : 0;
		bytes -= n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int begin(struct verify_state *state, const uint8_t *uuid)
{
	int r = xtsfs_random(state->header.salt, sizeof(state->header.salt));

	memcpy(state->header.magic, MAGIC, sizeof(state->header.magic));
	memcpy(state->header.uuid, uuid, XTSFS_UUID_BYTES);
	return r < 0 ? r : write_all(state->fd, &state->header, sizeof(state->header));
}

static int go_on(struct verify_state *state, const uint8_t *uuid, uint64_t bytes)
{
	uint64_t count;
	int r = bytes < sizeof(state->header) ? -EPROTO : read_all(state->fd, &state->header, sizeof(state->header));

	if (r == 0 && memcmp(state->header.magic, MAGIC, sizeof(state->header.magic)) != 0)
		r = -EPROTO;
	if (r == 0 && memcmp(state->header.uuid, uuid, XTSFS_UUID_BYTES) != 0)
		r = -EXDEV;
	if (r < 0)
		return r;
	count = (bytes - sizeof(state->header)) / sizeof(*state->known);
	state->known = calloc(count + 1, sizeof(*state->known));
	if (!state->known)
		return -ENOMEM;
	r = read_all(state->fd, state->known, count * sizeof(*state->known));
	if (r < 0)
		return r;
	state->known_count = count;
	qsort(state->known, count, sizeof(*state->known), compare);
	bytes = sizeof(state->header) + count * sizeof(*state->known);
	return ftruncate(state->fd, (off_t)bytes) < 0 || lseek(state->fd, 0, SEEK_END) < 0 ? -errno : 0;
}

int verify_state_open(const char *path, const uint8_t uuid[static XTSFS_UUID_BYTES], struct verify_state **ret_state,
		      bool *ret_resumed)
{
	struct verify_state *state = calloc(1, sizeof(*state));
	struct stat st;
	int r = 0;

	if (!state)
		return -ENOMEM;
	pthread_mutex_init(&state->mutex, NULL);
	state->path = strdup(path);
	state->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (state->fd < 0)
		r = -errno;
	else if (!state->path)
		r = -ENOMEM;
	else if (flock(state->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		r = -EWOULDBLOCK;
	else if (fstat(state->fd, &st) < 0)
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = -EPROTO;
	else
		r = st.st_size == 0 ? begin(state, uuid) : go_on(state, uuid, (uint64_t)st.st_size);
	if (r < 0) {
		state->error = r; /* it is not ours to write to, or to remove */
		return verify_state_close(state, false);
	}
	*ret_resumed = state->known_count > 0;
	*ret_state = state;
	return 0;
}

static uint64_t key_of(const struct verify_state *state, const struct xtsfs_fsck_part *part)
{
	const struct stat *st = part->stat;
	const uint64_t numbers[] = {st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_ctim.tv_sec,
				    (uint64_t)st->st_ctim.tv_nsec, part->number};
	uint8_t bytes[SALT_BYTES + sizeof(numbers)], hash[32];

	memcpy(bytes, state->header.salt, SALT_BYTES);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		xtsfs_store_le(bytes + SALT_BYTES + 8 * i, 8, numbers[i]);
	if (xtsfs_sha256(bytes, sizeof(bytes), hash) < 0)
		return 0;
	return xtsfs_load_le(hash, 8);
}

bool verify_state_knows(struct verify_state *state, const struct xtsfs_fsck_part *part)
{
	uint64_t key = state->known_count ? key_of(state, part) : 0;

	return key && bsearch(&key, state->known, state->known_count, sizeof(key), compare) != NULL;
}

/* Under the mutex. */
static void write_out(struct verify_state *state)
{
	int r = state->error;

	if (r == 0 && state->added_count)
		r = write_all(state->fd, state->added, state->added_count * sizeof(state->added[0]));
	state->added_count = 0;
	state->error = r;
	state->flushed_s = time(NULL);
}

void verify_state_add(struct verify_state *state, const struct xtsfs_fsck_part *part)
{
	uint64_t key = key_of(state, part);

	if (!key)
		return;
	xtsfs_guard_mutex(&state->mutex);
	state->added[state->added_count++] = key;
	if (state->added_count == BUFFER_MOST)
		write_out(state);
}

void verify_state_flush(struct verify_state *state)
{
	xtsfs_guard_mutex(&state->mutex);
	if (time(NULL) - state->flushed_s >= FLUSH_S)
		write_out(state);
}

int verify_state_close(struct verify_state *state, bool finished)
{
	int r;

	if (!state)
		return 0;
	if (state->fd >= 0 && state->error == 0)
		write_out(state);
	r = state->error;
	if (finished && unlink(state->path) < 0 && r == 0)
		r = -errno;
	if (state->fd >= 0)
		close(state->fd);
	pthread_mutex_destroy(&state->mutex);
	free(state->known);
	free(state->path);
	free(state);
	return r;
}
