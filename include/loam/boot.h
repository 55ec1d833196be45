/* SPDX-License-Identifier: MIT */
/*
 * boot.h: the role `boot`: memory before there is a page allocator (memblock_*, and alloc_bootmem* on top of it).
 *
 * The host tells the instance which physical ranges are RAM; clients reserve and allocate ranges; at the end the host asks
 * which ranges are free and hands them to the page allocator. One thread runs then, so ops are not called at once. Addresses are
 * physical; what is allocated lies in low memory and is zeroed by the host. Semantics: Linux's memblock.
 */
#ifndef LOAM_BOOT_H
#define LOAM_BOOT_H

#include <loam/plugin.h>

LOAM_BEGIN_DECLS

typedef uint64_t loam_phys_t;

/** A physical range [base, base + bytes). */
struct loam_boot_range {
	loam_phys_t base, bytes;
};

#define LOAM_BOOT_TOP_DOWN 1u /* from the upper limit downwards, as Linux does; else from the lower one upwards */

#define LOAM_BOOT_EXACT 1u /* caps: ranges are kept to the byte; else in whole frames, see below */

/** What an instance can do; constant. */
struct loam_boot_limits {
	uint32_t size; /* set by the caller */
	uint32_t caps; /* LOAM_BOOT_* */
};

/**
 * An instance without LOAM_BOOT_EXACT keeps whole frames: RAM is the frames that lie in one added range as a whole, less those that
 * a removed range touches; what is reserved is each frame that a reserved range touches, until a freed range covers the frame as a
 * whole. Small requests may share a frame.
 *
 * A range that goes beyond the last address is -EINVAL in every op that takes one, and changes nothing. Ranges lie within the
 * machine's memory: what is outside, an instance may forget. Counters count bytes that are reserved, as next_reserved shows them.
 */
struct loam_boot_ops {
	uint32_t size;
	uint32_t reserved;

	/** [@base, @base + @bytes) is RAM. Ranges may touch and overlap; they merge. 0 or -ENOMEM; then nothing has changed. */
	int (*add)(void *inst, loam_phys_t base, loam_phys_t bytes);
	/**
	 * It is RAM no longer (mem=: held back from the page allocator); what is reserved stays so. 0, or -ENOENT when no byte of it
	 * was, or -ENOMEM when RAM stays on both sides.
	 */
	int (*remove)(void *inst, loam_phys_t base, loam_phys_t bytes);
	/** Take the range out of what alloc gives, whether RAM or not; reserving twice is no error. 0 or -ENOMEM. */
	int (*reserve)(void *inst, loam_phys_t base, loam_phys_t bytes);
	/**
	 * Reserve @bytes at a multiple of @align (a power of two) within [@low, @high); @flags: LOAM_BOOT_*. The address into
	 * *@at and 0, or -ENOMEM, or -EINVAL for @bytes of 0 and an @align that is no power of two; *@at is written with 0 only.
	 * Contents are undefined.
	 */
	int (*alloc)(void *inst, loam_phys_t bytes, loam_phys_t align, loam_phys_t low, loam_phys_t high,
		     uint32_t flags, loam_phys_t *at);
	/**
	 * Give a reserved range back, whole or in part. 0, or -ENOENT when no byte of it was reserved, or -ENOMEM for a part with
	 * reserved bytes on both sides: what alloc gave, given back whole, needs no memory.
	 */
	int (*free)(void *inst, loam_phys_t base, loam_phys_t bytes);
	/** The @index-th range that is RAM and not reserved, in address order: 0, or -ENOENT behind the last. */
	int (*next_free)(void *inst, unsigned index, struct loam_boot_range *range);
	/** The same for what is reserved. */
	int (*next_reserved)(void *inst, unsigned index, struct loam_boot_range *range);
	/** What the instance can do, into @limits. NULL: no capability. */
	void (*limits)(void *inst, struct loam_boot_limits *limits);
};

LOAM_END_DECLS
#endif
