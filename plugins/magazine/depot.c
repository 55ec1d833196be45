/* SPDX-License-Identifier: MIT */
/* depot.c: magazines go between threads and depots whole; items between magazines and the instance below in batches. */
#include "magazine.h"

#include <stdio.h>

/* ---- items and the instance below ---- */

/** The mark of a block; its chunk gets a table when it has none. NULL: no memory. */
uint8_t *mag_mark_open(struct magazine *magazine, const void *ptr)
{
	size_t chunk = (size_t)((const char *)ptr - magazine->map->base) / MAG_CHUNK;
	uint8_t *mark = mag_mark(magazine, ptr), *fresh, *found = NULL;

	if (loam_likely(mark != NULL))
		return mark;
	fresh = magazine->lower.host->meta_alloc(magazine->lower.self, MAG_CHUNK / 16, 0);
	if (!fresh)
		return NULL;
	/* Two may come here at once. Release: the marks are seen zero. */
	if (!__atomic_compare_exchange_n(&magazine->marks[chunk], &found, fresh, false, __ATOMIC_RELEASE,
					 __ATOMIC_ACQUIRE))
		magazine->lower.host->meta_free(magazine->lower.self, fresh, MAG_CHUNK / 16);
	return mag_mark(magazine, ptr);
}

static void *below_heap(struct magazine *magazine, const struct bin *bin, gfp_t gfp)
{
	void *ptr = lower_heap_alloc(magazine, classes_fine_size(bin->index), 16, gfp);
	uint8_t *mark;

	if (!ptr)
		return NULL;
	if (!loam_ptr_page(magazine->map, ptr)) {
		/* From now on each block's size must be asked for. */
		__atomic_store_n(&magazine->outside, true, __ATOMIC_RELAXED);
		__atomic_store_n(&magazine->short_max, 0, __ATOMIC_RELAXED);
		return ptr;
	}
	mark = mag_mark_open(magazine, ptr);
	if (!mark) {
		lower_heap_free(magazine, ptr, loam_ptr_page(magazine->map, ptr));
		return NULL;
	}
	*mark = (uint8_t)(bin->index + 1);
	return ptr;
}

static void to_heap(struct magazine *magazine, void *ptr)
{
	struct page *page = loam_ptr_page(magazine->map, ptr);

	if (page)
		*mag_mark(magazine, ptr) = 0;
	lower_heap_free(magazine, ptr, page);
}

/* One item, or NULL. */
static void *below(struct magazine *magazine, const struct bin *bin, gfp_t gfp)
{
	if (bin->index < MAG_PAGES)
		return below_heap(magazine, bin, gfp);
	if (bin->index < MAG_CACHES)
		return lower_pages_alloc(magazine, magazine->zones[bin->index - MAG_PAGES], 0, 0);
	return mag_object_below(magazine->caches[bin->index], gfp);
}

static void give_below(struct magazine *magazine, const struct bin *bin, void *item)
{
	if (bin->index < MAG_PAGES) {
		to_heap(magazine, item);
	} else if (bin->index < MAG_CACHES) {
		((struct page *)item)->own[0] = NULL;
		lower_pages_free(magazine, magazine->zones[bin->index - MAG_PAGES], item, 0);
	} else {
		mag_object_give_below(magazine->caches[bin->index], item);
	}
}

/* A list of items that nobody else sees. Returns how many there were. */
static unsigned long give_list(struct magazine *magazine, const struct bin *bin, void *item)
{
	unsigned long n = 0;

	for (void *next; item; item = next, n++) {
		next = *mag_link(item, bin->link);
		give_below(magazine, bin, item);
	}
	return n;
}

/* Half a magazine at once, as far as memory goes, into an empty one. */
static void fill(struct magazine *magazine, const struct bin *bin, struct pair *pair, gfp_t gfp)
{
	uint32_t want = (bin->rounds + 1) / 2, n = 0;
	void *list = NULL, *item;

	while (n < want && (item = below(magazine, bin, gfp))) {
		*mag_link(item, bin->link) = list;
		if (bin->index >= MAG_PAGES && bin->index < MAG_CACHES)
			((struct page *)item)->own[0] = &magazine->page_mark;
		list = item;
		n++;
	}
	pair->head = list;
	__atomic_store_n(&pair->n, n, __ATOMIC_RELAXED);
}

/* ---- bins ---- */

/** Items of @size bytes. A magazine holds at most 64 KiB or four of them, a depot `depot` bytes or one magazine. */
void mag_bin_open(struct magazine *magazine, uint32_t index, size_t size, uint32_t link)
{
	struct bin *bin = &magazine->bins[index];
	size_t rounds = (64u << 10) / size, max;

	bin->index = index;
	bin->size = size;
	bin->link = link;
	bin->allocs = bin->frees = 0;
	bin->rounds = rounds < 4 ? 4 : rounds < magazine->rounds ? (uint32_t)rounds : magazine->rounds;
	max = magazine->depot_bytes / (bin->rounds * size);
	bin->max_full = max < 1 ? 1 : max > MAG_DEPOT ? MAG_DEPOT : (uint32_t)max;
	bin->nr_full = 0;
	magazine->lower.host->lock_init(magazine->lower.self, &bin->lock, 2, "magazine depot");
	bin->used = true;
}

/*
 * Whether bin @i is there, and stays until it is let go. Those of classes and zones are there from the start to the end; that
 * of a cache may go while another thread empties it.
 */
static bool bin_hold(struct magazine *magazine, uint32_t i)
{
	bool there;

	if (i < MAG_CACHES)
		return magazine->bins[i].used;
	if (!__atomic_load_n(&magazine->caches[i], __ATOMIC_ACQUIRE))
		return false;
	loam_lock(magazine->lower.host, &magazine->lock);
	there = magazine->caches[i] && hold_take(&magazine->bins[i].hold);
	loam_unlock(magazine->lower.host, &magazine->lock);
	return there;
}

static void bin_let_go(struct magazine *magazine, uint32_t i)
{
	if (i < MAG_CACHES)
		return;
	loam_lock(magazine->lower.host, &magazine->lock);
	hold_drop(&magazine->bins[i].hold);
	loam_unlock(magazine->lower.host, &magazine->lock);
}

void mag_fork(void *inst, enum loam_fork_phase phase)
{
	struct magazine *magazine = inst;

	for (uint32_t i = 0; phase == LOAM_FORK_CHILD && i < MAG_BINS; i++)
		magazine->bins[i].hold.users = 0;
}

/** No operation on it is in progress, nobody holds it, and no area has items of it. */
void mag_bin_close(struct magazine *magazine, struct bin *bin)
{
	mag_drain_bin(magazine, bin);
	magazine->lower.host->lock_destroy(&bin->lock);
	bin->used = false;
}

static void load(struct pair *pair, void *head, uint32_t n)
{
	pair->head = head;
	__atomic_store_n(&pair->n, n, __ATOMIC_RELAXED);
}

static void put_aside(struct pair *pair, void *head, uint32_t n)
{
	pair->prev = head;
	__atomic_store_n(&pair->prev_n, n, __ATOMIC_RELAXED);
}

/*
 * The loaded one is empty: the other one, or a full one of the depot. Magazines move under the bin's lock, which a fork takes:
 * a child finds each of them once.
 */
static bool load_full(struct magazine *magazine, struct bin *bin, struct pair *pair)
{
	bool done = true;

	loam_lock(magazine->lower.host, &bin->lock);
	if (pair->prev) {
		load(pair, pair->prev, pair->prev_n);
		put_aside(pair, NULL, 0);
	} else if (bin->nr_full) {
		load(pair, bin->full[--bin->nr_full], bin->rounds);
	} else {
		done = false;
	}
	loam_unlock(magazine->lower.host, &bin->lock);
	return done;
}

/* The loaded one is full: it is put aside. Returns a full magazine that there is no room for, or NULL. */
static void *load_empty(struct magazine *magazine, struct bin *bin, struct pair *pair)
{
	void *out = NULL;

	loam_lock(magazine->lower.host, &bin->lock);
	if (pair->prev && pair->prev_n == bin->rounds && bin->nr_full < bin->max_full)
		bin->full[bin->nr_full++] = pair->prev;
	else
		out = pair->prev;
	put_aside(pair, pair->head, (uint32_t)pair->n);
	load(pair, NULL, 0);
	loam_unlock(magazine->lower.host, &bin->lock);
	return out;
}

static void *take_below(struct magazine *magazine, struct bin *bin, struct area *area, gfp_t gfp)
{
	void *item = below(magazine, bin, gfp);

	if (!item && mag_make_room(magazine))
		item = below(magazine, bin, gfp);
	if (!item)
		mag_failed(magazine, area);
	return item;
}

/** The loaded magazine is dry, or there is none. Not counted yet, for who knows more of its size. NULL: memory is short. */
LOAM_NOINLINE void *mag_find(struct magazine *magazine, struct bin *bin, struct area *area, gfp_t gfp)
{
	struct pair *pair;
	void *item;

	area = area ? area : magazine->lower.host->area(magazine->lower.self);
	if (!area)
		return take_below(magazine, bin, NULL, gfp);
	pair = &area->pairs[bin->index];
	pair->rounds = bin->rounds;
	if (!load_full(magazine, bin, pair))
		fill(magazine, bin, pair, gfp);
	if (!pair->head && mag_make_room(magazine))
		fill(magazine, bin, pair, gfp);
	item = mag_pop_quiet(pair, bin->link);
	if (!item)
		mag_failed(magazine, area);
	return item;
}

/** The same, and counted. */
LOAM_NOINLINE void *mag_take(struct magazine *magazine, struct bin *bin, struct area *area, gfp_t gfp)
{
	void *item = mag_find(magazine, bin, area, gfp);

	/* The area may be there since now only. */
	if (item)
		mag_came(area ? area : loam_area(&magazine->local), bin, 1);
	return item;
}

/* Pages are marked, and so found out before. */
static LOAM_COLD void report_double(struct magazine *magazine, const struct bin *bin, void *item)
{
	char name[32];

	snprintf(name, sizeof(name), "malloc-%zu", bin->size);
	misuse_already_free(magazine->lower.host, magazine->lower.self,
			    bin->index < MAG_CACHES ? name : magazine->caches[bin->index]->base.pub.name, item);
}

/** The loaded magazine is full, or there is none, or the item is on top of it already. */
LOAM_NOINLINE void mag_give(struct magazine *magazine, struct bin *bin, struct area *area, void *item)
{
	struct pair *pair;

	area = area ? area : magazine->lower.host->area(magazine->lower.self);
	if (!area) {
		mag_went(area, bin, 1);
		give_below(magazine, bin, item);
		return;
	}
	pair = &area->pairs[bin->index];
	if (pair->head == item) {
		report_double(magazine, bin, item);
		return;
	}
	pair->rounds = bin->rounds;
	if (pair->n == pair->rounds)
		give_list(magazine, bin, load_empty(magazine, bin, pair));
	mag_push(pair, item, bin->link);
}

/* ---- giving back ---- */

/** What the depot holds goes below. Returns the number of items. */
unsigned long mag_drain_bin(struct magazine *magazine, struct bin *bin)
{
	unsigned long n = 0;
	void *list;

	do {
		loam_lock(magazine->lower.host, &bin->lock);
		list = bin->nr_full ? bin->full[--bin->nr_full] : NULL;
		loam_unlock(magazine->lower.host, &bin->lock);
		n += give_list(magazine, bin, list);
	} while (list);
	return n;
}

/** A thread's magazines go below. */
unsigned long mag_drain_pair(struct magazine *magazine, struct bin *bin, struct pair *pair)
{
	void *head = pair->head, *prev = pair->prev;

	/* First out of sight, then back: nobody counts an item twice. */
	load(pair, NULL, 0);
	put_aside(pair, NULL, 0);
	return give_list(magazine, bin, head) + give_list(magazine, bin, prev);
}

void mag_flush(void *inst, void *at)
{
	struct magazine *magazine = inst;
	struct area *area = at;

	for (uint32_t i = 0; i < MAG_BINS; i++) {
		if (!bin_hold(magazine, i))
			continue;
		mag_drain_pair(magazine, &magazine->bins[i], &area->pairs[i]);
		bin_let_go(magazine, i);
	}
}

/* What the depot and the caller hold of bin @i goes below. Returns the number of items. */
static unsigned long drain(struct magazine *magazine, uint32_t i)
{
	struct area *area = loam_area(&magazine->local);
	unsigned long n;

	if (!bin_hold(magazine, i))
		return 0;
	n = mag_drain_bin(magazine, &magazine->bins[i]);
	if (area)
		n += mag_drain_pair(magazine, &magazine->bins[i], &area->pairs[i]);
	bin_let_go(magazine, i);
	return n;
}

/**
 * The instance below has nothing, or nothing of that size: what waits here, of any kind, goes back to it, for it may become
 * just that. What other threads hold stays with them. Whether it is worth another try.
 */
LOAM_COLD bool mag_make_room(struct magazine *magazine)
{
	unsigned long n = 0;

	for (uint32_t i = 0; i < MAG_BINS; i++)
		n += drain(magazine, i);
	return n;
}

/** All depots and the caller's magazines. Tells frames only where the items are frames; others are counted by their owner. */
unsigned long mag_shrink(void *inst, unsigned long pages)
{
	unsigned long frames = 0;

	(void)pages;
	for (uint32_t i = 0; i < MAG_BINS; i++) {
		unsigned long n = drain(inst, i);

		if (i >= MAG_PAGES && i < MAG_CACHES)
			frames += n;
	}
	return frames;
}

struct forgetting {
	struct bin *bin;
	void *list; /* all items of all threads */
};

static void take_list(struct forgetting *forgetting, void **head)
{
	void *last = *head;

	while (last && *mag_link(last, forgetting->bin->link))
		last = *mag_link(last, forgetting->bin->link);
	if (last) {
		*mag_link(last, forgetting->bin->link) = forgetting->list;
		forgetting->list = *head;
		*head = NULL;
	}
}

static void take_pair(void *arg, void *at)
{
	struct forgetting *forgetting = arg;
	struct pair *pair = &((struct area *)at)->pairs[forgetting->bin->index];

	take_list(forgetting, &pair->head);
	take_list(forgetting, &pair->prev);
	/* The bin's counts go with it: those who come next begin with their own. */
	forgetting->bin->allocs += pair->allocs;
	forgetting->bin->frees += pair->frees;
	*pair = (struct pair){ .rounds = 0 };
}

/** Every thread's items of @bin go below. No operation on them is in progress. Takes the magazine's lock. */
void mag_bin_forget(struct magazine *magazine, struct bin *bin)
{
	struct forgetting forgetting = { bin, NULL };

	loam_lock(magazine->lower.host, &magazine->lock);
	magazine->lower.host->areas(magazine->lower.self, take_pair, &forgetting);
	loam_unlock(magazine->lower.host, &magazine->lock);
	give_list(magazine, bin, forgetting.list);
}
