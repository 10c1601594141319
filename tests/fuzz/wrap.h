/* SPDX-License-Identifier: Apache-2.0 */
#ifndef XTSFS_TEST_FUZZ_WRAP_H
#define XTSFS_TEST_FUZZ_WRAP_H

#include <stdbool.h>

/** Random bytes and counts begin anew. */
void fuzz_wrap_begin(void);
/** From now on a thread cannot be had, as far as src/ is concerned; it goes on without. */
void fuzz_wrap_no_threads(bool none);

#endif
