/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From where the keys come from to the volume key: reads the sources, asks, tries the keyslots.
 *
 * Layer:   core.
 * Threads: as base/passphrase.h: before other threads run.
 * Secrets: in xtsfs_secret only; the texts for people have none.
 */
#ifndef XTSFS_CORE_UNLOCK_H
#define XTSFS_CORE_UNLOCK_H

#include "base/passphrase.h"
#include "core/conf.h"

struct xtsfs_unlock_report {
	bool no_slots;	   /* with -ENOENT: there are none at all */
	bool told;	   /* by tell() already: nothing is to be added */
	bool of_source;	   /* no secret could be had; text is a sentence about that */
	char with[64];	   /* "passphrase": what was tried, for "no keyslot opens with this ..." */
	char text[640];	   /* of_source: the sentence; else, behind what the program says, a hint or "" */
	uint32_t most_kib; /* what Argon2id would need for the slots that were tried */
};

struct xtsfs_unlock_way {
	const struct xtsfs_source *source;
	int slot;	    /* -1: any */
	const char *prompt; /* without a colon */
	/* Told of each answer that failed and is not the last; @r: as xtsfs_unlock_volume(). NULL is fine.
	 */
	void (*tell)(void *context, int r, const struct xtsfs_unlock_report *report);
	/* Told what the user is to do now: to touch an authenticator. NULL: that is logged. */
	void (*prompt_touch)(void *context, const char *text);
	void *context;
	struct xtsfs_secret **ret_slot_key; /* NULL, or where the key of the slot that opened goes */
};

/**
 * Read what the source gives, once, or ask, three times at most; try the slots that fit. @ret_report
 * is filled on failure.
 * Returns 0; with of_source what xtsfs_source_read() gives; -ENOENT: no slot of the number @way->slot, or, with
 * no_slots, none at all; else as xtsfs_conf_unlock().
 */
xtsfs_must_check int xtsfs_unlock_volume(const struct xtsfs_conf *conf, const struct xtsfs_unlock_way *way,
					 struct xtsfs_secret **ret_volume_key, int *ret_slot,
					 struct xtsfs_unlock_report *ret_report);

#endif
