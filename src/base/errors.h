/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error convention: 0 or a count on success, a negative errno on failure, everywhere.
 *
 * Layer:   base.
 * Errors that have no errno of their own are aliases declared here once; xtsfs_strerror() has the sentence people see.
 */
#ifndef XTSFS_BASE_ERRORS_H
#define XTSFS_BASE_ERRORS_H

#include <errno.h>

#define XTSFS_EAUTH	EBADMSG	     /* an authentication tag does not verify */
#define XTSFS_EPASS	EKEYREJECTED /* no keyslot opens with this passphrase or keyfile */
#define XTSFS_EFEATURE	EPROTO	     /* an unknown incompatible feature, version or flag */
#define XTSFS_EDAMAGED	EUCLEAN	     /* structurally damaged: wrong magic, length, missing dirid */
#define XTSFS_ESELFTEST ELIBBAD	     /* an engine gave a wrong known answer */

#define xtsfs_must_check __attribute__((warn_unused_result))

/** A sentence fragment for people ("no such file or directory"); @error negative or positive errno. Never NULL, static
 * storage. */
const char *xtsfs_strerror(int error);

#endif
