/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The expressions of xtsfsctl find.
 *
 * A tree of tests, by recursive descent in the order of find(1): "!" binds closest, then "and" (also between two tests
 * with nothing in between), then "or". Sizes are rounded up to their unit and ages down to whole days or minutes before
 * they are compared, as find(1) does: -size -1M is what has 0 bytes.
 */
#include "find-expression.h"

#include "base/parse.h"

#include <fnmatch.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NESTING_MOST 256U

enum kind {
	AND,
	OR,
	NOT,
	NAME,
	INAME,
	PATH,
	TYPE,
	SIZE,
	MTIME,
	MMIN,
	NEWER,
	UID,
	GID,
	LINKS,
	EMPTY,
	TRUE,
	PRUNE,
	PRINT,
	PRINT0,
	MINDEPTH,
	MAXDEPTH,
};

struct test {
	enum kind kind;
	struct test *left, *right;
	const char *text;
	int sign; /* of a number: -1 less, 0 equal, 1 more */
	uint64_t number, unit;
	struct timespec time;
};

struct find_expression {
	struct test *root;
	struct timespec now;
	unsigned min_depth, max_depth;
	bool has_action, wants_empty;
};

static const struct word {
	const char *text;
	enum kind kind;
	bool has_argument;
} words_known[] = {
	{"-name", NAME, true},	    {"-iname", INAME, true},	   {"-path", PATH, true},
	{"-type", TYPE, true},	    {"-size", SIZE, true},	   {"-mtime", MTIME, true},
	{"-mmin", MMIN, true},	    {"-newer", NEWER, true},	   {"-uid", UID, true},
	{"-gid", GID, true},	    {"-links", LINKS, true},	   {"-empty", EMPTY, false},
	{"-true", TRUE, false},	    {"-prune", PRUNE, false},	   {"-print", PRINT, false},
	{"-print0", PRINT0, false}, {"-mindepth", MINDEPTH, true}, {"-maxdepth", MAXDEPTH, true},
};

struct parser {
	char **words;
	const struct find_context *context;
	struct find_expression *expression;
	const char *problem, *word;
	unsigned nesting;
};

static bool is(const char *word, const char *text, const char *other)
{
	return word && (strcmp(word, text) == 0 || strcmp(word, other) == 0);
}

static const struct word *known(const char *text)
{
	for (size_t i = 0; i < sizeof(words_known) / sizeof(words_known[0]); i++)
		if (strcmp(words_known[i].text, text) == 0)
			return &words_known[i];
	return NULL;
}

bool find_is_word(const char *argument)
{
	return is(argument, "(", "!") || is(argument, "-not", ")") || is(argument, "-a", "-and") ||
	       is(argument, "-o", "-or") || known(argument);
}

static void *fail(struct parser *parser, const char *word, const char *problem)
{
	if (!parser->problem) {
		parser->problem = problem;
		parser->word = word ? word : "";
	}
	return NULL;
}

static void free_test(struct test *test)
{
	if (!test)
		return;
	free_test(test->left);
	free_test(test->right);
	free(test);
}

static struct test *make(struct parser *parser, enum kind kind, struct test *left, struct test *right)
{
	struct test *test = calloc(1, sizeof(*test));

	if (!test) {
		free_test(left);
		free_test(right);
		return fail(parser, NULL, "out of memory");
	}
	test->kind = kind;
	test->left = left;
	test->right = right;
	return test;
}

/* "+N", "-N", "N", with a letter for the unit behind it if @units has some. */
static bool parse_number(struct test *test, const char *text, const char *units)
{
	static const struct {
		char letter;
		uint64_t bytes;
	} sizes[] = {{'c', 1},		{'w', 2},	   {'b', 512},	     {'k', 1ULL << 10},
		     {'M', 1ULL << 20}, {'G', 1ULL << 30}, {'T', 1ULL << 40}};
	char digits[32];
	size_t bytes;

	test->sign = text[0] == '+' ? 1 : text[0] == '-' ? -1 : 0;
	text += test->sign != 0;
	bytes = strlen(text);
	if (bytes >= sizeof(digits))
		return false;
	memcpy(digits, text, bytes + 1);
	test->unit = units ? 512 : 1;
	for (size_t i = 0; units && bytes > 0 && i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (digits[bytes - 1] != sizes[i].letter)
			continue;
		test->unit = sizes[i].bytes;
		digits[bytes - 1] = '\0';
		break;
	}
	return xtsfs_parse_u64(digits, 0, INT64_MAX, &test->number) == 0;
}

static bool parse_argument(struct parser *parser, struct test *test)
{
	struct find_expression *expression = parser->expression;

	switch (test->kind) {
	case TYPE:
		return strlen(test->text) == 1 && strchr("fdlpsbc", test->text[0]);
	case SIZE:
		return parse_number(test, test->text, "cwbkMGT");
	case MTIME:
	case MMIN:
	case UID:
	case GID:
	case LINKS:
		return parse_number(test, test->text, NULL);
	case MINDEPTH:
	case MAXDEPTH:
		if (!parse_number(test, test->text, NULL) || test->sign || test->number > UINT_MAX)
			return false;
		*(test->kind == MINDEPTH ? &expression->min_depth : &expression->max_depth) = (unsigned)test->number;
		return true;
	case NEWER:
		return parser->context->mtime_of(parser->context->data, test->text, &test->time) == 0;
	default:
		return true;
	}
}

static struct test *parse_or(struct parser *parser);

static struct test *parse_primary(struct parser *parser)
{
	const char *text = *parser->words;
	const struct word *word;
	struct test *test;

	if (!text)
		return fail(parser, NULL, "something is missing at the end of the expression");
	if (++parser->nesting > NESTING_MOST)
		return fail(parser, text, "is nested too deep");
	parser->words++;
	if (is(text, "(", "(")) {
		test = parse_or(parser);
		if (test && !is(*parser->words, ")", ")")) {
			free_test(test);
			return fail(parser, text, "has no closing parenthesis");
		}
		parser->words += test != NULL;
		parser->nesting--;
		return test;
	}
	if (is(text, "!", "-not")) {
		test = parse_primary(parser);
		parser->nesting--;
		return test ? make(parser, NOT, test, NULL) : NULL;
	}
	parser->nesting--;
	word = known(text);
	if (!word)
		return fail(parser, text, "is not known, or not expected here");
	if (word->has_argument && !*parser->words)
		return fail(parser, text, "needs an argument");
	test = make(parser, word->kind, NULL, NULL);
	if (!test)
		return NULL;
	if (word->has_argument) {
		test->text = *parser->words++;
		if (!parse_argument(parser, test)) {
			const char *argument = test->text;

			free_test(test);
			return fail(parser, argument,
				    word->kind == NEWER ? "cannot be looked at"
							: "is not what the test can compare with");
		}
	}
	parser->expression->has_action |= word->kind == PRINT || word->kind == PRINT0;
	parser->expression->wants_empty |= word->kind == EMPTY;
	return test;
}

static struct test *parse_and(struct parser *parser)
{
	struct test *left = parse_primary(parser);

	while (left && *parser->words && !is(*parser->words, "-o", "-or") && !is(*parser->words, ")", ")")) {
		struct test *right;

		if (is(*parser->words, "-a", "-and"))
			parser->words++;
		right = parse_primary(parser);
		if (!right) {
			free_test(left);
			return NULL;
		}
		left = make(parser, AND, left, right);
	}
	return left;
}

static struct test *parse_or(struct parser *parser)
{
	struct test *left = parse_and(parser);

	while (left && is(*parser->words, "-o", "-or")) {
		struct test *right;

		parser->words++;
		right = parse_and(parser);
		if (!right) {
			free_test(left);
			return NULL;
		}
		left = make(parser, OR, left, right);
	}
	return left;
}

struct find_expression *find_parse(char **words, const struct find_context *context, const char **ret_problem,
				   const char **ret_word)
{
	struct find_expression *expression = calloc(1, sizeof(*expression));
	struct parser parser = {.words = words, .context = context, .expression = expression};

	*ret_problem = "out of memory";
	*ret_word = "";
	if (!expression)
		return NULL;
	expression->now = context->now;
	expression->max_depth = UINT_MAX;
	expression->root = *words ? parse_or(&parser) : make(&parser, TRUE, NULL, NULL);
	if (expression->root && *parser.words) {
		free_test(expression->root);
		expression->root = fail(&parser, *parser.words, "is not expected here");
	}
	if (expression->root)
		return expression;
	*ret_problem = parser.problem;
	*ret_word = parser.word;
	find_free(expression);
	return NULL;
}

void find_free(struct find_expression *expression)
{
	if (!expression)
		return;
	free_test(expression->root);
	free(expression);
}

static bool compare(const struct test *test, int64_t value)
{
	int64_t wanted = (int64_t)test->number;

	return test->sign < 0 ? value < wanted : test->sign > 0 ? value > wanted : value == wanted;
}

/* Whole units that have gone by since the time of change; a part of one more counts as one where that is in the future.
 */
static int64_t age(const struct find_expression *expression, const struct stat *st, int64_t unit_s)
{
	int64_t seconds = expression->now.tv_sec - st->st_mtim.tv_sec;

	if (expression->now.tv_nsec < st->st_mtim.tv_nsec)
		seconds--;
	return seconds >= 0 ? seconds / unit_s : -((-seconds + unit_s - 1) / unit_s);
}

static char letter_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 'f';
	case S_IFDIR:
		return 'd';
	case S_IFLNK:
		return 'l';
	case S_IFIFO:
		return 'p';
	case S_IFSOCK:
		return 's';
	case S_IFBLK:
		return 'b';
	default:
		return 'c';
	}
}

static bool holds(const struct find_expression *expression, const struct test *test, const struct find_subject *subject,
		  unsigned *answers)
{
	const struct stat *st = subject->st;

	switch (test->kind) {
	case AND:
		return holds(expression, test->left, subject, answers) &&
		       holds(expression, test->right, subject, answers);
	case OR:
		return holds(expression, test->left, subject, answers) ||
		       holds(expression, test->right, subject, answers);
	case NOT:
		return !holds(expression, test->left, subject, answers);
	case NAME:
		return fnmatch(test->text, subject->name, 0) == 0;
	case INAME:
		return fnmatch(test->text, subject->name, FNM_CASEFOLD) == 0;
	case PATH:
		return fnmatch(test->text, subject->path, 0) == 0;
	case TYPE:
		return letter_of(st->st_mode) == test->text[0];
	case SIZE:
		return compare(test, (int64_t)(((uint64_t)st->st_size + test->unit - 1) / test->unit));
	case MTIME:
		return compare(test, age(expression, st, 86400));
	case MMIN:
		return compare(test, age(expression, st, 60));
	case NEWER:
		return st->st_mtim.tv_sec > test->time.tv_sec ||
		       (st->st_mtim.tv_sec == test->time.tv_sec && st->st_mtim.tv_nsec > test->time.tv_nsec);
	case UID:
		return compare(test, (int64_t)st->st_uid);
	case GID:
		return compare(test, (int64_t)st->st_gid);
	case LINKS:
		return compare(test, (int64_t)st->st_nlink);
	case EMPTY:
		return subject->is_empty;
	case PRUNE:
		*answers |= FIND_PRUNE;
		return true;
	case PRINT:
		*answers |= FIND_PRINT;
		return true;
	case PRINT0:
		*answers |= FIND_PRINT0;
		return true;
	case TRUE:
	case MINDEPTH:
	case MAXDEPTH:
		break;
	}
	return true;
}

unsigned find_evaluate(const struct find_expression *expression, const struct find_subject *subject)
{
	unsigned answers = 0;

	if (holds(expression, expression->root, subject, &answers) && !expression->has_action)
		answers |= FIND_PRINT;
	return answers;
}

bool find_depth_shown(const struct find_expression *expression, unsigned depth)
{
	return depth >= expression->min_depth && depth <= expression->max_depth;
}

bool find_depth_entered(const struct find_expression *expression, unsigned depth)
{
	return depth < expression->max_depth;
}

bool find_wants_empty(const struct find_expression *expression)
{
	return expression->wants_empty;
}
