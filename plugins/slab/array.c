/* SPDX-License-Identifier: MIT */
/* array.c: the threads' arrays and the shared one: filled and emptied in batches. */
#include "slab.h"

#include <string.h>

/* ---- arrays ---- */

size_t slab_array_bytes(const struct cache *cache)
{
	return sizeof(struct array) + cache->limit * sizeof(void *);
}

/* The caller's array, made when it has none. NULL: its thread is ending, memory is short, or the cache has no arrays. */
static struct array *array_open(struct cache *cache)
{
	struct slab_heap *heap = cache->heap;
	struct area *area = cache->slot != SLAB_NO_SLOT ? heap->host->area(heap->self) : NULL;
	struct array *array;

	if (!area || area->slots[cache->slot])
		return area ? area->slots[cache->slot] : NULL;
	array = heap->host->meta_alloc(heap->self, slab_array_bytes(cache), 64);
	if (!array)
		return NULL;
	array->limit = cache->limit;
	array->batch = cache->batch;
	/* Release: who walks the areas reads a finished array. */
	__atomic_store_n(&area->slots[cache->slot], array, __ATOMIC_RELEASE);
	return array;
}

/* ---- misuse ---- */

static LOAM_COLD void report_bad(struct cache *cache, struct slab *slab, void *object)
{
	bool begins = slab_number(cache, slab, (char *)object - cache->layout.left) < cache->num;
	struct slabdebug_slab view;

	if (cache->debug)
		view = slab_view(slab);
	slabdebug_bad_free(&cache->layout, cache->debug ? &view : NULL, object, begins);
}

/* Under the lock: whether the object's number is on the slab's stack. Linear, so for caches that are debugged. */
static bool on_stack(const struct cache *cache, const struct slab *slab, const char *place)
{
	uint32_t number = slab_number(cache, slab, place);

	for (uint32_t i = slab->active; i < cache->num; i++)
		if (slab->free[i] == number)
			return true;
	return false;
}

/* ---- without arrays ---- */

static void *alloc_locked(struct cache *cache, gfp_t gfp)
{
	const struct loam_host *host = cache->heap->host;
	char *place;

	do {
		loam_lock(host, &cache->lock);
		place = slab_take(cache);
		if (place && cache->debug) {
			struct slabdebug_slab view = slab_view(page_slab(loam_ptr_page(cache->heap->map, place)));

			slabdebug_alloc(&cache->layout, &view, place);
		}
		loam_unlock(host, &cache->lock);
	} while (!place && slab_grow(cache, gfp));
	count_add(place ? &cache->allocs : &cache->failures, 1);
	return place ? place + cache->layout.left : NULL;
}

static void free_locked(struct cache *cache, struct slab *slab, void *object)
{
	const struct loam_host *host = cache->heap->host;
	LIST_HEAD(gone);
	char *place = (char *)object - cache->layout.left;
	bool good;

	loam_lock(host, &cache->lock);
	good = slab_number(cache, slab, place) < cache->num && !(cache->debug && on_stack(cache, slab, place));
	if (good && cache->debug) {
		struct slabdebug_slab view = slab_view(slab);

		slabdebug_free(&cache->layout, &view, place);
	}
	good = good && slab_put(cache, slab, place, &gone);
	if (!good)
		report_bad(cache, slab, object);
	loam_unlock(host, &cache->lock);
	count_add(&cache->frees, good);
	slab_discard_all(cache, &gone);
}

/* ---- batches ---- */

/* From the shared array, else from slabs. Under the lock. */
static void refill_locked(struct cache *cache, struct array *array)
{
	uint32_t n = array->avail, want = n + array->batch < array->limit ? n + array->batch : array->limit;
	void *object;

	if (cache->shared_avail) {
		while (n < want && cache->shared_avail)
			array->entries[n++] = cache->shared[--cache->shared_avail];
	} else {
		while (n < want && (object = slab_take(cache)))
			array->entries[n++] = object;
	}
	array->avail = n;
}

/** The array is dry, or there is none. */
LOAM_NOINLINE void *slab_alloc_slow(struct cache *cache, gfp_t gfp)
{
	const struct loam_host *host = cache->heap->host;
	struct array *array = cache->limit ? array_open(cache) : NULL;
	void *object;

	if (!array)
		return alloc_locked(cache, gfp);
	do {
		loam_lock(host, &cache->lock);
		refill_locked(cache, array);
		loam_unlock(host, &cache->lock);
		object = array_pop(array);
	} while (!object && slab_grow(cache, gfp));
	if (!object)
		count_add(&cache->failures, 1);
	return object;
}

/* The @n oldest entries to the shared array as far as there is room, the rest to their slabs. Under the lock. */
static void flush_locked(struct cache *cache, struct array *array, uint32_t n, struct list_head *gone)
{
	uint32_t i = 0;

	while (i < n && cache->shared && cache->shared_avail < cache->shared_limit)
		cache->shared[cache->shared_avail++] = array->entries[i++];
	for (; i < n; i++) {
		void *object = array->entries[i];
		struct slab *slab = page_slab(loam_ptr_page(cache->heap->map, object));

		slab_put(cache, slab, object, gone);
	}
	memmove(array->entries, array->entries + n, (array->avail - n) * sizeof(void *));
	array->avail -= n;
}

/** Give back all that the array holds. */
void slab_array_drain(struct cache *cache, struct array *array)
{
	LIST_HEAD(gone);

	loam_lock(cache->heap->host, &cache->lock);
	flush_locked(cache, array, array->avail, &gone);
	loam_unlock(cache->heap->host, &cache->lock);
	slab_discard_all(cache, &gone);
}

/** The array is full, or there is none, or the object looks wrong. */
LOAM_NOINLINE void slab_free_slow(struct cache *cache, struct slab *slab, void *object)
{
	struct array *array = cache->limit ? array_open(cache) : NULL;
	LIST_HEAD(gone);

	if (!array) {
		free_locked(cache, slab, object);
		return;
	}
	if (slab_number(cache, slab, object) >= cache->num ||
	    (array->avail && array->entries[array->avail - 1] == object)) {
		report_bad(cache, slab, object);
		return;
	}
	if (array->avail == array->limit) {
		loam_lock(cache->heap->host, &cache->lock);
		flush_locked(cache, array, array->batch, &gone);
		loam_unlock(cache->heap->host, &cache->lock);
		slab_discard_all(cache, &gone);
	}
	array_push(array, object);
}

/*
 * ---- areas ----
 *
 * In a child of fork the arrays of vanished threads are whole: batches move under the cache's lock, which a fork takes, and a
 * push or pop that was cut short has moved at most one object out of sight. They stay where they are and count as free.
 */

/** A thread ends: its arrays stay for the next one, empty. */
void slab_flush(void *inst, void *at)
{
	struct slab_heap *heap = inst;
	struct area *area = at;
	struct caches_node *node = NULL;

	while ((node = caches_next(heap->host, &heap->lock, &heap->caches, node))) {
		struct cache *cache = list_of(node, struct cache, node);
		struct array *array = cache->slot != SLAB_NO_SLOT ? area->slots[cache->slot] : NULL;

		if (array && array->avail)
			slab_array_drain(cache, array);
	}
}

/** The descriptor's fork. */
void slab_fork(void *inst, enum loam_fork_phase phase)
{
	struct slab_heap *heap = inst;

	if (phase == LOAM_FORK_CHILD)
		caches_fork(&heap->caches);
}

static void drop_array(void *arg, void *at)
{
	struct cache *cache = arg;
	struct area *area = at;
	struct array *array = area->slots[cache->slot];

	if (!array)
		return;
	/* What the thread did with the cache stays in the cache's sums. */
	cache->allocs += array->allocs;
	cache->frees += array->frees;
	area->slots[cache->slot] = NULL;
	cache->heap->host->meta_free(cache->heap->self, array, slab_array_bytes(cache));
}

/** A cache goes: no operation on it is in progress, and its slabs go with whatever the arrays point to. */
void slab_arrays_drop(struct cache *cache)
{
	if (cache->slot != SLAB_NO_SLOT)
		cache->heap->host->areas(cache->heap->self, drop_array, cache);
}
