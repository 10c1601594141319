/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the target `volume` knows about the content that a volume may show: the objects that were ever made, what each
 * holds, and everything that was ever written to it.
 *
 * How much is claimed depends on what the attacker has done (the level):
 *   exact   nothing: every result and every byte is the model's.
 *   edited  the volume was closed cleanly, and then blocks were changed, moved, cut, names moved, with nothing from
 *           an earlier time: what is read of a file is, sector by sector, exactly what one object holds, or an error.
 *   mixed   anything, earlier states and changes while it is mounted too: each byte that is read of a file is zero, or
 * was written at that place of one and the same object at some time. lost    fsck was told to accept what is there: no
 * claim but that nothing breaks. With integrity none the claims about content end with `exact`.
 */
#ifndef XTSFS_TEST_FUZZ_MODEL_H
#define XTSFS_TEST_FUZZ_MODEL_H

#include "volume.h"

#define MODEL_OBJECTS 24U
#define MODEL_NAMES   6U
#define MODEL_WRITES  96U
#define MODEL_MOST    (126U * CORE_B) /* plain bytes of a file */

enum model_level { MODEL_EXACT, MODEL_EDITED, MODEL_MIXED, MODEL_LOST };

struct model_write {
	uint64_t offset, bytes;
	uint8_t seed;
};

struct model_object {
	bool is_link; /* a symlink; else a regular file */
	uint8_t target;
	uint64_t bytes;
	uint8_t *data;
	bool unsure; /* an operation on it failed half way */
	struct model_write writes[MODEL_WRITES];
	unsigned write_count;
};

struct model {
	enum model_level level;
	bool with_tags;	     /* integrity is on */
	bool has_dir;	     /* the directory "d" */
	int at[MODEL_NAMES]; /* the object of each name, or -1 */
	unsigned object_count;
	struct model_object objects[MODEL_OBJECTS];
	/* Writes since the model no longer knows which object a name leads to: they may be any's. */
	struct model_write late[MODEL_WRITES];
	unsigned late_count;
	bool forgot; /* more was written than is kept */
};

extern const char *const model_names[MODEL_NAMES];
/** May that be a name in a listing, somewhere? */
bool model_knows_name(const char *name);
/** The target of symlinks number @which. */
void model_target(uint8_t which, char ret_target[XTSFS_SYMLINK_MAX + 1]);
bool model_knows_target(const char *target);

void model_done(struct model *model);
/** A new object, or -1 if there are enough. */
int model_new(struct model *model, bool is_link);
/** What object @object's writer number @seed puts at an offset. Never zero. */
void model_pattern(uint8_t seed, uint64_t offset, uint8_t *ret_data, size_t bytes);
/** @object −1: of which is not known. */
void model_note_write(struct model *model, int object, uint8_t seed, uint64_t offset, uint64_t bytes);
/** The same, and it succeeded. */
void model_apply_write(struct model *model, int object, uint8_t seed, uint64_t offset, uint64_t bytes);
void model_resize(struct model *model, int object, uint64_t bytes);
void model_zero(struct model *model, int object, uint64_t offset, uint64_t bytes);
void model_raise(struct model *model, enum model_level level);

/* What was read of a file: sectors, each there or an error. */
struct model_seen {
	uint64_t bytes;
	uint8_t *data;	/* MODEL_MOST + CORE_B */
	int8_t *failed; /* for each sector */
};
/** Ends the process if that cannot be. @object: whose it must be while the level is exact. */
void model_check(const struct model *model, int object, const struct model_seen *seen);

#endif
