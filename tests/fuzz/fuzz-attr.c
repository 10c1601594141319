/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symlinks and extended attributes (spec 7, 8): whatever the backing directory has, raw or sealed under the volume's
 * key.
 *
 * Input: records of one byte for the kind, one for the object, and two texts. Kinds put a symlink or an attribute into
 * the backing directory, or set, get and remove one through the core. At the end everything is read, and fsck run.
 */
#include "volume.h"

#include "base/base64.h"
#include "crypto/kdf.h"

#define RECORDS	   24U
#define OBJECTS	   3U /* a file, a directory, a symlink: names 0, 1, 2 */
#define TEXT	   400U
#define STORED_MAX 5000U

static const char *const names[OBJECTS] = {"f", "d", "l"};

struct objects {
	ino_t ino[OBJECTS];
	bool sealed; /* something was put there that only a writer with the key can make */
	bool raw;    /* or something that none made */
	/* What was set through the core. */
	unsigned set_count;
	struct set_attr {
		char name[TEXT + 32], value[TEXT + 1];
	} set[RECORDS];
};

static bool was_set(const struct objects *objects, const char *name, const char *value, size_t bytes)
{
	for (unsigned i = 0; i < objects->set_count; i++)
		if (strcmp(objects->set[i].name, name) == 0 && strlen(objects->set[i].value) == bytes &&
		    memcmp(objects->set[i].value, value, bytes) == 0)
			return true;
	return false;
}

static void setup(struct fuzz_volume *volume, struct objects *objects)
{
	objects->sealed = objects->raw = false;
	objects->set_count = 0;
	FUZZ_CHECK(core_try_create(&volume->core, names[0]) == 0 && core_try_mkdir(&volume->core, names[1]) == 0 &&
			   core_try_symlink(&volume->core, "target", names[2]) == 0,
		   "making the objects");
	for (unsigned i = 0; i < OBJECTS; i++) {
		struct stat st;
		int r;

		core_forget(&volume->core, core_node(&volume->core, names[i], &st, &r));
		FUZZ_CHECK(r == 0, "looking up %s gave %d", names[i], r);
		objects->ino[i] = st.st_ino;
	}
}

static void put_attr(struct fuzz_volume *volume, ino_t ino, const char *attr, const void *value, size_t bytes)
{
	const struct mem_call call = {
		.kind = MEM_SETXATTR, .a = ino, .name_a = (char *)(uintptr_t)attr, .data = value, .bytes = bytes};

	if (*attr && strlen(attr) <= 255)
		fuzz_store_do(volume, &call);
}

/* A symlink of that name whose stored target is sealed. */
static void put_link(struct fuzz_volume *volume, const char *name, const char *stored)
{
	struct xtsfs_backing_name backing;
	uint8_t dirid[XTSFS_ID_BYTES];
	struct mem_call call = {.kind = MEM_MKNOD, .a = 1, .mode = S_IFLNK | 0777};

	FUZZ_CHECK(xtsfs_dirid_get(volume->core.volume, xtsfs_root(volume->core.volume), dirid) == 0 &&
			   xtsfs_names_seal(volume->core.volume, dirid, name, &backing) == 0,
		   "a name");
	call.name_a = backing.entry;
	call.data = (const uint8_t *)stored;
	call.bytes = strlen(stored);
	if (call.bytes)
		fuzz_store_do(volume, &call);
}

static void put_sealed_link(struct fuzz_volume *volume, const char *name, const uint8_t *target, size_t bytes)
{
	uint8_t stored[16 + 16 + STORED_MAX] = "16 random bytes";
	char text[(sizeof(stored) + 2) / 3 * 4 + 1];

	if (bytes == 0 || bytes > STORED_MAX)
		return;
	FUZZ_CHECK(xtsfs_siv_seal(fuzz_keys(volume->core.conf->config->integrity)->symlink, stored, 16, target, bytes,
				  stored + 16) == 0,
		   "sealing");
	xtsfs_base64_encode(stored, 32 + bytes, text);
	put_link(volume, name, text);
}

/* The attribute's stored name and value, sealed from any bytes; @odd: in the form for long names where that is not
 * right. */
static void put_sealed_attr(struct fuzz_volume *volume, ino_t ino, bool trusted, const char *attr, const uint8_t *value,
			    size_t value_bytes, bool odd)
{
	struct xtsfs_siv *siv = fuzz_keys(volume->core.conf->config->integrity)->xattr;
	uint8_t cipher[TEXT + 16], hash[32], ad[16 + TEXT] = "16 random bytes", stored[2 * TEXT + STORED_MAX];
	char backing[1024];
	const char *prefix = trusted ? "trusted.xtsfs." : "user.xtsfs.";
	size_t attr_bytes = strlen(attr), at = 0;

	if (attr_bytes == 0 || value_bytes == 0)
		return;
	FUZZ_CHECK(xtsfs_siv_seal(siv, "xtsfs xattr name", 16, attr, attr_bytes, cipher) == 0, "sealing");
	strcpy(backing, prefix);
	if ((strlen(prefix) + xtsfs_base64_chars(attr_bytes + 16) > 255) != odd) {
		FUZZ_CHECK(xtsfs_sha256(cipher, attr_bytes + 16, hash) == 0, "hashing");
		strcat(backing, "long.");
		xtsfs_base64_encode(hash, 32, backing + strlen(backing));
		xtsfs_store_le(stored, 2, attr_bytes + 16);
		memcpy(stored + 2, cipher, attr_bytes + 16);
		at = 2 + attr_bytes + 16;
	} else {
		xtsfs_base64_encode(cipher, attr_bytes + 16, backing + strlen(backing));
	}
	memcpy(ad + 16, attr, attr_bytes);
	memcpy(stored + at, ad, 16);
	FUZZ_CHECK(xtsfs_siv_seal(siv, ad, 16 + attr_bytes, value, value_bytes, stored + at + 16) == 0, "sealing");
	put_attr(volume, ino, backing, stored, at + 32 + value_bytes);
}

static struct xtsfs_node *node_of(struct fuzz_volume *volume, unsigned object)
{
	int r;
	struct xtsfs_node *node = core_node(&volume->core, names[object], NULL, &r);

	FUZZ_CHECK(node, "looking up %s gave %d", names[object], r);
	return node;
}

static void set_and_get(struct fuzz_volume *volume, struct objects *objects, unsigned object, const char *attr,
			const char *value, uint8_t kind)
{
	struct xtsfs_node *node = node_of(volume, object);
	size_t bytes = strlen(value);
	char back[TEXT + 1];
	int r = xtsfs_setxattr(volume->core.volume, node, attr, value, bytes, 0);

	if (r == 0) {
		strcpy(objects->set[objects->set_count].name, attr);
		strcpy(objects->set[objects->set_count++].value, value);
	}

	if (r == 0 && strncmp(attr, "system.", 7) != 0) {
		ssize_t n = xtsfs_getxattr(volume->core.volume, node, attr, back, sizeof(back));

		FUZZ_CHECK(n == (ssize_t)bytes && memcmp(back, value, bytes) == 0, "'%s' of %zu bytes came back as %zd",
			   attr, bytes, n);
		FUZZ_CHECK(xtsfs_getxattr(volume->core.volume, node, attr, NULL, 0) == n, "its size differs");
		FUZZ_CHECK(n == 0 || xtsfs_getxattr(volume->core.volume, node, attr, back, (size_t)n - 1) == -ERANGE ||
				   n == 1,
			   "too small a buffer was not said to be");
		if (kind & 16) {
			FUZZ_CHECK(xtsfs_removexattr(volume->core.volume, node, attr) == 0, "removing");
			FUZZ_CHECK(xtsfs_getxattr(volume->core.volume, node, attr, back, sizeof(back)) == -ENODATA,
				   "it is still there");
		}
	}
	core_forget(&volume->core, node);
}

/* What is listed can be read, or is said to be bad; both have the size that was told. */
static void check_attrs(struct fuzz_volume *volume, const struct objects *objects, unsigned object)
{
	struct xtsfs_node *node = node_of(volume, object);
	ssize_t size = xtsfs_listxattr(volume->core.volume, node, NULL, 0), n;
	char *list = malloc((size_t)(size > 0 ? size : 0) + 1), *value = malloc(70000);

	FUZZ_CHECK(size >= 0, "listing gave %zd", size);
	n = xtsfs_listxattr(volume->core.volume, node, list, (size_t)size + 1);
	FUZZ_CHECK(n == size || objects->sealed, "a list of %zd, then %zd bytes", size, n);
	FUZZ_CHECK(n <= size, "a longer list than was told");
	FUZZ_CHECK(size == 0 || objects->sealed ||
			   xtsfs_listxattr(volume->core.volume, node, list, (size_t)size - 1) == -ERANGE || size == 1,
		   "too small a buffer");
	n = xtsfs_listxattr(volume->core.volume, node, list, (size_t)size + 1);
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1) {
		ssize_t bytes = xtsfs_getxattr(volume->core.volume, node, list + at, value, 70000);
		ssize_t asked = xtsfs_getxattr(volume->core.volume, node, list + at, NULL, 0);

		FUZZ_CHECK(bytes == asked, "%zd bytes, asked for its size %zd", bytes, asked);
		FUZZ_CHECK(bytes >= 0 || objects->sealed || objects->raw, "an attribute that is listed gave %zd",
			   bytes);
		FUZZ_CHECK(bytes < 0 || objects->sealed || strncmp(list + at, "system.", 7) == 0 ||
				   was_set(objects, list + at, value, (size_t)bytes),
			   "'%s' has a value that nobody set", list + at);
	}
	free(list);
	free(value);
	core_forget(&volume->core, node);
}

static void check_link(struct fuzz_volume *volume, const char *name, bool forged)
{
	char target[XTSFS_SYMLINK_MAX + 1];
	struct stat st;
	int r;
	struct xtsfs_node *node = core_node(&volume->core, name, &st, &r);

	if (!node || !S_ISLNK(st.st_mode)) {
		core_forget(&volume->core, node);
		return;
	}
	memset(target, 'z', sizeof(target));
	r = xtsfs_readlink(volume->core.volume, node, target);
	FUZZ_CHECK(r == 0 || r == -EIO || r == -XTSFS_EDAMAGED, "readlink gave %d", r);
	FUZZ_CHECK(r < 0 || !forged, "a forged target was read");
	FUZZ_CHECK(r < 0 || strlen(target) <= XTSFS_SYMLINK_MAX, "a target without end");
	FUZZ_CHECK(r < 0 || strlen(target) == (size_t)st.st_size, "%zu bytes, its size is %lld", strlen(target),
		   (long long)st.st_size);
	core_forget(&volume->core, node);
}

static void make_and_read_link(struct fuzz_volume *volume, const char *name, const char *target)
{
	char back[XTSFS_SYMLINK_MAX + 1];
	int r = core_try_symlink(&volume->core, target, name);
	struct xtsfs_node *node;

	FUZZ_CHECK(r == 0 || !*target || r == -EEXIST, "symlink gave %d", r);
	if (r < 0)
		return;
	node = core_node(&volume->core, name, NULL, &r);
	FUZZ_CHECK(node && xtsfs_readlink(volume->core.volume, node, back) == 0 && strcmp(back, target) == 0,
		   "a symlink's target came back otherwise");
	core_forget(&volume->core, node);
}

static void record(struct fuzz_volume *volume, struct objects *objects, struct fuzz_input *input, unsigned number)
{
	static const char *const spaces[] = {"user.", "trusted.",    "security.",
					     "",      "user.xtsfs.", "system.posix_acl_access"};
	uint8_t kind = fuzz_byte(input), object = fuzz_byte(input) % OBJECTS, space = fuzz_byte(input) % 6;
	ino_t ino = objects->ino[object];
	char first[TEXT + 32], second[TEXT + 1], name[8];
	size_t bytes;

	strcpy(first, spaces[space]);
	fuzz_text(input, first + strlen(first), TEXT - 32);
	bytes = fuzz_text(input, second, sizeof(second));
	snprintf(name, sizeof(name), "s%u", number);
	switch (kind & 7) {
	case 0: /* a raw symlink */
		if (kind & 64) {
			char text[TEXT * 2];

			xtsfs_base64_encode((const uint8_t *)second, bytes, text);
			put_link(volume, name, text);
		} else {
			put_link(volume, name, second);
		}
		check_link(volume, name, true);
		break;
	case 1:
		for (size_t i = 0; kind & 64 && i < bytes; i++)
			second[i] = (char)(second[i] == 'N' ? '\0' : second[i]);
		put_sealed_link(volume, name, (const uint8_t *)second, bytes);
		if (!memchr(second, '\0', bytes))
			check_link(volume, name, false);
		break;
	case 2: /* raw: any name, any value */
		objects->raw = true;
		put_attr(volume, ino, first, second, bytes);
		break;
	case 3: /* ours by its prefix */
		objects->raw = true;
		snprintf(first, sizeof(first), "%s%.200s", object == 2 ? "trusted.xtsfs." : "user.xtsfs.", second);
		put_attr(volume, ino, first, second, bytes);
		break;
	case 4:
		objects->sealed = true;
		second[bytes] = 0x01; /* the byte that a value ends with */
		put_sealed_attr(volume, ino, (object == 2) != !!(kind & 8), first, (const uint8_t *)second,
				kind & 16 ? bytes : bytes + 1, kind & 32);
		break;
	case 5:
		set_and_get(volume, objects, object, first, second, kind);
		break;
	case 6:
		make_and_read_link(volume, name, second);
		break;
	default: { /* a value moved to another attribute, or shortened */
		struct mem_inode *inode = fuzz_inode(volume, ino);
		struct mem_xattr *x = inode->xattrs;

		objects->raw = true;
		if (x && x->next && kind & 8) {
			strcpy(first, x->name);
			bytes = x->next->bytes < sizeof(second) ? x->next->bytes : sizeof(second);
			memcpy(second, x->next->value, bytes);
			put_attr(volume, ino, first, second, bytes);
		} else if (x && x->bytes && kind & 16) {
			x->bytes -= 1 + bytes % x->bytes;
		} else if (x && x->bytes) {
			((uint8_t *)x->value)[bytes % x->bytes] ^= (uint8_t)(1U << (kind >> 5));
		}
	}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_volume volume;
	static struct objects objects; /* large; begun anew by setup() */
	struct fuzz_input input;
	struct xtsfs_fsck_totals totals;
	uint8_t mode;

	fuzz_volume_begin(&volume, XTSFS_INTEGRITY_HMAC_SHA256);
	input = fuzz_begin(data, bytes);
	mode = fuzz_byte(&input);
	FUZZ_CHECK(fuzz_volume_open(&volume, FUZZ_OPEN_WRITE) == 0, "opening: %s", volume.core.problem);
	setup(&volume, &objects);
	for (unsigned i = 0; input.left && i < RECORDS; i++)
		record(&volume, &objects, &input, i);
	for (unsigned i = 0; i < OBJECTS; i++)
		check_attrs(&volume, &objects, i);
	FUZZ_CHECK(core_try_close(&volume.core) == 0, "closing");
	if (mode & 1) {
		(void)!fuzz_fsck(&volume, FUZZ_FSCK_CHECK, &totals);
		fuzz_fsck_and_again(&volume, 1 + (mode >> 1) % 3, &totals);
	}
	fuzz_volume_end(&volume);
	return 0;
}
