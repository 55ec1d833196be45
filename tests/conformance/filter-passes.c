/* SPDX-License-Identifier: MIT */
/* filter-passes.c: tests of filters: what is passed on to the instance below: roles, alignment, limits, zones, caches. */
#include "plugin-tools.h"

#include <errno.h>
#include <string.h>

#define BLOCKS 200
#define QUIET (GFP_ATOMIC | __GFP_NOWARN)

static bool role_is(enum loam_role_id role)
{
	return job.suite->role == role;
}

static const struct loam_link *link_below(enum loam_role_id role)
{
	return &subject->lower->links[role];
}

/* ---- roles ---- */

static void has_the_roles_of_below(void)
{
	const struct loam_plugin *desc = &subject->plugin->desc;
	struct load load = load_new(BLOCKS, 0);
	uint32_t accepted = 0;

	for (uint32_t i = 0; i < desc->nr_ports; i++)
		if (desc->ports[i].flags & LOAM_PORT_LOWER)
			accepted |= desc->ports[i].roles;
	kept("FILT-01", (subject->roles & accepted) == (subject->lower->roles & accepted),
	     "the roles of the instance below are %#x, those that the port accepts %#x, and the filter has %#x",
	     subject->lower->roles, accepted, subject->roles);
	kept("FILT-01", !(subject->roles & ~subject->lower->roles),
	     "the roles of the instance below are %#x, and the filter has %#x", subject->lower->roles, subject->roles);
	kept("FILT-01", !job.suite->open || job.suite->open(), "what the role needs first is refused");
	kept("FILT-01", load_fill(&load, BLOCKS, GFP_KERNEL) == BLOCKS, "a block is refused");
	load_intact(&load, "FILT-01");
	load_give_all(&load);
	role_close();
	load_end(&load);
}

/* ---- alignment and usable bytes ---- */

static void heap_alignments(void)
{
	struct loam_heap_limits limits = heap_limits();
	const struct loam_link *link = link_below(LOAM_ROLE_HEAP);
	void *ptr[64];

	for (size_t align = 1; align <= 65536 && (!limits.max_align || align <= limits.max_align); align *= 2) {
		for (unsigned i = 0; i < LOAM_LEN(ptr); i++) {
			size_t bytes = rng_size(&test_rng, 3000), usable, have;

			bytes = limits.max_size && bytes > limits.max_size ? 1 : bytes;
			ptr[i] = i % 2 ? heap_zalloc(bytes, align, QUIET) : heap_alloc(bytes, align, QUIET);
			if (!ptr[i])
				continue;
			kept("FILT-02", (uintptr_t)ptr[i] % align == 0, "a block of %zu bytes, alignment %zu, is at %p",
			     bytes, align, ptr[i]);
			usable = heap_usable(ptr[i]);
			have = loam_heap_ops(link)->usable_size(link->inst, ptr[i],
								loam_ptr_page(&loam__machine.map, ptr[i]));
			kept("FILT-02", usable <= have,
			     "the filter says that %zu bytes may be used, below there are %zu", usable, have);
		}
		/* They wait in the filter, if it keeps any, for who asks for more, or less. */
		for (unsigned i = 0; i < LOAM_LEN(ptr); i++)
			if (ptr[i])
				heap_free(ptr[i]);
	}
}

static void object_alignments(void)
{
	size_t max = objects_limits().max_align;

	for (size_t align = 8; align <= 4096 && align <= max; align *= 2) {
		struct loam_cache_args args = { .name = "aligned", .object_size = 40 + align / 2, .align = align };
		struct loam_cache *cache = cache_new(args);
		void *object[40];

		if (!cache)
			trouble("no cache of objects of %zu bytes with alignment %zu", args.object_size, align);
		for (unsigned i = 0; i < LOAM_LEN(object); i++) {
			object[i] = cache_alloc(cache, GFP_KERNEL);
			kept("FILT-02", object[i] && (uintptr_t)object[i] % align == 0,
			     "an object of a cache with alignment %zu is at %p", align, object[i]);
			memset(object[i], 0x77, args.object_size);
		}
		for (unsigned i = 0; i < LOAM_LEN(object); i++)
			cache_free(cache, object[i]);
		kept("FILT-02", !cache_end(cache), "an empty cache cannot be destroyed");
	}
}

static void page_alignments(void)
{
	struct page *page[LOAM_ORDERS];
	unsigned orders = pages_orders();

	for (unsigned order = 0; order < orders; order++) {
		page[order] = pages_alloc(LOAM_ZONE_NORMAL, order, 0);
		kept("FILT-02",
		     !page[order] || !(loam_page_pfn(&loam__machine.map, page[order]) & ((1ul << order) - 1)),
		     "a block of order %u begins at frame %lu", order, loam_page_pfn(&loam__machine.map, page[order]));
	}
	for (unsigned order = 0; order < orders; order++)
		if (page[order])
			pages_free(LOAM_ZONE_NORMAL, page[order], order);
}

static void alignment_is_asked_for_below(void)
{
	for (unsigned i = 0; i < effort(2); i++) {
		if (role_is(LOAM_ROLE_HEAP))
			heap_alignments();
		else if (role_is(LOAM_ROLE_OBJECTS))
			object_alignments();
		else if (role_is(LOAM_ROLE_PAGES))
			page_alignments();
	}
}

/* ---- limits ---- */

/* 0: there is no limit. */
static bool within(size_t mine, size_t theirs)
{
	return !theirs || (mine && mine <= theirs);
}

static void heap_limits_within(void)
{
	struct loam_heap_limits mine = heap_limits(), theirs = { .size = sizeof(theirs) };
	const struct loam_link *link = link_below(LOAM_ROLE_HEAP);

	loam_heap_ops(link)->limits(link->inst, &theirs);
	kept("FILT-03", within(mine.max_size, theirs.max_size), "max_size is %zu, and %zu below", mine.max_size,
	     theirs.max_size);
	kept("FILT-03", within(mine.max_align, theirs.max_align), "max_align is %zu, and %zu below", mine.max_align,
	     theirs.max_align);
	for (unsigned i = 0; i < 300; i++) {
		size_t bytes = rng_size(&test_rng, 1000);
		void *ptr = heap_alloc(bytes, 1, GFP_KERNEL);

		kept("FILT-03", (uintptr_t)ptr % mine.min_align == 0,
		     "min_align is %zu, and a block of %zu bytes is at %p", mine.min_align, bytes, ptr);
		heap_free(ptr);
	}
}

/* A cache at the limits, which costs nothing before the first object, is one that below has too. */
static void cache_at_the_limits(struct loam_cache_args args, const char *what)
{
	struct loam_cache *cache = cache_new(args);

	kept("FILT-03", cache, "a cache of %zu bytes, alignment %zu, %s, is within the limits and refused",
	     args.object_size, args.align, what);
	cache_end(cache);
}

static void objects_limits_within(void)
{
	struct loam_objects_limits mine = objects_limits(), theirs = { .size = sizeof(theirs) };
	const struct loam_link *link = link_below(LOAM_ROLE_OBJECTS);

	((const struct loam_objects_ops *)link->ops)->limits(link->inst, &theirs);
	kept("FILT-03", within(mine.max_size, theirs.max_size), "max_size of objects is %zu, and %zu below",
	     mine.max_size, theirs.max_size);
	kept("FILT-03", within(mine.max_align, theirs.max_align), "max_align of objects is %zu, and %zu below",
	     mine.max_align, theirs.max_align);
	if (mine.max_size <= UINT32_MAX)
		cache_at_the_limits((struct loam_cache_args){ .name = "largest", .object_size = mine.max_size },
				    "without a constructor");
	cache_at_the_limits((struct loam_cache_args){ .name = "aligned", .object_size = 8, .align = mine.max_align },
			    "without a constructor");
}

static void limits_are_those_of_below(void)
{
	if (role_is(LOAM_ROLE_HEAP))
		heap_limits_within();
	if (role_is(LOAM_ROLE_OBJECTS))
		objects_limits_within();
	if (role_is(LOAM_ROLE_PAGES)) {
		struct loam_pages_limits theirs = { .size = sizeof(theirs) };
		const struct loam_link *link = link_below(LOAM_ROLE_PAGES);

		loam_pages_ops(link)->limits(link->inst, &theirs);
		kept("FILT-03", pages_orders() <= theirs.orders, "%u orders are told, and %u below", pages_orders(),
		     theirs.orders);
		kept("FILT-03", pages_orders() && pages_alloc(LOAM_ZONE_NORMAL, pages_orders() - 1, 0),
		     "the largest order that is told is not served");
	}
}

/* ---- zones ---- */

static unsigned zone_of(const struct page *page)
{
	unsigned long pfn = loam_page_pfn(&loam__machine.map, page);

	for (unsigned i = 0; i < LOAM_ZONES; i++)
		if (pfn >= loam__machine.zones[i].pub.start_pfn && pfn < loam__machine.zones[i].pub.end_pfn)
			return i;
	return LOAM_ZONES;
}

static void in_zone(const void *ptr, unsigned highest, const char *what)
{
	const struct page *page = ptr ? loam_ptr_page(&loam__machine.map, ptr) : NULL;

	kept("FILT-04", !page || zone_of(page) <= highest, "%s for zone %s at %p is in zone %s", what,
	     loam__machine.zones[highest].pub.name, ptr, page ? loam__machine.zones[zone_of(page)].pub.name : "?");
}

static void heap_zones(size_t bytes)
{
	void *ptr[50];

	/* Of any zone, and then back: whatever waits in the filter is of the wrong one. */
	for (unsigned i = 0; i < LOAM_LEN(ptr); i++)
		ptr[i] = heap_alloc(bytes, 1, GFP_KERNEL);
	for (unsigned i = 0; i < LOAM_LEN(ptr); i++)
		heap_free(ptr[i]);
	for (unsigned i = 0; i < LOAM_LEN(ptr); i++) {
		gfp_t zone = i % 2 ? __GFP_DMA : __GFP_DMA32;

		ptr[i] = i % 4 < 2 ? heap_alloc(bytes, 1, GFP_KERNEL | zone) : heap_zalloc(bytes, 1, GFP_KERNEL | zone);
		in_zone(ptr[i], i % 2 ? LOAM_ZONE_DMA : LOAM_ZONE_DMA32, "a block");
	}
	for (unsigned i = 0; i < LOAM_LEN(ptr); i++)
		if (ptr[i])
			heap_free(ptr[i]);
}

static void object_zones(uint32_t flags, unsigned highest)
{
	struct loam_cache *cache =
		cache_new((struct loam_cache_args){ .name = "dma", .object_size = 100, .flags = flags });
	struct loam_cache *other = cache_new((struct loam_cache_args){ .name = "other", .object_size = 100 });
	void *object[50], *others[50];

	if (!cache || !other)
		trouble("no cache in zone %u", highest);
	for (unsigned i = 0; i < LOAM_LEN(object); i++) {
		others[i] = cache_alloc(other, GFP_KERNEL);
		object[i] = cache_alloc(cache, GFP_KERNEL);
		in_zone(object[i], highest, "an object");
	}
	for (unsigned i = 0; i < LOAM_LEN(object); i++) {
		cache_free(other, others[i]);
		if (object[i])
			cache_free(cache, object[i]);
		object[i] = cache_alloc(cache, GFP_KERNEL);
		in_zone(object[i], highest, "an object");
	}
	for (unsigned i = 0; i < LOAM_LEN(object); i++)
		if (object[i])
			cache_free(cache, object[i]);
	cache_end(other);
	cache_end(cache);
}

static void page_zones(void)
{
	static const unsigned zones[] = { LOAM_ZONE_NORMAL, LOAM_ZONE_DMA, LOAM_ZONE_DMA32 };
	struct page *page[60];

	for (unsigned i = 0; i < LOAM_LEN(page); i++) {
		unsigned zone = zones[i % LOAM_LEN(zones)];

		page[i] = pages_alloc(zone, i % 5 == 4, i % 7 == 6 ? LOAM_PAGES_COLD : 0);
		kept("FILT-04", !page[i] || zone_of(page[i]) == zone,
		     "a page of zone %u was asked for, and frame %lu came", zone,
		     loam_page_pfn(&loam__machine.map, page[i]));
	}
	for (unsigned i = 0; i < LOAM_LEN(page); i++)
		if (page[i])
			pages_free(zones[i % LOAM_LEN(zones)], page[i], i % 5 == 4);
}

static void zones_are_asked_for_below(void)
{
	static const struct setup setup = { .zones = "DMA:4M DMA32:8M NORMAL:*" };
	static const size_t sizes[] = { 1, 16, 100, 1024, 4096, 20000 };

	machine_up(&setup);
	for (unsigned n = 0; n < effort(2); n++) {
		for (unsigned i = 0; role_is(LOAM_ROLE_HEAP) && i < LOAM_LEN(sizes); i++)
			if (!heap_limits().max_size || sizes[i] <= heap_limits().max_size)
				heap_zones(sizes[i]);
		if (role_is(LOAM_ROLE_OBJECTS)) {
			object_zones(SLAB_CACHE_DMA, LOAM_ZONE_DMA);
			object_zones(SLAB_CACHE_DMA32, LOAM_ZONE_DMA32);
		}
		if (role_is(LOAM_ROLE_PAGES)) {
			page_zones();
			page_zones();
		}
	}
	machine_down();
}

/* ---- caches ---- */

static unsigned built, unbuilt;

static void build(void *object)
{
	memset(object, 0x42, 56);
	built++;
}

static void unbuild(void *object)
{
	(void)object;
	unbuilt++;
}

static void objects_or_skip(void)
{
	if (!role_is(LOAM_ROLE_OBJECTS))
		skip("of the role objects");
}

/* Whether below has the cache, as it was asked for. */
static int is_the_cache(void *arg, const struct loam_cache_info *info)
{
	(void)arg;
	return !strcmp(info->name, "a name") && info->obj_size >= 56;
}

static void below_knows_the_cache(void)
{
	const struct loam_link *link = link_below(LOAM_ROLE_OBJECTS);
	const struct loam_objects_ops *ops = link->ops;
	struct loam_objects_limits theirs = { .size = sizeof(theirs) };

	ops->limits(link->inst, &theirs);
	if (!(theirs.caps & LOAM_OBJECTS_SLABINFO) || !ops->each)
		return;
	kept("FILT-05", ops->each(link->inst, is_the_cache, NULL),
	     "a cache was created, and below has none of that name and size");
}

static void caches_are_created_below(void)
{
	struct loam_cache *cache;
	void *object[100];

	objects_or_skip();
	cache = cache_new((struct loam_cache_args){
		.name = "a name", .object_size = 56, .align = 8, .ctor = build, .dtor = unbuild });
	kept("FILT-05", cache, "a cache with constructor and destructor is refused");
	kept("FILT-05", !strcmp(cache->name, "a name"), "the cache's name is %s", cache->name);
	kept("FILT-05", cache->object_size == 56, "the cache's objects have 56 bytes, and it says %u",
	     cache->object_size);
	below_knows_the_cache();
	for (unsigned i = 0; i < LOAM_LEN(object); i++) {
		const struct page *page;

		object[i] = cache_alloc(cache, GFP_KERNEL);
		kept("FILT-05",
		     object[i] && *(unsigned char *)object[i] == 0x42 && ((unsigned char *)object[i])[55] == 0x42,
		     "an object was not constructed");
		page = loam_ptr_page(&loam__machine.map, object[i]);
		if (objects_limits().caps & LOAM_OBJECTS_OWN_FRAMES && page)
			kept("FILT-05", page->owner == cache->owner,
			     "the frame of an object has owner %#x, and the cache's is %#x", page->owner, cache->owner);
	}
	for (unsigned i = 0; i < LOAM_LEN(object); i++)
		cache_free(cache, object[i]);
	kept("FILT-05", !cache_end(cache), "an empty cache cannot be destroyed");
	kept("FILT-05", built >= LOAM_LEN(object) && built == unbuilt, "%u objects were constructed, %u destructed",
	     built, unbuilt);
}

static int create_with(const struct loam_link *link, const struct loam_cache_args *args, struct loam_cache **cache)
{
	*cache = NULL;
	return ((const struct loam_objects_ops *)link->ops)->create(link->inst, args, cache);
}

/* What below refuses is refused here, with the same error. */
static void errors_of_below_are_returned(void)
{
	static const struct loam_cache_args wrong[] = {
		{ .size = sizeof(*wrong), .name = "wrong", .object_size = 64, .flags = 0x40000000u },
		{ .size = sizeof(*wrong), .name = "wrong", .object_size = 64, .flags = SLAB_TYPESAFE_BY_RCU },
		{ .size = sizeof(*wrong), .name = "wrong", .object_size = 1ul << 40 },
		{ .size = sizeof(*wrong), .name = "wrong", .object_size = 64, .align = 48 },
		{ .size = sizeof(*wrong), .name = "wrong", .object_size = 64, .align = 1ul << 30 },
	};

	objects_or_skip();
	for (unsigned i = 0; i < LOAM_LEN(wrong); i++) {
		struct shim_counts before = shim_counts();
		struct loam_cache *cache;
		int theirs = create_with(link_below(LOAM_ROLE_OBJECTS), &wrong[i], &cache), mine;

		if (!theirs) {
			loam_cache_ops(cache)->destroy(cache);
			continue;
		}
		op_enter("create(object_size %lu, align %lu, flags %#x)", wrong[i].object_size, wrong[i].align,
			 wrong[i].flags);
		mine = create_with(&subject->links[LOAM_ROLE_OBJECTS], &wrong[i], &cache);
		op_leave();
		kept("FILT-05", mine == theirs, "object_size %zu, align %zu, flags %#x: below says %d, the filter %d",
		     wrong[i].object_size, wrong[i].align, wrong[i].flags, theirs, mine);
		kept("FILT-05", shim_counts().meta_live == before.meta_live, "a cache that was refused left metadata");
	}
}

/* Red zones and poison are seen through the filter: it keeps nothing of such a cache back. */
static void what_below_detects_is_detected(void)
{
	uint32_t caps;
	unsigned char *object;
	struct loam_cache *cache;

	objects_or_skip();
	caps = objects_limits().caps;
	if (!(caps & (LOAM_OBJECTS_RED_ZONE | LOAM_OBJECTS_POISON)))
		skip("the instance below knows neither red zones nor poison");
	reports_expected();
	if (caps & LOAM_OBJECTS_RED_ZONE) {
		cache = cache_new((struct loam_cache_args){ .name = "red", .object_size = 64, .flags = SLAB_RED_ZONE });
		object = cache ? cache_alloc(cache, GFP_KERNEL) : NULL;
		kept("FILT-05", object, "a cache with red zones is refused");
		object[64] ^= 0xff;
		cache_free(cache, object);
		kept("FILT-05", reports_total(),
		     "a byte behind an object with a red zone was overwritten, and nobody told");
		cache_end(cache);
	}
	if (caps & LOAM_OBJECTS_POISON) {
		uint64_t before = reports_total();

		cache = cache_new(
			(struct loam_cache_args){ .name = "poison", .object_size = 64, .flags = SLAB_POISON });
		object = cache ? cache_alloc(cache, GFP_KERNEL) : NULL;
		kept("FILT-05", object, "a cache with poison is refused");
		cache_free(cache, object);
		object[20] ^= 0xff;
		object = cache_alloc(cache, GFP_KERNEL);
		kept("FILT-05", reports_total() > before, "a free object with poison was written to, and nobody told");
		cache_free(cache, object);
		cache_end(cache);
	}
}

static const struct test tests[] = {
	{ "has-the-roles-of-below", "FILT-01", has_the_roles_of_below, EXAMPLE, 0, 0 },
	{ "alignment-is-asked-for-below", "FILT-02", alignment_is_asked_for_below, EXAMPLE, 0, 0 },
	{ "limits-are-those-of-below", "FILT-03", limits_are_those_of_below, EXAMPLE, LEAVES, 0 },
	{ "zones-are-asked-for-below", "FILT-04", zones_are_asked_for_below, EXAMPLE, NO_MACHINE, 0 },
	{ "caches-are-created-below", "FILT-05", caches_are_created_below, EXAMPLE, 0, 0 },
	{ "errors-of-below-are-returned", "FILT-05", errors_of_below_are_returned, EXAMPLE, 0, 0 },
	{ "what-below-detects-is-detected", "FILT-05", what_below_detects_is_detected, HOSTILE, 0, 0 },
};

static const struct suite suite = { .name = "filter", .filter = true, TESTS(tests) };
SUITE(suite);
