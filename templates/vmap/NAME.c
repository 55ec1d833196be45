/* SPDX-License-Identifier: MIT */
/*
 * NAME.c: windows over scattered frames to begin with: first fit over a table.
 *
 * One range of addresses, at which nothing is mapped, is opened when the machine boots. An area is a run of its pages where
 * frames, wherever they are, appear behind each other. Behind each area lies a guard page that is never mapped, so that who
 * runs over the end faults. A word for each page of the range leads to the area that it is part of, guard pages too: it tells
 * what is free, and whose an address is. A request takes the first run of free pages that fits; unmap clears the words, and
 * neighbours are merged by that alone. What it costs is the search, and a system call for each unmap: to leave areas mapped
 * until many can go at once is the first thing to improve (`flush_lazy` below is for that).
 *
 * The frames are the caller's, and none is touched here. Addresses are all that this allocator gives out.
 *
 * Threads: ops run on many threads at once (LOAM_THREADS_PARALLEL below), and one lock guards the table; find looks without it.
 * It is not held while frames are mapped. Such a machine does not survive a fork, and no program's malloc stands on this; still
 * no op may call malloc.
 */
#include <errno.h>
#include <loam/plugin.h>

struct area {
	struct loam_vmap_area pub; /* first: what clients see. Constant while the area is live */
	bool live;                 /* mapped, and counted; under the lock */
};

/* An instance: a section of the configuration. There may be several at once, so there are no global variables. */
struct areas {
	const struct loam_host *host; /* the host's services */
	const struct loam_args *args; /* what create was given; lives as long as the instance */
	char *window;                 /* where the range begins */
	size_t nr;                    /* pages of it */
	struct loam_lock lock;        /* of what follows */
	struct area **table;          /* by page: its area, or NULL: it is free. Atomic words, for find takes no lock */
	uint64_t allocs, frees, failures, pages;
};

static size_t page_of(const struct areas *areas, const void *addr)
{
	return (size_t)((const char *)addr - areas->window) >> LOAM_PAGE_SHIFT;
}

/* The page behind @area and its guard. */
static size_t end_of(const struct areas *areas, const struct area *area)
{
	return page_of(areas, area->pub.addr) + area->pub.nr_pages + 1;
}

/* The first run of @n free pages that begins at a multiple of @step pages, counted from address 0; nr when there is none. */
static size_t first_fit(const struct areas *areas, size_t n, size_t step)
{
	size_t base = (uintptr_t)areas->window >> LOAM_PAGE_SHIFT, at = 0, run;

	for (;;) {
		at += -(base + at) & (step - 1);
		if (at > areas->nr || n > areas->nr - at)
			return areas->nr;
		for (run = 0; run < n && !areas->table[at + run]; run++)
			;
		if (run == n)
			return at;
		at = end_of(areas, areas->table[at + run]);
	}
}

/* The pages of @area, and its guard, lead to @to. Release: who finds the area finds what is in it. */
static void mark(struct areas *areas, const struct area *area, struct area *to)
{
	for (size_t at = page_of(areas, area->pub.addr); at < end_of(areas, area); at++)
		__atomic_store_n(&areas->table[at], to, __ATOMIC_RELEASE);
}

/* An area of @nr pages where nothing is mapped yet, or NULL. find may lead to it from now on: nobody has its address yet. */
static struct area *new_area(struct areas *areas, unsigned long nr, size_t align)
{
	struct area *area = areas->host->meta_alloc(areas->args->self, sizeof(*area), 0);
	size_t at = areas->nr;

	loam_lock(areas->host, &areas->lock);
	if (area && nr < areas->nr)
		at = first_fit(areas, nr + 1, align >> LOAM_PAGE_SHIFT);
	if (at < areas->nr) {
		area->pub = (struct loam_vmap_area){ areas->window + (at << LOAM_PAGE_SHIFT), nr };
		mark(areas, area, area);
	} else {
		areas->failures++;
	}
	loam_unlock(areas->host, &areas->lock);
	if (area && at == areas->nr) {
		areas->host->meta_free(areas->args->self, area, sizeof(*area));
		area = NULL;
	}
	return area;
}

/* Nothing is mapped there any more, or never was: its addresses may be given out again. */
static void end_area(struct areas *areas, struct area *area)
{
	loam_lock(areas->host, &areas->lock);
	mark(areas, area, NULL);
	if (area->live) {
		areas->frees++;
		areas->pages -= area->pub.nr_pages;
	} else {
		areas->failures++;
	}
	loam_unlock(areas->host, &areas->lock);
	areas->host->meta_free(areas->args->self, area, sizeof(*area));
}

/* @error says how mapping went. */
static int finish(struct areas *areas, struct area *area, int error, struct loam_vmap_area **out)
{
	if (error) {
		end_area(areas, area);
		return error;
	}
	loam_lock(areas->host, &areas->lock);
	area->live = true;
	areas->allocs++;
	areas->pages += area->pub.nr_pages;
	loam_unlock(areas->host, &areas->lock);
	*out = &area->pub;
	return 0;
}

/* ---- the role vmap ---- */

/*
 * The @nr frames at @pages appear behind each other at a multiple of @align, from address 0 on: the area into *@out and 0, or
 * -ENOMEM when addresses or mappings run out, and nothing has changed. May assume that @nr is at least 1 and @align a power of
 * two and at least a page. Any frames will do, of high memory too, in any order, one of them several times. Without @writable
 * they can only be read. The array is the caller's, and gone when this returns. May sleep.
 */
static int vmap_map(void *inst, struct page *const *pages, unsigned long nr, size_t align, bool writable,
		    struct loam_vmap_area **out)
{
	struct areas *areas = inst;
	struct area *area = new_area(areas, nr, align);
	unsigned flags = writable ? 0 : LOAM_WINDOW_READONLY;

	if (!area)
		return -ENOMEM;
	return finish(areas, area, areas->host->window_map(areas->args->self, area->pub.addr, pages, nr, flags), out);
}

/*
 * The same for @nr pages of physical memory, as registers of a device are, from @phys on. -EINVAL behind the machine's memory.
 */
static int vmap_map_phys(void *inst, uint64_t phys, unsigned long nr, size_t align, struct loam_vmap_area **out)
{
	struct areas *areas = inst;
	struct area *area = new_area(areas, nr, align);

	if (!area)
		return -ENOMEM;
	return finish(areas, area, areas->host->window_map_phys(areas->args->self, area->pub.addr, phys, nr, 0), out);
}

/*
 * The area goes: its pages fault from here on, its frames may be used for anything, its addresses be given out again, in that
 * order. Any context; needs nothing from the host, so it cannot fail.
 */
static void vmap_unmap(void *inst, struct loam_vmap_area *pub)
{
	struct areas *areas = inst;

	areas->host->window_unmap(areas->args->self, pub->addr, pub->nr_pages);
	end_area(areas, (struct area *)pub);
}

/* The live area that @addr lies in, be it any address at all, guard page included; or NULL. Any context: takes no lock. */
static struct loam_vmap_area *vmap_find(void *inst, const void *addr)
{
	const struct areas *areas = inst;
	size_t at = page_of(areas, addr);
	struct area *area = at < areas->nr ? __atomic_load_n(&areas->table[at], __ATOMIC_ACQUIRE) : NULL;

	return area ? &area->pub : NULL;
}

/* From where to where areas can be, always the same: is_vmalloc_addr is a comparison. */
static void vmap_range(void *inst, char **start, char **end)
{
	const struct areas *areas = inst;

	*start = areas->window;
	*end = areas->window + (areas->nr << LOAM_PAGE_SHIFT);
}

static const struct loam_vmap_ops ops = {
	.size = sizeof(ops),
	.map = vmap_map,
	.map_phys = vmap_map_phys,
	.unmap = vmap_unmap,
	.find = vmap_find,
	.range = vmap_range,
	/* This may be left out; then unmap leaves nothing. */
	.flush_lazy = NULL, /* really unmap what unmap left mapped */
};

/* ---- introspection ---- */

/* Counters, at any time. @stat comes zeroed but for its size. Guard pages do not count. */
static int vmap_stat(void *inst, struct loam_stat *stat)
{
	struct areas *areas = inst;

	loam_lock(areas->host, &areas->lock);
	stat->allocs = areas->allocs;
	stat->frees = areas->frees;
	stat->failures = areas->failures;
	stat->live_blocks = areas->allocs - areas->frees;
	stat->live_bytes = stat->footprint = areas->pages << LOAM_PAGE_SHIFT;
	loam_unlock(areas->host, &areas->lock);
	return 0;
}

/* The first area that lies at page *@at or behind it, or NULL; *@at is behind it then. */
static struct area *next_area(const struct areas *areas, size_t *at)
{
	struct area *area = NULL;

	for (; *at < areas->nr && !area; ++*at)
		area = areas->table[*at];
	if (area)
		*at = end_of(areas, area);
	return area;
}

/* Show @fn every live area, until it returns non-zero. All threads stand still, all locks are held: take none. */
static int vmap_walk(void *inst, loam_walk_fn fn, void *arg)
{
	const struct areas *areas = inst;
	const struct area *area;
	int result = 0;

	for (size_t at = 0; !result && (area = next_area(areas, &at));) {
		struct loam_span span = { .size = sizeof(span), .kind = LOAM_SPAN_LIVE };

		span.addr = area->pub.addr;
		span.bytes = area->pub.nr_pages << LOAM_PAGE_SHIFT;
		if (area->live)
			result = fn(arg, &span);
	}
	return result;
}

/* Tell @fn of every broken invariant, and return how many. Never repairs, never aborts. All threads stand still. */
static int vmap_check(void *inst, loam_check_fn fn, void *arg)
{
	const struct areas *areas = inst;
	uint64_t live = 0, pages = 0;
	const struct area *area;

	for (size_t at = 0; (area = next_area(areas, &at));) {
		live += area->live;
		pages += area->live ? area->pub.nr_pages : 0;
	}
	if (live == areas->allocs - areas->frees && pages == areas->pages)
		return 0;
	fn(arg, "the counters are not what the table says");
	return 1;
}

/* ---- create and destroy ---- */

/* No call is in progress. Areas that are still live go with the range that they are in; the records go back. */
static void destroy(void *inst)
{
	struct areas *areas = inst;
	const struct loam_host *host = areas->host;
	struct area *area;

	for (size_t at = 0; areas->table && (area = next_area(areas, &at));)
		host->meta_free(areas->args->self, area, sizeof(*area));
	if (areas->table)
		host->meta_free(areas->args->self, areas->table, areas->nr * sizeof(*areas->table));
	if (areas->window)
		host->window_close(areas->args->self, areas->window);
	host->lock_destroy(&areas->lock);
	host->meta_free(areas->args->self, areas, sizeof(*areas));
}

/* 0, or a negative errno with everything undone. Records come from the host, zeroed, and never from malloc. */
static int create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct areas *areas = host->meta_alloc(args->self, sizeof(*areas), 0);

	if (!areas)
		return -ENOMEM;
	areas->host = host;
	areas->args = args;
	areas->nr = args->params[0].u >> LOAM_PAGE_SHIFT;
	host->lock_init(args->self, &areas->lock, 1, "NAME");
	areas->window = host->window_open(args->self, areas->nr << LOAM_PAGE_SHIFT, 0);
	/* Large, but fresh memory costs nothing before it is used. */
	areas->table = host->meta_alloc(args->self, areas->nr * sizeof(*areas->table), 0);
	if (!areas->window || !areas->table) {
		destroy(areas);
		return -ENOMEM;
	}
	*inst = areas;
	return 0;
}

static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "size", .def = "1G", .min = 1 << 16, .max = (int64_t)1 << 40,
		   .help = "addresses of the range"),
};
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_VMAP, &ops) };

LOAM_PLUGIN(.name = "NAME", .version = "0.1", .summary = "vmap: first fit over a table",
	    .threads = LOAM_THREADS_PARALLEL, LOAM_PARAMS(params), LOAM_ROLES(roles), .create = create,
	    .destroy = destroy, .stat = vmap_stat, .walk = vmap_walk, .check = vmap_check);
