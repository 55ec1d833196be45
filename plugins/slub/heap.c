/* SPDX-License-Identifier: MIT */
/*
 * heap.c: the role heap.
 *
 * Requests up to class_max come from caches, one for each size class (../common/classes.h); larger ones are runs of frames
 * (../common/runs.h), with classes = fine of just the pages that they need.
 */
#include "slub.h"

#include <stdio.h>

static struct cache *class_new(struct slub *slub, uint32_t size, uint32_t flags, const char *prefix)
{
	struct loam_cache_args args = {
		.size = sizeof(args), .owner = slub->owner, .object_size = size, .flags = flags
	};
	char name[32];
	int error;

	snprintf(name, sizeof(name), "%s-%u", prefix, size);
	args.name = name;
	return slub_cache_new(slub, &args, &error);
}

int slub_heap_create(struct slub *slub)
{
	slub->nr_classes = classes_up_to(slub->fine, runs_max(&slub->runs));
	slub->class_max = classes_size(slub->fine, slub->nr_classes - 1);
	for (uint32_t i = 0; i < slub->nr_classes; i++) {
		slub->class[i] = class_new(slub, classes_size(slub->fine, i), 0, slub->fine ? "malloc" : "kmalloc");
		if (!slub->class[i])
			return -1;
	}
	classes_small(slub->fine, slub->small);
	return 0;
}

/* ---- the role ---- */

/* Classes in zone DMA or DMA32, made when they are first asked for. NULL: it cannot be made, a run will do. */
static struct cache *dma_class(struct slub *slub, size_t bytes, gfp_t gfp)
{
	bool dma32 = !(gfp & __GFP_DMA);
	/* With fine classes every block is aligned to 16. */
	uint32_t i = classes_kernel_index(slub->fine && bytes < 16 ? 16 : bytes);
	struct cache **place = &slub->dma[dma32][i], *cache = __atomic_load_n(place, __ATOMIC_ACQUIRE), *found = NULL;

	if (cache)
		return cache;
	cache = class_new(slub, classes_kernel_size(i), dma32 ? SLAB_CACHE_DMA32 : SLAB_CACHE_DMA,
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
	struct cache *cache = NULL;
	uint32_t class;

	if (gfp & (__GFP_DMA | __GFP_DMA32) && bytes <= classes_kernel_size(CLASSES_KERNEL - 1) && align <= 8)
		cache = dma_class(slub, bytes, gfp);
	if (cache)
		return slub_alloc_slow(cache, gfp);
	if (bytes > slub->class_max || align > LOAM_PAGE_SIZE || gfp & (__GFP_DMA | __GFP_DMA32))
		return runs_alloc(&slub->runs, bytes, align, gfp);
	class = classes_aligned_index(slub->fine, slub->nr_classes, bytes, align);
	if (class >= slub->nr_classes)
		return runs_alloc(&slub->runs, bytes, align, gfp);
	return slub_alloc_slow(slub->class[class], gfp);
}

static void *heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct slub *slub = inst;
	size_t want = bytes > align ? bytes : align;
	struct area *area;
	void *object;

	/* Classes stand in the slots of their own numbers: they are the instance's first caches. */
	if (loam_likely(want <= CLASSES_SMALL && align <= 16 && !(gfp & (__GFP_DMA | __GFP_DMA32)))) {
		area = loam_area(&slub->local);
		if (loam_likely(area != NULL)) {
			object = slub_pop(&area->slots[slub->small[(want + 7) >> 3]], 0);
			if (loam_likely(object != NULL))
				return object;
		}
	} else if (want <= slub->class_max && align <= 16 && !(gfp & (__GFP_DMA | __GFP_DMA32))) {
		area = loam_area(&slub->local);
		object = area ? slub_pop(&area->slots[classes_index(slub->fine, want)], 0) : NULL;
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
	if (loam_unlikely(slab == &slub->run_mark))
		runs_free(&slub->runs, ptr, page);
	else
		slub_free_slow(slab, ptr, area);
}

static size_t heap_usable_size(void *inst, const void *ptr, struct page *page)
{
	const struct slub *slub = inst;
	const struct slab *slab = slub_page_slab(page);

	(void)ptr;
	return slab == &slub->run_mark ? runs_size(page) : slab->cache->usable;
}

static void heap_limits(void *inst, struct loam_heap_limits *limits)
{
	const struct slub *slub = inst;

	limits->caps = LOAM_HEAP_NATURAL;
	limits->max_size = runs_max(&slub->runs);
	limits->max_align = runs_max(&slub->runs);
	limits->min_align = slub->fine ? 16 : 8;
	limits->max_shared = 8192;
}

const struct loam_heap_ops slub_heap_ops = {
	.size = sizeof(slub_heap_ops),
	.alloc = heap_alloc,
	.free = heap_free,
	.usable_size = heap_usable_size,
	.limits = heap_limits,
};
