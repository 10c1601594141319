/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the volume key to the objects that use the derived keys.
 */
#include "core/keys.h"

#include "crypto/kdf.h"

#include <stdio.h>
#include <stdlib.h>

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
	} uses[] = {
		{"xtsfs v1 name", &keys->name, NULL},	  {"xtsfs v1 symlink", &keys->symlink, NULL},
		{"xtsfs v1 xattr", &keys->xattr, NULL},	  {"xtsfs v1 sector mac", NULL, &keys->sector},
		{"xtsfs v1 meta mac", NULL, &keys->meta},
	};
	int r = 0;

	for (unsigned i = 0; r == 0 && i < sizeof(uses) / sizeof(uses[0]); i++) {
		r = derive(volume_key, config, uses[i].label, scratch);
		if (r == 0)
			r = uses[i].siv ? xtsfs_siv_new(scratch->data, uses[i].siv)
					: xtsfs_mac_new(kind, scratch->data, uses[i].mac);
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

int xtsfs_keys_new(const struct xtsfs_secret *volume_key, const struct xtsfs_config *config,
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

struct xtsfs_keys *xtsfs_keys_free(struct xtsfs_keys *keys)
{
	if (!keys)
		return NULL;
	for (unsigned i = 0; i < keys->content_keys; i++)
		xtsfs_pool_free(keys->content[i]);
	xtsfs_mac_free(keys->sector);
	xtsfs_mac_free(keys->meta);
	xtsfs_siv_free(keys->name);
	xtsfs_siv_free(keys->symlink);
	xtsfs_siv_free(keys->xattr);
	free(keys);
	return NULL;
}
