/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A datagram of lines NAME=VALUE to the socket that is named by NOTIFY_SOCKET. systemd documents that as stable, for
 * programs to do themselves; its library would be a dependency of every mount for these few lines.
 *
 * The status is escaped: a line feed in the name of a directory would begin another assignment.
 */
#include "base/notify.h"

#include "base/cleanup.h"
#include "base/text.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define STATUS_BYTES 512

/* There is one service in a process, as there is one environment. */
static int notify_fd = -1;

void xtsfs_notify_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = secure_getenv("NOTIFY_SOCKET");
	size_t bytes = path ? strlen(path) : 0;
	xtsfs_auto_fd fd = -1;

	if (notify_fd >= 0 || bytes < 2 || bytes > sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, bytes);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes)) == 0)
		notify_fd = xtsfs_take_fd(&fd);
}

void xtsfs_notify(const char *state, const char *format, ...)
{
	char status[STATUS_BYTES], message[32 + STATUS_BYTES * XTSFS_ESCAPE_FACTOR];
	char *end = message;
	va_list args;
	int n;

	if (notify_fd < 0)
		return;
	va_start(args, format);
	n = vsnprintf(status, sizeof(status), format, args);
	va_end(args);
	if (state)
		end = stpcpy(stpcpy(end, state), "\n");
	end = stpcpy(end, "STATUS=");
	if (n > 0)
		end += xtsfs_text_escape(status, strlen(status), /* backslash= */ false, end);
	(void)send(notify_fd, message, (size_t)(end - message), MSG_NOSIGNAL);
}
