/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Little-endian integers as they stand on disk.
 *
 * Layer:   base.
 * The struct wrapping makes it a compile error to use an on-disk value without converting it.
 */
#ifndef XTSFS_BASE_ENDIAN_H
#define XTSFS_BASE_ENDIAN_H

#include <stdint.h>
#include <string.h>

struct xtsfs_le16 {
	uint8_t b[2];
};
struct xtsfs_le32 {
	uint8_t b[4];
};
struct xtsfs_le64 {
	uint8_t b[8];
};

static inline uint64_t xtsfs_load_le(const uint8_t *bytes, unsigned count)
{
	uint64_t value = 0;

	while (count-- > 0)
		value = value << 8 | bytes[count];
	return value;
}

static inline void xtsfs_store_le(uint8_t *bytes, unsigned count, uint64_t value)
{
	for (unsigned i = 0; i < count; i++, value >>= 8)
		bytes[i] = (uint8_t)value;
}

static inline uint16_t xtsfs_le16_get(struct xtsfs_le16 v)
{
	return (uint16_t)xtsfs_load_le(v.b, 2);
}

static inline uint32_t xtsfs_le32_get(struct xtsfs_le32 v)
{
	return (uint32_t)xtsfs_load_le(v.b, 4);
}

static inline uint64_t xtsfs_le64_get(struct xtsfs_le64 v)
{
	return xtsfs_load_le(v.b, 8);
}

static inline struct xtsfs_le16 xtsfs_le16_of(uint16_t value)
{
	struct xtsfs_le16 v;

	xtsfs_store_le(v.b, 2, value);
	return v;
}

static inline struct xtsfs_le32 xtsfs_le32_of(uint32_t value)
{
	struct xtsfs_le32 v;

	xtsfs_store_le(v.b, 4, value);
	return v;
}

static inline struct xtsfs_le64 xtsfs_le64_of(uint64_t value)
{
	struct xtsfs_le64 v;

	xtsfs_store_le(v.b, 8, value);
	return v;
}

#endif
