/* SPDX-License-Identifier: MIT */
/* inspect.c: counters at any time; walk and check while the machine stands still; one address at a time. */
#include "slab.h"

#include "../common/ptrset.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- counters ---- */

struct sums {
	uint64_t allocs[SLAB_SLOTS], frees[SLAB_SLOTS];
};

static void sum_area(void *arg, void *at)
{
	struct sums *sums = arg;
	struct area *area = at;

	for (uint32_t i = 0; i < SLAB_SLOTS; i++) {
		struct array *array = __atomic_load_n(&area->slots[i], __ATOMIC_ACQUIRE);

		if (!array)
			continue;
		/* Frees before allocations: what is live is never counted below zero. */
		sums->frees[i] += __atomic_load_n(&array->frees, __ATOMIC_ACQUIRE);
		sums->allocs[i] += count_read(&array->allocs);
	}
}

static void cache_counts(const struct cache *cache, const struct sums *sums, uint64_t *allocs, uint64_t *frees)
{
	*frees = count_read(&cache->frees) + (cache->slot != SLAB_NO_SLOT ? sums->frees[cache->slot] : 0);
	*allocs = count_read(&cache->allocs) + (cache->slot != SLAB_NO_SLOT ? sums->allocs[cache->slot] : 0);
	/* Threads go on while we read, and one may give back what another one took behind our back. */
	if (*frees > *allocs)
		*frees = *allocs;
}

uint64_t slab_cache_live(struct cache *cache)
{
	struct sums sums = { .allocs = { 0 } };
	uint64_t allocs, frees;

	cache->heap->host->areas(cache->heap->self, sum_area, &sums);
	cache_counts(cache, &sums, &allocs, &frees);
	return allocs - frees;
}

int slab_stat(void *inst, struct loam_stat *stat)
{
	struct slab_heap *heap = inst;
	struct sums sums = { .allocs = { 0 } };

	runs_stat(&heap->runs, stat);
	/* Under the lock: the counts of a cache that goes are in one place only. */
	loam_lock(heap->host, &heap->lock);
	heap->host->areas(heap->self, sum_area, &sums);
	stat->allocs += heap->gone_allocs;
	stat->frees += heap->gone_frees;
	stat->failures += heap->gone_failures;
	list_for_each (pos, &heap->caches) {
		struct cache *cache = list_of(pos, struct cache, node.link);
		uint64_t allocs, frees;

		cache_counts(cache, &sums, &allocs, &frees);
		stat->allocs += allocs;
		stat->frees += frees;
		stat->live_bytes += (allocs - frees) * cache->usable;
		stat->footprint += count_read(&cache->nr_slabs) << cache->order << LOAM_PAGE_SHIFT;
		stat->failures += count_read(&cache->failures);
	}
	loam_unlock(heap->host, &heap->lock);
	stat->live_blocks = stat->allocs - stat->frees;
	return 0;
}

int slab_each(void *inst, loam_cache_fn fn, void *arg)
{
	struct slab_heap *heap = inst;
	struct sums sums = { .allocs = { 0 } };
	int result = 0;

	loam_lock(heap->host, &heap->lock);
	heap->host->areas(heap->self, sum_area, &sums);
	for (struct list_head *pos = heap->caches.next; pos != &heap->caches && !result; pos = pos->next) {
		struct cache *cache = list_of(pos, struct cache, node.link);
		struct loam_cache_info info = { .size = sizeof(info), .name = cache->name, .obj_size = cache->size };
		uint64_t allocs, frees, slabs = count_read(&cache->nr_slabs), unused = count_read(&cache->nr_free);

		cache_counts(cache, &sums, &allocs, &frees);
		info.objs_per_slab = cache->num;
		info.pages_per_slab = 1u << cache->order;
		info.active_objs = allocs - frees;
		info.total_objs = slabs * cache->num;
		info.total_slabs = slabs;
		/* Slabs that are not empty; about, for the two counters are not read at once. */
		info.active_slabs = slabs - (unused / cache->num < slabs ? unused / cache->num : slabs);
		info.limit = cache->limit;
		info.batchcount = cache->batch;
		info.shared = cache->shared_limit / (cache->batch ? cache->batch : 1);
		result = fn(arg, &info);
	}
	loam_unlock(heap->host, &heap->lock);
	return result;
}

/* ---- a machine that stands still: no locks, they are all held ---- */

/** The objects that wait in arrays. */
struct waiting {
	struct slab_heap *heap;
	struct ptrset set;
	size_t n;
	bool counting; /* the first time round */
};

static void add_entries(struct waiting *waiting, void *const *entries, uint32_t n)
{
	if (waiting->counting)
		waiting->n += n;
	for (uint32_t i = 0; !waiting->counting && i < n; i++)
		ptrset_add(&waiting->set, entries[i]);
}

static void add_area(void *arg, void *at)
{
	const struct area *area = at;

	for (uint32_t i = 0; i < SLAB_SLOTS; i++)
		if (area->slots[i])
			add_entries(arg, area->slots[i]->entries, area->slots[i]->avail);
}

static void add_all(struct waiting *waiting)
{
	waiting->heap->host->areas(waiting->heap->self, add_area, waiting);
	list_for_each (pos, &waiting->heap->caches) {
		const struct cache *cache = list_of(pos, struct cache, node.link);

		add_entries(waiting, cache->shared, cache->shared_avail);
	}
}

static bool waiting_open(struct waiting *waiting, struct slab_heap *heap)
{
	*waiting = (struct waiting){ .heap = heap, .counting = true };
	add_all(waiting);
	waiting->counting = false;
	if (!ptrset_open(&waiting->set, heap->host, heap->self, waiting->n))
		return false;
	add_all(waiting);
	return true;
}

/** The numbers on a slab's stack, a bit each. */
struct stack_bits {
	uint64_t words[SLAB_MAX_OBJECTS / 64 + 1];
};

static bool on_stack(const struct stack_bits *bits, uint32_t i)
{
	return bits->words[i / 64] >> i % 64 & 1;
}

/* False: a number is none of the slab's, or stands there twice. */
static bool read_stack(const struct slab *slab, struct stack_bits *bits)
{
	uint32_t num = slab->cache->num;
	bool good = true;

	memset(bits->words, 0, (num / 64 + 1) * sizeof(uint64_t));
	for (uint32_t n = slab->active; n < num; n++) {
		uint32_t i = slab->free[n];

		if (i >= num || on_stack(bits, i))
			good = false;
		else
			bits->words[i / 64] |= 1ull << i % 64;
	}
	return good;
}

static int walk_slab(const struct slab *slab, const struct waiting *waiting, loam_walk_fn fn, void *arg)
{
	const struct cache *cache = slab->cache;
	struct loam_span span = { .size = sizeof(span), .label = cache->name, .bytes = cache->usable };
	struct stack_bits bits;
	int result = 0;

	read_stack(slab, &bits);
	for (uint32_t i = 0; i < cache->num && !result; i++) {
		char *place = slab->objects + (size_t)i * cache->size;

		span.kind = on_stack(&bits, i) || ptrset_has(&waiting->set, place) ? LOAM_SPAN_FREE : LOAM_SPAN_LIVE;
		span.addr = place + cache->layout.left;
		result = fn(arg, &span);
	}
	return result;
}

static int walk_list(const struct list_head *list, const struct waiting *waiting, loam_walk_fn fn, void *arg)
{
	int result = 0;

	for (struct list_head *pos = list->next; pos != list && !result; pos = pos->next)
		result = walk_slab(list_of(pos, struct slab, node), waiting, fn, arg);
	return result;
}

int slab_walk(void *inst, loam_walk_fn fn, void *arg)
{
	struct slab_heap *heap = inst;
	struct waiting waiting;
	int result = 0;

	if (!waiting_open(&waiting, heap))
		return -ENOMEM;
	for (struct list_head *pos = heap->caches.next; pos != &heap->caches && !result; pos = pos->next) {
		struct cache *cache = list_of(pos, struct cache, node.link);

		result = walk_list(&cache->full, &waiting, fn, arg);
		result = result ? result : walk_list(&cache->partial, &waiting, fn, arg);
		result = result ? result : walk_list(&cache->empty, &waiting, fn, arg);
	}
	ptrset_close(&waiting.set);
	return result ? result : runs_walk(&heap->runs, fn, arg);
}

/* ---- invariants ---- */

struct checking {
	loam_check_fn fn;
	void *arg;
	int defects;
	uint64_t slabs, unused;
};

static void defect(struct checking *checking, const struct cache *cache, const struct slab *slab, const char *what)
{
	char text[160];

	snprintf(text, sizeof(text), "%s: slab at %p: %s", cache->name, slab ? (void *)slab->objects : NULL, what);
	checking->defects++;
	checking->fn(checking->arg, text);
}

static void check_debug(struct checking *checking, const struct slab *slab, const struct stack_bits *bits)
{
	const struct cache *cache = slab->cache;
	struct slabdebug_slab view = slab_view(slab);

	for (uint32_t i = 0; i < cache->num; i++)
		checking->defects += slabdebug_check(&cache->layout, &view, slab->objects + (size_t)i * cache->size,
						     !on_stack(bits, i), checking->fn, checking->arg);
	checking->defects += slabdebug_check_end(&cache->layout, &view, checking->fn, checking->arg);
}

static void check_slab(struct checking *checking, const struct cache *cache, const struct slab *slab, const char *list)
{
	struct stack_bits bits;
	const char *is = !slab->active ? "empty" : slab->active == cache->num ? "full" : "partial";

	if (slab->cache != cache) {
		defect(checking, cache, slab, "of another cache");
		return;
	}
	if (strcmp(is, list))
		defect(checking, cache, slab, "not on the list where it belongs");
	if (!read_stack(slab, &bits))
		defect(checking, cache, slab, "Freechain corrupt");
	for (unsigned long i = 0; i < 1ul << cache->order; i++)
		if (page_slab(slab->page + i) != slab)
			defect(checking, cache, slab, "a frame does not lead back to its slab");
	if (cache->debug)
		check_debug(checking, slab, &bits);
	checking->slabs++;
	checking->unused += cache->num - slab->active;
}

static void check_list(struct checking *checking, const struct cache *cache, const struct list_head *list,
		       const char *name)
{
	list_for_each (pos, list)
		check_slab(checking, cache, list_of(pos, struct slab, node), name);
}

int slab_check(void *inst, loam_check_fn fn, void *arg)
{
	struct slab_heap *heap = inst;
	struct checking checking = { .fn = fn, .arg = arg };

	list_for_each (pos, &heap->caches) {
		const struct cache *cache = list_of(pos, struct cache, node.link);

		checking.slabs = checking.unused = 0;
		check_list(&checking, cache, &cache->full, "full");
		check_list(&checking, cache, &cache->partial, "partial");
		check_list(&checking, cache, &cache->empty, "empty");
		if (checking.slabs != cache->nr_slabs || checking.unused != cache->nr_free)
			defect(&checking, cache, NULL, "Wrong object count");
	}
	return checking.defects;
}

/* ---- one address; may run in a fault handler ---- */

int slab_find(void *inst, const void *addr, struct page *page, struct loam_span *span)
{
	const struct slab_heap *heap = inst;
	const struct slab *slab = page_slab(page);
	const struct cache *cache = slab->cache;
	struct stack_bits bits;
	size_t i;

	if (!cache) {
		runs_find(&heap->runs, page, span);
		return 0;
	}
	i = (size_t)((const char *)addr - slab->objects) / cache->size;
	if ((const char *)addr < slab->objects || i >= cache->num)
		return -ENOENT;
	read_stack(slab, &bits);
	/* What waits in an array looks live here: to look would be too much for a fault handler. */
	span->kind = on_stack(&bits, (uint32_t)i) ? LOAM_SPAN_FREE : LOAM_SPAN_LIVE;
	span->addr = slab->objects + i * cache->size + cache->layout.left;
	span->bytes = cache->usable;
	span->label = cache->name;
	return 0;
}
