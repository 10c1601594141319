/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells systemd, or whoever else keeps to sd_notify(3), how a service of Type=notify gets on.
 *
 * Layer:   base.
 * Threads: any, after xtsfs_notify_connect().
 */
#ifndef XTSFS_BASE_NOTIFY_H
#define XTSFS_BASE_NOTIFY_H

/** Connect to $NOTIFY_SOCKET, before the sandbox is entered. Without one, or if nobody is there, nothing is told. */
void xtsfs_notify_connect(void);
/** @state: "READY=1", "STOPPING=1" or NULL; then what the service's status is, for people. */
__attribute__((format(printf, 2, 3))) void xtsfs_notify(const char *state, const char *format, ...);

#endif
