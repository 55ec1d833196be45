/* SPDX-License-Identifier: MIT */
/*
 * reclaim.c: shrinkers, and the background reclaimer.
 *
 * Each zone has marks: below `low` the reclaimer is woken, and it works until there is more than `high` in every zone that it was
 * woken for. It asks instances for what they do not use, and shrinkers for a share that grows from 1/4096 of what they have to
 * all of it, as nothing comes of less. Direct reclaim, in the thread that found no memory, asks the same shrinkers, with that
 * thread's flags: without __GFP_FS or __GFP_IO they decide what they may do.
 */
#include "kernel.h"

#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/rwsem.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/wait.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define BATCH 128
#define PRIORITIES 12

static DECLARE_RWSEM(shrinkers_sem);
static LIST_HEAD(shrinkers);
static DECLARE_WAIT_QUEUE_HEAD(reclaimer_wait);
static struct task_struct *reclaimer;
static bool wanted; /* atomic */

int register_shrinker(struct shrinker *shrinker, const char *fmt, ...)
{
	char name[64];
	va_list args;

	va_start(args, fmt);
	kernel_vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	shrinker->name = kstrdup(name, GFP_KERNEL);
	if (!shrinker->name)
		return -ENOMEM;
	shrinker->nr_deferred = 0;
	down_write(&shrinkers_sem);
	list_add_tail(&shrinker->list, &shrinkers);
	up_write(&shrinkers_sem);
	return 0;
}

void unregister_shrinker(struct shrinker *shrinker)
{
	if (!shrinker->name)
		return;
	down_write(&shrinkers_sem);
	list_del(&shrinker->list);
	up_write(&shrinkers_sem);
	kfree(shrinker->name);
	shrinker->name = NULL;
}

/* How much of @count to look at: a share of it, twice as much where it is cheap to make again. */
static unsigned long share(const struct shrinker *shrinker, unsigned long count, unsigned priority)
{
	unsigned long part = count >> priority;

	return shrinker->seeks ? part * 4 / (unsigned long)shrinker->seeks : count / 2;
}

static unsigned long shrink_one(struct shrinker *shrinker, gfp_t gfp, unsigned priority)
{
	unsigned long batch = shrinker->batch ? (unsigned long)shrinker->batch : BATCH, freed = 0, todo, count;
	struct shrink_control sc = { .gfp_mask = gfp };

	count = shrinker->count_objects(shrinker, &sc);
	if (!count || count == SHRINK_STOP || count == SHRINK_EMPTY)
		return 0;
	todo = share(shrinker, count, priority) +
	       (unsigned long)__atomic_exchange_n(&shrinker->nr_deferred, 0, __ATOMIC_RELAXED);
	todo = todo > 2 * count ? 2 * count : todo;
	while (todo >= batch || (todo && todo >= count)) {
		unsigned long now = todo < batch ? todo : batch, got;

		sc.nr_to_scan = sc.nr_scanned = now;
		got = shrinker->scan_objects(shrinker, &sc);
		if (got == SHRINK_STOP)
			break;
		freed += got;
		todo -= sc.nr_scanned < todo ? sc.nr_scanned : todo;
		cond_resched();
	}
	/* What is too little for a batch is due later. */
	__atomic_fetch_add(&shrinker->nr_deferred, (long)todo, __ATOMIC_RELAXED);
	return freed;
}

static unsigned long shrink_all(gfp_t gfp, unsigned priority)
{
	unsigned long freed = 0;
	struct shrinker *shrinker;

	/* Somebody registers or unregisters: as Linux does, do without this time. */
	if (!down_read_trylock(&shrinkers_sem))
		return 0;
	list_for_each_entry (shrinker, &shrinkers, list)
		freed += shrink_one(shrinker, gfp, priority);
	up_read(&shrinkers_sem);
	return freed;
}

/* For direct reclaim, in any thread of kernel code that may sleep. */
unsigned long reclaim_shrink(gfp_t gfp, unsigned long want)
{
	unsigned long freed = 0;

	if (!this_task() || loam_hot.atomic)
		return 0;
	drain_all_pages(NULL);
	for (unsigned priority = PRIORITIES + 1; priority-- && freed < want;)
		freed += shrink_all(gfp, priority);
	return freed;
}

/* ---- the background reclaimer ---- */

/* Whether a zone has less than it should have when the reclaimer rests. */
static bool unbalanced(void)
{
	for (unsigned i = 0; i < LOAM_ZONES; i++) {
		const struct loam__zone *zone = &loam__machine.zones[i];

		if (zone->pub.managed && loam__zone_free(zone) <= zone->wmark_high)
			return true;
	}
	return false;
}

static void balance(void)
{
	for (unsigned priority = PRIORITIES + 1; priority-- && unbalanced() && !kthread_should_stop();) {
		loam__reclaim_instances(~0ul);
		drain_all_pages(NULL);
		loam__reclaiming = true;
		shrink_all(GFP_KERNEL, priority);
		loam__reclaiming = false;
		cond_resched();
	}
}

static int reclaimer_main(void *arg)
{
	(void)arg;
	while (!kthread_should_stop()) {
		wait_event(reclaimer_wait,
			   __atomic_exchange_n(&wanted, false, __ATOMIC_ACQUIRE) || kthread_should_stop());
		balance();
	}
	return 0;
}

void reclaim_wake(void)
{
	/* Only the first of many asks: the others' cost is a load. */
	if (!__atomic_load_n(&wanted, __ATOMIC_RELAXED) && !__atomic_exchange_n(&wanted, true, __ATOMIC_RELEASE) &&
	    this_task())
		wake_up(&reclaimer_wait);
}

int reclaim_boot(void)
{
	init_waitqueue_head(&reclaimer_wait);
	wanted = false;
	reclaimer = kthread_create(reclaimer_main, NULL, "kswapd0");
	if (IS_ERR(reclaimer))
		return (int)PTR_ERR(reclaimer);
	__atomic_store_n(&((struct task *)reclaimer)->service, true, __ATOMIC_RELAXED);
	wake_up_process(reclaimer);
	return 0;
}

void reclaim_halt(void)
{
	__atomic_store_n(&((struct task *)reclaimer)->should_stop, true, __ATOMIC_RELEASE);
	wake_up(&reclaimer_wait);
	kthread_stop(reclaimer);
}
