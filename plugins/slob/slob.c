/* SPDX-License-Identifier: MIT */
/*
 * slob.c: objects and heap for small machines, after Linux's SLOB.
 *
 * Pages are cut into blocks of just the size that is asked for, in units of 8 bytes. Pages with free units are on one of three
 * lists, by the size of the requests that they serve: under 256 bytes, under 1024, and the rest. A request takes the first
 * block that is large enough of the first page that has enough; the list is then turned so that the next search begins there.
 * Free blocks of a page are linked in the order of their addresses, through themselves, and merge with their neighbours; a
 * page that is wholly free goes back at once. So hardly a byte is lost, and the search is linear in the number of pages: a
 * few hundred KiB are its home.
 *
 * In front of each block are 8 bytes with its size and its cache. (The kernel has them for kmalloc only, and so cannot kfree
 * an object of a cache; here it can.) Requests of PAGE_SIZE - 8 and more, and those whose alignment leaves no room in a page,
 * are runs of 2^order frames. Constructors run at every alloc, destructors at every free: nothing remembers a free object.
 *
 * One lock. It is not held while frames are taken or given back.
 *
 * A page's words: own[0] its first free block; own[1], own[2] its place in a list; index the number of free units, of a run the
 * order; priv what it is.
 */
#include <loam/plugin.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define UNIT 8u
#define UNITS (LOAM_PAGE_SIZE / UNIT) /* of a page */
#define CACHES 4096
#define LISTS 3
#define ZONES 3 /* any, DMA32, DMA: their pages are not mixed */

enum { P_CLASSES };

static const char *const classes_names[] = { "kernel", "fine", NULL };

static const struct loam_param params[] = {
	[P_CLASSES] =
		LOAM_PARAM(.type = LOAM_PARAM_ENUM, .name = "classes", .def = "kernel", .choices = classes_names,
			   .help = "no effect: SLOB has no size classes. So that slab, slub and slob swap by one word"),
};

static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages", .help = "where pages come from"),
};

/** A free block's first unit. */
struct hole {
	uint32_t units;
	uint32_t next; /* offset in its page, in units; 0: the last one (nothing links to offset 0 but own[0]) */
};

/** A live block's first unit. */
struct head {
	uint32_t size;  /* as asked for */
	uint32_t cache; /* 0: the heap's */
};

enum kind { KIND_PAGE = 1, KIND_RUN };

struct slob;

struct cache {
	struct loam_cache pub; /* first */
	struct slob *slob;
	uint32_t index, align;
	gfp_t gfp;
	uint64_t live LOAM_GUARDED_BY(slob->lock);
	void (*ctor)(void *object), (*dtor)(void *object);
	char name[64];
};

struct slob {
	const struct loam_host *host;
	const struct loam_map *map;
	struct loam_self *self;
	const struct loam_port *pages;
	uint32_t owner;
	unsigned orders;
	struct loam_lock lock;
	/* All below are guarded by the lock. */
	struct list_head partial[ZONES][LISTS];
	struct list_head full, runs;
	uint64_t nr_pages; /* of both kinds, in frames */
	uint64_t allocs, frees, failures, live_bytes;
	struct cache *caches[CACHES];
};

/* ---- small tools ---- */

static void list_init(struct list_head *head)
{
	head->next = head->prev = head;
}

static void list_add(struct list_head *node, struct list_head *head)
{
	node->next = head->next;
	node->prev = head;
	head->next->prev = node;
	head->next = node;
}

static void list_del(struct list_head *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
}

static struct list_head *node_of(struct page *page)
{
	return (struct list_head *)&page->own[1];
}

static struct page *page_at(struct list_head *node)
{
	return (struct page *)((char *)node - offsetof(struct page, own[1]));
}

static uint32_t units_for(size_t size)
{
	return 1 + (uint32_t)((size + UNIT - 1) / UNIT);
}

static struct list_head *list_for(struct slob *slob, size_t size, gfp_t gfp)
{
	return &slob->partial[gfp & __GFP_DMA ? 2 : gfp & __GFP_DMA32 ? 1 : 0][size < 256 ? 0 : size < 1024 ? 1 : 2];
}

static enum kind kind_of(const struct page *page)
{
	return page->priv & 3;
}

static uint32_t cache_of_run(const struct page *page)
{
	return (uint32_t)(page->priv >> 2);
}

/* By the zone that the page is in: DMA's pages stay where requests for DMA look. */
static struct list_head *list_of_page(struct slob *slob, const struct page *page, size_t size)
{
	unsigned long zone = page->flags & LOAM_PAGE_ZONE_MASK;

	return list_for(slob, size, zone == LOAM_ZONE_DMA ? __GFP_DMA : zone == LOAM_ZONE_DMA32 ? __GFP_DMA32 : 0);
}

/* ---- a page's blocks: under the lock ---- */

static char *base_of(const struct slob *slob, const struct page *page)
{
	return loam_page_ptr(slob->map, page);
}

static struct hole *hole_at(char *base, uint32_t unit)
{
	return (struct hole *)(base + (size_t)unit * UNIT);
}

static struct hole *next_hole(char *base, const struct hole *hole)
{
	return hole->next ? hole_at(base, hole->next) : NULL;
}

static void link_to(struct page *page, char *base, struct hole *before, struct hole *hole)
{
	if (before)
		before->next = hole ? (uint32_t)((char *)hole - base) / UNIT : 0;
	else
		page->own[0] = hole;
}

/*
 * Take @units out of @hole, @skip units behind its start: up to three parts, of which the first and the last stay free.
 * Returns the block.
 */
static char *cut(struct page *page, char *base, struct hole *before, struct hole *hole, uint32_t skip, uint32_t units)
{
	struct hole *after = next_hole(base, hole), *rest;
	char *block = (char *)hole + (size_t)skip * UNIT;
	uint32_t left = hole->units - skip - units;

	if (left) {
		rest = (struct hole *)(block + (size_t)units * UNIT);
		rest->units = left;
		rest->next = after ? (uint32_t)((char *)after - base) / UNIT : 0;
		after = rest;
	}
	if (skip) {
		hole->units = skip;
		before = hole;
	}
	link_to(page, base, before, after);
	page->index -= units;
	return block;
}

/* First fit in one page, or NULL. */
static char *take_in(struct slob *slob, struct page *page, uint32_t units, size_t align)
{
	char *base = base_of(slob, page);
	struct hole *before = NULL;

	if (page->index < units)
		return NULL;
	for (struct hole *hole = page->own[0]; hole; before = hole, hole = next_hole(base, hole)) {
		uintptr_t data = ((uintptr_t)hole + UNIT + align - 1) & ~(align - 1);
		uint32_t skip = (uint32_t)(data - UNIT - (uintptr_t)hole) / UNIT;

		if (hole->units >= skip + units)
			return cut(page, base, before, hole, skip, units);
	}
	return NULL;
}

/* A block of the pages that are there. */
static char *take(struct slob *slob, struct list_head *list, uint32_t units, size_t align)
{
	for (struct list_head *at = list->next; at != list; at = at->next) {
		struct page *page = page_at(at);
		char *block = take_in(slob, page, units, align);

		if (!block)
			continue;
		/* The list's head moves in front of this page: the next search begins here. */
		list_del(list);
		list->prev = at->prev;
		list->next = at;
		at->prev->next = list;
		at->prev = list;
		if (!page->index) {
			list_del(at);
			list_add(at, &slob->full);
		}
		return block;
	}
	return NULL;
}

/* A page for @list, wholly free. */
static void page_init(struct slob *slob, struct page *page, struct list_head *list)
{
	struct hole *hole = (struct hole *)base_of(slob, page);

	*hole = (struct hole){ UNITS, 0 };
	page->own[0] = hole;
	page->index = UNITS;
	page->priv = KIND_PAGE;
	list_add(node_of(page), list);
	slob->nr_pages++;
}

static bool is_hole(const struct hole *hole, const char *block)
{
	return hole && block >= (const char *)hole && block < (const char *)hole + (size_t)hole->units * UNIT;
}

/* Put @units at @block back and merge. False: they are free already. */
static bool put_in(struct slob *slob, struct page *page, char *block, uint32_t units)
{
	char *base = base_of(slob, page);
	struct hole *before = NULL, *after = page->own[0], *hole = (struct hole *)block;

	while (after && (char *)after <= block) {
		before = after;
		after = next_hole(base, after);
	}
	if (is_hole(before, block) || (after && block + (size_t)units * UNIT > (char *)after))
		return false;
	page->index += units;
	if (after && block + (size_t)units * UNIT == (char *)after) {
		units += after->units;
		after = next_hole(base, after);
	}
	if (before && (char *)before + (size_t)before->units * UNIT == block) {
		before->units += units;
		hole = before;
	} else {
		hole->units = units;
		link_to(page, base, before, hole);
	}
	link_to(page, base, hole, after);
	return true;
}

/* ---- allocating ---- */

static bool in_a_page(size_t size, size_t align)
{
	size_t data = align > UNIT ? align : UNIT;

	return size < LOAM_PAGE_SIZE - UNIT && data + size <= LOAM_PAGE_SIZE;
}

static void count_alloc(struct slob *slob, uint32_t cache, size_t usable)
{
	slob->allocs++;
	slob->live_bytes += usable;
	if (cache)
		slob->caches[cache]->live++;
}

static void *fail(struct slob *slob)
{
	loam_lock(slob->host, &slob->lock);
	slob->failures++;
	loam_unlock(slob->host, &slob->lock);
	return NULL;
}

static void *alloc_run(struct slob *slob, size_t size, size_t align, gfp_t gfp, uint32_t cache)
{
	size_t want = size > align ? size : align;
	unsigned order = want <= LOAM_PAGE_SIZE ? 0 : 64 - (unsigned)__builtin_clzl(want - 1) - LOAM_PAGE_SHIFT;
	struct page *page = NULL;

	if (order < slob->orders)
		page = slob->host->pages_alloc(slob->pages, gfp, order, slob->owner);
	if (!page)
		return fail(slob);
	page->index = order;
	page->priv = KIND_RUN | (unsigned long)cache << 2;
	loam_lock(slob->host, &slob->lock);
	list_add(node_of(page), &slob->runs);
	slob->nr_pages += 1ul << order;
	count_alloc(slob, cache, LOAM_PAGE_SIZE << order);
	loam_unlock(slob->host, &slob->lock);
	return loam_page_ptr(slob->map, page);
}

static void *alloc(struct slob *slob, size_t size, size_t align, gfp_t gfp, uint32_t cache)
{
	struct list_head *list = list_for(slob, size, gfp);
	uint32_t units = units_for(size);
	struct page *page;
	char *block;

	gfp &= ~(__GFP_HIGHMEM | __GFP_MOVABLE);
	if (!in_a_page(size, align))
		return alloc_run(slob, size, align, gfp, cache);
	loam_lock(slob->host, &slob->lock);
	block = take(slob, list, units, align);
	if (!block) {
		loam_unlock(slob->host, &slob->lock);
		page = slob->host->pages_alloc(slob->pages, gfp, 0, slob->owner);
		if (!page)
			return fail(slob);
		loam_lock(slob->host, &slob->lock);
		page_init(slob, page, list);
		block = take(slob, list, units, align);
	}
	*(struct head *)block = (struct head){ (uint32_t)size, cache };
	count_alloc(slob, cache, (units - 1) * UNIT);
	loam_unlock(slob->host, &slob->lock);
	return block + UNIT;
}

/* ---- freeing ---- */

static void bad_free(struct slob *slob, const void *ptr, enum loam_report_kind kind, const char *why)
{
	slob->host->report(slob->self, kind, ptr, "%s", why);
}

static void free_run(struct slob *slob, void *ptr, struct page *page)
{
	unsigned order = (unsigned)page->index;
	struct cache *cache = slob->caches[cache_of_run(page)];

	if (cache && cache->dtor)
		cache->dtor(ptr);
	loam_lock(slob->host, &slob->lock);
	list_del(node_of(page));
	slob->nr_pages -= 1ul << order;
	slob->live_bytes -= LOAM_PAGE_SIZE << order;
	slob->frees++;
	if (cache)
		cache->live--;
	loam_unlock(slob->host, &slob->lock);
	page->priv = 0;
	slob->host->pages_free(slob->pages, page, order);
}

/* Whether @head can be what stands in front of a live block. */
static bool plausible(const struct slob *slob, const struct head *head)
{
	size_t left = LOAM_PAGE_SIZE - (uintptr_t)head % LOAM_PAGE_SIZE - UNIT;

	return head->size && head->size <= left && head->cache < CACHES && (!head->cache || slob->caches[head->cache]);
}

static void free_block(struct slob *slob, void *ptr, struct page *page)
{
	struct head *head = (struct head *)((char *)ptr - UNIT);
	uint32_t units = units_for(head->size);
	struct cache *cache = slob->caches[head->cache];
	size_t head_size = head->size;
	bool was_full, done, empty;

	if (cache && cache->dtor)
		cache->dtor(ptr);
	loam_lock(slob->host, &slob->lock);
	was_full = !page->index;
	done = put_in(slob, page, (char *)head, units);
	empty = done && page->index == UNITS;
	if (done) {
		slob->frees++;
		slob->live_bytes -= (units - 1) * UNIT;
		if (cache)
			cache->live--;
	}
	if (done && (was_full || empty))
		list_del(node_of(page));
	if (done && was_full && !empty)
		list_add(node_of(page), list_of_page(slob, page, head_size));
	slob->nr_pages -= empty;
	loam_unlock(slob->host, &slob->lock);
	if (!done)
		bad_free(slob, ptr, LOAM_REPORT_DOUBLE_FREE, "the block is free already");
	/* On no list any more, so nobody else's. */
	if (empty)
		slob->host->pages_free(slob->pages, page, 0);
}

/* ---- the role heap ---- */

/* A power of two is aligned to itself, as kmalloc promises. */
static size_t natural(size_t bytes, size_t align)
{
	return !(bytes & (bytes - 1)) && bytes > align ? bytes : align;
}

static void *heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	return alloc(inst, bytes, natural(bytes, align), gfp, 0);
}

static void heap_free(void *inst, void *ptr, struct page *page)
{
	struct slob *slob = inst;

	if (kind_of(page) == KIND_RUN) {
		if (loam_page_head(page) == page && !((uintptr_t)ptr % LOAM_PAGE_SIZE))
			free_run(slob, ptr, page);
		else
			bad_free(slob, ptr, LOAM_REPORT_BAD_FREE, "not the start of a block");
		return;
	}
	if ((uintptr_t)ptr % UNIT || (uintptr_t)ptr % LOAM_PAGE_SIZE < UNIT || kind_of(page) != KIND_PAGE ||
	    !plausible(slob, (struct head *)((char *)ptr - UNIT)))
		bad_free(slob, ptr, LOAM_REPORT_BAD_FREE, "not the start of a block, or free already");
	else
		free_block(slob, ptr, page);
}

static size_t heap_usable_size(void *inst, const void *ptr, struct page *page)
{
	(void)inst;
	if (kind_of(page) == KIND_RUN)
		return LOAM_PAGE_SIZE << loam_page_head(page)->index;
	return (units_for(((const struct head *)((const char *)ptr - UNIT))->size) - 1) * UNIT;
}

static void heap_limits(void *inst, struct loam_heap_limits *limits)
{
	const struct slob *slob = inst;

	limits->caps = LOAM_HEAP_NATURAL;
	limits->max_size = limits->max_align = LOAM_PAGE_SIZE << (slob->orders - 1);
	limits->min_align = UNIT;
}

static const struct loam_heap_ops heap_ops = {
	.size = sizeof(heap_ops),
	.alloc = heap_alloc,
	.free = heap_free,
	.usable_size = heap_usable_size,
	.limits = heap_limits,
};

/* ---- the role objects ---- */

#define KNOWN_FLAGS                                                                                                    \
	(SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER | SLAB_HWCACHE_ALIGN |                \
	 SLAB_CACHE_DMA | SLAB_CACHE_DMA32 | SLAB_RECLAIM_ACCOUNT | SLAB_PANIC | SLAB_NO_REAP)

static const struct loam_objects_ops objects_ops;

/* A free number from 1 on, or 0. */
static uint32_t enter(struct slob *slob, struct cache *cache)
{
	uint32_t i = 1;

	loam_lock(slob->host, &slob->lock);
	while (i < CACHES && slob->caches[i])
		i++;
	if (i < CACHES)
		slob->caches[i] = cache;
	loam_unlock(slob->host, &slob->lock);
	return i < CACHES ? i : 0;
}

static int objects_create(void *inst, const struct loam_cache_args *args, struct loam_cache **out)
{
	struct slob *slob = inst;
	size_t max = LOAM_PAGE_SIZE << (slob->orders - 1);
	struct cache *cache;

	if (!args->object_size || args->object_size > max || args->align > LOAM_PAGE_SIZE ||
	    args->align & (args->align - 1) || args->flags & ~KNOWN_FLAGS)
		return -EINVAL;
	cache = slob->host->meta_alloc(slob->self, sizeof(*cache), 64);
	if (!cache)
		return -ENOMEM;
	snprintf(cache->name, sizeof(cache->name), "%s", args->name);
	cache->pub = (struct loam_cache){ .link = { &objects_ops, slob },
					  .name = cache->name,
					  .object_size = (uint32_t)args->object_size,
					  .owner = args->owner };
	cache->slob = slob;
	cache->align = args->align > UNIT ? (uint32_t)args->align : UNIT;
	if (args->flags & SLAB_HWCACHE_ALIGN && cache->align < 64)
		cache->align = 64;
	cache->gfp =
		(args->flags & SLAB_CACHE_DMA ? __GFP_DMA : 0) | (args->flags & SLAB_CACHE_DMA32 ? __GFP_DMA32 : 0);
	cache->ctor = args->ctor;
	cache->dtor = args->dtor;
	cache->index = enter(slob, cache);
	if (!cache->index) {
		slob->host->meta_free(slob->self, cache, sizeof(*cache));
		return -ENOMEM;
	}
	*out = &cache->pub;
	return 0;
}

static int objects_destroy(struct loam_cache *pub)
{
	struct cache *cache = (struct cache *)pub;
	struct slob *slob = cache->slob;
	bool busy;

	loam_lock(slob->host, &slob->lock);
	busy = cache->live;
	if (!busy)
		slob->caches[cache->index] = NULL;
	loam_unlock(slob->host, &slob->lock);
	if (busy)
		return -EBUSY;
	slob->host->meta_free(slob->self, cache, sizeof(*cache));
	return 0;
}

static void *objects_alloc(struct loam_cache *pub, gfp_t gfp)
{
	struct cache *cache = (struct cache *)pub;
	void *object = alloc(cache->slob, pub->object_size, cache->align, gfp | cache->gfp, cache->index);

	if (object && cache->ctor)
		cache->ctor(object);
	return object;
}

/* The number of the cache that the block at @ptr is of, as far as it is a block; -1. */
static long cache_number(struct slob *slob, const void *ptr, const struct page *page)
{
	const struct head *head = (const struct head *)((const char *)ptr - UNIT);

	if (!page || page->owner != slob->owner)
		return -1;
	if (kind_of(page) == KIND_RUN)
		return cache_of_run(page);
	if ((uintptr_t)ptr % UNIT || (uintptr_t)ptr % LOAM_PAGE_SIZE < UNIT || !plausible(slob, head))
		return -1;
	return head->cache;
}

static void objects_free(struct loam_cache *pub, void *object)
{
	struct cache *cache = (struct cache *)pub;
	struct slob *slob = cache->slob;
	struct page *page = loam_ptr_page(slob->map, object);
	long number = cache_number(slob, object, page);

	if (number == (long)cache->index) {
		heap_free(slob, object, page);
		return;
	}
	if (number < 0)
		slob->host->report(slob->self, LOAM_REPORT_BAD_FREE, object,
				   "%s: not the start of an object, or free already", cache->name);
	else
		slob->host->report(slob->self, LOAM_REPORT_WRONG_CACHE, object,
				   "Wrong slab cache. %s but object is from %s", cache->name,
				   number ? slob->caches[number]->name : "kmalloc");
}

static void objects_limits(void *inst, struct loam_objects_limits *limits)
{
	const struct slob *slob = inst;

	limits->caps = LOAM_OBJECTS_KFREE;
	limits->max_size = LOAM_PAGE_SIZE << (slob->orders - 1);
	limits->max_align = LOAM_PAGE_SIZE;
}

static const struct loam_objects_ops objects_ops = {
	.size = sizeof(objects_ops),
	.create = objects_create,
	.destroy = objects_destroy,
	.alloc = objects_alloc,
	.free = objects_free,
	.limits = objects_limits,
};

/* ---- introspection ---- */

static int slob_stat(void *inst, struct loam_stat *stat)
{
	struct slob *slob = inst;

	loam_lock(slob->host, &slob->lock);
	stat->allocs = slob->allocs;
	stat->frees = slob->frees;
	stat->failures = slob->failures;
	stat->live_blocks = slob->allocs - slob->frees;
	stat->live_bytes = slob->live_bytes;
	stat->footprint = slob->nr_pages << LOAM_PAGE_SHIFT;
	loam_unlock(slob->host, &slob->lock);
	return 0;
}

/* Each page, until @fn returns non-zero. The machine stands still. */
static int each_page(struct slob *slob, int (*fn)(struct slob *slob, struct page *page, void *arg), void *arg)
{
	struct list_head *heads[ZONES * LISTS + 1];
	int result = 0;

	for (unsigned i = 0; i < ZONES * LISTS; i++)
		heads[i] = &slob->partial[i / LISTS][i % LISTS];
	heads[ZONES * LISTS] = &slob->full;
	for (unsigned i = 0; i <= ZONES * LISTS; i++)
		for (struct list_head *at = heads[i]->next; at != heads[i] && !result; at = at->next)
			result = fn(slob, page_at(at), arg);
	return result;
}

/* The block, live or free, at @unit of a page: its units, or 0 when what stands there makes no sense. */
static uint32_t block_at(const struct slob *slob, char *base, uint32_t unit, const struct hole *hole,
			 struct loam_span *span)
{
	const struct head *head = (const struct head *)hole_at(base, unit);
	uint32_t units;

	span->kind = hole == hole_at(base, unit) ? LOAM_SPAN_FREE : LOAM_SPAN_LIVE;
	if (span->kind == LOAM_SPAN_FREE) {
		units = hole->units;
		span->addr = (void *)hole;
		span->bytes = (size_t)units * UNIT;
		span->label = NULL;
	} else {
		units = head->size <= LOAM_PAGE_SIZE ? units_for(head->size) : 0;
		span->addr = (char *)head + UNIT;
		span->bytes = (size_t)(units - 1) * UNIT;
		span->label = head->cache && head->cache < CACHES && slob->caches[head->cache]
				      ? slob->caches[head->cache]->name
				      : "kmalloc";
	}
	return unit + units <= UNITS ? units : 0;
}

struct walking {
	loam_walk_fn fn;
	void *arg;
};

static int walk_page(struct slob *slob, struct page *page, void *arg)
{
	const struct walking *walking = arg;
	char *base = base_of(slob, page);
	struct hole *hole = page->own[0];
	int result = 0;

	for (uint32_t unit = 0, units; unit < UNITS && !result; unit += units) {
		struct loam_span span = { .size = sizeof(span) };

		units = block_at(slob, base, unit, hole, &span);
		if (!units)
			break;
		if (span.kind == LOAM_SPAN_FREE)
			hole = next_hole(base, hole);
		result = walking->fn(walking->arg, &span);
	}
	return result;
}

static int slob_walk(void *inst, loam_walk_fn fn, void *arg)
{
	struct slob *slob = inst;
	struct walking walking = { fn, arg };
	int result = each_page(slob, walk_page, &walking);

	for (struct list_head *at = slob->runs.next; at != &slob->runs && !result; at = at->next) {
		struct page *page = page_at(at);
		struct loam_span span = { .size = sizeof(span), .kind = LOAM_SPAN_LIVE, .label = "pages" };

		span.addr = base_of(slob, page);
		span.bytes = LOAM_PAGE_SIZE << page->index;
		result = fn(arg, &span);
	}
	return result;
}

struct checking {
	loam_check_fn fn;
	void *arg;
	int defects;
};

static void defect(struct checking *checking, const struct slob *slob, const struct page *page, const char *what)
{
	char text[120];

	snprintf(text, sizeof(text), "page at %p: %s", (void *)base_of(slob, page), what);
	checking->defects++;
	checking->fn(checking->arg, text);
}

/* Blocks fill the page without a gap, free ones are linked in order, merged, and as many as the page says. */
static int check_page(struct slob *slob, struct page *page, void *arg)
{
	char *base = base_of(slob, page);
	struct hole *hole = page->own[0];
	uint32_t unit = 0, units, sum = 0;
	bool last_free = false;

	for (; unit < UNITS; unit += units) {
		struct loam_span span;

		units = block_at(slob, base, unit, hole, &span);
		if (!units) {
			defect(arg, slob, page, "the blocks do not fill it");
			return 0;
		}
		if (span.kind == LOAM_SPAN_FREE) {
			if (last_free)
				defect(arg, slob, page, "free neighbours are not merged");
			sum += units;
			hole = next_hole(base, hole);
		}
		last_free = span.kind == LOAM_SPAN_FREE;
	}
	if (hole)
		defect(arg, slob, page, "the list of free blocks is not in order");
	if (sum != page->index)
		defect(arg, slob, page, "wrong number of free units");
	return 0;
}

static int slob_check(void *inst, loam_check_fn fn, void *arg)
{
	struct checking checking = { fn, arg, 0 };

	each_page(inst, check_page, &checking);
	return checking.defects;
}

static int slob_find(void *inst, const void *addr, struct page *page, struct loam_span *span)
{
	const struct slob *slob = inst;
	struct hole *hole = page->own[0];
	char *base = base_of(slob, page);

	if (kind_of(page) == KIND_RUN) {
		page = loam_page_head(page);
		span->kind = LOAM_SPAN_LIVE;
		span->addr = base_of(slob, page);
		span->bytes = LOAM_PAGE_SIZE << page->index;
		span->label = "pages";
		return 0;
	}
	for (uint32_t unit = 0, units; kind_of(page) == KIND_PAGE && unit < UNITS; unit += units) {
		units = block_at(slob, base, unit, hole, span);
		if (!units)
			break;
		if ((const char *)addr < base + (size_t)(unit + units) * UNIT)
			return 0;
		if (span->kind == LOAM_SPAN_FREE)
			hole = next_hole(base, hole);
	}
	return -ENOENT;
}

/* ---- create and destroy ---- */

static int slob_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	const struct loam_link *link = loam_port_link(args->ports[0]);
	struct loam_pages_limits limits = { .size = sizeof(limits) };
	struct slob *slob = host->meta_alloc(args->self, sizeof(*slob), 64);

	if (!slob)
		return -ENOMEM;
	((const struct loam_pages_ops *)link->ops)->limits(link->inst, &limits);
	slob->host = host;
	slob->map = host->map;
	slob->self = args->self;
	slob->pages = args->ports[0];
	slob->owner = args->owner;
	slob->orders = limits.orders;
	for (unsigned i = 0; i < ZONES * LISTS; i++)
		list_init(&slob->partial[i / LISTS][i % LISTS]);
	list_init(&slob->full);
	list_init(&slob->runs);
	host->lock_init(args->self, &slob->lock, 1, "slob");
	*inst = slob;
	return 0;
}

static int give_back(struct slob *slob, struct page *page, void *arg)
{
	(void)arg;
	list_del(node_of(page));
	slob->host->pages_free(slob->pages, page, 0);
	return 1;
}

static void slob_destroy(void *inst)
{
	struct slob *slob = inst;
	const struct loam_host *host = slob->host;

	while (each_page(slob, give_back, NULL))
		;
	while (slob->runs.next != &slob->runs) {
		struct page *page = page_at(slob->runs.next);

		list_del(node_of(page));
		host->pages_free(slob->pages, page, (unsigned)page->index);
	}
	for (uint32_t i = 1; i < CACHES; i++)
		if (slob->caches[i])
			host->meta_free(slob->self, slob->caches[i], sizeof(struct cache));
	host->lock_destroy(&slob->lock);
	host->meta_free(slob->self, slob, sizeof(*slob));
}

static const struct loam_role_decl roles[] = {
	LOAM_ROLE(LOAM_ROLE_OBJECTS, &objects_ops),
	LOAM_ROLE(LOAM_ROLE_HEAP, &heap_ops),
};

LOAM_PLUGIN(.name = "slob", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "objects and heap: first fit in pages, after Linux's SLOB", LOAM_PARAMS(params),
	    LOAM_PORTS(ports), LOAM_ROLES(roles), .create = slob_create, .destroy = slob_destroy, .stat = slob_stat,
	    .walk = slob_walk, .check = slob_check, .find = slob_find);
