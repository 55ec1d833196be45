/* SPDX-License-Identifier: MIT */
/* vmap-model.c: frames to map, faults that are caught, and areas against a model of the range. */
#include "vmap-tests.h"

#include "child.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define POOL 1500
#define MOST_AREAS 2048

static struct {
	pthread_mutex_t lock;
	struct page *frames[POOL];
	unsigned nr_frames;
	struct area *live[MOST_AREAS];
	unsigned nr_live;
	uint64_t pages, stamps;
	char *view; /* all memory */
	char *start, *end;
	bool strict;
	const char *blame; /* the clause that two areas in one place break; NULL: VMAP-03 */
	struct loam_stat before;
} model = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- frames ---- */

static void take_frames(void)
{
	static const gfp_t ways[] = { GFP_HIGHUSER, GFP_KERNEL, GFP_HIGHUSER, GFP_KERNEL | __GFP_DMA };

	while (model.nr_frames < POOL) {
		gfp_t gfp = ways[model.nr_frames % LOAM_LEN(ways)] | __GFP_NOWARN;
		struct page *page = loam__pages_alloc(&loam__machine.frames, gfp, 0, 0);

		if (!page)
			break;
		model.frames[model.nr_frames++] = page;
	}
	for (unsigned i = model.nr_frames; i > 1; i--) {
		unsigned j = (unsigned)rng_below(&test_rng, i);
		struct page *page = model.frames[i - 1];

		model.frames[i - 1] = model.frames[j];
		model.frames[j] = page;
	}
}

struct page *vmap_frame_take(void)
{
	struct page *page = NULL;

	pthread_mutex_lock(&model.lock);
	if (model.nr_frames)
		page = model.frames[--model.nr_frames];
	pthread_mutex_unlock(&model.lock);
	if (!page)
		trouble("no frame left to map");
	return page;
}

void vmap_frame_put(struct page *page)
{
	pthread_mutex_lock(&model.lock);
	model.frames[model.nr_frames++] = page;
	pthread_mutex_unlock(&model.lock);
}

uint64_t *vmap_frame_words(const struct page *page)
{
	return (uint64_t *)(model.view + (loam_page_pfn(&loam__machine.map, page) << LOAM_PAGE_SHIFT));
}

/* ---- faults ---- */

static _Thread_local sigjmp_buf back;
static _Thread_local volatile bool armed; /* also for the handler */
static struct sigaction old_action;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)info, (void)context;
	if (armed)
		siglongjmp(back, 1);
	/* A fault of the subject's: the instruction comes again, and meets the runner's handler. */
	sigaction(signal, &old_action, NULL);
}

bool vmap_faults(const void *at, bool write)
{
	volatile char *byte = (volatile char *)(uintptr_t)at;
	bool faulted = true;

	if (!sigsetjmp(back, 1)) {
		armed = true;
		if (write)
			*byte = *byte;
		else
			(void)*byte;
		faulted = false;
	}
	armed = false;
	return faulted;
}

/* ---- the machine ---- */

void vmap_begin(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
	size_t bytes = loam__machine.map.nr_pages << LOAM_PAGE_SHIFT;

	model.nr_frames = model.nr_live = 0;
	model.pages = 0;
	model.strict = false;
	model.blame = NULL;
	take_frames();
	model.view = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, loam__machine.memfd, 0);
	if (model.view == MAP_FAILED)
		trouble("no view of the machine's memory");
	vmap_range(&model.start, &model.end);
	model.before = stat_now();
	sigaction(SIGSEGV, &action, &old_action);
}

void vmap_end(void)
{
	sigaction(SIGSEGV, &old_action, NULL);
	munmap(model.view, loam__machine.map.nr_pages << LOAM_PAGE_SHIFT);
	while (model.nr_frames)
		loam__pages_free(&loam__machine.frames, model.frames[--model.nr_frames], 0);
}

void vmap_small_up(unsigned long pages)
{
	char size[100];
	const char *why;
	const char *const sets[] = { size, NULL };
	const struct setup setup = { .memfd = true, .sets = sets };

	snprintf(size, sizeof(size), "%s.size=%luK", job.subject->instance, pages * (PAGE >> 10));
	if (machine_try(&setup, &why))
		skip("no machine with a small range: %s", why);
	vmap_begin();
	model.strict = true;
}

void vmap_small_down(void)
{
	vmap_end();
	machine_down();
}

void vmap_strict(bool strict)
{
	model.strict = strict;
}

void vmap_blames(const char *clause)
{
	model.blame = clause;
}

static bool overlaps(const char *from, const char *to)
{
	for (unsigned i = 0; i < model.nr_live; i++) {
		const struct area *other = model.live[i];

		if (from < other->addr + (other->nr + 1) * PAGE && other->addr < to)
			return true;
	}
	return false;
}

bool vmap_has_room(unsigned long nr, size_t align)
{
	uintptr_t at = ((uintptr_t)model.start + align - 1) & ~(align - 1), end = (uintptr_t)model.end;

	for (; at >= (uintptr_t)model.start && at < end && nr < (end - at) >> LOAM_PAGE_SHIFT; at += align)
		if (!overlaps((char *)at, (char *)at + (nr + 1) * PAGE))
			return true;
	return false;
}

/* ---- ops ---- */

static void *inst(void)
{
	return subject->links[LOAM_ROLE_VMAP].inst;
}

const struct loam_vmap_ops *vmap_ops(void)
{
	return subject->links[LOAM_ROLE_VMAP].ops;
}

int vmap_map(struct page *const *pages, unsigned long nr, size_t align, bool writable, struct loam_vmap_area **area)
{
	int error;

	op_enter("map(nr %lu, align %zu, writable %d)", nr, align, writable);
	error = vmap_ops()->map(inst(), pages, nr, align, writable, area);
	op_leave();
	return error;
}

int vmap_map_phys(uint64_t phys, unsigned long nr, size_t align, struct loam_vmap_area **area)
{
	int error;

	op_enter("map_phys(phys %#llx, nr %lu, align %zu)", (unsigned long long)phys, nr, align);
	error = vmap_ops()->map_phys(inst(), phys, nr, align, area);
	op_leave();
	return error;
}

void vmap_unmap(struct loam_vmap_area *area)
{
	op_enter("unmap(%p: %p, %lu pages)", (void *)area, (void *)area->addr, area->nr_pages);
	vmap_ops()->unmap(inst(), area);
	op_leave();
}

struct loam_vmap_area *vmap_find(const void *addr)
{
	struct loam_vmap_area *area;

	op_enter("find(%p)", addr);
	area = vmap_ops()->find(inst(), addr);
	op_leave();
	return area;
}

void vmap_flush(void)
{
	if (!vmap_have_lazy())
		return;
	op_enter("flush_lazy()");
	vmap_ops()->flush_lazy(inst());
	op_leave();
}

void vmap_range(char **start, char **end)
{
	op_enter("range()");
	vmap_ops()->range(inst(), start, end);
	op_leave();
}

/* ---- areas ---- */

static void judge(const struct area *area, size_t align)
{
	const char *end = area->addr + (area->nr + 1) * PAGE;

	kept("VMAP-01", area->pub->nr_pages == area->nr, "an area of %lu pages says that it has %lu", area->nr,
	     area->pub->nr_pages);
	kept("VMAP-06", !((uintptr_t)area->addr & (align - 1)), "an area at %p was to be aligned to %#zx",
	     (void *)area->addr, align);
	kept("VMAP-03", area->addr >= model.start && end > area->addr && end <= model.end,
	     "an area of %lu pages at %p; the range is %p to %p", area->nr, (void *)area->addr, (void *)model.start,
	     (void *)model.end);
	kept(model.blame ? model.blame : "VMAP-03", !overlaps(area->addr, end),
	     "an area of %lu pages at %p, where another is", area->nr, (void *)area->addr);
}

static void enter(struct area *area, size_t align)
{
	area->addr = area->pub->addr;
	pthread_mutex_lock(&model.lock);
	judge(area, align);
	if (model.nr_live == MOST_AREAS)
		trouble("more than %d areas", MOST_AREAS);
	model.live[model.nr_live++] = area;
	model.pages += area->nr;
	area->stamp = job.seed + ++model.stamps * 0x9e3779b97f4a7c15u;
	pthread_mutex_unlock(&model.lock);
}

bool vmap_area_map(struct area *area, struct page *const *pages, unsigned long nr, size_t align, bool writable)
{
	struct page **mine = calloc(nr, sizeof(struct page *));
	int error;

	if (!mine)
		trouble("no memory");
	memcpy(mine, pages, nr * sizeof(struct page *));
	*area = (struct area){ .nr = nr, .pages = mine, .writable = writable };
	error = vmap_map(pages, nr, align, writable, &area->pub);
	if (!error) {
		enter(area, align);
		return true;
	}
	kept("VMAP-15", error == -ENOMEM, "map of %lu pages returns %d", nr, error);
	kept("VMAP-14", !model.strict || !vmap_has_room(nr, align),
	     "an area of %lu pages, aligned to %#zx, is refused, and there is room", nr, align);
	free(area->pages);
	*area = (struct area){ .pub = NULL };
	return false;
}

static uint64_t stamp_of(const struct area *area, unsigned long i)
{
	return area->stamp + i * 0x632be59bd9b4e019u;
}

bool vmap_area_take(struct area *area, unsigned long nr, size_t align, bool writable)
{
	struct page *pages[MOST_PAGES] = { NULL };
	bool mapped;

	nr = nr < MOST_PAGES ? nr : MOST_PAGES;
	for (unsigned long i = 0; i < nr; i++)
		pages[i] = vmap_frame_take();
	mapped = vmap_area_map(area, pages, nr, align, writable);
	for (unsigned long i = 0; i < nr && !mapped; i++)
		vmap_frame_put(pages[i]);
	for (unsigned long i = 0; i < nr && mapped; i++)
		vmap_frame_words(pages[i])[0] = vmap_frame_words(pages[i])[PAGE / 8 - 1] = stamp_of(area, i);
	area->pool = mapped;
	return mapped;
}

static void look_page(struct area *area, unsigned long i, const char *clause)
{
	volatile uint64_t *here = (uint64_t *)(area->addr + i * PAGE);
	volatile uint64_t *there = vmap_frame_words(area->pages[i]);
	unsigned long pfn = loam_page_pfn(&loam__machine.map, area->pages[i]);

	kept(clause, !vmap_faults((const void *)here, false),
	     "page %lu of the area at %p, %lu pages, faults when it is read", i, (void *)area->addr, area->nr);
	kept(clause, here[0] == there[0] && here[PAGE / 8 - 1] == there[PAGE / 8 - 1],
	     "page %lu of the area at %p, %lu pages, does not show frame %lu", i, (void *)area->addr, area->nr, pfn);
	kept(clause, !area->pool || there[0] == stamp_of(area, i), "frame %lu, page %lu of an area, was overwritten",
	     pfn, i);
	if (!area->pool || !area->writable)
		return;
	kept(clause, !vmap_faults((const void *)here, true), "page %lu of the area at %p faults when it is written to",
	     i, (void *)area->addr);
	here[1] = stamp_of(area, i) ^ 1;
	kept(clause, there[1] == (stamp_of(area, i) ^ 1), "what was written to page %lu of an area is not in frame %lu",
	     i, pfn);
	there[2] = stamp_of(area, i) ^ 2;
	kept(clause, here[2] == (stamp_of(area, i) ^ 2), "what was written to frame %lu is not in page %lu of its area",
	     pfn, i);
}

void vmap_area_look(struct area *area, const char *clause)
{
	for (unsigned long i = 0; i < area->nr; i++)
		look_page(area, i, clause);
}

static void leave(const struct area *area)
{
	pthread_mutex_lock(&model.lock);
	for (unsigned i = 0; i < model.nr_live; i++)
		if (model.live[i] == area) {
			model.live[i] = model.live[--model.nr_live];
			model.pages -= area->nr;
			break;
		}
	pthread_mutex_unlock(&model.lock);
}

void vmap_area_give(struct area *area)
{
	kept("VMAP-01", area->pub->addr == area->addr && area->pub->nr_pages == area->nr,
	     "the record of the area at %p changed while it was live", (void *)area->addr);
	/* Out of the model first: another thread may be given the addresses before unmap returns. */
	leave(area);
	vmap_unmap(area->pub);
	for (unsigned long i = 0; i < area->nr && area->pool; i++)
		vmap_frame_put(area->pages[i]);
	free(area->pages);
	*area = (struct area){ .pub = NULL };
}

void vmap_areas_give(struct area *areas, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (areas[i].pub)
			vmap_area_give(&areas[i]);
}

/* ---- the whole ---- */

static const struct area *area_at(const char *at)
{
	for (unsigned i = 0; i < model.nr_live; i++)
		if ((size_t)(at - model.live[i]->addr) < (model.live[i]->nr + 1) * PAGE)
			return model.live[i];
	return NULL;
}

static void look_place(const char *at, const char *clause, bool flushed)
{
	const struct area *area = area_at(at);
	bool page = area && at < area->addr + area->nr * PAGE;

	kept(clause, vmap_find(at) == (area ? area->pub : NULL) && vmap_find(at + PAGE - 1) == vmap_find(at),
	     "find says of %p, %s, %p", (const void *)at,
	     !area  ? "where no area is"
	     : page ? "a page of an area"
		    : "the guard page of an area",
	     (void *)vmap_find(at));
	if (flushed)
		kept(clause, vmap_faults(at, false) == !page, "%p, %s, %s", (const void *)at,
		     page ? "a page of an area" : "where nothing is mapped", page ? "faults" : "does not fault");
}

void vmap_look_range(const char *clause, bool flushed)
{
	if (flushed)
		vmap_flush();
	for (const char *at = model.start; at < model.end; at += PAGE)
		look_place(at, clause, flushed);
	for (unsigned i = 0; i < model.nr_live; i++)
		vmap_area_look(model.live[i], clause);
}

static int see_span(void *arg, const struct loam_span *span)
{
	const struct area *area = area_at(span->addr);

	if (span->kind != LOAM_SPAN_LIVE)
		return 0;
	++*(unsigned *)arg;
	kept("VMAP-25", area && span->addr == area->addr && span->bytes == area->nr * PAGE,
	     "walk shows %zu bytes at %p; the area there has %lu pages", span->bytes, span->addr, area ? area->nr : 0);
	return 0;
}

void vmap_look_counters(void)
{
	struct loam_stat now = stat_now();
	unsigned n = 0;

	kept("VMAP-24", now.live_blocks == model.nr_live, "live_blocks is %llu, and %u areas are live",
	     (unsigned long long)now.live_blocks, model.nr_live);
	kept("VMAP-24", now.live_bytes == model.pages * PAGE, "live_bytes is %llu, and the areas have %llu pages",
	     (unsigned long long)now.live_bytes, (unsigned long long)model.pages);
	kept("VMAP-24", now.footprint >= now.live_bytes, "footprint is less than live_bytes");
	if (!walk_now(see_span, &n))
		kept("VMAP-25", n == model.nr_live, "walk shows %u areas, and %u are live", n, model.nr_live);
}

bool vmap_have_lazy(void)
{
	return vmap_ops()->flush_lazy;
}

bool vmap_have_size(void)
{
	const struct loam_plugin *desc = &subject->plugin->desc;

	for (unsigned i = 0; i < desc->nr_params; i++)
		if (!strcmp(desc->params[i].name, "size") && desc->params[i].type == LOAM_PARAM_SIZE)
			return true;
	return false;
}

static int end_walk(void *arg, const struct loam_span *span)
{
	(void)arg, (void)span;
	return 1;
}

bool vmap_have_walk(void)
{
	return walk_now(end_walk, NULL) != -ENOTSUP;
}
