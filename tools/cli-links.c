/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files with several names, while a tree is copied by several threads.
 *
 * A file is copied under the first of its names that is met; who meets another meanwhile waits for that, and then makes
 * a link to it. If the first one fails, the next is the first.
 */
#include "cli-work.h"

#include "base/cleanup.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void cli_links_init(struct cli_links *links)
{
	memset(links->slots, 0, sizeof(links->slots));
	pthread_mutex_init(&links->mutex, NULL);
	pthread_cond_init(&links->changed, NULL);
}

void cli_links_free(struct cli_links *links)
{
	for (size_t i = 0; i < sizeof(links->slots) / sizeof(links->slots[0]); i++) {
		while (links->slots[i]) {
			struct cli_link *link = links->slots[i];

			links->slots[i] = link->next;
			free(link->dir);
			free(link);
		}
	}
}

struct cli_link *cli_links_find(struct cli_links *links, dev_t dev, ino_t ino, bool *ret_first)
{
	struct cli_link **slot = &links->slots[((uint64_t)ino * 0x9e3779b97f4a7c15ULL) >> 54], *link;

	xtsfs_guard_mutex(&links->mutex);
	for (link = *slot; link; link = link->next)
		if (link->ino == ino && link->dev == dev)
			break;
	while (link && link->state == CLI_LINK_BUSY)
		pthread_cond_wait(&links->changed, &links->mutex);
	*ret_first = !link || link->state != CLI_LINK_DONE;
	if (!*ret_first)
		return link;
	if (!link) {
		link = calloc(1, sizeof(*link));
		if (!link)
			return NULL;
		link->dev = dev;
		link->ino = ino;
		link->next = *slot;
		*slot = link;
	}
	link->state = CLI_LINK_BUSY;
	return link;
}

void cli_links_done(struct cli_links *links, struct cli_link *link, const struct stat *st, const char *dir,
		    const char *name)
{
	char *copy = st ? strdup(dir) : NULL;

	xtsfs_guard_mutex(&links->mutex);
	link->state = copy ? CLI_LINK_DONE : CLI_LINK_FAILED;
	if (copy) {
		free(link->dir);
		link->dir = copy;
		snprintf(link->name, sizeof(link->name), "%s", name);
		link->target_dev = st->st_dev;
		link->target_ino = st->st_ino;
	}
	pthread_cond_broadcast(&links->changed);
}

int cli_open_beneath(int base, const char *path)
{
	int fd = openat(base, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0 && *path) {
		size_t bytes = strcspn(path, "/");
		char name[256];
		int next;

		snprintf(name, sizeof(name), "%.*s", (int)bytes, path);
		next = openat(fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		close(fd);
		fd = next;
		path += bytes;
		path += strspn(path, "/");
	}
	return fd < 0 ? -errno : fd;
}
