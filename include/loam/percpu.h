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
	 * @bytes: 1 to 32 KiB; @align: a power of two up to a page. Without __GFP_DIRECT_RECLAIM in @gfp only memory that is
	 * there already is used: nothing is asked of a port, nothing is mapped.
	 */
	int (*alloc)(void *inst, size_t bytes, size_t align, gfp_t gfp, size_t *offset);
	/**
	 * Give back what alloc gave. Any context: nothing is asked for, mapped or given to a port. An offset at which no
	 * allocation begins is reported, and nothing changes.
	 */
	void (*free)(void *inst, size_t offset);
	/** Where the copies of @cpu begin, a multiple of the page size. Constant while the instance lives. */
	char *(*unit_base)(void *inst, unsigned cpu);
	/** Bytes of a unit that may ever be used: at least a page. Constant. */
	size_t (*unit_size)(void *inst);
	/**
	 * Claim [0, @bytes) of every unit for the static variables of modules, before any alloc, once: zero, and never part of
	 * an allocation; the host copies their initial values. 0, or -ENOMEM with nothing claimed, or -EBUSY when
	 * something was allocated before, be it freed again.
	 */
	int (*reserve_first)(void *inst, size_t bytes);
};

LOAM_END_DECLS
#endif
