/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying a tree out of a volume: what the files extract-*.c share.
 *
 * Layer:   tools.
 * Threads: workers share a struct extraction; what is changed after the start is under its mutex or atomic. A directory
 * is in the hands of one worker until its entries are queued, and then lives until the last of them is done.
 */
#ifndef XTSFS_TOOLS_EXTRACT_H
#define XTSFS_TOOLS_EXTRACT_H

#include "cli-fs.h"
#include "cli-work.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

/* What of a thing could not be kept where it was copied to. */
enum extract_kind {
	EXTRACT_OWNER,
	EXTRACT_MODE,
	EXTRACT_TIMES,
	EXTRACT_XATTR,
	EXTRACT_ACL,
	EXTRACT_LINK,	 /* a further name of a file became a file of its own */
	EXTRACT_SPECIAL, /* a device, fifo or socket was not made */
	EXTRACT_KINDS
};

struct extract_options {
	bool resume, verify, quiet, progress;
	unsigned threads;
	const char *report; /* a file for the list of all that was not had or kept; NULL */
};

/* A directory that is being copied. */
struct extract_dir {
	struct extract_dir *parent; /* NULL for the one that TARGET is made in */
	struct xtsfs_node *node;    /* referenced; NULL likewise */
	struct stat st;
	char *path;   /* plain */
	char *target; /* below the one that TARGET is made in; "" for that one */
	int fd;	      /* -1 until it is made */
	unsigned pending;
};

/* One entry to be copied. */
struct extract_task {
	struct cli_task task;
	struct extract_dir *dir; /* in which; one of its pending */
	struct xtsfs_node *node; /* referenced */
	struct stat st;
	char *path;
	char name[256]; /* in the target directory */
};

struct extraction {
	struct xtsfs_volume *fs;
	const struct extract_options *options;
	bool is_root;
	uint64_t run_id; /* in the names of files that are not whole yet */
	struct extract_dir *base;
	FILE *report;
	struct timespec start;

	struct cli_work work;
	struct cli_links links;
	int fatal; /* -errno: nothing more can be written (atomic) */

	pthread_mutex_t say; /* messages, the report, progress */
	uint64_t kept_not[EXTRACT_KINDS], silent_not[EXTRACT_KINDS];
	uint64_t failures, damaged;			      /* under say */
	uint64_t files, same, same_bytes, plain_bytes, parts; /* atomic */
	uint64_t total_files, total_bytes;
	bool total_known; /* atomic, of the counting thread */
	unsigned watched; /* the watching thread's */
};

extern volatile sig_atomic_t extract_interrupted;

/* extract-tree.c */
/** Copy what is at @node to @name in the directory @fd (taken). 0 or -errno of what nothing can go on after. */
xtsfs_must_check int extract_run(struct extraction *x, const char *path, struct xtsfs_node *node, const struct stat *st,
				 int fd, const char *name);
/** Is everything to end? */
bool extract_stopped(struct extraction *x);
/** An error of writing: does it end everything? Then it is remembered. */
bool extract_is_fatal(struct extraction *x, int error);

/* extract-entry.c */
void extract_entry(struct extraction *x, struct extract_task *task, char *chunk);

/* extract-file.c */
/** A regular file as a whole at @task's name, unless it is there already. 0 or -errno; what was wrong is said. */
int extract_file(struct extraction *x, struct extract_task *task, char *chunk);
/** Files of earlier runs that never became whole. */
void extract_remove_parts(struct extraction *x, struct extract_dir *dir);
void extract_part_name(struct extraction *x, char ret_name[static 64]);

/* extract-attr.c */
/** @fd, or if that is -1 (dir_fd, name), which is no regular file or directory. */
void extract_attributes(struct extraction *x, struct xtsfs_node *node, const struct stat *st, int fd, int dir_fd,
			const char *name, const char *path, char *chunk);

/* extract-report.c */
#define EXTRACT_CHUNK (1U << 20)
void extract_failed(struct extraction *x, int error, const char *what, const char *path);
void extract_bad_range(struct extraction *x, const char *path, uint64_t offset, uint64_t bytes, int error);
/** @silent: it was not to be expected, and only the summary says how often. */
void extract_not_kept(struct extraction *x, enum extract_kind kind, int error, bool silent, const char *path);
void extract_progress(struct extraction *x);
void extract_clear_progress(struct extraction *x);
void extract_summary(struct extraction *x, const char *target);

#endif
