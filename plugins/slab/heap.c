/* SPDX-License-Identifier: MIT */
/*
 * heap.c: the role heap: a cache for each size class (../common/classes.h), runs of frames beyond the largest. kmalloc's classes
 * begin at 32 here, as SLAB's do.
 */
#include "slab.h"

#include <stdio.h>

#define KERNEL_FIRST 2 /* the class of 32 */

/* Objects are aligned as far as their size allows: a power of two to itself. */
static struct cache *class_new(struct slab_heap *heap, uint32_t size, uint32_t flags, const char *prefix)
{
	struct loam_cache_args args = {
		.size = sizeof(args), .owner = heap->owner, .object_size = size, .flags = flags, .align = size & -size
	};
	char name[32];
	int error;

	snprintf(name, sizeof(name), "%s-%u", prefix, size);
	args.name = name;
	return slab_cache_new(heap, &args, &error);
}

int slab_heap_create(struct slab_heap *heap)
{
	uint32_t first = heap->fine ? 0 : KERNEL_FIRST;

	heap->nr_classes = classes_up_to(heap->fine, runs_max(&heap->runs));
	heap->class_max = classes_size(heap->fine, heap->nr_classes - 1);
	for (uint32_t i = first; i < heap->nr_classes; i++) {
		heap->class[i] = class_new(heap, classes_size(heap->fine, i), 0, heap->fine ? "malloc" : "kmalloc");
		if (!heap->class[i])
			return -1;
	}
	for (uint32_t i = 0; i < first; i++)
		heap->class[i] = heap->class[first];
	classes_small(heap->fine, heap->small);
	return 0;
}

/* Classes in zone DMA or DMA32, made when they are first asked for. NULL: it cannot be made, a run will do. */
static struct cache *dma_class(struct slab_heap *heap, size_t bytes, gfp_t gfp)
{
	bool dma32 = !(gfp & __GFP_DMA);
	uint32_t i = classes_kernel_index(bytes > 32 ? bytes : 32);
	struct cache **place = &heap->dma[dma32][i], *cache = __atomic_load_n(place, __ATOMIC_ACQUIRE), *found = NULL;

	if (cache)
		return cache;
	cache = class_new(heap, classes_kernel_size(i), dma32 ? SLAB_CACHE_DMA32 : SLAB_CACHE_DMA,
			  dma32 ? "dma32-kmalloc" : "dma-kmalloc");
	/* Two may come here at once; the second one's cache goes. Release: the other reads a finished cache. */
	if (cache && !__atomic_compare_exchange_n(place, &found, cache, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) {
		slab_cache_free(cache);
		cache = found;
	}
	return cache;
}

static LOAM_NOINLINE void *heap_alloc_slow(struct slab_heap *heap, size_t bytes, size_t align, gfp_t gfp)
{
	struct cache *cache = NULL;
	uint32_t class;

	if (gfp & (__GFP_DMA | __GFP_DMA32) && bytes <= classes_kernel_size(CLASSES_KERNEL - 1) && align <= 32)
		cache = dma_class(heap, bytes, gfp);
	if (cache)
		return slab_alloc_slow(cache, gfp);
	if (bytes > heap->class_max || align > LOAM_PAGE_SIZE || gfp & (__GFP_DMA | __GFP_DMA32))
		return runs_alloc(&heap->runs, bytes, align, gfp);
	class = classes_aligned_index(heap->fine, heap->nr_classes, bytes, align);
	if (class >= heap->nr_classes)
		return runs_alloc(&heap->runs, bytes, align, gfp);
	return slab_alloc_slow(heap->class[class], gfp);
}

static void *heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct slab_heap *heap = inst;
	size_t want = bytes > align ? bytes : align;
	void *object = NULL;

	if (loam_unlikely(gfp & (__GFP_DMA | __GFP_DMA32) || align > 16))
		return heap_alloc_slow(heap, bytes, align, gfp);
	if (loam_likely(want <= CLASSES_SMALL))
		object = array_pop(cache_array(heap->class[heap->small[(want + 7) >> 3]]));
	else if (want <= heap->class_max)
		object = array_pop(cache_array(heap->class[classes_index(heap->fine, want)]));
	return loam_likely(object != NULL) ? object : heap_alloc_slow(heap, bytes, align, gfp);
}

static void heap_free(void *inst, void *ptr, struct page *page)
{
	struct slab_heap *heap = inst;
	struct slab *slab = page_slab(page);
	struct cache *cache = slab->cache;

	if (loam_unlikely(!cache))
		runs_free(&heap->runs, ptr, page);
	else if (loam_unlikely(slab_number(cache, slab, ptr) >= cache->num || !array_push(cache_array(cache), ptr)))
		slab_free_slow(cache, slab, ptr);
}

static size_t heap_usable_size(void *inst, const void *ptr, struct page *page)
{
	const struct slab *slab = page_slab(page);

	(void)inst, (void)ptr;
	return slab->cache ? slab->cache->usable : runs_size(page);
}

static void heap_limits(void *inst, struct loam_heap_limits *limits)
{
	const struct slab_heap *heap = inst;

	limits->caps = LOAM_HEAP_NATURAL | LOAM_HEAP_BAD_FREE;
	limits->max_size = limits->max_align = runs_max(&heap->runs);
	limits->min_align = heap->fine ? 16 : 32;
	limits->max_shared = 8192;
}

const struct loam_heap_ops slab_heap_ops = {
	.size = sizeof(slab_heap_ops),
	.alloc = heap_alloc,
	.free = heap_free,
	.usable_size = heap_usable_size,
	.limits = heap_limits,
};
