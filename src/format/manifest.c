/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of a manifest (docs/manifest-format.md section 3).
 */
#include "format/manifest.h"

#include <string.h>
#include <sys/stat.h>

size_t xtsfs_manifest_pack(const struct xtsfs_manifest_entry *entry, uint8_t *ret_bytes)
{
	size_t name_bytes = strlen(entry->name);

	memset(ret_bytes, 0, XTSFS_MANIFEST_FIXED_BYTES);
	xtsfs_store_le(ret_bytes, 2, entry->depth);
	xtsfs_store_le(ret_bytes + 2, 2, entry->mode);
	xtsfs_store_le(ret_bytes + 4, 2, name_bytes);
	xtsfs_store_le(ret_bytes + 8, 4, entry->uid);
	xtsfs_store_le(ret_bytes + 12, 4, entry->gid);
	xtsfs_store_le(ret_bytes + 16, 8, entry->size);
	xtsfs_store_le(ret_bytes + 24, 8, (uint64_t)entry->mtime_s);
	xtsfs_store_le(ret_bytes + 32, 4, entry->mtime_ns);
	memcpy(ret_bytes + 40, entry->id, sizeof(entry->id));
	memcpy(ret_bytes + 56, entry->tag, sizeof(entry->tag));
	memcpy(ret_bytes + 72, entry->attr, sizeof(entry->attr));
	memcpy(ret_bytes + XTSFS_MANIFEST_FIXED_BYTES, entry->name, name_bytes);
	return XTSFS_MANIFEST_FIXED_BYTES + name_bytes;
}

static bool is_name(const char *name, size_t bytes)
{
	return bytes >= 1 && !memchr(name, '/', bytes) && !memchr(name, '\0', bytes) &&
	       !(name[0] == '.' && (bytes == 1 || (bytes == 2 && name[1] == '.')));
}

int xtsfs_manifest_parse(const uint8_t *bytes, size_t room, struct xtsfs_manifest_entry *ret_entry)
{
	struct xtsfs_manifest_entry entry = {0};
	size_t name_bytes;

	if (room < XTSFS_MANIFEST_FIXED_BYTES)
		return -XTSFS_EDAMAGED;
	entry.depth = (uint16_t)xtsfs_load_le(bytes, 2);
	entry.mode = (uint16_t)xtsfs_load_le(bytes + 2, 2);
	name_bytes = (size_t)xtsfs_load_le(bytes + 4, 2);
	entry.uid = (uint32_t)xtsfs_load_le(bytes + 8, 4);
	entry.gid = (uint32_t)xtsfs_load_le(bytes + 12, 4);
	entry.size = xtsfs_load_le(bytes + 16, 8);
	entry.mtime_s = (int64_t)xtsfs_load_le(bytes + 24, 8);
	entry.mtime_ns = (uint32_t)xtsfs_load_le(bytes + 32, 4);
	memcpy(entry.id, bytes + 40, sizeof(entry.id));
	memcpy(entry.tag, bytes + 56, sizeof(entry.tag));
	memcpy(entry.attr, bytes + 72, sizeof(entry.attr));
	if (name_bytes > XTSFS_NAME_MAX || name_bytes > room - XTSFS_MANIFEST_FIXED_BYTES ||
	    xtsfs_load_le(bytes + 6, 2) != 0 || xtsfs_load_le(bytes + 36, 4) != 0 || entry.mtime_ns >= 1000000000U)
		return -XTSFS_EDAMAGED;
	memcpy(entry.name, bytes + XTSFS_MANIFEST_FIXED_BYTES, name_bytes);
	if (entry.depth == 0 ? name_bytes != 0 || !S_ISDIR(entry.mode) : !is_name(entry.name, name_bytes))
		return -XTSFS_EDAMAGED;
	*ret_entry = entry;
	return (int)(XTSFS_MANIFEST_FIXED_BYTES + name_bytes);
}
