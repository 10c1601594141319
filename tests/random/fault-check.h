/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operation in which a call of the store fails: the error comes out as it is, the file is as before, or as after, or
 * legally between, whatever is asked afterwards works, and memory and disk agree.
 */
#ifndef XTSFS_FAULT_CHECK_H
#define XTSFS_FAULT_CHECK_H

#include "content.h"

/** Is it an operation that can be checked so? */
bool fault_fits(const struct op *op);
/**
 * The operation with the fault, in a run with a faulty store. Then the model is what the file holds. @files: what each
 * has been since its last sync, in a run in which overwritten sectors wait: a close that cannot write them loses them,
 * as far as the last sync. NULL in others. Returns 1 if the fault came, 0 if the operation has fewer calls, -1 with
 * run->why.
 */
int fault_op(struct run *run, const struct op *op, const struct xtsfs_fault *fault, struct history *files);

#endif
