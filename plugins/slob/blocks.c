/* SPDX-License-Identifier: MIT */
/* blocks.c: blocks and runs: what alloc and free of both roles do. */
#include "slob.h"

/* ---- the lists of pages: under the lock ---- */

static unsigned zone_for(gfp_t gfp)
{
	return gfp & __GFP_DMA ? 2 : gfp & __GFP_DMA32 ? 1 : 0;
}

/* The list of pages for requests of @size bytes, of those that ask for @zone: by zone_for(), wherever the pages lie. */
static struct list_head *list_for(struct slob *slob, size_t size, unsigned zone)
{
	return &slob->partial[zone][size < 256 ? 0 : size < 1024 ? 1 : 2];
}

/* The list for @page when a block of @size in it is free: of the requests that it was taken for. */
static struct list_head *list_of_page(struct slob *slob, const struct page *page, size_t size)
{
	return list_for(slob, size, (unsigned)(page->priv >> 2));
}

/* ---- a page's blocks: under the lock ---- */

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

/* A block of @units of the pages on @list, data aligned; NULL: none has room. */
static char *take(struct slob *slob, struct list_head *list, uint32_t units, size_t align)
{
	list_for_each (at, list) {
		struct page *page = list_page(at);
		char *block = take_in(slob, page, units, align);

		if (!block)
			continue;
		/* The list's head moves in front of this page: the next search begins here. */
		list_del(list);
		list_add_tail(list, at);
		if (!page->index)
			list_move(at, &slob->full);
		return block;
	}
	return NULL;
}

/* A fresh page for @list, which has those for @zone; wholly free. */
static void page_init(struct slob *slob, struct page *page, struct list_head *list, unsigned zone)
{
	struct hole *hole = (struct hole *)base_of(slob, page);

	*hole = (struct hole){ UNITS, 0 };
	page->own[0] = hole;
	page->index = UNITS;
	page->priv = KIND_PAGE | (unsigned long)zone << 2;
	list_add(list_page_node(page), list);
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
	unsigned order = loam_pages_order(size > align ? size : align);
	struct page *page = NULL;

	if (order < slob->orders)
		page = slob->host->pages_alloc(slob->pages, gfp, order, slob->owner);
	if (!page)
		return fail(slob);
	page->index = order;
	page->priv = KIND_RUN | (unsigned long)cache << 2;
	loam_lock(slob->host, &slob->lock);
	list_add(list_page_node(page), &slob->runs);
	slob->nr_pages += 1ul << order;
	count_alloc(slob, cache, LOAM_PAGE_SIZE << order);
	loam_unlock(slob->host, &slob->lock);
	return loam_page_ptr(slob->map, page);
}

/** A block for cache number @cache, or for the heap: 0. Called without the lock; may sleep if @gfp allows. */
void *slob_alloc(struct slob *slob, size_t size, size_t align, gfp_t gfp, uint32_t cache)
{
	unsigned zone = zone_for(gfp);
	struct list_head *list = list_for(slob, size, zone);
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
		page_init(slob, page, list, zone);
		block = take(slob, list, units, align);
	}
	*(struct head *)block = (struct head){ (uint32_t)size, cache };
	count_alloc(slob, cache, (units - 1) * UNIT);
	loam_unlock(slob->host, &slob->lock);
	return block + UNIT;
}

/* ---- freeing ---- */

/* @cache: NULL: a block of the heap. */
static LOAM_COLD void already_free(struct slob *slob, const struct cache *cache, const void *ptr)
{
	misuse_already_free(slob->host, slob->self, cache ? cache->name : HEAP_NAME, ptr);
}

/* The destructor is done with it: the cache may go. */
static void count_gone(struct slob *slob, struct cache *cache)
{
	loam_lock(slob->host, &slob->lock);
	cache->live--;
	loam_unlock(slob->host, &slob->lock);
}

/* Off the list first: whoever frees it once more while the destructor runs, without the lock, finds no run. */
static void free_run(struct slob *slob, void *ptr, struct page *page)
{
	struct cache *cache;
	unsigned order;
	bool live;

	loam_lock(slob->host, &slob->lock);
	order = (unsigned)page->index;
	live = kind_of(page) == KIND_RUN;
	cache = live ? slob->caches[cache_of_run(page)] : NULL;
	if (live) {
		list_del(list_page_node(page));
		slob->nr_pages -= 1ul << order;
		slob->live_bytes -= LOAM_PAGE_SIZE << order;
		slob->frees++;
		page->priv = 0;
	}
	loam_unlock(slob->host, &slob->lock);
	if (!live) {
		already_free(slob, cache, ptr);
		return;
	}
	if (cache && cache->dtor)
		cache->dtor(ptr);
	if (cache)
		count_gone(slob, cache);
	slob->host->pages_free(slob->pages, page, order);
}

/** Whether @ptr, in a page of blocks, can be a live one: what stands in front of it makes sense. */
bool slob_is_block(const struct slob *slob, const void *ptr)
{
	const struct head *head = head_of(ptr);
	size_t left = LOAM_PAGE_SIZE - (uintptr_t)ptr % LOAM_PAGE_SIZE;

	if ((uintptr_t)ptr % UNIT || (uintptr_t)ptr % LOAM_PAGE_SIZE < UNIT)
		return false;
	return head->size && head->size <= left && head->cache < CACHES && (!head->cache || slob->caches[head->cache]);
}

/** Whether @ptr, in a frame of this instance, is where a block would begin and nobody holds one. Under the lock. */
bool slob_is_free(const struct slob *slob, const void *ptr, struct page *page)
{
	struct page *first = loam_page_head(page);
	char *base = base_of(slob, first), *block = (char *)head_of(ptr);

	/* A run that was freed is not yet given back. */
	if (kind_of(first) != KIND_PAGE)
		return kind_of(first) != KIND_RUN && ptr == base;
	if ((uintptr_t)ptr % UNIT || block < base)
		return false;
	for (const struct hole *hole = first->own[0]; hole; hole = next_hole(base, hole))
		if (is_hole(hole, block))
			return true;
	return head_of(ptr)->cache == UNMADE;
}

static LOAM_COLD void bad_free(struct slob *slob, const void *ptr, struct page *page)
{
	bool is_free;

	loam_lock(slob->host, &slob->lock);
	is_free = page->owner == slob->owner && slob_is_free(slob, ptr, page);
	loam_unlock(slob->host, &slob->lock);
	if (is_free)
		already_free(slob, NULL, ptr);
	else
		misuse_bad_pointer(slob->host, slob->self, HEAP_NAME, ptr);
}

/*
 * The object of a cache is unmade, without the lock, before anything is written to it. It is set apart meanwhile, so that who
 * frees it once more is found out. False: it is free.
 */
static bool unmake(struct slob *slob, const struct cache *cache, void *ptr, struct page *page)
{
	struct head *head = head_of(ptr);
	bool live;

	loam_lock(slob->host, &slob->lock);
	live = !slob_is_free(slob, ptr, page);
	if (live)
		head->cache = UNMADE;
	loam_unlock(slob->host, &slob->lock);
	if (live)
		cache->dtor(ptr);
	return live;
}

static void free_block(struct slob *slob, void *ptr, struct page *page)
{
	struct head *head = head_of(ptr);
	uint32_t units = units_for(head->size);
	struct cache *cache = slob->caches[head->cache];
	size_t head_size = head->size;
	bool was_full, done, empty;

	if (cache && cache->dtor && !unmake(slob, cache, ptr, page)) {
		already_free(slob, cache, ptr);
		return;
	}
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
		list_del(list_page_node(page));
	if (done && was_full && !empty)
		list_add(list_page_node(page), list_of_page(slob, page, head_size));
	slob->nr_pages -= empty;
	loam_unlock(slob->host, &slob->lock);
	if (!done)
		already_free(slob, cache, ptr);
	/* On no list any more, so nobody else's. */
	if (empty)
		slob->host->pages_free(slob->pages, page, 0);
}

/** A block of the heap or an object of a cache, whichever it is. The op of the role heap; called without the lock. */
void slob_free(void *inst, void *ptr, struct page *page)
{
	struct slob *slob = inst;
	struct page *first = loam_page_head(page);

	if (loam_likely(kind_of(first) == KIND_PAGE && slob_is_block(slob, ptr)))
		free_block(slob, ptr, first);
	else if (kind_of(first) == KIND_RUN && ptr == base_of(slob, first))
		free_run(slob, ptr, first);
	else
		bad_free(slob, ptr, page);
}
