/* SPDX-License-Identifier: MIT */
/* objects-told.c: what each tells of caches, and what a frame tells: whose it is, and how an object in it is freed. */
#include "objects-tests.h"

#include <stdlib.h>
#include <string.h>

/* Both debug flags, as far as they are claimed. */
static uint32_t debug_flags(void)
{
	return (objects_claim(LOAM_OBJECTS_RED_ZONE) ? SLAB_RED_ZONE : 0) |
	       (objects_claim(LOAM_OBJECTS_POISON) ? SLAB_POISON : 0);
}

/* ---- each ---- */

#define TOLD 6

struct telling {
	const char *names[TOLD]; /* in the order of creation; NULL: destroyed */
	unsigned seen[TOLD], last, calls, stop_at;
};

static int tell_cache(void *arg, const struct loam_cache_info *info)
{
	struct telling *telling = arg;

	kept("OBJ-32", info->name, "each tells a cache without a name");
	for (unsigned i = 0; i < TOLD; i++) {
		if (!telling->names[i] || strcmp(telling->names[i], info->name))
			continue;
		kept("OBJ-32", i < telling->last, "each tells '%s' after an older cache", info->name);
		telling->last = i;
		telling->seen[i]++;
	}
	kept("OBJ-32", !telling->stop_at || telling->calls < telling->stop_at, "each goes on after non-zero");
	return ++telling->calls == telling->stop_at ? 77 : 0;
}

static int each_now(loam_cache_fn fn, void *arg)
{
	int result;

	op_enter("each()");
	result = objects_ops()->each(subject->links[LOAM_ROLE_OBJECTS].inst, fn, arg);
	op_leave();
	return result;
}

static unsigned told_once(const char *const *names)
{
	struct telling telling = { .last = TOLD };
	int result;

	memcpy(telling.names, names, sizeof(telling.names));
	result = each_now(tell_cache, &telling);
	kept("OBJ-32", !result, "each returns %d, and its function 0", result);
	for (unsigned i = 0; i < TOLD; i++)
		kept("OBJ-32", telling.seen[i] == (names[i] ? 1 : 0), "each tells cache %u %u times", i,
		     telling.seen[i]);
	return telling.calls;
}

void objects_each_order(void)
{
	static const char *const all[TOLD] = { "told-0", "told-1", "told-2", "told-3", "told-4", "told-5" };
	const char *names[TOLD] = { NULL };
	struct loam_cache *caches[TOLD];
	unsigned n;

	for (unsigned i = 0; i < TOLD; i++) {
		caches[i] = cache_plain(all[i], 40 + i * 100);
		names[i] = all[i];
		told_once(names);
	}
	n = told_once(names);
	for (unsigned stop = 1; stop <= n; stop++) {
		struct telling telling = { .last = TOLD, .stop_at = stop };
		int result;

		memcpy(telling.names, names, sizeof(names));
		result = each_now(tell_cache, &telling);
		kept("OBJ-32", result == 77, "each returns %d, and its function 77", result);
	}
	for (unsigned i = 0; i < TOLD; i++) {
		unsigned which = (i * 5 + 2) % TOLD;

		cache_gone(caches[which]);
		names[which] = NULL;
		kept("OBJ-32", told_once(names) == n - i - 1, "a destroyed cache is told still");
	}
}

struct numbers {
	const struct bag *bag;
	struct loam_cache_info info;
	bool found;
};

static int find_numbers(void *arg, const struct loam_cache_info *info)
{
	struct numbers *numbers = arg;

	if (strcmp(info->name, numbers->bag->cache->name))
		return 0;
	numbers->info = *info;
	numbers->found = true;
	return 1;
}

static struct loam_cache_info numbers_right(const struct bag *bag)
{
	struct numbers numbers = { .bag = bag };
	const struct loam_cache_info *info = &numbers.info;

	each_now(find_numbers, &numbers);
	kept("OBJ-33", numbers.found, "each does not tell '%s'", bag->cache->name);
	kept("OBJ-33", info->obj_size >= bag->cache->object_size, "obj_size is %u for objects of %u bytes",
	     info->obj_size, bag->cache->object_size);
	kept("OBJ-33",
	     info->objs_per_slab &&
		     (uint64_t)info->objs_per_slab * info->obj_size <= (uint64_t)info->pages_per_slab * LOAM_PAGE_SIZE,
	     "%u objects of %u bytes do not fit into %u pages", info->objs_per_slab, info->obj_size,
	     info->pages_per_slab);
	kept("OBJ-33", info->active_objs >= bag->n && info->active_objs <= info->total_objs,
	     "%u objects are live; each tells %llu active of %llu", bag->n, (unsigned long long)info->active_objs,
	     (unsigned long long)info->total_objs);
	kept("OBJ-33", info->active_slabs <= info->total_slabs, "%llu slabs are active of %llu",
	     (unsigned long long)info->active_slabs, (unsigned long long)info->total_slabs);
	kept("OBJ-33", info->total_objs >= info->total_slabs && !info->total_objs == !info->total_slabs,
	     "%llu objects in %llu slabs", (unsigned long long)info->total_objs, (unsigned long long)info->total_slabs);
	return numbers.info;
}

/* From a new cache, which has nothing, to one whose objects were all freed. Slabs have frames, and without frames there is none. */
static void numbers_of(size_t bytes, uint32_t flags)
{
	struct loam_cache *cache =
		cache_made((struct loam_cache_args){ .name = "numbered", .object_size = bytes, .flags = flags });
	struct bag bag = bag_new(cache, 1200, bytes);
	struct loam_cache_info info = numbers_right(&bag);

	kept("OBJ-33", !info.total_objs, "each tells %llu objects of a new cache", (unsigned long long)info.total_objs);
	for (unsigned n = 1; n < 300; n = n * 2 + 1) {
		bag_have(&bag, n);
		numbers_right(&bag);
	}
	for (unsigned i = 0; i < 20; i++) {
		bag_give(&bag, (unsigned)rng_below(&test_rng, 40), &test_rng);
		bag_have(&bag, (unsigned)rng_below(&test_rng, 20));
		info = numbers_right(&bag);
	}
	if (objects_claim(LOAM_OBJECTS_OWN_FRAMES))
		kept("OBJ-33", info.total_slabs <= frames_owned(cache), "%lu frames, and each tells %llu slabs",
		     frames_owned(cache), (unsigned long long)info.total_slabs);
	bag_give(&bag, bag.n, &test_rng);
	numbers_right(&bag);
	cache_shrink(cache);
	info = numbers_right(&bag);
	if (objects_claim(LOAM_OBJECTS_OWN_FRAMES) && !frames_owned(cache))
		kept("OBJ-33", !info.total_objs, "the cache has no frame, and each tells %llu objects",
		     (unsigned long long)info.total_objs);
	bag_end(&bag);
	cache_gone(cache);
}

void objects_each_numbers(void)
{
	static const size_t sizes[] = { 8, 100, 600, 4096, 9000 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		numbers_of(sizes[i], 0);
		numbers_of(sizes[i], debug_flags());
	}
}

/* ---- owners ---- */

static void frames_lead(const struct bag *bag)
{
	for (unsigned i = 0; i < bag->n; i++) {
		char *object = bag->objects[i];
		const struct page *last = object_page(object + bag->cache->object_size - 1);

		for (const struct page *page = object_page(object); page <= last; page++)
			kept("OBJ-34", page->owner == bag->cache->owner && loam__owner_of(page)->cache == bag->cache,
			     "a frame of an object of '%s' has the owner id %#x", bag->cache->name, page->owner);
	}
}

/* Two caches of one size, another one, and the heap: none shares a frame with another. */
void objects_frames_lead_back(void)
{
	static const size_t sizes[] = { 64, 64, 1000, 10000 };
	bool has_heap = subject->links[LOAM_ROLE_HEAP].ops;
	struct bag bags[LOAM_LEN(sizes)];
	void *blocks[100];

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++)
		bags[i] = bag_new(cache_plain("owned", sizes[i]), 200, i);
	for (unsigned round = 0; round < LOAM_LEN(blocks); round++) {
		for (unsigned i = 0; i < LOAM_LEN(sizes); i++)
			bag_have(&bags[i], 1);
		blocks[round] = has_heap ? heap_alloc(64, 1, QUIET) : NULL;
		if (round % 7 == 3)
			for (unsigned i = 0; i < LOAM_LEN(sizes); i++)
				bag_give(&bags[i], 3, &test_rng);
	}
	for (unsigned i = 0; i < LOAM_LEN(sizes); i++)
		frames_lead(&bags[i]);
	for (unsigned i = 0; i < LOAM_LEN(blocks); i++) {
		if (!blocks[i])
			continue;
		kept("OBJ-34", !loam__owner_of(object_page(blocks[i]))->cache,
		     "a block of the heap lies in a frame of a cache");
		heap_free(blocks[i]);
	}
	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct loam_cache *cache = bags[i].cache;

		bag_end(&bags[i]);
		cache_gone(cache);
	}
}

/* ---- kfree ---- */

static void kfree_of(size_t bytes)
{
	struct loam_cache *cache = cache_plain("kfree", bytes);
	struct bag bag = bag_new(cache, 300, bytes), rest = bag_new(cache, 300, bytes + 1);
	struct loam_stat before = stat_now(), after;

	for (unsigned round = 0; round < 5; round++) {
		bag_have(&bag, 150);
		bag_have(&rest, 10);
		while (bag.n > 5) {
			bag_intact(&bag, "OBJ-35", "others were freed as by kfree");
			for (unsigned i = 0; i < 30 && bag.n > 5; i++)
				heap_free(bag_drop(&bag, (unsigned)rng_below(&test_rng, bag.n)));
		}
		bag_give(&bag, bag.n, &test_rng);
		after = stat_now();
		kept("OBJ-35", after.live_blocks == before.live_blocks + rest.n,
		     "%u objects are live, and %llu are told", rest.n,
		     (unsigned long long)(after.live_blocks - before.live_blocks));
	}
	bag_intact(&rest, "OBJ-35", "others were freed as by kfree");
	while (rest.n)
		heap_free(bag_drop(&rest, rest.n - 1));
	after = stat_now();
	kept("OBJ-35", after.live_blocks == before.live_blocks && after.live_bytes == before.live_bytes,
	     "all were freed: live blocks and bytes were %llu, %llu, and are %llu, %llu",
	     (unsigned long long)before.live_blocks, (unsigned long long)before.live_bytes,
	     (unsigned long long)after.live_blocks, (unsigned long long)after.live_bytes);
	bag_end(&bag);
	bag_end(&rest);
	kept("OBJ-35", !cache_end(cache), "all were freed as by kfree, and the cache cannot be destroyed");
}

void objects_kfree(void)
{
	static const size_t sizes[] = { 8, 20, 128, 700, 5000 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++)
		kfree_of(sizes[i]);
}
