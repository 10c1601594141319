/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two MACs of the format (spec 3.1).
 *
 * aes-gmac: g = tag of AES-256-GCM under K1, nonce zero, the message as associated data; then one AES block under K2.
 * The second step is what makes a fixed nonce sound: g alone would leak the GHASH key after two tags. So g is wiped and
 * never leaves gmac-*.c. hmac-sha256: HMAC-SHA-256, cut to 16 bytes.
 *
 * A tag is made for every sector read or written, so a call allocates nothing: contexts are keyed once and kept
 * (ctx-pool.c). HMAC is given its key again for each message: that costs two of about 66 compressions, and does not
 * rely on EVP_MAC_init() without a key starting a new message, which not every 3.x release did.
 *
 * GMAC is by the library that is fastest on this machine, of those that agree with OpenSSL about a sector.
 *
 * The key is in locked memory. What is not: the expanded key in each context is in OpenSSL's own heap memory, which is
 * cleansed when the context is freed but can be swapped out.
 */
#include "crypto/mac.h"

#include "base/cleanup.h"
#include "crypto/faster.h"
#include "crypto/mac-impl.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void hmac_destroy(void *ctx)
{
	EVP_MAC_CTX_free(ctx);
}

static int hmac_make(const void *owner, void **ret_ctx)
{
	static char digest[] = "SHA256";
	const struct xtsfs_mac *mac = owner;
	OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof(digest) - 1),
			       OSSL_PARAM_END};
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac->hmac);

	if (!ctx)
		return -ENOMEM;
	if (EVP_MAC_CTX_set_params(ctx, params) != 1) {
		EVP_MAC_CTX_free(ctx);
		return -EIO;
	}
	*ret_ctx = ctx;
	return 0;
}

static int hmac_tag(const struct xtsfs_mac *mac, void *ctx, const struct iovec *parts, unsigned count, uint8_t *ret_tag)
{
	uint8_t full[32];
	size_t bytes = 0;
	bool ok;

	ok = EVP_MAC_init(ctx, mac->key->data, XTSFS_MAC_KEY_BYTES, NULL) == 1;
	for (unsigned i = 0; ok && i < count; i++)
		if (parts[i].iov_len)
			ok = EVP_MAC_update(ctx, parts[i].iov_base, parts[i].iov_len) == 1;
	ok = ok && EVP_MAC_final(ctx, full, &bytes, sizeof(full)) == 1 && bytes == sizeof(full);
	if (ok)
		memcpy(ret_tag, full, XTSFS_TAG_BYTES);
	xtsfs_wipe(full, sizeof(full));
	return ok ? 0 : -EIO;
}

static int hmac_open(struct xtsfs_mac *mac)
{
	mac->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	return mac->hmac ? 0 : -EIO;
}

static void hmac_close(struct xtsfs_mac *mac)
{
	EVP_MAC_free(mac->hmac);
}

static const struct xtsfs_mac_impl hmac_openssl = {
	.library = "OpenSSL",
	.open = hmac_open,
	.close = hmac_close,
	.make = hmac_make,
	.destroy = hmac_destroy,
	.tag = hmac_tag,
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct xtsfs_mac_impl *gmac = &xtsfs_gmac_openssl;

#if XTSFS_HAVE_IPSEC_MB
#define MEASURED_TAGS 64

struct work {
	struct xtsfs_mac *mac;
	const uint8_t *sector;
	uint8_t tag[XTSFS_TAG_BYTES];
};

static int make_tags(void *data)
{
	struct work *work = data;
	uint8_t first[XTSFS_TAG_BYTES] = {0};
	const struct iovec parts[] = {{first, sizeof(first)}, {(void *)(uintptr_t)work->sector, 4096}};
	int r = 0;

	for (unsigned i = 0; r == 0 && i < MEASURED_TAGS; i++) {
		first[0] = (uint8_t)i;
		r = xtsfs_mac_tag(work->mac, parts, 2, work->tag);
	}
	return r;
}

/* The last tag is that of the same message for every library. */
static int64_t measure(const struct xtsfs_mac_impl *impl, const uint8_t *sector, uint8_t *ret_tag)
{
	static const uint8_t key[XTSFS_MAC_KEY_BYTES] = {1, 2, 3};
	struct work work = {.sector = sector};
	int64_t r = xtsfs_mac_new_by(impl, key, &work.mac);

	if (r < 0)
		return r;
	r = xtsfs_shortest_ns(make_tags, &work);
	xtsfs_mac_free(work.mac);
	memcpy(ret_tag, work.tag, sizeof(work.tag));
	return r;
}

static void choose(void)
{
	xtsfs_auto_free uint8_t *sector = malloc(4096);
	uint8_t tags[2][XTSFS_TAG_BYTES];
	int64_t openssl, ipsec_mb;

	if (!sector)
		return;
	for (unsigned i = 0; i < 4096; i++)
		sector[i] = (uint8_t)(i * i >> 3);
	openssl = measure(&xtsfs_gmac_openssl, sector, tags[0]);
	ipsec_mb = measure(&xtsfs_gmac_ipsec_mb, sector, tags[1]);
	if (openssl > 0 && ipsec_mb > 0 && xtsfs_is_faster(ipsec_mb, openssl) &&
	    memcmp(tags[0], tags[1], XTSFS_TAG_BYTES) == 0)
		gmac = &xtsfs_gmac_ipsec_mb;
}
#else
static void choose(void)
{
}
#endif

const char *xtsfs_gmac_library(void)
{
	pthread_once(&once, choose);
	return gmac->library;
}

int xtsfs_mac_new(enum xtsfs_mac_kind kind, const uint8_t key[static XTSFS_MAC_KEY_BYTES], struct xtsfs_mac **ret_mac)
{
	if ((unsigned)kind >= XTSFS_MAC__COUNT)
		return -EINVAL;
	if (kind == XTSFS_MAC_HMAC_SHA256)
		return xtsfs_mac_new_by(&hmac_openssl, key, ret_mac);
	pthread_once(&once, choose);
	return xtsfs_mac_new_by(gmac, key, ret_mac);
}

int xtsfs_mac_new_by(const struct xtsfs_mac_impl *impl, const uint8_t key[static XTSFS_MAC_KEY_BYTES],
		     struct xtsfs_mac **ret_mac)
{
	struct xtsfs_mac *mac = aligned_alloc(_Alignof(struct xtsfs_mac), sizeof(*mac));
	void *first;
	int r;

	if (!mac)
		return -ENOMEM;
	memset(mac, 0, sizeof(*mac));
	mac->impl = impl;
	xtsfs_ctx_pool_init(&mac->contexts, impl->make, impl->destroy, mac);
	r = xtsfs_secret_new(XTSFS_MAC_KEY_BYTES, &mac->key);
	if (r == 0) {
		memcpy(mac->key->data, key, XTSFS_MAC_KEY_BYTES);
		r = impl->open(mac);
	}
	/* The first context now, so that a provider without the algorithm fails here and not at the first read. */
	if (r == 0)
		r = xtsfs_ctx_pool_take(&mac->contexts, &first);
	if (r < 0) {
		xtsfs_mac_free(mac);
		return r;
	}
	xtsfs_ctx_pool_put(&mac->contexts, first);
	*ret_mac = mac;
	return 0;
}

struct xtsfs_mac *xtsfs_mac_free(struct xtsfs_mac *mac)
{
	if (!mac)
		return NULL;
	xtsfs_ctx_pool_done(&mac->contexts);
	mac->impl->close(mac);
	xtsfs_secret_free(mac->key);
	free(mac);
	return NULL;
}

int xtsfs_mac_tag(struct xtsfs_mac *mac, const struct iovec *parts, unsigned count,
		  uint8_t ret_tag[static XTSFS_TAG_BYTES])
{
	void *ctx;
	int r = xtsfs_ctx_pool_take(&mac->contexts, &ctx);

	if (r < 0)
		return r;
	r = mac->impl->tag(mac, ctx, parts, count, ret_tag);
	if (r < 0)
		mac->impl->destroy(ctx);
	else
		xtsfs_ctx_pool_put(&mac->contexts, ctx);
	return r;
}
