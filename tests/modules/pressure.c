/* SPDX-License-Identifier: MIT */
/*
 * pressure.c: eight threads with random sizes and flags on a machine with too little memory, for seconds=N. No request with NOFAIL
 * fails, an atomic one does not sleep, mempools deliver. That all of the memory is back at the end is for the program to tell: see test-modules.sh.
 */
#include "check.h"

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>

#define THREADS 8
#define HELD 8000

static int seconds = 2;
static ulong seed = 1;
module_param(seconds, int, 0);
module_param(seed, ulong, 0);

struct block {
	void *at;
	int order; /* -1: kmalloc; -2: a mempool's element; else pages */
};

struct worker {
	struct block held[HELD];
	int nr;
	u64 state;
	unsigned long asked, refused, atomic_slept, nofail_failed, pool_failed;
};

static struct worker *workers;
static mempool_t *pool;
static unsigned long until;
static DECLARE_COMPLETION(worker_done);

static u32 any(struct worker *w, u32 below)
{
	w->state = w->state * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(w->state >> 33) % below;
}

static const gfp_t flags[] = { GFP_KERNEL,
			       GFP_ATOMIC,
			       GFP_NOWAIT,
			       GFP_NOIO,
			       GFP_NOFS,
			       GFP_KERNEL | __GFP_NORETRY,
			       GFP_KERNEL | __GFP_RETRY_MAYFAIL,
			       GFP_KERNEL | __GFP_ZERO,
			       GFP_ATOMIC | __GFP_NOMEMALLOC,
			       GFP_KERNEL | GFP_DMA };

static void give_one(struct worker *w)
{
	struct block *block = &w->held[any(w, w->nr)];

	if (block->order == -1)
		kfree(block->at);
	else if (block->order == -2)
		mempool_free(block->at, pool);
	else
		free_pages((unsigned long)block->at, block->order);
	*block = w->held[--w->nr];
}

static void keep(struct worker *w, void *at, int order)
{
	w->held[w->nr++] = (struct block){ at, order };
}

/* Who was in an atomic section on the CPU last. */
static DEFINE_PER_CPU(struct worker *, last);

/* In an atomic section: the CPU is the same one all along, and nobody else had it meanwhile. */
static void *atomically(struct worker *w, size_t bytes)
{
	unsigned int cpu = get_cpu();
	void *at;

	this_cpu_write(last, w);
	at = kmalloc(bytes, GFP_ATOMIC | __GFP_NOWARN);
	w->atomic_slept += cpu != smp_processor_id() || this_cpu_read(last) != w;
	put_cpu();
	return at;
}

static void take_one(struct worker *w)
{
	gfp_t gfp = flags[any(w, ARRAY_SIZE(flags))] | __GFP_NOWARN;
	u32 what = any(w, 100);
	void *at;

	w->asked++;
	if (what < 60) {
		at = kmalloc(1 + any(w, any(w, 8) ? 2000 : 60000), gfp);
		if (at)
			keep(w, at, -1);
	} else if (what < 75) {
		int order = any(w, 4);

		at = (void *)__get_free_pages(gfp, order);
		if (at)
			keep(w, at, order);
	} else if (what < 85) {
		at = atomically(w, 1 + any(w, 1000));
		if (at)
			keep(w, at, -1);
	} else if (what < 90) {
		at = kmalloc(1 + any(w, 500), GFP_NOFS | __GFP_NOFAIL);
		w->nofail_failed += !at;
		if (at)
			keep(w, at, -1);
	} else if (what < 98) {
		at = mempool_alloc(pool, GFP_NOIO);
		w->pool_failed += !at;
		if (at) {
			memset(at, 1, 200);
			mempool_free(at, pool);
		}
	} else {
		at = __vmalloc(1 + any(w, 200000), GFP_KERNEL | __GFP_NOWARN);
		vfree(at);
	}
	w->refused += !at;
}

static int work(void *data)
{
	struct worker *w = data;

	while (time_before(jiffies, until)) {
		if (w->nr == HELD || (w->nr && any(w, 100) < 40))
			give_one(w);
		else
			take_one(w);
		if (!any(w, 100))
			cond_resched();
		/* Now and then a thread gives all back, so that others get on. */
		if (!any(w, 5000))
			while (w->nr)
				give_one(w);
	}
	while (w->nr)
		give_one(w);
	complete(&worker_done);
	return 0;
}

static int run(void)
{
	unsigned long asked = 0, refused = 0, wrong = 0;
	struct task_struct *tasks[THREADS];
	int i;

	until = jiffies + (unsigned long)seconds * HZ;
	for (i = 0; i < THREADS; i++) {
		workers[i].state = seed * 100 + i;
		tasks[i] = kthread_run(work, &workers[i], "pressure/%d", i);
		CHECK(!IS_ERR(tasks[i]));
	}
	for (i = 0; i < THREADS; i++)
		wait_for_completion(&worker_done);
	for (i = 0; i < THREADS; i++) {
		kthread_stop(tasks[i]);
		asked += workers[i].asked;
		refused += workers[i].refused;
		wrong += workers[i].atomic_slept + workers[i].nofail_failed + workers[i].pool_failed;
		CHECK(!workers[i].atomic_slept);
		CHECK(!workers[i].nofail_failed);
		CHECK(!workers[i].pool_failed);
	}
	pr_info("pressure: %lu requests, %lu refused, seed %lu\n", asked, refused, seed);
	CHECK(refused > 0 && !wrong);
	return 0;
}

static int __init pressure_init(void)
{
	int error;

	workers = vzalloc(THREADS * sizeof(*workers));
	pool = mempool_create_kmalloc_pool(16, 200);
	CHECK(workers && pool);
	error = run();
	mempool_destroy(pool);
	vfree(workers);
	return error;
}

TEST_MODULE(pressure_init);
