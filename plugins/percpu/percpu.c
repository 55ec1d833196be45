/* SPDX-License-Identifier: MIT */
/*
 * percpu.c: the role percpu by chunks that are filled with frames as they are needed.
 *
 * Each CPU has a unit: a range of addresses in one window, all of the same size. A chunk is the same part of every unit. An
 * allocation lies within one chunk, at the first run of free words that fits; the fullest chunks are looked at first, so that
 * the others become empty. A page of a chunk has frames, one in each unit, from the first allocation that touches it until
 * shrink finds it empty. Who can wait fills one page ahead while fewer than two are filled and empty, for those who cannot
 * (without __GFP_DIRECT_RECLAIM only what is there serves). A free maps and unmaps nothing, so that any context may do it.
 *
 * One lock for the words, another for what the pages show; neither is held over a request for frames.
 */
#include "../common/runmap.h"

#include <loam/plugin.h>

#include <errno.h>
#include <string.h>

#define WORD 4 /* bytes: what is allocated is a multiple */
#define CPUS 64
#define CHUNK_PAGES 16
#define CHUNK_BYTES (CHUNK_PAGES * LOAM_PAGE_SIZE)
#define CHUNK_WORDS (CHUNK_BYTES / WORD)
#define KEEP 2 /* pages that are filled and empty */

struct chunk {
	uint64_t taken[CHUNK_WORDS / 64], starts[CHUNK_WORDS / 64];
	struct page **frames; /* [page * cpus + cpu]; NULL: never filled */
	uint32_t filled;      /* a bit a page: it has frames in all units */
	unsigned used;        /* words, those of static variables too */
};

struct percpu {
	const struct loam_host *host;
	struct loam_self *self;
	const struct loam_port *pages;
	uint32_t owner;
	unsigned cpus, nr_chunks;
	size_t unit;
	char *window;
	struct loam_lock fill_lock; /* rank 1: frames come and go */
	struct loam_lock lock;      /* rank 2: words */
	uint64_t allocs, frees, failures, live_words, frames_held;
	struct chunk chunks[];
};

static size_t frames_bytes(const struct percpu *pc)
{
	return (size_t)CHUNK_PAGES * pc->cpus * sizeof(struct page *);
}

static char *address(const struct percpu *pc, const struct chunk *chunk, unsigned cpu)
{
	return pc->window + cpu * pc->unit + (size_t)(chunk - pc->chunks) * CHUNK_BYTES;
}

/* The pages that words [@at, @at + @n) touch, a bit each. */
static uint32_t pages_of(size_t at, size_t n)
{
	size_t first = at * WORD >> LOAM_PAGE_SHIFT, last = ((at + n) * WORD - 1) >> LOAM_PAGE_SHIFT;

	return (uint32_t)((2ull << last) - (1ull << first));
}

/* ---- filling ---- */

static void give_frames(struct percpu *pc, struct page **frames)
{
	for (unsigned cpu = 0; cpu < pc->cpus && frames[cpu]; cpu++) {
		pc->host->pages_free(pc->pages, frames[cpu], 0);
		frames[cpu] = NULL;
		__atomic_fetch_sub(&pc->frames_held, 1, __ATOMIC_RELAXED);
	}
}

/* One for each unit, of any memory. With no lock: it may reclaim, which comes back to us. */
static int take_frames(struct percpu *pc, gfp_t gfp, struct page **frames)
{
	gfp = (gfp & ~(__GFP_DMA | __GFP_DMA32 | __GFP_MOVABLE)) | __GFP_HIGHMEM | __GFP_ZERO;
	memset(frames, 0, pc->cpus * sizeof(*frames));
	for (unsigned cpu = 0; cpu < pc->cpus; cpu++) {
		frames[cpu] = pc->host->pages_alloc(pc->pages, gfp, 0, pc->owner);
		if (!frames[cpu]) {
			give_frames(pc, frames);
			return -ENOMEM;
		}
		__atomic_fetch_add(&pc->frames_held, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

/* Under the fill lock. */
static void hide_page(struct percpu *pc, struct chunk *chunk, unsigned page)
{
	for (unsigned cpu = 0; cpu < pc->cpus; cpu++)
		pc->host->window_unmap(pc->self, address(pc, chunk, cpu) + (page << LOAM_PAGE_SHIFT), 1);
}

/* Under the fill lock: the page shows @frames, and has them. */
static int show_page(struct percpu *pc, struct chunk *chunk, unsigned page, struct page **frames)
{
	if (!chunk->frames)
		chunk->frames = pc->host->meta_alloc(pc->self, frames_bytes(pc), 0);
	if (!chunk->frames)
		return -ENOMEM;
	for (unsigned cpu = 0; cpu < pc->cpus; cpu++)
		if (pc->host->window_map(pc->self, address(pc, chunk, cpu) + (page << LOAM_PAGE_SHIFT), &frames[cpu], 1,
					 0)) {
			hide_page(pc, chunk, page);
			return -ENOMEM;
		}
	memcpy(&chunk->frames[page * pc->cpus], frames, pc->cpus * sizeof(*frames));
	loam_lock(pc->host, &pc->lock);
	chunk->filled |= 1u << page;
	loam_unlock(pc->host, &pc->lock);
	return 0;
}

static bool is_filled(struct percpu *pc, const struct chunk *chunk, unsigned page)
{
	bool filled;

	loam_lock(pc->host, &pc->lock);
	filled = chunk->filled & 1u << page;
	loam_unlock(pc->host, &pc->lock);
	return filled;
}

/* The pages @want of @chunk. Somebody else may be filling them too: the second one gives his frames back. */
static int fill(struct percpu *pc, struct chunk *chunk, uint32_t want, gfp_t gfp)
{
	struct page *frames[CPUS];
	int error = 0;

	for (unsigned page = 0; page < CHUNK_PAGES && !error; page++) {
		bool done;

		if (!(want & 1u << page) || is_filled(pc, chunk, page))
			continue;
		error = take_frames(pc, gfp, frames);
		if (error)
			break;
		loam_lock(pc->host, &pc->fill_lock);
		done = is_filled(pc, chunk, page);
		if (!done)
			error = show_page(pc, chunk, page, frames);
		loam_unlock(pc->host, &pc->fill_lock);
		if (done || error)
			give_frames(pc, frames);
	}
	return error;
}

/* ---- words: under the lock ---- */

static uint32_t empty_pages(const struct chunk *chunk)
{
	uint32_t empty = 0;

	for (unsigned page = 0; page < CHUNK_PAGES; page++) {
		size_t from = page * (LOAM_PAGE_SIZE / WORD), to = from + LOAM_PAGE_SIZE / WORD;

		if (chunk->filled & 1u << page && runmap_next(chunk->taken, from, to, true) == to)
			empty |= 1u << page;
	}
	return empty;
}

/* The first run in pages that are @filled, or in any. A page that is not is stepped over as a whole. */
static size_t find_in(const struct chunk *chunk, size_t n, size_t align, bool filled)
{
	size_t at = 0;

	while ((at = runmap_find(chunk->taken, at, CHUNK_WORDS, n, align)) != RUNMAP_NONE) {
		uint32_t missing = filled ? pages_of(at, n) & ~chunk->filled : 0;

		if (!missing)
			return at;
		at = (size_t)(32 - __builtin_clz(missing)) * (LOAM_PAGE_SIZE / WORD);
	}
	return RUNMAP_NONE;
}

/* Of the chunks where it fits, the fullest. */
static struct chunk *choose(struct percpu *pc, size_t n, size_t align, bool filled, size_t *at)
{
	struct chunk *best = NULL;

	for (unsigned i = 0; i < pc->nr_chunks; i++) {
		struct chunk *chunk = &pc->chunks[i];
		size_t here;

		if ((best && chunk->used <= best->used) || CHUNK_WORDS - chunk->used < n)
			continue;
		here = find_in(chunk, n, align, filled);
		if (here == RUNMAP_NONE)
			continue;
		best = chunk;
		*at = here;
	}
	return best;
}

static void take(struct chunk *chunk, size_t at, size_t n)
{
	runmap_set(chunk->taken, at, n, true);
	runmap_set(chunk->starts, at, 1, true);
	chunk->used += (unsigned)n;
}

/* Only once nothing can fail any more: what is counted never falls. */
static void count(struct percpu *pc, size_t n)
{
	pc->allocs++;
	pc->live_words += n;
}

static size_t length(const struct chunk *chunk, size_t at)
{
	size_t end, next;

	if (!runmap_taken(chunk->starts, at))
		return 0;
	end = runmap_next(chunk->taken, at, CHUNK_WORDS, false);
	next = runmap_next(chunk->starts, at + 1, CHUNK_WORDS, true);
	return (next < end ? next : end) - at;
}

static void untake(struct chunk *chunk, size_t at, size_t n)
{
	runmap_set(chunk->taken, at, n, false);
	runmap_set(chunk->starts, at, 1, false);
	chunk->used -= (unsigned)n;
}

/* ---- the role ---- */

/* The page's frames out of it, into @frames, when nobody uses it. */
static bool strip(struct percpu *pc, struct chunk *chunk, unsigned page, struct page **frames)
{
	bool go;

	loam_lock(pc->host, &pc->fill_lock);
	loam_lock(pc->host, &pc->lock);
	go = empty_pages(chunk) & 1u << page;
	if (go)
		chunk->filled &= ~(1u << page);
	loam_unlock(pc->host, &pc->lock);
	if (go) {
		hide_page(pc, chunk, page);
		memcpy(frames, &chunk->frames[page * pc->cpus], pc->cpus * sizeof(*frames));
	}
	loam_unlock(pc->host, &pc->fill_lock);
	return go;
}

static unsigned kept(struct percpu *pc)
{
	unsigned n = 0;

	for (unsigned i = 0; i < pc->nr_chunks; i++)
		n += (unsigned)__builtin_popcount(empty_pages(&pc->chunks[i]));
	return n;
}

/* A page that has no frames, in @chunk or in one behind it. */
static struct chunk *unfilled(struct percpu *pc, struct chunk *chunk, uint32_t *pages)
{
	for (; chunk < pc->chunks + pc->nr_chunks; chunk++) {
		*pages = ~chunk->filled & ((1u << CHUNK_PAGES) - 1);
		if (*pages)
			return chunk;
	}
	return NULL;
}

/* A page more for those who cannot wait, when there are too few. Not at any price: with no more rights than the caller has. */
static void fill_ahead(struct percpu *pc, struct chunk *chunk, gfp_t gfp)
{
	uint32_t missing = 0;

	loam_lock(pc->host, &pc->lock);
	chunk = kept(pc) < KEEP ? unfilled(pc, chunk, &missing) : NULL;
	loam_unlock(pc->host, &pc->lock);
	gfp &= ~(__GFP_DIRECT_RECLAIM | __GFP_NOFAIL | __GFP_HIGH | __GFP_MEMALLOC);
	if (chunk)
		fill(pc, chunk, missing & -missing, gfp | __GFP_NOWARN);
}

/* The pages of words that are taken and not counted yet; if that fails they are free again. */
static int fill_taken(struct percpu *pc, struct chunk *chunk, size_t at, size_t n, gfp_t gfp)
{
	int error = fill(pc, chunk, pages_of(at, n), gfp);

	loam_lock(pc->host, &pc->lock);
	if (error) {
		untake(chunk, at, n);
		pc->failures++;
	} else {
		count(pc, n);
	}
	loam_unlock(pc->host, &pc->lock);
	return error;
}

static int percpu_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp, size_t *offset)
{
	size_t n = (bytes + WORD - 1) / WORD, at = 0;
	bool can_fill = gfp & __GFP_DIRECT_RECLAIM;
	struct percpu *pc = inst;
	struct chunk *chunk;
	uint32_t missing = 0;

	align = align < WORD ? 1 : align / WORD;
	loam_lock(pc->host, &pc->lock);
	chunk = choose(pc, n, align, true, &at);
	if (!chunk && can_fill)
		chunk = choose(pc, n, align, false, &at);
	if (chunk) {
		take(chunk, at, n);
		missing = pages_of(at, n) & ~chunk->filled;
		if (!missing)
			count(pc, n);
	} else {
		pc->failures++;
	}
	loam_unlock(pc->host, &pc->lock);
	if (!chunk)
		return -ENOMEM;
	if (missing && fill_taken(pc, chunk, at, n, gfp))
		return -ENOMEM;
	for (unsigned cpu = 0; cpu < pc->cpus; cpu++)
		memset(address(pc, chunk, cpu) + at * WORD, 0, n * WORD);
	if (can_fill)
		fill_ahead(pc, chunk, gfp);
	*offset = (size_t)(chunk - pc->chunks) * CHUNK_BYTES + at * WORD;
	return 0;
}

static void percpu_free(void *inst, size_t offset)
{
	struct percpu *pc = inst;
	struct chunk *chunk = offset < pc->unit ? &pc->chunks[offset / CHUNK_BYTES] : NULL;
	size_t at = offset % CHUNK_BYTES / WORD, n;

	loam_lock(pc->host, &pc->lock);
	n = !chunk || offset % WORD ? 0 : length(chunk, at);
	if (n) {
		untake(chunk, at, n);
		pc->live_words -= n;
		pc->frees++;
	}
	loam_unlock(pc->host, &pc->lock);
	if (!n)
		pc->host->report(pc->self, LOAM_REPORT_BAD_FREE, NULL, "offset %#zx: no allocation begins there",
				 offset);
}

static char *percpu_unit_base(void *inst, unsigned cpu)
{
	const struct percpu *pc = inst;

	return cpu < pc->cpus ? pc->window + cpu * pc->unit : NULL;
}

static size_t percpu_unit_size(void *inst)
{
	return ((const struct percpu *)inst)->unit;
}

static int percpu_reserve_first(void *inst, size_t bytes)
{
	size_t n = (bytes + WORD - 1) / WORD;
	struct percpu *pc = inst;
	struct chunk *chunk = &pc->chunks[0];
	int error = 0;

	if (bytes > CHUNK_BYTES)
		return -ENOMEM;
	loam_lock(pc->host, &pc->lock);
	if (pc->allocs)
		error = -EBUSY;
	else
		runmap_set(chunk->taken, 0, n, true);
	loam_unlock(pc->host, &pc->lock);
	if (!error && n)
		error = fill(pc, chunk, pages_of(0, n), GFP_KERNEL);
	loam_lock(pc->host, &pc->lock);
	if (error && error != -EBUSY)
		runmap_set(chunk->taken, 0, n, false);
	if (!error)
		chunk->used = (unsigned)n;
	loam_unlock(pc->host, &pc->lock);
	return error;
}

/* ---- the rest ---- */

static unsigned long percpu_shrink(void *inst, unsigned long pages)
{
	struct page *frames[CPUS];
	struct percpu *pc = inst;
	unsigned long n = 0;

	for (unsigned i = 0; i < pc->nr_chunks && n < pages; i++)
		for (unsigned page = 0; page < CHUNK_PAGES && n < pages; page++)
			if (strip(pc, &pc->chunks[i], page, frames)) {
				give_frames(pc, frames);
				n += pc->cpus;
			}
	return n;
}

static int percpu_stat(void *inst, struct loam_stat *stat)
{
	struct percpu *pc = inst;

	loam_lock(pc->host, &pc->lock);
	stat->allocs = pc->allocs;
	stat->frees = pc->frees;
	stat->failures = pc->failures;
	stat->live_blocks = pc->allocs - pc->frees;
	stat->live_bytes = pc->live_words * WORD * pc->cpus;
	stat->footprint = __atomic_load_n(&pc->frames_held, __ATOMIC_RELAXED) << LOAM_PAGE_SHIFT;
	loam_unlock(pc->host, &pc->lock);
	return 0;
}

static unsigned words_taken(const struct chunk *chunk)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CHUNK_WORDS / 64; i++)
		n += (unsigned)__builtin_popcountll(chunk->taken[i]);
	return n;
}

static int percpu_check(void *inst, loam_check_fn fn, void *arg)
{
	const struct percpu *pc = inst;
	uint64_t words = 0, blocks = 0;
	int broken = 0;

	for (unsigned i = 0; i < pc->nr_chunks; i++) {
		const struct chunk *chunk = &pc->chunks[i];

		if (words_taken(chunk) != chunk->used) {
			fn(arg, "a chunk's taken words are not as many as it counts");
			broken++;
		}
		for (size_t at = runmap_next(chunk->starts, 0, CHUNK_WORDS, true); at < CHUNK_WORDS;
		     at = runmap_next(chunk->starts, at + 1, CHUNK_WORDS, true)) {
			size_t n = length(chunk, at);

			words += n;
			blocks++;
			if (pages_of(at, n) & ~chunk->filled) {
				fn(arg, "an allocation lies where there are no frames");
				broken++;
			}
		}
	}
	if (blocks != pc->allocs - pc->frees || words != pc->live_words) {
		fn(arg, "the allocations are not what the counters say");
		broken++;
	}
	return broken;
}

static void percpu_destroy(void *inst)
{
	struct percpu *pc = inst;

	if (pc->window)
		pc->host->window_close(pc->self, pc->window);
	for (unsigned i = 0; i < pc->nr_chunks; i++) {
		struct chunk *chunk = &pc->chunks[i];

		for (unsigned page = 0; page < CHUNK_PAGES; page++)
			if (chunk->filled & 1u << page)
				give_frames(pc, &chunk->frames[page * pc->cpus]);
		if (chunk->frames)
			pc->host->meta_free(pc->self, chunk->frames, frames_bytes(pc));
	}
	pc->host->lock_destroy(&pc->lock);
	pc->host->lock_destroy(&pc->fill_lock);
	pc->host->meta_free(pc->self, pc, sizeof(*pc) + pc->nr_chunks * sizeof(struct chunk));
}

static int percpu_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	unsigned nr = (unsigned)(args->params[0].u / CHUNK_BYTES);
	struct percpu *pc = host->meta_alloc(args->self, sizeof(*pc) + nr * sizeof(struct chunk), 0);

	if (!pc)
		return -ENOMEM;
	pc->host = host;
	pc->self = args->self;
	pc->pages = args->ports[0];
	pc->owner = args->owner;
	pc->cpus = host->nr_cpus;
	pc->nr_chunks = nr;
	pc->unit = nr * CHUNK_BYTES;
	host->lock_init(args->self, &pc->fill_lock, 1, "filling");
	host->lock_init(args->self, &pc->lock, 2, "words");
	pc->window = host->window_open(args->self, pc->cpus * pc->unit, 0);
	if (!pc->window) {
		percpu_destroy(pc);
		return -ENOMEM;
	}
	*inst = pc;
	return 0;
}

static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "unit", .def = "4M", .min = CHUNK_BYTES, .max = 1 << 30,
		   .help = "addresses of each CPU, in chunks of 64K"),
};
static const struct loam_port_decl ports[] = {
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages", .help = "where chunks' frames come from"),
};
static const struct loam_percpu_ops ops = { .size = sizeof(ops),
					    .alloc = percpu_alloc,
					    .free = percpu_free,
					    .unit_base = percpu_unit_base,
					    .unit_size = percpu_unit_size,
					    .reserve_first = percpu_reserve_first };
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_PERCPU, &ops) };

LOAM_PLUGIN(.name = "percpu", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "percpu: chunks that are filled with frames as they are needed", LOAM_PARAMS(params),
	    LOAM_PORTS(ports), LOAM_ROLES(roles), .create = percpu_create, .destroy = percpu_destroy,
	    .stat = percpu_stat, .check = percpu_check, .shrink = percpu_shrink);
