/* SPDX-License-Identifier: MIT */
/* pool.c: the suite of the role pool, and its tests of results, exhaustion and resize. The other files: pool-tests.h. */
#include "pool-tests.h"

#include <errno.h>
#include <stdlib.h>

/* ---- for the general tests: reserves that are large enough ---- */

#define GENERAL 3
#define ELEMENTS 2500

static struct source sources[GENERAL];
static struct loam_pool *pools[GENERAL];
static const size_t sizes[GENERAL] = { 64, 16, 240 };

static void close_pools(void)
{
	for (unsigned i = 0; i < GENERAL; i++) {
		if (pools[i])
			op_destroy(pools[i]);
		pools[i] = NULL;
		if (sources[i].arena)
			source_drop(&sources[i]);
	}
}

/* The machine may have gone down with the last ones. */
static bool open_pools(void)
{
	int error = 0;

	for (unsigned i = 0; i < GENERAL; i++) {
		if (sources[i].arena)
			source_drop(&sources[i]);
		pools[i] = NULL;
	}
	for (unsigned i = 0; i < GENERAL && !error; i++) {
		source_open(&sources[i], sizes[i], ELEMENTS);
		/* The general tests have contents of their own. */
		sources[i].clean = sizes[i];
		pools[i] = op_create(&sources[i], ELEMENTS, sizes[i], &error);
	}
	if (error)
		close_pools();
	return !error;
}

static bool take(struct held *held, unsigned i, gfp_t gfp)
{
	unsigned which = (i * 2654435761u >> 8) % GENERAL;
	void *element;

	(void)gfp;
	source_forbid(true);
	op_enter("take");
	element = pool_ops()->take(pools[which]);
	op_leave();
	source_forbid(false);
	if (!element)
		return false;
	*held = (struct held){ .ptr = element, .bytes = sizes[which], .order = which, .seed = job.seed + i };
	pattern_write(element, held->bytes, held->seed);
	return true;
}

static void give(struct held *held)
{
	int given;

	source_forbid(true);
	op_enter("give");
	given = pool_ops()->give(pools[held->order], held->ptr);
	op_leave();
	source_forbid(false);
	kept("POOL-04", given == LOAM_POOL_REFILLED, "give to a reserve that is short returns %d", given);
}

/* ---- results ---- */

static struct source source;
static struct pool pool;

static void open_one(unsigned max, uint32_t min_nr)
{
	ops_of_one_thread(true);
	source_open(&source, 48, max);
	pool_open(&pool, &source, min_nr, 48);
}

static void close_one(void)
{
	pool_close(&pool);
	source_close(&source, "POOL-22");
}

static void create_fills(void)
{
	static const uint32_t numbers[] = { 1, 2, 3, 17, 64, 500, 1000 };

	for (unsigned i = 0; i < LOAM_LEN(numbers); i++) {
		open_one(1000, numbers[i]);
		kept("POOL-01", source_at(&source, RESERVE) == numbers[i], "create of %u elements has %u", numbers[i],
		     source_at(&source, RESERVE));
		close_one();
	}
}

static void nothing_is_an_error(void)
{
	struct loam_pool *none;
	struct shim_counts before = shim_counts();
	int error;

	source_open(&source, 48, 100);
	none = op_create(&source, 0, 48, &error);
	kept("POOL-02", !none && error == -EINVAL, "create of no elements returns %d", error);
	kept("POOL-02", !source.allocs && shim_counts().meta_live == before.meta_live,
	     "create of no elements, refused, keeps something");
	source_close(&source, "POOL-02");
	open_one(100, 10);
	pool_churn(&pool, 50);
	error = op_resize(pool.pub, 0);
	kept("POOL-02", error == -EINVAL && pool.pub->min_nr == 10 && op_count(pool.pub) == pool.count,
	     "resize to 0 returns %d, min_nr is %u, count %u", error, pool.pub->min_nr, op_count(pool.pub));
	close_one();
}

/* Both the full reserve and the short one, with elements kept and not. */
static void take_and_give(void)
{
	for (unsigned round = 0; round < effort(10); round++) {
		open_one(1500, 1 + round * round % 400);
		if (round % 2) {
			while (pool_buy(&pool))
				;
			pool_give_all(&pool);
		}
		while (pool_take(&pool))
			;
		while (pool.nr_out) {
			pool_give(&pool, (unsigned)rng_below(&test_rng, pool.nr_out));
			if (rng_below(&test_rng, 3) == 0)
				pool_take(&pool);
		}
		pool_churn(&pool, 1000);
		close_one();
	}
}

/* Many come back at once, more than a plugin has room for. */
static void give_beyond(void)
{
	pool_blames("POOL-05");
	for (unsigned round = 0; round < effort(4); round++) {
		open_one(6000, 10);
		while (pool_buy(&pool))
			;
		pool_give_all(&pool);
		while (pool_get(&pool) || pool_take(&pool))
			;
		pool_give_all(&pool);
		pool_churn(&pool, 500);
		close_one();
	}
}

static void get_what_was_kept(void)
{
	for (unsigned round = 0; round < effort(20); round++) {
		unsigned n = 1 + (unsigned)rng_size(&test_rng, 4000);

		open_one(6000, 5 + round);
		pool_get(&pool);
		for (unsigned i = 0; i < n && pool_buy(&pool); i++)
			;
		while (pool.nr_out)
			pool_give(&pool, 0);
		while (pool_get(&pool))
			;
		kept("POOL-06", !pool.kept, "%u elements that are kept are not had", pool.kept);
		pool_churn(&pool, 500);
		while (pool_get(&pool))
			;
		close_one();
	}
}

static void bulk(void)
{
	static const unsigned numbers[] = { 0, 1, 2, 31, 32, 33, 128, 255, 256, 257, 300, 512, 600 };

	for (unsigned i = 0; i < LOAM_LEN(numbers) * effort(2); i++) {
		unsigned n = numbers[i % LOAM_LEN(numbers)];

		open_one(5000, 8);
		for (unsigned turn = 0; turn < 12; turn++) {
			while (pool.nr_out < 8 + 3 * n && pool_buy(&pool))
				;
			pool_give_bulk(&pool, n);
			pool_give_bulk(&pool, n);
			if (turn % 3 == 0)
				pool_get_bulk(&pool, n);
			if (turn % 4 == 3)
				pool_take(&pool);
		}
		while (pool_get_bulk(&pool, n ? n : 1))
			;
		pool_give_all(&pool);
		while (pool_get(&pool))
			;
		close_one();
	}
}

static void bulk_keeps(void)
{
	pool_blames("POOL-08");
	bulk();
}

/* ---- exhaustion ---- */

static void create_is_refused(void)
{
	static const unsigned lefts[] = { 0, 1, 2, 10, 38, 39 };

	for (unsigned i = 0; i < LOAM_LEN(lefts); i++) {
		struct loam_pool *none;
		int error;

		pool_blames("POOL-11");
		source_open(&source, 48, 100);
		source.left = lefts[i];
		none = op_create(&source, 40, 48, &error);
		kept("POOL-11", !none && error == -ENOMEM, "the source has %u of 40 elements, and create returns %d",
		     lefts[i], error);
		source_close(&source, "POOL-11");
		pool_blames(NULL);
		/* The next one is as good as any. */
		open_one(100, 40);
		close_one();
	}
}

static void to_the_last_element(void)
{
	for (unsigned round = 0; round < effort(10); round++) {
		open_one(400, 1 + 13 * round % 300);
		pool_blames("POOL-12");
		for (unsigned turn = 0; turn < 5; turn++) {
			while (pool_take(&pool))
				;
			pool_take(&pool);
			for (unsigned i = 0; pool.nr_out && i < 40 + turn * 20; i++) {
				pool_give(&pool, (unsigned)rng_below(&test_rng, pool.nr_out));
				if (i % 3 == 0)
					pool_take(&pool);
			}
		}
		pool_churn(&pool, 300);
		pool_blames(NULL);
		close_one();
	}
}

/* ---- context ---- */

/* The ops forbid the source to be called: op_take and the others. Here is what fills every place that a plugin may have. */
static void ops_leave_the_source_alone(void)
{
	static const uint32_t numbers[] = { 1, 50 };

	for (unsigned round = 0; round < LOAM_LEN(numbers); round++) {
		open_one(8000, numbers[round]);
		for (unsigned turn = 0; turn < effort(2); turn++) {
			while (pool_buy(&pool))
				;
			while (pool.nr_out > 4000)
				if (!pool_give_bulk(&pool, 100))
					pool_give(&pool, 0);
			pool_give_all(&pool);
			while (pool_get(&pool) || pool_take(&pool))
				;
			pool_give_all(&pool);
			source_forbid(true);
			loam__area_close();
			source_forbid(false);
		}
		close_one();
	}
}

/* The source's functions look for locks and at their data: in create, resize and destroy, which are all that call them. */
static void the_source_is_called_without_locks(void)
{
	for (unsigned round = 0; round < effort(5); round++) {
		struct loam_pool *none;
		int error;

		open_one(900, 20);
		pool_churn(&pool, 400);
		pool_resize(&pool, 90);
		pool_churn(&pool, 400);
		pool_resize(&pool, 7);
		while (pool_buy(&pool))
			;
		pool_give_all(&pool);
		close_one();
		source_open(&source, 48, 100);
		source.left = 20;
		none = op_create(&source, 40, 48, &error);
		kept("POOL-11", !none, "create succeeds without a source");
		source_close(&source, "POOL-11");
	}
}

/* In a thread too that has no area yet. */
static void churn_here(void *arg)
{
	(void)arg;
	pool_churn(&pool, 600);
	while (pool_get(&pool))
		;
}

static void without_metadata(void)
{
	for (unsigned round = 0; round < effort(6); round++) {
		open_one(1000, 30);
		/* Not before the pool's own ops had what they want, or after. */
		if (round % 2)
			pool_churn(&pool, 300);
		shim_fail_all(true);
		pool_blames("POOL-15");
		while (pool_take(&pool))
			;
		pool_give_all(&pool);
		kept("POOL-15", pool.count == 30, "all was given back, and the reserve has %u of 30 elements",
		     pool.count);
		pool_churn(&pool, 600);
		if (!pool.kept)
			thread_once(churn_here, NULL);
		shim_fail_all(false);
		pool_blames(NULL);
		close_one();
	}
}

/* ---- resize ---- */

static void resized_down(void)
{
	for (unsigned round = 0; round < effort(20); round++) {
		open_one(1000, 200);
		pool_churn(&pool, 20 * round);
		pool_resize(&pool, 150);
		for (unsigned i = 0; i < 60 + round * 3; i++)
			pool_take(&pool);
		pool_resize(&pool, 149);
		pool_resize(&pool, 50);
		pool_give_all(&pool);
		pool_resize(&pool, 50);
		pool_resize(&pool, 1);
		pool_churn(&pool, 100);
		close_one();
	}
}

static void resized_up(void)
{
	for (unsigned round = 0; round < effort(20); round++) {
		open_one(3000, 1 + round);
		pool_churn(&pool, 20 * round);
		pool_resize(&pool, 50 + round);
		while (pool_take(&pool) && rng_below(&test_rng, 60))
			;
		pool_resize(&pool, 51 + round);
		pool_churn(&pool, 100);
		pool_resize(&pool, 400);
		pool_resize(&pool, 20);
		pool_resize(&pool, 300);
		pool_give_all(&pool);
		close_one();
	}
}

static void resized_up_without_elements(void)
{
	for (unsigned round = 0; round < effort(20); round++) {
		open_one(300, 20);
		for (unsigned i = 0; i < round && pool_take(&pool); i++)
			;
		source.left = round * 3;
		pool_resize(&pool, 100);
		for (unsigned i = 0; i < 150; i++)
			pool_buy(&pool);
		pool_give_all(&pool);
		kept("POOL-18", pool.count == 100, "the reserve grew, enough came back, and it has %u of 100",
		     pool.count);
		close_one();
	}
}

static void resized_up_without_records(void)
{
	for (unsigned nth = 1; nth < 4; nth++) {
		uint64_t failed;
		int error;

		open_one(2000, 20);
		pool_churn(&pool, 60);
		failed = shim_counts().failed;
		shim_fail_meta(nth);
		pool_blames("POOL-18");
		error = op_resize(pool.pub, 1000);
		pool_blames(NULL);
		shim_fail_meta(0);
		failed = shim_counts().failed - failed;
		kept("POOL-18", error == (failed ? -ENOMEM : 0),
		     "%llu requests for metadata failed, and resize returns %d", (unsigned long long)failed, error);
		kept("POOL-18", !error || (pool.pub->min_nr == 20 && op_count(pool.pub) == pool.count),
		     "resize returns -ENOMEM, min_nr is %u, not 20, count is %u, not %u", pool.pub->min_nr,
		     op_count(pool.pub), pool.count);
		kept("POOL-18", !error || source_at(&source, RESERVE) == pool.count,
		     "resize returns -ENOMEM, and %u elements are in the reserve, not %u", source_at(&source, RESERVE),
		     pool.count);
		if (!error) {
			pool.min_nr = 1000;
			pool.count = op_count(pool.pub);
		}
		pool_churn(&pool, 200);
		close_one();
		if (!failed)
			break;
	}
}

/* ---- introspection ---- */

static void count_is_what_can_be_taken(void)
{
	pool_blames("POOL-25");
	for (unsigned round = 0; round < effort(10); round++) {
		unsigned n = 0;

		open_one(800, 1 + 20 * round % 400);
		while (round % 2 && pool_buy(&pool))
			;
		pool_give_all(&pool);
		pool_churn(&pool, 100);
		pool_look(&pool);
		kept("POOL-25", source_at(&source, RESERVE) == op_count(pool.pub),
		     "count is %u, and %u are in the reserve", op_count(pool.pub), source_at(&source, RESERVE));
		for (uint32_t count = op_count(pool.pub); op_take(pool.pub, &source); n++)
			kept("POOL-25", n < count, "count was %u, and more can be taken", count);
		kept("POOL-25", n == pool.count, "count was %u, and %u were taken", pool.count, n);
		pool.count = 0;
		for (unsigned i = 0; i < source.max; i++) {
			void *element = source.arena + i * (source.size + 16);
			bool is_out = source.place[i] == OUT;

			for (unsigned j = 0; j < pool.nr_out; j++)
				is_out &= pool.out[j] != element;
			if (is_out)
				pool.out[pool.nr_out++] = element;
		}
		close_one();
	}
}

static void look_at_counters(const struct loam_stat *before, uint64_t refused)
{
	struct loam_stat stat = stat_now();
	uint64_t lacking = pool.min_nr - pool.count;

	kept("POOL-26", stat.live_blocks - before->live_blocks == lacking,
	     "live_blocks grew by %llu, and the reserve lacks %llu",
	     (unsigned long long)(stat.live_blocks - before->live_blocks), (unsigned long long)lacking);
	kept("POOL-26", stat.live_bytes - before->live_bytes == lacking * 48,
	     "live_bytes grew by %llu, and the reserve lacks %llu bytes",
	     (unsigned long long)(stat.live_bytes - before->live_bytes), (unsigned long long)lacking * 48);
	kept("POOL-26", stat.footprint >= pool.min_nr * 48ull, "footprint is %llu, with %u elements of 48 bytes",
	     (unsigned long long)stat.footprint, pool.min_nr);
	kept("POOL-26", stat.failures - before->failures == refused, "failures grew by %llu, and %llu takes failed",
	     (unsigned long long)(stat.failures - before->failures), (unsigned long long)refused);
	kept("POOL-26", stat.allocs - stat.frees == stat.live_blocks && stat.allocs >= before->allocs,
	     "allocs %llu - frees %llu is not live_blocks %llu", (unsigned long long)stat.allocs,
	     (unsigned long long)stat.frees, (unsigned long long)stat.live_blocks);
}

static void counters_say_what_is_lacking(void)
{
	for (unsigned round = 0; round < effort(10); round++) {
		struct loam_stat before = stat_now();
		uint64_t refused = 0;

		open_one(800, 1 + 10 * round % 400);
		for (unsigned i = 0; i < 200; i++) {
			unsigned way = (unsigned)rng_below(&test_rng, 8);

			if (way < 4)
				refused += !pool_take(&pool);
			else if (way == 4 && !pool_get(&pool))
				pool_buy(&pool);
			else if (way == 5)
				pool_resize(&pool, 1 + (uint32_t)rng_below(&test_rng, 100));
			else if (pool.nr_out)
				pool_give(&pool, 0);
			look_at_counters(&before, refused);
		}
		close_one();
		kept("POOL-26", stat_now().live_blocks == before.live_blocks,
		     "the pool is gone, and %llu blocks are live",
		     (unsigned long long)(stat_now().live_blocks - before.live_blocks));
	}
}

/* ---- random sequences ---- */

static void random_sequences(void)
{
	sequence_test(&pool_sequence, 500);
}

/* ---- the suite ---- */

static const struct capability capabilities[] = {
	{ "KEEPS", pool_keeps }, { "BULK", pool_has_bulk }, { "STACK", pool_has_stacks }, { "POISON", pool_has_poison },
	{ NULL, NULL },
};

static const struct test tests[] = {
	{ "create-fills-the-reserve", "POOL-01", create_fills, EXAMPLE, 0, 0 },
	{ "no-reserve-of-nothing", "POOL-02", nothing_is_an_error, HOSTILE, 0, 0 },
	{ "take-and-give", "POOL-03 POOL-04 POOL-05", take_and_give, EXAMPLE, 0, 0 },
	{ "given-beyond-the-reserve", "POOL-05", give_beyond, EXAMPLE, 0, 0 },
	{ "what-is-kept-is-had", "POOL-06", get_what_was_kept, EXAMPLE, 0, 0 },
	{ "bulk-is-all-or-none", "POOL-07", bulk, EXAMPLE, 0, 0 },
	{ "bulk-keeps-the-first", "POOL-08", bulk_keeps, EXAMPLE, 0, 0 },
	{ "contents-are-not-touched", "POOL-09", pool_contents, EXAMPLE, 0, 0 },
	{ "spoiled-poison-is-reported", "POOL-10", pool_poison_found, HOSTILE, NO_MACHINE, 0 },
	{ "poison-is-not-reported", "POOL-10 POOL-09", pool_poison_silent, EXAMPLE, NO_MACHINE, 0 },
	{ "create-is-refused-cleanly", "POOL-11", create_is_refused, FAULT, 0, 0 },
	{ "reserve-serves-to-its-last-element", "POOL-12", to_the_last_element, EXHAUSTION, 0, 0 },
	{ "ops-leave-the-source-alone", "POOL-13", ops_leave_the_source_alone, EXHAUSTION, 0, 0 },
	{ "source-is-called-without-locks", "POOL-14", the_source_is_called_without_locks, EXAMPLE, 0, 0 },
	{ "ops-need-no-metadata", "POOL-15", without_metadata, FAULT, 0, 0 },
	{ "resized-down", "POOL-16", resized_down, EXAMPLE, 0, 0 },
	{ "resized-up", "POOL-17", resized_up, EXAMPLE, 0, 0 },
	{ "resized-up-without-elements", "POOL-18", resized_up_without_elements, FAULT, 0, 0 },
	{ "resized-up-without-records", "POOL-18", resized_up_without_records, FAULT, 0, 0 },
	{ "resized-beside-others", "POOL-19", pool_resize_beside, THREADS, 0, 0 },
	{ "threads-lose-no-element", "POOL-20", pool_threads, THREADS, 0, 0 },
	{ "threads-lose-no-element-in-bulk", "POOL-20", pool_threads_bulk, THREADS, 0, 0 },
	{ "threads-hand-elements-over", "POOL-20", pool_threads_hand_over, THREADS, 0, 0 },
	{ "thread-ends-lose-no-element", "POOL-21 POOL-13", pool_thread_ends, THREADS, 0, 0 },
	{ "thread-ends-in-a-full-pool", "POOL-21 POOL-13", pool_thread_ends_full, THREADS, 0, 0 },
	{ "lacking-is-told", "POOL-27", pool_lacking_is_told, EXAMPLE, 0, 0 },
	{ "lacking-is-seen", "POOL-28", pool_lacking_is_seen, THREADS, 0, 0 },
	{ "short-way-takes-and-gives", "POOL-29", pool_short_way, EXAMPLE, 0, 0 },
	{ "stack-is-the-callers", "POOL-30", pool_stack_is_the_callers, THREADS, 0, 0 },
	{ "stack-comes-with-use", "POOL-31", pool_stack_comes_with_use, EXAMPLE, 0, 0 },
	{ "destroy-gives-back", "POOL-22", pool_destroyed, LIFETIME, 0, 0 },
	{ "destroy-with-threads", "POOL-22", pool_destroyed_with_threads, THREADS, 0, 0 },
	{ "destroy-beside-the-end-of-a-thread", "POOL-22", pool_destroyed_beside_an_end, THREADS, 0, 0 },
	{ "pools-are-apart", "POOL-23", pool_apart, LIFETIME, 0, 0 },
	{ "pools-one-after-the-other", "POOL-23", pool_many, LIFETIME, 0, 0 },
	{ "instance-goes-with-pools", "POOL-24", pool_instance_goes, LIFETIME, NO_MACHINE, 0 },
	{ "count-is-what-can-be-taken", "POOL-25", count_is_what_can_be_taken, INTROSPECTION, 0, 0 },
	{ "counters-say-what-is-lacking", "POOL-26", counters_say_what_is_lacking, INTROSPECTION, 0, 0 },
	{ "random-sequences", "POOL-03 POOL-04 POOL-12 POOL-22 POOL-25 POOL-26", random_sequences, MODEL, NO_MACHINE,
	  0 },
};

static const struct suite suite = {
	.role = LOAM_ROLE_POOL,
	.name = "pool",
	TESTS(tests),
	.capabilities = capabilities,
	.open = open_pools,
	.close = close_pools,
	.take = take,
	.give = give,
	.sequence = &pool_sequence,
};
SUITE(suite);
