/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the checker share.
 *
 * Layer:   core, internal to fsck*.c.
 * Threads: a directory, and its state here, belongs to the thread that scans it; reference counts and totals are
 * atomic; a file's state belongs to the threads that verify it (fsck-file.h).
 */
#ifndef XTSFS_CORE_FSCK_INTERNAL_H
#define XTSFS_CORE_FSCK_INTERNAL_H

#include "core/fsck.h"
#include "core/internal.h"

/* ---- fsck-idset.c: which ids and inodes have been seen ---- */
struct xtsfs_idset {
	pthread_mutex_t mutex;
	struct xtsfs_idset_slot {
		uint64_t key, value;
	} * slots;
	size_t room, count;
	bool full; /* no more memory for it: what follows is not remembered */
};
void xtsfs_idset_init(struct xtsfs_idset *set);
void xtsfs_idset_done(struct xtsfs_idset *set);
/** Add (@key, @value). true if the key was there already; *@ret_value is then its value. */
bool xtsfs_idset_seen(struct xtsfs_idset *set, uint64_t key, uint64_t value, uint64_t *ret_value);

/* ---- fsck.c: the run ---- */
struct xtsfs_fsck;

/* Something to be done by a worker. It owns itself: run() releases it. */
struct xtsfs_fsck_work {
	struct xtsfs_fsck_work *next;
	void (*run)(struct xtsfs_fsck *fsck, struct xtsfs_fsck_work *work);
};

struct xtsfs_fsck {
	struct xtsfs_volume *volume;
	struct xtsfs_store *store;
	struct xtsfs_fsck_options options;
	unsigned threads;
	bool stop;			 /* atomic */
	struct xtsfs_fsck_totals totals; /* members are atomic */
	uint64_t key_sectors[256];	 /* atomic: sectors under each content key */

	pthread_mutex_t queue_mutex; /* guards what follows, held over no other lock */
	pthread_cond_t queue_cond, done_cond;
	struct xtsfs_fsck_work *stack;
	size_t queued;
	unsigned busy, workers;

	pthread_mutex_t report_mutex; /* one finding at a time */

	pthread_mutex_t lost_mutex; /* guards the two */
	int lost_handle;	    /* xtsfs.lost+found, -1 until it is needed */
	uint64_t lost_next;

	struct xtsfs_idset inodes; /* files with several names that were checked */
	struct xtsfs_idset file_ids, dirids;
};

void xtsfs_fsck_push(struct xtsfs_fsck *fsck, struct xtsfs_fsck_work *work);
/** Are there enough things waiting, so that one had better do the next oneself? */
bool xtsfs_fsck_is_full(struct xtsfs_fsck *fsck);
static inline bool xtsfs_fsck_stopped(struct xtsfs_fsck *fsck)
{
	return __atomic_load_n(&fsck->stop, __ATOMIC_RELAXED);
}
static inline void xtsfs_fsck_count(uint64_t *counter, uint64_t add)
{
	__atomic_fetch_add(counter, add, __ATOMIC_RELAXED);
}

struct xtsfs_fsck_dir;

/* Where a finding is: an entry of a directory, or (names NULL) the directory itself. */
struct xtsfs_fsck_place {
	const struct xtsfs_fsck_dir *dir;
	const char *name; /* plain; "?" if it is not known */
	const char *backing_name;
	const struct stat *stat;	/* of a file that was opened, or NULL */
	bool *found;			/* atomic: set by a finding that is no info; may be NULL */
	uint64_t first_part, last_part; /* of content */
};

/** A path of the place, for people or in the volume's directory; the caller frees. NULL for want of memory. */
char *xtsfs_fsck_path(const struct xtsfs_fsck_place *place, bool backing);

/** What became of a repair: REPAIRABLE in a run without repair, else by @error. */
static inline enum xtsfs_fsck_outcome xtsfs_fsck_outcome_of(const struct xtsfs_fsck *fsck, int error)
{
	return !fsck->options.repair ? XTSFS_FSCK_REPAIRABLE : error < 0 ? XTSFS_FSCK_FAILED : XTSFS_FSCK_REPAIRED;
}
/** Tell and count a finding. @error: why, for XTSFS_FSCK_FAILED. @action: NULL for none. */
__attribute__((format(printf, 8, 9))) void xtsfs_fsck_report(struct xtsfs_fsck *fsck,
							     const struct xtsfs_fsck_place *place,
							     enum xtsfs_fsck_severity severity, const char *code,
							     enum xtsfs_fsck_outcome outcome, int error,
							     const char *action, const char *format, ...);
/** Something could not be looked at. @what: "read the directory". */
void xtsfs_fsck_report_io(struct xtsfs_fsck *fsck, const struct xtsfs_fsck_place *place, int error, const char *what);

/* ---- fsck-dir.c ---- */
struct xtsfs_fsck_candidates {
	uint8_t (*ids)[XTSFS_ID_BYTES];
	size_t count, room;
	char (*names)[XTSFS_NAME_MAX + 1]; /* encrypted entries, the first so many */
	size_t name_count;
	bool collected;
	bool has_names; /* there are encrypted entries */
};

struct xtsfs_fsck_dir {
	struct xtsfs_fsck_work work;
	struct xtsfs_fsck_dir *parent; /* referenced; NULL for the root */
	unsigned refs;		       /* atomic */
	struct xtsfs_node *node;       /* referenced */
	char *name, *backing_name;     /* NULL for the root */
	bool has_dirid;
	bool proven; /* a name decrypted, or a file in it remembers the id: it is the right one */
	uint8_t dirid[XTSFS_ID_BYTES];
	struct xtsfs_fsck_candidates candidates;
	int scan;	       /* descriptor of the scan, -1 before and after */
	struct timespec mtime; /* before the scan */
};

/** Queue the root. */
xtsfs_must_check int xtsfs_fsck_dir_start(struct xtsfs_fsck *fsck);
void xtsfs_fsck_dir_ref(struct xtsfs_fsck_dir *dir);
void xtsfs_fsck_dir_unref(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir);

/* An entry under way. */
struct xtsfs_fsck_entry {
	char backing[XTSFS_NAME_MAX + 1];
	char name[XTSFS_NAME_MAX + 1];
};
/** Call @each for every entry but "." and ".."; a value other than 0 ends it and is returned. */
xtsfs_must_check int xtsfs_fsck_list(struct xtsfs_fsck *fsck, int dir, const char *name,
				     int (*each)(void *data, int handle, const char *backing_name), void *data);
/** Open for looking: O_NOATIME where it is allowed, O_NONBLOCK. */
xtsfs_must_check int xtsfs_fsck_open(struct xtsfs_fsck *fsck, int dir, const char *name, int flags);

/* ---- fsck-dirid.c ---- */
/** Check the directory's id and rebuild it if it is lost; sets has_dirid. */
void xtsfs_fsck_dirid(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle);
/** Ids that the directory may have had, from what is in it; once. */
xtsfs_must_check int xtsfs_fsck_candidates(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle);
void xtsfs_fsck_candidates_clear(struct xtsfs_fsck_candidates *candidates);

/* ---- fsck-name.c ---- */
/** An encrypted entry: decrypt its name, or explain it and put it right. true if it is (still) an entry to be looked
 * into; its names are then in @entry, the plain one "?" if it is lost. */
bool xtsfs_fsck_name(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, struct xtsfs_fsck_entry *entry);
/** Another name for an entry whose own is lost, with its finding; @entry has it then, or "?". Error of renaming. */
int xtsfs_fsck_give_name(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle,
			 struct xtsfs_fsck_entry *entry, const char *detail);
/** The entries that are not encrypted names. */
void xtsfs_fsck_foreign(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, const char *backing_name);
void xtsfs_fsck_long_name(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, const char *backing_name);
void xtsfs_fsck_tmp(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, const char *backing_name);
void xtsfs_fsck_own(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle, const char *backing_name);

/* ---- fsck-repair.c: changes, each safe at any instant ---- */
/** Move an entry to xtsfs.lost+found; @ret_name: its name there. */
xtsfs_must_check int xtsfs_fsck_quarantine(struct xtsfs_fsck *fsck, int dir, const char *backing_name,
					   char ret_name[XTSFS_NAME_MAX + 1]);
/** Give an entry of the directory the plain name @name. -EEXIST. @ret_backing: its new entry. */
xtsfs_must_check int xtsfs_fsck_rename(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, int handle,
				       const char *backing_name, const char *name,
				       char ret_backing[XTSFS_NAME_MAX + 1]);
/** Replace or make the dirid of a directory. */
xtsfs_must_check int xtsfs_fsck_write_dirid(struct xtsfs_fsck *fsck, int dir, const uint8_t id[XTSFS_ID_BYTES],
					    const uint8_t parent_id[XTSFS_ID_BYTES]);
/** Remove a temporary directory that is empty for the mount. -ENOTEMPTY if it is not. @only_look: do not remove. */
xtsfs_must_check int xtsfs_fsck_remove_tmp(struct xtsfs_fsck *fsck, int dir, const char *backing_name, bool only_look);

/* ---- fsck-file.c ---- */
/** Check a regular file, now or (queued) later. The stat is of the backing file. */
void xtsfs_fsck_file(struct xtsfs_fsck *fsck, struct xtsfs_fsck_dir *dir, const struct xtsfs_fsck_entry *entry,
		     const struct stat *st);
/** The directory id hint of a file whose header is authentic. -ENOENT if it has none. */
xtsfs_must_check int xtsfs_fsck_file_hint(struct xtsfs_fsck *fsck, int dir, const char *backing_name,
					  uint8_t ret_id[XTSFS_ID_BYTES]);

/* ---- fsck-attr.c ---- */
void xtsfs_fsck_symlink(struct xtsfs_fsck *fsck, const struct xtsfs_fsck_place *place, int handle);
/** xattrs of (dir, name), or of the handle itself with name NULL. */
void xtsfs_fsck_xattrs(struct xtsfs_fsck *fsck, const struct xtsfs_fsck_place *place, int handle, const char *name,
		       mode_t mode);

#endif
