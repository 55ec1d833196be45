/* SPDX-License-Identifier: MIT */
/*
 * heap.c: the role heap.
 *
 * Requests up to class_max come from caches, one for each size class; larger ones are runs of frames. classes = kernel has
 * kmalloc's classes (8 to 8192, powers of two with 96 and 192) and blocks of 2^order pages. classes = fine has steps of 16
 * bytes up to 128, then eight classes for each doubling up to 32 KiB, so that at most one eighth of a block is waste; a run
 * has just the pages that it needs, what is left of its power of two goes back at once.
 */
#include "slub.h"

#include <stdio.h>
#include <string.h>

#define FINE_MAX 32768u

/* ---- size classes ---- */

static const uint16_t kernel_sizes[SLUB_KERNEL_CLASSES] = { 8,	 16,  32,  64,	 96,   128, 192,
							    256, 512, 1024, 2048, 4096, 8192 };

static uint32_t fine_index(size_t bytes)
{
	uint32_t log;

	if (bytes <= 128)
		return (uint32_t)((bytes + 15) / 16 - 1);
	log = 63 - (uint32_t)__builtin_clzl(bytes - 1);
	return 8 + (log - 7) * 8 + (uint32_t)((bytes - 1) >> (log - 3)) - 8;
}

static uint32_t fine_size(uint32_t index)
{
	if (index < 8)
		return (index + 1) * 16;
	index -= 8;
	return (index % 8 + 9) << (index / 8 + 4);
}

static uint32_t kernel_index(size_t bytes)
{
	uint32_t i = 0;

	while (kernel_sizes[i] < bytes)
		i++;
	return i;
}

static uint32_t class_index(const struct slub *slub, size_t bytes)
{
	return slub->fine ? fine_index(bytes) : kernel_index(bytes);
}

static uint32_t class_size(const struct slub *slub, uint32_t index)
{
	return slub->fine ? fine_size(index) : kernel_sizes[index];
}

/* The smallest class whose every object has the alignment: slabs begin at a page, so the size must be a multiple of it. */
static uint32_t aligned_class(const struct slub *slub, size_t bytes, size_t align)
{
	uint32_t i = class_index(slub, bytes > align ? bytes : align);

	while (i < slub->nr_classes && class_size(slub, i) % align)
		i++;
	return i;
}

static struct cache *class_new(struct slub *slub, uint32_t size, uint32_t flags, const char *prefix)
{
	struct loam_cache_args args = { .size = sizeof(args), .owner = slub->owner, .object_size = size, .flags = flags };
	char name[32];
	int error;

	snprintf(name, sizeof(name), "%s-%u", prefix, size);
	args.name = name;
	return slub_cache_new(slub, &args, &error);
}

int slub_heap_create(struct slub *slub)
{
	slub->nr_classes = slub->fine ? SLUB_CLASSES : SLUB_KERNEL_CLASSES;
	slub->class_max = class_size(slub, slub->nr_classes - 1);
	while (slub->class_max > slub->block_max)
		slub->class_max = class_size(slub, --slub->nr_classes - 1);
	for (uint32_t i = 0; i < slub->nr_classes; i++) {
		slub->class[i] = class_new(slub, class_size(slub, i), 0, slub->fine ? "malloc" : "kmalloc");
		if (!slub->class[i])
			return -1;
	}
	for (size_t bytes = 1; bytes <= SLUB_SMALL_MAX; bytes += 8)
		slub->small[(bytes + 7) / 8] = (uint8_t)class_index(slub, bytes + 7);
	slub->small[0] = slub->small[1];
	return 0;
}

/* ---- runs of frames ---- */

/* Give back frames [@page, @page + @n) in naturally aligned pieces. */
static void frames_free(struct slub *slub, struct page *page, unsigned long n)
{
	unsigned long pfn = loam_page_pfn(slub->map, page);

	while (n) {
		unsigned order = pfn ? (unsigned)__builtin_ctzl(pfn) : 63, fits = 63 - (unsigned)__builtin_clzl(n);

		order = order < fits ? order : fits;
		slub->host->pages_free(slub->pages, slub->map->pages + pfn, order);
		pfn += 1ul << order;
		n -= 1ul << order;
	}
}

static unsigned order_of(size_t bytes)
{
	return bytes <= LOAM_PAGE_SIZE ? 0 : 64 - (unsigned)__builtin_clzl(bytes - 1) - LOAM_PAGE_SHIFT;
}

/* The links of a run: own[1] and own[2] of its first frame. */
static struct list_head *run_node(struct page *page)
{
	return (struct list_head *)&page->own[1];
}

static void *large_alloc(struct slub *slub, size_t bytes, size_t align, gfp_t gfp)
{
	unsigned long n = (bytes + LOAM_PAGE_SIZE - 1) >> LOAM_PAGE_SHIFT;
	unsigned order = order_of(bytes > align ? bytes : align);
	struct page *page = NULL;

	if (order < slub->orders)
		page = slub->host->pages_alloc(slub->pages, gfp & ~(__GFP_HIGHMEM | __GFP_MOVABLE), order, slub->owner);
	if (!page) {
		count_add(&slub->large_failures, 1);
		return NULL;
	}
	if (slub->fine && n < 1ul << order)
		frames_free(slub, page + n, (1ul << order) - n);
	else
		n = 1ul << order;
	for (unsigned long i = 0; i < n; i++)
		page[i].own[0] = &slub->large_mark;
	page->index = n;
	loam_lock(slub->host, &slub->large_lock);
	list_add(run_node(page), &slub->large);
	loam_unlock(slub->host, &slub->large_lock);
	count_add(&slub->large_allocs, 1);
	count_add(&slub->large_bytes, n << LOAM_PAGE_SHIFT);
	return loam_page_ptr(slub->map, page);
}

static void large_free(struct slub *slub, void *ptr, struct page *page)
{
	unsigned long n = page->index;

	if ((uintptr_t)ptr % LOAM_PAGE_SIZE || loam_page_head(page) != page) {
		slub->host->report(slub->self, LOAM_REPORT_BAD_FREE, ptr, "not the start of a block");
		return;
	}
	loam_lock(slub->host, &slub->large_lock);
	list_del(run_node(page));
	loam_unlock(slub->host, &slub->large_lock);
	count_add(&slub->large_frees, 1);
	count_add(&slub->large_bytes, -(n << LOAM_PAGE_SHIFT));
	frames_free(slub, page, n);
}

void slub_heap_destroy(struct slub *slub)
{
	list_for_each_safe(pos, &slub->large)
	{
		struct page *page = list_of(pos, struct page, own[1]);

		frames_free(slub, page, page->index);
	}
}

/* ---- the role ---- */

/* Classes in zone DMA or DMA32, made when they are first asked for. */
static struct cache *dma_class(struct slub *slub, size_t bytes, gfp_t gfp)
{
	bool dma32 = !(gfp & __GFP_DMA);
	uint32_t i = kernel_index(bytes);
	struct cache **place = &slub->dma[dma32][i], *cache = __atomic_load_n(place, __ATOMIC_ACQUIRE), *found = NULL;

	if (cache)
		return cache;
	cache = class_new(slub, kernel_sizes[i], dma32 ? SLAB_CACHE_DMA32 : SLAB_CACHE_DMA,
			  dma32 ? "dma32-kmalloc" : "dma-kmalloc");
	/* Two may come here at once; the second one's cache goes. Release: the other reads a finished cache. */
	if (cache && !__atomic_compare_exchange_n(place, &found, cache, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) {
		slub_cache_free(cache);
		cache = found;
	}
	return cache;
}

static LOAM_NOINLINE void *heap_alloc_slow(struct slub *slub, size_t bytes, size_t align, gfp_t gfp)
{
	uint32_t class;

	if (gfp & (__GFP_DMA | __GFP_DMA32) && bytes <= kernel_sizes[SLUB_KERNEL_CLASSES - 1] && align <= 8) {
		struct cache *cache = dma_class(slub, bytes, gfp);

		return cache ? slub_alloc_slow(cache, gfp) : NULL;
	}
	if (bytes > slub->class_max || align > LOAM_PAGE_SIZE || gfp & (__GFP_DMA | __GFP_DMA32))
		return large_alloc(slub, bytes, align, gfp);
	class = aligned_class(slub, bytes, align);
	if (class >= slub->nr_classes)
		return large_alloc(slub, bytes, align, gfp);
	return slub_alloc_slow(slub->class[class], gfp);
}

static void *heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct slub *slub = inst;
	size_t want = bytes > align ? bytes : align;
	struct area *area;
	void *object;

	/* Classes stand in the slots of their own numbers: they are the instance's first caches. */
	if (loam_likely(want <= SLUB_SMALL_MAX && align <= 16 && !(gfp & (__GFP_DMA | __GFP_DMA32)))) {
		area = loam_area(&slub->local);
		if (loam_likely(area != NULL)) {
			object = slub_pop(&area->slots[slub->small[(want + 7) >> 3]], 0);
			if (loam_likely(object != NULL))
				return object;
		}
	} else if (want <= slub->class_max && align <= 16 && !(gfp & (__GFP_DMA | __GFP_DMA32))) {
		area = loam_area(&slub->local);
		object = area ? slub_pop(&area->slots[class_index(slub, want)], 0) : NULL;
		if (object)
			return object;
	}
	return heap_alloc_slow(slub, bytes, align, gfp);
}

static void heap_free(void *inst, void *ptr, struct page *page)
{
	struct slub *slub = inst;
	struct slab *slab = slub_page_slab(page);
	struct area *area = loam_area(&slub->local);

	/* Relaxed: only this very thread ever stores its own area there, so equality is never stale. */
	if (loam_likely(__atomic_load_n(&slab->fast, __ATOMIC_RELAXED) == area) &&
	    loam_likely(slub_push((struct slot *)((char *)area + slab->slot_offset), slab, ptr, 0)))
		return;
	if (loam_unlikely(slab == &slub->large_mark))
		large_free(slub, ptr, page);
	else
		slub_free_slow(slab, ptr, area);
}

static size_t heap_usable_size(void *inst, const void *ptr, struct page *page)
{
	const struct slub *slub = inst;
	const struct slab *slab = slub_page_slab(page);

	(void)ptr;
	return slab == &slub->large_mark ? page->index << LOAM_PAGE_SHIFT : slab->cache->usable;
}

static void heap_limits(void *inst, struct loam_heap_limits *limits)
{
	const struct slub *slub = inst;

	limits->caps = LOAM_HEAP_NATURAL;
	limits->max_size = slub->block_max;
	limits->max_align = slub->block_max;
	limits->min_align = slub->fine ? 16 : 8;
}

const struct loam_heap_ops slub_heap_ops = {
	.size = sizeof(slub_heap_ops),
	.alloc = heap_alloc,
	.free = heap_free,
	.usable_size = heap_usable_size,
	.limits = heap_limits,
};
