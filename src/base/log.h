/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines of the programs.
 *
 * Layer:   base.
 * Threads: any; each line is written with one write.
 * Secrets: never log a key, nonce, passphrase or file content; names of files only where the user chose so
 * (-o log_names).
 *
 * Lines read "PROGRAM: LEVEL: text\n". They go to stderr, to the file named by the environment variable XTSFS_LOG_FILE
 * (opened for append by xtsfs_log_init()), or, after xtsfs_log_to_syslog(), to syslog; to the file too if one is set.
 * Where stderr is systemd's journal they are "<PRIORITY>LEVEL: text\n" there.
 */
#ifndef XTSFS_BASE_LOG_H
#define XTSFS_BASE_LOG_H

#include <stdbool.h>

enum xtsfs_log_level {
	XTSFS_LOG_ERROR,
	XTSFS_LOG_WARNING,
	XTSFS_LOG_NOTICE,
	XTSFS_LOG_INFO,
	XTSFS_LOG_DEBUG,
	XTSFS_LOG__COUNT
};

/** @program: stays referenced. Reads XTSFS_LOG_FILE. Default level: notice. */
void xtsfs_log_init(const char *program);
void xtsfs_log_set_level(enum xtsfs_log_level level);
/** Parse "error".."debug"; 0 or -EINVAL. */
int xtsfs_log_parse_level(const char *text, enum xtsfs_log_level *ret_level);
bool xtsfs_log_enabled(enum xtsfs_log_level level);
/** Connect to syslog now, or never: later it will not be allowed. */
void xtsfs_log_connect_syslog(void);
/** From now on to syslog (facility daemon), no longer to stderr. */
void xtsfs_log_to_syslog(void);

__attribute__((format(printf, 2, 3))) void xtsfs_log(enum xtsfs_log_level level, const char *format, ...);

#define xtsfs_error(...)   xtsfs_log(XTSFS_LOG_ERROR, __VA_ARGS__)
#define xtsfs_warning(...) xtsfs_log(XTSFS_LOG_WARNING, __VA_ARGS__)
#define xtsfs_notice(...)  xtsfs_log(XTSFS_LOG_NOTICE, __VA_ARGS__)
#define xtsfs_info(...)	   xtsfs_log(XTSFS_LOG_INFO, __VA_ARGS__)
#define xtsfs_debug(...)                                         \
	do {                                                     \
		if (xtsfs_log_enabled(XTSFS_LOG_DEBUG))          \
			xtsfs_log(XTSFS_LOG_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
