/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume opened for the verbs that look into it without a mount.
 *
 * Layer:   tools.
 */
#ifndef XTSFS_TOOLS_CLI_FS_H
#define XTSFS_TOOLS_CLI_FS_H

#include "cli-volume.h"

#include "core/fs.h"

struct cli_fs {
	struct cli_volume volume;
	struct xtsfs_volume *fs;
};
#define CLI_FS_NONE ((struct cli_fs){.volume = CLI_VOLUME_NONE})

/** Unlock and open read-only. @peek: beside a mount too. An exit code; cli_fs_done() is due in any case. */
xtsfs_must_check int cli_fs_open(const char *dir, const struct cli_unlock *unlock, bool peek, bool salvage,
				 struct cli_fs *ret_fs);
void cli_fs_done(struct cli_fs *fs);

#endif
