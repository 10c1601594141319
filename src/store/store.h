/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store: where ciphertext lives. One table of operations in the shape of the *at() system calls.
 *
 * Layer:   store (may include base/ only).
 * Threads: every operation from any thread.
 * A handle is a small non-negative integer as an fd is; the posix store uses fds. The root of the volume is a handle
 * given by xtsfs_store.root. All operations return 0, a count or a handle, or -errno of the failing call. Names are
 * single path components (never "..", never with '/'), so no operation leaves the directory of its handle; open() never
 * follows a symlink. Offsets and sizes are cipher bytes. Stores may wrap another (faulty.h), and all of the core's
 * access to the volume goes through one, which is what lets tests record, fail and replay it.
 */
#ifndef XTSFS_STORE_STORE_H
#define XTSFS_STORE_STORE_H

#include "base/errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

/* Whose name new objects are created under: owner, group and umask of a caller on the mount. */
struct xtsfs_cred {
	uid_t uid;
	gid_t gid;
	mode_t umask;
};

struct xtsfs_store;

struct xtsfs_store_ops {
	const char *name;
	void (*free)(struct xtsfs_store *store);

	/** O_CLOEXEC and O_NOFOLLOW are added, and it never waits for a fifo's other end. @cred: as in mknod, used with
	 * O_CREAT and O_TMPFILE (@name "." then, and -EOPNOTSUPP where there is no such thing); NULL as the daemon.
	 * Returns a handle. */
	int (*open)(struct xtsfs_store *store, int dir, const char *name, int flags, mode_t mode,
		    const struct xtsfs_cred *cred);
	void (*close)(struct xtsfs_store *store, int handle);

	ssize_t (*preadv)(struct xtsfs_store *store, int handle, const struct iovec *iov, int count, uint64_t offset);
	ssize_t (*pwritev)(struct xtsfs_store *store, int handle, const struct iovec *iov, int count, uint64_t offset);
	int (*truncate)(struct xtsfs_store *store, int handle, uint64_t bytes);
	int (*fallocate)(struct xtsfs_store *store, int handle, int mode, uint64_t offset, uint64_t bytes);
	int64_t (*seek)(struct xtsfs_store *store, int handle, uint64_t offset, int whence); /* SEEK_DATA, SEEK_HOLE */
	int (*sync)(struct xtsfs_store *store, int handle, bool data_only);
	int (*syncfs)(struct xtsfs_store *store);
	/** Hands the file's pages to the disk, without a flush: nothing is durable after it. What it is for: a later
	 * change of names, once that is durable, finds the data there too. May do nothing. */
	int (*writeout)(struct xtsfs_store *store, int handle);
	int (*flock)(struct xtsfs_store *store, int handle, int operation);
	/** A lock of the handle itself (F_OFD_SETLK) on bytes [@start, +@bytes), 0 for all from there on: F_RDLCK,
	 * F_WRLCK or F_UNLCK; never waits: -EWOULDBLOCK. With @test nothing is locked: 1 if somebody else has a lock
	 * there that would be in the way, else 0. */
	int (*lock_range)(struct xtsfs_store *store, int handle, short type, uint64_t start, uint64_t bytes, bool test);

	int (*stat)(struct xtsfs_store *store, int dir, const char *name, struct stat *ret_stat); /* never follows */
	int (*fstat)(struct xtsfs_store *store, int handle, struct stat *ret_stat);
	int (*statfs)(struct xtsfs_store *store, struct statvfs *ret_statvfs);

	/** @cred: whose object it becomes, with that umask unless the directory has a default ACL; NULL as the daemon,
	 * umask 0. */
	int (*mkdir)(struct xtsfs_store *store, int dir, const char *name, mode_t mode, const struct xtsfs_cred *cred);
	int (*mknod)(struct xtsfs_store *store, int dir, const char *name, mode_t mode, dev_t rdev,
		     const struct xtsfs_cred *cred);
	int (*symlink)(struct xtsfs_store *store, const char *target, int dir, const char *name,
		       const struct xtsfs_cred *cred);
	/** @old_name NULL: of the handle itself, which was opened with O_TMPFILE; -ENOENT if it was not. */
	int (*link)(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir, const char *new_name);
	int (*rename)(struct xtsfs_store *store, int old_dir, const char *old_name, int new_dir, const char *new_name,
		      unsigned flags);
	int (*unlink)(struct xtsfs_store *store, int dir, const char *name, int flags); /* 0 or AT_REMOVEDIR */
	ssize_t (*readlink)(struct xtsfs_store *store, int dir, const char *name, char *ret_target, size_t room);
	/** getdents64 on a handle opened O_RDONLY | O_DIRECTORY: fills @ret_records with struct linux_dirent64 records;
	 * 0 at the end. */
	ssize_t (*getdents)(struct xtsfs_store *store, int handle, void *ret_records, size_t room);
	/** Position of a directory handle: a d_off that getdents gave, or 0. */
	int (*seekdir)(struct xtsfs_store *store, int handle, int64_t position);

	/** Mode, owner, times of (dir, name), never following; @name NULL: of the handle itself. UTIME_OMIT in utimens
	 * as there. */
	int (*chmod)(struct xtsfs_store *store, int dir, const char *name, mode_t mode);
	int (*chown)(struct xtsfs_store *store, int dir, const char *name, uid_t uid, gid_t gid);
	int (*utimens)(struct xtsfs_store *store, int dir, const char *name, const struct timespec times[2]);

	/** xattrs of (dir, name), never following; @name NULL: of the handle itself. @room 0 asks for the size. */
	ssize_t (*getxattr)(struct xtsfs_store *store, int dir, const char *name, const char *attr, void *ret_value,
			    size_t room);
	int (*setxattr)(struct xtsfs_store *store, int dir, const char *name, const char *attr, const void *value,
			size_t bytes, int flags);
	ssize_t (*listxattr)(struct xtsfs_store *store, int dir, const char *name, char *ret_list, size_t room);
	int (*removexattr)(struct xtsfs_store *store, int dir, const char *name, const char *attr);
};

struct xtsfs_store {
	const struct xtsfs_store_ops *ops;
	int root;	     /* handle of the volume's directory */
	bool in_place;	     /* an overwrite needs no space, as far as is known of the backing filesystem */
	bool flock_is_range; /* it makes an flock() a lock on all bytes, as NFS does */
	bool fresh;	     /* to be set: others change the directory, so what its filesystem caches has to be asked
				for anew */
};

/** A directory of this machine. @path is opened once; -ENOTDIR, -ENOENT, … @read_only: nothing is ever opened for
 * writing. */
xtsfs_must_check int xtsfs_store_posix_new(const char *path, struct xtsfs_store **ret_store);
/** For a daemon that serves others, before it starts threads: from now on quotas and reserved blocks of the backing
 * filesystem hold for what this process writes. @store: a directory of this machine. */
xtsfs_must_check int xtsfs_store_posix_obey_limits(struct xtsfs_store *store);
/** NULL is fine; returns NULL. */
struct xtsfs_store *xtsfs_store_free(struct xtsfs_store *store);

/* The whole of @bytes at @offset. A short read at the end of the file gives fewer; a short write is continued, then its
 * error is returned. */
xtsfs_must_check ssize_t xtsfs_store_pread(struct xtsfs_store *store, int handle, void *data, size_t bytes,
					   uint64_t offset);
xtsfs_must_check int xtsfs_store_pwrite(struct xtsfs_store *store, int handle, const void *data, size_t bytes,
					uint64_t offset);
/** Rename within a directory, never replacing: -EEXIST. Also where the backing filesystem has no RENAME_NOREPLACE. */
xtsfs_must_check int xtsfs_store_rename_new(struct xtsfs_store *store, int dir, const char *old_name,
					    const char *new_name);

/** Is the file @name of the root also there in capitals? Then names that differ in nothing else meet, as encrypted ones
 * can. 1, 0, or -errno. */
xtsfs_must_check int xtsfs_store_folds_case(struct xtsfs_store *store, const char *name);

#endif
