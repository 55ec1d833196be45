/* SPDX-License-Identifier: MIT */
/*
 * NAME.c: per-CPU memory to begin with: a unit of fixed size for each CPU, taken when the machine boots.
 *
 * An allocation is an offset that is the same on every CPU, and the copy of a CPU lies there in that CPU's unit. So one table
 * serves for all units: a byte for each word of 4 bytes says whether it is free, and whether an allocation begins there, by
 * which its end is found. A request gets the first run of free words that fits; freeing clears the bytes, and neighbours are
 * merged by that alone.
 *
 * All memory is there from the start, so it does not matter who may sleep (`gfp`), and free never has anything to give back.
 * What it costs is that memory, used or not: units that fill as they are needed, page by page, are the first thing to improve.
 *
 * Threads: the host takes one lock around each op (LOAM_THREADS_SERIALISED below), so there is none here. Before a fork it
 * takes that lock, so the child finds everything whole. this_cpu_* is an addition to where a unit begins, and calls no op. No
 * op may call malloc.
 */
#include <errno.h>
#include <loam/plugin.h>
#include <string.h>

#define WORD 4  /* bytes: an allocation has whole words */
#define CPUS 64 /* that a machine can have */

/* What the byte of a word says. */
enum { FREE, FIRST, MORE, STATIC }; /* an allocation begins there, it goes on there, static variables of modules */

/* An instance: a section of the configuration. There may be several at once, so there are no global variables. */
struct percpu {
	const struct loam_host *host; /* the host's services */
	const struct loam_args *args; /* what create was given; lives as long as the instance */
	size_t bytes;                 /* of this record */
	unsigned order;               /* of the blocks that the units lie in */
	struct page *units[CPUS];
	uint64_t allocs, frees, failures;
	size_t live; /* words of allocations */
	size_t nr;   /* words of a unit */
	uint8_t words[];
};

static size_t words_of(size_t bytes)
{
	return (bytes + WORD - 1) / WORD;
}

static char *unit(const struct percpu *percpu, unsigned cpu)
{
	return loam_page_ptr(percpu->host->map, percpu->units[cpu]);
}

/* The words from @at on, @n of them, become zero in every copy. */
static void clear(const struct percpu *percpu, size_t at, size_t n)
{
	for (unsigned cpu = 0; cpu < percpu->host->nr_cpus; cpu++)
		memset(unit(percpu, cpu) + at * WORD, 0, n * WORD);
}

/* The first run of @n free words that begins at a multiple of @step, a power of two; nr when there is none. */
static size_t first_fit(const struct percpu *percpu, size_t n, size_t step)
{
	for (size_t at = 0, run;; at += run + 1) {
		const uint8_t *byte = memchr(&percpu->words[at], FREE, percpu->nr - at);

		if (!byte)
			return percpu->nr;
		at = ((size_t)(byte - percpu->words) + step - 1) & -step;
		if (at > percpu->nr || n > percpu->nr - at)
			return percpu->nr;
		for (run = 0; run < n && percpu->words[at + run] == FREE; run++)
			;
		if (run == n)
			return at;
	}
}

/* How many words the allocation has that begins at word @at; 0: none begins there. */
static size_t length(const struct percpu *percpu, size_t at)
{
	size_t end = at;

	if (at >= percpu->nr || percpu->words[at] != FIRST)
		return 0;
	do
		end++;
	while (end < percpu->nr && percpu->words[end] == MORE);
	return end - at;
}

/* ---- the role percpu ---- */

/*
 * Room for @bytes at a multiple of @align in every unit, and every copy zero: the offset into *@offset and 0, or -ENOMEM. May
 * assume that @bytes is 1 to 32 KiB and @align a power of two up to a page, which the host has checked. Units begin at a
 * multiple of a page, so what is aligned in the unit is aligned. Without __GFP_DIRECT_RECLAIM in @gfp no memory may be asked
 * for, which here never is.
 */
static int percpu_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp, size_t *offset)
{
	struct percpu *percpu = inst;
	size_t n = words_of(bytes), at = first_fit(percpu, n, words_of(align));

	(void)gfp;
	if (at == percpu->nr) {
		percpu->failures++;
		return -ENOMEM;
	}
	memset(&percpu->words[at], MORE, n);
	percpu->words[at] = FIRST;
	clear(percpu, at, n);
	percpu->allocs++;
	percpu->live += n;
	*offset = at * WORD;
	return 0;
}

/*
 * Give an allocation back. Any context: nothing may be asked for, and nothing given to a port. Where none begins that is
 * reported and nothing is done: whether to go on is the host's affair.
 */
static void percpu_free(void *inst, size_t offset)
{
	struct percpu *percpu = inst;
	size_t at = offset / WORD, n = offset % WORD ? 0 : length(percpu, at);

	if (!n) {
		percpu->host->report(percpu->args->self, LOAM_REPORT_BAD_FREE, NULL,
				     "offset %#zx: no allocation begins there", offset);
		return;
	}
	memset(&percpu->words[at], FREE, n);
	percpu->frees++;
	percpu->live -= n;
}

/* Where the unit of @cpu begins: a multiple of a page, and the same as long as the instance lives. */
static char *percpu_unit_base(void *inst, unsigned cpu)
{
	return unit(inst, cpu);
}

/* Bytes of a unit that may ever be used, always the same: at least a page. */
static size_t percpu_unit_size(void *inst)
{
	return ((const struct percpu *)inst)->nr * WORD;
}

/*
 * Claim the first @bytes of every unit, zero, for the static variables of modules: once, before the first alloc. They are part
 * of no allocation, ever, and not counted. 0; -ENOMEM with nothing claimed; or -EBUSY when something was allocated before.
 */
static int percpu_reserve_first(void *inst, size_t bytes)
{
	struct percpu *percpu = inst;

	if (percpu->allocs)
		return -EBUSY;
	if (bytes > percpu->nr * WORD)
		return -ENOMEM;
	memset(percpu->words, STATIC, words_of(bytes));
	clear(percpu, 0, words_of(bytes));
	return 0;
}

static const struct loam_percpu_ops ops = {
	.size = sizeof(ops),
	.alloc = percpu_alloc,
	.free = percpu_free,
	.unit_base = percpu_unit_base,
	.unit_size = percpu_unit_size,
	.reserve_first = percpu_reserve_first,
};

/* ---- introspection ---- */

/*
 * Counters, at any time. @stat comes zeroed but for its size. An allocation is one block, and its bytes are those of all
 * copies.
 */
static int percpu_stat(void *inst, struct loam_stat *stat)
{
	const struct percpu *percpu = inst;

	stat->allocs = percpu->allocs;
	stat->frees = percpu->frees;
	stat->failures = percpu->failures;
	stat->live_blocks = percpu->allocs - percpu->frees;
	stat->live_bytes = (uint64_t)percpu->live * WORD * percpu->host->nr_cpus;
	stat->footprint = (uint64_t)percpu->host->nr_cpus << (LOAM_PAGE_SHIFT + percpu->order);
	return 0;
}

/* Tell @fn of every broken invariant, and return how many. Never repairs, never aborts. All threads stand still. */
static int percpu_check(void *inst, loam_check_fn fn, void *arg)
{
	const struct percpu *percpu = inst;
	uint64_t blocks = 0, words = 0, more = 0;

	for (size_t at = 0; at < percpu->nr; at++) {
		blocks += percpu->words[at] == FIRST;
		more += percpu->words[at] == MORE;
		words += length(percpu, at);
	}
	if (blocks == percpu->allocs - percpu->frees && words == percpu->live && words == blocks + more)
		return 0;
	fn(arg, "the counters are not what the table says, or words are of no allocation");
	return 1;
}

/* ---- create and destroy ---- */

/* No call is in progress. The units go back, what is live in them too, and the record. */
static void destroy(void *inst)
{
	struct percpu *percpu = inst;

	for (unsigned cpu = 0; cpu < CPUS && percpu->units[cpu]; cpu++)
		percpu->host->pages_free(percpu->args->ports[0], percpu->units[cpu], percpu->order);
	percpu->host->meta_free(percpu->args->self, percpu, percpu->bytes);
}

/* 0, or a negative errno with everything undone. Records come from the host, zeroed, and never from malloc. */
static int create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	size_t nr = args->params[0].u / WORD, bytes = sizeof(struct percpu) + nr;
	struct percpu *percpu = host->meta_alloc(args->self, bytes, 0);

	if (!percpu)
		return -ENOMEM;
	percpu->host = host;
	percpu->args = args;
	percpu->bytes = bytes;
	percpu->nr = nr;
	percpu->order = loam_pages_order(nr * WORD);
	for (unsigned cpu = 0; cpu < host->nr_cpus; cpu++) {
		percpu->units[cpu] = host->pages_alloc(args->ports[0], GFP_KERNEL, percpu->order, args->owner);
		if (!percpu->units[cpu]) {
			destroy(percpu);
			return -ENOMEM;
		}
	}
	*inst = percpu;
	return 0;
}

static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "unit", .def = "128K", .min = LOAM_PAGE_SIZE, .max = 4 << 20,
		   .help = "bytes for each CPU"),
};
static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages", .help = "where the units come from"),
};
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_PERCPU, &ops) };

LOAM_PLUGIN(.name = "NAME", .version = "0.1", .summary = "percpu: a unit of fixed size for each CPU",
	    .threads = LOAM_THREADS_SERIALISED, LOAM_PARAMS(params), LOAM_PORTS(ports), LOAM_ROLES(roles),
	    .create = create, .destroy = destroy, .stat = percpu_stat, .check = percpu_check);
