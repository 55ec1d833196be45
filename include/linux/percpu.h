/* SPDX-License-Identifier: MIT */
/* linux/percpu.h: per-CPU memory of one's own. Semantics and limits: Linux 6.1: zeroed, at most 32 KiB, aligned to a page at most. */
#ifndef LOAM_LINUX_PERCPU_H
#define LOAM_LINUX_PERCPU_H

#include <linux/percpu-defs.h>
#include <linux/smp.h>
#include <linux/types.h>

LOAM_BEGIN_DECLS

#define PCPU_MIN_UNIT_SIZE (32 << 10)

/** @size bytes for each CPU, zero; a per-CPU pointer or NULL. May sleep. */
void *__alloc_percpu(size_t size, size_t align);
/** The same with the caller's flags: without __GFP_DIRECT_RECLAIM only memory that is there already. */
void *__alloc_percpu_gfp(size_t size, size_t align, gfp_t gfp);
/** NULL is ignored. Any context. */
void free_percpu(void *ptr);
phys_addr_t per_cpu_ptr_to_phys(void *addr);

#define alloc_percpu(type) ((__typeof__(type) __percpu *)__alloc_percpu(sizeof(type), __alignof__(type)))
#define alloc_percpu_gfp(type, gfp)                                                                                    \
	((__typeof__(type) __percpu *)__alloc_percpu_gfp(sizeof(type), __alignof__(type), gfp))

LOAM_END_DECLS
#endif
