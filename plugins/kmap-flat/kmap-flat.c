/* SPDX-License-Identifier: MIT */
/*
 * kmap-flat.c: the role kmap with all of high memory mapped at once, as kernels with 64-bit addresses have it: a window that
 * begins with the first frame of high memory. So an address is an addition, nothing ever runs out, and who touches a page that he
 * did not map is not found out. What is counted is only counted.
 */
#include <loam/plugin.h>

#include <errno.h>

#define LOCAL_SLOTS 16

struct flat {
	const struct loam_host *host;
	struct loam_self *self;
	char *window; /* NULL: there is no high memory */
	struct page *first;
	uint64_t maps, unmaps; /* atomic */
};

static void *address_of(const struct flat *flat, const struct page *page)
{
	return flat->window + ((size_t)(page - flat->first) << LOAM_PAGE_SHIFT);
}

static void *flat_map(void *inst, struct page *page)
{
	struct flat *flat = inst;

	__atomic_fetch_add(&flat->maps, 1, __ATOMIC_RELAXED);
	return address_of(flat, page);
}

static bool flat_unmap(void *inst, struct page *page)
{
	struct flat *flat = inst;

	(void)page;
	/* Release: who sees it sees the map before it. */
	__atomic_fetch_add(&flat->unmaps, 1, __ATOMIC_RELEASE);
	return false;
}

static void *flat_address(void *inst, struct page *page)
{
	return address_of(inst, page);
}

static void *flat_map_local(void *inst, unsigned cpu, unsigned index, struct page *page)
{
	(void)cpu, (void)index;
	return flat_map(inst, page);
}

static void flat_unmap_local(void *inst, unsigned cpu, unsigned index)
{
	(void)cpu, (void)index;
	flat_unmap(inst, NULL);
}

static void flat_limits(void *inst, struct loam_kmap_limits *limits)
{
	(void)inst;
	limits->caps = LOAM_KMAP_FLAT;
	limits->slots = LOAM_KMAP_NO_END;
	limits->local_slots = LOCAL_SLOTS;
}

static int flat_stat(void *inst, struct loam_stat *stat)
{
	const struct flat *flat = inst;

	/* Unmaps first: a pair between the two loads must not make them more than the maps. */
	stat->frees = __atomic_load_n(&flat->unmaps, __ATOMIC_ACQUIRE);
	stat->allocs = __atomic_load_n(&flat->maps, __ATOMIC_RELAXED);
	stat->live_blocks = stat->allocs - stat->frees;
	stat->live_bytes = stat->footprint = stat->live_blocks << LOAM_PAGE_SHIFT;
	return 0;
}

static int flat_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	unsigned long low = host->map->low_bytes >> LOAM_PAGE_SHIFT, high = host->map->nr_pages - low;
	struct flat *flat = host->meta_alloc(args->self, sizeof(*flat), 0);

	if (!flat)
		return -ENOMEM;
	flat->host = host;
	flat->self = args->self;
	flat->first = host->map->pages + low;
	flat->window = high ? host->window_open(args->self, high << LOAM_PAGE_SHIFT, 0) : NULL;
	if (high && (!flat->window ||
		     host->window_map_phys(args->self, flat->window, (uint64_t)low << LOAM_PAGE_SHIFT, high, 0))) {
		if (flat->window)
			host->window_close(args->self, flat->window);
		host->meta_free(args->self, flat, sizeof(*flat));
		return -ENOMEM;
	}
	*inst = flat;
	return 0;
}

static void flat_destroy(void *inst)
{
	struct flat *flat = inst;

	if (flat->window)
		flat->host->window_close(flat->self, flat->window);
	flat->host->meta_free(flat->self, flat, sizeof(*flat));
}

static const struct loam_kmap_ops ops = { .size = sizeof(ops),
					  .map = flat_map,
					  .unmap = flat_unmap,
					  .address = flat_address,
					  .map_local = flat_map_local,
					  .unmap_local = flat_unmap_local,
					  .limits = flat_limits };
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_KMAP, &ops) };

LOAM_PLUGIN(.name = "kmap-flat", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "kmap: all of high memory mapped, as in kernels with 64-bit addresses", LOAM_ROLES(roles),
	    .create = flat_create, .destroy = flat_destroy, .stat = flat_stat);
