/* SPDX-License-Identifier: MIT */
/*
 * fault.c: a filter that makes allocations fail, over pages, objects or a heap.
 *
 * Every allocation of the size range is counted. It fails when it is the nth, or a multiple of `every`, or by chance with
 * `probability`; and then the next `run` - 1 of them fail too, since memory that is short stays short for a while. Chance comes
 * from the machine's seed, so a run can be had again. Everything else passes through.
 *
 * The count is one number for all threads: with several threads the nth call is the nth in time, whoever makes it.
 */
#include "../common/count.h"
#include "../common/lower.h"

#include <errno.h>
#include <stdio.h>

enum { P_NTH, P_EVERY, P_PROBABILITY, P_RUN, P_MIN, P_MAX };

static const struct loam_param params[] = {
	[P_NTH] = LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "nth", .def = "0", .max = INT64_MAX,
			     .help = "fail the nth allocation; 0: none"),
	[P_EVERY] = LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "every", .def = "0", .max = INT64_MAX,
			       .help = "fail each allocation whose number is a multiple of this; 0: none"),
	[P_PROBABILITY] = LOAM_PARAM(.type = LOAM_PARAM_REAL, .name = "probability", .def = "0", .max = 1,
				     .help = "fail by chance: 0 never, 1 always"),
	[P_RUN] = LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "run", .def = "1", .min = 1, .max = INT64_MAX,
			     .help = "how many allocations in a row fail each time"),
	[P_MIN] = LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "min_size", .def = "0",
			     .help = "only allocations of at least this"),
	[P_MAX] = LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "max_size", .def = "0",
			     .help = "only allocations of at most this; 0: any"),
};

static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES) | LOAM_ROLE_BIT(LOAM_ROLE_OBJECTS) |
			   LOAM_ROLE_BIT(LOAM_ROLE_HEAP),
		  .flags = LOAM_PORT_LOWER, .name = "lower", .help = "what fails now and then"),
};

struct fault {
	struct lower lower;                         /* first */
	uint64_t nth, every, chance, run, min, max; /* chance: of 2^32 */
	uint64_t count;                             /* atomic: allocations seen */
	uint64_t failing_until;                     /* atomic: those up to this number fail */
	uint64_t failed;                            /* atomic */
};

/* ---- the decision ---- */

static LOAM_COLD bool fail(struct fault *fault, uint64_t from)
{
	/* Relaxed: numbers that order nothing. */
	if (from)
		__atomic_store_n(&fault->failing_until, from + fault->run - 1, __ATOMIC_RELAXED);
	count_add(&fault->failed, 1);
	return true;
}

static bool fails(struct fault *fault, size_t bytes)
{
	uint64_t n;

	if (bytes < fault->min || (fault->max && bytes > fault->max))
		return false;
	n = __atomic_add_fetch(&fault->count, 1, __ATOMIC_RELAXED);
	if (n <= __atomic_load_n(&fault->failing_until, __ATOMIC_RELAXED))
		return fail(fault, 0);
	if (n == fault->nth || (fault->every && n % fault->every == 0))
		return fail(fault, n);
	if (fault->chance && (fault->lower.host->random(fault->lower.self) & UINT32_MAX) < fault->chance)
		return fail(fault, n);
	return false;
}

/* ---- heap ---- */

static void *heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct fault *fault = inst;

	return fails(fault, bytes) ? NULL : lower_heap_alloc(fault, bytes, align, gfp);
}

static void *heap_zalloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct fault *fault = inst;

	return fails(fault, bytes) ? NULL : lower_heap_zalloc(fault, bytes, align, gfp);
}

static const struct loam_heap_ops heap_ops = { .size = sizeof(heap_ops),
					       .alloc = heap_alloc,
					       .free = lower_heap_free,
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
	return fails(((struct lower_cache *)pub)->filter, pub->object_size) ? NULL : lower_objects_alloc(pub, gfp);
}

static const struct loam_objects_ops objects_ops = { .size = sizeof(objects_ops),
						     .create = objects_create,
						     .destroy = lower_objects_destroy,
						     .alloc = objects_alloc,
						     .free = lower_objects_free,
						     .shrink = lower_objects_shrink,
						     .each = lower_objects_each,
						     .limits = lower_objects_limits };

/* ---- pages: bulk ops are left to the host, which then comes here for each page ---- */

static struct page *pages_alloc(void *inst, const struct loam_zone *zone, unsigned order, unsigned flags)
{
	struct fault *fault = inst;

	return fails(fault, LOAM_PAGE_SIZE << order) ? NULL : lower_pages_alloc(fault, zone, order, flags);
}

static const struct loam_pages_ops pages_ops = { .size = sizeof(pages_ops),
						 .add = lower_pages_add,
						 .alloc = pages_alloc,
						 .free = lower_pages_free,
						 .counts = lower_pages_counts,
						 .limits = lower_pages_limits };

/* ---- introspection: that of the instance below, which nobody else reaches ---- */

static int fault_stat(void *inst, struct loam_stat *stat)
{
	struct fault *fault = inst;

	lower_stat(inst, stat);
	stat->failures += count_read(&fault->failed);
	return 0;
}

static void fault_tell(void *inst, void (*line)(void *arg, const char *text), void *arg)
{
	const struct fault *fault = inst;
	char text[100];

	snprintf(text, sizeof(text), "failed on purpose %llu of %llu allocations",
		 (unsigned long long)count_read(&fault->failed), (unsigned long long)count_read(&fault->count));
	line(arg, text);
}

static int fault_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct fault *fault;

	if (args->params[P_MAX].u && args->params[P_MIN].u > args->params[P_MAX].u) {
		host->explain(args->self, "min_size is larger than max_size");
		return -EINVAL;
	}
	fault = host->meta_alloc(args->self, sizeof(*fault), 64);
	if (!fault)
		return -ENOMEM;
	fault->nth = (uint64_t)args->params[P_NTH].i;
	fault->every = (uint64_t)args->params[P_EVERY].i;
	fault->chance = (uint64_t)(args->params[P_PROBABILITY].r * 4294967296.0);
	fault->run = (uint64_t)args->params[P_RUN].i;
	fault->min = args->params[P_MIN].u;
	fault->max = args->params[P_MAX].u;
	lower_open(&fault->lower, host, args);
	*inst = fault;
	return 0;
}

static void fault_destroy(void *inst)
{
	struct fault *fault = inst;

	lower_close(&fault->lower);
	fault->lower.host->meta_free(fault->lower.self, fault, sizeof(*fault));
}

static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_PAGES, &pages_ops),
					       LOAM_ROLE(LOAM_ROLE_OBJECTS, &objects_ops),
					       LOAM_ROLE(LOAM_ROLE_HEAP, &heap_ops) };

LOAM_PLUGIN(.name = "fault", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "filter: allocations fail, the nth, every nth, by chance, in runs, by size", LOAM_PARAMS(params),
	    LOAM_PORTS(ports), LOAM_ROLES(roles), .create = fault_create, .destroy = fault_destroy, .stat = fault_stat,
	    .walk = lower_walk, .tell = fault_tell);
