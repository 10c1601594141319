/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One keyslot (spec 4).
 *
 *   passphrase --Argon2id(salt, time, memory, lanes)--+
 *                                                     +--> slot key --AES-256-GCM--> volume key
 *   keyfile    --HKDF-SHA-512(salt)-------------------+
 *
 * A slot of both: the two results together, by HKDF-SHA-512 once more. Neither opens it alone, and who has the keyfile
 * still pays Argon2id for each guess at the passphrase.
 *
 * A keyfile has 32 bytes of randomness or it is not one, so it needs no costly derivation. The associated data is a
 * label and the volume's UUID: a slot that was copied into another volume does not open there.
 *
 * A wrong passphrase and a damaged slot look the same here, the tag of GCM does not verify. The core tries the slots in
 * turn, so that is no loss: conf.c tells them apart by the HMAC of the whole file, once some slot has opened.
 *
 * A recovery key is typed where a passphrase is asked for, so a passphrase is also for slots of that kind. It has 200
 * random bits: nobody guesses it, and HKDF is enough.
 *
 * A TPM gives out 32 random bytes. With a PIN, what Argon2id makes of it goes into the slot key as well, and another
 * key made from that is what the TPM asks for: who breaks the TPM open still has to guess the PIN, and pays for each
 * guess.
 *
 * An authenticator of FIDO2 gives out the HMAC of the slot's salt by a key of its own, 32 bytes. Its PIN is its own
 * affair: it may be changed there, so it is no part of the slot key.
 *
 * The salt and the nonce are fresh for each sealing and each slot key seals one thing once; in re-encryption once
 * more, another volume key under another random nonce.
 */
#include "core/keyslot.h"

#include "base/passphrase.h"
#include "format/recovery.h"

#include <assert.h>
#include <string.h>

#define LABEL		"xtsfs v1 slot"
#define LABEL_BYTES	(sizeof(LABEL) - 1)
#define KEYFILE_LABEL	"xtsfs v1 keyfile"
#define BOTH_LABEL	"xtsfs v1 passphrase+keyfile"
#define RECOVERY_LABEL	"xtsfs v1 recovery"
#define TPM2_LABEL	"xtsfs v1 tpm2"
#define TPM2_AUTH_LABEL "xtsfs v1 tpm2 auth"
#define FIDO2_LABEL	"xtsfs v1 fido2"
#define SLOT_AD_BYTES	(LABEL_BYTES + XTSFS_UUID_BYTES)

/* The base layer reads keyfiles and cannot see the format. */
static_assert(XTSFS_KEYFILE_MIN_BYTES == XTSFS_SOURCE_KEYFILE_MIN_BYTES, "spec 4");
static_assert(XTSFS_KEYFILE_MAX_BYTES == XTSFS_SOURCE_KEYFILE_MAX_BYTES, "spec 4");

/* For which kind of slot that is, XTSFS_SLOT_UNKNOWN for none. */
static enum xtsfs_slot_kind kind_of(const struct xtsfs_unlock *unlock)
{
	if (unlock->token)
		return XTSFS_SLOT_TPM2;
	if (unlock->hmac)
		return XTSFS_SLOT_FIDO2;
	if (unlock->recovery)
		return XTSFS_SLOT_RECOVERY;
	if (unlock->passphrase)
		return unlock->keyfile ? XTSFS_SLOT_BOTH : XTSFS_SLOT_PASSPHRASE;
	return unlock->keyfile ? XTSFS_SLOT_KEYFILE : XTSFS_SLOT_UNKNOWN;
}

static bool keyfile_has_length(const struct xtsfs_secret *keyfile)
{
	return keyfile->bytes >= XTSFS_KEYFILE_MIN_BYTES && keyfile->bytes <= XTSFS_KEYFILE_MAX_BYTES;
}

bool xtsfs_keyslot_fits(const struct xtsfs_slot *slot, const struct xtsfs_unlock *unlock)
{
	if (unlock->slot >= 0 && slot->id != (unsigned)unlock->slot)
		return false;
	if (slot->kind == XTSFS_SLOT_RECOVERY)
		return kind_of(unlock) == XTSFS_SLOT_PASSPHRASE;
	if (slot->kind == XTSFS_SLOT_TPM2 && slot->argon2 != (unlock->stretched != NULL))
		return false;
	return slot->kind != XTSFS_SLOT_UNKNOWN && slot->kind == kind_of(unlock);
}

static int stretch(const struct xtsfs_slot *slot, const struct xtsfs_secret *passphrase,
		   uint8_t ret_key[static XTSFS_SLOT_KEY_BYTES])
{
	const struct xtsfs_argon2 params = {
		.time = slot->argon2_time,
		.memory_kib = slot->argon2_memory_kib,
		.parallel = slot->argon2_parallel,
	};

	return xtsfs_argon2id(&params, passphrase->data, passphrase->bytes, slot->salt, sizeof(slot->salt), ret_key,
			      XTSFS_SLOT_KEY_BYTES);
}

static int expand(const struct xtsfs_slot *slot, const uint8_t *data, size_t bytes, const char *label,
		  uint8_t ret_key[static XTSFS_SLOT_KEY_BYTES])
{
	return xtsfs_hkdf_sha512(data, bytes, slot->salt, sizeof(slot->salt), label, ret_key, XTSFS_SLOT_KEY_BYTES);
}

static int derive_both(const struct xtsfs_slot *slot, const struct xtsfs_unlock *with, uint8_t *ret_key)
{
	xtsfs_auto_secret *factors = NULL;
	int r = xtsfs_secret_new(2 * XTSFS_SLOT_KEY_BYTES, &factors);

	if (r == 0)
		r = expand(slot, with->keyfile->data, with->keyfile->bytes, KEYFILE_LABEL,
			   factors->data + XTSFS_SLOT_KEY_BYTES);
	if (r == 0)
		r = stretch(slot, with->passphrase, factors->data);
	return r < 0 ? r : expand(slot, factors->data, factors->bytes, BOTH_LABEL, ret_key);
}

/* From what was typed, or when the slot is made from the key itself. */
static int derive_recovery(const struct xtsfs_slot *slot, const struct xtsfs_unlock *with, uint8_t *ret_key)
{
	xtsfs_auto_secret *key = NULL;
	int r;

	if (with->recovery)
		return expand(slot, with->recovery->data, with->recovery->bytes, RECOVERY_LABEL, ret_key);
	r = xtsfs_secret_new(XTSFS_RECOVERY_BYTES, &key);
	if (r < 0)
		return r;
	if (xtsfs_recovery_parse(with->passphrase->data, with->passphrase->bytes, key->data, NULL) < 0)
		return -XTSFS_EPASS;
	return expand(slot, key->data, key->bytes, RECOVERY_LABEL, ret_key);
}

int xtsfs_keyslot_stretch(const struct xtsfs_slot *slot, const struct xtsfs_secret *pin,
			  struct xtsfs_secret **ret_stretched, struct xtsfs_secret **ret_auth)
{
	xtsfs_auto_secret *stretched = NULL;
	xtsfs_auto_secret *auth = NULL;
	int r = xtsfs_secret_new(XTSFS_SLOT_KEY_BYTES, &stretched);

	if (r == 0)
		r = xtsfs_secret_new(XTSFS_SLOT_KEY_BYTES, &auth);
	if (r == 0)
		r = stretch(slot, pin, stretched->data);
	if (r == 0)
		r = expand(slot, stretched->data, stretched->bytes, TPM2_AUTH_LABEL, auth->data);
	if (r < 0)
		return r;
	*ret_stretched = stretched;
	*ret_auth = auth;
	stretched = auth = NULL;
	return 0;
}

static int derive_token(const struct xtsfs_slot *slot, const struct xtsfs_unlock *with, uint8_t *ret_key)
{
	xtsfs_auto_secret *both = NULL;
	size_t stretched_bytes = with->stretched ? with->stretched->bytes : 0;
	int r = xtsfs_secret_new(stretched_bytes + with->token->bytes, &both);

	if (r < 0)
		return r;
	if (with->stretched)
		memcpy(both->data, with->stretched->data, stretched_bytes);
	memcpy(both->data + stretched_bytes, with->token->data, with->token->bytes);
	return expand(slot, both->data, both->bytes, TPM2_LABEL, ret_key);
}

static int derive_slot_key(const struct xtsfs_slot *slot, const struct xtsfs_unlock *with,
			   struct xtsfs_secret **ret_slot_key)
{
	xtsfs_auto_secret *slot_key = NULL;
	int r = xtsfs_secret_new(XTSFS_SLOT_KEY_BYTES, &slot_key);

	if (r < 0)
		return r;
	switch (slot->kind) {
	case XTSFS_SLOT_PASSPHRASE:
		r = stretch(slot, with->passphrase, slot_key->data);
		break;
	case XTSFS_SLOT_KEYFILE:
		r = expand(slot, with->keyfile->data, with->keyfile->bytes, KEYFILE_LABEL, slot_key->data);
		break;
	case XTSFS_SLOT_BOTH:
		r = derive_both(slot, with, slot_key->data);
		break;
	case XTSFS_SLOT_TPM2:
		r = derive_token(slot, with, slot_key->data);
		break;
	case XTSFS_SLOT_FIDO2:
		r = expand(slot, with->hmac->data, with->hmac->bytes, FIDO2_LABEL, slot_key->data);
		break;
	case XTSFS_SLOT_RECOVERY:
		r = derive_recovery(slot, with, slot_key->data);
		break;
	default:
		r = -EINVAL;
	}
	if (r < 0)
		return r;
	*ret_slot_key = slot_key;
	slot_key = NULL;
	return 0;
}

static void fill_ad(const uint8_t uuid[static XTSFS_UUID_BYTES], uint8_t ret_ad[static SLOT_AD_BYTES])
{
	memcpy(ret_ad, LABEL, LABEL_BYTES);
	memcpy(ret_ad + LABEL_BYTES, uuid, XTSFS_UUID_BYTES);
}

int xtsfs_keyslot_open(const struct xtsfs_slot *slot, const uint8_t uuid[static XTSFS_UUID_BYTES],
		       const struct xtsfs_unlock *unlock, struct xtsfs_secret **ret_volume_key)
{
	xtsfs_auto_secret *volume_key = NULL;
	xtsfs_auto_secret *slot_key = NULL;
	uint8_t ad[SLOT_AD_BYTES];
	int r;

	if (unlock->keyfile && !keyfile_has_length(unlock->keyfile))
		return -XTSFS_EPASS;
	r = derive_slot_key(slot, unlock, &slot_key);
	if (r < 0)
		return r;
	r = xtsfs_secret_new(XTSFS_VOLUME_KEY_BYTES, &volume_key);
	if (r < 0)
		return r;
	fill_ad(uuid, ad);
	r = xtsfs_gcm_open(slot_key->data, slot->nonce, ad, sizeof(ad), slot->wrapped_key, sizeof(slot->wrapped_key),
			   slot->tag, volume_key->data);
	if (r < 0)
		return r == -XTSFS_EAUTH ? -XTSFS_EPASS : r;
	if (unlock->ret_slot_key) {
		xtsfs_secret_free(*unlock->ret_slot_key);
		*unlock->ret_slot_key = slot_key;
		slot_key = NULL;
	}
	*ret_volume_key = volume_key;
	volume_key = NULL;
	return 0;
}

int xtsfs_keyslot_rewrap(struct xtsfs_slot *slot, const uint8_t uuid[static XTSFS_UUID_BYTES],
			 const struct xtsfs_secret *slot_key, const struct xtsfs_secret *volume_key)
{
	struct xtsfs_slot wrapped = *slot;
	uint8_t ad[SLOT_AD_BYTES];
	int r;

	if (volume_key->bytes != XTSFS_VOLUME_KEY_BYTES || slot_key->bytes != XTSFS_SLOT_KEY_BYTES)
		return -EINVAL;
	/* The slot key seals a second time: another nonce. */
	r = xtsfs_random(wrapped.nonce, sizeof(wrapped.nonce));
	if (r < 0)
		return r;
	fill_ad(uuid, ad);
	r = xtsfs_gcm_seal(slot_key->data, wrapped.nonce, ad, sizeof(ad), volume_key->data, volume_key->bytes,
			   wrapped.wrapped_key, wrapped.tag);
	if (r == 0)
		*slot = wrapped;
	return r;
}

int xtsfs_keyslot_seal(struct xtsfs_slot *slot, const uint8_t uuid[static XTSFS_UUID_BYTES],
		       const struct xtsfs_unlock *with, const struct xtsfs_argon2 *params,
		       const struct xtsfs_secret *volume_key)
{
	xtsfs_auto_secret *slot_key = NULL;
	struct xtsfs_slot sealed = *slot;
	uint8_t ad[SLOT_AD_BYTES];
	int r;

	if (volume_key->bytes != XTSFS_VOLUME_KEY_BYTES)
		return -EINVAL;
	sealed.kind = kind_of(with);
	sealed.argon2 = with->passphrase || with->stretched;
	if (sealed.kind == XTSFS_SLOT_UNKNOWN || (with->passphrase && with->passphrase->bytes == 0) ||
	    (sealed.argon2 && !params) || (with->keyfile && !keyfile_has_length(with->keyfile)) ||
	    (with->recovery && (with->recovery->bytes != XTSFS_RECOVERY_BYTES || with->passphrase || with->keyfile)) ||
	    (with->token && (!with->tpm2 || with->passphrase || with->keyfile)) ||
	    (with->hmac && (!with->fido2 || sealed.argon2 || with->token || with->keyfile)))
		return -EINVAL;
	r = sealed.argon2 ? xtsfs_argon2_check(params) : 0;
	if (r < 0)
		return r;
	sealed.argon2_time = sealed.argon2 ? params->time : 0;
	sealed.argon2_memory_kib = sealed.argon2 ? params->memory_kib : 0;
	sealed.argon2_parallel = sealed.argon2 ? params->parallel : 0;
	if (with->token)
		sealed.tpm2 = *with->tpm2;
	if (with->hmac)
		sealed.fido2 = *with->fido2;

	/* With a PIN the salt is already used up in what was stretched. */
	r = with->salt ? 0 : xtsfs_random(sealed.salt, sizeof(sealed.salt));
	if (with->salt)
		memcpy(sealed.salt, with->salt, sizeof(sealed.salt));
	if (r == 0)
		r = xtsfs_random(sealed.nonce, sizeof(sealed.nonce));
	if (r == 0)
		r = derive_slot_key(&sealed, with, &slot_key);
	if (r < 0)
		return r;
	fill_ad(uuid, ad);
	r = xtsfs_gcm_seal(slot_key->data, sealed.nonce, ad, sizeof(ad), volume_key->data, volume_key->bytes,
			   sealed.wrapped_key, sealed.tag);
	if (r < 0)
		return r;
	*slot = sealed;
	return 0;
}
