/* SPDX-License-Identifier: Apache-2.0 */
#include "attack.h"

#include <fcntl.h>
#include <linux/falloc.h>

#define BLOCKS 130U

/* One of the inodes that have a name, of that type (0: any); NULL if there is none. */
static struct mem_inode *pick(struct memory *memory, uint8_t which, mode_t type)
{
	size_t count = 0;

	for (int turn = 0; turn < 2; turn++) {
		size_t wanted = count ? which % count : 0;

		count = 0;
		for (size_t i = 0; i < memory->inode_count; i++) {
			struct mem_inode *inode = memory->inodes[i];

			if (inode->nlink == 0 || (type && (inode->mode & S_IFMT) != type))
				continue;
			if (turn == 1 && count == wanted)
				return inode;
			count++;
		}
	}
	return NULL;
}

/* A block of a file: its first ones, or some around a group's border. */
static uint64_t block_off(uint8_t which)
{
	return (uint64_t)(which & 64 ? XTSFS_GROUP_BLOCKS - 2U + which % 8U : which % 8U) * XTSFS_BLOCK_BYTES;
}

static void change_bytes(struct fuzz_volume *volume, struct fuzz_input *input, const struct mem_inode *inode, bool put)
{
	uint64_t offset = block_off(fuzz_byte(input)) + fuzz_number(input, 2) % XTSFS_BLOCK_BYTES;
	uint8_t buffer[256];
	const uint8_t *data;
	size_t bytes;

	if (inode->bytes == 0)
		return;
	offset %= inode->bytes;
	data = fuzz_take(input, 1 + fuzz_byte(input) % (put ? sizeof(buffer) : 1), &bytes);
	if (bytes > inode->bytes - offset)
		bytes = (size_t)(inode->bytes - offset);
	xtsfs_memory_peek(inode, buffer, bytes, offset);
	for (size_t i = 0; i < bytes; i++)
		buffer[i] = put ? data[i] : buffer[i] ^ (uint8_t)(data[i] ? data[i] : 1);
	fuzz_store_write(volume, inode->ino, buffer, bytes, offset);
}

static void change_length(struct fuzz_volume *volume, struct fuzz_input *input, const struct mem_inode *inode)
{
	uint8_t how = fuzz_byte(input);
	int slack = (int8_t)fuzz_byte(input);
	int64_t bytes = how & 1 ? (int64_t)inode->bytes + slack : (int64_t)block_off(how >> 1) + slack;

	if (bytes >= 0 && bytes <= (int64_t)(BLOCKS * XTSFS_BLOCK_BYTES))
		fuzz_store_truncate(volume, inode->ino, (uint64_t)bytes);
}

static void copy_block(struct fuzz_volume *volume, struct fuzz_input *input, const struct mem_inode *inode)
{
	const struct mem_inode *from = pick(memory_of(volume->store), fuzz_byte(input), S_IFREG);
	uint64_t from_off = block_off(fuzz_byte(input)), to_off = block_off(fuzz_byte(input));
	uint8_t block[XTSFS_BLOCK_BYTES];
	size_t bytes = sizeof(block);

	if (!from || from_off >= from->bytes || to_off > inode->bytes)
		return;
	if (from->bytes - from_off < bytes)
		bytes = (size_t)(from->bytes - from_off);
	xtsfs_memory_peek(from, block, bytes, from_off);
	fuzz_store_write(volume, inode->ino, block, bytes, to_off);
}

static void punch(struct fuzz_volume *volume, struct fuzz_input *input, const struct mem_inode *inode)
{
	uint8_t which = fuzz_byte(input);
	const struct mem_call call = {.kind = MEM_FALLOCATE,
				      .a = inode->ino,
				      .flags = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				      .offset = block_off(which),
				      .bytes = XTSFS_BLOCK_BYTES};

	fuzz_store_do(volume, &call);
}

static char *entry_of(const struct mem_inode *dir, uint8_t which)
{
	return dir && dir->entry_count ? strdup(dir->entries[which % dir->entry_count].name) : NULL;
}

static bool is_dir_entry(struct fuzz_volume *volume, const struct mem_inode *dir, const char *name)
{
	const struct mem_entry *entry = xtsfs_memory_find(dir, name);
	const struct mem_inode *inode = entry ? fuzz_inode(volume, entry->ino) : NULL;

	return inode && S_ISDIR(inode->mode);
}

static void move_name(struct fuzz_volume *volume, struct fuzz_input *input)
{
	struct memory *memory = memory_of(volume->store);
	struct mem_inode *from = pick(memory, fuzz_byte(input), S_IFDIR);
	struct mem_inode *to = pick(memory, fuzz_byte(input), S_IFDIR);
	uint8_t which = fuzz_byte(input), how = fuzz_byte(input);
	struct mem_call call = {.kind = MEM_RENAME, .a = from->ino, .b = to->ino};

	call.name_a = entry_of(from, which);
	call.name_b = how & 1 ? entry_of(to, how >> 2) : entry_of(from, how >> 2);
	call.flags = how & 2 && call.name_b && xtsfs_memory_find(to, call.name_b) ? RENAME_EXCHANGE : 0;
	/* Exchanging directories may make one its own ancestor, which no filesystem allows. */
	if (call.name_a && call.name_b && !is_dir_entry(volume, from, call.name_a) &&
	    !is_dir_entry(volume, to, call.name_b))
		fuzz_store_do(volume, &call);
	free(call.name_a);
	free(call.name_b);
}

/* An entry goes, or something of another type takes its place. */
static void replace_entry(struct fuzz_volume *volume, struct fuzz_input *input)
{
	static const mode_t types[4] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO};
	struct mem_inode *dir = pick(memory_of(volume->store), fuzz_byte(input), S_IFDIR);
	uint8_t which = fuzz_byte(input), how = fuzz_byte(input);
	char *name = entry_of(dir, which);
	struct mem_call call = {.kind = MEM_UNLINK, .a = dir->ino, .name_a = name};

	if (!name)
		return;
	call.flags = is_dir_entry(volume, dir, name) ? AT_REMOVEDIR : 0;
	fuzz_store_do(volume, &call);
	if (how & 1) {
		call = (struct mem_call){.kind = MEM_MKNOD, .a = dir->ino, .name_a = name};
		call.mode = types[how >> 6] | 0700;
		call.data = (const uint8_t *)"../../target";
		call.bytes = S_ISLNK(call.mode) ? 12 : 0;
		fuzz_store_do(volume, &call);
	} else if (how & 2) { /* the same object twice */
		struct mem_inode *inode = pick(memory_of(volume->store), how >> 2, S_IFREG);

		call = (struct mem_call){.kind = MEM_LINK, .a = dir->ino, .name_a = name};
		call.b = inode ? inode->ino : 0;
		if (inode)
			fuzz_store_do(volume, &call);
	}
	free(name);
}

static void change_attribute(struct fuzz_volume *volume, struct fuzz_input *input, struct mem_inode *inode)
{
	uint8_t how = fuzz_byte(input);
	struct mem_inode *other = pick(memory_of(volume->store), fuzz_byte(input), 0);
	struct mem_xattr *x = other ? other->xattrs : NULL;
	struct mem_call call = {.kind = MEM_SETXATTR, .a = inode->ino};

	if (!x)
		return;
	if (how & 1) {
		if (x->bytes)
			((uint8_t *)x->value)[how / 4U % x->bytes] ^= 1;
		return;
	}
	call.name_a = strdup(how & 2 && inode->xattrs ? inode->xattrs->name : x->name);
	call.bytes = x->bytes;
	call.data = malloc(x->bytes + 1);
	memcpy((void *)(uintptr_t)call.data, x->value, x->bytes);
	fuzz_store_do(volume, &call);
	free(call.name_a);
	free((void *)(uintptr_t)call.data);
}

/* What an object held when the snapshot was made: all of it, or one block. */
static void replay(struct fuzz_volume *volume, struct fuzz_input *input, const struct mem_inode *inode,
		   const struct xtsfs_store *snapshot)
{
	const struct mem_inode *old = inode_at(memory_of(snapshot), inode->ino);
	uint8_t how = fuzz_byte(input);
	uint64_t offset = block_off(how >> 1), end;
	uint8_t *data;

	if (!old || !S_ISREG(old->mode) || old->bytes > BLOCKS * XTSFS_BLOCK_BYTES)
		return;
	data = malloc(old->bytes + 1);
	xtsfs_memory_peek(old, data, (size_t)old->bytes, 0);
	end = offset + XTSFS_BLOCK_BYTES < old->bytes ? offset + XTSFS_BLOCK_BYTES : old->bytes;
	if (how & 1) {
		fuzz_store_truncate(volume, inode->ino, 0);
		fuzz_store_write(volume, inode->ino, data, (size_t)old->bytes, 0);
	} else if (offset < old->bytes) {
		fuzz_store_write(volume, inode->ino, data + offset, (size_t)(end - offset), offset);
	}
	free(data);
}

/* The marker as it was while the volume was in use. */
static void replay_marker(struct fuzz_volume *volume, const struct xtsfs_store *snapshot)
{
	const struct mem_entry *entry = xtsfs_memory_find(memory_of(snapshot)->inodes[0], XTSFS_NAME_UNCLEAN);
	uint8_t data[128];

	if (!entry || fuzz_backing(volume, XTSFS_NAME_UNCLEAN))
		return;
	memset(data, 0, sizeof(data));
	xtsfs_memory_peek(inode_at(memory_of(snapshot), entry->ino), data, 64, 0);
	core_put_backing(volume->store, XTSFS_NAME_UNCLEAN, data, 64);
}

enum attack_kind attack(struct fuzz_volume *volume, struct fuzz_input *input, const struct xtsfs_store *snapshot)
{
	uint8_t kind = fuzz_byte(input), which = fuzz_byte(input);
	struct mem_inode *inode = pick(memory_of(volume->store), which, S_IFREG);

	if (!inode)
		return ATTACK_EDIT;
	switch (kind % 13) {
	case 0:
		change_bytes(volume, input, inode, false);
		return ATTACK_EDIT;
	case 1:
		change_bytes(volume, input, inode, true);
		return ATTACK_EDIT;
	case 2:
		change_length(volume, input, inode);
		return ATTACK_EDIT;
	case 3:
	case 4:
		copy_block(volume, input, inode);
		return ATTACK_EDIT;
	case 5:
		punch(volume, input, inode);
		return ATTACK_EDIT;
	case 6:
		move_name(volume, input);
		return ATTACK_EDIT;
	case 7:
		replace_entry(volume, input);
		return ATTACK_EDIT;
	case 8:
		change_attribute(volume, input, inode);
		return ATTACK_EDIT;
	case 9:
	case 10:
		if (snapshot)
			replay(volume, input, inode, snapshot);
		return ATTACK_REPLAY;
	case 11:
		if (snapshot)
			replay_marker(volume, snapshot);
		return ATTACK_REPLAY;
	default:
		change_bytes(volume, input, inode, true);
		fuzz_reseal(volume, inode->ino, kind & 128);
		return ATTACK_FORGE;
	}
}
