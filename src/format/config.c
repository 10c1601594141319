/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfs.conf: its names, its UUIDs, its end of life.
 *
 * The reading of a file is in config-scan.c (is this JSON, and only one possible reading of it?) and config-parse.c
 * (is it a configuration?), the writing in config-print.c. What a struct xtsfs_config keeps beside its plain members is
 * one reference to the json-c tree it was parsed from: that is where unknown members live until the file is written
 * again. The `unknown` pointers of the slots point into that tree and own nothing, so a slot may be copied, moved in
 * the array or dropped as the plain structure it is.
 */
#include "format/config.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

static const char *const integrity_names[XTSFS_INTEGRITY__COUNT] = {
	[XTSFS_INTEGRITY_AES_GMAC] = "aes-gmac",
	[XTSFS_INTEGRITY_HMAC_SHA256] = "hmac-sha256",
	[XTSFS_INTEGRITY_NONE] = "none",
};

const char *xtsfs_integrity_name(enum xtsfs_integrity integrity)
{
	return (unsigned)integrity < XTSFS_INTEGRITY__COUNT ? integrity_names[integrity] : "unknown";
}

int xtsfs_integrity_parse(const char *text, enum xtsfs_integrity *ret_integrity)
{
	for (unsigned i = 0; i < XTSFS_INTEGRITY__COUNT; i++)
		if (strcmp(text, integrity_names[i]) == 0) {
			*ret_integrity = (enum xtsfs_integrity)i;
			return 0;
		}
	return -EINVAL;
}

/* A kind has the KDFs that are set here, and with any other it is not that kind (spec 4). */
static const struct {
	const char *name;
	bool argon2, hkdf;
} kinds[XTSFS_SLOT_UNKNOWN] = {
	[XTSFS_SLOT_PASSPHRASE] = {"passphrase", .argon2 = true},   [XTSFS_SLOT_KEYFILE] = {"keyfile", .hkdf = true},
	[XTSFS_SLOT_BOTH] = {"passphrase+keyfile", .argon2 = true}, [XTSFS_SLOT_RECOVERY] = {"recovery", .hkdf = true},
	[XTSFS_SLOT_TPM2] = {"tpm2", .argon2 = true, .hkdf = true}, [XTSFS_SLOT_FIDO2] = {"fido2", .hkdf = true},
};

const char *xtsfs_slot_kind_name(enum xtsfs_slot_kind kind)
{
	return (unsigned)kind < XTSFS_SLOT_UNKNOWN ? kinds[kind].name : "unknown";
}

enum xtsfs_slot_kind xtsfs_slot_kind_parse(const char *kind, const char *kdf_type, bool *ret_argon2)
{
	bool argon2 = strcmp(kdf_type, "argon2id") == 0, hkdf = strcmp(kdf_type, "hkdf-sha512") == 0;

	for (unsigned i = 0; i < XTSFS_SLOT_UNKNOWN; i++)
		if (strcmp(kind, kinds[i].name) == 0 && ((argon2 && kinds[i].argon2) || (hkdf && kinds[i].hkdf))) {
			*ret_argon2 = argon2;
			return (enum xtsfs_slot_kind)i;
		}
	*ret_argon2 = false;
	return XTSFS_SLOT_UNKNOWN;
}

const char *xtsfs_fido2_user_name(enum xtsfs_fido2_user user)
{
	static const char *const names[XTSFS_FIDO2_USER__COUNT] = {
		[XTSFS_FIDO2_USER_ANY] = "any",
		[XTSFS_FIDO2_USER_PIN] = "pin",
		[XTSFS_FIDO2_USER_BUILT_IN] = "built-in",
	};

	return names[user];
}

/* 8-4-4-4-12 digits: is there a hyphen before byte @i? */
static int hyphen_before(unsigned i)
{
	return i == 4 || i == 6 || i == 8 || i == 10;
}

void xtsfs_uuid_format(const uint8_t uuid[static XTSFS_UUID_BYTES], char ret_text[static XTSFS_UUID_CHARS + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (unsigned i = 0; i < XTSFS_UUID_BYTES; i++) {
		if (hyphen_before(i))
			*ret_text++ = '-';
		*ret_text++ = digits[uuid[i] >> 4];
		*ret_text++ = digits[uuid[i] & 15];
	}
	*ret_text = '\0';
}

/* Lower case only, as the spec has it: one UUID has one spelling. */
static int digit_value(char character)
{
	if (character >= '0' && character <= '9')
		return character - '0';
	if (character >= 'a' && character <= 'f')
		return character - 'a' + 10;
	return -EINVAL;
}

int xtsfs_uuid_parse(const char *text, uint8_t ret_uuid[static XTSFS_UUID_BYTES])
{
	uint8_t uuid[XTSFS_UUID_BYTES];

	if (strlen(text) != XTSFS_UUID_CHARS)
		return -EINVAL;
	for (unsigned i = 0; i < XTSFS_UUID_BYTES; i++) {
		int high, low;

		if (hyphen_before(i) && *text++ != '-')
			return -EINVAL;
		high = digit_value(*text++);
		low = digit_value(*text++);
		if (high < 0 || low < 0)
			return -EINVAL;
		uuid[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(ret_uuid, uuid, sizeof(uuid));
	return 0;
}

struct xtsfs_config *xtsfs_config_free(struct xtsfs_config *config)
{
	if (!config)
		return NULL;
	json_object_put(config->document);
	free(config);
	return NULL;
}

const struct xtsfs_slot *xtsfs_config_slot(const struct xtsfs_config *config, int id)
{
	for (unsigned i = 0; i < config->slot_count; i++)
		if (config->slots[i].id == (unsigned)id)
			return &config->slots[i];
	return NULL;
}
