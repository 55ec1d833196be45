/* SPDX-License-Identifier: MIT */
/*
 * NAME.c: an object allocator to begin with: caches of equal objects.
 *
 * A cache takes its memory through the port `pages` as slabs: 2^order frames, cut into at most 64 objects. One word of a slab's
 * first frame has a bit for each object, so nothing is written into an object that is free: it stays as it was constructed
 * (LOAM_OBJECTS_CONSTRUCTED). The constructor runs for all objects of a new slab, the destructor when the slab goes back,
 * which is as soon as all its objects are free: there is nothing to shrink. Objects under 64 bytes waste most of a page; more
 * bits are the first thing to improve.
 *
 * Threads: ops run on many threads at once (LOAM_THREADS_PARALLEL below), and one lock guards everything. It is not held
 * while the port, a constructor or a destructor is called: these may sleep, or come back here for another cache. Before a fork
 * the host takes all locks, so the child finds everything whole. No op may call malloc.
 */
#include <errno.h>
#include <loam/plugin.h>
#include <stdio.h>

#define LINE 64u /* bytes of a line of the processor's cache, for SLAB_HWCACHE_ALIGN */
/* Flags that are understood, or may be ignored; others are refused, so that nobody relies on what is not there. */
#define FLAGS                                                                                                          \
	(SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON | SLAB_HWCACHE_ALIGN | SLAB_CACHE_DMA |                 \
	 SLAB_CACHE_DMA32 | SLAB_STORE_USER | SLAB_RECLAIM_ACCOUNT | SLAB_PANIC | SLAB_NO_REAP)

/* An instance: a section of the configuration. There may be several at once, so there are no global variables. */
struct objects {
	const struct loam_host *host; /* the host's services */
	const struct loam_args *args; /* what create was given; lives as long as the instance */
	struct loam_lock lock;        /* of what follows, of the caches' lists and the slabs' words */
	struct list_head caches;
	struct loam_stat stat;
};

struct cache {
	struct loam_cache pub; /* first: what clients see */
	struct objects *objects;
	struct list_head link;  /* on objects->caches */
	struct list_head slabs; /* those with a free object in front */
	unsigned nr_slabs;      /* each has live objects, or is being given back */
	size_t step;            /* from object to object */
	unsigned order;         /* of a slab */
	gfp_t gfp;              /* the zone that the cache wants */
	void (*ctor)(void *object), (*dtor)(void *object);
	char name[64];
};

static void list_add(struct list_head *node, struct list_head *behind)
{
	*node = (struct list_head){ .prev = behind, .next = behind->next };
	node->prev->next = node->next->prev = node;
}

static void list_del(struct list_head *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
}

/*
 * A slab is known by its first frame, whose words are ours while we hold it: `lru` is its place on the cache's list, own[2] the
 * cache, `priv` has a bit for each object, 1 for a free one.
 */
static struct page *slab_at(struct list_head *node)
{
	return (struct page *)((char *)node - offsetof(struct page, lru));
}

static struct cache *cache_at(struct list_head *node)
{
	return (struct cache *)((char *)node - offsetof(struct cache, link));
}

static unsigned long per_slab(const struct cache *cache)
{
	unsigned long n = (LOAM_PAGE_SIZE << cache->order) / cache->step;

	return n < 64 ? n : 64;
}

/* What `priv` is when every object is free. */
static unsigned long all_free(const struct cache *cache)
{
	return ~0ul >> (64 - per_slab(cache));
}

/* Object @i of @slab, and back: which one @ptr lies in. */
static void *object_at(const struct cache *cache, const struct page *slab, unsigned long i)
{
	return (char *)loam_page_ptr(cache->objects->host->map, slab) + i * cache->step;
}

static unsigned long index_of(const struct cache *cache, const struct page *slab, const void *ptr)
{
	return (unsigned long)((const char *)ptr - (char *)object_at(cache, slab, 0)) / cache->step;
}

static struct loam_span span_of(const struct cache *cache, const struct page *slab, unsigned long i)
{
	return (struct loam_span){ .size = sizeof(struct loam_span),
				   .kind = slab->priv >> i & 1 ? LOAM_SPAN_FREE : LOAM_SPAN_LIVE,
				   .addr = object_at(cache, slab, i),
				   .bytes = cache->pub.object_size,
				   .label = cache->name };
}

/* ---- slabs: made and given back without the lock ---- */

/* A new slab, constructed, on no list yet; NULL: the port has no memory. */
static struct page *slab_new(struct cache *cache, gfp_t gfp)
{
	struct objects *objects = cache->objects;
	struct page *slab;

	gfp = (gfp & ~(__GFP_HIGHMEM | __GFP_MOVABLE)) | cache->gfp; /* high memory has no address */
	slab = objects->host->pages_alloc(objects->args->ports[0], gfp, cache->order, cache->pub.owner);
	if (!slab)
		return NULL;
	slab->own[2] = cache;
	slab->priv = all_free(cache);
	for (unsigned long i = 0; cache->ctor && i < per_slab(cache); i++)
		cache->ctor(object_at(cache, slab, i));
	return slab;
}

/* The slab is on no list any more, so nobody else's. The cache cannot go before this is done. */
static void slab_free(struct cache *cache, struct page *slab)
{
	struct objects *objects = cache->objects;

	for (unsigned long i = 0; cache->dtor && i < per_slab(cache); i++)
		cache->dtor(object_at(cache, slab, i));
	objects->host->pages_free(objects->args->ports[0], slab, cache->order);
	loam_lock(objects->host, &objects->lock);
	cache->nr_slabs--;
	loam_unlock(objects->host, &objects->lock);
}

/* ---- the role objects ---- */

static const struct loam_objects_ops ops;

static size_t max_size(const struct objects *objects)
{
	return LOAM_PAGE_SIZE << (loam_pages_orders(objects->args->ports[0]) - 1);
}

/*
 * A new cache into *@out: 0, -EINVAL for what cannot be, -ENOMEM with everything undone. May sleep. @args goes when this
 * returns, so what is needed later is copied. Frames are claimed for the cache's own owner id, which leads kfree back to it.
 */
static int objects_create(void *inst, const struct loam_cache_args *args, struct loam_cache **out)
{
	struct objects *objects = inst;
	size_t max = max_size(objects), align = args->align > 8 ? args->align : 8;
	struct cache *cache;

	if (args->flags & SLAB_HWCACHE_ALIGN && align < LINE)
		align = LINE;
	if (!args->object_size || args->object_size > max || align > max || args->align & (args->align - 1) ||
	    args->flags & ~FLAGS)
		return -EINVAL;
	cache = objects->host->meta_alloc(objects->args->self, sizeof(*cache), 0);
	if (!cache)
		return -ENOMEM;
	snprintf(cache->name, sizeof(cache->name), "%s", args->name);
	cache->pub = (struct loam_cache){ .link = { &ops, objects },
					  .name = cache->name,
					  .object_size = (uint32_t)args->object_size,
					  .owner = args->owner };
	cache->objects = objects;
	cache->slabs = (struct list_head){ &cache->slabs, &cache->slabs };
	cache->step = (args->object_size + align - 1) & ~(align - 1);
	cache->order = loam_pages_order(cache->step);
	cache->gfp = loam_cache_gfp(args);
	cache->ctor = args->ctor;
	cache->dtor = args->dtor;
	loam_lock(objects->host, &objects->lock);
	list_add(&cache->link, &objects->caches);
	loam_unlock(objects->host, &objects->lock);
	*out = &cache->pub;
	return 0;
}

/* 0 and the cache is gone, or -EBUSY and nothing has changed: objects of it live. May sleep. */
static int objects_destroy(struct loam_cache *pub)
{
	struct cache *cache = (struct cache *)pub;
	struct objects *objects = cache->objects;
	bool busy;

	loam_lock(objects->host, &objects->lock);
	busy = cache->nr_slabs;
	if (!busy)
		list_del(&cache->link);
	loam_unlock(objects->host, &objects->lock);
	if (busy)
		return -EBUSY;
	objects->host->meta_free(objects->args->self, cache, sizeof(*cache));
	return 0;
}

/*
 * An object, as it was constructed or as its last holder left it, or NULL when memory is short. @gfp says whether the caller
 * may sleep: it is for the port. Any thread.
 */
static void *objects_alloc(struct loam_cache *pub, gfp_t gfp)
{
	struct cache *cache = (struct cache *)pub;
	struct objects *objects = cache->objects;
	struct page *slab = NULL;
	void *object = NULL;

	loam_lock(objects->host, &objects->lock);
	if (cache->slabs.next != &cache->slabs && slab_at(cache->slabs.next)->priv) {
		slab = slab_at(cache->slabs.next);
		list_del(&slab->lru);
	} else {
		loam_unlock(objects->host, &objects->lock);
		slab = slab_new(cache, gfp);
		loam_lock(objects->host, &objects->lock);
		objects->stat.footprint += slab ? LOAM_PAGE_SIZE << cache->order : 0;
		cache->nr_slabs += slab != NULL;
	}
	if (slab) {
		object = object_at(cache, slab, (unsigned long)__builtin_ctzl(slab->priv));
		slab->priv &= slab->priv - 1; /* the lowest free one is taken */
		list_add(&slab->lru, slab->priv ? &cache->slabs : cache->slabs.prev);
		objects->stat.allocs++;
		objects->stat.live_bytes += pub->object_size;
	} else {
		objects->stat.failures++;
	}
	loam_unlock(objects->host, &objects->lock);
	return object;
}

/* Give an object back; any thread. What is no live object of this cache is reported and left as it is. */
static void objects_free(struct loam_cache *pub, void *object)
{
	struct cache *cache = (struct cache *)pub;
	struct objects *objects = cache->objects;
	struct page *page = loam_ptr_page(objects->host->map, object);
	struct page *slab = page && page->owner == pub->owner ? loam_page_head(page) : NULL;
	unsigned long i = slab ? index_of(cache, slab, object) : 0;
	bool others = page && page->owner && !slab, live, empty = false;

	if (!slab || i >= per_slab(cache) || object != object_at(cache, slab, i)) {
		objects->host->report(objects->args->self, others ? LOAM_REPORT_WRONG_CACHE : LOAM_REPORT_BAD_FREE,
				      object, "not an object of cache %s", cache->name);
		return;
	}
	loam_lock(objects->host, &objects->lock);
	live = !(slab->priv >> i & 1);
	if (live) {
		slab->priv |= 1ul << i;
		list_del(&slab->lru);
		empty = slab->priv == all_free(cache);
		if (!empty)
			list_add(&slab->lru, &cache->slabs);
		objects->stat.frees++;
		objects->stat.live_bytes -= pub->object_size;
		objects->stat.footprint -= empty ? LOAM_PAGE_SIZE << cache->order : 0;
	}
	loam_unlock(objects->host, &objects->lock);
	if (!live)
		objects->host->report(objects->args->self, LOAM_REPORT_DOUBLE_FREE, object, "free already in cache %s",
				      cache->name);
	if (empty)
		slab_free(cache, slab);
}

/* What this instance can do, the same as long as it lives. @limits comes zeroed but for its size. */
static void objects_limits(void *inst, struct loam_objects_limits *limits)
{
	limits->max_size = limits->max_align = max_size(inst);
	limits->caps = LOAM_OBJECTS_CONSTRUCTED | LOAM_OBJECTS_OWN_FRAMES | LOAM_OBJECTS_KFREE |
		       LOAM_OBJECTS_DOUBLE_FREE | LOAM_OBJECTS_BAD_FREE;
}

static const struct loam_objects_ops ops = {
	.size = sizeof(ops),
	.create = objects_create,
	.destroy = objects_destroy,
	.alloc = objects_alloc,
	.free = objects_free,
	.limits = objects_limits,
	/* These may be left out; then the client makes do. */
	.alloc_bulk = NULL, /* many objects at once, all or none; comes with free_bulk */
	.free_bulk = NULL,
	.shrink = NULL, /* a cache's empty slabs back to the port; there are none */
	.each = NULL,   /* the lines of slabinfo (LOAM_OBJECTS_SLABINFO) */
};

/* ---- introspection ---- */

/* Counters, at any time. @stat comes zeroed but for its size. */
static int objects_stat(void *inst, struct loam_stat *stat)
{
	struct objects *objects = inst;

	loam_lock(objects->host, &objects->lock);
	objects->stat.size = stat->size;
	objects->stat.live_blocks = objects->stat.allocs - objects->stat.frees;
	*stat = objects->stat;
	loam_unlock(objects->host, &objects->lock);
	return 0;
}

/* Show @fn every object, live or free, until it returns non-zero. All threads stand still, all locks are held: take none. */
static int objects_walk(void *inst, loam_walk_fn fn, void *arg)
{
	struct objects *objects = inst;
	int result = 0;

	for (struct list_head *c = objects->caches.next; c != &objects->caches; c = c->next)
		for (struct list_head *s = cache_at(c)->slabs.next; s != &cache_at(c)->slabs; s = s->next)
			for (unsigned long i = 0; i < per_slab(cache_at(c)) && !result; i++) {
				struct loam_span span = span_of(cache_at(c), slab_at(s), i);

				result = fn(arg, &span);
			}
	return result;
}

/* Tell @fn of every broken invariant, and return how many. Never repairs, never aborts. All threads stand still. */
static int objects_check(void *inst, loam_check_fn fn, void *arg)
{
	struct objects *objects = inst;
	uint64_t live = 0, bytes = 0;
	int defects = 0;

	for (struct list_head *c = objects->caches.next; c != &objects->caches; c = c->next)
		for (struct list_head *s = cache_at(c)->slabs.next; s != &cache_at(c)->slabs; s = s->next) {
			unsigned long taken = all_free(cache_at(c)) & ~slab_at(s)->priv;

			if (!taken || slab_at(s)->priv & ~all_free(cache_at(c)) || slab_at(s)->own[2] != cache_at(c))
				fn(arg, "a slab that is not its cache's, or empty"), defects++;
			if (slab_at(s)->priv && s->prev != &cache_at(c)->slabs && !slab_at(s->prev)->priv)
				fn(arg, "a slab with free objects behind a full one"), defects++;
			live += (unsigned long)__builtin_popcountl(taken);
			bytes += (unsigned long)__builtin_popcountl(taken) * cache_at(c)->pub.object_size;
		}
	if (live != objects->stat.allocs - objects->stat.frees || bytes != objects->stat.live_bytes)
		fn(arg, "the counters are not what the slabs say"), defects++;
	return defects;
}

/*
 * The object that @addr, in a frame of ours, lies in: 0, or -ENOENT. Takes no lock and calls nothing, for it may run in a fault
 * handler; what it says may be stale.
 */
static int objects_find(void *inst, const void *addr, struct page *page, struct loam_span *span)
{
	const struct page *slab = loam_page_head(page);
	const struct cache *cache = slab->own[2];

	(void)inst;
	if (!cache || index_of(cache, slab, addr) >= per_slab(cache))
		return -ENOENT;
	*span = span_of(cache, slab, index_of(cache, slab, addr));
	return 0;
}

/* ---- create and destroy ---- */

/* 0, or a negative errno with everything undone. Records come from the host, zeroed, and never from malloc. */
static int create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct objects *objects = host->meta_alloc(args->self, sizeof(*objects), 0);

	if (!objects)
		return -ENOMEM;
	objects->host = host;
	objects->args = args;
	objects->caches = (struct list_head){ &objects->caches, &objects->caches };
	host->lock_init(args->self, &objects->lock, 1, "NAME");
	*inst = objects;
	return 0;
}

/* No call is in progress. All that came through the port goes back, caches and objects that still live too, and the records. */
static void destroy(void *inst)
{
	struct objects *objects = inst;

	while (objects->caches.next != &objects->caches) {
		struct cache *cache = cache_at(objects->caches.next);

		while (cache->slabs.next != &cache->slabs) {
			struct page *slab = slab_at(cache->slabs.next);

			list_del(&slab->lru);
			slab_free(cache, slab);
		}
		list_del(&cache->link);
		objects->host->meta_free(objects->args->self, cache, sizeof(*cache));
	}
	objects->host->lock_destroy(&objects->lock);
	objects->host->meta_free(objects->args->self, objects, sizeof(*objects));
}

static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages", .help = "where memory comes from"),
};
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_OBJECTS, &ops) };

LOAM_PLUGIN(.name = "NAME", .version = "0.1", .summary = "objects: caches of slabs with a word of bits",
	    .threads = LOAM_THREADS_PARALLEL, LOAM_PORTS(ports), LOAM_ROLES(roles), .create = create,
	    .destroy = destroy, .stat = objects_stat, .walk = objects_walk, .check = objects_check,
	    .find = objects_find);
