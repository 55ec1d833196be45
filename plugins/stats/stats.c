/* SPDX-License-Identifier: MIT */
/*
 * stats.c: a filter that watches: how many allocations of which size, how long calls take, how long blocks live. Over pages,
 * objects or a heap.
 *
 * Counts and sizes are exact, kept in the local areas, a bucket for each power of two; threads without an area share one, by
 * atomic additions. Time costs more than counting, so of a thread's allocations one in `sample` is timed, and of its frees
 * likewise. For the life of blocks an allocation that is timed is noted in a table with a place for each hash of an address; a
 * note that finds its place taken is dropped, so what is seen is a sample of all lives, long ones included.
 *
 * What was seen is told at halt and in the summary of loam exec. The mandatory counters are those of the instance below, which
 * nobody reaches but through here.
 */
#include "../common/count.h"
#include "../common/lower.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SIZES 48    /* buckets: bytes up to 2^i */
#define TIMES 48    /* buckets: nanoseconds up to 2^i */
#define NOTES 16384 /* blocks whose life is watched at a time */

enum { P_SAMPLE };

static const struct loam_param params[] = {
	[P_SAMPLE] = LOAM_PARAM(
			.type = LOAM_PARAM_INT, .name = "sample", .def = "64", .max = 1 << 30,
			.help = "one allocation in this many is timed and its block watched, one free timed; 0: none"),
};

static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES) | LOAM_ROLE_BIT(LOAM_ROLE_OBJECTS) |
			   LOAM_ROLE_BIT(LOAM_ROLE_HEAP),
		  .flags = LOAM_PORT_LOWER, .name = "lower", .help = "what is watched"),
};

/** A local area; one writer, relaxed. */
struct area {
	uint64_t allocs, frees, failures;
	uint64_t sizes[SIZES];
	uint64_t alloc_ns[TIMES], free_ns[TIMES], lives[TIMES];
};

struct note {
	const void *block; /* atomic; NULL: free place */
	uint64_t born;     /* written by who took the place, before the block is handed out */
};

struct stats {
	struct lower lower; /* first */
	struct loam_local local;
	uint64_t sample;
	struct area shared; /* of threads without an area; atomic */
	struct note notes[NOTES];
};

/* ---- recording ---- */

static struct area *area_of(struct stats *stats)
{
	struct area *area = loam_area(&stats->local);

	if (loam_unlikely(!area))
		area = stats->lower.host->area(stats->lower.self);
	return area ? area : &stats->shared;
}

/* The least i with n <= 2^i. */
static unsigned bucket(uint64_t n, unsigned buckets)
{
	unsigned i = n > 1 ? 64 - (unsigned)__builtin_clzll(n - 1) : 0;

	return i < buckets ? i : buckets - 1;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static inline void count(const struct stats *stats, const struct area *area, uint64_t *counter)
{
	if (loam_likely(area != &stats->shared))
		count_one(counter);
	else
		count_add(counter, 1);
}

/** A call begins, of which the thread has done @before: the time when it is one of the sample, else 0. */
static inline uint64_t begin(const struct stats *stats, const uint64_t *before)
{
	return stats->sample && (count_read(before) + 1) % stats->sample == 0 ? now() : 0;
}

static struct note *note_of(struct stats *stats, const void *block)
{
	return &stats->notes[((uintptr_t)block >> 4) * 0x9e3779b97f4a7c15u >> 50];
}

/* The block is not handed out yet: nobody frees it meanwhile. */
static void watch(struct stats *stats, const void *block, uint64_t time)
{
	struct note *note = note_of(stats, block);

	if (__atomic_load_n(&note->block, __ATOMIC_RELAXED))
		return;
	__atomic_store_n(&note->born, time, __ATOMIC_RELAXED);
	/* Release: whoever finds the block finds its time. Two may race for a place: then one life is lost or wrong. */
	__atomic_store_n(&note->block, block, __ATOMIC_RELEASE);
}

static LOAM_NOINLINE void ended_slow(struct stats *stats, struct area *area, struct note *note)
{
	count(stats, area, &area->lives[bucket(now() - __atomic_load_n(&note->born, __ATOMIC_RELAXED), TIMES)]);
	__atomic_store_n(&note->block, NULL, __ATOMIC_RELEASE);
}

static inline void ended(struct stats *stats, struct area *area, const void *block)
{
	struct note *note = note_of(stats, block);

	if (loam_unlikely(__atomic_load_n(&note->block, __ATOMIC_ACQUIRE) == block))
		ended_slow(stats, area, note);
}

/* A failure, one of the sample, or without an area. */
static LOAM_NOINLINE void came_slow(struct stats *stats, struct area *area, const void *block, size_t bytes,
				    uint64_t start)
{
	uint64_t end;

	if (!block) {
		count(stats, area, &area->failures);
		return;
	}
	count(stats, area, &area->allocs);
	count(stats, area, &area->sizes[bucket(bytes, SIZES)]);
	if (!start)
		return;
	end = now();
	count(stats, area, &area->alloc_ns[bucket(end - start, TIMES)]);
	watch(stats, block, end);
}

static inline void came(struct stats *stats, struct area *area, const void *block, size_t bytes, uint64_t start)
{
	if (loam_likely(block && !start && area != &stats->shared)) {
		count_one(&area->allocs);
		count_one(&area->sizes[bucket(bytes, SIZES)]);
	} else {
		came_slow(stats, area, block, bytes, start);
	}
}

static LOAM_NOINLINE void went_slow(struct stats *stats, struct area *area, uint64_t start)
{
	count(stats, area, &area->frees);
	if (start)
		count(stats, area, &area->free_ns[bucket(now() - start, TIMES)]);
}

static inline void went(struct stats *stats, struct area *area, uint64_t start)
{
	if (loam_likely(!start && area != &stats->shared))
		count_one(&area->frees);
	else
		went_slow(stats, area, start);
}

/* ---- heap ---- */

static void *heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct stats *stats = inst;
	struct area *area = area_of(stats);
	uint64_t start = begin(stats, &area->allocs);
	void *ptr = lower_heap_alloc(stats, bytes, align, gfp);

	came(stats, area, ptr, bytes, start);
	return ptr;
}

static void *heap_zalloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct stats *stats = inst;
	struct area *area = area_of(stats);
	uint64_t start = begin(stats, &area->allocs);
	void *ptr = lower_heap_zalloc(stats, bytes, align, gfp);

	came(stats, area, ptr, bytes, start);
	return ptr;
}

static void heap_free(void *inst, void *ptr, struct page *page)
{
	struct stats *stats = inst;
	struct area *area = area_of(stats);
	uint64_t start;

	ended(stats, area, ptr);
	start = begin(stats, &area->frees);
	lower_heap_free(stats, ptr, page);
	went(stats, area, start);
}

static const struct loam_heap_ops heap_ops = { .size = sizeof(heap_ops),
					       .alloc = heap_alloc,
					       .free = heap_free,
					       .usable_size = lower_heap_usable_size,
					       .zalloc = heap_zalloc,
					       .resize = lower_heap_resize,
					       .limits = lower_heap_limits };

/* ---- objects ---- */

static const struct loam_objects_ops objects_ops;

static int objects_create(void *inst, const struct loam_cache_args *args, struct loam_cache **out)
{
	return lower_cache_new(inst, &objects_ops, args, sizeof(struct lower_cache), out);
}

static void *objects_alloc(struct loam_cache *pub, gfp_t gfp)
{
	struct lower_cache *cache = (struct lower_cache *)pub;
	struct area *area = area_of(cache->filter);
	uint64_t start = begin(cache->filter, &area->allocs);
	void *object = lower_objects_alloc(pub, gfp);

	came(cache->filter, area, object, pub->object_size, start);
	return object;
}

static void objects_free(struct loam_cache *pub, void *object)
{
	struct lower_cache *cache = (struct lower_cache *)pub;
	struct area *area = area_of(cache->filter);
	uint64_t start;

	ended(cache->filter, area, object);
	start = begin(cache->filter, &area->frees);
	lower_objects_free(pub, object);
	went(cache->filter, area, start);
}

static const struct loam_objects_ops objects_ops = { .size = sizeof(objects_ops),
						     .create = objects_create,
						     .destroy = lower_objects_destroy,
						     .alloc = objects_alloc,
						     .free = objects_free,
						     .shrink = lower_objects_shrink,
						     .each = lower_objects_each,
						     .limits = lower_objects_limits };

/* ---- pages ---- */

static struct page *pages_alloc(void *inst, const struct loam_zone *zone, unsigned order, unsigned flags)
{
	struct stats *stats = inst;
	struct area *area = area_of(stats);
	uint64_t start = begin(stats, &area->allocs);
	struct page *page = lower_pages_alloc(stats, zone, order, flags);

	came(stats, area, page, LOAM_PAGE_SIZE << order, start);
	return page;
}

static void pages_free(void *inst, const struct loam_zone *zone, struct page *page, unsigned order)
{
	struct stats *stats = inst;
	struct area *area = area_of(stats);
	uint64_t start;

	ended(stats, area, page);
	start = begin(stats, &area->frees);
	lower_pages_free(stats, zone, page, order);
	went(stats, area, start);
}

static const struct loam_pages_ops pages_ops = { .size = sizeof(pages_ops),
						 .add = lower_pages_add,
						 .alloc = pages_alloc,
						 .free = pages_free,
						 .counts = lower_pages_counts,
						 .limits = lower_pages_limits };

/* ---- introspection ---- */

static void sum_area(void *arg, void *at)
{
	uint64_t *sum = arg, *area = at;

	for (size_t i = 0; i < sizeof(struct area) / sizeof(uint64_t); i++)
		sum[i] += count_read(&area[i]);
}

struct telling {
	void (*line)(void *arg, const char *text);
	void *arg;
};

static void tell_histogram(const struct telling *telling, const char *what, const char *unit, const uint64_t *buckets,
			   unsigned n)
{
	uint64_t sum = 0;
	char text[120];

	for (unsigned i = 0; i < n; i++)
		sum += buckets[i];
	if (!sum)
		return;
	snprintf(text, sizeof(text), "%s, %llu:", what, (unsigned long long)sum);
	telling->line(telling->arg, text);
	for (unsigned i = 0; i < n; i++) {
		if (!buckets[i])
			continue;
		snprintf(text, sizeof(text), "  up to %12llu %s  %12llu  %5.1f %%", 1ull << i, unit,
			 (unsigned long long)buckets[i], (double)buckets[i] * 100 / (double)sum);
		telling->line(telling->arg, text);
	}
}

static void stats_tell(void *inst, void (*line)(void *arg, const char *text), void *arg)
{
	struct stats *stats = inst;
	struct telling telling = { line, arg };
	struct area sum;
	char text[120];

	memset(&sum, 0, sizeof(sum));
	stats->lower.host->areas(stats->lower.self, sum_area, &sum);
	sum_area(&sum, &stats->shared);
	snprintf(text, sizeof(text), "allocations %llu, frees %llu, failures %llu", (unsigned long long)sum.allocs,
		 (unsigned long long)sum.frees, (unsigned long long)sum.failures);
	line(arg, text);
	tell_histogram(&telling, "allocations by size", "bytes", sum.sizes, SIZES);
	tell_histogram(&telling, "time of an allocation, sampled", "ns", sum.alloc_ns, TIMES);
	tell_histogram(&telling, "time of a free, sampled", "ns", sum.free_ns, TIMES);
	tell_histogram(&telling, "life of a block, sampled", "ns", sum.lives, TIMES);
}

/* An area's counts are sums of all threads that had it; nothing is cached. */
static void stats_flush(void *inst, void *area)
{
	(void)inst, (void)area;
}

static int stats_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct stats *stats = host->meta_alloc(args->self, sizeof(*stats), 64);

	if (!stats)
		return -ENOMEM;
	stats->local = args->local;
	stats->sample = (uint64_t)args->params[P_SAMPLE].i;
	lower_open(&stats->lower, host, args);
	*inst = stats;
	return 0;
}

static void stats_destroy(void *inst)
{
	struct stats *stats = inst;

	lower_close(&stats->lower);
	stats->lower.host->meta_free(stats->lower.self, stats, sizeof(*stats));
}

static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_PAGES, &pages_ops),
					       LOAM_ROLE(LOAM_ROLE_OBJECTS, &objects_ops),
					       LOAM_ROLE(LOAM_ROLE_HEAP, &heap_ops) };

LOAM_PLUGIN(.name = "stats", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "filter: counts, sizes, times of calls and lives of blocks as histograms", LOAM_PARAMS(params),
	    LOAM_PORTS(ports), LOAM_ROLES(roles), .area_size = sizeof(struct area), .create = stats_create,
	    .destroy = stats_destroy, .flush = stats_flush, .stat = lower_stat, .walk = lower_walk, .tell = stats_tell);
