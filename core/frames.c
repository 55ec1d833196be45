/* SPDX-License-Identifier: MIT */
/*
 * frames.c: the policy over a page allocator: which zone, how deep, and what happens when there is nothing.
 *
 * A plugin only tries, once, in one zone. Here a request walks the zones from the highest it may use down to DMA. The first
 * round stops at each zone's `low` watermark. Where that fails, a slow path that no fast path shares goes down to `min`, and
 * deeper for those who may use the reserve; then, for a caller that may sleep, reclaims as long as that yields something, and
 * waits for others to free (reclaim.c); then reports and fails. Everything here runs outside the plugins' locks.
 *
 * The rules of the reserve (kernel-semantics of Linux 6.1): __GFP_HIGH may take half of `min`; a request that cannot sleep and
 * has __GFP_HIGH a quarter of the rest; __GFP_MEMALLOC takes no notice of watermarks; __GFP_NOMEMALLOC takes these rights
 * away. With reserve = old, GFP_ATOMIC may take the last page.
 */
#include "internal.h"

#include <string.h>
#include <sys/mman.h>

#define RELEASE_ORDER 4 /* blocks of 64 KiB and more go back to the system */

static unsigned highest_zone(gfp_t gfp)
{
	if (gfp & __GFP_DMA)
		return LOAM_ZONE_DMA;
	if (gfp & __GFP_DMA32)
		return LOAM_ZONE_DMA32;
	if ((gfp & (__GFP_HIGHMEM | __GFP_MOVABLE)) == (__GFP_HIGHMEM | __GFP_MOVABLE))
		return LOAM_ZONE_MOVABLE;
	return gfp & __GFP_HIGHMEM ? LOAM_ZONE_HIGHMEM : LOAM_ZONE_NORMAL;
}

static bool above(const struct loam__zone *zone, unsigned order, unsigned highest, unsigned long mark)
{
	unsigned long need = mark + zone->lowmem_reserve[highest] + (1ul << order) - 1;

	return loam__zone_free(zone) > need;
}

/* ---- claiming ---- */

/*
 * Plain stores: the block is the caller's alone until it hands it on, and handing on orders them. Threads that hold
 * other blocks read other frames.
 */
static void claim(struct page *page, unsigned order, uint32_t owner, unsigned zone)
{
	for (unsigned long i = 0; i < 1ul << order; i++) {
		page[i].flags = zone;
		page[i].owner = owner;
		page[i].block = (uint32_t)(i << 8 | order);
	}
	page->_refcount = 1;
}

static void clear_high(struct page *page, size_t bytes)
{
	off_t at = (off_t)(loam_page_pfn(&loam__machine.map, page) << LOAM_PAGE_SHIFT);
	void *window = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, loam__machine.memfd, at);

	if (window == MAP_FAILED)
		return;
	memset(window, 0, bytes);
	munmap(window, bytes);
}

static void clear(struct page *page, unsigned order)
{
	void *at = loam_page_ptr(&loam__machine.map, page);

	if (at)
		memset(at, 0, LOAM_PAGE_SIZE << order);
	else
		clear_high(page, LOAM_PAGE_SIZE << order);
}

/* One try in one zone. */
static struct page *try_zone(const struct loam_link *link, struct loam__zone *zone, gfp_t gfp, unsigned order,
			     uint32_t owner)
{
	unsigned flags = (gfp & __GFP_COLD ? LOAM_PAGES_COLD : 0) | (gfp & __GFP_MOVABLE ? LOAM_PAGES_MOVABLE : 0);
	struct page *page = loam_pages_ops(link)->alloc(link->inst, &zone->pub, order, flags);

	if (!page)
		return NULL;
	__atomic_fetch_sub(&zone->free, 1ul << order, __ATOMIC_RELAXED);
	claim(page, order, owner, zone->pub.id);
	if (gfp & __GFP_ZERO)
		clear(page, order);
	return page;
}

/* ---- the slow path ---- */

/* How much of `min` the request must leave, by the machine's rule. */
static unsigned long min_mark(const struct loam__zone *zone, gfp_t gfp)
{
	unsigned long min = zone->wmark_min;

	if (gfp & __GFP_NOMEMALLOC)
		return min;
	if (gfp & __GFP_MEMALLOC)
		return 0;
	if (!(gfp & __GFP_HIGH))
		return min;
	min -= min / 2;
	return gfp & __GFP_DIRECT_RECLAIM || loam__machine.reserve == LOAM_RESERVE_OLD ? min : min - min / 4;
}

static struct page *try_deep(const struct loam_link *link, gfp_t gfp, unsigned order, uint32_t owner)
{
	unsigned highest = highest_zone(gfp);
	bool old =
		loam__machine.reserve == LOAM_RESERVE_OLD && (gfp & (__GFP_HIGH | __GFP_DIRECT_RECLAIM)) == __GFP_HIGH;
	bool all = (gfp & __GFP_MEMALLOC || old) && !(gfp & __GFP_NOMEMALLOC);

	for (int i = (int)highest; i >= 0; i--) {
		struct loam__zone *zone = &loam__machine.zones[i];
		struct page *page;

		if (!zone->pub.managed || !(all || above(zone, order, highest, min_mark(zone, gfp))))
			continue;
		page = try_zone(link, zone, gfp, order, owner);
		if (page)
			return page;
	}
	return NULL;
}

static LOAM_COLD struct page *alloc_slow(const struct loam_link *link, gfp_t gfp, unsigned order, uint32_t owner)
{
	struct page *page;
	unsigned rounds = 0;

	if (order >= loam__machine.orders) {
		static bool told; /* atomic; once in a process */

		if (!(gfp & __GFP_NOWARN) && !__atomic_exchange_n(&told, true, __ATOMIC_RELAXED))
			loam__log(LOAM_LOG_WARN, "page allocation of order %u: the largest is %u", order,
				  loam__machine.orders - 1);
		return NULL;
	}
	if (gfp & __GFP_KSWAPD_RECLAIM)
		loam__wake_reclaimer();
	/* Who reclaims gets what is there, for that frees more. */
	if (loam__reclaiming && !(gfp & __GFP_NOMEMALLOC))
		gfp |= __GFP_MEMALLOC;
	page = try_deep(link, gfp, order, owner);
	while (!page && loam__relieve(gfp, order, &rounds))
		/* Who must not fail may have the reserve in the end. */
		page = try_deep(link, gfp & __GFP_NOFAIL && rounds > 1 ? gfp | __GFP_MEMALLOC : gfp, order, owner);
	if (!page && !(gfp & __GFP_NOWARN))
		loam__report_failure(gfp, order, owner);
	return page;
}

/* ---- the services ---- */

struct page *loam__pages_alloc(const struct loam_port *port, gfp_t gfp, unsigned order, uint32_t owner)
{
	const struct loam_link *link = loam_port_link(port);
	unsigned highest = highest_zone(gfp);

	for (int i = (int)highest; i >= 0 && order < loam__machine.orders; i--) {
		struct loam__zone *zone = &loam__machine.zones[i];
		struct page *page;

		if (!zone->pub.managed || !above(zone, order, highest, zone->wmark_low))
			continue;
		page = try_zone(link, zone, gfp, order, owner);
		if (loam_likely(page != NULL))
			return page;
	}
	return alloc_slow(link, gfp, order, owner);
}

/* The frames' memory back to the system, when the machine is set to. */
static void release(struct page *page, unsigned order)
{
	char *at = loam_page_ptr(&loam__machine.map, page);
	int advice = loam__machine.release == LOAM_RELEASE_LAZY ? MADV_FREE : MADV_DONTNEED;

	if (!at || order < RELEASE_ORDER)
		return;
	if (loam__machine.backing == LOAM_BACKING_MEMFD)
		advice = MADV_REMOVE;
	madvise(at, LOAM_PAGE_SIZE << order, advice);
}

void loam__pages_free(const struct loam_port *port, struct page *page, unsigned order)
{
	const struct loam_link *link = loam_port_link(port);
	struct loam__zone *zone = &loam__machine.zones[page->flags & LOAM_PAGE_ZONE_MASK];

	for (unsigned long i = 0; i < 1ul << order; i++) {
		page[i].owner = 0;
		page[i].block = 0;
	}
	page->_refcount = 0;
	if (loam__machine.release != LOAM_RELEASE_NEVER)
		release(page, order);
	loam_pages_ops(link)->free(link->inst, &zone->pub, page, order);
	__atomic_fetch_add(&zone->free, 1ul << order, __ATOMIC_RELAXED);
	if (loam_unlikely(__atomic_load_n(&loam__frame_waiters, __ATOMIC_RELAXED)))
		loam__frames_freed();
}

/* As many as the zone has above its `low` watermark, by the plugin's own bulk op or one by one. */
static unsigned bulk_zone(const struct loam_link *link, struct loam__zone *zone, unsigned highest, gfp_t gfp,
			  unsigned n, struct page **out, uint32_t owner)
{
	unsigned long keep = zone->wmark_low + zone->lowmem_reserve[highest], have = loam__zone_free(zone);
	const struct loam_pages_ops *ops = loam_pages_ops(link);
	unsigned got = 0;

	if (have <= keep)
		return 0;
	n = n < have - keep ? n : (unsigned)(have - keep);
	if (ops->alloc_bulk)
		got = ops->alloc_bulk(link->inst, &zone->pub, n, out, 0);
	while (!ops->alloc_bulk && got < n && (out[got] = ops->alloc(link->inst, &zone->pub, 0, 0)))
		got++;
	__atomic_fetch_sub(&zone->free, got, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < got; i++) {
		claim(out[i], 0, owner, zone->pub.id);
		if (gfp & __GFP_ZERO)
			clear(out[i], 0);
	}
	return got;
}

unsigned loam__pages_alloc_bulk(const struct loam_port *port, gfp_t gfp, unsigned n, struct page **out, uint32_t owner)
{
	const struct loam_link *link = loam_port_link(port);
	unsigned highest = highest_zone(gfp), got = 0;

	for (int i = (int)highest; i >= 0 && got < n; i--)
		if (loam__machine.zones[i].pub.managed)
			got += bulk_zone(link, &loam__machine.zones[i], highest, gfp, n - got, out + got, owner);
	/* At least one the long way, as the kernel's bulk call does. */
	if (!got && n && (out[0] = alloc_slow(link, gfp, 0, owner)))
		got = 1;
	return got;
}

void loam__pages_free_bulk(const struct loam_port *port, unsigned n, struct page **pages)
{
	for (unsigned i = 0; i < n; i++)
		loam__pages_free(port, pages[i], 0);
}

unsigned long loam__frames_used(void)
{
	unsigned long used = 0;

	for (unsigned i = 0; i < LOAM_ZONES; i++)
		used += loam__machine.zones[i].pub.managed - loam__zone_free(&loam__machine.zones[i]);
	return used;
}
