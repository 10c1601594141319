/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aes-gmac by intel-ipsec-mb, which has GHASH with VPCLMULQDQ; OpenSSL has from 3.1 on.
 *
 * The expanded key and the powers of the GHASH key are made once, in locked memory, and read by all threads. A call has
 * its state on the stack, and a context for the one block under K2, by OpenSSL.
 *
 * It is taken where the processor has instructions for AES and GHASH; without them it would compute by tables.
 *
 * The library's object is a table of functions for this processor. Making it begins with the library's own self-test;
 * it is made once and never freed.
 */
#include "crypto/mac-impl.h"

#include <intel-ipsec-mb.h>
#include <pthread.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static IMB_MGR *manager;

static void make_manager(void)
{
	const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
	IMB_MGR *made = alloc_mb_mgr(0);

	if (!made)
		return;
	init_mb_mgr_auto(made, NULL);
	if (imb_get_errno(made) != 0 || (made->features & needed) != needed) {
		free_mb_mgr(made);
		return;
	}
	manager = made;
}

static int gmac_open(struct xtsfs_mac *mac)
{
	int r;

	pthread_once(&once, make_manager);
	mac->ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
	if (!manager)
		return -EOPNOTSUPP;
	if (!mac->ecb)
		return -EIO;
	r = xtsfs_secret_new(sizeof(struct gcm_key_data), &mac->schedule);
	if (r < 0)
		return r;
	IMB_AES256_GCM_PRE(manager, mac->key->data, (struct gcm_key_data *)(void *)mac->schedule->data);
	return 0;
}

static void gmac_close(struct xtsfs_mac *mac)
{
	xtsfs_secret_free(mac->schedule);
	EVP_CIPHER_free(mac->ecb);
}

static int gmac_make(const void *owner, void **ret_ctx)
{
	EVP_CIPHER_CTX *ctx;
	int r = xtsfs_gmac_second_new(owner, &ctx);

	if (r == 0)
		*ret_ctx = ctx;
	return r;
}

static void gmac_destroy(void *ctx)
{
	EVP_CIPHER_CTX_free(ctx);
}

static int gmac_tag(const struct xtsfs_mac *mac, void *ctx, const struct iovec *parts, unsigned count, uint8_t *ret_tag)
{
	static const uint8_t nonce[12]; /* fixed, spec 3.1 */
	const struct gcm_key_data *schedule = (const void *)mac->schedule->data;
	struct gcm_context_data state;
	uint8_t g[XTSFS_TAG_BYTES];
	int r;

	IMB_AES256_GMAC_INIT(manager, schedule, &state, nonce, sizeof(nonce));
	for (unsigned i = 0; i < count; i++)
		if (parts[i].iov_len)
			IMB_AES256_GMAC_UPDATE(manager, schedule, &state, parts[i].iov_base, parts[i].iov_len);
	IMB_AES256_GMAC_FINALIZE(manager, schedule, &state, g, sizeof(g));
	r = xtsfs_gmac_second(ctx, g, ret_tag);
	xtsfs_wipe(g, sizeof(g));
	xtsfs_wipe(&state, sizeof(state));
	return r;
}

const struct xtsfs_mac_impl xtsfs_gmac_ipsec_mb = {
	.library = "intel-ipsec-mb",
	.open = gmac_open,
	.close = gmac_close,
	.make = gmac_make,
	.destroy = gmac_destroy,
	.tag = gmac_tag,
};
