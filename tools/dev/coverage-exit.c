/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts of coverage are written at exit(). What ends with _exit(), as the parent of a daemon and the children of unit
 * tests, would not be counted: in builds with coverage the linker puts this in front.
 */
#include <gcov.h>

_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

_Noreturn void __wrap__exit(int status)
{
	__gcov_dump();
	__real__exit(status);
}
