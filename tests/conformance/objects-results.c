/* SPDX-License-Identifier: MIT */
/* objects-results.c: what create and alloc give: caches as asked, objects apart, aligned, whole. */
#include "objects-tests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- create ---- */

static const struct loam__owner *owner_entry(const struct loam_cache *cache)
{
	return &loam__owners[cache->owner & (LOAM__OWNERS - 1)];
}

static void as_asked(const struct loam_cache *cache, const char *name, size_t bytes)
{
	const struct loam_objects_ops *ops = loam_cache_ops(cache);

	kept("OBJ-01", cache->object_size == bytes, "object_size is %u, asked for %zu", cache->object_size, bytes);
	kept("OBJ-01", cache->name && !strcmp(cache->name, name), "the name is '%s', asked for '%s'",
	     cache->name ? cache->name : "(none)", name);
	kept("OBJ-01", owner_entry(cache)->id == cache->owner && owner_entry(cache)->cache == cache,
	     "the owner is not the one that the cache was created with");
	kept("OBJ-01", ops && ops->alloc && ops->free && ops->destroy && ops->limits, "the link lacks an op");
}

/* The arguments are gone, and so is the memory of the name, when the cache is looked at. */
void objects_new_cache(void)
{
	static const size_t sizes[] = { 1, 8, 100, 511, 512, 3000, 20000 };
	struct loam_cache_args args[LOAM_LEN(sizes)];
	struct loam_cache *caches[LOAM_LEN(sizes)];
	char names[LOAM_LEN(sizes)][32], copy[32];

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		snprintf(names[i], sizeof(names[i]), "a-cache-with-a-name-of-%07zu!", sizes[i]);
		args[i] = (struct loam_cache_args){ .name = names[i], .object_size = sizes[i] };
		caches[i] = cache_made(args[i]);
		memset(&args[i], 0xee, sizeof(args[i]));
		memset(names[i], '?', sizeof(names[i]) - 1);
	}
	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		snprintf(copy, sizeof(copy), "a-cache-with-a-name-of-%07zu!", sizes[i]);
		as_asked(caches[i], copy, sizes[i]);
		cache_free(caches[i], object_had(caches[i]));
		cache_gone(caches[i]);
	}
}

void objects_names(void)
{
	struct loam_cache *first = cache_plain("same", 40), *second = cache_plain("same", 700);
	struct bag one = bag_new(first, 100, 1), two = bag_new(second, 100, 2);

	as_asked(first, "same", 40);
	as_asked(second, "same", 700);
	bag_have(&one, 100);
	bag_have(&two, 100);
	bag_end(&one);
	cache_gone(first);
	bag_intact(&two, "OBJ-01", "a cache of the same name was destroyed");
	first = cache_plain("same", 3000);
	as_asked(first, "same", 3000);
	as_asked(second, "same", 700);
	one = bag_new(first, 50, 3);
	bag_have(&one, 50);
	bag_intact(&two, "OBJ-01", "the name was used again");
	bag_end(&one);
	bag_end(&two);
	cache_gone(second);
	cache_gone(first);
}

/* The op itself: the host has nothing to add. */
static void refused(struct loam_cache_args args, const char *what)
{
	struct loam_cache *mark = (struct loam_cache *)&refused, *cache = mark;
	int error;

	args.size = sizeof(args);
	args.name = "refused";
	args.owner = subject->owner;
	op_enter("create(object_size %zu, align %zu, flags %#x)", args.object_size, args.align, args.flags);
	error = objects_ops()->create(subject->links[LOAM_ROLE_OBJECTS].inst, &args, &cache);
	op_leave();
	kept("OBJ-02", error == -EINVAL, "create with %s (object_size %zu, align %zu, flags %#x) returns %d", what,
	     args.object_size, args.align, args.flags, error);
	kept("OBJ-02", !cache || cache == mark, "create fails and stores a cache");
}

static int count_cache(void *arg, const struct loam_cache_info *info)
{
	(void)info;
	++*(unsigned *)arg;
	return 0;
}

static unsigned caches_told(void)
{
	unsigned n = 0;

	if (objects_claim(LOAM_OBJECTS_SLABINFO))
		objects_ops()->each(subject->links[LOAM_ROLE_OBJECTS].inst, count_cache, &n);
	return n;
}

void objects_refuses(void)
{
	struct loam_objects_limits limits = objects_limits();
	unsigned before = caches_told();

	refused((struct loam_cache_args){ .object_size = 0 }, "no size");
	if (limits.max_size < SIZE_MAX) {
		refused((struct loam_cache_args){ .object_size = limits.max_size + 1 }, "a size over max_size");
		refused((struct loam_cache_args){ .object_size = SIZE_MAX }, "a size over max_size");
	}
	/* What has just room in 32 bits, or none. */
	if (limits.max_size < 1ul << 32)
		refused((struct loam_cache_args){ .object_size = (1ul << 32) + 64 }, "a size over max_size");
	for (size_t align = 1; align <= limits.max_align / 2; align *= 2) {
		refused((struct loam_cache_args){ .object_size = 100, .align = align * 2 + 1 }, "an odd alignment");
		refused((struct loam_cache_args){ .object_size = 100, .align = align * 3 }, "an odd alignment");
	}
	for (size_t align = limits.max_align * 2; align; align *= 2)
		refused((struct loam_cache_args){ .object_size = 100, .align = align }, "an alignment over max_align");
	for (unsigned bit = 0; bit < 32; bit++)
		if (!(ALL_SLAB_FLAGS >> bit & 1))
			refused((struct loam_cache_args){ .object_size = 100, .flags = 1u << bit }, "an unknown flag");
	kept("OBJ-02", caches_told() == before, "create fails, and there is a new cache");
}

/* ---- objects apart ---- */

struct place {
	uintptr_t at;
	size_t bytes;
};

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

static void places_apart(struct place *places, unsigned n)
{
	qsort(places, n, sizeof(*places), by_place);
	for (unsigned i = 0; i < n; i++)
		kept("OBJ-03",
		     object_page((void *)places[i].at) && object_page((void *)(places[i].at + places[i].bytes - 1)),
		     "an object of %zu bytes at %p is not in low memory", places[i].bytes, (void *)places[i].at);
	for (unsigned i = 1; i < n; i++)
		kept("OBJ-03", places[i].at - places[i - 1].at >= places[i - 1].bytes,
		     "blocks of %zu bytes at %p and of %zu at %p overlap", places[i - 1].bytes,
		     (void *)places[i - 1].at, places[i].bytes, (void *)places[i].at);
}

static unsigned add_bag(struct place *places, unsigned n, const struct bag *bag)
{
	for (unsigned i = 0; i < bag->n; i++)
		places[n++] = (struct place){ (uintptr_t)bag->objects[i], bag->cache->object_size };
	return n;
}

#define APART 8
#define BLOCKS 200

/* Objects of several caches and blocks of the heap, if there is one, taken by turns. */
void objects_apart(void)
{
	static const size_t sizes[APART] = { 1, 8, 17, 56, 120, 513, 2049, 9000 };
	bool has_heap = subject->links[LOAM_ROLE_HEAP].ops;
	struct place *places = objects_records(APART * 400 + BLOCKS, sizeof(*places));
	void *blocks[BLOCKS];
	struct bag bags[APART];
	unsigned n = 0;

	for (unsigned i = 0; i < APART; i++)
		bags[i] = bag_new(cache_plain("apart", sizes[i]), 400, i);
	for (unsigned round = 0; round < BLOCKS; round++) {
		for (unsigned i = 0; i < APART; i++)
			bag_have(&bags[i], i < 5 ? 2 : 1);
		blocks[round] = has_heap ? heap_alloc(1 + rng_below(&test_rng, 300), 1, QUIET) : NULL;
		if (blocks[round])
			places[n++] = (struct place){ (uintptr_t)blocks[round], heap_usable(blocks[round]) };
	}
	for (unsigned i = 0; i < APART; i++)
		n = add_bag(places, n, &bags[i]);
	places_apart(places, n);
	for (unsigned i = 0; i < APART; i++)
		bag_intact(&bags[i], "OBJ-03", "others were handed out");
	for (unsigned i = 0; i < BLOCKS; i++)
		if (blocks[i])
			heap_free(blocks[i]);
	for (unsigned i = 0; i < APART; i++) {
		struct loam_cache *cache = bags[i].cache;

		bag_end(&bags[i]);
		cache_gone(cache);
	}
	free(places);
}

/* ---- bulk ---- */

static void bulk_take(struct bag *bag, unsigned n)
{
	unsigned got = cache_alloc_bulk(bag->cache, QUIET, n, bag->objects + bag->n);

	kept("OBJ-04", got == n, "alloc_bulk of %u returns %u, and memory is there", n, got);
	for (unsigned i = 0; i < n; i++) {
		kept("OBJ-04", bag->objects[bag->n], "alloc_bulk of %u stores NULL as number %u", n, i);
		bag_add(bag, bag->objects[bag->n]);
	}
}

static void bulk_round(struct bag *bag, unsigned n)
{
	struct place *places = objects_records(bag->room, sizeof(*places));
	uint64_t live = stat_now().live_blocks;

	bag_have(bag, n / 3);
	bulk_take(bag, n);
	bag_have(bag, 5);
	bulk_take(bag, 1);
	kept("OBJ-04", stat_now().live_blocks == live + n / 3 + n + 6, "%u objects were taken, and %llu are live",
	     n / 3 + n + 6, (unsigned long long)(stat_now().live_blocks - live));
	places_apart(places, add_bag(places, 0, bag));
	bag_intact(bag, "OBJ-04", "objects were taken in bulk");
	bag_give(bag, n / 2, &test_rng);
	bag_intact(bag, "OBJ-04", "some were freed by themselves");
	cache_free_bulk(bag->cache, bag->n, bag->objects);
	bag->n = 0;
	kept("OBJ-04", stat_now().live_blocks == live, "all were freed in bulk, and %llu are live",
	     (unsigned long long)(stat_now().live_blocks - live));
	free(places);
}

void objects_bulk(void)
{
	static const size_t sizes[] = { 8, 72, 1200 };

	for (unsigned s = 0; s < LOAM_LEN(sizes); s++) {
		struct loam_cache *cache = cache_plain("bulk", sizes[s]);
		struct bag bag = bag_new(cache, 2000, s);
		void *none = &bag;

		kept("OBJ-04", !cache_alloc_bulk(cache, QUIET, 0, &none), "alloc_bulk of no object returns some");
		kept("OBJ-04", none == &bag, "alloc_bulk of no object stores one");
		cache_free_bulk(cache, 0, &none);
		for (unsigned n = 1; n <= 1000; n = n * 3 + (unsigned)rng_below(&test_rng, 3))
			bulk_round(&bag, n);
		bag_end(&bag);
		cache_gone(cache);
	}
}

/* ---- alignment ---- */

/* Objects of one cache: more than a slab has, as far as that is not too much. */
static void aligned(struct loam_cache_args args, size_t align, const char *clause)
{
	struct loam_cache *cache;
	struct bag bag;
	unsigned n = (unsigned)((64u << 10) / (args.object_size + args.align)) + 3;

	args.name = "aligned";
	cache = cache_maybe(args);
	if (!cache)
		return;
	bag = bag_new(cache, n, align);
	bag_have(&bag, n);
	for (unsigned i = 0; i < n; i++)
		kept(clause, !((uintptr_t)bag.objects[i] & (align - 1)),
		     "object %u of %zu bytes is at %p; alignment %zu, flags %#x%s", i, args.object_size, bag.objects[i],
		     align, args.flags, args.ctor ? ", with a constructor" : "");
	bag_end(&bag);
	cache_gone(cache);
}

static void no_work(void *object)
{
	(void)object;
}

/* Flags that a cache may have, as far as they are claimed, by number. */
static uint32_t flags_of(unsigned i)
{
	uint32_t flags = 0;

	if (i & 1 && objects_claim(LOAM_OBJECTS_RED_ZONE))
		flags |= SLAB_RED_ZONE;
	if (i & 2 && objects_claim(LOAM_OBJECTS_POISON))
		flags |= SLAB_POISON;
	return flags;
}

void objects_alignment(void)
{
	size_t max = objects_limits().max_align;

	max = max < 1u << 20 ? max : 1u << 20;
	for (size_t align = 1; align <= max; align *= 2) {
		const size_t sizes[] = { 1,   align > 1 ? align - 1 : 1,     align, align + 1,
					 100, 1 + rng_below(&test_rng, 1500) };

		for (unsigned i = 0; i < LOAM_LEN(sizes); i++)
			aligned((struct loam_cache_args){ .object_size = sizes[i],
							  .align = align,
							  .flags = flags_of((unsigned)rng_below(&test_rng, 8)),
							  .ctor = rng_below(&test_rng, 3) ? NULL : no_work },
				align, "OBJ-05");
	}
}

void objects_least_alignment(void)
{
	static const size_t aligns[] = { 0, 0, 1, 2, 4 };

	for (size_t bytes = 1; bytes <= 70; bytes++)
		aligned((struct loam_cache_args){ .object_size = bytes,
						  .align = aligns[rng_below(&test_rng, LOAM_LEN(aligns))],
						  .flags = flags_of((unsigned)rng_below(&test_rng, 8)),
						  .ctor = bytes % 3 ? NULL : no_work },
			8, "OBJ-06");
}

void objects_line_alignment(void)
{
	for (size_t bytes = 1; bytes <= 200; bytes = bytes < 70 ? bytes + 1 : bytes + 13) {
		size_t align = 8;

		while (align < bytes && align < 64)
			align *= 2;
		aligned((struct loam_cache_args){ .object_size = bytes,
						  .flags = SLAB_HWCACHE_ALIGN | flags_of((unsigned)bytes % 5),
						  .ctor = bytes % 3 ? NULL : no_work },
			align, "OBJ-07");
	}
}

/* ---- contents, sizes, many caches ---- */

#define SEVERAL 6

/* Whatever else is done: other caches made and destroyed, objects that come and go, bulk, shrink. */
void objects_contents(void)
{
	static const size_t sizes[SEVERAL] = { 1, 16, 80, 250, 1500, 6000 };
	struct bag bags[SEVERAL];

	for (unsigned i = 0; i < SEVERAL; i++)
		bags[i] = bag_new(cache_plain("contents", sizes[i]), 300, i);
	for (unsigned step = 0; step < effort(3000); step++) {
		struct bag *bag = &bags[rng_below(&test_rng, SEVERAL)];
		unsigned what = (unsigned)rng_below(&test_rng, 100), n = 1 + (unsigned)rng_below(&test_rng, 40);

		if (what < 48)
			bag_have(bag, n < bag->room - bag->n ? n : bag->room - bag->n);
		else if (what < 95)
			bag_give(bag, n, &test_rng);
		else if (what < 98)
			cache_shrink(bag->cache);
		else
			bag_intact(bag, "OBJ-08", "other calls were made");
		if (what == 99)
			cache_gone(cache_plain("other", 1 + rng_below(&test_rng, 500)));
	}
	for (unsigned i = 0; i < SEVERAL; i++) {
		struct loam_cache *cache = bags[i].cache;

		bag_intact(&bags[i], "OBJ-08", "other calls were made");
		bag_end(&bags[i]);
		cache_gone(cache);
	}
}

/* A few objects of @bytes; where they are large against the machine, one will do. */
static void size_serves(size_t bytes)
{
	struct loam_cache *cache = cache_plain("size", bytes);
	unsigned n = bytes < 512 ? 70 : bytes < 16384 ? 12 : bytes < 1u << 20 ? 3 : 1;
	struct bag bag = bag_new(cache, n, bytes);

	as_asked(cache, "size", bytes);
	for (unsigned i = 0; i < n; i++) {
		void *object = cache_alloc(cache, QUIET);

		kept("OBJ-14", object, "no object of %zu bytes, and memory is there", bytes);
		kept("OBJ-14", object_page(object) && object_page((char *)object + bytes - 1),
		     "an object of %zu bytes is not in low memory as a whole", bytes);
		bag_add(&bag, object);
	}
	bag_intact(&bag, "OBJ-14", "others of the same size were filled");
	bag_end(&bag);
	cache_gone(cache);
}

void objects_every_size(void)
{
	size_t max = objects_limits().max_size, most = max < 8u << 20 ? max : 8u << 20;

	for (size_t bytes = 1; bytes <= 40; bytes++)
		size_serves(bytes);
	for (size_t power = 64; power <= most; power *= 2) {
		size_serves(power - 1);
		size_serves(power);
		if (power < most)
			size_serves(power + 1);
		if (power + power / 2 <= most)
			size_serves(power + power / 2);
	}
	for (unsigned i = 0; i < effort(30); i++)
		size_serves(rng_size(&test_rng, most < 1u << 20 ? most : 1u << 20));
	size_serves(most);
	/* What is too large for the machine is made, and gives no object; 32 bits have to do for object_size. */
	if (max > most && max <= UINT32_MAX)
		cache_gone(cache_plain("large", max));
}

#define MANY 600

void objects_hundred_caches(void)
{
	struct bag *bags = objects_records(MANY, sizeof(*bags));
	unsigned n;

	for (n = 0; n < MANY; n++) {
		struct loam_cache_args args = { .name = "one of many", .object_size = 8 + n * 5 % 600 };
		struct loam_cache *cache = cache_new(args);

		kept("OBJ-15", cache || (n >= 100 && errno == ENOMEM), "cache %u: %s", n + 1, strerror(errno));
		if (!cache)
			break;
		bags[n] = bag_new(cache, 12, n);
	}
	for (unsigned round = 0; round < 12; round++)
		for (unsigned i = 0; i < n; i++)
			bag_have(&bags[i], 1);
	/* Every third one goes, the others stay as they are, and serve. */
	for (unsigned i = 0; i < n; i += 3) {
		struct loam_cache *cache = bags[i].cache;

		bag_end(&bags[i]);
		cache_gone(cache);
	}
	for (unsigned i = 0; i < n; i++) {
		if (i % 3 == 0)
			continue;
		bag_intact(&bags[i], "OBJ-15", "other caches were used and destroyed");
		bag_give(&bags[i], 6, &test_rng);
		bag_have(&bags[i], 3);
	}
	for (unsigned i = 0; i < n; i++) {
		struct loam_cache *cache = bags[i].cache;

		if (i % 3 == 0)
			continue;
		bag_end(&bags[i]);
		cache_gone(cache);
	}
	free(bags);
}
