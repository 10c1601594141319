/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of mountinfo: id, parent, device, root, mount point, options of the mount, fields without a fixed number, "-",
 * type, source, options of the filesystem. Blanks, tabs, line feeds and backslashes in names are "\ooo".
 */
#include "base/mountinfo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_octal(const char *text)
{
	return text[0] >= '0' && text[0] <= '3' && text[1] >= '0' && text[1] <= '7' && text[2] >= '0' && text[2] <= '7';
}

static char *unescape(char *text)
{
	char *write = text;

	for (const char *read = text; *read; write++) {
		if (*read == '\\' && is_octal(read + 1)) {
			*write = (char)((read[1] - '0') << 6 | (read[2] - '0') << 3 | (read[3] - '0'));
			read += 4;
		} else {
			*write = *read++;
		}
	}
	*write = '\0';
	return text;
}

static bool split(char *text, struct xtsfs_mountinfo *ret_line)
{
	struct xtsfs_mountinfo line;
	char *fields[6], *word;

	text[strcspn(text, "\n")] = '\0';
	for (size_t i = 0; i < 6; i++) {
		fields[i] = strsep(&text, " ");
		if (!fields[i])
			return false;
	}
	do
		word = strsep(&text, " ");
	while (word && strcmp(word, "-") != 0);
	line = (struct xtsfs_mountinfo){.mountpoint = unescape(fields[4]), .options = fields[5]};
	line.type = strsep(&text, " ");
	line.source = strsep(&text, " ");
	line.super_options = strsep(&text, " ");
	/* NOLINTNEXTLINE(cert-err34-c): the kernel's own numbers */
	if (!line.super_options || sscanf(fields[2], "%u:%u", &line.device_major, &line.device_minor) != 2)
		return false;
	unescape(line.source);
	*ret_line = line;
	return true;
}

int xtsfs_mountinfo_open(struct xtsfs_mountinfo_reader *ret_reader)
{
	*ret_reader = (struct xtsfs_mountinfo_reader){.file = fopen("/proc/self/mountinfo", "re")};
	return ret_reader->file ? 0 : -errno;
}

bool xtsfs_mountinfo_next(struct xtsfs_mountinfo_reader *reader, struct xtsfs_mountinfo *ret_line)
{
	while (reader->file && getline(&reader->text, &reader->room, reader->file) > 0)
		if (split(reader->text, ret_line))
			return true;
	return false;
}

void xtsfs_mountinfo_close(struct xtsfs_mountinfo_reader *reader)
{
	if (reader->file)
		fclose(reader->file);
	free(reader->text);
	*reader = (struct xtsfs_mountinfo_reader){0};
}
