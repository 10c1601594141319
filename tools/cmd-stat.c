/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xtsfsctl stat: everything that a volume knows of a path, without a mount.
 */
#include "cli-fs.h"
#include "commands.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "core/path.h"
#include "format/ondisk.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>

#define NAMES_BYTES 65536U

struct facts {
	const char *path;
	struct stat st;
	char *cipher_path;		    /* NULL if it cannot be told */
	char target[XTSFS_SYMLINK_MAX + 1]; /* of a symlink */
	char *names;			    /* of attributes, each with its NUL */
	ssize_t names_bytes;
};

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	case S_IFBLK:
		return "block device";
	case S_IFCHR:
		return "character device";
	default:
		return "unknown";
	}
}

static const char *format_time(const struct timespec *time, char text[static 48])
{
	size_t bytes;
	struct tm tm;

	if (!gmtime_r(&time->tv_sec, &tm))
		return "?";
	bytes = strftime(text, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + bytes, 48 - bytes, ".%09ldZ", time->tv_nsec);
	return text;
}

/* An exit code: of what is there and cannot be read. */
static int collect(struct xtsfs_volume *fs, const char *path, struct facts *facts)
{
	struct xtsfs_node *node;
	int exit_code = 0, r = xtsfs_path_lookup(fs, path, &node, &facts->st);

	if (r < 0)
		return cli_fail_inside(r, "cannot look at '%s'", path);
	facts->path = path[strspn(path, "/")] ? path + strspn(path, "/") : "/";
	r = xtsfs_path_of_node(fs, node, &facts->cipher_path);
	if (r < 0)
		facts->cipher_path = NULL;
	if (S_ISLNK(facts->st.st_mode)) {
		r = xtsfs_readlink(fs, node, facts->target);
		if (r < 0) {
			exit_code = cli_fail_inside(r, "cannot read the target of '%s'", path);
			facts->target[0] = '\0';
		}
	}
	facts->names = malloc(NAMES_BYTES);
	facts->names_bytes = facts->names ? xtsfs_listxattr(fs, node, facts->names, NAMES_BYTES) : -ENOMEM;
	if (facts->names_bytes < 0 && facts->names_bytes != -EOPNOTSUPP)
		exit_code = cli_fail_inside((int)facts->names_bytes, "cannot list the attributes of '%s'", path);
	xtsfs_forget(fs, node, 1);
	return exit_code;
}

static void print(const struct facts *facts)
{
	const struct stat *st = &facts->st;
	char size[16], text[48];

	cli_say("path:       %s", facts->path);
	cli_say("type:       %s", type_name(st->st_mode));
	if (facts->target[0])
		cli_say("target:     %s", facts->target);
	if (S_ISBLK(st->st_mode) || S_ISCHR(st->st_mode))
		cli_say("device:     %u:%u", major(st->st_rdev), minor(st->st_rdev));
	cli_say("size:       %llu (%s)", (unsigned long long)st->st_size,
		xtsfs_format_size((uint64_t)st->st_size, size));
	cli_say("stored:     %llu", (unsigned long long)st->st_blocks * 512);
	cli_say("mode:       %04o", (unsigned)(st->st_mode & 07777));
	cli_say("owner:      %lu:%lu", (unsigned long)st->st_uid, (unsigned long)st->st_gid);
	cli_say("links:      %lu", (unsigned long)st->st_nlink);
	cli_say("inode:      %llu", (unsigned long long)st->st_ino);
	cli_say("modified:   %s", format_time(&st->st_mtim, text));
	cli_say("changed:    %s", format_time(&st->st_ctim, text));
	cli_say("accessed:   %s", format_time(&st->st_atim, text));
	for (ssize_t at = 0; at < facts->names_bytes; at += (ssize_t)strlen(facts->names + at) + 1)
		cli_say("attribute:  %s", facts->names + at);
	if (facts->cipher_path)
		cli_say("ciphertext: %s", facts->cipher_path);
}

static bool add_text(json_object *object, const char *name, const char *text)
{
	xtsfs_auto_free char *quoted = xtsfs_quote(text); /* JSON is UTF-8, names need not be */

	return quoted && cli_json_add(object, name, json_object_new_string(quoted));
}

static bool add_number(json_object *object, const char *name, uint64_t number)
{
	return cli_json_add(object, name, json_object_new_int64((int64_t)number));
}

static json_object *attributes_json(const struct facts *facts)
{
	json_object *array = json_object_new_array();

	for (ssize_t at = 0; array && at < facts->names_bytes; at += (ssize_t)strlen(facts->names + at) + 1) {
		xtsfs_auto_free char *quoted = xtsfs_quote(facts->names + at);

		if (quoted)
			json_object_array_add(array, json_object_new_string(quoted));
	}
	return array;
}

static bool add_json(json_object *array, const struct facts *facts)
{
	json_object *object = json_object_new_object();
	const struct stat *st = &facts->st;
	char mode[8], text[48], device[32];
	bool good;

	snprintf(mode, sizeof(mode), "%04o", (unsigned)(st->st_mode & 07777));
	snprintf(device, sizeof(device), "%u:%u", major(st->st_rdev), minor(st->st_rdev));
	good = object && add_text(object, "path", facts->path) && add_text(object, "type", type_name(st->st_mode)) &&
	       (!S_ISLNK(st->st_mode) || add_text(object, "target", facts->target)) &&
	       (!(S_ISBLK(st->st_mode) || S_ISCHR(st->st_mode)) || add_text(object, "device", device)) &&
	       add_number(object, "size", (uint64_t)st->st_size) &&
	       add_number(object, "stored_bytes", (uint64_t)st->st_blocks * 512) && add_text(object, "mode", mode) &&
	       add_number(object, "uid", st->st_uid) && add_number(object, "gid", st->st_gid) &&
	       add_number(object, "links", st->st_nlink) && add_number(object, "inode", st->st_ino) &&
	       add_text(object, "modified", format_time(&st->st_mtim, text)) &&
	       add_text(object, "changed", format_time(&st->st_ctim, text)) &&
	       add_text(object, "accessed", format_time(&st->st_atim, text)) &&
	       cli_json_add(object, "attributes", attributes_json(facts)) &&
	       (!facts->cipher_path || add_text(object, "cipher_path", facts->cipher_path));
	if (good && json_object_array_add(array, object) == 0)
		return true;
	json_object_put(object);
	return false;
}

int cmd_stat(const struct cli_verb *verb, int argc, char **argv)
{
	struct cli_unlock unlock = CLI_UNLOCK_NONE;
	bool json = false, first = true;
	const struct cli_option options[] = {
		{.name = "json", .type = CLI_FLAG, .value = &json, .help = "print JSON"},
		CLI_SOURCE_OPTIONS(unlock),
		CLI_SLOT_OPTION(unlock),
		CLI_END,
	};
	json_object *array;
	struct cli_fs fs;
	char **arguments;
	int exit_code;

	if (!cli_parse(verb, argc, argv, options, 2, 4096, &arguments, &exit_code))
		return exit_code;
	exit_code = cli_unlock_check(verb, &unlock);
	if (exit_code)
		return exit_code;
	exit_code = cli_fs_open(arguments[0], &unlock, false, false, &fs);
	array = json ? json_object_new_array() : NULL;
	for (char **path = arguments + 1; fs.fs && *path; path++) {
		struct facts facts = {0};
		int one = collect(fs.fs, *path, &facts);

		if (facts.path && json && array && !add_json(array, &facts))
			one = cli_fail(-ENOMEM, "cannot print");
		if (facts.path && !json) {
			if (!first)
				cli_say("%s", "");
			print(&facts);
			first = false;
		}
		exit_code = exit_code ? exit_code : one;
		free(facts.cipher_path);
		free(facts.names);
	}
	if (fs.fs && json) {
		int one = cli_print_json(array);

		exit_code = exit_code ? exit_code : one;
	} else {
		json_object_put(array);
	}
	cli_fs_done(&fs);
	return exit_code;
}
