/* SPDX-License-Identifier: MIT */
/*
 * NAME.c: a filter to begin with: at most so many live blocks.
 *
 * A filter provides the role of what it stands on, its lower instance, and so stacks on anything: here pages, objects or a
 * heap. An allocation beyond `limit` is refused; everything else is passed on. Pages are counted in frames, for a block of them
 * may come back in parts.
 *
 * For each role there is a table of ops. An instance has the roles that its lower instance has; the other tables are not used.
 * A role that you do not want goes with its table and its bit in `ports`. An op that is NULL is not passed on, and the client
 * makes do without it.
 *
 * Threads: ops run on many threads at once (LOAM_THREADS_PARALLEL below). The counters are atomic, so no lock is held while
 * the lower instance is called, which may sleep where gfp allows it; nothing else here sleeps. The one lock is for the list of
 * caches. No op may call malloc, which may go through this very filter.
 */
#include <errno.h>
#include <loam/plugin.h>
#include <stdio.h>

/* An instance: a section of the configuration. There may be several at once, so there are no global variables. */
struct filter {
	const struct loam_host *host; /* the host's services */
	const struct loam_args *args; /* what create was given; lives as long as the instance */
	int64_t limit;                /* 0: none */
	int64_t live;                 /* atomic */
	uint64_t refused, failures;   /* atomic; failures: by us and below */
	struct loam_lock lock;        /* of the list */
	struct list_head caches;
};

/* ---- what this filter is for ---- */

/* Whether @n more may live; then they are counted. Relaxed: nothing else hangs on the numbers. */
static bool enter(struct filter *filter, int64_t n)
{
	int64_t live = __atomic_add_fetch(&filter->live, n, __ATOMIC_RELAXED);

	if (!filter->limit || live <= filter->limit)
		return true;
	__atomic_fetch_sub(&filter->live, n, __ATOMIC_RELAXED);
	__atomic_fetch_add(&filter->refused, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&filter->failures, 1, __ATOMIC_RELAXED);
	return false;
}

static void leave(struct filter *filter, int64_t n)
{
	__atomic_fetch_sub(&filter->live, n, __ATOMIC_RELAXED);
}

/* What the lower instance gave, where it gave anything. */
static void *entered(struct filter *filter, int64_t n, void *block)
{
	if (!block) {
		leave(filter, n);
		__atomic_fetch_add(&filter->failures, 1, __ATOMIC_RELAXED);
	}
	return block;
}

/* ---- the role heap ---- */

/* The link behind a port is read anew at each call: the host may put another instance there. */
static const struct loam_port *heap_below(void *inst)
{
	return ((struct filter *)inst)->args->lower[LOAM_ROLE_HEAP];
}

/* A block, or NULL when memory is short. */
static void *heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	if (!enter(inst, 1))
		return NULL;
	return entered(inst, 1, loam_heap_alloc(heap_below(inst), bytes, align, gfp));
}

/* The same with contents all zero, which the lower instance may know how to get at no cost. */
static void *heap_zalloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	if (!enter(inst, 1))
		return NULL;
	return entered(inst, 1, loam_heap_zalloc(heap_below(inst), bytes, align, gfp));
}

/* @page is the frame of @ptr, found once by the host and handed down; NULL for blocks outside the machine's memory. */
static void heap_free(void *inst, void *ptr, struct page *page)
{
	const struct loam_link *link = loam_port_link(heap_below(inst));

	loam_heap_ops(link)->free(link->inst, ptr, page);
	leave(inst, 1);
}

/* Bytes that the holder of @ptr may use. */
static size_t heap_usable_size(void *inst, const void *ptr, struct page *page)
{
	const struct loam_link *link = loam_port_link(heap_below(inst));

	return loam_heap_ops(link)->usable_size(link->inst, ptr, page);
}

/* Another size for a block, where it is: true when done. The lower instance may not have the op. */
static bool heap_resize(void *inst, void *ptr, struct page *page, size_t bytes)
{
	const struct loam_link *link = loam_port_link(heap_below(inst));

	return loam_heap_ops(link)->resize && loam_heap_ops(link)->resize(link->inst, ptr, page, bytes);
}

/* What may be asked: as below. What a filter takes away it also takes out of the limits, on the way up. */
static void heap_limits(void *inst, struct loam_heap_limits *limits)
{
	const struct loam_link *link = loam_port_link(heap_below(inst));

	loam_heap_ops(link)->limits(link->inst, limits);
}

static const struct loam_heap_ops heap_ops = {
	.size = sizeof(heap_ops),
	.alloc = heap_alloc,
	.free = heap_free,
	.usable_size = heap_usable_size,
	.zalloc = heap_zalloc,
	.resize = heap_resize,
	.alloc_bulk = NULL, /* many blocks at once, all or none; comes with free_bulk */
	.free_bulk = NULL,
	.owns = NULL, /* for blocks outside the machine's memory */
	.limits = heap_limits,
};

/* ---- the role objects ---- */

/* A cache of ours stands before one of the lower instance. */
struct cache {
	struct loam_cache pub; /* first: what clients see */
	struct filter *filter;
	struct loam_cache *below;
	struct list_head link; /* on filter->caches */
};

static const struct loam_objects_ops objects_ops;

static struct cache *cache_of(struct loam_cache *pub)
{
	return (struct cache *)pub;
}

static const struct loam_link *objects_below(void *inst)
{
	return loam_port_link(((struct filter *)inst)->args->lower[LOAM_ROLE_OBJECTS]);
}

/*
 * A new cache into *@out: 0, -EINVAL, or -ENOMEM with everything undone. May sleep. @args goes down as it came, with the owner
 * id that leads kfree to the cache of the topmost filter.
 */
static int objects_create(void *inst, const struct loam_cache_args *args, struct loam_cache **out)
{
	struct filter *filter = inst;
	const struct loam_link *link = objects_below(inst);
	struct cache *cache = filter->host->meta_alloc(filter->args->self, sizeof(*cache), 0);
	int error =
		cache ? ((const struct loam_objects_ops *)link->ops)->create(link->inst, args, &cache->below) : -ENOMEM;

	if (error) {
		if (cache)
			filter->host->meta_free(filter->args->self, cache, sizeof(*cache));
		return error;
	}
	cache->pub = *cache->below;
	cache->pub.link = (struct loam_link){ &objects_ops, filter };
	cache->filter = filter;
	loam_lock(filter->host, &filter->lock);
	cache->link = (struct list_head){ .prev = &filter->caches, .next = filter->caches.next };
	cache->link.next->prev = cache->link.prev->next = &cache->link;
	loam_unlock(filter->host, &filter->lock);
	*out = &cache->pub;
	return 0;
}

static void forget(struct cache *cache)
{
	struct filter *filter = cache->filter;

	loam_lock(filter->host, &filter->lock);
	cache->link.prev->next = cache->link.next;
	cache->link.next->prev = cache->link.prev;
	loam_unlock(filter->host, &filter->lock);
	filter->host->meta_free(filter->args->self, cache, sizeof(*cache));
}

/* 0 and both caches are gone, or -EBUSY and nothing has changed: objects live. May sleep. */
static int objects_destroy(struct loam_cache *pub)
{
	struct loam_cache *below = cache_of(pub)->below;
	int error = loam_cache_ops(below)->destroy(below);

	if (!error)
		forget(cache_of(pub));
	return error;
}

static void *objects_alloc(struct loam_cache *pub, gfp_t gfp)
{
	struct cache *cache = cache_of(pub);

	if (!enter(cache->filter, 1))
		return NULL;
	return entered(cache->filter, 1, loam_cache_alloc(cache->below, gfp));
}

static void objects_free(struct loam_cache *pub, void *object)
{
	loam_cache_free(cache_of(pub)->below, object);
	leave(cache_of(pub)->filter, 1);
}

/* A cache's empty slabs back to the pages: how many frames. May sleep. */
static unsigned long objects_shrink(struct loam_cache *pub)
{
	struct loam_cache *below = cache_of(pub)->below;

	return loam_cache_ops(below)->shrink ? loam_cache_ops(below)->shrink(below) : 0;
}

/* The lines of slabinfo. */
static int objects_each(void *inst, loam_cache_fn fn, void *arg)
{
	const struct loam_link *link = objects_below(inst);
	const struct loam_objects_ops *ops = link->ops;

	return ops->each ? ops->each(link->inst, fn, arg) : 0;
}

static void objects_limits(void *inst, struct loam_objects_limits *limits)
{
	const struct loam_link *link = objects_below(inst);

	((const struct loam_objects_ops *)link->ops)->limits(link->inst, limits);
}

static const struct loam_objects_ops objects_ops = {
	.size = sizeof(objects_ops),
	.create = objects_create,
	.destroy = objects_destroy,
	.alloc = objects_alloc,
	.free = objects_free,
	.alloc_bulk = NULL, /* many objects at once, all or none; comes with free_bulk */
	.free_bulk = NULL,
	.shrink = objects_shrink,
	.each = objects_each,
	.limits = objects_limits,
};

/* ---- the role pages ---- */

static const struct loam_link *pages_below(void *inst)
{
	return loam_port_link(((struct filter *)inst)->args->lower[LOAM_ROLE_PAGES]);
}

/* Frames of the machine, at boot: the lower instance's to hand out. */
static int pages_add(void *inst, const struct loam_zone *zone, unsigned long pfn, unsigned long count)
{
	const struct loam_link *link = pages_below(inst);

	return loam_pages_ops(link)->add(link->inst, zone, pfn, count);
}

/* One try in one zone, without sleeping. */
static struct page *pages_alloc(void *inst, const struct loam_zone *zone, unsigned order, unsigned flags)
{
	const struct loam_link *link = pages_below(inst);

	if (!enter(inst, 1l << order))
		return NULL;
	return entered(inst, 1l << order, loam_pages_ops(link)->alloc(link->inst, zone, order, flags));
}

/* A block, or an aligned part of one. */
static void pages_free(void *inst, const struct loam_zone *zone, struct page *page, unsigned order)
{
	const struct loam_link *link = pages_below(inst);

	loam_pages_ops(link)->free(link->inst, zone, page, order);
	leave(inst, 1l << order);
}

/* Free blocks of each order. A filter that keeps blocks adds its own. */
static void pages_counts(void *inst, const struct loam_zone *zone, unsigned long counts[LOAM_ORDERS])
{
	const struct loam_link *link = pages_below(inst);

	loam_pages_ops(link)->counts(link->inst, zone, counts);
}

static void pages_limits(void *inst, struct loam_pages_limits *limits)
{
	const struct loam_link *link = pages_below(inst);

	loam_pages_ops(link)->limits(link->inst, limits);
}

static const struct loam_pages_ops pages_ops = {
	.size = sizeof(pages_ops),
	.add = pages_add,
	.alloc = pages_alloc,
	.free = pages_free,
	.alloc_bulk = NULL, /* up to @n single frames; comes with free_bulk */
	.free_bulk = NULL,
	.counts = pages_counts,
	.limits = pages_limits,
};

/* ---- introspection: about what our clients hold, which here is what they hold of the lower instance ---- */

/* Counters, at any time. @stat comes with its size set. */
static int filter_stat(void *inst, struct loam_stat *stat)
{
	struct filter *filter = inst;

	filter->host->stat(filter->args->ports[0], stat);
	stat->failures = __atomic_load_n(&filter->failures, __ATOMIC_RELAXED);
	return 0;
}

/* All blocks, live and free. All threads stand still; their locks are held, so take none. */
static int filter_walk(void *inst, loam_walk_fn fn, void *arg)
{
	struct filter *filter = inst;

	return filter->host->walk(filter->args->ports[0], fn, arg);
}

/* What there is to tell people, line by line: `loam run` and `loam exec --summary` print it. At any time. */
static void filter_tell(void *inst, void (*line)(void *arg, const char *text), void *arg)
{
	struct filter *filter = inst;
	char text[80];

	snprintf(text, sizeof(text), "refused %llu allocations over the limit",
		 (unsigned long long)__atomic_load_n(&filter->refused, __ATOMIC_RELAXED));
	line(arg, text);
}

/* ---- create and destroy ---- */

/* 0, or a negative errno with everything undone. Records come from the host, zeroed, and never from malloc. */
static int create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct filter *filter = host->meta_alloc(args->self, sizeof(*filter), 0);

	if (!filter)
		return -ENOMEM;
	filter->host = host;
	filter->args = args;
	filter->limit = args->params[0].i;
	filter->caches = (struct list_head){ &filter->caches, &filter->caches };
	host->lock_init(args->self, &filter->lock, 1, "NAME");
	*inst = filter;
	return 0;
}

/* No call is in progress. The caches below go with their instance; our records for those that nobody destroyed go here. */
static void destroy(void *inst)
{
	struct filter *filter = inst;

	while (filter->caches.next != &filter->caches)
		forget((struct cache *)((char *)filter->caches.next - offsetof(struct cache, link)));
	filter->host->lock_destroy(&filter->lock);
	filter->host->meta_free(filter->args->self, filter, sizeof(*filter));
}

static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "limit", .def = "0", .max = INT64_MAX,
		   .help = "live blocks at most, of pages in frames; 0: any number"),
};
/* LOAM_PORT_LOWER is what makes it a filter. */
static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES) | LOAM_ROLE_BIT(LOAM_ROLE_OBJECTS) |
			   LOAM_ROLE_BIT(LOAM_ROLE_HEAP),
		  .flags = LOAM_PORT_LOWER, .name = "lower", .help = "what is limited"),
};
static const struct loam_role_decl roles[] = {
	LOAM_ROLE(LOAM_ROLE_PAGES, &pages_ops),
	LOAM_ROLE(LOAM_ROLE_OBJECTS, &objects_ops),
	LOAM_ROLE(LOAM_ROLE_HEAP, &heap_ops),
};

LOAM_PLUGIN(.name = "NAME", .version = "0.1", .summary = "filter: a limit on live blocks",
	    .threads = LOAM_THREADS_PARALLEL, LOAM_PARAMS(params), LOAM_PORTS(ports), LOAM_ROLES(roles),
	    .create = create, .destroy = destroy, .stat = filter_stat, .walk = filter_walk, .tell = filter_tell);
