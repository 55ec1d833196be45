/* SPDX-License-Identifier: MIT */
/* pool-sequence.c: the calls of random sequences on the role pool; each is judged by the model of pool-model.c. */
#include "pool-tests.h"

#include <string.h>

#define POOLS 3
#define ELEMENTS 700

static struct source source[POOLS];
static struct pool pools[POOLS];

static const size_t sizes[POOLS] = { 64, 32, 256 };

static struct pool *pool_at(uint64_t arg)
{
	return &pools[arg % POOLS];
}

static void make(unsigned i, uint32_t min_nr)
{
	pool_open(&pools[i], &source[i], min_nr, i == 1 ? 0 : sizes[i]);
}

static void begin(void)
{
	ops_of_one_thread(true);
	for (unsigned i = 0; i < POOLS; i++) {
		source_open(&source[i], sizes[i], ELEMENTS);
		make(i, 1 + i * 10);
	}
}

/* What all reserves lack is live. */
static void look(void)
{
	uint64_t lacking = 0, bytes = 0;
	struct loam_stat stat = stat_now();

	for (unsigned i = 0; i < POOLS; i++) {
		pool_look(&pools[i]);
		lacking += pools[i].min_nr - pools[i].count;
		bytes += (pools[i].min_nr - pools[i].count) * pools[i].element_size;
	}
	kept("POOL-26", stat.live_blocks == lacking, "live_blocks is %llu, and the reserves lack %llu elements",
	     (unsigned long long)stat.live_blocks, (unsigned long long)lacking);
	kept("POOL-26", stat.live_bytes == bytes, "live_bytes is %llu, and the reserves lack %llu bytes",
	     (unsigned long long)stat.live_bytes, (unsigned long long)bytes);
}

static void end(void)
{
	look();
	for (unsigned i = 0; i < POOLS; i++) {
		pool_close(&pools[i]);
		source_close(&source[i], "POOL-22");
	}
}

static void draw_pool(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, POOLS);
}

static void draw_two(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, POOLS);
	step->args[1] = rng_below(rng, 1000);
}

static void draw_n(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, POOLS);
	step->args[1] = rng_size(rng, 300);
}

static void run_take(const struct step *step)
{
	pool_take(pool_at(step->args[0]));
}

static void run_get(const struct step *step)
{
	pool_get(pool_at(step->args[0]));
}

static void run_buy(const struct step *step)
{
	for (uint64_t n = step->args[1] % 20; n--;)
		pool_buy(pool_at(step->args[0]));
}

static void run_give(const struct step *step)
{
	struct pool *pool = pool_at(step->args[0]);

	if (pool->nr_out)
		pool_give(pool, (unsigned)(step->args[1] % pool->nr_out));
}

static void run_give_many(const struct step *step)
{
	struct pool *pool = pool_at(step->args[0]);

	for (uint64_t n = step->args[1]; n-- && pool->nr_out;)
		pool_give(pool, pool->nr_out - 1);
}

static void run_stack_get(const struct step *step)
{
	pool_stack_get(pool_at(step->args[0]));
}

static void run_stack_put(const struct step *step)
{
	struct pool *pool = pool_at(step->args[0]);

	for (uint64_t n = 1 + step->args[1] % 4; n-- && pool->nr_out;)
		pool_stack_put(pool, (unsigned)(step->args[1] % pool->nr_out));
}

static void run_get_bulk(const struct step *step)
{
	pool_get_bulk(pool_at(step->args[0]), (unsigned)step->args[1]);
}

static void run_give_bulk(const struct step *step)
{
	pool_give_bulk(pool_at(step->args[0]), (unsigned)step->args[1]);
}

static void run_resize(const struct step *step)
{
	if (step->args[1])
		pool_resize(pool_at(step->args[0]), (uint32_t)(step->args[1] % 400));
}

static void run_renew(const struct step *step)
{
	unsigned i = (unsigned)(step->args[0] % POOLS);

	pool_close(&pools[i]);
	make(i, 1 + (uint32_t)(step->args[1] % 300));
}

static void run_area(const struct step *step)
{
	(void)step;
	source_forbid(true);
	loam__area_close();
	source_forbid(false);
}

static void run_look(const struct step *step)
{
	(void)step;
	look();
	check_now(NULL);
}

static const struct sequence_op ops[] = {
	{ "take", { "pool", NULL }, 20, draw_pool, run_take },
	{ "get", { "pool", NULL }, 15, draw_pool, run_get },
	{ "buy", { "pool", "n", NULL }, 15, draw_two, run_buy },
	{ "give", { "pool", "which", NULL }, 25, draw_two, run_give },
	{ "give_many", { "pool", "n", NULL }, 6, draw_n, run_give_many },
	{ "stack_get", { "pool", NULL }, 12, draw_pool, run_stack_get },
	{ "stack_put", { "pool", "which", NULL }, 12, draw_two, run_stack_put },
	{ "get_bulk", { "pool", "n", NULL }, 8, draw_n, run_get_bulk },
	{ "give_bulk", { "pool", "n", NULL }, 8, draw_n, run_give_bulk },
	{ "resize", { "pool", "min_nr", NULL }, 6, draw_n, run_resize },
	{ "renew", { "pool", "min_nr", NULL }, 2, draw_n, run_renew },
	{ "end_of_area", { NULL }, 3, NULL, run_area },
	{ "look", { NULL }, 5, NULL, run_look },
	{ NULL, { NULL }, 0, NULL, NULL },
};

const struct sequence_ops pool_sequence = { .name = "pool", .ops = ops, .begin = begin, .end = end, .memory = 16 };
