/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a header backup: xtsfs.conf and the root's dirid in one JSON object.
 *
 * Layer:   tools.
 * Nothing in it is more secret than xtsfs.conf itself: it opens with the passphrases of its slots.
 *
 *   {"xtsfs_header_backup": 1, "uuid": "…", "created": "…", "conf": "exact text of xtsfs.conf",
 *    "root_dirid": "base64url of the 48 bytes of xtsfs.dirid, or null if there was none"}
 */
#ifndef XTSFS_TOOLS_HEADER_FILE_H
#define XTSFS_TOOLS_HEADER_FILE_H

#include "cli-volume.h"

struct header_file {
	struct xtsfs_conf *conf; /* its text is the exact one */
	char created[32];
	bool has_dirid;
	struct xtsfs_disk_dirid dirid;
};

/** Write to @path, which must not exist; mode 0600, durable, or not there. An exit code. */
xtsfs_must_check int header_file_write(const char *path, const struct xtsfs_conf *conf,
				       const struct xtsfs_disk_dirid *dirid);
/** Read and check what can be checked without a key. An exit code; header_file_done() is due in any case. */
xtsfs_must_check int header_file_read(const char *path, struct header_file *ret_file);
void header_file_done(struct header_file *file);

#endif
