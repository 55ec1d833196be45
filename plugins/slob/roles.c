/* SPDX-License-Identifier: MIT */
/* roles.c: heap and objects. A cache is a size, an alignment and a number in front of its objects. */
#include "slob.h"

#include "../common/caches.h"

#include <errno.h>
#include <stdio.h>

/* ---- heap ---- */

/* A power of two is aligned to itself, as kmalloc promises. */
static size_t natural(size_t bytes, size_t align)
{
	return !(bytes & (bytes - 1)) && bytes > align ? bytes : align;
}

static void *heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	return slob_alloc(inst, bytes, natural(bytes, align), gfp, 0);
}

static size_t heap_usable_size(void *inst, const void *ptr, struct page *page)
{
	(void)inst;
	page = loam_page_head(page);
	if (kind_of(page) == KIND_RUN)
		return LOAM_PAGE_SIZE << page->index;
	return (units_for(head_of(ptr)->size) - 1) * UNIT;
}

static void heap_limits(void *inst, struct loam_heap_limits *limits)
{
	const struct slob *slob = inst;

	limits->caps = LOAM_HEAP_NATURAL | LOAM_HEAP_DOUBLE_FREE;
	limits->max_size = limits->max_align = LOAM_PAGE_SIZE << (slob->orders - 1);
	limits->min_align = UNIT;
	limits->max_shared = LOAM_PAGE_SIZE;
}

const struct loam_heap_ops slob_heap_ops = {
	.size = sizeof(slob_heap_ops),
	.alloc = heap_alloc,
	.free = slob_free,
	.usable_size = heap_usable_size,
	.limits = heap_limits,
};

/* ---- objects ---- */

/* A free number from 1 on, or 0. */
static uint32_t enter(struct slob *slob, struct cache *cache)
{
	uint32_t i = 1;

	loam_lock(slob->host, &slob->lock);
	while (i < CACHES && slob->caches[i])
		i++;
	if (i < CACHES)
		slob->caches[i] = cache;
	loam_unlock(slob->host, &slob->lock);
	return i < CACHES ? i : 0;
}

static int objects_create(void *inst, const struct loam_cache_args *args, struct loam_cache **out)
{
	struct slob *slob = inst;
	size_t max = LOAM_PAGE_SIZE << (slob->orders - 1);
	struct cache *cache;

	if (!args->object_size || args->object_size > max || args->align > LOAM_PAGE_SIZE ||
	    args->align & (args->align - 1) || args->flags & ~CACHES_FLAGS)
		return -EINVAL;
	cache = slob->host->meta_alloc(slob->self, sizeof(*cache), 64);
	if (!cache)
		return -ENOMEM;
	snprintf(cache->name, sizeof(cache->name), "%s", args->name);
	cache->pub = (struct loam_cache){ .link = { &slob_objects_ops, slob },
					  .name = cache->name,
					  .object_size = (uint32_t)args->object_size,
					  .owner = args->owner };
	cache->slob = slob;
	cache->align = args->align > UNIT ? (uint32_t)args->align : UNIT;
	if (args->flags & SLAB_HWCACHE_ALIGN && cache->align < CACHES_LINE)
		cache->align = CACHES_LINE;
	cache->gfp = loam_cache_gfp(args);
	cache->ctor = args->ctor;
	cache->dtor = args->dtor;
	cache->index = enter(slob, cache);
	if (!cache->index) {
		slob->host->meta_free(slob->self, cache, sizeof(*cache));
		return -ENOMEM;
	}
	*out = &cache->pub;
	return 0;
}

static int objects_destroy(struct loam_cache *pub)
{
	struct cache *cache = (struct cache *)pub;
	struct slob *slob = cache->slob;
	bool busy;

	loam_lock(slob->host, &slob->lock);
	busy = cache->live;
	if (!busy)
		slob->caches[cache->index] = NULL;
	loam_unlock(slob->host, &slob->lock);
	if (busy)
		return -EBUSY;
	slob->host->meta_free(slob->self, cache, sizeof(*cache));
	return 0;
}

static void *objects_alloc(struct loam_cache *pub, gfp_t gfp)
{
	struct cache *cache = (struct cache *)pub;
	void *object = slob_alloc(cache->slob, pub->object_size, cache->align, gfp | cache->gfp, cache->index);

	if (object && cache->ctor)
		cache->ctor(object);
	return object;
}

/* The number of the cache that the block at @ptr is of, as far as it is a block; -1. */
static long cache_number(struct slob *slob, const void *ptr, struct page *page)
{
	if (!page || page->owner != slob->owner)
		return -1;
	page = loam_page_head(page);
	if (kind_of(page) == KIND_RUN)
		return cache_of_run(page);
	return slob_is_block(slob, ptr) ? (long)head_of(ptr)->cache : -1;
}

/* Not an object of this cache, or no longer one. Under the lock, for the other one's name. */
static LOAM_COLD void bad_object(struct cache *cache, void *object, struct page *page, long number)
{
	struct slob *slob = cache->slob;
	bool ours = page && page->owner == slob->owner;
	const char *real = number ? NULL : HEAP_NAME;

	loam_lock(slob->host, &slob->lock);
	if (number > 0 && slob->caches[number])
		real = slob->caches[number]->name;
	if (ours && slob_is_free(slob, object, page))
		misuse_already_free(slob->host, slob->self, cache->name, object);
	else if (ours && number < 0)
		misuse_bad_pointer(slob->host, slob->self, cache->name, object);
	else
		misuse_wrong_cache(slob->host, slob->self, cache->name, object, page, real);
	loam_unlock(slob->host, &slob->lock);
}

static void objects_free(struct loam_cache *pub, void *object)
{
	struct cache *cache = (struct cache *)pub;
	struct slob *slob = cache->slob;
	struct page *page = loam_ptr_page(slob->map, object);
	long number = cache_number(slob, object, page);

	if (loam_likely(number == (long)cache->index))
		slob_free(slob, object, page);
	else
		bad_object(cache, object, page, number);
}

static void objects_limits(void *inst, struct loam_objects_limits *limits)
{
	const struct slob *slob = inst;

	limits->caps = LOAM_OBJECTS_KFREE | LOAM_OBJECTS_DOUBLE_FREE;
	limits->max_size = LOAM_PAGE_SIZE << (slob->orders - 1);
	limits->max_align = LOAM_PAGE_SIZE;
}

const struct loam_objects_ops slob_objects_ops = {
	.size = sizeof(slob_objects_ops),
	.create = objects_create,
	.destroy = objects_destroy,
	.alloc = objects_alloc,
	.free = objects_free,
	.limits = objects_limits,
};
