/* SPDX-License-Identifier: Apache-2.0 */
#include "look.h"

#include <sys/xattr.h>

void look_at(struct run *run, struct xtsfs_node *node, int object)
{
	struct xtsfs_volume *volume = run->volume.core.volume;
	struct model_seen seen = {0};
	int8_t failed[MODEL_MOST / CORE_B + 8] = {0};
	struct stat st;
	int r = xtsfs_getattr(volume, node, &st);

	WANT(run, r, 0);
	if (r < 0 || !S_ISREG(st.st_mode))
		return;
	seen.failed = failed;
	seen.bytes = (uint64_t)st.st_size;
	/* an attacker can make a file longer than any was */
	if (seen.bytes > MODEL_MOST + CORE_B)
		seen.bytes = MODEL_MOST + CORE_B;
	seen.data = malloc(seen.bytes + CORE_B);
	for (uint64_t at = 0; at < seen.bytes; at += CORE_B) {
		size_t want = seen.bytes - at < CORE_B ? (size_t)(seen.bytes - at) : CORE_B;
		ssize_t n = xtsfs_read(volume, node, seen.data + at, want, at);

		FUZZ_CHECK(n < 0 || (size_t)n == want, "read %zd of %zu", n, want);
		FUZZ_CHECK(n >= 0 || n == -EIO || n == -XTSFS_EDAMAGED || n == -ESTALE, "reading gave %zd", n);
		failed[at / CORE_B] = n < 0;
	}
	model_check(&run->model, object, &seen);
	free(seen.data);
}

static void look_at_link(struct run *run, struct xtsfs_node *node, int object)
{
	char target[XTSFS_SYMLINK_MAX + 1], wanted[XTSFS_SYMLINK_MAX + 1];
	int r = xtsfs_readlink(run->volume.core.volume, node, target);

	WANT(run, r, 0);
	if (exact(run)) {
		model_target(run->model.objects[object].target, wanted);
		FUZZ_CHECK(strcmp(target, wanted) == 0, "another target");
	}
	FUZZ_CHECK(r < 0 || run->model.level == MODEL_LOST || model_knows_target(target), "a target nobody made");
}

static void look_at_attribute(struct run *run, struct xtsfs_node *node)
{
	uint8_t value[64];
	ssize_t n = xtsfs_getxattr(run->volume.core.volume, node, "user.test", value, sizeof(value));

	if (exact(run))
		FUZZ_CHECK(n == 32 || n == -ENODATA, "an attribute gave %zd", n);
	if (n < 0)
		return;
	for (ssize_t i = 0; i < n; i++)
		FUZZ_CHECK(value[i] == value[0], "an attribute that nobody set");
	FUZZ_CHECK(n == 32 && value[0] <= run->seed, "an attribute that nobody set");
}

void look_at_name(struct run *run, unsigned name)
{
	struct core *core = &run->volume.core;
	int object = object_at(run, name), r;
	struct stat st;
	struct xtsfs_node *node = core_node(core, model_names[name], &st, &r);

	WANT(run, r, object < 0 ? -ENOENT : 0);
	if (!node)
		return;
	if (S_ISLNK(st.st_mode)) {
		look_at_link(run, node, object);
	} else if (S_ISREG(st.st_mode)) {
		r = xtsfs_open(core->volume, node, false);
		WANT(run, r, 0);
		if (r == 0) {
			look_at(run, node, object);
			xtsfs_release(core->volume, node, false);
		}
		look_at_attribute(run, node);
	}
	core_forget(core, node);
}

static void look_at_listing(struct run *run, const char *path)
{
	struct core *core = &run->volume.core;
	struct xtsfs_dirent entry;
	struct xtsfs_dir *dir;
	unsigned count = 0, want = 0;
	int r;
	struct xtsfs_node *node = core_node(core, path, NULL, &r);

	if (!node)
		return;
	r = xtsfs_opendir(core->volume, node, &dir);
	WANT(run, r, 0);
	if (r == 0) {
		while ((r = xtsfs_readdir(dir, &entry)) > 0) {
			if (strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
				continue;
			count++;
			FUZZ_CHECK(model_knows_name(entry.name), "'%s' is listed, which nobody made", entry.name);
		}
		WANT(run, r, 0);
		xtsfs_closedir(dir);
		for (unsigned i = 0; i < MODEL_NAMES; i++)
			want += (i < 3) == !*path && object_at(run, i) >= 0;
		WANT(run, count, want + (!*path && run->model.has_dir));
	}
	core_forget(core, node);
}

void look_at_all(struct run *run)
{
	for (unsigned name = 0; name < MODEL_NAMES; name++)
		look_at_name(run, name);
	look_at_listing(run, "");
	look_at_listing(run, "d");
}
