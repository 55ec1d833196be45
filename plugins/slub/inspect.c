/* SPDX-License-Identifier: MIT */
/* inspect.c: counters, the lists of blocks, invariants, slabinfo. */
#include "slub.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- counters: any time ---- */

struct sums {
	const struct slub *slub;
	uint64_t allocs[SLUB_SLOTS], frees[SLUB_SLOTS];
};

static void sum_area(void *arg, void *at)
{
	struct sums *sums = arg;
	struct area *area = at;

	for (uint32_t i = 0; i < SLUB_SLOTS; i++)
		if (__atomic_load_n(&sums->slub->slots[i], __ATOMIC_RELAXED)) {
			/* Frees first: then an object that is allocated and freed meanwhile never makes live negative. */
			sums->frees[i] += count_read(&area->slots[i].frees);
			sums->allocs[i] += count_read(&area->slots[i].allocs);
		}
}

static void cache_counts(struct cache *cache, const struct sums *sums, uint64_t *allocs, uint64_t *frees)
{
	*frees = count_read(&cache->frees);
	*allocs = count_read(&cache->allocs);
	if (cache->slot != SLUB_NO_SLOT) {
		*allocs += sums->allocs[cache->slot];
		*frees += sums->frees[cache->slot];
	}
	/* Threads go on while we read. */
	if (*frees > *allocs)
		*frees = *allocs;
}

struct one {
	struct cache *cache;
	uint64_t allocs, frees;
};

static void sum_one(void *arg, void *at)
{
	struct one *one = arg;
	struct slot *slot = &((struct area *)at)->slots[one->cache->slot];

	one->frees += count_read(&slot->frees);
	one->allocs += count_read(&slot->allocs);
}

/** Objects of @cache that were handed out, and that came back. */
void slub_cache_sums(struct cache *cache, uint64_t *allocs, uint64_t *frees)
{
	struct slub *slub = cache->slub;
	struct one one = { cache, 0, 0 };

	if (cache->slot != SLUB_NO_SLOT)
		slub->host->areas(slub->self, sum_one, &one);
	*frees = one.frees + count_read(&cache->frees);
	*allocs = one.allocs + count_read(&cache->allocs);
}

int slub_stat(void *inst, struct loam_stat *stat)
{
	struct slub *slub = inst;
	struct sums sums = { .slub = slub };

	runs_stat(&slub->runs, stat);
	/* Under the lock: the counts of a cache that goes are in one place only. */
	loam_lock(slub->host, &slub->lock);
	slub->host->areas(slub->self, sum_area, &sums);
	stat->allocs += slub->gone_allocs;
	stat->frees += slub->gone_frees;
	stat->failures += slub->gone_failures;
	list_for_each (pos, &slub->caches) {
		struct cache *cache = list_of(pos, struct cache, node.link);
		uint64_t allocs, frees;

		cache_counts(cache, &sums, &allocs, &frees);
		stat->allocs += allocs;
		stat->frees += frees;
		stat->live_bytes += (allocs - frees) * cache->usable;
		stat->footprint += count_read(&cache->nr_pages) << LOAM_PAGE_SHIFT;
		stat->failures += count_read(&cache->failures);
	}
	loam_unlock(slub->host, &slub->lock);
	stat->live_blocks = stat->allocs - stat->frees;
	return 0;
}

int slub_each(void *inst, loam_cache_fn fn, void *arg)
{
	struct slub *slub = inst;
	struct sums sums = { .slub = slub };
	int result = 0;

	loam_lock(slub->host, &slub->lock);
	slub->host->areas(slub->self, sum_area, &sums);
	for (struct list_head *pos = slub->caches.next; pos != &slub->caches && !result; pos = pos->next) {
		struct cache *cache = list_of(pos, struct cache, node.link);
		struct loam_cache_info info = { .size = sizeof(info), .name = cache->name, .obj_size = cache->size };
		uint64_t allocs, frees;

		cache_counts(cache, &sums, &allocs, &frees);
		info.objs_per_slab = (uint32_t)((LOAM_PAGE_SIZE << cache->order) / cache->size);
		info.pages_per_slab = 1u << cache->order;
		info.active_objs = allocs - frees;
		info.total_objs = count_read(&cache->nr_objects);
		info.active_slabs = info.total_slabs = __atomic_load_n(&cache->nr_slabs, __ATOMIC_RELAXED);
		result = fn(arg, &info);
	}
	loam_unlock(slub->host, &slub->lock);
	return result;
}

/* ---- a machine that stands still: no locks, they are all held ---- */

static void settle_area(void *arg, void *at)
{
	struct slub *slub = arg;
	struct area *area = at;

	for (uint32_t i = 0; i < SLUB_SLOTS; i++) {
		struct cache *cache = slub->slots[i];
		struct list_head *cold = &area->cold[i].partial;
		LIST_HEAD(empty);

		if (!cache || !cold->next || area->cold[i].inbox == SLUB_CLOSED)
			continue;
		slub_slot_settle(cache, area, &empty);
		/* Nothing may be given back now: what became empty stays. */
		list_for_each_safe (pos, &empty) {
			list_move(pos, cold);
			area->cold[i].nr_partial++;
		}
	}
}

/* Mark the free objects of @slab in @bits; returns their number, or -1 when the list leaves the slab or turns on itself. */
static long mark_free(const struct slab *slab, uint64_t *bits)
{
	const struct cache *cache = slab->cache;
	long n = 0;

	for (const void *object = slab->free; object; object = slub_link_get(cache, object)) {
		size_t off = (size_t)((const char *)object - slab->base), i = off / cache->size;

		if (i >= slab->carved || off % cache->size || bits[i / 64] >> (i % 64) & 1)
			return -1;
		bits[i / 64] |= 1ull << (i % 64);
		n++;
	}
	return n;
}

static int walk_slab(const struct slab *slab, uint64_t *bits, loam_walk_fn fn, void *arg)
{
	const struct cache *cache = slab->cache;
	struct loam_span span = { .size = sizeof(span), .label = cache->name };
	int result = 0;

	memset(bits, 0, (slab->objects + 63) / 64 * 8);
	mark_free(slab, bits);
	for (uint32_t i = 0; i < slab->objects && !result; i++) {
		bool is_free = i >= slab->carved || bits[i / 64] >> (i % 64) & 1;

		span.kind = is_free ? LOAM_SPAN_FREE : LOAM_SPAN_LIVE;
		span.addr = slab->base + (size_t)i * cache->size + cache->layout.left;
		span.bytes = cache->usable;
		result = fn(arg, &span);
	}
	return result;
}

static int each_slab(struct slub *slub, int (*fn)(struct slab *slab, uint64_t *bits, void *arg), void *arg)
{
	size_t bytes = SLUB_MAX_OBJECTS / 8;
	uint64_t *bits = slub->host->meta_alloc(slub->self, bytes, 0);
	int result = bits ? 0 : -ENOMEM;

	if (!bits)
		return result;
	slub->host->areas(slub->self, settle_area, slub);
	for (struct list_head *c = slub->caches.next; c != &slub->caches && !result; c = c->next) {
		struct cache *cache = list_of(c, struct cache, node.link);

		for (struct list_head *s = cache->all.next; s != &cache->all && !result; s = s->next)
			result = fn(list_of(s, struct slab, all), bits, arg);
	}
	slub->host->meta_free(slub->self, bits, bytes);
	return result;
}

struct walking {
	loam_walk_fn fn;
	void *arg;
};

static int walk_one(struct slab *slab, uint64_t *bits, void *arg)
{
	struct walking *walking = arg;

	return walk_slab(slab, bits, walking->fn, walking->arg);
}

int slub_walk(void *inst, loam_walk_fn fn, void *arg)
{
	const struct slub *slub = inst;
	struct walking walking = { fn, arg };
	int result = each_slab(inst, walk_one, &walking);

	return result ? result : runs_walk(&slub->runs, fn, arg);
}

/* ---- invariants ---- */

struct checking {
	loam_check_fn fn;
	void *arg;
	int defects;
};

static void defect(struct checking *checking, const struct slab *slab, const char *what)
{
	char text[160];

	snprintf(text, sizeof(text), "%s: slab at %p: %s", slab->cache->name, (void *)slab->base, what);
	checking->defects++;
	checking->fn(checking->arg, text);
}

static bool listed(const struct list_head *node, const struct list_head *head)
{
	list_for_each (pos, head)
		if (pos == node)
			return true;
	return false;
}

/* A slab is where its state says: current, partial or full of its owner; or the cache's, partial or nowhere. */
static const char *misplaced(const struct slab *slab)
{
	const struct cache *cache = slab->cache;
	struct area *owner = slab->owner;
	bool has_free = slab->free || slab->carved < slab->objects;

	if (!owner)
		return has_free == listed(&slab->node, &cache->partial) ? NULL
									: "not where a slab without owner belongs";
	if (*slub_current(cache, owner) == slab)
		return slab->inuse & SLUB_CURRENT ? NULL : "current and not marked so";
	return listed(&slab->node, slab->free ? &owner->cold[cache->slot].partial : &owner->cold[cache->slot].full)
		       ? NULL
		       : "not on its owner's list";
}

static void check_debug(struct checking *checking, const struct slab *slab, const uint64_t *bits)
{
	const struct cache *cache = slab->cache;
	struct slabdebug_slab view = slub_view(slab);

	for (uint32_t i = 0; i < slab->objects; i++)
		checking->defects += slabdebug_check(&cache->layout, &view, slab->base + (size_t)i * cache->size,
						     !(bits[i / 64] >> (i % 64) & 1), checking->fn, checking->arg);
	checking->defects += slabdebug_check_end(&cache->layout, &view, checking->fn, checking->arg);
}

static int check_one(struct slab *slab, uint64_t *bits, void *arg)
{
	struct checking *checking = arg;
	const struct cache *cache = slab->cache;
	const char *wrong = misplaced(slab);
	long n;

	if (wrong)
		defect(checking, slab, wrong);
	memset(bits, 0, (slab->objects + 63) / 64 * 8);
	n = mark_free(slab, bits);
	if (n < 0)
		defect(checking, slab, "Freechain corrupt");
	else if ((slab->inuse & ~SLUB_CURRENT) + (uint64_t)n != slab->carved)
		defect(checking, slab, "Wrong object count");
	for (unsigned long i = 0; i < 1ul << slab->order; i++)
		if (slub_page_slab(slab->page + i) != slab) {
			defect(checking, slab, "a frame does not lead back to its slab");
			break;
		}
	if (cache->debug && n >= 0)
		check_debug(checking, slab, bits);
	return 0;
}

int slub_check(void *inst, loam_check_fn fn, void *arg)
{
	struct checking checking = { fn, arg, 0 };

	each_slab(inst, check_one, &checking);
	return checking.defects;
}

/* ---- one address; may run in a fault handler ---- */

int slub_find(void *inst, const void *addr, struct page *page, struct loam_span *span)
{
	const struct slub *slub = inst;
	const struct slab *slab = slub_page_slab(page);
	uint64_t n = 0;
	size_t i;

	span->kind = LOAM_SPAN_LIVE;
	if (slab == &slub->run_mark) {
		runs_find(&slub->runs, page, span);
		return 0;
	}
	i = (size_t)((const char *)addr - slab->base) / slab->cache->size;
	if (i >= slab->objects)
		return -ENOENT;
	span->addr = slab->base + i * slab->cache->size + slab->cache->layout.left;
	span->bytes = slab->cache->usable;
	span->label = slab->cache->name;
	if (i >= slab->carved)
		span->kind = LOAM_SPAN_FREE;
	for (const char *at = slab->free; at && n < slab->objects; at = slub_link_get(slab->cache, at), n++) {
		if ((size_t)(at - slab->base) >= (size_t)slab->objects * slab->cache->size)
			break;
		if (at == slab->base + i * slab->cache->size)
			span->kind = LOAM_SPAN_FREE;
	}
	return 0;
}
