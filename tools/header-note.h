/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a header backup, and what a volume remembers of the last one.
 *
 * Layer:   tools.
 */
#ifndef XTSFS_TOOLS_HEADER_NOTE_H
#define XTSFS_TOOLS_HEADER_NOTE_H

#include "cli-volume.h"

/** The root's dirid in place: 0, -ENOENT, -EUCLEAN (another length or type), or an error. */
xtsfs_must_check int header_read_dirid(struct xtsfs_store *store, struct xtsfs_disk_dirid *ret_dirid);

/** Write a header backup of the volume to @path, which must not exist, and a note of it into the volume. An exit code:
 * that the note cannot be written is said, and no failure. */
xtsfs_must_check int header_backup(struct cli_volume *volume, const char *path);

struct header_note {
	bool known;
	bool current; /* xtsfs.conf is as it was then */
	char created[32];
};
/** What the note says; nothing vouches for it. */
void header_note_read(struct xtsfs_store *store, const struct xtsfs_conf *conf, struct header_note *ret_note);

#endif
