/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The expressions of xtsfsctl find: those of find(1) that people use most, with the same meaning.
 *
 * Layer:   tools. Pure, but for -newer, whose time the caller looks up.
 */
#ifndef XTSFS_TOOLS_FIND_EXPRESSION_H
#define XTSFS_TOOLS_FIND_EXPRESSION_H

#include <stdbool.h>
#include <sys/stat.h>
#include <time.h>

struct find_expression;

/* What an expression is asked about. */
struct find_subject {
	const char *path, *name;
	const struct stat *st;
	bool is_empty; /* asked for with find_wants_empty() */
};

enum find_answer { FIND_PRINT = 1, FIND_PRINT0 = 2, FIND_PRUNE = 4 };

struct find_context {
	/* The time of change of a path of the volume, for -newer; 0 or -errno. */
	int (*mtime_of)(void *data, const char *path, struct timespec *ret_time);
	void *data;
	struct timespec now;
};

/** Does an argument begin an expression? */
bool find_is_word(const char *argument);
/**
 * Parse @words up to a NULL; none are -print. *@ret_problem is a sentence fragment about the word *@ret_word if NULL is
 * returned, "out of memory" too.
 */
struct find_expression *find_parse(char **words, const struct find_context *context, const char **ret_problem,
				   const char **ret_word);
void find_free(struct find_expression *expression);
/** A sum of enum find_answer: what is to be done about the subject. */
unsigned find_evaluate(const struct find_expression *expression, const struct find_subject *subject);
/** Depths that -mindepth and -maxdepth allow. */
bool find_depth_shown(const struct find_expression *expression, unsigned depth);
bool find_depth_entered(const struct find_expression *expression, unsigned depth);
/** Is the answer to -empty needed? */
bool find_wants_empty(const struct find_expression *expression);

#endif
