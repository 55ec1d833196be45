/* SPDX-License-Identifier: MIT */
/*
 * pool-threads.c: tests of the role pool with several threads. The places of elements, which are changed by compare and swap, judge
 * every single op; what is lost shows at the end, when the pool is gone and not all is at the source.
 */
#include "pool-tests.h"

#include <sched.h>
#include <stdlib.h>

#define THREADS_MAX 64
#define HOLDS 48

static struct {
	struct loam_pool *pool;
	struct source source;
	void *post[64]; /* atomic: elements that go from thread to thread */
	bool bulk;
	unsigned growth; /* from one resize to the next */
} shared;

static unsigned nr_threads(void)
{
	unsigned n = job.threads < 2 ? 2 : job.threads;

	return n < THREADS_MAX ? n : THREADS_MAX;
}

/* The short way and the ops in turns. */
static bool short_way(void)
{
	static _Thread_local unsigned turn;

	return turn++ % 2;
}

/* As the host does; or from the reserve first, which is used much more than a host would. */
static void *alloc(bool reserve_first)
{
	void *element = reserve_first ? op_take(shared.pool, &shared.source) : NULL;

	if (!element && short_way())
		element = op_stack_get(shared.pool, &shared.source);
	if (!element && pool_keeps())
		element = op_get(shared.pool, &shared.source);
	if (!element)
		element = source_get(&shared.source);
	return element ? element : op_take(shared.pool, &shared.source);
}

static void give(void *element)
{
	if (short_way() && op_stack_put(shared.pool, &shared.source, element))
		return;
	if (op_give(shared.pool, &shared.source, element) == LOAM_POOL_SOURCE)
		source_put(&shared.source, element);
}

static void give_n(unsigned n, void **elements)
{
	unsigned i = 0;

	if (shared.bulk)
		i = op_give_bulk(shared.pool, &shared.source, n, elements);
	while (i < n)
		give(elements[i++]);
}

static unsigned alloc_n(unsigned n, void **elements, bool reserve_first)
{
	unsigned got = 0;

	if (shared.bulk && op_get_bulk(shared.pool, &shared.source, n, elements))
		return n;
	while (got < n && (elements[got] = alloc(reserve_first)))
		got++;
	return got;
}

/* @n rounds of takes and gives, of which some go to other threads. */
static void churn(unsigned index, unsigned n)
{
	struct rng rng = { job.seed + index };
	void *held[HOLDS];
	unsigned nr = 0;

	while (n--) {
		unsigned some = 1 + (unsigned)rng_below(&rng, HOLDS / 3);
		void **post = &shared.post[rng_below(&rng, LOAM_LEN(shared.post))];

		if (nr + some <= HOLDS && rng_below(&rng, 2)) {
			nr += alloc_n(some, held + nr, !rng_below(&rng, 4));
		} else if (nr >= some) {
			nr -= some;
			give_n(some, held + nr);
		}
		if (nr)
			held[nr - 1] = __atomic_exchange_n(post, held[nr - 1], __ATOMIC_ACQ_REL);
		nr -= nr && !held[nr - 1];
	}
	give_n(nr, held);
}

static void begin(uint32_t min_nr, unsigned max, bool bulk, const char *clause)
{
	int error;

	pool_blames(clause);
	ops_of_one_thread(false);
	shared.bulk = bulk;
	source_open(&shared.source, 32, max);
	shared.pool = op_create(&shared.source, min_nr, 32, &error);
	if (!shared.pool)
		broken("POOL-01", "create of %u elements returns %d", min_nr, error);
}

static void end(const char *clause)
{
	const struct loam_stat stat = stat_now();
	unsigned out = 0;

	for (unsigned i = 0; i < LOAM_LEN(shared.post); i++)
		if (shared.post[i]) {
			give(shared.post[i]);
			shared.post[i] = NULL;
			out++;
		}
	kept(clause, stat.allocs >= stat.frees, "more came back than was taken");
	/* All is back: the reserve is short only if fewer are out than it lacks. */
	kept(clause, op_count(shared.pool) == shared.pool->min_nr, "all %u elements came back, and %u of %u are there",
	     out, op_count(shared.pool), shared.pool->min_nr);
	op_destroy(shared.pool);
	source_close(&shared.source, clause);
}

static void churn_all(void *arg, unsigned index)
{
	(void)arg;
	churn(index, effort(6000));
}

static void all_at_once(bool bulk)
{
	/* The source ends soon, so that the reserve is used; or late. */
	for (unsigned round = 0; round < 4; round++) {
		begin(20 + round * 30, round % 2 ? 2000 : 150, bulk, "POOL-20");
		threads_run_paused(nr_threads(), churn_all, NULL);
		end("POOL-20");
	}
}

void pool_threads(void)
{
	all_at_once(false);
}

void pool_threads_bulk(void)
{
	all_at_once(pool_has_bulk());
}

/* One thread takes only, the other gives only. */
static void hand_over(void *arg, unsigned index)
{
	unsigned n = effort(20000);

	(void)arg;
	while (n--) {
		void **post = &shared.post[n % LOAM_LEN(shared.post)];
		void *element = index % 2 ? NULL : alloc(false);

		element = __atomic_exchange_n(post, element, __ATOMIC_ACQ_REL);
		if (element)
			give(element);
		else if (index % 2)
			sched_yield();
	}
}

void pool_threads_hand_over(void)
{
	begin(40, 400, false, "POOL-20");
	/* At least two of each. */
	threads_run_paused(nr_threads() < 4 ? 4 : nr_threads(), hand_over, NULL);
	end("POOL-20");
}

/* ---- resize beside ---- */

/* What is kept goes to the source. */
static void get_all(void *arg)
{
	void *element;

	while (pool_keeps() && (element = op_get(shared.pool, &shared.source)))
		source_put(&shared.source, element);
	*(unsigned *)arg = shared.source.max - shared.source.nr - shared.pool->min_nr;
}

static void churn_or_resize(void *arg, unsigned index)
{
	struct rng rng = { job.seed ^ index };

	(void)arg;
	if (index) {
		churn(index, effort(4000));
		return;
	}
	for (unsigned i = 0; i < effort(400); i++) {
		uint32_t top = 150 + (i < 800 ? i : 800) * shared.growth;
		int error = op_resize(shared.pool, i % 2 ? 1 + (uint32_t)rng_below(&rng, 100) : top);

		kept("POOL-19", !error, "resize beside others returns %d", error);
		sched_yield();
	}
}

void pool_resize_beside(void)
{
	const char *text;
	unsigned lost;

	for (unsigned round = 0; round < 3; round++) {
		/* Ever larger ones, so that the records have to move. */
		shared.growth = round;
		begin(100, round ? 6000 : 250, round == 2 && pool_has_bulk(), "POOL-19");
		threads_run_paused(nr_threads() + 1, churn_or_resize, NULL);
		kept("POOL-19", !check_now(&text), "after resizes beside takes and gives check finds: %s", text);
		/* What is kept is not there for the reserve. */
		thread_once(get_all, &lost);
		op_resize(shared.pool, 1);
		op_resize(shared.pool, 60);
		end("POOL-19");
	}
}

/* ---- the end of a thread ---- */

static void give_some(void *arg)
{
	unsigned n = *(unsigned *)arg;

	while (n--) {
		void *element = source_get(&shared.source);

		if (!element)
			break;
		give(element);
	}
	/* The area goes with the thread, and the source may not be called for it. */
	source_forbid(true);
	loam__area_close();
	source_forbid(false);
}

static void ends(unsigned n)
{
	unsigned lost;

	for (unsigned threads = 1; threads < 6; threads++) {
		begin(5, 6000, false, NULL);
		for (unsigned i = 0; i < threads; i++)
			thread_once(give_some, &n);
		thread_once(get_all, &lost);
		kept("POOL-21", !lost, "%u threads gave %u elements each and ended: %u of those kept cannot be had",
		     threads, n, lost);
		end("POOL-22");
	}
}

void pool_thread_ends(void)
{
	ends(3);
	ends(100);
}

/* More than the pool may have room for. */
void pool_thread_ends_full(void)
{
	ends(2500);
}
