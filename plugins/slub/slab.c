/* SPDX-License-Identifier: MIT */
/* slab.c: slabs from their making to their end, and the ways of alloc and free that are not short. */
#include "slub.h"

/* ---- making ---- */

/* In a random order when the instance asks for it: who knows one object's address does not know its neighbour's. */
static void carve_random(struct slab *slab)
{
	struct cache *cache = slab->cache;
	struct slub *slub = cache->slub;
	uint32_t n = slab->objects, first = (uint32_t)(slub->host->random(slub->self) % n), step;

	/* A step without a common divisor with n reaches every object once. */
	for (step = (uint32_t)(slub->host->random(slub->self) % n) | 1;; step += 2) {
		uint32_t a = step % n, b = n;

		while (a) {
			uint32_t r = b % a;

			b = a;
			a = r;
		}
		if (b == 1)
			break;
	}
	for (uint32_t i = 0; i < n; i++) {
		void *object = slab->base + (size_t)((first + (uint64_t)i * step) % n) * cache->size;

		slub_link_set(cache, object, slab->free);
		slab->free = object;
	}
	slab->carved = n;
}

/*
 * Link the next untouched objects of @slab, about a page of them, in front of its list. Memory that nobody asked for stays
 * untouched, and so costs the host nothing.
 */
void slub_carve(struct slab *slab)
{
	struct cache *cache = slab->cache;
	uint32_t n = (uint32_t)(LOAM_PAGE_SIZE / cache->size), left = slab->objects - slab->carved;
	char *object;

	if (cache->slub->random && !slab->carved) {
		carve_random(slab);
		return;
	}
	n = n ? n : 1;
	n = n < left ? n : left;
	object = slab->base + (size_t)(slab->carved + n) * cache->size;
	slab->carved += n;
	while (n--) {
		object -= cache->size;
		slub_link_set(cache, object, slab->free);
		slab->free = object;
	}
}

/** What ../common/slabdebug.h looks at. Under the lock of the cache. */
struct slabdebug_slab slub_view(const struct slab *slab)
{
	return (struct slabdebug_slab){ .base = slab->base,
					.places = slab->base,
					.bytes = LOAM_PAGE_SIZE << slab->order,
					.num = slab->objects,
					.used = slab->inuse & ~SLUB_CURRENT,
					.free = slab->free };
}

/* Debugged and constructed objects are made all at once, before the slab can be seen. */
static void construct(struct slab *slab)
{
	struct cache *cache = slab->cache;

	if (cache->debug) {
		struct slabdebug_slab view = slub_view(slab);

		slabdebug_fill(&cache->layout, &view);
	}
	while (slab->carved < slab->objects)
		slub_carve(slab);
	for (uint32_t i = 0; cache->ctor && i < slab->objects; i++)
		cache->ctor(slab->base + (size_t)i * cache->size + cache->layout.left);
}

static struct page *slab_frames(struct cache *cache, gfp_t gfp, uint32_t *order)
{
	struct slub *slub = cache->slub;
	uint32_t want = __atomic_load_n(&cache->nr_slabs, __ATOMIC_RELAXED) < 4 ? cache->order : cache->order_max;
	gfp_t light = (gfp & ~(__GFP_DIRECT_RECLAIM | __GFP_NOFAIL)) | __GFP_NOWARN | __GFP_NORETRY;
	struct page *page = NULL;

	gfp = (gfp & ~(__GFP_DMA | __GFP_DMA32 | __GFP_HIGHMEM | __GFP_MOVABLE | __GFP_ZERO)) | cache->gfp;
	light = (light & ~(__GFP_DMA | __GFP_DMA32 | __GFP_HIGHMEM | __GFP_MOVABLE | __GFP_ZERO)) | cache->gfp;
	for (*order = want; *order > cache->order_least; --*order) {
		page = slub->host->pages_alloc(slub->pages, light, *order, cache->pub.owner);
		if (page)
			return page;
	}
	return slub->host->pages_alloc(slub->pages, gfp, *order, cache->pub.owner);
}

/** A new slab that nobody owns yet and no list shows but the cache's list of all. Called without locks. */
struct slab *slub_slab_new(struct cache *cache, gfp_t gfp)
{
	struct slub *slub = cache->slub;
	struct slab *slab = slub->host->meta_alloc(slub->self, sizeof(*slab), _Alignof(struct slab));
	struct page *page;

	if (!slab)
		return NULL;
	page = slab_frames(cache, gfp, &slab->order);
	if (!page) {
		slub->host->meta_free(slub->self, slab, sizeof(*slab));
		return NULL;
	}
	slab->page = page;
	slab->cache = cache;
	slab->base = loam_page_ptr(slub->map, page);
	slab->fast = SLUB_NOBODY;
	slab->slot_offset = (uint32_t)(offsetof(struct area, slots) + cache->slot * sizeof(struct slot));
	slab->objects = (uint32_t)((LOAM_PAGE_SIZE << slab->order) / cache->size);
	list_init(&slab->node);
	for (unsigned long i = 0; i < 1ul << slab->order; i++)
		page[i].own[0] = slab;
	if (cache->ctor || cache->debug)
		construct(slab);

	loam_lock(slub->host, &cache->lock);
	list_add(&slab->all, &cache->all);
	__atomic_store_n(&cache->nr_slabs, cache->nr_slabs + 1, __ATOMIC_RELAXED);
	count_add(&cache->nr_objects, slab->objects);
	count_add(&cache->nr_pages, 1ul << slab->order);
	loam_unlock(slub->host, &cache->lock);
	return slab;
}

/** Give an empty slab's memory back. It is on no list but the cache's list of all. Called without locks. */
void slub_slab_discard(struct slab *slab)
{
	struct cache *cache = slab->cache;
	struct slub *slub = cache->slub;

	loam_lock(slub->host, &cache->lock);
	list_del(&slab->all);
	__atomic_store_n(&cache->nr_slabs, cache->nr_slabs - 1, __ATOMIC_RELAXED);
	count_add(&cache->nr_objects, -(uint64_t)slab->objects);
	count_add(&cache->nr_pages, -(1ul << slab->order));
	loam_unlock(slub->host, &cache->lock);
	/* Now, when a child of fork does not find it any more. */
	for (uint32_t i = 0; cache->dtor && i < slab->carved; i++)
		cache->dtor(slab->base + (size_t)i * cache->size + cache->layout.left);
	slub->host->pages_free(slub->pages, slab->page, slab->order);
	slub->host->meta_free(slub->self, slab, sizeof(*slab));
}

/** The same for a list of them. */
void slub_discard_all(struct list_head *slabs)
{
	list_for_each_safe (pos, slabs) {
		list_del(pos);
		slub_slab_discard(list_of(pos, struct slab, node));
	}
}

/* ---- without an area: under the cache's lock ---- */

/*
 * The shared list and its length, which adopt reads without the lock: relaxed, for a stale length only costs a new slab or a
 * vain look. Under the cache's lock.
 */
void slub_partial_add(struct slab *slab)
{
	struct cache *cache = slab->cache;

	list_add(&slab->node, &cache->partial);
	__atomic_store_n(&cache->nr_partial, cache->nr_partial + 1, __ATOMIC_RELAXED);
}

void slub_partial_del(struct slab *slab)
{
	struct cache *cache = slab->cache;

	list_del_init(&slab->node);
	__atomic_store_n(&cache->nr_partial, cache->nr_partial - 1, __ATOMIC_RELAXED);
}

/* In a debugged cache: whether a link leads to a place of its slab, or is the last. */
static bool link_ok(const struct slab *slab, const char *to)
{
	size_t off = (size_t)(to - slab->base), size = slab->cache->size;

	return !to || (off % size == 0 && off / size < slab->objects);
}

/* What hangs on a broken link is lost. It counts as handed out. Under the lock. */
static LOAM_COLD void list_cleared(struct slab *slab, const char *object)
{
	struct slabdebug_slab view = slub_view(slab);

	slabdebug_tell(&slab->cache->layout, &view, object, "Freepointer corrupt", "Freelist cleared");
	slab->free = NULL;
	slab->inuse = slab->objects - 1;
}

static LOAM_COLD void list_cut(struct slab *slab, char *last)
{
	struct cache *cache = slab->cache;
	struct slabdebug_slab view = slub_view(slab);

	slub_link_set(cache, last, NULL);
	slab->inuse = slab->objects;
	for (void *at = slab->free; at; at = slub_link_get(cache, at))
		slab->inuse--;
	slabdebug_tell(&cache->layout, &view, last, "Freechain corrupt", "Object count adjusted");
}

/* Whether @object is free. A list that leaves its slab or leads back into itself is cut there. Under the lock. */
static bool on_list(struct slab *slab, const char *object)
{
	char *last = NULL;
	uint32_t n = 0;

	for (char *at = slab->free; at; last = at, at = slub_link_get(slab->cache, at), n++) {
		if (at == object)
			return true;
		if (n == slab->objects || !link_ok(slab, at)) {
			list_cut(slab, last);
			return false;
		}
	}
	return false;
}

static void *pop_shared(struct cache *cache, struct slab *slab) LOAM_REQUIRES(cache->lock)
{
	void *object;

	if (!slab->free)
		slub_carve(slab);
	object = slab->free;
	slab->free = slub_link_get(cache, object);
	if (cache->debug && !link_ok(slab, slab->free))
		list_cleared(slab, object);
	slab->inuse++;
	if (!slab->free && slab->carved == slab->objects)
		slub_partial_del(slab);
	return object;
}

static void *alloc_shared(struct cache *cache, gfp_t gfp)
{
	const struct loam_host *host = cache->slub->host;
	struct slab *slab;
	void *object;

	loam_lock(host, &cache->lock);
	if (list_empty(&cache->partial)) {
		loam_unlock(host, &cache->lock);
		slab = slub_slab_new(cache, gfp);
		if (!slab) {
			count_add(&cache->failures, 1);
			return NULL;
		}
		loam_lock(host, &cache->lock);
		slub_partial_add(slab);
	} else {
		slab = list_of(cache->partial.next, struct slab, node);
	}
	object = pop_shared(cache, slab);
	if (cache->debug) {
		struct slabdebug_slab view = slub_view(slab);

		slabdebug_alloc(&cache->layout, &view, object);
	}
	count_add(&cache->allocs, 1);
	loam_unlock(host, &cache->lock);
	return cache->debug ? (char *)object + cache->layout.left : object;
}

/*
 * The place of a debugged cache comes back; false, and told, when it may not. An object that was lost with a broken list is on
 * none; but what no holder has cannot be freed, so frees never pass allocations. Under the lock.
 */
static bool debug_free(struct cache *cache, struct slab *slab, char *place) LOAM_REQUIRES(cache->lock)
{
	bool begins = link_ok(slab, place), none_live = count_read(&cache->allocs) == count_read(&cache->frees);
	bool ok = begins && !none_live && !on_list(slab, place);
	struct slabdebug_slab view = slub_view(slab);

	if (ok)
		slabdebug_free(&cache->layout, &view, place);
	else
		slabdebug_bad_free(&cache->layout, &view, place + cache->layout.left, begins);
	return ok;
}

/* Counted where it was freed, whoever owns the slab: so live = allocations - frees at any time. */
static void count_free(struct cache *cache, struct area *area)
{
	if (area)
		count_one(&area->slots[cache->slot].frees);
	else
		count_add(&cache->frees, 1);
}

/* An object of a slab without an owner. false: it has got one meanwhile. Takes debugged objects too. */
static bool free_shared(struct slab *slab, void *object, struct area *area)
{
	struct cache *cache = slab->cache;
	const struct loam_host *host = cache->slub->host;
	bool was_full, drop = false, ok;

	if (cache->debug)
		object = (char *)object - cache->layout.left;
	loam_lock(host, &cache->lock);
	ok = !__atomic_load_n(&slab->owner, __ATOMIC_RELAXED);
	if (ok && (!cache->debug || debug_free(cache, slab, object))) {
		was_full = !slab->free && slab->carved == slab->objects;
		slub_link_set(cache, object, slab->free);
		slab->free = object;
		slab->inuse--;
		if (was_full)
			slub_partial_add(slab);
		drop = !slab->inuse && cache->nr_partial > cache->min_partial;
		if (drop)
			slub_partial_del(slab);
		count_free(cache, area);
	}
	loam_unlock(host, &cache->lock);
	if (drop)
		slub_slab_discard(slab);
	return ok;
}

/* ---- with an area ---- */

/** Make @slab the current one of its slot. The caller has taken it off its list and owns it. */
static void activate(struct area *area, struct slab *slab)
{
	slab->inuse += SLUB_CURRENT;
	*slub_current(slab->cache, area) = slab;
}

static void own(struct slab *slab, struct area *area)
{
	/*
	 * Relaxed is enough for both: only this thread acts on finding its own area here, and another one that finds it
	 * goes through the inbox or the lock, which order the rest.
	 */
	__atomic_store_n(&slab->owner, area, __ATOMIC_RELAXED);
	__atomic_store_n(&slab->fast, slab->cache->plain && !slab->cache->fp ? area : SLUB_NOBODY, __ATOMIC_RELAXED);
}

/* A slab that a thread left behind, or NULL. */
static struct slab *adopt(struct cache *cache, struct area *area)
{
	const struct loam_host *host = cache->slub->host;
	struct slab *slab = NULL;

	if (!__atomic_load_n(&cache->nr_partial, __ATOMIC_RELAXED))
		return NULL;
	loam_lock(host, &cache->lock);
	if (!list_empty(&cache->partial)) {
		slab = list_of(cache->partial.next, struct slab, node);
		slub_partial_del(slab);
		own(slab, area);
	}
	loam_unlock(host, &cache->lock);
	return slab;
}

/*
 * A free object for @area's slot, which has run dry: what others gave back, what is still uncarved, a partial slab of our
 * own, one that an ended thread left, a new one. In this order: the first ones touch the least memory.
 */
static bool refill(struct cache *cache, struct area *area, gfp_t gfp)
{
	struct slab **current = slub_current(cache, area), *slab = *current;
	struct cold *cold = &area->cold[cache->slot];
	LIST_HEAD(empty);

	if (__atomic_load_n(&cold->inbox, __ATOMIC_RELAXED)) {
		slub_slot_settle(cache, area, &empty);
		slub_discard_all(&empty);
		if (slab && slab->free)
			return true;
	}
	if (slab && slab->carved < slab->objects) {
		slub_carve(slab);
		return true;
	}
	if (slab) {
		slab->inuse -= SLUB_CURRENT;
		*current = NULL;
		list_add(&slab->node, &cold->full);
	}
	if (!list_empty(&cold->partial)) {
		slab = list_of(cold->partial.next, struct slab, node);
		list_del_init(&slab->node);
		cold->nr_partial--;
	} else {
		slab = adopt(cache, area);
		if (!slab) {
			slab = slub_slab_new(cache, gfp);
			if (!slab)
				return false;
			own(slab, area);
		}
	}
	activate(area, slab);
	return true;
}

/** An object the long way. Called without locks; @gfp may let the pages sleep. */
LOAM_NOINLINE void *slub_alloc_slow(struct cache *cache, gfp_t gfp)
{
	struct slub *slub = cache->slub;
	struct area *area = NULL;
	struct slab **current, *slab;
	void *object;

	if (!cache->debug && cache->slot != SLUB_NO_SLOT)
		area = slub->host->area(slub->self);
	if (!area)
		return alloc_shared(cache, gfp);
	slub_slot_open(cache, area);
	current = slub_current(cache, area);
	while (!*current || !(*current)->free)
		if (!refill(cache, area, gfp)) {
			count_add(&cache->failures, 1);
			return NULL;
		}
	slab = *current;
	object = slab->free;
	slab->free = slub_link_get(cache, object);
	slab->inuse++;
	count_one(&area->slots[cache->slot].allocs);
	return object;
}

/*
 * An object of a slab that @area owns. A slab that becomes empty goes to @empty when the slot has others to work with.
 * Counts nothing.
 */
void slub_free_owned(struct area *area, struct slab *slab, void *object, struct list_head *empty)
{
	struct cache *cache = slab->cache;
	struct cold *cold = &area->cold[cache->slot];

	if (!slab->free && slab != *slub_current(cache, area)) {
		list_move(&slab->node, &cold->partial);
		cold->nr_partial++;
	}
	slub_link_set(cache, object, slab->free);
	slab->free = object;
	if (--slab->inuse == 0 && cold->nr_partial > 1) {
		list_move(&slab->node, empty);
		cold->nr_partial--;
	}
}

/* Into the inbox of the slab's owner. false: the owner has changed or is leaving. */
static bool free_remote(struct slab *slab, struct area *owner, void *object)
{
	struct cache *cache = slab->cache;
	void **inbox = &owner->cold[cache->slot].inbox;
	void *head = __atomic_load_n(inbox, __ATOMIC_RELAXED);

	do {
		if (head == SLUB_CLOSED)
			return false;
		slub_link_set(cache, object, head);
		/* Release: the owner takes the list with acquire and sees the link, and what was written to the object. */
	} while (!__atomic_compare_exchange_n(inbox, &head, object, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
	return true;
}

/* A hardened cache at least sees an object freed twice in a row. */
static bool twice(struct cache *cache, struct slab *slab, void *object)
{
	if (cache->plain || slab->free != object)
		return false;
	slabdebug_bad_free(&cache->layout, NULL, object, true);
	return true;
}

/** An object back, the long way. @area is the caller's, or NULL; NULL for a cache without a slot. Called without locks. */
LOAM_NOINLINE void slub_free_slow(struct slab *slab, void *object, struct area *area)
{
	struct cache *cache = slab->cache;
	LIST_HEAD(empty);
	struct area *owner;

	for (;;) {
		owner = __atomic_load_n(&slab->owner, __ATOMIC_ACQUIRE);
		if (owner && owner == area) {
			if (twice(cache, slab, object))
				return;
			slub_free_owned(area, slab, object, &empty);
			count_free(cache, area);
			slub_discard_all(&empty);
			return;
		}
		if (owner && free_remote(slab, owner, object)) {
			count_free(cache, area);
			return;
		}
		/* Nobody's, or its owner is leaving: who leaves holds the lock until the slab is nobody's. */
		if (free_shared(slab, object, area))
			return;
	}
}
