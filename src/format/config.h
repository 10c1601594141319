/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfs.conf as text and as a structure (spec 4).
 *
 * Layer:   format. Pure (json-c). Nothing here is secret; nothing parsed is trusted until the core has checked the
 * HMAC.
 */
#ifndef XTSFS_FORMAT_CONFIG_H
#define XTSFS_FORMAT_CONFIG_H

#include "base/errors.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XTSFS_CONFIG_MAX_BYTES	 (256U * 1024)
#define XTSFS_CONFIG_SLOTS	 16U
#define XTSFS_UUID_BYTES	 16U
#define XTSFS_UUID_CHARS	 36U
#define XTSFS_SLOT_NAME_MAX	 64U
#define XTSFS_SLOT_SALT_BYTES	 32U
#define XTSFS_VOLUME_KEY_BYTES	 32U
#define XTSFS_CONFIG_HMAC_BYTES	 32U
#define XTSFS_KEYFILE_MIN_BYTES	 32U
#define XTSFS_KEYFILE_MAX_BYTES	 (8U * 1024 * 1024)
#define XTSFS_KEY_GENERATION_MAX 2147483647U

enum xtsfs_integrity {
	XTSFS_INTEGRITY_AES_GMAC,
	XTSFS_INTEGRITY_HMAC_SHA256,
	XTSFS_INTEGRITY_NONE,
	XTSFS_INTEGRITY__COUNT
};
const char *xtsfs_integrity_name(enum xtsfs_integrity integrity);
xtsfs_must_check int xtsfs_integrity_parse(const char *text, enum xtsfs_integrity *ret_integrity);

enum xtsfs_slot_kind {
	XTSFS_SLOT_PASSPHRASE,
	XTSFS_SLOT_KEYFILE,
	XTSFS_SLOT_BOTH, /* passphrase and keyfile together */
	XTSFS_SLOT_RECOVERY,
	XTSFS_SLOT_TPM2,
	XTSFS_SLOT_FIDO2,
	XTSFS_SLOT_UNKNOWN
};
/** As it is written in the file; "unknown" for XTSFS_SLOT_UNKNOWN. */
const char *xtsfs_slot_kind_name(enum xtsfs_slot_kind kind);
/** XTSFS_SLOT_UNKNOWN if the kind is not known or has not this KDF; @ret_argon2 as the KDF says. */
enum xtsfs_slot_kind xtsfs_slot_kind_parse(const char *kind, const char *kdf_type, bool *ret_argon2);

#define XTSFS_TPM2_NAME_BYTES 34U
#define XTSFS_TPM2_BLOB_BYTES 512U
#define XTSFS_TPM2_PCRS	      24U

/* What a slot of kind tpm2 keeps (spec 4.2). */
struct xtsfs_slot_tpm2 {
	uint32_t pcr_mask; /* bit n: PCR n, 0 to 23 */
	uint8_t parent[XTSFS_TPM2_NAME_BYTES];
	uint8_t public[XTSFS_TPM2_BLOB_BYTES], private[XTSFS_TPM2_BLOB_BYTES];
	unsigned public_bytes, private_bytes; /* 1 or more */
};

#define XTSFS_FIDO2_CREDENTIAL_BYTES 1023U /* as WebAuthn has it */
#define XTSFS_FIDO2_SALT_BYTES	     32U

/* How the authenticator has to be sure of its user. */
enum xtsfs_fido2_user {
	XTSFS_FIDO2_USER_ANY,
	XTSFS_FIDO2_USER_PIN,	   /* knows its PIN */
	XTSFS_FIDO2_USER_BUILT_IN, /* is recognised by what it has for that, such as a fingerprint */
	XTSFS_FIDO2_USER__COUNT
};
/** As it is written in the file. */
const char *xtsfs_fido2_user_name(enum xtsfs_fido2_user user);

/* What a slot of kind fido2 keeps (spec 4.3). */
struct xtsfs_slot_fido2 {
	uint8_t credential[XTSFS_FIDO2_CREDENTIAL_BYTES];
	unsigned credential_bytes; /* 1 or more */
	uint8_t salt[XTSFS_FIDO2_SALT_BYTES];
	enum xtsfs_fido2_user user;
	bool touch; /* it has to be touched */
};

struct xtsfs_slot {
	unsigned id; /* 0 to 15 */
	enum xtsfs_slot_kind kind;
	char name[XTSFS_SLOT_NAME_MAX + 1];
	char created[32];
	uint8_t salt[XTSFS_SLOT_SALT_BYTES];
	bool argon2; /* the KDF is Argon2id; else HKDF */
	uint32_t argon2_time, argon2_memory_kib, argon2_parallel;
	uint8_t nonce[12];
	uint8_t wrapped_key[XTSFS_VOLUME_KEY_BYTES];
	uint8_t tag[16];
	struct xtsfs_slot_tpm2 tpm2;
	struct xtsfs_slot_fido2 fido2;
	void *unknown; /* a slot of unknown kind or KDF, and unknown members: kept as json-c object, owned by the config
			*/
};

/* The volume key that is being replaced, under the one that replaces it (spec 14.1). */
struct xtsfs_wrapped_key {
	uint8_t nonce[12];
	uint8_t wrapped_key[XTSFS_VOLUME_KEY_BYTES];
	uint8_t tag[16];
};

struct xtsfs_config {
	uint8_t uuid[XTSFS_UUID_BYTES];
	char created[32];
	char writer[64];
	enum xtsfs_integrity integrity;
	unsigned content_keys;
	uint32_t key_generation; /* how often the volume key was replaced */
	bool reencrypting;	 /* and it is being replaced now: old_key is there */
	struct xtsfs_wrapped_key old_key;
	unsigned slot_count;
	struct xtsfs_slot slots[XTSFS_CONFIG_SLOTS];
	void *document; /* json-c object with all members, unknown ones too; owned */
};

struct xtsfs_config *xtsfs_config_free(struct xtsfs_config *config);
/** The slot with that number; NULL if there is none. */
const struct xtsfs_slot *xtsfs_config_slot(const struct xtsfs_config *config, int id);
/**
 * Parse and validate the text of the file; strict about everything the spec bounds.
 * @ret_authenticated_bytes, @ret_hmac: what the HMAC covers (a prefix of the text) and its value.
 * @ret_problem: on failure a sentence fragment for people (names the member, or the unknown feature); room
 * @problem_bytes. Returns 0, -EUCLEAN (not the format), -ERANGE (a KDF cost out of its bounds), -EPROTO (unknown
 * version or incompatible feature), -ENOMEM.
 */
xtsfs_must_check int xtsfs_config_parse(const char *text, size_t bytes, struct xtsfs_config **ret_config,
					size_t *ret_authenticated_bytes,
					uint8_t ret_hmac[static XTSFS_CONFIG_HMAC_BYTES], char *ret_problem,
					size_t problem_bytes);
/** The text up to what the HMAC covers; then append the HMAC with xtsfs_config_finish(). Caller frees. */
xtsfs_must_check int xtsfs_config_print(const struct xtsfs_config *config, char **ret_text, size_t *ret_bytes);
xtsfs_must_check int xtsfs_config_finish(const char *text, size_t bytes,
					 const uint8_t hmac[static XTSFS_CONFIG_HMAC_BYTES], char **ret_file,
					 size_t *ret_file_bytes);

void xtsfs_uuid_format(const uint8_t uuid[static XTSFS_UUID_BYTES], char ret_text[static XTSFS_UUID_CHARS + 1]);
xtsfs_must_check int xtsfs_uuid_parse(const char *text, uint8_t ret_uuid[static XTSFS_UUID_BYTES]);

#endif
