/* SPDX-License-Identifier: MIT */
/* depot.c: magazines go between threads and depots whole; items between magazines and the instance below in batches. */
#include "magazine.h"

/* ---- items and the instance below ---- */

static size_t mag_bytes(const struct bin *bin)
{
	return sizeof(struct mag) + bin->rounds * sizeof(void *);
}

/** The mark of a block; its chunk gets a table when it has none. NULL: no memory. */
uint8_t *mag_mark_open(struct magazine *magazine, const void *ptr)
{
	size_t chunk = (size_t)((const char *)ptr - magazine->map->base) / MAG_CHUNK;
	uint8_t *mark = mag_mark(magazine, ptr), *fresh, *found = NULL;

	if (loam_likely(mark != NULL))
		return mark;
	fresh = magazine->host->meta_alloc(magazine->self, MAG_CHUNK / 16, 0);
	if (!fresh)
		return NULL;
	/* Two may come here at once. Release: the marks are seen zero. */
	if (!__atomic_compare_exchange_n(&magazine->marks[chunk], &found, fresh, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE))
		magazine->host->meta_free(magazine->self, fresh, MAG_CHUNK / 16);
	return mag_mark(magazine, ptr);
}

static void *below_heap(struct magazine *magazine, const struct bin *bin, gfp_t gfp)
{
	void *ptr = loam_heap_alloc(magazine->heap, classes_fine_size(bin->index), 16, gfp);
	uint8_t *mark;

	if (!ptr || !loam_ptr_page(magazine->map, ptr)) {
		if (ptr)
			__atomic_store_n(&magazine->outside, true, __ATOMIC_RELAXED);
		return ptr;
	}
	mark = mag_mark_open(magazine, ptr);
	if (!mark) {
		lower_heap_free(magazine->heap, ptr, loam_ptr_page(magazine->map, ptr));
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
	lower_heap_free(magazine->heap, ptr, page);
}

/* One item, or NULL. */
static void *below(struct magazine *magazine, const struct bin *bin, gfp_t gfp)
{
	struct loam_cache *lower;

	if (bin->index < MAG_PAGES)
		return below_heap(magazine, bin, gfp);
	if (bin->index < MAG_CACHES)
		return lower_pages_alloc(magazine->pages, magazine->zones[bin->index - MAG_PAGES], 0, 0);
	lower = magazine->caches[bin->index]->base.lower;
	return loam_cache_ops(lower)->alloc(lower, gfp);
}

/* Items [0, @n) go back. */
static void give_below(struct magazine *magazine, const struct bin *bin, void **items, uint32_t n)
{
	struct loam_cache *lower;

	if (bin->index < MAG_PAGES) {
		for (uint32_t i = 0; i < n; i++)
			to_heap(magazine, items[i]);
	} else if (bin->index < MAG_CACHES) {
		for (uint32_t i = 0; i < n; i++)
			((struct page *)items[i])->own[0] = NULL;
		lower_pages_free_bulk(magazine->pages, magazine->zones[bin->index - MAG_PAGES], n, (struct page **)items);
	} else {
		lower = magazine->caches[bin->index]->base.lower;
		for (uint32_t i = 0; i < n; i++)
			loam_cache_ops(lower)->free(lower, items[i]);
	}
}

/* Half a magazine at once, as far as memory goes. */
static void fill(struct magazine *magazine, const struct bin *bin, struct mag *mag, gfp_t gfp)
{
	uint32_t want = (bin->rounds + 1) / 2, n = mag->n;

	if (bin->index >= MAG_PAGES && bin->index < MAG_CACHES) {
		n += lower_pages_alloc_bulk(magazine->pages, magazine->zones[bin->index - MAG_PAGES], want,
					    (struct page **)&mag->items[n], 0);
		for (uint32_t i = mag->n; i < n; i++)
			((struct page *)mag->items[i])->own[0] = &magazine->page_mark;
	} else {
		while (n < want && (mag->items[n] = below(magazine, bin, gfp)))
			n++;
	}
	__atomic_store_n(&mag->n, n, __ATOMIC_RELEASE);
}

static uint32_t empty_mag(struct magazine *magazine, const struct bin *bin, struct mag *mag)
{
	uint32_t n = mag->n;

	/* First out of sight, then back: nobody counts an item twice. */
	__atomic_store_n(&mag->n, 0, __ATOMIC_RELAXED);
	give_below(magazine, bin, mag->items, n);
	return n;
}

/* ---- bins ---- */

/** Items of @size bytes. A magazine holds at most 64 KiB, a depot `depot` bytes. */
void mag_bin_open(struct magazine *magazine, uint32_t index, size_t size)
{
	struct bin *bin = &magazine->bins[index];
	size_t rounds = (64u << 10) / size, max;

	bin->index = index;
	bin->size = size;
	bin->allocs = bin->frees = 0;
	bin->rounds = rounds < 4 ? 4 : rounds < magazine->rounds ? (uint32_t)rounds : magazine->rounds;
	max = magazine->depot_bytes / (bin->rounds * size);
	bin->max_full = max < 1 ? 1 : max > 64 ? 64 : (uint32_t)max;
	bin->full = bin->empty = NULL;
	bin->nr_full = 0;
	bin->used = true;
	magazine->host->lock_init(magazine->self, &bin->lock, 2, "magazine depot");
}

static void free_mags(struct magazine *magazine, const struct bin *bin, struct mag *mag)
{
	while (mag) {
		struct mag *next = mag->next;

		magazine->host->meta_free(magazine->self, mag, mag_bytes(bin));
		mag = next;
	}
}

/** No operation on it is in progress, and no area has a magazine of it. */
void mag_bin_close(struct magazine *magazine, struct bin *bin)
{
	if (!bin->used)
		return;
	mag_drain_bin(magazine, bin);
	free_mags(magazine, bin, bin->empty);
	magazine->host->lock_destroy(&bin->lock);
	bin->used = false;
	bin->empty = NULL;
}

/* An empty magazine of the depot's, or a new one. */
static struct mag *new_mag(struct magazine *magazine, struct bin *bin)
{
	struct mag *mag;

	loam_lock(magazine->host, &bin->lock);
	mag = bin->empty;
	if (mag)
		bin->empty = mag->next;
	loam_unlock(magazine->host, &bin->lock);
	if (mag)
		return mag;
	mag = magazine->host->meta_alloc(magazine->self, mag_bytes(bin), 64);
	if (mag)
		mag->rounds = bin->rounds;
	return mag;
}

/* The order of stores lets a child of fork find each magazine once: pairs change under the bin's lock, which a fork takes. */
static bool load_full(struct magazine *magazine, struct bin *bin, struct pair *pair)
{
	struct mag *full;
	bool done = false;

	loam_lock(magazine->host, &bin->lock);
	full = bin->full;
	if (pair->prev && pair->prev->n) {
		struct mag *prev = pair->prev;

		pair->prev = pair->loaded;
		pair->loaded = prev;
		done = true;
	} else if (full) {
		bin->full = full->next;
		__atomic_store_n(&bin->nr_full, bin->nr_full - 1, __ATOMIC_RELAXED);
		if (pair->prev) {
			pair->prev->next = bin->empty;
			bin->empty = pair->prev;
		}
		pair->prev = pair->loaded;
		pair->loaded = full;
		done = true;
	}
	loam_unlock(magazine->host, &bin->lock);
	return done;
}

static void *take_below(struct magazine *magazine, struct bin *bin, struct area *area, gfp_t gfp)
{
	void *item = below(magazine, bin, gfp);

	if (item)
		mag_came(area, bin);
	else
		mag_failed(magazine, area);
	return item;
}

/** The loaded magazine is dry, or there is none. NULL: memory is short. */
LOAM_NOINLINE void *mag_take(struct magazine *magazine, struct bin *bin, struct area *area, gfp_t gfp)
{
	struct pair *pair;
	void *item;

	area = area ? area : magazine->host->area(magazine->self);
	if (!area)
		return take_below(magazine, bin, NULL, gfp);
	pair = &area->pairs[bin->index];
	if (!load_full(magazine, bin, pair)) {
		if (!pair->loaded)
			pair->loaded = new_mag(magazine, bin);
		if (!pair->loaded)
			return take_below(magazine, bin, area, gfp);
		fill(magazine, bin, pair->loaded, gfp);
	}
	item = mag_pop(pair);
	if (!item)
		mag_failed(magazine, area);
	return item;
}

/* Room for one more item in pair->loaded; *@out is a full magazine that the depot has no room for. */
static bool load_empty(struct magazine *magazine, struct bin *bin, struct pair *pair, struct mag *spare, struct mag **out)
{
	bool used_spare = false;

	*out = NULL;
	loam_lock(magazine->host, &bin->lock);
	if (pair->prev && pair->prev->n < bin->rounds) {
		struct mag *prev = pair->prev;

		pair->prev = pair->loaded;
		pair->loaded = prev;
	} else if (spare) {
		if (pair->prev && bin->nr_full < bin->max_full) {
			pair->prev->next = bin->full;
			bin->full = pair->prev;
			__atomic_store_n(&bin->nr_full, bin->nr_full + 1, __ATOMIC_RELAXED);
		} else {
			*out = pair->prev;
		}
		pair->prev = pair->loaded;
		pair->loaded = spare;
		used_spare = true;
	}
	loam_unlock(magazine->host, &bin->lock);
	return used_spare;
}

static void keep_empty(struct magazine *magazine, struct bin *bin, struct mag *mag)
{
	loam_lock(magazine->host, &bin->lock);
	mag->next = bin->empty;
	bin->empty = mag;
	loam_unlock(magazine->host, &bin->lock);
}

static LOAM_COLD void report_double(struct magazine *magazine, const struct bin *bin, void *item)
{
	bool is_page = bin->index >= MAG_PAGES && bin->index < MAG_CACHES;

	magazine->host->report(magazine->self, LOAM_REPORT_DOUBLE_FREE,
			       is_page ? loam_page_ptr(magazine->map, (struct page *)item) : item, "Object already free");
}

/** The loaded magazine is full, or there is none, or the item is on top of it already. */
LOAM_NOINLINE void mag_give(struct magazine *magazine, struct bin *bin, struct area *area, void *item)
{
	struct mag *spare = NULL, *out = NULL, *top;
	struct pair *pair;

	area = area ? area : magazine->host->area(magazine->self);
	pair = area ? &area->pairs[bin->index] : NULL;
	top = pair ? pair->loaded : NULL;
	if (top && top->n && top->items[top->n - 1] == item) {
		report_double(magazine, bin, item);
		return;
	}
	if (pair && (!pair->prev || pair->prev->n == bin->rounds))
		spare = new_mag(magazine, bin);
	if (pair && !load_empty(magazine, bin, pair, spare, &out) && spare)
		keep_empty(magazine, bin, spare);
	if (out) {
		empty_mag(magazine, bin, out);
		keep_empty(magazine, bin, out);
	}
	if (pair && mag_push(pair, item))
		return;
	mag_went(area, bin);
	give_below(magazine, bin, &item, 1);
}

/* ---- giving back ---- */

/** What the depot holds goes below. Returns the number of items. */
unsigned long mag_drain_bin(struct magazine *magazine, struct bin *bin)
{
	unsigned long n = 0;
	struct mag *full;

	loam_lock(magazine->host, &bin->lock);
	full = bin->full;
	bin->full = NULL;
	__atomic_store_n(&bin->nr_full, 0, __ATOMIC_RELAXED);
	loam_unlock(magazine->host, &bin->lock);
	while (full) {
		struct mag *next = full->next;

		n += empty_mag(magazine, bin, full);
		keep_empty(magazine, bin, full);
		full = next;
	}
	return n;
}

/** A thread's magazines go below; they stay its own, empty. */
unsigned long mag_drain_pair(struct magazine *magazine, struct bin *bin, struct pair *pair)
{
	unsigned long n = 0;

	if (pair->loaded)
		n += empty_mag(magazine, bin, pair->loaded);
	if (pair->prev)
		n += empty_mag(magazine, bin, pair->prev);
	return n;
}

void mag_flush(void *inst, void *at)
{
	struct magazine *magazine = inst;
	struct area *area = at;

	for (uint32_t i = 0; i < MAG_BINS; i++)
		if (area->pairs[i].loaded || area->pairs[i].prev)
			mag_drain_pair(magazine, &magazine->bins[i], &area->pairs[i]);
}

/** All depots and the caller's magazines. Tells frames only where the items are frames; others are counted by their owner. */
unsigned long mag_shrink(void *inst, unsigned long pages)
{
	struct magazine *magazine = inst;
	struct area *area = loam_area(&magazine->local);
	unsigned long frames = 0;

	(void)pages;
	for (uint32_t i = 0; i < MAG_BINS; i++) {
		unsigned long n;

		if (!magazine->bins[i].used)
			continue;
		n = mag_drain_bin(magazine, &magazine->bins[i]);
		if (area)
			n += mag_drain_pair(magazine, &magazine->bins[i], &area->pairs[i]);
		if (i >= MAG_PAGES && i < MAG_CACHES)
			frames += n;
	}
	return frames;
}

struct forgetting {
	struct bin *bin;
	struct mag *mags;
};

static void take_pair(void *arg, void *at)
{
	struct forgetting *forgetting = arg;
	struct pair *pair = &((struct area *)at)->pairs[forgetting->bin->index];

	for (struct mag **place = &pair->loaded; place <= &pair->prev; place++)
		if (*place) {
			(*place)->next = forgetting->mags;
			forgetting->mags = *place;
			*place = NULL;
		}
}

/** Every thread's magazines of @bin go below, and are gone. No operation on its items is in progress. */
void mag_bin_forget(struct magazine *magazine, struct bin *bin)
{
	struct forgetting forgetting = { bin, NULL };

	magazine->host->areas(magazine->self, take_pair, &forgetting);
	for (struct mag *mag = forgetting.mags; mag; mag = mag->next)
		empty_mag(magazine, bin, mag);
	free_mags(magazine, bin, forgetting.mags);
}
