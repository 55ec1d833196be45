/* SPDX-License-Identifier: MIT */
/*
 * slab.h: what the files of the plugin slab share.
 *
 * slab.c    descriptor, create, destroy      heap.c     the role heap: size classes, runs of frames
 * cache.c   the role objects                 lists.c    slabs: three lists, growing, colouring, the shared array
 * array.c   the threads' arrays              inspect.c  stat, walk, check, find, slabinfo
 */
#ifndef LOAM_SLAB_H
#define LOAM_SLAB_H

#include "../common/caches.h"
#include "../common/classes.h"
#include "../common/count.h"
#include "../common/list.h"
#include "../common/runs.h"
#include "../common/slabdebug.h"

#define SLAB_SLOTS 512 /* caches that have arrays in the local areas; later ones work without */
#define SLAB_NO_SLOT UINT32_MAX
#define SLAB_MAX_OBJECTS 60000u /* of one slab: numbers have 16 bits */

struct cache;

/**
 * A slab: a block of frames cut into objects. Its record and the stack of the numbers of its free objects lie at its own
 * start, or, for large objects, in metadata memory (off-slab). Under the lock of the cache.
 */
struct slab {
	struct cache *cache;
	struct list_head node; /* one of the cache's three lists */
	char *objects;         /* the first one; behind the colour */
	struct page *page;
	uint32_t active; /* objects that are not on the stack: handed out, or in an array */
	uint32_t colour;
	uint16_t free[]; /* free[active] to free[num - 1] are the numbers of the free objects; the next one first */
};

/**
 * Free objects that one thread may take without a lock; the newest at the end. Only its thread changes it. The order of stores
 * is such that a fork in the middle of an operation finds each entry below `avail` valid.
 */
struct array {
	uint32_t avail, limit, batch, pad;
	uint64_t allocs, frees; /* by this thread; relaxed */
	void *entries[];
};

/** A local area: for each cache's slot the thread's array, made when the thread first uses the cache. */
struct area {
	struct array *slots[SLAB_SLOTS];
};

struct slab_heap;

struct cache {
	struct loam_cache pub; /* first */
	struct slab_heap *heap;
	uint32_t size;       /* from object to object */
	uint32_t num;        /* objects of a slab */
	uint64_t reciprocal; /* of size: 2^40 / size, rounded up */
	uint32_t slot;       /* index, or SLAB_NO_SLOT */
	uint32_t order, align, flags;
	uint32_t usable;                     /* bytes that the holder may use */
	uint32_t limit, batch, shared_limit; /* of arrays; 0: everything under the lock */
	uint32_t colours, colour_step;
	uint32_t mgmt;       /* bytes of the record and the stack */
	uint32_t free_limit; /* free objects that may stay in free slabs */
	bool off_slab, debug;
	gfp_t gfp; /* the zone, for the DMA caches */
	void (*ctor)(void *), (*dtor)(void *);
	struct slabdebug layout;

	struct loam_lock lock;
	/* The three lists, the colour of the next slab and the rest down to `shared` are guarded by the lock. */
	struct list_head full, partial, empty;
	uint32_t next_colour;
	uint32_t shared_avail;
	void **shared;                    /* shared_limit entries */
	uint64_t nr_slabs, nr_free;       /* free objects in slabs; atomic */
	uint64_t allocs, frees, failures; /* atomic: done without an array */
	struct caches_node node;          /* the instance's caches, the newest first */
	char name[64];
};

/** An instance. */
struct slab_heap {
	struct loam_local local;
	const struct loam_host *host;
	const struct loam_map *map;
	struct cache *class[CLASSES_FINE];
	uint8_t small[CLASSES_SMALL / 8 + 1]; /* (bytes + 7) / 8 to class */
	uint32_t nr_classes;
	bool fine;
	size_t class_max; /* bytes of the largest class */
	const struct loam_port *pages;
	struct loam_self *self;
	uint32_t owner;
	struct runs runs;

	struct loam_lock lock;
	struct list_head caches LOAM_GUARDED_BY(lock);
	struct cache *slots[SLAB_SLOTS];                 /* written under the lock; atomic */
	struct cache *dma[2][CLASSES_KERNEL];            /* made on first use; atomic */
	uint64_t gone_allocs, gone_frees, gone_failures; /* of destroyed caches; under the lock */

	/* own[0] of the frames of runs: a slab of no cache. Last, for a slab has no end of its own. */
	struct slab run_mark;
};

/* ---- small tools ---- */

/** The record of the slab that a frame belongs to; written before any object of it was handed out. */
static inline struct slab *page_slab(const struct page *page)
{
	return (struct slab *)page->own[0];
}

/** The number of the object that begins at @at (its place: with a red zone, before it), or num and more when none does. */
static inline uint32_t slab_number(const struct cache *cache, const struct slab *slab, const char *at)
{
	size_t off = (size_t)(at - slab->objects);
	uint32_t i;

	/* Slabs are at most 4 MiB, so the product fits and the quotient is exact. */
	if (loam_unlikely(off > LOAM_PAGE_SIZE << 10))
		return UINT32_MAX;
	i = (uint32_t)((off * cache->reciprocal) >> 40);
	return loam_likely((size_t)i * cache->size == off) ? i : UINT32_MAX;
}

/* ---- the short ways ---- */

static inline void *array_pop(struct array *array)
{
	uint32_t n;

	if (loam_unlikely(!array || !array->avail))
		return NULL;
	n = array->avail - 1;
	array->avail = n;
	count_one(&array->allocs);
	return array->entries[n];
}

/* False: the array is full, or the object is what was freed last. */
static inline bool array_push(struct array *array, void *object)
{
	uint32_t n;

	if (loam_unlikely(!array))
		return false;
	n = array->avail;
	if (loam_unlikely(n == array->limit || (n && array->entries[n - 1] == object)))
		return false;
	array->entries[n] = object;
	/* Release: in a child of fork the entry is there when `avail` says so. */
	__atomic_store_n(&array->avail, n + 1, __ATOMIC_RELEASE);
	count_one(&array->frees);
	return true;
}

/* The caller's array of a cache; NULL when it has none (yet). */
static inline struct array *cache_array(const struct cache *cache)
{
	struct area *area = cache->slot != SLAB_NO_SLOT ? loam_area(&cache->heap->local) : NULL;

	return area ? area->slots[cache->slot] : NULL;
}

/* ---- array.c ---- */
void *slab_alloc_slow(struct cache *cache, gfp_t gfp);
void slab_free_slow(struct cache *cache, struct slab *slab, void *object);
void slab_array_drain(struct cache *cache, struct array *array);
void slab_arrays_drop(struct cache *cache);
size_t slab_array_bytes(const struct cache *cache);
void slab_flush(void *inst, void *area);
void slab_fork(void *inst, enum loam_fork_phase phase);

/* ---- lists.c ---- */
bool slab_grow(struct cache *cache, gfp_t gfp);
void *slab_take(struct cache *cache);
bool slab_put(struct cache *cache, struct slab *slab, void *object, struct list_head *gone);
void slab_discard(struct cache *cache, struct slab *slab);
unsigned long slab_discard_all(struct cache *cache, struct list_head *slabs);
struct slabdebug_slab slab_view(const struct slab *slab);
unsigned long slab_reap(struct cache *cache, unsigned long pages);

/* ---- cache.c ---- */
extern const struct loam_objects_ops slab_objects_ops;
struct cache *slab_cache_new(struct slab_heap *heap, const struct loam_cache_args *args, int *error);
void slab_cache_free(struct cache *cache);
unsigned long slab_shrink(void *inst, unsigned long pages);

/* ---- heap.c ---- */
extern const struct loam_heap_ops slab_heap_ops;
int slab_heap_create(struct slab_heap *heap);

/* ---- inspect.c ---- */
int slab_stat(void *inst, struct loam_stat *stat);
int slab_walk(void *inst, loam_walk_fn fn, void *arg);
int slab_check(void *inst, loam_check_fn fn, void *arg);
int slab_find(void *inst, const void *addr, struct page *page, struct loam_span *span);
int slab_each(void *inst, loam_cache_fn fn, void *arg);
uint64_t slab_cache_live(struct cache *cache);

#endif
