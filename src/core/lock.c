/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A volume without its keys. The nodes, the descriptors and the state of open files stay; what is in them is
 * ciphertext, encrypted names, lengths. Before the keys go, everything that would need them later is written:
 * overwritten sectors that wait, headers of files that are open. So giving back what the kernel knows, closing files
 * and closing the volume work without them, and nothing else may be asked meanwhile (src/fuse/gate.c).
 */
#include "core/internal.h"

#include "core/file.h"
#include "core/fs.h"
#include "core/reverse-internal.h"

#include <malloc.h>
#include <string.h>

int xtsfs_nodes_hold(struct xtsfs_volume *volume, struct xtsfs_node ***ret_list, size_t *ret_count)
{
	struct xtsfs_node **list;
	size_t count = 0;

	xtsfs_guard_mutex(&volume->table_mutex);
	list = calloc(volume->table_used + 1, sizeof(struct xtsfs_node *));
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < volume->table_slots; i++)
		for (struct xtsfs_node *node = volume->table[i]; node && count < volume->table_used;
		     node = node->hash_next) {
			node->refs++;
			list[count++] = node;
		}
	*ret_list = list;
	*ret_count = count;
	return 0;
}

void xtsfs_nodes_let_go(struct xtsfs_volume *volume, struct xtsfs_node **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		xtsfs_node_unref(volume, list[i], 1);
	free(list);
}

/* Everything that a later close would write. */
static int settle_open_files(struct xtsfs_volume *volume)
{
	struct xtsfs_node **list;
	size_t count;
	int r = xtsfs_nodes_hold(volume, &list, &count), first = 0;

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (!xtsfs_file_in_use(list[i]))
			continue;
		r = xtsfs_fsync(volume, list[i], false);
		if (r < 0 && r != -ESTALE && first == 0)
			first = r;
	}
	xtsfs_nodes_let_go(volume, list, count);
	return first;
}

int xtsfs_volume_lock(struct xtsfs_volume *volume)
{
	int r = 0;

	/* Whoever closes a file meanwhile waits, or was before. */
	xtsfs_guard_exclusive(&volume->key_lock);
	if (!volume->keys)
		return 0;
	if (!volume->read_only) {
		xtsfs_file_retry_kept(volume);
		r = settle_open_files(volume);
		if (r == 0)
			r = xtsfs_dirid_flush(volume);
		pthread_mutex_lock(&volume->file_mutex);
		if (r == 0 && (volume->kept_files || volume->waiting_files))
			r = -EBUSY;
		pthread_mutex_unlock(&volume->file_mutex);
	}
	if (r < 0)
		return r;
	volume->keys = xtsfs_keys_free(volume->keys);
	xtsfs_scratch_wipe();
	(void)malloc_trim(0); /* what was freed without being wiped goes back to the kernel, page by page */
	return 0;
}

bool xtsfs_volume_is_locked(struct xtsfs_volume *volume)
{
	xtsfs_guard_shared(&volume->key_lock);

	return !volume->keys;
}

/* Is the key that of this volume, as it is stored? Whatever xtsfs.conf says. */
static int verify(struct xtsfs_volume *volume, const struct xtsfs_keys *keys)
{
	struct xtsfs_disk_dirid dirid;
	int r;

	if (volume->reverse)
		return xtsfs_reverse_verify(volume, keys);
	r = xtsfs_dirid_read(volume->store, keys, volume->store->root, &dirid, NULL);
	if (r == -XTSFS_EDAMAGED) /* not a word of it is to be believed */
		return -XTSFS_EAUTH;
	return r < 0 ? r : memcmp(dirid.id, volume->root->dirid, XTSFS_ID_BYTES) == 0 ? 0 : -XTSFS_EAUTH;
}

/*
 * Files that are open: which of two keys each is under may be another answer now (docs/reencrypt.md). Everything is
 * written, and nobody is in them.
 */
static int read_again(struct xtsfs_volume *volume)
{
	struct xtsfs_node **list;
	size_t count;
	int r = xtsfs_nodes_hold(volume, &list, &count);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		xtsfs_guard_mutex(&volume->file_mutex);

		if (S_ISREG(list[i]->type) && list[i]->file)
			list[i]->file->loaded = false;
	}
	xtsfs_nodes_let_go(volume, list, count);
	return 0;
}

int xtsfs_volume_unlock(struct xtsfs_volume *volume, const struct xtsfs_config *config,
			const struct xtsfs_secret *volume_key)
{
	struct xtsfs_keys *keys;
	int r;

	if (volume->reverse && config->reencrypting)
		return -XTSFS_EFEATURE;
	if (memcmp(config->uuid, volume->uuid, sizeof(volume->uuid)) != 0 || config->integrity != volume->integrity ||
	    config->content_keys != volume->content_keys)
		return -XTSFS_EAUTH;
	r = xtsfs_keys_new(volume_key, config, volume->engine, volume->threads, &keys);
	if (r < 0)
		return r;
	r = verify(volume, keys);
	if (r < 0) {
		xtsfs_keys_free(keys);
		return r;
	}
	r = read_again(volume);
	if (r < 0) {
		xtsfs_keys_free(keys);
		return r;
	}
	pthread_rwlock_wrlock(&volume->key_lock);
	volume->keys = keys;
	pthread_rwlock_unlock(&volume->key_lock);
	r = xtsfs_volume_warm(volume);
	if (r < 0)
		xtsfs_warning("fewer crypto handles than threads: %s, going on with those there are",
			      xtsfs_strerror(r));
	return 0;
}
