/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers and sizes as people type them, and text as terminals may show it.
 *
 * strtoul() and its kin skip white space, take a sign (and turn -1 into 18446744073709551615), and leave trailing text
 * to the caller, who forgets it. These parsers take digits, the whole text, and a range.
 *
 * xtsfs_quote() makes a name safe for a line of output: control characters (those of ASCII, and those of Unicode that
 * move the cursor, break the line or turn the direction of writing) and bytes that are not UTF-8 become \xNN, one for
 * each byte. A backslash becomes \x5c, so that the text says exactly which bytes the name had. It does not shorten.
 */
#include "base/parse.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Read digits; *@ret_end is the first character behind them. */
static int parse_digits(const char *text, uint64_t *ret_value, const char **ret_end)
{
	uint64_t value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
			return -ERANGE;
	if (p == text)
		return -EINVAL;
	*ret_value = value;
	*ret_end = p;
	return 0;
}

/* A number too large for 64 bits is out of range only if nothing else is wrong with the text. */
static int overflow_or_invalid(const char *text, const char *allowed_end)
{
	text += strspn(text, "0123456789");
	return strcmp(text, allowed_end) == 0 ? -ERANGE : -EINVAL;
}

int xtsfs_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret_value)
{
	const char *end;
	uint64_t value;
	int r = parse_digits(text, &value, &end);

	if (r == -ERANGE)
		return overflow_or_invalid(text, "");
	if (r < 0)
		return r;
	if (*end != '\0')
		return -EINVAL;
	if (value < min || value > max)
		return -ERANGE;
	*ret_value = value;
	return 0;
}

/* The power of 1024 that a suffix stands for, or -EINVAL. */
static int suffix_power(const char *suffix)
{
	static const char letters[] = "kKmMgGtT";
	const char *letter;

	if (*suffix == '\0')
		return 0;
	letter = strchr(letters, *suffix);
	if (!letter)
		return -EINVAL;
	suffix++;
	if (*suffix != '\0' && strcmp(suffix, "B") != 0 && strcmp(suffix, "iB") != 0)
		return -EINVAL;
	return (int)(letter - letters) / 2 + 1;
}

/* How many seconds the unit has that @text begins with; 0 if it is none. */
static uint64_t unit_seconds(const char *text, size_t *ret_chars)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = {{"min", 60}, {"m", 60}, {"s", 1}, {"h", 3600}, {"d", 86400}};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		*ret_chars = strlen(units[i].name);
		if (strncmp(text, units[i].name, *ret_chars) == 0)
			return units[i].seconds;
	}
	return 0;
}

int xtsfs_parse_seconds(const char *text, uint64_t min, uint64_t max, uint64_t *ret_seconds)
{
	uint64_t sum = 0, before = UINT64_MAX;

	do {
		uint64_t value, unit;
		const char *end;
		size_t chars = 0;
		int r = parse_digits(text, &value, &end);

		if (r < 0)
			return r;
		unit = unit_seconds(end, &chars);
		if (!*end && before == UINT64_MAX) { /* nothing but a number */
			unit = 1;
			chars = 0;
		}
		if (unit == 0 || unit >= before)
			return -EINVAL;
		if (__builtin_mul_overflow(value, unit, &value) || __builtin_add_overflow(sum, value, &sum))
			return -ERANGE;
		before = unit;
		text = end + chars;
	} while (*text);
	if (sum < min || sum > max)
		return -ERANGE;
	*ret_seconds = sum;
	return 0;
}

int xtsfs_parse_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret_bytes)
{
	const char *suffix = text + strspn(text, "0123456789");
	int power = suffix_power(suffix);
	const char *end;
	uint64_t value;
	int r;

	if (power < 0)
		return power;
	r = parse_digits(text, &value, &end);
	if (r < 0)
		return r;
	if (__builtin_mul_overflow(value, UINT64_C(1) << (10 * power), &value))
		return -ERANGE;
	if (value < min || value > max)
		return -ERANGE;
	*ret_bytes = value;
	return 0;
}

char *xtsfs_format_size(uint64_t bytes, char ret_text[static 16])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	unsigned unit = 0;
	uint64_t whole = bytes, tenths = 0;

	while (whole >= 1024) {
		unit++;
		whole = bytes >> (10 * unit);
	}
	if (unit) {
		uint64_t rest = bytes & ((UINT64_C(1) << (10 * unit)) - 1);

		/* Ten bits of the rest are plenty for one decimal, rounded to the nearest. */
		tenths = ((rest >> (10 * (unit - 1))) * 10 + 512) >> 10;
		if (tenths == 10) {
			tenths = 0;
			whole++;
		}
		if (whole == 1024 && unit < 6) {
			whole = 1;
			unit++;
		}
	}
	if (tenths)
		snprintf(ret_text, 16, "%u.%u %s", (unsigned)whole, (unsigned)tenths, units[unit]);
	else
		snprintf(ret_text, 16, "%u %s", (unsigned)whole, units[unit]);
	return ret_text;
}

char *xtsfs_quote(const char *text)
{
	size_t bytes = strlen(text);
	char *quoted;

	if (bytes > SIZE_MAX / XTSFS_ESCAPE_FACTOR - 1)
		return NULL;
	quoted = malloc(bytes * XTSFS_ESCAPE_FACTOR + 1);
	if (quoted)
		xtsfs_text_escape(text, bytes, /* backslash= */ true, quoted);
	return quoted;
}
