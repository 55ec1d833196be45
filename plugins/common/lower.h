/* SPDX-License-Identifier: MIT */
/*
 * lower.h: the instance below a filter, by role, with the ops that it may lack made of those that it has. A filter's own
 * table can so offer every op, whatever it stands on.
 *
 * A filter's own record begins with struct lower, so an instance can be handed down here as it is. What has the arguments of
 * an op is that op, passed on: a filter puts it into its table where it has nothing to add, and calls it where it has.
 */
#ifndef LOAM_LOWER_H
#define LOAM_LOWER_H

#include "list.h"

#include <loam/plugin.h>

#include <errno.h>

/** What a filter stands on. */
struct lower {
	const struct loam_host *host;
	struct loam_self *self;
	const struct loam_port *heap, *objects, *pages; /* NULL: the instance below has not that role */
	const struct loam_port *any;                    /* one of them */
	struct loam_lock lock;
	struct list_head caches LOAM_GUARDED_BY(lock); /* those that nobody destroyed yet go with the filter */
};

/** A filter's cache in front of one of the instance below. A filter's own record begins with it. */
struct lower_cache {
	struct loam_cache pub; /* first */
	struct loam_cache *lower;
	void *filter;          /* begins with struct lower */
	struct list_head link; /* the filter's caches */
	size_t bytes;          /* of the filter's record */
};

/** In create. Takes the lock rank 1. */
static inline void lower_open(struct lower *lower, const struct loam_host *host, const struct loam_args *args)
{
	lower->host = host;
	lower->self = args->self;
	lower->heap = args->lower[LOAM_ROLE_HEAP];
	lower->objects = args->lower[LOAM_ROLE_OBJECTS];
	lower->pages = args->lower[LOAM_ROLE_PAGES];
	lower->any = args->ports[0];
	list_init(&lower->caches);
	host->lock_init(args->self, &lower->lock, 1, "caches of a filter");
}

/** In destroy: the records of the caches that are left. The caches below go with their instance. */
static inline void lower_close(struct lower *lower)
{
	list_for_each_safe (pos, &lower->caches) {
		struct lower_cache *cache = list_of(pos, struct lower_cache, link);

		lower->host->meta_free(lower->self, cache, cache->bytes);
	}
	lower->host->lock_destroy(&lower->lock);
}

static inline int lower_stat(void *inst, struct loam_stat *stat)
{
	const struct lower *lower = (const struct lower *)inst;

	lower->host->stat(lower->any, stat);
	return 0;
}

static inline int lower_walk(void *inst, loam_walk_fn fn, void *arg)
{
	const struct lower *lower = (const struct lower *)inst;

	return lower->host->walk(lower->any, fn, arg);
}

/* ---- heap ---- */

static inline void *lower_heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	return loam_heap_alloc(((const struct lower *)inst)->heap, bytes, align, gfp);
}

static inline void *lower_heap_zalloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	return loam_heap_zalloc(((const struct lower *)inst)->heap, bytes, align, gfp);
}

static inline void lower_heap_free(void *inst, void *ptr, struct page *page)
{
	const struct loam_link *link = loam_port_link(((const struct lower *)inst)->heap);

	loam_heap_ops(link)->free(link->inst, ptr, page);
}

static inline size_t lower_heap_usable_size(void *inst, const void *ptr, struct page *page)
{
	const struct loam_link *link = loam_port_link(((const struct lower *)inst)->heap);

	return loam_heap_ops(link)->usable_size(link->inst, ptr, page);
}

static inline bool lower_heap_resize(void *inst, void *ptr, struct page *page, size_t bytes)
{
	const struct loam_link *link = loam_port_link(((const struct lower *)inst)->heap);

	return loam_heap_ops(link)->resize && loam_heap_ops(link)->resize(link->inst, ptr, page, bytes);
}

static inline void lower_heap_limits(void *inst, struct loam_heap_limits *limits)
{
	const struct loam_link *link = loam_port_link(((const struct lower *)inst)->heap);

	loam_heap_ops(link)->limits(link->inst, limits);
}

/* ---- objects ---- */

static inline const struct loam_objects_ops *lower_objects_ops(const struct loam_link *link)
{
	return (const struct loam_objects_ops *)link->ops;
}

/** For create of a table @ops: a cache below, and in front of it in *@out a record of @bytes, zeroed but for its beginning. */
static inline int lower_cache_new(void *inst, const struct loam_objects_ops *ops, const struct loam_cache_args *args,
				  size_t bytes, struct loam_cache **out)
{
	struct lower *lower = (struct lower *)inst;
	const struct loam_link *link = loam_port_link(lower->objects);
	struct lower_cache *cache = (struct lower_cache *)lower->host->meta_alloc(lower->self, bytes, 64);
	int error;

	*out = NULL;
	if (!cache)
		return -ENOMEM;
	error = lower_objects_ops(link)->create(link->inst, args, &cache->lower);
	if (error) {
		lower->host->meta_free(lower->self, cache, bytes);
		return error;
	}
	cache->pub.link.ops = ops;
	cache->pub.link.inst = inst;
	cache->pub.name = cache->lower->name;
	cache->pub.object_size = cache->lower->object_size;
	cache->pub.owner = args->owner;
	cache->filter = inst;
	cache->bytes = bytes;
	loam_lock(lower->host, &lower->lock);
	list_add(&cache->link, &lower->caches);
	loam_unlock(lower->host, &lower->lock);
	*out = &cache->pub;
	return 0;
}

/** Destroy the cache below and the record, or neither: -EBUSY. */
static inline int lower_objects_destroy(struct loam_cache *pub)
{
	struct lower_cache *cache = (struct lower_cache *)pub;
	struct lower *lower = (struct lower *)cache->filter;
	int error = loam_cache_ops(cache->lower)->destroy(cache->lower);

	if (error)
		return error;
	loam_lock(lower->host, &lower->lock);
	list_del(&cache->link);
	loam_unlock(lower->host, &lower->lock);
	lower->host->meta_free(lower->self, cache, cache->bytes);
	return 0;
}

static inline void *lower_objects_alloc(struct loam_cache *pub, gfp_t gfp)
{
	struct loam_cache *lower = ((struct lower_cache *)pub)->lower;

	return loam_cache_ops(lower)->alloc(lower, gfp);
}

static inline void lower_objects_free(struct loam_cache *pub, void *object)
{
	struct loam_cache *lower = ((struct lower_cache *)pub)->lower;

	loam_cache_ops(lower)->free(lower, object);
}

static inline unsigned long lower_objects_shrink(struct loam_cache *pub)
{
	struct loam_cache *lower = ((struct lower_cache *)pub)->lower;

	return loam_cache_ops(lower)->shrink ? loam_cache_ops(lower)->shrink(lower) : 0;
}

static inline int lower_objects_each(void *inst, loam_cache_fn fn, void *arg)
{
	const struct loam_link *link = loam_port_link(((const struct lower *)inst)->objects);

	return lower_objects_ops(link)->each ? lower_objects_ops(link)->each(link->inst, fn, arg) : 0;
}

static inline void lower_objects_limits(void *inst, struct loam_objects_limits *limits)
{
	const struct loam_link *link = loam_port_link(((const struct lower *)inst)->objects);

	lower_objects_ops(link)->limits(link->inst, limits);
}

/* ---- pages ---- */

static inline int lower_pages_add(void *inst, const struct loam_zone *zone, unsigned long pfn, unsigned long count)
{
	const struct loam_link *link = loam_port_link(((const struct lower *)inst)->pages);

	return loam_pages_ops(link)->add(link->inst, zone, pfn, count);
}

static inline struct page *lower_pages_alloc(void *inst, const struct loam_zone *zone, unsigned order, unsigned flags)
{
	const struct loam_link *link = loam_port_link(((const struct lower *)inst)->pages);

	return loam_pages_ops(link)->alloc(link->inst, zone, order, flags);
}

static inline void lower_pages_free(void *inst, const struct loam_zone *zone, struct page *page, unsigned order)
{
	const struct loam_link *link = loam_port_link(((const struct lower *)inst)->pages);

	loam_pages_ops(link)->free(link->inst, zone, page, order);
}

static inline void lower_pages_counts(void *inst, const struct loam_zone *zone, unsigned long counts[LOAM_ORDERS])
{
	const struct loam_link *link = loam_port_link(((const struct lower *)inst)->pages);

	loam_pages_ops(link)->counts(link->inst, zone, counts);
}

static inline void lower_pages_limits(void *inst, struct loam_pages_limits *limits)
{
	const struct loam_link *link = loam_port_link(((const struct lower *)inst)->pages);

	loam_pages_ops(link)->limits(link->inst, limits);
}

#endif
