/* SPDX-License-Identifier: MIT */
/* kmap-slots.c: tests of the persistent slots: how many, what is free of cost, what faults, what happens when mapping fails. */
#include "kmap-tests.h"

#include <string.h>

static bool mapped[FRAMES];

static unsigned any_frame(void)
{
	return (unsigned)rng_below(&test_rng, FRAMES);
}

/* One that is mapped, or not; there must be one. */
static unsigned any_that(bool is)
{
	unsigned i = any_frame();

	while (mapped[i] != is)
		i = (i + 1) % FRAMES;
	return i;
}

static unsigned fill(const char *clause, unsigned n)
{
	for (unsigned got = 0; got < n; got++) {
		unsigned i = any_that(false);

		map_or(clause, frames[i]);
		mapped[i] = true;
		frame_word_set(frames[i], job.seed ^ i);
	}
	return n;
}

static void empty(void)
{
	for (unsigned i = 0; i < FRAMES; i++)
		if (mapped[i])
			kmap_unmap(frames[i]);
	memset(mapped, 0, sizeof(mapped));
}

/* All that is mapped shows. */
static void look(const char *clause)
{
	for (unsigned i = 0; i < FRAMES; i++) {
		const uint64_t *window = mapped[i] ? kmap_address(frames[i]) : NULL;

		kept(clause, !mapped[i] || (window && *window == (job.seed ^ i)),
		     "a page that is mapped does not show");
	}
}

/* ---- exhaustion ---- */

void kmap_exactly_so_many(void)
{
	unsigned slots = slots_or_skip();

	frames_open();
	for (unsigned round = 0; round < effort(8); round++) {
		unsigned one;

		fill("KMAP-09", slots);
		kept("KMAP-09", !kmap_map(frames[any_that(false)]), "%u pages are mapped, and one more is served",
		     slots);
		one = any_that(true);
		map_or("KMAP-09", frames[one]);
		kmap_unmap(frames[one]);
		look("KMAP-09");
		/* Some go, in any sequence, and as many come. */
		for (unsigned n = (unsigned)rng_below(&test_rng, slots + 1); n; n--) {
			one = any_that(true);
			kmap_unmap(frames[one]);
			mapped[one] = false;
			if (n % 2)
				fill("KMAP-09", 1), n > 1 ? n-- : 0;
		}
		if (round % 2)
			shrink_now(~0ul);
		empty();
	}
	frames_close();
}

void kmap_served_after_unmap(void)
{
	unsigned slots = slots_or_skip();

	frames_open();
	fill("KMAP-10", slots);
	for (unsigned round = 0; round < effort(300); round++) {
		unsigned out = any_that(true), in = any_that(false);

		kept("KMAP-10", !kmap_map(frames[in]), "%u pages are mapped, and one more is served", slots);
		kept("KMAP-10", kmap_unmap(frames[out]), "the last unmap of a page did not free its slot");
		mapped[out] = false;
		/* The one that was just unmapped too. */
		in = round % 4 ? in : out;
		map_or("KMAP-10", frames[in]);
		mapped[in] = true;
		frame_word_set(frames[in], job.seed ^ in);
		if (round % 16 == 0)
			look("KMAP-10");
	}
	look("KMAP-10");
	empty();
	frames_close();
}

void kmap_unmap_tells(void)
{
	bool finite = kmap_finite();

	frames_open();
	for (unsigned round = 0; round < effort(200); round++) {
		struct page *page = frames[any_frame()];
		unsigned times = 1 + (unsigned)rng_below(&test_rng, 4);

		for (unsigned i = 0; i < times; i++)
			map_or("KMAP-11", page);
		for (unsigned left = times; left--;) {
			bool free = kmap_unmap(page);

			kept("KMAP-11", free == (finite && !left), "unmap returned %d with %u maps left, and slots %s",
			     free, left, finite ? "are counted" : "do not end");
		}
	}
	frames_close();
}

/* ---- cost ---- */

static uint64_t calls(void)
{
	return shim_counts().window_calls;
}

void kmap_again_is_free(void)
{
	unsigned slots = slots_or_skip();

	frames_open();
	/* Also with all the other slots in use, and whatever happened before. */
	for (unsigned round = 0; round < effort(100); round++) {
		struct page *page;
		uint64_t before;
		void *window;

		if (round % 4 == 0) {
			empty();
			fill("KMAP-12", (unsigned)rng_below(&test_rng, slots));
		}
		page = frames[any_that(false)];
		window = map_or("KMAP-12", page);
		before = calls();
		for (unsigned i = 0; i < 3; i++) {
			unsigned other = any_frame();

			kmap_unmap(page);
			/* What has a window moves nothing. */
			if (mapped[other]) {
				map_or("KMAP-12", frames[other]);
				kmap_unmap(frames[other]);
			}
			kept("KMAP-12", map_or("KMAP-12", page) == window, "a page mapped again at once is elsewhere");
		}
		kept("KMAP-12", calls() == before, "mapping a page again at once calls the host %llu times",
		     (unsigned long long)(calls() - before));
		look_at_window("KMAP-12", window, page);
		kmap_unmap(page);
	}
	empty();
	frames_close();
}

void kmap_working_set_is_free(void)
{
	unsigned slots = slots_or_skip();

	frames_open();
	for (unsigned round = 0; round < effort(6); round++) {
		unsigned first = (unsigned)rng_below(&test_rng, FRAMES - slots), known = 0;
		uint64_t before;
		bool seen[FRAMES] = { false };

		shrink_now(~0ul);
		before = calls();
		for (unsigned i = 0; i < 6 * slots; i++) {
			unsigned one = first + (unsigned)rng_below(&test_rng, slots);

			if (!mapped[one]) {
				map_or("KMAP-13", frames[one]);
				known += !seen[one];
				seen[one] = true;
			} else {
				kmap_unmap(frames[one]);
			}
			mapped[one] = !mapped[one];
			kept("KMAP-13", calls() - before <= known,
			     "%u pages of %u slots were mapped since a shrink, with %llu calls", known, slots,
			     (unsigned long long)(calls() - before));
		}
		empty();
	}
	frames_close();
}

/* ---- faults ---- */

void kmap_strict_faults(void)
{
	frames_open();
	for (unsigned round = 0; round < effort(100); round++) {
		unsigned index = round % kmap_limits().local_slots, cpu = round % nr_cpus();
		struct page *page = frames[any_frame()];
		void *window = map_or("KMAP-18", page), *local = kmap_map_local(cpu, index, page);

		map_or("KMAP-18", page);
		kmap_unmap(page);
		kept("KMAP-18", touchable(window) && touchable(local), "a window of a page that is mapped faults");
		kmap_unmap(page);
		kept("KMAP-18", !touchable(window), "the window %p can be touched after the last unmap", window);
		kept("KMAP-18", touchable(local), "a local window faults when another one of its page is unmapped");
		kmap_unmap_local(cpu, index);
		kept("KMAP-18", !touchable(local), "the local window %p can be touched after its unmap", local);
	}
	frames_close();
}

void kmap_shrink_unmaps(void)
{
	unsigned slots = slots_or_skip();

	frames_open();
	for (unsigned round = 0; round < effort(5); round++) {
		static void *windows[FRAMES];
		void *local = kmap_map_local(0, 0, frames[0]);

		fill("KMAP-19", slots);
		for (unsigned i = 0; i < FRAMES; i++) {
			windows[i] = mapped[i] ? kmap_address(frames[i]) : NULL;
			/* All of them, and then some. */
			if (mapped[i] && (!round || rng_below(&test_rng, 2))) {
				kmap_unmap(frames[i]);
				mapped[i] = false;
			}
		}
		shrink_now(~0ul);
		for (unsigned i = 0; i < FRAMES; i++) {
			kept("KMAP-19", !windows[i] || touchable(windows[i]) == mapped[i],
			     "after a shrink the window of a page that is %s",
			     mapped[i] ? "mapped faults" : "not mapped can be touched");
		}
		look("KMAP-19");
		look_at_window("KMAP-19", local, frames[0]);
		kmap_unmap_local(0, 0);
		empty();
	}
	frames_close();
}

/* ---- window_map fails ---- */

static void fails_once(unsigned one)
{
	uint64_t failed = shim_counts().failed;
	void *window;

	shim_fail_port(1);
	window = kmap_map(frames[one]);
	failed = shim_counts().failed - failed;
	shim_fail_port(0);
	kept("KMAP-20", window || failed, "map is refused, and nothing failed");
	if (window) {
		look_at_window("KMAP-20", window, frames[one]);
		kmap_unmap(frames[one]);
		return;
	}
	kept("KMAP-20", kmap_flat() || !kmap_address(frames[one]), "a page whose map failed has an address");
}

void kmap_failed_map(void)
{
	unsigned slots = kmap_finite() ? slots_or_skip() : 300;

	frames_open();
	for (unsigned round = 0; round < effort(20); round++) {
		unsigned one;

		fill("KMAP-20", (unsigned)rng_below(&test_rng, slots));
		for (unsigned i = 0; i < 10; i++) {
			one = any_that(false);
			fails_once(one);
			look_at_window("KMAP-20", map_or("KMAP-20", frames[one]), frames[one]);
			kmap_unmap(frames[one]);
		}
		look("KMAP-20");
		empty();
		for (unsigned i = 0; i < 2 * slots; i++)
			fails_once(any_that(false));
		fill("KMAP-20", slots);
		look("KMAP-20");
		empty();
	}
	frames_close();
}

void kmap_failed_map_local(void)
{
	frames_open();
	for (unsigned round = 0; round < effort(100); round++) {
		unsigned index = round % kmap_limits().local_slots, cpu = round % nr_cpus();
		struct page *page = frames[any_frame()], *next = frames[any_frame()];
		void *window = kmap_map_local(cpu, index, page);

		kept("KMAP-20", window, "map_local is refused");
		kmap_unmap_local(cpu, index);
		shim_fail_all(true);
		window = kmap_map_local(cpu, index, next);
		shim_fail_all(false);
		if (window)
			kmap_unmap_local(cpu, index);
		/* The one that it showed, and the one that failed. */
		for (unsigned i = 0; i < 2; i++) {
			window = kmap_map_local(cpu, index, i ? next : page);
			kept("KMAP-20", window, "map_local is refused after one that failed");
			look_at_window("KMAP-20", window, i ? next : page);
			kmap_unmap_local(cpu, index);
		}
	}
	kept("KMAP-20", !reports_total(), "a map_local that failed leads to a report");
	frames_close();
}

/* ---- misuse ---- */

static void misuse(const char *clause, struct page *page, const char *what)
{
	uint64_t before = reports(LOAM_REPORT_BAD_FREE), all = reports_total();
	struct loam_stat stat = stat_now(), after;

	kept(clause, !kmap_unmap(page), "unmap of a page that %s returned true", what);
	kept(clause, reports(LOAM_REPORT_BAD_FREE) == before + 1 && reports_total() == all + 1,
	     "unmap of a page that %s was reported %llu times", what, (unsigned long long)(reports_total() - all));
	after = stat_now();
	kept(clause, !memcmp(&stat, &after, sizeof(stat)), "unmap of a page that %s changed the counters", what);
	kept(clause, !kmap_address(page), "unmap of a page that %s gave it an address", what);
}

void kmap_stranger_is_reported(void)
{
	unsigned slots = slots_or_skip();

	reports_expected();
	frames_open();
	fill("KMAP-22", (unsigned)rng_below(&test_rng, slots - slots / 2));
	for (unsigned round = 0; round < effort(50); round++) {
		unsigned one = any_that(false);
		void *window;

		misuse("KMAP-22", frames[one], "is not mapped");
		window = map_or("KMAP-22", frames[one]);
		look_at_window("KMAP-22", window, frames[one]);
		kmap_unmap(frames[one]);
		misuse("KMAP-22", frames[one], "waits in its window");
		misuse("KMAP-22", frames[one], "waits in its window");
		map_or("KMAP-22", frames[one]);
		kept("KMAP-22", kmap_unmap(frames[one]), "a page that was mapped once is not unmapped by one unmap");
	}
	look("KMAP-22");
	empty();
	fill("KMAP-22", slots);
	kept("KMAP-22", !kmap_map(frames[any_that(false)]), "after misuse there are more slots than before");
	empty();
	frames_close();
}

void kmap_idle_local_is_reported(void)
{
	reports_expected();
	frames_open();
	for (unsigned round = 0; round < effort(50); round++) {
		unsigned index = (unsigned)rng_below(&test_rng, kmap_limits().local_slots), cpu = round % nr_cpus();
		uint64_t before = reports(LOAM_REPORT_BAD_FREE), all = reports_total();
		struct page *page = frames[any_frame()];
		struct loam_stat stat = stat_now(), after;
		void *window;

		kmap_unmap_local(cpu, index);
		kept("KMAP-23", reports(LOAM_REPORT_BAD_FREE) == before + 1 && reports_total() == all + 1,
		     "unmap_local of a slot that is not in use was reported %llu times",
		     (unsigned long long)(reports_total() - all));
		after = stat_now();
		kept("KMAP-23", !memcmp(&stat, &after, sizeof(stat)),
		     "unmap_local of a slot not in use changed the counters");
		window = kmap_map_local(cpu, index, page);
		kept("KMAP-23", window, "map_local is refused");
		look_at_window("KMAP-23", window, page);
		kmap_unmap_local(cpu, index);
		kept("KMAP-23", reports_total() == all + 1, "unmap_local of a slot in use was reported");
	}
	frames_close();
}
