/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TPM 2.0, by ESAPI of tpm2-tss.
 *
 * The parent is a storage key of the owner hierarchy, made anew each time from the usual template: the same template
 * gives the same key for as long as the TPM is not cleared, and nothing is left in it. Its name, a hash of its public
 * part, is kept in the slot. Another name means another TPM, or one that was cleared.
 *
 * Who listens on the bus, or sits between, is the attacker that a session is for: every secret crosses encrypted
 * (AES-128-CFB) under a key that was salted with the parent's public key, so that only the TPM can know it. That the
 * parent is the TPM's and not that of somebody in between is what the name says: it is compared before anything secret
 * is asked for. At sealing it is taken as it comes; a machine that is watched then is lost.
 *
 * The sealed object is released by a policy: the PCRs, by their values at sealing, and, with a PIN, the knowledge of
 * its authorisation value, which the TPM itself limits in tries. Without a PIN there is nothing to guess, and the
 * object does not count as a try.
 *
 * What a TPM without a PIN protects from: the disk in another machine, and another system booted on this one (as far as
 * the PCRs tell). Not from who can use this machine as it boots: it opens the volume for him.
 */
#include "token/tpm2.h"

#include <stdio.h>
#include <string.h>

#if XTSFS_HAVE_TPM2

#include <stdlib.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#define PCRS	   24U
#define DEVICE	   "device:/dev/tpmrm0"
#define FORMAT_ONE 0x80U

struct tpm {
	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *esys;
	ESYS_TR parent, session, object;
	TPM2B_NAME *parent_name;
	char *problem;
	size_t problem_bytes;
};

#define say(tpm, error, ...) (snprintf((tpm)->problem, (tpm)->problem_bytes, __VA_ARGS__), (error))

/* The number of the error without that of the session, handle or parameter it is about, and without the layer. */
static TSS2_RC plain(TSS2_RC rc)
{
	return rc & FORMAT_ONE ? rc & 0xbf : rc & 0xfff;
}

static int explain(struct tpm *tpm, TSS2_RC rc, const char *what)
{
	if ((rc & TSS2_RC_LAYER_MASK) == TSS2_TPM_RC_LAYER) {
		switch (plain(rc)) {
		case TPM2_RC_POLICY_FAIL:
		case TPM2_RC_VALUE & 0xbf:
			return say(tpm, -ESTALE,
				   "the TPM does not release the key: the PCRs are not as they were when the keyslot "
				   "was made "
				   "(other firmware, boot loader or settings?)");
		case TPM2_RC_AUTH_FAIL:
		case TPM2_RC_BAD_AUTH:
			return say(tpm, -XTSFS_EPASS, "the TPM does not accept this PIN");
		case TPM2_RC_LOCKOUT:
			return say(tpm, -EBUSY,
				   "the TPM is locked after too many wrong PINs; it opens again after some time");
		case TPM2_RC_INTEGRITY:
			return say(tpm, -EXDEV,
				   "the keyslot was made with another TPM, or this one has been cleared since");
		default:
			break;
		}
	}
	return say(tpm, -EIO, "TPM: cannot %s: %s", what, Tss2_RC_Decode(rc));
}

static void done(struct tpm *tpm)
{
	if (tpm->object != ESYS_TR_NONE)
		(void)Esys_FlushContext(tpm->esys, tpm->object);
	if (tpm->session != ESYS_TR_NONE)
		(void)Esys_FlushContext(tpm->esys, tpm->session);
	if (tpm->parent != ESYS_TR_NONE)
		(void)Esys_FlushContext(tpm->esys, tpm->parent);
	Esys_Free(tpm->parent_name);
	Esys_Finalize(&tpm->esys);
	Tss2_TctiLdr_Finalize(&tpm->tcti);
}

static int make_parent(struct tpm *tpm)
{
	static const TPM2B_PUBLIC template = {
		.publicArea =
			{
				.type = TPM2_ALG_ECC,
				.nameAlg = TPM2_ALG_SHA256,
				.objectAttributes = TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT |
						    TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
						    TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
						    TPMA_OBJECT_NODA,
				.parameters.eccDetail =
					{
						.symmetric = {.algorithm = TPM2_ALG_AES,
							      .keyBits.aes = 128,
							      .mode.aes = TPM2_ALG_CFB},
						.scheme.scheme = TPM2_ALG_NULL,
						.curveID = TPM2_ECC_NIST_P256,
						.kdf.scheme = TPM2_ALG_NULL,
					},
			},
	};
	static const TPM2B_SENSITIVE_CREATE nothing = {.size = 0};
	static const TPML_PCR_SELECTION no_pcrs = {.count = 0};
	TSS2_RC rc = Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE,
					&nothing, &template, NULL, &no_pcrs, &tpm->parent, NULL, NULL, NULL, NULL);

	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_TR_GetName(tpm->esys, tpm->parent, &tpm->parent_name);
	if (rc != TSS2_RC_SUCCESS && plain(rc) == TPM2_RC_BAD_AUTH)
		return say(tpm, -EACCES,
			   "the TPM's owner hierarchy has a password, with which this program cannot work");
	if (rc != TSS2_RC_SUCCESS)
		return explain(tpm, rc, "make the storage key");
	return tpm->parent_name->size == XTSFS_TPM2_NAME_BYTES ? 0 : say(tpm, -EIO, "TPM: an unexpected kind of name");
}

static int begin(struct tpm *tpm, const char *where)
{
	bool automatic = strcmp(where, XTSFS_TPM2_AUTO) == 0;
	TSS2_RC rc;

	/* What it has to say is said here. NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread */
	(void)setenv("TSS2_LOG", "all+NONE", /* overwrite= */ 0);
	tpm->parent = tpm->session = tpm->object = ESYS_TR_NONE;
	rc = Tss2_TctiLdr_Initialize(automatic ? DEVICE : where, &tpm->tcti);
	if (rc != TSS2_RC_SUCCESS)
		return automatic ? say(tpm, -ENODEV, "there is no TPM 2.0 here: cannot open /dev/tpmrm0")
				 : say(tpm, -ENODEV, "cannot reach a TPM 2.0 by '%s'", where);
	rc = Esys_Initialize(&tpm->esys, tpm->tcti, NULL);
	return rc == TSS2_RC_SUCCESS ? make_parent(tpm) : explain(tpm, rc, "use it");
}

/* Salted with the parent, and what it carries is encrypted. */
static int begin_session(struct tpm *tpm, TPM2_SE type, TPMA_SESSION attributes)
{
	static const TPMT_SYM_DEF aes = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
	TSS2_RC rc = Esys_StartAuthSession(tpm->esys, tpm->parent, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
					   ESYS_TR_NONE, NULL, type, &aes, TPM2_ALG_SHA256, &tpm->session);

	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_TRSess_SetAttributes(tpm->esys, tpm->session, attributes | TPMA_SESSION_CONTINUESESSION,
					       0xff);
	return rc == TSS2_RC_SUCCESS ? 0 : explain(tpm, rc, "begin a session");
}

static void end_session(struct tpm *tpm)
{
	(void)Esys_FlushContext(tpm->esys, tpm->session);
	tpm->session = ESYS_TR_NONE;
}

static TPML_PCR_SELECTION select_pcrs(uint32_t pcr_mask)
{
	TPML_PCR_SELECTION selection = {.count = 1};

	selection.pcrSelections[0].hash = TPM2_ALG_SHA256;
	selection.pcrSelections[0].sizeofSelect = PCRS / 8;
	for (unsigned i = 0; i < PCRS; i++)
		if (pcr_mask & 1U << i)
			selection.pcrSelections[0].pcrSelect[i / 8] |= (uint8_t)(1U << i % 8);
	return selection;
}

/* A bank that is not there selects nothing, and the policy would be about nothing. */
static int check_bank(struct tpm *tpm, uint32_t pcr_mask)
{
	const TPML_PCR_SELECTION wanted = select_pcrs(pcr_mask);
	TPML_PCR_SELECTION *got = NULL;
	TPML_DIGEST *values = NULL;
	unsigned first = 0;
	TSS2_RC rc;
	bool good;

	if (pcr_mask == 0)
		return 0;
	/* One read gives eight at most: one is enough to see that the bank is there. */
	while (!(pcr_mask & 1U << first))
		first++;
	rc = Esys_PCR_Read(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &wanted, NULL, &got, &values);
	if (rc != TSS2_RC_SUCCESS)
		return explain(tpm, rc, "read the PCRs");
	good = values->count > 0 && got->count == 1 && got->pcrSelections[0].pcrSelect[first / 8] & 1U << first % 8;
	Esys_Free(got);
	Esys_Free(values);
	return good ? 0 : say(tpm, -ENOTUNIQ, "the TPM has no SHA-256 bank of PCRs, or it is switched off");
}

static int apply_policy(struct tpm *tpm, uint32_t pcr_mask, bool with_auth)
{
	static const TPM2B_DIGEST current = {.size = 0};
	const TPML_PCR_SELECTION selection = select_pcrs(pcr_mask);
	TSS2_RC rc = TSS2_RC_SUCCESS;

	if (pcr_mask)
		rc = Esys_PolicyPCR(tpm->esys, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &current,
				    &selection);
	if (rc == TSS2_RC_SUCCESS && with_auth)
		rc = Esys_PolicyAuthValue(tpm->esys, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE);
	return rc == TSS2_RC_SUCCESS ? 0 : explain(tpm, rc, "apply the policy");
}

static int get_policy(struct tpm *tpm, uint32_t pcr_mask, bool with_auth, TPM2B_DIGEST *ret_digest)
{
	TPM2B_DIGEST *digest = NULL;
	TSS2_RC rc;
	int r = begin_session(tpm, TPM2_SE_TRIAL, 0);

	if (r == 0)
		r = apply_policy(tpm, pcr_mask, with_auth);
	if (r < 0)
		return r;
	rc = Esys_PolicyGetDigest(tpm->esys, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &digest);
	if (rc != TSS2_RC_SUCCESS)
		return explain(tpm, rc, "read the policy");
	*ret_digest = *digest;
	Esys_Free(digest);
	end_session(tpm);
	return 0;
}

static int keep_blobs(struct tpm *tpm, const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private,
		      struct xtsfs_slot_tpm2 *tpm2)
{
	size_t public_bytes = 0, private_bytes = 0;
	TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Marshal(public, tpm2->public, sizeof(tpm2->public), &public_bytes);

	if (rc == TSS2_RC_SUCCESS)
		rc = Tss2_MU_TPM2B_PRIVATE_Marshal(private, tpm2->private, sizeof(tpm2->private), &private_bytes);
	if (rc != TSS2_RC_SUCCESS)
		return explain(tpm, rc, "keep the sealed key");
	tpm2->public_bytes = (unsigned)public_bytes;
	tpm2->private_bytes = (unsigned)private_bytes;
	memcpy(tpm2->parent, tpm->parent_name->name, XTSFS_TPM2_NAME_BYTES);
	return 0;
}

static int seal(struct tpm *tpm, const struct xtsfs_secret *auth, const struct xtsfs_secret *secret,
		struct xtsfs_slot_tpm2 *tpm2)
{
	static const TPML_PCR_SELECTION no_pcrs = {.count = 0};
	TPM2B_PUBLIC template = {
		.publicArea =
			{
				.type = TPM2_ALG_KEYEDHASH,
				.nameAlg = TPM2_ALG_SHA256,
				.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
						    (auth ? 0 : TPMA_OBJECT_NODA),
				.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL,
			},
	};
	TPM2B_SENSITIVE_CREATE sensitive = {0};
	TPM2B_PRIVATE *private = NULL;
	TPM2B_PUBLIC *public = NULL;
	TSS2_RC rc;
	int r = check_bank(tpm, tpm2->pcr_mask);

	if (r == 0)
		r = get_policy(tpm, tpm2->pcr_mask, auth != NULL, &template.publicArea.authPolicy);
	if (r == 0)
		r = begin_session(tpm, TPM2_SE_HMAC, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT);
	if (r < 0)
		return r;
	if (auth) {
		sensitive.sensitive.userAuth.size = (UINT16)auth->bytes;
		memcpy(sensitive.sensitive.userAuth.buffer, auth->data, auth->bytes);
	}
	sensitive.sensitive.data.size = (UINT16)secret->bytes;
	memcpy(sensitive.sensitive.data.buffer, secret->data, secret->bytes);
	rc = Esys_Create(tpm->esys, tpm->parent, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template, NULL,
			 &no_pcrs, &private, &public, NULL, NULL, NULL);
	xtsfs_wipe(&sensitive, sizeof(sensitive));
	if (rc != TSS2_RC_SUCCESS)
		return explain(tpm, rc, "seal the key");
	r = keep_blobs(tpm, public, private, tpm2);
	Esys_Free(private);
	Esys_Free(public);
	return r;
}

static int load(struct tpm *tpm, const struct xtsfs_slot_tpm2 *tpm2, const struct xtsfs_secret *auth)
{
	TPM2B_PRIVATE private = {0};
	TPM2B_PUBLIC public = {0};
	TPM2B_AUTH value = {0};
	size_t at = 0;
	TSS2_RC rc;

	if (memcmp(tpm2->parent, tpm->parent_name->name, XTSFS_TPM2_NAME_BYTES) != 0)
		return explain(tpm, TPM2_RC_INTEGRITY, "load");
	rc = Tss2_MU_TPM2B_PUBLIC_Unmarshal(tpm2->public, tpm2->public_bytes, &at, &public);
	at = 0;
	if (rc == TSS2_RC_SUCCESS)
		rc = Tss2_MU_TPM2B_PRIVATE_Unmarshal(tpm2->private, tpm2->private_bytes, &at, &private);
	if (rc != TSS2_RC_SUCCESS)
		return say(tpm, -XTSFS_EDAMAGED, "what the keyslot keeps for the TPM is damaged");
	rc = Esys_Load(tpm->esys, tpm->parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &private, &public,
		       &tpm->object);
	if (rc == TSS2_RC_SUCCESS && auth) {
		value.size = (UINT16)auth->bytes;
		memcpy(value.buffer, auth->data, auth->bytes);
		rc = Esys_TR_SetAuth(tpm->esys, tpm->object, &value);
		xtsfs_wipe(&value, sizeof(value));
	}
	return rc == TSS2_RC_SUCCESS ? 0 : explain(tpm, rc, "load the sealed key");
}

static int unseal(struct tpm *tpm, const struct xtsfs_secret *auth, const struct xtsfs_slot_tpm2 *tpm2,
		  struct xtsfs_secret **ret_secret)
{
	xtsfs_auto_secret *secret = NULL;
	TPM2B_SENSITIVE_DATA *data = NULL;
	TSS2_RC rc;
	int r = load(tpm, tpm2, auth);

	if (r == 0)
		r = begin_session(tpm, TPM2_SE_POLICY, TPMA_SESSION_ENCRYPT);
	if (r == 0)
		r = apply_policy(tpm, tpm2->pcr_mask, auth != NULL);
	if (r == 0 && (r = xtsfs_secret_new(XTSFS_TPM2_SECRET_BYTES, &secret)) < 0)
		return say(tpm, r, "cannot lock memory for the key: %s", xtsfs_strerror(r));
	if (r < 0)
		return r;
	rc = Esys_Unseal(tpm->esys, tpm->object, tpm->session, ESYS_TR_NONE, ESYS_TR_NONE, &data);
	if (rc != TSS2_RC_SUCCESS)
		return explain(tpm, rc, "unseal the key");
	if (data->size == secret->bytes)
		memcpy(secret->data, data->buffer, secret->bytes);
	else
		r = say(tpm, -XTSFS_EDAMAGED, "the TPM has sealed something else");
	xtsfs_wipe(data, sizeof(*data));
	Esys_Free(data);
	if (r < 0)
		return r;
	*ret_secret = secret;
	secret = NULL;
	return 0;
}

int xtsfs_tpm2_seal(const char *where, const struct xtsfs_secret *auth, const struct xtsfs_secret *secret,
		    struct xtsfs_slot_tpm2 *tpm2, char *ret_problem, size_t problem_bytes)
{
	struct tpm tpm = {.problem = ret_problem, .problem_bytes = problem_bytes};
	int r = begin(&tpm, where);

	if (r == 0)
		r = seal(&tpm, auth, secret, tpm2);
	done(&tpm);
	return r;
}

int xtsfs_tpm2_unseal(const char *where, const struct xtsfs_secret *auth, const struct xtsfs_slot_tpm2 *tpm2,
		      struct xtsfs_secret **ret_secret, char *ret_problem, size_t problem_bytes)
{
	struct tpm tpm = {.problem = ret_problem, .problem_bytes = problem_bytes};
	int r = begin(&tpm, where);

	if (r == 0)
		r = unseal(&tpm, auth, tpm2, ret_secret);
	done(&tpm);
	return r;
}

#else

static int missing(char *ret_problem, size_t problem_bytes)
{
	snprintf(ret_problem, problem_bytes, "this build does not know TPMs (tpm2-tss)");
	return -EOPNOTSUPP;
}

int xtsfs_tpm2_seal(const char *where, const struct xtsfs_secret *auth, const struct xtsfs_secret *secret,
		    struct xtsfs_slot_tpm2 *tpm2, char *ret_problem, size_t problem_bytes)
{
	(void)where;
	(void)auth;
	(void)secret;
	(void)tpm2;
	return missing(ret_problem, problem_bytes);
}

int xtsfs_tpm2_unseal(const char *where, const struct xtsfs_secret *auth, const struct xtsfs_slot_tpm2 *tpm2,
		      struct xtsfs_secret **ret_secret, char *ret_problem, size_t problem_bytes)
{
	(void)where;
	(void)auth;
	(void)tpm2;
	(void)ret_secret;
	return missing(ret_problem, problem_bytes);
}

#endif
