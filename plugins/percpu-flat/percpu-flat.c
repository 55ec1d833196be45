/* SPDX-License-Identifier: MIT */
/*
 * percpu-flat.c: the role percpu with one unit of fixed size for each CPU, a block of the page allocator taken at the start. An
 * allocation is the first run of free words that fits. The one to read first.
 *
 * Two bits for each word: that it is taken, and that an allocation begins there, which tells where one ends.
 */
#include "../common/runmap.h"

#include <loam/plugin.h>

#include <errno.h>
#include <string.h>

#define WORD 4 /* bytes: what is allocated is a multiple */
#define CPUS 64

struct flat {
	const struct loam_host *host;
	struct loam_self *self;
	const struct loam_port *pages;
	unsigned cpus, order;
	size_t words, record;
	struct page *units[CPUS];
	char *bases[CPUS];
	struct loam_lock lock;
	uint64_t allocs, frees, failures, live_words;
	uint64_t *starts; /* RUNMAP_WORDS(words) of each */
	uint64_t taken[];
};

enum { P_UNIT };

static int flat_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp, size_t *offset)
{
	struct flat *flat = inst;
	size_t n = (bytes + WORD - 1) / WORD, at;

	(void)gfp;
	align = align < WORD ? 1 : align / WORD;
	loam_lock(flat->host, &flat->lock);
	at = runmap_find(flat->taken, 0, flat->words, n, align);
	if (at == RUNMAP_NONE) {
		flat->failures++;
	} else {
		runmap_set(flat->taken, at, n, true);
		runmap_set(flat->starts, at, 1, true);
		flat->allocs++;
		flat->live_words += n;
	}
	loam_unlock(flat->host, &flat->lock);
	if (at == RUNMAP_NONE)
		return -ENOMEM;
	for (unsigned cpu = 0; cpu < flat->cpus; cpu++)
		memset(flat->bases[cpu] + at * WORD, 0, n * WORD);
	*offset = at * WORD;
	return 0;
}

/* How many words the allocation at @at has; 0: none begins there. */
static size_t length(const struct flat *flat, size_t at)
{
	size_t end, next;

	if (at >= flat->words || !runmap_taken(flat->starts, at))
		return 0;
	end = runmap_next(flat->taken, at, flat->words, false);
	next = runmap_next(flat->starts, at + 1, flat->words, true);
	return (next < end ? next : end) - at;
}

static void flat_free(void *inst, size_t offset)
{
	struct flat *flat = inst;
	size_t at = offset / WORD, n;

	loam_lock(flat->host, &flat->lock);
	n = offset % WORD ? 0 : length(flat, at);
	if (n) {
		runmap_set(flat->taken, at, n, false);
		runmap_set(flat->starts, at, 1, false);
		flat->frees++;
		flat->live_words -= n;
	}
	loam_unlock(flat->host, &flat->lock);
	if (!n)
		flat->host->report(flat->self, LOAM_REPORT_BAD_FREE, NULL, "offset %#zx: no allocation begins there",
				   offset);
}

static char *flat_unit_base(void *inst, unsigned cpu)
{
	const struct flat *flat = inst;

	return cpu < flat->cpus ? flat->bases[cpu] : NULL;
}

static size_t flat_unit_size(void *inst)
{
	return ((const struct flat *)inst)->words * WORD;
}

static int flat_reserve_first(void *inst, size_t bytes)
{
	struct flat *flat = inst;
	size_t n = (bytes + WORD - 1) / WORD;
	int error = 0;

	loam_lock(flat->host, &flat->lock);
	if (flat->allocs)
		error = -EBUSY;
	else if (n > flat->words)
		error = -ENOMEM;
	else
		runmap_set(flat->taken, 0, n, true);
	loam_unlock(flat->host, &flat->lock);
	for (unsigned cpu = 0; cpu < flat->cpus && !error; cpu++)
		memset(flat->bases[cpu], 0, bytes);
	return error;
}

static int flat_stat(void *inst, struct loam_stat *stat)
{
	struct flat *flat = inst;

	loam_lock(flat->host, &flat->lock);
	stat->allocs = flat->allocs;
	stat->frees = flat->frees;
	stat->failures = flat->failures;
	stat->live_blocks = flat->allocs - flat->frees;
	stat->live_bytes = flat->live_words * WORD * flat->cpus;
	stat->footprint = (uint64_t)flat->cpus << (LOAM_PAGE_SHIFT + flat->order);
	loam_unlock(flat->host, &flat->lock);
	return 0;
}

static int flat_check(void *inst, loam_check_fn fn, void *arg)
{
	const struct flat *flat = inst;
	uint64_t words = 0, blocks = 0;
	int broken = 0;

	for (size_t at = runmap_next(flat->starts, 0, flat->words, true); at < flat->words;
	     at = runmap_next(flat->starts, at + 1, flat->words, true)) {
		words += length(flat, at);
		blocks++;
	}
	if (blocks != flat->allocs - flat->frees || words != flat->live_words) {
		fn(arg, "the allocations are not what the counters say");
		broken++;
	}
	return broken;
}

static void flat_destroy(void *inst)
{
	struct flat *flat = inst;

	for (unsigned cpu = 0; cpu < flat->cpus; cpu++)
		if (flat->units[cpu])
			flat->host->pages_free(flat->pages, flat->units[cpu], flat->order);
	flat->host->lock_destroy(&flat->lock);
	flat->host->meta_free(flat->self, flat, flat->record);
}

static int flat_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	size_t words = args->params[P_UNIT].u / WORD;
	size_t record = sizeof(struct flat) + 2 * RUNMAP_WORDS(words) * sizeof(uint64_t);
	struct flat *flat = host->meta_alloc(args->self, record, 0);

	if (!flat)
		return -ENOMEM;
	flat->host = host;
	flat->self = args->self;
	flat->pages = args->ports[0];
	flat->words = words;
	flat->record = record;
	flat->starts = flat->taken + RUNMAP_WORDS(words);
	flat->cpus = host->nr_cpus;
	while (LOAM_PAGE_SIZE << flat->order < args->params[P_UNIT].u)
		flat->order++;
	host->lock_init(args->self, &flat->lock, 1, "units");
	for (unsigned cpu = 0; cpu < flat->cpus; cpu++) {
		flat->units[cpu] = host->pages_alloc(flat->pages, GFP_KERNEL, flat->order, args->owner);
		if (!flat->units[cpu]) {
			flat_destroy(flat);
			return -ENOMEM;
		}
		flat->bases[cpu] = loam_page_ptr(host->map, flat->units[cpu]);
	}
	*inst = flat;
	return 0;
}

static const struct loam_param params[] = {
	[P_UNIT] = LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "unit", .def = "128K", .min = 4096, .max = 4 << 20,
			      .help = "bytes for each CPU"),
};
static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages", .help = "where the units come from"),
};
static const struct loam_percpu_ops ops = { .size = sizeof(ops),
					    .alloc = flat_alloc,
					    .free = flat_free,
					    .unit_base = flat_unit_base,
					    .unit_size = flat_unit_size,
					    .reserve_first = flat_reserve_first };
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_PERCPU, &ops) };

LOAM_PLUGIN(.name = "percpu-flat", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "percpu: one unit of fixed size for each CPU, the one to read first", LOAM_PARAMS(params),
	    LOAM_PORTS(ports), LOAM_ROLES(roles), .create = flat_create, .destroy = flat_destroy, .stat = flat_stat,
	    .check = flat_check);
