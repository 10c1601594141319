/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate between the kernel's requests and the core, for a mount that is locked (lock.h).
 *
 * Layer:   fuse, internal.
 * Threads: xtsfs_gate_idle() and xtsfs_gate_pass() by the threads that read requests; the rest by one thread, the
 *          server's, but xtsfs_gate_done().
 */
#ifndef XTSFS_FUSE_GATE_H
#define XTSFS_FUSE_GATE_H

#include "base/errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum xtsfs_gate {
	XTSFS_GATE_OPEN,
	XTSFS_GATE_CLOSING, /* nothing comes in that could bring plaintext into a cache; what writes it out goes on */
	XTSFS_GATE_SHUT,    /* only what needs no key */
};
enum xtsfs_held {
	XTSFS_HELD_WAIT,
	XTSFS_HELD_FAIL
}; /* what becomes of requests at a shut gate: ENOKEY for the latter */

/** This thread has answered what it read before, and is going to read into @buffer; wipes what it has if that is
 * asked for. */
void xtsfs_gate_idle(void *buffer, size_t room);
/** Has been read by this thread: serve it? If not it is kept, or has been answered; @buffer is wiped then. */
bool xtsfs_gate_pass(int fd, void *buffer, size_t bytes);

/** Requests that pass from now on do so by this state. Returns when all that passed before have been answered. */
void xtsfs_gate_set(enum xtsfs_gate state, enum xtsfs_held held);
/** Kept requests: how many. */
size_t xtsfs_gate_kept(void);
/** Take the first kept request, or the first read of the file @ino if that is not 0; the caller frees *@ret_data. Its
 * size, or 0. */
size_t xtsfs_gate_take(uint64_t ino, void **ret_data);
/** Answer all that is kept with an error. */
void xtsfs_gate_fail_kept(int fd, int error);

/* A part of a file, in bytes. */
struct xtsfs_gate_range {
	uint64_t from, to; /* UINT64_MAX: its end */
};
#define XTSFS_GATE_RANGES 64U
/**
 * Reads of this file pass from now on, while the kernel is asked to drop its pages; those that are kept hold pages,
 * which must be left out: @ret_ranges is the rest. How many; 0 if it is all left out.
 */
unsigned xtsfs_gate_drop_begin(uint64_t ino, struct xtsfs_gate_range ret_ranges[static XTSFS_GATE_RANGES]);
/** Has nothing been read meanwhile? */
bool xtsfs_gate_drop_end(void);

/** Let every thread that reads requests wipe its buffers and its stack, and wait for it. */
void xtsfs_gate_wipe_threads(void);
/** At the end, when no thread is left: what is kept is lost. Returns how many of those were writes. */
size_t xtsfs_gate_done(void);

/**
 * Wait for the requests that other threads serve at this moment, or for a few milliseconds: they were read before the
 * caller's.
 */
void xtsfs_gate_after_others(void);

#endif
