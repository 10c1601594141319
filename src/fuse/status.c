/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/status.h"

#include "base/text.h"
#include "fuse/places.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static void print_number(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, "%s %" PRIu64 "\n", name, value);
}

static void print_text(FILE *out, const char *name, const char *text)
{
	char escaped[XTSFS_SLOT_NAME_MAX * XTSFS_ESCAPE_FACTOR + 1];

	xtsfs_text_escape(text, strnlen(text, XTSFS_SLOT_NAME_MAX), /* backslash= */ false, escaped);
	fprintf(out, "%s %s\n", name, escaped);
}

static void print_counts(FILE *out)
{
	static const char *const classes[] = {"read", "write", "other"};
	static const struct {
		const char *name;
		unsigned permille;
	} shares[] = {{"p50", 500}, {"p90", 900}, {"p99", 990}, {"p999", 999}};
	struct xtsfs_counts counts;

	xtsfs_counts_sum(&counts);
	for (unsigned kind = 0; kind < XTSFS_KIND__COUNT; kind++)
		fprintf(out, "requests.%s %" PRIu64 "\n", xtsfs_kind_name((enum xtsfs_kind)kind),
			counts.requests[kind]);
	print_number(out, "bytes.read", counts.read_bytes);
	print_number(out, "bytes.written", counts.written_bytes);
	for (unsigned class = 0; class < XTSFS_LATENCY__COUNT; class ++)
		for (unsigned i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
			fprintf(out, "latency_us.%s.%s %" PRIu64 "\n", classes[class], shares[i].name,
				xtsfs_counts_percentile(&counts, (enum xtsfs_latency) class, shares[i].permille));
	print_number(out, "errors.io", counts.io_errors);
	print_number(out, "errors.other", counts.other_errors);
}

static void print_volume(FILE *out, struct xtsfs_volume *volume)
{
	struct xtsfs_volume_stats stats;

	xtsfs_volume_stats(volume, &stats);
	print_text(out, "integrity", xtsfs_integrity_name(stats.integrity));
	print_number(out, "content_keys", stats.content_keys);
	print_number(out, "caches.nodes", stats.nodes);
	print_number(out, "caches.descriptors", stats.descriptors);
	print_number(out, "caches.descriptors_max", stats.descriptors_max);
	print_number(out, "caches.waiting_bytes", stats.waiting_bytes);
	print_number(out, "caches.unsettled_files", stats.kept_files);
	print_number(out, "crypto.handles", stats.ops);
	print_number(out, "crypto.handles_max", stats.ops_max);
	print_number(out, "crypto.sectors", stats.sectors);
	print_number(out, "crypto.handles_replaced", stats.ops_replaced);
	print_number(out, "crypto.waits", stats.ops_waits);
}

void xtsfs_mount_facts_slot(struct xtsfs_mount_facts *facts, const struct xtsfs_slot *slot)
{
	facts->slot = (int)slot->id;
	memcpy(facts->slot_name, slot->name, sizeof(facts->slot_name));
}

void xtsfs_status_print(FILE *out, const struct xtsfs_mount_facts *facts, struct xtsfs_volume *volume)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	print_text(out, "version", XTSFS_VERSION);
	print_number(out, "pid", (uint64_t)getpid());
	print_text(out, "engine", facts->engine);
	print_number(out, "threads", facts->threads);
	print_number(out, "slot.id", (uint64_t)facts->slot);
	print_text(out, "slot.name", facts->slot_name);
	print_number(out, "read_only", facts->read_only);
	print_number(out, "shared", xtsfs_volume_is_shared(volume));
	print_number(out, "mounted_unix_s", (uint64_t)facts->since_s);
	print_number(out, "mounted_s", (uint64_t)(now.tv_sec - facts->since_boottime_s));
	print_volume(out, volume);
	print_counts(out);
}
