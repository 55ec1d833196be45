/* SPDX-License-Identifier: MIT */
/* vmap.c: the suite of the role vmap, and the tests of what an area is: its frames, its place, what is told of it. */
#include "vmap-tests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- for the general tests ---- */

/** A block of theirs: an area of frames of its own. */
struct record {
	struct loam_vmap_area *area;
	unsigned long nr;
	struct page *pages[8];
};

static bool give_frames(struct record *record)
{
	for (unsigned long i = 0; i < record->nr; i++)
		loam__pages_free(&loam__machine.frames, record->pages[i], 0);
	free(record);
	return false;
}

static bool take(struct held *held, unsigned i, gfp_t gfp)
{
	static const unsigned char sizes[] = { 1, 1, 2, 1, 1, 4, 1, 1, 3, 1, 7 };
	unsigned long nr = sizes[i % LOAM_LEN(sizes)];
	size_t align = i % 5 ? PAGE : PAGE << i % 7;
	struct record *record = calloc(1, sizeof(*record));

	(void)gfp;
	if (!record)
		trouble("no memory");
	for (; record->nr < nr; record->nr++) {
		struct page *page = loam__pages_alloc(&loam__machine.frames,
						      GFP_ATOMIC | __GFP_HIGHMEM | __GFP_MEMALLOC | __GFP_NOWARN, 0, 0);

		if (!page)
			return give_frames(record);
		record->pages[record->nr] = page;
	}
	if (vmap_map(record->pages, nr, align, true, &record->area))
		return give_frames(record);
	*held = (struct held){ .ptr = record->area->addr, .bytes = nr * PAGE, .seed = job.seed + i, .own = record };
	pattern_write(held->ptr, held->bytes, held->seed);
	return true;
}

static void give(struct held *held)
{
	struct record *record = held->own;

	vmap_unmap(record->area);
	give_frames(record);
}

/* ---- results ---- */

static void pages_show_frames(void)
{
	struct area areas[40] = { 0 };

	vmap_begin();
	for (unsigned i = 0; i < effort(200); i++) {
		struct area *area = &areas[rng_below(&test_rng, LOAM_LEN(areas))];

		if (area->pub) {
			vmap_area_look(area, "VMAP-01");
			vmap_area_give(area);
		} else {
			vmap_area_take(area, rng_size(&test_rng, 30), PAGE, rng_below(&test_rng, 4));
		}
	}
	for (unsigned i = 0; i < LOAM_LEN(areas); i++)
		if (areas[i].pub)
			vmap_area_look(&areas[i], "VMAP-01");
	vmap_areas_give(areas, LOAM_LEN(areas));
	vmap_end();
}

/* Frames in a pattern: up, down, the same, every other, by chance; then an area of the same frames in another order. */
static void draw_frames(struct page **out, unsigned n, struct page *run, unsigned way)
{
	for (unsigned i = 0; i < n; i++)
		out[i] = run + (way == 0   ? i
				: way == 1 ? n - 1 - i
				: way == 2 ? 3
				: way == 3 ? i / 2
				: way == 4 ? i ^ 1
					   : rng_below(&test_rng, n));
}

static void any_frames_will_do(void)
{
	struct page *run, *pages[32];

	vmap_begin();
	for (unsigned round = 0; round < effort(12); round++) {
		gfp_t gfp = round % 2 ? GFP_KERNEL : GFP_HIGHUSER;
		struct area areas[6] = { 0 };

		run = loam__pages_alloc(&loam__machine.frames, gfp, 5, 0);
		if (!run)
			trouble("no run of frames");
		for (unsigned i = 0; i < 32; i++)
			vmap_frame_words(run + i)[0] = vmap_frame_words(run + i)[PAGE / 8 - 1] = rng_next(&test_rng);
		for (unsigned way = 0; way < LOAM_LEN(areas); way++) {
			draw_frames(pages, 32, run, way);
			vmap_area_map(&areas[way], pages, 32, PAGE, way % 2);
			memset(pages, 0xff, sizeof(pages));
		}
		for (unsigned way = 0; way < LOAM_LEN(areas); way++)
			if (areas[way].pub)
				vmap_area_look(&areas[way], "VMAP-02");
		vmap_areas_give(areas, LOAM_LEN(areas));
		loam__pages_free(&loam__machine.frames, run, 5);
	}
	vmap_end();
}

static void come_or_go(struct area *area, size_t pages)
{
	if (area->pub)
		vmap_area_give(area);
	else
		vmap_area_take(area, rng_size(&test_rng, pages), PAGE, true);
}

/* Many at once, of sizes that leave holes: the model finds those that meet. */
static void areas_are_apart(void)
{
	struct area areas[100] = { 0 };

	vmap_small_up(150);
	for (unsigned i = 0; i < effort(1500); i++)
		come_or_go(&areas[rng_below(&test_rng, LOAM_LEN(areas))], 9);
	vmap_areas_give(areas, LOAM_LEN(areas));
	vmap_small_down();
}

static void range_is_constant(void)
{
	char *start, *end, *start2, *end2;
	const char *base = loam__machine.map.base;
	struct area area;

	vmap_begin();
	vmap_range(&start, &end);
	kept("VMAP-04", start && start < end && !((uintptr_t)start % PAGE) && !((uintptr_t)end % PAGE),
	     "the range is %p to %p", (void *)start, (void *)end);
	kept("VMAP-04", end <= base || start >= base + (loam__machine.map.nr_pages << LOAM_PAGE_SHIFT),
	     "the range %p to %p meets the machine's memory", (void *)start, (void *)end);
	for (unsigned i = 0; i < 50; i++) {
		if (vmap_area_take(&area, 1 + i, PAGE, true))
			vmap_area_give(&area);
		vmap_range(&start2, &end2);
		kept("VMAP-04", start2 == start && end2 == end, "the range was %p to %p, and is %p to %p now",
		     (void *)start, (void *)end, (void *)start2, (void *)end2);
	}
	vmap_end();
}

/* Taken as an area of the frames that it shows, so that the model has it. */
static void look_phys(unsigned long pfn, unsigned long nr)
{
	volatile uint64_t *word;
	struct loam_vmap_area *area;
	int error = vmap_map_phys((uint64_t)pfn << LOAM_PAGE_SHIFT, nr, PAGE, &area);

	kept("VMAP-05", !error, "map_phys of %lu frames from %lu on returns %d", nr, pfn, error);
	kept("VMAP-05", area->nr_pages == nr && vmap_find(area->addr) == area, "map_phys of %lu frames gives %lu", nr,
	     area->nr_pages);
	for (unsigned long i = 0; i < nr; i++) {
		uint64_t *there = vmap_frame_words(loam__machine.map.pages + pfn + i), old = *there;

		word = (uint64_t *)(area->addr + i * PAGE);
		kept("VMAP-05", !vmap_faults((const void *)word, true), "page %lu of map_phys faults", i);
		*word = old ^ 0x5a5a;
		kept("VMAP-05", *there == (old ^ 0x5a5a), "page %lu of map_phys from %lu on shows another frame", i,
		     pfn);
		*word = old;
	}
	kept("VMAP-09", vmap_faults(area->addr + nr * PAGE, false), "the guard page of map_phys does not fault");
	vmap_unmap(area);
}

static void phys_beyond(unsigned long pfn, unsigned long nr)
{
	uint64_t failures = stat_now().failures;
	struct loam_vmap_area *area;
	int error = vmap_map_phys((uint64_t)pfn << LOAM_PAGE_SHIFT, nr, PAGE, &area);

	kept("VMAP-05", error == -EINVAL, "map_phys of %lu frames from %lu on, of %lu, returns %d", nr, pfn,
	     loam__machine.map.nr_pages, error);
	kept("VMAP-05", stat_now().failures == failures + 1, "map_phys was refused, and failures grew by %llu",
	     (unsigned long long)(stat_now().failures - failures));
}

static void phys_shows_memory(void)
{
	unsigned long all = loam__machine.map.nr_pages;

	vmap_begin();
	look_phys(0, 1);
	look_phys(all - 1, 1);
	look_phys(all - 50, 50);
	for (unsigned i = 0; i < effort(20); i++)
		look_phys(rng_below(&test_rng, all - 40), 1 + rng_below(&test_rng, 40));
	phys_beyond(all, 1);
	phys_beyond(all - 3, 4);
	phys_beyond(1ul << 50, 1);
	vmap_look_counters();
	vmap_end();
}

static void aligned_from_address_0(void)
{
	struct area areas[64] = { 0 };
	char *start, *end;

	vmap_begin();
	vmap_range(&start, &end);
	for (unsigned i = 0; i < effort(300); i++) {
		struct area *area = &areas[rng_below(&test_rng, LOAM_LEN(areas))];
		size_t align = PAGE << rng_below(&test_rng, 18);

		if (area->pub) {
			vmap_area_give(area);
			continue;
		}
		/* With room for two such steps there is a place, unless others lie in it. */
		vmap_area_take(area, rng_size(&test_rng, 5), align, true);
		kept("VMAP-06", area->pub || align > (size_t)(end - start) / 256, "an area aligned to %#zx is refused",
		     align);
	}
	vmap_areas_give(areas, LOAM_LEN(areas));
	for (size_t align = PAGE; align && align < (size_t)(end - start) / 2; align *= 2) {
		kept("VMAP-06", vmap_area_take(&areas[0], 1, align, true),
		     "an area aligned to %#zx is refused in an empty range", align);
		vmap_area_give(&areas[0]);
	}
	vmap_end();
}

/* ---- introspection ---- */

static void find_answers_for_all_addresses(void)
{
	struct area areas[30] = { 0 };
	char *start, *end;
	int local;

	vmap_small_up(150);
	vmap_range(&start, &end);
	for (unsigned i = 0; i < effort(60); i++) {
		come_or_go(&areas[rng_below(&test_rng, LOAM_LEN(areas))], 20);
		vmap_look_range("VMAP-23", false);
		kept("VMAP-23",
		     !vmap_find(start - 1) && !vmap_find(end) && !vmap_find(NULL) && !vmap_find(&local) &&
			     !vmap_find((void *)-1l) && !vmap_find(loam__machine.map.base),
		     "find leads from an address outside of the range to an area");
	}
	vmap_areas_give(areas, LOAM_LEN(areas));
	vmap_look_range("VMAP-23", false);
	vmap_small_down();
}

static void counters_agree(void)
{
	struct area areas[50] = { 0 };

	vmap_begin();
	for (unsigned i = 0; i < effort(60); i++) {
		come_or_go(&areas[rng_below(&test_rng, LOAM_LEN(areas))], 20);
		vmap_look_counters();
	}
	vmap_areas_give(areas, LOAM_LEN(areas));
	vmap_look_counters();
	vmap_end();
}

static void random_sequences(void)
{
	sequence_test(&vmap_sequence, 300);
}

/* ---- the suite ---- */

static const struct capability capabilities[] = {
	{ "LAZY", vmap_have_lazy },
	{ "SIZE", vmap_have_size },
	{ "WALK", vmap_have_walk },
	{ NULL, NULL },
};

static const struct test tests[] = {
	{ "pages-show-frames", "VMAP-01", pages_show_frames, EXAMPLE, MEMFD, 0 },
	{ "any-frames-will-do", "VMAP-02", any_frames_will_do, EXAMPLE, MEMFD, 0 },
	{ "areas-are-apart", "VMAP-03 VMAP-14", areas_are_apart, EXAMPLE, NO_MACHINE, 0 },
	{ "range-is-constant", "VMAP-04", range_is_constant, EXAMPLE, MEMFD, 0 },
	{ "phys-shows-memory", "VMAP-05 VMAP-09", phys_shows_memory, EXAMPLE, MEMFD, 0 },
	{ "aligned-from-address-0", "VMAP-06", aligned_from_address_0, EXAMPLE, MEMFD, 0 },
	{ "frames-are-not-touched", "VMAP-07", vmap_frames_untouched, EXAMPLE, MEMFD, 0 },
	{ "read-only-is-read-only", "VMAP-08", vmap_read_only, EXAMPLE, MEMFD, 0 },
	{ "guard-pages-fault", "VMAP-09", vmap_guard_pages, EXAMPLE, MEMFD, 0 },
	{ "unmapped-faults", "VMAP-10", vmap_unmapped_faults, EXAMPLE, MEMFD, 0 },
	{ "no-stale-view", "VMAP-11", vmap_no_stale_view, EXAMPLE, NO_MACHINE, 0 },
	{ "frames-are-free-at-once", "VMAP-12", vmap_frames_free_at_once, EXAMPLE, MEMFD, 0 },
	{ "addresses-do-not-wear-out", "VMAP-13", vmap_addresses_do_not_wear_out, EXHAUSTION, NO_MACHINE, 0 },
	{ "filled-to-the-last-page", "VMAP-14", vmap_filled_to_the_last_page, EXHAUSTION, NO_MACHINE, 0 },
	{ "too-large-is-refused", "VMAP-15 VMAP-16", vmap_too_large, EXHAUSTION, MEMFD, 0 },
	{ "refusals-change-nothing", "VMAP-16", vmap_refusals_change_nothing, FAULT, NO_MACHINE, 0 },
	{ "a-call-for-each-run", "VMAP-17", vmap_calls, EXAMPLE, MEMFD, 0 },
	{ "lazy-areas-cost-few-calls", "VMAP-18", vmap_lazy_calls, EXAMPLE, MEMFD, 0 },
	{ "unmap-needs-nothing", "VMAP-19", vmap_without_host, FAULT, MEMFD, 0 },
	{ "threads-map-and-unmap", "VMAP-20", vmap_threads, THREADS, NO_MACHINE, 0 },
	{ "areas-are-handed-over", "VMAP-21", vmap_handed_over, THREADS, MEMFD, 0 },
	{ "flush-beside-others", "VMAP-22", vmap_flush_beside, THREADS, MEMFD, 0 },
	{ "find-answers-for-all-addresses", "VMAP-23", find_answers_for_all_addresses, INTROSPECTION, NO_MACHINE, 0 },
	{ "counters-agree-with-the-model", "VMAP-24 VMAP-25", counters_agree, INTROSPECTION, MEMFD, 0 },
	{ "walk-agrees-with-the-model", "VMAP-25", counters_agree, INTROSPECTION, MEMFD, 0 },
	{ "random-sequences", "VMAP-14 VMAP-03 VMAP-11 VMAP-23 VMAP-24 VMAP-25", random_sequences, MODEL, NO_MACHINE,
	  0 },
};

static const struct suite suite = {
	.role = LOAM_ROLE_VMAP,
	.name = "vmap",
	.slow = true,
	TESTS(tests),
	.capabilities = capabilities,
	.take = take,
	.give = give,
	.sequence = &vmap_sequence,
};
SUITE(suite);
