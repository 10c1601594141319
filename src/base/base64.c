/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64url without padding, RFC 4648 section 5.
 *
 * Encrypted names, salts and wrapped keys are all written this way, and a name must have exactly one spelling: two
 * spellings of one ciphertext would be two directory entries that decrypt to the same name. So decoding refuses what
 * lenient decoders let pass: padding characters, white space, the "+" and "/" of the other alphabet, a length of 1 mod
 * 4, and set bits behind the last whole byte. A text that decodes is the text that encoding its bytes gives.
 *
 * What is coded here is ciphertext or public, so the table look-ups need not run in constant time. Keys and
 * passphrases never pass through this file.
 */
#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#define FOREIGN 0x80U

/* The six bits of a character, or FOREIGN. */
static unsigned value_of(char character)
{
	if (character >= 'A' && character <= 'Z')
		return (unsigned)(character - 'A');
	if (character >= 'a' && character <= 'z')
		return (unsigned)(character - 'a') + 26;
	if (character >= '0' && character <= '9')
		return (unsigned)(character - '0') + 52;
	if (character == '-')
		return 62;
	if (character == '_')
		return 63;
	return FOREIGN;
}

void xtsfs_base64_encode(const uint8_t *data, size_t bytes, char *ret_text)
{
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < bytes; i++) {
		bits = bits << 8 | data[i];
		for (have += 8; have >= 6; have -= 6)
			*ret_text++ = alphabet[bits >> (have - 6) & 63];
	}
	if (have)
		*ret_text++ = alphabet[bits << (6 - have) & 63];
	*ret_text = '\0';
}

int xtsfs_base64_decode(const char *text, size_t chars, uint8_t *ret_data)
{
	unsigned foreign = 0, last = 0, unused_bits;
	uint32_t bits = 0;
	unsigned have = 0;

	if (chars % 4 == 1)
		return -EINVAL;
	for (size_t i = 0; i < chars; i++) {
		last = value_of(text[i]);
		foreign |= last;
	}
	unused_bits = chars % 4 == 2 ? 4 : chars % 4 == 3 ? 2 : 0;
	if ((foreign & FOREIGN) || (last & ((1U << unused_bits) - 1)))
		return -EINVAL;

	/* Nothing was written above: the output is untouched where the text is refused. */
	for (size_t i = 0; i < chars; i++) {
		bits = bits << 6 | value_of(text[i]);
		have += 6;
		if (have >= 8) {
			have -= 8;
			*ret_data++ = (uint8_t)(bits >> have);
		}
	}
	return 0;
}
