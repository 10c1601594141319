/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kind of change of content and length, as short scripts: for being killed and for being failed at every call.
 */
#ifndef XTSFS_CORE_SCRIPTS_H
#define XTSFS_CORE_SCRIPTS_H

#include "random-ops.h"

#define SCRIPT_OPS 12U
#define GROUP	   (124ULL * CORE_B)

struct script {
	const char *what;
	size_t from, count; /* operations before @from only prepare */
	struct op ops[SCRIPT_OPS];
};
extern const struct script scripts[];
extern const size_t script_count;

/* How a script is played: each operation goes to @op, with its number; 0, or -1 with run->why. */
struct player {
	int (*op)(void *data, struct run *run, size_t number, const struct op *op);
	void (*describe)(const void *data, char *ret_text, size_t room);
	void *data;
};
/** On @run, which has begun. Fails the test, after printing the script. */
void script_play(const struct script *script, struct run *run, const struct player *player);

#endif
