/* SPDX-License-Identifier: MIT */
/*
 * bench-pool.c: pools against DPDK's: get and put of 128 elements of 64 bytes, one by one and 32 at a time, in one thread.
 *
 *   mempool   over a cache of slub: every element comes from the source, as long as that has any
 *   ring      with stacks of 256 over the same
 *   rte       rte_mempool with a cache of 256
 *
 * loam's side is kernel code, as a module would be compiled: mempool_alloc and mempool_free with their short ways in the loop
 * (bench-pool-kernel.c). DPDK's functions are inline too, and the loops are the same (bench-pool.h). The sides take turns.
 *
 * Printed: nanoseconds for one get and one put of an element, the best of some rounds; and what that is of rte's.
 */
#include "bench-pool.h"
#include "kernel/modules.h"
#include "machine.h"

#include <loam/pool.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mempool.h>

#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 15

static const char config[] = "[machine]\nmemory = 64M\ncpus = 1\n[frames]\nplugin = buddy\n"
			     "[objects]\nplugin = slub\npages = frames\n"
			     "[mempool]\nplugin = mempool\n[ring]\nplugin = ring\n"
			     "[kernel]\npages = frames\nobjects = objects\nheap = objects\npool = ring\n";

static void fail(const char *what)
{
	fprintf(stderr, "bench-pool: %s\n", what);
	exit(1);
}

/* ---- loam ---- */

/* As mempool_create does it, with any instance. */
static void *loam_pool(const char *name, const struct loam_pool_source *source)
{
	struct loam_self *self = loam__graph_find(loam__machine.graph, name);
	const struct loam_link *link = &self->links[LOAM_ROLE_POOL];
	struct loam_pool_args args = { .size = sizeof(args), .min_nr = 64, .element_size = 64, .source = *source };
	struct loam_pool *pool;

	if (((const struct loam_pool_ops *)link->ops)->create(link->inst, &args, &pool))
		fail("a pool cannot be had");
	return pool;
}

static void boot(void)
{
	struct loam_diag diag;
	struct loam__graph *graph;

	loam__diag_init(&diag);
	graph = loam__wire(loam__config_text("bench", config, &diag), &diag);
	if (!graph || loam__boot(graph, &diag) || loam__kernel_api.up(&diag)) {
		loam__diag_print(&diag, stderr);
		fail("the machine does not start");
	}
}

/* ---- DPDK ---- */

static inline void rte_get(void *pool, unsigned n, void **elements)
{
	if (n == 1 ? rte_mempool_get(pool, elements) : rte_mempool_get_bulk(pool, elements, n))
		fail("rte_mempool is empty");
}

static inline void rte_put(void *pool, unsigned n, void **elements)
{
	if (n == 1)
		rte_mempool_put(pool, *elements);
	else
		rte_mempool_put_bulk(pool, elements, n);
}

static double rte_single(void *pool)
{
	return bench_loop(pool, 1, rte_get, rte_put);
}

static double rte_bulk(void *pool)
{
	return bench_loop(pool, BENCH_BULK, rte_get, rte_put);
}

static void *rte_pool(char *program)
{
	char *eal[] = { program, "--no-huge", "--no-pci", "--no-telemetry", "-l", "0", "--log-level=error", NULL };
	struct rte_mempool *pool;

	if (rte_eal_init((int)LOAM_LEN(eal) - 1, eal) < 0)
		fail(rte_strerror(rte_errno));
	pool = rte_mempool_create("bench", 8191, 64, 256, 0, NULL, NULL, NULL, NULL, SOCKET_ID_ANY, 0);
	if (!pool)
		fail(rte_strerror(rte_errno));
	return pool;
}

/* ---- both ---- */

struct side {
	const char *name;
	void *pool;
	double (*single)(void *pool), (*bulk)(void *pool);
	double best[2];
};

static void measure(struct side *side)
{
	double took[2] = { side->single(side->pool), side->bulk(side->pool) };

	for (unsigned i = 0; i < 2; i++)
		if (!side->best[i] || took[i] < side->best[i])
			side->best[i] = took[i];
}

int main(int argc, char **argv)
{
	struct loam_pool_source source;
	struct side sides[] = { { .name = "mempool", .single = kernel_single, .bulk = kernel_bulk },
				{ .name = "ring", .single = kernel_single, .bulk = kernel_bulk },
				{ .name = "rte", .single = rte_single, .bulk = rte_bulk } };
	const double *of = sides[2].best;

	(void)argc;
	boot();
	kernel_source(&source);
	for (unsigned i = 0; i < 2; i++)
		sides[i].pool = loam_pool(sides[i].name, &source);
	sides[2].pool = rte_pool(argv[0]);
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < LOAM_LEN(sides); i++)
			measure(&sides[i]);
	printf("%-8s %8s %8s %8s %8s   ns for a get and a put, and of rte's\n", "", "single", "", "bulk 32", "");
	for (unsigned i = 0; i < LOAM_LEN(sides); i++)
		printf("%-8s %8.2f %8.2f %8.2f %8.2f\n", sides[i].name, sides[i].best[0], sides[i].best[0] / of[0],
		       sides[i].best[1], sides[i].best[1] / of[1]);
	return 0;
}
