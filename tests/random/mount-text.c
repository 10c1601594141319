/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations as lines of text: for people, and for --replay.
 */
#undef NDEBUG
#include <stdio.h>

#include "mount-random.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char *const kind_names[K__COUNT] = {
	"open",	    "close",	"write",       "read",	    "map",    "ftruncate", "truncate", "fallocate", "seek",
	"copy",	    "fsync",	"drop",	       "fstat",	    "stat",   "mkdir",	   "rmdir",    "unlink",    "rename",
	"link",	    "symlink",	"mkfifo",      "many",	    "fewer",  "list",	   "chmod",    "chown",	    "times",
	"setxattr", "getxattr", "removexattr", "listxattr", "shared", "remount",   "barrier",
};

static void print_path(FILE *out, const char *what, const uint8_t path[DEPTH])
{
	fprintf(out, " %s=/", what);
	for (unsigned i = 0; i < DEPTH && path[i] != NO_NAME; i++)
		fprintf(out, i ? "/%u" : "%u", path[i]);
}

void op_print(FILE *out, const struct op *op)
{
	fprintf(out, "%u %-11s", op->who, kind_names[op->kind]);
	if (op->kind <= K_FSTAT || op->kind == K_SHARED)
		fprintf(out, " slot=%u", op->slot);
	if (op->kind == K_COPY)
		fprintf(out, " from=%u", op->from);
	if (op->kind == K_OPEN || op->kind == K_TRUNCATE || (op->kind >= K_STAT && op->kind < K_SHARED))
		print_path(out, "a", op->a);
	if (op->kind == K_RENAME || op->kind == K_LINK)
		print_path(out, "b", op->b);
	fprintf(out, " offset=%" PRIu64 " bytes=%" PRIu64 " how=%" PRIu32 " seed=%" PRIu64 "\n", op->offset, op->bytes,
		op->how, op->seed);
}

static void parse_path(const char *text, uint8_t ret_path[DEPTH])
{
	memset(ret_path, NO_NAME, DEPTH);
	for (unsigned i = 0; i < DEPTH && *text == '/' && text[1]; i++) {
		char *end;

		ret_path[i] = (uint8_t)strtoul(text + 1, &end, 10);
		text = end;
	}
}

bool op_parse(const char *line, struct op *ret_op)
{
	char text[400], *word, *save, *end;
	struct op op = {0};

	snprintf(text, sizeof(text), "%s", line);
	memset(op.a, NO_NAME, DEPTH);
	memset(op.b, NO_NAME, DEPTH);
	word = strtok_r(text, " \n", &save);
	if (!word || *word == '#')
		return false;
	op.who = (uint8_t)strtoul(word, &end, 10);
	word = strtok_r(NULL, " \n", &save);
	while (word && op.kind < K__COUNT && strcmp(kind_names[op.kind], word) != 0)
		op.kind++;
	if (*end || !word || op.kind == K__COUNT || op.who >= PROCESSES)
		return false;
	while ((word = strtok_r(NULL, " \n", &save))) {
		char *value = strchr(word, '=');

		if (!value)
			return false;
		*value++ = 0;
		if (strcmp(word, "a") == 0)
			parse_path(value, op.a);
		else if (strcmp(word, "b") == 0)
			parse_path(value, op.b);
		else if (strcmp(word, "slot") == 0)
			op.slot = (uint8_t)(strtoul(value, NULL, 10) % SLOTS);
		else if (strcmp(word, "from") == 0)
			op.from = (uint8_t)(strtoul(value, NULL, 10) % SLOTS);
		else if (strcmp(word, "offset") == 0)
			op.offset = strtoull(value, NULL, 10);
		else if (strcmp(word, "bytes") == 0)
			op.bytes = strtoull(value, NULL, 10);
		else if (strcmp(word, "how") == 0)
			op.how = (uint32_t)strtoul(value, NULL, 10);
		else if (strcmp(word, "seed") == 0)
			op.seed = strtoull(value, NULL, 10);
		else
			return false;
	}
	*ret_op = op;
	return true;
}
