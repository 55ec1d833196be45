/* SPDX-License-Identifier: MIT */
/* pool-life.c: tests of the role pool: what elements contain, destroy, many pools, and the end of an instance with pools. */
#include "pool-tests.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- contents ---- */

/* With and without a known size. Every move looks at the pattern. */
void pool_contents(void)
{
	for (unsigned round = 0; round < effort(6); round++) {
		struct source source;
		struct pool pool;

		source_open(&source, 64, 600);
		pool_open(&pool, &source, 1 + round * 9 % 300, round % 2 ? 64 : 0);
		pool_churn(&pool, 3000);
		pool_resize(&pool, 70);
		pool_churn(&pool, 500);
		pool_close(&pool);
		source_close(&source, "POOL-22");
	}
}

static void poisoning_machine(void)
{
	static char set[100];
	static const char *const sets[] = { set, NULL };
	struct setup setup = { .sets = sets };

	snprintf(set, sizeof(set), "%s.poison=on", job.subject->instance);
	machine_up(&setup);
}

static void poisoned_pool(struct pool *pool, struct source *source, uint32_t min_nr, size_t element_size)
{
	source_open(source, 96, 300);
	pool_open(pool, source, min_nr, element_size);
}

/* An element of the reserve is written to by who gave it back. */
static void spoil(const struct pool *pool, size_t offset)
{
	char *last = NULL;

	for (unsigned i = 0; i < pool->source->max; i++)
		if (pool->source->place[i] == RESERVE)
			last = pool->source->arena + (size_t)i * (pool->source->size + 16) + offset;
	if (!last)
		trouble("no element is in the reserve");
	++*last;
}

static void spoiled(uint64_t n, const char *by)
{
	kept("POOL-10", reports(LOAM_REPORT_CORRUPTION) == n,
	     "%s: %llu elements of the reserve that were written to left it, and %llu were reported", by,
	     (unsigned long long)n, (unsigned long long)reports(LOAM_REPORT_CORRUPTION));
}

void pool_poison_found(void)
{
	static const size_t offsets[] = { 0, 40, 95 };

	for (unsigned i = 0; i < LOAM_LEN(offsets); i++) {
		struct source source;
		struct pool pool;

		poisoning_machine();
		poisoned_pool(&pool, &source, 8, 96);
		reports_expected();
		spoil(&pool, offsets[i]);
		while (pool_take(&pool))
			;
		spoiled(1, "take");
		pool_give_all(&pool);
		spoil(&pool, offsets[i]);
		pool_resize(&pool, 1);
		pool_take(&pool);
		spoiled(2, "resize");
		pool_give_all(&pool);
		spoil(&pool, offsets[i]);
		pool_close(&pool);
		spoiled(3, "destroy");
		source_close(&source, "POOL-10");
		machine_down();
	}
}

/* Nothing is reported of who writes to elements that are out, and no size means no poison. */
void pool_poison_silent(void)
{
	static const size_t sizes[] = { 96, 1, 0, 50 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct source source;
		struct pool pool;

		poisoning_machine();
		poisoned_pool(&pool, &source, 20, sizes[i]);
		pool_churn(&pool, 2000);
		pool_resize(&pool, 60);
		pool_churn(&pool, 500);
		pool_resize(&pool, 7);
		pool_close(&pool);
		source_close(&source, "POOL-10");
		kept("POOL-10", !reports_total(), "poison was reported, and nobody wrote to the reserve");
		machine_down();
	}
}

/* ---- destroy ---- */

/* With a full reserve, a short one, elements kept, elements out. */
void pool_destroyed(void)
{
	for (unsigned round = 0; round < effort(12); round++) {
		struct source source;
		struct pool pool;

		source_open(&source, 32, 3000);
		pool_open(&pool, &source, 1 + round * 7, 32);
		if (round % 3)
			pool_churn(&pool, 100 * round);
		if (round % 4 == 1) {
			while (pool_buy(&pool))
				;
			pool_give_all(&pool);
		}
		if (round % 4 == 2)
			while (pool_take(&pool))
				;
		if (round % 2)
			check_now(NULL);
		pool_close(&pool);
		source_close(&source, "POOL-22");
	}
}

struct crowd {
	struct loam_pool *pool;
	struct source *source;
	pthread_barrier_t given, done;
};

static void give_either_way(struct crowd *crowd, unsigned i, void *element)
{
	if (i % 2 && op_stack_put(crowd->pool, crowd->source, element))
		return;
	if (op_give(crowd->pool, crowd->source, element) == LOAM_POOL_SOURCE)
		source_put(crowd->source, element);
}

static void give_and_wait(void *arg, unsigned index)
{
	struct crowd *crowd = arg;

	for (unsigned i = 0; i < 40 + 10 * index; i++) {
		void *element = source_get(crowd->source);

		if (element)
			give_either_way(crowd, i, element);
	}
	pthread_barrier_wait(&crowd->given);
	/* The pool goes while this thread lives, with what it kept. */
	if (!index)
		op_destroy(crowd->pool);
	pthread_barrier_wait(&crowd->done);
	if (!index)
		source_close(crowd->source, "POOL-22");
}

void pool_destroyed_with_threads(void)
{
	ops_of_one_thread(false);
	for (unsigned round = 0; round < effort(10); round++) {
		struct source source;
		struct crowd crowd = { .source = &source };
		int error;

		source_open(&source, 32, 1000);
		crowd.pool = op_create(&source, 10, 32, &error);
		if (!crowd.pool)
			broken("POOL-01", "create returns %d", error);
		pthread_barrier_init(&crowd.given, NULL, 4);
		pthread_barrier_init(&crowd.done, NULL, 4);
		threads_run(4, give_and_wait, &crowd);
		pthread_barrier_destroy(&crowd.given);
		pthread_barrier_destroy(&crowd.done);
	}
}

/* The one thread closes its area, as at its end, when the other destroys. */
static void end_or_destroy(void *arg, unsigned index)
{
	struct crowd *crowd = arg;

	for (unsigned i = 0; i < 30; i++)
		give_either_way(crowd, i, source_get(crowd->source));
	pthread_barrier_wait(&crowd->given);
	if (!index)
		op_destroy(crowd->pool);
	else
		loam__area_close();
}

void pool_destroyed_beside_an_end(void)
{
	ops_of_one_thread(false);
	for (unsigned round = 0; round < effort(300); round++) {
		struct source source;
		struct crowd crowd = { .source = &source };
		int error;

		source_open(&source, 32, 200);
		crowd.pool = op_create(&source, 1, 32, &error);
		pthread_barrier_init(&crowd.given, NULL, 3);
		threads_run(3, end_or_destroy, &crowd);
		pthread_barrier_destroy(&crowd.given);
		source_close(&source, "POOL-22");
	}
}

/* ---- many pools ---- */

#define MANY 40

/* More than any table of pools is likely to have; some go, others take their places. */
void pool_apart(void)
{
	static struct source source[MANY];
	static struct pool pools[MANY];

	pool_blames("POOL-23");
	for (unsigned i = 0; i < MANY; i++) {
		source_open(&source[i], 32, 120);
		pool_open(&pools[i], &source[i], 1 + i % 5, 32);
	}
	for (unsigned round = 0; round < effort(4); round++) {
		for (unsigned i = 0; i < MANY; i++)
			pool_churn(&pools[i], 60);
		for (unsigned i = round; i < MANY; i += 3) {
			pool_close(&pools[i]);
			pool_open(&pools[i], &source[i], 2, 32);
		}
	}
	for (unsigned i = 0; i < MANY; i++) {
		pool_close(&pools[i]);
		source_close(&source[i], "POOL-23");
	}
}

/* One after the other at the same place, from different sources: nothing of the last one is left in a thread. */
void pool_many(void)
{
	pool_blames("POOL-23");
	for (unsigned round = 0; round < effort(50); round++) {
		struct source source;
		struct pool pool;

		source_open(&source, 32, 100);
		pool_open(&pool, &source, 4, 32);
		pool_get(&pool);
		for (unsigned i = 0; i < 30; i++)
			pool_buy(&pool);
		pool_give_all(&pool);
		for (unsigned i = 0; i < 10; i++)
			pool_get(&pool);
		pool_close(&pool);
		source_close(&source, "POOL-23");
	}
}

/* ---- the instance ---- */

void pool_instance_goes(void)
{
	for (unsigned round = 0; round < effort(6); round++) {
		struct source source[3];
		struct pool pools[3];
		uint64_t frees = 0;

		machine_up(NULL);
		for (unsigned i = 0; i < 3; i++) {
			source_open(&source[i], 32, 400);
			pool_open(&pools[i], &source[i], 5 + i, 32);
			if (round)
				pool_churn(&pools[i], 100 * round);
			frees += source[i].frees;
		}
		pool_blames("POOL-24");
		machine_halt();
		pool_blames(NULL);
		for (unsigned i = 0; i < 3; i++)
			frees -= source[i].frees;
		kept("POOL-24", !frees, "an instance that is destroyed calls the source of a pool");
		kept("POOL-24", !shim_counts().meta_live && !shim_counts().meta_bytes,
		     "destroyed with pools: %llu blocks of metadata, %llu bytes, did not go back",
		     (unsigned long long)shim_counts().meta_live, (unsigned long long)shim_counts().meta_bytes);
		for (unsigned i = 0; i < 3; i++) {
			source_drop(&source[i]);
			free(pools[i].out);
		}
	}
}
