/* SPDX-License-Identifier: MIT */
/* cache.c: caches and the role objects. */
#include "slub.h"

#include "../common/misuse.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static uint32_t log2_of(size_t n)
{
	return 63 - (uint32_t)__builtin_clzl(n);
}

/*
 * The smallest order whose slab holds @least objects and wastes at most 1/@part of itself, or -1. The kernel's rule tries
 * one sixteenth first, then more.
 */
static int order_for(uint32_t size, uint32_t least, uint32_t part, uint32_t max)
{
	for (uint32_t order = 0; order <= max; order++) {
		size_t bytes = LOAM_PAGE_SIZE << order;

		if (bytes / size >= least && bytes % size <= bytes / part)
			return (int)order;
	}
	return -1;
}

static uint32_t order_choose(uint32_t size, uint32_t least, uint32_t max)
{
	for (; least > 1; least--)
		for (uint32_t part = 16; part >= 4; part /= 2) {
			int order = order_for(size, least, part, max);

			if (order >= 0)
				return (uint32_t)order;
		}
	return loam_pages_order(size);
}

/*
 * Orders of slabs. classes = kernel: one order, at most 3, with sixteen objects when they fit. classes = fine: first slabs are
 * small, so that a program that uses a class little pays little; later ones hold enough that the long ways become rare.
 */
static void cache_orders(struct cache *cache)
{
	struct slub *slub = cache->slub;
	uint32_t top = slub->orders - 1, later;

	cache->order_least = loam_pages_order(cache->size);
	cache->order = order_choose(cache->size, slub->fine ? 8 : 16, top < 3 ? top : 3);
	if (cache->order < cache->order_least)
		cache->order = cache->order_least;
	cache->order_max = cache->order;
	if (!slub->fine)
		return;
	later = cache->size <= 1024 ? 4 : log2_of(cache->size) + 4 - LOAM_PAGE_SHIFT;
	later = later < top ? later : top;
	cache->order_max = later > cache->order ? later : cache->order;
}

static void cache_slot(struct cache *cache)
{
	struct slub *slub = cache->slub;
	const struct loam_host *host = slub->host;

	cache->slot = SLUB_NO_SLOT;
	loam_lock(host, &slub->lock);
	for (uint32_t i = 0; i < SLUB_SLOTS && !cache->debug; i++)
		if (!slub->slots[i]) {
			cache->slot = i;
			__atomic_store_n(&slub->slots[i], cache, __ATOMIC_RELEASE);
			break;
		}
	list_add(&cache->node.link, &slub->caches);
	loam_unlock(host, &slub->lock);
}

static int args_check(const struct slub *slub, const struct loam_cache_args *args)
{
	if (!args->object_size || args->object_size > runs_max(&slub->runs) || args->align > LOAM_PAGE_SIZE)
		return -EINVAL;
	if (args->align & (args->align - 1) || args->flags & ~CACHES_FLAGS)
		return -EINVAL;
	return 0;
}

/** A new cache, in the instance's list. NULL and *@error. Called without locks. */
struct cache *slub_cache_new(struct slub *slub, const struct loam_cache_args *args, int *error)
{
	const struct loam_host *host = slub->host;
	struct cache *cache;

	*error = args_check(slub, args);
	if (*error)
		return NULL;
	*error = -ENOMEM;
	cache = host->meta_alloc(slub->self, sizeof(*cache), 64);
	if (!cache)
		return NULL;
	snprintf(cache->name, sizeof(cache->name), "%s", args->name);
	cache->pub.link = (struct loam_link){ &slub_objects_ops, slub };
	cache->pub.name = cache->name;
	cache->pub.object_size = (uint32_t)args->object_size;
	cache->pub.owner = args->owner;
	cache->slub = slub;
	cache->flags = args->flags;
	cache->ctor = args->ctor;
	cache->dtor = args->dtor;
	cache->align = caches_align(args);
	cache->gfp = loam_cache_gfp(args);
	/* A constructed object is its holder's, also while it is free: no pattern may be written over it. */
	cache->layout = (struct slabdebug){ .host = host, .self = slub->self, .name = cache->name };
	slabdebug_layout(&cache->layout, cache->pub.object_size, cache->align,
			 args->flags & (args->ctor ? ~SLAB_POISON : ~0u), args->ctor != NULL);
	cache->debug = cache->layout.on;
	cache->size = cache->layout.size;
	cache->fp = cache->layout.link;
	cache->usable = cache->debug || args->ctor ? cache->pub.object_size : cache->size;
	cache->plain = !slub->hardened;
	cache->key = host->random(slub->self);
	cache->min_partial = cache->debug || cache->size > 8192 ? 1 : 5;
	cache_orders(cache);
	*error = cache->size > LOAM_PAGE_SIZE << (slub->orders - 1) ? -EINVAL : 0;
	if (*error) {
		host->meta_free(slub->self, cache, sizeof(*cache));
		return NULL;
	}
	host->lock_init(slub->self, &cache->lock, 2, "slub cache");
	list_init(&cache->partial);
	list_init(&cache->all);
	cache_slot(cache);
	return cache;
}

/** The end of a cache, with whatever is in it. No operation on it is in progress. */
void slub_cache_free(struct cache *cache)
{
	struct slub *slub = cache->slub;
	const struct loam_host *host = slub->host;
	uint64_t allocs, frees;

	hold_retire(host, &slub->lock, &cache->node.hold);
	slub_cache_sums(cache, &allocs, &frees);
	loam_lock(host, &slub->lock);
	slub->gone_allocs += allocs;
	slub->gone_frees += frees;
	slub->gone_failures += count_read(&cache->failures);
	list_del(&cache->node.link);
	loam_unlock(host, &slub->lock);
	/* The slot is another's only when the threads' areas have forgotten this one. */
	if (cache->slot != SLUB_NO_SLOT)
		slub_slot_forget(cache);
	list_for_each_safe (pos, &cache->all)
		slub_slab_discard(list_of(pos, struct slab, all));
	if (cache->slot != SLUB_NO_SLOT) {
		loam_lock(host, &slub->lock);
		__atomic_store_n(&slub->slots[cache->slot], NULL, __ATOMIC_RELEASE);
		loam_unlock(host, &slub->lock);
	}
	host->lock_destroy(&cache->lock);
	host->meta_free(slub->self, cache, sizeof(*cache));
}

/* ---- the role ---- */

static int objects_create(void *inst, const struct loam_cache_args *args, struct loam_cache **out)
{
	int error;
	struct cache *cache = slub_cache_new(inst, args, &error);

	*out = cache ? &cache->pub : NULL;
	return error;
}

static int objects_destroy(struct loam_cache *pub)
{
	struct cache *cache = (struct cache *)pub;
	uint64_t allocs, frees;

	slub_cache_sums(cache, &allocs, &frees);
	if (allocs != frees)
		return -EBUSY;
	slub_cache_free(cache);
	return 0;
}

static void *objects_alloc(struct loam_cache *pub, gfp_t gfp)
{
	struct cache *cache = (struct cache *)pub;
	struct area *area = cache->slot == SLUB_NO_SLOT ? NULL : loam_area(&cache->slub->local);
	void *object = area ? slub_pop(&area->slots[cache->slot], cache->fp) : NULL;

	return loam_likely(object != NULL) ? object : slub_alloc_slow(cache, gfp);
}

static LOAM_COLD void wrong_cache(struct cache *cache, void *object, const struct page *page)
{
	struct slub *slub = cache->slub;
	const char *real = NULL;

	/* Under the lock, for its name. The words of a foreign frame are not ours to read. */
	loam_lock(slub->host, &slub->lock);
	list_for_each (pos, &slub->caches) {
		const struct cache *other = list_of(pos, struct cache, node.link);
		const struct slab *slab = page && page->owner == other->pub.owner ? slub_page_slab(page) : NULL;

		if (slab && slab->cache == other)
			real = other->name;
	}
	if (!real && page && page->owner == slub->owner)
		real = slub->fine ? "malloc" : "kmalloc"; /* a run of frames */
	misuse_wrong_cache(slub->host, slub->self, cache->name, object, page, real);
	loam_unlock(slub->host, &slub->lock);
}

static void objects_free(struct loam_cache *pub, void *object)
{
	struct cache *cache = (struct cache *)pub;
	struct page *page = loam_ptr_page(cache->slub->map, object);
	struct slab *slab = page && page->owner == pub->owner ? slub_page_slab(page) : NULL;
	struct area *area;

	/* Caches of one instance may share an owner only with themselves; a foreign frame's words are not ours to read. */
	if (loam_unlikely(!slab || slab->cache != cache)) {
		wrong_cache(cache, object, page);
		return;
	}
	area = cache->slot == SLUB_NO_SLOT ? NULL : loam_area(&cache->slub->local);
	if (loam_likely(area && cache->plain && __atomic_load_n(&slab->owner, __ATOMIC_RELAXED) == area) &&
	    loam_likely(slub_push(&area->slots[cache->slot], slab, object, cache->fp)))
		return;
	slub_free_slow(slab, object, area);
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

/* What lies empty in the shared list, and in the caller's own slot. */
static unsigned long objects_shrink(struct loam_cache *pub)
{
	struct cache *cache = (struct cache *)pub;
	const struct loam_host *host = cache->slub->host;
	struct area *area = cache->slot == SLUB_NO_SLOT ? NULL : loam_area(&cache->slub->local);
	unsigned long frames = 0;
	LIST_HEAD(empty);

	if (area && area->cold[cache->slot].partial.next)
		slub_slot_shrink(cache, area, &empty);
	loam_lock(host, &cache->lock);
	list_for_each_safe (pos, &cache->partial) {
		struct slab *slab = list_of(pos, struct slab, node);

		if (!slab->inuse) {
			slub_partial_del(slab);
			list_add(&slab->node, &empty);
		}
	}
	loam_unlock(host, &cache->lock);
	list_for_each (pos, &empty)
		frames += 1ul << list_of(pos, struct slab, node)->order;
	slub_discard_all(&empty);
	return frames;
}

/** Empty slabs of all caches that allow it. */
unsigned long slub_shrink(void *inst, unsigned long pages)
{
	struct slub *slub = inst;
	struct caches_node *at = NULL;
	unsigned long done = 0;

	while ((at = caches_next(slub->host, &slub->lock, &slub->caches, at))) {
		struct cache *cache = list_of(at, struct cache, node);

		if (done < pages && !(cache->flags & SLAB_NO_REAP))
			done += objects_shrink(&cache->pub);
	}
	return done;
}

static void objects_limits(void *inst, struct loam_objects_limits *limits)
{
	const struct slub *slub = inst;

	limits->caps = LOAM_OBJECTS_CONSTRUCTED | LOAM_OBJECTS_RED_ZONE | LOAM_OBJECTS_POISON | LOAM_OBJECTS_SLABINFO |
		       LOAM_OBJECTS_KFREE | LOAM_OBJECTS_OWN_FRAMES;
	limits->max_size = runs_max(&slub->runs);
	limits->max_align = LOAM_PAGE_SIZE;
}

const struct loam_objects_ops slub_objects_ops = {
	.size = sizeof(slub_objects_ops),
	.create = objects_create,
	.destroy = objects_destroy,
	.alloc = objects_alloc,
	.free = objects_free,
	.alloc_bulk = objects_alloc_bulk,
	.free_bulk = objects_free_bulk,
	.shrink = objects_shrink,
	.each = slub_each,
	.limits = objects_limits,
};
