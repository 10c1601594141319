/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing header backups.
 *
 * The text of xtsfs.conf is kept as it is, byte for byte, inside a JSON string: it carries its own HMAC, so a backup
 * proves itself once a passphrase opens it, and restoring gives the very file back. The root directory's dirid is kept
 * with it because without that no name in the root can be read (fsck can find it again; this is simpler).
 *
 * A backup is as good as its storage: the file is created anew (nobody's older backup is overwritten), synced, and its
 * directory synced. On an error it is removed.
 */
#include "header-file.h"

#include "base/base64.h"
#include "base/cleanup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define VERSION	      1
#define MAX_BYTES     (6U * XTSFS_CONFIG_MAX_BYTES + 4096) /* every byte of the config escaped as \u00XX */
#define PROBLEM_BYTES 512
#define WHAT_BYTES    320
#define DIRID_BYTES   sizeof(struct xtsfs_disk_dirid)

static json_object *make_object(const struct xtsfs_conf *conf, const struct xtsfs_disk_dirid *dirid)
{
	char uuid[XTSFS_UUID_CHARS + 1], dirid_text[DIRID_BYTES * 4 / 3 + 4], now_text[32] = "";
	json_object *object = json_object_new_object();
	time_t now = time(NULL);
	struct tm utc;
	bool good;

	if (gmtime_r(&now, &utc))
		strftime(now_text, sizeof(now_text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	xtsfs_uuid_format(conf->config->uuid, uuid);
	good = cli_json_add(object, "xtsfs_header_backup", json_object_new_int64(VERSION));
	good = good && cli_json_add(object, "uuid", json_object_new_string(uuid));
	good = good && cli_json_add(object, "created", json_object_new_string(now_text));
	good = good && cli_json_add(object, "conf", json_object_new_string_len(conf->text, (int)conf->text_bytes));
	if (dirid) {
		xtsfs_base64_encode((const uint8_t *)dirid, sizeof(*dirid), dirid_text);
		good = good && cli_json_add(object, "root_dirid", json_object_new_string(dirid_text));
	} else {
		good = good && json_object_object_add(object, "root_dirid", NULL) == 0;
	}
	if (!good) {
		json_object_put(object);
		return NULL;
	}
	return object;
}

static int write_all(int fd, const char *text, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(fd, text, bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		bytes -= (size_t)n;
	}
	return 0;
}

static int sync_directory_of(const char *path)
{
	xtsfs_auto_free char *copy = strdup(path);
	xtsfs_auto_fd fd = -1;
	char *slash;

	if (!copy)
		return -ENOMEM;
	slash = strrchr(copy, '/');
	if (slash)
		slash[slash == copy ? 1 : 0] = '\0';
	fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == EACCES ? 0 : -errno;
	return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}

static int write_file(const char *path, const char *text, size_t bytes)
{
	xtsfs_auto_fd fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, text, bytes);
	if (r == 0)
		r = write_all(fd, "\n", 1);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(xtsfs_take_fd(&fd)) < 0 && r == 0)
		r = -errno;
	if (r == 0)
		r = sync_directory_of(path);
	if (r < 0)
		unlink(path);
	return r;
}

int header_file_write(const char *path, const struct xtsfs_conf *conf, const struct xtsfs_disk_dirid *dirid)
{
	json_object *object = make_object(conf, dirid);
	const char *text = NULL;
	size_t bytes = 0;
	int r = -ENOMEM;

	if (object)
		text = json_object_to_json_string_length(
			object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE,
			&bytes);
	if (text)
		r = write_file(path, text, bytes);
	json_object_put(object);
	if (r == -EEXIST)
		return cli_fail_exit(XTSFS_EXIT_EXISTS, "'%s' exists, refusing to overwrite it", path);
	return r < 0 ? cli_fail_exit(XTSFS_EXIT_IO, "cannot write '%s': %s", path, xtsfs_strerror(r)) : 0;
}

static int read_file(const char *path, char **ret_text, size_t *ret_bytes)
{
	xtsfs_auto_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	xtsfs_auto_free char *text = malloc(MAX_BYTES + 1);
	size_t have = 0;
	ssize_t n = 1;

	if (!text)
		return -ENOMEM;
	if (fd < 0)
		return -errno;
	while (n != 0 && have <= MAX_BYTES) {
		n = read(fd, text + have, MAX_BYTES + 1 - have);
		if (n < 0 && errno != EINTR)
			return -errno;
		have += n > 0 ? (size_t)n : 0;
	}
	if (have > MAX_BYTES)
		return -EFBIG;
	*ret_text = xtsfs_take(text);
	*ret_bytes = have;
	return 0;
}

static json_object *parse_object(const char *text, size_t bytes)
{
	json_tokener *tokener = json_tokener_new();
	json_object *object = NULL;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, text, (int)bytes);
	json_tokener_free(tokener);
	if (object && !json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		object = NULL;
	}
	return object;
}

static int fail_damaged(const char *path, const char *problem)
{
	return cli_fail_exit(XTSFS_EXIT_CONFIG, "'%s' is not a header backup, or is damaged: %s", path, problem);
}

static int take_dirid(const char *path, json_object *member, struct header_file *file)
{
	const char *text;

	if (!member) /* null */
		return 0;
	text = json_object_is_type(member, json_type_string) ? json_object_get_string(member) : "";
	if (strlen(text) != xtsfs_base64_chars(DIRID_BYTES) ||
	    xtsfs_base64_decode(text, strlen(text), (uint8_t *)&file->dirid) < 0)
		return fail_damaged(path, "'root_dirid' is not 48 bytes in base64url");
	file->has_dirid = true;
	return 0;
}

static int take_members(const char *path, json_object *object, struct header_file *file)
{
	json_object *version = NULL, *uuid = NULL, *created = NULL, *conf = NULL, *dirid = NULL;
	char problem[PROBLEM_BYTES], what[WHAT_BYTES], text[XTSFS_UUID_CHARS + 1];
	int r;

	if (!json_object_object_get_ex(object, "xtsfs_header_backup", &version) ||
	    !json_object_is_type(version, json_type_int))
		return fail_damaged(path, "'xtsfs_header_backup' is missing");
	if (json_object_get_int64(version) != VERSION)
		return cli_fail_exit(XTSFS_EXIT_FEATURE, "'%s' is a header backup of version %lld, which is not known",
				     path, (long long)json_object_get_int64(version));
	if (!json_object_object_get_ex(object, "conf", &conf) || !json_object_is_type(conf, json_type_string))
		return fail_damaged(path, "'conf' is missing");
	if (!json_object_object_get_ex(object, "uuid", &uuid) || !json_object_is_type(uuid, json_type_string))
		return fail_damaged(path, "'uuid' is missing");
	if (!json_object_object_get_ex(object, "root_dirid", &dirid))
		return fail_damaged(path, "'root_dirid' is missing");
	if (json_object_object_get_ex(object, "created", &created) && json_object_is_type(created, json_type_string))
		snprintf(file->created, sizeof(file->created), "%s", json_object_get_string(created));

	snprintf(what, sizeof(what), "the configuration in '%s'", path);
	r = xtsfs_conf_parse(json_object_get_string(conf), (size_t)json_object_get_string_len(conf), &file->conf,
			     problem, sizeof(problem));
	if (r == -XTSFS_EDAMAGED)
		return cli_fail_exit(XTSFS_EXIT_CONFIG, "%s is damaged: %s", what, problem);
	if (r < 0)
		return cli_fail_conf(r, what, problem);
	xtsfs_uuid_format(file->conf->config->uuid, text);
	if (strcmp(text, json_object_get_string(uuid)) != 0)
		return fail_damaged(path, "'uuid' is not that of the configuration in it");
	return take_dirid(path, dirid, file);
}

int header_file_read(const char *path, struct header_file *ret_file)
{
	xtsfs_auto_free char *text = NULL;
	json_object *object;
	size_t bytes = 0;
	int r, exit_code;

	*ret_file = (struct header_file){0};
	r = read_file(path, &text, &bytes);
	if (r == -EFBIG)
		return fail_damaged(path, "it is too long");
	if (r < 0)
		return cli_fail_exit(XTSFS_EXIT_OTHER, "cannot read '%s': %s", path, xtsfs_strerror(r));
	object = parse_object(text, bytes);
	if (!object)
		return fail_damaged(path, "it is not a JSON object");
	exit_code = take_members(path, object, ret_file);
	json_object_put(object);
	return exit_code;
}

void header_file_done(struct header_file *file)
{
	file->conf = xtsfs_conf_free(file->conf);
}
