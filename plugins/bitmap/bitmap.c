/* SPDX-License-Identifier: MIT */
/*
 * bitmap.c: the role pages by first fit over a bitmap: the page allocator to read first.
 *
 * A bit for each frame says that it is taken. A request takes the first aligned run of clear bits in its zone; freeing clears
 * bits, and neighbours are merged by that alone. What it costs is the search: linear in the memory, from the lowest frame
 * that can be free on.
 *
 * The host takes one lock around each op (LOAM_THREADS_SERIALISED), so there is none here. Its metadata is zero until it is
 * written, and zero is free: a large memory costs nothing until it is used. Only holes between the ranges of a zone are
 * marked, as taken.
 */
#include <loam/plugin.h>

#include <errno.h>

struct bitmap {
	const struct loam_host *host;
	struct loam_self *self;
	unsigned orders;
	size_t bytes; /* of this record */
	unsigned long low[LOAM_ZONES],
		end[LOAM_ZONES];          /* frames of the zone that were added; no frame below `low` is free */
	uint64_t allocs, frees, failures; /* frames */
	uint8_t taken[];                  /* a byte's bit a frame */
};

/* Whether all 2^@order frames are free (@taken false) or taken (true). */
static bool all(const struct bitmap *map, unsigned long pfn, unsigned order, bool taken)
{
	for (unsigned long end = pfn + (1ul << order); pfn < end; pfn++)
		if ((map->taken[pfn / 8] >> pfn % 8 & 1) != taken)
			return false;
	return true;
}

static void mark(struct bitmap *map, unsigned long pfn, unsigned long n, bool taken)
{
	for (; n--; pfn++)
		map->taken[pfn / 8] = (uint8_t)((map->taken[pfn / 8] & ~(1u << pfn % 8)) | (unsigned)taken << pfn % 8);
}

static int bitmap_add(void *inst, const struct loam_zone *zone, unsigned long pfn, unsigned long n)
{
	struct bitmap *map = inst;
	unsigned long *low = &map->low[zone->id], *end = &map->end[zone->id];

	if (*end && pfn > *end)
		mark(map, *end, pfn - *end, true);
	else if (*end && pfn + n < *low)
		mark(map, pfn + n, *low - pfn - n, true);
	else if (*end)
		mark(map, pfn, n, false);
	*low = !*end || pfn < *low ? pfn : *low;
	*end = pfn + n > *end ? pfn + n : *end;
	return 0;
}

static struct page *bitmap_alloc(void *inst, const struct loam_zone *zone, unsigned order, unsigned flags)
{
	struct bitmap *map = inst;
	unsigned long step = 1ul << order, pfn = (map->low[zone->id] + step - 1) & -step;

	(void)flags;
	while (pfn + step <= map->end[zone->id] && !all(map, pfn, order, false))
		pfn += step;
	if (pfn + step > map->end[zone->id]) {
		map->failures++;
		return NULL;
	}
	mark(map, pfn, step, true);
	if (!order)
		map->low[zone->id] = pfn + 1;
	map->allocs += step;
	return map->host->map->pages + pfn;
}

static void bitmap_free(void *inst, const struct loam_zone *zone, struct page *page, unsigned order)
{
	struct bitmap *map = inst;
	unsigned long pfn = loam_page_pfn(map->host->map, page);

	if (!all(map, pfn, order, true)) {
		map->host->report(map->self, LOAM_REPORT_DOUBLE_FREE, NULL, "frame %lu, order %u: free already", pfn,
				  order);
		return;
	}
	mark(map, pfn, 1ul << order, false);
	map->low[zone->id] = pfn < map->low[zone->id] ? pfn : map->low[zone->id];
	map->frees += 1ul << order;
}

/* Free memory as the largest aligned blocks that it makes. */
static void bitmap_counts(void *inst, const struct loam_zone *zone, unsigned long counts[LOAM_ORDERS])
{
	const struct bitmap *map = inst;
	unsigned order;

	for (unsigned long pfn = map->low[zone->id]; pfn < map->end[zone->id]; pfn += 1ul << order) {
		bool here = all(map, pfn, 0, false);

		for (order = 0; here && order + 1 < map->orders; order++)
			if (pfn & 1ul << order || pfn + (2ul << order) > map->end[zone->id] ||
			    !all(map, pfn + (1ul << order), order, false))
				break;
		counts[order] += here;
	}
}

static void bitmap_limits(void *inst, struct loam_pages_limits *limits)
{
	limits->orders = ((const struct bitmap *)inst)->orders;
	limits->caps = LOAM_PAGES_DOUBLE_FREE;
}

/* Frames are what is counted: a block may come back in parts. */
static int bitmap_stat(void *inst, struct loam_stat *stat)
{
	const struct bitmap *map = inst;

	stat->allocs = map->allocs;
	stat->frees = map->frees;
	stat->failures = map->failures;
	stat->live_blocks = map->allocs - map->frees;
	stat->live_bytes = stat->footprint = stat->live_blocks << LOAM_PAGE_SHIFT;
	return 0;
}

static int bitmap_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	size_t bytes = sizeof(struct bitmap) + host->map->nr_pages / 8 + 1;
	struct bitmap *map = host->meta_alloc(args->self, bytes, 0);

	if (!map)
		return -ENOMEM;
	map->host = host;
	map->self = args->self;
	map->bytes = bytes;
	map->orders = (unsigned)args->params[0].i;
	*inst = map;
	return 0;
}

static void bitmap_destroy(void *inst)
{
	struct bitmap *map = inst;

	map->host->meta_free(map->self, map, map->bytes);
}

static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "orders", .def = "11", .min = 1, .max = LOAM_ORDERS,
		   .help = "number of orders, the kernel's MAX_ORDER; the largest block has 2^(orders-1) pages"),
};
static const struct loam_pages_ops ops = { .size = sizeof(ops),
					   .add = bitmap_add,
					   .alloc = bitmap_alloc,
					   .free = bitmap_free,
					   .counts = bitmap_counts,
					   .limits = bitmap_limits };
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_PAGES, &ops) };

LOAM_PLUGIN(.name = "bitmap", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_SERIALISED,
	    .summary = "pages: first fit over a bitmap, the one to read first", LOAM_PARAMS(params), LOAM_ROLES(roles),
	    .create = bitmap_create, .destroy = bitmap_destroy, .stat = bitmap_stat);
