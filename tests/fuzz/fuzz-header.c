/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File headers, meta blocks, directory ids and the unclean marker: parsing, packing, and what their tags cover (spec
 * 5, 9.1, 9.6, 9.8, 10).
 *
 * Input: one byte for the kind, two for how many bytes of the block are there, then the block from its start; the rest
 * of it is zero. Kinds 2 and 3 begin with a valid block, over which the input's fields are laid.
 */
#include "fuzz.h"

#include "format/header.h"
#include "format/span.h"

static bool all_zero(const uint8_t *at, size_t bytes)
{
	while (bytes--)
		if (*at++)
			return false;
	return true;
}

static uint64_t number_at(const uint8_t *block, size_t at, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value |= (uint64_t)block[at + i] << (8 * i);
	return value;
}

/* The rules of the page, written from it alone. */
static bool growing_allowed(const uint8_t *block, uint64_t group_no)
{
	uint64_t from = number_at(block, 56, 8);

	if (from == 0)
		return all_zero(block + 64, 16);
	return from <= XTSFS_PLAIN_MAX && from % 4096 != 0 && from / 4096 / 124 == group_no;
}

static int want_header(const uint8_t *block, size_t cipher_bytes)
{
	uint64_t flags = number_at(block, 12, 4), size = number_at(block, 32, 8);
	bool is_inline = flags & 1, sparse = flags & 2, clean = flags & 4;

	if (cipher_bytes < 128 || memcmp(block, "xtsfs.f1", 8) != 0)
		return -XTSFS_EDAMAGED;
	if (number_at(block, 8, 4) != 1 || flags > 7)
		return -XTSFS_EFEATURE;
	if (!all_zero(block + 88, 24) || !growing_allowed(block, 0))
		return -XTSFS_EDAMAGED;
	if (is_inline)
		return clean && !sparse && size >= 1 && size <= 3953 && all_zero(block + 56, 32) &&
				       cipher_bytes >= 128 + (size + 15) / 16 * 16
			       ? 0
			       : -XTSFS_EDAMAGED;
	return cipher_bytes >= 4096 && size <= XTSFS_PLAIN_MAX && (clean || size == 0) ? 0 : -XTSFS_EDAMAGED;
}

static size_t check_parts(const struct iovec *parts, unsigned count, const char *label, const void *object,
			  size_t object_bytes)
{
	const uint8_t *from = object;
	size_t covered = 0;

	FUZZ_CHECK(parts[0].iov_len == 16 && memcmp(parts[0].iov_base, label, 16) == 0, "the label");
	for (unsigned i = 1; i < count; i++) {
		const uint8_t *at = parts[i].iov_base;

		FUZZ_CHECK(at >= from && at + parts[i].iov_len <= from + object_bytes, "part %u is outside", i);
		covered += parts[i].iov_len;
	}
	return covered;
}

static void check_header(const struct xtsfs_disk_block *block, size_t cipher_bytes)
{
	const uint8_t *bytes = (const uint8_t *)block;
	struct xtsfs_header header = {.flags = 0x5a5a5a5a}, again;
	struct xtsfs_disk_block packed = *block;
	struct iovec parts[3];
	int r = xtsfs_header_parse(block, cipher_bytes, &header);
	size_t covered = check_parts(parts, xtsfs_header_tag_parts(block, parts), XTSFS_LABEL_BLOCK0, block, 4096);

	FUZZ_CHECK(r == want_header(bytes, cipher_bytes), "parsing gave %d, not %d", r,
		   want_header(bytes, cipher_bytes));
	if (r < 0) {
		FUZZ_CHECK(header.flags == 0x5a5a5a5a, "the output was touched");
		return;
	}
	FUZZ_CHECK(covered == 112 + (header.flags & XTSFS_FILE_INLINE ? (header.plain_bytes + 15) / 16 * 16 : 3968),
		   "the tag covers %zu bytes", covered);
	FUZZ_CHECK(!(header.flags & XTSFS_FILE_INLINE) || 16 + covered <= cipher_bytes + 16,
		   "the tag covers more than is there");
	xtsfs_header_pack(&header, &packed);
	FUZZ_CHECK(memcmp(&packed, block, 112) == 0, "packed again it differs");
	FUZZ_CHECK(memcmp(packed.inline_cipher, block->inline_cipher, sizeof(packed.inline_cipher)) == 0,
		   "packing touched the rest");
	FUZZ_CHECK(xtsfs_header_parse(&packed, cipher_bytes, &again) == 0 && again.flags == header.flags &&
			   again.plain_bytes == header.plain_bytes,
		   "parsed again it differs");
}

static void check_meta(const struct xtsfs_disk_block *block, uint64_t group_no, const uint8_t *file_id)
{
	const uint8_t *bytes = (const uint8_t *)block;
	struct xtsfs_disk_block packed = *block;
	struct iovec parts[3];
	bool want = memcmp(bytes, "xtsfs.m1", 8) == 0 && number_at(bytes, 8, 8) == group_no &&
		    memcmp(bytes + 16, file_id, 16) == 0 && all_zero(bytes + 32, 24) && all_zero(bytes + 80, 32) &&
		    growing_allowed(bytes, group_no);
	int r = xtsfs_meta_check(block, group_no, file_id);

	FUZZ_CHECK((r == 0) == want && (r == 0 || r == -XTSFS_EDAMAGED), "checking gave %d", r);
	FUZZ_CHECK(check_parts(parts, xtsfs_meta_tag_parts(block, parts), XTSFS_LABEL_META, block, 4096) == 4096 - 16,
		   "the tag does not cover the block");
	if (r < 0)
		return;
	xtsfs_meta_pack(group_no, file_id, &packed);
	FUZZ_CHECK(memcmp(&packed, block, 112) == 0 && memcmp(packed.entry, block->entry, sizeof(packed.entry)) == 0,
		   "packed again it differs");
}

static void check_growing(struct xtsfs_disk_block *block)
{
	struct xtsfs_growing growing = xtsfs_growing_get(block), again;
	struct xtsfs_disk_block before = *block;

	xtsfs_growing_set(block, &growing);
	FUZZ_CHECK(memcmp(&before, block, sizeof(before)) == 0, "a record put back differs");
	xtsfs_growing_set(block, NULL);
	again = xtsfs_growing_get(block);
	FUZZ_CHECK(again.from == 0 && all_zero(again.tag, 16), "no record is one");
	*block = before;
}

static void check_small(const struct xtsfs_disk_block *block)
{
	struct xtsfs_disk_dirid dirid;
	struct xtsfs_disk_unclean unclean;
	struct iovec parts[2];

	memcpy(&dirid, block, sizeof(dirid));
	memcpy(&unclean, block, sizeof(unclean));
	FUZZ_CHECK(check_parts(parts, xtsfs_dirid_tag_parts(&dirid, parts), XTSFS_LABEL_DIRID, &dirid, sizeof(dirid)) ==
			   32,
		   "a dirid's tag");
	FUZZ_CHECK(check_parts(parts, xtsfs_unclean_tag_parts(&unclean, parts), XTSFS_LABEL_UNCLEAN, &unclean,
			       sizeof(unclean)) == 48,
		   "a marker's tag");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const uint8_t id[XTSFS_ID_BYTES] = "the file's id..";
	struct fuzz_input input = fuzz_begin(data, bytes);
	uint8_t kind = fuzz_byte(&input);
	size_t cipher_bytes = (size_t)fuzz_number(&input, 2) % (XTSFS_BLOCK_BYTES + 1), taken;
	struct xtsfs_disk_block block = {0};
	uint64_t group_no = 1;
	const uint8_t *at;

	if (kind & 2) {
		struct xtsfs_header header = {.flags = fuzz_byte(&input), .plain_bytes = fuzz_number(&input, 8)};
		struct xtsfs_growing growing = {.from = fuzz_number(&input, 8)};

		group_no = growing.from / XTSFS_BLOCK_BYTES / XTSFS_GROUP_SECTORS + (kind >> 7);
		xtsfs_growing_set(&block, &growing);
		memcpy(header.file_id, id, sizeof(id));
		if (kind & 1)
			xtsfs_meta_pack(group_no, id, &block);
		else
			xtsfs_header_pack(&header, &block);
		if (kind & 4) { /* one byte of it changed */
			size_t where = (size_t)fuzz_number(&input, 2) % XTSFS_BLOCK_BYTES;

			((uint8_t *)&block)[where] ^= fuzz_byte(&input);
		}
	} else {
		at = fuzz_take(&input, sizeof(block), &taken);
		memcpy(&block, at, taken);
	}
	check_header(&block, kind & 8 ? XTSFS_BLOCK_BYTES : cipher_bytes);
	check_meta(&block, group_no, id);
	check_growing(&block);
	check_small(&block);
	return 0;
}
