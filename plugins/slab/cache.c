/* SPDX-License-Identifier: MIT */
/* cache.c: caches and the role objects. */
#include "slab.h"

#include "../common/misuse.h"

#include <errno.h>
#include <stdio.h>

#define OFF_SLAB (LOAM_PAGE_SIZE / 8) /* from this size on the record lies elsewhere */

/* ---- the layout of a slab ---- */

static size_t record_bytes(uint32_t num)
{
	return sizeof(struct slab) + num * sizeof(uint16_t);
}

/* Bytes of a slab that objects and an on-slab record take; the colour comes on top. */
static size_t slab_used(const struct cache *cache, uint32_t num)
{
	size_t record = cache->off_slab ? 0 : (record_bytes(num) + cache->align - 1) & ~(size_t)(cache->align - 1);

	return record + (size_t)num * cache->size;
}

static uint32_t objects_in(const struct cache *cache, size_t bytes)
{
	size_t num = bytes / cache->size;

	num = num < SLAB_MAX_OBJECTS ? num : SLAB_MAX_OBJECTS;
	while (num && slab_used(cache, (uint32_t)num) > bytes)
		num--;
	return (uint32_t)num;
}

/*
 * The first order that wastes at most an eighth. Linux stops at order 1 whatever the waste; the heap's fine classes are for
 * programs that allocate much, and want slabs that hold enough.
 */
static bool order_choose(struct cache *cache, unsigned orders)
{
	uint32_t least = cache->heap->fine ? (cache->size <= 1024 ? 32 : 8) : 1, stop = cache->heap->fine ? 4 : 1;

	for (cache->order = 0; cache->order < orders; cache->order++) {
		size_t bytes = LOAM_PAGE_SIZE << cache->order;

		cache->num = objects_in(cache, bytes);
		if (!cache->num)
			continue;
		if (cache->order >= stop || cache->order + 1 == orders)
			break;
		if (cache->num >= least && (bytes - slab_used(cache, cache->num)) * 8 <= bytes)
			break;
	}
	return cache->num && cache->order < orders;
}

/* As in Linux: the larger the object the fewer wait in an array. */
static uint32_t array_limit(uint32_t size)
{
	return size > 131072 ? 1 : size > 4096 ? 8 : size > 1024 ? 24 : size > 256 ? 54 : 120;
}

static bool cache_layout(struct cache *cache, unsigned orders)
{
	size_t left;

	/* What is written beyond an object of a debugged cache shall not reach the record. */
	cache->off_slab = cache->debug || cache->size >= OFF_SLAB;
	if (!order_choose(cache, orders))
		return false;
	left = (LOAM_PAGE_SIZE << cache->order) - slab_used(cache, cache->num);
	cache->mgmt = (uint32_t)record_bytes(cache->num);
	cache->reciprocal = ((1ull << 40) + cache->size - 1) / cache->size;
	cache->colour_step = cache->align > CACHES_LINE ? cache->align : CACHES_LINE;
	cache->colours = (uint32_t)(left / cache->colour_step) + 1;
	cache->limit = cache->debug ? 0 : array_limit(cache->size);
	cache->batch = (cache->limit + 1) / 2;
	cache->shared_limit = cache->size <= LOAM_PAGE_SIZE ? 8 * cache->batch : 0;
	cache->free_limit = 3 * cache->batch + cache->num;
	return true;
}

/* ---- making and unmaking ---- */

static void cache_enter(struct cache *cache)
{
	struct slab_heap *heap = cache->heap;

	cache->slot = SLAB_NO_SLOT;
	loam_lock(heap->host, &heap->lock);
	for (uint32_t i = 0; i < SLAB_SLOTS && cache->limit; i++)
		if (!heap->slots[i]) {
			cache->slot = i;
			__atomic_store_n(&heap->slots[i], cache, __ATOMIC_RELEASE);
			break;
		}
	list_add(&cache->node.link, &heap->caches);
	loam_unlock(heap->host, &heap->lock);
}

static int args_check(const struct slab_heap *heap, const struct loam_cache_args *args)
{
	if (!args->object_size || args->object_size > runs_max(&heap->runs) || args->align > runs_max(&heap->runs))
		return -EINVAL;
	return args->align & (args->align - 1) || args->flags & ~CACHES_FLAGS ? -EINVAL : 0;
}

/** A new cache, in the instance's list. NULL and *@error. Called without locks. */
struct cache *slab_cache_new(struct slab_heap *heap, const struct loam_cache_args *args, int *error)
{
	const struct loam_host *host = heap->host;
	struct cache *cache;

	*error = args_check(heap, args);
	if (*error)
		return NULL;
	*error = -ENOMEM;
	cache = host->meta_alloc(heap->self, sizeof(*cache), 64);
	if (!cache)
		return NULL;
	snprintf(cache->name, sizeof(cache->name), "%s", args->name);
	cache->pub = (struct loam_cache){ .link = { &slab_objects_ops, heap },
					  .name = cache->name,
					  .object_size = (uint32_t)args->object_size,
					  .owner = args->owner };
	cache->heap = heap;
	cache->flags = args->flags;
	cache->ctor = args->ctor;
	cache->dtor = args->dtor;
	cache->align = caches_align(args);
	cache->gfp = loam_cache_gfp(args);
	/* A constructed object is its holder's, also while it is free: no pattern may be written over it. */
	cache->layout = (struct slabdebug){ .host = host, .self = heap->self, .name = cache->name };
	slabdebug_layout(&cache->layout, cache->pub.object_size, cache->align,
			 args->flags & (args->ctor ? ~SLAB_POISON : ~0u), false);
	cache->debug = cache->layout.on;
	cache->size = cache->layout.size;
	cache->usable = cache->debug || args->ctor ? cache->pub.object_size : cache->size;
	if (!cache_layout(cache, heap->runs.orders))
		*error = -EINVAL;
	else if (!cache->shared_limit ||
		 (cache->shared = host->meta_alloc(heap->self, cache->shared_limit * sizeof(void *), 0)))
		*error = 0;
	if (*error) {
		host->meta_free(heap->self, cache, sizeof(*cache));
		return NULL;
	}
	host->lock_init(heap->self, &cache->lock, 2, "slab cache");
	list_init(&cache->full);
	list_init(&cache->partial);
	list_init(&cache->empty);
	cache_enter(cache);
	return cache;
}

/** The end of a cache, with whatever is in it. No operation on it is in progress. */
void slab_cache_free(struct cache *cache)
{
	struct slab_heap *heap = cache->heap;
	const struct loam_host *host = heap->host;

	hold_retire(host, &heap->lock, &cache->node.hold);
	loam_lock(host, &heap->lock);
	slab_arrays_drop(cache);
	list_del(&cache->node.link);
	if (cache->slot != SLAB_NO_SLOT)
		__atomic_store_n(&heap->slots[cache->slot], NULL, __ATOMIC_RELEASE);
	heap->gone_allocs += cache->allocs;
	heap->gone_frees += cache->frees;
	heap->gone_failures += cache->failures;
	loam_unlock(host, &heap->lock);
	slab_discard_all(cache, &cache->full);
	slab_discard_all(cache, &cache->partial);
	slab_discard_all(cache, &cache->empty);
	host->lock_destroy(&cache->lock);
	if (cache->shared)
		host->meta_free(heap->self, cache->shared, cache->shared_limit * sizeof(void *));
	host->meta_free(heap->self, cache, sizeof(*cache));
}

/* ---- the role ---- */

static int objects_create(void *inst, const struct loam_cache_args *args, struct loam_cache **out)
{
	int error = args->align > LOAM_PAGE_SIZE ? -EINVAL : 0;
	struct cache *cache = error ? NULL : slab_cache_new(inst, args, &error);

	*out = cache ? &cache->pub : NULL;
	return error;
}

static int objects_destroy(struct loam_cache *pub)
{
	struct cache *cache = (struct cache *)pub;

	if (slab_cache_live(cache))
		return -EBUSY;
	slab_cache_free(cache);
	return 0;
}

static void *objects_alloc(struct loam_cache *pub, gfp_t gfp)
{
	struct cache *cache = (struct cache *)pub;
	void *object = array_pop(cache_array(cache));

	return loam_likely(object != NULL) ? object : slab_alloc_slow(cache, gfp);
}

static LOAM_COLD void wrong_cache(struct cache *cache, void *object, const struct page *page)
{
	struct slab_heap *heap = cache->heap;
	const char *real = NULL;

	/* Under the lock, for its name. The words of a foreign frame are not ours to read. */
	loam_lock(heap->host, &heap->lock);
	list_for_each (pos, &heap->caches) {
		const struct cache *other = list_of(pos, struct cache, node.link);
		const struct slab *slab = page && page->owner == other->pub.owner ? page_slab(page) : NULL;

		if (slab && slab->cache == other)
			real = other->name;
	}
	if (!real && page && page->owner == heap->owner)
		real = heap->fine ? "malloc" : "kmalloc"; /* a run of frames */
	misuse_wrong_cache(heap->host, heap->self, cache->name, object, page, real);
	loam_unlock(heap->host, &heap->lock);
}

static void objects_free(struct loam_cache *pub, void *object)
{
	struct cache *cache = (struct cache *)pub;
	struct page *page = loam_ptr_page(cache->heap->map, object);
	struct slab *slab = page && page->owner == pub->owner ? page_slab(page) : NULL;

	/* A foreign frame's words are not ours to read. */
	if (loam_unlikely(!slab || slab->cache != cache))
		wrong_cache(cache, object, page);
	else if (loam_unlikely(slab_number(cache, slab, object) >= cache->num ||
			       !array_push(cache_array(cache), object)))
		slab_free_slow(cache, slab, object);
}

static unsigned objects_alloc_bulk(struct loam_cache *pub, gfp_t gfp, unsigned n, void **out)
{
	for (unsigned i = 0; i < n; i++) {
		out[i] = objects_alloc(pub, gfp);
		if (!out[i]) {
			while (i)
				objects_free(pub, out[--i]);
			return 0;
		}
	}
	return n;
}

static void objects_free_bulk(struct loam_cache *pub, unsigned n, void **objects)
{
	for (unsigned i = 0; i < n; i++)
		objects_free(pub, objects[i]);
}

/* What waits in the shared array goes to its slabs. Under no lock. */
static void drain_shared(struct cache *cache)
{
	LIST_HEAD(gone);

	loam_lock(cache->heap->host, &cache->lock);
	while (cache->shared_avail) {
		void *object = cache->shared[--cache->shared_avail];

		slab_put(cache, page_slab(loam_ptr_page(cache->heap->map, object)), object, &gone);
	}
	loam_unlock(cache->heap->host, &cache->lock);
	slab_discard_all(cache, &gone);
}

/* The caller's own array, the shared one, and then the empty slabs. */
static unsigned long objects_shrink(struct loam_cache *pub)
{
	struct cache *cache = (struct cache *)pub;
	struct array *array = cache_array(cache);
	unsigned long before = count_read(&cache->nr_slabs), after;

	if (array)
		slab_array_drain(cache, array);
	drain_shared(cache);
	slab_reap(cache, ~0ul);
	after = count_read(&cache->nr_slabs);
	return before > after ? (before - after) << cache->order : 0;
}

/** Empty slabs of all caches that allow it. */
unsigned long slab_shrink(void *inst, unsigned long pages)
{
	struct slab_heap *heap = inst;
	struct caches_node *at = NULL;
	unsigned long done = 0;

	while ((at = caches_next(heap->host, &heap->lock, &heap->caches, at))) {
		struct cache *cache = list_of(at, struct cache, node);

		if (done < pages && !(cache->flags & SLAB_NO_REAP))
			done += objects_shrink(&cache->pub);
	}
	return done;
}

static void objects_limits(void *inst, struct loam_objects_limits *limits)
{
	const struct slab_heap *heap = inst;

	limits->caps = LOAM_OBJECTS_CONSTRUCTED | LOAM_OBJECTS_RED_ZONE | LOAM_OBJECTS_POISON | LOAM_OBJECTS_SLABINFO |
		       LOAM_OBJECTS_KFREE | LOAM_OBJECTS_OWN_FRAMES | LOAM_OBJECTS_BAD_FREE;
	limits->max_size = runs_max(&heap->runs);
	limits->max_align = LOAM_PAGE_SIZE;
}

const struct loam_objects_ops slab_objects_ops = {
	.size = sizeof(slab_objects_ops),
	.create = objects_create,
	.destroy = objects_destroy,
	.alloc = objects_alloc,
	.free = objects_free,
	.alloc_bulk = objects_alloc_bulk,
	.free_bulk = objects_free_bulk,
	.shrink = objects_shrink,
	.each = slab_each,
	.limits = objects_limits,
};
