/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the control socket of a mount is, for the daemon that serves it and for who asks (docs/control.md).
 *
 * Layer:   base.
 * Threads: any; no state.
 */
#ifndef XTSFS_BASE_CONTROL_H
#define XTSFS_BASE_CONTROL_H

#include "base/errors.h"

#include <stddef.h>
#include <sys/types.h>

#define XTSFS_CONTROL_REQUEST_BYTES 256	  /* of a request, at most */
#define XTSFS_CONTROL_REPLY_BYTES   16384 /* of a reply */
#define XTSFS_CONTROL_PIECE_BYTES   32768 /* of a message with a part of a secret */
#define XTSFS_CONTROL_PATH_BYTES    320

/* A socket that was made. */
struct xtsfs_control_name {
	char directory[XTSFS_CONTROL_PATH_BYTES]; /* empty: none */
	dev_t device;				  /* of the mount: the name */
	ino_t ino;
};

/**
 * The socket of the mount with this device, of a daemon of the user @uid (the caller), listening; what daemons that are
 * no more have left in the directory is removed. The descriptor, or -errno of the last directory that was tried.
 */
xtsfs_must_check int xtsfs_control_listen(uid_t uid, dev_t device, struct xtsfs_control_name *ret_name);
/** Remove it, unless it is another one by now. While it is still listening, so that its inode number is its own. */
void xtsfs_control_remove(const struct xtsfs_control_name *name);
/** The user and process at the other end. 0 or -errno. */
xtsfs_must_check int xtsfs_control_peer(int fd, uid_t *ret_uid, pid_t *ret_pid);
#define XTSFS_CONTROL_PATIENCE_S 5
/** A connection, which blocks, to the daemon of the user @uid that serves that device. -ENOENT: there is none; -EPERM:
 * whoever listens there is another user, and is not to be told anything; -EAGAIN: it does not take connections. Sending
 * waits for XTSFS_CONTROL_PATIENCE_S at most, receiving for as long as it takes. */
xtsfs_must_check int xtsfs_control_connect(uid_t uid, dev_t device);

#endif
