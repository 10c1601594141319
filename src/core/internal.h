/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the core share: the volume, nodes, and small helpers. Not seen outside src/core.
 *
 * Layer:   core.
 * Locks, in the order in which they may be taken (docs/concurrency.md):
 *   - volume.key_lock     exclusively while the keys are taken away or put back; no other lock is held when it is taken
 *   - volume.flush_mutex  the ids of new directories are being made durable; no other lock is held when it is taken
 *   - 1 volume.dir_mutex[]  one stripe for each directory that is changed, ascending
 *   - volume.names_lock   exclusively while a name moves or goes (the backing call and the node's links together),
 *     shared while an object is reached through a name. Its holder may wait for 2 and the other way round: sound
 *     because who holds it exclusively takes only 5 to 7, and readers are not held up by a waiting writer (the
 *     default of glibc's rwlocks), so it may also be taken shared twice
 *   - 2 file.lock           length and layout of one regular file
 *   - 3 file.stripe[]       one group of sectors
 *   - 4 volume.file_mutex   which nodes have file state
 *   - 5 volume.table_mutex  node table, links, reference counts
 *   - 6 volume.fd_mutex     descriptor cache
 *   - 7 file.dirty_mutex, file.waiting.mutex, volume.pending_mutex, volume.sector_pool.mutex
 *
 * 4 to 7 are held over no system call and no other lock of that list, but 5 and file.waiting.mutex within 4.
 */
#ifndef XTSFS_CORE_INTERNAL_H
#define XTSFS_CORE_INTERNAL_H

#include "base/cleanup.h"
#include "base/log.h"
#include "core/keys.h"
#include "core/sectorpool.h"
#include "core/volume.h"
#include "format/name.h"
#include "format/ondisk.h"
#include "format/span.h"

#include <pthread.h>

#define XTSFS_DIR_STRIPES  64U
#define XTSFS_RENEW_GROUPS 8U /* 4 MiB: enough that syncs do not cost more than writing */

struct xtsfs_file;
struct xtsfs_fd;
struct xtsfs_reverse;

/* One name of a node: (directory, encrypted name). */
struct xtsfs_link {
	struct xtsfs_link *next;
	struct xtsfs_node *parent; /* referenced */
	char backing_name[];
};

struct xtsfs_node {
	dev_t dev;
	ino_t ino;
	mode_t type; /* S_IFMT part */
	bool has_dirid, is_root;
	struct xtsfs_node *hash_next; /* table_mutex */
	uint64_t refs;		      /* table_mutex: the kernel's lookups, children's links, running operations */
	struct xtsfs_link *links;     /* table_mutex: the names known; the first is the one in use */
	struct xtsfs_fd *fd;	      /* fd_mutex */
	bool gone;		      /* table_mutex: removed, and its inode may be another file's */
	uint32_t told_until_s;	      /* atomic: see xtsfs_node_told(); of CLOCK_MONOTONIC_COARSE */
	uint32_t links_changed_s;     /* atomic: see xtsfs_node_links_changed(); of the same clock; 0: never */
	uint32_t generation;	      /* of all nodes that had this address only this one has it, in other mounts too */
	unsigned fd_keeps;	      /* fd_mutex: no name is left, or will be: the descriptor is all there is */
	union {
		struct xtsfs_file *file;       /* file_mutex; regular files in use */
		uint8_t dirid[XTSFS_ID_BYTES]; /* directories, once has_dirid (release order) */
	};
};

struct xtsfs_volume {
	struct xtsfs_store *store;
	struct xtsfs_reverse *reverse; /* NULL: an ordinary volume; else the store is a plain directory (reverse.h) */
	struct xtsfs_keys *keys;       /* NULL while it is locked (lock.c) */
	pthread_rwlock_t key_lock;
	uint8_t uuid[XTSFS_UUID_BYTES];
	unsigned content_keys;
	const struct xtsfs_engine *engine;
	enum xtsfs_integrity integrity;
	enum xtsfs_layout layout;
	bool read_only, salvage, repair, no_atime, log_names;
	bool unclean;	  /* an earlier writer died: an authentic marker was there */
	int64_t marker_s; /* and it was made then, in seconds since 1970 */
	bool read_first;  /* rule 10.5 for all files */
	bool made_marker; /* by this opening */
	int unsettled;	  /* an error that left a file as a crash would: the marker stays (atomic access) */
	unsigned threads;
	int lock_handle;
	bool shared, first_to_share; /* share.c */
	bool lost_locks;	     /* atomic access */
	unsigned check_ticks;
	bool (*is_given_up)(void);
	struct xtsfs_node *root;
	bool has_torn;	/* a file has a redo record (redo.c) and is not to be used: this one (atomic access) */
	dev_t torn_dev; /* set before that */
	ino_t torn_ino;
	pthread_mutex_t attr_mutex; /* in re-encryption: an attribute is changed, or renewed */
	unsigned renew_groups;	    /* of a file at a time */
	uint64_t moves;		    /* names that went to another directory (atomic access) */

	pthread_mutex_t dir_mutex[XTSFS_DIR_STRIPES];
	pthread_rwlock_t names_lock;
	pthread_mutex_t file_mutex;

	pthread_mutex_t table_mutex;
	struct xtsfs_node **table;
	size_t table_slots, table_used;
	uint32_t generation; /* of the last node that was made */

	pthread_mutex_t fd_mutex;
	struct xtsfs_fd *lru_newest, *lru_oldest; /* unused descriptors that may be closed */
	unsigned fd_count, fd_max;

	pthread_mutex_t flush_mutex; /* one sync at a time makes the list below durable (dirid.c) */
	pthread_mutex_t
		pending_mutex; /* guards the list of directories whose dirid is not known to be durable (dirid.c) */
	struct xtsfs_node **pending;
	size_t pending_count;

	struct xtsfs_dir *open_dirs; /* file_mutex: a mount that is torn down leaves some open (dir.c) */

	struct xtsfs_file *kept_files; /* file_mutex: files whose last use could not settle them (file.c) */
	unsigned kept_count;

	struct xtsfs_file *waiting_files; /* file_mutex: files in which overwritten sectors wait (waiting.c) */
	size_t waiting_bytes;		  /* memory they take (atomic access) */
	struct xtsfs_sector_pool sector_pool;
	size_t waiting_most;  /* with more than that a writer commits */
	time_t short_until_s; /* CLOCK_MONOTONIC_COARSE: until then every writer does (atomic access) */
};

/* ---- node.c: the table ---- */
/** Find or make the node of a backing object and take a reference; (parent, backing_name) becomes its first link. */
xtsfs_must_check int xtsfs_node_get(struct xtsfs_volume *volume, const struct stat *st, struct xtsfs_node *parent,
				    const char *backing_name, struct xtsfs_node **ret_node);
/** A reference to the node if the table has it, else NULL. */
struct xtsfs_node *xtsfs_node_find(struct xtsfs_volume *volume, const struct stat *st);
bool xtsfs_node_is_told(struct xtsfs_volume *volume, const struct stat *st);
/** A name of the object is about to come or go while others stay. */
void xtsfs_node_note_links(struct xtsfs_node *node);
void xtsfs_node_ref(struct xtsfs_volume *volume, struct xtsfs_node *node);
void xtsfs_node_unref(struct xtsfs_volume *volume, struct xtsfs_node *node, uint64_t count);
/** Forget one name, or move it. Nothing happens if the node does not have it. */
void xtsfs_node_remove_link(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct xtsfs_node *parent,
			    const char *backing_name);
/** The object is no more, nor is a descriptor held: a new one with its inode number is not to meet this node. */
void xtsfs_node_set_gone(struct xtsfs_volume *volume, struct xtsfs_node *node);
int xtsfs_node_add_link(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_node *parent,
			const char *backing_name);
/** Is a name of the node known besides this one? */
bool xtsfs_node_has_other_link(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct xtsfs_node *parent,
			       const char *backing_name);
/** A copy of the first link; @ret_parent is referenced. -ESTALE if there is none (root too). Caller frees @ret_name. */
int xtsfs_node_link(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_node **ret_parent,
		    char **ret_name);
void xtsfs_node_table_free(struct xtsfs_volume *volume);
/** The plain path as far as it can be told, for messages; "(a file)" unless log_names. Caller frees; may be NULL. */
char *xtsfs_node_describe(struct xtsfs_volume *volume, struct xtsfs_node *node);

/* ---- fds.c: descriptors ---- */
enum xtsfs_access { XTSFS_ACCESS_PATH, XTSFS_ACCESS_READ, XTSFS_ACCESS_WRITE };

struct xtsfs_fd {
	int handle;
	enum xtsfs_access access;
	unsigned users;
	bool orphan; /* no longer the node's; closed by the last user */
	struct xtsfs_node *node;
	struct xtsfs_fd *newer, *older; /* in the LRU list while users == 0 */
};

/** Open what exists, without a trace in its atime where the mount asks for that. A handle, or -errno. */
xtsfs_must_check int xtsfs_open_existing(struct xtsfs_volume *volume, int dir, const char *name, int flags);
/**
 * Lease a descriptor of the node: a directory (always O_PATH), or anything with XTSFS_ACCESS_PATH, or a regular file.
 * Opened through a link and checked by (dev, ino). -ESTALE when the object is gone, -EMFILE and the like.
 */
xtsfs_must_check int xtsfs_fd_get(struct xtsfs_volume *volume, struct xtsfs_node *node, enum xtsfs_access access,
				  struct xtsfs_fd **ret_fd);
void xtsfs_fd_put(struct xtsfs_volume *volume, struct xtsfs_fd *fd);
/** Give the node a descriptor that is open already, leased; takes @handle in every case. */
xtsfs_must_check int xtsfs_fd_adopt(struct xtsfs_volume *volume, struct xtsfs_node *node, int handle,
				    enum xtsfs_access access, struct xtsfs_fd **ret_fd);
/** Before the last name goes: hold a descriptor until the node is freed, or as often as this was done undone. */
xtsfs_must_check int xtsfs_fd_keep(struct xtsfs_volume *volume, struct xtsfs_node *node);
/** Keep the node's descriptor as xtsfs_fd_keep() does, whichever it is; @fd is leased. */
void xtsfs_fd_hold(struct xtsfs_volume *volume, struct xtsfs_fd *fd);
/** The name did not go, or an object that had none got one. */
void xtsfs_fd_unkeep(struct xtsfs_volume *volume, struct xtsfs_node *node);
/** The node is being freed. */
void xtsfs_fd_forget(struct xtsfs_volume *volume, struct xtsfs_node *node);

/** It leads nowhere any more (-ESTALE): the next one is opened anew. */
void xtsfs_fd_drop(struct xtsfs_volume *volume, struct xtsfs_node *node);

/* Where the metadata of a node is reached: (handle, name), or the handle itself with name NULL. */
struct xtsfs_at {
	struct xtsfs_fd *fd;
	struct xtsfs_node *parent;
	int handle;
	char *name;
	bool locked;   /* volume.names_lock, shared: the name stays the node's until xtsfs_at_put() */
	bool nameless; /* the node has no name */
};
/** By its name, if it has one. */
xtsfs_must_check int xtsfs_at_get_name(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_at *ret_at);
xtsfs_must_check int xtsfs_at_get(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_at *ret_at);
void xtsfs_at_put(struct xtsfs_volume *volume, struct xtsfs_at *at);

/* ---- share.c: beside others who write the volume (docs/shared.md) ---- */
#define XTSFS_SHARE_AT (1ULL << 62) /* bytes from here on are locked; no file is so long */
/** Become one of those that share it; xtsfs.lock is open. Until xtsfs_share_joined() nobody else comes or goes. */
xtsfs_must_check int xtsfs_share_join(struct xtsfs_volume *volume, char *ret_problem, size_t problem_bytes);
/** The marker is there: go on beside the others. @marker_kept: it is of somebody who died. */
xtsfs_must_check int xtsfs_share_joined(struct xtsfs_volume *volume, const char *holder, bool marker_kept);
/** Go. @error: of what was to be settled before. Removes the marker if nobody is left and all have ended well. */
xtsfs_must_check int xtsfs_share_leave(struct xtsfs_volume *volume, int error);
/** Wait for the lock F_RDLCK or F_WRLCK on the byte @at of a handle. -EINTR: given up; -EIO: it does not come. */
xtsfs_must_check int xtsfs_share_lock(struct xtsfs_volume *volume, int handle, short type, uint64_t at);
/** Every second: are our locks still ours? */
void xtsfs_share_check(struct xtsfs_volume *volume);
void xtsfs_share_unlock(struct xtsfs_volume *volume, int handle, uint64_t at);

/* ---- dir.c ---- */
/** At the end of the volume. */
void xtsfs_closedir_all(struct xtsfs_volume *volume);

/* ---- dirid.c ---- */
/** The directory's id, read and verified once. -EUCLEAN. */
xtsfs_must_check int xtsfs_dirid_get(struct xtsfs_volume *volume, struct xtsfs_node *dir,
				     uint8_t ret_id[XTSFS_ID_BYTES]);
/** @ret_old (may be NULL): in re-encryption, it is under the old key. */
xtsfs_must_check int xtsfs_dirid_read(struct xtsfs_store *store, const struct xtsfs_keys *keys, int dir,
				      struct xtsfs_disk_dirid *ret_dirid, bool *ret_old);
/** New random id (or *@id if given) in the directory @dir. */
xtsfs_must_check int xtsfs_dirid_write(struct xtsfs_store *store, struct xtsfs_mac *meta_mac, int dir,
				       const uint8_t *id, const uint8_t parent_id[XTSFS_ID_BYTES],
				       uint8_t ret_id[XTSFS_ID_BYTES]);
/** Remember that this directory's dirid is not durable yet; flush all of them before a sync is answered. */
void xtsfs_dirid_pending(struct xtsfs_volume *volume, struct xtsfs_node *dir);
/** It was removed: being remembered would keep it from being freed. */
void xtsfs_dirid_not_pending(struct xtsfs_volume *volume, struct xtsfs_node *dir);
xtsfs_must_check int xtsfs_dirid_flush(struct xtsfs_volume *volume);

/* ---- names.c ---- */
/* An encrypted name; for a long one also the content of its .name file. */
struct xtsfs_backing_name {
	char entry[XTSFS_NAME_MAX + 1];
	char long_text[XTSFS_NAME_ENCODED_MAX + 1]; /* empty for a short name */
};
xtsfs_must_check int xtsfs_names_seal(struct xtsfs_volume *volume, const uint8_t dirid[XTSFS_ID_BYTES],
				      const char *name, struct xtsfs_backing_name *ret_backing);
/** The same under the old key; -ENOENT where there is none. */
xtsfs_must_check int xtsfs_names_seal_old(struct xtsfs_volume *volume, const uint8_t dirid[XTSFS_ID_BYTES],
					  const char *name, struct xtsfs_backing_name *ret_backing);
/** The entry of that name, whichever key it is encrypted under. -ENOENT, with what it would be called. */
xtsfs_must_check int xtsfs_names_find(struct xtsfs_volume *volume, const uint8_t dirid[XTSFS_ID_BYTES], int dir_handle,
				      const char *name, struct xtsfs_backing_name *ret_backing, struct stat *ret_stat);
/** @dir_handle: where the .name file of a long one is. -EUCLEAN, -EBADMSG, or a store error. */
xtsfs_must_check int xtsfs_names_open(struct xtsfs_volume *volume, const uint8_t dirid[XTSFS_ID_BYTES], int dir_handle,
				      const char *entry, char ret_name[XTSFS_NAME_MAX + 1]);
/** Decrypt the encoded text (base64url of the cipher) itself. */
xtsfs_must_check int xtsfs_names_open_text(struct xtsfs_volume *volume, const uint8_t dirid[XTSFS_ID_BYTES],
					   const char *text, char ret_name[XTSFS_NAME_MAX + 1]);
/** Make the .name file of a long name, durable; nothing for a short one. */
xtsfs_must_check int xtsfs_names_place(struct xtsfs_volume *volume, int dir_handle,
				       const struct xtsfs_backing_name *backing);
void xtsfs_names_remove(struct xtsfs_volume *volume, int dir_handle, const char *entry);
/** "xtsfs.tmp.…", random. */
xtsfs_must_check int xtsfs_names_tmp(char ret_name[XTSFS_NAME_MAX + 1]);

/* ---- renew.c: from the old key to the new one (docs/reencrypt.md). 1 if there was something to do, else 0. ---- */
/** An entry whose name was found under the old key gets its new one. Before anything is made at, moved from or removed
 * from a name. Takes the directory's stripe. */
xtsfs_must_check int xtsfs_renew_name(struct xtsfs_volume *volume, struct xtsfs_node *dir, int dir_handle,
				      const uint8_t dirid[XTSFS_ID_BYTES], const char *name);
/** The id file of a directory. */
xtsfs_must_check int xtsfs_renew_dirid(struct xtsfs_volume *volume, struct xtsfs_node *dir);
/** A symbolic link, at its new name, is replaced. Takes the directory's stripe. */
xtsfs_must_check int xtsfs_renew_symlink(struct xtsfs_volume *volume, struct xtsfs_node *dir, const char *entry,
					 struct xtsfs_node *node);
/** Content, chunk by chunk. @paced, which may be NULL, is called without locks after each, with the stored bytes that
 * were written; another value than 0 ends it. */
typedef int (*xtsfs_renew_paced)(void *data, uint64_t bytes);
xtsfs_must_check int xtsfs_renew_file(struct xtsfs_volume *volume, struct xtsfs_node *node, xtsfs_renew_paced paced,
				      void *data);

/* ---- volume.c ---- */
/** The unclean marker, if there is one that counts, under the new key. */
xtsfs_must_check int xtsfs_renew_marker(struct xtsfs_volume *volume);

/* ---- xattr.c ---- */
/** All attributes of an object. */
xtsfs_must_check int xtsfs_renew_xattrs(struct xtsfs_volume *volume, struct xtsfs_node *node);

/* ---- redo.c: what is being written over a file, so that it can be done again ---- */
struct xtsfs_redo {
	const struct xtsfs_disk_block *block0;
	const uint8_t *image; /* whole blocks, but for the end of the file */
	uint64_t image_cipher_off;
	size_t image_bytes;
	struct timespec mtime;
};
/** Write the record, then the file at @handle, durably, then remove the record. The file's lock is held exclusively.
 * @path: its backing path, which need not be the latest; NULL for a file without a name. */
xtsfs_must_check int xtsfs_redo_do(struct xtsfs_volume *volume, const char *path, int handle,
				   const struct xtsfs_redo *redo);
/** At the opening of a volume: a record that is there is done again, or, for reading, its file is remembered in
 * volume->torn. */
xtsfs_must_check int xtsfs_redo_again(struct xtsfs_volume *volume, char *ret_problem, size_t problem_bytes);

/** Is it the file that has a record? */
static inline bool xtsfs_is_torn(const struct xtsfs_volume *volume, const struct stat *st)
{
	return __atomic_load_n(&volume->has_torn, __ATOMIC_ACQUIRE) && st->st_ino == volume->torn_ino &&
	       st->st_dev == volume->torn_dev;
}

/* ---- small ones ---- */
static inline unsigned xtsfs_dir_stripe(const struct xtsfs_node *dir)
{
	return (unsigned)((dir->ino * 0x9e3779b97f4a7c15ULL) >> 58);
}
static inline pthread_mutex_t *xtsfs_dir_mutex(struct xtsfs_volume *volume, const struct xtsfs_node *dir)
{
	return &volume->dir_mutex[xtsfs_dir_stripe(dir)];
}
/** Lock the stripes of up to three directories (some may be one, or NULL), in order; among all who share the volume. */
struct xtsfs_dirs {
	const struct xtsfs_node *dir[3];
};
xtsfs_must_check int xtsfs_dirs_lock(struct xtsfs_volume *volume, const struct xtsfs_dirs *dirs);
void xtsfs_dirs_unlock(struct xtsfs_volume *volume, const struct xtsfs_dirs *dirs);

/** Has a file been let go in a state that only the rules for an unclean volume allow? */
static inline bool xtsfs_is_unsettled(struct xtsfs_volume *volume)
{
	return __atomic_load_n(&volume->unsettled, __ATOMIC_RELAXED) != 0;
}

/** Backing stat to what the mount shows: plain sizes of files and symlinks. Does not look at file state. */
void xtsfs_stat_to_plain(const struct xtsfs_volume *volume, struct stat *st);
/** What the mount shows of a node whose backing object was just found to have @st. */
xtsfs_must_check int xtsfs_node_stat(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct stat *st,
				     struct stat *ret_stat);

#endif
