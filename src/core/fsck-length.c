/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file's stored length and its header say of each other, and what is to be done (spec 9.4, 9.5, 9.7).
 *
 * Nothing is written here; the result is a plan, and the size by which the sectors are verified.
 *
 * After a crash (an authentic unclean marker) the stored length holds, and for INLINE the header: both are settled
 * without loss. Without a marker a CLEAN file that has another length was changed from outside:
 *
 * - longer: its header is authentic, so what was added is not the file's, and is cut; unless it verifies, which it can
 *   only after a crash whose marker was removed by hand: then a person has to choose.
 * - shorter: something is lost. --salvage takes what is left, --zero makes it as long as it was. Otherwise the whole
 *   sectors that are left are verified, and nothing is changed.
 */
#include "core/fsck-file.h"

#include <string.h>

static uint64_t canonical(const struct xtsfs_fsck_file *file, uint64_t plain_bytes)
{
	return xtsfs_plain_to_cipher_bytes(file->fsck->volume->layout, plain_bytes);
}

static void plan(struct xtsfs_fsck_file *file, enum xtsfs_fsck_severity severity, const char *code, const char *detail,
		 const char *action)
{
	file->plan.severity = severity;
	file->plan.code = code;
	file->plan.detail = detail;
	file->plan.action = action;
}

static void cut_to(struct xtsfs_fsck_file *file, uint64_t cipher_bytes)
{
	file->plan.cut = cipher_bytes != (uint64_t)file->st.st_size;
	file->plan.cut_to = cipher_bytes;
}

/* The size becomes @plain_bytes, in length and header. */
static void take_size(struct xtsfs_fsck_file *file, uint64_t plain_bytes)
{
	file->state.plain_bytes = plain_bytes;
	cut_to(file, canonical(file, plain_bytes));
	file->plan.set_header = true;
}

static void plan_inline(struct xtsfs_fsck_file *file)
{
	bool unclean = file->fsck->volume->unclean;

	file->state.plain_bytes = file->state.header.plain_bytes;
	cut_to(file, xtsfs_inline_cipher_bytes(file->state.plain_bytes));
	if (file->plan.cut)
		plan(file, unclean ? XTSFS_FSCK_DEBRIS : XTSFS_FSCK_ERROR,
		     unclean ? "inline-interrupted" : "length-changed",
		     unclean ? "a change between inline and sectors was interrupted"
			     : "its length was changed from outside; its content is complete",
		     "its length set to what its header says");
}

/* The tail rule: was the file being extended to a last sector of 4081 bytes or more? Sets the size if so. */
static int tail_rule(struct xtsfs_fsck_file *file)
{
	uint64_t plain = file->state.plain_bytes, last = plain / XTSFS_BLOCK_BYTES - 1, match = 0;
	unsigned matches = 0;
	int r = xtsfs_fsck_sector(file, plain, last);

	if (r < 0 || r == XTSFS_IS_NOW || r == XTSFS_IS_BEFORE || r == XTSFS_IS_HOLE)
		return r < 0 ? r : 0;
	for (uint64_t t = XTSFS_SHORT_TAIL_MAX + 1; t < XTSFS_BLOCK_BYTES; t++) {
		r = xtsfs_fsck_sector(file, last * XTSFS_BLOCK_BYTES + t, last);
		if (r < 0)
			return r;
		if (r == XTSFS_IS_NOW || r == XTSFS_IS_BEFORE) {
			matches++;
			match = t;
		}
	}
	if (matches == 1)
		file->state.plain_bytes = last * XTSFS_BLOCK_BYTES + match;
	return 0;
}

static int plan_longer(struct xtsfs_fsck_file *file, uint64_t stored_plain_bytes)
{
	uint64_t size = file->state.header.plain_bytes;
	enum xtsfs_fsck_damage damage = file->fsck->options.damage;
	bool verifies = false;

	if (xtsfs_has_tags(&file->io) && xtsfs_sector_count(stored_plain_bytes) > xtsfs_sector_count(size)) {
		int r = xtsfs_fsck_sector(file, stored_plain_bytes, xtsfs_sector_count(stored_plain_bytes) - 1);

		if (r < 0)
			return r;
		verifies = r == XTSFS_IS_NOW || r == XTSFS_IS_BEFORE;
	}
	file->state.plain_bytes = size;
	if (!verifies || damage == XTSFS_FSCK_DAMAGE_ZERO) {
		cut_to(file, canonical(file, size));
		plan(file, XTSFS_FSCK_ERROR, "length-changed", "it was made longer from outside",
		     "cut to the size that its header says");
		return 0;
	}
	plan(file, XTSFS_FSCK_ERROR, "length-changed",
	     "it is longer than its header says, and what is added is authentic",
	     damage == XTSFS_FSCK_DAMAGE_SALVAGE ? "the longer size accepted"
						 : "--salvage would accept the longer size, --zero cut it off");
	if (damage == XTSFS_FSCK_DAMAGE_SALVAGE)
		take_size(file, stored_plain_bytes);
	else
		file->plan.leave = true;
	return 0;
}

static void plan_shorter(struct xtsfs_fsck_file *file, uint64_t stored_plain_bytes)
{
	static const char detail[] = "it was cut from outside";

	switch (file->fsck->options.damage) {
	case XTSFS_FSCK_DAMAGE_REPORT:
		file->state.plain_bytes = stored_plain_bytes - stored_plain_bytes % XTSFS_BLOCK_BYTES;
		file->plan.leave = true;
		plan(file, XTSFS_FSCK_ERROR, "length-changed", detail,
		     "--salvage would accept what is left, --zero make it as long as it was, with zeros");
		return;
	case XTSFS_FSCK_DAMAGE_SALVAGE:
		take_size(file, stored_plain_bytes);
		plan(file, XTSFS_FSCK_ERROR, "length-changed", detail, "what is left accepted");
		break;
	case XTSFS_FSCK_DAMAGE_ZERO:
		file->state.plain_bytes = file->state.header.plain_bytes;
		cut_to(file, canonical(file, file->state.plain_bytes));
		plan(file, XTSFS_FSCK_ERROR, "length-changed", detail, "made as long as it was, with zeros");
		break;
	}
	file->content_changed = true;
}

/* A CLEAN file whose size is not what its length says. */
static int plan_changed(struct xtsfs_fsck_file *file, uint64_t stored_plain_bytes)
{
	if (file->fsck->volume->unclean) {
		take_size(file, stored_plain_bytes);
		plan(file, XTSFS_FSCK_DEBRIS, "size-stale", "a change of its size was interrupted; its length holds",
		     "size and header set to what its length says");
		return 0;
	}
	if ((uint64_t)file->st.st_size > canonical(file, file->state.header.plain_bytes))
		return plan_longer(file, stored_plain_bytes);
	plan_shorter(file, stored_plain_bytes);
	return 0;
}

int xtsfs_fsck_plan(struct xtsfs_fsck_file *file)
{
	struct xtsfs_volume *volume = file->fsck->volume;
	uint64_t stored = (uint64_t)file->st.st_size;
	uint64_t plain = stored == XTSFS_BLOCK_BYTES ? 0 : xtsfs_cipher_to_plain_bytes(volume->layout, stored);
	bool clean = file->state.header.flags & XTSFS_FILE_CLEAN, is_canonical = canonical(file, plain) == stored;
	int r = 0;

	if (xtsfs_file_is_inline(&file->state)) {
		plan_inline(file);
		return 0;
	}
	file->state.plain_bytes = plain;
	if (file->header_accepted) {
		take_size(file, plain);
		plan(file, XTSFS_FSCK_ERROR, "header-bad-tag", "its header was not authentic, but its file id is right",
		     "the header accepted, with the size that its length says");
		file->content_changed = true;
		return 0;
	}
	if (clean && plain != file->state.header.plain_bytes)
		return plan_changed(file, plain);
	if (clean) {
		cut_to(file, canonical(file, plain));
		if (file->plan.cut)
			plan(file, volume->unclean ? XTSFS_FSCK_DEBRIS : XTSFS_FSCK_ERROR, "length-odd",
			     "its length ends where no sector does", "cut behind its last sector");
		return 0;
	}
	if (volume->unclean && is_canonical && plain > 0 && plain % XTSFS_BLOCK_BYTES == 0 && xtsfs_has_tags(&file->io))
		r = tail_rule(file);
	if (r < 0)
		return r;
	take_size(file, file->state.plain_bytes);
	plan(file, XTSFS_FSCK_DEBRIS, "not-clean", "its last use did not come to its end",
	     "size and header set to what its length says");
	return 0;
}
