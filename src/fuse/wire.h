/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel says on /dev/fuse and libfuse does not pass on.
 *
 * Layer:   fuse.
 * Threads: xtsfs_wire_attach() before the loop; xtsfs_wire_kills_suid() in a thread that serves a request.
 */
#ifndef XTSFS_FUSE_WIRE_H
#define XTSFS_FUSE_WIRE_H

#include "base/errors.h"

#include <stdbool.h>
#include <stddef.h>

struct fuse_session;

/**
 * Look at what comes and goes, and ask for FUSE_PARALLEL_DIROPS and FUSE_HANDLE_KILLPRIV_V2 where the kernel offers
 * them. The first: lookups and listings of one directory do not wait for each other. The second: setuid and setgid
 * bits are taken away on write, truncate and chown here (suid.c). The kernel then remembers of each file that it has
 * no capabilities; else it asks for them, and waits, at every write. After fuse_session_mount().
 */
xtsfs_must_check int xtsfs_wire_attach(struct fuse_session *se);
/** Of the WRITE that this thread serves: its caller may not write and leave setuid and setgid bits. */
bool xtsfs_wire_kills_suid(void);
/** Before the first request: the kernel is to keep nothing, but may map files that it does not cache. */
void xtsfs_wire_share(bool shared);

/** Serve a request that was read before, by this thread. */
void xtsfs_wire_serve(struct fuse_session *se, void *data, size_t bytes);

#endif
