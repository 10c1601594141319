/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking and repairing a volume.
 *
 * Layer:   core (no FUSE, no terminal: findings and progress go to callbacks).
 * Threads: xtsfs_fsck_run() by one thread, which calls progress; findings come from its worker threads, one at a time.
 *
 * The volume is opened by the caller with params.repair, and read-only unless it is to be repaired; nobody else may
 * have it. A finding is told once what was to be done about it has been done, so its outcome is what happened.
 */
#ifndef XTSFS_CORE_FSCK_H
#define XTSFS_CORE_FSCK_H

#include "core/volume.h"

#include <signal.h>

enum xtsfs_fsck_severity {
	XTSFS_FSCK_INFO,   /* nothing is wrong, but somebody may want to know */
	XTSFS_FSCK_DEBRIS, /* what a crash leaves; nothing is lost */
	XTSFS_FSCK_ERROR,  /* damaged or changed from outside */
	XTSFS_FSCK_SEVERITY__COUNT
};

enum xtsfs_fsck_outcome {
	XTSFS_FSCK_NOTED,      /* nothing to do */
	XTSFS_FSCK_REPAIRABLE, /* a run with repair would do what action says */
	XTSFS_FSCK_REPAIRED,   /* action was done */
	XTSFS_FSCK_LEFT,       /* not done by a repair with these options; action is advice */
	XTSFS_FSCK_FAILED,     /* tried, and action says why it failed */
	XTSFS_FSCK_OUTCOME__COUNT
};
/** "info", "debris", "error"; "noted", "repairable", "repaired", "left", "failed". */
const char *xtsfs_fsck_severity_name(enum xtsfs_fsck_severity severity);
const char *xtsfs_fsck_outcome_name(enum xtsfs_fsck_outcome outcome);

/* All strings are valid during the callback only. */
struct xtsfs_fsck_finding {
	enum xtsfs_fsck_severity severity;
	const char *code;	  /* for machines, stable: "sector-bad-tag" */
	const char *path;	  /* plain, from the root of the mount: "/dir/file"; "?" for a name that is not known */
	const char *backing_path; /* in the volume's directory; "." is that itself */
	const char *detail;
	enum xtsfs_fsck_outcome outcome;
	const char *action;		/* may be empty */
	const struct stat *stat;	/* of a file, before it was looked at; else NULL */
	uint64_t first_part, last_part; /* of a file's content: where; else 0 */
};

/* A part of a file's content: so many bytes that a check which was ended need not begin it anew. */
struct xtsfs_fsck_part {
	const struct stat *stat; /* of the backing file */
	uint64_t number;	 /* from 0 */
};

/* What to do about sectors, meta blocks and headers that are not authentic. */
enum xtsfs_fsck_damage {
	XTSFS_FSCK_DAMAGE_REPORT,
	XTSFS_FSCK_DAMAGE_SALVAGE, /* accept what is there: new tags over the stored bytes */
	XTSFS_FSCK_DAMAGE_ZERO,	   /* put zeros in its place */
};

struct xtsfs_fsck_totals {
	uint64_t directories, files, symlinks, specials, hard_links; /* hard_links: further names of files */
	uint64_t plain_bytes;					     /* of files */
	uint64_t sectors;					     /* verified */
	uint64_t checked_bytes;					     /* ciphertext read */
	uint64_t known_bytes;					     /* of content that is_known() */
	uint64_t problems;					     /* findings that are not infos */
	uint64_t repaired, left;				     /* of them */
	uint64_t infos;
	uint64_t io_errors; /* of problems: what could not be looked at */
	bool cancelled;
};

struct xtsfs_fsck_options {
	bool repair;
	enum xtsfs_fsck_damage damage;	     /* with repair, which wants a volume with an engine */
	bool verbose;			     /* infos about what is normal, too */
	unsigned threads;		     /* 0: the volume's */
	unsigned content_keys;		     /* of the volume's config */
	const volatile sig_atomic_t *cancel; /* looked at several times a second; may be NULL */
	void (*finding)(void *data, const struct xtsfs_fsck_finding *finding);
	void (*progress)(void *data, const struct xtsfs_fsck_totals *totals); /* several times a second; may be NULL */
	/* The rest may be NULL, is called by any worker, several at a time, and is for runs without repair. */
	bool (*wanted)(void *data, const char *backing_path);		    /* look at this entry? */
	void (*reading)(void *data, uint64_t bytes);			    /* before that much is read: may wait */
	bool (*is_known)(void *data, const struct xtsfs_fsck_part *part);   /* it was found good: skip it */
	void (*found_good)(void *data, const struct xtsfs_fsck_part *part); /* nothing was found in it */
	void *data;
};

/**
 * Look at everything; with options.repair settle what can be settled, and remove the unclean marker if nothing is left
 * and nobody cancelled. Returns 0 whatever was found, or -EROFS (repair of a read-only volume), -EINVAL, -ENOMEM, or an
 * error of making everything durable.
 */
xtsfs_must_check int xtsfs_fsck_run(struct xtsfs_volume *volume, const struct xtsfs_fsck_options *options,
				    struct xtsfs_fsck_totals *ret_totals);

#endif
