/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the volume key to the objects that use the derived keys.
 */
#include "core/keys.h"

#include "crypto/kdf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OLD_KEY_LABEL	    "xtsfs v1 reencrypt"
#define OLD_KEY_LABEL_BYTES (sizeof(OLD_KEY_LABEL) - 1)
#define OLD_KEY_AD_BYTES    (OLD_KEY_LABEL_BYTES + XTSFS_UUID_BYTES)

static int derive(const struct xtsfs_secret *volume_key, const struct xtsfs_config *config, const char *label,
		  struct xtsfs_secret *ret)
{
	return xtsfs_hkdf_sha512(volume_key->data, volume_key->bytes, config->uuid, sizeof(config->uuid), label,
				 ret->data, 64);
}

static int derive_all(struct xtsfs_keys *keys, const struct xtsfs_secret *volume_key, const struct xtsfs_config *config,
		      const struct xtsfs_engine *engine, unsigned max_ops, struct xtsfs_secret *scratch)
{
	enum xtsfs_mac_kind kind = config->integrity == XTSFS_INTEGRITY_HMAC_SHA256 ? XTSFS_MAC_HMAC_SHA256
										    : XTSFS_MAC_AES_GMAC;
	const struct {
		const char *label;
		struct xtsfs_siv **siv;
		struct xtsfs_mac **mac;
		enum xtsfs_mac_kind kind;
	} uses[] = {
		{"xtsfs v1 name", &keys->name, NULL, kind},
		{"xtsfs v1 symlink", &keys->symlink, NULL, kind},
		{"xtsfs v1 xattr", &keys->xattr, NULL, kind},
		{"xtsfs v1 manifest", &keys->manifest, NULL, kind},
		{"xtsfs v1 sector mac", NULL, &keys->sector, kind},
		{"xtsfs v1 meta mac", NULL, &keys->meta, kind},
		{"xtsfs v1 reverse", NULL, &keys->reverse, XTSFS_MAC_HMAC_SHA256},
	};
	int r = 0;

	for (unsigned i = 0; r == 0 && i < sizeof(uses) / sizeof(uses[0]); i++) {
		r = derive(volume_key, config, uses[i].label, scratch);
		if (r == 0)
			r = uses[i].siv ? xtsfs_siv_new(scratch->data, uses[i].siv)
					: xtsfs_mac_new(uses[i].kind, scratch->data, uses[i].mac);
	}
	for (unsigned i = 0; r == 0 && engine && i < config->content_keys; i++) {
		char label[40];

		snprintf(label, sizeof(label), "xtsfs v1 content %u", i);
		r = derive(volume_key, config, label, scratch);
		if (r == 0)
			r = xtsfs_pool_new(engine, scratch->data, max_ops, &keys->content[i]);
		if (r == 0)
			keys->content_keys = i + 1;
	}
	return r;
}

static int keys_new(const struct xtsfs_secret *volume_key, const struct xtsfs_config *config,
		    const struct xtsfs_engine *engine, unsigned max_ops, struct xtsfs_keys **ret_keys)
{
	xtsfs_auto_secret *scratch = NULL;
	struct xtsfs_keys *keys;
	int r = xtsfs_secret_new(64, &scratch);

	if (r < 0)
		return r;
	keys = calloc(1, sizeof(*keys) + config->content_keys * sizeof(keys->content[0]));
	if (!keys)
		return -ENOMEM;
	r = derive_all(keys, volume_key, config, engine, max_ops, scratch);
	if (r < 0) {
		xtsfs_keys_free(keys);
		return r;
	}
	*ret_keys = keys;
	return 0;
}

static int add_old_keys(const struct xtsfs_secret *volume_key, const struct xtsfs_config *config,
			const struct xtsfs_engine *engine, unsigned max_ops, struct xtsfs_keys *keys)
{
	xtsfs_auto_secret *old_key = NULL;
	int r = xtsfs_keys_unwrap_old(volume_key, config->uuid, &config->old_key, &old_key);

	return r < 0 ? r : keys_new(old_key, config, engine, max_ops, &keys->old);
}

int xtsfs_keys_new(const struct xtsfs_secret *volume_key, const struct xtsfs_config *config,
		   const struct xtsfs_engine *engine, unsigned max_ops, struct xtsfs_keys **ret_keys)
{
	struct xtsfs_keys *keys;
	int r = keys_new(volume_key, config, engine, max_ops, &keys);

	if (r == 0 && config->reencrypting) {
		r = add_old_keys(volume_key, config, engine, max_ops, keys);
		if (r < 0)
			xtsfs_keys_free(keys);
	}
	if (r == 0)
		*ret_keys = keys;
	return r;
}

static struct xtsfs_siv *siv_of(const struct xtsfs_keys *keys, enum xtsfs_siv_use use)
{
	return use == XTSFS_SIV_NAME ? keys->name : use == XTSFS_SIV_SYMLINK ? keys->symlink : keys->xattr;
}

int xtsfs_keys_siv_open(const struct xtsfs_keys *keys, enum xtsfs_siv_use use, const void *ad, size_t ad_bytes,
			const uint8_t *cipher, size_t cipher_bytes, void *ret_plain, bool *ret_old)
{
	int r = xtsfs_siv_open(siv_of(keys, use), ad, ad_bytes, cipher, cipher_bytes, ret_plain);
	bool old = r == -XTSFS_EAUTH && keys->old;

	if (old)
		r = xtsfs_siv_open(siv_of(keys->old, use), ad, ad_bytes, cipher, cipher_bytes, ret_plain);
	if (r == 0 && ret_old)
		*ret_old = old;
	return r;
}

int xtsfs_keys_meta_verify(const struct xtsfs_keys *keys, const struct iovec *parts, unsigned count,
			   const uint8_t tag[static XTSFS_TAG_BYTES], bool *ret_old)
{
	uint8_t made[XTSFS_TAG_BYTES];
	int r = xtsfs_mac_tag(keys->meta, parts, count, made);
	bool old = false, good;

	if (r < 0)
		return r;
	good = xtsfs_equal_secret(made, tag, sizeof(made));
	if (!good && keys->old) {
		r = xtsfs_mac_tag(keys->old->meta, parts, count, made);
		if (r < 0)
			return r;
		old = good = xtsfs_equal_secret(made, tag, sizeof(made));
	}
	if (good && ret_old)
		*ret_old = old;
	return good ? 0 : -XTSFS_EAUTH;
}

static void fill_ad(const uint8_t uuid[static XTSFS_UUID_BYTES], uint8_t ret_ad[static OLD_KEY_AD_BYTES])
{
	memcpy(ret_ad, OLD_KEY_LABEL, OLD_KEY_LABEL_BYTES);
	memcpy(ret_ad + OLD_KEY_LABEL_BYTES, uuid, XTSFS_UUID_BYTES);
}

static int derive_wrapping_key(const struct xtsfs_secret *volume_key, const uint8_t uuid[static XTSFS_UUID_BYTES],
			       struct xtsfs_secret **ret_key)
{
	int r = xtsfs_secret_new(32, ret_key);

	return r < 0 ? r
		     : xtsfs_hkdf_sha512(volume_key->data, volume_key->bytes, uuid, XTSFS_UUID_BYTES, OLD_KEY_LABEL,
					 (*ret_key)->data, 32);
}

int xtsfs_keys_wrap_old(const struct xtsfs_secret *volume_key, const struct xtsfs_secret *old_key,
			const uint8_t uuid[static XTSFS_UUID_BYTES], struct xtsfs_wrapped_key *ret_wrapped)
{
	xtsfs_auto_secret *key = NULL;
	uint8_t ad[OLD_KEY_AD_BYTES];
	int r = derive_wrapping_key(volume_key, uuid, &key);

	if (r == 0)
		r = xtsfs_random(ret_wrapped->nonce, sizeof(ret_wrapped->nonce));
	if (r < 0)
		return r;
	fill_ad(uuid, ad);
	return xtsfs_gcm_seal(key->data, ret_wrapped->nonce, ad, sizeof(ad), old_key->data, XTSFS_VOLUME_KEY_BYTES,
			      ret_wrapped->wrapped_key, ret_wrapped->tag);
}

int xtsfs_keys_unwrap_old(const struct xtsfs_secret *volume_key, const uint8_t uuid[static XTSFS_UUID_BYTES],
			  const struct xtsfs_wrapped_key *wrapped, struct xtsfs_secret **ret_old_key)
{
	xtsfs_auto_secret *key = NULL;
	xtsfs_auto_secret *old_key = NULL;
	uint8_t ad[OLD_KEY_AD_BYTES];
	int r = derive_wrapping_key(volume_key, uuid, &key);

	if (r == 0)
		r = xtsfs_secret_new(XTSFS_VOLUME_KEY_BYTES, &old_key);
	if (r < 0)
		return r;
	fill_ad(uuid, ad);
	r = xtsfs_gcm_open(key->data, wrapped->nonce, ad, sizeof(ad), wrapped->wrapped_key, XTSFS_VOLUME_KEY_BYTES,
			   wrapped->tag, old_key->data);
	if (r < 0)
		return r;
	*ret_old_key = old_key;
	old_key = NULL;
	return 0;
}

struct xtsfs_keys *xtsfs_keys_free(struct xtsfs_keys *keys)
{
	if (!keys)
		return NULL;
	xtsfs_keys_free(keys->old);
	for (unsigned i = 0; i < keys->content_keys; i++)
		xtsfs_pool_free(keys->content[i]);
	xtsfs_mac_free(keys->sector);
	xtsfs_mac_free(keys->meta);
	xtsfs_mac_free(keys->reverse);
	xtsfs_siv_free(keys->name);
	xtsfs_siv_free(keys->symlink);
	xtsfs_siv_free(keys->xattr);
	xtsfs_siv_free(keys->manifest);
	free(keys);
	return NULL;
}
