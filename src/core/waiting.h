/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Overwritten sectors of one file, in memory, until their meta blocks are durable (spec 10 rule 1).
 *
 * Layer:   core, internal.
 * Threads: any. A group's content is guarded by the stripe of its number, or by file.lock held exclusively; the table
 * of groups by its own mutex, a leaf.
 */
#ifndef XTSFS_CORE_WAITING_H
#define XTSFS_CORE_WAITING_H

#include "format/ondisk.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

struct xtsfs_io;
struct xtsfs_volume;
struct xtsfs_file;

struct xtsfs_waiting_group {
	struct xtsfs_waiting_group *next;
	uint64_t group_no;
	struct xtsfs_disk_block meta;	      /* as it will be: now = the sectors below, before = those on disk */
	bool tried;			      /* a commit failed: before may not be what is on disk any more */
	uint8_t *sector[XTSFS_GROUP_SECTORS]; /* ciphertext, XTSFS_BLOCK_BYTES each; NULL: as on disk */
};

struct xtsfs_waiting {
	pthread_mutex_t mutex;
	struct xtsfs_waiting_group **buckets; /* NULL: nothing waits */
	size_t groups;
	size_t bytes;	       /* of memory */
	struct timespec since; /* CLOCK_MONOTONIC: when the oldest came */
	bool mtime_set;	       /* writes that wait have given the file this mtime; the backing file gets it with them */
	struct timespec mtime;
	struct xtsfs_file *next_file; /* volume.file_mutex: the volume's list of files in which something waits */
	bool listed;
};

/** NULL if nothing of the group waits. */
struct xtsfs_waiting_group *xtsfs_waiting_find(struct xtsfs_file *file, uint64_t group_no);
/**
 * Let @count sectors from @first on, all of one group, wait, with @meta as the group's. The stripe held exclusively.
 * -ENOMEM: nothing has changed.
 */
int xtsfs_waiting_add(struct xtsfs_io *io, const struct xtsfs_disk_block *meta, uint64_t first, uint64_t count,
		      const uint8_t *cipher);
/** Lay what waits over @cipher, sectors [@first, +@count) of one group as they are on disk. */
void xtsfs_waiting_overlay(struct xtsfs_file *file, uint64_t first, uint64_t count, uint8_t *cipher);
/** Does anything wait? Without locks, so only about. */
bool xtsfs_waiting_has(const struct xtsfs_file *file);
/** Does anything, and more in the volume than it may keep? */
bool xtsfs_waiting_is_due(const struct xtsfs_io *io);
/*
 * The backing file never has the mtime of a change that still waits: who copies it, and compares mtime and size at the
 * next time, would never see that change.
 */
/** What waits was written now. file.lock held. */
void xtsfs_waiting_touch(struct xtsfs_file *file);
/** It has another mtime. file.lock held exclusively. */
void xtsfs_waiting_untouch(struct xtsfs_file *file);
/** Lay the mtime that waits over @st, as it is on disk. file.lock held. */
void xtsfs_waiting_overlay_mtime(struct xtsfs_file *file, struct stat *st);
/**
 * Meta blocks, flush, sectors. file.lock held exclusively. Keeps the mtime, but for one that waits. On an error what is
 * not written goes on waiting (where nothing may, it is forgotten), and what is on disk is good.
 */
int xtsfs_waiting_commit(struct xtsfs_io *io);
/** Forget it: the content is gone. file.lock held exclusively, or nobody else has the file. */
void xtsfs_waiting_drop(struct xtsfs_volume *volume, struct xtsfs_file *file);

#endif
