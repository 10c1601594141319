/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

#include "format/ondisk.h"
#include "wrap.h"

struct fuzz_input fuzz_begin(const uint8_t *data, size_t bytes)
{
	fuzz_wrap_begin();
	return (struct fuzz_input){.at = data, .left = bytes};
}

uint64_t fuzz_number(struct fuzz_input *input, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes && input->left; i++) {
		value |= (uint64_t)*input->at++ << (8 * i);
		input->left--;
	}
	return value;
}

const uint8_t *fuzz_take(struct fuzz_input *input, size_t most, size_t *ret_bytes)
{
	const uint8_t *at = input->at;

	*ret_bytes = most < input->left ? most : input->left;
	input->at += *ret_bytes;
	input->left -= *ret_bytes;
	return at;
}

size_t fuzz_text(struct fuzz_input *input, char *ret_text, size_t room)
{
	size_t want = (size_t)fuzz_number(input, 2) % room, bytes;
	const uint8_t *at = fuzz_take(input, want, &bytes);

	for (size_t i = 0; i < bytes; i++)
		ret_text[i] = (char)(at[i] ? at[i] : 1);
	ret_text[bytes] = '\0';
	return bytes;
}

uint64_t fuzz_offset(struct fuzz_input *input, uint64_t now, uint64_t most)
{
	static const uint64_t group = (uint64_t)XTSFS_GROUP_SECTORS * XTSFS_BLOCK_BYTES;
	uint8_t kind = fuzz_byte(input);
	int64_t slack = (int8_t)fuzz_byte(input), at;

	switch (kind & 7) {
	case 0:
		at = slack;
		break;
	case 1:
		at = (int64_t)now + slack;
		break;
	case 2:
		at = (int64_t)XTSFS_INLINE_MAX + slack;
		break;
	case 3:
		at = (int64_t)group + slack;
		break;
	case 4:
		at = (int64_t)((kind >> 3) * (uint64_t)XTSFS_BLOCK_BYTES) + slack;
		break;
	case 5:
		at = (int64_t)((kind >> 3) * (uint64_t)XTSFS_BLOCK_BYTES + XTSFS_SHORT_TAIL_MAX) + slack;
		break;
	case 6:
		at = (int64_t)(group + (kind >> 3) * (uint64_t)XTSFS_BLOCK_BYTES) + slack;
		break;
	default:
		at = (int64_t)fuzz_number(input, 2);
	}
	return at < 0 ? 0 : (uint64_t)at > most ? most : (uint64_t)at;
}
