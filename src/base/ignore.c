/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pattern becomes a row of steps, each of which takes one character, or any number of them. All places in the row
 * that a part of the path can have led to are followed at once, character by character: the time is that of the row's
 * length times the path's, whatever the stars.
 *
 * What a star may take depends on where it stands: without a slash in the pattern only the last part of a path is
 * looked at, which has none; otherwise one star takes no slash, and two do where they are a whole part of the pattern.
 * A pattern that is broken (a set without its end, a backslash at the end) matches nothing, as git has it.
 */
#include "base/ignore.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum step_kind {
	STEP_SET,   /* one character of the set */
	STEP_STAR,  /* any characters but slashes */
	STEP_ALL,   /* any characters */
	STEP_PARTS, /* nothing, or any characters and then a slash */
};

struct step {
	enum step_kind kind;
	uint8_t set[32];
};

struct pattern {
	bool negated, of_directory, of_last_part, broken;
	size_t steps;
	struct step *step;
};

struct xtsfs_ignore {
	struct pattern *pattern;
	size_t count, room, most_steps;
};

static void set_add(uint8_t set[32], unsigned from, unsigned to)
{
	for (unsigned c = from; c <= to && c < 256; c++)
		set[c / 8] |= (uint8_t)(1U << c % 8);
}

static bool set_has(const uint8_t set[32], unsigned char c)
{
	return set[c / 8] & (1U << c % 8);
}

/* The classes of POSIX, for ASCII. */
static bool set_add_class(uint8_t set[32], const char *name, size_t chars)
{
	static const struct {
		const char *name, *ranges; /* pairs of ends */
	} classes[] = {
		{"alnum", "09AZaz"},   {"alpha", "AZaz"},   {"blank", "\t\t  "}, {"cntrl", "\001\037\177\177"},
		{"digit", "09"},       {"graph", "!~"},	    {"lower", "az"},	 {"print", " ~"},
		{"punct", "!/:@[`{~"}, {"space", "\t\r  "}, {"upper", "AZ"},	 {"xdigit", "09AFaf"},
	};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		if (strlen(classes[i].name) != chars || memcmp(classes[i].name, name, chars) != 0)
			continue;
		for (const char *range = classes[i].ranges; *range; range += 2)
			set_add(set, (unsigned char)range[0], (unsigned char)range[1]);
		return true;
	}
	return false;
}

/* A set, from behind its bracket on. Returns what is behind its end, NULL if there is none. */
static const char *parse_set(const char *at, const char *end, uint8_t ret_set[32])
{
	bool negated = at < end && (*at == '!' || *at == '^'), first = true, has_from = false;
	unsigned char from = 0;

	memset(ret_set, 0, 32);
	at += negated;
	for (; at < end && (first || *at != ']'); first = false) {
		const char *stop;
		unsigned char c = (unsigned char)*at++;

		if (c == '[' && at < end && *at == ':' && (stop = memchr(at + 1, ']', (size_t)(end - at - 1)))) {
			if (stop - at >= 2 && stop[-1] == ':') {
				if (!set_add_class(ret_set, at + 1, (size_t)(stop - at - 2)))
					return NULL;
				at = stop + 1;
				has_from = false;
				continue;
			}
		} else if (c == '[' && at < end && *at == ':') {
			return NULL;
		}
		if (c == '-' && has_from && at < end && *at != ']') {
			c = (unsigned char)*at++;
			if (c == '\\' && at == end)
				return NULL;
			if (c == '\\')
				c = (unsigned char)*at++;
			set_add(ret_set, from, c);
			has_from = false;
			continue;
		}
		if (c == '\\' && at == end)
			return NULL;
		if (c == '\\')
			c = (unsigned char)*at++;
		set_add(ret_set, c, c);
		from = c;
		has_from = true;
	}
	if (at == end)
		return NULL;
	for (unsigned i = 0; negated && i < 32; i++)
		ret_set[i] = (uint8_t)~ret_set[i];
	return at + 1;
}

/*
 * Stars, of which the first is at @at. Returns what is behind what was taken. @first: the first of the pattern's
 * characters that is not only itself. git compares what is before that by itself, so stars there are at a beginning.
 */
static const char *parse_stars(const char *first, const char *at, const char *end, struct step *ret_step)
{
	const char *next = at;
	bool whole;

	while (next < end && *next == '*')
		next++;
	whole = next - at > 1 && (at == first || at[-1] == '/') &&
		(next == end || *next == '/' || (next + 1 < end && next[0] == '\\' && next[1] == '/'));
	ret_step->kind = !whole ? STEP_STAR : next < end && *next == '/' ? STEP_PARTS : STEP_ALL;
	return next + (ret_step->kind == STEP_PARTS);
}

static bool parse_steps(struct pattern *pattern, const char *begin, const char *end)
{
	const char *first = begin;

	while (first < end && !strchr("*?[\\", *first))
		first++;
	for (const char *at = begin; at < end;) {
		struct step *step = &pattern->step[pattern->steps++];

		step->kind = STEP_SET;
		if (*at == '*') {
			at = parse_stars(first, at, end, step);
		} else if (*at == '[') {
			at = parse_set(at + 1, end, step->set);
			if (!at)
				return false;
			step->set['/' / 8] &= (uint8_t) ~(1U << '/' % 8);
		} else if (*at == '?') {
			set_add(step->set, 1, 255);
			step->set['/' / 8] &= (uint8_t) ~(1U << '/' % 8);
			at++;
		} else {
			if (*at == '\\' && ++at == end)
				return false;
			set_add(step->set, (unsigned char)*at, (unsigned char)*at);
			at++;
		}
	}
	return true;
}

/* Spaces at the end do not count, but for one behind a backslash. */
static const char *without_spaces(const char *line, const char *end)
{
	const char *spaces = NULL;

	for (const char *at = line; at < end; at++) {
		if (*at == ' ') {
			spaces = spaces ? spaces : at;
			continue;
		}
		if (*at == '\\' && ++at == end)
			return end;
		spaces = NULL;
	}
	return spaces ? spaces : end;
}

int xtsfs_ignore_new(struct xtsfs_ignore **ret_ignore)
{
	*ret_ignore = calloc(1, sizeof(**ret_ignore));
	return *ret_ignore ? 0 : -ENOMEM;
}

struct xtsfs_ignore *xtsfs_ignore_free(struct xtsfs_ignore *ignore)
{
	if (!ignore)
		return NULL;
	for (size_t i = 0; i < ignore->count; i++)
		free(ignore->pattern[i].step);
	free(ignore->pattern);
	free(ignore);
	return NULL;
}

int xtsfs_ignore_add(struct xtsfs_ignore *ignore, const char *line, size_t bytes)
{
	const char *at = line, *end = without_spaces(line, line + bytes);
	struct pattern pattern = {0};

	if (at == end || *at == '#' || memchr(line, '\0', bytes))
		return 0;
	if (*at == '!') {
		pattern.negated = true;
		at++;
	}
	if (at < end && end[-1] == '/') {
		pattern.of_directory = true;
		end--;
	}
	pattern.of_last_part = at >= end || !memchr(at, '/', (size_t)(end - at));
	if (at < end && *at == '/')
		at++;
	pattern.step = calloc((size_t)(end - at) + 1, sizeof(*pattern.step));
	if (!pattern.step)
		return -ENOMEM;
	pattern.broken = !parse_steps(&pattern, at, end);
	if (ignore->count == ignore->room) {
		size_t room = ignore->room ? ignore->room * 2 : 16;
		struct pattern *more = realloc(ignore->pattern, room * sizeof(*more));

		if (!more) {
			free(pattern.step);
			return -ENOMEM;
		}
		ignore->pattern = more;
		ignore->room = room;
	}
	ignore->pattern[ignore->count++] = pattern;
	if (pattern.steps > ignore->most_steps)
		ignore->most_steps = pattern.steps;
	return 0;
}

int xtsfs_ignore_add_text(struct xtsfs_ignore *ignore, const char *text, size_t bytes)
{
	static const char mark[] = "\xef\xbb\xbf"; /* of byte order, by editors of other systems */
	const char *end = text + bytes, *next;
	int r = 0;

	if (bytes >= 3 && memcmp(text, mark, 3) == 0)
		text += 3;
	for (; r == 0 && text < end; text = next + 1) {
		const char *stop;

		next = memchr(text, '\n', (size_t)(end - text));
		next = next ? next : end;
		stop = next > text && next < end && next[-1] == '\r' ? next - 1 : next;
		r = xtsfs_ignore_add(ignore, text, (size_t)(stop - text));
	}
	return r;
}

int xtsfs_ignore_add_file(struct xtsfs_ignore *ignore, int dir, const char *path)
{
	xtsfs_auto_fd fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	xtsfs_auto_free char *text = NULL;
	struct stat st;
	size_t bytes = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	text = malloc(XTSFS_IGNORE_FILE_MAX + 1);
	if (!text)
		return -ENOMEM;
	while (bytes <= XTSFS_IGNORE_FILE_MAX && (n = read(fd, text + bytes, XTSFS_IGNORE_FILE_MAX + 1 - bytes)) != 0) {
		if (n < 0 && errno != EINTR)
			return -errno;
		bytes += n > 0 ? (size_t)n : 0;
	}
	return bytes > XTSFS_IGNORE_FILE_MAX ? -E2BIG : xtsfs_ignore_add_text(ignore, text, bytes);
}

int xtsfs_ignore_prepend(struct xtsfs_ignore *ignore, struct xtsfs_ignore *before)
{
	size_t count = ignore->count + before->count;
	struct pattern *all = calloc(count + 1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	if (before->count)
		memcpy(all, before->pattern, before->count * sizeof(*all));
	if (ignore->count)
		memcpy(all + before->count, ignore->pattern, ignore->count * sizeof(*all));
	free(ignore->pattern);
	ignore->pattern = all;
	ignore->count = count;
	ignore->room = count + 1;
	if (before->most_steps > ignore->most_steps)
		ignore->most_steps = before->most_steps;
	before->count = 0;
	return 0;
}

bool xtsfs_ignore_is_empty(const struct xtsfs_ignore *ignore)
{
	return ignore->count == 0;
}

/* A place that can be reached, and those that can be reached from there without a character. */
static void reach(const struct pattern *pattern, uint8_t *places, size_t place)
{
	while (!places[place]) {
		places[place] = 1;
		if (place == pattern->steps || pattern->step[place].kind == STEP_SET)
			return;
		place++;
	}
}

/* From the places in @before by one character to those in @after. false: there are none. */
static bool advance(const struct pattern *pattern, const uint8_t *before, uint8_t *after, char c)
{
	bool any = false;

	memset(after, 0, pattern->steps + 1);
	for (size_t place = 0; place < pattern->steps; place++) {
		const struct step *step = &pattern->step[place];

		if (!before[place])
			continue;
		if (step->kind == STEP_SET && set_has(step->set, (unsigned char)c))
			reach(pattern, after, place + 1);
		else if (step->kind == STEP_ALL || (step->kind == STEP_STAR && c != '/'))
			reach(pattern, after, place);
		else if (step->kind == STEP_PARTS) {
			after[place] |= 2; /* in the middle: on from here by a slash only */
			if (c == '/')
				reach(pattern, after, place + 1);
		} else
			continue;
		any = true;
	}
	return any;
}

static bool matches(const struct pattern *pattern, const char *path, uint8_t *places)
{
	uint8_t *before = places, *after = places + pattern->steps + 1, *swap;

	memset(before, 0, pattern->steps + 1);
	reach(pattern, before, 0);
	for (; *path; path++) {
		if (!advance(pattern, before, after, *path))
			return false;
		swap = before;
		before = after;
		after = swap;
	}
	return before[pattern->steps];
}

bool xtsfs_ignore_matches(const struct xtsfs_ignore *ignore, const char *path, bool is_dir)
{
	const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
	uint8_t few[512];
	xtsfs_auto_free uint8_t *many = NULL;
	uint8_t *places = few;

	if (2 * (ignore->most_steps + 1) > sizeof(few)) {
		many = malloc(2 * (ignore->most_steps + 1));
		if (!many)
			return true; /* rather left out than shown against somebody's wish */
		places = many;
	}
	for (size_t i = ignore->count; i-- > 0;) {
		const struct pattern *pattern = &ignore->pattern[i];

		if (pattern->broken || (pattern->of_directory && !is_dir))
			continue;
		if (matches(pattern, pattern->of_last_part ? last : path, places))
			return !pattern->negated;
	}
	return false;
}
