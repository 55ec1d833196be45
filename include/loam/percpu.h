/* SPDX-License-Identifier: MIT */
/*
 * percpu.h: the role `percpu`: one copy of a variable for each logical CPU (alloc_percpu, this_cpu_*).
 *
 * An allocation is an offset that is the same on every CPU; the copy of CPU n lies at unit_base(n) + offset. The host asks for
 * the units once, and this_cpu_* is then an addition to a base that changes with the CPU: no op is called. Limits after Linux
 * 6.1: at most 32 KiB, alignment at most a page, copies zeroed; the host checks them and warns.
 */
#ifndef LOAM_PERCPU_H
#define LOAM_PERCPU_H

#include <loam/plugin.h>

LOAM_BEGIN_DECLS

struct loam_percpu_ops {
	uint32_t size;
	uint32_t reserved;

	/**
	 * Room for @bytes at a multiple of @align in every unit, all copies zero: the offset into *@offset and 0, or -ENOMEM.
	 * Without __GFP_DIRECT_RECLAIM in @gfp only memory that is there already is used.
	 */
	int (*alloc)(void *inst, size_t bytes, size_t align, gfp_t gfp, size_t *offset);
	/** Give back what alloc gave. Any context. */
	void (*free)(void *inst, size_t offset);
	/** Where the copies of @cpu begin. Constant while the instance lives; called once for each CPU. */
	char *(*unit_base)(void *inst, unsigned cpu);
	/** Bytes of a unit that may ever be used. */
	size_t (*unit_size)(void *inst);
	/**
	 * Claim [0, @bytes) of every unit for the static variables of modules, before any alloc; the host copies their initial
	 * values. 0, or -ENOMEM, or -EBUSY when something was allocated.
	 */
	int (*reserve_first)(void *inst, size_t bytes);
};

LOAM_END_DECLS
#endif
