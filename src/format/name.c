/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shapes of names. Our own names hold a dot and encrypted names never do, so a name alone says which it is.
 */
#include "format/name.h"

#include "base/base64.h"
#include "base/secret.h"

#define HASH_CHARS 43U /* base64url of 32 bytes */
#define TMP_CHARS  22U /* of 16 bytes */

static bool is_base64(const char *text, size_t chars)
{
	uint8_t data[XTSFS_NAME_CIPHER_MAX];

	return xtsfs_base64_bytes(chars) <= sizeof(data) && xtsfs_base64_decode(text, chars, data) == 0;
}

enum xtsfs_name_kind xtsfs_name_classify(const char *backing_name, bool is_root)
{
	static const size_t long_prefix = sizeof(XTSFS_NAME_LONG) - 1, tmp_prefix = sizeof(XTSFS_NAME_TMP) - 1;
	size_t chars = strlen(backing_name);

	if (!strchr(backing_name, '.')) {
		size_t bytes = xtsfs_base64_bytes(chars);

		return bytes >= XTSFS_NAME_CIPHER_MIN && bytes % 16 == 0 && is_base64(backing_name, chars)
			       ? XTSFS_NAME_KIND_SHORT
			       : XTSFS_NAME_KIND_FOREIGN;
	}
	if (strncmp(backing_name, XTSFS_NAME_LONG, long_prefix) == 0) {
		const char *hash = backing_name + long_prefix;

		if (chars < long_prefix + HASH_CHARS || !is_base64(hash, HASH_CHARS))
			return XTSFS_NAME_KIND_FOREIGN;
		if (chars == long_prefix + HASH_CHARS)
			return XTSFS_NAME_KIND_LONG;
		return strcmp(hash + HASH_CHARS, XTSFS_NAME_LONG_SUFFIX) == 0 ? XTSFS_NAME_KIND_LONG_NAME
									      : XTSFS_NAME_KIND_FOREIGN;
	}
	if (strncmp(backing_name, XTSFS_NAME_TMP, tmp_prefix) == 0)
		return chars == tmp_prefix + TMP_CHARS && is_base64(backing_name + tmp_prefix, TMP_CHARS)
			       ? XTSFS_NAME_KIND_TMP
			       : XTSFS_NAME_KIND_FOREIGN;
	if (strcmp(backing_name, XTSFS_NAME_DIRID) == 0)
		return XTSFS_NAME_KIND_OWN;
	if (is_root &&
	    (strcmp(backing_name, XTSFS_NAME_CONF) == 0 || strcmp(backing_name, XTSFS_NAME_LOCK) == 0 ||
	     strcmp(backing_name, XTSFS_NAME_CONF_COPY) == 0 || strcmp(backing_name, XTSFS_NAME_BACKUP_NOTE) == 0 ||
	     strcmp(backing_name, XTSFS_NAME_UNCLEAN) == 0 || strcmp(backing_name, XTSFS_NAME_LOST) == 0 ||
	     strcmp(backing_name, XTSFS_NAME_REDO) == 0))
		return XTSFS_NAME_KIND_OWN;
	return XTSFS_NAME_KIND_FOREIGN;
}

int xtsfs_name_check(const char *name, size_t bytes)
{
	if (bytes == 0 || memchr(name, '/', bytes) || memchr(name, '\0', bytes) ||
	    (name[0] == '.' && (bytes == 1 || (bytes == 2 && name[1] == '.'))))
		return -EINVAL;
	return bytes > XTSFS_NAME_MAX ? -ENAMETOOLONG : 0;
}

size_t xtsfs_name_pad(const char *name, size_t bytes, uint8_t *ret_padded)
{
	size_t padded = (bytes + 15) / 16 * 16;

	memcpy(ret_padded, name, bytes);
	memset(ret_padded + bytes, 0, padded - bytes);
	return padded;
}

int xtsfs_name_unpad(const uint8_t *padded, size_t padded_bytes, char *ret_name)
{
	const uint8_t *end = memchr(padded, 0, padded_bytes);
	size_t bytes = end ? (size_t)(end - padded) : padded_bytes;

	if (padded_bytes - bytes >= 16 || bytes > XTSFS_NAME_MAX ||
	    !xtsfs_is_zero(padded + bytes, padded_bytes - bytes) || xtsfs_name_check((const char *)padded, bytes) < 0)
		return -XTSFS_EDAMAGED;
	memcpy(ret_name, padded, bytes);
	ret_name[bytes] = '\0';
	return 0;
}

bool xtsfs_name_is_long(size_t cipher_bytes)
{
	return xtsfs_base64_chars(cipher_bytes) > XTSFS_NAME_MAX;
}

void xtsfs_name_long_from_hash(const uint8_t hash[static 32], char *ret_name)
{
	memcpy(ret_name, XTSFS_NAME_LONG, sizeof(XTSFS_NAME_LONG) - 1);
	xtsfs_base64_encode(hash, 32, ret_name + sizeof(XTSFS_NAME_LONG) - 1);
}
