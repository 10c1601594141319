/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifying a volume: what cmd-verify.c and the files verify-*.c share.
 *
 * Layer:   tools.
 * Threads: the checker's workers call verify_pace_wait(), verify_state_knows() and verify_state_add(), several at a
 * time; everything else is the main thread's.
 */
#ifndef XTSFS_TOOLS_VERIFY_H
#define XTSFS_TOOLS_VERIFY_H

#include "cli-volume.h"

#include "manifest-diff.h"

#include "core/fsck.h"

#include <pthread.h>
#include <time.h>

/* ---- verify-pace.c: leave the machine to others ---- */
struct verify_pace {
	uint64_t bytes_per_s; /* 0: as fast as it goes */
	pthread_mutex_t mutex;
	struct timespec next; /* guarded by mutex: when what has been read so far may have been read */
};
void verify_pace_init(struct verify_pace *pace, uint64_t bytes_per_s);
/** Wait until @bytes may be read; not for long after a signal. */
void verify_pace_wait(struct verify_pace *pace, uint64_t bytes);
/** This thread, and those it makes, yield to everybody else: idle I/O class, nice 19. */
void verify_pace_yield(void);

/* ---- verify-state.c: what an earlier run found good ---- */
struct verify_state;
/** Make @path, or go on with what it has. -EPROTO: not a state; -EXDEV: of another volume; -EWOULDBLOCK: another run
 * has it. *@ret_resumed: did it know anything? */
xtsfs_must_check int verify_state_open(const char *path, const uint8_t uuid[static XTSFS_UUID_BYTES],
				       struct verify_state **ret_state, bool *ret_resumed);
bool verify_state_knows(struct verify_state *state, const struct xtsfs_fsck_part *part);
void verify_state_add(struct verify_state *state, const struct xtsfs_fsck_part *part);
/** Write out what was added, every few seconds. */
void verify_state_flush(struct verify_state *state);
/** @finished: it is removed, the next run begins anew. NULL is fine. 0 or -errno of writing it. */
xtsfs_must_check int verify_state_close(struct verify_state *state, bool finished);

/* ---- verify-look.c: look, and look again ---- */
enum verify_verdict {
	VERIFY_OPEN,	 /* to be looked at again */
	VERIFY_GONE,	 /* it was not found again: somebody was writing */
	VERIFY_DAMAGED,	 /* not authentic, or changed from outside */
	VERIFY_UNREAD,	 /* could not be looked at */
	VERIFY_UNSETTLED /* changed at each look */
};

/* Something that was found. */
struct verify_finding {
	char *path, *backing_path, *code, *detail;
	bool has_stat;
	bool seen;   /* at this look */
	bool steady; /* and nobody wrote to the file since the last one */
	bool varies; /* and, or only, another one of its sort */
	struct timespec ctime;
	off_t cipher_bytes;
	ino_t ino;
	uint64_t first_part, last_part;
	enum verify_verdict verdict;
};

struct verify_run {
	struct cli_volume *volume;
	unsigned threads;
	struct verify_pace pace;
	struct verify_state *state; /* or NULL */
	bool resumed, progress, quiet;
	struct timespec start;
	struct xtsfs_fsck_totals totals; /* of the first look */
	uint64_t traces;		 /* of a crash */
	bool no_memory, has_writer;	 /* as of the beginning of a look */

	struct verify_finding *findings; /* sorted by backing path, code and detail */
	size_t count, room;
	bool has_manifest;
	struct xtsfs_volume *fs; /* with one: that it was compared with */
	struct manifest_diff diff;
	bool again; /* this is not the first look */
};
/** Look at everything, then again at what was found, until it is sure. An exit code for what keeps it from that. */
xtsfs_must_check int verify_look(struct verify_run *run);
void verify_free(struct verify_run *run);

/* ---- verify-report.c ---- */
void verify_progress(struct verify_run *run, const struct xtsfs_fsck_totals *totals);
void verify_clear_progress(const struct verify_run *run);
/** Of how many findings that is the verdict. */
size_t verify_count(const struct verify_run *run, enum verify_verdict verdict);
/** Messages for each finding, and the list of paths. */
struct verify_listing {
	bool json, cipher, zero;
};
xtsfs_must_check int verify_tell(struct verify_run *run, const struct verify_listing *listing, int exit_code);

#endif
