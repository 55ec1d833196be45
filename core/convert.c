/* SPDX-License-Identifier: MIT */
/*
 * convert.c: roles made of other roles, so that a reference may name an instance that has not the role but could.
 *
 * Two conversions, each a plugin of the host's own, written against plugin.h like any other; the wiring puts an instance of it
 * between the two when a reference asks for it. What boot, fork, reports and leaks do for instances holds for them too.
 *
 *   pages as a heap    each block is a run of whole frames, naturally aligned; what its power of two has too much goes back
 *   heap as objects    each object is a block of its own, with a word behind the object that says of which cache it is. The
 *                      constructor runs at every alloc and the destructor at every free, as in SLOB, so the capability
 *                      LOAM_OBJECTS_CONSTRUCTED is not claimed. The flags for red zones and poison have no effect. An
 *                      object goes back through its cache; freeing it as a block of the heap, as
 *                      kfree would, frees it, but the cache still counts it as live (LOAM_OBJECTS_KFREE is not claimed)
 */
#include "internal.h"

#include <loam/heap.h>
#include <loam/objects.h>
#include <loam/pages.h>

#include <errno.h>
#include <string.h>

/* Relaxed: sums that order nothing. */
static void add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static uint64_t get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* ---- pages as a heap ---- */

/** A live block's first frame: own[0] the instance, own[1] and own[2] links, index the number of frames. */
struct runs {
	const struct loam_host *host;
	struct loam_self *self;
	const struct loam_port *pages;
	uint32_t owner;
	unsigned orders;
	struct loam_lock lock;
	struct list_head live LOAM_GUARDED_BY(lock);
	uint64_t allocs, frees, failures, frames; /* atomic */
};

static struct list_head *run_node(struct page *page)
{
	return (struct list_head *)&page->own[1];
}

static void *runs_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct runs *runs = inst;
	unsigned long n = (bytes + LOAM_PAGE_SIZE - 1) >> LOAM_PAGE_SHIFT;
	unsigned order = loam_pages_order(bytes > align ? bytes : align);
	struct page *page = NULL;

	if (order < runs->orders)
		page = runs->host->pages_alloc(runs->pages, gfp & ~(__GFP_HIGHMEM | __GFP_MOVABLE), order, runs->owner);
	if (!page) {
		add(&runs->failures, 1);
		return NULL;
	}
	if (n < 1ul << order)
		loam_pages_free_range(runs->host, runs->pages, page + n, (1ul << order) - n);
	page->own[0] = runs;
	page->index = n;
	loam_lock(runs->host, &runs->lock);
	loam__list_add(run_node(page), &runs->live);
	loam_unlock(runs->host, &runs->lock);
	add(&runs->allocs, 1);
	add(&runs->frames, n);
	return loam_page_ptr(runs->host->map, page);
}

static void runs_free(void *inst, void *ptr, struct page *page)
{
	struct runs *runs = inst;
	unsigned long n;

	if ((uintptr_t)ptr % LOAM_PAGE_SIZE || loam_page_head(page) != page) {
		runs->host->report(runs->self, LOAM_REPORT_BAD_FREE, ptr, "not the start of a block");
		return;
	}
	n = page->index;
	loam_lock(runs->host, &runs->lock);
	loam__list_del(run_node(page));
	loam_unlock(runs->host, &runs->lock);
	add(&runs->frees, 1);
	add(&runs->frames, -(uint64_t)n);
	loam_pages_free_range(runs->host, runs->pages, page, n);
}

static size_t runs_usable(void *inst, const void *ptr, struct page *page)
{
	(void)inst, (void)ptr;
	return loam_page_head(page)->index << LOAM_PAGE_SHIFT;
}

static void runs_limits(void *inst, struct loam_heap_limits *limits)
{
	const struct runs *runs = inst;

	limits->caps = LOAM_HEAP_NATURAL | LOAM_HEAP_BAD_FREE;
	limits->max_size = limits->max_align = LOAM_PAGE_SIZE << (runs->orders - 1);
	limits->min_align = LOAM_PAGE_SIZE;
}

static int runs_stat(void *inst, struct loam_stat *stat)
{
	const struct runs *runs = inst;

	stat->frees = get(&runs->frees);
	stat->allocs = get(&runs->allocs);
	stat->failures = get(&runs->failures);
	stat->live_blocks = stat->allocs - stat->frees;
	stat->live_bytes = stat->footprint = get(&runs->frames) << LOAM_PAGE_SHIFT;
	return 0;
}

static int runs_walk(void *inst, loam_walk_fn fn, void *arg)
{
	struct runs *runs = inst;

	loam__list_for_each (pos, &runs->live) {
		struct page *page = (struct page *)((char *)pos - offsetof(struct page, own[1]));
		struct loam_span span = { .size = sizeof(span), .kind = LOAM_SPAN_LIVE, .label = "pages" };
		int result;

		span.addr = loam_page_ptr(runs->host->map, page);
		span.bytes = page->index << LOAM_PAGE_SHIFT;
		result = fn(arg, &span);
		if (result)
			return result;
	}
	return 0;
}

static int runs_find(void *inst, const void *addr, struct page *page, struct loam_span *span)
{
	const struct runs *runs = inst;

	(void)addr;
	page = loam_page_head(page);
	if (page->own[0] != runs)
		return -ENOENT;
	span->kind = LOAM_SPAN_LIVE;
	span->addr = loam_page_ptr(runs->host->map, page);
	span->bytes = page->index << LOAM_PAGE_SHIFT;
	span->label = "pages";
	return 0;
}

static int runs_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct runs *runs = host->meta_alloc(args->self, sizeof(*runs), 64);

	if (!runs)
		return -ENOMEM;
	runs->host = host;
	runs->self = args->self;
	runs->pages = args->ports[0];
	runs->owner = args->owner;
	runs->orders = loam_pages_orders(runs->pages);
	loam__list_init(&runs->live);
	host->lock_init(args->self, &runs->lock, 1, "page runs");
	*inst = runs;
	return 0;
}

static void runs_destroy(void *inst)
{
	struct runs *runs = inst;
	const struct loam_host *host = runs->host;

	while (runs->live.next != &runs->live) {
		struct page *page = (struct page *)((char *)runs->live.next - offsetof(struct page, own[1]));

		loam__list_del(runs->live.next);
		loam_pages_free_range(host, runs->pages, page, page->index);
	}
	host->lock_destroy(&runs->lock);
	host->meta_free(runs->self, runs, sizeof(*runs));
}

/* ---- a heap as a source of equal objects ---- */

struct blocks {
	const struct loam_host *host;
	struct loam_self *self;
	const struct loam_port *heap;
	struct loam_heap_limits below;
	struct loam_lock lock;
	struct list_head caches LOAM_GUARDED_BY(lock);   /* the newest first */
	uint64_t gone_allocs, gone_frees, gone_failures; /* of destroyed caches; under the lock */
};

struct block_cache {
	struct loam_cache pub; /* first */
	struct blocks *blocks;
	struct list_head link;
	size_t align, tag; /* tag: offset of the word behind an object */
	gfp_t gfp;
	void (*ctor)(void *object), (*dtor)(void *object);
	uint64_t allocs, frees, failures; /* atomic */
	char name[64];
};

static const struct loam_objects_ops blocks_ops;

#define BLOCKS_FLAGS                                                                                                   \
	(SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON | SLAB_HWCACHE_ALIGN | SLAB_CACHE_DMA |                 \
	 SLAB_CACHE_DMA32 | SLAB_STORE_USER | SLAB_RECLAIM_ACCOUNT | SLAB_PANIC | SLAB_NO_REAP)

static size_t tag_offset(size_t object_size)
{
	return (object_size + 7) & ~(size_t)7;
}

/* loam_cache has 32 bits for the size of an object; and behind it there is a word more. */
static size_t blocks_max_size(const struct blocks *blocks)
{
	size_t max = blocks->below.max_size;

	return ((max && max < UINT32_MAX ? max : UINT32_MAX) & ~7ul) - sizeof(uintptr_t);
}

static int blocks_cache_create(void *inst, const struct loam_cache_args *args, struct loam_cache **out)
{
	struct blocks *blocks = inst;
	struct block_cache *cache;

	if (!args->object_size || args->object_size > blocks_max_size(blocks) || args->flags & ~BLOCKS_FLAGS)
		return -EINVAL;
	if (args->align & (args->align - 1) || (blocks->below.max_align && args->align > blocks->below.max_align))
		return -EINVAL;
	cache = blocks->host->meta_alloc(blocks->self, sizeof(*cache), 64);
	if (!cache)
		return -ENOMEM;
	strncpy(cache->name, args->name, sizeof(cache->name) - 1);
	cache->pub = (struct loam_cache){ .link = { &blocks_ops, blocks },
					  .name = cache->name,
					  .object_size = (uint32_t)args->object_size,
					  .owner = args->owner };
	cache->blocks = blocks;
	cache->tag = tag_offset(args->object_size);
	cache->align = args->align > 8 ? args->align : 8;
	if (args->flags & SLAB_HWCACHE_ALIGN && cache->align < 64)
		cache->align = 64;
	cache->gfp = loam_cache_gfp(args);
	cache->ctor = args->ctor;
	cache->dtor = args->dtor;
	loam_lock(blocks->host, &blocks->lock);
	loam__list_add(&cache->link, blocks->caches.next);
	loam_unlock(blocks->host, &blocks->lock);
	*out = &cache->pub;
	return 0;
}

static int blocks_cache_destroy(struct loam_cache *pub)
{
	struct block_cache *cache = (struct block_cache *)pub;
	struct blocks *blocks = cache->blocks;

	if (get(&cache->allocs) != get(&cache->frees))
		return -EBUSY;
	loam_lock(blocks->host, &blocks->lock);
	loam__list_del(&cache->link);
	blocks->gone_allocs += cache->allocs;
	blocks->gone_frees += cache->frees;
	blocks->gone_failures += cache->failures;
	loam_unlock(blocks->host, &blocks->lock);
	blocks->host->meta_free(blocks->self, cache, sizeof(*cache));
	return 0;
}

static uintptr_t tag_of(const struct block_cache *cache, const void *object)
{
	return (uintptr_t)cache ^ (uintptr_t)object;
}

static void *blocks_alloc(struct loam_cache *pub, gfp_t gfp)
{
	struct block_cache *cache = (struct block_cache *)pub;
	char *object =
		loam_heap_alloc(cache->blocks->heap, cache->tag + sizeof(uintptr_t), cache->align, gfp | cache->gfp);

	add(object ? &cache->allocs : &cache->failures, 1);
	if (!object)
		return NULL;
	*(uintptr_t *)(object + cache->tag) = tag_of(cache, object);
	if (cache->ctor)
		cache->ctor(object);
	return object;
}

/* Whether @object is one of the cache: in a frame of the heap, if it is in a frame, and with the cache's word behind it. */
static bool blocks_is_object(const struct block_cache *cache, const char *object)
{
	const struct loam_map *map = cache->blocks->host->map;
	const struct loam_link *link = loam_port_link(cache->blocks->heap);
	struct page *page = loam_ptr_page(map, object);
	uintptr_t word;

	if (page && (!page->owner || loam__owner_of(page)->self != loam__port_instance(cache->blocks->heap) ||
		     loam__owner_of(page)->cache || !loam_ptr_page(map, object + cache->tag + 7)))
		return false;
	if (loam_heap_ops(link)->usable_size(link->inst, object, page) < cache->tag + sizeof(word))
		return false;
	memcpy(&word, object + cache->tag, sizeof(word));
	return word == tag_of(cache, object);
}

static LOAM_COLD void blocks_not_freed(const struct block_cache *cache, const void *object)
{
	const struct page *page = loam_ptr_page(cache->blocks->host->map, object);
	bool nobody = page && !page->owner;

	cache->blocks->host->report(cache->blocks->self, nobody ? LOAM_REPORT_BAD_FREE : LOAM_REPORT_WRONG_CACHE,
				    object, "%s: not an object of this cache", cache->pub.name);
}

static void blocks_free(struct loam_cache *pub, void *object)
{
	struct block_cache *cache = (struct block_cache *)pub;

	if (!blocks_is_object(cache, object)) {
		blocks_not_freed(cache, object);
		return;
	}
	/* Who frees it once more is found out, as long as the heap leaves this word alone. */
	*(uintptr_t *)((char *)object + cache->tag) = 0;
	if (cache->dtor)
		cache->dtor(object);
	add(&cache->frees, 1);
	loam_heap_free(cache->blocks->host, cache->blocks->heap, object);
}

static void blocks_limits(void *inst, struct loam_objects_limits *limits)
{
	const struct blocks *blocks = inst;

	limits->max_size = blocks_max_size(blocks);
	limits->max_align = blocks->below.max_align ? blocks->below.max_align : SIZE_MAX / 2 + 1;
}

static int blocks_stat(void *inst, struct loam_stat *stat)
{
	struct blocks *blocks = inst;

	loam_lock(blocks->host, &blocks->lock);
	stat->allocs = blocks->gone_allocs;
	stat->frees = blocks->gone_frees;
	stat->failures = blocks->gone_failures;
	loam__list_for_each (pos, &blocks->caches) {
		const struct block_cache *cache = loam__list_of(pos, struct block_cache, link);
		uint64_t frees = get(&cache->frees), allocs = get(&cache->allocs);

		stat->allocs += allocs;
		stat->frees += frees;
		stat->failures += get(&cache->failures);
		stat->live_bytes += (allocs - frees) * cache->pub.object_size;
	}
	loam_unlock(blocks->host, &blocks->lock);
	stat->live_blocks = stat->allocs - stat->frees;
	stat->footprint = stat->live_bytes;
	return 0;
}

static int blocks_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	const struct loam_link *link = loam_port_link(args->ports[0]);
	struct blocks *blocks = host->meta_alloc(args->self, sizeof(*blocks), 64);

	if (!blocks)
		return -ENOMEM;
	blocks->host = host;
	blocks->self = args->self;
	blocks->heap = args->ports[0];
	blocks->below.size = sizeof(blocks->below);
	loam_heap_ops(link)->limits(link->inst, &blocks->below);
	loam__list_init(&blocks->caches);
	host->lock_init(args->self, &blocks->lock, 1, "caches over a heap");
	*inst = blocks;
	return 0;
}

/* Live objects are the heap's blocks, and go with it. */
static void blocks_destroy(void *inst)
{
	struct blocks *blocks = inst;
	const struct loam_host *host = blocks->host;

	while (blocks->caches.next != &blocks->caches) {
		struct block_cache *cache = loam__list_of(blocks->caches.next, struct block_cache, link);

		loam__list_del(&cache->link);
		host->meta_free(blocks->self, cache, sizeof(*cache));
	}
	host->lock_destroy(&blocks->lock);
	host->meta_free(blocks->self, blocks, sizeof(*blocks));
}

/* ---- the two as plugins ---- */

static const struct loam_heap_ops runs_ops = {
	.size = sizeof(runs_ops),
	.alloc = runs_alloc,
	.free = runs_free,
	.usable_size = runs_usable,
	.limits = runs_limits,
};

static const struct loam_objects_ops blocks_ops = {
	.size = sizeof(blocks_ops),
	.create = blocks_cache_create,
	.destroy = blocks_cache_destroy,
	.alloc = blocks_alloc,
	.free = blocks_free,
	.limits = blocks_limits,
};

static struct loam_port_decl runs_ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages", .help = "where blocks come from"),
};
static struct loam_port_decl blocks_ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_HEAP), .name = "heap", .help = "where objects come from"),
};
static struct loam_role_decl runs_roles[] = { LOAM_ROLE(LOAM_ROLE_HEAP, &runs_ops) };
static struct loam_role_decl blocks_roles[] = { LOAM_ROLE(LOAM_ROLE_OBJECTS, &blocks_ops) };

/* One user more than there are, so that nobody unloads them. */
static struct loam__plugin runs_plugin = {
	.path = (char *)"part of the host",
	.users = 1,
	.abi_major = LOAM_ABI_MAJOR,
	.abi_minor = LOAM_ABI_MINOR,
	.ports = runs_ports,
	.roles = runs_roles,
	.desc = { .size = sizeof(struct loam_plugin),
		  .name = "pages-heap",
		  .version = PACKAGE_VERSION,
		  .summary = "heap: runs of whole pages",
		  LOAM_PORTS(runs_ports),
		  LOAM_ROLES(runs_roles),
		  .create = runs_create,
		  .destroy = runs_destroy,
		  .stat = runs_stat,
		  .walk = runs_walk,
		  .find = runs_find },
};

static struct loam__plugin blocks_plugin = {
	.path = (char *)"part of the host",
	.users = 1,
	.abi_major = LOAM_ABI_MAJOR,
	.abi_minor = LOAM_ABI_MINOR,
	.ports = blocks_ports,
	.roles = blocks_roles,
	.desc = { .size = sizeof(struct loam_plugin),
		  .name = "heap-objects",
		  .version = PACKAGE_VERSION,
		  .summary = "objects: each a block of a heap",
		  LOAM_PORTS(blocks_ports),
		  LOAM_ROLES(blocks_roles),
		  .create = blocks_create,
		  .destroy = blocks_destroy,
		  .stat = blocks_stat },
};

struct loam__plugin *loam__conversion(enum loam_role_id want, enum loam_role_id have)
{
	struct loam__plugin *plugin = NULL;

	if (want == LOAM_ROLE_HEAP && have == LOAM_ROLE_PAGES)
		plugin = &runs_plugin;
	if (want == LOAM_ROLE_OBJECTS && have == LOAM_ROLE_HEAP)
		plugin = &blocks_plugin;
	if (plugin)
		plugin->users++;
	return plugin;
}
