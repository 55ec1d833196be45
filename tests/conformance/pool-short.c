/* SPDX-License-Identifier: MIT */
/*
 * pool-short.c: tests of the role pool: what it publishes for the client's short way. The other tests go either way as it comes, so
 * that all that is said of give and get is looked at for elements which went the short way too.
 */
#include "pool-tests.h"

#include <sched.h>
#include <string.h>

static struct {
	struct loam_pool *pool;
	struct source source;
	void *post; /* atomic: an element that goes from thread to thread */
	pthread_barrier_t barrier;
} shared;

/* ---- lacking ---- */

/* The model looks at it after each op. */
void pool_lacking_is_told(void)
{
	for (unsigned round = 0; round < effort(12); round++) {
		struct source source;
		struct pool pool;

		ops_of_one_thread(true);
		source_open(&source, 48, 900);
		pool_open(&pool, &source, 1 + 11 * round % 200, 48);
		pool_churn(&pool, 300);
		pool_resize(&pool, 250);
		while (pool_take(&pool) && rng_below(&test_rng, 40))
			;
		pool_look(&pool);
		source.left = round * 2;
		pool_resize(&pool, 400);
		pool_resize(&pool, 399);
		pool_give_all(&pool);
		pool_look(&pool);
		pool_resize(&pool, 3);
		pool_churn(&pool, 100);
		pool_look(&pool);
		pool_close(&pool);
		source_close(&source, "POOL-27");
	}
}

static void give_back(void *element)
{
	int given;

	kept("POOL-28", loam_pool_is_short(shared.pool), "an element that take gave out is here, and lacking is 0");
	given = op_give(shared.pool, &shared.source, element);
	kept("POOL-28", given == LOAM_POOL_REFILLED,
	     "an element that the reserve lacks comes back, and give returns %d", given);
}

/* All elements are the reserve's: so each that somebody has is lacking. Often nobody has any, and the reserve is full. */
static void take_and_hand_over(void *arg, unsigned index)
{
	struct rng rng = { job.seed + index };

	(void)arg;
	for (unsigned n = effort(20000); n--;) {
		unsigned way = (unsigned)rng_below(&rng, 8);
		void *element = way ? op_take(shared.pool, &shared.source) : NULL;

		if (way < 2)
			element = __atomic_exchange_n(&shared.post, element, __ATOMIC_ACQ_REL);
		if (element)
			give_back(element);
	}
}

void pool_lacking_is_seen(void)
{
	int error;

	ops_of_one_thread(false);
	for (unsigned round = 0; round < 3; round++) {
		source_open(&shared.source, 32, 2 + 15 * round);
		shared.pool = op_create(&shared.source, shared.source.max, 32, &error);
		kept("POOL-01", shared.pool, "create returns %d", error);
		threads_run_paused(job.threads < 3 ? 3 : job.threads, take_and_hand_over, NULL);
		if (shared.post)
			give_back(shared.post);
		shared.post = NULL;
		kept("POOL-28", !shared.pool->lacking, "all came back, and lacking is %u", shared.pool->lacking);
		op_destroy(shared.pool);
		source_close(&shared.source, "POOL-28");
	}
}

/* ---- the stack ---- */

static void fill(struct pool *pool)
{
	const struct loam_pool_stack *stack;
	uint32_t max;

	while (pool->nr_out < 2 && pool_buy(pool))
		;
	pool_give(pool, 0);
	stack = op_stack(pool->pub);
	if (!stack)
		return;
	max = stack->max;
	while (pool->nr_out || pool_buy(pool))
		if (!pool_stack_put(pool, 0))
			break;
	kept("POOL-29", stack->max == max, "the room of a stack goes from %u to %u", max, stack->max);
	pool_look(pool);
}

/* To the brim and to the ground by the short way, with each of the ops at those ends. */
void pool_short_way(void)
{
	pool_blames("POOL-29");
	for (unsigned round = 0; round < effort(8); round++) {
		struct source source;
		struct pool pool;

		ops_of_one_thread(true);
		source_open(&source, 48, 9000);
		pool_open(&pool, &source, 10, 48);
		for (unsigned turn = 0; turn < 12; turn++) {
			fill(&pool);
			for (unsigned i = 0; i < turn && pool_buy(&pool); i++)
				;
			if (turn % 3 == 1)
				pool_give_bulk(&pool, turn);
			else if (turn % 3 == 2)
				pool_give_all(&pool);
			pool_look(&pool);
			while (pool_stack_get(&pool))
				;
			pool_look(&pool);
			if (turn % 4 == 1)
				pool_get_bulk(&pool, 7);
			else if (turn % 4 == 2)
				pool_get(&pool);
			pool_look(&pool);
			pool_churn(&pool, 60);
			pool_give_all(&pool);
		}
		while (pool_get(&pool))
			;
		kept("POOL-29", !pool.kept, "%u elements that are kept are not had", pool.kept);
		pool_close(&pool);
		source_close(&source, "POOL-29");
	}
	pool_blames(NULL);
}

/* ---- its owner ---- */

static void give(void *element)
{
	if (element && op_give(shared.pool, &shared.source, element) == LOAM_POOL_SOURCE)
		source_put(&shared.source, element);
}

static void give_n(unsigned n)
{
	while (n--)
		give(source_get(&shared.source));
}

/* The others empty the pool, fill it, and leave what they kept. */
static void use_it(unsigned index)
{
	for (unsigned turn = 0; turn < effort(20); turn++) {
		void *element;

		while ((element = op_get(shared.pool, &shared.source)))
			source_put(&shared.source, element);
		element = op_take(shared.pool, &shared.source);
		give_n(turn % 2 ? 700 : 20 * index);
		give(element);
		loam__area_close();
	}
}

/* A stack as it was: its first elements. */
struct copy {
	uint32_t n, max, nr;
	void *elements[64];
};

static void take_copy(struct copy *copy, const struct loam_pool_stack *stack)
{
	*copy = (struct copy){ .n = stack->n, .max = stack->max };
	copy->nr = stack->n < LOAM_LEN(copy->elements) ? stack->n : LOAM_LEN(copy->elements);
	memcpy(copy->elements, stack->elements, copy->nr * sizeof(void *));
}

static void watch(const struct loam_pool_stack *stack, const struct copy *before)
{
	kept("POOL-30", loam_pool_stack(shared.pool) == stack, "the caller's stack is another one, and it did nothing");
	kept("POOL-30", stack->n == before->n && stack->max == before->max,
	     "the caller's stack had %u elements, and has %u, and it did nothing", before->n, stack->n);
	kept("POOL-30", !memcmp(stack->elements, before->elements, before->nr * sizeof(void *)),
	     "the elements of the caller's stack change, and it did nothing");
}

static void own_or_use(void *arg, unsigned index)
{
	const struct loam_pool_stack *stack;
	struct copy before;

	(void)arg;
	if (index) {
		pthread_barrier_wait(&shared.barrier);
		use_it(index);
		pthread_barrier_wait(&shared.barrier);
		return;
	}
	give_n(50);
	stack = op_stack(shared.pool);
	if (stack)
		take_copy(&before, stack);
	pthread_barrier_wait(&shared.barrier);
	for (unsigned n = effort(2000); n-- && stack;) {
		watch(stack, &before);
		sched_yield();
	}
	pthread_barrier_wait(&shared.barrier);
	if (stack)
		watch(stack, &before);
}

void pool_stack_is_the_callers(void)
{
	int error;

	ops_of_one_thread(false);
	for (unsigned round = 0; round < 3; round++) {
		source_open(&shared.source, 32, 8000);
		shared.pool = op_create(&shared.source, 4, 32, &error);
		kept("POOL-01", shared.pool, "create returns %d", error);
		pthread_barrier_init(&shared.barrier, NULL, 3);
		threads_run_paused(3, own_or_use, NULL);
		pthread_barrier_destroy(&shared.barrier);
		op_destroy(shared.pool);
		source_close(&shared.source, "POOL-22");
	}
}

/* ---- how it comes ---- */

static void has_one(const char *by)
{
	kept("POOL-31", op_stack(shared.pool), "%s: the caller has no stack", by);
}

static void give_first(void *arg)
{
	bool *gave = arg;

	*gave = op_give(shared.pool, &shared.source, source_get(&shared.source)) == LOAM_POOL_KEPT;
	if (*gave)
		has_one("give keeps an element");
	loam__area_close();
}

/* Of those that threads left which ended. */
static void get_first(void *arg)
{
	void *element = op_get(shared.pool, &shared.source);

	(void)arg;
	if (!element)
		return;
	has_one("get returns an element");
	source_put(&shared.source, element);
}

void pool_stack_comes_with_use(void)
{
	bool gave;
	int error;

	ops_of_one_thread(false);
	for (unsigned round = 0; round < effort(10); round++) {
		source_open(&shared.source, 32, 100);
		shared.pool = op_create(&shared.source, 3, 32, &error);
		kept("POOL-01", shared.pool, "create returns %d", error);
		kept("POOL-31", shared.pool->stack.offset, "the first pool publishes stacks sometimes");
		kept("POOL-31", !op_stack(shared.pool) || !op_stack(shared.pool)->n, "a new pool keeps elements");
		for (unsigned i = 0; i < 4; i++)
			thread_once(give_first, &gave);
		thread_once(get_first, NULL);
		op_destroy(shared.pool);
		source_close(&shared.source, "POOL-22");
	}
}
