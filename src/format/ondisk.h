/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands on disk: docs/on-disk-format.md in C.
 *
 * Layer:   format (may include base/ only).
 */
#ifndef XTSFS_FORMAT_ONDISK_H
#define XTSFS_FORMAT_ONDISK_H

#include "base/endian.h"

#include <assert.h>
#include <stddef.h>

#define XTSFS_BLOCK_BYTES    4096U /* B: sector, block and page */
#define XTSFS_ID_BYTES	     16U   /* file ids and directory ids */
#define XTSFS_DISK_TAG_BYTES 16U
#define XTSFS_HEADER_BYTES   128U
#define XTSFS_GROUP_SECTORS  124U /* entries in a meta block */
#define XTSFS_GROUP_BLOCKS   (1U + XTSFS_GROUP_SECTORS)
#define XTSFS_INLINE_MAX     3953U	  /* plain bytes */
#define XTSFS_SHORT_TAIL_MAX 4080U	  /* plain bytes of a tail that fits its block with filler */
#define XTSFS_INLINE_SECTOR  (1ULL << 63) /* spec 9.2 */
#define XTSFS_NAME_MAX	     255U
#define XTSFS_SYMLINK_MAX    3039U
#define XTSFS_FORMAT_VERSION 1U

#define XTSFS_NAME_CONF	       "xtsfs.conf"
#define XTSFS_NAME_CONF_COPY   "xtsfs.conf.bak"
#define XTSFS_NAME_BACKUP_NOTE "xtsfs.backup"
#define XTSFS_NAME_LOCK	       "xtsfs.lock"
#define XTSFS_NAME_UNCLEAN     "xtsfs.unclean"
#define XTSFS_NAME_DIRID       "xtsfs.dirid"
#define XTSFS_NAME_LONG	       "xtsfs.long."
#define XTSFS_NAME_LONG_SUFFIX ".name"
#define XTSFS_NAME_TMP	       "xtsfs.tmp."
#define XTSFS_NAME_LOST	       "xtsfs.lost+found"
#define XTSFS_NAME_REDO	       "xtsfs.redo"

#define XTSFS_MAGIC_FILE    "xtsfs.f1"
#define XTSFS_MAGIC_META    "xtsfs.m1"
#define XTSFS_MAGIC_UNCLEAN "xtsfs.u1"
#define XTSFS_MAGIC_REDO    "xtsfs.r1"

/* Domain labels: the first 16 bytes of what a meta tag covers (spec 5, 9.1, 9.6, 10, 14). */
#define XTSFS_LABEL_BYTES   16U
#define XTSFS_LABEL_DIRID   "xtsfs dirid v1\0"
#define XTSFS_LABEL_BLOCK0  "xtsfs block0 v1"
#define XTSFS_LABEL_META    "xtsfs meta v1\0\0"
#define XTSFS_LABEL_UNCLEAN "xtsfs dirty v1\0"
#define XTSFS_LABEL_REDO    "xtsfs redo v1\0\0"
static_assert(sizeof(XTSFS_LABEL_DIRID) == XTSFS_LABEL_BYTES, "label");
static_assert(sizeof(XTSFS_LABEL_BLOCK0) == XTSFS_LABEL_BYTES, "label");
static_assert(sizeof(XTSFS_LABEL_META) == XTSFS_LABEL_BYTES, "label");
static_assert(sizeof(XTSFS_LABEL_UNCLEAN) == XTSFS_LABEL_BYTES, "label");
static_assert(sizeof(XTSFS_LABEL_REDO) == XTSFS_LABEL_BYTES, "label");

enum xtsfs_file_flags {
	XTSFS_FILE_INLINE = 1U << 0,
	XTSFS_FILE_SPARSE = 1U << 1,
	XTSFS_FILE_CLEAN = 1U << 2,
	XTSFS_FILE_FLAGS = 7U,
};

/* spec 9.8; at one place in block 0 and in meta blocks */
struct xtsfs_disk_growing {
	struct xtsfs_le64 from; /* plain bytes of the file before; 0: nothing grows */
	uint8_t tag[XTSFS_DISK_TAG_BYTES];
};

/* spec 9.1 */
struct xtsfs_disk_header {
	uint8_t magic[8];
	struct xtsfs_le32 version;
	struct xtsfs_le32 flags;
	uint8_t file_id[XTSFS_ID_BYTES];
	struct xtsfs_le64 plain_bytes;
	uint8_t dirid_hint[XTSFS_ID_BYTES];
	struct xtsfs_disk_growing growing;
	struct xtsfs_le64 renewed; /* spec 14.3 */
	uint8_t zero[24];
	uint8_t tag[XTSFS_DISK_TAG_BYTES];
};
static_assert(sizeof(struct xtsfs_disk_header) == XTSFS_HEADER_BYTES, "spec 9.1");
static_assert(offsetof(struct xtsfs_disk_header, file_id) == 16, "spec 9.1");
static_assert(offsetof(struct xtsfs_disk_header, plain_bytes) == 32, "spec 9.1");
static_assert(offsetof(struct xtsfs_disk_header, dirid_hint) == 40, "spec 9.1");
static_assert(offsetof(struct xtsfs_disk_header, growing) == 56, "spec 9.1");
static_assert(offsetof(struct xtsfs_disk_header, renewed) == 80, "spec 14.3");
static_assert(offsetof(struct xtsfs_disk_header, tag) == 112, "spec 9.1");

/* spec 9.6 */
struct xtsfs_disk_meta_header {
	uint8_t magic[8];
	struct xtsfs_le64 group_no;
	uint8_t file_id[XTSFS_ID_BYTES];
	uint8_t zero[24];
	struct xtsfs_disk_growing growing;
	uint8_t more_zero[32];
	uint8_t tag[XTSFS_DISK_TAG_BYTES];
};
static_assert(sizeof(struct xtsfs_disk_meta_header) == XTSFS_HEADER_BYTES, "spec 9.6");
static_assert(offsetof(struct xtsfs_disk_meta_header, growing) == 56, "spec 9.6");
static_assert(offsetof(struct xtsfs_disk_meta_header, tag) == 112, "spec 9.6");

struct xtsfs_disk_entry {
	uint8_t now[XTSFS_DISK_TAG_BYTES];
	uint8_t before[XTSFS_DISK_TAG_BYTES];
};
static_assert(sizeof(struct xtsfs_disk_entry) == 32, "spec 9.6");

/* Block 0 and meta blocks. */
struct xtsfs_disk_block {
	union {
		struct xtsfs_disk_header file;	    /* block 0 */
		struct xtsfs_disk_meta_header meta; /* groups from 1 on */
		uint8_t header_bytes[XTSFS_HEADER_BYTES];
	};
	union {
		struct xtsfs_disk_entry entry[XTSFS_GROUP_SECTORS];
		uint8_t inline_cipher[XTSFS_BLOCK_BYTES - XTSFS_HEADER_BYTES];
	};
};
static_assert(sizeof(struct xtsfs_disk_block) == XTSFS_BLOCK_BYTES, "spec 9.6");

/* spec 5 */
struct xtsfs_disk_dirid {
	uint8_t id[XTSFS_ID_BYTES];
	uint8_t parent_id[XTSFS_ID_BYTES];
	uint8_t tag[XTSFS_DISK_TAG_BYTES];
};
static_assert(sizeof(struct xtsfs_disk_dirid) == 48, "spec 5");

/* spec 10 rule 6 */
struct xtsfs_disk_unclean {
	uint8_t magic[8];
	struct xtsfs_le64 unix_s;
	uint8_t zero[32];
	uint8_t tag[XTSFS_DISK_TAG_BYTES];
};
static_assert(sizeof(struct xtsfs_disk_unclean) == 64, "spec 10");

/* spec 14.4: before block 0, path and image */
struct xtsfs_disk_redo {
	uint8_t magic[8];
	struct xtsfs_le64 path_bytes;
	struct xtsfs_le64 image_cipher_off;
	struct xtsfs_le64 image_bytes;
	uint8_t file_id[XTSFS_ID_BYTES];
	struct xtsfs_le64 mtime_s, mtime_ns;
	uint8_t zero[48];
	uint8_t tag[XTSFS_DISK_TAG_BYTES];
};
static_assert(sizeof(struct xtsfs_disk_redo) == XTSFS_HEADER_BYTES, "spec 14.4");
static_assert(offsetof(struct xtsfs_disk_redo, tag) == 112, "spec 14.4");

#endif
