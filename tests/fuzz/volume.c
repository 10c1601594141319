/* SPDX-License-Identifier: Apache-2.0 */
#undef NDEBUG
#include "volume.h"

#include "format/header.h"
#include "wrap.h"

#include <assert.h>

struct template
{
	struct core core;
	struct xtsfs_store *store;
	struct xtsfs_keys *keys;
};

static struct template templates[XTSFS_INTEGRITY__COUNT];

static struct template *template_of(enum xtsfs_integrity integrity)
{
	struct template *template = &templates[integrity];

	if (!template->store) {
		fuzz_begin(NULL, 0);
		core_init(&template->core, integrity, 1);
		assert(xtsfs_store_memory_new(&template->store) == 0);
		core_format(&template->core, template->store);
		assert(xtsfs_keys_new(template->core.key, template->core.conf->config, NULL, 0, &template->keys) == 0);
		fuzz_begin(NULL, 0);
	}
	return template;
}

struct xtsfs_keys *fuzz_keys(enum xtsfs_integrity integrity)
{
	return template_of(integrity)->keys;
}

void fuzz_volume_begin_from(struct fuzz_volume *volume, enum xtsfs_integrity integrity, const struct xtsfs_store *store)
{
	struct memory *memory;
	struct timespec now;

	*volume = (struct fuzz_volume){.core = template_of(integrity)->core};
	assert(xtsfs_memory_clone(store, &volume->store) == 0);
	volume->core.store = volume->store;
	/* What is copied is of now, however old the process: what the core does can depend on it. */
	memory = memory_of(volume->store);
	clock_gettime(CLOCK_REALTIME, &now);
	for (size_t i = 0; i < memory->inode_count; i++)
		memory->inodes[i]->times[0] = memory->inodes[i]->times[1] = now;
}

void fuzz_volume_begin(struct fuzz_volume *volume, enum xtsfs_integrity integrity)
{
	fuzz_volume_begin_from(volume, integrity, template_of(integrity)->store);
}

void fuzz_volume_end(struct fuzz_volume *volume)
{
	assert(!volume->core.volume);
	xtsfs_store_free(volume->store);
}

int fuzz_volume_open(struct fuzz_volume *volume, enum fuzz_open how)
{
	const struct xtsfs_volume_params params = {
		.engine = &xtsfs_engine_user,
		.threads = 1,
		.fds = 16,
		.waiting_bytes = volume->core.waiting_bytes,
		.read_only = how != FUZZ_OPEN_WRITE && how != FUZZ_OPEN_REPAIR,
		.salvage = how == FUZZ_OPEN_SALVAGE,
		.repair = how == FUZZ_OPEN_REPAIR || how == FUZZ_OPEN_CHECK,
		.log_names = true,
	};

	return core_try_open(&volume->core, &params);
}

static void on_finding(void *data, const struct xtsfs_fsck_finding *finding)
{
	static int shown = -1;

	if (shown < 0)
		shown = getenv("XTSFS_FUZZ_LOG") != NULL;
	if (shown)
		fprintf(stderr, "fsck: %s %s %s (%s): %s; %s: %s\n", xtsfs_fsck_severity_name(finding->severity),
			finding->code, finding->path, finding->backing_path, finding->detail,
			xtsfs_fsck_outcome_name(finding->outcome), finding->action);
	FUZZ_CHECK(strlen(finding->code) && strlen(finding->path) && finding->detail && finding->action,
		   "a finding without words");
	if (finding->outcome == XTSFS_FSCK_FAILED)
		++*(unsigned *)data;
}

int fuzz_fsck(struct fuzz_volume *volume, enum fuzz_fsck mode, struct xtsfs_fsck_totals *ret_totals)
{
	static const enum xtsfs_fsck_damage damages[FUZZ_FSCK__COUNT] = {
		[FUZZ_FSCK_SALVAGE] = XTSFS_FSCK_DAMAGE_SALVAGE,
		[FUZZ_FSCK_ZERO] = XTSFS_FSCK_DAMAGE_ZERO,
	};
	unsigned failed = 0;
	const struct xtsfs_fsck_options options = {
		.repair = mode != FUZZ_FSCK_CHECK,
		.damage = damages[mode],
		.verbose = true,
		.threads = 1,
		.content_keys = volume->core.conf->config->content_keys,
		.finding = on_finding,
		.data = &failed,
	};
	int r, closed;

	if (mode == FUZZ_FSCK_CHECK)
		xtsfs_memory_record(volume->store);
	r = fuzz_volume_open(volume, mode == FUZZ_FSCK_CHECK ? FUZZ_OPEN_CHECK : FUZZ_OPEN_REPAIR);
	if (r < 0)
		return r;
	fuzz_wrap_no_threads(true);
	r = xtsfs_fsck_run(volume->core.volume, &options, ret_totals);
	fuzz_wrap_no_threads(false);
	closed = core_try_close(&volume->core);
	if (mode == FUZZ_FSCK_CHECK) {
		for (size_t i = 0; i < xtsfs_memory_calls(volume->store); i++) {
			char text[512];

			xtsfs_memory_describe(volume->store, i, text, sizeof(text));
			FUZZ_CHECK(xtsfs_memory_is_sync(volume->store, i), "a check changed the volume: %s", text);
		}
		FUZZ_CHECK(closed == 0, "closing gave %d", closed);
	}
	FUZZ_CHECK(r < 0 || ret_totals->problems >= ret_totals->repaired + ret_totals->left || mode == FUZZ_FSCK_CHECK,
		   "%llu problems, %llu repaired, %llu left", (unsigned long long)ret_totals->problems,
		   (unsigned long long)ret_totals->repaired, (unsigned long long)ret_totals->left);
	return r < 0 ? r : closed;
}

void fuzz_fsck_and_again(struct fuzz_volume *volume, enum fuzz_fsck mode, struct xtsfs_fsck_totals *ret_totals)
{
	struct xtsfs_fsck_totals again = {0};
	int r = fuzz_fsck(volume, mode, ret_totals);

	if (r < 0)
		return;
	r = fuzz_fsck(volume, FUZZ_FSCK_CHECK, &again);
	FUZZ_CHECK(r == 0, "checking after a repair gave %d", r);
	/* Of a file with several names that is moved away, one name is: the next run finds the others. */
	FUZZ_CHECK(ret_totals->left > 0 || ret_totals->hard_links > 0 || again.problems == 0,
		   "%llu problems after a repair of %llu that left nothing", (unsigned long long)again.problems,
		   (unsigned long long)ret_totals->repaired);
}

/* ---- the backing side ---- */

struct mem_inode *fuzz_inode(struct fuzz_volume *volume, ino_t ino)
{
	return inode_at(memory_of(volume->store), ino);
}

struct mem_inode *fuzz_backing(struct fuzz_volume *volume, const char *backing_name)
{
	const struct mem_entry *entry = xtsfs_memory_find(fuzz_inode(volume, 1), backing_name);

	return entry ? fuzz_inode(volume, entry->ino) : NULL;
}

void fuzz_store_do(struct fuzz_volume *volume, const struct mem_call *call)
{
	(void)!xtsfs_memory_do(memory_of(volume->store), call);
}

void fuzz_store_write(struct fuzz_volume *volume, ino_t ino, const void *data, size_t bytes, uint64_t offset)
{
	const struct mem_call call = {.kind = MEM_WRITE, .a = ino, .data = data, .bytes = bytes, .offset = offset};

	fuzz_store_do(volume, &call);
}

void fuzz_store_truncate(struct fuzz_volume *volume, ino_t ino, uint64_t bytes)
{
	const struct mem_call call = {.kind = MEM_TRUNCATE, .a = ino, .offset = bytes};

	fuzz_store_do(volume, &call);
}

static void seal_sectors(struct fuzz_volume *volume, struct mem_inode *inode, uint64_t group_no, const uint8_t *file_id,
			 struct xtsfs_disk_block *block)
{
	struct xtsfs_keys *keys = fuzz_keys(volume->core.conf->config->integrity);
	uint64_t plain_bytes = xtsfs_cipher_to_plain_bytes(XTSFS_LAYOUT_GROUPS, inode->bytes);

	for (unsigned i = 0; i < XTSFS_GROUP_SECTORS; i++) {
		uint64_t sector_no = group_no * XTSFS_GROUP_SECTORS + i;
		uint32_t t = xtsfs_sector_plain_bytes(plain_bytes, sector_no);
		struct xtsfs_le64 numbers[2] = {xtsfs_le64_of(sector_no), xtsfs_le64_of(t)};
		uint8_t cipher[XTSFS_BLOCK_BYTES], id[XTSFS_ID_BYTES];
		struct iovec parts[3] = {{id, sizeof(id)}, {numbers, sizeof(numbers)}, {cipher, xtsfs_pad16(t)}};
		uint64_t cipher_off = xtsfs_sector_cipher_off(XTSFS_LAYOUT_GROUPS, sector_no);

		if (t == 0)
			return;
		memset(cipher, 0, sizeof(cipher));
		memcpy(id, file_id, sizeof(id));
		if (cipher_off < inode->bytes)
			xtsfs_memory_peek(inode, cipher,
					  inode->bytes - cipher_off < sizeof(cipher)
						  ? (size_t)(inode->bytes - cipher_off)
						  : sizeof(cipher),
					  cipher_off);
		if (!xtsfs_is_zero(cipher, sizeof(cipher)))
			assert(xtsfs_mac_tag(keys->sector, parts, 3, block->entry[i].now) == 0);
	}
}

void fuzz_reseal(struct fuzz_volume *volume, ino_t ino, bool sectors)
{
	struct mem_inode *inode = fuzz_inode(volume, ino);
	enum xtsfs_integrity integrity = volume->core.conf->config->integrity;
	struct xtsfs_keys *keys = fuzz_keys(integrity);
	struct xtsfs_disk_block block;
	struct iovec parts[3];
	uint8_t file_id[XTSFS_ID_BYTES];

	for (uint64_t group_no = 0; xtsfs_group_cipher_off(group_no) < inode->bytes; group_no++) {
		uint64_t cipher_off = xtsfs_group_cipher_off(group_no);
		size_t there = inode->bytes - cipher_off < sizeof(block) ? (size_t)(inode->bytes - cipher_off)
									 : sizeof(block);

		if (integrity == XTSFS_INTEGRITY_NONE && group_no > 0)
			return;
		memset(&block, 0, sizeof(block));
		xtsfs_memory_peek(inode, &block, there, cipher_off);
		if (group_no == 0)
			memcpy(file_id, block.file.file_id, sizeof(file_id));
		if (group_no > 0 && xtsfs_is_zero(&block, sizeof(block)))
			continue;
		if (sectors && integrity != XTSFS_INTEGRITY_NONE &&
		    !(group_no == 0 && (xtsfs_le32_get(block.file.flags) & XTSFS_FILE_INLINE)))
			seal_sectors(volume, inode, group_no, file_id, &block);
		if (group_no == 0)
			assert(xtsfs_mac_tag(keys->meta, parts, xtsfs_header_tag_parts(&block, parts),
					     block.file.tag) == 0);
		else
			assert(xtsfs_mac_tag(keys->meta, parts, xtsfs_meta_tag_parts(&block, parts), block.meta.tag) ==
			       0);
		fuzz_store_write(volume, ino, &block, there, cipher_off);
	}
}
