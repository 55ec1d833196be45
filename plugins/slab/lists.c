/* SPDX-License-Identifier: MIT */
/* lists.c: slabs: made, coloured, kept on three lists, given back. */
#include "slab.h"

/* ---- making and unmaking: without the lock ---- */

static char *slab_base(const struct slab *slab)
{
	return loam_page_ptr(slab->cache->heap->map, slab->page);
}

/** What ../common/slabdebug.h looks at. Under the lock. */
struct slabdebug_slab slab_view(const struct slab *slab)
{
	const struct cache *cache = slab->cache;
	struct slabdebug_slab view = { .base = slab_base(slab),
				       .places = slab->objects,
				       .bytes = LOAM_PAGE_SIZE << cache->order,
				       .num = cache->num,
				       .used = slab->active };

	if (slab->active < cache->num)
		view.free = slab->objects + (size_t)slab->free[slab->active] * cache->size;
	return view;
}

/* A block of frames for a slab. */
static struct page *slab_getpages(struct cache *cache, gfp_t gfp)
{
	struct slab_heap *heap = cache->heap;

	gfp = (gfp & ~(__GFP_HIGHMEM | __GFP_MOVABLE)) | cache->gfp;
	return heap->host->pages_alloc(heap->pages, gfp, cache->order, cache->pub.owner);
}

static uint32_t slab_colour(struct cache *cache)
{
	uint32_t colour;

	loam_lock(cache->heap->host, &cache->lock);
	colour = cache->next_colour++;
	if (cache->next_colour >= cache->colours)
		cache->next_colour = 0;
	loam_unlock(cache->heap->host, &cache->lock);
	return colour * cache->colour_step;
}

/* Constructed objects are built now, for all their lives. */
static void slab_fill(struct cache *cache, struct slab *slab)
{
	for (uint32_t i = 0; i < cache->num; i++)
		slab->free[i] = (uint16_t)i;
	if (cache->debug) {
		struct slabdebug_slab view = slab_view(slab);

		slabdebug_fill(&cache->layout, &view);
	}
	for (uint32_t i = 0; cache->ctor && i < cache->num; i++)
		cache->ctor(slab->objects + (size_t)i * cache->size + cache->layout.left);
}

/** A new empty slab, on the list. False: no memory. May sleep, so without the lock. */
bool slab_grow(struct cache *cache, gfp_t gfp)
{
	struct slab_heap *heap = cache->heap;
	struct page *page = slab_getpages(cache, gfp);
	char *base = page ? loam_page_ptr(heap->map, page) : NULL;
	uint32_t colour = page ? slab_colour(cache) : 0;
	struct slab *slab;

	if (!page)
		return false;
	slab = cache->off_slab ? heap->host->meta_alloc(heap->self, cache->mgmt, 0) : (struct slab *)(base + colour);
	if (!slab) {
		heap->host->pages_free(heap->pages, page, cache->order);
		return false;
	}
	slab->cache = cache;
	slab->page = page;
	slab->active = 0;
	slab->colour = colour;
	slab->objects = base + colour;
	if (!cache->off_slab)
		slab->objects = base + ((colour + cache->mgmt + cache->align - 1) & ~(cache->align - 1));
	for (unsigned long i = 0; i < 1ul << cache->order; i++)
		page[i].own[0] = slab;
	slab_fill(cache, slab);
	loam_lock(heap->host, &cache->lock);
	list_add(&slab->node, &cache->empty);
	count_add(&cache->nr_slabs, 1);
	count_add(&cache->nr_free, cache->num);
	loam_unlock(heap->host, &cache->lock);
	return true;
}

/** The end of a slab that is on no list. */
void slab_discard(struct cache *cache, struct slab *slab)
{
	struct slab_heap *heap = cache->heap;
	struct page *page = slab->page;

	for (uint32_t i = 0; cache->dtor && i < cache->num; i++)
		cache->dtor(slab->objects + (size_t)i * cache->size + cache->layout.left);
	if (cache->off_slab)
		heap->host->meta_free(heap->self, slab, cache->mgmt);
	heap->host->pages_free(heap->pages, page, cache->order);
}

/** Discard the slabs of a list of the caller's own. Returns the number of frames. */
unsigned long slab_discard_all(struct cache *cache, struct list_head *slabs)
{
	unsigned long frames = 0;

	list_for_each_safe (pos, slabs) {
		slab_discard(cache, list_of(pos, struct slab, node));
		frames += 1ul << cache->order;
	}
	return frames;
}

/* ---- objects in and out: under the lock ---- */

static struct slab *slab_first(const struct cache *cache)
{
	const struct list_head *list = list_empty(&cache->partial) ? &cache->empty : &cache->partial;

	return list_empty(list) ? NULL : list_of(list->next, struct slab, node);
}

/** An object's place of a partial slab, or of an empty one; NULL: the cache must grow. */
void *slab_take(struct cache *cache)
{
	struct slab *slab = slab_first(cache);
	uint32_t i;

	if (!slab)
		return NULL;
	i = slab->free[slab->active++];
	count_add(&cache->nr_free, -1ull);
	list_move(&slab->node, slab->active == cache->num ? &cache->full : &cache->partial);
	return slab->objects + (size_t)i * cache->size;
}

/**
 * Put an object's place back into its slab. A slab that becomes empty goes to @gone when there are enough. False: it is no
 * object's place, or is free already; the caller reports.
 */
bool slab_put(struct cache *cache, struct slab *slab, void *object, struct list_head *gone)
{
	uint32_t i = slab_number(cache, slab, object);

	if (i >= cache->num || !slab->active)
		return false;
	slab->free[--slab->active] = (uint16_t)i;
	count_add(&cache->nr_free, 1);
	if (slab->active) {
		list_move(&slab->node, &cache->partial);
	} else if (cache->nr_free > cache->free_limit) {
		list_move(&slab->node, gone);
		count_add(&cache->nr_free, -(uint64_t)cache->num);
		count_add(&cache->nr_slabs, -1ull);
	} else {
		list_move(&slab->node, &cache->empty);
	}
	return true;
}

/* ---- reaping ---- */

/** Give back empty slabs, about @pages frames of them. Returns the number of frames. May sleep. */
unsigned long slab_reap(struct cache *cache, unsigned long pages)
{
	LIST_HEAD(gone);
	unsigned long frames = 0;

	loam_lock(cache->heap->host, &cache->lock);
	while (!list_empty(&cache->empty) && frames < pages) {
		list_move(cache->empty.next, &gone);
		count_add(&cache->nr_free, -(uint64_t)cache->num);
		count_add(&cache->nr_slabs, -1ull);
		frames += 1ul << cache->order;
	}
	loam_unlock(cache->heap->host, &cache->lock);
	return slab_discard_all(cache, &gone);
}
