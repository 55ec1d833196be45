/* SPDX-License-Identifier: MIT */
/*
 * serial.c: thread model "serialised": one lock of the host around each op of an instance.
 *
 * The instance's links lead to wrapped tables; their `inst` is the record below, which has the plugin's own table and
 * instance. A wrapper exists for each op that a plugin of the role can have; an op that the plugin leaves NULL stays NULL.
 */
#include "serial.h"

#include <errno.h>
#include <stdlib.h>

/* ---- heap ---- */

static void *heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct serial *s = inst;

	return UNDER_AGAIN(s, gfp, s->heap->alloc(s->self->inst, bytes, align, gfp));
}

static void heap_free(void *inst, void *ptr, struct page *page)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->heap->free(s->self->inst, ptr, page));
}

static size_t heap_usable_size(void *inst, const void *ptr, struct page *page)
{
	struct serial *s = inst;

	return UNDER(s, s->heap->usable_size(s->self->inst, ptr, page));
}

static void *heap_zalloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct serial *s = inst;

	return UNDER_AGAIN(s, gfp, s->heap->zalloc(s->self->inst, bytes, align, gfp));
}

static bool heap_resize(void *inst, void *ptr, struct page *page, size_t bytes)
{
	struct serial *s = inst;

	return UNDER(s, s->heap->resize(s->self->inst, ptr, page, bytes));
}

static unsigned heap_alloc_bulk(void *inst, size_t bytes, gfp_t gfp, unsigned n, void **out)
{
	struct serial *s = inst;

	return UNDER_AGAIN(s, gfp, s->heap->alloc_bulk(s->self->inst, bytes, gfp, n, out));
}

static void heap_free_bulk(void *inst, unsigned n, void **ptrs)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->heap->free_bulk(s->self->inst, n, ptrs));
}

static bool heap_owns(void *inst, const void *ptr)
{
	struct serial *s = inst;

	return UNDER(s, s->heap->owns(s->self->inst, ptr));
}

static void heap_limits(void *inst, struct loam_heap_limits *limits)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->heap->limits(s->self->inst, limits));
}

static const void *wrap_heap(struct serial *s, const void *ops)
{
	s->heap = ops;
	s->heap_ops.size = sizeof(s->heap_ops);
	WRAP(s->heap_ops, s->heap, alloc, heap_alloc);
	WRAP(s->heap_ops, s->heap, free, heap_free);
	WRAP(s->heap_ops, s->heap, usable_size, heap_usable_size);
	WRAP(s->heap_ops, s->heap, zalloc, heap_zalloc);
	WRAP(s->heap_ops, s->heap, resize, heap_resize);
	WRAP(s->heap_ops, s->heap, alloc_bulk, heap_alloc_bulk);
	WRAP(s->heap_ops, s->heap, free_bulk, heap_free_bulk);
	WRAP(s->heap_ops, s->heap, owns, heap_owns);
	WRAP(s->heap_ops, s->heap, limits, heap_limits);
	return &s->heap_ops;
}

/* ---- pages ---- */

static int pages_add(void *inst, const struct loam_zone *zone, unsigned long pfn, unsigned long count)
{
	struct serial *s = inst;

	return UNDER(s, s->pages->add(s->self->inst, zone, pfn, count));
}

static struct page *pages_alloc(void *inst, const struct loam_zone *zone, unsigned order, unsigned flags)
{
	struct serial *s = inst;

	return UNDER(s, s->pages->alloc(s->self->inst, zone, order, flags));
}

static void pages_free(void *inst, const struct loam_zone *zone, struct page *page, unsigned order)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->pages->free(s->self->inst, zone, page, order));
}

static unsigned pages_alloc_bulk(void *inst, const struct loam_zone *zone, unsigned n, struct page **out,
				 unsigned flags)
{
	struct serial *s = inst;

	return UNDER(s, s->pages->alloc_bulk(s->self->inst, zone, n, out, flags));
}

static void pages_free_bulk(void *inst, const struct loam_zone *zone, unsigned n, struct page **pages)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->pages->free_bulk(s->self->inst, zone, n, pages));
}

static void pages_counts(void *inst, const struct loam_zone *zone, unsigned long counts[LOAM_ORDERS])
{
	struct serial *s = inst;

	UNDER_VOID(s, s->pages->counts(s->self->inst, zone, counts));
}

static void pages_limits(void *inst, struct loam_pages_limits *limits)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->pages->limits(s->self->inst, limits));
}

static const void *wrap_pages(struct serial *s, const void *ops)
{
	s->pages = ops;
	s->pages_ops.size = sizeof(s->pages_ops);
	WRAP(s->pages_ops, s->pages, add, pages_add);
	WRAP(s->pages_ops, s->pages, alloc, pages_alloc);
	WRAP(s->pages_ops, s->pages, free, pages_free);
	WRAP(s->pages_ops, s->pages, alloc_bulk, pages_alloc_bulk);
	WRAP(s->pages_ops, s->pages, free_bulk, pages_free_bulk);
	WRAP(s->pages_ops, s->pages, counts, pages_counts);
	WRAP(s->pages_ops, s->pages, limits, pages_limits);
	return &s->pages_ops;
}

/* ---- objects: a cache's own link leads here too ---- */

static struct serial *cache_serial(const struct loam_cache *cache)
{
	return cache->link.inst;
}

static int objects_create(void *inst, const struct loam_cache_args *args, struct loam_cache **cache)
{
	struct serial *s = inst;
	int error = UNDER(s, s->objects->create(s->self->inst, args, cache));

	if (!error)
		(*cache)->link = (struct loam_link){ &s->objects_ops, s };
	return error;
}

static int objects_destroy(struct loam_cache *cache)
{
	struct serial *s = cache_serial(cache);

	return UNDER(s, s->objects->destroy(cache));
}

static void *objects_alloc(struct loam_cache *cache, gfp_t gfp)
{
	struct serial *s = cache_serial(cache);

	return UNDER_AGAIN(s, gfp, s->objects->alloc(cache, gfp));
}

static void objects_free(struct loam_cache *cache, void *object)
{
	struct serial *s = cache_serial(cache);

	UNDER_VOID(s, s->objects->free(cache, object));
}

static unsigned objects_alloc_bulk(struct loam_cache *cache, gfp_t gfp, unsigned n, void **out)
{
	struct serial *s = cache_serial(cache);

	return UNDER_AGAIN(s, gfp, s->objects->alloc_bulk(cache, gfp, n, out));
}

static void objects_free_bulk(struct loam_cache *cache, unsigned n, void **objects)
{
	struct serial *s = cache_serial(cache);

	UNDER_VOID(s, s->objects->free_bulk(cache, n, objects));
}

static unsigned long objects_shrink(struct loam_cache *cache)
{
	struct serial *s = cache_serial(cache);

	return UNDER(s, s->objects->shrink(cache));
}

static int objects_each(void *inst, loam_cache_fn fn, void *arg)
{
	struct serial *s = inst;

	return UNDER(s, s->objects->each(s->self->inst, fn, arg));
}

static void objects_limits(void *inst, struct loam_objects_limits *limits)
{
	struct serial *s = inst;

	UNDER_VOID(s, s->objects->limits(s->self->inst, limits));
}

static const void *wrap_objects(struct serial *s, const void *ops)
{
	s->objects = ops;
	s->objects_ops.size = sizeof(s->objects_ops);
	WRAP(s->objects_ops, s->objects, create, objects_create);
	WRAP(s->objects_ops, s->objects, destroy, objects_destroy);
	WRAP(s->objects_ops, s->objects, alloc, objects_alloc);
	WRAP(s->objects_ops, s->objects, free, objects_free);
	WRAP(s->objects_ops, s->objects, alloc_bulk, objects_alloc_bulk);
	WRAP(s->objects_ops, s->objects, free_bulk, objects_free_bulk);
	WRAP(s->objects_ops, s->objects, shrink, objects_shrink);
	WRAP(s->objects_ops, s->objects, each, objects_each);
	WRAP(s->objects_ops, s->objects, limits, objects_limits);
	return &s->objects_ops;
}

/* ---- set-up ---- */

int loam__serial_wrap(struct loam_self *self)
{
	struct serial *s = loam__meta_alloc(NULL, sizeof(*s), 0);

	if (!s)
		return -ENOMEM;
	s->self = self;
	self->serial = s;
	/* Rank 0: taken before any lock of the plugin's own. */
	loam__host_lock_init(self, &s->lock, 0, "serialised instance");
	for (int role = 0; role < LOAM_ROLE_COUNT; role++) {
		struct loam_link *link = &self->links[role];

		if (!link->ops)
			continue;
		if (role == LOAM_ROLE_HEAP)
			link->ops = wrap_heap(s, link->ops);
		else if (role == LOAM_ROLE_PAGES)
			link->ops = wrap_pages(s, link->ops);
		else if (role == LOAM_ROLE_OBJECTS)
			link->ops = wrap_objects(s, link->ops);
		else
			link->ops = loam__serial_wrap_kernel(s, (enum loam_role_id)role, link->ops);
		if (!link->ops)
			return -ENOTSUP;
		link->inst = s;
	}
	return 0;
}

/** The lock around an instance's stat and shrink too; NULL when the instance runs in parallel. */
struct loam_lock *loam__serial_lock(struct loam_self *self)
{
	struct serial *s = self->serial;

	return s ? &s->lock : NULL;
}

void loam__serial_free(struct loam_self *self)
{
	struct serial *s = self->serial;

	if (!s)
		return;
	loam__host_lock_destroy(&s->lock);
	loam__meta_free(NULL, s, sizeof(*s));
	self->serial = NULL;
}
