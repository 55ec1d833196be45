/* SPDX-License-Identifier: MIT */
/*
 * slub.h: what the files of the plugin slub share.
 *
 * slub.c    descriptor, create, destroy      heap.c     the role heap: size classes, hot paths, page runs
 * cache.c   the role objects                 slab.c     slabs: made, carved, emptied; the slow paths
 * local.c   areas of threads: flush, fork    inspect.c  stat, walk, check, find, slabinfo
 */
#ifndef LOAM_SLUB_H
#define LOAM_SLUB_H

#include <loam/plugin.h>

#include "../common/caches.h"
#include "../common/classes.h"
#include "../common/count.h"
#include "../common/list.h"
#include "../common/runs.h"
#include "../common/slabdebug.h"

#define SLUB_SLOTS 512 /* caches that have a place in the local areas; later ones work without */
#define SLUB_NO_SLOT UINT32_MAX

/** Objects of one slab, at the most: 8 bytes each in the largest order that cache_orders chooses for them. */
#define SLUB_MAX_OBJECTS ((LOAM_PAGE_SIZE << 9) / 8)

struct cache;
struct area;

/** In slab->fast: no thread may take the short way. */
#define SLUB_NOBODY ((struct area *)1)
/**
 * Added to slab->inuse of a current slab: it never looks empty, so that free has one test for both kinds of slabs, which the
 * processor predicts.
 */
#define SLUB_CURRENT 0x80000000u
/** In cold->inbox: the slot's owner is leaving. */
#define SLUB_CLOSED ((void *)1)

/**
 * A slab: a block of frames cut into objects. Its owner is the area that may use `free` and `inuse` without a lock; a slab
 * without an owner is its cache's, under the cache's lock.
 */
struct slab {
	void *free;           /* free objects */
	struct area *fast;    /* atomic: the owner where the short way of free is lawful, else SLUB_NOBODY */
	uint32_t slot_offset; /* of the cache's slot in an area */
	uint32_t inuse;       /* objects handed out; SLUB_CURRENT is added while it is a slot's current slab */
	struct cache *cache;
	char *base;
	uint32_t objects;   /* that fit */
	uint32_t carved;    /* that have been on a list at least once; the rest of the memory is untouched */
	struct area *owner; /* atomic: written under the cache's lock or by the owner itself */
	uint32_t order;
	uint32_t pad;
	struct list_head node; /* owned: slot's partial or full; else the cache's partial list, or empty when full */
	struct list_head all;  /* the cache's list of all its slabs */
	struct page *page;
} __attribute__((aligned(64)));

/** The hot part of a cache's place in an area. */
struct slot {
	struct slab
		*slab; /* the current slab; NULL where the cache's links are encoded (then it is in the cold part) */
	uint64_t allocs, frees; /* by this area's threads; written by the owner, read by anybody, relaxed */
	uint64_t pad;
};

/** The cold part. */
struct cold {
	void *inbox;       /* atomic: objects of this slot's slabs that other threads freed */
	struct slab *hard; /* slot.slab of a hardened cache, which has no short way */
	struct list_head partial, full;
	uint32_t nr_partial;
	uint32_t pad;
	uint64_t pad2;
} __attribute__((aligned(64)));

/** A local area. */
struct area {
	struct slot slots[SLUB_SLOTS];
	struct cold cold[SLUB_SLOTS];
};

struct cache {
	struct loam_cache pub; /* first */
	struct slub *slub;
	uint32_t size;             /* from object to object */
	uint32_t fp;               /* offset of the link inside a free object */
	uint32_t slot;             /* index, or SLUB_NO_SLOT */
	uint32_t flags;            /* SLAB_* */
	uint32_t order, order_max; /* of a first slab, and of later ones */
	uint32_t order_least;      /* holds one object */
	uint32_t align;
	uint32_t usable;      /* bytes that the holder may use */
	uint32_t min_partial; /* empty slabs that may stay in the shared list */
	gfp_t gfp;            /* the zone, for the DMA caches */
	bool plain;           /* links are not encoded */
	bool debug;           /* red zones, poison and the like: every operation under the lock */
	uint64_t key;         /* of encoded links */
	void (*ctor)(void *), (*dtor)(void *);
	struct slabdebug layout;

	struct loam_lock lock;
	struct list_head partial LOAM_GUARDED_BY(lock); /* slabs without an owner that have free objects */
	struct list_head all LOAM_GUARDED_BY(lock);
	uint32_t nr_partial LOAM_GUARDED_BY(lock);
	uint32_t nr_slabs;       /* written under the lock; atomic */
	uint64_t nr_objects;     /* that all slabs hold; the same */
	uint64_t nr_pages;       /* likewise */
	uint64_t allocs, frees;  /* atomic: done without an area */
	uint64_t failures;       /* atomic */
	struct caches_node node; /* the instance's caches, newest first */
	char name[64];
};

/** An instance. The first line is what the hot paths read. */
struct slub {
	struct loam_local local;
	const struct loam_host *host;
	const struct loam_map *map;
	struct cache *class[CLASSES_FINE];
	uint8_t small[CLASSES_SMALL / 8 + 1]; /* (bytes + 7) / 8 to class */
	uint32_t nr_classes;
	bool fine;
	bool random, hardened;
	size_t class_max; /* bytes of the largest class */
	const struct loam_port *pages;
	struct loam_self *self;
	uint32_t owner;
	uint32_t orders;

	struct loam_lock lock; /* list of caches, slots, DMA classes */
	struct list_head caches LOAM_GUARDED_BY(lock);
	struct cache *slots[SLUB_SLOTS];                 /* written under the lock; atomic */
	struct cache *dma[2][CLASSES_KERNEL];            /* made on first use; atomic */
	uint64_t gone_allocs, gone_frees, gone_failures; /* of destroyed caches; under the lock */

	struct runs runs;
	struct slab run_mark; /* own[0] of a page run: no object, nobody's */
};

/* ---- small tools ---- */

/*
 * The slab of an object. The word was written when the slab was made, before any object of it was handed out, and whoever
 * has the object got it in an order that shows the write.
 */
static inline struct slab *slub_page_slab(const struct page *page)
{
	return (struct slab *)page->own[0];
}

static inline struct slab *slub_slab_of(const struct slub *slub, const void *object)
{
	return slub_page_slab(loam_ptr_page(slub->map, object));
}

/* ---- links between free objects ---- */

/*
 * A hardened link is its target, a key of the cache, and its own address with the bytes turned round: who overwrites a
 * link cannot aim it without knowing both.
 */
static inline void *slub_link_get(const struct cache *cache, const void *object)
{
	char *at = (char *)object + cache->fp;
	uintptr_t word = *(uintptr_t *)at;

	return (void *)(cache->plain ? word : word ^ cache->key ^ __builtin_bswap64((uintptr_t)at));
}

static inline void slub_link_set(const struct cache *cache, void *object, void *next)
{
	char *at = (char *)object + cache->fp;
	uintptr_t word = (uintptr_t)next;

	*(uintptr_t *)at = cache->plain ? word : word ^ cache->key ^ __builtin_bswap64((uintptr_t)at);
}

/* The slab from which this slot serves. */
static inline struct slab **slub_current(const struct cache *cache, struct area *area)
{
	return cache->plain ? &area->slots[cache->slot].slab : &area->cold[cache->slot].hard;
}

/* The short way of alloc: an object of the current slab whose links are at @fp and not encoded, or NULL. */
static inline void *slub_pop(struct slot *slot, uint32_t fp)
{
	struct slab *slab = slot->slab;
	void *object;

	if (loam_unlikely(!slab))
		return NULL;
	object = slab->free;
	if (loam_unlikely(!object))
		return NULL;
	slab->free = *(void **)((char *)object + fp);
	slab->inuse++;
	count_one(&slot->allocs);
	return object;
}

/*
 * The short way of free, into a slab of the caller's own: false when the slab was full or becomes empty, which changes its
 * place in the lists.
 */
static inline bool slub_push(struct slot *slot, struct slab *slab, void *object, uint32_t fp)
{
	void *next = slab->free;

	if (loam_unlikely(!next || slab->inuse == 1))
		return false;
	*(void **)((char *)object + fp) = next;
	slab->free = object;
	slab->inuse--;
	count_one(&slot->frees);
	return true;
}

/* ---- slab.c ---- */
void *slub_alloc_slow(struct cache *cache, gfp_t gfp);
void slub_free_slow(struct slab *slab, void *object, struct area *area);
struct slabdebug_slab slub_view(const struct slab *slab);
void slub_partial_add(struct slab *slab);
void slub_partial_del(struct slab *slab);
void slub_free_owned(struct area *area, struct slab *slab, void *object, struct list_head *empty);
struct slab *slub_slab_new(struct cache *cache, gfp_t gfp);
void slub_slab_discard(struct slab *slab);
void slub_discard_all(struct list_head *slabs);
void slub_carve(struct slab *slab);

/* ---- cache.c ---- */
extern const struct loam_objects_ops slub_objects_ops;
struct cache *slub_cache_new(struct slub *slub, const struct loam_cache_args *args, int *error);
void slub_cache_free(struct cache *cache);
unsigned long slub_shrink(void *inst, unsigned long pages);

/* ---- heap.c ---- */
extern const struct loam_heap_ops slub_heap_ops;
int slub_heap_create(struct slub *slub);

/* ---- local.c ---- */
void slub_slot_open(struct cache *cache, struct area *area);
void slub_slot_settle(struct cache *cache, struct area *area, struct list_head *empty);
void slub_slot_shrink(struct cache *cache, struct area *area, struct list_head *empty);
void slub_flush(void *inst, void *area);
void slub_fork(void *inst, enum loam_fork_phase phase);
void slub_slot_forget(struct cache *cache);

/* ---- inspect.c ---- */
int slub_stat(void *inst, struct loam_stat *stat);
int slub_walk(void *inst, loam_walk_fn fn, void *arg);
int slub_check(void *inst, loam_check_fn fn, void *arg);
int slub_find(void *inst, const void *addr, struct page *page, struct loam_span *span);
int slub_each(void *inst, loam_cache_fn fn, void *arg);
void slub_cache_sums(struct cache *cache, uint64_t *allocs, uint64_t *frees);

#endif
