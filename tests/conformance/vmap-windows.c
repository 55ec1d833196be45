/* SPDX-License-Identifier: MIT */
/* vmap-windows.c: the tests of guard pages, contents, unmapping, and of a range that is full. */
#include "vmap-tests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Areas come and go by chance, so that old mappings and old records lie everywhere. */
static void churn(struct area *areas, unsigned n, unsigned steps, unsigned long most)
{
	while (steps--) {
		struct area *area = &areas[rng_below(&test_rng, n)];

		if (area->pub)
			vmap_area_give(area);
		else
			vmap_area_take(area, rng_size(&test_rng, most), PAGE, true);
	}
}

/* ---- contents ---- */

#define FRAMES 40

static void look_untouched(struct page *const *pages, const struct page *words)
{
	for (unsigned i = 0; i < FRAMES; i++) {
		unsigned long pfn = loam_page_pfn(&loam__machine.map, pages[i]);

		kept("VMAP-07", pattern_check(vmap_frame_words(pages[i]), PAGE, pfn, NULL),
		     "the contents of frame %lu were overwritten", pfn);
		kept("VMAP-07", !memcmp(pages[i], &words[i], sizeof(words[i])),
		     "the struct page of frame %lu was written to", pfn);
	}
}

void vmap_frames_untouched(void)
{
	struct page *pages[FRAMES], words[FRAMES];
	struct area areas[8] = { 0 }, others[8] = { 0 };

	vmap_begin();
	for (unsigned i = 0; i < FRAMES; i++) {
		pages[i] = vmap_frame_take();
		pages[i]->index = 77 + i;
		pages[i]->priv = 99 + i;
		words[i] = *pages[i];
		pattern_write(vmap_frame_words(pages[i]), PAGE, loam_page_pfn(&loam__machine.map, pages[i]));
	}
	for (unsigned round = 0; round < effort(10); round++) {
		for (unsigned i = 0; i < LOAM_LEN(areas); i++)
			vmap_area_map(&areas[i], pages + i, FRAMES - LOAM_LEN(areas), PAGE, i % 2);
		look_untouched(pages, words);
		churn(others, LOAM_LEN(others), 30, 9);
		vmap_areas_give(areas, LOAM_LEN(areas));
		look_untouched(pages, words);
		vmap_flush();
		look_untouched(pages, words);
	}
	vmap_areas_give(others, LOAM_LEN(others));
	for (unsigned i = 0; i < FRAMES; i++)
		vmap_frame_put(pages[i]);
	vmap_end();
}

void vmap_read_only(void)
{
	struct area areas[20] = { 0 }, others[20] = { 0 };

	vmap_begin();
	for (unsigned round = 0; round < effort(10); round++) {
		for (unsigned i = 0; i < LOAM_LEN(areas); i++)
			vmap_area_take(&areas[i], 1 + rng_below(&test_rng, 12), PAGE, i % 2);
		churn(others, LOAM_LEN(others), 20, 9);
		for (unsigned i = 0; i < LOAM_LEN(areas); i++) {
			vmap_area_look(&areas[i], "VMAP-08");
			for (unsigned long page = 0; page < areas[i].nr && !areas[i].writable; page++)
				kept("VMAP-08", vmap_faults(areas[i].addr + page * PAGE + 8, true),
				     "page %lu of %lu of a read-only area was written to", page, areas[i].nr);
		}
		vmap_areas_give(areas, LOAM_LEN(areas));
	}
	vmap_areas_give(others, LOAM_LEN(others));
	vmap_end();
}

static void look_guards(const struct area *areas, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		const char *guard = areas[i].addr + areas[i].nr * PAGE;

		if (!areas[i].pub)
			continue;
		kept("VMAP-09", vmap_faults(guard, false) && vmap_faults(guard + PAGE - 1, false),
		     "the page behind an area of %lu pages can be read", areas[i].nr);
		kept("VMAP-09", vmap_faults(guard, true), "the page behind an area of %lu pages can be written to",
		     areas[i].nr);
	}
}

void vmap_guard_pages(void)
{
	struct area areas[60] = { 0 };

	vmap_begin();
	for (unsigned round = 0; round < effort(20); round++) {
		churn(areas, LOAM_LEN(areas), 60, 9);
		look_guards(areas, LOAM_LEN(areas));
		if (round % 4 == 3)
			vmap_flush();
		look_guards(areas, LOAM_LEN(areas));
	}
	vmap_areas_give(areas, LOAM_LEN(areas));
	vmap_end();
}

/* ---- unmapping ---- */

void vmap_unmapped_faults(void)
{
	struct area areas[20] = { 0 };
	unsigned long nr[LOAM_LEN(areas)];
	char *addr[LOAM_LEN(areas)];

	vmap_begin();
	for (unsigned round = 0; round < effort(10); round++) {
		unsigned stays = (unsigned)rng_below(&test_rng, LOAM_LEN(areas));

		for (unsigned i = 0; i < LOAM_LEN(areas); i++) {
			vmap_area_take(&areas[i], rng_size(&test_rng, 20), PAGE, i % 3);
			addr[i] = areas[i].addr;
			nr[i] = areas[i].nr;
		}
		for (unsigned i = 0; i < LOAM_LEN(areas); i++)
			if (i != stays)
				vmap_area_give(&areas[i]);
		vmap_flush();
		for (unsigned i = 0; i < LOAM_LEN(areas); i++)
			for (unsigned long page = 0; page < nr[i] && i != stays; page++)
				kept("VMAP-10", vmap_faults(addr[i] + page * PAGE, false),
				     "page %lu of %lu of an area can be read after unmap%s", page, nr[i],
				     vmap_have_lazy() ? " and flush_lazy" : "");
		vmap_area_look(&areas[stays], "VMAP-11");
		vmap_area_give(&areas[stays]);
	}
	vmap_end();
}

/* In a range so small that each address is given out again and again. */
void vmap_no_stale_view(void)
{
	struct area areas[12] = { 0 };

	vmap_small_up(48);
	/* What goes under a live area also frees its addresses. */
	vmap_blames("VMAP-11");
	for (unsigned i = 0; i < effort(400); i++) {
		churn(areas, LOAM_LEN(areas), 3, 12);
		for (unsigned j = 0; j < LOAM_LEN(areas); j++)
			if (areas[j].pub)
				vmap_area_look(&areas[j], "VMAP-11");
		if (i % 50 == 49)
			vmap_look_range("VMAP-11", true);
	}
	vmap_areas_give(areas, LOAM_LEN(areas));
	vmap_small_down();
}

void vmap_frames_free_at_once(void)
{
	struct page *pages[16];
	struct area area, next;

	vmap_begin();
	for (unsigned i = 0; i < LOAM_LEN(pages); i++)
		pages[i] = vmap_frame_take();
	for (unsigned round = 0; round < effort(60); round++) {
		if (!vmap_area_map(&area, pages, LOAM_LEN(pages), PAGE, round % 2))
			trouble("an area of 16 pages is refused");
		vmap_area_give(&area);
		/* Another's from here on: under another address, and through none. */
		for (unsigned i = 0; i < LOAM_LEN(pages); i++)
			pattern_write(vmap_frame_words(pages[i]), PAGE, round + i);
		if (!vmap_area_map(&next, pages, LOAM_LEN(pages), PAGE, true))
			trouble("an area of 16 pages is refused");
		vmap_area_look(&next, "VMAP-12");
		vmap_flush();
		vmap_area_look(&next, "VMAP-12");
		for (unsigned i = 0; i < LOAM_LEN(pages); i++)
			kept("VMAP-12", pattern_check(next.addr + i * PAGE, PAGE, round + i, NULL),
			     "what was written to a frame after unmap was overwritten");
		vmap_area_give(&next);
	}
	for (unsigned i = 0; i < LOAM_LEN(pages); i++)
		vmap_frame_put(pages[i]);
	vmap_end();
}

/* ---- a range that is full ---- */

/* The largest area that an empty range has room for. */
static void take_all(unsigned long pages, const char *clause)
{
	struct page **same = calloc(pages, sizeof(*same));
	struct area area;
	struct page *page = vmap_frame_take();

	if (!same)
		trouble("no memory");
	for (unsigned long i = 0; i < pages; i++)
		same[i] = page;
	vmap_strict(false);
	kept(clause, vmap_area_map(&area, same, pages - 1, PAGE, true), "an area of all %lu pages but one is refused",
	     pages);
	vmap_area_look(&area, clause);
	vmap_area_give(&area);
	kept("VMAP-15", !vmap_area_map(&area, same, pages, PAGE, true),
	     "an area as large as the range, and no room for its guard page, is mapped");
	vmap_strict(true);
	vmap_frame_put(page);
	free(same);
}

void vmap_addresses_do_not_wear_out(void)
{
	struct area areas[16] = { 0 };

	vmap_small_up(100);
	take_all(100, "VMAP-13");
	for (unsigned round = 0; round < effort(12); round++) {
		vmap_strict(false);
		churn(areas, LOAM_LEN(areas), 200, 40);
		for (unsigned i = 0; i < 20; i++) {
			struct area *area = &areas[rng_below(&test_rng, LOAM_LEN(areas))];

			if (!area->pub)
				vmap_area_take(area, 1 + rng_below(&test_rng, 4), PAGE << rng_below(&test_rng, 6),
					       true);
		}
		vmap_areas_give(areas, LOAM_LEN(areas));
		take_all(100, "VMAP-13");
	}
	vmap_small_down();
}

void vmap_filled_to_the_last_page(void)
{
	for (unsigned round = 0; round < effort(6); round++) {
		unsigned long pages = 40 + rng_below(&test_rng, 120);
		struct area areas[100] = { 0 };

		vmap_small_up(pages);
		/* Refusals are judged by the model; in the end no two pages are free behind each other. */
		for (unsigned nr = 1 + (unsigned)rng_below(&test_rng, 9); nr; nr--)
			for (unsigned i = 0; i < LOAM_LEN(areas); i++)
				if (!areas[i].pub && !vmap_area_take(&areas[i], nr, PAGE, true))
					break;
		vmap_look_range("VMAP-14", true);
		for (unsigned i = 0; i < 100; i++) {
			churn(areas, LOAM_LEN(areas), 10, 9);
			if (!areas[i].pub)
				vmap_area_take(&areas[i], 1, PAGE << rng_below(&test_rng, 8), true);
		}
		vmap_areas_give(areas, LOAM_LEN(areas));
		vmap_look_range("VMAP-14", true);
		vmap_small_down();
	}
}

static void refused(struct page *const *pages, unsigned long nr, size_t align)
{
	uint64_t failures = stat_now().failures, meta = shim_counts().meta_live;
	struct loam_vmap_area *area;
	int error = vmap_map(pages, nr, align, true, &area);

	kept("VMAP-15", error == -ENOMEM, "map of %lu pages, aligned to %#zx, returns %d", nr, align, error);
	kept("VMAP-15", stat_now().failures == failures + 1, "a map was refused, and failures grew by %llu",
	     (unsigned long long)(stat_now().failures - failures));
	kept("VMAP-16", shim_counts().meta_live == meta, "map of %lu pages was refused, and metadata is kept", nr);
}

void vmap_too_large(void)
{
	struct page *page;
	struct area area;
	char *start, *end;
	unsigned long pages;

	vmap_begin();
	page = vmap_frame_take();
	vmap_range(&start, &end);
	pages = (unsigned long)(end - start) >> LOAM_PAGE_SHIFT;
	refused(&page, pages, PAGE);
	refused(&page, pages + 1, PAGE);
	refused(&page, 1ul << 52, PAGE);
	refused(&page, ~0ul - 1, PAGE);
	refused(&page, ~0ul, PAGE);
	for (unsigned bit = LOAM_PAGE_SHIFT; bit < 64; bit++)
		if (!vmap_has_room(1, 1ul << bit))
			refused(&page, 1, 1ul << bit);
	kept("VMAP-16", vmap_area_map(&area, &page, 1, PAGE, true),
	     "after areas that were too large one page is refused");
	vmap_area_look(&area, "VMAP-16");
	vmap_area_give(&area);
	vmap_frame_put(page);
	vmap_end();
}

/* ---- refusals ---- */

static void refuse_by(void (*fail)(uint64_t), uint64_t nth, unsigned long nr)
{
	uint64_t meta, failed = shim_counts().failed;
	struct area area;

	vmap_flush();
	meta = shim_counts().meta_live;
	fail(nth);
	vmap_strict(false);
	if (vmap_area_take(&area, nr, PAGE, true)) {
		vmap_area_look(&area, "VMAP-16");
		vmap_area_give(&area);
		vmap_flush();
	} else {
		kept("VMAP-16", shim_counts().failed > failed, "an area of %lu pages is refused with room for it", nr);
	}
	fail(0);
	vmap_strict(true);
	kept("VMAP-16", shim_counts().meta_live == meta, "a map was refused, and %lld more blocks of metadata are held",
	     (long long)(shim_counts().meta_live - meta));
	vmap_look_range("VMAP-16", true);
}

/* A record, then the mapping, and a second try of that. */
static void refuse_all(unsigned long nr)
{
	struct area area;

	vmap_flush();
	shim_fail_all(true);
	vmap_strict(false);
	kept("VMAP-16", !vmap_area_take(&area, nr, PAGE, true), "an area is mapped, and no mapping can be made");
	shim_fail_all(false);
	vmap_strict(true);
	vmap_look_range("VMAP-16", true);
}

static void refuse_phys(void)
{
	struct loam_vmap_area *area;
	uint64_t meta;

	vmap_flush();
	meta = shim_counts().meta_live;
	kept("VMAP-05", vmap_map_phys(1ul << 40, 3, PAGE, &area) == -EINVAL, "map_phys of what is not there succeeds");
	kept("VMAP-16", shim_counts().meta_live == meta, "map_phys was refused, and metadata is kept");
	vmap_look_range("VMAP-16", true);
}

void vmap_refusals_change_nothing(void)
{
	struct area areas[10] = { 0 };

	vmap_small_up(64);
	for (unsigned round = 0; round < effort(10); round++) {
		churn(areas, LOAM_LEN(areas), 8, 8);
		for (uint64_t nth = 1; nth < 4; nth++) {
			refuse_by(shim_fail_meta, nth, 1 + rng_below(&test_rng, 5));
			refuse_by(shim_fail_port, nth, 1 + rng_below(&test_rng, 5));
		}
		refuse_all(1 + rng_below(&test_rng, 5));
		refuse_phys();
		vmap_look_counters();
		/* What the model says is free is free. */
		vmap_areas_give(areas, LOAM_LEN(areas));
		take_all(64, "VMAP-16");
	}
	vmap_small_down();
}
