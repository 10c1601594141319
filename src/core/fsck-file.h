/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One regular file under check.
 *
 * Layer:   core, internal to fsck-file.c and fsck-sector.c.
 * Threads: one thread opens and plans; then several may verify groups, each group by one of them; the last of them
 * settles the file. Group 0's entries are in state.block0 and belong to the thread that verifies group 0.
 */
#ifndef XTSFS_CORE_FSCK_FILE_H
#define XTSFS_CORE_FSCK_FILE_H

#include "core/file.h"
#include "core/fsck-internal.h"

/* A run of sectors that cannot be accepted. */
struct xtsfs_fsck_range {
	uint64_t first, last;
	enum xtsfs_fsck_range_kind { XTSFS_FSCK_BAD_SECTORS, XTSFS_FSCK_BAD_META, XTSFS_FSCK_UNREADABLE } kind;
	enum xtsfs_fsck_outcome outcome;
	int error;
};

struct xtsfs_fsck_file {
	struct xtsfs_fsck *fsck;
	struct xtsfs_fsck_dir *dir; /* referenced */
	struct xtsfs_fsck_entry entry;
	struct xtsfs_fsck_place place;
	struct stat st;
	int write_error; /* why it cannot be written to, or 0 */

	/* What the core's functions on sectors and meta blocks need. state.plain_bytes is what is verified. */
	struct xtsfs_file state;
	struct xtsfs_io io;

	/* What is to be done about length and header, and what to tell about it. */
	struct {
		enum xtsfs_fsck_severity severity;
		const char *code; /* NULL: nothing */
		const char *detail, *action;
		bool leave;	 /* not with these options */
		bool cut;	 /* the stored length becomes cut_to (which may be longer) */
		bool set_header; /* CLEAN with state.plain_bytes */
		uint64_t cut_to;
	} plan;
	bool header_accepted; /* salvaged: its tag did not verify */
	bool found;	      /* atomic: something was told of it */

	uint64_t groups, next_group; /* next_group: atomic */
	unsigned users;		     /* atomic: threads that verify */
	uint64_t unfinal;	     /* atomic: sectors whose before is not now */
	uint64_t unfinal_left;	     /* atomic: of them, not settled although asked for */
	int unfinal_error;
	bool last_bad;	      /* atomic: the last sector is not good */
	bool written;	      /* atomic */
	bool content_changed; /* atomic: by --salvage or --zero */

	pthread_mutex_t mutex; /* guards the ranges */
	struct xtsfs_fsck_range *ranges;
	size_t range_count;
};

/* ---- fsck-torn.c ---- */
/** Of a file in sectors without tags: write what after a crash only reads as zeros. */
void xtsfs_fsck_mend_torn(struct xtsfs_fsck_file *file);

/* ---- fsck-length.c ---- */
/** Fill plan and state.plain_bytes. 0, or an error of reading. */
xtsfs_must_check int xtsfs_fsck_plan(struct xtsfs_fsck_file *file);

/* ---- fsck-sector.c ---- */
/** The group's meta block: 0, -EBADMSG, or an error of reading. */
xtsfs_must_check int xtsfs_fsck_load_meta(struct xtsfs_fsck_file *file, uint64_t group_no,
					  struct xtsfs_disk_block *ret_block);
/** The verdict on one sector in a file of @plain_bytes: enum xtsfs_verdict (BAD too if the meta block is), or an error.
 */
xtsfs_must_check int xtsfs_fsck_sector(struct xtsfs_fsck_file *file, uint64_t plain_bytes, uint64_t sector_no);
#define XTSFS_FSCK_PART_GROUPS 8U /* taken at a time */
/** Verify groups until there are none left to begin with. */
void xtsfs_fsck_verify(struct xtsfs_fsck_file *file);
/** Tell of the ranges so far. The mutex is held, or nobody else is left. */
void xtsfs_fsck_tell_ranges(struct xtsfs_fsck_file *file);

#endif
