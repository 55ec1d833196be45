/* SPDX-License-Identifier: MIT */
/* pages-parts.c: the role pages: blocks that come back in parts or in bulk or twice, and what is in frames and struct pages. */
#include "pages-model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- parts ---- */

static void cut(struct blocks *parts, struct block block)
{
	struct block upper;

	while (block.order && rng_below(&test_rng, 4)) {
		block_halve(&block, &upper);
		cut(parts, upper);
	}
	blocks_add(parts, &block);
}

/* Nothing else is free in the zone: what can be had after a part came back is that part. */
static void give_by_parts(unsigned zone, unsigned order)
{
	struct blocks parts = { 0 }, rest = { 0 };
	struct block block;

	if (!block_take(&block, zone, order, 0))
		return;
	blocks_drain(&rest, zone, 0, 0);
	cut(&parts, block);
	while (parts.n) {
		struct block part = blocks_pick(&parts, &test_rng);
		size_t n;

		block_give(&part);
		look_counts();
		n = blocks_drain(&rest, zone, 0, 0);
		kept("PAGES-04", n == 1ul << part.order, "a part of order %u came back, and %zu frames can be had",
		     part.order, n);
		for (size_t i = 0; i < parts.n; i++)
			block_look(&parts.at[i]);
	}
	blocks_give(&rest, false);
	blocks_end(&parts);
	blocks_end(&rest);
}

void pages_parts(void)
{
	model_begin();
	model_blames("PAGES-04");
	for (unsigned round = 0; round < effort(1); round++)
		for (unsigned i = 0; i < nr_zones(); i++)
			for (unsigned order = 0; order < pages_orders() && order < 11; order++)
				give_by_parts(zone_at(i), order);
	model_end();
}

/* ---- bulk ---- */

void pages_bulk_singles(void)
{
	for (unsigned round = 0; round < effort(8); round++) {
		struct blocks held = { 0 };

		ragged_up(true);
		model_blames("PAGES-05");
		for (unsigned turn = 0; turn < 150; turn++) {
			bulk_take(&held, zone_any(&test_rng), (unsigned)rng_below(&test_rng, 65));
			if (turn % 5 == 4)
				churn(&held, 30);
		}
		blocks_give(&held, true);
		blocks_end(&held);
		model_end();
	}
}

/* Single frames, frames of larger blocks, frames in bulk: all of them come back in bulk, and all is whole again. */
void pages_bulk_back(void)
{
	for (unsigned round = 0; round < effort(8); round++) {
		struct blocks held = { 0 }, mixed = { 0 };

		ragged_up(true);
		model_blames("PAGES-06");
		for (unsigned turn = 0; turn < 3; turn++) {
			churn(&held, 300);
			for (unsigned i = 0; i < nr_zones(); i++)
				bulk_take(&held, zone_at(i), 50);
			blocks_to_frames(&held);
			while (held.n) {
				struct block block = blocks_pick(&held, &test_rng);

				blocks_add(&mixed, &block);
			}
			while (mixed.n) {
				bulk_give(&mixed, 1 + (unsigned)rng_below(&test_rng, 64));
				if (rng_below(&test_rng, 8) == 0)
					look_counts();
			}
			look_counts();
			for (unsigned i = 0; i < nr_zones(); i++)
				blocks_drain_all(&held, zone_at(i), NULL);
			blocks_give(&held, true);
		}
		blocks_end(&held);
		blocks_end(&mixed);
		model_end();
	}
}

/* From any number of frames that are left, in whatever blocks they lie, to none. */
void pages_bulk_border(void)
{
	for (unsigned round = 0; round < effort(8); round++) {
		struct blocks held = { 0 };

		ragged_up(true);
		for (unsigned turn = 0; turn < 12; turn++) {
			unsigned zone = zone_any(&test_rng), left = (unsigned)rng_below(&test_rng, 90);
			struct blocks back = { 0 };

			blocks_drain(&held, zone, (unsigned)rng_below(&test_rng, 6), 0);
			blocks_drain(&held, zone, 0, 0);
			while (held.n && left--) {
				struct block block = blocks_pick(&held, &test_rng);

				blocks_add(&back, &block);
			}
			blocks_give(&back, true);
			while (bulk_take(&held, zone, 1 + (unsigned)rng_below(&test_rng, 64)))
				;
			kept("PAGES-20", !zone_free(zone), "alloc_bulk returns 0 in zone %u, where %lu frames are free",
			     zone, zone_free(zone));
			blocks_end(&back);
		}
		blocks_give(&held, true);
		blocks_end(&held);
		model_end();
	}
}

/* ---- contents: a number a frame says what is in it ---- */

static uint64_t *stamps, nr_stamps;

static void stamps_open(void)
{
	free(stamps);
	stamps = calloc(loam__machine.map.nr_pages, sizeof(*stamps));
	if (!stamps)
		trouble("no memory");
}

static uint64_t *stamp_of(const struct page *page)
{
	return &stamps[loam_page_pfn(&loam__machine.map, page)];
}

static void stamp(const struct block *block)
{
	for (unsigned long i = 0; i < 1ul << block->order; i++) {
		*stamp_of(block->page + i) = job.seed + ++nr_stamps;
		frame_write(block->page + i, 0, *stamp_of(block->page + i));
	}
}

static void look_stamps(const struct block *block, const char *clause)
{
	for (unsigned long i = 0; i < 1ul << block->order; i++)
		kept(clause, frame_check(block->page + i, 0, *stamp_of(block->page + i)),
		     "the contents of frame %lu of a block of order %u were overwritten", i, block->order);
}

static void give_stamped(struct blocks *held)
{
	struct block block = blocks_pick(held, &test_rng), upper;

	look_stamps(&block, "PAGES-08");
	if (block.order && rng_below(&test_rng, 2)) {
		block_halve(&block, &upper);
		blocks_add(held, &upper);
	}
	block_give(&block);
}

void pages_contents(void)
{
	struct blocks held = { 0 };

	model_begin();
	stamps_open();
	for (unsigned step = 0; step < effort(1200); step++) {
		struct block block;

		if (held.n > 150 || (held.n && rng_below(&test_rng, 5) < 2)) {
			give_stamped(&held);
		} else if (block_take(&block, zone_any(&test_rng), (unsigned)rng_below(&test_rng, pages_orders()) % 5,
				      0)) {
			stamp(&block);
			blocks_add(&held, &block);
		}
	}
	while (held.n)
		give_stamped(&held);
	blocks_end(&held);
	model_end();
}

/* Written once, by who held them all; from then on nobody writes, whoever has them. */
void pages_high_memory(void)
{
	struct blocks all = { 0 }, held = { 0 };

	model_begin();
	stamps_open();
	model_blames("PAGES-09");
	for (unsigned i = 0; i < nr_zones(); i++) {
		if (!zone_high(zone_at(i)))
			continue;
		blocks_drain_all(&all, zone_at(i), NULL);
		for (size_t k = 0; k < all.n; k++)
			stamp(&all.at[k]);
		for (size_t k = 0; k < all.n; k++)
			blocks_add(&held, &all.at[k]);
		blocks_give(&held, true);
		blocks_drain(&held, zone_at(i), 0, 0);
		blocks_give(&held, false);
		blocks_drain_all(&held, zone_at(i), NULL);
		blocks_give(&held, true);
		while (bulk_take(&held, zone_at(i), 40))
			;
		blocks_give(&held, false);
	}
	kept("PAGES-09", all.n, "nothing can be had in high memory");
	for (size_t k = 0; k < all.n; k++)
		look_stamps(&all.at[k], "PAGES-09");
	blocks_end(&all);
	blocks_end(&held);
	model_end();
}

/* ---- struct pages ---- */

static void look_at_all(const struct blocks *held)
{
	for (size_t i = 0; i < held->n; i++)
		block_look(&held->at[i]);
}

void pages_words_of_holders(void)
{
	struct blocks held = { 0 };

	model_begin();
	for (unsigned turn = 0; turn < effort(60); turn++) {
		churn(&held, 30);
		look_at_all(&held);
		if (turn % 10 == 9) {
			blocks_drain(&held, zone_any(&test_rng), turn / 10 % pages_orders(), 0);
			look_at_all(&held);
		}
	}
	blocks_give(&held, true);
	blocks_end(&held);
	model_end();
}

void pages_words_of_host(void)
{
	for (unsigned round = 0; round < effort(5); round++) {
		struct blocks held = { 0 };

		ragged_up(true);
		look_words();
		for (unsigned turn = 0; turn < 40; turn++) {
			churn(&held, 40);
			look_words();
		}
		for (unsigned i = 0; i < nr_zones(); i++)
			blocks_drain(&held, zone_at(i), 0, 0);
		look_words();
		blocks_give(&held, true);
		look_words();
		blocks_end(&held);
		model_end();
	}
}

/* Fresh, cut from larger ones, merged before, in bulk: looked at whenever a block is had. */
void pages_mapcount(void)
{
	struct blocks held = { 0 };

	model_begin();
	for (unsigned turn = 0; turn < effort(8); turn++) {
		churn(&held, 500);
		for (unsigned i = 0; i < nr_zones(); i++)
			blocks_drain(&held, zone_at(i), turn % pages_orders(), 0);
		blocks_give(&held, true);
		for (unsigned i = 0; i < nr_zones(); i++)
			blocks_drain_all(&held, zone_at(i), NULL);
		blocks_give(&held, false);
		for (unsigned i = 0; i < nr_zones(); i++)
			while (bulk_take(&held, zone_at(i), 33))
				;
		blocks_give(&held, false);
	}
	blocks_end(&held);
	model_end();
}

/* First frames of the places that the frames from @pfn to @end divide into: their struct pages may say so. */
static void mark_heads(uint8_t *heads, unsigned long pfn, unsigned long end)
{
	while (pfn < end) {
		unsigned order = loam_pages_fit(pfn, end - pfn);

		heads[pfn] = 1;
		pfn += 1ul << (order < pages_orders() ? order : pages_orders() - 1);
	}
}

static void look_untouched(void)
{
	const struct loam_map *map = &loam__machine.map;
	uint8_t *heads = calloc(map->nr_pages, 1);
	static const struct page zero;

	if (!heads)
		trouble("no memory");
	for (unsigned zone = 0; zone < LOAM_ZONES; zone++)
		for (unsigned i = 0; i < loam__nr_ram; i++) {
			const struct loam_zone *pub = &loam__machine.zones[zone].pub;
			unsigned long from = loam__ram[i].pfn, end = from + loam__ram[i].count;

			mark_heads(heads, from > pub->start_pfn ? from : pub->start_pfn,
				   end < pub->end_pfn ? end : pub->end_pfn);
		}
	for (unsigned long pfn = 0; pfn < map->nr_pages; pfn++)
		kept("PAGES-13", heads[pfn] || !memcmp(&map->pages[pfn], &zero, sizeof(zero)),
		     "add wrote to the struct page of frame %lu", pfn);
	kept("PAGES-13", lseek(loam__machine.memfd, 0, SEEK_DATA) < 0 && errno == ENXIO,
	     "add touched the contents of frame %ld",
	     (long)lseek(loam__machine.memfd, 0, SEEK_DATA) >> LOAM_PAGE_SHIFT);
	free(heads);
}

void pages_add_touches_little(void)
{
	static const struct loam__range runs[] = { { 3, 40001 }, { 40005, 1 }, { 40009, 91063 } };
	const struct setup large = {
		.memory = 512u << 20, .zones = "DMA:16M HIGHMEM:*", .memfd = true, .ram = runs, .nr_ram = LOAM_LEN(runs)
	};

	for (unsigned round = 0; round < effort(10); round++) {
		ragged_up(true);
		look_untouched();
		model_end();
	}
	machine_up(&large);
	look_untouched();
	machine_down();
}

/* ---- misuse ---- */

/* Of the subject and of who stands below it. */
static uint64_t double_frees(void)
{
	const struct loam__graph *graph = loam__machine.graph;
	uint64_t n = 0;

	for (unsigned i = 0; i < graph->nr; i++)
		n += __atomic_load_n(&graph->instances[i]->reports[LOAM_REPORT_DOUBLE_FREE], __ATOMIC_RELAXED);
	return n;
}

/* Free what is free, or has free frames in it. */
static void free_again(unsigned zone, struct page *page, unsigned order)
{
	uint64_t before = double_frees(), all = reports_total();

	pages_free(zone, page, order);
	kept("PAGES-26", double_frees() == before + 1 && reports_total() == all + 1,
	     "order %u at frame %lu was freed again: %llu reports, %llu of them DOUBLE_FREE", order,
	     loam_page_pfn(&loam__machine.map, page), (unsigned long long)(reports_total() - all),
	     (unsigned long long)(double_frees() - before));
	look_counts();
}

/* Everything that is free can be had, once; what is held is untouched. */
static void look_whole(struct blocks *held)
{
	size_t before = held->n;
	struct blocks rest = { 0 };

	for (unsigned i = 0; i < nr_zones(); i++)
		blocks_drain(&rest, zone_at(i), 0, 0);
	look_counts();
	for (size_t i = 0; i < before; i++)
		block_look(&held->at[i]);
	blocks_give(&rest, false);
	blocks_end(&rest);
}

void pages_double_free(void)
{
	struct blocks held = { 0 };

	reports_expected();
	model_begin();
	model_blames("PAGES-26");
	for (unsigned round = 0; round < effort(40); round++) {
		unsigned order = (unsigned)rng_below(&test_rng, pages_orders()), zone = zone_any(&test_rng);
		struct block block;

		churn(&held, 20);
		if (!block_take(&block, zone, order, 0))
			continue;
		block_give(&block);
		/* Whole, then any single frame of it, then its last one. */
		free_again(zone, block.page, order);
		free_again(zone, block.page + rng_below(&test_rng, 1ul << order), 0);
		free_again(zone, block.page + (1ul << order) - 1, 0);
		if (round % 8 == 0)
			look_whole(&held);
	}
	blocks_give(&held, true);
	look_whole(&held);
	blocks_end(&held);
	model_end();
}

/* A part came back, then what holds it is freed: the rest of it is live, and stays so. */
void pages_double_free_of_parts(void)
{
	struct blocks held = { 0 }, parts = { 0 };

	reports_expected();
	model_begin();
	model_blames("PAGES-26");
	for (unsigned round = 0; round < effort(40); round++) {
		unsigned order = (unsigned)rng_below(&test_rng, pages_orders()), zone = zone_any(&test_rng);
		struct block block, part;

		churn(&held, 20);
		if (!order || !block_take(&block, zone, order, 0))
			continue;
		cut(&parts, block);
		part = blocks_pick(&parts, &test_rng);
		block_give(&part);
		free_again(zone, part.page, part.order);
		if (part.order < order)
			free_again(zone, block.page, order);
		/* The half that the part lies in. */
		if (part.order + 1 < order)
			free_again(zone,
				   part.page >= block.page + (1ul << (order - 1)) ? block.page + (1ul << (order - 1))
										  : block.page,
				   order - 1);
		look_at_all(&parts);
		if (round % 8 == 0)
			look_whole(&held);
		while (parts.n) {
			part = blocks_pick(&parts, &test_rng);
			blocks_add(&held, &part);
		}
	}
	blocks_give(&held, true);
	look_whole(&held);
	blocks_end(&held);
	blocks_end(&parts);
	model_end();
}
