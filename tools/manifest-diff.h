/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Manifests as files, and how a volume differs from one.
 *
 * Layer:   tools.
 */
#ifndef XTSFS_TOOLS_MANIFEST_DIFF_H
#define XTSFS_TOOLS_MANIFEST_DIFF_H

#include "cli-fs.h"

#include "core/manifest.h"

#include <stdio.h>

/* ---- manifest-file.c ---- */
struct manifest_file {
	FILE *stream;
	const char *path;
	struct xtsfs_manifest_reader *reader;
	int64_t created_s;
};
/** Open, and check what can be checked at its beginning. An exit code; manifest_file_done() is due in any case. */
xtsfs_must_check int manifest_file_open(const char *path, struct xtsfs_volume *fs, struct manifest_file *ret_file);
/** 1, 0 at the end, or -errno; *@ret_exit is the exit code then, and it was said why. */
xtsfs_must_check int manifest_file_next(struct manifest_file *file, struct xtsfs_manifest_entry *ret_entry,
					int *ret_exit);
void manifest_file_done(struct manifest_file *file);

/* ---- manifest-diff.c ---- */
enum manifest_kind {
	MANIFEST_MISSING,    /* of the manifest, not there */
	MANIFEST_ADDED,	     /* there, not of the manifest */
	MANIFEST_CHANGED,    /* the same file, with other content */
	MANIFEST_REPLACED,   /* another file, or of another type */
	MANIFEST_OLDER,	     /* other content, last changed before it was at the manifest's time */
	MANIFEST_BACK,	     /* as in an earlier manifest */
	MANIFEST_SWAPPED,    /* has the file of another entry, which has its own */
	MANIFEST_MOVED,	     /* has the file of another entry */
	MANIFEST_ATTRIBUTES, /* owner, mode or extended attributes only */
	MANIFEST_UNREAD,     /* damaged, or it cannot be read */
	MANIFEST_KINDS
};
const char *manifest_kind_name(enum manifest_kind kind);

struct manifest_difference {
	enum manifest_kind kind;
	char *path; /* plain, without a leading slash; "" for the root */
	char *from; /* of a moved or swapped one: whose it was; else NULL */
	struct xtsfs_manifest_entry then, now;
};

struct manifest_diff {
	struct manifest_difference *differences; /* in the order of the walk */
	size_t count, room;
	int64_t created_s;
	uint64_t entries; /* that were compared */
	int exit_code;	  /* of what could not be read */
};
/** Compare what is in the volume with the manifest at @path. Nothing is known before it was read to its end. An exit
 * code; manifest_diff_done() is due in any case. */
xtsfs_must_check int manifest_compare(struct xtsfs_volume *fs, const char *path, struct manifest_diff *ret_diff);
/** Which of the differences are as in an earlier manifest? An exit code. */
xtsfs_must_check int manifest_find_back(struct xtsfs_volume *fs, const char *path, struct manifest_diff *diff);
void manifest_diff_done(struct manifest_diff *diff);

#endif
