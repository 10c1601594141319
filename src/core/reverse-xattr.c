/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes in the reverse view: those of the plain object, sealed. What the stored name of one is takes a
 * hash, so it is found by sealing the names of all.
 */
#include "core/reverse-internal.h"
#include "core/xattr-internal.h"

#include <stdio.h>
#include <string.h>

/* One attribute after another as it would be called; 1 and *@ret_attr, 0 at the end. What is none of ours is passed
 * over. */
static int next_sealed(struct xtsfs_volume *volume, const struct xtsfs_node *node, const char *end, const char **at,
		       const char **ret_name, struct xtsfs_xattr_sealed *ret_attr)
{
	while (*at < end) {
		const char *name = *at;

		*at += strlen(name) + 1;
		*ret_name = name;
		if (xtsfs_xattr_is_acl(name)) {
			snprintf(ret_attr->backing, sizeof(ret_attr->backing), "%s", name);
			return 1;
		}
		if (xtsfs_xattr_check_name(name) < 0)
			continue;
		int r = xtsfs_xattr_seal_name(volume, node, name, ret_attr);

		return r < 0 ? r : 1;
	}
	return 0;
}

static ssize_t source_names(struct xtsfs_volume *volume, const struct xtsfs_at *at, char **ret_names)
{
	char *names = malloc(VALUE_MAX_BYTES);
	ssize_t n = names ? volume->store->ops->listxattr(volume->store, at->handle, at->name, names, VALUE_MAX_BYTES)
			  : -ENOMEM;

	if (n < 0) {
		free(names);
		return n;
	}
	*ret_names = names;
	return n;
}

static ssize_t get_sealed(struct xtsfs_volume *volume, struct xtsfs_node *node, const struct xtsfs_at *at,
			  const uint8_t object_id[XTSFS_ID_BYTES], const char *backing, uint8_t **ret_stored)
{
	xtsfs_auto_wiped uint8_t *value = malloc(VALUE_MAX_BYTES);
	xtsfs_auto_free char *names = NULL;
	uint8_t salt[SALT_BYTES];
	const char *name, *next;
	struct xtsfs_xattr_sealed attr;
	ssize_t n = value ? source_names(volume, at, &names) : -ENOMEM, bytes = n;
	int r;

	if (n < 0)
		return n;
	next = names;
	while ((r = next_sealed(volume, node, names + bytes, &next, &name, &attr)) > 0)
		if (strcmp(attr.backing, backing) == 0)
			break;
	if (r <= 0)
		return r < 0 ? r : -ENODATA;
	n = volume->store->ops->getxattr(volume->store, at->handle, at->name, name, value, VALUE_MAX_BYTES);
	if (n < 0)
		return n;
	r = xtsfs_reverse_salt(volume, object_id, name, salt);
	return r < 0 ? r : xtsfs_xattr_seal_value(volume->keys, name, &attr, value, (size_t)n, salt, ret_stored);
}

ssize_t xtsfs_reverse_getxattr(struct xtsfs_volume *volume, struct xtsfs_node *node, const char *name, void *ret_value,
			       size_t room)
{
	const char *prefix = xtsfs_xattr_prefix(node);
	xtsfs_auto_wiped uint8_t *stored = NULL;
	uint8_t id[XTSFS_ID_BYTES];
	struct xtsfs_at at;
	ssize_t n;

	if (xtsfs_virtual_of(node) || (!xtsfs_xattr_is_acl(name) && strncmp(name, prefix, strlen(prefix)) != 0))
		return -ENODATA;
	n = xtsfs_reverse_node_id(volume, node, id);
	if (n == 0)
		n = xtsfs_at_get(volume, node, &at);
	if (n < 0)
		return n;
	if (xtsfs_xattr_is_acl(name))
		n = volume->store->ops->getxattr(volume->store, at.handle, at.name, name, ret_value, room);
	else
		n = get_sealed(volume, node, &at, id, name, &stored);
	xtsfs_at_put(volume, &at);
	if (n < 0 || room == 0 || xtsfs_xattr_is_acl(name))
		return n;
	if ((size_t)n > room)
		return -ERANGE;
	memcpy(ret_value, stored, (size_t)n);
	return n;
}

ssize_t xtsfs_reverse_listxattr(struct xtsfs_volume *volume, struct xtsfs_node *node, char *ret_list, size_t room)
{
	xtsfs_auto_free char *names = NULL;
	const char *name, *next;
	struct xtsfs_at at;
	struct xtsfs_xattr_sealed attr;
	size_t used = 0;
	ssize_t n;
	int r;

	if (xtsfs_virtual_of(node))
		return 0;
	r = xtsfs_at_get(volume, node, &at);
	if (r < 0)
		return r;
	n = source_names(volume, &at, &names);
	xtsfs_at_put(volume, &at);
	if (n < 0)
		return n;
	next = names;
	while ((r = next_sealed(volume, node, names + n, &next, &name, &attr)) > 0) {
		size_t bytes = strlen(attr.backing) + 1;

		if (room && used + bytes > room)
			return -ERANGE;
		if (room)
			memcpy(ret_list + used, attr.backing, bytes);
		used += bytes;
	}
	return r < 0 ? r : (ssize_t)used;
}
