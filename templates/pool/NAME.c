/* SPDX-License-Identifier: MIT */
/*
 * NAME.c: pools to begin with: a reserve of equal elements, in an array.
 *
 * A pool stands on a source of elements, which may be a cache, pages, or two functions of the client, and guarantees that
 * min_nr of them are there for who must not fail. The order is the host's: an element of the source; when that has none, one of
 * the reserve, by take; when that is empty too, wait until somebody gives one back, and every give fills the reserve before
 * anything goes back to the source. Here is the reserve and no more. To keep more elements than that, and have them given out
 * without asking the source, is the first thing to improve: the ops for it are named in the table below.
 *
 * A block, for the counters, is an element that a reserve lacks: taken from it and not yet replaced, by whichever element.
 *
 * Threads: ops run on many threads at once (LOAM_THREADS_PARALLEL below), and one lock guards everything. It is not held while
 * a source is called, which may sleep, and may wait for the very element that another thread gives back here. Before a fork the
 * host takes all locks, so the child finds everything whole. No op may call malloc.
 */
#include <errno.h>
#include <loam/plugin.h>
#include <string.h>

/* An instance: a section of the configuration. There may be several at once, so there are no global variables. */
struct pools {
	const struct loam_host *host; /* the host's services */
	const struct loam_args *args; /* what create was given; lives as long as the instance */
	struct loam_lock lock;        /* of what follows, and of the pools */
	struct list_head list;
	uint64_t allocs, frees; /* elements that came to be lacking, and were replaced */
	uint64_t failures;      /* takes from an empty reserve */
};

/* The reserve has `count` elements, pub.lacking fewer than pub.min_nr, and the array has room for at least min_nr. */
struct pool {
	struct loam_pool pub;  /* first: what clients see, and what they look at without the lock */
	struct list_head link; /* on pools->list */
	size_t element_size;   /* 0: unknown */
	uint32_t count, room;
	void **elements;
};

static struct pool *pool_of(const struct loam_pool *pub)
{
	return (struct pool *)pub;
}

static struct pool *pool_at(struct list_head *node)
{
	return (struct pool *)((char *)node - offsetof(struct pool, link));
}

/* Under the lock. Clients look at min_nr and lacking without it: relaxed, for who was given an element came through it. */
static void set(struct pool *pool, uint32_t count, uint32_t min_nr)
{
	pool->count = count;
	__atomic_store_n(&pool->pub.min_nr, min_nr, __ATOMIC_RELAXED);
	__atomic_store_n(&pool->pub.lacking, min_nr - count, __ATOMIC_RELAXED);
}

static void put(struct pool *pool, void *element)
{
	pool->elements[pool->count] = element;
	set(pool, pool->count + 1, pool->pub.min_nr);
}

static void *pop(struct pool *pool)
{
	set(pool, pool->count - 1, pool->pub.min_nr);
	return pool->elements[pool->count];
}

/* Off the list. Nobody waits any more for what it lacks. */
static void unlist(struct pools *pools, struct pool *pool)
{
	loam_lock(pools->host, &pools->lock);
	pool->link.prev->next = pool->link.next;
	pool->link.next->prev = pool->link.prev;
	pools->frees += pool->pub.lacking;
	loam_unlock(pools->host, &pools->lock);
}

static void free_records(struct pools *pools, struct pool *pool)
{
	pools->host->meta_free(pools->args->self, pool->elements, pool->room * sizeof(*pool->elements));
	pools->host->meta_free(pools->args->self, pool, sizeof(*pool));
}

/* ---- the role pool ---- */

static const struct loam_pool_ops ops;

/* These two are for a pool that nobody else knows yet, or any more: no lock. */
static void give_all_back(struct pool *pool)
{
	while (pool->count)
		pool->pub.source.free(pop(pool), pool->pub.source.data);
}

static bool fill(struct pool *pool)
{
	while (pool->pub.lacking) {
		void *element = pool->pub.source.alloc(GFP_KERNEL, pool->pub.source.data);

		if (!element)
			return false;
		put(pool, element);
	}
	return true;
}

/* A pool without elements, not yet on the list, or NULL. */
static struct pool *new_pool(struct pools *pools, const struct loam_pool_args *args)
{
	struct pool *pool = pools->host->meta_alloc(pools->args->self, sizeof(*pool), 0);

	if (!pool)
		return NULL;
	pool->room = args->min_nr;
	pool->elements = pools->host->meta_alloc(pools->args->self, pool->room * sizeof(*pool->elements), 0);
	if (!pool->elements) {
		pools->host->meta_free(pools->args->self, pool, sizeof(*pool));
		return NULL;
	}
	pool->pub = (struct loam_pool){ .link = { &ops, pools }, .source = args->source };
	set(pool, 0, args->min_nr);
	pool->element_size = args->element_size;
	return pool;
}

/*
 * A pool whose reserve is full into *@out: 0; -EINVAL for a reserve of none; or -ENOMEM, when the source refuses or there are
 * no records, with every element that was had back at the source. Asks for min_nr elements and no more. May sleep.
 */
static int pool_create(void *inst, const struct loam_pool_args *args, struct loam_pool **out)
{
	struct pools *pools = inst;
	struct pool *pool;

	if (!args->min_nr)
		return -EINVAL;
	pool = new_pool(pools, args);
	if (!pool)
		return -ENOMEM;
	if (!fill(pool)) {
		give_all_back(pool);
		free_records(pools, pool);
		return -ENOMEM;
	}
	loam_lock(pools->host, &pools->lock);
	pool->link = (struct list_head){ .prev = &pools->list, .next = pools->list.next };
	pool->link.next->prev = pool->link.prev->next = &pool->link;
	loam_unlock(pools->host, &pools->lock);
	*out = &pool->pub;
	return 0;
}

/* The reserve goes back to the source; what is out is the client's. No other op of this pool runs. May sleep. */
static void pool_destroy(struct loam_pool *pub)
{
	struct pools *pools = pub->link.inst;
	struct pool *pool = pool_of(pub);

	unlist(pools, pool);
	give_all_back(pool);
	free_records(pools, pool);
}

/* An element of the reserve, or NULL: it is empty. Any context: never sleeps, never asks the source, and needs no memory. */
static void *pool_take(struct loam_pool *pub)
{
	struct pools *pools = pub->link.inst;
	struct pool *pool = pool_of(pub);
	void *element = NULL;

	loam_lock(pools->host, &pools->lock);
	if (pool->count) {
		element = pop(pool);
		pools->allocs++;
	} else {
		pools->failures++;
	}
	loam_unlock(pools->host, &pools->lock);
	return element;
}

/*
 * An element comes back. Where the reserve is short it stays here, and the host wakes who waits; else the caller hands it to
 * the source, and it is forgotten here. No byte of it is touched. Any context, as take.
 */
static int pool_give(struct loam_pool *pub, void *element)
{
	struct pools *pools = pub->link.inst;
	struct pool *pool = pool_of(pub);
	bool missing;

	loam_lock(pools->host, &pools->lock);
	missing = pool->pub.lacking;
	if (missing) {
		put(pool, element);
		pools->frees++;
	}
	loam_unlock(pools->host, &pools->lock);
	return missing ? LOAM_POOL_REFILLED : LOAM_POOL_SOURCE;
}

/* Elements in the reserve now. Any context. */
static uint32_t pool_count(const struct loam_pool *pub)
{
	struct pools *pools = pub->link.inst;
	uint32_t count;

	loam_lock(pools->host, &pools->lock);
	count = pool_of(pub)->count;
	loam_unlock(pools->host, &pools->lock);
	return count;
}

/* Down to @min_nr, by one at a time, for the source is not called under the lock: what is over goes back to it. */
static void shrink(struct pools *pools, struct pool *pool, uint32_t min_nr)
{
	while (pool->pub.min_nr > min_nr) { /* which only a resize changes, and there is one at a time */
		void *element = NULL;

		loam_lock(pools->host, &pools->lock);
		if (pool->pub.lacking)
			pools->frees++; /* one that is lacking is not waited for any more */
		else
			element = pop(pool);
		set(pool, pool->count, pool->pub.min_nr - 1);
		loam_unlock(pools->host, &pools->lock);
		if (element)
			pool->pub.source.free(element, pool->pub.source.data);
	}
}

/* The array @fresh, which has room for @min_nr, takes the place of the old one, and the new elements are lacking. */
static void make_room(struct pools *pools, struct pool *pool, void **fresh, uint32_t min_nr)
{
	void **old = pool->elements;
	uint32_t room = pool->room;

	loam_lock(pools->host, &pools->lock);
	memcpy(fresh, old, pool->count * sizeof(*fresh));
	pool->elements = fresh;
	pool->room = min_nr;
	pools->allocs += min_nr - pool->pub.min_nr;
	set(pool, pool->count, min_nr);
	loam_unlock(pools->host, &pools->lock);
	pools->host->meta_free(pools->args->self, old, room * sizeof(*old));
}

/*
 * Another min_nr: 0; -EINVAL for none; or -ENOMEM when there are no records for so many, and nothing has changed. What is over
 * goes back to the source. What is lacking is asked of it, with GFP_KERNEL; where it has none that is no error: gives fill the
 * reserve. May sleep. Take and give may run beside it, another resize not.
 */
static int pool_resize(struct loam_pool *pub, uint32_t min_nr)
{
	struct pools *pools = pub->link.inst;
	struct pool *pool = pool_of(pub);
	void **fresh, *element;

	if (!min_nr)
		return -EINVAL;
	if (min_nr <= pub->min_nr) {
		shrink(pools, pool, min_nr);
		return 0;
	}
	fresh = pools->host->meta_alloc(pools->args->self, min_nr * sizeof(*fresh), 0);
	if (!fresh)
		return -ENOMEM;
	make_room(pools, pool, fresh, min_nr);
	while (pool_count(pub) < min_nr && (element = pub->source.alloc(GFP_KERNEL, pub->source.data)))
		if (pool_give(pub, element) == LOAM_POOL_SOURCE) /* somebody gave one meanwhile */
			pub->source.free(element, pub->source.data);
	return 0;
}

static const struct loam_pool_ops ops = {
	.size = sizeof(ops),
	.create = pool_create,
	.destroy = pool_destroy,
	.take = pool_take,
	.give = pool_give,
	.resize = pool_resize,
	.count = pool_count,
	/* These may be left out; then nothing is kept beyond the reserve. */
	.get = NULL,       /* an element that give kept, LOAM_POOL_KEPT: asked before the source */
	.get_bulk = NULL,  /* so many of them, all or none; comes with give_bulk */
	.give_bulk = NULL, /* so many come back, and the first ones are kept */
};

/* ---- introspection ---- */

/* Counters, at any time. @stat comes zeroed but for its size. The footprint is what the reserves have when they are full. */
static int pool_stat(void *inst, struct loam_stat *stat)
{
	struct pools *pools = inst;

	loam_lock(pools->host, &pools->lock);
	stat->allocs = pools->allocs;
	stat->frees = pools->frees;
	stat->failures = pools->failures;
	stat->live_blocks = pools->allocs - pools->frees;
	for (struct list_head *node = pools->list.next; node != &pools->list; node = node->next) {
		stat->live_bytes += pool_at(node)->pub.lacking * pool_at(node)->element_size;
		stat->footprint += pool_at(node)->pub.min_nr * pool_at(node)->element_size;
	}
	loam_unlock(pools->host, &pools->lock);
	return 0;
}

/* Tell @fn of every broken invariant, and return how many. Never repairs, never aborts. All threads stand still. */
static int pool_check(void *inst, loam_check_fn fn, void *arg)
{
	struct pools *pools = inst;
	uint64_t live = 0;
	int defects = 0;

	for (struct list_head *node = pools->list.next; node != &pools->list; node = node->next) {
		const struct pool *pool = pool_at(node);

		if (pool->count > pool->pub.min_nr || pool->pub.min_nr > pool->room)
			fn(arg, "a reserve with more elements than it should have, or has room for"), defects++;
		if (pool->pub.lacking != pool->pub.min_nr - pool->count)
			fn(arg, "a reserve lacks another number than clients see"), defects++;
		live += pool->pub.lacking;
	}
	if (live != pools->allocs - pools->frees)
		fn(arg, "the counters are not what the reserves lack"), defects++;
	return defects;
}

/* ---- create and destroy ---- */

/* 0, or a negative errno with everything undone. Records come from the host, zeroed, and never from malloc. */
static int create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct pools *pools = host->meta_alloc(args->self, sizeof(*pools), 0);

	if (!pools)
		return -ENOMEM;
	pools->host = host;
	pools->args = args;
	pools->list = (struct list_head){ &pools->list, &pools->list };
	host->lock_init(args->self, &pools->lock, 1, "NAME");
	*inst = pools;
	return 0;
}

/* No call is in progress. Pools that nobody destroyed leave their elements: a source may be code of a module that is gone. */
static void destroy(void *inst)
{
	struct pools *pools = inst;

	while (pools->list.next != &pools->list) {
		struct pool *pool = pool_at(pools->list.next);

		unlist(pools, pool);
		free_records(pools, pool);
	}
	pools->host->lock_destroy(&pools->lock);
	pools->host->meta_free(pools->args->self, pools, sizeof(*pools));
}

static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_POOL, &ops) };

LOAM_PLUGIN(.name = "NAME", .version = "0.1", .summary = "pool: a reserve in an array",
	    .threads = LOAM_THREADS_PARALLEL, LOAM_ROLES(roles), .create = create, .destroy = destroy,
	    .stat = pool_stat, .check = pool_check);
