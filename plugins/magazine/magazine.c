/* SPDX-License-Identifier: MIT */
/*
 * magazine.c: a filter with local caches in front of any pages, objects or heap plugin.
 *
 * After Bonwick and Adams: each thread (each logical CPU, for kernel code) has for every kind of item two magazines, lists of
 * free items that are linked through themselves. Alloc pops and free pushes, without a lock. When a thread's magazines are both empty, or both full,
 * one is exchanged for a full or empty one of the depot, which all threads share; so what one thread frees and another
 * one allocates moves by magazines and not by items. Only when the depot cannot help are items taken from the instance below or
 * given to it, half a magazine at once. So an allocator with one lock around everything scales by a line of configuration.
 *
 * Items are: blocks of a heap by size class (../common/classes.h; a request is rounded up to its class, so that any block of
 * a class serves it), the objects of each cache, and single pages of each zone. Larger blocks, larger pages, requests for a
 * zone of memory and aligned ones pass through. So do caches with red zones or poison, which must see every free, and
 * those with a constructor over an instance that constructs at each alloc.
 *
 * A mark for each 16 bytes of the machine's memory says of which class the block there is, so a free asks nobody for the
 * size. Where blocks lie outside the machine (foreign) the instance below is asked. An object's frame says of which cache it is,
 * or, where frames do not (LOAM_OBJECTS_OWN_FRAMES), a word behind it: it may not get into another cache's magazine. An item
 * that is freed twice in a row is found out; a page always.
 *
 * What it costs: memory that waits in the magazines of one thread does not serve another. shrink gives back what the depots and
 * the caller hold; so does an allocation that finds nothing below, before it tries once more; a thread's end all that it held.
 */
#include "magazine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { P_ROUNDS, P_DEPOT };

static const struct loam_param params[] = {
	[P_ROUNDS] = LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "rounds", .def = "64", .min = 4, .max = 1024,
				.help = "items of a magazine; of large ones what 64 KiB hold, but at least 4: more "
					"than that over 16 KiB"),
	[P_DEPOT] = LOAM_PARAM(
			.type = LOAM_PARAM_SIZE, .name = "depot", .def = "1M",
			.help = "bytes that the depot of a kind of items may hold; at least one magazine, at most 64"),
};

static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES) | LOAM_ROLE_BIT(LOAM_ROLE_OBJECTS) |
			   LOAM_ROLE_BIT(LOAM_ROLE_HEAP),
		  .flags = LOAM_PORT_LOWER, .name = "lower", .help = "what the caches stand in front of"),
};

/* ---- introspection ---- */

/*
 * All frees are read before any allocation is: a block that one thread takes and another one gives back meanwhile is never
 * counted below zero.
 */
struct summing {
	struct magazine *magazine;
	struct loam_stat *stat;
	bool allocs; /* the second time round */
};

static void sum_passed(const struct summing *summing, const struct passed *passed)
{
	struct loam_stat *stat = summing->stat;

	if (summing->allocs) {
		stat->allocs += count_read(&passed->allocs);
		stat->live_bytes += count_read(&passed->bytes_in);
		stat->failures += count_read(&passed->failures);
	} else {
		stat->frees += __atomic_load_n(&passed->frees, __ATOMIC_ACQUIRE);
		stat->live_bytes -= __atomic_load_n(&passed->bytes_out, __ATOMIC_ACQUIRE);
	}
}

static void sum_bin(const struct summing *summing, const struct bin *bin, const uint64_t *allocs, const uint64_t *frees)
{
	uint64_t n = __atomic_load_n(summing->allocs ? allocs : frees, __ATOMIC_ACQUIRE);

	*(summing->allocs ? &summing->stat->allocs : &summing->stat->frees) += n;
	summing->stat->live_bytes += (summing->allocs ? n : -n) * __atomic_load_n(&bin->size, __ATOMIC_RELAXED);
}

static void sum_area(void *arg, void *at)
{
	const struct summing *summing = arg;
	const struct area *area = at;

	for (uint32_t i = 0; i < MAG_BINS; i++)
		sum_bin(summing, &summing->magazine->bins[i], &area->pairs[i].allocs, &area->pairs[i].frees);
	sum_passed(summing, &area->passed);
}

static void sum_all(struct summing *summing)
{
	struct magazine *magazine = summing->magazine;

	magazine->lower.host->areas(magazine->lower.self, sum_area, summing);
	for (uint32_t i = 0; i < MAG_BINS; i++)
		sum_bin(summing, &magazine->bins[i], &magazine->bins[i].allocs, &magazine->bins[i].frees);
	sum_passed(summing, &magazine->shared);
}

/* Under the lock: the counts of a cache that goes are in one place only. */
static int mag_stat(void *inst, struct loam_stat *stat)
{
	struct magazine *magazine = inst;
	struct summing summing = { magazine, stat, false };
	struct loam_stat below = { .size = sizeof(below) };

	loam_lock(magazine->lower.host, &magazine->lock);
	sum_all(&summing);
	summing.allocs = true;
	sum_all(&summing);
	loam_unlock(magazine->lower.host, &magazine->lock);
	stat->live_blocks = stat->allocs - stat->frees;
	lower_stat(inst, &below);
	stat->footprint = below.footprint;
	return 0;
}

/** Collects what waits in magazines: how many, then which. */
struct collecting {
	struct magazine *magazine;
	struct ptrset set;
	size_t n;
	bool counting;
};

static void collect_list(struct collecting *collecting, const struct bin *bin, void *item)
{
	for (; item; item = *mag_link(item, bin->link)) {
		if (collecting->counting)
			collecting->n++;
		else
			ptrset_add(&collecting->set, item);
	}
}

static void collect_area(void *arg, void *at)
{
	struct collecting *collecting = arg;
	const struct area *area = at;

	for (uint32_t i = 0; i < MAG_BINS; i++) {
		collect_list(collecting, &collecting->magazine->bins[i], area->pairs[i].head);
		collect_list(collecting, &collecting->magazine->bins[i], area->pairs[i].prev);
	}
}

static void collect(struct collecting *collecting)
{
	struct magazine *magazine = collecting->magazine;

	magazine->lower.host->areas(magazine->lower.self, collect_area, collecting);
	for (uint32_t i = 0; i < MAG_BINS; i++)
		for (uint32_t m = 0; m < magazine->bins[i].nr_full; m++)
			collect_list(collecting, &magazine->bins[i], magazine->bins[i].full[m]);
}

struct walking {
	struct collecting *collecting;
	loam_walk_fn fn;
	void *arg;
};

static int walk_span(void *arg, const struct loam_span *below)
{
	const struct walking *walking = arg;
	struct loam_span span = *below;

	if (ptrset_has(&walking->collecting->set, span.page ? (const void *)span.page : span.addr))
		span.kind = LOAM_SPAN_FREE;
	return walking->fn(walking->arg, &span);
}

/* What the instance below has handed out and waits here is free. */
static int mag_walk(void *inst, loam_walk_fn fn, void *arg)
{
	struct magazine *magazine = inst;
	struct collecting collecting = { .magazine = magazine, .counting = true };
	struct walking walking = { &collecting, fn, arg };
	int result;

	collect(&collecting);
	collecting.counting = false;
	if (!ptrset_open(&collecting.set, magazine->lower.host, magazine->lower.self, collecting.n))
		return -ENOMEM;
	collect(&collecting);
	result = lower_walk(inst, walk_span, &walking);
	ptrset_close(&collecting.set);
	return result;
}

struct checking {
	struct magazine *magazine;
	loam_check_fn fn;
	void *arg;
	int defects;
};

/* A list is as long as its counter says, and its blocks are of the class. */
static void check_list(struct checking *checking, const struct bin *bin, void *list, uint32_t n)
{
	struct magazine *magazine = checking->magazine;
	uint32_t length = 0;
	char text[120];

	for (void *item = list; item && length <= n; item = *mag_link(item, bin->link), length++) {
		const uint8_t *mark =
			bin->index < MAG_PAGES && loam_ptr_page(magazine->map, item) ? mag_mark(magazine, item) : NULL;

		if (!mark || *mark == bin->index + 1)
			continue;
		snprintf(text, sizeof(text), "block %p waits for class %u and is marked %#x", item, bin->index + 1,
			 *mark);
		checking->defects++;
		checking->fn(checking->arg, text);
	}
	if (length == n)
		return;
	snprintf(text, sizeof(text), "a magazine of %u items has %u%s in its list", n, length,
		 length > n ? " or more" : "");
	checking->defects++;
	checking->fn(checking->arg, text);
}

static void check_area(void *arg, void *at)
{
	struct checking *checking = arg;
	const struct area *area = at;

	for (uint32_t i = 0; i < MAG_BINS; i++) {
		check_list(checking, &checking->magazine->bins[i], area->pairs[i].head, (uint32_t)area->pairs[i].n);
		check_list(checking, &checking->magazine->bins[i], area->pairs[i].prev, area->pairs[i].prev_n);
	}
}

static int mag_check(void *inst, loam_check_fn fn, void *arg)
{
	struct checking checking = { inst, fn, arg, 0 };
	struct magazine *magazine = inst;

	magazine->lower.host->areas(magazine->lower.self, check_area, &checking);
	for (uint32_t i = 0; i < MAG_BINS; i++)
		for (uint32_t m = 0; m < magazine->bins[i].nr_full; m++)
			check_list(&checking, &magazine->bins[i], magazine->bins[i].full[m], magazine->bins[i].rounds);
	return checking.defects;
}

/* ---- create and destroy ---- */

static void open_heap(struct magazine *magazine)
{
	struct loam_heap_limits limits = { .size = sizeof(limits) };
	uint32_t n;

	lower_heap_limits(magazine, &limits);
	/* The heap's own limit, or its alignment, may be too small for the larger classes. */
	n = classes_up_to(true, limits.max_size ? limits.max_size : SIZE_MAX);
	for (uint32_t i = 0; i < n; i++)
		mag_bin_open(magazine, i, classes_fine_size(i), 0);
	magazine->heap_max = n ? classes_fine_size(n - 1) : 0;
	magazine->short_max = magazine->heap_max < MAG_SMALL_MAX ? magazine->heap_max : MAG_SMALL_MAX;
	for (size_t bytes = 1; bytes <= MAG_SMALL_MAX; bytes += 16)
		magazine->small[(bytes + 15) / 16] = (uint8_t)classes_fine_index(bytes + 15);
}

static int mag_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	size_t chunks = (host->map->low_bytes + MAG_CHUNK - 1) / MAG_CHUNK;
	struct magazine *magazine = host->meta_alloc(args->self, sizeof(*magazine), 64);

	if (!magazine)
		return -ENOMEM;
	magazine->nr_chunks = chunks + 1;
	magazine->marks = host->meta_alloc(args->self, magazine->nr_chunks * sizeof(*magazine->marks), 0);
	if (!magazine->marks) {
		host->meta_free(args->self, magazine, sizeof(*magazine));
		return -ENOMEM;
	}
	magazine->map = host->map;
	magazine->base = host->map->base;
	magazine->local = args->local;
	magazine->rounds = (uint32_t)args->params[P_ROUNDS].i;
	magazine->depot_bytes = args->params[P_DEPOT].u;
	host->lock_init(args->self, &magazine->lock, 1, "magazine");
	lower_open(&magazine->lower, host, args);
	if (magazine->lower.heap)
		open_heap(magazine);
	if (magazine->lower.objects) {
		struct loam_objects_limits limits = { .size = sizeof(limits) };

		lower_objects_limits(magazine, &limits);
		magazine->caps = limits.caps;
	}
	*inst = magazine;
	return 0;
}

static void mag_destroy(void *inst)
{
	struct magazine *magazine = inst;
	const struct loam_host *host = magazine->lower.host;

	/* Caches that were not destroyed: their objects go with the instance below. */
	for (uint32_t i = 0; i < MAG_BINS; i++)
		if (magazine->bins[i].used) {
			mag_bin_forget(magazine, &magazine->bins[i]);
			mag_bin_close(magazine, &magazine->bins[i]);
		}
	lower_close(&magazine->lower);
	for (size_t i = 0; i < magazine->nr_chunks; i++)
		if (magazine->marks[i])
			host->meta_free(magazine->lower.self, magazine->marks[i], MAG_CHUNK / 16);
	host->lock_destroy(&magazine->lock);
	host->meta_free(magazine->lower.self, magazine->marks, magazine->nr_chunks * sizeof(*magazine->marks));
	host->meta_free(magazine->lower.self, magazine, sizeof(*magazine));
}

static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_PAGES, &mag_pages_ops),
					       LOAM_ROLE(LOAM_ROLE_OBJECTS, &mag_objects_ops),
					       LOAM_ROLE(LOAM_ROLE_HEAP, &mag_heap_ops) };

LOAM_PLUGIN(.name = "magazine", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "filter: local caches with a depot in front of pages, objects or a heap", LOAM_PARAMS(params),
	    LOAM_PORTS(ports), LOAM_ROLES(roles), .area_size = sizeof(struct area), .create = mag_create,
	    .destroy = mag_destroy, .flush = mag_flush, .fork = mag_fork, .stat = mag_stat, .walk = mag_walk,
	    .check = mag_check, .shrink = mag_shrink);
