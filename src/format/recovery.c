/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery keys: 200 random bits in eight groups of six characters.
 *
 * The 32 characters are digits and capitals without I, L, O and U, which look like 1, 1, 0 and V and are read as those.
 * The sixth character of a group checks the five before it and the group's place: a weighted sum over the field of 32
 * elements, with the weights a, a^2 ... a^5 and 1 for itself, so that one wrong character, two that were exchanged
 * and two groups that were exchanged are always found, and told by group. What else is wrong is found with 31 in 32,
 * and then by the keyslot.
 *
 * A text that is not mostly right is not called a recovery key with mistakes: it may be a passphrase of eight words.
 */
#include "format/recovery.h"

#include <stdbool.h>
#include <string.h>

#define CONTENT_CHARS (XTSFS_RECOVERY_GROUP_CHARS - 1)
#define CONTENT_BITS  (CONTENT_CHARS * 5)
#define FIELD	      0x25U /* x^5 + x^2 + 1 */

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static unsigned times_a(unsigned element)
{
	element <<= 1;
	return element & 32 ? element ^ FIELD : element;
}

/* Horner's rule from the last weight down: a(c0 + a(c1 + ...)). */
static unsigned check_of(const uint8_t values[static CONTENT_CHARS], unsigned group)
{
	unsigned sum = 0;

	for (unsigned i = CONTENT_CHARS; i-- > 0;)
		sum = times_a(sum ^ values[i]);
	return sum ^ (group + 1);
}

static unsigned get_bits(const uint8_t *key, unsigned bit)
{
	unsigned value = 0;

	for (unsigned i = 0; i < 5; i++, bit++)
		value = value << 1 | ((unsigned)key[bit / 8] >> (7 - bit % 8) & 1U);
	return value;
}

static void set_bits(uint8_t *key, unsigned bit, unsigned value)
{
	for (unsigned i = 0; i < 5; i++, bit++)
		key[bit / 8] = (uint8_t)(key[bit / 8] | (value >> (4 - i) & 1U) << (7 - bit % 8));
}

void xtsfs_recovery_print(const uint8_t key[static XTSFS_RECOVERY_BYTES],
			  char ret_text[static XTSFS_RECOVERY_TEXT_CHARS + 1])
{
	for (unsigned group = 0; group < XTSFS_RECOVERY_GROUPS; group++) {
		uint8_t values[CONTENT_CHARS];

		if (group > 0)
			*ret_text++ = '-';
		for (unsigned i = 0; i < CONTENT_CHARS; i++) {
			values[i] = (uint8_t)get_bits(key, group * CONTENT_BITS + i * 5);
			*ret_text++ = alphabet[values[i]];
		}
		*ret_text++ = alphabet[check_of(values, group)];
		explicit_bzero(values, sizeof(values));
	}
	*ret_text = '\0';
}

/* 32 for a character that is none of ours. */
static uint8_t value_of(uint8_t byte)
{
	char upper = (char)(byte >= 'a' ? byte - 'a' + 'A' : byte);
	const char *at;

	if (upper == 'O')
		upper = '0';
	else if (upper == 'I' || upper == 'L')
		upper = '1';
	else if (upper == 'U')
		upper = 'V';
	at = strchr(alphabet, upper);
	return (uint8_t)(at ? at - alphabet : 32);
}

/* Is it right, and then its content in @key. */
static bool take_group(const uint8_t *text, size_t chars, unsigned group, uint8_t *key)
{
	uint8_t values[XTSFS_RECOVERY_GROUP_CHARS];
	bool good = chars == XTSFS_RECOVERY_GROUP_CHARS;

	for (unsigned i = 0; good && i < XTSFS_RECOVERY_GROUP_CHARS; i++) {
		values[i] = value_of(text[i]);
		good = values[i] < 32;
	}
	good = good && check_of(values, group) == values[CONTENT_CHARS];
	for (unsigned i = 0; good && i < CONTENT_CHARS; i++)
		set_bits(key, group * CONTENT_BITS + i * 5, values[i]);
	explicit_bzero(values, sizeof(values));
	return good;
}

/* What people put between groups; anything else there is taken care of by counting. */
static bool is_separator(uint8_t byte)
{
	return byte == '-' || byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* The next run of other bytes from *@at on; its length, 0 at the end. */
static size_t next_run(const uint8_t *text, size_t bytes, size_t *at)
{
	size_t end;

	while (*at < bytes && is_separator(text[*at]))
		++*at;
	for (end = *at; end < bytes && !is_separator(text[end]);)
		end++;
	return end - *at;
}

/* Groups as they are separated, a question mark for what cannot be read being a mistake of its group. How many there
 * are, or one too many. */
static unsigned take_separated(const uint8_t *text, size_t bytes, uint8_t *key, unsigned *wrong)
{
	unsigned group = 0;
	size_t at = 0, chars;

	while ((chars = next_run(text, bytes, &at)) > 0 && group <= XTSFS_RECOVERY_GROUPS) {
		if (group < XTSFS_RECOVERY_GROUPS && !take_group(text + at, chars, group, key))
			*wrong |= 1U << group;
		at += chars;
		group++;
	}
	return group;
}

static bool is_character(uint8_t byte)
{
	return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

/* All characters one after the other, whatever is between them; false if they are not as many as they must be. */
static bool take_counted(const uint8_t *text, size_t bytes, uint8_t *key, unsigned *wrong)
{
	uint8_t group_text[XTSFS_RECOVERY_GROUP_CHARS];
	const size_t wanted = XTSFS_RECOVERY_GROUPS * XTSFS_RECOVERY_GROUP_CHARS;
	size_t count = 0;

	for (size_t i = 0; i < bytes; i++) {
		if (!is_character(text[i]))
			continue;
		group_text[count % XTSFS_RECOVERY_GROUP_CHARS] = text[i];
		if (++count % XTSFS_RECOVERY_GROUP_CHARS == 0 && count <= wanted) {
			unsigned group = (unsigned)(count / XTSFS_RECOVERY_GROUP_CHARS) - 1;

			if (!take_group(group_text, sizeof(group_text), group, key))
				*wrong |= 1U << group;
		}
	}
	explicit_bzero(group_text, sizeof(group_text));
	return count == wanted;
}

int xtsfs_recovery_parse(const void *text, size_t bytes, uint8_t ret_key[static XTSFS_RECOVERY_BYTES],
			 unsigned *ret_wrong)
{
	uint8_t key[XTSFS_RECOVERY_BYTES] = {0};
	unsigned wrong = 0;
	int r = 0;

	if (take_separated(text, bytes, key, &wrong) != XTSFS_RECOVERY_GROUPS) {
		explicit_bzero(key, sizeof(key));
		wrong = 0;
		if (!take_counted(text, bytes, key, &wrong))
			r = -EINVAL;
	}
	if (r == 0 && wrong)
		r = __builtin_popcount(wrong) * 2 <= (int)XTSFS_RECOVERY_GROUPS ? -EILSEQ : -EINVAL;
	if (r == 0)
		memcpy(ret_key, key, sizeof(key));
	else if (r == -EILSEQ && ret_wrong)
		*ret_wrong = wrong;
	explicit_bzero(key, sizeof(key));
	return r;
}
