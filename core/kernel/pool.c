/* SPDX-License-Identifier: MIT */
/*
 * pool.c: mempools by their kernel names, over the port pool of [kernel]. The plugin keeps the reserve; the order of tries, and
 * waiting, are here (pool.h of the plugin ABI); the short ways of mempool_alloc and mempool_free are in linux/mempool.h. A
 * mempool_t is the plugin's struct loam_pool.
 */
#include "kernel.h"

#include <linux/bug.h>
#include <linux/jiffies.h>
#include <linux/mempool.h>
#include <linux/wait.h>

#include <errno.h>

/* The first try of the source: nothing is pressed for, and nobody is told. */
#define LIGHT_MORE (__GFP_NOMEMALLOC | __GFP_NORETRY | __GFP_NOWARN)
#define LIGHT_LESS (__GFP_DIRECT_RECLAIM | __GFP_IO)
#define PATIENCE (5 * HZ) /* a source may have elements again though nobody gave one back */

/* Who waits, of all pools: giving back into an empty reserve is rare. */
static DECLARE_WAIT_QUEUE_HEAD(given);

void pool_boot(void)
{
	init_waitqueue_head(&given);
}

static struct loam_pool *plain(mempool_t *pool)
{
	return (struct loam_pool *)pool;
}

static const struct loam_pool_ops *ops_of(const struct loam_pool *pool)
{
	return pool->link.ops;
}

static size_t element_size(mempool_alloc_t *alloc_fn, void *pool_data)
{
	if (alloc_fn == mempool_alloc_slab)
		return kmem_cache_size(pool_data);
	return alloc_fn == mempool_kmalloc ? (size_t)pool_data : 0;
}

mempool_t *mempool_create_node(int min_nr, mempool_alloc_t *alloc_fn, mempool_free_t *free_fn, void *pool_data,
			       gfp_t gfp, int node)
{
	const struct loam_self *self = loam__machine.graph->kernel[LOAM_ROLE_POOL];
	struct loam_pool_args args = { .size = sizeof(args),
				       .min_nr = (uint32_t)min_nr,
				       .element_size = element_size(alloc_fn, pool_data),
				       .source = { alloc_fn, free_fn, pool_data } };
	const struct loam_link *link;
	struct loam_pool *pool;

	(void)node;
	kernel_enter();
	check_gfp(gfp, "mempool_create");
	if (!self) {
		loam_warn("mempool", 0, "mempool_create: [kernel] names no pool\n");
		return NULL;
	}
	if (WARN_ON_ONCE(min_nr <= 0))
		return NULL;
	link = &self->links[LOAM_ROLE_POOL];
	if (((const struct loam_pool_ops *)link->ops)->create(link->inst, &args, &pool))
		return NULL;
	pool->waiters = 0;
	if (kernel_tracking)
		track_add(pool, args.element_size * args.min_nr, TRACK_MEMPOOL, __builtin_return_address(0));
	return (mempool_t *)pool;
}

mempool_t *mempool_create(int min_nr, mempool_alloc_t *alloc_fn, mempool_free_t *free_fn, void *pool_data)
{
	return mempool_create_node(min_nr, alloc_fn, free_fn, pool_data, GFP_KERNEL, NUMA_NO_NODE);
}

void mempool_destroy(mempool_t *pool)
{
	kernel_enter();
	check_gfp(GFP_KERNEL, "mempool_destroy");
	if (!pool)
		return;
	if (kernel_tracking)
		track_del(pool);
	ops_of(plain(pool))->destroy(plain(pool));
}

int mempool_resize(mempool_t *pool, int new_min_nr)
{
	int error;

	kernel_enter();
	check_gfp(GFP_KERNEL, "mempool_resize");
	BUG_ON(new_min_nr <= 0);
	error = ops_of(plain(pool))->resize(plain(pool), (uint32_t)new_min_nr);
	/* A larger reserve is full. */
	if (!error)
		wake_up_all(&given);
	return error;
}

/* ---- elements ---- */

/* Sleep until an element is in the reserve, or the source may be asked again. */
static void *wait_for_one(struct loam_pool *pool)
{
	void *element = NULL;

	__atomic_fetch_add(&pool->waiters, 1, __ATOMIC_SEQ_CST);
	wait_event_timeout(given, (element = ops_of(pool)->take(pool)) != NULL, PATIENCE);
	__atomic_fetch_sub(&pool->waiters, 1, __ATOMIC_RELAXED);
	return element;
}

static LOAM_COLD void *alloc_slow(struct loam_pool *pool, gfp_t gfp)
{
	void *element = ops_of(pool)->take(pool);

	/* The source was asked without reclaim: now with all that the flags allow, and then others must give back. */
	while (!element && gfp & __GFP_DIRECT_RECLAIM) {
		element = pool->source.alloc(gfp, pool->source.data);
		if (!element)
			element = wait_for_one(pool);
	}
	return element;
}

void *(mempool_alloc)(mempool_t *mempool, gfp_t gfp)
{
	struct loam_pool *pool = plain(mempool);
	const struct loam_pool_ops *ops = ops_of(pool);
	void *element;

	kernel_enter();
	check_gfp(gfp, "mempool_alloc");
	if (loam_unlikely(gfp & __GFP_ZERO)) {
		WARN_ON_ONCE(gfp & __GFP_ZERO);
		gfp &= ~__GFP_ZERO;
	}
	if (ops->get && (element = ops->get(pool)))
		return element;
	gfp |= LIGHT_MORE;
	element = pool->source.alloc(gfp & ~LIGHT_LESS, pool->source.data);
	return loam_likely(element != NULL) ? element : alloc_slow(pool, gfp);
}

static LOAM_COLD void refilled(struct loam_pool *pool)
{
	/* Sequentially consistent: it pairs with who counts himself in and then looks at the reserve. */
	if (__atomic_load_n(&pool->waiters, __ATOMIC_SEQ_CST))
		wake_up_all(&given);
}

void(mempool_free)(void *element, mempool_t *mempool)
{
	struct loam_pool *pool = plain(mempool);
	const struct loam_pool_ops *ops = ops_of(pool);
	int given_to;

	kernel_enter();
	if (loam_unlikely(!element))
		return;
	/* Who keeps nothing wants it only for the reserve. */
	if (loam_likely(!ops->get && !loam_pool_is_short(pool))) {
		pool->source.free(element, pool->source.data);
		return;
	}
	given_to = ops->give(pool, element);
	if (loam_likely(given_to == LOAM_POOL_KEPT))
		return;
	if (given_to == LOAM_POOL_SOURCE)
		pool->source.free(element, pool->source.data);
	else
		refilled(pool);
}

/* What asks the source first, at once when that is a cache. */
static bool of_cache(const struct loam_pool *pool)
{
	return !ops_of(pool)->get && pool->source.alloc == mempool_alloc_slab && pool->source.free == mempool_free_slab;
}

int(mempool_alloc_bulk)(mempool_t *mempool, gfp_t gfp, unsigned int n, void **elements)
{
	struct loam_pool *pool = plain(mempool);
	const struct loam_pool_ops *ops = ops_of(pool);
	unsigned int got = 0;

	kernel_enter();
	check_gfp(gfp, "mempool_alloc_bulk");
	if (ops->get_bulk && ops->get_bulk(pool, n, elements))
		return 0;
	if (n && of_cache(pool) && !(gfp & __GFP_ZERO) &&
	    kmem_cache_alloc_bulk(pool->source.data, (gfp | LIGHT_MORE) & ~LIGHT_LESS, n, elements))
		return 0;
	while (got < n && (elements[got] = mempool_alloc(mempool, gfp)))
		got++;
	if (got == n)
		return 0;
	mempool_free_bulk(mempool, got, elements);
	return -ENOMEM;
}

void(mempool_free_bulk)(mempool_t *mempool, unsigned int n, void **elements)
{
	struct loam_pool *pool = plain(mempool);
	const struct loam_pool_ops *ops = ops_of(pool);
	unsigned int kept = 0;

	kernel_enter();
	if (of_cache(pool) && !loam_pool_is_short(pool)) {
		kmem_cache_free_bulk(pool->source.data, n, elements);
		return;
	}
	if (ops->give_bulk)
		kept = ops->give_bulk(pool, n, elements);
	while (kept < n)
		mempool_free(elements[kept++], mempool);
}

/* ---- sources ---- */

void *mempool_alloc_slab(gfp_t gfp, void *pool_data)
{
	return kmem_cache_alloc(pool_data, gfp);
}

void mempool_free_slab(void *element, void *pool_data)
{
	kmem_cache_free(pool_data, element);
}

void *mempool_kmalloc(gfp_t gfp, void *pool_data)
{
	return kmalloc((size_t)pool_data, gfp);
}

void mempool_kfree(void *element, void *pool_data)
{
	(void)pool_data;
	kfree(element);
}

void *mempool_alloc_pages(gfp_t gfp, void *pool_data)
{
	return alloc_pages(gfp, (unsigned int)(long)pool_data);
}

void mempool_free_pages(void *element, void *pool_data)
{
	__free_pages(element, (unsigned int)(long)pool_data);
}
