/* SPDX-License-Identifier: MIT */
/*
 * filter.c: tests of filters. The runner judges a filter over several lower instances, and each test for each role that the filter
 * has over that one. Here: what a filter holds back, and when it lets go; filter-passes.c: what it passes on.
 */
#include "plugin-tools.h"

#include <string.h>

#define BLOCKS 200
#define QUIET (GFP_ATOMIC | __GFP_NOWARN)

/* ---- the instance below ---- */

static struct loam_stat below(void)
{
	return stat_of(subject->lower);
}

/** Blocks that below has handed out and the filter has not. */
static uint64_t held_back(void)
{
	return below().live_blocks - stat_now().live_blocks;
}

static bool role_is(enum loam_role_id role)
{
	return job.suite->role == role;
}

/* ---- exhaustion ---- */

/* A take; one that is refused was refused below, and then nothing waits in the filter. */
static bool take_or_all_is_taken(struct load *load)
{
	uint64_t before = below().failures;

	if (load_take(load, QUIET))
		return true;
	kept("FILT-06", below().failures > before, "a block is refused which below did not refuse");
	kept("FILT-06", !held_back(), "a block is refused while %llu wait in the filter",
	     (unsigned long long)held_back());
	return false;
}

static void fails_only_when_below_has_nothing(void)
{
	struct load load = load_new(1u << 16, 0);
	unsigned refused = 0;

	if (!in_machine())
		skip("the memory below has no end that we would reach");
	role_open();
	for (unsigned round = 0; round < effort(2); round++) {
		/* Some wait in the filter, and are not of the kind that is asked for next. */
		for (unsigned i = 0; i < 4 * BLOCKS; i++)
			take_or_all_is_taken(&load);
		while (load.n > BLOCKS)
			load_give(&load);
		for (refused = 0; refused < 10 && load.n < load.max;)
			refused += !take_or_all_is_taken(&load);
		while (load.n > 4 * BLOCKS)
			load_give(&load);
	}
	load_give_all(&load);
	role_close();
	load_end(&load);
}

/* One kind of blocks takes all memory, and goes back; then another kind gets as much as without the filter's reserve. */
static void reserve_serves_other_kinds(void)
{
	struct load load = load_new(1u << 16, 0);
	uint64_t most, again;

	if (!in_machine())
		skip("the memory below has no end that we would reach");
	role_open();
	while (load.refused < 5 && load.n < load.max)
		load_take(&load, QUIET);
	most = load_bytes(&load);
	load_give_all(&load);
	load.refused = 0;
	/* The workload is mixed otherwise from here. */
	load.next = 12345;
	while (load.refused < 5 && load.n < load.max)
		load_take(&load, QUIET);
	again = load_bytes(&load);
	kept("FILT-06", again >= most - most / 4, "%llu bytes could be had, and when all was given back %llu",
	     (unsigned long long)most, (unsigned long long)again);
	load_give_all(&load);
	role_close();
	load_end(&load);
}

/* ---- what is held back ---- */

static void churn_and_end(void *arg, unsigned index)
{
	struct load load = load_new(BLOCKS, (index + 1) * 100000);

	(void)arg;
	load_churn(&load, 4 * BLOCKS, GFP_KERNEL, "FILT-07");
	load_give_all(&load);
	load_end(&load);
}

static void holds_nothing_after_a_shrink(void)
{
	struct load load = load_new(BLOCKS, 0);
	uint64_t before = below().live_blocks;

	role_open();
	load_churn(&load, 2 * BLOCKS, GFP_KERNEL, "FILT-07");
	threads_run(4, churn_and_end, NULL);
	shrink_all();
	kept("FILT-07", !held_back(), "four threads ended, and after a shrink %llu blocks wait in the filter",
	     (unsigned long long)held_back());
	load_intact(&load, "FILT-07");
	load_give_all(&load);
	shrink_all();
	kept("FILT-07", below().live_blocks == before,
	     "all was given back, and after a shrink %llu blocks are live below",
	     (unsigned long long)(below().live_blocks - before));
	role_close();
	load_end(&load);
}

static void closed_area_holds_nothing(void)
{
	struct load load = load_new(BLOCKS, 0);
	uint64_t many, one;

	role_open();
	/* As much as waits in one area and in the depots; then the same from eight areas that are closed again. */
	load_fill(&load, BLOCKS, GFP_KERNEL);
	load_give_all(&load);
	threads_run(1, churn_and_end, NULL);
	loam__area_close();
	one = held_back();
	threads_run(8, churn_and_end, NULL);
	shrink_all();
	many = held_back();
	kept("FILT-07", !many,
	     "eight threads ended, and %llu blocks wait in the filter after a shrink; of one it was %llu",
	     (unsigned long long)many, (unsigned long long)one);
	role_close();
	load_end(&load);
}

/* Halt with @live blocks of ours, and @caches caches. */
static void halt_with(uint64_t live, uint64_t caches)
{
	struct shim_counts counts;

	machine_halt();
	counts = shim_counts();
	kept("FILT-08", counts.port_live + counts.frames_live <= live + caches,
	     "destroyed with %llu live blocks, and %llu did not go below", (unsigned long long)live,
	     (unsigned long long)(counts.port_live + counts.frames_live - caches));
}

static void destroy_with(bool live)
{
	struct load load = load_new(4 * BLOCKS, 0);
	uint64_t caches;

	role_open();
	caches = shim_counts().port_live;
	/* As much of each kind that some waits for all threads, and not only in the area of this one. */
	load_fill(&load, role_is(LOAM_ROLE_PAGES) ? 2 * BLOCKS : 4 * BLOCKS, GFP_KERNEL);
	load_churn(&load, 4 * BLOCKS, GFP_KERNEL, "FILT-08");
	while (load.n > (live ? BLOCKS / 2 : 0))
		load_give(&load);
	halt_with(load_units(&load), caches);
	load_end(&load);
}

static void destroy_gives_below_what_is_held_back(void)
{
	for (unsigned i = 0; i < 2 * effort(2); i++) {
		machine_up(NULL);
		destroy_with(i % 2);
	}
}

static void destroy_cache_destroys_below(void)
{
	struct loam_cache *cache;
	uint64_t before;
	void *object;

	if (!role_is(LOAM_ROLE_OBJECTS))
		skip("of the role objects");
	before = shim_counts().port_live;
	for (unsigned i = 0; i < effort(20); i++) {
		cache = cache_new((struct loam_cache_args){ .name = "goes", .object_size = 24 + 8 * i });
		object = cache_alloc(cache, GFP_KERNEL);
		kept("FILT-08", shim_counts().port_live > before, "a cache was created and not below");
		cache_free(cache, object);
		kept("FILT-08", !cache_end(cache), "an empty cache cannot be destroyed");
		kept("FILT-08", shim_counts().port_live == before,
		     "a cache was destroyed, and %llu caches and objects are left below",
		     (unsigned long long)(shim_counts().port_live - before));
	}
}

/* ---- introspection ---- */

static int count_live(void *arg, const struct loam_span *span)
{
	*(uint64_t *)arg += span->kind == LOAM_SPAN_LIVE ? span->bytes : 0;
	return 0;
}

/** Free frames of @zone, as the filter says or the instance below. */
static uint64_t frames_of(const struct loam_link *link, unsigned zone)
{
	unsigned long counts[LOAM_ORDERS] = { 0 };
	uint64_t sum = 0;

	if (!loam__machine.zones[zone].pub.managed)
		return 0;
	loam_pages_ops(link)->counts(link->inst, &loam__machine.zones[zone].pub, counts);
	for (unsigned order = 0; order < LOAM_ORDERS; order++)
		sum += (uint64_t)counts[order] << order;
	return sum;
}

static uint64_t free_frames(void)
{
	uint64_t sum = 0;

	for (unsigned zone = 0; zone < LOAM_ZONES; zone++)
		sum += frames_of(&subject->links[LOAM_ROLE_PAGES], zone);
	return sum;
}

static void what_is_held_back_is_free(void)
{
	struct load load = load_new(BLOCKS, 0);
	struct loam_stat before = stat_now(), now;
	uint64_t walked = 0, after = 0, frames = 0;

	role_open();
	walk_now(count_live, &walked);
	if (job.suite->role == LOAM_ROLE_PAGES)
		frames = free_frames();
	for (unsigned i = 0; i < effort(4); i++) {
		load_churn(&load, 2 * BLOCKS, GFP_KERNEL, "FILT-09");
		now = stat_now();
		kept("FILT-09", now.live_blocks - before.live_blocks == load_units(&load),
		     "clients hold %llu blocks, and live_blocks grew by %llu; below %llu are live",
		     (unsigned long long)load_units(&load), (unsigned long long)(now.live_blocks - before.live_blocks),
		     (unsigned long long)below().live_blocks);
		if (job.suite->role == LOAM_ROLE_PAGES)
			kept("FILT-09", free_frames() + load_units(&load) == frames,
			     "clients hold %llu frames, and of %llu the counts say that %llu are free",
			     (unsigned long long)load_units(&load), (unsigned long long)frames,
			     (unsigned long long)free_frames());
		if (i % 2)
			load_give_all(&load);
	}
	/* All at once, so that each place where something may wait has some. */
	load_fill(&load, BLOCKS, GFP_KERNEL);
	load_give_all(&load);
	if (job.suite->role == LOAM_ROLE_PAGES)
		kept("FILT-09", free_frames() == frames,
		     "clients hold nothing, and of %llu frames the counts say that %llu are free",
		     (unsigned long long)frames, (unsigned long long)free_frames());
	now = stat_now();
	kept("FILT-09", now.live_blocks == before.live_blocks && (now.live_bytes == before.live_bytes || !in_machine()),
	     "clients hold nothing, and %llu blocks, %llu bytes are live; %llu wait in the filter",
	     (unsigned long long)now.live_blocks, (unsigned long long)now.live_bytes, (unsigned long long)held_back());
	walk_now(count_live, &after);
	kept("FILT-09", after == walked, "clients hold nothing, and walk shows %llu live bytes more",
	     (unsigned long long)(after - walked));
	role_close();
	load_end(&load);
}

static void take_defect(void *arg, const char *text)
{
	snprintf(arg, 200, "%s", text);
}

static void below_is_sound(const char *when)
{
	struct loam_self *lower = subject->lower;
	uint64_t told = 0;
	char text[200] = "";
	int found = 0;

	for (unsigned i = 0; i < LOAM_REPORT_KINDS; i++)
		told += __atomic_load_n(&lower->reports[i], __ATOMIC_RELAXED);
	kept("FILT-10", !told, "%s: below reports %llu misuses", when, (unsigned long long)told);
	if (!lower->plugin->desc.check)
		return;
	loam__quiesce();
	found = lower->plugin->desc.check(lower->inst, take_defect, text);
	loam__resume();
	kept("FILT-10", !found, "%s: check of the instance below finds: %s", when, text);
}

static void below_stays_sound(void)
{
	struct load load = load_new(4 * BLOCKS, 0);
	uint64_t before = below().live_blocks, frames[LOAM_ZONES] = { 0 };

	role_open();
	for (unsigned zone = 0; zone < LOAM_ZONES && role_is(LOAM_ROLE_PAGES); zone++)
		frames[zone] = frames_of(&subject->lower->links[LOAM_ROLE_PAGES], zone);
	for (unsigned i = 0; i < effort(4); i++) {
		load_churn(&load, 2 * BLOCKS, GFP_KERNEL, "FILT-10");
		below_is_sound("takes and gives");
		threads_run(2, churn_and_end, NULL);
		below_is_sound("threads ended");
		/* Each place where something may wait has some when it is emptied. */
		load_fill(&load, role_is(LOAM_ROLE_PAGES) ? BLOCKS : 2 * BLOCKS, GFP_KERNEL);
		if (i % 2)
			load_give_all(&load);
		shrink_now(~0ul);
		below_is_sound("a shrink");
	}
	load_give_all(&load);
	shrink_all();
	kept("FILT-10", below().live_blocks == before, "of what was given to the filter %llu blocks did not go below",
	     (unsigned long long)(below().live_blocks - before));
	for (unsigned zone = 0; zone < LOAM_ZONES && role_is(LOAM_ROLE_PAGES); zone++)
		kept("FILT-10", frames_of(&subject->lower->links[LOAM_ROLE_PAGES], zone) == frames[zone],
		     "all was given back, and zone %u has below %llu free frames instead of %llu", zone,
		     (unsigned long long)frames_of(&subject->lower->links[LOAM_ROLE_PAGES], zone),
		     (unsigned long long)frames[zone]);
	role_close();
	below_is_sound("all was given back");
	load_end(&load);
}

static const struct test tests[] = {
	{ "fails-only-when-below-has-nothing", "FILT-06", fails_only_when_below_has_nothing, EXHAUSTION, 0, 8 },
	{ "reserve-serves-other-kinds", "FILT-06", reserve_serves_other_kinds, EXHAUSTION, 0, 8 },
	{ "holds-nothing-after-a-shrink", "FILT-07", holds_nothing_after_a_shrink, LIFETIME, 0, 0 },
	{ "closed-area-holds-nothing", "FILT-07", closed_area_holds_nothing, LIFETIME, 0, 0 },
	{ "destroy-gives-below-what-is-held-back", "FILT-08", destroy_gives_below_what_is_held_back, LIFETIME,
	  NO_MACHINE, 0 },
	{ "destroy-cache-destroys-below", "FILT-08", destroy_cache_destroys_below, LIFETIME, 0, 0 },
	{ "what-is-held-back-is-free", "FILT-09", what_is_held_back_is_free, INTROSPECTION, 0, 0 },
	{ "below-stays-sound", "FILT-10", below_stays_sound, EXAMPLE, 0, 0 },
};

static const struct suite suite = { .name = "filter", .filter = true, TESTS(tests) };
SUITE(suite);
