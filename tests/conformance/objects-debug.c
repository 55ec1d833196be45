/* SPDX-License-Identifier: MIT */
/* objects-debug.c: holders that make mistakes: writes beyond an object's ends and after its free, and frees of the wrong thing. */
#include "objects-tests.h"

#include <stdlib.h>
#include <string.h>

/* ---- red zones and poison ---- */

static void built(void *object)
{
	*(char *)object = 1;
}

/* A debugged cache with objects that lie beside each other, all filled. */
static struct bag debugged(size_t bytes, size_t align, uint32_t flags, bool constructed)
{
	struct loam_cache_args args = { .name = "debugged", .object_size = bytes, .align = align, .flags = flags };
	struct bag bag;

	args.ctor = constructed ? built : NULL;
	bag = bag_new(cache_made(args), 60, bytes);
	bag_have(&bag, 50);
	return bag;
}

static void debugged_end(struct bag *bag)
{
	struct loam_cache *cache = bag->cache;

	bag_end(bag);
	cache_gone(cache);
}

static void overwrite(char *at)
{
	*at = (char)~*at;
}

/* The next report of corruption is made by the time that @object is free. */
static void must_report(struct bag *bag, char *object, const char *where)
{
	uint64_t before = reports_chain(LOAM_REPORT_CORRUPTION), live = stat_now().live_blocks;

	cache_free(bag->cache, object);
	kept("OBJ-20", reports_chain(LOAM_REPORT_CORRUPTION) > before,
	     "the byte %s an object of %u bytes was overwritten, and is not reported when that is freed", where,
	     bag->cache->object_size);
	kept("OBJ-20", stat_now().live_blocks == live - 1, "an object was freed, and %llu are live, %llu before",
	     (unsigned long long)stat_now().live_blocks, (unsigned long long)live);
	bag_intact(bag, "OBJ-20", "the free of a neighbour was reported");
	kept("OBJ-20", !check_chain(), "the byte %s an object was reported, and check finds more", where);
}

/* Of some objects of @bytes, one after the other, the byte in front or the byte behind is overwritten. */
static void overflows(size_t bytes, uint32_t flags, bool front)
{
	struct bag bag = debugged(bytes, 1ul << rng_below(&test_rng, 7), flags, rng_below(&test_rng, 3) == 0);

	for (unsigned i = 0; i < 6; i++) {
		char *object = bag_drop(&bag, (unsigned)rng_below(&test_rng, bag.n));

		overwrite(front ? object - 1 : object + bytes);
		must_report(&bag, object, front ? "in front of" : "behind");
		bag_have(&bag, 1);
	}
	debugged_end(&bag);
}

void objects_red_zone_behind(void)
{
	reports_expected();
	for (size_t bytes = 1; bytes < 40; bytes++)
		overflows(bytes, SLAB_RED_ZONE, false);
	overflows(1000 + rng_below(&test_rng, 1000), SLAB_RED_ZONE, false);
	overflows(4096, SLAB_RED_ZONE, false);
	if (objects_claim(LOAM_OBJECTS_POISON))
		overflows(1 + rng_below(&test_rng, 300), SLAB_RED_ZONE | SLAB_POISON, false);
}

void objects_red_zone_front(void)
{
	reports_expected();
	for (size_t bytes = 1; bytes < 40; bytes += 3)
		overflows(bytes, SLAB_RED_ZONE, true);
	overflows(1000 + rng_below(&test_rng, 1000), SLAB_RED_ZONE, true);
	overflows(4096, SLAB_RED_ZONE, true);
	if (objects_claim(LOAM_OBJECTS_POISON))
		overflows(1 + rng_below(&test_rng, 300), SLAB_RED_ZONE | SLAB_POISON, true);
}

void objects_red_zone_check(void)
{
	if (!has_check())
		skip("there is no check");
	reports_expected();
	for (size_t bytes = 5; bytes < 2000; bytes = bytes * 2 + 3)
		for (unsigned front = 0; front < 2; front++) {
			struct bag bag = debugged(bytes, 0, SLAB_RED_ZONE, false);
			char *object = bag.objects[rng_below(&test_rng, bag.n)];

			kept("OBJ-20", !check_chain(), "check finds what nobody did");
			overwrite(front ? object - 1 : object + bytes);
			kept("OBJ-20", check_chain(),
			     "the byte %s an object of %zu bytes was overwritten, and check says nothing",
			     front ? "in front of" : "behind", bytes);
			bag_intact(&bag, "OBJ-20", "check looked at a red zone");
			debugged_end(&bag);
		}
}

/* Where in @bytes, by number: the first byte, the last, and others. */
static size_t spot(unsigned i, size_t bytes)
{
	return i == 0 ? 0 : i == 1 ? bytes - 1 : i == 2 ? bytes / 2 : rng_below(&test_rng, bytes);
}

/* Take objects until @freed is among them. */
static bool again(struct bag *bag, const void *freed)
{
	for (unsigned i = 0; i < 10; i++) {
		bag_have(bag, 1);
		if (bag->objects[bag->n - 1] == freed)
			return true;
	}
	return false;
}

/* An object of the bag in whose frame another one of it begins: as long as that lives, the frame stays. NULL: there is none. */
static char *with_neighbour(struct bag *bag)
{
	for (unsigned i = 0; i < bag->n; i++)
		for (unsigned k = 0; k < bag->n; k++)
			if (i != k && object_page(bag->objects[i]) == object_page(bag->objects[k]))
				return bag_drop(bag, i);
	return NULL;
}

static void late_write(size_t bytes, uint32_t flags, bool with_check)
{
	struct bag bag = debugged(bytes, 0, flags, false);
	char *object;

	for (unsigned i = 0; i < 6 && (object = with_neighbour(&bag)); i++) {
		uint64_t before = reports_chain(LOAM_REPORT_CORRUPTION);

		cache_free(bag.cache, object);
		overwrite(object + spot(i, bytes));
		if (with_check)
			kept("OBJ-21", check_chain(),
			     "a free object of %zu bytes was written to, and check says nothing", bytes);
		else if (again(&bag, object))
			kept("OBJ-21", reports_chain(LOAM_REPORT_CORRUPTION) > before,
			     "a free object of %zu bytes was written to, and is handed out again without a report",
			     bytes);
		bag_intact(&bag, "OBJ-21", "a free object was written to");
	}
	debugged_end(&bag);
}

void objects_poison(void)
{
	reports_expected();
	for (size_t bytes = 1; bytes < 3000; bytes = bytes * 2 + rng_below(&test_rng, 3)) {
		late_write(bytes, SLAB_POISON, false);
		if (objects_claim(LOAM_OBJECTS_RED_ZONE))
			late_write(bytes, SLAB_RED_ZONE | SLAB_POISON, false);
	}
}

void objects_poison_check(void)
{
	if (!has_check())
		skip("there is no check");
	reports_expected();
	for (size_t bytes = 2; bytes < 3000; bytes = bytes * 2 + rng_below(&test_rng, 3))
		late_write(bytes, SLAB_POISON, true);
}

/* Of a client without fault nothing is reported: the machine's end sees to that. */
void objects_debug_quiet(void)
{
	uint32_t flags[] = { 0, SLAB_RED_ZONE, SLAB_POISON, SLAB_RED_ZONE | SLAB_POISON };

	for (unsigned round = 0; round < effort(40); round++) {
		struct loam_cache_args args = { .name = "quiet", .object_size = rng_size(&test_rng, 5000) };
		struct loam_cache *cache;
		struct bag bag;

		args.align = 1ul << rng_below(&test_rng, 9);
		args.flags = flags[round % 4] | (rng_below(&test_rng, 2) ? SLAB_HWCACHE_ALIGN : 0);
		args.ctor = rng_below(&test_rng, 3) ? NULL : built;
		cache = cache_maybe(args);
		if (!cache)
			continue;
		bag = bag_new(cache, 60, round);
		for (unsigned step = 0; step < 12; step++) {
			bag_have(&bag, (unsigned)rng_below(&test_rng, bag.room - bag.n + 1));
			bag_give(&bag, (unsigned)rng_below(&test_rng, bag.n + 1), &test_rng);
			for (unsigned i = 0; i < bag.n; i++)
				kept("OBJ-05", !((uintptr_t)bag.objects[i] % args.align),
				     "an object of %zu bytes at %p, alignment %zu", args.object_size, bag.objects[i],
				     args.align);
		}
		kept("PLUG-08", !check_chain(), "check finds what nobody did in a cache with flags %#x", args.flags);
		bag_end(&bag);
		cache_gone(cache);
	}
}

/* ---- frees that are none ---- */

static uint64_t all_reports(void)
{
	uint64_t sum = 0;

	for (unsigned kind = 0; kind < LOAM_REPORT_KINDS; kind++)
		sum += reports_chain((enum loam_report_kind)kind);
	return sum;
}

/* A free that must be reported as @kind or @other, once, and change no counter. */
static void bad_free(struct loam_cache *cache, void *ptr, const char *clause, enum loam_report_kind kind,
		     enum loam_report_kind other, const char *what)
{
	uint64_t before = reports_chain(kind) + (other != kind ? reports_chain(other) : 0), all = all_reports();
	struct loam_stat stat = stat_now(), now;

	cache_free(cache, ptr);
	kept(clause, all_reports() > all, "the free of %s, %p, is not reported", what, ptr);
	kept(clause, reports_chain(kind) + (other != kind ? reports_chain(other) : 0) > before,
	     "the free of %s, %p, is reported as something else", what, ptr);
	now = stat_now();
	kept(clause,
	     now.live_blocks == stat.live_blocks && now.frees == stat.frees && now.live_bytes == stat.live_bytes,
	     "the free of %s, %p, is reported, and %llu blocks are live, %llu before", what, ptr,
	     (unsigned long long)now.live_blocks, (unsigned long long)stat.live_blocks);
}

/* Objects that were wrongly freed are not handed out by either cache. */
static void not_handed_out(struct bag *bag, const struct bag *live, const char *clause)
{
	bag_have(bag, bag->room - bag->n);
	for (unsigned i = 0; i < bag->n; i++)
		for (unsigned k = 0; k < live->n; k++)
			kept(clause, bag->objects[i] != live->objects[k], "a live object is handed out: %p",
			     bag->objects[i]);
}

static void wrong_cache(struct loam_cache_args a, struct loam_cache_args b)
{
	struct bag first = bag_new(cache_made(a), 60, 1), second = bag_new(cache_made(b), 200, 2);

	bag_have(&first, 60);
	bag_have(&second, 30);
	bag_give(&second, 20, &test_rng);
	for (unsigned i = 0; i < first.n; i++)
		bad_free(second.cache, first.objects[i], "OBJ-28", LOAM_REPORT_WRONG_CACHE, LOAM_REPORT_WRONG_CACHE,
			 "an object of another cache");
	bag_intact(&first, "OBJ-28", "they were given to free of another cache");
	bag_intact(&second, "OBJ-28", "objects of another cache were given to free");
	not_handed_out(&second, &first, "OBJ-28");
	bag_intact(&first, "OBJ-28", "they were given to free of another cache");
	kept("OBJ-28", !check_chain(),
	     "an object was given to free of another cache, and check finds broken invariants");
	debugged_end(&first);
	debugged_end(&second);
}

/* Of one size, of different ones, with a constructor, debugged. */
void objects_wrong_cache(void)
{
	const struct loam_cache_args kinds[] = { { .name = "small", .object_size = 64 },
						 { .name = "twin", .object_size = 64 },
						 { .name = "odd", .object_size = 20 },
						 { .name = "built", .object_size = 64, .ctor = built },
						 { .name = "large", .object_size = 1500 },
						 { .name = "pages", .object_size = 8192 },
						 { .name = "debugged", .object_size = 64, .flags = SLAB_RED_ZONE } };
	unsigned n = LOAM_LEN(kinds) - (objects_claim(LOAM_OBJECTS_RED_ZONE) ? 0 : 1);

	reports_expected();
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < n; k++)
			if (i != k)
				wrong_cache(kinds[i], kinds[k]);
}

void objects_wrong_heap(void)
{
	static const size_t sizes[] = { 20, 64, 1000, 5000, 20000 };
	struct bag bag;

	if (!subject->links[LOAM_ROLE_HEAP].ops)
		skip("the instance is no heap");
	reports_expected();
	bag = bag_new(cache_plain("cache", 64), 200, 1);
	bag_have(&bag, 20);
	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		char *block = heap_alloc(sizes[i], 1, QUIET);

		kept("HEAP-01", block, "no block of %zu bytes, and memory is there", sizes[i]);
		pattern_write(block, sizes[i], i);
		bad_free(bag.cache, block, "OBJ-28", LOAM_REPORT_WRONG_CACHE, LOAM_REPORT_WRONG_CACHE,
			 "a block of the heap");
		bag_have(&bag, 30);
		bag_intact(&bag, "OBJ-28", "a block of the heap was given to free");
		kept("OBJ-28", pattern_check(block, sizes[i], i, NULL),
		     "a block of the heap was given to free, and changed");
		heap_free(block);
	}
	debugged_end(&bag);
}

/* A frame that nobody holds. */
static void *nobodys_frame(void)
{
	const struct loam_map *map = &loam__machine.map;

	for (unsigned long i = map->nr_pages; i--;)
		if (!map->pages[i].owner && loam_page_ptr(map, &map->pages[i]))
			return loam_page_ptr(map, &map->pages[i]);
	trouble("all frames are held");
}

static struct page *others_frame(void)
{
	struct page *page = loam__pages_alloc(&loam__machine.frames, GFP_KERNEL, 0, loam__machine.graph->frames->owner);

	if (!page)
		trouble("no frame");
	return page;
}

void objects_elsewhere(void)
{
	static char fixed[256] __attribute__((aligned(64)));
	static const size_t sizes[] = { 8, 64, 1000, 9000 };
	struct page *page = others_frame();
	char *frame = loam_page_ptr(&loam__machine.map, page), *block = malloc(300);
	char stack[256] __attribute__((aligned(64)));

	reports_expected();
	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct bag bag = bag_new(cache_plain("elsewhere", sizes[i]), 200, i);
		void *const elsewhere[] = {
			stack, fixed,      block,      nobodys_frame(), (char *)nobodys_frame() + 512,
			frame, frame + 64, (void *)64, (void *)-4096l
		};

		bag_have(&bag, 20);
		for (unsigned k = 0; k < LOAM_LEN(elsewhere); k++)
			bad_free(bag.cache, elsewhere[k], "OBJ-29", LOAM_REPORT_BAD_FREE, LOAM_REPORT_WRONG_CACHE,
				 "an address where the instance has no memory");
		bag_have(&bag, 50);
		bag_intact(&bag, "OBJ-29", "addresses from elsewhere were given to free");
		debugged_end(&bag);
	}
	loam__pages_free(&loam__machine.frames, page, 0);
	free(block);
}

/* ---- double frees ---- */

static void doubly(struct bag *bag, void *object)
{
	bad_free(bag->cache, object, "OBJ-30", LOAM_REPORT_DOUBLE_FREE, LOAM_REPORT_BAD_FREE, "an object that is free");
	bag_intact(bag, "OBJ-30", "an object was freed twice");
}

static struct bag double_bag(size_t bytes, uint32_t flags, bool constructed)
{
	struct loam_cache_args args = { .name = "double", .object_size = bytes, .flags = flags };

	args.ctor = args.dtor = constructed ? built : NULL;
	return bag_new(cache_made(args), 300, bytes);
}

/* At once, and again; the last one, too, whose frame may have gone. */
void objects_double_free(void)
{
	reports_expected();
	for (size_t bytes = 1; bytes < 20000; bytes = bytes * 2 + rng_below(&test_rng, bytes)) {
		struct bag bag = double_bag(bytes, 0, rng_below(&test_rng, 2));

		bag_have(&bag, 20);
		while (bag.n) {
			void *object = bag_drop(&bag, bag.n - 1);

			cache_free(bag.cache, object);
			doubly(&bag, object);
			if (bag.n % 4 == 0)
				doubly(&bag, object);
		}
		/* None of them is there twice. */
		bag_have(&bag, 100);
		bag_intact(&bag, "OBJ-30", "objects were freed twice, and had again");
		debugged_end(&bag);
	}
}

struct freeing {
	struct bag *bag;
	void **objects;
	unsigned n;
};

static void free_them(void *arg)
{
	struct freeing *freeing = arg;

	for (unsigned i = 0; i < freeing->n; i++)
		cache_free(freeing->bag->cache, freeing->objects[i]);
}

static void doubly_all(void *arg)
{
	struct freeing *freeing = arg;

	for (unsigned i = 0; i < freeing->n; i++)
		doubly(freeing->bag, freeing->objects[i]);
}

/* Many are freed, on this thread and on others, before the first is freed again: here, and on another one. */
void objects_double_free_later(void)
{
	static const size_t sizes[] = { 8, 48, 300, 1500, 6000 };
	void *freed[200];

	reports_expected();
	for (unsigned i = 0; i < LOAM_LEN(sizes); i++)
		for (unsigned elsewhere = 0; elsewhere < 4; elsewhere++) {
			struct bag bag = double_bag(sizes[i], 0, i % 2);
			struct freeing freeing = { &bag, freed, 0 };

			bag_have(&bag, 250);
			for (unsigned k = 0; k < LOAM_LEN(freed); k++)
				freed[freeing.n++] = bag_drop(&bag, (unsigned)rng_below(&test_rng, bag.n));
			if (elsewhere & 1)
				thread_once(free_them, &freeing);
			else
				free_them(&freeing);
			freeing.n = 20;
			if (elsewhere & 2)
				thread_once(doubly_all, &freeing);
			else
				doubly_all(&freeing);
			bag_have(&bag, 250);
			bag_intact(&bag, "OBJ-30", "objects were freed twice, and had again");
			debugged_end(&bag);
		}
}

/* ---- addresses at which no object begins ---- */

struct starts {
	const char *name;
	char **at;
	size_t n, room;
	bool all; /* of free objects too */
};

static int note_start(void *arg, const struct loam_span *span)
{
	struct starts *starts = arg;

	if (span->label && span->addr && strcmp(span->label, starts->name) == 0 && starts->n < starts->room)
		starts->at[starts->n++] = span->addr;
	return 0;
}

static bool begins(const struct starts *starts, const char *at)
{
	for (size_t i = 0; i < starts->n; i++)
		if (starts->at[i] == at)
			return true;
	return false;
}

/* All objects of the cache, live and free, as walk shows them; without walk, those that are live. */
static struct starts starts_of(const struct bag *bag)
{
	struct starts starts = { .name = bag->cache->name, .room = 20000 };

	starts.at = objects_records(starts.room, sizeof(*starts.at));
	starts.all = !walk_now(note_start, &starts) && starts.n >= bag->n;
	if (starts.all)
		return starts;
	for (starts.n = 0; starts.n < bag->n; starts.n++)
		starts.at[starts.n] = bag->objects[starts.n];
	return starts;
}

static void no_start(const struct bag *bag, const struct starts *starts, char *at)
{
	const struct page *page = object_page(at);

	if (page && page->owner == bag->cache->owner && !begins(starts, at))
		bad_free(bag->cache, at, "OBJ-31", LOAM_REPORT_BAD_FREE, LOAM_REPORT_BAD_FREE,
			 "an address at which no object begins");
}

static void inside_frames(struct bag *bag)
{
	struct starts starts = starts_of(bag);

	for (unsigned i = 0; i < 4; i++) {
		char *object = bag->objects[rng_below(&test_rng, bag->n)];
		char *frame = (char *)((uintptr_t)object & ~(LOAM_PAGE_SIZE - 1));

		for (size_t off = 1; off < bag->cache->object_size && off < 30; off++)
			no_start(bag, &starts, object + off);
		no_start(bag, &starts, object + bag->cache->object_size - 1);
		/* The frame's beginning and end: records, colours, what is left over. */
		for (size_t off = 0; off < 128 && starts.all; off += 8) {
			no_start(bag, &starts, frame + off);
			no_start(bag, &starts, frame + LOAM_PAGE_SIZE - 8 - off);
		}
		for (unsigned k = 0; k < 60 && starts.all; k++)
			no_start(bag, &starts, frame + rng_below(&test_rng, LOAM_PAGE_SIZE));
	}
	free(starts.at);
}

void objects_bad_free(void)
{
	static const size_t sizes[] = { 8, 24, 72, 200, 520, 1300, 5000 };

	reports_expected();
	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct bag bag = bag_new(cache_plain("begins", sizes[i]), 900, i);

		bag_have(&bag, sizes[i] < 600 ? 600 : 60);
		inside_frames(&bag);
		bag_intact(&bag, "OBJ-31", "addresses at which no object begins were freed");
		bag_have(&bag, 100);
		bag_intact(&bag, "OBJ-31", "addresses at which no object begins were freed");
		debugged_end(&bag);
	}
}
