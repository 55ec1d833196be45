/* SPDX-License-Identifier: MIT */
/*
 * ring.c: the role pool with local caches over a lock-free queue.
 *
 * The reserve is touched only when the source fails. What comes back beyond it is kept: in a stack of the thread, or CPU, that
 * gave it back, from which the next request there is served without an atomic instruction, and without a call where the client
 * does it itself: the stacks are published. When one is full half of it goes to a queue that all share, from which empty stacks are
 * filled. What finds no room there is not kept. So elements that threads hand each other go around in bulk, as in DPDK's mempools,
 * and still the pool has the guarantee of Linux's. The stack of a thread that ends is left to the pool as it is, and used up when
 * the queue is empty.
 *
 * A pool beyond the 32nd of an instance has no stacks: each call goes to the queues.
 */
#include "../common/reserve.h"
#include "queue.h"

#include <errno.h>
#include <string.h>

#define LOCALS 32 /* pools that have local stacks */

/** A local stack, and what others than its owner make of it. */
struct cache {
	struct cache *next; /* of those that were left, or found when the pool goes */
	struct loam_pool_stack stack;
};

struct area {
	struct loam_pool_stack *stacks[LOCALS];
};

struct ring {
	const struct loam_host *host;
	struct loam_self *self;
	struct loam_local local;
	unsigned cache;        /* elements of a local stack; 0: none */
	uint64_t shared;       /* cells of a pool's queue */
	struct loam_lock lock; /* the list of pools, places, and what pools that went counted */
	struct list_head pools;
	struct pool *places[LOCALS];
	uint64_t allocs, failures;
};

struct pool {
	struct reserve reserve; /* first */
	struct ring *ring;
	unsigned place; /* LOCALS: no local stacks */
	struct cell *cells;
	struct queue queue; /* what is kept and in no stack */
	struct cache *left; /* atomic, changed under the instance's lock: stacks of threads that ended */
};

static struct pool *pool_of(const struct loam_pool *pub)
{
	return (struct pool *)pub;
}

/* ---- local stacks ---- */

static size_t cache_bytes(const struct ring *ring)
{
	return sizeof(struct cache) + ring->cache * sizeof(void *);
}

static struct cache *cache_of(struct loam_pool_stack *stack)
{
	return (struct cache *)((char *)stack - offsetof(struct cache, stack));
}

/* The caller's, made when there is none yet; NULL: without. */
static LOAM_COLD struct loam_pool_stack *open_stack(struct pool *pool)
{
	struct ring *ring = pool->ring;
	struct area *area = pool->place < LOCALS && ring->cache ? ring->host->area(ring->self) : NULL;
	struct cache *cache;

	if (!area)
		return NULL;
	if (!area->stacks[pool->place]) {
		cache = ring->host->meta_alloc(ring->self, cache_bytes(ring), 0);
		if (!cache)
			return NULL;
		cache->stack.max = ring->cache;
		area->stacks[pool->place] = &cache->stack;
	}
	return area->stacks[pool->place];
}

/* Some of a full stack to the queue. false: that is full too. */
static LOAM_COLD bool spill(struct pool *pool, struct loam_pool_stack *stack)
{
	for (unsigned n = (stack->n + 1) / 2; n; n /= 2)
		if (queue_put(&pool->queue, n, stack->elements + stack->n - n)) {
			stack->n -= n;
			return true;
		}
	return false;
}

/* Up to @n elements that threads which ended left behind. */
static LOAM_COLD unsigned inherit(struct pool *pool, unsigned n, void **out)
{
	struct ring *ring = pool->ring;
	struct cache *left, *emptied = NULL;

	if (!__atomic_load_n(&pool->left, __ATOMIC_RELAXED))
		return 0;
	loam_lock(ring->host, &ring->lock);
	left = pool->left;
	n = !left ? 0 : n < left->stack.n ? n : left->stack.n;
	if (n) {
		left->stack.n -= n;
		memcpy(out, left->stack.elements + left->stack.n, n * sizeof(*out));
		if (!left->stack.n) {
			emptied = left;
			__atomic_store_n(&pool->left, left->next, __ATOMIC_RELAXED);
		}
	}
	loam_unlock(ring->host, &ring->lock);
	if (emptied)
		ring->host->meta_free(ring->self, emptied, cache_bytes(ring));
	return n;
}

/* An empty stack. */
static LOAM_COLD bool refill(struct pool *pool, struct loam_pool_stack *stack)
{
	for (unsigned n = (stack->max + 1) / 2; n; n /= 2)
		if (queue_get(&pool->queue, n, stack->elements)) {
			stack->n = n;
			return true;
		}
	stack->n = inherit(pool, (stack->max + 1) / 2, stack->elements);
	return stack->n;
}

/* ---- beyond the reserve ---- */

static LOAM_COLD void *get_slow(struct pool *pool)
{
	struct loam_pool_stack *stack = open_stack(pool);
	void *element;

	if (!stack)
		return queue_get(&pool->queue, 1, &element) || inherit(pool, 1, &element) ? element : NULL;
	return stack->n || refill(pool, stack) ? stack->elements[--stack->n] : NULL;
}

static void *ring_get(struct loam_pool *pub)
{
	struct loam_pool_stack *stack = loam_pool_stack(pub);

	if (loam_unlikely(!stack || !stack->n))
		return get_slow(pool_of(pub));
	return stack->elements[--stack->n];
}

static unsigned ring_get_bulk(struct loam_pool *pub, unsigned n, void **out)
{
	struct loam_pool_stack *stack = loam_pool_stack(pub);
	struct pool *pool = pool_of(pub);

	stack = loam_likely(stack != NULL) ? stack : open_stack(pool);
	if (stack && !stack->n && n <= stack->max)
		refill(pool, stack);
	if (!stack || stack->n < n)
		return queue_get(&pool->queue, n, out) ? n : 0;
	stack->n -= n;
	memcpy(out, stack->elements + stack->n, n * sizeof(*out));
	return n;
}

static LOAM_COLD int give_slow(struct pool *pool, void *element)
{
	struct loam_pool_stack *stack;

	if (loam_pool_is_short(&pool->reserve.pub) && reserve_refill(&pool->reserve, element))
		return LOAM_POOL_REFILLED;
	stack = open_stack(pool);
	if (!stack)
		return queue_put(&pool->queue, 1, &element) ? LOAM_POOL_KEPT : LOAM_POOL_SOURCE;
	if (stack->n == stack->max && !spill(pool, stack))
		return LOAM_POOL_SOURCE;
	stack->elements[stack->n++] = element;
	return LOAM_POOL_KEPT;
}

static int ring_give(struct loam_pool *pub, void *element)
{
	struct loam_pool_stack *stack = loam_pool_stack(pub);

	if (loam_unlikely(loam_pool_is_short(pub) || !stack || stack->n == stack->max))
		return give_slow(pool_of(pub), element);
	stack->elements[stack->n++] = element;
	return LOAM_POOL_KEPT;
}

static unsigned ring_give_bulk(struct loam_pool *pub, unsigned n, void *const *elements)
{
	struct pool *pool = pool_of(pub);
	struct loam_pool_stack *stack;

	if (loam_pool_is_short(pub))
		return 0;
	stack = loam_pool_stack(pub);
	stack = loam_likely(stack != NULL) ? stack : open_stack(pool);
	if (!stack || n > stack->max)
		return queue_put(&pool->queue, n, elements) ? n : 0;
	while (stack->n + n > stack->max && spill(pool, stack))
		;
	if (stack->n + n > stack->max)
		n = stack->max - stack->n;
	memcpy(stack->elements + stack->n, elements, n * sizeof(*elements));
	stack->n += n;
	return n;
}

/* ---- pools ---- */

static const struct loam_pool_ops ops;

static void take_place(struct ring *ring, struct pool *pool)
{
	loam_lock(ring->host, &ring->lock);
	pool->place = 0;
	while (pool->place < LOCALS && ring->places[pool->place])
		pool->place++;
	if (pool->place < LOCALS)
		ring->places[pool->place] = pool;
	if (pool->place < LOCALS && ring->cache) {
		pool->reserve.pub.stack = ring->local;
		pool->reserve.pub.stack.offset += offsetof(struct area, stacks[pool->place]);
	}
	list_add(&pool->reserve.link, &ring->pools);
	loam_unlock(ring->host, &ring->lock);
}

static void pool_free(struct ring *ring, struct pool *pool)
{
	if (pool->cells)
		ring->host->meta_free(ring->self, pool->cells, ring->shared * sizeof(struct cell));
	ring->host->meta_free(ring->self, pool, sizeof(*pool));
}

static int ring_create(void *inst, const struct loam_pool_args *args, struct loam_pool **out)
{
	struct ring *ring = inst;
	struct pool *pool = ring->host->meta_alloc(ring->self, sizeof(*pool), 64);
	int error;

	if (!pool)
		return -ENOMEM;
	pool->ring = ring;
	pool->cells = ring->host->meta_alloc(ring->self, ring->shared * sizeof(struct cell), 0);
	error = pool->cells ? reserve_make(&pool->reserve, ring->host, ring->self, 2, args,
					   (struct loam_link){ &ops, ring }, false)
			    : -ENOMEM;
	if (error) {
		pool_free(ring, pool);
		return error;
	}
	queue_init(&pool->queue, pool->cells, ring->shared);
	take_place(ring, pool);
	*out = &pool->reserve.pub;
	return 0;
}

/** The stacks of a pool that goes. */
struct found {
	unsigned place;
	struct cache *first;
};

/* Under a lock of the host: only taken out here. */
static void collect(void *arg, void *at)
{
	struct found *found = arg;
	struct area *area = at;
	struct loam_pool_stack *stack = area->stacks[found->place];

	area->stacks[found->place] = NULL;
	if (stack) {
		cache_of(stack)->next = found->first;
		found->first = cache_of(stack);
	}
}

/* Out of the instance's books. Returns the pool's stacks, those of threads that ended too. A thread may be ending just now. */
static struct cache *take_out(struct ring *ring, struct pool *pool)
{
	struct found found;

	loam_lock(ring->host, &ring->lock);
	found = (struct found){ pool->place, pool->left };
	if (pool->place < LOCALS) {
		ring->host->areas(ring->self, collect, &found);
		ring->places[pool->place] = NULL;
	}
	list_del(&pool->reserve.link);
	/* What the reserve lacks will not come back to it any more. */
	ring->allocs += pool->reserve.allocs;
	ring->failures += pool->reserve.failures;
	loam_unlock(ring->host, &ring->lock);
	return found.first;
}

/* With @back: what is in it goes back to the source. */
static void end_caches(struct ring *ring, struct cache *first, const struct loam_pool_source *back)
{
	while (first) {
		struct cache *cache = first;

		first = cache->next;
		while (back && cache->stack.n)
			back->free(cache->stack.elements[--cache->stack.n], back->data);
		ring->host->meta_free(ring->self, cache, cache_bytes(ring));
	}
}

static void ring_destroy(struct loam_pool *pub)
{
	struct pool *pool = pool_of(pub);
	struct ring *ring = pool->ring;
	void *element;

	end_caches(ring, take_out(ring, pool), &pub->source);
	while (queue_get(&pool->queue, 1, &element))
		pub->source.free(element, pub->source.data);
	reserve_end(&pool->reserve);
	pool_free(ring, pool);
}

/* The elements stay the source's: its functions may be those of a module that is gone. */
static void forget(struct ring *ring, struct pool *pool)
{
	end_caches(ring, take_out(ring, pool), NULL);
	reserve_forget(&pool->reserve);
	pool_free(ring, pool);
}

/* ---- the instance ---- */

/*
 * What a thread, or a CPU, kept for itself is left to all: the stack as it is, for the queue may be full, and the source is not
 * called here. Under the lock, for its pool may be going at this moment.
 */
static void ring_flush(void *inst, void *at)
{
	struct ring *ring = inst;
	struct area *area = at;

	loam_lock(ring->host, &ring->lock);
	for (unsigned i = 0; i < LOCALS; i++) {
		struct loam_pool_stack *stack = area->stacks[i];
		struct pool *pool = ring->places[i];

		area->stacks[i] = NULL;
		if (stack && stack->n) {
			cache_of(stack)->next = pool->left;
			__atomic_store_n(&pool->left, cache_of(stack), __ATOMIC_RELAXED);
		} else if (stack) {
			ring->host->meta_free(ring->self, cache_of(stack), cache_bytes(ring));
		}
	}
	loam_unlock(ring->host, &ring->lock);
}

static int ring_stat(void *inst, struct loam_stat *stat)
{
	struct ring *ring = inst;

	loam_lock(ring->host, &ring->lock);
	stat->allocs = stat->frees = ring->allocs;
	stat->failures = ring->failures;
	list_for_each (pos, &ring->pools)
		reserve_stat(list_of(pos, struct reserve, link), stat);
	loam_unlock(ring->host, &ring->lock);
	stat->live_blocks = stat->allocs - stat->frees;
	return 0;
}

static int ring_check(void *inst, loam_check_fn fn, void *arg)
{
	struct ring *ring = inst;
	int broken = 0;

	list_for_each (pos, &ring->pools)
		broken += reserve_check(list_of(pos, struct reserve, link), fn, arg);
	return broken;
}

static void instance_destroy(void *inst)
{
	struct ring *ring = inst;

	while (!list_empty(&ring->pools))
		forget(ring, (struct pool *)list_of(ring->pools.next, struct reserve, link));
	ring->host->lock_destroy(&ring->lock);
	ring->host->meta_free(ring->self, ring, sizeof(*ring));
}

static int instance_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct ring *ring = host->meta_alloc(args->self, sizeof(*ring), 0);

	if (!ring)
		return -ENOMEM;
	ring->host = host;
	ring->self = args->self;
	ring->local = args->local;
	ring->cache = (unsigned)args->params[0].i;
	ring->shared = 2;
	while (ring->shared < (uint64_t)args->params[1].i)
		ring->shared *= 2;
	list_init(&ring->pools);
	host->lock_init(args->self, &ring->lock, 1, "pools");
	*inst = ring;
	return 0;
}

static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "cache", .def = "256", .min = 0, .max = 4096,
		   .help = "elements that a thread, or a CPU, keeps of each pool"),
	LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "shared", .def = "1024", .min = 2, .max = 1 << 20,
		   .help = "elements that are kept for all of a pool; rounded up to a power of two"),
};
static const struct loam_pool_ops ops = { .size = sizeof(ops),
					  .create = ring_create,
					  .destroy = ring_destroy,
					  .take = reserve_take,
					  .give = ring_give,
					  .resize = reserve_resize,
					  .count = reserve_count,
					  .get = ring_get,
					  .get_bulk = ring_get_bulk,
					  .give_bulk = ring_give_bulk };
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_POOL, &ops) };

LOAM_PLUGIN(.name = "ring", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "pool: local caches over a lock-free queue", LOAM_PARAMS(params), LOAM_ROLES(roles),
	    .area_size = sizeof(struct area), .create = instance_create, .destroy = instance_destroy,
	    .flush = ring_flush, .stat = ring_stat, .check = ring_check);
