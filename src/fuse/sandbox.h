/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a daemon that serves may still ask of the kernel: an allow list of system calls, and of files those of the
 * volume.
 *
 * Layer:   fuse.
 * Threads: the only one there is; threads that it makes afterwards have the same limits.
 */
#ifndef XTSFS_FUSE_SANDBOX_H
#define XTSFS_FUSE_SANDBOX_H

#include "base/errors.h"

#include <stdbool.h>

#define XTSFS_SANDBOX_FILES 1U /* Landlock */
#define XTSFS_SANDBOX_CALLS 2U /* the filter */

/**
 * No new privileges, Landlock, the filter, for this process and for good. @backing: the volume's directory, of which
 * nothing but reading is left if @read_only. @beside: another one of which nothing but reading is left; -1: none.
 * @kernel_engine: what it takes to
 * make a TFM later. What the kernel or the build does not have is left out; a log line says
 * what is missing, one at level info that nothing is. What needs more than is left must have been done before:
 * connecting to syslog, detaching, opening anything outside of the volume, xtsfs_daemon_load_all(). Returns what is in
 * force.
 */
unsigned xtsfs_sandbox_enter(int backing, int beside, bool read_only, bool kernel_engine);

#endif
