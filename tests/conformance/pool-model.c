/* SPDX-License-Identifier: MIT */
/* pool-model.c: a pool beside what it must say: numbers of elements in the reserve, kept and out. See pool-tests.h. */
#include "pool-tests.h"

#include <errno.h>
#include <stdlib.h>

void pool_open(struct pool *pool, struct source *source, uint32_t min_nr, size_t element_size)
{
	uint64_t before = source->allocs;
	int error;

	*pool = (struct pool){ .source = source, .element_size = element_size, .min_nr = min_nr, .count = min_nr };
	pool->out = calloc(source->max, sizeof(*pool->out));
	if (!pool->out)
		trouble("no memory for records");
	pool->pub = op_create(source, min_nr, element_size, &error);
	kept("POOL-01", pool->pub, "create of %u elements, with memory at hand, returns %d", min_nr, error);
	kept("POOL-01", source->allocs - before == min_nr, "create of %u elements asked the source for %llu", min_nr,
	     (unsigned long long)(source->allocs - before));
	pool_look(pool);
}

void pool_close(struct pool *pool)
{
	struct source *source = pool->source;
	unsigned others = source->max - source->nr - pool->nr_out - pool->count - pool->kept;

	op_destroy(pool->pub);
	kept(or_blame("POOL-22"), source->max - source->nr - others == pool->nr_out,
	     "destroy: %u elements were out, and %u are not at the source", pool->nr_out,
	     source->max - source->nr - others);
	while (pool->nr_out)
		source_put(source, pool->out[--pool->nr_out]);
	free(pool->out);
	pool->out = NULL;
}

static void look_at_lacking(const struct pool *pool)
{
	kept(or_blame("POOL-27"), pool->pub->lacking == pool->min_nr - pool->count,
	     "lacking is %u, and %u of %u elements are in the reserve", pool->pub->lacking, pool->count, pool->min_nr);
}

static void look_at_stack(const struct pool *pool)
{
	const struct loam_pool_stack *stack = op_stack(pool->pub);
	unsigned n = stack ? stack->n : 0;

	kept(or_blame("POOL-29"), n <= pool->kept, "a stack has %u elements, and %u are kept", n, pool->kept);
	for (unsigned i = 0; i < n; i++)
		source_keeps(pool->source, stack->elements[i], or_blame("POOL-29"));
}

void pool_look(const struct pool *pool)
{
	uint32_t count = op_count(pool->pub);

	kept(or_blame("POOL-25"), count == pool->count, "count is %u, and %u elements are in the reserve", count,
	     pool->count);
	look_at_lacking(pool);
	look_at_stack(pool);
	kept("POOL-01", pool->pub->min_nr == pool->min_nr, "min_nr is %u, not %u", pool->pub->min_nr, pool->min_nr);
	kept("POOL-01", pool->pub->source.data == &pool->source->cookie, "the pool's source is not that of create");
}

static void add_out(struct pool *pool, void *element)
{
	pool->out[pool->nr_out++] = element;
}

static void remove_out(struct pool *pool, unsigned i)
{
	pool->out[i] = pool->out[--pool->nr_out];
}

bool pool_take(struct pool *pool)
{
	void *element = op_take(pool->pub, pool->source);

	kept(or_blame("POOL-12"), !element == !pool->count, "take returns %p, and %u elements are in the reserve",
	     element, pool->count);
	if (!element)
		return false;
	pool->count--;
	add_out(pool, element);
	kept(or_blame("POOL-03"), op_count(pool->pub) == pool->count,
	     "take returns an element, and count is %u, not %u", op_count(pool->pub), pool->count);
	look_at_lacking(pool);
	return true;
}

bool pool_get(struct pool *pool)
{
	void *element;

	if (!pool_keeps())
		return false;
	element = op_get(pool->pub, pool->source);
	kept(or_blame("POOL-06"), !element == !pool->kept, "get returns %p, and %u elements are kept", element,
	     pool->kept);
	kept(or_blame("POOL-06"), op_count(pool->pub) == pool->count, "get changes count from %u to %u", pool->count,
	     op_count(pool->pub));
	if (!element)
		return false;
	pool->kept--;
	add_out(pool, element);
	return true;
}

bool pool_buy(struct pool *pool)
{
	void *element = source_get(pool->source);

	if (element)
		add_out(pool, element);
	return element;
}

int pool_give(struct pool *pool, unsigned i)
{
	bool is_short = pool->count < pool->min_nr;
	void *element = pool->out[i];
	int given = op_give(pool->pub, pool->source, element);

	remove_out(pool, i);
	kept(or_blame("POOL-04"), (given == LOAM_POOL_REFILLED) == is_short,
	     "give returns %d with %u of %u in the reserve", given, pool->count, pool->min_nr);
	pool->count += is_short;
	pool->kept += given == LOAM_POOL_KEPT;
	if (given == LOAM_POOL_SOURCE)
		source_put(pool->source, element);
	kept(or_blame("POOL-04"), op_count(pool->pub) == pool->count, "give returns %d, and count is %u, not %u", given,
	     op_count(pool->pub), pool->count);
	look_at_lacking(pool);
	return given;
}

bool pool_stack_get(struct pool *pool)
{
	void *element = op_stack_get(pool->pub, pool->source);

	if (!element)
		return false;
	kept(or_blame("POOL-29"), pool->kept, "the caller's stack has an element, and none is kept");
	pool->kept--;
	add_out(pool, element);
	return true;
}

bool pool_stack_put(struct pool *pool, unsigned i)
{
	if (!op_stack_put(pool->pub, pool->source, pool->out[i]))
		return false;
	kept(or_blame("POOL-27"), pool->count == pool->min_nr, "lacking is 0, and %u of %u are in the reserve",
	     pool->count, pool->min_nr);
	pool->kept++;
	remove_out(pool, i);
	return true;
}

/* Either way. */
void pool_give_all(struct pool *pool)
{
	while (pool->nr_out) {
		unsigned i = (unsigned)rng_below(&test_rng, pool->nr_out);

		if (rng_below(&test_rng, 2) || !pool_stack_put(pool, i))
			pool_give(pool, i);
	}
}

unsigned pool_get_bulk(struct pool *pool, unsigned n)
{
	void *out[BULK_MAX + 1];
	unsigned got;

	if (!pool_has_bulk())
		return 0;
	n = n < BULK_MAX ? n : BULK_MAX;
	out[n] = out;
	got = op_get_bulk(pool->pub, pool->source, n, out);
	kept(or_blame("POOL-07"), out[n] == out, "get_bulk of %u elements writes behind its array", n);
	kept(or_blame("POOL-07"), got <= pool->kept, "get_bulk returns %u, and %u elements are kept", got, pool->kept);
	kept(or_blame("POOL-07"), op_count(pool->pub) == pool->count, "get_bulk changes count");
	for (unsigned i = 0; i < got; i++)
		add_out(pool, out[i]);
	pool->kept -= got;
	return got;
}

unsigned pool_give_bulk(struct pool *pool, unsigned n)
{
	void *back[BULK_MAX];
	unsigned put;

	if (!pool_has_bulk())
		return 0;
	n = n < BULK_MAX ? n : BULK_MAX;
	n = n < pool->nr_out ? n : pool->nr_out;
	for (unsigned i = 0; i < n; i++)
		back[i] = pool->out[--pool->nr_out];
	put = op_give_bulk(pool->pub, pool->source, n, back);
	kept(or_blame("POOL-08"), !put || pool->count == pool->min_nr, "give_bulk keeps %u, and the reserve is short",
	     put);
	kept(or_blame("POOL-08"), op_count(pool->pub) == pool->count, "give_bulk changes count");
	pool->kept += put;
	for (unsigned i = put; i < n; i++)
		add_out(pool, back[i]);
	return put;
}

int pool_resize(struct pool *pool, uint32_t min_nr)
{
	struct source *source = pool->source;
	uint64_t allocs = source->allocs, frees = source->frees;
	uint32_t could = source->left < source->nr ? source->left : source->nr, want = pool->count;
	const char *clause = min_nr < pool->min_nr ? "POOL-16" : "POOL-17";
	int error;

	if (min_nr < pool->min_nr && want > min_nr)
		want = min_nr;
	if (min_nr > pool->min_nr)
		want = could < min_nr - want ? want + could : min_nr;
	if (min_nr > pool->min_nr && want < min_nr)
		clause = "POOL-18";
	error = op_resize(pool->pub, min_nr);
	kept(or_blame(clause), !error, "resize from %u to %u returns %d", pool->min_nr, min_nr, error);
	kept(or_blame(clause), op_count(pool->pub) == want,
	     "resize from %u to %u, %u in the reserve: count is %u, not %u", pool->min_nr, min_nr, pool->count,
	     op_count(pool->pub), want);
	kept(or_blame(clause), source->allocs - allocs == (want > pool->count ? want - pool->count : 0),
	     "resize from %u to %u asks for %llu elements", pool->min_nr, min_nr,
	     (unsigned long long)(source->allocs - allocs));
	kept(or_blame(clause), source->frees - frees == (want < pool->count ? pool->count - want : 0),
	     "resize from %u to %u gives back %llu elements", pool->min_nr, min_nr,
	     (unsigned long long)(source->frees - frees));
	pool->min_nr = min_nr;
	pool->count = want;
	kept(or_blame(clause), pool->pub->min_nr == min_nr, "resize to %u: min_nr is %u", min_nr, pool->pub->min_nr);
	look_at_lacking(pool);
	return error;
}

void pool_churn(struct pool *pool, unsigned n)
{
	while (n--) {
		unsigned way = (unsigned)rng_below(&test_rng, 13);

		if (way < 3)
			pool_take(pool);
		else if (way < 5 && !pool_get(pool))
			pool_buy(pool);
		else if (way == 5)
			pool_get_bulk(pool, (unsigned)rng_size(&test_rng, 64));
		else if (way == 6)
			pool_give_bulk(pool, (unsigned)rng_size(&test_rng, 64));
		else if (way == 7)
			pool_stack_get(pool);
		else if (way < 10 && pool->nr_out)
			pool_stack_put(pool, (unsigned)rng_below(&test_rng, pool->nr_out));
		else if (pool->nr_out)
			pool_give(pool, (unsigned)rng_below(&test_rng, pool->nr_out));
	}
}
