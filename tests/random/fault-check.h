/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An operation in which a call of the store fails: the error comes out as it is, the file is as before, or as after, or
 * legally between, whatever is asked afterwards works, and memory and disk agree.
 */
#ifndef XTSFS_FAULT_CHECK_H
#define XTSFS_FAULT_CHECK_H

#include "random-ops.h"

/** Is it an operation that can be checked so? */
bool fault_fits(const struct op *op);
/**
 * The operation with the fault, in a run with a faulty store. Then the model is what the file holds. Returns 1 if the
 * fault came, 0 if the operation has fewer calls, -1 with run->why.
 */
int fault_op(struct run *run, const struct op *op, const struct xtsfs_fault *fault);

#endif
