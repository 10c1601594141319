/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One regular file whose stored bytes are anything, through the core: headers, meta blocks, lengths, crashes' traces,
 * and what operations and fsck make of them (spec 9, 10).
 *
 * Input: a byte that chooses integrity and the shape of a file as the core made it; one for the mode; a count of edits
 * of its stored bytes; operations until the end. The file is raw after the edits, or resealed: tags of header and meta
 * blocks made right again, or those of the sectors too, which gets the fuzzer behind authentication.
 */
#include "volume.h"

#include "format/header.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#define MOST (130U * CORE_B) /* plain bytes that operations reach */
#define NAME "f"

enum mode {
	MODE_RESEAL = 1,
	MODE_SECTORS = 2, /* their tags, too */
	MODE_MARKER = 4,  /* as after a crash */
	MODE_SALVAGE = 8, /* read it with that */
	MODE_WAITING = 16,
	MODE_FSCK = 32, /* first of all */
};

enum shape {
	SHAPE_INLINE,
	SHAPE_INLINE_FULL,
	SHAPE_SECTORS,
	SHAPE_TAIL, /* in two blocks */
	SHAPE_SPARSE,
	SHAPE_GROWING, /* killed while the last sector grows, and an overwrite */
	SHAPE_SHRINKING,
	SHAPE_EMPTY,
	SHAPE__COUNT
};

static struct xtsfs_store *shapes[XTSFS_INTEGRITY__COUNT][SHAPE__COUNT];

static void write_pattern(struct core *core, size_t bytes, uint64_t offset, uint64_t seed)
{
	uint8_t *data = malloc(bytes + 1);

	core_pattern(seed, offset, data, bytes);
	FUZZ_CHECK(core_try_write(core, NAME, data, bytes, offset) == (ssize_t)bytes, "writing");
	free(data);
}

static void make_shape(struct core *core, enum shape shape)
{
	struct xtsfs_node *node;
	int r;

	FUZZ_CHECK(core_try_create(core, NAME) == 0, "creating");
	switch (shape) {
	case SHAPE_INLINE:
		write_pattern(core, 100, 0, 1);
		break;
	case SHAPE_INLINE_FULL:
		write_pattern(core, XTSFS_INLINE_MAX, 0, 1);
		break;
	case SHAPE_SECTORS:
		write_pattern(core, 9000, 0, 1);
		break;
	case SHAPE_TAIL:
		write_pattern(core, CORE_B + 4090, 0, 1);
		break;
	case SHAPE_SPARSE:
		write_pattern(core, 5000, 0, 1);
		write_pattern(core, 300, 124 * CORE_B + 100, 1);
		break;
	case SHAPE_GROWING:
	case SHAPE_SHRINKING:
		write_pattern(core, 5000, 0, 1);
		node = core_node(core, NAME, NULL, &r);
		FUZZ_CHECK(node && xtsfs_open(core->volume, node, true) == 0 &&
				   xtsfs_fsync(core->volume, node, false) == 0,
			   "opening");
		if (shape == SHAPE_GROWING)
			write_pattern(core, 50, 5000, 2);
		else
			FUZZ_CHECK(core_try_truncate(core, NAME, 4500) == 0, "shortening");
		write_pattern(core, 60, 0, 2);
		break; /* stays open: killed so */
	default:
		break;
	}
}

static void begin(struct fuzz_volume *volume, enum xtsfs_integrity integrity, enum shape shape)
{
	if (!shapes[integrity][shape]) {
		fuzz_volume_begin(volume, integrity);
		FUZZ_CHECK(fuzz_volume_open(volume, FUZZ_OPEN_WRITE) == 0, "opening");
		make_shape(&volume->core, shape);
		if (shape == SHAPE_GROWING || shape == SHAPE_SHRINKING) {
			FUZZ_CHECK(xtsfs_memory_clone(volume->store, &shapes[integrity][shape]) == 0, "memory");
			(void)!core_try_close(&volume->core);
			/* Its lock was the process's. */
		} else {
			FUZZ_CHECK(core_try_close(&volume->core) == 0, "closing");
			FUZZ_CHECK(xtsfs_memory_clone(volume->store, &shapes[integrity][shape]) == 0, "memory");
		}
		fuzz_volume_end(volume);
	}
	fuzz_volume_begin_from(volume, integrity, shapes[integrity][shape]);
}

static ino_t ino_of(struct fuzz_volume *volume)
{
	struct memory *memory = memory_of(volume->store);

	for (size_t i = 0; i < memory->inodes[0]->entry_count; i++)
		if (!strchr(memory->inodes[0]->entries[i].name, '.'))
			return memory->inodes[0]->entries[i].ino;
	return 0;
}

static void edit(struct fuzz_volume *volume, struct fuzz_input *input, ino_t ino)
{
	struct mem_inode *inode = fuzz_inode(volume, ino);
	uint8_t kind = fuzz_byte(input), block = fuzz_byte(input);
	uint64_t at = (uint64_t)(kind & 16 ? XTSFS_GROUP_BLOCKS : 0) * CORE_B + (uint64_t)(block % 4) * CORE_B;
	uint8_t buffer[CORE_B] = {0};
	const uint8_t *data;
	size_t bytes;

	at += kind & 32 ? block >> 2 : fuzz_number(input, 2) % CORE_B;
	data = fuzz_take(input, kind >> 6 ? 1U << (kind >> 6) : fuzz_byte(input), &bytes);
	if (at + bytes > inode->bytes && (kind & 7) < 3)
		return;
	switch (kind & 7) {
	case 0: /* put */
	case 1:
		fuzz_store_write(volume, ino, data, bytes, at);
		break;
	case 2: /* flip */
		xtsfs_memory_peek(inode, buffer, bytes, at);
		for (size_t i = 0; i < bytes; i++)
			buffer[i] ^= data[i];
		fuzz_store_write(volume, ino, buffer, bytes, at);
		break;
	case 3:
		fuzz_store_truncate(volume, ino, at);
		break;
	case 4: /* near a block's end */
		fuzz_store_truncate(volume, ino, (at / CORE_B * CORE_B) + (uint64_t)block % 32);
		break;
	case 5: { /* a hole */
		const struct mem_call call = {.kind = MEM_FALLOCATE,
					      .a = ino,
					      .flags = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					      .offset = at / CORE_B * CORE_B,
					      .bytes = CORE_B * (1 + (uint64_t)block / 64)};

		fuzz_store_do(volume, &call);
		break;
	}
	default: /* one block over another */
		if (at / CORE_B * CORE_B + CORE_B > inode->bytes)
			return;
		xtsfs_memory_peek(inode, buffer, CORE_B, at / CORE_B * CORE_B);
		fuzz_store_write(volume, ino, buffer, CORE_B, (uint64_t)(block >> 4) * CORE_B);
	}
}

static void put_marker(struct fuzz_volume *volume)
{
	struct xtsfs_disk_unclean disk = {.unix_s = xtsfs_le64_of(1)};
	struct iovec parts[2];

	memcpy(disk.magic, XTSFS_MAGIC_UNCLEAN, sizeof(disk.magic));
	FUZZ_CHECK(xtsfs_mac_tag(fuzz_keys(volume->core.conf->config->integrity)->meta, parts,
				 xtsfs_unclean_tag_parts(&disk, parts), disk.tag) == 0,
		   "the marker's tag");
	if (!fuzz_backing(volume, XTSFS_NAME_UNCLEAN))
		core_put_backing(volume->store, XTSFS_NAME_UNCLEAN, &disk, sizeof(disk));
}

static struct xtsfs_node *lookup(struct fuzz_volume *volume, struct stat *ret_stat)
{
	int r;
	struct xtsfs_node *node = core_node(&volume->core, NAME, ret_stat, &r);

	FUZZ_CHECK(r == 0 || r == -ENOENT || r == -EIO || r == -XTSFS_EDAMAGED || r == -XTSFS_EFEATURE,
		   "looking it up gave %d", r);
	return node;
}

/* Sector by sector: the counts are what the size says. The number of sectors that cannot be read. */
static unsigned read_all(struct fuzz_volume *volume, struct xtsfs_node *node)
{
	uint8_t data[CORE_B];
	struct stat st;
	unsigned bad = 0;
	int r = xtsfs_getattr(volume->core.volume, node, &st);

	FUZZ_CHECK(r < 0 || st.st_size >= 0, "a size of %lld", (long long)st.st_size);
	for (off_t at = 0; r == 0 && at < st.st_size && at < (off_t)(140 * CORE_B); at += CORE_B) {
		size_t want = st.st_size - at < (off_t)CORE_B ? (size_t)(st.st_size - at) : CORE_B;
		ssize_t n = xtsfs_read(volume->core.volume, node, data, sizeof(data), (uint64_t)at);

		FUZZ_CHECK(n < 0 || (size_t)n == want, "%zd bytes of %zu at %lld", n, want, (long long)at);
		FUZZ_CHECK(n >= 0 || n == -EIO || n == -XTSFS_EDAMAGED || n == -XTSFS_EFEATURE, "reading gave %zd", n);
		bad += n < 0;
	}
	return bad;
}

static void operation(struct fuzz_volume *volume, struct fuzz_input *input, struct xtsfs_node **open_node)
{
	static const int modes[4] = {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE, 0,
				     FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE};
	struct xtsfs_setattr set = {.size_set = true, .times = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}}};
	uint8_t kind = fuzz_byte(input), *data;
	struct stat st = {0};
	struct xtsfs_node *node = lookup(volume, &st);
	uint64_t offset = fuzz_offset(input, (uint64_t)st.st_size, MOST), bytes;

	if (!node)
		return;
	switch (kind & 7) {
	case 0:
	case 1:
		bytes = fuzz_number(input, 2) % (3 * CORE_B);
		data = malloc(bytes + 1);
		core_pattern(3, offset, data, bytes);
		if (xtsfs_write(volume->core.volume, node, data, bytes, offset) == (ssize_t)bytes && bytes) {
			uint8_t *back = malloc(bytes);
			ssize_t n = xtsfs_read(volume->core.volume, node, back, bytes, offset);

			FUZZ_CHECK(n == (ssize_t)bytes && memcmp(back, data, bytes) == 0,
				   "what was written is not read: %zd", n);
			free(back);
		}
		free(data);
		break;
	case 2:
		set.plain_bytes = offset;
		if (xtsfs_setattr(volume->core.volume, node, &set, &st) == 0)
			FUZZ_CHECK(xtsfs_getattr(volume->core.volume, node, &st) == 0 && (uint64_t)st.st_size == offset,
				   "cut to %llu it has %lld", (unsigned long long)offset, (long long)st.st_size);
		break;
	case 3:
		bytes = fuzz_number(input, 2) % (4 * CORE_B);
		(void)!xtsfs_fallocate(volume->core.volume, node, modes[kind >> 6], offset, bytes);
		break;
	case 4: {
		int64_t at = xtsfs_seek(volume->core.volume, node, offset, kind & 8 ? SEEK_DATA : SEEK_HOLE);

		FUZZ_CHECK(at < 0 || at >= (int64_t)offset, "seeking from %llu gave %lld", (unsigned long long)offset,
			   (long long)at);
		break;
	}
	case 5:
		(void)!xtsfs_fsync(volume->core.volume, node, kind & 8);
		break;
	case 6:
		if (*open_node) {
			xtsfs_release(volume->core.volume, *open_node, true);
			core_forget(&volume->core, *open_node);
			*open_node = NULL;
		} else if (xtsfs_open(volume->core.volume, node, true) == 0) {
			*open_node = node;
			return;
		}
		break;
	default:
		read_all(volume, node);
	}
	core_forget(&volume->core, node);
}

static void use(struct fuzz_volume *volume, struct fuzz_input *input, uint8_t mode)
{
	struct xtsfs_node *open_node = NULL, *node;
	struct stat st;
	int r;

	volume->core.waiting_bytes = mode & MODE_WAITING ? 1U << 20 : 0;
	r = fuzz_volume_open(volume, mode & MODE_SALVAGE ? FUZZ_OPEN_SALVAGE : FUZZ_OPEN_WRITE);
	FUZZ_CHECK(r == 0, "opening gave %d: %s", r, volume->core.problem);
	node = lookup(volume, &st);
	if (node && xtsfs_open(volume->core.volume, node, false) == 0) {
		read_all(volume, node);
		xtsfs_release(volume->core.volume, node, false);
	}
	core_forget(&volume->core, node);
	for (unsigned i = 0; input->left && i < 32; i++)
		operation(volume, input, &open_node);
	if (open_node) {
		xtsfs_release(volume->core.volume, open_node, true);
		core_forget(&volume->core, open_node);
	}
	(void)!core_try_close(&volume->core);
}

/* A size that only a header says (who makes one has the key) is not to be filled with zeros here, however long that
 * takes. */
static bool claims_much(struct fuzz_volume *volume)
{
	struct mem_inode *inode = fuzz_inode(volume, ino_of(volume));
	struct xtsfs_disk_header header = {0};

	if (inode && inode->bytes >= sizeof(header))
		xtsfs_memory_peek(inode, &header, sizeof(header), 0);
	return xtsfs_le64_get(header.plain_bytes) > 2 * MOST;
}

/* After a repair that put zeros in the place of what was bad, nothing is bad. */
static void check_repaired(struct fuzz_volume *volume, enum fuzz_fsck how)
{
	struct xtsfs_fsck_totals totals = {0};
	struct xtsfs_node *node;
	struct stat st;

	if (how == FUZZ_FSCK_ZERO && claims_much(volume))
		how = FUZZ_FSCK_SALVAGE;
	(void)!fuzz_fsck(volume, FUZZ_FSCK_CHECK, &totals);
	totals = (struct xtsfs_fsck_totals){.left = 1};
	fuzz_fsck_and_again(volume, how, &totals);
	if (totals.left)
		return;
	FUZZ_CHECK(fuzz_volume_open(volume, FUZZ_OPEN_WRITE) == 0, "opening: %s", volume->core.problem);
	node = lookup(volume, &st);
	if (node) {
		int r = xtsfs_open(volume->core.volume, node, false);

		FUZZ_CHECK(r == 0, "after a repair that left nothing opening gave %d", r);
		FUZZ_CHECK(read_all(volume, node) == 0, "after a repair that left nothing a sector is bad");
		xtsfs_release(volume->core.volume, node, false);
		core_forget(&volume->core, node);
	}
	FUZZ_CHECK(core_try_close(&volume->core) == 0, "closing");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_volume volume;
	struct fuzz_input input = fuzz_begin(data, bytes);
	uint8_t first = fuzz_byte(&input), mode = fuzz_byte(&input), edits = fuzz_byte(&input);
	ino_t ino;

	begin(&volume, (enum xtsfs_integrity)(first % 3), (enum shape)(first / 3 % SHAPE__COUNT));
	fuzz_begin(NULL, 0);
	ino = ino_of(&volume);
	FUZZ_CHECK(ino, "the file has no name");
	for (unsigned i = 0; i < edits % 16U && input.left; i++)
		edit(&volume, &input, ino);
	if (mode & MODE_RESEAL)
		fuzz_reseal(&volume, ino, mode & MODE_SECTORS);
	if (mode & MODE_MARKER)
		put_marker(&volume);
	if (mode & MODE_FSCK)
		check_repaired(&volume, (enum fuzz_fsck)(1 + edits / 16 % 3));
	use(&volume, &input, mode);
	check_repaired(&volume, (enum fuzz_fsck)(1 + edits / 64 % 3));
	fuzz_volume_end(&volume);
	return 0;
}
