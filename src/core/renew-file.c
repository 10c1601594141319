/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the old key to the new one: the content of a regular file (docs/reencrypt.md, section 5).
 *
 * An inline file is one block and one write. A file in sectors goes by chunks of some groups, each with a redo record;
 * the header counts the groups that are done. Between two chunks the file's lock is free, and others read and write:
 * what they write is encrypted under the key that the group has.
 *
 * Zero sectors of a sparse file become, or stay, holes.
 */
#include "core/file.h"

#include "core/fs.h"
#include "core/path.h"

#include <malloc.h>
#include <string.h>
#include <unistd.h>

#define GROUP_BYTES ((uint64_t)XTSFS_GROUP_SECTORS * XTSFS_BLOCK_BYTES)

struct chunk {
	struct xtsfs_io *io;
	const char *path;	   /* for the record */
	uint64_t from, to, groups; /* group numbers: this chunk, all of the file */
	uint64_t cipher_off;	   /* where the image begins in the file */
	uint8_t *image;
	size_t image_bytes;
	uint8_t *plain; /* one group */
	struct xtsfs_disk_block block0;
};

/* Which keys the file's groups are under, as far as the code below plays with it. */
struct keys_state {
	bool under_old;
	uint64_t renewed;
};

static struct keys_state get_state(const struct xtsfs_file *file)
{
	return (struct keys_state){file->under_old, file->header.renewed};
}

static void set_state(struct xtsfs_file *file, struct keys_state state)
{
	file->under_old = state.under_old;
	file->header.renewed = state.renewed;
}

static const struct keys_state all_new = {false, 0};

static bool is_old(const struct xtsfs_file *file)
{
	return file->has_block0 && (file->under_old || file->header.renewed);
}

static void free_chunk(struct chunk *chunk)
{
	if (chunk->plain)
		xtsfs_wipe(chunk->plain, GROUP_BYTES);
	free(chunk->plain);
	free(chunk->image);
}

/* Of a group's first sector, or behind the file's end; in both layouts a meta block belongs to what follows it. */
static uint64_t group_begin(const struct xtsfs_io *io, uint64_t group_no)
{
	if (group_no == 0)
		return XTSFS_BLOCK_BYTES;
	return xtsfs_has_tags(io) ? xtsfs_group_cipher_off(group_no)
				  : xtsfs_sector_cipher_off(io->volume->layout, group_no * XTSFS_GROUP_SECTORS);
}

/* One sector, already in the image as plaintext was in chunk->plain. */
static int tag_sector(struct chunk *chunk, uint64_t sector_no, uint32_t plain_bytes, const uint8_t *cipher,
		      struct xtsfs_disk_block *meta)
{
	struct xtsfs_disk_entry *entry = &meta->entry[sector_no % XTSFS_GROUP_SECTORS];
	int r;

	if (!xtsfs_has_tags(chunk->io))
		return 0;
	r = xtsfs_sector_tag(chunk->io, sector_no, plain_bytes, cipher, entry->now);
	memcpy(entry->before, entry->now, sizeof(entry->before));
	return r;
}

static int seal_sectors(struct chunk *chunk, uint64_t group_no, size_t plain_bytes, uint8_t *cipher,
			struct xtsfs_disk_block *meta)
{
	bool sparse = chunk->io->file->header.flags & XTSFS_FILE_SPARSE;
	uint64_t first = group_no * XTSFS_GROUP_SECTORS;

	for (size_t at = 0; at < plain_bytes; at += XTSFS_BLOCK_BYTES) {
		uint32_t some = plain_bytes - at < XTSFS_BLOCK_BYTES ? (uint32_t)(plain_bytes - at) : XTSFS_BLOCK_BYTES;
		uint64_t sector_no = first + at / XTSFS_BLOCK_BYTES;
		int r;

		if (sparse && xtsfs_is_zero(chunk->plain + at, some))
			continue;
		r = xtsfs_sector_crypt(chunk->io, XTSFS_ENCRYPT, sector_no, chunk->plain + at, cipher + at,
				       xtsfs_pad16(some));
		if (r == 0)
			r = tag_sector(chunk, sector_no, some, cipher + at, meta);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Read under the keys it has, into the image under the new ones. */
static int build_group(struct chunk *chunk, uint64_t group_no)
{
	struct xtsfs_io *io = chunk->io;
	struct xtsfs_file *file = io->file;
	const struct keys_state before = get_state(file);
	uint8_t *at = chunk->image + (group_begin(io, group_no) - chunk->cipher_off);
	uint64_t plain_off = group_no * GROUP_BYTES;
	size_t plain_bytes = file->plain_bytes - plain_off < GROUP_BYTES ? (size_t)(file->plain_bytes - plain_off)
									 : (size_t)GROUP_BYTES;
	bool own_meta = group_no > 0 && xtsfs_has_tags(io);
	struct xtsfs_disk_block meta = {0};
	int r;

	memset(chunk->plain, 0, GROUP_BYTES);
	r = xtsfs_read_locked(io, chunk->plain, plain_bytes, plain_off);
	if (r < 0)
		return r;
	set_state(file, all_new);
	r = seal_sectors(chunk, group_no, plain_bytes, own_meta ? at + sizeof(meta) : at,
			 group_no == 0 ? &chunk->block0 : &meta);
	/* All zero stands for a group of holes. */
	if (r == 0 && own_meta && !xtsfs_is_zero(meta.entry, sizeof(meta.entry)))
		r = xtsfs_meta_seal(io, group_no, &meta);
	if (r == 0 && own_meta)
		memcpy(at, &meta, sizeof(meta));
	set_state(file, before);
	return r;
}

/* A sparse file's groups that are not stored at all need nothing but to be counted. */
static uint64_t skip_holes(const struct xtsfs_io *io, uint64_t from, uint64_t groups)
{
	struct xtsfs_store *store = io->volume->store;
	int64_t data;

	if (from == 0 || !(io->file->header.flags & XTSFS_FILE_SPARSE))
		return from;
	data = store->ops->seek(store, io->handle, group_begin(io, from), SEEK_DATA);
	if (data == -ENXIO)
		return groups;
	while (data > 0 && from < groups && group_begin(io, from + 1) <= (uint64_t)data)
		from++;
	return from;
}

static int build(struct chunk *chunk)
{
	struct xtsfs_io *io = chunk->io;
	struct xtsfs_file *file = io->file;
	uint64_t end = chunk->to == chunk->groups ? xtsfs_plain_to_cipher_bytes(io->volume->layout, file->plain_bytes)
						  : group_begin(io, chunk->to);
	size_t room;
	int r = 0;

	chunk->cipher_off = chunk->from == chunk->groups ? XTSFS_BLOCK_BYTES : group_begin(io, chunk->from);
	chunk->image_bytes = chunk->from == chunk->groups ? 0 : (size_t)(end - chunk->cipher_off);
	/* A last sector is encrypted in whole 16-byte blocks, which its tail always holds. */
	room = chunk->image_bytes + XTSFS_BLOCK_BYTES;
	chunk->image = calloc(1, room);
	chunk->plain = malloc(GROUP_BYTES);
	if (!chunk->image || !chunk->plain)
		return -ENOMEM;
	if (chunk->from > 0)
		chunk->block0 = file->block0;
	for (uint64_t g = chunk->from; r == 0 && g < chunk->to; g++)
		r = build_group(chunk, g);
	return r;
}

/* What is on disk afterwards is not known if it fails: then it is read again, or refused (redo.c). */
static int commit(struct chunk *chunk, const struct timespec *mtime)
{
	struct xtsfs_io *io = chunk->io;
	struct xtsfs_file *file = io->file;
	const struct keys_state before = get_state(file);
	const struct keys_state after = {false, chunk->to == chunk->groups ? 0 : chunk->to};
	uint64_t writes = __atomic_load_n(&file->writes, __ATOMIC_ACQUIRE);
	struct xtsfs_redo redo;
	int r;

	set_state(file, after);
	r = xtsfs_meta_seal(io, 0, &chunk->block0);
	if (r == 0) {
		redo = (struct xtsfs_redo){
			.block0 = &chunk->block0,
			.image = chunk->image,
			.image_cipher_off = chunk->cipher_off,
			.image_bytes = chunk->image_bytes,
			.mtime = *mtime,
		};
		r = xtsfs_redo_do(io->volume, chunk->path, io->handle, &redo);
	}
	if (r < 0) {
		set_state(file, before);
		file->loaded = false;
		return r;
	}
	file->block0 = chunk->block0;
	xtsfs_file_set_flushed(file, writes);
	return 0;
}

static int renew_inline(struct xtsfs_io *io)
{
	struct xtsfs_file *file = io->file;
	uint8_t plain[XTSFS_BLOCK_BYTES];
	const struct keys_state before = get_state(file);
	int r = xtsfs_inline_load(io, plain);

	if (r == 0) {
		set_state(file, all_new);
		r = xtsfs_inline_store(io, plain, (uint32_t)file->plain_bytes);
		if (r < 0) { /* one write in one page: all of it or nothing, and reading tells */
			set_state(file, before);
			file->loaded = false;
		}
	}
	xtsfs_wipe(plain, sizeof(plain));
	return r;
}

static int renew_sectors(struct xtsfs_io *io, const char *path, const struct timespec *mtime, uint64_t *ret_bytes)
{
	struct xtsfs_file *file = io->file;
	struct chunk chunk = {.io = io, .path = path};
	int r;

	chunk.groups = (xtsfs_sector_count(file->plain_bytes) + XTSFS_GROUP_SECTORS - 1) / XTSFS_GROUP_SECTORS;
	chunk.from = file->under_old ? 0 : file->header.renewed;
	if (chunk.from > chunk.groups)
		chunk.from = chunk.groups;
	chunk.from = skip_holes(io, chunk.from, chunk.groups);
	chunk.to = chunk.groups - chunk.from > io->volume->renew_groups ? chunk.from + io->volume->renew_groups
									: chunk.groups;
	r = build(&chunk);
	if (r == 0)
		r = commit(&chunk, mtime);
	*ret_bytes = chunk.image_bytes;
	free_chunk(&chunk);
	return r;
}

/* The lock is held exclusively. 1: there is more to do. */
static int renew_some(struct xtsfs_io *io, const char *path, uint64_t *ret_bytes)
{
	struct xtsfs_file *file = io->file;
	struct xtsfs_store *store = io->volume->store;
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	struct stat st;
	int r = 0;

	*ret_bytes = 0;
	if (!is_old(file))
		return 0;
	r = store->ops->fstat(store, io->handle, &st);
	if (r == 0)
		r = xtsfs_file_settle(io);
	if (r == 0)
		r = xtsfs_file_begin_change(io, false, 0);
	if (r < 0)
		return r;
	times[1] = st.st_mtim;
	if (file->has_block0 && xtsfs_file_is_inline(file)) {
		*ret_bytes = file->plain_bytes;
		r = renew_inline(io);
		(void)store->ops->utimens(store, io->handle, NULL, times);
	} else if (file->has_block0) {
		r = renew_sectors(io, path, &times[1], ret_bytes);
	}
	return r < 0 ? r : is_old(file);
}

/* Reading tells, and needs no right to write. */
static int look(struct xtsfs_volume *volume, struct xtsfs_node *node, bool *ret_old)
{
	struct xtsfs_io io;
	int r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_READ, &io);

	if (r < 0)
		return r;
	r = xtsfs_io_lock(&io, false);
	if (r == 0) {
		*ret_old = is_old(io.file);
		xtsfs_io_unlock(&io);
	}
	xtsfs_io_end(&io);
	return r;
}

int xtsfs_renew_file(struct xtsfs_volume *volume, struct xtsfs_node *node, xtsfs_renew_paced paced, void *data)
{
	bool old = false;
	int r = volume->keys->old ? look(volume, node, &old) : 0;

	if (r < 0 || !old)
		return r;
	do {
		xtsfs_auto_free char *path = NULL;
		struct xtsfs_io io;
		uint64_t bytes = 0;

		r = xtsfs_io_begin(volume, node, XTSFS_ACCESS_WRITE, &io);
		if (r < 0)
			return r;
		/* Before the lock, which comes behind that of names; a record whose file has moved finds it all the
		 * same.
		 */
		if (xtsfs_path_of_node(volume, node, &path) < 0)
			path = NULL;
		r = xtsfs_io_lock(&io, true);
		if (r == 0) {
			r = renew_some(&io, path, &bytes);
			xtsfs_io_unlock(&io);
		}
		xtsfs_io_end(&io);
		if (r >= 0 && paced) {
			int stop = paced(data, bytes);

			if (stop)
				return stop;
		}
	} while (r > 0);
	return r < 0 ? r : 1;
}
