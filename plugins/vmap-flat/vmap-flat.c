/* SPDX-License-Identifier: MIT */
/*
 * vmap-flat.c: the role vmap by one bit for each page of a window: first fit, mapped and unmapped at once. The one to read first.
 *
 * Behind each area lies a page that is taken and never mapped. A word for each page of the window leads to the area that it is
 * part of, so that any address finds it at once; the words cost memory only where areas were.
 */
#include "../common/runmap.h"

#include <loam/plugin.h>

#include <errno.h>

struct area {
	struct loam_vmap_area pub; /* first */
};

struct flat {
	const struct loam_host *host;
	struct loam_self *self;
	size_t nr; /* pages of the window */
	char *window;
	struct area **areas; /* of each page, guard pages too; atomic words: find takes no lock */
	uint64_t *taken;
	struct loam_lock lock;
	uint64_t allocs, frees, failures, pages;
};

static size_t page_of(const struct flat *flat, const void *addr)
{
	return (size_t)((const char *)addr - flat->window) >> LOAM_PAGE_SHIFT;
}

/* Addresses for an area of @nr pages and its guard. */
static int reserve(struct flat *flat, unsigned long nr, size_t align, struct area **area)
{
	size_t at;

	*area = flat->host->meta_alloc(flat->self, sizeof(**area), 0);
	if (!*area)
		return -ENOMEM;
	loam_lock(flat->host, &flat->lock);
	at = nr < flat->nr ? runmap_find_at(flat->taken, 0, flat->nr, nr + 1, align >> LOAM_PAGE_SHIFT,
					    (uintptr_t)flat->window >> LOAM_PAGE_SHIFT)
			   : RUNMAP_NONE;
	if (at != RUNMAP_NONE)
		runmap_set(flat->taken, at, nr + 1, true);
	loam_unlock(flat->host, &flat->lock);
	if (at == RUNMAP_NONE) {
		flat->host->meta_free(flat->self, *area, sizeof(**area));
		return -ENOMEM;
	}
	(*area)->pub = (struct loam_vmap_area){ flat->window + (at << LOAM_PAGE_SHIFT), nr };
	return 0;
}

static void release(struct flat *flat, struct area *area)
{
	size_t at = page_of(flat, area->pub.addr), n = area->pub.nr_pages + 1;

	for (size_t i = at; i < at + n; i++)
		__atomic_store_n(&flat->areas[i], NULL, __ATOMIC_RELAXED);
	loam_lock(flat->host, &flat->lock);
	runmap_set(flat->taken, at, n, false);
	loam_unlock(flat->host, &flat->lock);
	flat->host->meta_free(flat->self, area, sizeof(*area));
}

static void count(struct flat *flat, uint64_t *counter, long pages)
{
	loam_lock(flat->host, &flat->lock);
	++*counter;
	flat->pages += (uint64_t)pages;
	loam_unlock(flat->host, &flat->lock);
}

/* The area is mapped, or could not be. */
static int finish(struct flat *flat, struct area *area, int error, struct loam_vmap_area **out)
{
	size_t at = page_of(flat, area->pub.addr);

	if (error) {
		release(flat, area);
		count(flat, &flat->failures, 0);
		return error;
	}
	for (size_t i = at; i <= at + area->pub.nr_pages; i++)
		__atomic_store_n(&flat->areas[i], area, __ATOMIC_RELEASE);
	count(flat, &flat->allocs, (long)area->pub.nr_pages);
	*out = &area->pub;
	return 0;
}

static int flat_map(void *inst, struct page *const *pages, unsigned long nr, size_t align, bool writable,
		    struct loam_vmap_area **out)
{
	struct flat *flat = inst;
	struct area *area;

	if (reserve(flat, nr, align, &area)) {
		count(flat, &flat->failures, 0);
		return -ENOMEM;
	}
	return finish(
		flat, area,
		flat->host->window_map(flat->self, area->pub.addr, pages, nr, writable ? 0 : LOAM_WINDOW_READONLY),
		out);
}

static int flat_map_phys(void *inst, uint64_t phys, unsigned long nr, size_t align, struct loam_vmap_area **out)
{
	struct flat *flat = inst;
	struct area *area;

	if (reserve(flat, nr, align, &area)) {
		count(flat, &flat->failures, 0);
		return -ENOMEM;
	}
	return finish(flat, area, flat->host->window_map_phys(flat->self, area->pub.addr, phys, nr, 0), out);
}

static void flat_unmap(void *inst, struct loam_vmap_area *pub)
{
	struct flat *flat = inst;

	flat->host->window_unmap(flat->self, pub->addr, pub->nr_pages);
	count(flat, &flat->frees, -(long)pub->nr_pages);
	release(flat, (struct area *)pub);
}

static struct loam_vmap_area *flat_find(void *inst, const void *addr)
{
	const struct flat *flat = inst;
	size_t at = page_of(flat, addr);
	struct area *area = at < flat->nr ? __atomic_load_n(&flat->areas[at], __ATOMIC_ACQUIRE) : NULL;

	return area ? &area->pub : NULL;
}

static void flat_range(void *inst, char **start, char **end)
{
	const struct flat *flat = inst;

	*start = flat->window;
	*end = flat->window + (flat->nr << LOAM_PAGE_SHIFT);
}

static int flat_stat(void *inst, struct loam_stat *stat)
{
	struct flat *flat = inst;

	loam_lock(flat->host, &flat->lock);
	stat->allocs = flat->allocs;
	stat->frees = flat->frees;
	stat->failures = flat->failures;
	stat->live_blocks = flat->allocs - flat->frees;
	stat->live_bytes = stat->footprint = flat->pages << LOAM_PAGE_SHIFT;
	loam_unlock(flat->host, &flat->lock);
	return 0;
}

static int flat_walk(void *inst, loam_walk_fn fn, void *arg)
{
	struct flat *flat = inst;
	int stop = 0;

	for (size_t i = 0; i < flat->nr && !stop; i++) {
		const struct area *area = flat->areas[i];
		struct loam_span span = { .size = sizeof(span), .kind = LOAM_SPAN_LIVE };

		if (!area || page_of(flat, area->pub.addr) != i)
			continue;
		span.addr = area->pub.addr;
		span.bytes = area->pub.nr_pages << LOAM_PAGE_SHIFT;
		stop = fn(arg, &span);
		i += area->pub.nr_pages;
	}
	return stop;
}

static void flat_destroy(void *inst)
{
	struct flat *flat = inst;

	for (size_t i = 0; flat->areas && i < flat->nr; i++) {
		struct area *area = flat->areas[i];

		if (!area)
			continue;
		i += area->pub.nr_pages;
		flat->host->meta_free(flat->self, area, sizeof(*area));
	}
	if (flat->window)
		flat->host->window_close(flat->self, flat->window);
	if (flat->areas)
		flat->host->meta_free(flat->self, flat->areas, flat->nr * sizeof(struct area *));
	if (flat->taken)
		flat->host->meta_free(flat->self, flat->taken, RUNMAP_WORDS(flat->nr) * sizeof(uint64_t));
	flat->host->lock_destroy(&flat->lock);
	flat->host->meta_free(flat->self, flat, sizeof(*flat));
}

static int flat_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct flat *flat = host->meta_alloc(args->self, sizeof(*flat), 0);

	if (!flat)
		return -ENOMEM;
	flat->host = host;
	flat->self = args->self;
	flat->nr = args->params[0].u >> LOAM_PAGE_SHIFT;
	host->lock_init(args->self, &flat->lock, 1, "window");
	flat->window = host->window_open(args->self, flat->nr << LOAM_PAGE_SHIFT, 0);
	flat->areas = host->meta_alloc(args->self, flat->nr * sizeof(struct area *), 0);
	flat->taken = host->meta_alloc(args->self, RUNMAP_WORDS(flat->nr) * sizeof(uint64_t), 0);
	if (!flat->window || !flat->areas || !flat->taken) {
		flat_destroy(flat);
		return -ENOMEM;
	}
	*inst = flat;
	return 0;
}

static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "size", .def = "1G", .min = 65536, .max = (int64_t)1 << 40,
		   .help = "addresses of the window"),
};
static const struct loam_vmap_ops ops = { .size = sizeof(ops),
					  .map = flat_map,
					  .map_phys = flat_map_phys,
					  .unmap = flat_unmap,
					  .find = flat_find,
					  .range = flat_range };
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_VMAP, &ops) };

LOAM_PLUGIN(.name = "vmap-flat", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "vmap: first fit over a window, unmapped at once; the one to read first", LOAM_PARAMS(params),
	    LOAM_ROLES(roles), .create = flat_create, .destroy = flat_destroy, .stat = flat_stat, .walk = flat_walk);
