/* SPDX-License-Identifier: MIT */
/* plugin-tools.c: loads of blocks, and what is seen of them from outside. */
#include "plugin-tools.h"

#include <errno.h>
#include <stdlib.h>

/* ---- loads ---- */

unsigned work(unsigned n)
{
	bool pages = job.suite->role == LOAM_ROLE_PAGES || job.suite->role == LOAM_ROLE_VMAP ||
		     job.suite->role == LOAM_ROLE_KMAP || job.suite->role == LOAM_ROLE_BOOT ||
		     (job.suite->role == LOAM_ROLE_HEAP && heap_limits().min_align >= LOAM_PAGE_SIZE);

	return pages ? (n + 5) / 6 : n;
}

struct load load_new(unsigned max, unsigned first)
{
	struct load load = { .max = max, .next = first, .rng = { job.seed ^ first } };

	load.held = calloc(max, sizeof(*load.held));
	if (!load.held)
		trouble("no memory for the records of %u blocks", max);
	return load;
}

void load_end(struct load *load)
{
	free(load->held);
	load->held = NULL;
}

/* A page allocator counts frames: a block may come back in parts. A boot allocator counts bytes. */
static uint64_t units(const struct held *held)
{
	if (held->units)
		return held->units;
	return held->page ? 1ull << held->order : 1;
}

bool load_take(struct load *load, gfp_t gfp)
{
	struct held *held = &load->held[load->n];

	if (load->n == load->max)
		return false;
	*held = (struct held){ .ptr = NULL };
	if (!job.suite->take(held, load->next++, gfp)) {
		load->refused++;
		return false;
	}
	load->takes += units(held);
	load->n++;
	return true;
}

unsigned load_fill(struct load *load, unsigned n, gfp_t gfp)
{
	unsigned got = 0;

	while (n--)
		got += load_take(load, gfp);
	return got;
}

void load_give_newest(struct load *load)
{
	struct held *held = &load->held[--load->n];

	load->gives += units(held);
	job.suite->give(held);
}

void load_give(struct load *load)
{
	unsigned i = (unsigned)rng_below(&load->rng, load->n);
	struct held held = load->held[i];

	load->held[i] = load->held[load->n - 1];
	load->held[load->n - 1] = held;
	load_give_newest(load);
}

void load_give_all(struct load *load)
{
	while (load->n)
		load_give(load);
}

bool held_intact(const struct held *held)
{
	if (job.suite->intact)
		return job.suite->intact(held);
	if (held->page)
		return frame_check(held->page, held->order, held->seed);
	return pattern_check(held->ptr, held->bytes, held->seed, NULL);
}

static void check_held(const struct held *held, const char *clause)
{
	if (loam_likely(held_intact(held)))
		return;
	if (held->page)
		broken(clause, "the contents of frame %lu, order %u, are not what was written",
		       loam_page_pfn(&loam__machine.map, held->page), held->order);
	broken(clause, "the contents of the block at %p, %zu bytes, are not what was written", held->ptr, held->bytes);
}

void load_intact(const struct load *load, const char *clause)
{
	for (unsigned i = 0; i < load->n; i++)
		check_held(&load->held[i], clause);
}

void load_churn(struct load *load, unsigned n, gfp_t gfp, const char *clause)
{
	for (n = work(n); n; n--) {
		/* The more are held the likelier is a give. */
		if (rng_below(&load->rng, load->max) < load->n) {
			unsigned i = (unsigned)rng_below(&load->rng, load->n);

			check_held(&load->held[i], clause);
			load_give(load);
		} else {
			load_take(load, gfp);
		}
	}
}

uint64_t load_units(const struct load *load)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < load->n; i++)
		sum += units(&load->held[i]);
	return sum;
}

uint64_t load_bytes(const struct load *load)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < load->n; i++)
		sum += load->held[i].page ? LOAM_PAGE_SIZE << load->held[i].order : load->held[i].bytes;
	return sum;
}

/* ---- light blocks ---- */

#define EACH 64   /* numbers that a thread has */
#define LIGHT 256 /* bytes; or as few as there are */

static unsigned *light;

static size_t bytes_of(unsigned number)
{
	struct held held = { .ptr = NULL };
	size_t bytes;

	if (!job.suite->take(&held, number, GFP_KERNEL))
		trouble("one block is refused, with memory at hand");
	bytes = held.page ? LOAM_PAGE_SIZE << held.order : held.bytes;
	job.suite->give(&held);
	return bytes;
}

void light_open(unsigned threads)
{
	size_t most = SIZE_MAX;
	unsigned found = 0;

	light = calloc((size_t)threads * EACH, sizeof(*light));
	if (!light)
		trouble("no memory for records");
	for (unsigned i = 0; i < 64; i++) {
		size_t bytes = bytes_of(i);

		most = bytes < most ? bytes : most;
	}
	most = most < LIGHT ? LIGHT : most;
	for (unsigned i = 0; found < threads * EACH; i++)
		if (bytes_of(i) <= most)
			light[found++] = i;
}

void light_close(void)
{
	free(light);
	light = NULL;
}

unsigned light_number(unsigned index, unsigned i)
{
	return light[index * EACH + i % EACH];
}

void light_burst(unsigned index, unsigned n, const char *clause)
{
	struct held held[8];
	bool full[LOAM_LEN(held)] = { false };

	for (unsigned i = 0; i < n + LOAM_LEN(held); i++) {
		unsigned at = i % LOAM_LEN(held);

		if (full[at]) {
			kept(clause, held_intact(&held[at]), "a block has not the contents that its thread wrote");
			job.suite->give(&held[at]);
		}
		held[at] = (struct held){ .ptr = NULL };
		full[at] = i < n && job.suite->take(&held[at], light_number(index, i), GFP_KERNEL);
		kept(clause, full[at] || i >= n, "a block is refused with memory at hand");
	}
}

/* ---- the subject ---- */

void role_open(void)
{
	if (job.suite->open && !job.suite->open())
		trouble("what the role needs before the first block is refused, with memory at hand");
}

void role_close(void)
{
	if (job.suite->close)
		job.suite->close();
}

bool in_machine(void)
{
	const struct loam_self *self = subject;

	/* Areas are addresses of a window; the frames that they show are the test's. */
	if (self->roles & LOAM_ROLE_BIT(LOAM_ROLE_VMAP))
		return false;
	/* A filter hands out what lies below it. */
	while (self->lower)
		self = self->lower;
	return !(self->plugin->desc.flags & LOAM_PLUGIN_FOREIGN);
}

uint64_t footprint(void)
{
	return stat_now().footprint >> LOAM_PAGE_SHIFT;
}

void stay_loaded(bool stay)
{
	static struct loam__plugin *plugin;
	struct loam_diag diag;

	if (stay == (plugin != NULL))
		return;
	if (!stay) {
		loam__plugin_put(plugin);
		plugin = NULL;
		return;
	}
	loam__diag_init(&diag);
	plugin = loam__plugin_load(subject->plugin->path, NULL, 0, &diag);
	if (!plugin)
		trouble("the plugin is loaded, and cannot be once more");
	loam__diag_clear(&diag);
}

void halt_clean(const char *clause, const char *when)
{
	struct loam_stat stat = stat_now();
	struct shim_counts left;
	unsigned lines;
	const char *text;

	kept(clause, !stat.live_blocks, "%s: all was given back, and %llu blocks are live", when,
	     (unsigned long long)stat.live_blocks);
	kept(clause, !check_now(&text), "%s: check finds: %s", when, text);
	lines = machine_halt();
	left = shim_counts();
	kept(clause, !left.frames_live && !left.port_live,
	     "%s: all was given back, and %llu frames and %llu blocks of ports are held after destroy", when,
	     (unsigned long long)left.frames_live, (unsigned long long)left.port_live);
	kept(clause, !left.meta_live && !left.meta_bytes,
	     "%s: all was given back, and %llu blocks of metadata, %llu bytes, are held after destroy", when,
	     (unsigned long long)left.meta_live, (unsigned long long)left.meta_bytes);
	kept(clause, !lines, "%s: halt finds %u leaks or defects", when, lines);
}

unsigned long shrink_all(void)
{
	unsigned long sum = 0, n;

	while ((n = shrink_now(~0ul)))
		sum += n;
	return sum;
}

static int end_walk(void *arg, const struct loam_span *span)
{
	(void)arg, (void)span;
	return 1;
}

/* A filter has the op, and may stand on what cannot be walked. */
bool has_walk(void)
{
	return walk_now(end_walk, NULL) != -ENOTSUP;
}

static bool has_check(void)
{
	return subject->plugin->desc.check;
}

static bool has_find(void)
{
	return subject->plugin->desc.find;
}

static bool has_shrink(void)
{
	return subject->plugin->desc.shrink;
}

static bool has_tell(void)
{
	return subject->plugin->desc.tell;
}

const struct capability plugin_capabilities[] = {
	{ "WALK", has_walk }, { "CHECK", has_check },    { "FIND", has_find }, { "SHRINK", has_shrink },
	{ "TELL", has_tell }, { "MACHINE", in_machine }, { NULL, NULL },
};

/* ---- walk ---- */

static int add_span(void *arg, const struct loam_span *span)
{
	struct spans *spans = arg;

	if (spans->n == spans->max)
		trouble("a walk shows more than %u spans", spans->max);
	spans->span[spans->n++] = *span;
	if (span->kind == LOAM_SPAN_LIVE) {
		spans->live++;
		spans->live_bytes += span->bytes;
	}
	return 0;
}

struct spans spans_walk(void)
{
	struct spans spans = { .max = 1u << 20 };
	int result;

	/* More than can be touched: the system gives what is used. */
	spans.span = malloc(spans.max * sizeof(*spans.span));
	if (!spans.span)
		trouble("no memory for the spans of a walk");
	result = walk_now(add_span, &spans);
	kept("PLUG-36", !result, "walk returned %d, and was not told to end", result);
	return spans;
}

void spans_end(struct spans *spans)
{
	free(spans->span);
	spans->span = NULL;
}

uint64_t walk_units(void)
{
	struct spans spans = spans_walk();
	uint64_t units =
		subject->roles & LOAM_ROLE_BIT(LOAM_ROLE_PAGES) ? spans.live_bytes >> LOAM_PAGE_SHIFT : spans.live;

	spans_end(&spans);
	return units;
}

uint64_t span_at(const struct loam_span *span)
{
	const struct loam_map *map = &loam__machine.map;

	if (span->page)
		return span->page >= map->pages && span->page < map->pages + map->nr_pages
			       ? (uint64_t)loam_page_pfn(map, span->page) << LOAM_PAGE_SHIFT
			       : UINT64_MAX;
	return loam_ptr_page(map, span->addr) ? (uint64_t)((char *)span->addr - map->base) : UINT64_MAX;
}

/* ---- counters ---- */

struct books books_open(void)
{
	return (struct books){ stat_now() };
}

void books_agree(const struct books *books, const struct load *loads, unsigned n, const char *clause)
{
	const struct loam_stat *before = &books->before;
	struct loam_stat now = stat_now();
	uint64_t takes = 0, gives = 0;

	for (unsigned i = 0; i < n; i++) {
		takes += loads[i].takes;
		gives += loads[i].gives;
	}
	kept(clause, now.allocs - before->allocs == takes, "allocs grew by %llu, and there were %llu takes",
	     (unsigned long long)(now.allocs - before->allocs), (unsigned long long)takes);
	kept(clause, now.frees - before->frees == gives, "frees grew by %llu, and there were %llu gives",
	     (unsigned long long)(now.frees - before->frees), (unsigned long long)gives);
	kept(clause, now.allocs - now.frees == now.live_blocks, "allocs %llu - frees %llu is not live_blocks %llu",
	     (unsigned long long)now.allocs, (unsigned long long)now.frees, (unsigned long long)now.live_blocks);
}
