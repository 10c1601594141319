/* SPDX-License-Identifier: Apache-2.0 */
/*
 * POSIX ACLs between the kernel's form (the attributes system.posix_acl_*: le32 version 2, then le16 tag, le16
 * permissions and le32 id for each entry) and libarchive's. Owners are numbers on both sides.
 */
#include "tar.h"

#include "base/parse.h"

#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#define VERSION	     2U
#define HEADER_BYTES 4U
#define ENTRY_BYTES  8U
#define NO_ID	     0xffffffffU
#define ENTRIES_MOST 1024U

static const struct {
	unsigned kernel;
	int archive;
} tags[] = {
	{0x01, ARCHIVE_ENTRY_ACL_USER_OBJ}, {0x02, ARCHIVE_ENTRY_ACL_USER}, {0x04, ARCHIVE_ENTRY_ACL_GROUP_OBJ},
	{0x08, ARCHIVE_ENTRY_ACL_GROUP},    {0x10, ARCHIVE_ENTRY_ACL_MASK}, {0x20, ARCHIVE_ENTRY_ACL_OTHER},
};
#define TAGS (sizeof(tags) / sizeof(tags[0]))

static uint32_t load(const uint8_t *bytes, unsigned count)
{
	uint32_t value = 0;

	while (count-- > 0)
		value = value << 8 | bytes[count];
	return value;
}

static void store(uint8_t *bytes, unsigned count, uint32_t value)
{
	for (; count > 0; count--, value >>= 8)
		*bytes++ = (uint8_t)value;
}

int tar_acl_to_entry(struct archive_entry *entry, bool is_default, const uint8_t *value, size_t bytes)
{
	int type = is_default ? ARCHIVE_ENTRY_ACL_TYPE_DEFAULT : ARCHIVE_ENTRY_ACL_TYPE_ACCESS;

	if (bytes < HEADER_BYTES || load(value, 4) != VERSION || (bytes - HEADER_BYTES) % ENTRY_BYTES)
		return -EINVAL;
	for (size_t at = HEADER_BYTES; at < bytes; at += ENTRY_BYTES) {
		unsigned tag = load(value + at, 2), permissions = load(value + at + 2, 2) & 7;
		uint32_t id = load(value + at + 4, 4);
		size_t i = 0;

		while (i < TAGS && tags[i].kernel != tag)
			i++;
		if (i == TAGS || archive_entry_acl_add_entry(entry, type, (int)permissions, tags[i].archive,
							     id == NO_ID ? -1 : (int)id, NULL) != 0)
			return -EINVAL;
	}
	return 0;
}

/* The kernel wants the entries in the order of their tags, and of ids. */
static int compare(const void *a, const void *b)
{
	uint32_t tag_a = load(a, 2), tag_b = load(b, 2), id_a, id_b;

	if (tag_a != tag_b)
		return tag_a < tag_b ? -1 : 1;
	id_a = load((const uint8_t *)a + 4, 4);
	id_b = load((const uint8_t *)b + 4, 4);
	return id_a < id_b ? -1 : id_a > id_b;
}

/* An entry that has only a name: it is a number (--numeric-owner), or a name of this machine. -1: neither. */
static int id_of_name(const char *name, bool is_user)
{
	const struct passwd *user;
	const struct group *group;
	uint64_t id;

	if (!name || !name[0])
		return -1;
	if (xtsfs_parse_u64(name, 0, INT_MAX, &id) == 0)
		return (int)id;
	user = is_user ? getpwnam(name) : NULL;	 /* NOLINT(concurrency-mt-unsafe): one thread */
	group = is_user ? NULL : getgrnam(name); /* NOLINT(concurrency-mt-unsafe): one thread */
	return user ? (int)user->pw_uid : group ? (int)group->gr_gid : -1;
}

ssize_t tar_acl_from_entry(struct archive_entry *entry, bool is_default, uint8_t *ret_value, size_t room)
{
	int wanted = is_default ? ARCHIVE_ENTRY_ACL_TYPE_DEFAULT : ARCHIVE_ENTRY_ACL_TYPE_ACCESS;
	int type, permissions, tag, id, count = archive_entry_acl_reset(entry, wanted);
	size_t at = HEADER_BYTES;
	const char *name;

	/* Of an access ACL, one that says no more than the mode is none. */
	if (count <= 0)
		return 0;
	if ((unsigned)count > ENTRIES_MOST || HEADER_BYTES + (size_t)count * ENTRY_BYTES > room)
		return -E2BIG;
	store(ret_value, 4, VERSION);
	while (archive_entry_acl_next(entry, wanted, &type, &permissions, &tag, &id, &name) == 0) {
		size_t i = 0;
		bool has_id = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;

		if (has_id && id < 0)
			id = id_of_name(name, tag == ARCHIVE_ENTRY_ACL_USER);
		while (i < TAGS && tags[i].archive != tag)
			i++;
		if (i == TAGS || at + ENTRY_BYTES > room || (has_id && id < 0))
			return -EINVAL;
		store(ret_value + at, 2, tags[i].kernel);
		store(ret_value + at + 2, 2, (uint32_t)permissions & 7);
		store(ret_value + at + 4, 4, has_id ? (uint32_t)id : NO_ID);
		at += ENTRY_BYTES;
	}
	qsort(ret_value + HEADER_BYTES, (at - HEADER_BYTES) / ENTRY_BYTES, ENTRY_BYTES, compare);
	return (ssize_t)at;
}
