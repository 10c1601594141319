/* SPDX-License-Identifier: Apache-2.0 */
/* xtsfs.conf: every bit, every cut, parts of older and of other volumes' ones. It opens only as it was made. */
#undef NDEBUG
#include "attack.h"

#include "core/conf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a mount does: SAME if it opens and says what @want says, OLDER for another text that it once was. */
static unsigned try_text(struct specimen *specimen, const char *text, size_t bytes, const char *want, size_t want_bytes,
			 const char *old, size_t old_bytes)
{
	const struct xtsfs_unlock with = {.keyfile = specimen->core.keyfile, .slot = -1};
	struct xtsfs_secret *key = NULL;
	struct xtsfs_conf *conf;
	char problem[512];
	int r = xtsfs_conf_parse(text, bytes, &conf, problem, sizeof(problem));

	if (r < 0)
		return REFUSED;
	r = xtsfs_conf_unlock(conf, &with, &key, NULL);
	xtsfs_conf_free(conf);
	if (r < 0)
		return r == -EKEYREJECTED || r == -EBADMSG ? REFUSED : FORGED;
	xtsfs_secret_free(key);
	if (bytes == want_bytes && memcmp(text, want, bytes) == 0)
		return SAME;
	return old && bytes == old_bytes && memcmp(text, old, bytes) == 0 ? OLDER : FORGED;
}

static char *conf_text(struct xtsfs_store *store, size_t *ret_bytes)
{
	return (char *)backing_read(store, "xtsfs.conf", ret_bytes);
}

/* Another volume of somebody who has the same keyfile. */
static char *conf_of_another(const struct specimen *specimen, size_t *ret_bytes)
{
	struct xtsfs_store *store;
	struct core other;
	char *text;

	assert(xtsfs_store_memory_new(&store) == 0);
	core_init(&other, specimen->core.conf->config->integrity, 1);
	memset(other.key->data, 0x5a, other.key->bytes);
	core_format(&other, store);
	text = conf_text(store, ret_bytes);
	core_fini(&other);
	xtsfs_store_free(store);
	return text;
}

/* Each member of one in the place of the other's: lines are members. */
static void splice(struct specimen *specimen, const char *attack, const char *text, size_t bytes, const char *other,
		   size_t other_bytes)
{
	char *mixed = malloc(bytes + other_bytes);
	const char *line = text;

	assert(mixed);
	for (; line < text + bytes; line += strcspn(line, "\n") + 1) {
		const char *member = strchr(line, '"'), *colon = member ? strchr(member, ':') : NULL, *theirs;
		size_t head = (size_t)(line - text), name, their_bytes, tail;

		if (!colon || !memchr(line, ':', strcspn(line, "\n")))
			continue;
		name = (size_t)(colon - member);
		theirs = memmem(other, other_bytes, member, name);
		if (!theirs)
			continue;
		theirs -= member - line;
		their_bytes = strcspn(theirs, "\n");
		if (their_bytes == strcspn(line, "\n") && memcmp(theirs, line, their_bytes) == 0)
			continue;
		memcpy(mixed, text, head);
		memcpy(mixed + head, theirs, their_bytes);
		tail = bytes - head - strcspn(line, "\n");
		memcpy(mixed + head + their_bytes, line + strcspn(line, "\n"), tail);
		count_mutation(specimen, attack,
			       try_text(specimen, mixed, head + their_bytes + tail, text, bytes, NULL, 0), "%.*s",
			       (int)name, member);
	}
	free(mixed);
}

void attack_conf(struct specimen *specimen)
{
	const struct xtsfs_unlock with = {.keyfile = specimen->core.keyfile, .slot = -1};
	struct xtsfs_store *store = mutation_begin(specimen, CURRENT);
	size_t bytes, old_bytes, other_bytes;
	char *old = conf_text(store, &old_bytes), *text, *changed, *other = conf_of_another(specimen, &other_bytes);

	/* A second slot, so that there is an older one to go back to. */
	assert(xtsfs_conf_add_slot(specimen->core.conf, specimen->core.key, &with, NULL, "second", NULL) == 0);
	assert(xtsfs_conf_save(store, specimen->core.conf, specimen->core.key, false) == 0);
	text = conf_text(store, &bytes);
	xtsfs_store_free(store);
	changed = malloc(bytes + other_bytes + 64);
	assert(changed && try_text(specimen, text, bytes, text, bytes, NULL, 0) == SAME);

	for (size_t bit = 0; bit < bytes * 8; bit += options.full ? 1 : 5) {
		memcpy(changed, text, bytes);
		changed[bit / 8] ^= (char)(1U << bit % 8);
		count_mutation(specimen, "bit of xtsfs.conf",
			       try_text(specimen, changed, bytes, text, bytes, old, old_bytes), "bit %zu", bit);
	}
	for (size_t cut = 0; cut < bytes; cut++) {
		count_mutation(specimen, "xtsfs.conf cut or extended",
			       try_text(specimen, text, cut, text, bytes, old, old_bytes), "to %zu", cut);
		/* a byte more, anywhere */
		memcpy(changed, text, cut);
		changed[cut] = ' ';
		memcpy(changed + cut + 1, text + cut, bytes - cut);
		count_mutation(specimen, "xtsfs.conf cut or extended",
			       try_text(specimen, changed, bytes + 1, text, bytes, old, old_bytes), "at %zu", cut);
	}
	splice(specimen, "xtsfs.conf spliced", text, bytes, other, other_bytes);
	splice(specimen, "xtsfs.conf spliced", text, bytes, old, old_bytes);
	splice(specimen, "xtsfs.conf spliced", other, other_bytes, text, bytes);
	count_mutation(specimen, "xtsfs.conf put back", try_text(specimen, old, old_bytes, text, bytes, old, old_bytes),
		       "older one");
	/* The other volume's whole: it opens for who has its key, and nothing of this volume is authentic under it. */
	{
		struct xtsfs_conf *conf, *mine = specimen->core.conf;
		struct xtsfs_secret *key, *my_key = specimen->core.key;
		char problem[512];

		assert(xtsfs_conf_parse(other, other_bytes, &conf, problem, sizeof(problem)) == 0 &&
		       xtsfs_conf_unlock(conf, &with, &key, NULL) == 0);
		specimen->core.conf = conf;
		specimen->core.key = key;
		store = mutation_begin(specimen, CURRENT);
		mutation_end(specimen, CURRENT, "xtsfs.conf of another volume", store, "whole");
		specimen->core.conf = mine;
		specimen->core.key = my_key;
		xtsfs_conf_free(conf);
		xtsfs_secret_free(key);
	}
	free(text);
	free(old);
	free(other);
	free(changed);
}
