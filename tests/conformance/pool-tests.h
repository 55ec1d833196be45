/* SPDX-License-Identifier: MIT */
/*
 * pool-tests.h: what the tests of the role pool share: sources that know where each of their elements is, and pools with a model.
 *
 * An element is at one place at any time. The source's functions and every op move it, and each move is judged: so an element that is
 * given out twice, lost, or given back twice shows at that moment, with one thread or many. Its contents are a pattern, which
 * is looked at on each move.
 *
 *   pool-source.c   sources, and the ops, each judged          pool-life.c       destroy, many pools, contents
 *   pool-model.c    a pool and what it must say                pool-threads.c    threads
 *   pool-short.c    the short way                              pool-sequence.c   random sequences
 *   pool.c          results, exhaustion, resize; the suite
 */
#ifndef LOAM_CONFORM_POOL_TESTS_H
#define LOAM_CONFORM_POOL_TESTS_H

#include "child.h"

#include <loam/pool.h>

/* ---- sources ---- */

enum place {
	AT_SOURCE,
	OUT,
	RESERVE,
	KEPT,
	GIVEN /* by one of several threads: in the reserve or kept */
};

struct source {
	size_t size;      /* of an element */
	size_t clean;     /* the plugin may write that many bytes of an element of the reserve */
	unsigned max, nr; /* elements; at the source now */
	char *arena;
	uint8_t *place;  /* enum place; atomic */
	uint32_t *round; /* what its pattern is made of */
	unsigned *stock; /* numbers of those at the source */
	pthread_mutex_t lock;
	uint64_t allocs, frees; /* that succeeded; atomic */
	unsigned left;          /* requests of the plugin that succeed from now on; UINT_MAX: all */
	char cookie;            /* its address is the data of the functions */
};

/** With room for @max elements of @size bytes. */
void source_open(struct source *source, size_t size, unsigned max);
/** Every element is at the source, or @clause is broken. */
void source_close(struct source *source, const char *clause);
/** All is forgotten, wherever elements are. */
void source_drop(struct source *source);
struct loam_pool_args source_args(struct source *source, uint32_t min_nr, size_t element_size);
/** As a client: an element, or NULL; back. */
void *source_get(struct source *source);
void source_put(struct source *source, void *element);
/** @element is kept, or @clause is broken. */
void source_keeps(const struct source *source, const void *element, const char *clause);
/** How many elements are at @place. */
unsigned source_at(const struct source *source, enum place place);

/** From now on what goes wrong with elements breaks @clause; NULL: the clause of the op. */
void pool_blames(const char *clause);
const char *or_blame(const char *clause);
/** Around what may not call the source. */
void source_forbid(bool forbid);

/* ---- ops, judged: any thread. Their elements are of @source ---- */

const struct loam_pool_ops *pool_ops(void);
struct loam_pool *op_create(struct source *source, uint32_t min_nr, size_t element_size, int *error);
void op_destroy(struct loam_pool *pool);
int op_resize(struct loam_pool *pool, uint32_t min_nr);
uint32_t op_count(struct loam_pool *pool);
void *op_take(struct loam_pool *pool, struct source *source);
/** enum loam_pool_given. LOAM_POOL_SOURCE: it is out still. */
int op_give(struct loam_pool *pool, struct source *source, void *element);
void *op_get(struct loam_pool *pool, struct source *source);
unsigned op_get_bulk(struct loam_pool *pool, struct source *source, unsigned n, void **out);
unsigned op_give_bulk(struct loam_pool *pool, struct source *source, unsigned n, void **elements);
/** The short way: off the caller's stack, or NULL; on it, or false. */
void *op_stack_get(struct loam_pool *pool, struct source *source);
bool op_stack_put(struct loam_pool *pool, struct source *source, void *element);
/** The caller's stack, looked at; NULL: none. */
struct loam_pool_stack *op_stack(const struct loam_pool *pool);
/** There is one thread, so that RESERVE and KEPT can be told apart. */
void ops_of_one_thread(bool one);

bool pool_keeps(void);
bool pool_has_bulk(void);
bool pool_has_stacks(void);
bool pool_has_poison(void);

/* ---- a pool with its model: for one thread ---- */

#define BULK_MAX 600

struct pool {
	struct loam_pool *pub;
	struct source *source;
	size_t element_size;
	uint32_t min_nr, count, kept;
	unsigned nr_out;
	void **out; /* room for all of the source */
};

void pool_open(struct pool *pool, struct source *source, uint32_t min_nr, size_t element_size);
/** destroy; then what is out goes to the source. */
void pool_close(struct pool *pool);
bool pool_take(struct pool *pool);
bool pool_get(struct pool *pool);
/** From the source, past the pool, as the host does; false: it has none. */
bool pool_buy(struct pool *pool);
/** Element number @i of those that are out. Where the pool does not keep it, it goes to the source. */
int pool_give(struct pool *pool, unsigned i);
void pool_give_all(struct pool *pool);
/** The short way; false: it is not open. */
bool pool_stack_get(struct pool *pool);
bool pool_stack_put(struct pool *pool, unsigned i);
unsigned pool_get_bulk(struct pool *pool, unsigned n);
unsigned pool_give_bulk(struct pool *pool, unsigned n);
int pool_resize(struct pool *pool, uint32_t min_nr);
/** count, lacking, and the caller's stack. */
void pool_look(const struct pool *pool);
/** By chance. */
void pool_churn(struct pool *pool, unsigned n);

extern const struct sequence_ops pool_sequence;

/* ---- tests of the other files ---- */

void pool_contents(void);
void pool_poison_found(void);
void pool_poison_silent(void);
void pool_destroyed(void);
void pool_destroyed_with_threads(void);
void pool_destroyed_beside_an_end(void);
void pool_apart(void);
void pool_many(void);
void pool_instance_goes(void);
void pool_threads(void);
void pool_threads_bulk(void);
void pool_threads_hand_over(void);
void pool_resize_beside(void);
void pool_lacking_is_told(void);
void pool_lacking_is_seen(void);
void pool_short_way(void);
void pool_stack_is_the_callers(void);
void pool_stack_comes_with_use(void);
void pool_thread_ends(void);
void pool_thread_ends_full(void);

#endif
