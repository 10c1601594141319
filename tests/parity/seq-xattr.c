/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes: namespaces, sizes, flags, objects.
 */
#include "parity.h"

#include <sys/xattr.h>

static const char *const names[] = {"user.a",
				    "trusted.a",
				    "security.a",
				    "system.a",
				    "user.",
				    "trusted.",
				    "security.",
				    "user",
				    "a",
				    "",
				    "other.a",
				    "user.\xff\x01",
				    "system.posix_acl_access",
				    NULL};
static const char *const labels[] = {"user",	    "trusted",	    "security", "system", "user-dot",
				     "trusted-dot", "security-dot", "no-dot",	"bare",	  "empty",
				     "unknown",	    "odd",	    "acl",	NULL};

SEQV(xattr, namespace, "setxattr getxattr listxattr removexattr", labels)
{
	const char *name = names[v];

	mk("f", 10);
	mkd("d", 0755);
	N(symlink("f", "l"));
	N(mkfifo("p", 0666));
	for (int i = 0; i < 4; i++) {
		const char *path = (const char *const[]){"f", "d", "l", "p"}[i];

		say("path", "%s", path);
		R(lgetxattr(path, name, big, 100));
		R(lsetxattr(path, name, "value", 5, 0));
		R(lgetxattr(path, name, big, 100));
		R(lremovexattr(path, name));
		R(lremovexattr(path, name));
		X(path);
	}
	N(chmod("f", 0666));
	N(chmod("d", 01777));
	AS(OTHER)
	{
		R(setxattr("f", name, "value", 5, 0));
		R(getxattr("f", name, big, 100));
		R(setxattr("d", name, "value", 5, 0));
		R(removexattr("f", name));
		R(lsetxattr("l", name, "v", 1, 0));
		R(setxattr("p", name, "v", 1, 0));
	}
}

SEQ(xattr, trusted_is_hidden, "listxattr getxattr")
{
	mk("f", 10);
	N(setxattr("f", "user.a", "1", 1, 0));
	N(setxattr("f", "trusted.b", "2", 1, 0));
	N(setxattr("f", "security.c", "3", 1, 0));
	X("f");
	R(listxattr("f", NULL, 0));
	AS(OTHER)
	{
		X("f");
		R(listxattr("f", NULL, 0));
		R(listxattr("f", big, 17));
		R(getxattr("f", "trusted.b", NULL, 0));
		R(removexattr("f", "trusted.b"));
		R(removexattr("f", "user.a"));
	}
}

static const char *const value_sizes[] = {"0", "1", "15", "16", "17", "255", "256", "1000", "2000", "3000", NULL};

SEQV(xattr, value_size, "setxattr getxattr", value_sizes)
{
	size_t bytes = (size_t)atoi(value_sizes[v]);

	mk("f", 1);
	fill(big, bytes, 3);
	R(setxattr("f", "user.a", big, bytes, 0));
	X("f");
	R(getxattr("f", "user.a", NULL, 0));
	R(getxattr("f", "user.a", big, bytes));
	R(getxattr("f", "user.a", big, bytes + 1));
	R(getxattr("f", "user.a", big, 65537));
	if (bytes > 1)
		R(getxattr("f", "user.a", big, bytes - 1));
	R(setxattr("f", "user.a", "short", 5, XATTR_REPLACE));
	X("f");
}

SEQ(xattr, too_large, "setxattr")
{
	mk("f", 1);
	R(setxattr("f", "user.a", big, 65537, 0));
	R(setxattr("f", "user.a", big, 65536 + 100000, 0));
	X("f");
}

SEQ(xattr, largest, "setxattr")
{
	/* ext4: a block in all; xfs: 64 KiB. */
	mk("f", 1);
	R(setxattr("f", "user.a", big, 65536, 0));
	R(setxattr("f", "user.a", big, 60000, 0));
	R(setxattr("f", "user.a", big, 3900, 0));
}

static const char *const name_sizes[] = {"6",	"100", "161", "162", "170", "171",
					 "172", "200", "254", "255", "256", NULL};

SEQV(xattr, name_size, "setxattr listxattr", name_sizes)
{
	size_t bytes = (size_t)atoi(name_sizes[v]);
	char name[300];

	mk("f", 1);
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[bytes] = '\0';
	R(setxattr("f", name, "1", 1, 0));
	R(getxattr("f", name, big, 10));
	R(listxattr("f", big, 10000));
	R(setxattr("f", name, "22", 2, XATTR_REPLACE));
	R(setxattr("f", name, "3", 1, XATTR_CREATE));
	R(getxattr("f", name, big, 10));
	R(removexattr("f", name));
	R(getxattr("f", name, big, 10));
	R(listxattr("f", big, 10000));
}

SEQ(xattr, flags, "setxattr")
{
	mk("f", 1);
	R(setxattr("f", "user.a", "1", 1, XATTR_REPLACE));
	R(setxattr("f", "user.a", "1", 1, XATTR_CREATE));
	R(setxattr("f", "user.a", "2", 1, XATTR_CREATE));
	R(setxattr("f", "user.a", "22", 2, XATTR_REPLACE));
	R(setxattr("f", "user.a", "3", 1, XATTR_CREATE | XATTR_REPLACE));
	R(setxattr("f", "user.b", "3", 1, XATTR_CREATE | XATTR_REPLACE));
	R(setxattr("f", "user.a", "3", 1, 4));
	X("f");
	R(removexattr("f", "user.a"));
	R(removexattr("f", "user.a"));
	R(getxattr("f", "user.a", big, 10));
}

SEQ(xattr, list, "listxattr")
{
	char name[20];

	mk("f", 1);
	R(listxattr("f", big, 0));
	R(listxattr("f", big, 1));
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "user.%c%d", 'z' - i, i);
		N(setxattr("f", name, name, strlen(name), 0));
	}
	R(listxattr("f", NULL, 0));
	R(listxattr("f", big, 10));
	R(listxattr("f", big, 100000));
	X("f");
	for (int i = 0; i < 20; i += 3) {
		snprintf(name, sizeof(name), "user.%c%d", 'z' - i, i);
		N(removexattr("f", name));
	}
	X("f");
}

SEQ(xattr, selinux_label, "getxattr setxattr")
{
	mk("f", 0);
	R(getxattr("f", "security.selinux", big, 100));
	R(setxattr("f", "security.selinux", "label", 5, 0));
	R(getxattr("f", "security.selinux", big, 100));
	V(memcmp(big, "label", 5) == 0);
	R(listxattr("f", big, 100));
	R(removexattr("f", "security.selinux"));
	R(getxattr("f", "security.selinux", NULL, 0));
	R(removexattr("f", "security.selinux"));
}

SEQ(xattr, through_descriptors, "fsetxattr fgetxattr flistxattr fremovexattr")
{
	int r, w, d;

	mk("f", 1);
	mkd("d", 0755);
	r = op("f", O_RDONLY);
	w = op("f", O_WRONLY);
	d = op("d", O_RDONLY);
	R(fsetxattr(r, "user.a", "1", 1, 0));
	R(fgetxattr(w, "user.a", big, 10));
	R(flistxattr(r, big, 100));
	R(fsetxattr(d, "user.a", "1", 1, 0));
	X("d");
	N(unlink("f"));
	R(fsetxattr(r, "user.b", "2", 1, 0));
	R(fgetxattr(r, "user.b", big, 10));
	R(flistxattr(r, big, 100));
	R(fremovexattr(w, "user.a"));
	R(flistxattr(r, big, 100));
	N(rmdir("d"));
	R(fsetxattr(d, "user.b", "2", 1, 0));
	R(flistxattr(d, big, 100));
}

SEQ(xattr, stay_with_the_inode, "setxattr link rename chmod")
{
	mk("f", 1);
	N(setxattr("f", "user.a", "1", 1, 0));
	N(link("f", "g"));
	N(rename("f", "h"));
	X("g");
	N(chmod("g", 0000));
	X("h");
	N(truncate("g", 0));
	X("h");
	mk("n", 1);
	N(rename("n", "g"));
	X("g");
	X("h");
}

SEQ(xattr, sticky_directory, "setxattr")
{
	mkd("d", 01777);
	N(chown("d", UID_OWNER, GID_GROUP));
	N(chmod("d", 01777));
	AS(OTHER)
	{
		R(setxattr("d", "user.a", "1", 1, 0));
	}
	AS(OWNER)
	{
		R(setxattr("d", "user.a", "1", 1, 0));
	}
	N(chmod("d", 0777));
	AS(OTHER)
	{
		R(setxattr("d", "user.b", "1", 1, 0));
	}
}

SEQ(xattr, many_and_large, "setxattr")
{
	char name[20];
	int made = 0;

	mk("f", 1);
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "user.%d", i);
		made += setxattr("f", name, big, 100, 0) == 0;
	}
	V(made);
	X("f");
}
