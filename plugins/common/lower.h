/* SPDX-License-Identifier: MIT */
/*
 * lower.h: the instance below a filter, by role, with the ops that it may lack made of those that it has. A filter's own
 * table can so offer every op, whatever it stands on.
 */
#ifndef LOAM_LOWER_H
#define LOAM_LOWER_H

#include <loam/plugin.h>

#include <errno.h>

/* ---- heap ---- */

static inline void *lower_heap_zalloc(const struct loam_port *heap, size_t bytes, size_t align, gfp_t gfp)
{
	return loam_heap_zalloc(heap, bytes, align, gfp);
}

static inline void lower_heap_free(const struct loam_port *heap, void *ptr, struct page *page)
{
	const struct loam_link *link = loam_port_link(heap);

	loam_heap_ops(link)->free(link->inst, ptr, page);
}

static inline size_t lower_heap_usable(const struct loam_port *heap, const void *ptr, struct page *page)
{
	const struct loam_link *link = loam_port_link(heap);

	return loam_heap_ops(link)->usable_size(link->inst, ptr, page);
}

static inline bool lower_heap_resize(const struct loam_port *heap, void *ptr, struct page *page, size_t bytes)
{
	const struct loam_link *link = loam_port_link(heap);

	return loam_heap_ops(link)->resize && loam_heap_ops(link)->resize(link->inst, ptr, page, bytes);
}

static inline void lower_heap_limits(const struct loam_port *heap, struct loam_heap_limits *limits)
{
	const struct loam_link *link = loam_port_link(heap);

	loam_heap_ops(link)->limits(link->inst, limits);
}

/* ---- objects ---- */

/** A filter's cache in front of one of the instance below. A filter's own record begins with it. */
struct lower_cache {
	struct loam_cache pub; /* first */
	struct loam_cache *lower;
	void *filter;
	struct lower_cache *next, **place; /* the filter's list */
	size_t bytes;                      /* of the filter's record */
};

/** A filter's caches, so that those which nobody destroyed go with it. */
struct lower_caches {
	const struct loam_host *host;
	struct loam_self *self;
	struct loam_lock lock;
	struct lower_cache *first LOAM_GUARDED_BY(lock);
};

static inline void lower_caches_open(struct lower_caches *caches, const struct loam_host *host, struct loam_self *self,
				     unsigned rank)
{
	caches->host = host;
	caches->self = self;
	host->lock_init(self, &caches->lock, rank, "caches of a filter");
}

/** A cache below and a zeroed record of @bytes for it in *@out. */
static inline int lower_cache_new(struct lower_caches *caches, const struct loam_port *objects, const void *ops,
				  void *filter, const struct loam_cache_args *args, size_t bytes,
				  struct lower_cache **out)
{
	const struct loam_link *link = loam_port_link(objects);
	struct lower_cache *cache = (struct lower_cache *)caches->host->meta_alloc(caches->self, bytes, 64);
	int error;

	if (!cache)
		return -ENOMEM;
	error = ((const struct loam_objects_ops *)link->ops)->create(link->inst, args, &cache->lower);
	if (error) {
		caches->host->meta_free(caches->self, cache, bytes);
		return error;
	}
	cache->pub.link.ops = ops;
	cache->pub.link.inst = filter;
	cache->pub.name = cache->lower->name;
	cache->pub.object_size = cache->lower->object_size;
	cache->pub.owner = args->owner;
	cache->filter = filter;
	cache->bytes = bytes;
	loam_lock(caches->host, &caches->lock);
	cache->next = caches->first;
	cache->place = &caches->first;
	if (cache->next)
		cache->next->place = &cache->next;
	caches->first = cache;
	loam_unlock(caches->host, &caches->lock);
	*out = cache;
	return 0;
}

/** Destroy the cache below and the record, or neither: -EBUSY. */
static inline int lower_cache_destroy(struct lower_caches *caches, struct lower_cache *cache)
{
	int error = loam_cache_ops(cache->lower)->destroy(cache->lower);

	if (error)
		return error;
	loam_lock(caches->host, &caches->lock);
	*cache->place = cache->next;
	if (cache->next)
		cache->next->place = cache->place;
	loam_unlock(caches->host, &caches->lock);
	caches->host->meta_free(caches->self, cache, cache->bytes);
	return 0;
}

/** At the filter's end: the records of what is left. The caches below go with their instance. */
static inline void lower_caches_close(struct lower_caches *caches)
{
	while (caches->first) {
		struct lower_cache *cache = caches->first;

		caches->first = cache->next;
		caches->host->meta_free(caches->self, cache, cache->bytes);
	}
	caches->host->lock_destroy(&caches->lock);
}

static inline unsigned long lower_cache_shrink(struct loam_cache *cache)
{
	return loam_cache_ops(cache)->shrink ? loam_cache_ops(cache)->shrink(cache) : 0;
}

static inline int lower_each(const struct loam_port *objects, loam_cache_fn fn, void *arg)
{
	const struct loam_link *link = loam_port_link(objects);
	const struct loam_objects_ops *ops = link->ops;

	return ops->each ? ops->each(link->inst, fn, arg) : 0;
}

static inline void lower_objects_limits(const struct loam_port *objects, struct loam_objects_limits *limits)
{
	const struct loam_link *link = loam_port_link(objects);

	((const struct loam_objects_ops *)link->ops)->limits(link->inst, limits);
}

/* ---- pages ---- */

static inline const struct loam_pages_ops *lower_pages_ops(const struct loam_link *link)
{
	return (const struct loam_pages_ops *)link->ops;
}

static inline int lower_pages_add(const struct loam_port *pages, const struct loam_zone *zone, unsigned long pfn,
				  unsigned long count)
{
	const struct loam_link *link = loam_port_link(pages);

	return lower_pages_ops(link)->add(link->inst, zone, pfn, count);
}

static inline struct page *lower_pages_alloc(const struct loam_port *pages, const struct loam_zone *zone,
					     unsigned order, unsigned flags)
{
	const struct loam_link *link = loam_port_link(pages);

	return lower_pages_ops(link)->alloc(link->inst, zone, order, flags);
}

static inline void lower_pages_free(const struct loam_port *pages, const struct loam_zone *zone, struct page *page,
				    unsigned order)
{
	const struct loam_link *link = loam_port_link(pages);

	lower_pages_ops(link)->free(link->inst, zone, page, order);
}

static inline unsigned lower_pages_alloc_bulk(const struct loam_port *pages, const struct loam_zone *zone, unsigned n,
					      struct page **out, unsigned flags)
{
	const struct loam_link *link = loam_port_link(pages);
	unsigned got = 0;

	if (lower_pages_ops(link)->alloc_bulk)
		return lower_pages_ops(link)->alloc_bulk(link->inst, zone, n, out, flags);
	while (got < n && (out[got] = lower_pages_ops(link)->alloc(link->inst, zone, 0, flags)))
		got++;
	return got;
}

static inline void lower_pages_free_bulk(const struct loam_port *pages, const struct loam_zone *zone, unsigned n,
					 struct page **list)
{
	const struct loam_link *link = loam_port_link(pages);

	if (lower_pages_ops(link)->free_bulk) {
		lower_pages_ops(link)->free_bulk(link->inst, zone, n, list);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		lower_pages_ops(link)->free(link->inst, zone, list[i], 0);
}

static inline void lower_pages_counts(const struct loam_port *pages, const struct loam_zone *zone,
				      unsigned long *counts)
{
	const struct loam_link *link = loam_port_link(pages);

	lower_pages_ops(link)->counts(link->inst, zone, counts);
}

static inline void lower_pages_limits(const struct loam_port *pages, struct loam_pages_limits *limits)
{
	const struct loam_link *link = loam_port_link(pages);

	lower_pages_ops(link)->limits(link->inst, limits);
}

#endif
