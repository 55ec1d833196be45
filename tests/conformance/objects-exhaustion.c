/* SPDX-License-Identifier: MIT */
/* objects-exhaustion.c: memory that runs out and comes back; zones. */
#include "objects-tests.h"

#include <stdlib.h>

/* Room for all objects of @bytes that the machine can have. */
static unsigned all_of(size_t bytes)
{
	return (unsigned)((loam__machine.map.nr_pages << LOAM_PAGE_SHIFT) / bytes) + 1;
}

/* The subject was refused memory, or has refused: there is no block left that is large enough whatever it needs. */
static void really_short(size_t bytes)
{
	unsigned order = loam_pages_order(4 * bytes);
	struct page *page;

	order = order < 4 ? 4 : order;
	page = order < loam__machine.orders ? loam__pages_alloc(&loam__machine.frames, QUIET, order, 0) : NULL;
	kept("OBJ-16", !page, "an object of %zu bytes is refused, and a block of order %u can be had", bytes, order);
}

static void as_many_again(size_t bytes, uint32_t flags)
{
	struct loam_cache *cache =
		cache_maybe((struct loam_cache_args){ .name = "all", .object_size = bytes, .flags = flags });
	struct bag bag;
	unsigned first;

	if (!cache)
		return;
	bag = bag_new(cache, all_of(bytes), bytes);
	first = bag_take(&bag, bag.room, QUIET);
	kept("OBJ-16", first < bag.room, "%u objects of %zu bytes are more than the machine has", first, bytes);
	really_short(bytes);
	for (unsigned round = 0; round < effort(1) + 1 && round < 6; round++) {
		unsigned n;

		bag_intact(&bag, "OBJ-16", "an alloc was refused");
		bag_give(&bag, bag.n, &test_rng);
		n = bag_take(&bag, bag.room, QUIET);
		kept("OBJ-16", n >= first - first / 16, "%u objects of %zu bytes were had at first, and %u in round %u",
		     first, bytes, n, round + 2);
	}
	bag_end(&bag);
	cache_gone(cache);
}

void objects_as_many_again(void)
{
	as_many_again(40 + rng_below(&test_rng, 60), 0);
	as_many_again(150 + rng_below(&test_rng, 800), 0);
	as_many_again(1100 + rng_below(&test_rng, 3000), 0);
	as_many_again(4200 + rng_below(&test_rng, 30000), 0);
	if (objects_claim(LOAM_OBJECTS_RED_ZONE))
		as_many_again(600 + rng_below(&test_rng, 900), SLAB_RED_ZONE);
}

/* Beside a cache that takes all there is, another one's objects are live. */
static void refused_beside(size_t bytes, struct bag *others)
{
	struct loam_cache *cache = cache_plain("refused", bytes);
	struct bag bag = bag_new(cache, all_of(bytes), bytes);
	struct loam_stat stat;

	bag_take(&bag, bag.room, QUIET);
	for (unsigned round = 0; round < 20; round++) {
		stat = stat_now();
		/* It may have had a little left. */
		if (bag_take(&bag, 1, round % 2 ? GFP_NOWAIT | __GFP_NOWARN : QUIET))
			continue;
		kept("OBJ-16", stat_now().live_blocks == stat.live_blocks && stat_now().live_bytes == stat.live_bytes,
		     "an alloc was refused, and %llu blocks are live, %llu before",
		     (unsigned long long)stat_now().live_blocks, (unsigned long long)stat.live_blocks);
	}
	bag_intact(others, "OBJ-16", "another cache was refused memory");
	bag_intact(&bag, "OBJ-16", "an alloc was refused");
	kept("OBJ-16", !check_chain(), "an alloc was refused, and check finds broken invariants");
	/* What is freed is there for the next one: a few, and a part of them all. */
	for (unsigned round = 0; round < 20; round++) {
		unsigned n = round % 8 ? 32 : 32 + bag.n / 3;

		n = n < bag.n ? n : bag.n;
		bag_give(&bag, n, &test_rng);
		kept("OBJ-16", bag_take(&bag, n, QUIET) >= n - n / 16,
		     "%u objects of %zu bytes were freed, and cannot be had again", n, bytes);
	}
	bag_end(&bag);
	cache_gone(cache);
}

void objects_refused(void)
{
	struct loam_cache *cache = cache_plain("others", 90);
	struct bag others = bag_new(cache, 500, 7);

	bag_have(&others, 500);
	/* Some fill their frames to the last byte, with or without a word of their own before them. */
	refused_beside(56, &others);
	refused_beside(64, &others);
	refused_beside(300, &others);
	refused_beside(1016, &others);
	refused_beside(1024, &others);
	refused_beside(7000, &others);
	bag_end(&others);
	cache_gone(cache);
}

static void bulk_refused(size_t bytes)
{
	struct loam_cache *cache = cache_plain("bulk", bytes);
	struct bag bag = bag_new(cache, 2 * all_of(bytes), bytes);
	unsigned all = bag_take(&bag, all_of(bytes), QUIET), got, kept_back = all / 10;
	uint64_t live;

	bag_give(&bag, all - kept_back, &test_rng);
	live = stat_now().live_blocks;
	for (unsigned round = 0; round < effort(2) && round < 8; round++) {
		got = cache_alloc_bulk(cache, QUIET, all + all / 8 + 20, bag.objects + bag.n);
		kept("OBJ-17", !got, "alloc_bulk returns %u of %u objects", got, all + all / 8 + 20);
		kept("OBJ-17", stat_now().live_blocks == live, "alloc_bulk was refused, and %lld objects more are live",
		     (long long)(stat_now().live_blocks - live));
		bag_intact(&bag, "OBJ-17", "alloc_bulk was refused");
	}
	got = bag_take(&bag, all, QUIET);
	kept("OBJ-17", kept_back + got >= all - all / 16, "of %u objects %u can be had after alloc_bulk was refused",
	     all, kept_back + got);
	bag_give(&bag, bag.n / 2, &test_rng);
	got = cache_alloc_bulk(cache, QUIET, all / 4, bag.objects + bag.n);
	kept("OBJ-17", got == all / 4, "alloc_bulk of %u returns %u, and half of all the memory is free", all / 4, got);
	for (unsigned i = 0; i < got; i++)
		bag_add(&bag, bag.objects[bag.n]);
	bag_end(&bag);
	cache_gone(cache);
}

void objects_bulk_refused(void)
{
	bulk_refused(64 + rng_below(&test_rng, 200));
	bulk_refused(1000 + rng_below(&test_rng, 4000));
}

static void used_again(size_t bytes, unsigned most)
{
	struct loam_cache *cache = cache_plain("again", bytes);
	struct bag bag = bag_new(cache, most, bytes);
	uint64_t first;

	bag_have(&bag, most);
	first = footprint_now();
	for (unsigned round = 0; round < effort(60); round++) {
		/* Sometimes nearly all, sometimes a few; in an order that has nothing to do with that of alloc. */
		bag_give(&bag, 1 + (unsigned)rng_below(&test_rng, round % 3 ? most / 8 : most), &test_rng);
		bag_have(&bag, most - bag.n);
		kept("OBJ-18", footprint_now() <= 2 * first + (256u << 10),
		     "%u objects of %zu bytes were held in %llu bytes, and in round %u in %llu", most, bytes,
		     (unsigned long long)first, round + 1, (unsigned long long)footprint_now());
	}
	bag_end(&bag);
	cache_gone(cache);
}

void objects_used_again(void)
{
	used_again(8 + rng_below(&test_rng, 50), 3000);
	used_again(100 + rng_below(&test_rng, 400), 1000);
	used_again(600 + rng_below(&test_rng, 3000), 200);
	used_again(5000 + rng_below(&test_rng, 20000), 20);
	used_again(64, 1);
}

/* ---- zones ---- */

static bool all_in_dma(const struct bag *bag, const void *object)
{
	const struct page *last = object_page((const char *)object + bag->cache->object_size - 1);

	for (const struct page *page = object_page(object); page <= last; page++)
		if ((page->flags & LOAM_PAGE_ZONE_MASK) != LOAM_ZONE_DMA)
			return false;
	return true;
}

static struct loam_cache *dma_cache(size_t bytes)
{
	struct loam_cache_args args = { .name = "dma", .object_size = bytes, .flags = SLAB_CACHE_DMA };
	struct loam_cache *cache = cache_maybe(args);

	if (!cache)
		skip("SLAB_CACHE_DMA is not known");
	return cache;
}

static void have_in_dma(struct bag *bag, unsigned n)
{
	unsigned from = bag->n;

	bag_have(bag, n);
	for (unsigned i = from; i < bag->n; i++)
		kept("OBJ-19", all_in_dma(bag, bag->objects[i]), "object %u of %u bytes at %p is not in zone DMA", i,
		     bag->cache->object_size, bag->objects[i]);
}

/* Memory of other zones lies free in caches without the flag, of the same size. */
void objects_dma(void)
{
	static const size_t sizes[] = { 8, 60, 256, 1000, 4096, 12000 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		unsigned n = sizes[i] < 1000 ? 300 : 30;
		struct loam_cache *plain = cache_plain("plain", sizes[i]), *dma = dma_cache(sizes[i]);
		struct bag others = bag_new(plain, n, 1), bag = bag_new(dma, n, 2);

		bag_have(&others, n);
		bag_give(&others, n / 2, &test_rng);
		have_in_dma(&bag, n / 2);
		bag_give(&others, n, &test_rng);
		bag_give(&bag, n / 4, &test_rng);
		have_in_dma(&bag, n / 2);
		bag_end(&others);
		bag_end(&bag);
		cache_gone(plain);
		cache_gone(dma);
	}
}

void objects_dma_short(void)
{
	static const size_t sizes[] = { 200, 2000, 5000 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct loam_cache *plain = cache_plain("plain", sizes[i]), *dma = dma_cache(sizes[i]);
		struct bag others = bag_new(plain, 50, 1), bag = bag_new(dma, all_of(sizes[i]), 2);

		while (bag_take(&bag, 1, QUIET))
			kept("OBJ-19", all_in_dma(&bag, bag.objects[bag.n - 1]), "object %u is not in zone DMA", bag.n);
		kept("OBJ-19", bag.n * sizes[i] <= 4u << 20, "zone DMA has 4 MiB, and %u objects of %zu bytes", bag.n,
		     sizes[i]);
		bag_have(&others, 50);
		bag_intact(&bag, "OBJ-08", "zone DMA was used up");
		bag_end(&others);
		bag_end(&bag);
		cache_gone(plain);
		cache_gone(dma);
	}
}

/* With much of zone DMA free in their caches, and all of NORMAL free, others get NORMAL. */
void objects_dma_apart(void)
{
	static const size_t sizes[] = { 24, 256, 1000, 4096 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct loam_cache *plain = cache_plain("plain", sizes[i]), *dma = dma_cache(sizes[i]);
		struct bag others = bag_new(plain, 200, 1), bag = bag_new(dma, 200, 2);

		bag_have(&bag, 200);
		bag_give(&bag, 150, &test_rng);
		bag_have(&others, 100);
		for (unsigned k = 0; k < others.n; k++)
			kept("OBJ-19", !all_in_dma(&others, others.objects[k]),
			     "an object of a cache without SLAB_CACHE_DMA is in zone DMA");
		bag_end(&others);
		bag_end(&bag);
		cache_gone(plain);
		cache_gone(dma);
	}
}
