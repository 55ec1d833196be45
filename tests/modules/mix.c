/* SPDX-License-Identifier: MIT */
/*
 * mix.c: a workload over every role at once, in several threads, for whatever backends are wired: each thing that is taken is
 * filled with a pattern, checked and given back. steps=N of each thread, seed=N, threads=N.
 */
#include "check.h"

#include <linux/completion.h>
#include <linux/highmem.h>
#include <linux/kthread.h>
#include <linux/mempool.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#define THINGS 64

static int steps = 2000, threads = 3;
static ulong seed = 1;
module_param(steps, int, 0);
module_param(threads, int, 0);
module_param(seed, ulong, 0);

enum kind { NOTHING, BLOCK, OBJECT, PAGES, HIGH, AREA, ELEMENT, PERCPU, KINDS };

struct thing {
	enum kind kind;
	void *at;
	struct page *page;
	size_t bytes;
	unsigned int order;
	unsigned char pattern;
};

struct worker {
	struct thing things[THINGS];
	u64 state;
	unsigned long taken[KINDS], refused;
	const char *wrong;
};

static struct kmem_cache *cache;
static mempool_t *pool;
static DEFINE_PER_CPU(unsigned long, work_done);
static DECLARE_COMPLETION(worker_done);

static u32 any(struct worker *w, u32 below)
{
	w->state = w->state * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(w->state >> 33) % below;
}

static void take(struct worker *w, struct thing *t)
{
	int cpu;

	t->kind = (enum kind)(1 + any(w, KINDS - 1));
	t->pattern = (unsigned char)any(w, 256);
	t->at = NULL;
	t->page = NULL;
	switch (t->kind) {
	case BLOCK:
		t->bytes = 1 + any(w, any(w, 20) ? 500 : 30000);
		t->at = kmalloc(t->bytes, GFP_KERNEL);
		break;
	case OBJECT:
		t->bytes = 120;
		t->at = kmem_cache_alloc(cache, GFP_KERNEL);
		break;
	case PAGES:
		t->order = any(w, 4);
		t->bytes = PAGE_SIZE << t->order;
		t->at = (void *)__get_free_pages(GFP_KERNEL, t->order);
		break;
	case HIGH:
		t->bytes = PAGE_SIZE;
		t->page = alloc_page(GFP_HIGHUSER);
		break;
	case AREA:
		t->bytes = 1 + any(w, 100000);
		t->at = vmalloc(t->bytes);
		break;
	case ELEMENT:
		t->bytes = 120;
		t->at = mempool_alloc(pool, GFP_KERNEL);
		break;
	default:
		t->bytes = 4 + 4 * any(w, 100);
		t->at = __alloc_percpu(t->bytes, 8);
		for_each_possible_cpu (cpu)
			if (t->at)
				memset(per_cpu_ptr((char *)t->at, cpu), t->pattern + cpu, t->bytes);
		break;
	}
	if (t->page) {
		char *at = any(w, 2) ? kmap(t->page) : NULL, *local = at ? at : kmap_local_page(t->page);

		memset(local, t->pattern, PAGE_SIZE);
		if (at)
			kunmap(t->page);
		else
			kunmap_local(local);
	} else if (!t->at) {
		w->refused++;
		t->kind = NOTHING;
	} else if (t->kind != PERCPU) {
		memset(t->at, t->pattern, t->bytes);
	}
	w->taken[t->kind]++;
}

static void same(struct worker *w, const char *at, const struct thing *t, unsigned char pattern, const char *what)
{
	if (memchr_inv(at, pattern, t->bytes))
		w->wrong = what;
}

static void give(struct worker *w, struct thing *t)
{
	char *at;
	int cpu;

	if (t->kind == PERCPU) {
		for_each_possible_cpu (cpu)
			same(w, per_cpu_ptr((char *)t->at, cpu), t, (unsigned char)(t->pattern + cpu), "percpu");
	} else if (t->kind == HIGH) {
		at = kmap_atomic(t->page);
		same(w, at, t, t->pattern, "high memory");
		kunmap_atomic(at);
	} else if (t->kind) {
		same(w, t->at, t, t->pattern, "memory");
	}
	switch (t->kind) {
	case BLOCK:
		kfree(t->at);
		break;
	case OBJECT:
		kmem_cache_free(cache, t->at);
		break;
	case PAGES:
		free_pages((unsigned long)t->at, t->order);
		break;
	case HIGH:
		__free_page(t->page);
		break;
	case AREA:
		vfree(t->at);
		break;
	case ELEMENT:
		mempool_free(t->at, pool);
		break;
	case PERCPU:
		free_percpu(t->at);
		break;
	default:
		break;
	}
	t->kind = NOTHING;
}

static int work(void *data)
{
	struct worker *w = data;
	int i;

	for (i = 0; i < steps && !w->wrong; i++) {
		struct thing *t = &w->things[any(w, THINGS)];

		if (t->kind)
			give(w, t);
		else
			take(w, t);
		this_cpu_inc(work_done);
		if (!any(w, 50))
			cond_resched();
	}
	for (i = 0; i < THINGS; i++)
		give(w, &w->things[i]);
	complete(&worker_done);
	return w->wrong ? -EIO : 0;
}

static int run(struct worker *workers)
{
	struct task_struct *tasks[16];
	unsigned long done = 0;
	int i, error = 0;

	for (i = 0; i < threads; i++) {
		workers[i].state = seed * 1000 + i;
		tasks[i] = kthread_run(work, &workers[i], "mix/%d", i);
		CHECK(!IS_ERR(tasks[i]));
	}
	for (i = 0; i < threads; i++)
		wait_for_completion(&worker_done);
	for (i = 0; i < threads; i++) {
		error |= kthread_stop(tasks[i]);
		if (workers[i].wrong)
			pr_err("not ok: seed %lu, thread %d: %s has not the contents that it was given\n", seed, i,
			       workers[i].wrong);
		CHECK(workers[i].refused < (unsigned long)steps / 10);
	}
	for_each_possible_cpu (i)
		done += per_cpu(work_done, i);
	CHECK(!error && done == (unsigned long)steps * threads);
	return 0;
}

static int __init mix_init(void)
{
	struct worker *workers;
	int error;

	CHECK(threads > 0 && threads <= 16);
	cache = kmem_cache_create("mixed", 120, 0, 0, NULL);
	pool = mempool_create_slab_pool(8, cache);
	workers = vzalloc(threads * sizeof(*workers));
	CHECK(cache && pool && workers);
	error = run(workers);
	vfree(workers);
	mempool_destroy(pool);
	kmem_cache_destroy(cache);
	return error;
}

TEST_MODULE(mix_init);
