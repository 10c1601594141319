/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing and opening manifests (docs/manifest-format.md section 2).
 *
 * Entries are collected to frames of 64 KiB, each sealed by AES-256-SIV with the header, its number and whether it is
 * the last as associated data. So nothing is parsed before it is known to be authentic but the header and the length
 * of a frame; frames cannot be left out, exchanged, or taken from another manifest; a manifest that ends early has no
 * last frame. And nothing is seen of it but its size. Memory is two frames, whatever the volume has.
 */
#include "core/manifest.h"

#include "core/internal.h"
#include "crypto/kdf.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CIPHER_MAX (XTSFS_MANIFEST_FRAME_MAX + XTSFS_SIV_IV_BYTES)
#define AD_BYTES   (XTSFS_MANIFEST_HEADER_BYTES + 9)

struct frame {
	uint8_t ad[AD_BYTES]; /* the header, then number and is-last */
	uint64_t number;
	uint8_t plain[XTSFS_MANIFEST_FRAME_MAX], cipher[CIPHER_MAX];
	size_t bytes, at;
};

struct xtsfs_manifest_writer {
	struct xtsfs_volume *volume;
	int (*write)(void *data, const void *bytes, size_t count);
	void *data;
	struct frame frame;
};

struct xtsfs_manifest_reader {
	struct xtsfs_volume *volume;
	ssize_t (*read)(void *data, void *ret_bytes, size_t count);
	void *data;
	uint8_t length[4]; /* of the next frame, if there is one */
	bool has_next;
	uint16_t depth; /* of the last entry */
	bool any, was_dir;
	struct frame frame;
};

static void fill_ad(struct frame *frame, bool last)
{
	xtsfs_store_le(frame->ad + XTSFS_MANIFEST_HEADER_BYTES, 8, frame->number);
	frame->ad[AD_BYTES - 1] = last;
}

int xtsfs_manifest_writer_new(struct xtsfs_volume *volume, int (*write)(void *data, const void *bytes, size_t count),
			      void *data, struct xtsfs_manifest_writer **ret_writer)
{
	struct xtsfs_manifest_writer *writer = calloc(1, sizeof(*writer));
	uint8_t *header;
	int r;

	if (!writer)
		return -ENOMEM;
	writer->volume = volume;
	writer->write = write;
	writer->data = data;
	header = writer->frame.ad;
	memcpy(header, XTSFS_MANIFEST_MAGIC, 8);
	xtsfs_store_le(header + 8, 4, XTSFS_MANIFEST_VERSION);
	memcpy(header + 16, volume->uuid, XTSFS_UUID_BYTES);
	r = xtsfs_random(header + 32, 16);
	xtsfs_store_le(header + 48, 8, (uint64_t)time(NULL));
	if (r == 0)
		r = write(data, header, XTSFS_MANIFEST_HEADER_BYTES);
	if (r < 0) {
		free(writer);
		return r;
	}
	*ret_writer = writer;
	return 0;
}

static int write_frame(struct xtsfs_manifest_writer *writer, bool last)
{
	struct frame *frame = &writer->frame;
	uint8_t length[4];
	int r;

	fill_ad(frame, last);
	r = xtsfs_siv_seal(writer->volume->keys->manifest, frame->ad, AD_BYTES, frame->plain, frame->bytes,
			   frame->cipher);
	xtsfs_store_le(length, 4, frame->bytes + XTSFS_SIV_IV_BYTES);
	if (r == 0)
		r = writer->write(writer->data, length, sizeof(length));
	if (r == 0)
		r = writer->write(writer->data, frame->cipher, frame->bytes + XTSFS_SIV_IV_BYTES);
	frame->bytes = 0;
	frame->number++;
	return r;
}

int xtsfs_manifest_add(struct xtsfs_manifest_writer *writer, const struct xtsfs_manifest_entry *entry)
{
	int r = 0;

	if (writer->frame.bytes + XTSFS_MANIFEST_ENTRY_MAX > sizeof(writer->frame.plain))
		r = write_frame(writer, false);
	if (r == 0)
		writer->frame.bytes += xtsfs_manifest_pack(entry, writer->frame.plain + writer->frame.bytes);
	return r;
}

int xtsfs_manifest_writer_end(struct xtsfs_manifest_writer *writer, bool good)
{
	int r = !good ? 0 : writer->frame.bytes ? write_frame(writer, true) : -EINVAL;

	free(writer);
	return r;
}

/* Is there another frame? */
static int read_length(struct xtsfs_manifest_reader *reader)
{
	ssize_t n = reader->read(reader->data, reader->length, sizeof(reader->length));

	reader->has_next = n == sizeof(reader->length);
	return n < 0 ? (int)n : n == 0 || reader->has_next ? 0 : -XTSFS_EDAMAGED;
}

int xtsfs_manifest_reader_new(struct xtsfs_volume *volume, ssize_t (*read)(void *data, void *ret_bytes, size_t count),
			      void *data, struct xtsfs_manifest_reader **ret_reader, int64_t *ret_created_s)
{
	struct xtsfs_manifest_reader *reader = calloc(1, sizeof(*reader));
	uint8_t *header;
	ssize_t n;
	int r = 0;

	if (!reader)
		return -ENOMEM;
	reader->volume = volume;
	reader->read = read;
	reader->data = data;
	header = reader->frame.ad;
	n = read(data, header, XTSFS_MANIFEST_HEADER_BYTES);
	if (n < 0)
		r = (int)n;
	else if (n < 12 || memcmp(header, XTSFS_MANIFEST_MAGIC, 8) != 0 ||
		 xtsfs_load_le(header + 8, 4) != XTSFS_MANIFEST_VERSION)
		r = -EPROTO;
	else if ((size_t)n < XTSFS_MANIFEST_HEADER_BYTES)
		r = -XTSFS_EDAMAGED;
	else if (memcmp(header + 16, volume->uuid, XTSFS_UUID_BYTES) != 0)
		r = -EXDEV;
	else
		r = read_length(reader);
	if (r == 0 && !reader->has_next)
		r = -XTSFS_EDAMAGED;
	if (r < 0) {
		free(reader);
		return r;
	}
	*ret_created_s = (int64_t)xtsfs_load_le(header + 48, 8);
	*ret_reader = reader;
	return 0;
}

static int read_frame(struct xtsfs_manifest_reader *reader)
{
	struct frame *frame = &reader->frame;
	size_t bytes = (size_t)xtsfs_load_le(reader->length, 4);
	ssize_t n;
	int r;

	if (bytes <= XTSFS_SIV_IV_BYTES || bytes > sizeof(frame->cipher))
		return -XTSFS_EAUTH;
	n = reader->read(reader->data, frame->cipher, bytes);
	if (n < 0)
		return (int)n;
	r = (size_t)n < bytes ? -XTSFS_EAUTH : read_length(reader);
	if (r < 0)
		return r == -XTSFS_EDAMAGED ? -XTSFS_EAUTH : r;
	fill_ad(frame, !reader->has_next);
	r = xtsfs_siv_open(reader->volume->keys->manifest, frame->ad, AD_BYTES, frame->cipher, bytes, frame->plain);
	if (r < 0)
		return r;
	frame->bytes = bytes - XTSFS_SIV_IV_BYTES;
	frame->at = 0;
	frame->number++;
	return 0;
}

int xtsfs_manifest_next(struct xtsfs_manifest_reader *reader, struct xtsfs_manifest_entry *ret_entry)
{
	struct frame *frame = &reader->frame;
	int r;

	if (frame->at == frame->bytes) {
		if (frame->number > 0 && !reader->has_next)
			return 0;
		r = read_frame(reader);
		if (r < 0)
			return r;
	}
	r = xtsfs_manifest_parse(frame->plain + frame->at, frame->bytes - frame->at, ret_entry);
	if (r < 0)
		return r;
	/* The root first, and each entry in a directory before it. */
	if (reader->any ? ret_entry->depth == 0 || ret_entry->depth > reader->depth + (reader->was_dir ? 1 : 0)
			: ret_entry->depth != 0)
		return -XTSFS_EDAMAGED;
	reader->any = true;
	reader->depth = ret_entry->depth;
	reader->was_dir = S_ISDIR(ret_entry->mode);
	frame->at += (size_t)r;
	return 1;
}

struct xtsfs_manifest_reader *xtsfs_manifest_reader_free(struct xtsfs_manifest_reader *reader)
{
	free(reader);
	return NULL;
}
