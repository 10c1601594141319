/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes (spec 8): names and values encrypted, POSIX ACLs passed through.
 *
 * A backing attribute's name says nothing; which attribute it is comes from decrypting it. Setting one with a long name
 * is one call too, since its name is kept inside the value.
 */
#include "core/xattr-internal.h"

#include "base/base64.h"
#include "core/fs.h"
#include "core/path.h"
#include "core/reverse-internal.h"
#include "crypto/kdf.h"

#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

bool xtsfs_xattr_is_acl(const char *name)
{
	return strcmp(name, "system.posix_acl_access") == 0 || strcmp(name, "system.posix_acl_default") == 0;
}

int xtsfs_xattr_check_name(const char *name)
{
	static const char *const spaces[] = {"user.", "trusted.", "security."};

	for (unsigned i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++)
		if (strncmp(name, spaces[i], strlen(spaces[i])) == 0)
			return !name[strlen(spaces[i])] ? -EINVAL : strlen(name) > NAME_MAX_BYTES ? -ERANGE : 0;
	return -EOPNOTSUPP;
}

const char *xtsfs_xattr_prefix(const struct xtsfs_node *node)
{
	return S_ISREG(node->type) || S_ISDIR(node->type) ? "user.xtsfs." : "trusted.xtsfs.";
}

static int seal_name_with(const struct xtsfs_keys *keys, const struct xtsfs_node *node, const char *name,
			  struct xtsfs_xattr_sealed *ret)
{
	size_t bytes = strlen(name), chars;
	char text[XTSFS_NAME_MAX + 1], hash_text[44];
	uint8_t hash[32];
	int r = xtsfs_xattr_check_name(name);

	if (r == 0)
		r = xtsfs_siv_seal(keys->xattr, NAME_AD, 16, name, bytes, ret->cipher);
	if (r < 0)
		return r;
	ret->prefix = xtsfs_xattr_prefix(node);
	ret->cipher_bytes = bytes + XTSFS_SIV_IV_BYTES;
	chars = xtsfs_base64_chars(ret->cipher_bytes);
	ret->is_long = strlen(ret->prefix) + chars > XTSFS_NAME_MAX;
	if (!ret->is_long) {
		xtsfs_base64_encode(ret->cipher, ret->cipher_bytes, text);
		strcpy(ret->backing, ret->prefix);
		strcat(ret->backing, text); /* fits, by the test above */
		return 0;
	}
	r = xtsfs_sha256(ret->cipher, ret->cipher_bytes, hash);
	if (r < 0)
		return r;
	xtsfs_base64_encode(hash, sizeof(hash), hash_text);
	snprintf(ret->backing, sizeof(ret->backing), "%s" LONG_PREFIX "%s", ret->prefix, hash_text);
	return 0;
}

int xtsfs_xattr_seal_name(struct xtsfs_volume *volume, const struct xtsfs_node *node, const char *name,
			  struct xtsfs_xattr_sealed *ret)
{
	return seal_name_with(volume->keys, node, name, ret);
}

/* In re-encryption: what it was called under the old key. */
static int seal_name_old(struct xtsfs_volume *volume, const struct xtsfs_node *node, const char *name,
			 struct xtsfs_xattr_sealed *ret)
{
	return volume->keys->old ? seal_name_with(volume->keys->old, node, name, ret) : -ENODATA;
}

/* Where the stored value's random bytes begin: behind the name of a long one. -EIO if it does not fit. */
static ssize_t value_start(const struct xtsfs_xattr_sealed *attr, const uint8_t *stored, size_t bytes)
{
	size_t start = 0;

	if (attr->is_long) {
		if (bytes < 2 || xtsfs_load_le(stored, 2) != attr->cipher_bytes || bytes < 2 + attr->cipher_bytes ||
		    memcmp(stored + 2, attr->cipher, attr->cipher_bytes) != 0)
			return -EIO;
		start = 2 + attr->cipher_bytes;
	}
	return bytes - start < VALUE_OVERHEAD ? -EIO : (ssize_t)start;
}

static ssize_t open_value(struct xtsfs_volume *volume, const char *name, const struct xtsfs_xattr_sealed *attr,
			  const uint8_t *stored, size_t stored_bytes, uint8_t *ret_plain)
{
	ssize_t start = value_start(attr, stored, stored_bytes);
	uint8_t ad[SALT_BYTES + NAME_MAX_BYTES];
	size_t name_bytes = strlen(name), plain_bytes;
	int r;

	if (start < 0)
		return start;
	memcpy(ad, stored + start, SALT_BYTES);
	memcpy(ad + SALT_BYTES, name, name_bytes);
	plain_bytes = stored_bytes - (size_t)start - SALT_BYTES - XTSFS_SIV_IV_BYTES;
	r = xtsfs_keys_siv_open(volume->keys, XTSFS_SIV_XATTR, ad, SALT_BYTES + name_bytes, stored + start + SALT_BYTES,
				plain_bytes + XTSFS_SIV_IV_BYTES, ret_plain, NULL);
	if (r < 0)
		return r == -XTSFS_EAUTH ? -EIO : r;
	return ret_plain[plain_bytes - 1] == 0x01 ? (ssize_t)plain_bytes - 1 : -EIO;
}

/* The stored value, whichever key it is under; *attr becomes that one. */
static ssize_t get_stored(struct xtsfs_volume *volume, const struct xtsfs_node *node, const struct xtsfs_at *at,
			  const char *name, struct xtsfs_xattr_sealed *attr, uint8_t *stored, size_t room)
{
	struct xtsfs_store *store = volume->store;
	ssize_t n = store->ops->getxattr(store, at->handle, at->name, attr->backing, stored, room);
	struct xtsfs_xattr_sealed old;

	if (n != -ENODATA || !volume->keys->old)
		return n;
	n = seal_name_old(volume, node, name, &old);
	if (n == 0)
		n = store->ops->getxattr(store, at->handle, at->name, old.backing, stored, room);
	if (n >= 0)
		*attr = old;
	/* It may have been renewed between the two, which happens once at most. */
	return n == -ENODATA ? store->ops->getxattr(store, at->handle, at->name, attr->backing, stored, room) : n;
}

/* @most: of the stored value. -ERANGE: it is longer than that, or the value than @room. */
static ssize_t get_encrypted(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_at *at,
			     const char *name, size_t most, void *ret_value, size_t room)
{
	xtsfs_auto_wiped uint8_t *stored = malloc(most), *plain = malloc(most);
	struct xtsfs_xattr_sealed attr;
	ssize_t n, bytes;
	int r = xtsfs_xattr_seal_name(volume, node, name, &attr);

	if (r < 0)
		return r;
	if (!stored || !plain)
		return -ENOMEM;
	n = get_stored(volume, node, at, name, &attr, stored, most);
	/* trusted.* on a symlink without privilege looks absent */
	if (n < 0)
		return n == -EPERM || n == -EOPNOTSUPP ? -ENODATA : n;
	bytes = open_value(volume, name, &attr, stored, (size_t)n, plain);
	if (bytes == -EIO) {
		xtsfs_auto_free char *path = xtsfs_node_describe(volume, node);

		xtsfs_error("%s: the value of an extended attribute is not authentic, refusing to read it",
			    path ? path : "a file");
	}
	if (bytes < 0 || room == 0)
		return bytes;
	if ((size_t)bytes > room)
		return -ERANGE;
	memcpy(ret_value, plain, (size_t)bytes);
	return bytes;
}

/* A name that no file has: outside of the namespaces, so nobody can set it, and in no listing, so nothing copies it. */
static ssize_t get_path(struct xtsfs_volume *volume, struct xtsfs_node *node, char *ret_value, size_t room)
{
	xtsfs_auto_free char *path = NULL;
	int r = xtsfs_path_of_node(volume, node, &path);
	size_t bytes;

	if (r < 0) {
		path = NULL;
		return r;
	}
	bytes = strlen(path);
	if (bytes > VALUE_MAX_BYTES)
		return -E2BIG;
	if (room > 0 && bytes > room)
		return -ERANGE;
	if (room > 0)
		memcpy(ret_value, path, bytes);
	return (ssize_t)bytes;
}

ssize_t xtsfs_getxattr(struct xtsfs_volume *volume, struct xtsfs_node *node, const char *name, void *ret_value,
		       size_t room)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_at at;
	ssize_t n;

	if (volume->reverse)
		return xtsfs_reverse_getxattr(volume, node, name, ret_value, room);
	if (strcmp(name, XTSFS_XATTR_PATH) == 0)
		return get_path(volume, node, ret_value, room);
	n = xtsfs_at_get(volume, node, &at);
	if (n < 0)
		return n;
	if (xtsfs_xattr_is_acl(name))
		n = store->ops->getxattr(store, at.handle, at.name, name, ret_value, room);
	else
		n = get_encrypted(volume, node, &at, name, SHORT_STORED_BYTES, ret_value, room);
	if (n == -ERANGE && !xtsfs_xattr_is_acl(name))
		n = get_encrypted(volume, node, &at, name, LONGEST_STORED_BYTES, ret_value, room);
	xtsfs_at_put(volume, &at);
	return n;
}

ssize_t xtsfs_xattr_seal_value(const struct xtsfs_keys *keys, const char *name, const struct xtsfs_xattr_sealed *attr,
			       const void *value, size_t bytes, const uint8_t *salt, uint8_t **ret_stored)
{
	size_t name_bytes = strlen(name), start = attr->is_long ? 2 + attr->cipher_bytes : 0;
	uint8_t ad[SALT_BYTES + NAME_MAX_BYTES];
	xtsfs_auto_wiped uint8_t *stored = malloc(2 + sizeof(attr->cipher) + bytes + VALUE_OVERHEAD);
	xtsfs_auto_wiped uint8_t *plain = malloc(bytes + 1);
	int r = 0;

	if (!stored || !plain)
		return -ENOMEM;
	if (attr->is_long) {
		xtsfs_store_le(stored, 2, attr->cipher_bytes);
		memcpy(stored + 2, attr->cipher, attr->cipher_bytes);
	}
	if (bytes)
		memcpy(plain, value, bytes);
	plain[bytes] = 0x01;
	if (salt)
		memcpy(stored + start, salt, SALT_BYTES);
	else
		r = xtsfs_random(stored + start, SALT_BYTES);
	if (r < 0)
		return r;
	memcpy(ad, stored + start, SALT_BYTES);
	memcpy(ad + SALT_BYTES, name, name_bytes);
	r = xtsfs_siv_seal(keys->xattr, ad, SALT_BYTES + name_bytes, plain, bytes + 1, stored + start + SALT_BYTES);
	if (r < 0)
		return r;
	*ret_stored = stored;
	stored = NULL;
	return (ssize_t)(start + bytes + VALUE_OVERHEAD);
}

static int set_encrypted(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_at *at, const char *name,
			 const void *value, size_t bytes, int flags)
{
	struct xtsfs_store *store = volume->store;
	xtsfs_auto_wiped uint8_t *stored = NULL;
	struct xtsfs_xattr_sealed attr;
	ssize_t n = xtsfs_xattr_seal_name(volume, node, name, &attr);

	if (n < 0)
		return (int)n;
	if (bytes > VALUE_MAX_BYTES)
		return -E2BIG;
	n = xtsfs_xattr_seal_value(volume->keys, name, &attr, value, bytes, NULL, &stored);
	return n < 0 ? (int)n
		     : store->ops->setxattr(store, at->handle, at->name, attr.backing, stored, (size_t)n, flags);
}

/* From the old key to the new one; the mutex is held. 1 if there was something to do. */
static int renew_one(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_at *at, const char *name)
{
	struct xtsfs_store *store = volume->store;
	size_t most = LONGEST_STORED_BYTES;
	xtsfs_auto_wiped uint8_t *stored = NULL, *plain = NULL;
	struct xtsfs_xattr_sealed old;
	ssize_t n;
	int r = seal_name_old(volume, node, name, &old);

	if (r < 0)
		return r == -ENODATA ? 0 : r;
	stored = malloc(most);
	plain = malloc(most);
	if (!stored || !plain)
		return -ENOMEM;
	n = store->ops->getxattr(store, at->handle, at->name, old.backing, stored, most);
	if (n < 0)
		return n == -ENODATA || n == -EPERM || n == -EOPNOTSUPP ? 0 : (int)n;
	n = open_value(volume, name, &old, stored, (size_t)n, plain);
	if (n < 0)
		return (int)n;
	/* Both at once is what a crash leaves between these two, and then the new one is the later. */
	r = set_encrypted(volume, node, at, name, plain, (size_t)n, XATTR_CREATE);
	if (r == 0 || r == -EEXIST)
		r = store->ops->removexattr(store, at->handle, at->name, old.backing);
	return r < 0 ? r : 1;
}

/* Before an attribute is changed: there must not be an older one to come back. */
static void begin_change(struct xtsfs_volume *volume)
{
	if (volume->keys->old)
		pthread_mutex_lock(&volume->attr_mutex);
}

static void end_change(struct xtsfs_volume *volume)
{
	if (volume->keys->old)
		pthread_mutex_unlock(&volume->attr_mutex);
}

static int renew_to_change(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_at *at, const char *name)
{
	int r = volume->keys->old ? renew_one(volume, node, at, name) : 0;

	return r < 0 ? r : 0;
}

int xtsfs_setxattr(struct xtsfs_volume *volume, struct xtsfs_node *node, const char *name, const void *value,
		   size_t bytes, int flags)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_at at;
	int r;

	if (volume->read_only)
		return -EROFS;
	r = xtsfs_at_get(volume, node, &at);
	if (r < 0)
		return r;
	if (xtsfs_xattr_is_acl(name)) {
		r = store->ops->setxattr(store, at.handle, at.name, name, value, bytes, flags);
	} else {
		begin_change(volume);
		r = renew_to_change(volume, node, &at, name);
		if (r == 0)
			r = set_encrypted(volume, node, &at, name, value, bytes, flags);
		end_change(volume);
	}
	xtsfs_at_put(volume, &at);
	return r;
}

/* The plain name of one backing attribute. 0, or an error for what is not one of ours. */
static int open_name(struct xtsfs_volume *volume, const struct xtsfs_at *at, const char *prefix, const char *backing,
		     char ret_name[NAME_MAX_BYTES + 1], bool *ret_old)
{
	struct xtsfs_store *store = volume->store;
	size_t prefix_chars = strlen(prefix), bytes;
	uint8_t cipher[NAME_MAX_BYTES + 16];
	const char *text = backing + prefix_chars;
	int r;

	if (strncmp(backing, prefix, prefix_chars) != 0)
		return -ENODATA;
	if (strncmp(text, LONG_PREFIX, sizeof(LONG_PREFIX) - 1) == 0) {
		xtsfs_auto_wiped uint8_t *stored = malloc(LONGEST_STORED_BYTES);
		char expected[44];
		uint8_t hash[32];
		ssize_t n;

		if (!stored)
			return -ENOMEM;
		n = store->ops->getxattr(store, at->handle, at->name, backing, stored, LONGEST_STORED_BYTES);
		if (n < 2)
			return n < 0 ? (int)n : -EIO;
		bytes = (size_t)xtsfs_load_le(stored, 2);
		if (bytes > sizeof(cipher) || bytes > (size_t)n - 2)
			return -EIO;
		memcpy(cipher, stored + 2, bytes);
		r = xtsfs_sha256(cipher, bytes, hash);
		if (r < 0)
			return r;
		xtsfs_base64_encode(hash, sizeof(hash), expected);
		if (strcmp(expected, text + sizeof(LONG_PREFIX) - 1) != 0 ||
		    prefix_chars + xtsfs_base64_chars(bytes) <= XTSFS_NAME_MAX)
			return -EIO;
	} else {
		bytes = xtsfs_base64_bytes(strlen(text));
		if (bytes > sizeof(cipher) || xtsfs_base64_decode(text, strlen(text), cipher) < 0)
			return -EIO;
	}
	if (bytes <= XTSFS_SIV_IV_BYTES)
		return -EIO;
	r = xtsfs_keys_siv_open(volume->keys, XTSFS_SIV_XATTR, NAME_AD, 16, cipher, bytes, ret_name, ret_old);
	if (r < 0)
		return r;
	ret_name[bytes - XTSFS_SIV_IV_BYTES] = '\0';
	return 0;
}

/* Of an attribute that is there under the old key: under the new one, too? Then it is that one. */
static bool is_doubled(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct xtsfs_at *at,
		       const char *name)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_xattr_sealed attr;

	return xtsfs_xattr_seal_name(volume, node, name, &attr) == 0 &&
	       store->ops->getxattr(store, at->handle, at->name, attr.backing, NULL, 0) >= 0;
}

static ssize_t list(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct xtsfs_at *at, char *ret_list,
		    size_t room)
{
	struct xtsfs_store *store = volume->store;
	xtsfs_auto_free char *backing = malloc(VALUE_MAX_BYTES);
	size_t used = 0;
	ssize_t n;

	if (!backing)
		return -ENOMEM;
	n = store->ops->listxattr(store, at->handle, at->name, backing, VALUE_MAX_BYTES);
	if (n < 0)
		return n;
	for (const char *name = backing; name < backing + n; name += strlen(name) + 1) {
		char plain[NAME_MAX_BYTES + 1];
		const char *shown = plain;

		if (xtsfs_xattr_is_acl(name)) {
			shown = name;
		} else {
			bool old = false;
			int r = open_name(volume, at, xtsfs_xattr_prefix(node), name, plain, &old);

			if (r == -EIO || r == -XTSFS_EAUTH)
				xtsfs_warning(
					"inode %llu: an extended attribute's name does not decrypt, not showing it",
					(unsigned long long)node->ino);
			if (r < 0 || (old && is_doubled(volume, node, at, plain)))
				continue;
		}
		if (room && used + strlen(shown) + 1 > room)
			return -ERANGE;
		if (room)
			strcpy(ret_list + used, shown);
		used += strlen(shown) + 1;
	}
	return (ssize_t)used;
}

ssize_t xtsfs_listxattr(struct xtsfs_volume *volume, struct xtsfs_node *node, char *ret_list, size_t room)
{
	struct xtsfs_at at;
	ssize_t n;

	if (volume->reverse)
		return xtsfs_reverse_listxattr(volume, node, ret_list, room);
	n = xtsfs_at_get(volume, node, &at);
	if (n < 0)
		return n;
	n = list(volume, node, &at, ret_list, room);
	xtsfs_at_put(volume, &at);
	return n;
}

static int renew_listed(struct xtsfs_volume *volume, struct xtsfs_node *node, struct xtsfs_at *at)
{
	struct xtsfs_store *store = volume->store;
	xtsfs_auto_free char *backing = malloc(VALUE_MAX_BYTES);
	int first = 0, renewed = 0;
	ssize_t n;

	if (!backing)
		return -ENOMEM;
	n = store->ops->listxattr(store, at->handle, at->name, backing, VALUE_MAX_BYTES);
	if (n < 0)
		return n == -EOPNOTSUPP ? 0 : (int)n;
	for (const char *name = backing; name < backing + n; name += strlen(name) + 1) {
		char plain[NAME_MAX_BYTES + 1];
		bool old = false;
		int r = open_name(volume, at, xtsfs_xattr_prefix(node), name, plain, &old);

		/* Not one of ours; or gone meanwhile. */
		if (r == -ENODATA || (r == 0 && !old))
			continue;
		if (r == 0) {
			xtsfs_guard_mutex(&volume->attr_mutex);
			r = renew_one(volume, node, at, plain);
		}
		if (r < 0 && first == 0)
			first = r == -XTSFS_EAUTH ? -EIO : r;
		if (r > 0)
			renewed = 1;
	}
	return first < 0 ? first : renewed;
}

int xtsfs_renew_xattrs(struct xtsfs_volume *volume, struct xtsfs_node *node)
{
	struct xtsfs_at at;
	int r;

	if (!volume->keys->old)
		return 0;
	r = xtsfs_at_get(volume, node, &at);
	if (r < 0)
		return r;
	r = renew_listed(volume, node, &at);
	xtsfs_at_put(volume, &at);
	return r;
}

int xtsfs_removexattr(struct xtsfs_volume *volume, struct xtsfs_node *node, const char *name)
{
	struct xtsfs_store *store = volume->store;
	struct xtsfs_at at;
	struct xtsfs_xattr_sealed attr;
	int r = 0;

	if (volume->read_only)
		return -EROFS;
	if (!xtsfs_xattr_is_acl(name))
		r = xtsfs_xattr_seal_name(volume, node, name, &attr);
	if (r == 0)
		r = xtsfs_at_get(volume, node, &at);
	if (r < 0)
		return r;
	begin_change(volume);
	if (!xtsfs_xattr_is_acl(name))
		r = renew_to_change(volume, node, &at, name);
	if (r == 0)
		r = store->ops->removexattr(store, at.handle, at.name, xtsfs_xattr_is_acl(name) ? name : attr.backing);
	end_change(volume);
	xtsfs_at_put(volume, &at);
	return r;
}
