/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names: their shapes (spec 2, 6), their encryption, and directories whose backing entries are anything (spec 6, 10).
 *
 * Input: records of one byte for the kind and a text. Kinds below 4 are tried at once; the others put an entry into the
 * root of a volume, raw or sealed under the volume's key, of a type and with a .name file as the kind says. At the end
 * the root is listed, everything in it looked up, and fsck run.
 */
#include "volume.h"

#include "base/base64.h"
#include "crypto/kdf.h"

#define RECORDS 24U

static void try_classify(const char *text, bool is_root)
{
	enum xtsfs_name_kind kind = xtsfs_name_classify(text, is_root);
	size_t chars = strlen(text);
	uint8_t data[XTSFS_NAME_CIPHER_MAX + 8];
	char again[XTSFS_NAME_ENCODED_MAX + 16];

	FUZZ_CHECK((kind == XTSFS_NAME_KIND_SHORT) <= !strchr(text, '.'), "an encrypted name with a dot: %s", text);
	if (kind == XTSFS_NAME_KIND_SHORT) {
		size_t bytes = xtsfs_base64_bytes(chars);

		FUZZ_CHECK(bytes >= 32 && bytes <= XTSFS_NAME_CIPHER_MAX && bytes % 16 == 0, "%zu bytes", bytes);
		FUZZ_CHECK(xtsfs_base64_decode(text, chars, data) == 0, "it is not base64url");
		xtsfs_base64_encode(data, bytes, again);
		FUZZ_CHECK(strcmp(again, text) == 0, "'%s' is '%s', too", text, again);
	}
	if (kind == XTSFS_NAME_KIND_LONG || kind == XTSFS_NAME_KIND_LONG_NAME) {
		FUZZ_CHECK(xtsfs_base64_decode(text + 11, 43, data) == 0, "the hash is not base64url");
		memcpy(again, text, 11);
		xtsfs_base64_encode(data, 32, again + 11);
		FUZZ_CHECK(memcmp(again, text, 54) == 0, "'%s' is '%s', too", text, again);
	}
}

static void try_base64(const uint8_t *data, size_t bytes)
{
	char text[1024], again[1024];
	uint8_t back[768];

	if (bytes > 700)
		return;
	xtsfs_base64_encode(data, bytes, text);
	FUZZ_CHECK(strlen(text) == xtsfs_base64_chars(bytes) && xtsfs_base64_bytes(strlen(text)) == bytes,
		   "lengths of %zu bytes", bytes);
	FUZZ_CHECK(xtsfs_base64_decode(text, strlen(text), back) == 0 && memcmp(back, data, bytes) == 0,
		   "%zu bytes come back otherwise", bytes);
	if (xtsfs_base64_decode((const char *)data, bytes, back) == 0) {
		xtsfs_base64_encode(back, xtsfs_base64_bytes(bytes), again);
		FUZZ_CHECK(memcmp(again, data, bytes) == 0, "two texts for the same bytes");
	}
}

static void try_pad(const uint8_t *data, size_t bytes)
{
	uint8_t padded[XTSFS_NAME_PADDED_MAX];
	char name[XTSFS_NAME_MAX + 1];
	int r = xtsfs_name_check((const char *)data, bytes);

	if (r == 0) {
		size_t padded_bytes = xtsfs_name_pad((const char *)data, bytes, padded);

		FUZZ_CHECK(padded_bytes % 16 == 0 && padded_bytes >= bytes && padded_bytes < bytes + 16,
			   "padded to %zu", padded_bytes);
		FUZZ_CHECK(xtsfs_name_unpad(padded, padded_bytes, name) == 0 && strlen(name) == bytes &&
				   memcmp(name, data, bytes) == 0,
			   "it comes back otherwise");
	}
	if (bytes > XTSFS_NAME_PADDED_MAX)
		return;
	if (xtsfs_name_unpad(data, bytes, name) == 0 && bytes % 16 == 0)
		FUZZ_CHECK(xtsfs_name_check(name, strlen(name)) == 0 &&
				   xtsfs_name_pad(name, strlen(name), padded) == bytes &&
				   memcmp(padded, data, bytes) == 0,
			   "two padded forms of one name");
}

static void put(struct fuzz_volume *volume, const char *entry, mode_t type, const char *content)
{
	const struct mem_call call = {
		.kind = MEM_MKNOD, .a = 1, .name_a = (char *)(uintptr_t)entry, .mode = type | 0600};

	if (!*entry || strchr(entry, '/') || strcmp(entry, ".") == 0 || strcmp(entry, "..") == 0)
		return;
	fuzz_store_do(volume, &call);
	if (content && S_ISREG(type) && fuzz_backing(volume, entry))
		fuzz_store_write(volume, fuzz_backing(volume, entry)->ino, content, strlen(content), 0);
}

/* The backing name of what was sealed: short or long by its length, or the other one with @odd. */
static void put_sealed(struct fuzz_volume *volume, const uint8_t *dirid, const uint8_t *plain, size_t bytes,
		       mode_t type, bool odd)
{
	uint8_t cipher[XTSFS_NAME_CIPHER_MAX + 64], hash[32];
	char text[512], entry[XTSFS_NAME_MAX + 1], name_file[XTSFS_NAME_MAX + 8];

	if (bytes == 0 || bytes > XTSFS_NAME_PADDED_MAX + 32)
		return;
	FUZZ_CHECK(xtsfs_siv_seal(fuzz_keys(volume->core.conf->config->integrity)->name, dirid, XTSFS_ID_BYTES, plain,
				  bytes, cipher) == 0,
		   "sealing");
	xtsfs_base64_encode(cipher, bytes + 16, text);
	if (!xtsfs_name_is_long(bytes + 16) && !odd) {
		put(volume, text, type, NULL);
		return;
	}
	FUZZ_CHECK(xtsfs_sha256(cipher, bytes + 16, hash) == 0, "hashing");
	xtsfs_name_long_from_hash(hash, entry);
	snprintf(name_file, sizeof(name_file), "%s.name", entry);
	put(volume, name_file, S_IFREG, text);
	put(volume, entry, type, NULL);
}

static void check_seal(struct fuzz_volume *volume, const uint8_t *dirid, const char *name)
{
	struct xtsfs_backing_name backing;
	char back[XTSFS_NAME_MAX + 1];
	int r = xtsfs_names_seal(volume->core.volume, dirid, name, &backing);

	FUZZ_CHECK(r == xtsfs_name_check(name, strlen(name)), "sealing gave %d", r);
	if (r < 0)
		return;
	FUZZ_CHECK((strlen(name) > 160) == (backing.long_text[0] != '\0'), "%zu bytes, long: %s", strlen(name),
		   backing.long_text);
	FUZZ_CHECK(xtsfs_names_open_text(volume->core.volume, dirid,
					 backing.long_text[0] ? backing.long_text : backing.entry, back) == 0 &&
			   strcmp(back, name) == 0,
		   "it comes back as '%s'", back);
	FUZZ_CHECK(xtsfs_name_classify(backing.entry, false) ==
			   (backing.long_text[0] ? XTSFS_NAME_KIND_LONG : XTSFS_NAME_KIND_SHORT),
		   "'%s' is not what it should be", backing.entry);
}

/* Everything that is listed has a name as names are, and is found by it. */
static void check_listing(struct fuzz_volume *volume)
{
	struct xtsfs_dirent entry;
	struct xtsfs_dir *dir;
	unsigned seen = 0;
	int r;

	FUZZ_CHECK(xtsfs_opendir(volume->core.volume, xtsfs_root(volume->core.volume), &dir) == 0, "opening the root");
	while ((r = xtsfs_readdir(dir, &entry)) > 0) {
		struct xtsfs_node *node = NULL, *by_entry = NULL;
		struct stat st, entry_st;
		int by_name;

		FUZZ_CHECK(++seen < 200, "a listing without end");
		if (strcmp(entry.name, ".") == 0 || strcmp(entry.name, "..") == 0)
			continue;
		FUZZ_CHECK(xtsfs_name_check(entry.name, strlen(entry.name)) == 0, "'%s' is listed", entry.name);
		by_name = xtsfs_lookup(volume->core.volume, xtsfs_root(volume->core.volume), entry.name, &node, &st);
		r = xtsfs_dir_lookup(dir, &by_entry, &entry_st);
		FUZZ_CHECK(by_name == r, "'%s' is listed; looking it up gave %d, by its entry %d", entry.name, by_name,
			   r);
		FUZZ_CHECK(r < 0 || (node == by_entry && st.st_ino == entry_st.st_ino), "'%s' is two objects",
			   entry.name);
		if (r == 0) {
			core_forget(&volume->core, node);
			core_forget(&volume->core, by_entry);
		}
	}
	FUZZ_CHECK(r == 0, "listing gave %d", r);
	xtsfs_closedir(dir);
}

static void records(struct fuzz_volume *volume, struct fuzz_input *input, const uint8_t *dirid)
{
	static const mode_t types[4] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO};

	for (unsigned i = 0; input->left && i < RECORDS; i++) {
		uint8_t kind = fuzz_byte(input);
		mode_t type = types[kind >> 6];
		char text[600], back[XTSFS_NAME_MAX + 1];
		size_t bytes = fuzz_text(input, text, 400);

		switch (kind & 7) {
		case 0:
			try_classify(text, kind & 8);
			break;
		case 1:
			try_pad((const uint8_t *)text, bytes);
			break;
		case 2:
			try_base64((const uint8_t *)text, bytes);
			break;
		case 3:
			check_seal(volume, dirid, text);
			break;
		case 4:
			FUZZ_CHECK(xtsfs_names_open_text(volume->core.volume, dirid, text, back) < 0,
				   "forged: '%s' reads as '%s'", text, back);
			put(volume, text, type, "content");
			break;
		case 5: /* as a writer would, or padded in another way */
			if (kind & 8)
				memset(text + bytes, 0, 64);
			put_sealed(volume, dirid, (const uint8_t *)text, kind & 8 ? (bytes + 15) / 16 * 16 : bytes,
				   type, kind & 16);
			break;
		case 6: { /* NULs inside */
			size_t at = bytes ? (unsigned char)text[0] % bytes : 0;

			text[at] = '\0';
			try_pad((const uint8_t *)text, bytes);
			put_sealed(volume, dirid, (const uint8_t *)text, bytes, type, kind & 16);
			break;
		}
		default: { /* a .name file that is something else */
			struct xtsfs_backing_name backing;
			char file[XTSFS_NAME_MAX + 8];

			if (xtsfs_names_seal(volume->core.volume, dirid, text, &backing) < 0)
				break;
			put(volume, backing.entry, type, NULL);
			snprintf(file, sizeof(file), "%s.name", backing.entry);
			if (backing.long_text[0])
				put(volume, file, kind & 8 ? S_IFREG : S_IFLNK, text);
			break;
		}
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct fuzz_volume volume;
	struct fuzz_input input;
	struct xtsfs_fsck_totals totals;
	uint8_t dirid[XTSFS_ID_BYTES], mode;

	fuzz_volume_begin(&volume, XTSFS_INTEGRITY_AES_GMAC);
	input = fuzz_begin(data, bytes);
	mode = fuzz_byte(&input);
	FUZZ_CHECK(fuzz_volume_open(&volume, FUZZ_OPEN_WRITE) == 0, "opening: %s", volume.core.problem);
	FUZZ_CHECK(xtsfs_dirid_get(volume.core.volume, xtsfs_root(volume.core.volume), dirid) == 0, "the root's id");
	records(&volume, &input, dirid);
	check_listing(&volume);
	FUZZ_CHECK(core_try_close(&volume.core) == 0, "closing");
	if (mode & 1) {
		(void)!fuzz_fsck(&volume, FUZZ_FSCK_CHECK, &totals);
		fuzz_fsck_and_again(&volume, 1 + (mode >> 1) % 3, &totals);
		FUZZ_CHECK(fuzz_volume_open(&volume, FUZZ_OPEN_WRITE) == 0, "opening: %s", volume.core.problem);
		check_listing(&volume);
		FUZZ_CHECK(core_try_close(&volume.core) == 0, "closing");
	}
	fuzz_volume_end(&volume);
	return 0;
}
