/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular files in use: their state in memory, and the steps in which content and length change on disk (spec 9 and
 * 10).
 *
 * Layer:   core, internal.
 * Threads: any. file.lock is held shared by reads and by writes that neither change the length nor the layout,
 * exclusively by everything else. Under a shared lock a group of sectors is guarded by its stripe. block0 is changed
 * under the exclusive lock, or under the shared lock and stripe 0 exclusively.
 *
 * Invariants, with the lock held: has_block0 is false exactly for an empty file; then plain_bytes is 0. With an INLINE
 * header plain_bytes is the header's. block0 is what is on disk, header and entries, except during a conversion
 * (convert_* in resize.c), which holds the lock exclusively.
 */
#ifndef XTSFS_CORE_FILE_H
#define XTSFS_CORE_FILE_H

#include "core/groupset.h"
#include "core/internal.h"
#include "core/waiting.h"
#include "format/header.h"

#define XTSFS_STRIPES 16U

struct xtsfs_file {
	struct xtsfs_node *node; /* referenced while users > 0 */
	unsigned users;		 /* volume.file_mutex */
	unsigned writers;	 /* volume.file_mutex: opens that may write, among the users */

	pthread_rwlock_t lock;			/* rank 2 */
	pthread_rwlock_t stripe[XTSFS_STRIPES]; /* rank 3: group mod XTSFS_STRIPES */

	bool loaded;
	bool has_block0;
	bool under_old; /* in re-encryption: the header is under the old keys, and so is everything else */
	bool trim;	/* the stored length is not the canonical one (trace of a crash): cut before the first change */
	bool changed;	/* since the last finalising, in a way that it has to settle (atomic access) */
	bool unsure;	/* a write failed: what is on disk is one of two (atomic access) */
	bool rough;	/* integrity none: behind the content of the last sector may be anything */
	struct xtsfs_header header;
	uint64_t plain_bytes;
	struct xtsfs_disk_block block0;

	pthread_mutex_t dirty_mutex; /* rank 7 */
	struct xtsfs_groupset dirty; /* groups with an entry whose before differs from now, or a growing record */

	struct xtsfs_waiting waiting;
	struct timespec sent_mtime; /* waiting.mutex, as the next three: by the last setattr, that is, by the kernel */
	bool mtime_is_sent, mtime_has_moved, mtime_is_final; /* nothing but cached writes came since; one came */
	uint64_t writes, flushed; /* counts of content writes, and of those that a flush has made durable (atomic) */
	int late_error;		  /* of a commit that nobody waited for; the next sync returns it (atomic access) */

	struct xtsfs_file *next_kept; /* volume.file_mutex: the list of files that wait to be settled is a user */
	bool told;		      /* volume.file_mutex: the log says that it could not be settled */
};

/* One operation on one file: what every step needs. */
struct xtsfs_io {
	struct xtsfs_volume *volume;
	struct xtsfs_file *file;
	struct xtsfs_fd *fd;
	int handle;
	bool exclusive; /* file.lock is held so */
	size_t done;	/* bytes that xtsfs_write_sectors() wrote, when it failed */
};

/**
 * The keys of a group of sectors, in re-encryption one of two (spec 14.3); of group 0 those of block 0, too. Inline
 * content is of group 0.
 */
static inline struct xtsfs_keys *xtsfs_group_keys(const struct xtsfs_io *io, uint64_t group_no)
{
	const struct xtsfs_file *file = io->file;
	bool old = file->under_old || (file->header.renewed && group_no >= file->header.renewed);

	return old && io->volume->keys->old ? io->volume->keys->old : io->volume->keys;
}
static inline struct xtsfs_keys *xtsfs_sector_keys(const struct xtsfs_io *io, uint64_t sector_no)
{
	return xtsfs_group_keys(io, sector_no == XTSFS_INLINE_SECTOR ? 0 : xtsfs_sector_group(sector_no));
}

/* ---- io.c ---- */
/** State of a regular file for one operation, and a descriptor. -EISDIR, -EINVAL for other types. */
xtsfs_must_check int xtsfs_io_begin(struct xtsfs_volume *volume, struct xtsfs_node *node, enum xtsfs_access access,
				    struct xtsfs_io *ret_io);
void xtsfs_io_end(struct xtsfs_io *io);
/** Lock with the state loaded, against all who share the volume too. @exclusive: to change it. */
xtsfs_must_check int xtsfs_io_lock(struct xtsfs_io *io, bool exclusive);
/** The same without looking at what is stored. */
xtsfs_must_check int xtsfs_io_lock_unread(struct xtsfs_io *io, bool exclusive);
void xtsfs_io_unlock(struct xtsfs_io *io);
/** After a change that gave @r: others must find all of it once it is unlocked. Nothing in a volume that is not shared.
 * @r, or an error. */
int xtsfs_io_share(struct xtsfs_io *io, int r);

/* ---- file.c ---- */
/** Take over what is stored. Exclusive lock held. */
xtsfs_must_check int xtsfs_file_load(struct xtsfs_io *io);
xtsfs_must_check int xtsfs_file_attach(struct xtsfs_volume *volume, struct xtsfs_node *node,
				       struct xtsfs_file **ret_file);
/** Is it open, or waits to be settled? */
static inline bool xtsfs_file_in_use(const struct xtsfs_node *node)
{
	return S_ISREG(node->type) && __atomic_load_n(&node->file, __ATOMIC_RELAXED) != NULL;
}
/** The last one finalises. If that fails the file is kept, for xtsfs_commit_old() to try again; both are logged. */
void xtsfs_file_detach(struct xtsfs_volume *volume, struct xtsfs_file *file);
/** Exclusive lock held: commit what waits, and strike out older versions once the newer ones are durable. */
xtsfs_must_check int xtsfs_file_settle(struct xtsfs_io *io);
/** Try again with the files that are kept. */
void xtsfs_file_retry_kept(struct xtsfs_volume *volume);
/** At the end of the volume: settle the files that are still in use. The first error. */
xtsfs_must_check int xtsfs_file_finish_all(struct xtsfs_volume *volume);
/** Fresh header in memory for a file that was empty: random id, directory hint, @flags. Entries zero. */
xtsfs_must_check int xtsfs_file_fresh(struct xtsfs_io *io, uint32_t flags);
static inline bool xtsfs_file_is_inline(const struct xtsfs_file *file)
{
	return file->has_block0 && (file->header.flags & XTSFS_FILE_INLINE);
}
/** Before a change under the exclusive lock: cut what a crash left, set @set_flags, and clear CLEAN if @resize. Writes
 * block 0 if it changes. */
xtsfs_must_check int xtsfs_file_begin_change(struct xtsfs_io *io, bool resize, uint32_t set_flags);
/** Write block 0 from header and entries in memory. */
xtsfs_must_check int xtsfs_file_store_block0(struct xtsfs_io *io);
/** After a failed change of length: take over what is on disk now. */
void xtsfs_file_resync(struct xtsfs_io *io, uint64_t wanted_plain_bytes);
void xtsfs_file_mark_dirty(struct xtsfs_file *file, uint64_t group_no);
/* Both flags are also looked at without the lock. */
static inline void xtsfs_file_set_changed(struct xtsfs_file *file, bool changed)
{
	__atomic_store_n(&file->changed, changed, __ATOMIC_RELAXED);
}
static inline bool xtsfs_file_is_changed(const struct xtsfs_file *file)
{
	return __atomic_load_n(&file->changed, __ATOMIC_RELAXED);
}
/**
 * Make durable what has been written of this file, and its length: between two steps that must not become durable the
 * other way round (spec 10). File lock held.
 */
xtsfs_must_check int xtsfs_file_flush(struct xtsfs_io *io);
/** Content has been written and is not known to be durable. */
static inline void xtsfs_file_set_under_way(struct xtsfs_file *file)
{
	(void)__atomic_add_fetch(&file->writes, 1, __ATOMIC_RELEASE);
}
/** A flush that began when file->writes was @writes has ended. */
void xtsfs_file_set_flushed(struct xtsfs_file *file, uint64_t writes);
/** Before a sector is changed again: flush, if there is a write that no flush has covered. Exclusive lock held. */
xtsfs_must_check int xtsfs_file_end_under_way(struct xtsfs_io *io);
/** Do the rules for interrupted changes hold for this file (spec 9.7, 9.8)? After a crash, and after a write that
 * failed. */
static inline bool xtsfs_is_interrupted(const struct xtsfs_io *io)
{
	return io->volume->unclean || xtsfs_is_unsettled(io->volume) ||
	       __atomic_load_n(&io->file->unsure, __ATOMIC_RELAXED);
}
static inline void xtsfs_file_set_unsure(struct xtsfs_file *file, bool unsure)
{
	__atomic_store_n(&file->unsure, unsure, __ATOMIC_RELAXED);
}

/* ---- finalise.c ---- */
/** Exclusive lock held. Groups of @groups: before = now; CLEAN with the size if it is not set. Keeps the mtime. */
xtsfs_must_check int xtsfs_finalise(struct xtsfs_io *io, const struct xtsfs_groupset *groups, bool set_clean);

/* ---- sector.c ---- */
struct xtsfs_scratch {
	struct xtsfs_disk_block meta;
	uint8_t sectors[XTSFS_GROUP_SECTORS * XTSFS_BLOCK_BYTES];
	uint8_t filler[XTSFS_BLOCK_BYTES]; /* a tail's last bytes; zeros */
};
/** This thread's buffer: one group, meta block first, as it lies in the file. NULL: no memory. */
struct xtsfs_scratch *xtsfs_scratch(void);

xtsfs_must_check int xtsfs_sector_crypt(struct xtsfs_io *io, enum xtsfs_direction direction, uint64_t sector_no,
					const uint8_t *in, uint8_t *out, size_t bytes);
/** Stored content of a file, in whole 16-byte blocks: as above, and by the rules for interrupted changes. */
xtsfs_must_check int xtsfs_sector_decrypt(struct xtsfs_io *io, uint64_t sector_no, const uint8_t *in, uint8_t *out,
					  size_t bytes);
xtsfs_must_check int xtsfs_sector_tag(struct xtsfs_io *io, uint64_t sector_no, uint32_t plain_bytes,
				      const uint8_t *cipher, uint8_t ret_tag[XTSFS_TAG_BYTES]);

enum xtsfs_verdict {
	XTSFS_IS_NOW,
	XTSFS_IS_BEFORE,
	XTSFS_IS_HOLE,	  /* reads as zeros */
	XTSFS_IS_ABSENT,  /* reads as zeros, and is not what is stored: not to be settled without writing it */
	XTSFS_IS_BETWEEN, /* new content, the length before it grew (spec 9.8) */
	XTSFS_IS_SHORT,	  /* the content before it grew, at a new length: zeros behind it */
	XTSFS_IS_CUT,	  /* cut already, at its old length: zeros behind what is left */
	XTSFS_IS_BAD
};
/** What is this stored sector? @meta: its group's block; NULL with integrity none. Returns a verdict or -errno. */
xtsfs_must_check int xtsfs_sector_verify(struct xtsfs_io *io, uint64_t sector_no, uint32_t plain_bytes,
					 const uint8_t *cipher, const struct xtsfs_disk_block *meta);
/** Plain bytes of a sector with that verdict that are content; those behind are zeros. */
static inline uint32_t xtsfs_verdict_bytes(int verdict, const struct xtsfs_disk_block *meta, uint32_t plain_bytes)
{
	if (verdict == XTSFS_IS_SHORT || verdict == XTSFS_IS_CUT)
		return (uint32_t)(xtsfs_growing_get(meta).from % XTSFS_BLOCK_BYTES);
	return verdict == XTSFS_IS_HOLE || verdict == XTSFS_IS_ABSENT ? 0 : plain_bytes;
}
/** Make entry.now of a sector with that verdict the tag of what is on disk. */
void xtsfs_sector_settle(struct xtsfs_disk_block *meta, uint64_t sector_no, int verdict);
void xtsfs_sector_report(struct xtsfs_io *io, uint64_t sector_no);

/** Rule 10.5: which version of a sector is on disk must be looked at before it is overwritten or settled. */
static inline bool xtsfs_must_look(const struct xtsfs_io *io)
{
	return io->volume->read_first || xtsfs_is_unsettled(io->volume) ||
	       __atomic_load_n(&io->file->unsure, __ATOMIC_RELAXED);
}

/* ---- meta.c ---- */
static inline bool xtsfs_has_tags(const struct xtsfs_io *io)
{
	return io->volume->integrity != XTSFS_INTEGRITY_NONE;
}
static inline pthread_rwlock_t *xtsfs_stripe(struct xtsfs_io *io, uint64_t group_no)
{
	return &io->file->stripe[group_no % XTSFS_STRIPES];
}
/** The group's meta block as of what waits (waiting.h), or verified, or an empty one for a hole. Group 0 from memory.
 * -EIO if it is not authentic (logged). */
xtsfs_must_check int xtsfs_meta_load(struct xtsfs_io *io, uint64_t group_no, struct xtsfs_disk_block *ret_block);
/** Header and tag of @block, ready to be written. For group 0 from file->header. */
xtsfs_must_check int xtsfs_meta_seal(struct xtsfs_io *io, uint64_t group_no, struct xtsfs_disk_block *block);
/** Seal and write; group 0 is taken over into memory. */
xtsfs_must_check int xtsfs_meta_store(struct xtsfs_io *io, uint64_t group_no, struct xtsfs_disk_block *block);
xtsfs_must_check int xtsfs_block0_tag(const struct xtsfs_keys *keys, const struct xtsfs_disk_block *block,
				      uint8_t ret_tag[XTSFS_TAG_BYTES]);
/** Does its tag fit, under one of the volume's keys? 0, -EBADMSG, or an error; @ret_old: under the old ones. */
xtsfs_must_check int xtsfs_block0_verify(struct xtsfs_volume *volume, const struct xtsfs_disk_block *block,
					 bool *ret_old);
/** Parts of the file are under the new key, which only a volume in re-encryption has. */
static inline bool xtsfs_header_fits(const struct xtsfs_volume *volume, const struct xtsfs_header *header, bool old)
{
	return header->renewed == 0 || (volume->keys->old && !old);
}
static inline bool xtsfs_entry_is_zero(const struct xtsfs_disk_entry *entry)
{
	return xtsfs_is_zero(entry, sizeof(*entry));
}

/* ---- inline.c ---- */
/** Decrypt the inline content; @ret_plain: XTSFS_INLINE_MAX + 15 bytes, zeros behind the content. */
xtsfs_must_check int xtsfs_inline_load(struct xtsfs_io *io, uint8_t *ret_plain);
/** Make the file inline with this content, 1 to XTSFS_INLINE_MAX bytes (the buffer as above), whatever it was; cuts the
 * rest off. Exclusive lock. */
xtsfs_must_check int xtsfs_inline_store(struct xtsfs_io *io, uint8_t *plain, uint32_t plain_bytes);

/* ---- read.c, write.c, resize.c ---- */
/** Plain bytes [@offset, +@bytes) that exist, into @ret_data; lock held. All or an error: a bad sector fails the
 * request. */
xtsfs_must_check int xtsfs_read_locked(struct xtsfs_io *io, uint8_t *ret_data, size_t bytes, uint64_t offset);
enum xtsfs_defer { XTSFS_STORE_META, XTSFS_DEFER_BLOCK0 };
#define XTSFS_WRITE_ALONE 1 /* again, with the file's lock held exclusively: what waits is in the way */
/**
 * Write into sectors: exclusive lock, or shared if nothing past plain_bytes is touched. @offset ≤ plain_bytes. @data
 * NULL: zeros. XTSFS_DEFER_BLOCK0: group 0's entries stay in memory; the caller stores block 0. On an error the length
 * in memory is what is on disk. XTSFS_WRITE_ALONE with a shared lock only.
 */
xtsfs_must_check int xtsfs_write_sectors(struct xtsfs_io *io, const uint8_t *data, size_t bytes, uint64_t offset,
					 enum xtsfs_defer defer);
/** Entries behind the last sector may be of sectors that were cut off; what comes there needs zeros. Exclusive lock. */
xtsfs_must_check int xtsfs_clear_entries_behind(struct xtsfs_io *io);
/**
 * After a crash, before the last sector grows: what it is must not hang on what that is going to change. Exclusive
 * lock, and nothing waits.
 */
xtsfs_must_check int xtsfs_prepare_tail(struct xtsfs_io *io);
/** Exclusive lock held. */
xtsfs_must_check int xtsfs_resize_locked(struct xtsfs_io *io, uint64_t plain_bytes);
/** A change that failed has lengthened the file on the way: cut it to what it had, as far as that works. */
void xtsfs_resize_back(struct xtsfs_io *io, uint64_t plain_bytes);
/** An inline file becomes one in sectors of at least @plain_bytes > XTSFS_INLINE_MAX, with @data at @offset ≤ old size.
 */
xtsfs_must_check int xtsfs_convert_to_sectors(struct xtsfs_io *io, const uint8_t *data, size_t bytes, uint64_t offset,
					      uint64_t plain_bytes);

/* core/mtime.c. */
/** Somebody opens the file who may write; it has this mtime, which the kernel knows. */
void xtsfs_mtime_opened(struct xtsfs_file *file, const struct timespec *mtime);
/** Somebody has set the mtime. */
void xtsfs_mtime_sent(struct xtsfs_file *file, const struct timespec *mtime);
/** Content or length has changed, by the kernel's cache or not. file.lock held. */
void xtsfs_mtime_written(struct xtsfs_file *file, bool cached);
/** Who may write has closed the file. */
void xtsfs_mtime_closed(struct xtsfs_file *file);
/** At the last close: the mtime that was sent last, if cached writes have moved it. file.lock held exclusively. */
void xtsfs_mtime_put_back(const struct xtsfs_io *io);

#endif
