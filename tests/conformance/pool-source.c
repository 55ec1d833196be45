/* SPDX-License-Identifier: MIT */
/* pool-source.c: sources whose elements have places, and the ops of the role, each judged by them. See pool-tests.h. */
#include "pool-tests.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define SOURCES 64
#define GUARD 16 /* bytes behind each element */

static struct source *sources[SOURCES];
static const char *blame;
static bool one_thread = true;
static _Thread_local bool forbidden;
static _Thread_local const char *op_clause = "POOL-14"; /* of the op that runs */

void pool_blames(const char *clause)
{
	blame = clause;
}

void ops_of_one_thread(bool one)
{
	one_thread = one;
}

const char *or_blame(const char *clause)
{
	return blame ? blame : clause;
}

/* ---- elements ---- */

static size_t stride(const struct source *source)
{
	return source->size + GUARD;
}

static void *element_at(const struct source *source, unsigned i)
{
	return source->arena + i * stride(source);
}

static unsigned number_of(const struct source *source, const void *element, const char *clause)
{
	size_t offset = (uintptr_t)element - (uintptr_t)source->arena;

	kept(clause, offset < source->max * stride(source) && !(offset % stride(source)),
	     "%p is no element of the pool's source", element);
	return (unsigned)(offset / stride(source));
}

static uint64_t seed_of(const struct source *source, unsigned i)
{
	return job.seed + i * 0x10001ull + source->round[i];
}

static void write_element(struct source *source, unsigned i)
{
	source->round[i]++;
	pattern_write(element_at(source, i), stride(source), seed_of(source, i));
}

/* @from: what is in front of it may have changed. */
static void look_at_element(const struct source *source, unsigned i, size_t from)
{
	char want[1024];

	pattern_write(want, stride(source), seed_of(source, i));
	kept("POOL-09", !memcmp(want + from, (char *)element_at(source, i) + from, stride(source) - from),
	     "the contents of element %u changed while it was the pool's, or out", i);
}

static bool was_in_pool(unsigned place)
{
	return place == RESERVE || place == KEPT || place == GIVEN;
}

/* From a place of @from, bits of enum place, to @to. */
static void move(struct source *source, unsigned i, unsigned from, enum place to, const char *clause, const char *what)
{
	static const char *const names[] = { "at the source", "out", "in the reserve", "kept", "given back" };
	uint8_t place = __atomic_load_n(&source->place[i], __ATOMIC_ACQUIRE);

	do
		kept(clause, from & 1u << place, "%s element %u, which is %s", what, i, names[place]);
	while (!__atomic_compare_exchange_n(&source->place[i], &place, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
	if (to == OUT || to == AT_SOURCE)
		look_at_element(source, i, place == RESERVE || place == GIVEN ? source->clean : 0);
	if (to == OUT && was_in_pool(place))
		write_element(source, i);
}

void source_keeps(const struct source *source, const void *element, const char *clause)
{
	unsigned i = number_of(source, element, clause);

	kept(clause, source->place[i] == KEPT, "the caller's stack has element %u, which is not kept", i);
}

unsigned source_at(const struct source *source, enum place place)
{
	unsigned n = 0;

	for (unsigned i = 0; i < source->max; i++)
		n += source->place[i] == place;
	return n;
}

/* ---- the functions ---- */

static struct source *source_of(const void *cookie)
{
	for (unsigned i = 0; i < SOURCES; i++)
		if (sources[i] && &sources[i]->cookie == cookie)
			return sources[i];
	broken("POOL-14", "the source is called with other data than create's");
}

static void judge_call(void)
{
	const char *name;

	kept("POOL-13", !forbidden, "the source is called by an op that may not, or when a thread ends");
	kept("POOL-14", !locks_held(&name), "the source is called with lock '%s' held", name);
}

static void *from_stock(struct source *source, enum place to)
{
	void *element = NULL;

	pthread_mutex_lock(&source->lock);
	if (source->nr) {
		unsigned i = source->stock[--source->nr];

		write_element(source, i);
		move(source, i, 1u << AT_SOURCE, to, "POOL-14", "the source has");
		element = element_at(source, i);
		source->allocs++;
	}
	pthread_mutex_unlock(&source->lock);
	return element;
}

static void to_stock(struct source *source, const void *element, unsigned from, const char *clause)
{
	unsigned i = number_of(source, element, clause);

	pthread_mutex_lock(&source->lock);
	move(source, i, from, AT_SOURCE, clause, "the source is given");
	source->stock[source->nr++] = i;
	source->frees++;
	pthread_mutex_unlock(&source->lock);
}

static void *alloc_function(gfp_t gfp, void *data)
{
	struct source *source = source_of(data);

	judge_call();
	kept(op_clause, gfp == GFP_KERNEL, "the source is asked with flags %#x", gfp);
	if (!source->left)
		return NULL;
	if (source->left != UINT_MAX)
		source->left--;
	return from_stock(source, RESERVE);
}

static void free_function(void *element, void *data)
{
	judge_call();
	to_stock(source_of(data), element, 1u << RESERVE | 1u << KEPT | 1u << GIVEN, or_blame(op_clause));
}

void *source_get(struct source *source)
{
	return from_stock(source, OUT);
}

void source_put(struct source *source, void *element)
{
	to_stock(source, element, 1u << OUT, or_blame("POOL-05"));
}

void source_forbid(bool forbid)
{
	forbidden = forbid;
}

/* ---- open and close ---- */

void source_open(struct source *source, size_t size, unsigned max)
{
	unsigned at = 0;

	while (at < SOURCES && sources[at])
		at++;
	*source = (struct source){ .size = size, .max = max, .nr = max, .left = UINT_MAX };
	source->arena = calloc(max, stride(source));
	source->place = calloc(max, sizeof(*source->place));
	source->round = calloc(max, sizeof(*source->round));
	source->stock = calloc(max, sizeof(*source->stock));
	if (at == SOURCES || !source->arena || !source->place || !source->round || !source->stock)
		trouble("no memory for a source of %u elements", max);
	for (unsigned i = 0; i < max; i++) {
		source->stock[i] = i;
		write_element(source, i);
	}
	pthread_mutex_init(&source->lock, NULL);
	sources[at] = source;
}

void source_drop(struct source *source)
{
	for (unsigned i = 0; i < SOURCES; i++)
		if (sources[i] == source)
			sources[i] = NULL;
	free(source->arena);
	free(source->place);
	free(source->round);
	free(source->stock);
	*source = (struct source){ .size = 0 };
}

void source_close(struct source *source, const char *clause)
{
	kept(clause, source->nr == source->max, "of %u elements %u are not back at the source", source->max,
	     source->max - source->nr);
	source_drop(source);
}

struct loam_pool_args source_args(struct source *source, uint32_t min_nr, size_t element_size)
{
	return (struct loam_pool_args){ .size = sizeof(struct loam_pool_args),
					.min_nr = min_nr,
					.element_size = element_size,
					.source = { alloc_function, free_function, &source->cookie } };
}

const struct loam_pool_ops *pool_ops(void)
{
	return subject->links[LOAM_ROLE_POOL].ops;
}

static const struct loam_pool_ops *ops_of(const struct loam_pool *pool)
{
	return pool->link.ops;
}

/* ---- conditions ---- */

bool pool_keeps(void)
{
	return pool_ops()->get;
}

bool pool_has_bulk(void)
{
	return pool_ops()->get && pool_ops()->get_bulk && pool_ops()->give_bulk;
}

static void *one_alloc(gfp_t gfp, void *data)
{
	(void)gfp;
	return data;
}

static void one_free(void *element, void *data)
{
	(void)element;
	(void)data;
}

/* Nothing is judged here. */
bool pool_has_stacks(void)
{
	static char element[64] __attribute__((aligned(16)));
	struct loam_pool_args args = { .size = sizeof(args),
				       .min_nr = 1,
				       .element_size = sizeof(element),
				       .source = { one_alloc, one_free, element } };
	struct loam_pool *pool;
	bool has;

	if (pool_ops()->create(subject->links[LOAM_ROLE_POOL].inst, &args, &pool))
		return false;
	has = pool->stack.offset;
	ops_of(pool)->destroy(pool);
	return has;
}

/* The parameter; NULL: there is none. */
static const union loam_value *poison(void)
{
	const struct loam_plugin *desc = &subject->plugin->desc;

	for (uint32_t i = 0; i < desc->nr_params; i++)
		if (desc->params[i].type == LOAM_PARAM_BOOL && !strcmp(desc->params[i].name, "poison"))
			return &subject->params[i];
	return NULL;
}

bool pool_has_poison(void)
{
	return poison();
}

/* ---- ops ---- */

struct loam_pool *op_create(struct source *source, uint32_t min_nr, size_t element_size, int *error)
{
	struct loam_pool_args args = source_args(source, min_nr, element_size);
	struct loam_pool *pool = NULL;

	op_enter("create(min_nr %u, element_size %zu)", min_nr, element_size);
	op_clause = "POOL-01";
	if (poison() && poison()->b)
		source->clean = element_size;
	*error = pool_ops()->create(subject->links[LOAM_ROLE_POOL].inst, &args, &pool);
	op_leave();
	return *error ? NULL : pool;
}

void op_destroy(struct loam_pool *pool)
{
	op_enter("destroy(pool %p)", (void *)pool);
	op_clause = "POOL-22";
	ops_of(pool)->destroy(pool);
	op_leave();
}

int op_resize(struct loam_pool *pool, uint32_t min_nr)
{
	int error;

	op_enter("resize(pool %p, min_nr %u)", (void *)pool, min_nr);
	op_clause = min_nr < pool->min_nr ? "POOL-16" : "POOL-17";
	error = ops_of(pool)->resize(pool, min_nr);
	op_leave();
	return error;
}

static void enter_quiet(const char *what, struct loam_pool *pool)
{
	op_enter("%s(pool %p)", what, (void *)pool);
	forbidden = true;
}

static void leave_quiet(void)
{
	forbidden = false;
	op_leave();
}

uint32_t op_count(struct loam_pool *pool)
{
	uint32_t count;

	enter_quiet("count", pool);
	count = ops_of(pool)->count(pool);
	leave_quiet();
	return count;
}

void *op_take(struct loam_pool *pool, struct source *source)
{
	void *element;

	enter_quiet("take", pool);
	element = ops_of(pool)->take(pool);
	leave_quiet();
	if (element)
		move(source, number_of(source, element, or_blame("POOL-03")), 1u << RESERVE | 1u << GIVEN, OUT,
		     or_blame("POOL-03"), "take returns");
	return element;
}

int op_give(struct loam_pool *pool, struct source *source, void *element)
{
	unsigned i = number_of(source, element, "POOL-05");
	int given;

	move(source, i, 1u << OUT, GIVEN, or_blame("POOL-05"), "the client gives");
	enter_quiet("give", pool);
	given = ops_of(pool)->give(pool, element);
	leave_quiet();
	kept("POOL-05",
	     given == LOAM_POOL_SOURCE || given == LOAM_POOL_REFILLED || (given == LOAM_POOL_KEPT && pool_keeps()),
	     "give returns %d", given);
	if (given == LOAM_POOL_SOURCE)
		move(source, i, 1u << GIVEN, OUT, or_blame("POOL-05"), "give returns that it does not want");
	else if (one_thread)
		source->place[i] = given == LOAM_POOL_KEPT ? KEPT : RESERVE;
	return given;
}

void *op_get(struct loam_pool *pool, struct source *source)
{
	void *element;

	enter_quiet("get", pool);
	element = ops_of(pool)->get(pool);
	leave_quiet();
	if (element)
		move(source, number_of(source, element, or_blame("POOL-06")), 1u << KEPT | 1u << GIVEN, OUT,
		     or_blame("POOL-06"), "get returns");
	return element;
}

unsigned op_get_bulk(struct loam_pool *pool, struct source *source, unsigned n, void **out)
{
	unsigned got;

	enter_quiet("get_bulk", pool);
	got = ops_of(pool)->get_bulk(pool, n, out);
	leave_quiet();
	kept("POOL-07", got == n || !got, "get_bulk of %u elements returns %u", n, got);
	for (unsigned i = 0; i < got; i++)
		move(source, number_of(source, out[i], or_blame("POOL-07")), 1u << KEPT | 1u << GIVEN, OUT,
		     or_blame("POOL-07"), "get_bulk returns");
	return got;
}

unsigned op_give_bulk(struct loam_pool *pool, struct source *source, unsigned n, void **elements)
{
	unsigned put;

	for (unsigned i = 0; i < n; i++)
		move(source, number_of(source, elements[i], "POOL-08"), 1u << OUT, GIVEN, or_blame("POOL-08"),
		     "the client gives");
	enter_quiet("give_bulk", pool);
	put = ops_of(pool)->give_bulk(pool, n, elements);
	leave_quiet();
	kept("POOL-08", put <= n, "give_bulk of %u elements returns %u", n, put);
	for (unsigned i = put; i < n; i++)
		move(source, number_of(source, elements[i], or_blame("POOL-08")), 1u << GIVEN, OUT, or_blame("POOL-08"),
		     "give_bulk returns that it does not want");
	for (unsigned i = 0; i < put && one_thread; i++)
		source->place[number_of(source, elements[i], "POOL-08")] = KEPT;
	return put;
}

/* ---- the short way ---- */

struct loam_pool_stack *op_stack(const struct loam_pool *pool)
{
	struct loam_pool_stack *stack = loam_pool_stack(pool);

	kept(or_blame("POOL-29"), !stack || (stack->max && stack->n <= stack->max), "a stack has %u elements of %u",
	     stack->n, stack->max);
	return stack;
}

void *op_stack_get(struct loam_pool *pool, struct source *source)
{
	struct loam_pool_stack *stack = op_stack(pool);
	void *element;

	if (!stack || !stack->n)
		return NULL;
	element = stack->elements[--stack->n];
	move(source, number_of(source, element, or_blame("POOL-29")), 1u << KEPT | 1u << GIVEN, OUT,
	     or_blame("POOL-29"), "the caller's stack has");
	return element;
}

bool op_stack_put(struct loam_pool *pool, struct source *source, void *element)
{
	struct loam_pool_stack *stack = op_stack(pool);

	if (!stack || stack->n == stack->max || loam_pool_is_short(pool))
		return false;
	move(source, number_of(source, element, "POOL-29"), 1u << OUT, one_thread ? KEPT : GIVEN, or_blame("POOL-29"),
	     "the client puts on its stack");
	stack->elements[stack->n++] = element;
	return true;
}
