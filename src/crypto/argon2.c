/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Argon2id (RFC 9106): derive, and find parameters.
 *
 * The library's matrix is our own mapping: huge pages where the kernel gives them (a quarter of the time goes to TLB
 * misses otherwise), and not in core dumps. The library wipes it when done. A request for more memory than the machine
 * has is refused beforehand, because Linux grants the mapping and later kills a process that used it: a crafted
 * xtsfs.conf should give an error, not the end of the session. (The format's own bound is 4 GiB.)
 *
 * Calibration, as cryptsetup does it: time 4, memory first. A small measurement, scale to the target, measure again,
 * until the result is near the target, a bound is met, or three times the target has been spent; what was scaled last
 * is then taken unmeasured. Memory costs an attacker more than time does, so passes are added only where memory is at
 * its bound, and taken away never below 4. A machine that cannot do time 4 with 32 MiB within the target takes longer.
 *
 * A result is at most 1 GiB and half of what is available (also to the control group, so that "init" in a small
 * container makes a volume that opens there); what opens here may not open on a smaller machine.
 */
#include "crypto/kdf.h"

#include "base/cleanup.h"
#include "base/secret.h"

#include <argon2.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MIN_TIME	   4U
#define MIN_MEMORY_KIB	   (32U * 1024)
#define DEFAULT_MEMORY_KIB (1024U * 1024)
#define DEFAULT_PARALLEL   4U
#define MAX_TARGET_MS	   (60U * 1000)

int xtsfs_argon2_check(const struct xtsfs_argon2 *params)
{
	if (params->time == 0 || params->parallel == 0)
		return -EINVAL;
	if (params->time > XTSFS_ARGON2_MAX_TIME || params->parallel > XTSFS_ARGON2_MAX_PARALLEL)
		return -ERANGE;
	if (params->memory_kib < 8 * params->parallel)
		return -EINVAL;
	if (params->memory_kib > XTSFS_ARGON2_MAX_MEMORY_KIB ||
	    (uint64_t)params->time * params->memory_kib > XTSFS_ARGON2_MAX_WORK)
		return -ERANGE;
	return 0;
}

/* A small file of /proc or /sys, terminated. */
static int read_small(const char *path, char *ret_text, size_t bytes)
{
	xtsfs_auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, ret_text, bytes - 1);
	if (n < 0)
		return -errno;
	ret_text[n] = '\0';
	return 0;
}

/* A line "Name:   123 kB" of /proc/meminfo; 0 if it is not there. */
static uint64_t meminfo_kib(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* Memory that can be used without swapping, and with; false if the kernel does not say. */
static bool memory_available(uint64_t *ret_ram_kib, uint64_t *ret_with_swap_kib)
{
	char text[4096];
	uint64_t ram_kib;

	if (read_small("/proc/meminfo", text, sizeof(text)) < 0)
		return false;
	ram_kib = meminfo_kib(text, "MemAvailable:");
	if (ram_kib == 0)
		return false;
	*ret_ram_kib = ram_kib;
	*ret_with_swap_kib = ram_kib + meminfo_kib(text, "SwapFree:");
	return true;
}

/* The limit of the control group as a container sees it; UINT64_MAX without one. */
static uint64_t cgroup_limit_kib(void)
{
	static const char *const paths[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
	char text[64] = "";

	for (unsigned i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (read_small(paths[i], text, sizeof(text)) == 0 && text[0] >= '0' && text[0] <= '9')
			return strtoull(text, NULL, 10) / 1024;
	return UINT64_MAX;
}

static int matrix_new(uint8_t **ret_memory, size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return ARGON2_MEMORY_ALLOCATION_ERROR;
	/* Both are wishes; a kernel without huge pages refuses the second. */
	(void)madvise(memory, bytes, MADV_DONTDUMP);
	(void)madvise(memory, bytes, MADV_HUGEPAGE);
	*ret_memory = memory;
	return ARGON2_OK;
}

static void matrix_free(uint8_t *memory, size_t bytes)
{
	munmap(memory, bytes);
}

static int errno_of(int argon2_error)
{
	switch (argon2_error) {
	case ARGON2_OK:
		return 0;
	case ARGON2_MEMORY_ALLOCATION_ERROR:
		return -ENOMEM;
	case ARGON2_SALT_TOO_SHORT:
	case ARGON2_SALT_TOO_LONG:
	case ARGON2_PWD_TOO_LONG:
	case ARGON2_OUTPUT_TOO_SHORT:
	case ARGON2_OUTPUT_TOO_LONG:
		return -EINVAL;
	default:
		return -EIO;
	}
}

int xtsfs_argon2id(const struct xtsfs_argon2 *params, const uint8_t *password, size_t password_bytes,
		   const uint8_t *salt, size_t salt_bytes, uint8_t *ret_out, size_t bytes)
{
	uint64_t ram_kib, with_swap_kib;
	argon2_context context;
	int r = xtsfs_argon2_check(params);

	if (r < 0)
		return r;
	if (password_bytes > UINT32_MAX || salt_bytes > UINT32_MAX || bytes > UINT32_MAX)
		return -EINVAL;
	if (memory_available(&ram_kib, &with_swap_kib) && params->memory_kib > with_swap_kib)
		return -ENOMEM;

	/* The library does not write to password and salt without a flag that asks for it. */
	context = (argon2_context){
		.out = ret_out,
		.outlen = (uint32_t)bytes,
		.pwd = (uint8_t *)(uintptr_t)password,
		.pwdlen = (uint32_t)password_bytes,
		.salt = (uint8_t *)(uintptr_t)salt,
		.saltlen = (uint32_t)salt_bytes,
		.t_cost = params->time,
		.m_cost = params->memory_kib,
		.lanes = params->parallel,
		.threads = params->parallel,
		.version = ARGON2_VERSION_13,
		.allocate_cbk = matrix_new,
		.free_cbk = matrix_free,
		.flags = ARGON2_DEFAULT_FLAGS,
	};
	r = argon2id_ctx(&context);
	if (r == ARGON2_THREAD_FAIL) {
		/* No threads to be had: the lanes one after the other give the same result. */
		context.threads = 1;
		r = argon2id_ctx(&context);
	}
	r = errno_of(r);
	if (r < 0)
		xtsfs_wipe(ret_out, bytes);
	return r;
}

static double milliseconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int measure(const struct xtsfs_argon2 *params, double *ret_ms)
{
	static const uint8_t password[8] = "measure", salt[32];
	double begin = milliseconds_now();
	uint8_t out[XTSFS_SLOT_KEY_BYTES];
	int r = xtsfs_argon2id(params, password, sizeof(password), salt, sizeof(salt), out, sizeof(out));

	*ret_ms = milliseconds_now() - begin;
	return r;
}

struct bounds {
	uint32_t min_memory_kib;
	uint32_t max_memory_kib;
};

/* The same number of lanes with @factor times the work, memory first, within all bounds. */
static struct xtsfs_argon2 scale(const struct xtsfs_argon2 *params, double factor, const struct bounds *bounds)
{
	double work = (double)params->time * (double)params->memory_kib * factor;
	double memory_kib = work / MIN_TIME, passes;
	struct xtsfs_argon2 scaled = *params;

	if (work > (double)XTSFS_ARGON2_MAX_WORK)
		work = (double)XTSFS_ARGON2_MAX_WORK;
	if (memory_kib < (double)bounds->min_memory_kib)
		memory_kib = (double)bounds->min_memory_kib;
	if (memory_kib > (double)bounds->max_memory_kib)
		memory_kib = (double)bounds->max_memory_kib;
	/* Whole MiB look better in a listing; the library uses multiples of 4 lanes anyway. */
	scaled.memory_kib = (uint32_t)memory_kib;
	if (scaled.memory_kib > bounds->min_memory_kib && scaled.memory_kib < bounds->max_memory_kib)
		scaled.memory_kib -= scaled.memory_kib % 1024;

	passes = work / (double)scaled.memory_kib;
	if (passes > (double)XTSFS_ARGON2_MAX_TIME)
		passes = (double)XTSFS_ARGON2_MAX_TIME;
	scaled.time = passes < MIN_TIME ? MIN_TIME : (uint32_t)passes;
	return scaled;
}

static uint32_t default_parallel(void)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	return online < 1 ? 1 : online > (long)DEFAULT_PARALLEL ? DEFAULT_PARALLEL : (uint32_t)online;
}

static uint32_t default_memory_kib(void)
{
	uint64_t available_kib, with_swap_kib, limit_kib = cgroup_limit_kib();

	if (!memory_available(&available_kib, &with_swap_kib))
		available_kib = (uint64_t)MIN_MEMORY_KIB * 4;
	if (limit_kib < available_kib)
		available_kib = limit_kib;
	return available_kib / 2 < DEFAULT_MEMORY_KIB ? (uint32_t)(available_kib / 2) : DEFAULT_MEMORY_KIB;
}

int xtsfs_argon2_calibrate(uint32_t target_ms, uint32_t max_memory_kib, uint32_t max_parallel,
			   struct xtsfs_argon2 *ret_params)
{
	struct xtsfs_argon2 params, next;
	struct bounds bounds;
	double spent_ms = 0;

	if (target_ms > MAX_TARGET_MS)
		target_ms = MAX_TARGET_MS;
	if (target_ms == 0)
		target_ms = 1;
	if (max_memory_kib == 0)
		max_memory_kib = default_memory_kib();
	if (max_memory_kib > XTSFS_ARGON2_MAX_MEMORY_KIB)
		max_memory_kib = XTSFS_ARGON2_MAX_MEMORY_KIB;
	params.parallel = max_parallel ? max_parallel : default_parallel();
	if (params.parallel > XTSFS_ARGON2_MAX_PARALLEL)
		params.parallel = XTSFS_ARGON2_MAX_PARALLEL;
	if (max_memory_kib < 8 * params.parallel)
		max_memory_kib = 8 * params.parallel;

	bounds.max_memory_kib = max_memory_kib;
	bounds.min_memory_kib = max_memory_kib < MIN_MEMORY_KIB ? max_memory_kib : MIN_MEMORY_KIB;
	params.time = MIN_TIME;
	params.memory_kib = bounds.min_memory_kib;

	for (;;) {
		double ms;
		int r = measure(&params, &ms);

		if (r == -ENOMEM && params.memory_kib > bounds.min_memory_kib) {
			bounds.max_memory_kib = params.memory_kib / 2 > bounds.min_memory_kib ? params.memory_kib / 2
											      : bounds.min_memory_kib;
			params = scale(&params, 1, &bounds);
			continue;
		}
		if (r < 0)
			return r;
		spent_ms += ms;
		/* A measurement too short for the clock says nothing of the factor. */
		next = scale(&params, target_ms / (ms > 0.1 ? ms : 0.1), &bounds);
		if (ms > target_ms * 0.9 && ms < target_ms * 1.1)
			break;
		if (next.time == params.time && next.memory_kib == params.memory_kib)
			break;
		params = next;
		if (spent_ms + target_ms > 3.0 * target_ms)
			break;
	}
	*ret_params = params;
	return 0;
}
