/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD: a process cannot switch its core dumps off.
 */
#undef _FILE_OFFSET_BITS
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int prctl(int option, ...)
{
	unsigned long arguments[4];
	va_list list;

	if (option == PR_SET_DUMPABLE)
		return 0;
	va_start(list, option);
	for (int i = 0; i < 4; i++)
		arguments[i] = va_arg(list, unsigned long);
	va_end(list);
	return (int)syscall(SYS_prctl, option, arguments[0], arguments[1], arguments[2], arguments[3]);
}

int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
	return resource == RLIMIT_CORE ? 0 : prlimit(0, resource, limit, NULL);
}

int setrlimit64(__rlimit_resource_t resource, const struct rlimit64 *limit)
{
	return resource == RLIMIT_CORE ? 0 : prlimit64(0, resource, limit, NULL);
}
