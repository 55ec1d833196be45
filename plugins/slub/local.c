/* SPDX-License-Identifier: MIT */
/* local.c: what a thread's area holds, when its thread ends, and after a fork. */
#include "slub.h"

#include <string.h>

/** Make the caller's slot usable: the first time, or again after another thread left it closed. */
void slub_slot_open(struct cache *cache, struct area *area)
{
	struct cold *cold = &area->cold[cache->slot];

	if (!cold->partial.next) {
		list_init(&cold->partial);
		list_init(&cold->full);
	}
	/* No slab is this area's yet, so nobody else writes to the inbox now. */
	if (__atomic_load_n(&cold->inbox, __ATOMIC_RELAXED) == SLUB_CLOSED)
		__atomic_store_n(&cold->inbox, NULL, __ATOMIC_RELAXED);
}

/** Put what other threads freed into this slot's slabs. The caller owns @area, or everything stands still. */
void slub_slot_settle(struct cache *cache, struct area *area, struct list_head *empty)
{
	/* Acquire: pairs with the release of who put the objects in. */
	void *object = __atomic_exchange_n(&area->cold[cache->slot].inbox, NULL, __ATOMIC_ACQUIRE);

	while (object) {
		struct slab *slab = slub_slab_of(cache->slub, object);
		void *next = slub_link_get(cache, object);

		slub_free_owned(area, slab, object, empty);
		object = next;
	}
}

/* Nobody's from now on. Under the cache's lock; @slab is on no list. */
static void disown(struct slab *slab, struct list_head *empty)
{
	__atomic_store_n(&slab->fast, SLUB_NOBODY, __ATOMIC_RELAXED);
	/* Release: who finds no owner takes the lock, but reads it without. */
	__atomic_store_n(&slab->owner, NULL, __ATOMIC_RELEASE);
	if (!slab->inuse)
		list_add(&slab->node, empty);
	else if (slab->free || slab->carved < slab->objects)
		slub_partial_add(slab);
}

static void disown_list(struct list_head *slabs, struct list_head *empty)
{
	list_for_each_safe (pos, slabs) {
		list_del_init(pos);
		disown(list_of(pos, struct slab, node), empty);
	}
}

/* All of a slot's slabs to their cache. Holding the lock throughout: a thread that frees into a closed inbox waits for it. */
static void slot_close(struct cache *cache, struct area *area, struct list_head *empty)
{
	const struct loam_host *host = cache->slub->host;
	struct slab **current = slub_current(cache, area), *slab;
	struct cold *cold = &area->cold[cache->slot];
	void *object;

	if (!cold->partial.next)
		return;
	loam_lock(host, &cache->lock);
	object = __atomic_exchange_n(&cold->inbox, SLUB_CLOSED, __ATOMIC_ACQUIRE);
	while (object && object != SLUB_CLOSED) {
		void *next = slub_link_get(cache, object);

		slub_free_owned(area, slub_slab_of(cache->slub, object), object, empty);
		object = next;
	}
	slab = *current;
	*current = NULL;
	if (slab) {
		slab->inuse -= SLUB_CURRENT;
		disown(slab, empty);
	}
	disown_list(&cold->partial, empty);
	disown_list(&cold->full, empty);
	cold->nr_partial = 0;
	loam_unlock(host, &cache->lock);
}

/** The descriptor's flush: the thread ends, or the instance. */
void slub_flush(void *inst, void *area)
{
	struct slub *slub = inst;
	struct caches_node *at = NULL;

	while ((at = caches_next(slub->host, &slub->lock, &slub->caches, at))) {
		struct cache *cache = list_of(at, struct cache, node);
		LIST_HEAD(empty);

		if (cache->slot != SLUB_NO_SLOT)
			slot_close(cache, area, &empty);
		slub_discard_all(&empty);
	}
}

/** Empty slabs of the caller's own slot, the current one too. */
void slub_slot_shrink(struct cache *cache, struct area *area, struct list_head *empty)
{
	struct slab **current = slub_current(cache, area), *slab;
	struct cold *cold = &area->cold[cache->slot];

	/* An earlier thread's, and not used since: nothing is in it. */
	if (__atomic_load_n(&cold->inbox, __ATOMIC_RELAXED) == SLUB_CLOSED)
		return;
	slub_slot_settle(cache, area, empty);
	slab = *current;
	if (slab && slab->inuse == SLUB_CURRENT) {
		slab->inuse = 0;
		*current = NULL;
		list_add(&slab->node, empty);
	}
	list_for_each_safe (pos, &cold->partial)
		if (!list_of(pos, struct slab, node)->inuse) {
			list_move(pos, empty);
			cold->nr_partial--;
		}
}

static void forget_slot(void *arg, void *at)
{
	struct cache *cache = arg;
	struct area *area = at;

	area->slots[cache->slot] = (struct slot){ 0 };
	area->cold[cache->slot] = (struct cold){ 0 };
}

/** The cache goes, and all its slabs with it: no area may remember them. No operation on the cache is in progress. */
void slub_slot_forget(struct cache *cache)
{
	struct slub *slub = cache->slub;

	slub->host->areas(slub->self, forget_slot, cache);
}

/* ---- fork ---- */

/*
 * In the child only the forking thread lives. The others' areas stand as fork found them, perhaps inside an operation, and not
 * even at one moment: pages are copied one after the other while those threads ran on. What the host's locks guard is
 * whole, so the lists of all slabs are. Each slab of a vanished thread gets its free list walked: as far as the links make
 * sense it is kept, the slab is counted anew from it and becomes nobody's. So does a slab without owner that such a thread had
 * in hand: new, or about to be given back. The few objects that such a thread was just moving are lost to the child.
 */

/* Cut the list where it stops making sense; returns its length, and raises slab->carved to what it holds. */
static uint32_t mend_list(struct slab *slab, void **list, uint64_t *seen)
{
	struct cache *cache = slab->cache;
	void *last = NULL, *object = *list;
	uint32_t n = 0;

	memset(seen, 0, (slab->objects + 63) / 64 * 8);
	while (object) {
		size_t off = (size_t)((char *)object - slab->base), i = off / cache->size;

		if (i >= slab->objects || off % cache->size || seen[i / 64] >> (i % 64) & 1)
			break;
		seen[i / 64] |= 1ull << (i % 64);
		if (i >= slab->carved)
			slab->carved = (uint32_t)i + 1;
		n++;
		last = object;
		object = slub_link_get(cache, object);
	}
	if (object && last)
		slub_link_set(cache, last, NULL);
	else if (object)
		*list = NULL;
	return n;
}

static void inherit(struct slab *slab, uint64_t *seen)
{
	/* Without a slot everything is done under the lock, and whole. */
	if (slab->cache->slot != SLUB_NO_SLOT) {
		uint32_t n = mend_list(slab, &slab->free, seen);

		slab->inuse = slab->carved - n;
	}
	list_init(&slab->node);
	__atomic_store_n(&slab->fast, SLUB_NOBODY, __ATOMIC_RELAXED);
	__atomic_store_n(&slab->owner, NULL, __ATOMIC_RELAXED);
	if (slab->free || slab->carved < slab->objects)
		slub_partial_add(slab);
}

static void inherit_cache(struct cache *cache, struct area *mine, uint64_t *seen)
{
	list_init(&cache->partial);
	cache->nr_partial = 0;
	list_for_each (pos, &cache->all) {
		struct slab *slab = list_of(pos, struct slab, all);

		if (!slab->owner || slab->owner != mine)
			inherit(slab, seen);
	}
}

struct forking {
	struct slub *slub;
	struct area *mine;
};

/* What lay in a vanished thread's inbox goes where it belongs; its slots begin anew, but for the counters. */
static void inherit_area(void *arg, void *at)
{
	struct forking *forking = arg;
	struct slub *slub = forking->slub;
	struct area *area = at;

	for (uint32_t i = 0; area != forking->mine && i < SLUB_SLOTS; i++) {
		struct cache *cache = slub->slots[i];
		void *object = cache ? area->cold[i].inbox : NULL;

		area->slots[i].slab = NULL;
		area->cold[i] = (struct cold){ 0 };
		while (object && object != SLUB_CLOSED) {
			struct slab *slab = slub_slab_of(slub, object);
			void *next = slub_link_get(cache, object);

			if (!slab || slab->cache != cache || slab->owner || !slab->inuse)
				break;
			if (slab->free == NULL && slab->carved == slab->objects)
				slub_partial_add(slab);
			slub_link_set(cache, object, slab->free);
			slab->free = object;
			slab->inuse--;
			object = next;
		}
	}
}

/** The descriptor's fork. */
void slub_fork(void *inst, enum loam_fork_phase phase)
{
	struct slub *slub = inst;
	struct forking forking = { .slub = slub };
	uint64_t *seen;

	if (phase != LOAM_FORK_CHILD)
		return;
	caches_fork(&slub->caches);
	/* Without memory for it the vanished threads' slabs stay theirs: lost to the child, and no harm. */
	seen = slub->host->meta_alloc(slub->self, SLUB_MAX_OBJECTS / 8, 0);
	if (!seen)
		return;
	forking.mine = loam_area(&slub->local);
	list_for_each (pos, &slub->caches)
		inherit_cache(list_of(pos, struct cache, node.link), forking.mine, seen);
	slub->host->meta_free(slub->self, seen, SLUB_MAX_OBJECTS / 8);
	slub->host->areas(slub->self, inherit_area, &forking);
}
