/* SPDX-License-Identifier: MIT */
/*
 * slob.h: what the files of the plugin slob share.
 *
 * slob.c    descriptor, create, destroy                    roles.c    heap and objects
 * blocks.c  blocks and runs, taken and put back            inspect.c  stat, walk, check, find
 */
#ifndef LOAM_SLOB_H
#define LOAM_SLOB_H

#include <loam/plugin.h>

#include "../common/list.h"
#include "../common/misuse.h"

#define UNIT 8u
#define UNITS (LOAM_PAGE_SIZE / UNIT) /* of a page */
#define CACHES 4096
#define UNMADE CACHES /* in head.cache: the destructor runs; neither live nor free */
#define HEAP_NAME "kmalloc"
#define LISTS 3
#define ZONES 3 /* any, DMA32, DMA: their pages are not mixed */

/** A free block's first unit. */
struct hole {
	uint32_t units;
	uint32_t next; /* offset in its page, in units; 0: the last one (nothing links to offset 0 but own[0]) */
};

/** A live block's first unit. */
struct head {
	uint32_t size;  /* as asked for */
	uint32_t cache; /* 0: the heap's */
};

/**
 * What a page is, in the low bits of priv; a run's other bits are its cache, those of a page say for which zone's requests it was
 * taken. Of a run only the first frame says it: the others keep what they once were, so whoever comes with an address looks at
 * loam_page_head().
 */
enum kind { KIND_PAGE = 1, KIND_RUN };

struct slob;

struct cache {
	struct loam_cache pub; /* first */
	struct slob *slob;
	uint32_t index, align;
	gfp_t gfp;
	uint64_t live LOAM_GUARDED_BY(slob->lock);
	void (*ctor)(void *object), (*dtor)(void *object);
	char name[64];
};

/** An instance. */
struct slob {
	const struct loam_host *host;
	const struct loam_map *map;
	struct loam_self *self;
	const struct loam_port *pages;
	uint32_t owner;
	unsigned orders;
	struct loam_lock lock;
	/* All below are guarded by the lock. */
	struct list_head partial[ZONES][LISTS];
	struct list_head full, runs;
	uint64_t nr_pages; /* of both kinds, in frames */
	uint64_t allocs, frees, failures, live_bytes;
	struct cache *caches[CACHES];
};

/* ---- small tools ---- */

/** Units of a block for @size bytes, its head included. */
static inline uint32_t units_for(size_t size)
{
	return 1 + (uint32_t)((size + UNIT - 1) / UNIT);
}

static inline enum kind kind_of(const struct page *page)
{
	return page->priv & 3;
}

static inline uint32_t cache_of_run(const struct page *page)
{
	return (uint32_t)(page->priv >> 2);
}

static inline char *base_of(const struct slob *slob, const struct page *page)
{
	return loam_page_ptr(slob->map, page);
}

static inline struct hole *hole_at(char *base, uint32_t unit)
{
	return (struct hole *)(base + (size_t)unit * UNIT);
}

static inline struct hole *next_hole(char *base, const struct hole *hole)
{
	return hole->next ? hole_at(base, hole->next) : NULL;
}

/** What stands in front of what a holder has. */
static inline struct head *head_of(const void *ptr)
{
	return (struct head *)((char *)ptr - UNIT);
}

/* ---- blocks.c ---- */
void *slob_alloc(struct slob *slob, size_t size, size_t align, gfp_t gfp, uint32_t cache);
void slob_free(void *inst, void *ptr, struct page *page);
bool slob_is_block(const struct slob *slob, const void *ptr);
bool slob_is_free(const struct slob *slob, const void *ptr, struct page *page) LOAM_REQUIRES(slob->lock);

/* ---- roles.c ---- */
extern const struct loam_heap_ops slob_heap_ops;
extern const struct loam_objects_ops slob_objects_ops;

/* ---- inspect.c ---- */
int slob_each_page(struct slob *slob, int (*fn)(struct slob *slob, struct page *page, void *arg), void *arg);
int slob_stat(void *inst, struct loam_stat *stat);
int slob_walk(void *inst, loam_walk_fn fn, void *arg);
int slob_check(void *inst, loam_check_fn fn, void *arg);
int slob_find(void *inst, const void *addr, struct page *page, struct loam_span *span);

#endif
