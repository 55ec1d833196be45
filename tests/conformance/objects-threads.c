/* SPDX-License-Identifier: MIT */
/* objects-threads.c: caches and several threads. */
#include "objects-tests.h"

#include <stdlib.h>

static unsigned nr_threads(void)
{
	return job.threads > 2 ? job.threads : 2;
}

/* ---- caches that come and go, caches that shrink ---- */

struct beside {
	struct loam_cache *shared; /* in use by all but the first thread */
	unsigned steps;
	unsigned going;   /* threads that use it; atomic */
	unsigned shrinks; /* still to be made beside them; atomic */
};

/* One object at a time, as fast as can be. */
static void use_quickly(struct loam_cache *cache, unsigned n, uint64_t mark)
{
	while (n--) {
		uint64_t *object = object_had(cache);

		__atomic_store_n(object, mark, __ATOMIC_RELAXED);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		kept("OBJ-23", __atomic_load_n(object, __ATOMIC_RELAXED) == mark, "the object %p has two holders",
		     (void *)object);
		cache_free(cache, object);
	}
}

/* Free @n of them, which nobody has touched. */
static void give_intact(struct bag *bag, unsigned n, struct rng *rng)
{
	bag_intact(bag, "OBJ-23", "caches came and went, or shrank, on other threads");
	while (n--)
		cache_free(bag->cache, bag_drop(bag, (unsigned)rng_below(rng, bag->n)));
}

static void use_shared(struct beside *beside, unsigned index)
{
	struct rng rng = { job.seed + index };
	struct bag bag = bag_new(beside->shared, 200, index);

	for (unsigned i = 0; i < beside->steps || __atomic_load_n(&beside->shrinks, __ATOMIC_RELAXED); i++) {
		use_quickly(beside->shared, 200, index);
		if (rng_below(&rng, 2))
			bag_have(&bag, (unsigned)rng_below(&rng, bag.room - bag.n + 1));
		give_intact(&bag, (unsigned)rng_below(&rng, bag.n + 1), &rng);
	}
	give_intact(&bag, bag.n, &rng);
	bag_end(&bag);
}

/* Hardly used: others make one, too, at just that time. */
static void pass_by(struct rng *rng, unsigned index)
{
	struct loam_cache *cache = cache_plain("passing", 1 + rng_below(rng, 300));
	struct bag bag = bag_new(cache, 3, index);

	bag_have(&bag, 3);
	bag_intact(&bag, "OBJ-23", "other caches were made and destroyed");
	bag_end(&bag);
	kept("OBJ-23", !cache_end(cache), "a cache whose objects were all freed is not destroyed");
}

/* Each time another size: another order, another slot in areas. */
static void come_and_go(struct rng *rng, unsigned index)
{
	struct loam_cache *cache = cache_plain("passing", 1 + rng_below(rng, 3000));
	struct bag bag = bag_new(cache, 60, index);

	bag_have(&bag, (unsigned)rng_below(rng, 60));
	bag_intact(&bag, "OBJ-23", "other caches were in use");
	bag_give(&bag, bag.n / 2, rng);
	if (rng_below(rng, 2))
		cache_shrink(cache);
	bag_end(&bag);
	kept("OBJ-23", !cache_end(cache), "a cache whose objects were all freed is not destroyed");
}

static void caches_beside(void *arg, unsigned index)
{
	struct beside *beside = arg;
	struct rng rng = { job.seed * 3 + index };

	if (index == 1) {
		use_shared(beside, index);
		return;
	}
	for (unsigned i = 0; i < beside->steps; i++) {
		come_and_go(&rng, index);
		for (unsigned k = 0; k < 8; k++)
			pass_by(&rng, index);
	}
}

/* Nothing was lost, and nothing is there twice. */
static void shared_gone(const struct beside *beside)
{
	kept("OBJ-23", !stat_now().live_blocks, "all objects were freed, and %llu are live",
	     (unsigned long long)stat_now().live_blocks);
	kept("OBJ-23", !check_chain(), "check finds broken invariants");
	kept("OBJ-23", !cache_end(beside->shared), "all objects were freed, and the cache is not destroyed");
}

void objects_threads_caches(void)
{
	struct beside beside = { .shared = cache_plain("shared", 72), .steps = effort(200) };

	threads_run_paused(nr_threads() < 4 ? 4 : nr_threads(), caches_beside, &beside);
	shared_gone(&beside);
}

static void shrink_beside(void *arg, unsigned index)
{
	struct beside *beside = arg;

	if (index) {
		use_shared(beside, index);
		__atomic_sub_fetch(&beside->going, 1, __ATOMIC_RELEASE);
		return;
	}
	while (__atomic_load_n(&beside->going, __ATOMIC_ACQUIRE)) {
		for (unsigned i = 0; i < 20; i++)
			cache_shrink(beside->shared);
		shrink_now(100);
		if (beside->shrinks)
			__atomic_store_n(&beside->shrinks, beside->shrinks - 1, __ATOMIC_RELAXED);
	}
}

void objects_threads_shrink(void)
{
	static const size_t sizes[] = { 40, 1024, 6000 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct beside beside = { .shared = cache_plain("shared", sizes[i]),
					 .steps = 20,
					 .shrinks = effort(10) };

		beside.going = nr_threads();
		threads_run_paused(nr_threads() + 1, shrink_beside, &beside);
		shared_gone(&beside);
	}
}

/* ---- constructed objects from thread to thread ---- */

#define SHELF 64

struct shelf {
	struct tracked *tracked;
	void *objects[SHELF]; /* atomic: live objects that any thread may take over */
};

/* Most objects are freed by another thread than took them. */
static void hand_on(void *arg, unsigned index)
{
	struct shelf *shelf = arg;
	struct rng rng = { job.seed + index * 77 };

	for (unsigned i = 0; i < effort(2000); i++) {
		void *mine = rng_below(&rng, 8) ? tracked_alloc(shelf->tracked, QUIET) : NULL;
		void *theirs = __atomic_exchange_n(&shelf->objects[rng_below(&rng, SHELF)], mine, __ATOMIC_ACQ_REL);

		if (theirs)
			tracked_free(shelf->tracked, theirs);
	}
}

struct turns {
	struct tracked *tracked;
	pthread_barrier_t barrier;
	void *objects[200];
	unsigned rounds;
};

/* One takes, the other frees, which then takes; so each frees into what the other has at hand. */
static void take_turns(void *arg, unsigned index)
{
	struct turns *turns = arg;

	for (unsigned round = 0; round < turns->rounds; round++) {
		bool mine = round / 2 % 2 == index;

		for (unsigned i = 0; i < LOAM_LEN(turns->objects) && mine; i++) {
			turns->objects[i] = tracked_alloc(turns->tracked, QUIET);
			kept("OBJ-16", turns->objects[i], "no object of %zu bytes, and memory is there",
			     turns->tracked->bytes);
		}
		pthread_barrier_wait(&turns->barrier);
		for (unsigned i = 0; i < LOAM_LEN(turns->objects) && !mine; i++)
			tracked_free(turns->tracked, turns->objects[i]);
		pthread_barrier_wait(&turns->barrier);
	}
}

void objects_threads_turns(void)
{
	static const size_t sizes[] = { 24, 200, 1500 };

	for (unsigned i = 0; i < 2 * LOAM_LEN(sizes); i++) {
		struct turns turns = { .tracked = tracked_new(i, sizes[i / 2], 0, i % 2), .rounds = 8 };

		pthread_barrier_init(&turns.barrier, NULL, 2);
		threads_run(2, take_turns, &turns);
		pthread_barrier_destroy(&turns.barrier);
		tracked_gone(turns.tracked);
	}
}

static void empty(struct shelf *shelf)
{
	for (unsigned i = 0; i < SHELF; i++)
		if (shelf->objects[i])
			tracked_free(shelf->tracked, shelf->objects[i]);
}

void objects_threads_tracked(void)
{
	static const size_t sizes[] = { 24, 200, 1500 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct shelf shelf = { .tracked = tracked_new(i, sizes[i], 0, i) };

		threads_run_paused(nr_threads(), hand_on, &shelf);
		cache_shrink(shelf.tracked->cache);
		/* What the threads left is taken up by others. */
		threads_run_paused(nr_threads(), hand_on, &shelf);
		empty(&shelf);
		tracked_gone(shelf.tracked);
	}
}

/* ---- the end of a cache that threads have used, and live ---- */

struct ending {
	struct loam_cache *cache;
	pthread_barrier_t barrier; /* of all threads */
	void *objects[100];        /* taken by one thread, freed by another */
	unsigned rounds;
};

static void wait_for_all(struct ending *ending)
{
	pthread_barrier_wait(&ending->barrier);
}

/* The first thread destroys the cache, the others live, with what they have of it in their areas. */
static void cached_by_threads(void *arg, unsigned index)
{
	struct ending *ending = arg;
	struct rng rng = { job.seed + index };
	struct bag bag = bag_new(ending->cache, 300, index);

	bag_have(&bag, 300);
	bag_give(&bag, 300, &rng);
	for (unsigned i = 0; index == 1 && i < LOAM_LEN(ending->objects); i++)
		cache_free(ending->cache, ending->objects[i]);
	wait_for_all(ending);
	if (!index) {
		int error = cache_end(ending->cache);

		kept("OBJ-24", !error, "all objects were freed, on several threads, and destroy returns %d", error);
	}
	wait_for_all(ending);
	free(bag.objects);
}

void objects_destroy_cached(void)
{
	static const size_t sizes[] = { 16, 100, 700, 5000 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct ending ending = { .cache = cache_plain("cached", sizes[i]) };

		pthread_barrier_init(&ending.barrier, NULL, nr_threads());
		for (unsigned k = 0; k < LOAM_LEN(ending.objects); k++)
			ending.objects[k] = object_had(ending.cache);
		threads_run(nr_threads(), cached_by_threads, &ending);
		pthread_barrier_destroy(&ending.barrier);
	}
}

/* Objects of the cache of today, and nobody else's. */
static void use_todays(struct ending *ending, unsigned index, struct rng *rng)
{
	bool owned = objects_claim(LOAM_OBJECTS_OWN_FRAMES);
	struct bag bag = bag_new(ending->cache, 150, index);

	bag_have(&bag, 50 + (unsigned)rng_below(rng, 100));
	for (unsigned i = 0; i < bag.n && owned; i++)
		kept("OBJ-24", object_page(bag.objects[i])->owner == ending->cache->owner,
		     "an object of a new cache lies in a frame of another owner: %p", bag.objects[i]);
	wait_for_all(ending);
	bag_intact(&bag, "OBJ-24", "a cache was destroyed, and another one made");
	wait_for_all(ending);
	bag_end(&bag);
}

/* Day by day another cache, of another size, and every thread uses each of them. */
static void use_each(void *arg, unsigned index)
{
	struct ending *ending = arg;
	struct rng rng = { job.seed * 7 + index };

	for (unsigned i = 0; i < ending->rounds; i++) {
		struct loam_stat stat;

		if (!index)
			ending->cache = cache_plain("today's", 1 + rng_below(&rng, i % 4 ? 300 : 3000));
		wait_for_all(ending);
		use_todays(ending, index, &rng);
		wait_for_all(ending);
		if (index)
			continue;
		stat = stat_now();
		kept("OBJ-24", !stat.live_blocks, "all objects were freed, and %llu are live",
		     (unsigned long long)stat.live_blocks);
		kept("OBJ-24", !cache_end(ending->cache), "all objects were freed, and destroy fails");
	}
}

void objects_destroy_remembered(void)
{
	struct ending ending = { .rounds = effort(40) };

	pthread_barrier_init(&ending.barrier, NULL, nr_threads());
	threads_run_paused(nr_threads(), use_each, &ending);
	pthread_barrier_destroy(&ending.barrier);
}
