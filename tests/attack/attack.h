/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scripted attacker on a volume in memory: it changes what is stored in every way that docs/threat-model.md names,
 * and judges what the core then gives out.
 *
 * An *attack* is a kind of change; its row in attacks[] (attacks.c) says what it may bring about, and what it must
 * bring about at least once: so one that the page calls possible is shown to be possible. A *mutation* is one change of
 * a kind. Everything that can be read is compared with what was there before, object by object and sector by sector.
 */
#ifndef XTSFS_ATTACK_H
#define XTSFS_ATTACK_H

#include "core-fixture.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What became of an object. One bit each, so that several objects, and several sectors, can be summed up. */
enum outcome {
	SAME = 1U << 0,	    /* nothing is different */
	REFUSED = 1U << 1,  /* an error that says so: EIO, EUCLEAN, or EPROTO */
	PARTLY = 1U << 2,   /* sectors are EIO, the others are the same */
	HIDDEN = 1U << 3,   /* there is no such name */
	UNLISTED = 1U << 4, /* to be had by its name, not listed */
	OLDER = 1U << 5,    /* exactly what it was at an earlier time, as a whole or in a sector */
	OTHERS = 1U << 6,   /* exactly what another object of the volume is */
	ZEROS = 1U << 7,    /* sectors of zeros where there was something */
	EMPTY = 1U << 8,    /* a file of no bytes */
	LENGTH = 1U << 9,   /* shorter or longer; what is there of it is the same, or zeros */
	OUTSIDE = 1U << 10, /* mode, owner, type, links: what is not encrypted */
	GARBLED = 1U << 11, /* noise in whole 16-byte blocks: integrity none only */
	FORGED = 1U << 12,  /* anything else */
};
#define OUTCOMES 13U
#define DETECTED (REFUSED | PARTLY | HIDDEN | UNLISTED)

struct attack {
	const char *name;
	unsigned may, must;	      /* with integrity on; SAME may always be */
	unsigned may_none, must_none; /* with integrity none */
};
extern const struct attack attacks[];
extern const unsigned attack_count;

/* ---- what there is ---- */
#define ATTRS_MAX 4U
struct object {
	char path[600];
	char backing[600];
	struct stat st;
	int error; /* of looking it up or opening it; 0 */
	bool listed;
	uint8_t *data; /* of a file */
	uint64_t bytes;
	bool *bad; /* for each sector */
	char *target;
	struct {
		char name[256];
		uint8_t value[300];
		ssize_t bytes; /* or the error */
		bool listed;
	} attr[ATTRS_MAX];
	unsigned attrs;
};

#define OBJECTS_MAX 64U
struct snapshot {
	struct object object[OBJECTS_MAX];
	unsigned count;
};

enum state { OLDEST, CURRENT, CRASHED, STATES };

/* A volume at three times: some files changed between the first two; at the last a writer was at it. */
struct specimen {
	struct core core;
	struct xtsfs_store *store[STATES];
	struct snapshot *truth[STATES];
	bool none; /* integrity */
};
void specimen_make(struct specimen *specimen, enum xtsfs_integrity integrity);
void specimen_free(struct specimen *specimen);
const struct object *specimen_object(const struct specimen *specimen, const char *path);

/* ---- reading it ---- */
/** Open @store read-only. 0 or -errno. */
int specimen_try_open(struct specimen *specimen, struct xtsfs_store *store);
/** All that is in the open volume; of the objects of @known (may be NULL) what their names lead to. */
struct snapshot *snapshot_take(struct core *core, const struct snapshot *known);
struct snapshot *snapshot_free(struct snapshot *snapshot);
/** One object by its path: everything but its place in listings. @known: what attributes it had; may be NULL. */
void object_look(struct core *core, const char *path, const struct object *known, struct object *ret_object);
void object_done(struct object *object);
/** The sum of what became of the volume's objects; names the worst in @ret_worst. */
unsigned judge(const struct specimen *specimen, const struct snapshot *truth, const struct snapshot *got,
	       char *ret_worst, size_t room);
unsigned judge_object(const struct specimen *specimen, const struct object *truth, const struct object *got);

/* ---- counting ---- */
struct options {
	bool full, verbose, log;
	unsigned stride; /* of bits in large files */
	const char *only;
};
extern struct options options;
/** Note a mutation of a kind and what it brought about. Prints and remembers one that must not be. */
void count_mutation(const struct specimen *specimen, const char *attack, unsigned outcome, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* ---- mutating ---- */
/** Where a backing path leads: a handle of its directory, to be closed with place_put(), and its last component. */
struct place {
	int dir;
	const char *name;
};
struct place place_get(struct xtsfs_store *store, const char *backing);
void place_put(struct xtsfs_store *store, struct place place);
uint8_t *backing_read(struct xtsfs_store *store, const char *backing, size_t *ret_bytes);
void backing_write(struct xtsfs_store *store, const char *backing, const void *data, size_t bytes, uint64_t offset);
void backing_truncate(struct xtsfs_store *store, const char *backing, uint64_t bytes);
void backing_rename(struct xtsfs_store *store, const char *from, const char *to, unsigned flags);
void backing_remove(struct xtsfs_store *store, const char *backing);
/** A file with that content instead of what may be there. */
void backing_put(struct xtsfs_store *store, const char *backing, const void *data, size_t bytes);

/** A fresh copy of a state, to be mutated; judged and freed by mutation_end(). */
struct xtsfs_store *mutation_begin(const struct specimen *specimen, enum state state);
void mutation_end(struct specimen *specimen, enum state state, const char *attack, struct xtsfs_store *store,
		  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* ---- the attacks ---- */
void attack_bits(struct specimen *specimen);	      /* bits.c */
void attack_bits_checked(struct specimen *specimen);  /* bits.c */
void attack_bits_of_names(struct specimen *specimen); /* bits-names.c */
void attack_blocks(struct specimen *specimen);	      /* blocks.c */
void attack_lengths(struct specimen *specimen);	      /* blocks.c */
void attack_entries(struct specimen *specimen);	      /* entries.c */
void attack_conf(struct specimen *specimen);	      /* conf.c */
void attack_writes(struct specimen *specimen);	      /* writes.c */

#endif
