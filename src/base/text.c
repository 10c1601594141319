/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bytes may reach a terminal or a log as they are.
 *
 * A file name may hold anything but "/" and NUL: a line feed that begins a forged log line, an escape sequence that
 * retitles the terminal, a right-to-left override that makes "gpj.exe" of "exe.jpg". All of these are shown as the
 * bytes they are. Well-formed UTF-8 otherwise stays readable, in whatever script.
 *
 * Well-formed is what the Unicode standard's table 3-7 says: no overlong forms, no surrogates, nothing past U+10FFFF.
 */
#include "base/text.h"

#include <stdint.h>
#include <string.h>

/* The length of the well-formed sequence at @text, 0 if there is none. */
static size_t sequence_length(const uint8_t *text, size_t bytes, uint32_t *ret_code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length;
	uint32_t code;

	if (text[0] < 0x80) {
		*ret_code = text[0];
		return 1;
	}
	if (text[0] >= 0xc2 && text[0] <= 0xdf)
		length = 2;
	else if (text[0] >= 0xe0 && text[0] <= 0xef)
		length = 3;
	else if (text[0] >= 0xf0 && text[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (length > bytes)
		return 0;
	code = text[0] & (0x7fU >> length);
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (text[i] & 0x3fU);
	}
	if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return length;
}

static bool is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code <= 0x9f)	     /* C0, DEL, C1 */
	       || code == 0x2028 || code == 0x2029		     /* line and paragraph separator */
	       || (code >= 0x202a && code <= 0x202e)		     /* embeddings and overrides of direction */
	       || (code >= 0x2066 && code <= 0x2069)		     /* isolates */
	       || code == 0x200e || code == 0x200f || code == 0x61c; /* marks of direction */
}

size_t xtsfs_text_escape(const char *text, size_t bytes, bool backslash, char *ret_text)
{
	static const char digits[] = "0123456789abcdef";
	char *out = ret_text;

	for (size_t done = 0; done < bytes;) {
		const uint8_t *at = (const uint8_t *)text + done;
		uint32_t code = 0;
		size_t length = sequence_length(at, bytes - done, &code);
		bool show = length && !is_control(code) && !(backslash && code == '\\');

		if (length == 0)
			length = 1;
		if (show) {
			memcpy(out, at, length);
			out += length;
		} else {
			for (size_t i = 0; i < length; i++) {
				*out++ = '\\';
				*out++ = 'x';
				*out++ = digits[at[i] >> 4];
				*out++ = digits[at[i] & 15];
			}
		}
		done += length;
	}
	*out = '\0';
	return (size_t)(out - ret_text);
}
