/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbolic links and extended attributes: does what is stored decrypt (spec 7 and 8)?
 *
 * Both are SIV ciphertexts, so a damaged one gives nothing at all, and there is nothing to salvage. A damaged attribute
 * is only in the way (reading it is EIO) and is removed by --zero; a damaged link keeps its name until somebody removes
 * it on the mount.
 */
#include "core/fsck-internal.h"

#include "base/base64.h"
#include "crypto/kdf.h"

#include <stdio.h>
#include <string.h>

#define NAME_AD		"xtsfs xattr name" /* 16 bytes */
#define SALT_BYTES	16U
#define LONG_PREFIX	"long."
#define LIST_MAX_BYTES	65536U
#define VALUE_MAX_BYTES (65536U + 1024)
#define NAME_MAX_BYTES	255U

void xtsfs_fsck_symlink(struct xtsfs_fsck *fsck, const struct xtsfs_fsck_place *place, int handle)
{
	uint8_t stored[XTSFS_SYMLINK_MAX + 32], target[XTSFS_SYMLINK_MAX];
	char text[4096];
	ssize_t n = fsck->store->ops->readlink(fsck->store, handle, place->backing_name, text, sizeof(text));
	size_t bytes;
	int r = -XTSFS_EAUTH;

	if (n < 0) {
		xtsfs_fsck_report_io(fsck, place, (int)n, "read the link");
		return;
	}
	bytes = xtsfs_base64_bytes((size_t)n);
	if (bytes > 32 && bytes <= sizeof(stored) && xtsfs_base64_decode(text, (size_t)n, stored) == 0)
		r = xtsfs_keys_siv_open(fsck->volume->keys, XTSFS_SIV_SYMLINK, stored, SALT_BYTES, stored + SALT_BYTES,
					bytes - SALT_BYTES, target, NULL);
	if (r == 0 && memchr(target, '\0', bytes - 32))
		r = -XTSFS_EAUTH;
	if (r < 0)
		xtsfs_fsck_report(fsck, place, XTSFS_FSCK_ERROR, "symlink-bad", XTSFS_FSCK_LEFT, 0,
				  "nothing of it can be saved; remove it on the mount",
				  "the target of the symbolic link does not decrypt");
}

/* One backing attribute under check. */
struct attr {
	const char *text; /* behind the prefix */
	const uint8_t *stored;
	size_t stored_bytes;
};

/* The cipher of the attribute's name, and where the value begins. false: not of the form. */
static bool name_cipher(const struct attr *attr, uint8_t ret_cipher[NAME_MAX_BYTES + 16], size_t *ret_bytes,
			size_t *ret_start)
{
	size_t chars = strlen(attr->text);
	uint8_t hash[32];
	char expected[44];

	*ret_start = 0;
	if (strncmp(attr->text, LONG_PREFIX, sizeof(LONG_PREFIX) - 1) != 0) {
		*ret_bytes = xtsfs_base64_bytes(chars);
		return *ret_bytes <= NAME_MAX_BYTES + 16 && xtsfs_base64_decode(attr->text, chars, ret_cipher) == 0;
	}
	if (attr->stored_bytes < 2)
		return false;
	*ret_bytes = (size_t)xtsfs_load_le(attr->stored, 2);
	if (*ret_bytes > NAME_MAX_BYTES + 16 || *ret_bytes > attr->stored_bytes - 2)
		return false;
	memcpy(ret_cipher, attr->stored + 2, *ret_bytes);
	*ret_start = 2 + *ret_bytes;
	if (xtsfs_sha256(ret_cipher, *ret_bytes, hash) < 0)
		return false;
	xtsfs_base64_encode(hash, sizeof(hash), expected);
	return strcmp(expected, attr->text + sizeof(LONG_PREFIX) - 1) == 0;
}

/* NULL if all is well, else what is wrong. */
static const char *examine(struct xtsfs_fsck *fsck, const struct attr *attr, uint8_t *plain)
{
	uint8_t cipher[NAME_MAX_BYTES + 16], ad[SALT_BYTES + NAME_MAX_BYTES];
	size_t bytes, start, name_bytes, value_bytes;

	if (!name_cipher(attr, cipher, &bytes, &start) || bytes <= XTSFS_SIV_IV_BYTES)
		return "the name of an extended attribute is damaged";
	name_bytes = bytes - XTSFS_SIV_IV_BYTES;
	if (xtsfs_keys_siv_open(fsck->volume->keys, XTSFS_SIV_XATTR, NAME_AD, 16, cipher, bytes, ad + SALT_BYTES,
				NULL) < 0)
		return "the name of an extended attribute does not decrypt";
	if (attr->stored_bytes < start + SALT_BYTES + XTSFS_SIV_IV_BYTES + 1)
		return "the value of an extended attribute is cut short";
	memcpy(ad, attr->stored + start, SALT_BYTES);
	value_bytes = attr->stored_bytes - start - SALT_BYTES;
	if (xtsfs_keys_siv_open(fsck->volume->keys, XTSFS_SIV_XATTR, ad, SALT_BYTES + name_bytes,
				attr->stored + start + SALT_BYTES, value_bytes, plain, NULL) < 0 ||
	    plain[value_bytes - XTSFS_SIV_IV_BYTES - 1] != 0x01)
		return "the value of an extended attribute does not decrypt";
	return NULL;
}

static void bad_attribute(struct xtsfs_fsck *fsck, const struct xtsfs_fsck_place *place, int handle, const char *name,
			  const char *backing, const char *problem)
{
	enum xtsfs_fsck_outcome outcome = XTSFS_FSCK_LEFT;
	const char *action = "with --zero it would be removed";
	int r = 0;

	if (fsck->options.damage == XTSFS_FSCK_DAMAGE_ZERO) {
		r = fsck->store->ops->removexattr(fsck->store, handle, name, backing);
		outcome = xtsfs_fsck_outcome_of(fsck, r);
		action = "removed";
	}
	xtsfs_fsck_report(fsck, place, XTSFS_FSCK_ERROR, "xattr-bad", outcome, r, action, "%s (%s)", problem, backing);
}

static void check_attribute(struct xtsfs_fsck *fsck, const struct xtsfs_fsck_place *place, int handle, const char *name,
			    const char *backing, size_t prefix_chars, uint8_t *buffers)
{
	struct attr attr = {.text = backing + prefix_chars, .stored = buffers};
	ssize_t n = fsck->store->ops->getxattr(fsck->store, handle, name, backing, buffers, VALUE_MAX_BYTES);
	const char *problem;

	if (n < 0) {
		xtsfs_fsck_report_io(fsck, place, (int)n, "read an extended attribute");
		return;
	}
	attr.stored_bytes = (size_t)n;
	problem = examine(fsck, &attr, buffers + VALUE_MAX_BYTES);
	if (problem)
		bad_attribute(fsck, place, handle, name, backing, problem);
}

void xtsfs_fsck_xattrs(struct xtsfs_fsck *fsck, const struct xtsfs_fsck_place *place, int handle, const char *name,
		       mode_t mode)
{
	const char *prefix = S_ISREG(mode) || S_ISDIR(mode) ? "user.xtsfs." : "trusted.xtsfs.";
	size_t prefix_chars = strlen(prefix);
	xtsfs_auto_free char *list = NULL;
	xtsfs_auto_free uint8_t *buffers = NULL;
	char few[1024]; /* nearly always enough */
	ssize_t n = fsck->store->ops->listxattr(fsck->store, handle, name, few, sizeof(few));
	const char *names = few;

	if (n == -ERANGE) {
		list = malloc(LIST_MAX_BYTES);
		n = list ? fsck->store->ops->listxattr(fsck->store, handle, name, list, LIST_MAX_BYTES) : -ENOMEM;
		names = list;
	}
	if (n == -EOPNOTSUPP)
		return;
	if (n < 0) {
		xtsfs_fsck_report_io(fsck, place, (int)n, "list its extended attributes");
		return;
	}
	for (const char *at = names; at < names + n; at += strlen(at) + 1) {
		if (strncmp(at, prefix, prefix_chars) != 0)
			continue;
		if (!buffers)
			buffers = malloc(2 * VALUE_MAX_BYTES);
		if (!buffers) {
			xtsfs_fsck_report_io(fsck, place, -ENOMEM, "read its extended attributes");
			return;
		}
		check_attribute(fsck, place, handle, name, at, prefix_chars, buffers);
	}
}
