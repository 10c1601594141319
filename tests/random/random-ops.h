/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on a few files, and the same on plain arrays in memory: what should be there.
 */
#ifndef XTSFS_RANDOM_OPS_H
#define XTSFS_RANDOM_OPS_H

#include "core-fixture.h"

#define MODEL_FILES 3U
#define MODEL_MAX   (3U * 124U * CORE_B + 20000U) /* three groups and some */

enum op_kind {
	OP_WRITE,
	OP_APPEND,
	OP_READ,
	OP_TRUNCATE,
	OP_PUNCH,
	OP_ZERO,
	OP_ZERO_KEEP,
	OP_ALLOCATE,
	OP_ALLOCATE_KEEP,
	OP_SEEK,
	OP_FSYNC,
	OP_OPEN,     /* or release */
	OP_REMOVE,   /* unlink and create anew */
	OP_EXCHANGE, /* of names with the next file */
	OP_CHECK,    /* everything */
	OP_REMOUNT,
	OP_KILL, /* go on with what is stored now, as after a kill */
	OP__COUNT
};

struct op {
	enum op_kind kind;
	unsigned file;
	uint64_t offset, bytes, seed;
};

struct model_file {
	uint8_t *data;
	uint64_t bytes;
	struct xtsfs_node *node; /* while it is open */
	bool for_write;		 /* how it was opened */
};

struct run {
	struct core core;
	struct xtsfs_store *owned;  /* memory store, or NULL */
	struct xtsfs_store *faulty; /* around it, or NULL */
	struct model_file files[MODEL_FILES];
	int error; /* what the last operation of the core gave, or a count that was too small */
	bool may_fail_to_close;
	bool may_lose; /* what waits when the volume is closed: a remount does not compare */
	char why[256]; /* of a failure */
};

/** @posix_path NULL: in memory. */
void run_begin(struct run *run, enum xtsfs_integrity integrity, unsigned content_keys, const char *posix_path);
/** Put a faulty store around the one in memory. */
void run_make_faulty(struct run *run);
/** 0, or -1 with run->why. */
int run_op(struct run *run, const struct op *op);
/** The name of a file, in the root. */
const char *run_path(unsigned file);
/** Closes the volume, opens it, checks everything and closes it again. 0 or -1. */
int run_end(struct run *run);
void run_free(struct run *run);
/**
 * Go on with an open volume in memory: the model is what is there; a file that cannot be read is removed and made anew.
 * 0 or -1. Not to be freed but given back, in either case.
 */
int run_adopt(struct run *run, const struct core *core);
/** The volume as it is open now, or NULL. */
struct xtsfs_volume *run_give_back(struct run *run);

/** The next random operation for the state of the run. @kills: OP_KILL may come. */
struct op op_random(uint64_t *rng, const struct run *run, bool kills);
void op_print(const struct op *op);

#endif
