/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: format, escape, one write.
 *
 * The text is formatted first and escaped as a whole afterwards: whatever a name in it contains, the line stays one
 * line (text.c says what is escaped). The line goes out with a single write(), so lines of threads, and of processes
 * that share a file opened with O_APPEND, do not mix.
 *
 * State: one static context, for a log line is needed where nothing was passed down. Its members are atomic; the
 * program's name and the file are set once at start. Formatting needs memory; where none can be had the line is cut to
 * what fits a small buffer and is never lost for that.
 *
 * Nothing here fails visibly: a full disk under the log must not stop the filesystem. errno is the same after a call.
 * There is no rotation and no time stamp: syslog and the journal add theirs, and a file for tests is better without.
 *
 * The journal takes "<N>" at the beginning of a line of standard error for its priority, and knows the program itself.
 * Whether standard error is the journal systemd tells, and a redirection in between shows (JOURNAL_STREAM).
 */
#include "base/log.h"

#include "base/cleanup.h"
#include "base/errors.h"
#include "base/text.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#define SMALL_BYTES 512

static struct {
	_Atomic(const char *) program;
	atomic_int level;
	atomic_int file_fd;
	atomic_bool to_syslog, no_syslog, is_journal;
} context = {.program = "xtsfs", .level = XTSFS_LOG_NOTICE, .file_fd = -1};

static const struct {
	const char *name;
	int priority;
} levels[XTSFS_LOG__COUNT] = {
	[XTSFS_LOG_ERROR] = {"error", LOG_ERR},	     [XTSFS_LOG_WARNING] = {"warning", LOG_WARNING},
	[XTSFS_LOG_NOTICE] = {"notice", LOG_NOTICE}, [XTSFS_LOG_INFO] = {"info", LOG_INFO},
	[XTSFS_LOG_DEBUG] = {"debug", LOG_DEBUG},
};

static bool stderr_is_journal(void)
{
	const char *stream = secure_getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == device && st.st_ino == inode;
}

void xtsfs_log_init(const char *program)
{
	const char *path = secure_getenv("XTSFS_LOG_FILE");
	int fd = -1, old;

	atomic_store(&context.program, program);
	atomic_store(&context.level, XTSFS_LOG_NOTICE);
	atomic_store(&context.to_syslog, false);
	atomic_store(&context.is_journal, stderr_is_journal());
	if (path && *path) {
		fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
		if (fd < 0)
			xtsfs_warning("cannot open log file '%s': %s, ignoring", path, xtsfs_strerror(errno));
	}
	old = atomic_exchange(&context.file_fd, fd);
	xtsfs_cleanup_fd(&old);
}

void xtsfs_log_set_level(enum xtsfs_log_level level)
{
	atomic_store(&context.level, (int)level);
}

int xtsfs_log_parse_level(const char *text, enum xtsfs_log_level *ret_level)
{
	for (unsigned i = 0; i < XTSFS_LOG__COUNT; i++)
		if (strcmp(text, levels[i].name) == 0) {
			*ret_level = (enum xtsfs_log_level)i;
			return 0;
		}
	return -EINVAL;
}

bool xtsfs_log_enabled(enum xtsfs_log_level level)
{
	return (int)level <= atomic_load_explicit(&context.level, memory_order_relaxed);
}

static void open_syslog(void)
{
	openlog(atomic_load(&context.program), LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void xtsfs_log_connect_syslog(void)
{
	const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = _PATH_LOG};
	xtsfs_auto_fd fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	/* The library does not tell, and tries again for every line. */
	if (fd < 0 || (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 && errno != EPROTOTYPE))
		atomic_store(&context.no_syslog, true);
	else
		open_syslog();
}

void xtsfs_log_to_syslog(void)
{
	if (!atomic_load(&context.no_syslog))
		open_syslog();
	atomic_store(&context.to_syslog, true);
}

static void write_line(int fd, const char *line, size_t bytes)
{
	/* A line that was cut short is left so: the rest in a second write could land inside another's line. */
	while (write(fd, line, bytes) < 0 && errno == EINTR)
		;
}

/* "PROGRAM: LEVEL: escaped text\n"; *@ret_text_at is where the text begins. @ret_line must have room for it. */
static size_t build_line(enum xtsfs_log_level level, const char *program, const char *text, size_t text_bytes,
			 char *ret_line, size_t *ret_text_at)
{
	char *end = stpcpy(stpcpy(stpcpy(stpcpy(ret_line, program), ": "), levels[level].name), ": ");

	*ret_text_at = (size_t)(end - ret_line);
	end += xtsfs_text_escape(text, text_bytes, /* backslash= */ false, end);
	*end++ = '\n';
	*end = '\0';
	return (size_t)(end - ret_line);
}

/* "LEVEL: text\n" of the @line, of which @text_at says where the text begins, with its priority. */
static void write_to_journal(enum xtsfs_log_level level, const char *line, size_t bytes, size_t text_at)
{
	char head[] = "<0>";
	const size_t name_at = text_at - strlen(levels[level].name) - 2;
	const struct iovec parts[] = {{.iov_base = head, .iov_len = sizeof(head) - 1},
				      {.iov_base = (char *)(uintptr_t)line + name_at, .iov_len = bytes - name_at}};

	head[1] = (char)('0' + levels[level].priority);
	while (writev(STDERR_FILENO, parts, 2) < 0 && errno == EINTR)
		;
}

static void emit(enum xtsfs_log_level level, char *line, size_t bytes, size_t text_at)
{
	int fd = atomic_load(&context.file_fd);

	if (fd >= 0)
		write_line(fd, line, bytes);
	if (atomic_load(&context.to_syslog) && atomic_load(&context.no_syslog))
		return;
	if (atomic_load(&context.to_syslog)) {
		line[bytes - 1] = '\0';
		syslog(LOG_DAEMON | levels[level].priority, "%s: %s", levels[level].name, line + text_at);
	} else if (atomic_load(&context.is_journal)) {
		write_to_journal(level, line, bytes, text_at);
	} else {
		write_line(STDERR_FILENO, line, bytes);
	}
}

void xtsfs_log(enum xtsfs_log_level level, const char *format, ...)
{
	const char *program = atomic_load(&context.program);
	char small_text[SMALL_BYTES], small_line[SMALL_BYTES * XTSFS_ESCAPE_FACTOR + SMALL_BYTES];
	xtsfs_auto_free char *heap_text = NULL;
	xtsfs_auto_free char *heap_line = NULL;
	char *text = small_text, *line = small_line;
	size_t text_bytes, bytes, text_at, head_bytes;
	int saved = errno, n;
	va_list args;

	if ((unsigned)level >= XTSFS_LOG__COUNT || !xtsfs_log_enabled(level))
		return;

	va_start(args, format);
	n = vsnprintf(small_text, sizeof(small_text), format, args);
	va_end(args);
	if (n < 0)
		n = snprintf(small_text, sizeof(small_text), "%s", format);
	if ((size_t)n >= sizeof(small_text)) {
		heap_text = malloc((size_t)n + 1);
		if (heap_text) {
			errno = saved; /* for a %m */
			va_start(args, format);
			vsnprintf(heap_text, (size_t)n + 1, format, args);
			va_end(args);
			text = heap_text;
		}
	}
	text_bytes = strlen(text);
	while (text_bytes && text[text_bytes - 1] == '\n')
		text_bytes--;

	head_bytes = strlen(program) + sizeof(": warning: \n");
	if (text_bytes * XTSFS_ESCAPE_FACTOR + head_bytes > sizeof(small_line)) {
		heap_line = malloc(text_bytes * XTSFS_ESCAPE_FACTOR + head_bytes);
		if (heap_line) {
			line = heap_line;
		} else {
			program = "xtsfs";
			if (text_bytes > SMALL_BYTES)
				text_bytes = SMALL_BYTES;
		}
	}
	bytes = build_line(level, program, text, text_bytes, line, &text_at);
	emit(level, line, bytes, text_at);
	errno = saved;
}
