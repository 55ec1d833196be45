/* SPDX-License-Identifier: MIT */
/*
 * linux/mempool.h: a reserve of elements that cannot be used up by others: as long as who has elements gives them back, an
 * allocation that may sleep does not fail. Semantics: Linux 6.1.
 */
#ifndef LOAM_LINUX_MEMPOOL_H
#define LOAM_LINUX_MEMPOOL_H

#include <asm/loam.h>
#include <linux/slab.h>
#include <loam/pool.h>

LOAM_BEGIN_DECLS

typedef void *(mempool_alloc_t)(gfp_t gfp, void *pool_data);
typedef void(mempool_free_t)(void *element, void *pool_data);
typedef struct mempool_s mempool_t;

/** A pool with a reserve of @min_nr elements of a pair of functions. NULL: the reserve could not be filled. May sleep. */
mempool_t *mempool_create(int min_nr, mempool_alloc_t *alloc_fn, mempool_free_t *free_fn, void *pool_data);
mempool_t *mempool_create_node(int min_nr, mempool_alloc_t *alloc_fn, mempool_free_t *free_fn, void *pool_data,
			       gfp_t gfp, int node);
/** The reserve goes back to where it came from; elements that are out do not. NULL is ignored. May sleep. */
void mempool_destroy(mempool_t *pool);
/** Change the reserve. 0 or -ENOMEM. May sleep. */
int mempool_resize(mempool_t *pool, int new_min_nr);
/**
 * An element: of where they come from, without pressing for it; else of the reserve; else, with __GFP_DIRECT_RECLAIM, it waits
 * until one is given back, and does not fail. Without: NULL. Flags with __GFP_ZERO are refused with a warning.
 */
void *mempool_alloc(mempool_t *pool, gfp_t gfp);
/** Fills the reserve first. NULL is ignored. Any context. */
void mempool_free(void *element, mempool_t *pool);
/** @n elements, or none of them: 0 or -ENOMEM. */
int mempool_alloc_bulk(mempool_t *pool, gfp_t gfp, unsigned int n, void **elements);
void mempool_free_bulk(mempool_t *pool, unsigned int n, void **elements);

/** Elements of a cache: pool_data is the struct kmem_cache. */
void *mempool_alloc_slab(gfp_t gfp, void *pool_data);
void mempool_free_slab(void *element, void *pool_data);
#define mempool_create_slab_pool(min_nr, cache)                                                                        \
	mempool_create(min_nr, mempool_alloc_slab, mempool_free_slab, (void *)(cache))
/** Of kmalloc: pool_data is the size. */
void *mempool_kmalloc(gfp_t gfp, void *pool_data);
void mempool_kfree(void *element, void *pool_data);
#define mempool_create_kmalloc_pool(min_nr, size)                                                                      \
	mempool_create(min_nr, mempool_kmalloc, mempool_kfree, (void *)(size_t)(size))
/** Of pages: pool_data is the order; an element is a struct page. */
void *mempool_alloc_pages(gfp_t gfp, void *pool_data);
void mempool_free_pages(void *element, void *pool_data);
#define mempool_create_page_pool(min_nr, order)                                                                        \
	mempool_create(min_nr, mempool_alloc_pages, mempool_free_pages, (void *)(long)(order))

/*
 * The short ways, where the pool publishes its stacks (loam/pool.h): this CPU's stack has so many, or room for so many and the
 * reserve lacks none. The limit that is not 0 says that a CPU is held and stays so to the end of the function, that the context is not
 * atomic, and that no interrupt waits; and nothing here is a call in which one could come in.
 */
static inline void *loam_mempool_alloc(mempool_t *pool, gfp_t gfp)
{
	if (loam_likely(loam_limit() && !(gfp & __GFP_ZERO))) {
		struct loam_pool_stack *stack = loam_pool_stack((struct loam_pool *)pool);

		if (loam_likely(stack && stack->n))
			return stack->elements[--stack->n];
	}
	return mempool_alloc(pool, gfp);
}

static inline void loam_mempool_free(void *element, mempool_t *pool)
{
	if (loam_likely(loam_limit() && element && !loam_pool_is_short((struct loam_pool *)pool))) {
		struct loam_pool_stack *stack = loam_pool_stack((struct loam_pool *)pool);

		if (loam_likely(stack && stack->n < stack->max)) {
			stack->elements[stack->n++] = element;
			return;
		}
	}
	mempool_free(element, pool);
}

static inline int loam_mempool_alloc_bulk(mempool_t *pool, gfp_t gfp, unsigned int n, void **elements)
{
	if (loam_likely(loam_limit())) {
		struct loam_pool_stack *stack = loam_pool_stack((struct loam_pool *)pool);

		if (loam_likely(stack && n <= stack->n)) {
			stack->n -= n;
			memcpy(elements, stack->elements + stack->n, n * sizeof(*elements));
			return 0;
		}
	}
	return mempool_alloc_bulk(pool, gfp, n, elements);
}

static inline void loam_mempool_free_bulk(mempool_t *pool, unsigned int n, void **elements)
{
	if (loam_likely(loam_limit() && !loam_pool_is_short((struct loam_pool *)pool))) {
		struct loam_pool_stack *stack = loam_pool_stack((struct loam_pool *)pool);

		if (loam_likely(stack && n <= stack->max - stack->n)) {
			memcpy(stack->elements + stack->n, elements, n * sizeof(*elements));
			stack->n += n;
			return;
		}
	}
	mempool_free_bulk(pool, n, elements);
}

/* Calls take them. A name without a call behind it is the library's function, the same one in all modules, which does it all. */
#define mempool_alloc(pool, gfp) loam_mempool_alloc(pool, gfp)
#define mempool_free(element, pool) loam_mempool_free(element, pool)
#define mempool_alloc_bulk(pool, gfp, n, elements) loam_mempool_alloc_bulk(pool, gfp, n, elements)
#define mempool_free_bulk(pool, n, elements) loam_mempool_free_bulk(pool, n, elements)

LOAM_END_DECLS
#endif
