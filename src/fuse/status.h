/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a mount is, and what it has done, as lines for the control socket (docs/control.md).
 *
 * Layer:   fuse.
 * Threads: any.
 */
#ifndef XTSFS_FUSE_STATUS_H
#define XTSFS_FUSE_STATUS_H

#include "core/volume.h"

#include <stdio.h>
#include <time.h>

/* What does not change while the volume is mounted. */
struct xtsfs_mount_facts {
	const char *engine;
	unsigned threads;
	int slot; /* that opened the volume */
	char slot_name[XTSFS_SLOT_NAME_MAX + 1];
	bool read_only;
	time_t since_s;		 /* CLOCK_REALTIME: mounted */
	time_t since_boottime_s; /* CLOCK_BOOTTIME */
};

/** It is this slot that opened the volume. */
void xtsfs_mount_facts_slot(struct xtsfs_mount_facts *facts, const struct xtsfs_slot *slot);
/** Lines "name value" with a line feed each. */
void xtsfs_status_print(FILE *out, const struct xtsfs_mount_facts *facts, struct xtsfs_volume *volume);

#endif
