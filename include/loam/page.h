/* SPDX-License-Identifier: MIT */
/*
 * page.h: struct page, one for each frame of the machine's memory, and the map from addresses to frames.
 *
 * A frame's struct page is all zero until the frame is first handed out: zero means "never used", so a machine with much
 * memory boots without touching its page array.
 *
 * Who writes what:
 *   - `owner` and `block` are the host's. A consumer that takes a block claims it once (loam_host.pages_alloc does it); every
 *     frame of the block then says whose it is and where the block begins, so any interior address finds both in O(1).
 *   - the words own[], `index` and `priv` belong to the holder of the block: to the page allocator while the block is free,
 *     to an object allocator while it is one of its slabs, and to a driver (as lru, mapping, index, private) when the driver
 *     took the page itself. `index` and `priv` keep the kernel's meaning for drivers.
 *   - `_mapcount` is 0 in a frame that is held and mapped nowhere; while a block is free, a page allocator may mark its first
 *     frame there by a negative number, with relaxed atomics, since neighbours of held frames are looked at.
 *   - `flags` carries the zone in its low bits (LOAM_PAGE_ZONE_MASK) from the frame's first use; the rest is the holder's.
 *
 * The layout is ABI: 64 bytes, asserted below and by tests/abi.
 */
#ifndef LOAM_PAGE_H
#define LOAM_PAGE_H

#include <loam/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct address_space;

/** One frame of 4 KiB. */
struct page {
	unsigned long flags; /* low bits: zone; the rest: the holder's */
	int _refcount;       /* users of the block, on its first frame; atomic */
	int _mapcount;       /* user mappings, less one in the kernel's counting; atomic */
	union {
		struct {
			struct list_head lru;
			struct address_space *mapping;
		};
		void *own[3]; /* three words for the holder of the block */
	};
	unsigned long index;
#ifdef __cplusplus
	unsigned long priv; /* the kernel calls it `private`, a keyword of C++ */
#else
	union {
		unsigned long private;
		unsigned long priv;
	};
#endif
	uint32_t owner; /* host: owner id, 0 = not given out */
	uint32_t block; /* host: frames back to the block's first << 8 | order of the block */
};

LOAM_STATIC_ASSERT(sizeof(struct page) == 64, "struct page is 64 bytes");
LOAM_STATIC_ASSERT(offsetof(struct page, own) == 16, "struct page: own at 16");
LOAM_STATIC_ASSERT(offsetof(struct page, owner) == 56, "struct page: owner at 56");

/** Low bits of page->flags that hold the zone. */
#define LOAM_PAGE_ZONE_MASK 7ul

/**
 * Where the machine's memory is. Filled at boot, constant until halt; plugins reach it as host->map.
 *
 * Low memory, frames [0, low_pages), is mapped once and linearly at `base`. Frames [low_pages, pages) are high memory and
 * have no address until a kmap or vmap backend gives them one.
 */
struct loam_map {
	char *base;             /* address of frame 0 */
	size_t low_bytes;       /* bytes that are mapped at base */
	struct page *pages;     /* the page array, one element a frame */
	unsigned long nr_pages; /* frames in all, high memory included */
};

/** The frame's number. */
static inline unsigned long loam_page_pfn(const struct loam_map *map, const struct page *page)
{
	return (unsigned long)(page - map->pages);
}

/** The frame that holds a linear address, or NULL when @ptr is not in the machine's low memory. Any thread, never sleeps. */
static inline struct page *loam_ptr_page(const struct loam_map *map, const void *ptr)
{
	size_t off = (size_t)((uintptr_t)ptr - (uintptr_t)map->base);

	return loam_likely(off < map->low_bytes) ? map->pages + (off >> LOAM_PAGE_SHIFT) : NULL;
}

/** The linear address of a frame; NULL for high memory. */
static inline void *loam_page_ptr(const struct loam_map *map, const struct page *page)
{
	size_t off = (size_t)loam_page_pfn(map, page) << LOAM_PAGE_SHIFT;

	return loam_likely(off < map->low_bytes) ? map->base + off : NULL;
}

/** The first frame of the block that @page is part of. Valid while the block is held. */
static inline struct page *loam_page_head(struct page *page)
{
	return page - (page->block >> 8);
}

/** The order of the block that @page is part of. Valid while the block is held. */
static inline unsigned loam_page_order(const struct page *page)
{
	return page->block & 0xff;
}

#ifdef __cplusplus
}
#endif
#endif
