/* SPDX-License-Identifier: MIT */
/* roles.c: the three roles in front of the magazines. */
#include "magazine.h"

#define ZONED (__GFP_DMA | __GFP_DMA32)

#define MAG_PAGE_LINK ((uint32_t)offsetof(struct page, own[1]))

/* ---- heap ---- */

/* The class of a foreign block: the largest that it has room for. CLASSES_FINE: not cached. */
static uint32_t class_of_size(const struct magazine *magazine, size_t usable)
{
	uint32_t class;

	if (usable < 16 || usable >= 2 * magazine->heap_max)
		return CLASSES_FINE;
	class = classes_fine_index(usable > magazine->heap_max ? magazine->heap_max : usable);
	return classes_fine_size(class) > usable ? class - 1 : class;
}

/* The class of a block; CLASSES_FINE: it is none of ours. */
static inline uint32_t class_of(struct magazine *magazine, const void *ptr, struct page *page)
{
	const uint8_t *mark;

	if (loam_unlikely(!page))
		return class_of_size(magazine, lower_heap_usable_size(magazine, ptr, NULL));
	mark = mag_mark(magazine, ptr);
	return loam_likely(mark && *mark && !((uintptr_t)ptr % 16)) ? *mark - 1u : CLASSES_FINE;
}

/*
 * Not more than the block will have when it comes out of a magazine again. Outside the machine nothing says for which class it
 * was taken, and the holder may have asked for more than the class that it will be.
 */
static size_t heap_usable_size(void *inst, const void *ptr, struct page *page)
{
	struct magazine *magazine = inst;
	uint32_t class = page ? class_of(magazine, ptr, page) : CLASSES_FINE;

	return class == CLASSES_FINE ? lower_heap_usable_size(magazine, ptr, page) : classes_fine_size(class);
}

/* A block goes out; @class: what it will be when it comes back. */
static void count_out(struct magazine *magazine, struct area *area, uint32_t class, void *ptr)
{
	if (class < CLASSES_FINE) {
		mag_came(area, &magazine->bins[class], 1);
		return;
	}
	mag_passed(magazine, area, offsetof(struct passed, allocs), 1);
	mag_passed(magazine, area, offsetof(struct passed, bytes_in),
		   lower_heap_usable_size(magazine, ptr, loam_ptr_page(magazine->map, ptr)));
}

/* Not from a magazine: too large, aligned, or of a zone. A foreign block may go to one when it is freed. */
static LOAM_NOINLINE void *pass_alloc(struct magazine *magazine, size_t bytes, size_t align, gfp_t gfp)
{
	struct area *area = loam_area(&magazine->local);
	void *ptr = lower_heap_alloc(magazine, bytes, align, gfp);

	if (!ptr && mag_make_room(magazine))
		ptr = lower_heap_alloc(magazine, bytes, align, gfp);
	if (ptr)
		count_out(magazine, area, class_of(magazine, ptr, loam_ptr_page(magazine->map, ptr)), ptr);
	else
		mag_failed(magazine, area);
	return ptr;
}

/* No magazine of this thread at hand, a larger class, a block outside, what passes through: all but the usual. */
static LOAM_NOINLINE void *alloc_slow(struct magazine *magazine, size_t bytes, size_t align, gfp_t gfp)
{
	struct area *area = loam_area(&magazine->local);
	void *ptr = NULL;
	uint32_t class;

	if (bytes > magazine->heap_max || align > 16 || gfp & ZONED)
		return pass_alloc(magazine, bytes, align, gfp);
	class = classes_fine_index(bytes);
	if (area)
		ptr = mag_pop_quiet(&area->pairs[class], 0);
	if (!ptr)
		ptr = mag_find(magazine, &magazine->bins[class], area, gfp);
	if (!ptr)
		return NULL;
	/*
	 * The class of a block outside the machine is known by its size only. Relaxed: it was set before the first such block came
	 * here, and does not change back.
	 */
	if (__atomic_load_n(&magazine->outside, __ATOMIC_RELAXED))
		class = class_of_size(magazine, lower_heap_usable_size(magazine, ptr, NULL));
	count_out(magazine, loam_area(&magazine->local), class, ptr);
	return ptr;
}

static void *heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct magazine *magazine = inst;
	struct area *area = loam_area(&magazine->local);
	void *ptr;

	if (loam_likely(area && bytes <= __atomic_load_n(&magazine->short_max, __ATOMIC_RELAXED) && align <= 16 &&
			!(gfp & ZONED))) {
		ptr = mag_pop(&area->pairs[magazine->small[(bytes + 15) / 16]], 0);
		if (loam_likely(ptr != NULL))
			return ptr;
	}
	return alloc_slow(magazine, bytes, align, gfp);
}

static LOAM_NOINLINE void pass_free(struct magazine *magazine, void *ptr, struct page *page)
{
	struct area *area = loam_area(&magazine->local);

	mag_passed(magazine, area, offsetof(struct passed, bytes_out), lower_heap_usable_size(magazine, ptr, page));
	mag_passed(magazine, area, offsetof(struct passed, frees), 1);
	lower_heap_free(magazine, ptr, page);
}

/* Another chunk than last time, no area, a block outside, not in a class, no room: all but the usual. */
static LOAM_NOINLINE void free_slow(struct magazine *magazine, void *ptr, struct page *page)
{
	struct area *area = loam_area(&magazine->local);
	uint32_t class = class_of(magazine, ptr, page);

	if (area && page && class < CLASSES_FINE) {
		area->chunk = (size_t)((char *)ptr - magazine->map->base) / MAG_CHUNK;
		area->marks = __atomic_load_n(&magazine->marks[area->chunk], __ATOMIC_ACQUIRE);
	}
	if (class == CLASSES_FINE)
		pass_free(magazine, ptr, page);
	else if (!area || !mag_push(&area->pairs[class], ptr, 0))
		mag_give(magazine, &magazine->bins[class], area, ptr);
}

static void heap_free(void *inst, void *ptr, struct page *page)
{
	struct magazine *magazine = inst;
	struct area *area = loam_area(&magazine->local);
	size_t off = (size_t)((char *)ptr - magazine->base);

	if (loam_likely(area && off / MAG_CHUNK == area->chunk && !((uintptr_t)ptr % 16) && area->marks)) {
		uint8_t mark = area->marks[off % MAG_CHUNK / 16];

		if (loam_likely(mark && mag_push(&area->pairs[mark - 1], ptr, 0)))
			return;
	}
	free_slow(magazine, ptr, page);
}

static bool heap_resize(void *inst, void *ptr, struct page *page, size_t bytes)
{
	struct magazine *magazine = inst;
	const uint8_t *mark = page ? mag_mark(magazine, ptr) : NULL;

	/* A block of a class stays of its class. */
	return page && !(mark && *mark) && bytes > 2 * magazine->heap_max &&
	       lower_heap_resize(magazine, ptr, page, bytes);
}

static void heap_limits(void *inst, struct loam_heap_limits *limits)
{
	lower_heap_limits(inst, limits);
	/* What waits here below takes for live, so it sees the holders' mistakes too late or not at all. */
	limits->caps &= LOAM_HEAP_NATURAL;
}

const struct loam_heap_ops mag_heap_ops = { .size = sizeof(mag_heap_ops),
					    .alloc = heap_alloc,
					    .free = heap_free,
					    .usable_size = heap_usable_size,
					    .resize = heap_resize,
					    .limits = heap_limits };

/* ---- objects ---- */

static bool debugged(const struct loam_cache_args *args)
{
	return args->flags & (SLAB_RED_ZONE | SLAB_POISON | SLAB_CONSISTENCY_CHECKS | SLAB_STORE_USER);
}

/* Objects that must be looked at, or built, each time are not kept here. */
static bool may_cache(const struct magazine *magazine, const struct loam_cache_args *args)
{
	return !debugged(args) && (magazine->caps & LOAM_OBJECTS_CONSTRUCTED || (!args->ctor && !args->dtor));
}

/* What the counters say of an object: where it may be freed as a block of the heap, what they will say of that. */
static size_t object_bytes(const struct mag_cache *cache, const void *object)
{
	struct magazine *magazine = cache->base.filter;

	if (!cache->tag || !magazine->lower.heap)
		return cache->base.pub.object_size;
	return lower_heap_usable_size(magazine, object, loam_ptr_page(magazine->map, object));
}

void *mag_object_below(struct mag_cache *cache, gfp_t gfp)
{
	void *object = lower_objects_alloc(&cache->base.pub, gfp);

	if (!object)
		return NULL;
	mag_tag_set(cache, object, mag_tag(cache, object));
	/* The same for each of them. */
	if (cache->tag && cache->bin)
		__atomic_store_n(&cache->bin->size, object_bytes(cache, object), __ATOMIC_RELAXED);
	return object;
}

void mag_object_give_below(struct mag_cache *cache, void *object)
{
	mag_tag_set(cache, object, 0);
	lower_objects_free(&cache->base.pub, object);
}

static struct bin *bin_for(struct magazine *magazine, struct mag_cache *cache, uint32_t link)
{
	struct bin *bin = NULL;

	loam_lock(magazine->lower.host, &magazine->lock);
	for (uint32_t i = MAG_CACHES; i < MAG_BINS && !bin; i++)
		if (!magazine->caches[i]) {
			bin = &magazine->bins[i];
			bin->index = i;
			/* Nobody holds it before it is open. */
			bin->hold = (struct hold){ .going = true };
			__atomic_store_n(&magazine->caches[i], cache, __ATOMIC_RELEASE);
		}
	loam_unlock(magazine->lower.host, &magazine->lock);
	if (!bin)
		return NULL;
	mag_bin_open(magazine, bin->index, cache->base.pub.object_size, link);
	loam_lock(magazine->lower.host, &magazine->lock);
	bin->hold.going = false;
	loam_unlock(magazine->lower.host, &magazine->lock);
	return bin;
}

static void objects_limits(void *inst, struct loam_objects_limits *limits)
{
	const struct magazine *magazine = inst;

	lower_objects_limits(inst, limits);
	/* What waits here is live below, which sees frees too late for that. */
	limits->caps &= ~(uint32_t)(LOAM_OBJECTS_DOUBLE_FREE | LOAM_OBJECTS_BAD_FREE);
	if (!(magazine->caps & LOAM_OBJECTS_OWN_FRAMES))
		limits->max_size = (limits->max_size & ~(size_t)7) - sizeof(uintptr_t); /* the tag */
}

/* A word behind what is there; its offset. */
static uint32_t add_word(struct loam_cache_args *args)
{
	size_t at = (args->object_size + 7) & ~(size_t)7;

	args->object_size = at + sizeof(uintptr_t);
	return (uint32_t)at;
}

/*
 * What a constructor built, or what is too small for it, has no room for a link: that lies behind the object then. And where
 * frames do not say whose objects they have, the object says it, but where the instance below looks at what lies behind it.
 */
static int objects_create(void *inst, const struct loam_cache_args *args, struct loam_cache **out)
{
	struct loam_objects_limits limits = { .size = sizeof(limits) };
	struct magazine *magazine = inst;
	struct loam_cache_args wide = *args;
	struct mag_cache *cache;
	uint32_t link = 0, tag = 0;
	int error;

	objects_limits(magazine, &limits);
	if (!args->object_size || args->object_size > limits.max_size)
		return -EINVAL;
	if (may_cache(magazine, args) && (args->ctor || args->dtor || args->object_size < sizeof(void *)))
		link = add_word(&wide);
	if (!(magazine->caps & LOAM_OBJECTS_OWN_FRAMES) && !debugged(args))
		tag = add_word(&wide);
	error = lower_cache_new(magazine, &mag_objects_ops, &wide, sizeof(*cache), out);
	if (error)
		return error;
	cache = (struct mag_cache *)*out;
	cache->base.pub.object_size = (uint32_t)args->object_size;
	cache->tag = tag;
	if (may_cache(magazine, args))
		cache->bin = bin_for(magazine, cache, link);
	return 0;
}

static int objects_destroy(struct loam_cache *pub)
{
	struct mag_cache *cache = (struct mag_cache *)pub;
	struct magazine *magazine = cache->base.filter;
	struct bin *bin = cache->bin;
	int error;

	if (!bin)
		return lower_objects_destroy(pub);
	hold_retire(magazine->lower.host, &magazine->lock, &bin->hold);
	mag_bin_forget(magazine, bin);
	mag_drain_bin(magazine, bin);
	error = lower_objects_destroy(pub);
	if (error) {
		loam_lock(magazine->lower.host, &magazine->lock);
		bin->hold.going = false;
		loam_unlock(magazine->lower.host, &magazine->lock);
		return error;
	}
	mag_bin_close(magazine, bin);
	/* What was done with it stays counted, at each moment once. */
	loam_lock(magazine->lower.host, &magazine->lock);
	mag_passed(magazine, NULL, offsetof(struct passed, allocs), bin->allocs);
	mag_passed(magazine, NULL, offsetof(struct passed, frees), bin->frees);
	mag_passed(magazine, NULL, offsetof(struct passed, bytes_in), bin->allocs * bin->size);
	mag_passed(magazine, NULL, offsetof(struct passed, bytes_out), bin->frees * bin->size);
	bin->allocs = bin->frees = 0;
	__atomic_store_n(&magazine->caches[bin->index], NULL, __ATOMIC_RELEASE);
	loam_unlock(magazine->lower.host, &magazine->lock);
	return 0;
}

/* Not kept here: straight from and to the cache below. */
static LOAM_NOINLINE void *pass_object(struct mag_cache *cache, gfp_t gfp)
{
	struct magazine *magazine = cache->base.filter;
	struct area *area = loam_area(&magazine->local);
	void *object = mag_object_below(cache, gfp);

	if (!object && mag_make_room(magazine))
		object = mag_object_below(cache, gfp);
	if (object) {
		mag_passed(magazine, area, offsetof(struct passed, allocs), 1);
		mag_passed(magazine, area, offsetof(struct passed, bytes_in), object_bytes(cache, object));
	} else {
		mag_failed(magazine, area);
	}
	return object;
}

static void *objects_alloc(struct loam_cache *pub, gfp_t gfp)
{
	struct mag_cache *cache = (struct mag_cache *)pub;
	struct magazine *magazine = cache->base.filter;
	struct area *area = loam_area(&magazine->local);
	void *object = NULL;

	if (loam_unlikely(!cache->bin))
		return pass_object(cache, gfp);
	if (loam_likely(area != NULL))
		object = mag_pop(&area->pairs[cache->bin->index], cache->bin->link);
	return loam_likely(object != NULL) ? object : mag_take(magazine, cache->bin, area, gfp);
}

static LOAM_COLD void wrong_cache(struct mag_cache *cache, void *object)
{
	struct magazine *magazine = cache->base.filter;
	struct lower *lower = &magazine->lower;
	const struct page *page = loam_ptr_page(magazine->map, object);
	const char *real = NULL;

	/* Under the lock, for its name. */
	loam_lock(lower->host, &lower->lock);
	list_for_each (pos, &lower->caches) {
		const struct loam_cache *other = &list_of(pos, struct lower_cache, link)->pub;

		if (page && page->owner == other->owner)
			real = other->name;
	}
	misuse_wrong_cache(lower->host, lower->self, cache->base.pub.name, object, page, real);
	loam_unlock(lower->host, &lower->lock);
}

/* By its frame, else by its tag; where there is neither, the instance below sees it at once. */
static bool is_ours(const struct mag_cache *cache, const void *object)
{
	const struct magazine *magazine = cache->base.filter;
	const struct page *page = loam_ptr_page(magazine->map, object);

	if (magazine->caps & LOAM_OBJECTS_OWN_FRAMES)
		return page && page->owner == cache->base.pub.owner;
	return !cache->tag || (page && loam_ptr_page(magazine->map, (const char *)object + cache->tag + 7) &&
			       mag_tagged(cache, object));
}

/* Told here where the frames tell it; else the instance below knows what it is. */
static LOAM_COLD void not_ours(struct mag_cache *cache, void *object)
{
	if (cache->tag)
		lower_objects_free(&cache->base.pub, object);
	else
		wrong_cache(cache, object);
}

static void objects_free(struct loam_cache *pub, void *object)
{
	struct mag_cache *cache = (struct mag_cache *)pub;
	struct magazine *magazine = cache->base.filter;
	struct area *area = loam_area(&magazine->local);

	if (loam_unlikely(!is_ours(cache, object))) {
		not_ours(cache, object);
	} else if (loam_unlikely(!cache->bin)) {
		mag_passed(magazine, area, offsetof(struct passed, bytes_out), object_bytes(cache, object));
		mag_passed(magazine, area, offsetof(struct passed, frees), 1);
		mag_object_give_below(cache, object);
	} else if (loam_unlikely(!area || !mag_push(&area->pairs[cache->bin->index], object, cache->bin->link))) {
		mag_give(magazine, cache->bin, area, object);
	}
}

static uint64_t footprint(struct magazine *magazine)
{
	struct loam_stat stat = { .size = sizeof(stat) };

	lower_stat(magazine, &stat);
	return stat.footprint;
}

/* What comes back from here may make the instance below give back frames, before it is asked to. */
static unsigned long objects_shrink(struct loam_cache *pub)
{
	struct mag_cache *cache = (struct mag_cache *)pub;
	struct magazine *magazine = cache->base.filter;
	struct area *area = loam_area(&magazine->local);
	uint64_t before = footprint(magazine), after;
	unsigned long told, frames;

	if (cache->bin) {
		mag_drain_bin(magazine, cache->bin);
		if (area)
			mag_drain_pair(magazine, cache->bin, &area->pairs[cache->bin->index]);
	}
	told = lower_objects_shrink(pub);
	after = footprint(magazine);
	frames = before > after ? (unsigned long)((before - after) >> LOAM_PAGE_SHIFT) : 0;
	/* Other threads go on meanwhile, and may take more. */
	return frames > told ? frames : told;
}

const struct loam_objects_ops mag_objects_ops = { .size = sizeof(mag_objects_ops),
						  .create = objects_create,
						  .destroy = objects_destroy,
						  .alloc = objects_alloc,
						  .free = objects_free,
						  .shrink = objects_shrink,
						  .each = lower_objects_each,
						  .limits = objects_limits };

/* ---- pages: single ones are kept ---- */

static int pages_add(void *inst, const struct loam_zone *zone, unsigned long pfn, unsigned long count)
{
	struct magazine *magazine = inst;

	if (!magazine->zones[zone->id]) {
		magazine->zones[zone->id] = zone;
		mag_bin_open(magazine, MAG_PAGES + zone->id, LOAM_PAGE_SIZE, MAG_PAGE_LINK);
	}
	return lower_pages_add(magazine, zone, pfn, count);
}

static struct page *pages_alloc(void *inst, const struct loam_zone *zone, unsigned order, unsigned flags)
{
	struct magazine *magazine = inst;
	struct area *area = loam_area(&magazine->local);
	struct bin *bin = &magazine->bins[MAG_PAGES + zone->id];
	struct page *page = NULL;

	if (order || flags & LOAM_PAGES_COLD) {
		page = lower_pages_alloc(magazine, zone, order, flags);
		if (!page && mag_make_room(magazine))
			page = lower_pages_alloc(magazine, zone, order, flags);
		/* In frames: a block may come back in parts, and single frames go to magazines. */
		if (page)
			mag_came(area, bin, 1ul << order);
		else
			mag_failed(magazine, area);
		return page;
	}
	if (loam_likely(area != NULL))
		page = mag_pop(&area->pairs[bin->index], MAG_PAGE_LINK);
	if (loam_unlikely(!page))
		page = mag_take(magazine, bin, area, 0);
	if (loam_likely(page != NULL))
		page->own[0] = NULL;
	return page;
}

static void pages_free(void *inst, const struct loam_zone *zone, struct page *page, unsigned order)
{
	struct magazine *magazine = inst;
	struct area *area = loam_area(&magazine->local);
	struct bin *bin = &magazine->bins[MAG_PAGES + zone->id];

	if (order) {
		mag_went(area, bin, 1ul << order);
		lower_pages_free(magazine, zone, page, order);
		return;
	}
	if (loam_unlikely(page->own[0] == &magazine->page_mark)) {
		magazine->lower.host->report(magazine->lower.self, LOAM_REPORT_DOUBLE_FREE,
					     loam_page_ptr(magazine->map, page), "frame %lu is free already",
					     loam_page_pfn(magazine->map, page));
		return;
	}
	page->own[0] = &magazine->page_mark;
	if (loam_unlikely(!area || !mag_push(&area->pairs[bin->index], page, MAG_PAGE_LINK)))
		mag_give(magazine, bin, area, page);
}

struct counting {
	uint32_t bin;
	unsigned long frames;
};

static void count_pair(void *arg, void *at)
{
	struct counting *counting = arg;
	const struct pair *pair = &((struct area *)at)->pairs[counting->bin];

	counting->frames +=
		__atomic_load_n(&pair->n, __ATOMIC_RELAXED) + __atomic_load_n(&pair->prev_n, __ATOMIC_RELAXED);
}

static void pages_counts(void *inst, const struct loam_zone *zone, unsigned long counts[LOAM_ORDERS])
{
	struct magazine *magazine = inst;
	struct bin *bin = &magazine->bins[MAG_PAGES + zone->id];
	struct counting counting = { bin->index, 0 };

	lower_pages_counts(magazine, zone, counts);
	magazine->lower.host->areas(magazine->lower.self, count_pair, &counting);
	loam_lock(magazine->lower.host, &bin->lock);
	counting.frames += (unsigned long)bin->nr_full * bin->rounds;
	loam_unlock(magazine->lower.host, &bin->lock);
	counts[0] += counting.frames;
}

/* What waits here is taken below, so a part of it that is freed there once more is not found out. */
static void pages_limits(void *inst, struct loam_pages_limits *limits)
{
	lower_pages_limits(inst, limits);
	limits->caps &= ~LOAM_PAGES_DOUBLE_FREE;
}

const struct loam_pages_ops mag_pages_ops = { .size = sizeof(mag_pages_ops),
					      .add = pages_add,
					      .alloc = pages_alloc,
					      .free = pages_free,
					      .counts = pages_counts,
					      .limits = pages_limits };
