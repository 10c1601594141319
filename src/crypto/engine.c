/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice of the engine, and the arithmetic both share.
 *
 * Whether the kernel offers AF_ALG is found out by using it: a TFM, an OP and known answers of both directions, with
 * test keys. Versions, configuration files and lists of modules say nothing reliable: a container may forbid the
 * address family, a module may be missing, an administrator may have allowed some algorithms only. What such a kernel
 * answers is in xtsfs_engine_is_unavailable(). All else is a real error and "auto" reports it rather than quietly
 * taking the other engine: out of descriptors or memory would come back as something worse, and a kernel that computes
 * AES wrongly should not be given a filesystem at all.
 */
#include "crypto/engine.h"

#include "base/endian.h"
#include "crypto/engine-common.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

int xtsfs_engine_parse(const char *text, enum xtsfs_engine_choice *ret_choice)
{
	static const char *const names[] = {
		[XTSFS_ENGINE_AUTO] = "auto",
		[XTSFS_ENGINE_KERNEL] = "kernel",
		[XTSFS_ENGINE_USER] = "user",
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret_choice = (enum xtsfs_engine_choice)i;
			return 0;
		}
	return -EINVAL;
}

bool xtsfs_engine_is_unavailable(int error)
{
	switch (error < 0 && error > -4096 ? -error : error) {
	case EAFNOSUPPORT:    /* no AF_ALG in this kernel */
	case EPERM:	      /* seccomp, LSM */
	case EACCES:	      /* LSM */
	case ENOENT:	      /* AF_ALG without xts(aes), or not on the administrator's list */
	case EPROTONOSUPPORT: /* no NETLINK_CRYPTO, which libkcapi asks for the properties of a cipher */
		return true;
	default:
		return false;
	}
}

__attribute__((format(printf, 3, 4))) static void say(char *ret_why, size_t why_bytes, const char *format, ...)
{
	va_list args;

	if (!why_bytes)
		return;
	va_start(args, format);
	vsnprintf(ret_why, why_bytes, format, args);
	va_end(args);
}

#if XTSFS_HAVE_KCAPI
static bool has_line(const char *path, const char *beginning)
{
	FILE *file = fopen(path, "re");
	char line[256];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = strncmp(line, beginning, strlen(beginning)) == 0;
	if (file)
		(void)fclose(file);
	return found;
}

static bool has_module(void)
{
	static const char *const kinds[] = {"", ".xz", ".zst", ".gz"};
	struct utsname name;
	char path[256];
	bool found = false;

	for (size_t i = 0; uname(&name) == 0 && !found && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		snprintf(path, sizeof(path), "/lib/modules/%s/kernel/crypto/af_alg.ko%s", name.release, kinds[i]);
		found = access(path, F_OK) == 0;
	}
	return found;
}

/* The kernel says the same of a family that it does not have and, by seccomp, of one that it hides. */
static const char *describe_no_family(void)
{
	if (has_line("/proc/net/protocols", "ALG "))
		return "a filter keeps AF_ALG from this process: RestrictAddressFamilies= of a unit, or a container's";
	if (has_line("/proc/self/status", "Seccomp:\t2"))
		return "there is no AF_ALG: the module af_alg is not loaded, or a filter (RestrictAddressFamilies= of "
		       "a "
		       "unit, a container's) hides it";
	if (has_module())
		return "there is no AF_ALG, but a module af_alg that is not loaded; modprobe af_alg tells why";
	return "this kernel has no AF_ALG, the module af_alg";
}

static const char *describe(int error)
{
	switch (-error) {
	case EAFNOSUPPORT:
		return describe_no_family();
	case EPERM:
	case EACCES:
		return "AF_ALG is forbidden here, by a container's seccomp profile or by AppArmor or SELinux";
	case ENOENT:
		return "this kernel offers no xts(aes), the modules algif_skcipher and xts";
	case EPROTONOSUPPORT:
		return "this kernel has no NETLINK_CRYPTO, the module crypto_user";
	default:
		return xtsfs_strerror(error);
	}
}

static int probe_kernel(const struct xtsfs_engine **ret_engine, char *ret_why, size_t why_bytes)
{
	int r = xtsfs_engine_selftest(&xtsfs_engine_kernel);

	if (r == 0) {
		*ret_engine = &xtsfs_engine_kernel;
		say(ret_why, why_bytes, "AF_ALG offers xts(aes) and gives the known answers");
	} else if (r == -XTSFS_ESELFTEST) {
		say(ret_why, why_bytes, "xts(aes) of this kernel gives wrong answers");
	} else {
		say(ret_why, why_bytes, "%s", describe(r));
	}
	return r;
}
#else
static int probe_kernel(const struct xtsfs_engine **ret_engine, char *ret_why, size_t why_bytes)
{
	(void)ret_engine;
	say(ret_why, why_bytes, "built without libkcapi");
	return -EPROTONOSUPPORT;
}
#endif

static int probe_user(const struct xtsfs_engine **ret_engine, char *ret_why, size_t why_bytes)
{
	int r = xtsfs_engine_selftest(&xtsfs_engine_user);

	if (r == 0)
		*ret_engine = &xtsfs_engine_user;
	else
		say(ret_why, why_bytes, "AES-256-XTS of OpenSSL: %s", xtsfs_strerror(r));
	return r;
}

int xtsfs_engine_choose(enum xtsfs_engine_choice choice, const struct xtsfs_engine **ret_engine, char *ret_why,
			size_t why_bytes)
{
	int r;

	switch (choice) {
	case XTSFS_ENGINE_USER:
		say(ret_why, why_bytes, "asked for");
		return probe_user(ret_engine, ret_why, why_bytes);
	case XTSFS_ENGINE_KERNEL:
	case XTSFS_ENGINE_AUTO:
		r = probe_kernel(ret_engine, ret_why, why_bytes);
		if (choice == XTSFS_ENGINE_AUTO && xtsfs_engine_is_unavailable(r))
			r = probe_user(ret_engine, ret_why, why_bytes); /* why stays: what the kernel lacks */
		return r;
	}
	return -EINVAL;
}

void xtsfs_tweak_add(const uint8_t first[static XTSFS_XTS_TWEAK_BYTES], uint64_t add,
		     uint8_t ret[static XTSFS_XTS_TWEAK_BYTES])
{
	uint64_t low = xtsfs_load_le(first, 8), high = xtsfs_load_le(first + 8, 8);

	high += __builtin_add_overflow(low, add, &low);
	xtsfs_store_le(ret, 8, low);
	xtsfs_store_le(ret + 8, 8, high);
}

bool xtsfs_run_is_valid(const struct xtsfs_run *run)
{
	uintptr_t in = (uintptr_t)run->in, out = (uintptr_t)run->out;

	if (run->sector_bytes < 16 || run->sector_bytes > XTSFS_XTS_MAX_BYTES || run->sector_bytes % 16 ||
	    run->bytes % 16)
		return false;
	/* Neither may begin inside the other. */
	return in == out || (in < out ? out - in : in - out) >= run->bytes;
}
