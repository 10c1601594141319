/* SPDX-License-Identifier: Apache-2.0 */
#undef NDEBUG
#include "core-fixture.h"

#include "core/internal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

const enum xtsfs_integrity core_integrities[3] = {XTSFS_INTEGRITY_AES_GMAC, XTSFS_INTEGRITY_HMAC_SHA256,
						  XTSFS_INTEGRITY_NONE};

void core_init(struct core *core, enum xtsfs_integrity integrity, unsigned content_keys)
{
	*core = (struct core){.engine = &xtsfs_engine_user};
	assert(xtsfs_conf_new(integrity, content_keys, &core->conf) == 0);
	assert(xtsfs_secret_new(XTSFS_VOLUME_KEY_BYTES, &core->key) == 0);
	assert(xtsfs_secret_new(XTSFS_KEYFILE_MIN_BYTES, &core->keyfile) == 0);
	for (size_t i = 0; i < core->key->bytes; i++)
		core->key->data[i] = (uint8_t)i;
	memset(core->keyfile->data, 'k', core->keyfile->bytes);
}

void core_fini(struct core *core)
{
	assert(!core->volume);
	xtsfs_conf_free(core->conf);
	xtsfs_secret_free(core->key);
	xtsfs_secret_free(core->keyfile);
	*core = (struct core){0};
}

void core_format(struct core *core, struct xtsfs_store *store)
{
	const struct xtsfs_unlock with = {.keyfile = core->keyfile, .slot = -1};

	core->store = store;
	assert(xtsfs_volume_format(store, core->conf->config, core->key) == 0);
	if (core->conf->config->slot_count == 0)
		assert(xtsfs_conf_add_slot(core->conf, core->key, &with, NULL, "", NULL) == 0);
	assert(xtsfs_conf_save(store, core->conf, core->key, true) == 0);
}

int core_try_open(struct core *core, const struct xtsfs_volume_params *params)
{
	assert(!core->volume);
	return xtsfs_volume_open(core->store, core->conf->config, core->key, params, &core->volume, core->problem,
				 sizeof(core->problem));
}

void core_open(struct core *core)
{
	const struct xtsfs_volume_params params = {
		.engine = core->engine, .threads = 2, .fds = 64, .waiting_bytes = core->waiting_bytes};
	int r = core_try_open(core, &params);

	if (r < 0)
		fprintf(stderr, "cannot open the volume: %d, %s\n", r, core->problem);
	assert(r == 0);
}

int core_try_close(struct core *core)
{
	struct xtsfs_volume *volume = core->volume;

	core->volume = NULL;
	return xtsfs_volume_close(volume);
}

void core_close(struct core *core)
{
	assert(core_try_close(core) == 0);
}

struct xtsfs_node *core_node(struct core *core, const char *path, struct stat *ret_stat, int *ret_error)
{
	struct xtsfs_node *node = xtsfs_root(core->volume), *next;
	struct stat st;

	*ret_error = *path ? 0 : xtsfs_getattr(core->volume, node, &st);
	while (*path && *ret_error == 0) {
		size_t bytes = strcspn(path, "/");
		char name[XTSFS_NAME_MAX + 1];

		assert(bytes <= XTSFS_NAME_MAX);
		memcpy(name, path, bytes);
		name[bytes] = '\0';
		path += bytes + (path[bytes] == '/');
		*ret_error = xtsfs_lookup(core->volume, node, name, &next, &st);
		core_forget(core, node);
		node = *ret_error == 0 ? next : NULL;
	}
	if (*ret_error == 0 && ret_stat)
		*ret_stat = st;
	return *ret_error == 0 ? node : NULL;
}

void core_forget(struct core *core, struct xtsfs_node *node)
{
	if (node && node != xtsfs_root(core->volume))
		xtsfs_forget(core->volume, node, 1);
}

/* The directory of a path and, in it, the name. */
static struct xtsfs_node *parent_of(struct core *core, const char *path, const char **ret_name, int *ret_error)
{
	const char *slash = strrchr(path, '/');
	char dir[1024] = "";

	*ret_name = slash ? slash + 1 : path;
	if (slash) {
		assert((size_t)(slash - path) < sizeof(dir));
		memcpy(dir, path, (size_t)(slash - path));
	}
	return core_node(core, dir, NULL, ret_error);
}

/* @node: as it is after what gave @r. */
static int made(struct core *core, struct xtsfs_node *dir, int r, struct xtsfs_node *const *node)
{
	if (r == 0)
		core_forget(core, *node);
	core_forget(core, dir);
	return r;
}

int core_try_create(struct core *core, const char *path)
{
	struct xtsfs_node *dir, *node = NULL;
	struct stat st;
	const char *name;
	int r;

	dir = parent_of(core, path, &name, &r);
	return r < 0 ? r : made(core, dir, xtsfs_create(core->volume, dir, name, 0644, true, NULL, &node, &st), &node);
}

int core_try_mkdir(struct core *core, const char *path)
{
	struct xtsfs_node *dir, *node = NULL;
	struct stat st;
	const char *name;
	int r;

	dir = parent_of(core, path, &name, &r);
	return r < 0 ? r : made(core, dir, xtsfs_mkdir(core->volume, dir, name, 0755, NULL, &node, &st), &node);
}

int core_try_symlink(struct core *core, const char *target, const char *path)
{
	struct xtsfs_node *dir, *node = NULL;
	struct stat st;
	const char *name;
	int r;

	dir = parent_of(core, path, &name, &r);
	return r < 0 ? r : made(core, dir, xtsfs_symlink(core->volume, target, dir, name, NULL, &node, &st), &node);
}

int core_try_link(struct core *core, const char *from, const char *to)
{
	struct xtsfs_node *dir, *node;
	struct stat st;
	const char *name;
	int r;

	node = core_node(core, from, NULL, &r);
	if (r < 0)
		return r;
	dir = parent_of(core, to, &name, &r);
	if (r == 0) {
		r = xtsfs_link(core->volume, node, dir, name, &st);
		if (r == 0)
			core_forget(core, node);
		core_forget(core, dir);
	}
	core_forget(core, node);
	return r;
}

int core_try_unlink(struct core *core, const char *path)
{
	const char *name;
	int r;
	struct xtsfs_node *dir = parent_of(core, path, &name, &r);

	if (r == 0)
		r = xtsfs_unlink(core->volume, dir, name);
	core_forget(core, dir);
	return r;
}

int core_try_rmdir(struct core *core, const char *path)
{
	const char *name;
	int r;
	struct xtsfs_node *dir = parent_of(core, path, &name, &r);

	if (r == 0)
		r = xtsfs_rmdir(core->volume, dir, name);
	core_forget(core, dir);
	return r;
}

int core_try_rename(struct core *core, const char *from, const char *to, unsigned flags)
{
	const char *old_name, *new_name;
	int r;
	struct xtsfs_node *old_dir = parent_of(core, from, &old_name, &r), *new_dir;

	if (r < 0)
		return r;
	new_dir = parent_of(core, to, &new_name, &r);
	if (r == 0)
		r = xtsfs_rename(core->volume, old_dir, old_name, new_dir, new_name, flags);
	core_forget(core, new_dir);
	core_forget(core, old_dir);
	return r;
}

ssize_t core_try_write(struct core *core, const char *path, const void *data, size_t bytes, uint64_t offset)
{
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);
	ssize_t n = node ? xtsfs_write(core->volume, node, data, bytes, offset) : r;

	core_forget(core, node);
	return n;
}

int core_try_truncate(struct core *core, const char *path, uint64_t bytes)
{
	const struct xtsfs_setattr set = {
		.size_set = true, .plain_bytes = bytes, .times = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}}};
	struct stat st;
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	if (r == 0)
		r = xtsfs_setattr(core->volume, node, &set, &st);
	core_forget(core, node);
	return r;
}

int core_try_fallocate(struct core *core, const char *path, int mode, uint64_t offset, uint64_t bytes)
{
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	if (r == 0)
		r = xtsfs_fallocate(core->volume, node, mode, offset, bytes);
	core_forget(core, node);
	return r;
}

int core_try_fsync(struct core *core, const char *path)
{
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	if (r == 0)
		r = xtsfs_fsync(core->volume, node, false);
	core_forget(core, node);
	return r;
}

int core_try_setxattr(struct core *core, const char *path, const char *name, const char *value)
{
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	if (r == 0)
		r = xtsfs_setxattr(core->volume, node, name, value, strlen(value), 0);
	core_forget(core, node);
	return r;
}

ssize_t core_try_read(struct core *core, const char *path, uint8_t **ret_data)
{
	struct stat st;
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);
	ssize_t n = -EIO;

	*ret_data = NULL;
	if (r < 0)
		return r;
	r = xtsfs_open(core->volume, node, false);
	if (r == 0) {
		r = xtsfs_getattr(core->volume, node, &st);
		*ret_data = malloc((size_t)st.st_size + 2);
		assert(*ret_data);
		n = r < 0 ? r : xtsfs_read(core->volume, node, *ret_data, (size_t)st.st_size + 1, 0);
		xtsfs_release(core->volume, node, false);
	} else {
		n = r;
	}
	core_forget(core, node);
	if (n >= 0 && n != st.st_size)
		n = -EILSEQ; /* size and content do not agree */
	if (n < 0) {
		free(*ret_data);
		*ret_data = NULL;
	}
	return n;
}

int64_t core_size(struct core *core, const char *path)
{
	struct stat st;
	int r;

	core_forget(core, core_node(core, path, &st, &r));
	return r < 0 ? r : st.st_size;
}

void core_pattern(uint64_t seed, uint64_t offset, void *ret_data, size_t bytes)
{
	uint8_t *at = ret_data;

	for (size_t i = 0; i < bytes; i++) {
		uint64_t x = (seed << 40 ^ (offset + i) / 8) * 0x9e3779b97f4a7c15ULL;

		at[i] = (uint8_t)(1 + ((x >> 32) + (offset + i) % 8 * 31) % 255);
	}
}

size_t core_backing(struct core *core, const char *path, uint8_t **ret_data)
{
	struct xtsfs_at at;
	struct stat st;
	int r, handle;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	assert(r == 0 && xtsfs_at_get(core->volume, node, &at) == 0);
	handle = core->store->ops->open(core->store, at.handle, at.name, O_RDONLY, 0, NULL);
	assert(handle >= 0 && core->store->ops->fstat(core->store, handle, &st) == 0);
	*ret_data = malloc((size_t)st.st_size + 1);
	assert(*ret_data &&
	       xtsfs_store_pread(core->store, handle, *ret_data, (size_t)st.st_size, 0) == (ssize_t)st.st_size);
	core->store->ops->close(core->store, handle);
	xtsfs_at_put(core->volume, &at);
	core_forget(core, node);
	return (size_t)st.st_size;
}

void core_put_backing(struct xtsfs_store *store, const char *backing_name, const void *data, size_t bytes)
{
	int handle = store->ops->open(store, store->root, backing_name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL);

	assert(handle >= 0 && xtsfs_store_pwrite(store, handle, data, bytes, 0) == 0);
	store->ops->close(store, handle);
}
