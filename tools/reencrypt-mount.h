/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl reencrypt: what its two files share.
 *
 * Layer:   tools.
 */
#ifndef XTSFS_TOOLS_REENCRYPT_MOUNT_H
#define XTSFS_TOOLS_REENCRYPT_MOUNT_H

#include "cli-volume.h"

#include <signal.h>

struct reencrypt_request {
	bool drop_slots, quiet, progress, no_progress;
	uint64_t rate; /* bytes a second; 0: as fast as it goes */
	struct cli_unlock unlock;
};

/** The signal that asked to stop, else 0. */
extern volatile sig_atomic_t reencrypt_cancelled;
void reencrypt_catch_signals(void);
bool reencrypt_shows_progress(const struct reencrypt_request *request);

/** Is @path a mount point of xtsfs? Then its daemon does it, and is watched to the end: true, with an exit code. */
xtsfs_must_check bool reencrypt_mounted(const char *path, const struct reencrypt_request *request, int *ret_exit);

#endif
