/* SPDX-License-Identifier: MIT */
/* kmap.c: the suite of the role kmap, its calls and frames, and the tests of what a window is, of limits and of counters. */
#include "kmap-tests.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- frames ---- */

struct page *frames[FRAMES];

void frames_open(void)
{
	for (unsigned i = 0; i < FRAMES; i++) {
		frames[i] = loam__pages_alloc(&loam__machine.frames, GFP_HIGHUSER, 0, 0);
		if (!frames[i] || loam_page_ptr(&loam__machine.map, frames[i]))
			trouble("the machine has no %u frames of high memory", FRAMES);
	}
}

void frames_close(void)
{
	for (unsigned i = 0; i < FRAMES; i++)
		loam__pages_free(&loam__machine.frames, frames[i], 0);
}

/* By the file behind the memory: no mapping of ours is needed. */
static off_t place_of(const struct page *page)
{
	return (off_t)(loam_page_pfn(&loam__machine.map, page) << LOAM_PAGE_SHIFT);
}

uint64_t frame_word(const struct page *page)
{
	uint64_t word;

	if (pread(loam__machine.memfd, &word, sizeof(word), place_of(page)) != sizeof(word))
		trouble("a frame cannot be read");
	return word;
}

void frame_word_set(const struct page *page, uint64_t word)
{
	if (pwrite(loam__machine.memfd, &word, sizeof(word), place_of(page)) != sizeof(word))
		trouble("a frame cannot be written");
}

/* ---- calls ---- */

static const struct loam_link *kmap_link(void)
{
	return &subject->links[LOAM_ROLE_KMAP];
}

static const struct loam_kmap_ops *ops(void)
{
	return kmap_link()->ops;
}

static unsigned long number(const struct page *page)
{
	return loam_page_pfn(&loam__machine.map, page);
}

void *kmap_map(struct page *page)
{
	void *window;

	op_enter("map(frame %lu)", number(page));
	window = ops()->map(kmap_link()->inst, page);
	op_leave();
	return window;
}

bool kmap_unmap(struct page *page)
{
	bool free;

	op_enter("unmap(frame %lu)", number(page));
	free = ops()->unmap(kmap_link()->inst, page);
	op_leave();
	return free;
}

void *kmap_address(struct page *page)
{
	void *window;

	op_enter("address(frame %lu)", number(page));
	window = ops()->address(kmap_link()->inst, page);
	op_leave();
	return window;
}

void *kmap_map_local(unsigned cpu, unsigned index, struct page *page)
{
	void *window;

	op_enter("map_local(cpu %u, index %u, frame %lu)", cpu, index, number(page));
	window = ops()->map_local(kmap_link()->inst, cpu, index, page);
	op_leave();
	return window;
}

void kmap_unmap_local(unsigned cpu, unsigned index)
{
	op_enter("unmap_local(cpu %u, index %u)", cpu, index);
	ops()->unmap_local(kmap_link()->inst, cpu, index);
	op_leave();
}

struct loam_kmap_limits kmap_limits(void)
{
	struct loam_kmap_limits limits = { .size = sizeof(limits) };

	op_enter("limits(kmap)");
	ops()->limits(kmap_link()->inst, &limits);
	op_leave();
	return limits;
}

unsigned nr_cpus(void)
{
	return loam__machine.host.nr_cpus;
}

void *map_or(const char *clause, struct page *page)
{
	void *window = kmap_map(page);

	kept(clause, window, "map of frame %lu is refused", number(page));
	return window;
}

void look_at_window(const char *clause, void *window, const struct page *page)
{
	uint64_t *word = window, old = frame_word(page);

	kept(clause, window && !((uintptr_t)window & (LOAM_PAGE_SIZE - 1)), "%p is no window", window);
	kept(clause, touchable(window), "the window %p of frame %lu faults", window, number(page));
	kept(clause, *(volatile uint64_t *)word == old, "the window %p does not show frame %lu", window, number(page));
	*(volatile uint64_t *)word = ~old;
	kept(clause, frame_word(page) == ~old, "what is written to the window %p is not in frame %lu", window,
	     number(page));
	frame_word_set(page, old);
	kept(clause, *(volatile uint64_t *)word == old, "what is written to frame %lu is not seen in its window %p",
	     number(page), window);
}

/* The system says of an address that faults that it is bad, in place of a signal. */
bool touchable(const void *address)
{
	int ends[2];
	bool good;

	if (pipe(ends))
		trouble("no pipe");
	good = write(ends[1], address, 1) == 1;
	close(ends[0]);
	close(ends[1]);
	return good;
}

unsigned slots_or_skip(void)
{
	unsigned slots = kmap_limits().slots;

	if (slots > FRAMES - 100)
		skip("there are %u slots, and the test has %d frames", slots, FRAMES);
	return slots;
}

bool kmap_finite(void)
{
	return kmap_limits().slots != LOAM_KMAP_NO_END;
}

bool kmap_lazy(void)
{
	return kmap_limits().caps & LOAM_KMAP_LAZY;
}

bool kmap_strict(void)
{
	return kmap_limits().caps & LOAM_KMAP_STRICT;
}

bool kmap_flat(void)
{
	return kmap_limits().caps & LOAM_KMAP_FLAT;
}

/* ---- for the general tests: a block is one map of a page, and several may be of the same page, so contents are the page's ---- */

static bool open_frames(void)
{
	frames_open();
	return true;
}

static bool take(struct held *held, unsigned i, gfp_t gfp)
{
	struct page *page = frames[i * 2654435761u % FRAMES];
	void *window = kmap_map(page);

	(void)gfp;
	if (!window)
		return false;
	*held = (struct held){ .ptr = window, .bytes = LOAM_PAGE_SIZE, .seed = job.seed + number(page) };
	pattern_write(window, LOAM_PAGE_SIZE, held->seed);
	return true;
}

static void give(struct held *held)
{
	kmap_unmap(loam__machine.map.pages + (held->seed - job.seed));
}

/* ---- results ---- */

static void map_shows_the_frame(void)
{
	frames_open();
	for (unsigned i = 0; i < effort(200); i++) {
		struct page *page = frames[rng_below(&test_rng, FRAMES)];
		char *window = map_or("KMAP-01", page);

		look_at_window("KMAP-01", window, page);
		pattern_write(window, LOAM_PAGE_SIZE, job.seed + i);
		kept("KMAP-01", frame_check(page, 0, job.seed + i),
		     "a page that was written to window %p is not in frame %lu", (void *)window, number(page));
		frame_write(page, 0, job.seed - i - 1);
		kept("KMAP-01", pattern_check(window, LOAM_PAGE_SIZE, job.seed - i - 1, NULL),
		     "a page that was written to frame %lu is not seen at %p", number(page), (void *)window);
		kmap_unmap(page);
	}
	frames_close();
}

static void maps_count(void)
{
	unsigned most = kmap_finite() ? slots_or_skip() : 200;

	frames_open();
	for (unsigned round = 0; round < effort(20); round++) {
		struct page *page = frames[rng_below(&test_rng, FRAMES)];
		unsigned times = 2 + (unsigned)rng_below(&test_rng, 300), others = 0;
		void *window = map_or("KMAP-02", page);

		for (unsigned i = 1; i < times; i++)
			kept("KMAP-02", kmap_map(page) == window, "map number %u of a page is not at %p, as the first",
			     i + 1, window);
		/* All that others can have they take, but the window stays until the last unmap. */
		for (; times > 1; times--)
			kmap_unmap(page);
		for (unsigned i = 0; others + 1 < most && i < FRAMES; i++)
			if (frames[i] != page)
				others++, map_or("KMAP-02", frames[i]);
		shrink_now(~0ul);
		look_at_window("KMAP-02", window, page);
		kept("KMAP-02", kmap_map(page) == window, "a page is mapped once, and the next map is elsewhere");
		kmap_unmap(page);
		look_at_window("KMAP-02", window, page);
		for (unsigned i = 0; others; i++)
			if (frames[i] != page)
				others--, kmap_unmap(frames[i]);
		kmap_unmap(page);
	}
	frames_close();
}

/* As many as can be at once, after some were mapped and unmapped; each has its own word to be told by. */
static void windows_are_apart(void)
{
	unsigned most = kmap_finite() ? slots_or_skip() : FRAMES;

	frames_open();
	for (unsigned i = 0; i < FRAMES; i++)
		frame_word_set(frames[i], job.seed + i);
	for (unsigned round = 0; round < effort(5); round++) {
		unsigned first = (unsigned)rng_below(&test_rng, FRAMES - most + 1);

		for (unsigned i = 0; i < most; i++)
			map_or("KMAP-03", frames[first + i]);
		for (unsigned i = 0; i < most; i++) {
			const uint64_t *window = kmap_address(frames[first + i]);

			kept("KMAP-03", window && *window == job.seed + first + i,
			     "%u pages are mapped, and the window of number %u shows another one", most, i);
		}
		for (unsigned i = 0; i < most; i++)
			kmap_unmap(frames[first + i]);
	}
	frames_close();
}

struct asked {
	struct page *page;
	void *address;
};

static void ask(void *arg)
{
	struct asked *asked = arg;

	asked->address = kmap_address(asked->page);
}

static void address_of_what_is_mapped(void)
{
	frames_open();
	for (unsigned i = 0; i < effort(100); i++) {
		struct asked asked = { frames[rng_below(&test_rng, FRAMES)], NULL };
		void *window = map_or("KMAP-04", asked.page);
		uint64_t calls = shim_counts().window_calls;

		kept("KMAP-04", kmap_address(asked.page) == window, "address is not what map returned");
		map_or("KMAP-04", asked.page);
		kmap_unmap(asked.page);
		kept("KMAP-04", kmap_address(asked.page) == window,
		     "a page is mapped once yet, and address is another");
		thread_once(ask, &asked);
		kept("KMAP-04", asked.address == window, "address is %p in another thread, not %p", asked.address,
		     window);
		kept("KMAP-04", shim_counts().window_calls == calls, "address calls the host");
		kmap_unmap(asked.page);
	}
	frames_close();
}

static void no_address_of_what_is_not(void)
{
	frames_open();
	for (unsigned i = 0; i < FRAMES; i++)
		kept("KMAP-05", !kmap_address(frames[i]), "a page that never was mapped has an address");
	for (unsigned i = 0; i < FRAMES; i++) {
		map_or("KMAP-05", frames[i]);
		map_or("KMAP-05", frames[i]);
		kmap_unmap(frames[i]);
		kmap_unmap(frames[i]);
		kept("KMAP-05", !kmap_address(frames[i]), "a page was unmapped as often as mapped, and has an address");
	}
	for (unsigned i = 0; i < FRAMES; i++)
		kept("KMAP-05", !kmap_address(frames[i]), "pages were mapped and unmapped, and one has an address");
	frames_close();
}

static void one_address_for_ever(void)
{
	frames_open();
	for (unsigned i = 0; i < FRAMES; i++) {
		void *address = kmap_address(frames[i]);

		look_at_window("KMAP-06", address, frames[i]);
		kept("KMAP-06", map_or("KMAP-06", frames[i]) == address, "map is not at the page's address");
		kept("KMAP-06", kmap_map_local(i % nr_cpus(), 0, frames[i]) == address,
		     "map_local is not at its address");
		kmap_unmap_local(i % nr_cpus(), 0);
		kmap_unmap(frames[i]);
		kept("KMAP-06", kmap_address(frames[i]) == address, "the address of a page is another after its unmap");
		look_at_window("KMAP-06", address, frames[i]);
	}
	frames_close();
}

/* ---- contents ---- */

static void contents_survive(void)
{
	frames_open();
	for (unsigned i = 0; i < FRAMES; i++)
		frame_write(frames[i], 0, job.seed + i);
	for (unsigned i = 0; i < 3 * FRAMES; i++) {
		struct page *page = frames[rng_below(&test_rng, FRAMES)];
		unsigned index = i % kmap_limits().local_slots, cpu = i % nr_cpus();

		map_or("KMAP-07", page);
		kept("KMAP-07", kmap_map_local(cpu, index, page), "map_local is refused");
		kmap_unmap_local(cpu, index);
		kmap_unmap(page);
		if (i % 500 == 0)
			shrink_now(~0ul);
	}
	for (unsigned i = 0; i < FRAMES; i++)
		kept("KMAP-07", frame_check(frames[i], 0, job.seed + i), "the contents of frame %lu have changed",
		     number(frames[i]));
	frames_close();
}

/* ---- limits ---- */

static void look_limits(const struct loam_kmap_limits *first)
{
	struct loam_kmap_limits now = kmap_limits();

	kept("KMAP-08", now.slots && now.local_slots, "limits are %u slots and %u local ones", now.slots,
	     now.local_slots);
	kept("KMAP-08", now.slots == first->slots && now.local_slots == first->local_slots && now.caps == first->caps,
	     "limits were %u and %u, caps %#x; they are %u and %u, caps %#x", first->slots, first->local_slots,
	     first->caps, now.slots, now.local_slots, now.caps);
}

static void limits_are_constant(void)
{
	struct loam_kmap_limits first = kmap_limits();
	unsigned got = 0;

	frames_open();
	look_limits(&first);
	for (; got < FRAMES && kmap_map(frames[got]); got++)
		if (got % 50 == 0)
			look_limits(&first);
	look_limits(&first);
	kmap_map_local(0, 0, frames[0]);
	look_limits(&first);
	kmap_unmap_local(0, 0);
	while (got--)
		kmap_unmap(frames[got]);
	look_limits(&first);
	shrink_now(~0ul);
	look_limits(&first);
	frames_close();
}

/* ---- counters ---- */

static void look_counters(uint64_t live, uint64_t failures, const char *when)
{
	struct loam_stat stat = stat_now();

	kept("KMAP-24", stat.live_blocks == live && stat.live_bytes == live << LOAM_PAGE_SHIFT,
	     "%s: %llu live blocks, %llu bytes; %llu maps are live", when, (unsigned long long)stat.live_blocks,
	     (unsigned long long)stat.live_bytes, (unsigned long long)live);
	kept("KMAP-24", stat.failures == failures, "%s: failures is %llu; %llu maps were refused", when,
	     (unsigned long long)stat.failures, (unsigned long long)failures);
}

static void counters_agree(void)
{
	uint64_t live = 0, failed = 0;
	unsigned got = 0;

	frames_open();
	look_counters(0, 0, "at the beginning");
	for (; got < FRAMES && kmap_map(frames[got]); got++)
		live++;
	failed += got < FRAMES;
	look_counters(live, failed, "all slots in use");
	for (unsigned i = 0; i < got; i += 3)
		live += kmap_map(frames[i]) != NULL;
	look_counters(live, failed, "some mapped twice");
	for (unsigned i = 0; i < nr_cpus() && i < 4; i++)
		live += kmap_map_local(i, 0, frames[i]) != NULL;
	look_counters(live, failed, "with local slots");
	for (unsigned i = 0; i < nr_cpus() && i < 4; i++)
		kmap_unmap_local(i, 0), live--;
	look_counters(live, failed, "local slots in use no more");
	shim_fail_all(true);
	if (kmap_map_local(0, 0, frames[900]))
		kmap_unmap_local(0, 0);
	else
		failed++;
	shim_fail_all(false);
	look_counters(live, failed, "after a map_local that may fail");
	for (unsigned i = 0; i < got; i += 3)
		kmap_unmap(frames[i]), live--;
	look_counters(live, failed, "some unmapped");
	while (got--)
		kmap_unmap(frames[got]), live--;
	look_counters(0, failed, "at the end");
	frames_close();
}

static void random_sequences(void)
{
	sequence_test(&kmap_sequence, 400);
}

/* ---- the suite ---- */

static const struct capability capabilities[] = {
	{ "FINITE", kmap_finite }, { "LAZY", kmap_lazy }, { "STRICT", kmap_strict },
	{ "FLAT", kmap_flat },     { NULL, NULL },
};

static const struct test tests[] = {
	{ "map-shows-the-frame", "KMAP-01", map_shows_the_frame, EXAMPLE, 0, 0 },
	{ "maps-of-a-page-count", "KMAP-02", maps_count, EXAMPLE, 0, 0 },
	{ "windows-are-apart", "KMAP-03", windows_are_apart, EXAMPLE, 0, 0 },
	{ "address-of-what-is-mapped", "KMAP-04", address_of_what_is_mapped, EXAMPLE, 0, 0 },
	{ "no-address-of-what-is-not", "KMAP-05", no_address_of_what_is_not, EXAMPLE, 0, 0 },
	{ "one-address-for-ever", "KMAP-06", one_address_for_ever, EXAMPLE, 0, 0 },
	{ "contents-survive", "KMAP-07", contents_survive, EXAMPLE, 0, 0 },
	{ "limits-are-constant", "KMAP-08", limits_are_constant, EXAMPLE, 0, 0 },
	{ "exactly-so-many-slots", "KMAP-09", kmap_exactly_so_many, EXHAUSTION, 0, 0 },
	{ "served-after-an-unmap", "KMAP-10", kmap_served_after_unmap, EXHAUSTION, 0, 0 },
	{ "unmap-tells-of-a-free-slot", "KMAP-11", kmap_unmap_tells, EXAMPLE, 0, 0 },
	{ "mapped-again-costs-nothing", "KMAP-12", kmap_again_is_free, EXAMPLE, 0, 0 },
	{ "a-working-set-costs-nothing", "KMAP-13", kmap_working_set_is_free, EXAMPLE, 0, 0 },
	{ "local-slots-take-no-lock", "KMAP-14", kmap_local_takes_no_lock, EXAMPLE, 0, 0 },
	{ "local-slots-show-their-page", "KMAP-15", kmap_local_shows, EXAMPLE, 0, 0 },
	{ "local-slots-have-addresses", "KMAP-16", kmap_local_addresses, EXAMPLE, 0, 0 },
	{ "local-slots-are-apart", "KMAP-17", kmap_local_apart, EXAMPLE, 0, 0 },
	{ "local-slots-of-cpus-at-once", "KMAP-17", kmap_local_cpus_at_once, THREADS, 0, 0 },
	{ "what-is-not-mapped-faults", "KMAP-18", kmap_strict_faults, HOSTILE, 0, 0 },
	{ "shrink-unmaps-what-waits", "KMAP-19", kmap_shrink_unmaps, HOSTILE, 0, 0 },
	{ "a-map-that-fails-changes-nothing", "KMAP-20", kmap_failed_map, FAULT, 0, 0 },
	{ "a-map-local-that-fails-changes-nothing", "KMAP-20", kmap_failed_map_local, FAULT, 0, 0 },
	{ "threads-share-pages", "KMAP-21", kmap_threads, THREADS, 0, 0 },
	{ "unmap-of-a-stranger-is-reported", "KMAP-22", kmap_stranger_is_reported, HOSTILE, 0, 0 },
	{ "unmap-of-an-idle-slot-is-reported", "KMAP-23", kmap_idle_local_is_reported, HOSTILE, 0, 0 },
	{ "counters-count-maps", "KMAP-24", counters_agree, INTROSPECTION, 0, 0 },
	{ "random-sequences", "KMAP-01 KMAP-02 KMAP-04 KMAP-11 KMAP-24", random_sequences, MODEL, NO_MACHINE, 0 },
};

static const struct suite suite = {
	.role = LOAM_ROLE_KMAP,
	.name = "kmap",
	.slow = true,
	TESTS(tests),
	.capabilities = capabilities,
	.open = open_frames,
	.close = frames_close,
	.take = take,
	.give = give,
	.sequence = &kmap_sequence,
};
SUITE(suite);
