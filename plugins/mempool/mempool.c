/* SPDX-License-Identifier: MIT */
/*
 * mempool.c: the role pool as Linux has it: a reserve, and nothing kept beyond it.
 *
 * The source serves as long as it can, and what comes back fills the reserve before it goes to the source: so what was once
 * guaranteed is there again as soon as somebody gives back.
 */
#include "../common/reserve.h"

#include <errno.h>

struct mempool {
	const struct loam_host *host;
	struct loam_self *self;
	bool poison;
	struct loam_lock lock; /* rank 1: the list, and the counters of pools that went */
	struct list_head pools;
	uint64_t allocs, failures;
};

static const struct loam_pool_ops ops;

static int mempool_create(void *inst, const struct loam_pool_args *args, struct loam_pool **out)
{
	struct mempool *mp = inst;
	struct reserve *r = mp->host->meta_alloc(mp->self, sizeof(*r), 0);
	int error =
		r ? reserve_make(r, mp->host, mp->self, 2, args, (struct loam_link){ &ops, mp }, mp->poison) : -ENOMEM;

	if (error) {
		if (r)
			mp->host->meta_free(mp->self, r, sizeof(*r));
		return error;
	}
	loam_lock(mp->host, &mp->lock);
	list_add(&r->link, &mp->pools);
	loam_unlock(mp->host, &mp->lock);
	*out = &r->pub;
	return 0;
}

static void mempool_destroy(struct loam_pool *pub)
{
	struct reserve *r = reserve_of(pub);
	struct mempool *mp = pub->link.inst;

	loam_lock(mp->host, &mp->lock);
	list_del(&r->link);
	/* What it lacks will not come back to it any more. */
	mp->allocs += r->allocs;
	mp->failures += r->failures;
	loam_unlock(mp->host, &mp->lock);
	reserve_end(r);
	mp->host->meta_free(mp->self, r, sizeof(*r));
}

/* The elements stay the source's: its functions may be those of a module that is gone. */
static void forget(struct mempool *mp, struct reserve *r)
{
	list_del(&r->link);
	reserve_forget(r);
	mp->host->meta_free(mp->self, r, sizeof(*r));
}

static int mempool_give(struct loam_pool *pub, void *element)
{
	bool is_short = loam_pool_is_short(pub);
	struct reserve *r = reserve_of(pub);

	return loam_unlikely(is_short) && reserve_refill(r, element) ? LOAM_POOL_REFILLED : LOAM_POOL_SOURCE;
}

static int mempool_stat(void *inst, struct loam_stat *stat)
{
	struct mempool *mp = inst;

	loam_lock(mp->host, &mp->lock);
	stat->allocs = stat->frees = mp->allocs;
	stat->failures = mp->failures;
	list_for_each (pos, &mp->pools)
		reserve_stat(list_of(pos, struct reserve, link), stat);
	loam_unlock(mp->host, &mp->lock);
	stat->live_blocks = stat->allocs - stat->frees;
	return 0;
}

static int mempool_check(void *inst, loam_check_fn fn, void *arg)
{
	struct mempool *mp = inst;
	int broken = 0;

	list_for_each (pos, &mp->pools)
		broken += reserve_check(list_of(pos, struct reserve, link), fn, arg);
	return broken;
}

static int instance_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct mempool *mp = host->meta_alloc(args->self, sizeof(*mp), 0);

	if (!mp)
		return -ENOMEM;
	mp->host = host;
	mp->self = args->self;
	mp->poison = args->params[0].b;
	list_init(&mp->pools);
	host->lock_init(args->self, &mp->lock, 1, "pools");
	*inst = mp;
	return 0;
}

static void instance_destroy(void *inst)
{
	struct mempool *mp = inst;

	while (!list_empty(&mp->pools))
		forget(mp, list_of(mp->pools.next, struct reserve, link));
	mp->host->lock_destroy(&mp->lock);
	mp->host->meta_free(mp->self, mp, sizeof(*mp));
}

static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_BOOL, .name = "poison", .def = "off",
		   .help = "fill elements of the reserve with a pattern, and check it when they leave"),
};
static const struct loam_pool_ops ops = { .size = sizeof(ops),
					  .create = mempool_create,
					  .destroy = mempool_destroy,
					  .take = reserve_take,
					  .give = mempool_give,
					  .resize = reserve_resize,
					  .count = reserve_count };
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_POOL, &ops) };

LOAM_PLUGIN(.name = "mempool", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "pool: a stack of elements, filled before anything goes back to the source", LOAM_PARAMS(params),
	    LOAM_ROLES(roles), .create = instance_create, .destroy = instance_destroy, .stat = mempool_stat,
	    .check = mempool_check);
