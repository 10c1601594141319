/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of re-encryption: a volume with something of everything, what it shows, changes of it, and the command in
 * short.
 */
#ifndef XTSFS_REENCRYPT_FIXTURE_H
#define XTSFS_REENCRYPT_FIXTURE_H

#include "unit.h"

#include "core-fixture.h"

#include "core/reencrypt.h"

#define LONG_A                                                                                                 \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_B "b" LONG_A
#define GROUP  (124ULL * CORE_B)
#define BIG    (4 * GROUP + 5000)
#define ROOM   16384U

struct tree {
	char text[ROOM]; /* one line for each object, sorted */
};

struct expected {
	const struct core *like;
	struct tree before, after; /* the changes */
	const char *call;
	unsigned long number;
};

struct rig {
	struct core core; /* as it was made */
	struct xtsfs_store *base, *recorded;
	struct expected expected;
};

extern size_t prepared; /* calls of a recording that only make what is looked at */

/** What the volume shows. @torn: files that are refused with EIO are counted, and not a failure. */
struct tree tree_of(struct core *core, bool times, unsigned *torn);
void expect_tree(struct core *core, const struct tree *expected, const char *when);

/** On the volume that is open. */
void write_pattern(struct core *core, const char *path, unsigned seed, size_t bytes, uint64_t offset);
void make(struct core *core, const char *path, unsigned seed, size_t bytes);
/** As somebody on the mount might, meanwhile. */
void change(struct core *core);

/** The same volume as it is in another store, opened by the same keyfile; closed, and to be let go with core_out(). */
struct core core_in(const struct core *like, struct xtsfs_store *store);
void core_out(struct core *core);
int begin(struct core *core);
/** From wherever it is to its end. The volume is closed before and afterwards. */
int complete(struct core *core);
void say_problem(void *data, const char *path, const char *what, int error);
struct xtsfs_store *clone_of(const struct xtsfs_store *store);

/** A volume as it was before, and the recording of how @doing (rig_begin(): complete()) re-encrypted it. */
void rig_begin_with(struct rig *rig, enum xtsfs_integrity integrity, int (*doing)(struct core *core));
void rig_begin(struct rig *rig, enum xtsfs_integrity integrity);
void rig_end(struct rig *rig);

#endif
