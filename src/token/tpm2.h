/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A secret that only this machine's TPM gives out, and only while certain PCRs are as they were (spec 4.2).
 *
 * Layer:   token (may include base/ and format/).
 * Threads: one at a time, before other threads run: the library is told by the environment to be quiet.
 * Secrets: in xtsfs_secret; on their way to and from the TPM encrypted. The library's own copies are wiped where it
 *          hands them out; what it keeps inside is in its heap until the process ends or overwrites it.
 */
#ifndef XTSFS_TOKEN_TPM2_H
#define XTSFS_TOKEN_TPM2_H

#include "base/secret.h"
#include "format/config.h"

#include <stddef.h>

#define XTSFS_TPM2_SECRET_BYTES 32U
#define XTSFS_TPM2_AUTO		"auto" /* the kernel's resource manager, /dev/tpmrm0 */

/**
 * Seal @secret to the TPM and to the PCRs of @tpm2->pcr_mask (bank SHA-256) as they are now; the rest of @tpm2 is
 * filled. @where: XTSFS_TPM2_AUTO, or a TCTI of tpm2-tss, such as "device:/dev/tpmrm0". @auth: what has to be known
 * besides, up to 32 bytes, or NULL.
 * @ret_problem: on failure a sentence for people.
 * Returns 0, -EOPNOTSUPP (a build without it), -ENODEV (no TPM), -EACCES, -ENOTUNIQ (not that bank), -EIO, -ENOMEM, ...
 */
xtsfs_must_check int xtsfs_tpm2_seal(const char *where, const struct xtsfs_secret *auth,
				     const struct xtsfs_secret *secret, struct xtsfs_slot_tpm2 *tpm2, char *ret_problem,
				     size_t problem_bytes);
/**
 * Have it unsealed. Returns as before, and -XTSFS_EPASS (@auth is wrong), -ESTALE (the PCRs are not as they were),
 * -EXDEV (another TPM, or one that was cleared), -EBUSY (locked out after too many wrong tries).
 */
xtsfs_must_check int xtsfs_tpm2_unseal(const char *where, const struct xtsfs_secret *auth,
				       const struct xtsfs_slot_tpm2 *tpm2, struct xtsfs_secret **ret_secret,
				       char *ret_problem, size_t problem_bytes);

#endif
