/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying a tree of this machine into a volume: what the files import-*.c share.
 *
 * A run is up to three walks over the source, each by several threads: copy (or, with --dry-run, only look), verify,
 * and remove the source. The target is behind a table of operations: a volume that nobody has mounted
 * (import-volume.c), or a running mount (import-mount.c).
 *
 * Layer:   tools.
 * Threads: workers share a struct import; what is changed after the start is under its mutex or atomic. A directory is
 * in the hands of one worker until its entries are queued, and then lives until the last of them is done.
 */
#ifndef XTSFS_TOOLS_IMPORT_H
#define XTSFS_TOOLS_IMPORT_H

#include "cli-fs.h"
#include "cli-report.h"
#include "cli-work.h"
#include "verify.h"

/* ---- import-volume.c, import-mount.c: where it goes ---- */
struct import_target;
struct import_node; /* something in the target; given back by forget() */

/* All return 0, a count or -errno. */
struct import_target_ops {
	struct import_node *(*root)(struct import_target *target); /* to be forgotten, too; NULL without memory */
	void (*forget)(struct import_target *target, struct import_node *node);
	int (*lookup)(struct import_target *target, struct import_node *dir, const char *name,
		      struct import_node **ret_node, struct stat *ret_stat);
	int (*getattr)(struct import_target *target, struct import_node *node, struct stat *ret_stat);
	/** Names of @dir, "." and ".." not; @each returns 0 to go on. */
	int (*list)(struct import_target *target, struct import_node *dir, int (*each)(void *data, const char *name),
		    void *data);
	int (*mkdir)(struct import_target *target, struct import_node *dir, const char *name,
		     struct import_node **ret_node);
	/** A new file, open for writing until close_written(). */
	int (*create)(struct import_target *target, struct import_node *dir, const char *name,
		      struct import_node **ret_node);
	int (*mknod)(struct import_target *target, struct import_node *dir, const char *name, mode_t mode, dev_t rdev,
		     struct import_node **ret_node);
	int (*symlink)(struct import_target *target, struct import_node *dir, const char *name, const char *text,
		       struct import_node **ret_node);
	int (*link)(struct import_target *target, struct import_node *node, struct import_node *dir, const char *name);
	/** Within a directory. */
	int (*rename)(struct import_target *target, struct import_node *dir, const char *old_name, const char *new_name,
		      bool replace);
	int (*unlink)(struct import_target *target, struct import_node *dir, const char *name);
	/** @ret_text: room XTSFS_SYMLINK_MAX + 1. */
	int (*readlink)(struct import_target *target, struct import_node *node, char *ret_text);
	/** Never the size. */
	int (*setattr)(struct import_target *target, struct import_node *node, const struct xtsfs_setattr *set);
	ssize_t (*listxattr)(struct import_target *target, struct import_node *node, char *ret_list, size_t room);
	ssize_t (*getxattr)(struct import_target *target, struct import_node *node, const char *name, void *ret_value,
			    size_t room);
	int (*setxattr)(struct import_target *target, struct import_node *node, const char *name, const void *value,
			size_t bytes);
	int (*removexattr)(struct import_target *target, struct import_node *node, const char *name);
	/** For reading, and from the disk as far as that can be had. */
	int (*open)(struct import_target *target, struct import_node *node);
	void (*close)(struct import_target *target, struct import_node *node);
	void (*close_written)(struct import_target *target, struct import_node *node);
	ssize_t (*read)(struct import_target *target, struct import_node *node, void *ret_data, size_t bytes,
			uint64_t offset);
	int64_t (*seek)(struct import_target *target, struct import_node *node, uint64_t offset, int whence);
	/** All of it. */
	int (*write)(struct import_target *target, struct import_node *node, const void *data, size_t bytes,
		     uint64_t offset);
	int (*truncate)(struct import_target *target, struct import_node *node, uint64_t bytes);
	/** Make everything durable that was written so far and is closed. NULL where only fsync() does. */
	int (*sync)(struct import_target *target);
	/** The same for one file or directory. NULL where sync() is. */
	int (*fsync)(struct import_target *target, struct import_node *node);
	/** Everything durable, and what this program knows of it forgotten: what is read from then on is what is
	 * stored, and nothing can be written. Nodes are of no use any more. An exit code. */
	int (*settle)(struct import_target *target);
	void (*done)(struct import_target *target);
};

struct import_target {
	const struct import_target_ops *ops;
	dev_t dev; /* what must not be copied into itself: this directory, or with ino 0 all of this filesystem */
	ino_t ino;
	dev_t store_dev; /* nor this directory, of the ciphertext */
	ino_t store_ino;
	int dir_fd;	  /* of the volume's directory; of a mount -1 if it cannot be opened */
	int root_fd;	  /* of a mount */
	struct cli_fs fs; /* of a volume */
};
/** The volume in @dir. @read_only: to compare with. An exit code; ops->done() is due in any case. */
xtsfs_must_check int import_volume_open(const char *dir, const struct cli_unlock *unlock, bool read_only,
					struct import_target *target);
bool import_is_mount(const char *path);
/** The mount there. The same. */
xtsfs_must_check int import_mount_open(const char *path, bool read_only, struct import_target *target);

/* ---- import-source.c: where it comes from ---- */
struct import_source {
	int fd; /* O_PATH: of the thing itself, never through a symlink */
	struct stat st;
	uint64_t mount_id; /* of directories; 0 if the kernel does not tell */
	char proc[40];	   /* the way to it by /proc */
};
/** (dir_fd, name), never following. 0 or -errno. */
xtsfs_must_check int import_source_open(int dir_fd, const char *name, struct import_source *ret_source);
void import_source_close(struct import_source *source);
/** For reading; times of access stay where that is allowed. A descriptor or -errno. */
xtsfs_must_check int import_source_read(const struct import_source *source, int flags);
ssize_t import_source_list(const struct import_source *source, char *ret_names, size_t room);
ssize_t import_source_get(const struct import_source *source, const char *name, void *ret_value, size_t room);

/* ---- the run ---- */
enum import_phase { IMPORT_LOOK, IMPORT_COPY, IMPORT_VERIFY, IMPORT_REMOVE };

/* What of a thing could not be kept in the volume. */
enum import_kind {
	IMPORT_OWNER,
	IMPORT_MODE,
	IMPORT_TIMES,
	IMPORT_XATTR,
	IMPORT_ACL,
	IMPORT_LINK,
	IMPORT_SPECIAL,
	IMPORT_FLAGS,
	IMPORT_PROJECT,
	IMPORT_KINDS
};

/* What else is told of single things. */
enum import_result {
	IMPORT_FAILED,	  /* could not be read or written */
	IMPORT_CONFLICT,  /* something else is there */
	IMPORT_CHANGING,  /* changed each time that it was read */
	IMPORT_DIFFERENT, /* found by verifying */
	IMPORT_STAYS,	  /* was not removed */
	IMPORT_BORDER,	  /* of another filesystem, and not wanted */
	IMPORT_RESULTS
};

enum import_conflict { IMPORT_CONFLICT_FAIL, IMPORT_CONFLICT_SKIP, IMPORT_CONFLICT_OVERWRITE };

struct import_options {
	bool verify, verify_only, delete_source, dry_run, one_file_system, quiet, progress, json, yes;
	enum import_conflict conflict;
	unsigned threads;
	uint64_t rate;
	const char *report, *source, *volume, *destination;
};

struct import_counts {
	uint64_t directories, files, bytes, links, symlinks, special;
};

struct import_dir {
	struct import_dir *parent; /* NULL for the one on top */
	char *path;		   /* in the source, "" on top */
	struct import_source source;
	int fd;			  /* readable */
	struct import_node *node; /* NULL where there is none: looking, removing */
	bool taken;		  /* made by an import, or was empty: gets all attributes */
	bool foreign;		  /* was there, and differs */
	unsigned pending;	  /* atomic */
};

struct import_task {
	struct cli_task task;
	struct import_dir *dir; /* in which; one of its pending */
	char *path;
	char name[256];
};

struct import_set;

/* A file that is whole under its part name, and waits to be durable before it gets its own. */
struct import_part {
	struct import_dir *dir; /* one of its pending */
	char name[256], part[64];
	bool replace;
};
#define IMPORT_BATCH 256U

struct import {
	const struct import_options *options;
	struct import_target *target;
	enum import_phase phase;
	bool is_root;
	uint64_t run_id; /* in part names */
	dev_t root_dev;
	uint64_t root_mount_id;
	FILE *report;
	struct cli_progress progress; /* its counts are atomic */
	unsigned watched;
	struct cli_work work;
	struct cli_links links;
	struct verify_pace pace;
	int fatal; /* -errno: nothing more can be written (atomic) */

	pthread_mutex_t batch_mutex;
	struct import_part *batch; /* IMPORT_BATCH; under batch_mutex */
	unsigned batch_count;
	uint64_t batch_bytes;

	pthread_mutex_t say; /* messages, the report; and all counters to the next empty line */
	struct import_set *said, *not_equal, *verified, *inodes;
	uint64_t kept_not[IMPORT_KINDS], results[IMPORT_RESULTS];

	struct import_counts copied, same, checked, removed; /* atomic */
	uint64_t parts, shared_files;			     /* atomic */
};

/* import-set.c: keys of 16 bytes in little memory. Under x->say or one thread. */
struct import_key {
	uint64_t word[2];
};
struct import_set *import_set_new(void);
void import_set_free(struct import_set *set);
/** 1: it is new, 0: it was there, or -ENOMEM. @value is kept with it. */
xtsfs_must_check int import_set_add(struct import_set *set, struct import_key key, uint64_t value);
bool import_set_has(const struct import_set *set, struct import_key key, uint64_t *ret_value);
/** For a key that is there. */
void import_set_change(struct import_set *set, struct import_key key, uint64_t value);
size_t import_set_count(const struct import_set *set);
/** Of a path and something else. */
struct import_key import_key_of(const char *path, const void *data, size_t bytes);

/* import-tree.c */
/** One walk. 0 or -errno of what nothing can go on after. */
xtsfs_must_check int import_walk(struct import *x, enum import_phase phase, const char *destination);
bool import_stopped(struct import *x);
bool import_is_fatal(struct import *x, int error);
/** The end of an entry of @dir. */
void import_entry_done(struct import *x, struct import_dir *dir, char *chunk);
/** In the source. The caller frees; NULL without memory. */
char *import_path_in(const struct import_dir *dir, const char *name);
/** The node at a path below the destination, to be forgotten. 0 or -errno. */
xtsfs_must_check int import_lookup_path(struct import *x, const char *path, struct import_node **ret_node,
					struct stat *ret_stat);

/* import-entry.c: what is no directory */
void import_entry(struct import *x, struct import_task *task, struct import_source *source, char *chunk);

/* import-file.c */
/** 0, or -errno; 1: it changed each time. @name: under which it is to be written. */
xtsfs_must_check int import_file_copy(struct import *x, struct import_task *task, struct import_source *source,
				      const char *part, char *chunk);
void import_part_name(struct import *x, char ret_name[static 64]);
bool import_is_part(const char *name);
/** 1: the same bytes, 0: others, 2: the source changed; or -errno, *@ret_of_source: of reading it. */
xtsfs_must_check int import_file_compare(struct import *x, const struct import_source *source, struct import_node *node,
					 char *chunk, bool *ret_of_source);

/* import-batch.c */
/** A part that is whole: later, or at once, it gets its name. */
void import_batch_add(struct import *x, const struct import_part *part, uint64_t bytes, char *chunk);
/** All that wait get their names. Were there any? */
bool import_batch_flush(struct import *x, char *chunk);

/* import-attr.c */
void import_attr_set(struct import *x, const struct import_source *source, struct import_node *node, const char *path,
		     char *chunk);
/** Differences are told, and what the volume has no place for. Did everything fit? */
bool import_attr_compare(struct import *x, const struct import_source *source, struct import_node *node,
			 const char *path, char *chunk);
/** What no volume can keep: flags of the inode, its project. */
bool import_attr_look(struct import *x, const struct import_source *source, const char *path);
#define IMPORT_MARK "user.xtsfs.import" /* a directory that an import has not ended with */

/* import-remove.c */
/** A thing was found equal: it may be removed as long as it is as @source says. */
void import_remove_allow(struct import *x, const struct import_source *source, const char *path);
void import_remove_entry(struct import *x, struct import_task *task, const struct import_source *source);
void import_remove_dir(struct import *x, struct import_dir *dir);

/* import-report.c */
#define IMPORT_CHUNK (2U << 20)
/** Each kind for each path is told and counted once. */
void import_not_kept(struct import *x, enum import_kind kind, const char *reason, const char *path);
__attribute__((format(printf, 4, 5))) void import_tell(struct import *x, enum import_result result, const char *path,
						       const char *reason, ...);
/** The same with a reason that is an errno. */
void import_failed(struct import *x, int error, const char *what, const char *path);
/** Was anything told of this path that keeps it from being removed, or verified? */
bool import_was_told(struct import *x, const char *path, bool and_not_kept);
void import_show_progress(struct import *x);
xtsfs_must_check int import_summary(struct import *x, const char *volume, int exit_code);
static inline void import_count(uint64_t *counter, uint64_t by)
{
	__atomic_add_fetch(counter, by, __ATOMIC_RELAXED);
}

#endif
