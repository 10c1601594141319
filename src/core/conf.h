/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The config file of a volume: load, unlock through a keyslot, change slots, save (spec 4).
 *
 * Layer:   core.
 * Threads: one at a time for each xtsfs_conf.
 * Secrets: passphrases, slot keys and the volume key live in xtsfs_secret only.
 */
#ifndef XTSFS_CORE_CONF_H
#define XTSFS_CORE_CONF_H

#include "base/errors.h"
#include "base/secret.h"
#include "crypto/kdf.h"
#include "format/config.h"
#include "store/store.h"

struct xtsfs_conf {
	struct xtsfs_config *config;
	char *text; /* as read */
	size_t text_bytes, authenticated_bytes;
	uint8_t hmac[XTSFS_CONFIG_HMAC_BYTES];
};

/* What opens a slot: one of the two, or, for a slot that takes two factors, both. */
struct xtsfs_unlock {
	const struct xtsfs_secret *passphrase;
	const struct xtsfs_secret *keyfile;
	const struct xtsfs_secret *recovery;  /* to seal with: XTSFS_RECOVERY_BYTES; its text opens as a passphrase */
	const struct xtsfs_secret *token;     /* what a TPM gave for slot @slot; with @stretched or NULL */
	const struct xtsfs_secret *hmac;      /* what an authenticator of FIDO2 gave for slot @slot */
	const struct xtsfs_secret *stretched; /* the PIN after xtsfs_keyslot_stretch() */
	const struct xtsfs_slot_tpm2 *tpm2;   /* to seal with: the device's part of the slot */
	const struct xtsfs_slot_fido2 *fido2; /* the same */
	const uint8_t *salt;		      /* to seal with @stretched: what that was made with; else NULL */
	int slot;			      /* only this one, or -1 for all that fit */
	struct xtsfs_secret **ret_slot_key;   /* NULL, or where the key of the slot that opened goes */
};

struct xtsfs_conf *xtsfs_conf_free(struct xtsfs_conf *conf);
/** Read and parse @name (XTSFS_NAME_CONF, or a backup) in the store's root. -ENOENT: not a volume. @ret_problem as in
 * xtsfs_config_parse(). */
xtsfs_must_check int xtsfs_conf_load(struct xtsfs_store *store, const char *name, struct xtsfs_conf **ret_conf,
				     char *ret_problem, size_t problem_bytes);
/**
 * The same of what there is: XTSFS_NAME_CONF, or, with a warning, if that is missing or damaged, its copy.
 * *@ret_why_copy: 0, or the error of xtsfs.conf, of which @ret_problem says more. On failure it is that of xtsfs.conf.
 * A config of another version, or with costs that are refused, is not damaged; nor is one that does not verify: that
 * shows later.
 */
xtsfs_must_check int xtsfs_conf_load_any(struct xtsfs_store *store, struct xtsfs_conf **ret_conf, int *ret_why_copy,
					 char *ret_problem, size_t problem_bytes);
/** Is the copy of @conf, which is in place, the same? 1, 0, -ENOENT, or an error of reading it. */
xtsfs_must_check int xtsfs_conf_copy_is_same(struct xtsfs_store *store, const struct xtsfs_conf *conf);
/** The same from text in memory (a header backup). */
xtsfs_must_check int xtsfs_conf_parse(const char *text, size_t bytes, struct xtsfs_conf **ret_conf, char *ret_problem,
				      size_t problem_bytes);
/** A fresh configuration without slots, with a random UUID. */
xtsfs_must_check int xtsfs_conf_new(enum xtsfs_integrity integrity, unsigned content_keys,
				    struct xtsfs_conf **ret_conf);
/**
 * Try the slots in order and check the HMAC over the whole file with the volume key. @ret_slot may be NULL.
 * Returns 0, -EKEYREJECTED (no slot opens), -EBADMSG (a slot opened but the file was edited), -ENOMEM (Argon2's
 * memory), -EIO.
 */
xtsfs_must_check int xtsfs_conf_unlock(const struct xtsfs_conf *conf, const struct xtsfs_unlock *unlock,
				       struct xtsfs_secret **ret_volume_key, int *ret_slot);
/** Is the whole file authentic under this key? 0, -EBADMSG, -EIO, -ENOMEM. */
xtsfs_must_check int xtsfs_conf_verify(const struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key);
/** Put @volume_key in a new slot (lowest free id). -ENOSPC: 16 slots are in use. @params: for a passphrase. */
xtsfs_must_check int xtsfs_conf_add_slot(struct xtsfs_conf *conf, const struct xtsfs_secret *volume_key,
					 const struct xtsfs_unlock *with, const struct xtsfs_argon2 *params,
					 const char *name, unsigned *ret_slot);
/** -ENOENT. That one slot stays is the caller's concern. */
xtsfs_must_check int xtsfs_conf_remove_slot(struct xtsfs_conf *conf, unsigned slot);
/** HMAC, temporary file, fsync, rename over XTSFS_NAME_CONF, fsync of the directory; then its copy. With @exclusive:
 * -EEXIST if there is one. That the copy could not be written is logged, and no failure. */
xtsfs_must_check int xtsfs_conf_save(struct xtsfs_store *store, const struct xtsfs_conf *conf,
				     const struct xtsfs_secret *volume_key, bool exclusive);
/** The same with the text of a whole file, which is authentic; so the copy is written, too. */
xtsfs_must_check int xtsfs_conf_put(struct xtsfs_store *store, const char *text, size_t bytes, bool exclusive);
/** Write the copy of what is in place anew. */
xtsfs_must_check int xtsfs_conf_put_copy(struct xtsfs_store *store, const struct xtsfs_conf *conf);

#endif
