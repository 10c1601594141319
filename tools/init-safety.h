/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes a new volume safe against a lost file and a forgotten passphrase.
 *
 * Layer:   tools.
 */
#ifndef XTSFS_TOOLS_INIT_SAFETY_H
#define XTSFS_TOOLS_INIT_SAFETY_H

#include "cli-volume.h"

struct init_safety {
	const char *header_backup; /* a file to be made; NULL */
	bool recovery, json;
	struct xtsfs_secret *key_text; /* of the recovery key that was made */
};

/** Before anything is made: can the backup be written? An exit code. */
xtsfs_must_check int init_safety_check(const struct init_safety *safety);
/** A slot for the recovery key in a config that is not saved yet. An exit code. */
xtsfs_must_check int init_safety_add_recovery(struct init_safety *safety, struct xtsfs_conf *conf,
					      const struct xtsfs_secret *volume_key);
/** Print the recovery key; in JSON as the last member of @object, which is released. An exit code. */
xtsfs_must_check int init_safety_show(const struct init_safety *safety, json_object *object);
/** Write the header backup of what was made in @dir. An exit code. */
xtsfs_must_check int init_safety_backup(const char *dir, struct xtsfs_store *store, const char *path);
/** At a terminal: explain, and ask for what was not asked for by options. An exit code. */
xtsfs_must_check int init_safety_offer(struct init_safety *safety, const char *dir, struct xtsfs_store *store,
				       struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key);

#endif
