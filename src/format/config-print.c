/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfs.conf to text (spec 4).
 *
 * The tree that the file was parsed from is copied, the members we know are set in the copy, and the copy is printed.
 * So members that we do not know stay, in their places, at every level: of the file, of a slot, of its `kdf` and
 * `wrap`. A slot of an unknown kind is printed as it was read. A new configuration, and a new slot, begin with nothing
 * and get their members in the order of the spec.
 *
 * The text ends in two pieces, because the HMAC covers the first: xtsfs_config_print() gives everything before the
 * `"hmac"` member, xtsfs_config_finish() appends it in the one form that a reader accepts.
 *
 * Values are json-c's own from here on; its printer escapes what JSON must have escaped and leaves UTF-8 as it is.
 * Names with bytes that are not UTF-8 would be printed as such and refused by the reader: the core reads its own text
 * back before it replaces a file.
 */
#include "format/config-internal.h"
#include "format/config.h"

#include "base/base64.h"

#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRINT_FLAGS   (JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE)
#define BYTES_MAX     XTSFS_FIDO2_CREDENTIAL_BYTES /* of a member that is base64url */
#define BASE64_ROOM   (BYTES_MAX * 4 / 3 + 4)
#define BEFORE_HMAC   ",\n  "
#define END_OF_OBJECT "\n}"

/* Takes @value, which may be NULL for want of memory. */
static int set(json_object *object, const char *name, json_object *value)
{
	if (!value)
		return -ENOMEM;
	if (json_object_object_add(object, name, value) < 0) {
		json_object_put(value);
		return -ENOMEM;
	}
	return 0;
}

static int set_text(json_object *object, const char *name, const char *text)
{
	return set(object, name, json_object_new_string(text));
}

static int set_integer(json_object *object, const char *name, int64_t value)
{
	return set(object, name, json_object_new_int64(value));
}

static int set_bytes(json_object *object, const char *name, const uint8_t *data, size_t bytes)
{
	char text[BASE64_ROOM];

	xtsfs_base64_encode(data, bytes, text);
	return set_text(object, name, text);
}

/* The member that is an object, made if there is none; borrowed. */
static json_object *ensure_object(json_object *object, const char *name)
{
	json_object *member;

	if (json_object_object_get_ex(object, name, &member))
		return member;
	member = json_object_new_object();
	return set(object, name, member) == 0 ? member : NULL;
}

static int set_kdf(json_object *object, const struct xtsfs_slot *slot)
{
	json_object *kdf = ensure_object(object, "kdf");
	int r;

	if (!kdf)
		return -ENOMEM;
	r = set_text(kdf, "type", slot->argon2 ? "argon2id" : "hkdf-sha512");
	if (r == 0)
		r = set_bytes(kdf, "salt", slot->salt, sizeof(slot->salt));
	if (r == 0 && slot->argon2)
		r = set_integer(kdf, "time", slot->argon2_time);
	if (r == 0 && slot->argon2)
		r = set_integer(kdf, "memory_kib", slot->argon2_memory_kib);
	if (r == 0 && slot->argon2)
		r = set_integer(kdf, "parallel", slot->argon2_parallel);
	return r;
}

static int set_tpm2(json_object *object, const struct xtsfs_slot_tpm2 *tpm2)
{
	json_object *device = ensure_object(object, "tpm2"), *pcrs = json_object_new_array();
	int r = device && pcrs ? 0 : -ENOMEM;

	for (unsigned i = 0; r == 0 && i < XTSFS_TPM2_PCRS; i++)
		if (tpm2->pcr_mask & 1U << i && json_object_array_add(pcrs, json_object_new_int64(i)) < 0)
			r = -ENOMEM;
	if (r < 0) {
		json_object_put(pcrs);
		return r;
	}
	r = set(device, "pcrs", pcrs);
	if (r == 0)
		r = set_bytes(device, "parent", tpm2->parent, sizeof(tpm2->parent));
	if (r == 0)
		r = set_bytes(device, "public", tpm2->public, tpm2->public_bytes);
	if (r == 0)
		r = set_bytes(device, "private", tpm2->private, tpm2->private_bytes);
	return r;
}

static int set_fido2(json_object *object, const struct xtsfs_slot_fido2 *fido2)
{
	json_object *device = ensure_object(object, "fido2");
	int r;

	if (!device)
		return -ENOMEM;
	r = set_bytes(device, "credential", fido2->credential, fido2->credential_bytes);
	if (r == 0)
		r = set_bytes(device, "salt", fido2->salt, sizeof(fido2->salt));
	if (r == 0)
		r = set(device, "touch", json_object_new_boolean(fido2->touch));
	if (r == 0)
		r = set_text(device, "user", xtsfs_fido2_user_name(fido2->user));
	return r;
}

static int set_wrap(json_object *object, const struct xtsfs_slot *slot)
{
	json_object *wrap = ensure_object(object, "wrap");
	int r;

	if (!wrap)
		return -ENOMEM;
	r = set_bytes(wrap, "nonce", slot->nonce, sizeof(slot->nonce));
	if (r == 0)
		r = set_bytes(wrap, "key", slot->wrapped_key, sizeof(slot->wrapped_key));
	if (r == 0)
		r = set_bytes(wrap, "tag", slot->tag, sizeof(slot->tag));
	return r;
}

static int set_slot(json_object *object, const struct xtsfs_slot *slot)
{
	int r = set_integer(object, "id", slot->id);

	if (r == 0)
		r = set_text(object, "name", slot->name);
	if (r < 0 || slot->kind == XTSFS_SLOT_UNKNOWN)
		return r;
	r = set_text(object, "kind", xtsfs_slot_kind_name(slot->kind));
	if (r == 0)
		r = set_text(object, "created", slot->created);
	if (r == 0)
		r = set_kdf(object, slot);
	if (r == 0 && slot->kind == XTSFS_SLOT_TPM2)
		r = set_tpm2(object, &slot->tpm2);
	if (r == 0 && slot->kind == XTSFS_SLOT_FIDO2)
		r = set_fido2(object, &slot->fido2);
	if (r == 0)
		r = set_wrap(object, slot);
	return r;
}

/* A copy of @original, or a new object if that is NULL. NULL for want of memory. */
static json_object *copy_or_new(void *original)
{
	json_object *copy = NULL;

	if (!original)
		return json_object_new_object();
	return json_object_deep_copy(original, &copy, NULL) == 0 ? copy : NULL;
}

static int append_slot(json_object *array, const struct xtsfs_slot *slot)
{
	json_object *object = copy_or_new(slot->unknown);
	int r = object ? set_slot(object, slot) : -ENOMEM;

	if (r == 0 && json_object_array_add(array, object) < 0)
		r = -ENOMEM;
	if (r < 0)
		json_object_put(object);
	return r;
}

static int set_slots(json_object *root, const struct xtsfs_config *config)
{
	json_object *array = json_object_new_array();
	int r = array ? 0 : -ENOMEM;

	for (unsigned i = 0; r == 0 && i < config->slot_count; i++)
		r = append_slot(array, &config->slots[i]);
	if (r < 0) {
		json_object_put(array);
		return r;
	}
	return set(root, "slots", array);
}

/* The only incompatible feature there is: all others are refused by the reader. */
static int set_incompatible(json_object *features, const struct xtsfs_config *config)
{
	json_object *names = json_object_new_array();
	json_object *name = config->reencrypting ? json_object_new_string(XTSFS_CONFIG_REENCRYPT) : NULL;

	if (!names || (config->reencrypting && (!name || json_object_array_add(names, name) < 0))) {
		json_object_put(name);
		json_object_put(names);
		return -ENOMEM;
	}
	return set(features, "incompatible", names);
}

/* A parsed file has both arrays, and the second may name features of others. */
static int set_features(json_object *root, const struct xtsfs_config *config)
{
	json_object *features = ensure_object(root, "features"), *ignored;
	int r = features ? set_incompatible(features, config) : -ENOMEM;

	if (r == 0 && !json_object_object_get_ex(features, "compatible", &ignored))
		r = set(features, "compatible", json_object_new_array());
	return r;
}

static int set_generation(json_object *root, const struct xtsfs_config *config)
{
	json_object *object;
	int r = config->key_generation ? set_integer(root, "key_generation", config->key_generation) : 0;

	if (!config->reencrypting)
		json_object_object_del(root, XTSFS_CONFIG_REENCRYPT);
	if (r < 0 || !config->reencrypting)
		return r;
	object = ensure_object(root, XTSFS_CONFIG_REENCRYPT);
	if (!object)
		return -ENOMEM;
	r = set_bytes(object, "nonce", config->old_key.nonce, sizeof(config->old_key.nonce));
	if (r == 0)
		r = set_bytes(object, "key", config->old_key.wrapped_key, sizeof(config->old_key.wrapped_key));
	if (r == 0)
		r = set_bytes(object, "tag", config->old_key.tag, sizeof(config->old_key.tag));
	return r;
}

static int set_root(json_object *root, const struct xtsfs_config *config)
{
	char uuid[XTSFS_UUID_CHARS + 1];
	int r;

	xtsfs_uuid_format(config->uuid, uuid);
	json_object_object_del(root, "hmac");
	r = set_integer(root, "xtsfs", XTSFS_CONFIG_VERSION);
	if (r == 0)
		r = set_text(root, "uuid", uuid);
	if (r == 0)
		r = set_text(root, "created", config->created);
	if (r == 0)
		r = set_text(root, "writer", config->writer);
	if (r == 0)
		r = set_features(root, config);
	if (r == 0)
		r = set_integer(root, "sector_bytes", 4096);
	if (r == 0)
		r = set_text(root, "integrity", xtsfs_integrity_name(config->integrity));
	if (r == 0)
		r = set_integer(root, "content_keys", config->content_keys);
	if (r == 0)
		r = set_generation(root, config);
	if (r == 0)
		r = set_slots(root, config);
	return r;
}

int xtsfs_config_print(const struct xtsfs_config *config, char **ret_text, size_t *ret_bytes)
{
	json_object *root = copy_or_new(config->document);
	const size_t cut_bytes = sizeof(END_OF_OBJECT) - 1;
	size_t bytes = 0;
	const char *printed;
	char *text;
	int r = root ? set_root(root, config) : -ENOMEM;

	if (r < 0) {
		json_object_put(root);
		return r;
	}
	printed = json_object_to_json_string_length(root, PRINT_FLAGS, &bytes);
	if (!printed || bytes < cut_bytes || memcmp(printed + bytes - cut_bytes, END_OF_OBJECT, cut_bytes) != 0) {
		json_object_put(root);
		return -ENOMEM;
	}
	bytes -= cut_bytes;
	text = malloc(bytes + sizeof(BEFORE_HMAC));
	if (!text) {
		json_object_put(root);
		return -ENOMEM;
	}
	memcpy(text, printed, bytes);
	memcpy(text + bytes, BEFORE_HMAC, sizeof(BEFORE_HMAC));
	json_object_put(root);
	*ret_text = text;
	*ret_bytes = bytes + sizeof(BEFORE_HMAC) - 1;
	return 0;
}

int xtsfs_config_finish(const char *text, size_t bytes, const uint8_t hmac[static XTSFS_CONFIG_HMAC_BYTES],
			char **ret_file, size_t *ret_file_bytes)
{
	char *file, *end;

	if (bytes > XTSFS_CONFIG_MAX_BYTES - XTSFS_CONFIG_ENDING_BYTES)
		return -EFBIG;
	file = malloc(bytes + XTSFS_CONFIG_ENDING_BYTES + 1);
	if (!file)
		return -ENOMEM;
	memcpy(file, text, bytes);
	end = stpcpy(file + bytes, XTSFS_CONFIG_HMAC_OPEN);
	xtsfs_base64_encode(hmac, XTSFS_CONFIG_HMAC_BYTES, end);
	strcpy(end + XTSFS_CONFIG_HMAC_CHARS, XTSFS_CONFIG_HMAC_CLOSE);
	*ret_file = file;
	*ret_file_bytes = bytes + XTSFS_CONFIG_ENDING_BYTES;
	return 0;
}
