/* SPDX-License-Identifier: MIT */
/* objects.c: the suite of the role objects (doc/contract/objects.md), its mixed workload, and bags of objects. */
#include "objects-tests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the instance can do ---- */

bool objects_claim(uint32_t cap)
{
	return objects_limits().caps & cap;
}

static bool has_constructed(void)
{
	return objects_claim(LOAM_OBJECTS_CONSTRUCTED);
}

static bool has_red_zone(void)
{
	return objects_claim(LOAM_OBJECTS_RED_ZONE);
}

static bool has_poison(void)
{
	return objects_claim(LOAM_OBJECTS_POISON);
}

static bool has_slabinfo(void)
{
	return objects_claim(LOAM_OBJECTS_SLABINFO);
}

static bool has_own_frames(void)
{
	return objects_claim(LOAM_OBJECTS_OWN_FRAMES);
}

static bool has_kfree(void)
{
	return objects_claim(LOAM_OBJECTS_KFREE);
}

static bool has_double_free(void)
{
	return objects_claim(LOAM_OBJECTS_DOUBLE_FREE);
}

static bool has_bad_free(void)
{
	return objects_claim(LOAM_OBJECTS_BAD_FREE);
}

static bool has_bulk(void)
{
	return objects_ops()->alloc_bulk || objects_ops()->free_bulk;
}

static bool has_shrink(void)
{
	return objects_ops()->shrink;
}

static const struct capability capabilities[] = { { "CONSTRUCTED", has_constructed },
						  { "RED_ZONE", has_red_zone },
						  { "POISON", has_poison },
						  { "SLABINFO", has_slabinfo },
						  { "OWN_FRAMES", has_own_frames },
						  { "KFREE", has_kfree },
						  { "DOUBLE_FREE", has_double_free },
						  { "BAD_FREE", has_bad_free },
						  { "BULK", has_bulk },
						  { "CACHE_SHRINK", has_shrink },
						  { NULL, NULL } };

/* ---- caches ---- */

void *objects_records(size_t n, size_t bytes)
{
	void *at = calloc(n, bytes);

	if (!at)
		trouble("no memory for the test's records");
	return at;
}

struct loam_cache *cache_made(struct loam_cache_args args)
{
	struct loam_cache *cache = cache_new(args);

	kept("OBJ-14", cache, "create of a cache of %zu bytes, alignment %zu, flags %#x: %s", args.object_size,
	     args.align, args.flags, strerror(errno));
	return cache;
}

struct loam_cache *cache_plain(const char *name, size_t bytes)
{
	return cache_made((struct loam_cache_args){ .name = name, .object_size = bytes });
}

struct loam_cache *cache_maybe(struct loam_cache_args args)
{
	struct loam_cache *cache = cache_new(args);

	kept("OBJ-14", cache || errno == EINVAL, "create of a cache of %zu bytes, alignment %zu, flags %#x: %s",
	     args.object_size, args.align, args.flags, strerror(errno));
	return cache;
}

void cache_gone(struct loam_cache *cache)
{
	int error = cache_end(cache);

	kept("OBJ-25", !error, "destroy of a cache without live objects returns %d (%s)", error, strerror(-error));
}

int cache_destroy_op(struct loam_cache *cache)
{
	int error;

	op_enter("destroy(cache %p)", (void *)cache);
	error = loam_cache_ops(cache)->destroy(cache);
	op_leave();
	return error;
}

void *object_had(struct loam_cache *cache)
{
	void *object = cache_alloc(cache, QUIET);

	kept("OBJ-16", object, "no object of %u bytes, and memory is there", cache->object_size);
	return object;
}

/* ---- what can be seen of an instance ---- */

struct page *object_page(const void *object)
{
	return loam_ptr_page(&loam__machine.map, object);
}

unsigned long frames_owned(const struct loam_cache *cache)
{
	const struct loam_map *map = &loam__machine.map;
	unsigned long n = 0;

	for (unsigned long i = 0; i < map->nr_pages; i++)
		n += map->pages[i].owner == cache->owner;
	return n;
}

uint64_t footprint_now(void)
{
	return stat_now().footprint;
}

bool has_check(void)
{
	for (const struct loam_self *self = subject; self; self = self->lower)
		if (self->plugin->desc.check)
			return true;
	return false;
}

static void count_defect(void *arg, const char *text)
{
	(void)text;
	++*(unsigned *)arg;
}

unsigned check_chain(void)
{
	unsigned defects = 0;

	loam__quiesce();
	op_enter("check()");
	for (struct loam_self *self = subject; self; self = self->lower)
		if (self->plugin->desc.check)
			self->plugin->desc.check(self->inst, count_defect, &defects);
	loam__resume();
	op_leave();
	return defects;
}

uint64_t reports_chain(enum loam_report_kind kind)
{
	uint64_t sum = 0;

	for (const struct loam_self *self = subject; self; self = self->lower)
		sum += __atomic_load_n(&self->reports[kind], __ATOMIC_RELAXED);
	return sum;
}

/* ---- bags ---- */

struct bag bag_new(struct loam_cache *cache, unsigned room, uint64_t seed)
{
	return (struct bag){ .cache = cache,
			     .objects = objects_records(room, sizeof(void *)),
			     .seeds = objects_records(room, sizeof(uint64_t)),
			     .room = room,
			     .seed = seed };
}

void bag_add(struct bag *bag, void *object)
{
	bag->seed += 0x9e3779b97f4a7c15u;
	pattern_write(object, bag->cache->object_size, bag->seed);
	bag->objects[bag->n] = object;
	bag->seeds[bag->n++] = bag->seed;
}

void *bag_drop(struct bag *bag, unsigned i)
{
	void *object = bag->objects[i];

	bag->n--;
	bag->objects[i] = bag->objects[bag->n];
	bag->seeds[i] = bag->seeds[bag->n];
	return object;
}

unsigned bag_take(struct bag *bag, unsigned n, gfp_t gfp)
{
	unsigned got;

	for (got = 0; got < n && bag->n < bag->room; got++) {
		void *object = cache_alloc(bag->cache, gfp);

		if (!object)
			break;
		bag_add(bag, object);
	}
	return got;
}

void bag_have(struct bag *bag, unsigned n)
{
	unsigned got = bag_take(bag, n, QUIET);

	kept("OBJ-16", got == n, "object %u of %u bytes is refused, and memory is there", bag->n + 1,
	     bag->cache->object_size);
}

static void one_intact(const struct bag *bag, unsigned i, const char *clause, const char *after)
{
	kept(clause, pattern_check(bag->objects[i], bag->cache->object_size, bag->seeds[i], NULL),
	     "the contents of the live object %p of '%s' (%u bytes) changed: %s", bag->objects[i], bag->cache->name,
	     bag->cache->object_size, after);
}

void bag_intact(const struct bag *bag, const char *clause, const char *after)
{
	for (unsigned i = 0; i < bag->n; i++)
		one_intact(bag, i, clause, after);
}

void bag_give(struct bag *bag, unsigned n, struct rng *rng)
{
	while (n-- && bag->n) {
		unsigned i = (unsigned)rng_below(rng, bag->n);

		one_intact(bag, i, "OBJ-08", "other calls were made");
		cache_free(bag->cache, bag_drop(bag, i));
	}
}

void bag_end(struct bag *bag)
{
	struct rng rng = { bag->seed };

	bag_give(bag, bag->n, &rng);
	free(bag->objects);
	free(bag->seeds);
	*bag = (struct bag){ 0 };
}

/* ---- the mixed workload, for the tests of every role ---- */

static const size_t mixed_sizes[] = { 24, 64, 200, 1000, 5000 };
static struct loam_cache *mixed[LOAM_LEN(mixed_sizes)];
#define MIXED_BUILT 2 /* the one with a constructor */

static void mixed_ctor(void *object)
{
	memset(object, 0x11, mixed_sizes[MIXED_BUILT]);
}

static void mixed_close(void)
{
	for (unsigned i = 0; i < LOAM_LEN(mixed); i++) {
		if (mixed[i])
			cache_gone(mixed[i]);
		mixed[i] = NULL;
	}
}

static bool mixed_open(void)
{
	for (unsigned i = 0; i < LOAM_LEN(mixed); i++) {
		struct loam_cache_args args = { .name = "mixed", .object_size = mixed_sizes[i] };

		args.ctor = i == MIXED_BUILT ? mixed_ctor : NULL;
		mixed[i] = cache_new(args);
		if (!mixed[i]) {
			mixed_close();
			return false;
		}
	}
	return true;
}

static bool mixed_take(struct held *held, unsigned i, gfp_t gfp)
{
	struct loam_cache *cache = mixed[i % LOAM_LEN(mixed)];

	*held = (struct held){ .cache = cache, .bytes = cache->object_size };
	held->ptr = cache_alloc(cache, gfp);
	if (!held->ptr)
		return false;
	held->seed = (uintptr_t)held->ptr ^ (i * 0x9e3779b97f4a7c15u);
	pattern_write(held->ptr, held->bytes, held->seed);
	return true;
}

static void mixed_give(struct held *held)
{
	cache_free(held->cache, held->ptr);
	held->ptr = NULL;
}

/* ---- the suite ---- */

static const struct test tests[] = {
	/* objects-results.c */
	{ "a-new-cache-is-as-asked", "OBJ-01", objects_new_cache, EXAMPLE, 0, 0 },
	{ "names-are-free", "OBJ-01", objects_names, EXAMPLE, 0, 0 },
	{ "create-refuses-what-it-cannot-make", "OBJ-02", objects_refuses, EXAMPLE, 0, 0 },
	{ "objects-are-apart", "OBJ-03 OBJ-08", objects_apart, EXAMPLE, 0, 0 },
	{ "bulk-is-many-singles", "OBJ-04 OBJ-03", objects_bulk, EXAMPLE, 0, 0 },
	{ "alignment-is-as-asked", "OBJ-05", objects_alignment, EXAMPLE, 0, 0 },
	{ "alignment-is-8-at-least", "OBJ-06", objects_least_alignment, EXAMPLE, 0, 0 },
	{ "small-objects-lie-in-one-line", "OBJ-07", objects_line_alignment, EXAMPLE, 0, 0 },
	{ "contents-survive", "OBJ-08", objects_contents, EXAMPLE, 0, 0 },
	{ "every-size-has-its-room", "OBJ-14", objects_every_size, EXAMPLE, 0, 0 },
	{ "a-hundred-caches-and-more", "OBJ-15 OBJ-08", objects_hundred_caches, EXAMPLE, 0, 64 },
	/* objects-told.c */
	{ "each-tells-the-newest-first", "OBJ-32", objects_each_order, INTROSPECTION, 0, 0 },
	{ "each-tells-true-numbers", "OBJ-33", objects_each_numbers, INTROSPECTION, 0, 0 },
	{ "frames-lead-to-the-cache", "OBJ-34", objects_frames_lead_back, INTROSPECTION, 0, 0 },
	{ "kfree-frees-an-object", "OBJ-35", objects_kfree, EXAMPLE, 0, 0 },
	/* objects-construct.c */
	{ "constructed-when-handed-out", "OBJ-09 OBJ-12", objects_constructed_first, EXAMPLE, 0, 0 },
	{ "constructed-in-bulk", "OBJ-09 OBJ-04", objects_constructed_in_bulk, EXAMPLE, 0, 0 },
	{ "constructed-once", "OBJ-10", objects_constructed_once, EXAMPLE, 0, 0 },
	{ "state-stays-while-free", "OBJ-11", objects_state_kept, EXAMPLE, 0, 0 },
	{ "constructor-stays-in-its-object", "OBJ-12", objects_constructor_in_bounds, EXAMPLE, 0, 0 },
	{ "destructed-exactly-once", "OBJ-13", objects_destructed_once, EXAMPLE, 0, 0 },
	{ "constructor-in-a-debugged-cache", "OBJ-09 OBJ-10 OBJ-11 OBJ-12 OBJ-13", objects_constructor_debugged,
	  EXAMPLE, 0, 0 },
	{ "constructor-when-memory-is-short", "OBJ-12 OBJ-09 OBJ-13", objects_constructor_exhausted, EXHAUSTION, 0, 6 },
	{ "constructor-runs-without-locks", "OBJ-22", objects_constructor_unlocked, EXAMPLE, 0, 0 },
	{ "constructor-calls-other-caches", "OBJ-22", objects_constructor_calls_ops, EXAMPLE, 0, 0 },
	{ "kfree-of-a-constructed-object", "OBJ-35 OBJ-11 OBJ-13", objects_constructed_kfree, EXAMPLE, 0, 0 },
	/* objects-exhaustion.c */
	{ "to-the-last-object-and-back", "OBJ-16", objects_as_many_again, EXHAUSTION, 0, 6 },
	{ "a-refusal-changes-nothing", "OBJ-16", objects_refused, EXHAUSTION, 0, 6 },
	{ "bulk-is-all-or-nothing", "OBJ-17", objects_bulk_refused, EXHAUSTION, 0, 6 },
	{ "freed-objects-are-used-again", "OBJ-18", objects_used_again, EXHAUSTION, 0, 0 },
	{ "dma-objects-lie-in-dma", "OBJ-19", objects_dma, EXAMPLE, 0, 0 },
	{ "dma-objects-end-with-dma", "OBJ-19", objects_dma_short, EXHAUSTION, 0, 0 },
	{ "dma-objects-are-nobody-elses", "OBJ-19", objects_dma_apart, EXAMPLE, 0, 0 },
	/* objects-debug.c */
	{ "red-zone-behind", "OBJ-20", objects_red_zone_behind, HOSTILE, 0, 0 },
	{ "red-zone-in-front", "OBJ-20", objects_red_zone_front, HOSTILE, 0, 0 },
	{ "check-finds-a-red-zone", "OBJ-20", objects_red_zone_check, HOSTILE, 0, 0 },
	{ "poison-finds-a-late-write", "OBJ-21", objects_poison, HOSTILE, 0, 0 },
	{ "check-finds-a-late-write", "OBJ-21", objects_poison_check, HOSTILE, 0, 0 },
	{ "debugged-caches-are-quiet", "PLUG-08 OBJ-08 OBJ-05", objects_debug_quiet, EXAMPLE, 0, 0 },
	{ "an-object-of-another-cache", "OBJ-28", objects_wrong_cache, HOSTILE, 0, 0 },
	{ "a-block-of-the-heap", "OBJ-28", objects_wrong_heap, HOSTILE, 0, 0 },
	{ "an-address-from-elsewhere", "OBJ-29", objects_elsewhere, HOSTILE, 0, 0 },
	{ "double-free-at-once", "OBJ-30", objects_double_free, HOSTILE, 0, 0 },
	{ "double-free-later", "OBJ-30", objects_double_free_later, HOSTILE, 0, 0 },
	{ "free-where-no-object-begins", "OBJ-31", objects_bad_free, HOSTILE, 0, 0 },
	/* objects-threads.c */
	{ "caches-come-and-go-beside-others", "OBJ-23", objects_threads_caches, THREADS, 0, 0 },
	{ "shrink-beside-use", "OBJ-23 OBJ-08", objects_threads_shrink, THREADS, 0, 0 },
	{ "constructed-objects-change-threads", "OBJ-11 OBJ-09 OBJ-10 OBJ-12 OBJ-13", objects_threads_tracked, THREADS,
	  0, 0 },
	{ "constructed-objects-by-turns", "OBJ-11 OBJ-09 OBJ-13", objects_threads_turns, THREADS, 0, 0 },
	{ "destroy-with-threads-that-cache", "OBJ-24", objects_destroy_cached, THREADS, 0, 0 },
	{ "threads-forget-a-destroyed-cache", "OBJ-24", objects_destroy_remembered, THREADS, 0, 0 },
	/* objects-life.c */
	{ "a-busy-cache-stays", "OBJ-25", objects_busy, LIFETIME, 0, 0 },
	{ "a-busy-cache-stays-constructed", "OBJ-25 OBJ-12", objects_busy_tracked, LIFETIME, 0, 0 },
	{ "a-destroyed-cache-holds-nothing", "OBJ-26", objects_gone, LIFETIME, 0, 0 },
	{ "caches-come-and-go", "OBJ-26", objects_come_and_go, LIFETIME, 0, 0 },
	{ "shrink-gives-all-that-is-empty", "OBJ-27", objects_shrink_all, LIFETIME, 0, 0 },
	{ "shrink-leaves-what-lives", "OBJ-27", objects_shrink_some, LIFETIME, 0, 0 },
	{ "shrink-after-threads", "OBJ-27", objects_shrink_threads, LIFETIME, 0, 0 },
	/* objects-model.c */
	{ "sequences", "OBJ-08 OBJ-03 OBJ-09 OBJ-10 OBJ-11 OBJ-12 OBJ-13 OBJ-25 PLUG-31 PLUG-34", objects_model, MODEL,
	  NO_MACHINE, 0 },
};

static const struct suite suite = {
	.role = LOAM_ROLE_OBJECTS,
	.name = "objects",
	TESTS(tests),
	.capabilities = capabilities,
	.open = mixed_open,
	.close = mixed_close,
	.take = mixed_take,
	.give = mixed_give,
	.sequence = &objects_sequence,
};
SUITE(suite);
