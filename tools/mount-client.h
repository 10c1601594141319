/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running mounts, and their daemons at the other end of the control socket (docs/control.md).
 *
 * Layer:   tools.
 */
#ifndef XTSFS_TOOLS_MOUNT_CLIENT_H
#define XTSFS_TOOLS_MOUNT_CLIENT_H

#include "cli.h"

#include "base/secret.h"

#include <sys/types.h>

struct cli_mount {
	char *mountpoint, *source;
	dev_t device;
	uid_t owner; /* of the daemon */
};

struct cli_mounts {
	struct cli_mount *list;
	size_t count;
};

/** All mounts of xtsfs that are seen here, or the one at @mountpoint. An exit code; cli_mounts_done() in any case. */
xtsfs_must_check int cli_mounts_find(const char *mountpoint, struct cli_mounts *ret_mounts);
void cli_mounts_done(struct cli_mounts *mounts);

/* What a daemon has answered: lines "name value". */
struct cli_reply {
	char *text;
	int code;	   /* an exit code; 0: it did what was asked */
	const char *error; /* else a sentence, in @text */
	const char *lines; /* behind the first */
};

/**
 * Ask. @secret follows the request if it is not NULL. @reply->text is the caller's to free. 0, or -errno if the daemon
 * could not be asked.
 */
xtsfs_must_check int cli_mount_ask(const struct cli_mount *mount, const char *request,
				   const struct xtsfs_secret *secret, struct cli_reply *ret_reply);
/** Why it could not be asked; an exit code. */
int cli_mount_fail(const struct cli_mount *mount, int error);
/** The next line of a reply, which is changed: its name and value. false at the end. */
bool cli_reply_next(char **position, char **ret_name, char **ret_value);

#endif
