/* SPDX-License-Identifier: MIT */
/*
 * heap.h: the role `heap`: blocks of any size. kmalloc and malloc stand on it.
 *
 * The client of a heap (a face, or a plugin through the helpers below) has already dealt with what is policy: size 0, size
 * overflow, clearing, errno. So an op sees 1 <= size <= limits.max_size and a power of two as alignment.
 */
#ifndef LOAM_HEAP_H
#define LOAM_HEAP_H

#include <loam/plugin.h>

LOAM_BEGIN_DECLS

#define LOAM_HEAP_NATURAL 1u /* a block whose size is a power of two is aligned to its size (kmalloc since Linux 5.4) */
/*
 * What an instance detects of its holders' mistakes. It tells host->report and changes nothing. A plugin claims only what it
 * always finds; what it finds by luck it reports too, unclaimed.
 */
#define LOAM_HEAP_DOUBLE_FREE 2u     /* a block that is freed again before its memory was handed out again */
#define LOAM_HEAP_BAD_FREE 4u        /* an address inside a live block, behind its start, that is freed */
#define LOAM_HEAP_OVERFLOW 8u        /* a byte written behind usable_size: found when the block is freed, or by check */
#define LOAM_HEAP_USE_AFTER_FREE 16u /* a free block written to: found when it is handed out again, or by check */

struct loam_heap_limits {
	uint32_t size;
	uint32_t caps;    /* LOAM_HEAP_* */
	size_t max_size;  /* larger requests are not made of this instance; 0: none is too large */
	size_t max_align; /* likewise */
	size_t min_align; /* every block has at least this alignment */
	/** Since minor 2. Larger requests have whole pages of their own, smaller ones share; 0: that is not known. */
	size_t max_shared;
};

struct loam_heap_ops {
	uint32_t size;
	uint32_t reserved;

	/** A block of at least @bytes, aligned to @align, contents undefined; NULL when memory is short. @gfp without ZERO. */
	void *(*alloc)(void *inst, size_t bytes, size_t align, gfp_t gfp);
	/** Give a block back. @page is the frame of @ptr, or NULL where @ptr lies outside the machine's low memory. */
	void (*free)(void *inst, void *ptr, struct page *page);
	/** Bytes that the holder of @ptr may use, at least what it asked for. */
	size_t (*usable_size)(void *inst, const void *ptr, struct page *page);

	/** As alloc, contents zero. NULL: the client clears. */
	void *(*zalloc)(void *inst, size_t bytes, size_t align, gfp_t gfp);
	/** Make the block @bytes long without moving it: true when done. NULL: never in place beyond usable_size. */
	bool (*resize)(void *inst, void *ptr, struct page *page, size_t bytes);
	/** All @n blocks or none; returns @n or 0. NULL: the client loops. */
	unsigned (*alloc_bulk)(void *inst, size_t bytes, gfp_t gfp, unsigned n, void **out);
	void (*free_bulk)(void *inst, unsigned n, void **ptrs);
	/** Whether @ptr is a block of this instance; for heaps whose blocks lie outside the machine's memory. */
	bool (*owns)(void *inst, const void *ptr);
	/** What this instance can do, after create. @limits comes zeroed but for size. */
	void (*limits)(void *inst, struct loam_heap_limits *limits);
};

static inline const struct loam_heap_ops *loam_heap_ops(const struct loam_link *link)
{
	return (const struct loam_heap_ops *)link->ops;
}

/** A block through a heap port. @align: a power of two. */
static inline void *loam_heap_alloc(const struct loam_port *port, size_t bytes, size_t align, gfp_t gfp)
{
	const struct loam_link *link = loam_port_link(port);

	return loam_heap_ops(link)->alloc(link->inst, bytes, align, gfp & ~__GFP_ZERO);
}

/** The same, contents zero. */
static inline void *loam_heap_zalloc(const struct loam_port *port, size_t bytes, size_t align, gfp_t gfp)
{
	const struct loam_link *link = loam_port_link(port);
	const struct loam_heap_ops *ops = loam_heap_ops(link);
	void *ptr;

	if (ops->zalloc)
		return ops->zalloc(link->inst, bytes, align, gfp & ~__GFP_ZERO);
	ptr = ops->alloc(link->inst, bytes, align, gfp & ~__GFP_ZERO);
	return ptr ? __builtin_memset(ptr, 0, bytes) : NULL;
}

/** Give back a block that came through @port. NULL is ignored. */
static inline void loam_heap_free(const struct loam_host *host, const struct loam_port *port, void *ptr)
{
	const struct loam_link *link = loam_port_link(port);

	if (ptr)
		loam_heap_ops(link)->free(link->inst, ptr, loam_ptr_page(host->map, ptr));
}

LOAM_END_DECLS
#endif
