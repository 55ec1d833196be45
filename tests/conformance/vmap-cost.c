/* SPDX-License-Identifier: MIT */
/* vmap-cost.c: the tests of system calls, of what an op needs, and of threads. */
#include "vmap-tests.h"

#include <stdlib.h>

static uint64_t calls(void)
{
	return __atomic_load_n(&loam__window_calls, __ATOMIC_RELAXED);
}

/* ---- system calls ---- */

static uint64_t runs_of(struct page *const *pages, unsigned long nr)
{
	uint64_t runs = 1;

	for (unsigned long i = 1; i < nr; i++)
		runs += pages[i] != pages[i - 1] + 1;
	return runs;
}

static void call_for_each_run(struct page *const *pages, unsigned long nr)
{
	uint64_t before = calls(), runs = runs_of(pages, nr), made;
	struct area area;

	if (!vmap_area_map(&area, pages, nr, PAGE, true))
		trouble("an area of %lu pages is refused", nr);
	made = calls() - before;
	kept("VMAP-17", made <= runs, "%lu pages in %llu runs are mapped by %llu calls", nr, (unsigned long long)runs,
	     (unsigned long long)made);
	vmap_area_look(&area, "VMAP-01");
	before = calls();
	vmap_area_give(&area);
	vmap_flush();
	made = calls() - before;
	kept("VMAP-17", made <= 1, "an area of %lu pages is unmapped by %llu calls", nr, (unsigned long long)made);
}

void vmap_calls(void)
{
	struct loam_vmap_area *area;
	struct page *run, *pages[32];
	uint64_t before;

	vmap_begin();
	run = loam__pages_alloc(&loam__machine.frames, GFP_HIGHUSER, 5, 0);
	if (!run)
		trouble("no run of frames");
	for (unsigned round = 0; round < effort(10); round++)
		for (unsigned cut = 1; cut <= 32; cut *= 2) {
			/* Runs of @cut frames, in any order. */
			for (unsigned i = 0; i < 32; i++)
				pages[i] = run + i % cut + cut * (round ? rng_below(&test_rng, 32 / cut) : i / cut);
			call_for_each_run(pages, 1 + rng_below(&test_rng, 32));
		}
	before = calls();
	if (vmap_map_phys(4096 * 100, 50, PAGE, &area))
		trouble("map_phys is refused");
	kept("VMAP-17", calls() - before <= 1, "50 pages of map_phys are mapped by %llu calls",
	     (unsigned long long)(calls() - before));
	vmap_unmap(area);
	loam__pages_free(&loam__machine.frames, run, 5);
	vmap_end();
}

#define GROUP 16

void vmap_lazy_calls(void)
{
	unsigned groups = effort(64);
	uint64_t before, made, maps = (uint64_t)groups * GROUP;
	struct area areas[GROUP] = { 0 };

	vmap_begin();
	vmap_flush();
	before = calls();
	for (unsigned i = 0; i < groups; i++) {
		/* One after the other; or all of a group at once, which go in another order. */
		for (unsigned j = 0; j < GROUP; j++) {
			if (!vmap_area_take(&areas[j], 1, PAGE, true))
				trouble("an area of a page is refused");
			if (i % 2)
				vmap_area_give(&areas[j]);
		}
		for (unsigned j = 0; j < GROUP && i % 2 == 0; j++)
			vmap_area_give(&areas[(j * 7 + i) % GROUP]);
	}
	vmap_flush();
	made = calls() - before;
	kept("VMAP-18", made <= maps + maps / 8, "%llu areas of a page came and went with %llu calls",
	     (unsigned long long)maps, (unsigned long long)made);
	vmap_end();
}

/* ---- nothing from the host ---- */

void vmap_without_host(void)
{
	struct area areas[30] = { 0 };
	char *start, *end, *addr[LOAM_LEN(areas)];
	uint64_t failed, before;

	vmap_begin();
	for (unsigned round = 0; round < effort(10); round++) {
		for (unsigned i = 0; i < LOAM_LEN(areas); i++) {
			if (!vmap_area_take(&areas[i], 1 + rng_below(&test_rng, 4), PAGE, true))
				trouble("an area is refused");
			addr[i] = areas[i].addr;
		}
		failed = shim_counts().failed;
		shim_fail_all(true);
		before = calls();
		for (unsigned i = 0; i < LOAM_LEN(areas); i++)
			kept("VMAP-19", vmap_find(addr[i]) == areas[i].pub, "with nothing to be had find fails");
		vmap_range(&start, &end);
		kept("VMAP-19", calls() == before && start < end, "find and range make %llu system calls",
		     (unsigned long long)(calls() - before));
		vmap_areas_give(areas, LOAM_LEN(areas));
		vmap_flush();
		shim_fail_all(false);
		kept("VMAP-19", shim_counts().failed == failed, "unmap, find or flush_lazy asked for something");
		for (unsigned i = 0; i < LOAM_LEN(areas); i++)
			kept("VMAP-19", vmap_faults(addr[i], false) && !vmap_find(addr[i]),
			     "an area is there that was unmapped while nothing was to be had");
	}
	vmap_end();
}

/* ---- threads ---- */

#define OWN 10

struct worker {
	struct rng rng;
	struct area areas[OWN];
};

/* Areas of a thread's own; refused only where the range is too small for all of them. */
static void own_step(struct worker *worker, const char *clause, unsigned long most)
{
	struct area *area = &worker->areas[rng_below(&worker->rng, OWN)];
	const char *at;

	if (!area->pub) {
		vmap_area_take(area, 1 + rng_below(&worker->rng, most), PAGE << rng_below(&worker->rng, 3),
			       rng_below(&worker->rng, 4));
		return;
	}
	vmap_area_look(area, clause);
	at = area->addr + rng_below(&worker->rng, (area->nr + 1) * PAGE);
	kept(clause, vmap_find(at) == area->pub, "beside other threads find leads from %p to %p", (const void *)at,
	     (void *)vmap_find(at));
	kept(clause, vmap_faults(area->addr + area->nr * PAGE, true),
	     "beside other threads a guard page does not fault");
	vmap_area_give(area);
}

static void own_thread(void *arg, unsigned index)
{
	struct worker worker = { .rng = { job.seed + index * 0x632be59bd9b4e019u } };

	(void)arg;
	for (unsigned i = 0; i < effort(1500); i++)
		own_step(&worker, "VMAP-20", 5);
	vmap_areas_give(worker.areas, OWN);
}

/* In a range where they meet: there is room for about half of what they want. */
void vmap_threads(void)
{
	struct area area;

	vmap_small_up(30 * job.threads);
	vmap_strict(false);
	vmap_blames("VMAP-20");
	threads_run_paused(job.threads, own_thread, NULL);
	vmap_look_counters();
	vmap_look_range("VMAP-20", true);
	kept("VMAP-20",
	     vmap_area_take(&area, 30 * job.threads < MOST_PAGES ? 30 * job.threads - 1 : MOST_PAGES, PAGE, true),
	     "all threads gave back all they had, and an area of %u pages is refused", MOST_PAGES);
	vmap_area_give(&area);
	vmap_small_down();
}

static struct area belt[64];
static pthread_mutex_t belt_lock = PTHREAD_MUTEX_INITIALIZER;

/* Each thread puts areas on the belt, and takes off what it finds there. */
static void belt_thread(void *arg, unsigned index)
{
	struct rng rng = { job.seed ^ index };

	(void)arg;
	for (unsigned i = 0; i < effort(1000); i++) {
		struct area *slot = &belt[rng_below(&rng, LOAM_LEN(belt))];

		pthread_mutex_lock(&belt_lock);
		if (!slot->pub) {
			vmap_area_take(slot, 1 + rng_below(&rng, 4), PAGE, true);
		} else {
			kept("VMAP-21", vmap_find(slot->addr) == slot->pub, "another thread's area is not found");
			vmap_area_look(slot, "VMAP-21");
			vmap_area_give(slot);
		}
		pthread_mutex_unlock(&belt_lock);
	}
}

static void give_belt(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < LOAM_LEN(belt); i++)
		if (belt[i].pub)
			vmap_area_look(&belt[i], "VMAP-21");
	vmap_areas_give(belt, LOAM_LEN(belt));
}

void vmap_handed_over(void)
{
	vmap_begin();
	threads_run_paused(job.threads, belt_thread, NULL);
	thread_once(give_belt, NULL);
	vmap_look_counters();
	kept("VMAP-21", !stat_now().live_blocks, "all was given back by others, and %llu areas are live",
	     (unsigned long long)stat_now().live_blocks);
	vmap_end();
}

static void flush_or_work(void *arg, unsigned index)
{
	struct worker worker = { .rng = { job.seed + index } };

	(void)arg;
	for (unsigned i = 0; i < effort(800); i++)
		if (index % 3)
			own_step(&worker, "VMAP-22", 5);
		else
			vmap_flush();
	vmap_areas_give(worker.areas, OWN);
}

void vmap_flush_beside(void)
{
	vmap_begin();
	threads_run_paused(job.threads < 3 ? 3 : job.threads, flush_or_work, NULL);
	vmap_look_counters();
	vmap_end();
}
