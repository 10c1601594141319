/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a header backup, and the note of it.
 *
 * The note, xtsfs.backup, is what lets info tell that keyslots were changed since. It is a file of its own, since
 * writing to xtsfs.conf takes the volume key and making a backup does not. So nothing vouches for it: somebody who may
 * change the volume can have it say that all is well, as he could remove the backup.
 */
#include "header-note.h"

#include "cli-run.h"
#include "header-file.h"

#include "core/replace.h"
#include "crypto/kdf.h"
#include "store/aside.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define NOTE_BYTES 4096U
#define HEX_BYTES  65U

int header_read_dirid(struct xtsfs_store *store, struct xtsfs_disk_dirid *ret_dirid)
{
	uint8_t bytes[sizeof(*ret_dirid) + 1];
	struct stat status;
	ssize_t n;
	int handle, r;

	handle = store->ops->open(store, store->root, XTSFS_NAME_DIRID, O_RDONLY | O_NONBLOCK, 0, NULL);
	if (handle < 0)
		return handle == -ELOOP ? -XTSFS_EDAMAGED : handle;
	r = store->ops->fstat(store, handle, &status);
	if (r == 0 && !S_ISREG(status.st_mode))
		r = -XTSFS_EDAMAGED;
	n = r < 0 ? r : xtsfs_store_pread(store, handle, bytes, sizeof(bytes), 0);
	store->ops->close(store, handle);
	if (n < 0)
		return (int)n;
	if (n != sizeof(*ret_dirid))
		return -XTSFS_EDAMAGED;
	memcpy(ret_dirid, bytes, sizeof(*ret_dirid));
	return 0;
}

static int hash_conf(const struct xtsfs_conf *conf, char ret_hex[static HEX_BYTES])
{
	uint8_t hash[32];
	int r = xtsfs_sha256(conf->text, conf->text_bytes, hash);

	for (size_t i = 0; r == 0 && i < sizeof(hash); i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", hash[i]);
	return r;
}

static int write_note(struct cli_volume *volume)
{
	char hex[HEX_BYTES], now[32], text[256];
	int r = hash_conf(volume->conf, hex);

	if (r < 0)
		return r;
	snprintf(text, sizeof(text), "{ \"created\": \"%s\", \"conf_sha256\": \"%s\" }\n", cli_format_now(now), hex);
	return xtsfs_file_replace_like(volume->store, XTSFS_NAME_BACKUP_NOTE, XTSFS_NAME_CONF, text, strlen(text));
}

int header_backup(struct cli_volume *volume, const char *path)
{
	struct xtsfs_disk_dirid dirid;
	int note, exit_code, r = header_read_dirid(volume->store, &dirid);

	if (r < 0 && r != -ENOENT && r != -XTSFS_EDAMAGED)
		return cli_fail(r, "cannot read '%s/%s'", volume->dir, XTSFS_NAME_DIRID);
	exit_code = header_file_write(path, volume->conf, r == 0 ? &dirid : NULL);
	if (exit_code)
		return exit_code;
	if (r < 0 && !xtsfs_store_is_aside(volume->store)) /* beside a reverse view's there is none */
		cli_fail_exit(0, "warning: '%s/%s' is missing or damaged, the backup is without it; run xtsfsctl fsck",
			      volume->dir, XTSFS_NAME_DIRID);
	note = write_note(volume);
	/* A copy that cannot be written has no keyslots changed either. */
	if (note < 0 && note != -EROFS)
		cli_fail_exit(0, "warning: cannot note the backup in '%s/%s', xtsfsctl info will not know of it: %s",
			      volume->dir, XTSFS_NAME_BACKUP_NOTE, xtsfs_strerror(note));
	return 0;
}

static bool take_text(json_object *object, const char *name, char *ret_text, size_t room)
{
	json_object *member = NULL;
	const char *text;

	if (!json_object_object_get_ex(object, name, &member) || !json_object_is_type(member, json_type_string))
		return false;
	text = json_object_get_string(member);
	return (size_t)snprintf(ret_text, room, "%s", text) < room;
}

void header_note_read(struct xtsfs_store *store, const struct xtsfs_conf *conf, struct header_note *ret_note)
{
	int handle = store->ops->open(store, store->root, XTSFS_NAME_BACKUP_NOTE, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0,
				      NULL);
	char text[NOTE_BYTES + 1], then[HEX_BYTES], hex[HEX_BYTES];
	json_object *object = NULL;
	ssize_t n;

	*ret_note = (struct header_note){0};
	if (handle < 0)
		return;
	n = xtsfs_store_pread(store, handle, text, NOTE_BYTES, 0);
	store->ops->close(store, handle);
	if (n <= 0)
		return;
	text[n] = '\0';
	object = json_tokener_parse(text);
	ret_note->known = object && json_object_is_type(object, json_type_object) &&
			  take_text(object, "created", ret_note->created, sizeof(ret_note->created)) &&
			  take_text(object, "conf_sha256", then, sizeof(then));
	ret_note->current = ret_note->known && hash_conf(conf, hex) == 0 && strcmp(hex, then) == 0;
	json_object_put(object);
}
