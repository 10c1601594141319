/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of objects: the same, an error, something that was valid once or elsewhere, or something that nobody ever
 * wrote.
 */
#undef NDEBUG
#include "attack.h"

#include "format/span.h"

#include <stdio.h>
#include <string.h>

static bool is_refusal(int error)
{
	return error == -EIO || error == -EUCLEAN || error == -EPROTO;
}

static bool same_content(const struct object *a, const struct object *b)
{
	if (!a->data || !b->data || a->error || b->error || a->bytes != b->bytes)
		return false;
	for (uint64_t i = 0; i * CORE_B < a->bytes; i++)
		if (a->bad[i] || b->bad[i])
			return false;
	return memcmp(a->data, b->data, (size_t)a->bytes) == 0;
}

/* SAME is said only where there is nothing else to say. */
static unsigned but_same(unsigned outcome)
{
	return outcome == SAME ? outcome : outcome & ~(unsigned)SAME;
}

static bool is_zero(const uint8_t *data, size_t bytes)
{
	for (; bytes && *data == 0; bytes--)
		data++;
	return bytes == 0;
}

/* Does a state of the volume have these bytes as the beginning of sector @i of a file? Of @path, or of any. */
static bool had_sector(const struct specimen *specimen, const char *path, const uint8_t *data, size_t bytes, uint64_t i)
{
	for (unsigned state = 0; state < STATES; state++) {
		const struct snapshot *truth = specimen->truth[state];

		for (unsigned k = 0; truth && k < truth->count; k++) {
			const struct object *object = &truth->object[k];

			if (object->data && (!path || strcmp(object->path, path) == 0) &&
			    i * CORE_B + bytes <= object->bytes && memcmp(object->data + i * CORE_B, data, bytes) == 0)
				return true;
		}
	}
	return false;
}

static bool other_time(const struct specimen *specimen, const struct object *got)
{
	for (unsigned state = 0; state < STATES; state++)
		for (unsigned k = 0; specimen->truth[state] && k < specimen->truth[state]->count; k++) {
			const struct object *old = &specimen->truth[state]->object[k];

			if (strcmp(old->path, got->path) == 0 &&
			    (same_content(old, got) || (S_ISDIR(old->st.st_mode) && S_ISDIR(got->st.st_mode))))
				return true;
		}
	return false;
}

static bool is_others(const struct specimen *specimen, const struct object *got)
{
	for (unsigned state = 0; state < STATES; state++)
		for (unsigned k = 0; specimen->truth[state] && k < specimen->truth[state]->count; k++) {
			const struct object *other = &specimen->truth[state]->object[k];

			if ((got->target && other->target && strcmp(got->target, other->target) == 0) ||
			    (S_ISDIR(got->st.st_mode) && S_ISDIR(other->st.st_mode)) || same_content(other, got))
				return true;
		}
	return false;
}

static unsigned judge_content(const struct specimen *specimen, const struct object *truth, const struct object *got)
{
	uint64_t shorter = truth->bytes < got->bytes ? truth->bytes : got->bytes;
	unsigned outcome = 0;

	if (same_content(truth, got))
		return SAME;
	if (got->bytes == 0)
		return EMPTY;
	if (other_time(specimen, got))
		return OLDER;
	if (is_others(specimen, got))
		return OTHERS;
	if (truth->bytes != got->bytes)
		outcome |= LENGTH;
	for (uint64_t i = 0; i * CORE_B < got->bytes; i++) {
		const uint8_t *is = got->data + i * CORE_B, *was = truth->data + i * CORE_B;
		size_t end = (size_t)(got->bytes - i * CORE_B), here = end < CORE_B ? end : CORE_B;
		size_t common = i * CORE_B >= shorter		? 0
				: shorter - i * CORE_B < CORE_B ? (size_t)(shorter - i * CORE_B)
								: CORE_B;

		if (got->bad[i])
			outcome |= PARTLY;
		else if (memcmp(is, was, common) == 0 && is_zero(is + common, here - common))
			outcome |= SAME;
		else if (is_zero(is, here))
			outcome |= ZEROS;
		else if (had_sector(specimen, got->path, is, here, i))
			outcome |= OLDER;
		else if (specimen->none)
			outcome |= GARBLED;
		else if (had_sector(specimen, NULL, is, here, i))
			outcome |= OTHERS;
		else
			outcome |= FORGED;
	}
	return but_same(outcome);
}

static const struct object *object_at(const struct snapshot *snapshot, const char *path)
{
	for (unsigned i = 0; snapshot && i < snapshot->count; i++)
		if (strcmp(snapshot->object[i].path, path) == 0)
			return &snapshot->object[i];
	return NULL;
}

static bool has_attr(const struct object *object, const char *name, const uint8_t *value, ssize_t bytes)
{
	for (unsigned i = 0; object && i < object->attrs; i++)
		if (strcmp(object->attr[i].name, name) == 0 && object->attr[i].bytes == bytes &&
		    memcmp(object->attr[i].value, value, (size_t)bytes) == 0)
			return true;
	return false;
}

static unsigned judge_attrs(const struct specimen *specimen, const struct object *truth, const struct object *got)
{
	unsigned outcome = SAME;

	for (unsigned i = 0; i < got->attrs; i++) {
		const char *name = got->attr[i].name;
		ssize_t bytes = got->attr[i].bytes;
		bool older = false, others = false;

		if (bytes < 0) {
			outcome |= bytes == -ENODATA ? HIDDEN : is_refusal((int)bytes) ? REFUSED : FORGED;
			continue;
		}
		if (!got->attr[i].listed)
			outcome |= UNLISTED;
		if (has_attr(truth, name, got->attr[i].value, bytes))
			continue;
		for (unsigned state = 0; state < STATES; state++) {
			const struct snapshot *then = specimen->truth[state];

			older = older || has_attr(object_at(then, got->path), name, got->attr[i].value, bytes);
			for (unsigned k = 0; k < then->count; k++)
				others = others || has_attr(&then->object[k], name, got->attr[i].value, bytes);
		}
		outcome |= older ? OLDER : others ? OTHERS : FORGED;
	}
	return outcome;
}

unsigned judge_object(const struct specimen *specimen, const struct object *truth, const struct object *got)
{
	unsigned outcome = 0;

	if (got->error == -ENOENT || got->error == -ENOTDIR)
		return HIDDEN;
	if (got->error)
		return is_refusal(got->error) ? REFUSED : FORGED;
	if (got->st.st_mode != truth->st.st_mode || got->st.st_uid != truth->st.st_uid ||
	    got->st.st_gid != truth->st.st_gid || got->st.st_nlink != truth->st.st_nlink)
		outcome |= OUTSIDE;
	if (!got->listed && truth->listed)
		outcome |= UNLISTED;
	if (truth->error)
		outcome |= SAME; /* a crash left it so; now it is to be had */
	else if ((got->st.st_mode ^ truth->st.st_mode) & S_IFMT)
		outcome |= !got->data && !got->target ? OUTSIDE
			   : got->data && !got->bytes ? EMPTY
			   : is_others(specimen, got) ? OTHERS
						      : FORGED;
	else if (got->data)
		outcome |= judge_content(specimen, truth, got);
	else if (got->target && strcmp(got->target, truth->target) != 0)
		outcome |= is_others(specimen, got) ? OTHERS : FORGED;
	outcome |= judge_attrs(specimen, truth, got);
	return but_same(outcome);
}

/* Another object of the volume, under a name that is one somewhere in it. */
static bool known_name(const struct specimen *specimen, const struct object *got)
{
	const char *slash = strrchr(got->path, '/'), *name = slash ? slash + 1 : got->path;

	if (strncmp(name, "xtsfs-recovered-", 16) == 0) /* by fsck, of an entry whose name is lost */
		return is_others(specimen, got);
	for (unsigned state = 0; state < STATES; state++)
		for (unsigned k = 0; k < specimen->truth[state]->count; k++) {
			const char *path = specimen->truth[state]->object[k].path, *last = strrchr(path, '/');

			if (strcmp(last ? last + 1 : path, name) == 0)
				return is_others(specimen, got);
		}
	return false;
}

unsigned judge(const struct specimen *specimen, const struct snapshot *truth, const struct snapshot *got,
	       char *ret_worst, size_t room)
{
	unsigned sum = 0, worst = 0;

	*ret_worst = '\0';
	for (unsigned i = 0; i < got->count; i++) {
		const struct object *object = &got->object[i], *was = object_at(truth, object->path);
		unsigned outcome;

		if (was)
			outcome = judge_object(specimen, was, object);
		else if (object->error)
			outcome = is_refusal(object->error) ? REFUSED : FORGED;
		else /* a name that was not there: it must have been one time, or be somewhere */
			outcome = other_time(specimen, object) ? OLDER : known_name(specimen, object) ? OTHERS : FORGED;
		if (outcome != SAME && outcome > worst) {
			worst = outcome;
			snprintf(ret_worst, room, "/%.80s: %d", object->path, object->error);
		}
		sum |= outcome;
	}
	return but_same(sum);
}
