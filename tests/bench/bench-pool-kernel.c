/* SPDX-License-Identifier: MIT */
/* bench-pool-kernel.c: loam's side of bench-pool, as kernel code. */
#define __KERNEL__
#define MODULE
#include "bench-pool.h"

#include <linux/kernel.h>
#include <linux/mempool.h>

static inline void get(void *pool, unsigned int n, void **elements)
{
	if (n == 1)
		*elements = mempool_alloc(pool, GFP_NOWAIT);
	else if (mempool_alloc_bulk(pool, GFP_NOWAIT, n, elements))
		*elements = NULL;
	BUG_ON(!*elements);
}

static inline void put(void *pool, unsigned int n, void **elements)
{
	if (n == 1)
		mempool_free(*elements, pool);
	else
		mempool_free_bulk(pool, n, elements);
}

double kernel_single(void *pool)
{
	return bench_loop(pool, 1, get, put);
}

double kernel_bulk(void *pool)
{
	return bench_loop(pool, BENCH_BULK, get, put);
}

void kernel_source(struct loam_pool_source *source)
{
	*source = (struct loam_pool_source){ mempool_alloc_slab, mempool_free_slab,
					     kmem_cache_create("elements", 64, 0, 0, NULL) };
}
