/* SPDX-License-Identifier: Apache-2.0 */
#undef NDEBUG
#include "model.h"

#include <assert.h>

#define LONG_NAME                                                                                                   \
	"a name that is longer than what fits when it is encrypted and written in base64url, which is so from 161 " \
	"bytes on, "                                                                                                \
	"so that there is a file beside it that holds what it is called, in full"

const char *const model_names[MODEL_NAMES] = {"a", "b", LONG_NAME, "d/a", "d/c", "d/" LONG_NAME};

bool model_knows_name(const char *name)
{
	if (strncmp(name, "xtsfs-recovered-", 16) == 0) /* what fsck calls a file whose name is lost */
		return true;
	return strcmp(name, "a") == 0 || strcmp(name, "b") == 0 || strcmp(name, "c") == 0 || strcmp(name, "d") == 0 ||
	       strcmp(name, LONG_NAME) == 0;
}

void model_target(uint8_t which, char ret_target[XTSFS_SYMLINK_MAX + 1])
{
	static const size_t lengths[4] = {1, 15, 300, XTSFS_SYMLINK_MAX};
	size_t bytes = lengths[which & 3];

	memset(ret_target, 't', bytes);
	ret_target[0] = (char)('A' + (which >> 2 & 7));
	ret_target[bytes] = '\0';
}

bool model_knows_target(const char *target)
{
	char known[XTSFS_SYMLINK_MAX + 1];

	for (uint8_t which = 0; which < 32; which++) {
		model_target(which, known);
		if (strcmp(known, target) == 0)
			return true;
	}
	return false;
}

void model_done(struct model *model)
{
	for (unsigned i = 0; i < model->object_count; i++)
		free(model->objects[i].data);
}

int model_new(struct model *model, bool is_link)
{
	struct model_object *object = &model->objects[model->object_count];

	if (model->object_count == MODEL_OBJECTS)
		return -1;
	*object = (struct model_object){.is_link = is_link};
	object->data = calloc(1, MODEL_MOST + CORE_B);
	assert(object->data);
	return (int)model->object_count++;
}

void model_pattern(uint8_t seed, uint64_t offset, uint8_t *ret_data, size_t bytes)
{
	core_pattern(seed, offset, ret_data, bytes);
}

void model_note_write(struct model *model, int object, uint8_t seed, uint64_t offset, uint64_t bytes)
{
	const struct model_write write = {.offset = offset, .bytes = bytes, .seed = seed};
	struct model_object *of = object >= 0 ? &model->objects[object] : NULL;

	if (of && of->write_count < MODEL_WRITES)
		of->writes[of->write_count++] = write;
	else if (!of && model->late_count < MODEL_WRITES)
		model->late[model->late_count++] = write;
	else
		model->forgot = true;
}

void model_apply_write(struct model *model, int object, uint8_t seed, uint64_t offset, uint64_t bytes)
{
	struct model_object *of = &model->objects[object];

	model_note_write(model, object, seed, offset, bytes);
	model_pattern(seed, offset, of->data + offset, bytes);
	if (bytes && offset + bytes > of->bytes)
		of->bytes = offset + bytes;
}

void model_resize(struct model *model, int object, uint64_t bytes)
{
	struct model_object *of = &model->objects[object];

	if (bytes < of->bytes)
		memset(of->data + bytes, 0, of->bytes - bytes);
	of->bytes = bytes;
}

void model_zero(struct model *model, int object, uint64_t offset, uint64_t bytes)
{
	struct model_object *of = &model->objects[object];

	if (offset < of->bytes)
		memset(of->data + offset, 0, offset + bytes < of->bytes ? bytes : of->bytes - offset);
}

void model_raise(struct model *model, enum model_level level)
{
	if (level > model->level)
		model->level = level;
}

static bool byte_written(const struct model_write *writes, unsigned count, uint64_t offset, uint8_t byte)
{
	for (unsigned i = 0; i < count; i++)
		if (offset >= writes[i].offset && offset < writes[i].offset + writes[i].bytes) {
			uint8_t pattern;

			model_pattern(writes[i].seed, offset, &pattern, 1);
			if (pattern == byte)
				return true;
		}
	return false;
}

static bool sector_is_mix_of(const struct model *model, const struct model_object *of, const uint8_t *data,
			     uint64_t offset, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (data[i] && !byte_written(of->writes, of->write_count, offset + i, data[i]) &&
		    !byte_written(model->late, model->late_count, offset + i, data[i]))
			return false;
	return true;
}

/*
 * Sectors of groups after the first may read as a hole, where their meta block is zero, too. A length is what CLEAN
 * says.
 */
static bool is_edit_of(const struct model_object *of, const struct model_seen *seen, bool with_tags)
{
	static const uint8_t zeros[CORE_B];

	if (seen->bytes != of->bytes)
		return false;
	for (uint64_t at = 0; with_tags && at < seen->bytes; at += CORE_B) {
		size_t bytes = seen->bytes - at < CORE_B ? (size_t)(seen->bytes - at) : CORE_B;

		if (seen->failed[at / CORE_B] || memcmp(seen->data + at, of->data + at, bytes) == 0)
			continue;
		if (at / CORE_B < XTSFS_GROUP_SECTORS || memcmp(seen->data + at, zeros, bytes) != 0)
			return false;
	}
	return true;
}

static bool is_mix_of(const struct model *model, const struct model_object *of, const struct model_seen *seen)
{
	for (uint64_t at = 0; at < seen->bytes; at += CORE_B) {
		size_t bytes = seen->bytes - at < CORE_B ? (size_t)(seen->bytes - at) : CORE_B;

		if (!seen->failed[at / CORE_B] && !sector_is_mix_of(model, of, seen->data + at, at, bytes))
			return false;
	}
	return true;
}

static void check_exact(const struct model_object *of, const struct model_seen *seen)
{
	FUZZ_CHECK(seen->bytes == of->bytes, "%llu bytes, not %llu", (unsigned long long)seen->bytes,
		   (unsigned long long)of->bytes);
	for (uint64_t at = 0; at < seen->bytes; at += CORE_B)
		FUZZ_CHECK(!seen->failed[at / CORE_B], "nobody touched it, and sector %llu is bad",
			   (unsigned long long)(at / CORE_B));
	for (uint64_t at = 0; at < seen->bytes; at++)
		FUZZ_CHECK(seen->data[at] == of->data[at], "byte %llu is %02x, not %02x", (unsigned long long)at,
			   seen->data[at], of->data[at]);
}

void model_check(const struct model *model, int object, const struct model_seen *seen)
{
	/* an empty file is a valid one, whoever put it there */
	bool fits = model->forgot || seen->bytes == 0;

	if (model->level == MODEL_EXACT) {
		check_exact(&model->objects[object], seen);
		return;
	}
	if (model->level == MODEL_LOST || (model->level == MODEL_MIXED && !model->with_tags))
		return;
	for (unsigned i = 0; i < model->object_count && !fits; i++) {
		const struct model_object *of = &model->objects[i];

		if (!of->is_link)
			fits = model->level == MODEL_EDITED ? is_edit_of(of, seen, model->with_tags)
							    : is_mix_of(model, of, seen);
	}
	for (uint64_t at = 0; !fits && at < seen->bytes; at += CORE_B)
		fprintf(stderr, "sector %llu: %s %02x %02x %02x %02x\n", (unsigned long long)(at / CORE_B),
			seen->failed[at / CORE_B] ? "bad" : "read", seen->data[at], seen->data[at + 1],
			seen->data[at + 2], seen->data[at + 3]);
	FUZZ_CHECK(fits, "%llu bytes that no file ever held (level %d)", (unsigned long long)seen->bytes,
		   (int)model->level);
}
