/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A strict reading of JSON, before json-c sees the text.
 *
 * json-c is lenient where it is dangerous to be: of two members with one name it keeps the last, a name ends for it at
 * an escaped NUL, numbers out of range become the nearest that fits, half of a surrogate pair becomes U+FFFD, and
 * control characters and overlong UTF-8 pass. Two programs that read such a text differently agree on its HMAC and
 * disagree on its meaning, and a text that is read and written again comes back changed. So this pass goes over the
 * text first, by the grammar of RFC 8259 and with nothing more allowed than our files need: integers of 64 bits, no
 * escaped NUL, whole surrogate pairs, 32 levels. What it passes, json-c reads the one possible way.
 *
 * Duplicates are found without a table: this pass counts the members as they are written, config-parse.c counts those
 * of the tree that json-c made. A name given twice replaced a member there, so the numbers differ.
 *
 * Nothing is allocated and every byte is looked at once. The recursion is as deep as the text, at most 32.
 */
#include "format/config-internal.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct scan {
	const char *at, *end;
	size_t members;
	const char *problem;
};

static int scan_value(struct scan *scan, unsigned depth);

static int refuse(struct scan *scan, const char *problem)
{
	scan->problem = problem;
	return -XTSFS_EDAMAGED;
}

static bool next_is(const struct scan *scan, char character)
{
	return scan->at < scan->end && *scan->at == character;
}

static bool next_is_digit(const struct scan *scan)
{
	return scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9';
}

static void skip_space(struct scan *scan)
{
	while (next_is(scan, ' ') || next_is(scan, '\t') || next_is(scan, '\n') || next_is(scan, '\r'))
		scan->at++;
}

/* Four hexadecimal digits. */
static int scan_hex(struct scan *scan, unsigned *ret_unit)
{
	unsigned unit = 0;

	if (scan->end - scan->at < 4)
		return refuse(scan, "an escape is not complete");
	for (unsigned i = 0; i < 4; i++) {
		char c = *scan->at++;

		if (c >= '0' && c <= '9')
			unit = unit << 4 | (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			unit = unit << 4 | (unsigned)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			unit = unit << 4 | (unsigned)(c - 'A' + 10);
		else
			return refuse(scan, "an escape is not hexadecimal");
	}
	*ret_unit = unit;
	return 0;
}

/* Behind a backslash. */
static int scan_escape(struct scan *scan)
{
	unsigned high = 0, low = 0;
	int r;

	if (scan->at == scan->end || !memchr("\"\\/bfnrtu", *scan->at, 9))
		return refuse(scan, "an unknown escape");
	if (*scan->at++ != 'u')
		return 0;
	r = scan_hex(scan, &high);
	if (r < 0)
		return r;
	if (high == 0)
		return refuse(scan, "an escaped NUL");
	if (high < 0xd800 || high > 0xdfff)
		return 0;
	if (high > 0xdbff || scan->end - scan->at < 2 || scan->at[0] != '\\' || scan->at[1] != 'u')
		return refuse(scan, "half of a surrogate pair");
	scan->at += 2;
	r = scan_hex(scan, &low);
	if (r < 0)
		return r;
	return low >= 0xdc00 && low <= 0xdfff ? 0 : refuse(scan, "half of a surrogate pair");
}

/* A character of more than one byte, well-formed as in table 3-7 of the Unicode standard. */
static int scan_utf8(struct scan *scan)
{
	const uint8_t *p = (const uint8_t *)scan->at;
	uint8_t lead = p[0];
	uint8_t second_min = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
	uint8_t second_max = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
	unsigned more = lead >= 0xc2 && lead <= 0xdf ? 1 : lead >= 0xe0 && lead <= 0xef ? 2 : 3;

	if (lead < 0xc2 || lead > 0xf4 || (size_t)(scan->end - scan->at) <= more)
		return refuse(scan, "text that is not UTF-8");
	if (p[1] < second_min || p[1] > second_max)
		return refuse(scan, "text that is not UTF-8");
	for (unsigned i = 2; i <= more; i++)
		if ((p[i] & 0xc0) != 0x80)
			return refuse(scan, "text that is not UTF-8");
	scan->at += 1 + more;
	return 0;
}

static int scan_string(struct scan *scan)
{
	int r = 0;

	if (!next_is(scan, '"'))
		return refuse(scan, "a string was expected");
	scan->at++;
	while (r == 0) {
		if (scan->at == scan->end)
			return refuse(scan, "the end of a string is missing");
		if (*scan->at == '"') {
			scan->at++;
			return 0;
		}
		if (*scan->at == '\\') {
			scan->at++;
			r = scan_escape(scan);
		} else if ((uint8_t)*scan->at < 0x20) {
			r = refuse(scan, "a control character in a string");
		} else if ((uint8_t)*scan->at < 0x80) {
			scan->at++;
		} else {
			r = scan_utf8(scan);
		}
	}
	return r;
}

static int scan_number(struct scan *scan)
{
	bool negative = next_is(scan, '-');
	int64_t value = 0;
	const char *first;

	if (negative)
		scan->at++;
	first = scan->at;
	for (; next_is_digit(scan); scan->at++) {
		int digit = *scan->at - '0';

		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_sub_overflow(value, negative ? digit : -digit, &value))
			return refuse(scan, "a number is out of range");
	}
	if (scan->at == first)
		return refuse(scan, "a value was expected");
	if (*first == '0' && scan->at - first > 1)
		return refuse(scan, "a number begins with zero");
	if (next_is(scan, '.') || next_is(scan, 'e') || next_is(scan, 'E'))
		return refuse(scan, "a number is not an integer");
	return 0;
}

static int scan_array(struct scan *scan, unsigned depth)
{
	int r;

	scan->at++;
	skip_space(scan);
	if (!next_is(scan, ']')) {
		for (;;) {
			r = scan_value(scan, depth);
			if (r < 0)
				return r;
			if (!next_is(scan, ','))
				break;
			scan->at++;
		}
	}
	if (!next_is(scan, ']'))
		return refuse(scan, "the end of an array is missing");
	scan->at++;
	return 0;
}

static int scan_object(struct scan *scan, unsigned depth)
{
	int r;

	scan->at++;
	skip_space(scan);
	if (!next_is(scan, '}')) {
		for (;;) {
			skip_space(scan);
			r = scan_string(scan);
			if (r < 0)
				return r;
			skip_space(scan);
			if (!next_is(scan, ':'))
				return refuse(scan, "a colon was expected");
			scan->at++;
			r = scan_value(scan, depth);
			if (r < 0)
				return r;
			scan->members++;
			if (!next_is(scan, ','))
				break;
			scan->at++;
		}
	}
	if (!next_is(scan, '}'))
		return refuse(scan, "the end of an object is missing");
	scan->at++;
	return 0;
}

static bool scan_word(struct scan *scan, const char *word)
{
	size_t length = strlen(word);

	if ((size_t)(scan->end - scan->at) < length || memcmp(scan->at, word, length) != 0)
		return false;
	scan->at += length;
	return true;
}

/* With the space around it. @depth: how many objects and arrays it is in. */
static int scan_value(struct scan *scan, unsigned depth)
{
	int r = 0;

	skip_space(scan);
	if (next_is(scan, '{') || next_is(scan, '[')) {
		if (depth == XTSFS_CONFIG_DEPTH)
			return refuse(scan, "too many levels");
		r = *scan->at == '{' ? scan_object(scan, depth + 1) : scan_array(scan, depth + 1);
	} else if (next_is(scan, '"')) {
		r = scan_string(scan);
	} else if (!scan_word(scan, "true") && !scan_word(scan, "false") && !scan_word(scan, "null")) {
		r = scan_number(scan);
	}
	if (r == 0)
		skip_space(scan);
	return r;
}

int xtsfs_config_scan(const char *text, size_t bytes, size_t *ret_members, char *ret_problem, size_t problem_bytes)
{
	struct scan scan = {.at = text, .end = text + bytes};
	int r = scan_value(&scan, 0);
	unsigned line = 1;

	if (r == 0 && scan.at != scan.end)
		r = refuse(&scan, "text behind the end");
	if (r < 0) {
		for (const char *p = text; p < scan.at; p++)
			line += *p == '\n';
		snprintf(ret_problem, problem_bytes, "line %u: %s", line, scan.problem);
		return r;
	}
	*ret_members = scan.members;
	return 0;
}
