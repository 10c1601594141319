/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking one regular file: open, header, then its sectors (fsck-sector.c), then settling. What its length and header
 * say of each other is worked out in fsck-length.c.
 *
 * The order of settling is sectors, length, header: each step leaves the file in a state that the next run settles in
 * the same way. Writes of the check are not the user's, so the file's mtime is put back, unless content was changed
 * (--salvage, --zero).
 *
 * A header that does not verify takes its file with it, since only it has the file id. If it can still be parsed, and a
 * meta block or a sector verifies under the id in it, then the id is right and --salvage and --zero accept the header;
 * otherwise they move the file to xtsfs.lost+found.
 */
#include "core/fsck-file.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROOF_GROUPS 64U /* groups tried for one that proves the file id */

/* ---- opening ---- */

/* The owner may read and write what its mode forbids, if the mode is widened for the moment of the open. */
static int open_against_mode(struct xtsfs_fsck *fsck, int dir, const char *name, int flags)
{
	struct xtsfs_store *store = fsck->store;
	struct stat st;
	int handle, r = store->ops->stat(store, dir, name, &st);

	if (r < 0)
		return r;
	if (!fsck->options.repair || st.st_uid != geteuid() || !S_ISREG(st.st_mode))
		return -EACCES;
	r = store->ops->chmod(store, dir, name, (st.st_mode & 07777) | 0600);
	if (r < 0)
		return r;
	handle = xtsfs_fsck_open(fsck, dir, name, flags);
	(void)store->ops->chmod(store, dir, name, st.st_mode & 07777);
	return handle;
}

static int open_backing(struct xtsfs_fsck_file *file, int dir)
{
	const char *name = file->entry.backing;
	int handle;

	if (file->fsck->options.repair) {
		handle = xtsfs_fsck_open(file->fsck, dir, name, O_RDWR);
		if (handle == -EACCES)
			handle = open_against_mode(file->fsck, dir, name, O_RDWR);
		if (handle >= 0)
			return handle;
		file->write_error = handle;
	}
	handle = xtsfs_fsck_open(file->fsck, dir, name, O_RDONLY);
	return handle == -EACCES ? open_against_mode(file->fsck, dir, name, O_RDONLY) : handle;
}

static int open_file(struct xtsfs_fsck_file *file)
{
	struct xtsfs_volume *volume = file->fsck->volume;
	struct xtsfs_fd *fd;
	int r = xtsfs_fd_get(volume, file->dir->node, XTSFS_ACCESS_PATH, &fd);

	if (r < 0)
		return r;
	r = open_backing(file, fd->handle);
	xtsfs_fd_put(volume, fd);
	if (r < 0)
		return r;
	file->io.handle = r;
	r = volume->store->ops->fstat(volume->store, file->io.handle, &file->st);
	return r == 0 && !S_ISREG(file->st.st_mode) ? -ESTALE : r;
}

int xtsfs_fsck_file_hint(struct xtsfs_fsck *fsck, int dir, const char *backing_name, uint8_t ret_id[XTSFS_ID_BYTES])
{
	struct xtsfs_disk_block block;
	struct xtsfs_header header;
	int handle = xtsfs_fsck_open(fsck, dir, backing_name, O_RDONLY), r;
	ssize_t n;

	if (handle == -EACCES)
		handle = open_against_mode(fsck, dir, backing_name, O_RDONLY);
	if (handle < 0)
		return handle;
	n = xtsfs_store_pread(fsck->store, handle, &block, sizeof(block), 0);
	fsck->store->ops->close(fsck->store, handle);
	if (n < 0)
		return (int)n;
	memset((uint8_t *)&block + n, 0, sizeof(block) - (size_t)n);
	r = xtsfs_header_parse(&block, (size_t)n, &header);
	if (r == 0)
		r = xtsfs_block0_verify(fsck->volume, &block, NULL);
	if (r < 0)
		return -ENOENT;
	memcpy(ret_id, header.dirid_hint, XTSFS_ID_BYTES);
	return 0;
}

/* ---- header ---- */

/* The file cannot be read without its header: told, and moved away if asked for. */
static void lose_file(struct xtsfs_fsck_file *file, const char *code, const char *detail)
{
	struct xtsfs_fsck *fsck = file->fsck;
	const char *action = "nothing of it can be read; --salvage or --zero would move it to " XTSFS_NAME_LOST;
	enum xtsfs_fsck_outcome outcome = XTSFS_FSCK_LEFT;
	char moved[XTSFS_NAME_MAX + 1], done[XTSFS_NAME_MAX + 64];
	struct xtsfs_fd *fd;
	int r = 0;

	if (fsck->options.damage != XTSFS_FSCK_DAMAGE_REPORT) {
		r = xtsfs_fd_get(fsck->volume, file->dir->node, XTSFS_ACCESS_PATH, &fd);
		if (r == 0) {
			r = xtsfs_fsck_quarantine(fsck, fd->handle, file->entry.backing, moved);
			if (r == 0)
				xtsfs_names_remove(fsck->volume, fd->handle, file->entry.backing);
			xtsfs_fd_put(fsck->volume, fd);
		}
		outcome = xtsfs_fsck_outcome_of(fsck, r);
		snprintf(done, sizeof(done), "moved to " XTSFS_NAME_LOST "%s%s", r < 0 ? "" : "/", r < 0 ? "" : moved);
		action = done;
	}
	xtsfs_fsck_report(fsck, &file->place, XTSFS_FSCK_ERROR, code, outcome, r, action, "%s", detail);
	/* They were taken for names of something that was looked at, if they have been met; they may be outside, too.
	 */
	if (outcome == XTSFS_FSCK_REPAIRED && file->st.st_nlink > 1)
		xtsfs_fsck_report(fsck, &file->place, XTSFS_FSCK_ERROR, code, XTSFS_FSCK_LEFT, 0,
				  "run it again for those that are in the volume",
				  "%ju other hard links to it exist, here or elsewhere",
				  (uintmax_t)file->st.st_nlink - 1);
}

/* After a crash: the length is there, and nothing else (spec 9.8). It reads as empty, and now is. */
static void never_written(struct xtsfs_fsck_file *file)
{
	struct xtsfs_fsck *fsck = file->fsck;
	int r = fsck->options.repair ? fsck->store->ops->truncate(fsck->store, file->io.handle, 0) : 0;

	xtsfs_fsck_report(fsck, &file->place, XTSFS_FSCK_DEBRIS, "never-written", xtsfs_fsck_outcome_of(fsck, r), r,
			  "made empty", "its data never reached the disk");
}

/* Does anything in the file verify under the id in its header? */
static bool id_is_proven(struct xtsfs_fsck_file *file)
{
	uint64_t plain = file->st.st_size <= (off_t)XTSFS_BLOCK_BYTES
				 ? 0
				 : xtsfs_cipher_to_plain_bytes(XTSFS_LAYOUT_GROUPS, (uint64_t)file->st.st_size);
	uint64_t sectors = xtsfs_sector_count(plain);
	struct xtsfs_disk_block meta;

	if ((file->state.header.flags & XTSFS_FILE_INLINE) || !xtsfs_has_tags(&file->io))
		return false;
	for (uint64_t g = 1; g < PROOF_GROUPS && g * XTSFS_GROUP_SECTORS < sectors; g++)
		if (xtsfs_fsck_load_meta(file, g, &meta) == 0 && !xtsfs_is_zero(meta.meta.tag, sizeof(meta.meta.tag)))
			return true;
	for (uint64_t s = 0; s < XTSFS_GROUP_SECTORS && s < sectors; s++) {
		int verdict = xtsfs_fsck_sector(file, plain, s);

		if (verdict == XTSFS_IS_NOW || verdict == XTSFS_IS_BEFORE)
			return true;
	}
	return false;
}

/* Spec 9.1: with integrity none the rest of block 0 is zeros. Reading refuses such a file, too. */
static bool has_more_than_header(const struct xtsfs_fsck_file *file)
{
	const struct xtsfs_disk_block *block = &file->state.block0;

	return !xtsfs_has_tags(&file->io) && !(file->state.header.flags & XTSFS_FILE_INLINE) &&
	       (!xtsfs_is_zero(block->entry, sizeof(block->entry)) || xtsfs_growing_get(block).from);
}

/* Read and judge block 0. true if the file has a header to go on with. */
static bool take_header(struct xtsfs_fsck_file *file)
{
	struct xtsfs_fsck *fsck = file->fsck;
	struct xtsfs_file *state = &file->state;
	bool authentic;
	ssize_t n;
	int parsed, r;

	if (xtsfs_is_torn(fsck->volume, &file->st)) {
		xtsfs_fsck_report(fsck, &file->place, XTSFS_FSCK_DEBRIS, "reencrypt-torn", XTSFS_FSCK_REPAIRABLE, 0,
				  "completed when the volume is opened for writing",
				  "its re-encryption was interrupted");
		return false;
	}
	if (fsck->options.reading)
		fsck->options.reading(fsck->options.data, sizeof(state->block0));
	n = xtsfs_store_pread(fsck->store, file->io.handle, &state->block0, sizeof(state->block0), 0);
	if (n < 0) {
		xtsfs_fsck_report_io(fsck, &file->place, (int)n, "read the header");
		return false;
	}
	xtsfs_fsck_count(&fsck->totals.checked_bytes, (uint64_t)n);
	memset((uint8_t *)&state->block0 + n, 0, sizeof(state->block0) - (size_t)n);
	if (n > 0 && fsck->volume->unclean && xtsfs_is_zero(state->block0.header_bytes, XTSFS_HEADER_BYTES)) {
		never_written(file);
		return false;
	}
	parsed = xtsfs_header_parse(&state->block0, (size_t)n, &state->header);
	if (parsed == -XTSFS_EDAMAGED) {
		lose_file(file, "header-bad",
			  xtsfs_is_zero(&state->block0, sizeof(state->block0))
				  ? "its first block is all zeros: its data never reached the disk, or was wiped"
				  : "its header is not one of xtsfs, or cut short");
		return false;
	}
	r = xtsfs_block0_verify(fsck->volume, &state->block0, &state->under_old);
	if (r < 0 && r != -XTSFS_EAUTH) {
		xtsfs_fsck_report_io(fsck, &file->place, r, "verify the header");
		return false;
	}
	state->has_block0 = true;
	authentic = r == 0;
	if (parsed == 0 && !xtsfs_header_fits(fsck->volume, &state->header, state->under_old)) {
		lose_file(file, "header-bad", "its header is one of a volume in re-encryption, which this is not");
		return false;
	}
	if (authentic) {
		if (parsed == 0 && has_more_than_header(file)) {
			lose_file(file, "header-bad",
				  "there is something behind its header, which a volume without tags does not have");
			return false;
		}
		if (parsed == 0)
			return true;
		xtsfs_fsck_report(fsck, &file->place, XTSFS_FSCK_ERROR, "header-unknown", XTSFS_FSCK_LEFT, 0,
				  "check it with a newer version of xtsfs",
				  "its header is authentic, but of a version or with flags that are not known");
		return false;
	}
	/* In re-encryption the header does not say which key it is under either. */
	if (parsed == 0 && fsck->volume->keys->old && !state->header.renewed && !id_is_proven(file))
		state->under_old = true;
	if (parsed < 0 || !id_is_proven(file)) {
		lose_file(file, "header-bad-tag", "its header is not authentic");
		return false;
	}
	if (fsck->options.damage == XTSFS_FSCK_DAMAGE_REPORT) {
		xtsfs_fsck_report(fsck, &file->place, XTSFS_FSCK_ERROR, "header-bad-tag", XTSFS_FSCK_LEFT, 0,
				  "its file id is right: --salvage or --zero would accept the header",
				  "its header is not authentic");
		return false;
	}
	return file->header_accepted = true;
}

/* ---- settling ---- */

static int change_length_and_header(struct xtsfs_fsck_file *file)
{
	struct xtsfs_store *store = file->fsck->store;
	int r = file->write_error;

	if (r == 0 && file->plan.cut) {
		r = store->ops->truncate(store, file->io.handle, file->plan.cut_to);
		file->written = true;
	}
	if (r == 0 && file->plan.set_header && file->state.plain_bytes > 0) {
		file->state.header.flags |= XTSFS_FILE_CLEAN;
		file->state.header.plain_bytes = file->state.plain_bytes;
		file->written = true;
		r = xtsfs_file_store_block0(&file->io);
	}
	return r;
}

static void settle_plan(struct xtsfs_fsck_file *file)
{
	struct xtsfs_fsck *fsck = file->fsck;
	enum xtsfs_fsck_outcome outcome = XTSFS_FSCK_LEFT;
	const char *action = file->plan.action;
	int r = 0;

	/* Which length is right is the last sector's to say, if the header does not. */
	if (file->plan.set_header && file->last_bad && !file->plan.leave) {
		file->plan.leave = true;
		action = "its length is uncertain while its last sector is damaged";
	}
	if (!file->plan.leave) {
		if (fsck->options.repair)
			r = change_length_and_header(file);
		outcome = xtsfs_fsck_outcome_of(fsck, r);
	}
	xtsfs_fsck_report(fsck, &file->place, file->plan.severity, file->plan.code, outcome, r, action, "%s",
			  file->plan.detail);
}

static void restore_mtime(struct xtsfs_fsck_file *file)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, file->st.st_mtim};

	if (file->written && !file->content_changed)
		(void)file->fsck->store->ops->utimens(file->fsck->store, file->io.handle, NULL, times);
}

static void free_file(struct xtsfs_fsck_file *file)
{
	if (file->io.handle >= 0)
		file->fsck->store->ops->close(file->fsck->store, file->io.handle);
	xtsfs_fsck_dir_unref(file->fsck, file->dir);
	pthread_mutex_destroy(&file->mutex);
	free(file->ranges);
	free(file);
}

/* Nobody verifies any more. */
static void finish(struct xtsfs_fsck_file *file)
{
	struct xtsfs_fsck *fsck = file->fsck;

	xtsfs_fsck_tell_ranges(file);
	if (!xtsfs_fsck_stopped(fsck)) {
		if (file->plan.code)
			settle_plan(file);
		if (file->unfinal)
			xtsfs_fsck_report(fsck, &file->place, XTSFS_FSCK_DEBRIS, "sector-not-final",
					  xtsfs_fsck_outcome_of(fsck, file->unfinal_left ? file->unfinal_error : 0),
					  file->unfinal_error, "settled to what is stored",
					  "%llu sectors accept two versions, the trace of a write that was interrupted",
					  (unsigned long long)file->unfinal);
		xtsfs_fsck_count(&fsck->totals.plain_bytes, file->state.plain_bytes);
		restore_mtime(file);
		/* Of a longer one each part is told by itself, and its header is always looked at. */
		if (fsck->options.found_good && file->groups <= XTSFS_FSCK_PART_GROUPS && !file->found)
			fsck->options.found_good(fsck->options.data, &(struct xtsfs_fsck_part){.stat = &file->st});
	}
	free_file(file);
}

static void leave(struct xtsfs_fsck_file *file)
{
	if (__atomic_sub_fetch(&file->users, 1, __ATOMIC_ACQ_REL) == 0)
		finish(file);
}

/* ---- verifying, with the help of other threads ---- */

struct helper {
	struct xtsfs_fsck_work work;
	struct xtsfs_fsck_file *file;
};

static void help(struct xtsfs_fsck *fsck, struct xtsfs_fsck_work *work)
{
	struct helper *helper = (struct helper *)(void *)work;

	(void)fsck;
	xtsfs_fsck_verify(helper->file);
	leave(helper->file);
	free(helper);
}

static void call_for_help(struct xtsfs_fsck_file *file)
{
	for (unsigned i = 1; i < file->fsck->threads && file->groups > (uint64_t)i * 16; i++) {
		struct helper *helper = calloc(1, sizeof(*helper));

		if (!helper)
			return; /* it only takes longer */
		helper->work.run = help;
		helper->file = file;
		__atomic_fetch_add(&file->users, 1, __ATOMIC_RELAXED);
		xtsfs_fsck_push(file->fsck, &helper->work);
	}
}

static void note_ids(struct xtsfs_fsck_file *file)
{
	struct xtsfs_fsck *fsck = file->fsck;
	const uint8_t *id = file->state.header.file_id;
	uint64_t other;

	xtsfs_fsck_count(&fsck->key_sectors[id[XTSFS_ID_BYTES - 1] & (fsck->options.content_keys - 1)],
			 xtsfs_sector_count(file->state.plain_bytes));
	if (xtsfs_idset_seen(&fsck->file_ids, xtsfs_load_le(id, 8), file->st.st_ino, &other) &&
	    other != file->st.st_ino)
		xtsfs_fsck_report(fsck, &file->place, XTSFS_FSCK_INFO, "file-id-duplicate", XTSFS_FSCK_NOTED, 0, NULL,
				  "it has the file id of the file with inode %llu: one is a copy that was made in the "
				  "volume's own directory; a copy made on the mount has an id of its own",
				  (unsigned long long)other);
}

/* A file that is one part, and was found good by the run that this one goes on with. */
static bool is_known(struct xtsfs_fsck_file *file)
{
	struct xtsfs_fsck *fsck = file->fsck;
	uint64_t cipher_bytes = (uint64_t)file->st.st_size;

	if (!fsck->options.is_known ||
	    (fsck->volume->layout == XTSFS_LAYOUT_GROUPS &&
	     cipher_bytes > (uint64_t)XTSFS_FSCK_PART_GROUPS * XTSFS_GROUP_BLOCKS * XTSFS_BLOCK_BYTES) ||
	    !fsck->options.is_known(fsck->options.data, &(struct xtsfs_fsck_part){.stat = &file->st}))
		return false;
	xtsfs_fsck_count(&fsck->totals.known_bytes, cipher_bytes);
	return true;
}

static void check(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, const struct xtsfs_fsck_entry *entry)
{
	struct xtsfs_fsck_file *file = calloc(1, sizeof(*file));
	int r;

	if (!file) {
		struct xtsfs_fsck_place place = {.dir = dir, .name = entry->name, .backing_name = entry->backing};

		xtsfs_fsck_report_io(fsck, &place, -ENOMEM, "check it");
		return;
	}
	pthread_mutex_init(&file->mutex, NULL);
	xtsfs_fsck_dir_ref(dir);
	file->fsck = fsck;
	file->dir = dir;
	file->entry = *entry;
	file->place = (struct xtsfs_fsck_place){
		.dir = dir, .name = file->entry.name, .backing_name = file->entry.backing, .found = &file->found};
	file->io = (struct xtsfs_io){.volume = fsck->volume, .file = &file->state, .handle = -1};
	file->users = 1;
	r = open_file(file);
	if (r < 0) {
		xtsfs_fsck_report_io(fsck, &file->place, r, "open it");
		free_file(file);
		return;
	}
	file->place.stat = &file->st;
	if (file->st.st_size == 0 || is_known(file) || !take_header(file)) {
		free_file(file);
		return;
	}
	r = xtsfs_fsck_plan(file);
	if (r < 0) {
		xtsfs_fsck_report_io(fsck, &file->place, r, "look at its length");
		free_file(file);
		return;
	}
	note_ids(file);
	/* Without tags there is nothing to compare the sectors with. */
	if (xtsfs_has_tags(&file->io) && !xtsfs_file_is_inline(&file->state)) {
		uint64_t sectors = xtsfs_sector_count(file->state.plain_bytes);

		file->groups = (sectors + XTSFS_GROUP_SECTORS - 1) / XTSFS_GROUP_SECTORS;
		call_for_help(file);
		xtsfs_fsck_verify(file);
	} else if (!xtsfs_file_is_inline(&file->state)) {
		xtsfs_fsck_mend_torn(file);
	}
	leave(file);
}

/* ---- queue ---- */

struct waiting {
	struct xtsfs_fsck_work work;
	struct xtsfs_fsck_dir *dir; /* referenced */
	struct xtsfs_fsck_entry entry;
};

static void run(struct xtsfs_fsck *fsck, struct xtsfs_fsck_work *work)
{
	struct waiting *waiting = (struct waiting *)(void *)work;

	if (!xtsfs_fsck_stopped(fsck))
		check(fsck, waiting->dir, &waiting->entry);
	xtsfs_fsck_dir_unref(fsck, waiting->dir);
	free(waiting);
}

void xtsfs_fsck_file(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, const struct xtsfs_fsck_entry *entry,
		     const struct stat *st)
{
	struct waiting *waiting;

	xtsfs_fsck_count(&fsck->totals.files, 1);
	/* One that is long is worth being shared, one that is not may as well be done here. */
	if (st->st_size == 0)
		return;
	waiting = xtsfs_fsck_is_full(fsck) ? NULL : malloc(sizeof(*waiting));
	if (!waiting) {
		check(fsck, dir, entry);
		return;
	}
	waiting->work.run = run;
	waiting->dir = dir;
	waiting->entry = *entry;
	xtsfs_fsck_dir_ref(dir);
	xtsfs_fsck_push(fsck, &waiting->work);
}
