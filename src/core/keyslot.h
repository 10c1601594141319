/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One keyslot: the volume key wrapped under a passphrase, a keyfile, or both (spec 4).
 *
 * Layer:   core.
 * Threads: any.
 * Secrets: slot keys and the volume key live in xtsfs_secret only.
 */
#ifndef XTSFS_CORE_KEYSLOT_H
#define XTSFS_CORE_KEYSLOT_H

#include "core/conf.h"

/** Could @unlock be for this slot, by its kind and number? */
bool xtsfs_keyslot_fits(const struct xtsfs_slot *slot, const struct xtsfs_unlock *unlock);
/**
 * Derive the slot key and unwrap. For a slot that fits. Returns 0, -EKEYREJECTED (it does not open, or the keyfile has
 * no length that a keyfile can have), -ENOMEM, -EPERM or -EAGAIN (memory for the key or for Argon2id), -ERANGE (its
 * cost is out of bounds), -EIO.
 */
xtsfs_must_check int xtsfs_keyslot_open(const struct xtsfs_slot *slot, const uint8_t uuid[static XTSFS_UUID_BYTES],
					const struct xtsfs_unlock *unlock, struct xtsfs_secret **ret_volume_key);
/**
 * For a slot of a device with a PIN: what goes into the slot key, and what the device wants to see. Uses salt and costs
 * of
 * @slot. Returns 0, or as xtsfs_keyslot_open().
 */
xtsfs_must_check int xtsfs_keyslot_stretch(const struct xtsfs_slot *slot, const struct xtsfs_secret *pin,
					   struct xtsfs_secret **ret_stretched, struct xtsfs_secret **ret_auth);
/**
 * Fill kind, KDF parameters (@params, for a passphrase), fresh salt and nonce, and the wrapped key of @slot; it is
 * untouched on failure. @with: its slot number does not matter. Returns 0, -EINVAL (empty passphrase, keyfile of a
 * wrong length, or neither given), else as xtsfs_keyslot_open().
 */
xtsfs_must_check int xtsfs_keyslot_seal(struct xtsfs_slot *slot, const uint8_t uuid[static XTSFS_UUID_BYTES],
					const struct xtsfs_unlock *with, const struct xtsfs_argon2 *params,
					const struct xtsfs_secret *volume_key);

/**
 * The same slot, with its kind, salt and costs, for another volume key: @slot_key is what xtsfs_keyslot_open() derived.
 * Returns 0, -EINVAL, -EIO.
 */
xtsfs_must_check int xtsfs_keyslot_rewrap(struct xtsfs_slot *slot, const uint8_t uuid[static XTSFS_UUID_BYTES],
					  const struct xtsfs_secret *slot_key, const struct xtsfs_secret *volume_key);

#endif
