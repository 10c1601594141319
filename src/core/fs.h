/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filesystem's operations: what FUSE, fsck and the offline tools call.
 *
 * Layer:   core.
 * Threads: any function from any thread.
 * All return 0 or a count, or -errno as ext4 would give it. A node that a function returns is referenced:
 * xtsfs_forget() it. Names are plain names, sizes and offsets plain bytes. -EIO: something is not authentic; -EUCLEAN:
 * damaged or changed from outside; -EROFS on a read-only volume; -ESTALE: the backing object is gone. A struct stat
 * that comes back is what the mount shows.
 */
#ifndef XTSFS_CORE_FS_H
#define XTSFS_CORE_FS_H

#include "core/volume.h"

#include <sys/statvfs.h>

/** The root; not referenced, lives as long as the volume. */
struct xtsfs_node *xtsfs_root(struct xtsfs_volume *volume);
/** With its address it makes a name of the node that no other gets, also after it is gone and in later mounts: by
 * chance, once in 2^32. */
uint32_t xtsfs_node_generation(const struct xtsfs_node *node);
/** Give back @count references (the kernel's lookups). */
void xtsfs_forget(struct xtsfs_volume *volume, struct xtsfs_node *node, uint64_t count);
/**
 * Note that whoever keeps attributes of this file has been told of them, and relies on them for @seconds; 0: they have
 * changed since, or what he has of them has. A hint: what is listed then need not be told once more.
 */
void xtsfs_node_told(struct xtsfs_node *node, uint32_t seconds);
/**
 * Did a name of this object come or go, while others stayed, within so many seconds? An operation that has begun
 * counts: who asks after he got the attributes hears of each change that is in them.
 */
bool xtsfs_node_links_changed(const struct xtsfs_node *node, uint32_t seconds);

/* ---- directories ---- */
xtsfs_must_check int xtsfs_lookup(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name,
				  struct xtsfs_node **ret_node, struct stat *ret_stat);

struct xtsfs_dir; /* an open directory: one thread at a time */
xtsfs_must_check int xtsfs_opendir(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_dir **ret_dir);
void xtsfs_closedir(struct xtsfs_dir *dir);
struct xtsfs_dirent {
	const char *name; /* valid until the next call */
	ino_t ino;
	unsigned char type; /* DT_* */
	int64_t next;	    /* position behind this entry */
	const char *backing_name;
};
/** Go to a position that an entry gave as next, or 0. */
xtsfs_must_check int xtsfs_seekdir(struct xtsfs_dir *dir, int64_t position);
/** 1 and an entry ("." and ".." too), 0 at the end. Entries that are not the mount's are passed over; what does not
 * decrypt is logged. */
xtsfs_must_check int xtsfs_readdir(struct xtsfs_dir *dir, struct xtsfs_dirent *ret_entry);
/** How many entries were passed over because their names do not decrypt. */
uint64_t xtsfs_dir_lost(const struct xtsfs_dir *dir);
/** Make the entry that was read last come again. */
void xtsfs_unreaddir(struct xtsfs_dir *dir);
/** Is the entry that was read last a regular file that is noted as told? */
bool xtsfs_dir_is_told(const struct xtsfs_dir *dir);
/** Node and attributes of the entry that was read last (not "." and ".."). -ENOENT: gone meanwhile. */
xtsfs_must_check int xtsfs_dir_lookup(struct xtsfs_dir *dir, struct xtsfs_node **ret_node, struct stat *ret_stat);

/** @cred NULL: as the daemon. For mkdir, mknod and create the umask is in it. */
xtsfs_must_check int xtsfs_create(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, mode_t mode,
				  bool exclusive, const struct xtsfs_cred *cred, struct xtsfs_node **ret_node,
				  struct stat *ret_stat);
/** A file without a name in @dir, as O_TMPFILE makes it: gone with its last reference, unless @linkable and
 * xtsfs_link() gives it a name before. -EOPNOTSUPP where the backing filesystem has no such thing. */
xtsfs_must_check int xtsfs_tmpfile(struct xtsfs_volume *volume, struct xtsfs_node *dir, mode_t mode, bool linkable,
				   const struct xtsfs_cred *cred, struct xtsfs_node **ret_node, struct stat *ret_stat);
xtsfs_must_check int xtsfs_mknod(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, mode_t mode,
				 dev_t rdev, const struct xtsfs_cred *cred, struct xtsfs_node **ret_node,
				 struct stat *ret_stat);
xtsfs_must_check int xtsfs_mkdir(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name, mode_t mode,
				 const struct xtsfs_cred *cred, struct xtsfs_node **ret_node, struct stat *ret_stat);
/** -ENAMETOOLONG for targets over XTSFS_SYMLINK_MAX bytes. */
xtsfs_must_check int xtsfs_symlink(struct xtsfs_volume *volume, const char *target, struct xtsfs_node *dir,
				   const char *name, const struct xtsfs_cred *cred, struct xtsfs_node **ret_node,
				   struct stat *ret_stat);
xtsfs_must_check int xtsfs_link(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_node *dir,
				const char *name, struct stat *ret_stat);
xtsfs_must_check int xtsfs_unlink(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name);
xtsfs_must_check int xtsfs_rmdir(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *name);
/** @flags: RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT. */
xtsfs_must_check int xtsfs_rename(struct xtsfs_volume *volume, struct xtsfs_node *old_dir, const char *old_name,
				  struct xtsfs_node *new_dir, const char *new_name, unsigned flags);
#define XTSFS_READLINK_ROOM 4096U
/** @ret_target: room XTSFS_SYMLINK_MAX + 1; of a reverse view, XTSFS_READLINK_ROOM. */
xtsfs_must_check int xtsfs_readlink(struct xtsfs_volume *volume, struct xtsfs_node *node, char *ret_target);

/* ---- attributes ---- */
xtsfs_must_check int xtsfs_getattr(struct xtsfs_volume *volume, struct xtsfs_node *node, struct stat *ret_stat);
struct xtsfs_setattr {
	bool mode_set, uid_set, gid_set, size_set;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	uint64_t plain_bytes;
	struct timespec times[2]; /* atime, mtime; UTIME_OMIT, UTIME_NOW */
};
/** In the order owner, mode, size, times. */
xtsfs_must_check int xtsfs_setattr(struct xtsfs_volume *volume, struct xtsfs_node *node,
				   const struct xtsfs_setattr *set, struct stat *ret_stat);
xtsfs_must_check int xtsfs_statfs(struct xtsfs_volume *volume, struct statvfs *ret_statvfs);

/** Where the object is in the backing directory: can be read of anything that has a name, is never listed, and is not
 * to be set or removed (-EOPNOTSUPP, as any name outside of the namespaces). */
#define XTSFS_XATTR_PATH "xtsfs.path"
/** Namespaces: user, trusted, security, and the POSIX ACLs of system. @room 0 asks for the size. */
xtsfs_must_check ssize_t xtsfs_getxattr(struct xtsfs_volume *volume, struct xtsfs_node *node, const char *name,
					void *ret_value, size_t room);
xtsfs_must_check int xtsfs_setxattr(struct xtsfs_volume *volume, struct xtsfs_node *node, const char *name,
				    const void *value, size_t bytes, int flags);
xtsfs_must_check ssize_t xtsfs_listxattr(struct xtsfs_volume *volume, struct xtsfs_node *node, char *ret_list,
					 size_t room);
xtsfs_must_check int xtsfs_removexattr(struct xtsfs_volume *volume, struct xtsfs_node *node, const char *name);

/* ---- content of regular files ---- */
/** A file is "open" from open to release; its state stays in memory and its older sector versions acceptable until
 * then. Fails for a file that is refused. */
xtsfs_must_check int xtsfs_open(struct xtsfs_volume *volume, struct xtsfs_node *node, bool for_write);
/** @for_write: as it was opened. */
void xtsfs_release(struct xtsfs_volume *volume, struct xtsfs_node *node, bool for_write);
/** Is a regular file open for writing? What was written then may not have arrived here yet. */
bool xtsfs_has_writers(struct xtsfs_volume *volume, struct xtsfs_node *node);
/** Fewer only at the end of the file. */
xtsfs_must_check ssize_t xtsfs_read(struct xtsfs_volume *volume, struct xtsfs_node *node, void *ret_data, size_t bytes,
				    uint64_t offset);
#define XTSFS_AT_END UINT64_MAX /* as an offset, in a volume that is shared: behind what is there by then */
/** May write fewer and then fail on the rest (a full disk). */
xtsfs_must_check ssize_t xtsfs_write(struct xtsfs_volume *volume, struct xtsfs_node *node, const void *data,
				     size_t bytes, uint64_t offset);
/** The same for pages that the kernel has kept (writeback cache): their mtime is the kernel's to tell. */
xtsfs_must_check ssize_t xtsfs_write_cached(struct xtsfs_volume *volume, struct xtsfs_node *node, const void *data,
					    size_t bytes, uint64_t offset);
/** fallocate(2): 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE, ZERO_RANGE|KEEP_SIZE; others -EOPNOTSUPP. */
xtsfs_must_check int xtsfs_fallocate(struct xtsfs_volume *volume, struct xtsfs_node *node, int mode, uint64_t offset,
				     uint64_t bytes);
/** SEEK_DATA, SEEK_HOLE: a plain offset, or -ENXIO. */
xtsfs_must_check int64_t xtsfs_seek(struct xtsfs_volume *volume, struct xtsfs_node *node, uint64_t offset, int whence);
xtsfs_must_check int xtsfs_fsync(struct xtsfs_volume *volume, struct xtsfs_node *node, bool data_only);
xtsfs_must_check int xtsfs_fsyncdir(struct xtsfs_volume *volume, struct xtsfs_node *dir, bool data_only);
/**
 * Overwritten sectors stay in memory until there are many, or the file is synced or closed (waiting.h): commit those of
 * files in which one has waited for @age_s seconds, and try again with files that could not be settled. To be called
 * every second or so. The first error of a commit; the file's next sync returns it too.
 */
xtsfs_must_check int xtsfs_commit_old(struct xtsfs_volume *volume, unsigned age_s);

#endif
