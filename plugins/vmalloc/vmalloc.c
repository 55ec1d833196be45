/* SPDX-License-Identifier: MIT */
/*
 * vmalloc.c: the role vmap with lazy unmapping.
 *
 * Addresses come from a bit for each page of a large window, by next fit, so that an address that was given back is not soon
 * given out again. Behind each area lies a page that is never mapped.
 *
 * An area that goes stays mapped: unmapping costs a system call. Such areas wait in a list until their pages reach a limit, or
 * addresses run out; then they are sorted, neighbours become one range (the page between two of them is unmapped already), and
 * each range is unmapped by one call. Only then are their addresses free. So many small areas that come and go cost a call
 * for a few hundred of them.
 *
 * The frames of an area that waits may be others' by then. Nobody has its addresses but who uses them after they went; with
 * lazy = 0 he faults.
 */
#include "../common/list.h"
#include "../common/runmap.h"

#include <loam/plugin.h>

#include <errno.h>

struct area {
	struct loam_vmap_area pub; /* first */
	struct area *next;         /* of those that wait */
};

struct vmalloc {
	const struct loam_host *host;
	struct loam_self *self;
	size_t nr; /* pages of the window */
	char *window;
	struct area **areas; /* of each page, guard pages too; atomic words: find takes no lock */
	uint64_t *taken;
	size_t lazy_max; /* pages */
	struct loam_lock lock;
	size_t hint;
	struct area *waiting;
	size_t waiting_pages, waiting_areas;
	uint64_t allocs, frees, failures, pages;
	struct loam_lock flush_lock; /* held over a flush: one at a time */
};

enum { SIZE, LAZY };

static size_t page_of(const struct vmalloc *vm, const void *addr)
{
	return (size_t)((const char *)addr - vm->window) >> LOAM_PAGE_SHIFT;
}

/* ---- flushing ---- */

/* Two lists by address become one. */
static struct area *merge(struct area *a, struct area *b)
{
	struct area *first = NULL, **last = &first;

	while (a && b) {
		struct area **lower = a->pub.addr < b->pub.addr ? &a : &b;

		*last = *lower;
		last = &(*lower)->next;
		*lower = *last;
	}
	*last = a ? a : b;
	return first;
}

/* The first @n areas of *@list by address; *@list is what comes behind them. In place: a flush asks for no memory. */
static struct area *sort(struct area **list, size_t n)
{
	struct area *half, *area = *list;

	if (n == 1) {
		*list = area->next;
		area->next = NULL;
		return area;
	}
	half = sort(list, n / 2);
	return merge(half, sort(list, n - n / 2));
}

/* Unmap [@from, @to), areas and what is between them, and free the addresses. */
static void purge(struct vmalloc *vm, size_t from, size_t to)
{
	/* The last page is a guard, which nothing is mapped at. */
	vm->host->window_unmap(vm->self, vm->window + (from << LOAM_PAGE_SHIFT), to - from - 1);
	loam_lock(vm->host, &vm->lock);
	runmap_set(vm->taken, from, to - from, false);
	loam_unlock(vm->host, &vm->lock);
}

/* Neighbours by one call. The records are ours until then. */
static void purge_all(struct vmalloc *vm, struct area *list)
{
	while (list) {
		size_t from = page_of(vm, list->pub.addr), to = from;

		while (list && page_of(vm, list->pub.addr) == to) {
			struct area *area = list;

			list = area->next;
			to += area->pub.nr_pages + 1;
			vm->host->meta_free(vm->self, area, sizeof(*area));
		}
		purge(vm, from, to);
	}
}

static void vmalloc_flush_lazy(void *inst)
{
	struct vmalloc *vm = inst;
	struct area *list;
	size_t n;

	loam_lock(vm->host, &vm->flush_lock);
	loam_lock(vm->host, &vm->lock);
	list = vm->waiting;
	n = vm->waiting_areas;
	vm->waiting = NULL;
	vm->waiting_pages = vm->waiting_areas = 0;
	loam_unlock(vm->host, &vm->lock);
	if (n)
		purge_all(vm, sort(&list, n));
	loam_unlock(vm->host, &vm->flush_lock);
}

/* ---- areas ---- */

static size_t find_room(struct vmalloc *vm, size_t n, size_t align)
{
	size_t phase = (uintptr_t)vm->window >> LOAM_PAGE_SHIFT, at;

	loam_lock(vm->host, &vm->lock);
	at = runmap_find_at(vm->taken, vm->hint, vm->nr, n, align, phase);
	if (at == RUNMAP_NONE)
		at = runmap_find_at(vm->taken, 0, vm->nr, n, align, phase);
	if (at != RUNMAP_NONE) {
		runmap_set(vm->taken, at, n, true);
		vm->hint = at + n;
	}
	loam_unlock(vm->host, &vm->lock);
	return at;
}

static struct area *reserve(struct vmalloc *vm, unsigned long nr, size_t align)
{
	struct area *area = nr < vm->nr ? vm->host->meta_alloc(vm->self, sizeof(*area), 0) : NULL;
	size_t at;

	if (!area)
		return NULL;
	at = find_room(vm, nr + 1, align >> LOAM_PAGE_SHIFT);
	if (at == RUNMAP_NONE) {
		/* Perhaps what waits is in the way. */
		vmalloc_flush_lazy(vm);
		at = find_room(vm, nr + 1, align >> LOAM_PAGE_SHIFT);
	}
	if (at == RUNMAP_NONE) {
		vm->host->meta_free(vm->self, area, sizeof(*area));
		return NULL;
	}
	area->pub = (struct loam_vmap_area){ vm->window + (at << LOAM_PAGE_SHIFT), nr };
	return area;
}

static void show(struct vmalloc *vm, const struct area *area, struct area *as)
{
	size_t at = page_of(vm, area->pub.addr);

	for (size_t i = at; i <= at + area->pub.nr_pages; i++)
		__atomic_store_n(&vm->areas[i], as, __ATOMIC_RELEASE);
}

static void count_failure(struct vmalloc *vm)
{
	loam_lock(vm->host, &vm->lock);
	vm->failures++;
	loam_unlock(vm->host, &vm->lock);
}

static void give_up(struct vmalloc *vm, struct area *area)
{
	size_t at = page_of(vm, area->pub.addr);

	loam_lock(vm->host, &vm->lock);
	runmap_set(vm->taken, at, area->pub.nr_pages + 1, false);
	loam_unlock(vm->host, &vm->lock);
	vm->host->meta_free(vm->self, area, sizeof(*area));
}

static int map(struct vmalloc *vm, struct page *const *pages, uint64_t phys, unsigned long nr, size_t align,
	       unsigned flags, struct loam_vmap_area **out)
{
	struct area *area = reserve(vm, nr, align);
	int error = area ? 0 : -ENOMEM;

	for (int tries = 0; area && tries < 2; tries++) {
		error = pages ? vm->host->window_map(vm->self, area->pub.addr, pages, nr, flags)
			      : vm->host->window_map_phys(vm->self, area->pub.addr, phys, nr, flags);
		if (error != -ENOMEM)
			break;
		/* The system has no more mappings: what waits has some. */
		vmalloc_flush_lazy(vm);
	}
	if (error) {
		if (area)
			give_up(vm, area);
		count_failure(vm);
		return error;
	}
	show(vm, area, area);
	loam_lock(vm->host, &vm->lock);
	vm->allocs++;
	vm->pages += nr;
	loam_unlock(vm->host, &vm->lock);
	*out = &area->pub;
	return 0;
}

static int vmalloc_map(void *inst, struct page *const *pages, unsigned long nr, size_t align, bool writable,
		       struct loam_vmap_area **area)
{
	return map(inst, pages, 0, nr, align, writable ? 0 : LOAM_WINDOW_READONLY, area);
}

static int vmalloc_map_phys(void *inst, uint64_t phys, unsigned long nr, size_t align, struct loam_vmap_area **area)
{
	return map(inst, NULL, phys, nr, align, 0, area);
}

static void vmalloc_unmap(void *inst, struct loam_vmap_area *pub)
{
	struct vmalloc *vm = inst;
	struct area *area = (struct area *)pub;
	bool full;

	show(vm, area, NULL);
	loam_lock(vm->host, &vm->lock);
	vm->frees++;
	vm->pages -= pub->nr_pages;
	area->next = vm->waiting;
	vm->waiting = area;
	vm->waiting_pages += pub->nr_pages;
	vm->waiting_areas++;
	full = vm->waiting_pages > vm->lazy_max;
	loam_unlock(vm->host, &vm->lock);
	if (full)
		vmalloc_flush_lazy(vm);
}

static struct loam_vmap_area *vmalloc_find(void *inst, const void *addr)
{
	const struct vmalloc *vm = inst;
	size_t at = page_of(vm, addr);
	struct area *area = at < vm->nr ? __atomic_load_n(&vm->areas[at], __ATOMIC_ACQUIRE) : NULL;

	return area ? &area->pub : NULL;
}

static void vmalloc_range(void *inst, char **start, char **end)
{
	const struct vmalloc *vm = inst;

	*start = vm->window;
	*end = vm->window + (vm->nr << LOAM_PAGE_SHIFT);
}

/* ---- the rest ---- */

/* Frames are not ours: nothing is given back but addresses and mappings. */
static unsigned long vmalloc_shrink(void *inst, unsigned long pages)
{
	(void)pages;
	vmalloc_flush_lazy(inst);
	return 0;
}

static int vmalloc_stat(void *inst, struct loam_stat *stat)
{
	struct vmalloc *vm = inst;

	loam_lock(vm->host, &vm->lock);
	stat->allocs = vm->allocs;
	stat->frees = vm->frees;
	stat->failures = vm->failures;
	stat->live_blocks = vm->allocs - vm->frees;
	stat->live_bytes = vm->pages << LOAM_PAGE_SHIFT;
	stat->footprint = (vm->pages + vm->waiting_pages) << LOAM_PAGE_SHIFT;
	loam_unlock(vm->host, &vm->lock);
	return 0;
}

static int vmalloc_walk(void *inst, loam_walk_fn fn, void *arg)
{
	struct vmalloc *vm = inst;
	uint64_t left = vm->allocs - vm->frees;
	int stop = 0;

	for (size_t i = 0; left && !stop; i = runmap_next(vm->taken, i + 1, vm->nr, true)) {
		const struct area *area = vm->areas[i];
		struct loam_span span = { .size = sizeof(span), .kind = LOAM_SPAN_LIVE };

		if (!area || page_of(vm, area->pub.addr) != i)
			continue;
		span.addr = area->pub.addr;
		span.bytes = area->pub.nr_pages << LOAM_PAGE_SHIFT;
		stop = fn(arg, &span);
		left--;
	}
	return stop;
}

static void vmalloc_destroy(void *inst)
{
	struct vmalloc *vm = inst;

	/* Without the one or the other create did not come to its end, and there is no area. */
	for (size_t i = 0; vm->areas && vm->taken && (i = runmap_next(vm->taken, i, vm->nr, true)) < vm->nr; i++) {
		struct area *area = vm->areas[i];

		if (!area)
			continue;
		i += area->pub.nr_pages;
		vm->host->meta_free(vm->self, area, sizeof(*area));
	}
	while (vm->waiting) {
		struct area *area = vm->waiting;

		vm->waiting = area->next;
		vm->host->meta_free(vm->self, area, sizeof(*area));
	}
	if (vm->window)
		vm->host->window_close(vm->self, vm->window);
	if (vm->areas)
		vm->host->meta_free(vm->self, vm->areas, vm->nr * sizeof(struct area *));
	if (vm->taken)
		vm->host->meta_free(vm->self, vm->taken, RUNMAP_WORDS(vm->nr) * sizeof(uint64_t));
	vm->host->lock_destroy(&vm->flush_lock);
	vm->host->lock_destroy(&vm->lock);
	vm->host->meta_free(vm->self, vm, sizeof(*vm));
}

static int vmalloc_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct vmalloc *vm = host->meta_alloc(args->self, sizeof(*vm), 0);

	if (!vm)
		return -ENOMEM;
	vm->host = host;
	vm->self = args->self;
	vm->nr = args->params[SIZE].u >> LOAM_PAGE_SHIFT;
	vm->lazy_max = args->params[LAZY].u >> LOAM_PAGE_SHIFT;
	host->lock_init(args->self, &vm->flush_lock, 1, "flush");
	host->lock_init(args->self, &vm->lock, 2, "areas");
	vm->window = host->window_open(args->self, vm->nr << LOAM_PAGE_SHIFT, 0);
	vm->areas = host->meta_alloc(args->self, vm->nr * sizeof(struct area *), 0);
	vm->taken = host->meta_alloc(args->self, RUNMAP_WORDS(vm->nr) * sizeof(uint64_t), 0);
	if (!vm->window || !vm->areas || !vm->taken) {
		vmalloc_destroy(vm);
		return -ENOMEM;
	}
	*inst = vm;
	return 0;
}

static const struct loam_param params[] = {
	[SIZE] = LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "size", .def = "4G", .min = 65536, .max = (int64_t)1 << 45,
			    .help = "addresses of the window"),
	[LAZY] = LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "lazy", .def = "32M", .min = 0, .max = (int64_t)1 << 40,
			    .help = "areas that went stay mapped until they are so large together; 0: none does"),
};
static const struct loam_vmap_ops ops = { .size = sizeof(ops),
					  .map = vmalloc_map,
					  .map_phys = vmalloc_map_phys,
					  .unmap = vmalloc_unmap,
					  .find = vmalloc_find,
					  .flush_lazy = vmalloc_flush_lazy,
					  .range = vmalloc_range };
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_VMAP, &ops) };

LOAM_PLUGIN(.name = "vmalloc", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "vmap: a large window, unmapped lazily in batches", LOAM_PARAMS(params), LOAM_ROLES(roles),
	    .create = vmalloc_create, .destroy = vmalloc_destroy, .stat = vmalloc_stat, .walk = vmalloc_walk,
	    .shrink = vmalloc_shrink);
