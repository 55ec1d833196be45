/* SPDX-License-Identifier: MIT */
/*
 * reclaim.c: what happens when there is no memory: instances give back what they do not use, kernel code's shrinkers are asked,
 * the request waits for others to free, and in the end somebody is told.
 *
 * A request goes through rounds (loam__relieve), each of which makes memory or waits for some. How many it gets is in its flags
 * (kernel-semantics of Linux 6.1): none without __GFP_DIRECT_RECLAIM; one with __GFP_NORETRY; those that make progress for
 * everybody else. Kernel code then waits, as long as another of its threads can free, up to sixteen rounds in vain; more than
 * 8 pages at once only with __GFP_RETRY_MAYFAIL. __GFP_NOFAIL waits for ever.
 *
 * Who waits holds no lock: a serialised plugin's request is repeated outside that plugin's lock.
 */
#include "internal.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define COSTLY_ORDER 3
#define ROUNDS 16
#define WAIT_NS 20000000

struct loam__kernel_hooks loam__kernel;
__thread bool loam__reclaiming __attribute__((tls_model("initial-exec")));
uint32_t loam__frame_waiters;
static uint32_t frees_seen; /* a futex's word: changes when somebody frees while somebody waits */

/* ---- giving back ---- */

/* Ask every instance to give back what it does not use: consumers first, filters in front of the page allocator last. */
static unsigned long shrink_instances(unsigned long want)
{
	struct loam__graph *graph = loam__machine.graph;
	unsigned long got = 0, before = loam__frames_used(), after;

	for (unsigned i = graph->nr; i-- && got < want;)
		got += loam__shrink(graph->instances[i], want - got);
	/* What a filter gives below may empty frames there, which is in nobody's count. */
	after = loam__frames_used();
	return got || after >= before ? got : before - after;
}

unsigned long loam__reclaim_instances(unsigned long want)
{
	unsigned long got;

	loam__reclaiming = true;
	got = shrink_instances(want);
	loam__reclaiming = false;
	return got;
}

void loam__wake_reclaimer(void)
{
	if (loam__kernel.wake_reclaimer)
		loam__kernel.wake_reclaimer();
}

/* ---- waiting ---- */

/** Frames went back while somebody waits for some. */
LOAM_COLD void loam__frames_freed(void)
{
	/* Relaxed: who looks at the word before it sleeps and misses this sleeps for 20 ms at most. */
	__atomic_fetch_add(&frees_seen, 1, __ATOMIC_RELAXED);
	syscall(SYS_futex, &frees_seen, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void wait_for_frames(void)
{
	const struct timespec limit = { .tv_nsec = WAIT_NS };
	uint32_t seen = __atomic_load_n(&frees_seen, __ATOMIC_RELAXED);

	__atomic_fetch_add(&loam__frame_waiters, 1, __ATOMIC_RELAXED);
	if (loam__kernel.sleep)
		loam__kernel.sleep();
	syscall(SYS_futex, &frees_seen, FUTEX_WAIT_PRIVATE, seen, &limit, NULL, 0);
	if (loam__kernel.wake)
		loam__kernel.wake();
	__atomic_fetch_sub(&loam__frame_waiters, 1, __ATOMIC_RELAXED);
}

/* ---- telling ---- */

static const struct {
	gfp_t bits;
	const char *name;
} gfp_names[] = {
	{ GFP_HIGHUSER_MOVABLE, "GFP_HIGHUSER_MOVABLE" },
	{ GFP_HIGHUSER, "GFP_HIGHUSER" },
	{ GFP_USER, "GFP_USER" },
	{ GFP_KERNEL, "GFP_KERNEL" },
	{ GFP_NOFS, "GFP_NOFS" },
	{ GFP_ATOMIC, "GFP_ATOMIC" },
	{ GFP_NOIO, "GFP_NOIO" },
	{ GFP_NOWAIT, "GFP_NOWAIT" },
	{ __GFP_DMA, "GFP_DMA" },
	{ __GFP_DMA32, "GFP_DMA32" },
	{ __GFP_HIGHMEM, "__GFP_HIGHMEM" },
	{ __GFP_MOVABLE, "__GFP_MOVABLE" },
	{ __GFP_HIGH, "__GFP_HIGH" },
	{ __GFP_RECLAIM, "__GFP_RECLAIM" },
	{ __GFP_DIRECT_RECLAIM, "__GFP_DIRECT_RECLAIM" },
	{ __GFP_KSWAPD_RECLAIM, "__GFP_KSWAPD_RECLAIM" },
	{ __GFP_IO, "__GFP_IO" },
	{ __GFP_FS, "__GFP_FS" },
	{ __GFP_ATOMIC, "__GFP_ATOMIC" },
	{ __GFP_NOWARN, "__GFP_NOWARN" },
	{ __GFP_ZERO, "__GFP_ZERO" },
	{ __GFP_NORETRY, "__GFP_NORETRY" },
	{ __GFP_RETRY_MAYFAIL, "__GFP_RETRY_MAYFAIL" },
	{ __GFP_NOFAIL, "__GFP_NOFAIL" },
	{ __GFP_MEMALLOC, "__GFP_MEMALLOC" },
	{ __GFP_NOMEMALLOC, "__GFP_NOMEMALLOC" },
	{ __GFP_COMP, "__GFP_COMP" },
	{ __GFP_COLD, "__GFP_COLD" },
};

/* "GFP_KERNEL|__GFP_ZERO" */
void loam__gfp_text(gfp_t gfp, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < LOAM_LEN(gfp_names) && n < size; i++)
		if ((gfp & gfp_names[i].bits) == gfp_names[i].bits) {
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? "|" : "", gfp_names[i].name);
			gfp &= ~gfp_names[i].bits;
		}
	if (gfp && n < size)
		snprintf(buf + n, size - n, "%s%#x", n ? "|" : "", gfp);
}

static void show_zones(void)
{
	for (unsigned i = 0; i < LOAM_ZONES; i++) {
		const struct loam__zone *zone = &loam__machine.zones[i];

		if (zone->pub.managed)
			loam__log(LOAM_LOG_WARN, "Node 0 %s free:%lukB min:%lukB low:%lukB high:%lukB managed:%lukB",
				  zone->pub.name, loam__zone_free(zone) * 4, zone->wmark_min * 4, zone->wmark_low * 4,
				  zone->wmark_high * 4, zone->pub.managed * 4);
	}
}

void loam__report_failure(gfp_t gfp, unsigned order, uint32_t owner)
{
	const struct loam_self *self = loam__owners[owner & (LOAM__OWNERS - 1)].self;
	const char *who = loam__kernel.comm ? loam__kernel.comm() : NULL;
	char flags[200];

	loam__gfp_text(gfp, flags, sizeof(flags));
	loam__log(LOAM_LOG_WARN, "%s: page allocation failure: order:%u, mode:%#x(%s), nodemask=(null)",
		  who    ? who
		  : self ? self->name
			 : "?",
		  order, gfp, flags);
	if (loam__kernel.dump_stack)
		loam__kernel.dump_stack();
	show_zones();
}

/** A request in vain. */
struct vain {
	gfp_t gfp;
	unsigned order;
};

/* Kernel code has nobody to kill: it is told who has the memory. On the thread's own stack, for instances count at length. */
static void tell_out_of_memory(void *arg)
{
	const struct vain *vain = arg;
	struct loam__graph *graph = loam__machine.graph;
	char flags[200];

	loam__gfp_text(vain->gfp, flags, sizeof(flags));
	loam__log(LOAM_LOG_WARN, "%s invoked oom-killer: gfp_mask=%#x(%s), order=%u, oom_score_adj=0",
		  loam__kernel.comm(), vain->gfp, flags, vain->order);
	show_zones();
	for (unsigned i = 0; i < graph->nr; i++) {
		struct loam_stat stat;

		if (graph->instances[i]->filter)
			continue;
		loam__stat(graph->instances[i], &stat);
		loam__log(LOAM_LOG_WARN, "[%s] %s: %llukB held, %llukB live in %llu blocks", graph->instances[i]->name,
			  graph->instances[i]->plugin->desc.name, (unsigned long long)stat.footprint >> 10,
			  (unsigned long long)stat.live_bytes >> 10, (unsigned long long)stat.live_blocks);
	}
	loam__log(LOAM_LOG_WARN, "Out of memory and no killable processes...");
}

/* Told once in five seconds: who is short of memory is so a thousand times. */
static void out_of_memory(gfp_t gfp, unsigned order)
{
	static int64_t last; /* atomic; seconds */
	int64_t before = __atomic_load_n(&last, __ATOMIC_RELAXED);
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((!before || now.tv_sec - before >= 5) &&
	    __atomic_compare_exchange_n(&last, &before, now.tv_sec, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		loam__on_host_stack(tell_out_of_memory, &(struct vain){ gfp, order });
}

/* ---- rounds ---- */

/* Whether shrinkers of kernel code freed something. */
static bool ask_shrinkers(gfp_t gfp, unsigned long want)
{
	bool progress;

	if (!loam__kernel.shrink)
		return false;
	loam__reclaiming = true;
	progress = loam__kernel.shrink(gfp, want);
	loam__reclaiming = false;
	return progress;
}

/* What comes after the instances had nothing more, in place of the op that asks. */
static bool shrink_or_wait(gfp_t gfp, unsigned order, unsigned *rounds)
{
	bool costly = order > COSTLY_ORDER && !(gfp & __GFP_RETRY_MAYFAIL);

	if (ask_shrinkers(gfp, 1ul << order)) {
		*rounds = 0;
		return true;
	}
	if (gfp & __GFP_NORETRY)
		return false;
	++*rounds;
	if (gfp & __GFP_NOFAIL || (!costly && *rounds <= ROUNDS && loam__kernel.others && loam__kernel.others())) {
		wait_for_frames();
		return true;
	}
	if (loam__kernel.comm && loam__kernel.comm() && order <= COSTLY_ORDER && !(gfp & __GFP_RETRY_MAYFAIL))
		out_of_memory(gfp, order);
	return false;
}

bool loam__relieve(gfp_t gfp, unsigned order, unsigned *rounds)
{
	bool again;

	if (!(gfp & __GFP_DIRECT_RECLAIM) || loam__reclaiming)
		return false;
	if (gfp & __GFP_NORETRY && (*rounds)++)
		return false;
	if (loam__reclaim_instances(1ul << order)) {
		*rounds = gfp & __GFP_NORETRY ? *rounds : 0;
		return true;
	}
	if (loam__kernel.park)
		loam__kernel.park();
	again = shrink_or_wait(gfp, order, rounds);
	if (loam__kernel.unpark)
		loam__kernel.unpark();
	return again;
}
