/* SPDX-License-Identifier: MIT */
/*
 * NAME.c: a page allocator to begin with: first fit over a table.
 *
 * A byte for each frame says whether it is taken. A request gets the first run of free frames of its zone that lies at a
 * multiple of its size; freeing clears the bytes, and neighbours are merged by that alone. What it costs is the search.
 *
 * Policy is the host's: which zone, watermarks, waiting, clearing, reports of failure. Here an allocation is tried once, in the
 * zone that is named, and nothing sleeps.
 *
 * Threads: the host takes one lock around each op (LOAM_THREADS_SERIALISED below), so there is none here. Before a fork it
 * takes that lock, so the child finds everything whole. No op may call malloc, which may stand on these very frames.
 */
#include <errno.h>
#include <loam/plugin.h>
#include <string.h>

/* What add gave: frames [start, end), all ours to hand out. */
struct range {
	struct range *next; /* of the same zone */
	unsigned long start, end;
};

/* An instance: a section of the configuration. There may be several at once, so there are no global variables. */
struct frames {
	const struct loam_host *host; /* the host's services */
	const struct loam_args *args; /* what create was given; lives as long as the instance */
	size_t bytes;                 /* of this record */
	struct range *ranges[LOAM_ZONES];
	uint64_t allocs, frees, failures; /* frames; but failures in calls */
	uint8_t taken[];                  /* by frame number: 1 is taken. Fresh memory is zero and costs nothing */
};

/* The end of the run of equal frames that begins at @pfn. */
static unsigned long run_end(const struct frames *frames, const struct range *range, unsigned long pfn)
{
	const uint8_t *at = memchr(&frames->taken[pfn], !frames->taken[pfn], range->end - pfn);

	return at ? (unsigned long)(at - frames->taken) : range->end;
}

/* The first free block of @n frames, n a power of two, in @range; the range's end when there is none. */
static unsigned long first_fit(const struct frames *frames, const struct range *range, unsigned long n)
{
	for (unsigned long pfn = range->start, end; pfn < range->end; pfn = end) {
		unsigned long block = (pfn + n - 1) & -n;

		end = run_end(frames, range, pfn);
		if (!frames->taken[pfn] && block + n <= end)
			return block;
	}
	return range->end;
}

/* ---- the role pages ---- */

/*
 * Frames [@pfn, @pfn + @n) of @zone are ours from now on. Called at boot, any number of times for a zone; the ranges have odd
 * ends and lie apart. Does not touch the frames, for memory may be large. 0, or -ENOMEM.
 */
static int pages_add(void *inst, const struct loam_zone *zone, unsigned long pfn, unsigned long n)
{
	struct frames *frames = inst;
	struct range *range = frames->host->meta_alloc(frames->args->self, sizeof(*range), 0);

	if (!range)
		return -ENOMEM;
	*range = (struct range){ frames->ranges[zone->id], pfn, pfn + n };
	frames->ranges[zone->id] = range;
	return 0;
}

/* A block of 2^@order frames of @zone, aligned to its size, or NULL. @order is below limits.orders; @flags are hints. */
static struct page *pages_alloc(void *inst, const struct loam_zone *zone, unsigned order, unsigned flags)
{
	struct frames *frames = inst;

	(void)flags;
	for (const struct range *range = frames->ranges[zone->id]; range; range = range->next) {
		unsigned long pfn = first_fit(frames, range, 1ul << order);

		if (pfn == range->end)
			continue;
		memset(&frames->taken[pfn], 1, 1ul << order);
		frames->allocs += 1ul << order;
		return &frames->host->map->pages[pfn];
	}
	frames->failures++;
	return NULL;
}

/*
 * Take back 2^@order frames: a block that alloc gave, or an aligned part of one. Frames that are free already are reported, and
 * then nothing is done: whether to go on is the host's affair.
 */
static void pages_free(void *inst, const struct loam_zone *zone, struct page *page, unsigned order)
{
	struct frames *frames = inst;
	unsigned long pfn = loam_page_pfn(frames->host->map, page), n = 1ul << order;

	(void)zone;
	if (memchr(&frames->taken[pfn], 0, n)) {
		frames->host->report(frames->args->self, LOAM_REPORT_DOUBLE_FREE, NULL,
				     "frame %lu, order %u: free already", pfn, order);
		return;
	}
	memset(&frames->taken[pfn], 0, n);
	frames->frees += n;
}

/* How many free blocks of each order @zone has, free memory seen as the largest blocks that it makes. */
static void pages_counts(void *inst, const struct loam_zone *zone, unsigned long counts[LOAM_ORDERS])
{
	const struct frames *frames = inst;
	unsigned most = (unsigned)frames->args->params[0].i - 1;

	memset(counts, 0, LOAM_ORDERS * sizeof(*counts));
	for (const struct range *range = frames->ranges[zone->id]; range; range = range->next)
		for (unsigned long pfn = range->start, end; pfn < range->end; pfn = end) {
			end = run_end(frames, range, pfn);
			while (!frames->taken[pfn] && pfn < end) {
				unsigned order = loam_pages_fit(pfn, end - pfn);

				order = order < most ? order : most;
				counts[order]++;
				pfn += 1ul << order;
			}
		}
}

/* What may be asked of this instance, the same as long as it lives. @limits comes zeroed but for its size. */
static void pages_limits(void *inst, struct loam_pages_limits *limits)
{
	limits->orders = (unsigned)((const struct frames *)inst)->args->params[0].i;
	limits->caps = LOAM_PAGES_DOUBLE_FREE;
}

static const struct loam_pages_ops ops = {
	.size = sizeof(ops),
	.add = pages_add,
	.alloc = pages_alloc,
	.free = pages_free,
	.counts = pages_counts,
	.limits = pages_limits,
	/* These may be left out; then the host loops. */
	.alloc_bulk = NULL, /* up to @n single frames; comes with free_bulk */
	.free_bulk = NULL,
};

/* ---- introspection ---- */

/* Counters, at any time. @stat comes zeroed but for its size. Frames are counted: a block may come back in parts. */
static int pages_stat(void *inst, struct loam_stat *stat)
{
	const struct frames *frames = inst;

	stat->allocs = frames->allocs;
	stat->frees = frames->frees;
	stat->failures = frames->failures;
	stat->live_blocks = frames->allocs - frames->frees;
	stat->live_bytes = stat->footprint = stat->live_blocks << LOAM_PAGE_SHIFT;
	return 0;
}

/* Show @fn each live frame and each run of free ones, until it returns non-zero. All threads stand still. */
static int pages_walk(void *inst, loam_walk_fn fn, void *arg)
{
	const struct frames *frames = inst;
	const struct loam_map *map = frames->host->map;
	int result = 0;

	for (unsigned zone = 0; zone < LOAM_ZONES; zone++)
		for (const struct range *range = frames->ranges[zone]; range; range = range->next)
			for (unsigned long pfn = range->start, end; pfn < range->end && !result; pfn = end) {
				struct loam_span span = { .size = sizeof(span), .page = &map->pages[pfn] };

				end = frames->taken[pfn] ? pfn + 1 : run_end(frames, range, pfn);
				span.kind = frames->taken[pfn] ? LOAM_SPAN_LIVE : LOAM_SPAN_FREE;
				span.addr = loam_page_ptr(map, span.page); /* NULL: high memory */
				span.bytes = (end - pfn) << LOAM_PAGE_SHIFT;
				result = fn(arg, &span);
			}
	return result;
}

/* Tell @fn of every broken invariant, and return how many. Never repairs, never aborts. All threads stand still. */
static int pages_check(void *inst, loam_check_fn fn, void *arg)
{
	const struct frames *frames = inst;
	uint64_t live = 0;

	for (unsigned zone = 0; zone < LOAM_ZONES; zone++)
		for (const struct range *range = frames->ranges[zone]; range; range = range->next)
			for (unsigned long pfn = range->start; pfn < range->end; pfn++)
				live += frames->taken[pfn];
	if (live == frames->allocs - frames->frees)
		return 0;
	fn(arg, "the counters are not what the table says");
	return 1;
}

/* ---- create and destroy ---- */

/* 0, or a negative errno with everything undone. Records come from the host, zeroed, and never from malloc. */
static int create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	size_t bytes = sizeof(struct frames) + host->map->nr_pages;
	struct frames *frames = host->meta_alloc(args->self, bytes, 0);

	if (!frames)
		return -ENOMEM;
	frames->host = host;
	frames->args = args;
	frames->bytes = bytes;
	*inst = frames;
	return 0;
}

/* No call is in progress. The frames are the machine's; the records go back. */
static void destroy(void *inst)
{
	struct frames *frames = inst;

	for (unsigned zone = 0; zone < LOAM_ZONES; zone++)
		for (struct range *range = frames->ranges[zone], *next; range; range = next) {
			next = range->next;
			frames->host->meta_free(frames->args->self, range, sizeof(*range));
		}
	frames->host->meta_free(frames->args->self, frames, frames->bytes);
}

static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "orders", .def = "11", .min = 1, .max = LOAM_ORDERS,
		   .help = "number of orders; the largest block has 2^(orders-1) frames"),
};
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_PAGES, &ops) };

LOAM_PLUGIN(.name = "NAME", .version = "0.1", .summary = "pages: first fit over a table",
	    .threads = LOAM_THREADS_SERIALISED, LOAM_PARAMS(params), LOAM_ROLES(roles), .create = create,
	    .destroy = destroy, .stat = pages_stat, .walk = pages_walk, .check = pages_check);
