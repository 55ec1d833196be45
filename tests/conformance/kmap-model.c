/* SPDX-License-Identifier: MIT */
/* kmap-model.c: the role kmap under several threads, and random sequences against a model of every page and local slot. */
#include "kmap-tests.h"

#include <sched.h>
#include <string.h>

/* ---- threads ---- */

#define SHARED 8

static void *shared_window[SHARED]; /* atomic: where threads found it while it stayed mapped */

/* A page of all threads, which main keeps mapped or not; each frame has its number in its first word. */
static void use_shared(struct rng *rng)
{
	unsigned i = (unsigned)rng_below(rng, SHARED);
	volatile uint64_t *window = map_or("KMAP-21", frames[i]), *again;

	kept("KMAP-21", *window == job.seed + i, "the window of a shared page shows another one");
	kept("KMAP-21", !shared_window[i] || shared_window[i] == window,
	     "a shared page that is mapped has two addresses");
	again = map_or("KMAP-21", frames[i]);
	kept("KMAP-21", again == window, "a page that is mapped has another address");
	kept("KMAP-21", kmap_address(frames[i]) == window, "address of a page that is mapped is another");
	kmap_unmap(frames[i]);
	kept("KMAP-21", *window == job.seed + i, "a shared page that is mapped shows no more");
	kmap_unmap(frames[i]);
}

static void use_own(struct rng *rng, unsigned index, unsigned share)
{
	volatile uint64_t *windows[8];
	unsigned at[8];

	for (unsigned i = 0; i < LOAM_LEN(at); i++) {
		at[i] = SHARED + index * share + (unsigned)rng_below(rng, share);
		windows[i] = map_or("KMAP-21", frames[at[i]]);
		*windows[i] = job.seed + at[i];
	}
	if (rng_below(rng, 4) == 0)
		sched_yield();
	for (unsigned i = 0; i < LOAM_LEN(at); i++) {
		kept("KMAP-21", *windows[i] == job.seed + at[i], "the window of a thread's own page shows another one");
		kmap_unmap(frames[at[i]]);
	}
}

/* With nothing between the calls, so that threads are inside them most of the time. The page stays mapped. */
static void hammer(struct page *page)
{
	const struct loam_link *link = &subject->links[LOAM_ROLE_KMAP];
	const struct loam_kmap_ops *ops = link->ops;
	bool refused = false, freed = false;

	op_enter("map and unmap of one page, many times");
	for (unsigned i = 0; i < 100; i++) {
		refused = !ops->map(link->inst, page) || refused;
		freed = ops->unmap(link->inst, page) || freed;
	}
	op_leave();
	kept("KMAP-21", !refused && !freed, "a page that is mapped all the time is %s",
	     refused ? "refused" : "unmapped for the last time");
}

#define OWN 24 /* pages of a thread */

static void map_and_unmap(void *arg, unsigned index)
{
	const unsigned *rounds = arg;
	struct rng rng = { job.seed + index };

	for (unsigned i = 0; i < *rounds; i++) {
		use_shared(&rng);
		hammer(frames[1]);
		if (i % 2 == 0)
			use_own(&rng, index, OWN);
		if (index == 0 && i % 100 == 0)
			shrink_now(~0ul);
	}
}

static void mapped_all_the_time(unsigned first, unsigned n, bool end)
{
	for (unsigned i = first; i < first + n; i++)
		if (!end)
			map_or("KMAP-21", frames[i]);
		else
			kept("KMAP-21", kmap_unmap(frames[i]) == kmap_finite(),
			     "threads are gone, and their maps are counted");
}

/* Half of the shared pages stay mapped, and so many others that threads meet in the last slots. */
void kmap_threads(void)
{
	unsigned n = job.threads < 2 ? 2 : job.threads > 16 ? 16 : job.threads, need = SHARED + n * 8, others = 0;
	/* Where nothing stays in its window each map and each unmap is a call of the system. */
	unsigned rounds = kmap_limits().caps & (LOAM_KMAP_LAZY | LOAM_KMAP_FLAT) ? effort(2000) : effort(500);

	if (kmap_finite() && slots_or_skip() < need)
		skip("too few slots for %u threads", n);
	frames_open();
	if (kmap_finite())
		others = kmap_limits().slots - need;
	if (others > FRAMES - SHARED - n * OWN)
		others = FRAMES - SHARED - n * OWN;
	for (unsigned i = 0; i < FRAMES; i++)
		frame_word_set(frames[i], job.seed + i);
	for (unsigned i = 0; i < SHARED; i++)
		shared_window[i] = i % 2 ? map_or("KMAP-21", frames[i]) : NULL;
	mapped_all_the_time(FRAMES - others, others, false);
	threads_run_paused(n, map_and_unmap, &rounds);
	for (unsigned i = 1; i < SHARED; i += 2) {
		look_at_window("KMAP-21", shared_window[i], frames[i]);
		mapped_all_the_time(i, 1, true);
	}
	mapped_all_the_time(FRAMES - others, others, true);
	kept("KMAP-21", !stat_now().live_blocks, "all is unmapped, and %llu maps are live",
	     (unsigned long long)stat_now().live_blocks);
	frames_close();
}

/* ---- the model ---- */

#define LOCALS 8 /* of each of so many CPUs at most */
#define CPUS 4

static struct {
	unsigned count[FRAMES], distinct;
	void *window[FRAMES];
	struct {
		void *window;
		unsigned frame;
	} local[CPUS][LOCALS];
	uint64_t live, failures;
	struct loam_kmap_limits limits;
} model;

static void begin(void)
{
	memset(&model, 0, sizeof(model));
	frames_open();
	model.limits = kmap_limits();
	for (unsigned i = 0; i < FRAMES; i++)
		frame_word_set(frames[i], job.seed + i);
}

static bool shows(const void *window, unsigned frame)
{
	return *(const volatile uint64_t *)window == job.seed + frame;
}

static void look_page(unsigned i)
{
	void *address = kmap_address(frames[i]);

	kept("KMAP-04", !model.count[i] || address == model.window[i],
	     "address of page %u is %p, and it is mapped at %p", i, address, model.window[i]);
	kept("KMAP-02", !model.count[i] || shows(model.window[i], i), "page %u is mapped %u times, and does not show",
	     i, model.count[i]);
	kept("KMAP-05", model.count[i] || !address || !kmap_finite(), "page %u is not mapped, and has an address", i);
}

static void run_look(const struct step *step)
{
	struct loam_stat stat = stat_now();

	(void)step;
	for (unsigned i = 0; i < FRAMES; i++)
		look_page(i);
	for (unsigned cpu = 0; cpu < CPUS; cpu++)
		for (unsigned i = 0; i < LOCALS; i++)
			kept("KMAP-17",
			     !model.local[cpu][i].window ||
				     shows(model.local[cpu][i].window, model.local[cpu][i].frame),
			     "local slot %u of CPU %u shows another page", i, cpu);
	kept("KMAP-24", stat.live_blocks == model.live && stat.live_bytes == model.live << LOAM_PAGE_SHIFT,
	     "%llu blocks are live, and %llu maps are", (unsigned long long)stat.live_blocks,
	     (unsigned long long)model.live);
	kept("KMAP-24", stat.failures == model.failures, "failures is %llu, and %llu maps were refused",
	     (unsigned long long)stat.failures, (unsigned long long)model.failures);
	kept("PLUG-09", !check_now(NULL), "check finds a broken invariant");
}

/* ---- map and unmap ---- */

static bool map_one(unsigned i, bool may_fail)
{
	void *window = kmap_map(frames[i]);

	if (!window) {
		kept("KMAP-09", may_fail || (!model.count[i] && model.distinct >= model.limits.slots),
		     "page %u is refused; %u pages are mapped, and there are %u slots", i, model.distinct,
		     model.limits.slots);
		model.failures++;
		return false;
	}
	kept("KMAP-09", model.count[i] || model.distinct < model.limits.slots,
	     "%u pages are mapped, and one more is served", model.distinct);
	kept("KMAP-02", !model.count[i] || window == model.window[i], "page %u is mapped at two addresses", i);
	kept("KMAP-01", touchable(window) && shows(window, i), "the window of page %u does not show it", i);
	model.distinct += !model.count[i]++;
	model.window[i] = window;
	model.live++;
	return true;
}

static void unmap_one(unsigned i)
{
	bool last = !--model.count[i], free = kmap_unmap(frames[i]);

	model.distinct -= last;
	model.live--;
	kept("KMAP-11", free == (last && kmap_finite()), "unmap of page %u, which is mapped %u times yet, returned %d",
	     i, model.count[i], free);
}

/* Some pages are asked for much more often than others. */
static void draw_page(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, rng_below(rng, 3) ? 12 : FRAMES);
}

static void run_map(const struct step *step)
{
	map_one((unsigned)(step->args[0] % FRAMES), false);
}

static void run_map_fails(const struct step *step)
{
	shim_fail_port(1);
	map_one((unsigned)(step->args[0] % FRAMES), true);
	shim_fail_port(0);
}

static void run_unmap(const struct step *step)
{
	if (model.count[step->args[0] % FRAMES])
		unmap_one((unsigned)(step->args[0] % FRAMES));
}

static void draw_range(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, FRAMES);
	step->args[1] = rng_size(rng, FRAMES);
}

static void run_fill(const struct step *step)
{
	for (uint64_t i = 0; i < step->args[1]; i++)
		if (!map_one((unsigned)((step->args[0] + i) % FRAMES), false))
			break;
}

static void run_empty(const struct step *step)
{
	for (uint64_t i = 0; i < step->args[1]; i++)
		if (model.count[(step->args[0] + i) % FRAMES])
			unmap_one((unsigned)((step->args[0] + i) % FRAMES));
}

/* ---- local slots ---- */

static void draw_local(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, CPUS);
	step->args[1] = rng_below(rng, LOCALS);
	step->args[2] = rng_below(rng, rng_below(rng, 3) ? 12 : FRAMES);
	step->args[3] = rng_below(rng, 8) == 0;
}

static void run_map_local(const struct step *step)
{
	unsigned cpu = (unsigned)(step->args[0] % CPUS), index = (unsigned)(step->args[1] % LOCALS);
	unsigned i = (unsigned)(step->args[2] % FRAMES);
	void *window;

	if (cpu >= nr_cpus() || index >= model.limits.local_slots || model.local[cpu][index].window)
		return;
	shim_fail_port(step->args[3] ? 1 : 0);
	window = kmap_map_local(cpu, index, frames[i]);
	shim_fail_port(0);
	kept("KMAP-15", window || step->args[3], "map_local is refused");
	if (!window) {
		model.failures++;
		return;
	}
	kept("KMAP-15", touchable(window) && shows(window, i), "the local window of page %u does not show it", i);
	model.local[cpu][index].window = window;
	model.local[cpu][index].frame = i;
	model.live++;
}

static void end_local(unsigned cpu, unsigned index)
{
	if (!model.local[cpu][index].window)
		return;
	model.local[cpu][index].window = NULL;
	model.live--;
	kmap_unmap_local(cpu, index);
}

static void run_unmap_local(const struct step *step)
{
	end_local((unsigned)(step->args[0] % CPUS), (unsigned)(step->args[1] % LOCALS));
}

static void run_shrink(const struct step *step)
{
	(void)step;
	shrink_now(~0ul);
}

static void end(void)
{
	run_look(NULL);
	for (unsigned i = 0; i < FRAMES; i++)
		while (model.count[i])
			unmap_one(i);
	for (unsigned cpu = 0; cpu < CPUS; cpu++)
		for (unsigned i = 0; i < LOCALS; i++)
			end_local(cpu, i);
	run_look(NULL);
	frames_close();
}

static const struct sequence_op ops[] = {
	{ "map", { "page", NULL }, 30, draw_page, run_map },
	{ "unmap", { "page", NULL }, 25, draw_page, run_unmap },
	{ "map_fails", { "page", NULL }, 4, draw_page, run_map_fails },
	{ "fill", { "page", "n", NULL }, 3, draw_range, run_fill },
	{ "empty", { "page", "n", NULL }, 5, draw_range, run_empty },
	{ "map_local", { "cpu", "index", "page", "fails", NULL }, 20, draw_local, run_map_local },
	{ "unmap_local", { "cpu", "index", NULL }, 15, draw_local, run_unmap_local },
	{ "shrink", { NULL }, 2, NULL, run_shrink },
	{ "look", { NULL }, 4, NULL, run_look },
	{ NULL, { NULL }, 0, NULL, NULL },
};

const struct sequence_ops kmap_sequence = {
	.name = "kmap", .ops = ops, .begin = begin, .end = end, .flags = MEMFD, .memory = 32
};
