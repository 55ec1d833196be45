/* SPDX-License-Identifier: MIT */
/*
 * pages.h: the role `pages`: blocks of 2^order page frames of a zone.
 *
 * A plugin of this role is mechanism only. It tries once, in the one zone it is told, and never sleeps, warns or reclaims;
 * zone order, watermarks, reserves, waiting, clearing, claiming and the failure report are the host's (pages_alloc in
 * loam/plugin.h, which is what clients call). So a page allocator can be sixty lines long and still obey every GFP flag.
 *
 * While a frame is free its struct page's own[], index and priv are the plugin's. A block's first byte lies at a multiple of
 * its size, counted in frames from frame 0.
 */
#ifndef LOAM_PAGES_H
#define LOAM_PAGES_H

#include <loam/plugin.h>

LOAM_BEGIN_DECLS

enum loam_zone_id {
	LOAM_ZONE_DMA,
	LOAM_ZONE_DMA32,
	LOAM_ZONE_NORMAL,
	LOAM_ZONE_HIGHMEM,
	LOAM_ZONE_MOVABLE,
	LOAM_ZONES
};

/** A zone: a run of frame numbers, possibly with holes. The host's record; plugins read what is here. */
struct loam_zone {
	uint32_t size;
	uint32_t id;      /* enum loam_zone_id; use it to index your own per-zone state */
	const char *name; /* "DMA", "DMA32", "Normal", "HighMem", "Movable" */
	unsigned long start_pfn;
	unsigned long end_pfn; /* one past the last */
	unsigned long managed; /* frames that the page allocator was given */
};

/** Hints to alloc; a plugin may ignore them. */
#define LOAM_PAGES_COLD 1u    /* a frame that is not in a CPU's cache is preferred */
#define LOAM_PAGES_MOVABLE 2u /* the holder can move its contents */

/** caps: a free of frames that are free already is told to host->report and changes nothing. */
#define LOAM_PAGES_DOUBLE_FREE 1u

struct loam_pages_limits {
	uint32_t size;
	uint32_t orders; /* orders 0 to orders-1 are served; the kernel's MAX_ORDER */
	uint32_t caps;   /* LOAM_PAGES_DOUBLE_FREE */
};

struct loam_pages_ops {
	uint32_t size;
	uint32_t reserved;

	/**
	 * Frames [@pfn, @pfn + @count) of @zone are the plugin's to hand out. Called at boot, any number of times for a zone,
	 * with ranges that have odd ends and lie apart. Must not touch every frame: memory may be large. 0, or -ENOMEM.
	 */
	int (*add)(void *inst, const struct loam_zone *zone, unsigned long pfn, unsigned long count);

	/** A free block of 2^@order frames of @zone, or NULL. @flags: LOAM_PAGES_*. @order is below limits.orders. */
	struct page *(*alloc)(void *inst, const struct loam_zone *zone, unsigned order, unsigned flags);

	/**
	 * Take back 2^@order frames. It is a block that alloc gave, or a naturally aligned part of one (the kernel's
	 * split_page): what was handed out as one block may come back in pieces.
	 */
	void (*free)(void *inst, const struct loam_zone *zone, struct page *page, unsigned order);

	/** Up to @n single frames; returns how many it put into @out. NULL: the host loops over alloc. */
	unsigned (*alloc_bulk)(void *inst, const struct loam_zone *zone, unsigned n, struct page **out, unsigned flags);
	void (*free_bulk)(void *inst, const struct loam_zone *zone, unsigned n, struct page **pages);

	/**
	 * How many free blocks of each order @zone has, for buddyinfo and the watermark check. Frames in caches count. @counts
	 * comes zeroed.
	 */
	void (*counts)(void *inst, const struct loam_zone *zone, unsigned long counts[LOAM_ORDERS]);

	/** What this instance can do, after create. @limits comes zeroed but for size. */
	void (*limits)(void *inst, struct loam_pages_limits *limits);
};

static inline const struct loam_pages_ops *loam_pages_ops(const struct loam_link *link)
{
	return (const struct loam_pages_ops *)link->ops;
}

/** How many orders the page allocator behind @port serves: 0 to that less one. From create on. */
static inline unsigned loam_pages_orders(const struct loam_port *port)
{
	const struct loam_link *link = loam_port_link(port);
	struct loam_pages_limits limits = { sizeof(limits), 0, 0 };

	loam_pages_ops(link)->limits(link->inst, &limits);
	return limits.orders;
}

/** The smallest order whose block has @bytes; may be more than the page allocator serves. 0 bytes: 0. */
static inline unsigned loam_pages_order(size_t bytes)
{
	return bytes <= LOAM_PAGE_SIZE ? 0 : 64 - (unsigned)__builtin_clzl(bytes - 1) - LOAM_PAGE_SHIFT;
}

/** The order of the largest block that begins at frame number @pfn, aligned to its size, and has at most @n > 0 frames. */
static inline unsigned loam_pages_fit(unsigned long pfn, unsigned long n)
{
	unsigned order = pfn ? (unsigned)__builtin_ctzl(pfn) : 63, fits = 63 - (unsigned)__builtin_clzl(n);

	return order < fits ? order : fits;
}

/**
 * Give @n frames from @page on back through @port, in naturally aligned parts. They are the caller's, each given back once,
 * and all of one block that pages_alloc gave through the same port; the rest of the block stays the caller's. Any thread, as
 * pages_free; with no lock held.
 */
static inline void loam_pages_free_range(const struct loam_host *host, const struct loam_port *port, struct page *page,
					 unsigned long n)
{
	while (n) {
		unsigned order = loam_pages_fit(loam_page_pfn(host->map, page), n);

		host->pages_free(port, page, order);
		page += 1ul << order;
		n -= 1ul << order;
	}
}

LOAM_END_DECLS
#endif
