/* SPDX-License-Identifier: MIT */
/* objects-life.c: the end of caches, and of their slabs. */
#include "objects-tests.h"

#include <errno.h>
#include <stdlib.h>

#define SLACK (64u << 10) /* bytes that an instance may keep in reserve, whatever comes and goes */

/* ---- destroy with live objects ---- */

static void refuses_to_go(struct bag *bag)
{
	struct loam_stat before = stat_now(), after;
	int error = cache_destroy_op(bag->cache);

	kept("OBJ-25", error == -EBUSY, "%u objects are live, and destroy returns %d", bag->n, error);
	after = stat_now();
	kept("OBJ-25",
	     after.live_blocks == before.live_blocks && after.live_bytes == before.live_bytes &&
		     after.allocs == before.allocs && after.frees == before.frees,
	     "destroy was refused, and %llu blocks are live, %llu before", (unsigned long long)after.live_blocks,
	     (unsigned long long)before.live_blocks);
	bag_intact(bag, "OBJ-25", "destroy was refused");
	kept("OBJ-25", !check_chain(), "destroy was refused, and check finds broken invariants");
}

static void free_in_thread(void *arg)
{
	struct bag *bag = arg;
	struct rng rng = { bag->seed };

	/* It takes some as well, which live on. */
	bag_have(bag, 30);
	bag_give(bag, bag->n / 2, &rng);
}

/* From many live objects to one; some freed elsewhere. After each refusal the cache is used. */
static void busy(size_t bytes, uint32_t flags)
{
	struct loam_cache *cache =
		cache_maybe((struct loam_cache_args){ .name = "busy", .object_size = bytes, .flags = flags });
	struct bag bag;
	int error;

	if (!cache)
		return;
	bag = bag_new(cache, 400, bytes);
	bag_have(&bag, 300);
	refuses_to_go(&bag);
	bag_have(&bag, 20);
	thread_once(free_in_thread, &bag);
	while (bag.n > 1) {
		bag_give(&bag, bag.n / 2, &test_rng);
		refuses_to_go(&bag);
		bag_have(&bag, 3);
		bag_give(&bag, 3, &test_rng);
	}
	refuses_to_go(&bag);
	refuses_to_go(&bag);
	bag_have(&bag, 300);
	bag_intact(&bag, "OBJ-25", "destroy was refused, and others were had");
	bag_end(&bag);
	error = cache_end(cache);
	kept("OBJ-25", !error, "destroy was refused; all objects were freed, and it returns %d", error);
}

void objects_busy(void)
{
	static const size_t sizes[] = { 8, 64, 300, 1200, 5000 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		busy(sizes[i], 0);
		busy(sizes[i], SLAB_HWCACHE_ALIGN);
	}
	if (objects_claim(LOAM_OBJECTS_RED_ZONE))
		busy(100, SLAB_RED_ZONE);
}

void objects_busy_tracked(void)
{
	static const size_t sizes[] = { 40, 900 };
	void *objects[200];

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct tracked *tracked = tracked_new(i, sizes[i], 0, true);

		for (unsigned n = LOAM_LEN(objects); n; n /= 3) {
			for (unsigned k = 0; k < n; k++) {
				objects[k] = tracked_alloc(tracked, QUIET);
				kept("OBJ-16", objects[k], "no object of %zu bytes, and memory is there", sizes[i]);
			}
			kept("OBJ-25", cache_destroy_op(tracked->cache) == -EBUSY,
			     "%u objects are live, and destroy does not say so", n);
			for (unsigned k = 0; k < n; k++)
				tracked_intact(tracked, objects[k], "OBJ-25");
			for (unsigned k = 0; k < n; k++)
				tracked_free(tracked, objects[k]);
		}
		tracked_gone(tracked);
	}
}

/* ---- what a destroyed cache leaves ---- */

static void use(struct loam_cache *cache, unsigned n)
{
	struct bag bag = bag_new(cache, n, n);

	bag_have(&bag, n);
	bag_give(&bag, n / 2, &test_rng);
	bag_have(&bag, n / 3);
	bag_end(&bag);
}

/* Frames are looked for by their owner, where it says so; it must have some while objects live. */
void objects_gone(void)
{
	static const size_t sizes[] = { 16, 120, 600, 4096, 40000 };
	bool owned = objects_claim(LOAM_OBJECTS_OWN_FRAMES);

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++)
		for (unsigned constructed = 0; constructed < 2; constructed++) {
			struct tracked *tracked = constructed ? tracked_new(0, sizes[i], 0, true) : NULL;
			struct loam_cache *cache = constructed ? tracked->cache : cache_plain("gone", sizes[i]);
			struct loam_cache copy = *cache;
			uint64_t before;

			shrink_now(10000);
			before = footprint_now();
			if (constructed)
				tracked_free(tracked, tracked_alloc(tracked, QUIET));
			else
				use(cache, sizes[i] < 2000 ? 500 : 20);
			if (constructed)
				tracked_gone(tracked);
			else
				cache_gone(cache);
			kept("OBJ-26", !owned || !frames_owned(&copy), "the cache is gone, and %lu frames are its own",
			     frames_owned(&copy));
			shrink_now(10000);
			kept("OBJ-26", footprint_now() <= before + SLACK,
			     "a cache came and went, and the footprint is %llu, %llu before",
			     (unsigned long long)footprint_now(), (unsigned long long)before);
		}
}

void objects_come_and_go(void)
{
	uint64_t first = 0, meta = 0;

	for (unsigned round = 0; round < effort(100); round++) {
		/* The first ones are as large as any. */
		size_t bytes = round < 5 ? 2000 : 1 + rng_below(&test_rng, 2000);
		struct loam_cache *cache = cache_plain("come and go", bytes);

		use(cache, 200);
		cache_gone(cache);
		if (round == 4) {
			first = footprint_now();
			meta = shim_counts().meta_bytes;
		}
		kept("OBJ-26", round < 5 || footprint_now() <= first + SLACK,
		     "%u caches came and went, and the footprint is %llu; after the first ones %llu", round + 1,
		     (unsigned long long)footprint_now(), (unsigned long long)first);
		kept("OBJ-26", round < 5 || shim_counts().meta_bytes <= meta + (4u << 10),
		     "%u caches came and went, and %llu bytes of metadata are held; after the first ones %llu",
		     round + 1, (unsigned long long)shim_counts().meta_bytes, (unsigned long long)meta);
	}
}

/* ---- shrink ---- */

/* Returns what it says, which must be what is no longer held. */
static unsigned long shrinks(struct loam_cache *cache)
{
	uint64_t before = footprint_now(), after;
	unsigned long frames = cache_shrink(cache);

	after = footprint_now();
	kept("OBJ-27", after + ((uint64_t)frames << LOAM_PAGE_SHIFT) == before,
	     "shrink returns %lu frames; the footprint was %llu, and is %llu", frames, (unsigned long long)before,
	     (unsigned long long)after);
	return frames;
}

/* The live objects are where they were, in frames that somebody holds. */
static void live_stay(struct bag *bag)
{
	for (unsigned i = 0; i < bag->n; i++)
		kept("OBJ-27", object_page(bag->objects[i])->owner,
		     "the cache has shrunk, and the frame of a live object went back");
	bag_intact(bag, "OBJ-27", "the cache has shrunk");
	kept("OBJ-27", !check_chain(), "the cache has shrunk, and check finds broken invariants");
}

static void holds_nothing(const struct loam_cache *cache, uint64_t before)
{
	if (objects_claim(LOAM_OBJECTS_OWN_FRAMES))
		kept("OBJ-27", !frames_owned(cache), "all objects were freed, the cache has shrunk, and has %lu frames",
		     frames_owned(cache));
	else
		kept("OBJ-27", footprint_now() <= before + SLACK,
		     "all objects were freed, the cache has shrunk, and the footprint is %llu; %llu without the cache",
		     (unsigned long long)footprint_now(), (unsigned long long)before);
}

void objects_shrink_all(void)
{
	static const size_t sizes[] = { 8, 90, 512, 1000, 4096, 20000 };
	static const uint32_t flags[] = { 0, SLAB_HWCACHE_ALIGN, SLAB_RED_ZONE, SLAB_RECLAIM_ACCOUNT, SLAB_NO_REAP };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++)
		for (unsigned f = 0; f < LOAM_LEN(flags); f++) {
			uint64_t before = footprint_now();
			struct loam_cache *cache = cache_maybe((struct loam_cache_args){
				.name = "shrink", .object_size = sizes[i], .flags = flags[f] });

			if (!cache)
				continue;
			shrinks(cache);
			for (unsigned n = 1; n < 700; n = n * 4 + 1) {
				use(cache, n);
				shrinks(cache);
				holds_nothing(cache, before);
				kept("OBJ-27", !shrinks(cache), "shrink returns frames of a cache that has none");
			}
			cache_gone(cache);
		}
}

void objects_shrink_some(void)
{
	static const size_t sizes[] = { 24, 200, 1000, 3000, 10000 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct loam_cache *cache = cache_plain("shrink", sizes[i]);
		struct bag bag = bag_new(cache, 600, i);

		for (unsigned round = 0; round < effort(8); round++) {
			/* Of the newest whole runs go, of the others one here and one there. */
			bag_have(&bag, bag.room - bag.n);
			for (unsigned k = 0; k < 300; k++)
				cache_free(cache, bag_drop(&bag, bag.n - 1));
			bag_give(&bag, (unsigned)rng_below(&test_rng, bag.n), &test_rng);
			shrinks(cache);
			live_stay(&bag);
			bag_have(&bag, (unsigned)rng_below(&test_rng, 300));
			bag_intact(&bag, "OBJ-27", "the cache has shrunk, and objects were had");
		}
		bag_end(&bag);
		cache_gone(cache);
	}
}

static void use_in_thread(void *arg, unsigned index)
{
	struct bag bag = bag_new(arg, 200, index);
	struct rng rng = { job.seed + index };

	for (unsigned i = 0; i < 5; i++) {
		bag_have(&bag, bag.room - bag.n);
		bag_give(&bag, 150 + index, &rng);
	}
	bag_end(&bag);
}

/* Threads that have ended leave nothing that shrink does not find; nor does who frees what they took. */
void objects_shrink_threads(void)
{
	static const size_t sizes[] = { 40, 700, 5000 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		uint64_t before = footprint_now();
		struct loam_cache *cache = cache_plain("shrink", sizes[i]);
		struct bag bag = bag_new(cache, 400, i);

		threads_run(job.threads < 8 ? job.threads : 8, use_in_thread, cache);
		shrinks(cache);
		holds_nothing(cache, before);
		bag_have(&bag, 300);
		thread_once(free_in_thread, &bag);
		bag_give(&bag, bag.n, &test_rng);
		shrinks(cache);
		holds_nothing(cache, before);
		bag_end(&bag);
		cache_gone(cache);
	}
}
