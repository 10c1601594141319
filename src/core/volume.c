/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing a volume.
 *
 * A writer holds an exclusive lock on xtsfs.lock for as long as it has the volume, a reader a shared one; the lock file
 * is never replaced, so that the lock survives changes of xtsfs.conf. Its content says who the writer is, for people.
 * Those who share the volume are in share.c.
 *
 * The unclean marker (spec 10 rule 6) is made durable before the first change and removed after the last. One that is
 * already there belongs to a writer that died: it stays until fsck, which opens with "repair", has looked at
 * everything.
 */
#include "core/internal.h"

#include "core/file.h"
#include "core/replace.h"
#include "core/reverse-internal.h"

#include "crypto/kdf.h"
#include "format/header.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

__attribute__((format(printf, 3, 4))) static void say(char *ret_problem, size_t bytes, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ret_problem, bytes, format, args);
	va_end(args);
}

static int sync_root(struct xtsfs_store *store)
{
	return store->ops->sync(store, store->root, false);
}

static bool is_not_supported(int error)
{
	return error == -EINVAL || error == -ENOSYS || error == -EOPNOTSUPP;
}

/*
 * flock() for who is on this machine; and a lock on all bytes of the file, since a server and those who reach it by NFS
 * do not see each other's flock(), and since whoever shares the volume holds a byte of it (share.c).
 */
static int lock_whole(struct xtsfs_volume *volume)
{
	struct xtsfs_store *store = volume->store;
	bool writer = !volume->read_only;
	int r = store->ops->flock(store, volume->lock_handle, (writer ? LOCK_EX : LOCK_SH) | LOCK_NB);

	if (r < 0) /* also where it is not supported: without it two could write */
		return r;
	r = store->ops->lock_range(store, volume->lock_handle, writer ? F_WRLCK : F_RDLCK, 0, 0, false);
	return is_not_supported(r) ? 0 : r;
}

static int take_lock(struct xtsfs_volume *volume, const struct xtsfs_volume_params *params, char *ret_problem,
		     size_t problem_bytes)
{
	struct xtsfs_store *store = volume->store;
	bool writer = !volume->read_only;
	const char *holder = params->holder;
	char text[256] = "";
	ssize_t n;
	int r;

	/* The holder text may be long gone from a read-only medium, and so may the file. */
	r = store->ops->open(store, store->root, XTSFS_NAME_LOCK, writer ? O_RDWR | O_CREAT : O_RDONLY, 0600, NULL);
	if (r < 0 && !writer && (r == -ENOENT || r == -EACCES || r == -EROFS))
		return 0;
	if (r < 0) {
		say(ret_problem, problem_bytes, "cannot open %s: %s", XTSFS_NAME_LOCK, xtsfs_strerror(r));
		return r;
	}
	volume->lock_handle = r;
	if (volume->shared)
		return xtsfs_share_join(volume, ret_problem, problem_bytes);
	r = lock_whole(volume);
	if (r == -EWOULDBLOCK && params->may_share && volume->read_only) {
		volume->shared = store->fresh = true;
		return xtsfs_share_join(volume, ret_problem, problem_bytes);
	}
	if (r == -EWOULDBLOCK) {
		n = xtsfs_store_pread(store, volume->lock_handle, text, sizeof(text) - 1, 0);
		text[n > 0 ? n : 0] = '\0';
		text[strcspn(text, "\n")] = '\0';
		say(ret_problem, problem_bytes, "the volume is in use%s%s; unmount it there first%s",
		    text[0] ? " by " : "", text,
		    params->tell_shared ? ", or mount it with -o shared in all places" : "");
		return -EBUSY;
	}
	if (r < 0) {
		say(ret_problem, problem_bytes, "cannot lock %s: %s", XTSFS_NAME_LOCK, xtsfs_strerror(r));
		return r;
	}
	if (writer) {
		snprintf(text, sizeof(text), "%s\n", holder ? holder : "a program without a name");
		r = store->ops->truncate(store, volume->lock_handle, 0);
		if (r == 0)
			r = xtsfs_store_pwrite(store, volume->lock_handle, text, strlen(text), 0);
		if (r < 0)
			say(ret_problem, problem_bytes, "cannot write %s: %s", XTSFS_NAME_LOCK, xtsfs_strerror(r));
	}
	return r;
}

/* Is there a marker, and is it ours? */
static int look_for_marker(struct xtsfs_volume *volume, const struct xtsfs_volume_params *params)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_disk_unclean disk = {0};
	struct iovec parts[2];
	ssize_t n;
	int handle, r;

	handle = store->ops->open(store, store->root, XTSFS_NAME_UNCLEAN, O_RDONLY | O_NONBLOCK, 0, NULL);
	if (handle == -ENOENT || (params->peek && params->no_excuse && handle >= 0)) {
		if (handle >= 0)
			store->ops->close(store, handle);
		return 0;
	}
	volume->read_first = true;
	if (handle < 0)
		return handle == -ELOOP ? 0 : handle;
	n = xtsfs_store_pread(store, handle, &disk, sizeof(disk), 0);
	store->ops->close(store, handle);
	if (n < 0)
		return (int)n;
	r = xtsfs_keys_meta_verify(volume->keys, parts, xtsfs_unclean_tag_parts(&disk, parts), disk.tag, NULL);
	if (r < 0 && r != -XTSFS_EAUTH)
		return r;
	volume->unclean = r == 0 && n == sizeof(disk) &&
			  memcmp(disk.magic, XTSFS_MAGIC_UNCLEAN, sizeof(disk.magic)) == 0;
	volume->marker_s = volume->unclean ? (int64_t)xtsfs_le64_get(disk.unix_s) : 0;
	if (params->peek || (volume->shared && !volume->first_to_share)) /* beside a writer, whose marker it is */
		return 0;
	if (volume->unclean)
		xtsfs_notice("the volume was not shut down cleanly; it is usable, and xtsfsctl fsck will check and "
			     "settle it");
	else
		xtsfs_warning("%s is not authentic, ignoring what it would excuse; run xtsfsctl fsck",
			      XTSFS_NAME_UNCLEAN);
	return 0;
}

/* The marker's coming and going is no change of the root directory, which users see. Best effort, as for whoever does
 * not own it. */
static void put_back_root_mtime(struct xtsfs_store *store, const struct stat *before)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, before->st_mtim};

	(void)store->ops->utimens(store, store->root, NULL, times);
}

/* Whole or not at all: a part of one would look like somebody's forgery. */
static int write_marker(struct xtsfs_volume *volume, int64_t unix_s)
{
	struct xtsfs_disk_unclean disk = {.unix_s = xtsfs_le64_of((uint64_t)unix_s)};
	struct xtsfs_store *store = volume->store;
	struct iovec parts[2];
	struct stat root;
	int r = store->ops->fstat(store, store->root, &root);

	memcpy(disk.magic, XTSFS_MAGIC_UNCLEAN, sizeof(disk.magic));
	if (r == 0)
		r = xtsfs_mac_tag(volume->keys->meta, parts, xtsfs_unclean_tag_parts(&disk, parts), disk.tag);
	if (r == 0)
		r = xtsfs_file_replace(store, XTSFS_NAME_UNCLEAN, &disk, sizeof(disk), /* exclusive= */ false);
	if (r == 0)
		put_back_root_mtime(store, &root);
	return r;
}

static int make_marker(struct xtsfs_volume *volume)
{
	struct xtsfs_store *store = volume->store;

	if (volume->read_first) {
		int r = store->ops->unlink(store, store->root, XTSFS_NAME_UNCLEAN, 0);

		if (r < 0)
			return r;
	}
	volume->made_marker = true;
	return write_marker(volume, (int64_t)time(NULL));
}

int xtsfs_renew_marker(struct xtsfs_volume *volume)
{
	if (!volume->made_marker && !volume->unclean)
		return 0;
	return write_marker(volume, volume->unclean ? volume->marker_s : (int64_t)time(NULL));
}

int xtsfs_volume_clear_marker(struct xtsfs_volume *volume)
{
	struct xtsfs_store *store = volume->store;
	struct stat root;
	int r = store->ops->syncfs(store);

	if (r == 0)
		r = store->ops->fstat(store, store->root, &root);
	if (r == 0)
		r = store->ops->unlink(store, store->root, XTSFS_NAME_UNCLEAN, 0);
	if (r == 0)
		put_back_root_mtime(store, &root);
	if (r == -ENOENT)
		r = 0;
	if (r == 0)
		r = sync_root(store);
	if (r == 0)
		volume->made_marker = false;
	return r;
}

static int open_root(struct xtsfs_volume *volume)
{
	struct xtsfs_store *store = volume->store;
	uint8_t dirid[XTSFS_ID_BYTES];
	struct xtsfs_fd *fd;
	struct stat st;
	int r, handle;

	r = store->ops->fstat(store, store->root, &st);
	if (r == 0)
		r = xtsfs_node_get(volume, &st, NULL, NULL, &volume->root);
	if (r < 0)
		return r;
	volume->root->is_root = true;
	handle = store->ops->open(store, store->root, ".", O_PATH | O_DIRECTORY, 0, NULL);
	if (handle < 0)
		return handle;
	volume->root->fd_keeps = 1;
	r = xtsfs_fd_adopt(volume, volume->root, handle, XTSFS_ACCESS_PATH, &fd);
	if (r < 0)
		return r;
	xtsfs_fd_put(volume, fd);
	return volume->repair ? 0 : xtsfs_dirid_get(volume, volume->root, dirid);
}

/* There is no writer to keep out, no marker, and the root's id is not stored. */
static int open_reverse(struct xtsfs_volume *volume, const struct xtsfs_config *config,
			const struct xtsfs_volume_params *params, char *ret_problem, size_t problem_bytes)
{
	int r = volume->keys->old ? -XTSFS_EFEATURE : xtsfs_reverse_new(volume, config, params->reverse);

	if (r == -XTSFS_EFEATURE)
		say(ret_problem, problem_bytes, "its configuration is of a volume in re-encryption");
	return r < 0 ? r : open_root(volume);
}

static unsigned default_fds(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > 12288)
		return 4096;
	return limit.rlim_cur < 96 ? 32 : (unsigned)(limit.rlim_cur / 3);
}

static void free_volume(struct xtsfs_volume *volume)
{
	xtsfs_node_table_free(volume);
	xtsfs_reverse_free(volume);
	free(volume->pending);
	if (volume->lock_handle >= 0)
		volume->store->ops->close(volume->store, volume->lock_handle);
	xtsfs_keys_free(volume->keys);
	for (unsigned i = 0; i < XTSFS_DIR_STRIPES; i++)
		pthread_mutex_destroy(&volume->dir_mutex[i]);
	pthread_rwlock_destroy(&volume->names_lock);
	pthread_mutex_destroy(&volume->file_mutex);
	xtsfs_sector_pool_free(&volume->sector_pool);
	pthread_mutex_destroy(&volume->table_mutex);
	pthread_mutex_destroy(&volume->fd_mutex);
	pthread_mutex_destroy(&volume->pending_mutex);
	pthread_mutex_destroy(&volume->attr_mutex);
	pthread_mutex_destroy(&volume->flush_mutex);
	pthread_rwlock_destroy(&volume->key_lock);
	free(volume);
}

static int open_volume(struct xtsfs_volume *volume, const struct xtsfs_config *config,
		       const struct xtsfs_secret *volume_key, const struct xtsfs_volume_params *params,
		       char *ret_problem, size_t problem_bytes)
{
	bool marker_kept;
	int r;

	r = xtsfs_keys_new(volume_key, config, params->engine, volume->threads, &volume->keys);
	if (r < 0) {
		say(ret_problem, problem_bytes, "cannot set up the keys: %s", xtsfs_strerror(r));
		return r;
	}
	if (params->reverse)
		return open_reverse(volume, config, params, ret_problem, problem_bytes);
	if (params->shared && volume->keys->old) {
		say(ret_problem, problem_bytes,
		    "it is being re-encrypted, which takes one mount that does not share it");
		return -EBUSY;
	}
	r = params->peek && volume->read_only ? 0 : take_lock(volume, params, ret_problem, problem_bytes);
	if (r < 0)
		return r;
	r = look_for_marker(volume, params);
	if (r < 0) {
		say(ret_problem, problem_bytes, "cannot read %s: %s", XTSFS_NAME_UNCLEAN, xtsfs_strerror(r));
		return r;
	}
	r = open_root(volume);
	if (r < 0) {
		say(ret_problem, problem_bytes, "the root directory's id (%s): %s%s", XTSFS_NAME_DIRID,
		    xtsfs_strerror(r),
		    r == -XTSFS_EDAMAGED ? "; xtsfsctl fsck --repair or xtsfsctl header restore can bring it back"
					 : "");
		return r;
	}
	if (!volume->read_only && xtsfs_store_folds_case(volume->store, XTSFS_NAME_DIRID) > 0) {
		say(ret_problem, problem_bytes, XTSFS_FOLDS_CASE);
		return -EOPNOTSUPP;
	}
	/* One that is not authentic cannot be ours, and would not excuse what we leave if we die. */
	marker_kept = volume->unclean;
	if (!volume->read_only && !volume->unclean && !volume->repair) {
		r = make_marker(volume);
		if (r < 0)
			say(ret_problem, problem_bytes, "cannot make %s: %s", XTSFS_NAME_UNCLEAN, xtsfs_strerror(r));
	}
	if (r == 0 && volume->shared) {
		r = xtsfs_share_joined(volume, params->holder, marker_kept);
		if (r < 0)
			say(ret_problem, problem_bytes, "cannot write %s: %s", XTSFS_NAME_LOCK, xtsfs_strerror(r));
	}
	if (r == 0 && volume->keys->old && !params->peek)
		r = xtsfs_redo_again(volume, ret_problem, problem_bytes);
	return r;
}

int xtsfs_volume_open(struct xtsfs_store *store, const struct xtsfs_config *config,
		      const struct xtsfs_secret *volume_key, const struct xtsfs_volume_params *params,
		      struct xtsfs_volume **ret_volume, char *ret_problem, size_t problem_bytes)
{
	struct xtsfs_volume *volume = calloc(1, sizeof(*volume));
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	int r;

	ret_problem[0] = '\0';
	if (!volume)
		return -ENOMEM;
	volume->store = store;
	volume->integrity = config->integrity;
	volume->layout = config->integrity == XTSFS_INTEGRITY_NONE ? XTSFS_LAYOUT_PLAIN : XTSFS_LAYOUT_GROUPS;
	volume->read_only = params->read_only || params->salvage || params->reverse;
	volume->salvage = params->salvage;
	volume->no_atime = params->no_atime || volume->read_only;
	volume->repair = params->repair;
	volume->log_names = params->log_names;
	volume->threads = params->threads ? params->threads : processors > 2 ? (unsigned)processors : 2;
	volume->shared = store->fresh = params->shared;
	volume->waiting_most = params->shared ? 0 : params->waiting_bytes;
	volume->fd_max = params->fds ? params->fds : default_fds();
	volume->lock_handle = -1;
	volume->renew_groups = XTSFS_RENEW_GROUPS;
	for (unsigned i = 0; i < XTSFS_DIR_STRIPES; i++)
		pthread_mutex_init(&volume->dir_mutex[i], NULL);
	pthread_rwlock_init(&volume->names_lock, NULL);
	pthread_mutex_init(&volume->file_mutex, NULL);
	xtsfs_sector_pool_init(&volume->sector_pool);
	pthread_mutex_init(&volume->table_mutex, NULL);
	pthread_mutex_init(&volume->fd_mutex, NULL);
	pthread_mutex_init(&volume->pending_mutex, NULL);
	pthread_mutex_init(&volume->attr_mutex, NULL);
	pthread_mutex_init(&volume->flush_mutex, NULL);
	pthread_rwlock_init(&volume->key_lock, NULL);
	memcpy(volume->uuid, config->uuid, sizeof(volume->uuid));
	volume->content_keys = config->content_keys;
	volume->engine = params->engine;

	r = xtsfs_random((uint8_t *)&volume->generation, sizeof(volume->generation));
	if (r == 0)
		r = open_volume(volume, config, volume_key, params, ret_problem, problem_bytes);
	if (r < 0) {
		if (volume->made_marker)
			(void)store->ops->unlink(store, store->root, XTSFS_NAME_UNCLEAN, 0);
		free_volume(volume);
		return r;
	}
	*ret_volume = volume;
	return 0;
}

int xtsfs_volume_close(struct xtsfs_volume *volume)
{
	int r = 0;

	if (!volume)
		return 0;
	xtsfs_closedir_all(volume);
	while (volume->reverse && volume->reverse->open)
		xtsfs_reverse_close(volume->reverse->open);
	if (!volume->read_only) {
		r = xtsfs_file_finish_all(volume);
		if (r == 0)
			r = volume->unsettled;
		for (size_t i = 0; i < volume->pending_count; i++)
			xtsfs_node_unref(volume, volume->pending[i], 1);
		volume->pending_count = 0;
		if (volume->shared)
			r = xtsfs_share_leave(volume, r);
		else if (r == 0 && volume->made_marker)
			r = xtsfs_volume_clear_marker(volume);
		else if (r == 0)
			r = volume->store->ops->syncfs(volume->store);
		if (volume->lock_handle >= 0 && !volume->shared)
			(void)volume->store->ops->truncate(volume->store, volume->lock_handle, 0);
	}
	free_volume(volume);
	return r;
}

bool xtsfs_volume_is_shared(const struct xtsfs_volume *volume)
{
	return volume->shared;
}

void xtsfs_volume_on_wait(struct xtsfs_volume *volume, bool (*is_given_up)(void))
{
	volume->is_given_up = is_given_up;
}

int xtsfs_volume_warm(struct xtsfs_volume *volume)
{
	int r = 0;

	for (const struct xtsfs_keys *keys = volume->keys; keys; keys = keys->old)
		for (unsigned i = 0; r == 0 && i < keys->content_keys; i++)
			r = xtsfs_pool_warm(keys->content[i], keys->content_keys == 1 ? volume->threads : 1);
	return r;
}

void xtsfs_volume_state(const struct xtsfs_volume *volume, struct xtsfs_volume_state *ret_state)
{
	*ret_state = (struct xtsfs_volume_state){
		.unclean = volume->unclean, .marker = volume->read_first, .integrity = volume->integrity};
}

void xtsfs_volume_stats(struct xtsfs_volume *volume, struct xtsfs_volume_stats *ret_stats)
{
	struct xtsfs_volume_stats stats = {.integrity = volume->integrity};

	stats.content_keys = volume->content_keys;
	pthread_rwlock_rdlock(&volume->key_lock);
	for (unsigned i = 0; volume->keys && i < volume->keys->content_keys; i++) {
		struct xtsfs_pool_stats pool;

		xtsfs_pool_stats(volume->keys->content[i], &pool);
		stats.ops += pool.ops;
		stats.ops_max += pool.max_ops;
		stats.sectors += pool.sectors;
		stats.ops_replaced += pool.replaced;
		stats.ops_waits += pool.waits;
	}
	pthread_rwlock_unlock(&volume->key_lock);
	stats.waiting_bytes = __atomic_load_n(&volume->waiting_bytes, __ATOMIC_RELAXED);
	pthread_mutex_lock(&volume->file_mutex);
	stats.kept_files = volume->kept_count;
	pthread_mutex_unlock(&volume->file_mutex);
	pthread_mutex_lock(&volume->table_mutex);
	stats.nodes = volume->table_used;
	pthread_mutex_unlock(&volume->table_mutex);
	pthread_mutex_lock(&volume->fd_mutex);
	stats.descriptors = volume->fd_count;
	stats.descriptors_max = volume->fd_max;
	pthread_mutex_unlock(&volume->fd_mutex);
	*ret_stats = stats;
}

int xtsfs_volume_format(struct xtsfs_store *store, const struct xtsfs_config *config,
			const struct xtsfs_secret *volume_key)
{
	static const uint8_t no_parent[XTSFS_ID_BYTES];
	struct xtsfs_keys *keys;
	uint8_t id[XTSFS_ID_BYTES];
	int r, handle;

	r = xtsfs_keys_new(volume_key, config, NULL, 0, &keys);
	if (r < 0)
		return r;
	r = xtsfs_dirid_write(store, keys->meta, store->root, NULL, no_parent, id);
	xtsfs_keys_free(keys);
	if (r < 0)
		return r;
	handle = store->ops->open(store, store->root, XTSFS_NAME_LOCK, O_CREAT | O_EXCL | O_WRONLY, 0600, NULL);
	if (handle >= 0)
		store->ops->close(store, handle);
	r = handle < 0 ? handle : store->ops->syncfs(store);
	if (r < 0) {
		(void)store->ops->unlink(store, store->root, XTSFS_NAME_LOCK, 0);
		(void)store->ops->unlink(store, store->root, XTSFS_NAME_DIRID, 0);
	}
	return r;
}
