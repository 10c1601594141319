/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each thread that serves is at, and what it has done: for the watchdog and for who asks by the control socket.
 *
 * Layer:   fuse, internal.
 * Threads: a place is written by its thread alone, and read by any.
 */
#ifndef XTSFS_FUSE_PLACES_H
#define XTSFS_FUSE_PLACES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define XTSFS_PLACES 512U /* more than threads= allows */

/* Kinds of requests. */
#define XTSFS_KINDS(X)  \
	X(lookup)       \
	X(forget)       \
	X(forget_multi) \
	X(getattr)      \
	X(setattr)      \
	X(readlink)     \
	X(mknod)        \
	X(mkdir)        \
	X(unlink)       \
	X(rmdir)        \
	X(symlink)      \
	X(rename)       \
	X(link)         \
	X(create)       \
	X(open)         \
	X(read)         \
	X(write)        \
	X(release)      \
	X(fsync)        \
	X(opendir)      \
	X(readdir)      \
	X(readdirplus)  \
	X(releasedir)   \
	X(fsyncdir)     \
	X(statfs)       \
	X(setxattr)     \
	X(getxattr)     \
	X(listxattr)    \
	X(removexattr)  \
	X(fallocate)    \
	X(lseek)        \
	X(tmpfile)

enum xtsfs_kind {
#define XTSFS_KIND_ROW(name) XTSFS_KIND_##name,
	XTSFS_KINDS(XTSFS_KIND_ROW)
#undef XTSFS_KIND_ROW
		XTSFS_KIND__COUNT
};

/* Latencies are counted for three classes, in steps of a quarter of a power of two from 1024 ns on. */
enum xtsfs_latency { XTSFS_LATENCY_READ, XTSFS_LATENCY_WRITE, XTSFS_LATENCY_OTHER, XTSFS_LATENCY__COUNT };
#define XTSFS_LATENCY_STEPS 96U

struct xtsfs_counts {
	uint64_t requests[XTSFS_KIND__COUNT];
	uint64_t read_bytes, written_bytes;
	uint64_t io_errors;    /* answers with EIO or EUCLEAN: something is damaged or does not work */
	uint64_t other_errors; /* all others, most of them ENOENT */
	uint64_t latency[XTSFS_LATENCY__COUNT][XTSFS_LATENCY_STEPS];
};

struct xtsfs_place {
	_Atomic(const char *) kind; /* NULL: waiting for a request */
	atomic_llong since_ns;	    /* CLOCK_MONOTONIC */
	atomic_bool taken;
	/* the gate's */
	atomic_bool reads; /* it is a thread that reads requests */
	atomic_bool serving;
	atomic_uint serial; /* requests served */
	atomic_uint wiped;
	pid_t thread;		    /* valid once reads is set */
	struct xtsfs_counts counts; /* atomic access */
	/* the watchdog's own */
	const char *told_kind;
	long long told_since_ns, next_ns; /* 0: nothing was told */
};

/** This thread's place, from its first call to its end; NULL if there are too many threads. */
struct xtsfs_place *xtsfs_place_own(void);
/** Place number @i, below XTSFS_PLACES. */
struct xtsfs_place *xtsfs_place_at(unsigned i);

/** This thread serves a request of this kind from now on. */
void xtsfs_place_begin(enum xtsfs_kind kind);
struct fuse_req;
extern _Thread_local struct fuse_req *xtsfs_serving; /* the request that this thread serves, or NULL */
/** Does who waits for the answer no longer want it? */
bool xtsfs_place_is_given_up(void);
/** It has been answered. */
void xtsfs_place_end(enum xtsfs_kind kind);
void xtsfs_count_bytes(size_t read_bytes, size_t written_bytes);
/** An answer of this thread was an error. */
void xtsfs_count_error(int error);

/** The counts of all threads together, those that have ended too. */
void xtsfs_counts_sum(struct xtsfs_counts *ret_counts);
/** In µs: of the requests of that class, a share of @permille took no longer. 0 if there was none. */
uint64_t xtsfs_counts_percentile(const struct xtsfs_counts *counts, enum xtsfs_latency class, unsigned permille);
const char *xtsfs_kind_name(enum xtsfs_kind kind);

/* watched_NAME(): PREFIX_NAME() under the eye of the watchdog, and counted. */
#define WATCHED(prefix, name, parameters, arguments)  \
	static void watched_##name parameters         \
	{                                             \
		xtsfs_place_begin(XTSFS_KIND_##name); \
		xtsfs_serving = req;                  \
		prefix##_##name arguments;            \
		xtsfs_serving = NULL;                 \
		xtsfs_place_end(XTSFS_KIND_##name);   \
	}

#endif
