/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a caller is beyond uid and gid. A request does not carry supplementary groups and capabilities, but the caller
 * waits for the answer, so /proc tells them. It is read only where a local filesystem would ask for them and the
 * kernel has not asked for us. A daemon in its sandbox may not read it and asks its helper.
 */
#include "fuse/helper.h"
#include "fuse/ops.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool lists_group(const char *numbers, gid_t gid)
{
	char *end;

	for (const char *at = numbers;; at = end) {
		unsigned long number = strtoul(at, &end, 10);

		if (end == at)
			return false;
		if (number == gid)
			return true;
	}
}

/* Does the caller's user namespace, one below ours, have this id of ours? Lines: first id there, here, count. */
static bool maps_id(pid_t pid, const char *map, unsigned id)
{
	char path[40], *line = NULL;
	size_t room = 0;
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, map);
	file = fopen(path, "re");
	while (file && !found && getline(&line, &room, file) > 0) {
		unsigned long first, count;
		char *end;

		(void)strtoul(line, &end, 10);
		first = strtoul(end, &end, 10);
		count = strtoul(end, NULL, 10);
		found = id >= first && id - first < count;
	}
	if (file)
		fclose(file);
	free(line);
	return found;
}

/* Capabilities count in our user namespace, and in one below for what belongs to ids that it has. */
static bool counts_for(pid_t pid, uid_t uid, gid_t gid)
{
	struct stat ours, theirs;
	char path[40];

	snprintf(path, sizeof(path), "/proc/%ld/ns/user", (long)pid);
	if (stat("/proc/self/ns/user", &ours) < 0 || stat(path, &theirs) < 0)
		return false;
	return (ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev) ||
	       (maps_id(pid, "uid_map", uid) && maps_id(pid, "gid_map", gid));
}

int xtsfs_process_may(const struct xtsfs_caller_question *question)
{
	size_t room = 0;
	bool may = false;
	char path[40], *line = NULL;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%ld/status", (long)question->pid);
	status = fopen(path, "re");
	if (!status)
		return -errno;
	while (!may && getline(&line, &room, status) > 0) {
		if (strncmp(line, "Groups:", 7) == 0)
			may = question->or_group && lists_group(line + 7, question->gid);
		else if (strncmp(line, "CapEff:", 7) == 0)
			may = strtoull(line + 7, NULL, 16) >> question->capability & 1 &&
			      counts_for(question->pid, question->uid, question->gid);
	}
	fclose(status);
	free(line);
	return may;
}

/* 1, 0, or -errno: it cannot be told. */
static int ask(fuse_req_t req, const struct stat *st, unsigned capability, bool or_group)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct xtsfs_helper *helper = xtsfs_req_mount(req)->helper;
	const struct xtsfs_caller_question question = {
		.pid = ctx->pid, .uid = st->st_uid, .gid = st->st_gid, .capability = capability, .or_group = or_group};

	if (ctx->pid <= 0) /* of another pid namespace */
		return -ESRCH;
	return helper ? xtsfs_helper_may(helper, &question) : xtsfs_process_may(&question);
}

bool xtsfs_req_may_setgid(fuse_req_t req, const struct stat *st)
{
	return fuse_req_ctx(req)->gid == st->st_gid || ask(req, st, CAP_FSETID, true) > 0;
}

bool xtsfs_req_has_fsetid(fuse_req_t req, const struct stat *st)
{
	return ask(req, st, CAP_FSETID, false) > 0;
}

bool xtsfs_req_owns(fuse_req_t req, const struct stat *st)
{
	uid_t uid = fuse_req_ctx(req)->uid;
	int r = uid == st->st_uid ? 1 : ask(req, st, CAP_FOWNER, false);

	return r < 0 ? uid == 0 : r > 0;
}
