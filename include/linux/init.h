/* SPDX-License-Identifier: MIT */
/*
 * linux/init.h: a module's start and end, and what runs before there is a page allocator.
 *
 * early_initcall(fn) runs while the machine boots, on the boot allocator alone (memblock_*, alloc_bootmem*); in a later
 * kernel's module it could not be: the modules that `loam run` is given are there from the start.
 */
#ifndef LOAM_LINUX_INIT_H
#define LOAM_LINUX_INIT_H

#include <loam/base.h>

#define __init
#define __initdata
#define __initconst
#define __exit
#define __exitdata
#define __refdata
#define __ref

typedef int (*initcall_t)(void);
typedef void (*exitcall_t)(void);

#define early_initcall(fn)                                                                                             \
	LOAM_BEGIN_DECLS                                                                                               \
	LOAM_EXPORT int loam_early_module(void);                                                                       \
	int loam_early_module(void)                                                                                    \
	{                                                                                                              \
		return fn();                                                                                           \
	}                                                                                                              \
	LOAM_END_DECLS

#endif
