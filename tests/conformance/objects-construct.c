/* SPDX-License-Identifier: MIT */
/*
 * objects-construct.c: caches with constructors and destructors. Most of what is judged is judged by objects-tracked.c whenever
 * such a cache is used; a test here makes the calls after which a mistake would be seen.
 */
#include "objects-tests.h"

#include <stdlib.h>
#include <string.h>

/* ---- objects of one tracked cache that a test holds ---- */

struct hand {
	struct tracked *tracked;
	void **objects;
	unsigned n, room;
};

static struct hand hand_new(struct tracked *tracked, unsigned room)
{
	return (struct hand){ .tracked = tracked, .objects = objects_records(room, sizeof(void *)), .room = room };
}

static void hand_have(struct hand *hand, unsigned n)
{
	for (; n && hand->n < hand->room; n--) {
		void *object = tracked_alloc(hand->tracked, QUIET);

		kept("OBJ-16", object, "no object of %zu bytes, and memory is there", hand->tracked->bytes);
		hand->objects[hand->n++] = object;
	}
}

static void hand_give(struct hand *hand, unsigned n)
{
	for (; n && hand->n; n--) {
		unsigned i = (unsigned)rng_below(&test_rng, hand->n);
		void *object = hand->objects[i];

		hand->objects[i] = hand->objects[--hand->n];
		tracked_free(hand->tracked, object);
	}
}

static void hand_end(struct hand *hand)
{
	hand_give(hand, hand->n);
	free(hand->objects);
}

/* Objects come and go, slabs too; in the end all are free. */
static void churn(struct tracked *tracked, unsigned max, unsigned steps)
{
	struct hand hand = hand_new(tracked, max);

	for (unsigned i = 0; i < steps; i++) {
		unsigned n = 1 + (unsigned)rng_below(&test_rng, max / 4 + 1);

		if (rng_below(&test_rng, 2))
			hand_have(&hand, n);
		else
			hand_give(&hand, n);
		if (i % 16 == 9)
			hand_give(&hand, hand.n);
		if (i % 16 == 13)
			cache_shrink(tracked->cache);
	}
	hand_end(&hand);
}

/* ---- the tests ---- */

void objects_constructed_first(void)
{
	static const size_t sizes[] = { 1, 8, 30, 64, 100, 500, 520, 3000, 5000 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct tracked *tracked = tracked_new(0, sizes[i], 0, false);
		struct hand hand = hand_new(tracked, 400);

		hand_have(&hand, 150);
		hand_give(&hand, 100);
		hand_have(&hand, 350);
		hand_end(&hand);
		hand = hand_new(tracked, 100);
		hand_have(&hand, 100);
		hand_end(&hand);
		tracked_gone(tracked);
	}
}

void objects_constructed_in_bulk(void)
{
	static const size_t sizes[] = { 16, 100, 1000 };
	void *objects[500];

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct tracked *tracked = tracked_new(i, sizes[i], 0, i % 2);

		for (unsigned n = 1; n <= LOAM_LEN(objects); n *= 3) {
			kept("OBJ-04", tracked_alloc_bulk(tracked, n, objects) == n,
			     "alloc_bulk of %u returns 0, and memory is there", n);
			for (unsigned k = 0; k < n; k++)
				tracked_intact(tracked, objects[k], "OBJ-04");
			tracked_free(tracked, objects[n / 2]);
			objects[n / 2] = objects[n - 1];
			tracked_free_bulk(tracked, n - 1, objects);
		}
		tracked_gone(tracked);
	}
}

/* With a live object in the same frame a free one has no reason to be unmade. */
void objects_constructed_once(void)
{
	static const size_t sizes[] = { 8, 48, 200, 520, 1024 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct tracked *tracked = tracked_new(i, sizes[i], 0, i % 2);
		struct hand hand = hand_new(tracked, 500);

		hand_have(&hand, 500);
		/* Every frame keeps some of its objects. */
		for (unsigned round = 0; round < 10; round++) {
			hand_give(&hand, 200 + round % 2 * 150);
			if (round % 3 == 2)
				cache_shrink(tracked->cache);
			hand_have(&hand, 500 - hand.n);
		}
		hand_end(&hand);
		churn(tracked, 100, effort(60));
		tracked_gone(tracked);
	}
}

/* What holders leave, all of it, is there when the object is handed out again; other caches are busy meanwhile. */
void objects_state_kept(void)
{
	static const size_t sizes[] = { 1, 7, 8, 24, 65, 250, 512, 1000, 4000 };
	struct loam_cache *other = cache_plain("other", 100);

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct tracked *tracked = tracked_new(1, sizes[i], i % 3 == 1 ? SLAB_HWCACHE_ALIGN : 0, false);
		struct hand hand = hand_new(tracked, 300);
		struct bag bag = bag_new(other, 100, i);

		for (unsigned round = 0; round < 6; round++) {
			hand_have(&hand, 100 + round * 40);
			bag_have(&bag, 50);
			hand_give(&hand, hand.n);
			bag_give(&bag, 40, &test_rng);
		}
		bag_end(&bag);
		hand_end(&hand);
		churn(tracked, 150, effort(40));
		tracked_gone(tracked);
	}
	cache_gone(other);
}

/* Live objects of other caches, and their neighbours, stay as they are while objects are made and unmade. */
void objects_constructor_in_bounds(void)
{
	static const size_t sizes[] = { 3, 40, 136, 520, 2000 };
	struct loam_cache *other = cache_plain("other", 136);
	struct bag bag = bag_new(other, 400, 5);

	bag_have(&bag, 200);
	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct tracked *tracked = tracked_new(i, sizes[i], 0, true);
		struct hand hand = hand_new(tracked, 600);

		bag_have(&bag, 40);
		for (unsigned round = 0; round < 4; round++) {
			hand_have(&hand, 300);
			tracked_apart(tracked);
			hand_give(&hand, 150);
			bag_intact(&bag, "OBJ-12", "objects of another cache were constructed");
		}
		for (unsigned k = 0; k < hand.n; k++)
			tracked_intact(tracked, hand.objects[k], "OBJ-12");
		hand_end(&hand);
		cache_shrink(tracked->cache);
		bag_intact(&bag, "OBJ-12", "objects of another cache were destructed");
		tracked_gone(tracked);
	}
	bag_end(&bag);
	cache_gone(other);
}

static void destructed_once(unsigned slot, size_t bytes)
{
	struct tracked *tracked = tracked_new(slot, bytes, 0, true);
	struct hand hand = hand_new(tracked, 900);
	uint64_t before;

	hand_have(&hand, 700);
	hand_give(&hand, 699);
	cache_shrink(tracked->cache);
	hand_have(&hand, 300);
	/* Without CONSTRUCTED each in the call that frees it. */
	for (unsigned i = 0; i < 100 && !tracked->once; i++) {
		before = tracked->dtors;
		hand_give(&hand, 1);
		kept("OBJ-13", tracked->dtors == before + 1, "an object was freed, and destructed %llu times",
		     (unsigned long long)(tracked->dtors - before));
	}
	hand_end(&hand);
	churn(tracked, 300, effort(30));
	tracked_gone(tracked);
}

void objects_destructed_once(void)
{
	static const size_t sizes[] = { 8, 33, 300, 900, 4096, 10000 };
	struct tracked *unused = tracked_new(7, 64, 0, true);

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++)
		destructed_once(i, sizes[i]);
	tracked_gone(unused);
	kept("OBJ-13", !unused->dtors, "the destructor of a cache that was never used was called");
}

void objects_constructor_debugged(void)
{
	const uint32_t flags[] = { SLAB_RED_ZONE, SLAB_POISON, SLAB_RED_ZONE | SLAB_POISON,
				   SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER | SLAB_CONSISTENCY_CHECKS };
	static const size_t sizes[] = { 5, 64, 333, 1500 };

	for (unsigned f = 0; f < LOAM_LEN(flags); f++)
		for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
			struct tracked *tracked = tracked_new(0, sizes[i], flags[f], (i + f) % 2);

			/* A flag that is not known: then nothing is asked for. */
			if (!tracked)
				continue;
			churn(tracked, 120, effort(16));
			tracked_gone(tracked);
		}
}

/* Live objects are not touched, half-made slabs are none, and what is there afterwards is as ever. */
void objects_constructor_exhausted(void)
{
	static const size_t sizes[] = { 100, 700, 5000 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct tracked *tracked = tracked_new(i, sizes[i], 0, i != 1);
		unsigned room = (unsigned)((8u << 20) / sizes[i]), n = 0, first = 0;
		void **objects = objects_records(room, sizeof(*objects));

		for (unsigned round = 0; round < 2; round++) {
			while (n < room && (objects[n] = tracked_alloc(tracked, QUIET)))
				n++;
			for (unsigned k = 0; k < n; k++)
				tracked_intact(tracked, objects[k], "OBJ-12");
			kept("OBJ-16", n >= first - first / 16, "%u objects were had at first, %u later", first, n);
			first = first ? first : n;
			tracked_apart(tracked);
			while (n)
				tracked_free(tracked, objects[--n]);
			cache_shrink(tracked->cache);
		}
		free(objects);
		tracked_gone(tracked);
	}
}

/* All ways on which they run: a first slab, alloc, bulk, free, shrink of the cache and the instance, destroy, a thread's end. */
static void use_once(void *arg)
{
	churn(arg, 50, 8);
}

void objects_constructor_unlocked(void)
{
	static const size_t sizes[] = { 24, 600, 5000 };
	void *objects[200];

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct tracked *tracked = tracked_new(i, sizes[i], 0, true);

		churn(tracked, 200, 40);
		if (tracked_alloc_bulk(tracked, LOAM_LEN(objects), objects))
			tracked_free_bulk(tracked, LOAM_LEN(objects), objects);
		shrink_now(1000);
		thread_once(use_once, tracked);
		shrink_now(1000);
		tracked_gone(tracked);
		tracked = tracked_new(i, sizes[i], SLAB_HWCACHE_ALIGN, true);
		churn(tracked, 200, 20);
		tracked_gone(tracked);
		tracked = objects_claim(LOAM_OBJECTS_RED_ZONE) ? tracked_new(i, sizes[i], SLAB_RED_ZONE, true) : NULL;
		if (tracked) {
			churn(tracked, 100, 20);
			tracked_gone(tracked);
		}
	}
}

static struct loam_cache *aside_cache;
static void *aside_held;
static unsigned aside_calls;

/* One object more, or one less, of another cache. */
static void use_other_cache(void)
{
	aside_calls++;
	if (aside_held)
		cache_free(aside_cache, aside_held);
	aside_held = aside_held ? NULL : cache_alloc(aside_cache, QUIET);
}

void objects_constructor_calls_ops(void)
{
	struct tracked *tracked;

	if (subject->plugin->desc.threads == LOAM_THREADS_SERIALISED)
		skip("the host has one lock around each op of the instance");
	aside_cache = cache_plain("aside", 40);
	tracked_aside = use_other_cache;
	for (unsigned i = 0; i < 3; i++) {
		tracked = tracked_new(i, 50 + 500 * i, 0, true);
		churn(tracked, 200, 30);
		tracked_gone(tracked);
	}
	tracked_aside = NULL;
	kept("OBJ-22", aside_calls, "no constructor ran");
	if (aside_held)
		cache_free(aside_cache, aside_held);
	cache_gone(aside_cache);
}

void objects_constructed_kfree(void)
{
	static const size_t sizes[] = { 16, 300, 2500 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct tracked *tracked = tracked_new(i, sizes[i], 0, true);
		struct hand hand = hand_new(tracked, 200);
		uint64_t live = stat_now().live_blocks;

		for (unsigned round = 0; round < 5; round++) {
			hand_have(&hand, 200);
			while (hand.n > 20) {
				uint64_t before = tracked->dtors;
				void *object = hand.objects[--hand.n];

				tracked_leave(tracked, object, true);
				heap_free(object);
				kept("OBJ-35", tracked->once || tracked->dtors == before + 1,
				     "an object was freed as by kfree, and not destructed");
			}
			kept("OBJ-35", stat_now().live_blocks == live + hand.n,
			     "%u objects are live, and %llu are told", hand.n,
			     (unsigned long long)(stat_now().live_blocks - live));
		}
		hand_end(&hand);
		tracked_gone(tracked);
	}
}
