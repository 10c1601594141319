/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of regular files in use: attaching it to a node, loading it from block 0, and letting it go.
 *
 * Loading decides what the file is (spec 9.4, 9.7): empty, inline or sectors; how long; and whether what is stored fits
 * the header. What does not fit is an error in a volume that was shut down cleanly (somebody changed the file from
 * outside) and the trace of a crash in one that was not. Loading never writes: a stored length that must be cut is
 * remembered (trim) until the first change.
 */
#include "core/file.h"

#include "core/fs.h"
#include "crypto/kdf.h"

#include <string.h>

static struct xtsfs_file *file_new(struct xtsfs_node *node)
{
	struct xtsfs_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->node = node;
	pthread_rwlock_init(&file->lock, NULL);
	for (unsigned i = 0; i < XTSFS_STRIPES; i++)
		pthread_rwlock_init(&file->stripe[i], NULL);
	pthread_mutex_init(&file->dirty_mutex, NULL);
	pthread_mutex_init(&file->waiting.mutex, NULL);
	return file;
}

static void file_free(struct xtsfs_volume *volume, struct xtsfs_file *file)
{
	if (!file)
		return;
	xtsfs_waiting_drop(volume, file);
	pthread_mutex_destroy(&file->waiting.mutex);
	pthread_rwlock_destroy(&file->lock);
	for (unsigned i = 0; i < XTSFS_STRIPES; i++)
		pthread_rwlock_destroy(&file->stripe[i]);
	pthread_mutex_destroy(&file->dirty_mutex);
	xtsfs_groupset_clear(&file->dirty);
	free(file);
}

int xtsfs_file_attach(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_file **ret_file)
{
	if (!S_ISREG(node->type))
		return S_ISDIR(node->type) ? -EISDIR : -EINVAL;
	xtsfs_guard_mutex(&volume->file_mutex);
	if (!node->file) {
		struct xtsfs_file *file = file_new(node);

		if (!file)
			return -ENOMEM;
		__atomic_store_n(&node->file, file, __ATOMIC_RELAXED); /* dir.c looks without the mutex */
	}
	if (node->file->users++ == 0)
		xtsfs_node_ref(volume, node);
	*ret_file = node->file;
	return 0;
}

int xtsfs_file_settle(struct xtsfs_io *io)
{
	struct xtsfs_file *file = io->file;
	int r = xtsfs_waiting_commit(io);

	if (r == 0 && file->dirty.count)
		r = xtsfs_file_end_under_way(io);
	if (r == 0)
		r = xtsfs_finalise(io, &file->dirty, true);
	if (r == 0)
		xtsfs_groupset_clear(&file->dirty);
	return r;
}

/* Settles what is pending before the state goes away. */
static int finish(struct xtsfs_volume *volume, struct xtsfs_file *file)
{
	struct xtsfs_io io = {.volume = volume, .file = file};
	struct stat st;
	int r;

	if (!volume->keys)
		return -ENOKEY; /* locked, which settles everything that it can */
	xtsfs_file_set_changed(file, false);
	r = xtsfs_fd_get(volume, file->node, XTSFS_ACCESS_WRITE, &io.fd);
	if (r == 0) {
		io.handle = io.fd->handle;
		r = volume->store->ops->fstat(volume->store, io.handle, &st);
		if (r == 0 && st.st_nlink > 0) {
			r = xtsfs_io_lock(&io, true);
			if (r == 0) {
				r = xtsfs_file_settle(&io);
				if (r == 0)
					xtsfs_mtime_put_back(&io);
				xtsfs_io_unlock(&io);
			}
		}
		xtsfs_fd_put(volume, io.fd);
	}
	if (r < 0 && r != -ESTALE) {
		xtsfs_file_set_changed(file, true);
		return r;
	}
	return 0; /* or it was removed since */
}

/* ---- files that could not be settled ---- */

/*
 * A full disk, a limit, no descriptors: what is in the way may go. Until then what waits in memory is the only copy,
 * and what the file is on disk is known here only. So the file stays in use, by the volume's list.
 */
#define KEPT_MAX 1024U

/* What is damaged will not get better. */
static bool may_pass(const struct xtsfs_file *file, int error)
{
	return error == -ENOSPC || error == -EDQUOT || error == -EMFILE || error == -ENFILE || error == -ENOMEM ||
	       error == -EINTR || /* who made the request, which came to be the last use, has given up */
	       xtsfs_waiting_has(file);
}

/* volume.file_mutex held. */
static bool keep(struct xtsfs_volume *volume, struct xtsfs_file *file, int error)
{
	if (volume->kept_count >= KEPT_MAX || !may_pass(file, error))
		return false;
	file->next_kept = volume->kept_files;
	volume->kept_files = file;
	volume->kept_count++;
	return true;
}

void xtsfs_file_retry_kept(struct xtsfs_volume *volume)
{
	struct xtsfs_file *list;

	pthread_mutex_lock(&volume->file_mutex);
	list = volume->kept_files;
	volume->kept_files = NULL;
	volume->kept_count = 0;
	pthread_mutex_unlock(&volume->file_mutex);
	while (list) {
		struct xtsfs_file *file = list;

		list = file->next_kept;
		xtsfs_file_detach(volume, file);
	}
}

/* What is let go without being settled is the next opening's to find out, so the volume keeps its marker. */
static void give_up(struct xtsfs_volume *volume, struct xtsfs_file *file, int error)
{
	xtsfs_auto_free char *path = xtsfs_node_describe(volume, file->node);

	__atomic_store_n(&volume->unsettled, error, __ATOMIC_RELAXED);
	xtsfs_error("%s: cannot settle the file after its last use: %s; %s, and xtsfsctl fsck can settle it",
		    path ? path : "a file", xtsfs_strerror(error),
		    xtsfs_waiting_has(file) ? "what was overwritten last is as it was before" : "its content is safe");
}

/* Says once that it cannot be done yet, and when it could. volume.file_mutex held, which it lets go meanwhile. */
static void tell(struct xtsfs_volume *volume, struct xtsfs_file *file, int error)
{
	if (file->told == (error < 0))
		return;
	file->told = error < 0;
	pthread_mutex_unlock(&volume->file_mutex);
	{
		xtsfs_auto_free char *path = xtsfs_node_describe(volume, file->node);

		if (error < 0)
			xtsfs_warning("%s: cannot settle the file after its last use: %s; trying again",
				      path ? path : "a file", xtsfs_strerror(error));
		else
			xtsfs_notice("%s: settled now", path ? path : "a file");
	}
	pthread_mutex_lock(&volume->file_mutex);
}

void xtsfs_file_detach(struct xtsfs_volume *volume, struct xtsfs_file *file)
{
	struct xtsfs_node *node = file->node;

	pthread_mutex_lock(&volume->file_mutex);
	/* Again if somebody has come, changed it and gone meanwhile. */
	while (file->users == 1 && xtsfs_file_is_changed(file) && !volume->read_only) {
		int r;

		pthread_mutex_unlock(&volume->file_mutex);
		r = finish(volume, file);
		pthread_mutex_lock(&volume->file_mutex);
		if (r == 0 || may_pass(file, r))
			tell(volume, file, r);
		if (r == 0 || file->users > 1)
			continue;
		if (keep(volume, file, r)) {
			pthread_mutex_unlock(&volume->file_mutex);
			return;
		}
		/* Before anybody can come: what he changes must not be forgotten with it. */
		xtsfs_file_set_changed(file, false);
		pthread_mutex_unlock(&volume->file_mutex);
		give_up(volume, file, r);
		pthread_mutex_lock(&volume->file_mutex);
	}
	if (--file->users > 0) {
		pthread_mutex_unlock(&volume->file_mutex);
		return;
	}
	__atomic_store_n(&node->file, NULL, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&volume->file_mutex);
	file_free(volume, file);
	xtsfs_node_unref(volume, node, 1);
}

int xtsfs_file_finish_all(struct xtsfs_volume *volume)
{
	int first = 0;

	/* Nobody else is left. */
	for (size_t i = 0; i < volume->table_slots; i++) {
		for (struct xtsfs_node *node = volume->table[i]; node; node = node->hash_next) {
			int r = 0;

			if (!S_ISREG(node->type) || !node->file)
				continue;
			if (xtsfs_file_is_changed(node->file))
				r = finish(volume, node->file);
			if (r < 0)
				give_up(volume, node->file, r);
			if (r < 0 && first == 0)
				first = r;
			file_free(volume, node->file);
			node->file = NULL;
		}
	}
	return first;
}

int xtsfs_file_flush(struct xtsfs_io *io)
{
	struct xtsfs_file *file = io->file;
	uint64_t writes = __atomic_load_n(&file->writes, __ATOMIC_ACQUIRE);
	int r = io->volume->store->ops->sync(io->volume->store, io->handle, true);

	if (r == 0)
		xtsfs_file_set_flushed(file, writes);
	else
		xtsfs_file_set_unsure(file, true); /* entries may be ahead of what they are of */
	return r;
}

void xtsfs_file_set_flushed(struct xtsfs_file *file, uint64_t writes)
{
	uint64_t flushed = __atomic_load_n(&file->flushed, __ATOMIC_RELAXED);

	/* Several may flush at once: the highest count wins. */
	while (flushed < writes && !__atomic_compare_exchange_n(&file->flushed, &flushed, writes, false,
								__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

int xtsfs_file_end_under_way(struct xtsfs_io *io)
{
	const struct xtsfs_file *file = io->file;

	if (__atomic_load_n(&file->writes, __ATOMIC_ACQUIRE) == __atomic_load_n(&file->flushed, __ATOMIC_RELAXED))
		return 0;
	return xtsfs_file_flush(io);
}

static int refuse(struct xtsfs_io *io, int error, const char *what)
{
	xtsfs_auto_free char *path = xtsfs_node_describe(io->volume, io->file->node);

	xtsfs_error("%s: %s, refusing to open it; xtsfsctl fsck shows what can be done", path ? path : "a file", what);
	return error;
}

/*
 * Spec 9.7, tail rule: the file was being extended to a tail of 4081 bytes or more, and its block is there but not yet
 * the length that says so. Returns the plain bytes in the last sector, B if the rule does not apply.
 */
static int tail_rule(struct xtsfs_io *io, uint64_t sector_no, uint32_t *ret_bytes)
{
	struct xtsfs_scratch *scratch = xtsfs_scratch();
	unsigned matches = 0;
	uint32_t match = XTSFS_BLOCK_BYTES;
	ssize_t n;
	int r;

	*ret_bytes = XTSFS_BLOCK_BYTES;
	if (!scratch)
		return -ENOMEM;
	r = xtsfs_meta_load(io, xtsfs_sector_group(sector_no), &scratch->meta);
	if (r < 0)
		return r == -EIO ? 0 : r;
	n = xtsfs_store_pread(io->volume->store, io->handle, scratch->sectors, XTSFS_BLOCK_BYTES,
			      xtsfs_sector_cipher_off(io->volume->layout, sector_no));
	if (n < 0)
		return (int)n;
	r = xtsfs_sector_verify(io, sector_no, XTSFS_BLOCK_BYTES, scratch->sectors, &scratch->meta);
	if (r < 0 || r == XTSFS_IS_NOW || r == XTSFS_IS_BEFORE || r == XTSFS_IS_HOLE)
		return r < 0 ? r : 0;
	for (uint32_t t = XTSFS_SHORT_TAIL_MAX + 1; t < XTSFS_BLOCK_BYTES; t++) {
		r = xtsfs_sector_verify(io, sector_no, t, scratch->sectors, &scratch->meta);
		if (r < 0)
			return r;
		if (r == XTSFS_IS_NOW || r == XTSFS_IS_BEFORE) {
			matches++;
			match = t;
		}
	}
	if (matches == 1)
		*ret_bytes = match;
	return 0;
}

static int load_sectors(struct xtsfs_io *io, uint64_t cipher_bytes)
{
	struct xtsfs_file *file = io->file;
	struct xtsfs_volume *volume = io->volume;
	uint64_t plain = cipher_bytes == XTSFS_BLOCK_BYTES ? 0
							   : xtsfs_cipher_to_plain_bytes(volume->layout, cipher_bytes);
	bool canonical = plain && xtsfs_plain_to_cipher_bytes(volume->layout, plain) == cipher_bytes;

	if (!xtsfs_has_tags(io) &&
	    (!xtsfs_is_zero(file->block0.entry, sizeof(file->block0.entry)) || xtsfs_growing_get(&file->block0).from))
		return refuse(io, -XTSFS_EDAMAGED, "there is something behind its header");
	if ((file->header.flags & XTSFS_FILE_CLEAN) && (plain != file->header.plain_bytes || !canonical)) {
		if (!xtsfs_is_interrupted(io) && !volume->salvage)
			return refuse(io, -XTSFS_EDAMAGED, "its length was changed outside of xtsfs");
		xtsfs_notice(
			"inode %llu: its length is not what its header says, the trace of a crash; using the length",
			(unsigned long long)file->node->ino);
	}
	if (!(file->header.flags & XTSFS_FILE_CLEAN) && xtsfs_is_interrupted(io) && canonical &&
	    plain % XTSFS_BLOCK_BYTES == 0 && xtsfs_has_tags(io)) {
		uint32_t tail;
		int r = tail_rule(io, plain / XTSFS_BLOCK_BYTES - 1, &tail);

		if (r < 0)
			return r;
		if (tail != XTSFS_BLOCK_BYTES) {
			plain -= XTSFS_BLOCK_BYTES - tail;
			canonical = false;
		}
	}
	file->plain_bytes = plain;
	file->trim = !canonical;
	file->rough = !xtsfs_has_tags(io) && xtsfs_is_interrupted(io);
	return 0;
}

static int load_inline(struct xtsfs_io *io, uint64_t cipher_bytes)
{
	struct xtsfs_file *file = io->file;

	file->plain_bytes = file->header.plain_bytes;
	file->trim = cipher_bytes != xtsfs_inline_cipher_bytes(file->plain_bytes);
	if (!file->trim)
		return 0;
	if (!xtsfs_is_interrupted(io) && !io->volume->salvage)
		return refuse(io, -XTSFS_EDAMAGED, "its length was changed outside of xtsfs");
	xtsfs_notice("inode %llu: a change of layout was interrupted; using what was complete",
		     (unsigned long long)file->node->ino);
	return 0;
}

/*
 * What was written shortly before, in an earlier use of the file, may not be durable: then it is under way. A minute is
 * more than backing filesystems and their disks take to write back what nobody syncs.
 */
#define WRITE_BACK_S 60

static bool may_be_under_way(const struct stat *st)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec - st->st_ctim.tv_sec < WRITE_BACK_S;
}

int xtsfs_file_load(struct xtsfs_io *io)
{
	struct xtsfs_file *file = io->file;
	struct xtsfs_store *store = io->volume->store;
	struct stat st;
	ssize_t n;
	int r, parsed;

	r = store->ops->fstat(store, io->handle, &st);
	if (r < 0)
		return r;
	file->has_block0 = file->trim = false;
	file->plain_bytes = 0;
	if (xtsfs_is_torn(io->volume, &st))
		return refuse(io, -EIO,
			      "its re-encryption was interrupted; opening the volume for writing goes on with it");
	if (st.st_size == 0) {
		file->loaded = true;
		return 0;
	}
	n = xtsfs_store_pread(store, io->handle, &file->block0, sizeof(file->block0), 0);
	if (n < 0)
		return (int)n;
	memset((uint8_t *)&file->block0 + n, 0, sizeof(file->block0) - (size_t)n);
	if (xtsfs_is_interrupted(io) && xtsfs_is_zero(file->block0.header_bytes, XTSFS_HEADER_BYTES)) {
		file->trim = file->loaded = true; /* its length is there, its data never was: empty (spec 9.8) */
		return 0;
	}
	parsed = xtsfs_header_parse(&file->block0, (size_t)n, &file->header);
	if (parsed == -XTSFS_EDAMAGED)
		return refuse(io, parsed, "its header is not one of xtsfs, or cut short");
	file->under_old = false;
	r = xtsfs_block0_verify(io->volume, &file->block0, &file->under_old);
	if (r < 0 && r != -XTSFS_EAUTH)
		return r;
	if (r < 0 && !(io->volume->salvage && parsed == 0))
		return refuse(io, -EIO, "its header is not authentic");
	if (parsed == 0 && !xtsfs_header_fits(io->volume, &file->header, file->under_old))
		return refuse(io, -XTSFS_EDAMAGED, "its header is not one of xtsfs, or cut short");
	if (parsed < 0)
		return refuse(io, parsed, "it was written by a newer version of xtsfs");
	file->has_block0 = true;
	if (io->volume->shared || may_be_under_way(&st))
		xtsfs_file_set_under_way(file);
	r = (file->header.flags & XTSFS_FILE_INLINE) ? load_inline(io, (uint64_t)st.st_size)
						     : load_sectors(io, (uint64_t)st.st_size);
	if (r < 0)
		file->has_block0 = false;
	else
		file->loaded = true;
	return r;
}

int xtsfs_file_fresh(struct xtsfs_io *io, uint32_t flags)
{
	struct xtsfs_file *file = io->file;
	struct xtsfs_node *parent;
	xtsfs_auto_free char *name = NULL;
	struct xtsfs_header header = {.flags = flags};
	int r = xtsfs_random(header.file_id, sizeof(header.file_id));

	if (r < 0)
		return r;
	if (xtsfs_node_link(io->volume, file->node, &parent, &name) == 0) {
		r = xtsfs_dirid_get(io->volume, parent, header.dirid_hint);
		xtsfs_node_unref(io->volume, parent, 1);
		if (r < 0)
			memset(header.dirid_hint, 0, sizeof(header.dirid_hint)); /* only a hint */
	}
	file->header = header;
	memset(&file->block0, 0, sizeof(file->block0));
	file->under_old = false;
	return 0;
}

int xtsfs_file_store_block0(struct xtsfs_io *io)
{
	struct xtsfs_disk_block block = io->file->block0;

	return xtsfs_meta_store(io, 0, &block);
}

int xtsfs_file_begin_change(struct xtsfs_io *io, bool resize, uint32_t set_flags)
{
	struct xtsfs_file *file = io->file;
	struct xtsfs_header old = file->header;
	int r = xtsfs_waiting_commit(io);

	if (r < 0)
		return r;
	if (file->trim) {
		uint64_t cipher_bytes = xtsfs_file_is_inline(file)
						? xtsfs_inline_cipher_bytes(file->plain_bytes)
						: xtsfs_plain_to_cipher_bytes(io->volume->layout, file->plain_bytes);

		r = io->volume->store->ops->truncate(io->volume->store, io->handle, cipher_bytes);
		if (r < 0)
			return r;
		file->trim = false;
		if (cipher_bytes == 0)
			file->has_block0 = false;
	}
	if (!file->has_block0 || xtsfs_file_is_inline(file))
		return 0;
	file->header.flags |= set_flags;
	if (resize) {
		file->header.flags &= ~(uint32_t)XTSFS_FILE_CLEAN;
		file->header.plain_bytes = 0;
	}
	if (file->header.flags != old.flags)
		r = xtsfs_file_store_block0(io);
	if (r < 0)
		file->header = old;
	else if (resize)
		xtsfs_file_set_changed(file, true);
	return r;
}

void xtsfs_file_resync(struct xtsfs_io *io, uint64_t wanted_plain_bytes)
{
	struct xtsfs_file *file = io->file;
	struct xtsfs_store *store = io->volume->store;
	enum xtsfs_layout layout = io->volume->layout;
	uint64_t plain, cipher;
	struct stat st;

	xtsfs_file_set_unsure(file, true);
	file->rough = !xtsfs_has_tags(io);
	file->loaded = false; /* unless all goes well below */
	if (store->ops->fstat(store, io->handle, &st) < 0)
		return;
	cipher = (uint64_t)st.st_size;
	plain = cipher <= XTSFS_BLOCK_BYTES ? 0 : xtsfs_cipher_to_plain_bytes(layout, cipher);
	if (plain > wanted_plain_bytes)
		plain = wanted_plain_bytes; /* the block of a long tail was written, its length not */
	else if (plain < wanted_plain_bytes && plain > file->plain_bytes)
		plain -= plain % XTSFS_BLOCK_BYTES; /* a sector that was cut off half-way */
	if (plain < file->plain_bytes)
		plain = file->plain_bytes;
	if (xtsfs_plain_to_cipher_bytes(layout, plain) != cipher &&
	    store->ops->truncate(store, io->handle, xtsfs_plain_to_cipher_bytes(layout, plain)) < 0)
		return;
	file->plain_bytes = plain;
	file->has_block0 = plain > 0;
	file->loaded = true;
}

void xtsfs_file_mark_dirty(struct xtsfs_file *file, uint64_t group_no)
{
	xtsfs_guard_mutex(&file->dirty_mutex);

	xtsfs_file_set_changed(file, true);
	/* Without memory for it the older sectors stay acceptable until the next write or fsck. */
	(void)xtsfs_groupset_add(&file->dirty, group_no);
}
