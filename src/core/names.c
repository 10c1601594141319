/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of entries: encrypting and decrypting them, and the .name files of long ones (spec 6).
 *
 * The encryption is deterministic, so looking a name up is encrypting it and asking the backing directory. A .name
 * file's content follows from its own name, so making one that exists already is harmless; it is made durable at once
 * (long names are rare), under a temporary name, so that an entry never appears without it.
 *
 * In re-encryption an entry is there as encrypted under one of two keys, and goes from the old to the new one by a
 * rename (renew.c).
 */
#include "core/internal.h"

#include "base/base64.h"
#include "crypto/kdf.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int seal(const struct xtsfs_keys *keys, const uint8_t dirid[XTSFS_ID_BYTES], const char *name,
		struct xtsfs_backing_name *ret_backing)
{
	uint8_t padded[XTSFS_NAME_PADDED_MAX], cipher[XTSFS_NAME_CIPHER_MAX], hash[32];
	size_t bytes = strlen(name), padded_bytes;
	int r = xtsfs_name_check(name, bytes);

	if (r < 0)
		return r;
	padded_bytes = xtsfs_name_pad(name, bytes, padded);
	r = xtsfs_siv_seal(keys->name, dirid, XTSFS_ID_BYTES, padded, padded_bytes, cipher);
	if (r < 0)
		return r;
	if (!xtsfs_name_is_long(padded_bytes + XTSFS_SIV_IV_BYTES)) {
		xtsfs_base64_encode(cipher, padded_bytes + XTSFS_SIV_IV_BYTES, ret_backing->entry);
		ret_backing->long_text[0] = '\0';
		return 0;
	}
	r = xtsfs_sha256(cipher, padded_bytes + XTSFS_SIV_IV_BYTES, hash);
	if (r < 0)
		return r;
	xtsfs_name_long_from_hash(hash, ret_backing->entry);
	xtsfs_base64_encode(cipher, padded_bytes + XTSFS_SIV_IV_BYTES, ret_backing->long_text);
	return 0;
}

int xtsfs_names_seal(struct xtsfs_volume *volume, const uint8_t dirid[XTSFS_ID_BYTES], const char *name,
		     struct xtsfs_backing_name *ret_backing)
{
	return seal(volume->keys, dirid, name, ret_backing);
}

int xtsfs_names_seal_old(struct xtsfs_volume *volume, const uint8_t dirid[XTSFS_ID_BYTES], const char *name,
			 struct xtsfs_backing_name *ret_backing)
{
	return volume->keys->old ? seal(volume->keys->old, dirid, name, ret_backing) : -ENOENT;
}

int xtsfs_names_find(struct xtsfs_volume *volume, const uint8_t dirid[XTSFS_ID_BYTES], int dir_handle, const char *name,
		     struct xtsfs_backing_name *ret_backing, struct stat *ret_stat)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_backing_name old;
	int r = xtsfs_names_seal(volume, dirid, name, ret_backing);

	if (r < 0)
		return r;
	r = store->ops->stat(store, dir_handle, ret_backing->entry, ret_stat);
	if (r != -ENOENT || !volume->keys->old)
		return r;
	r = xtsfs_names_seal_old(volume, dirid, name, &old);
	if (r == 0)
		r = store->ops->stat(store, dir_handle, old.entry, ret_stat);
	if (r == 0)
		*ret_backing = old;
	/* It may have been renamed from old to new between the two, which happens once at most. */
	return r == -ENOENT ? store->ops->stat(store, dir_handle, ret_backing->entry, ret_stat) : r;
}

static int open_cipher(struct xtsfs_volume *volume, const uint8_t dirid[XTSFS_ID_BYTES], const uint8_t *cipher,
		       size_t bytes, char ret_name[XTSFS_NAME_MAX + 1])
{
	uint8_t padded[XTSFS_NAME_PADDED_MAX];
	int r;

	if (bytes < XTSFS_NAME_CIPHER_MIN || bytes > XTSFS_NAME_CIPHER_MAX || bytes % 16)
		return -XTSFS_EDAMAGED;
	r = xtsfs_keys_siv_open(volume->keys, XTSFS_SIV_NAME, dirid, XTSFS_ID_BYTES, cipher, bytes, padded, NULL);
	return r < 0 ? r : xtsfs_name_unpad(padded, bytes - XTSFS_SIV_IV_BYTES, ret_name);
}

static int decode_text(const char *text, uint8_t ret_cipher[XTSFS_NAME_CIPHER_MAX], size_t *ret_bytes)
{
	size_t chars = strlen(text);

	*ret_bytes = xtsfs_base64_bytes(chars);
	return *ret_bytes > XTSFS_NAME_CIPHER_MAX || xtsfs_base64_decode(text, chars, ret_cipher) < 0 ? -XTSFS_EDAMAGED
												      : 0;
}

int xtsfs_names_open_text(struct xtsfs_volume *volume, const uint8_t dirid[XTSFS_ID_BYTES], const char *text,
			  char ret_name[XTSFS_NAME_MAX + 1])
{
	uint8_t cipher[XTSFS_NAME_CIPHER_MAX];
	size_t bytes;
	int r = decode_text(text, cipher, &bytes);

	return r < 0 ? r : open_cipher(volume, dirid, cipher, bytes, ret_name);
}

static int read_long_text(struct xtsfs_store *store, int dir, const char *entry,
			  char ret_text[XTSFS_NAME_ENCODED_MAX + 2])
{
	char file[XTSFS_NAME_MAX + sizeof(XTSFS_NAME_LONG_SUFFIX)];
	struct stat st;
	int handle;
	ssize_t n;

	snprintf(file, sizeof(file), "%s" XTSFS_NAME_LONG_SUFFIX, entry);
	n = store->ops->stat(store, dir, file, &st);
	if (n == 0 && !S_ISREG(st.st_mode))
		return -XTSFS_EDAMAGED;
	handle = n < 0 ? (int)n : store->ops->open(store, dir, file, O_RDONLY | O_NONBLOCK, 0, NULL);
	if (handle < 0)
		return handle == -ENOENT || handle == -ELOOP ? -XTSFS_EDAMAGED : handle;
	n = xtsfs_store_pread(store, handle, ret_text, XTSFS_NAME_ENCODED_MAX + 1, 0);
	store->ops->close(store, handle);
	if (n < 0)
		return (int)n;
	ret_text[n] = '\0';
	return strlen(ret_text) == (size_t)n && n <= (ssize_t)XTSFS_NAME_ENCODED_MAX ? 0 : -XTSFS_EDAMAGED;
}

int xtsfs_names_open(struct xtsfs_volume *volume, const uint8_t dirid[XTSFS_ID_BYTES], int dir_handle,
		     const char *entry, char ret_name[XTSFS_NAME_MAX + 1])
{
	char text[XTSFS_NAME_ENCODED_MAX + 2], expected[XTSFS_NAME_MAX + 1];
	uint8_t cipher[XTSFS_NAME_CIPHER_MAX], hash[32];
	size_t bytes;
	int r;

	if (strncmp(entry, XTSFS_NAME_LONG, sizeof(XTSFS_NAME_LONG) - 1) != 0)
		return xtsfs_names_open_text(volume, dirid, entry, ret_name);
	r = read_long_text(volume->store, dir_handle, entry, text);
	if (r == 0)
		r = decode_text(text, cipher, &bytes);
	if (r == 0)
		r = xtsfs_sha256(cipher, bytes, hash);
	if (r < 0)
		return r;
	xtsfs_name_long_from_hash(hash, expected);
	if (strcmp(expected, entry) != 0 || !xtsfs_name_is_long(bytes))
		return -XTSFS_EDAMAGED;
	return open_cipher(volume, dirid, cipher, bytes, ret_name);
}

int xtsfs_names_tmp(char ret_name[XTSFS_NAME_MAX + 1])
{
	uint8_t random[16];
	int r = xtsfs_random(random, sizeof(random));

	if (r < 0)
		return r;
	memcpy(ret_name, XTSFS_NAME_TMP, sizeof(XTSFS_NAME_TMP));
	xtsfs_base64_encode(random, sizeof(random), ret_name + sizeof(XTSFS_NAME_TMP) - 1);
	return 0;
}

int xtsfs_names_place(struct xtsfs_volume *volume, int dir_handle, const struct xtsfs_backing_name *backing)
{
	struct xtsfs_store *store = volume->store;
	char text[XTSFS_NAME_ENCODED_MAX + 2], tmp[XTSFS_NAME_MAX + 1],
		file[XTSFS_NAME_MAX + sizeof(XTSFS_NAME_LONG_SUFFIX)];
	int handle, r;

	if (!backing->long_text[0])
		return 0;
	if (read_long_text(store, dir_handle, backing->entry, text) == 0 && strcmp(text, backing->long_text) == 0)
		return 0;
	r = xtsfs_names_tmp(tmp);
	if (r < 0)
		return r;
	handle = store->ops->open(store, dir_handle, tmp, O_CREAT | O_EXCL | O_WRONLY, 0600, NULL);
	if (handle < 0)
		return handle;
	r = xtsfs_store_pwrite(store, handle, backing->long_text, strlen(backing->long_text), 0);
	if (r == 0)
		r = store->ops->sync(store, handle, false);
	store->ops->close(store, handle);
	snprintf(file, sizeof(file), "%s" XTSFS_NAME_LONG_SUFFIX, backing->entry);
	if (r == 0)
		r = store->ops->rename(store, dir_handle, tmp, dir_handle, file, 0);
	if (r < 0)
		(void)store->ops->unlink(store, dir_handle, tmp, 0);
	return r;
}

void xtsfs_names_remove(struct xtsfs_volume *volume, int dir_handle, const char *entry)
{
	char file[XTSFS_NAME_MAX + sizeof(XTSFS_NAME_LONG_SUFFIX)];

	if (strncmp(entry, XTSFS_NAME_LONG, sizeof(XTSFS_NAME_LONG) - 1) != 0)
		return;
	snprintf(file, sizeof(file), "%s" XTSFS_NAME_LONG_SUFFIX, entry);
	(void)volume->store->ops->unlink(volume->store, dir_handle, file, 0); /* debris at worst; fsck removes it */
}
