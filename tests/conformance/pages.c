/* SPDX-License-Identifier: MIT */
/* pages.c: the suite of the role pages, and the tests of what a block is: its frames, its place, its order, the hints. */
#include "pages-model.h"

/* ---- for the general tests ---- */

static unsigned used_zones[LOAM_ZONES], nr_used;

static bool open_zones(void)
{
	nr_used = 0;
	for (unsigned zone = 0; zone < LOAM_ZONES; zone++)
		if (loam__machine.zones[zone].pub.managed)
			used_zones[nr_used++] = zone;
	return nr_used;
}

static bool take(struct held *held, unsigned i, gfp_t gfp)
{
	static const unsigned char orders[] = { 0, 0, 1, 0, 2, 0, 3, 1, 0, 5, 0, 4 };
	unsigned order = orders[i % LOAM_LEN(orders)], zone = used_zones[(i * 2654435761u >> 8) % nr_used];
	struct page *page;

	(void)gfp;
	order = order < pages_orders() ? order : pages_orders() - 1;
	page = pages_alloc(zone, order, 0);
	if (!page)
		return false;
	/* As the host does. */
	for (unsigned long k = 0; k < 1ul << order; k++)
		page[k].flags = zone;
	*held = (struct held){ .ptr = loam_page_ptr(&loam__machine.map, page),
			       .page = page,
			       .bytes = LOAM_PAGE_SIZE << order,
			       .order = order,
			       .seed = job.seed + i };
	frame_write(page, order, held->seed);
	return true;
}

static void give(struct held *held)
{
	pages_free(held->page->flags & LOAM_PAGE_ZONE_MASK, held->page, held->order);
}

/* ---- results ---- */

/* Cut into single frames, merged and cut again: what the plugin may make of a zone meets the edges of every run. */
static void take_all_ways(void)
{
	struct blocks held = { 0 };

	for (unsigned i = 0; i < nr_zones(); i++)
		blocks_drain(&held, zone_at(i), 0, 0);
	blocks_give(&held, false);
	for (unsigned i = 0; i < nr_zones(); i++)
		blocks_drain_all(&held, zone_at(i), NULL);
	blocks_give(&held, true);
	churn(&held, 500);
	blocks_give(&held, false);
	blocks_end(&held);
}

static void holes_stay_holes(void)
{
	for (unsigned round = 0; round < effort(10); round++) {
		ragged_up(true);
		take_all_ways();
		model_end();
	}
}

static void zones_stay_apart(void)
{
	for (unsigned round = 0; round < effort(10); round++) {
		ragged_up(false);
		take_all_ways();
		model_end();
	}
}

/* Takes alone, until nothing is left: a frame that the plugin takes for free and is not shows. Then takes and gives, and again. */
static void no_frame_twice(void)
{
	for (unsigned round = 0; round < effort(8); round++) {
		struct blocks held = { 0 };

		ragged_up(round % 2);
		for (unsigned turn = 0; turn < 3; turn++) {
			for (unsigned i = 0; i < nr_zones(); i++) {
				for (unsigned n = 0; n < 12; n++) {
					struct block block;

					if (block_take(&block, zone_at(i),
						       (unsigned)rng_below(&test_rng, pages_orders()), 0))
						blocks_add(&held, &block);
				}
				blocks_drain(&held, zone_at(i), (unsigned)rng_below(&test_rng, 4), 0);
				blocks_drain(&held, zone_at(i), 0, 0);
			}
			blocks_give(&held, turn);
			churn_singly(&held, 1000);
		}
		blocks_give(&held, false);
		blocks_end(&held);
		model_end();
	}
}

/* ---- alignment ---- */

/* All of one order in fresh memory, then of each order, in zones and runs that begin anywhere. */
static void aligned_from_frame_0(void)
{
	for (unsigned round = 0; round < effort(8); round++) {
		struct blocks held = { 0 };

		ragged_up(round % 2);
		for (unsigned i = 0; i < nr_zones(); i++) {
			blocks_drain(&held, zone_at(i), (unsigned)rng_below(&test_rng, pages_orders()), 0);
			blocks_give(&held, false);
			for (unsigned order = 0; order < pages_orders(); order++) {
				blocks_drain(&held, zone_at(i), order, 0);
				blocks_give(&held, false);
			}
		}
		blocks_end(&held);
		model_end();
	}
}

/* ---- limits ---- */

static void look_orders(unsigned orders)
{
	kept("PAGES-14", orders >= 1 && orders <= LOAM_ORDERS, "limits.orders is %u; it can be 1 to %d", orders,
	     LOAM_ORDERS);
	kept("PAGES-14", pages_orders() == orders, "limits.orders was %u, and is %u now", orders, pages_orders());
}

static void orders_are_constant(void)
{
	struct blocks held = { 0 };
	unsigned orders = pages_orders();

	look_orders(orders);
	model_begin();
	for (unsigned round = 0; round < 10; round++) {
		churn(&held, 100);
		look_orders(orders);
	}
	for (unsigned i = 0; i < nr_zones(); i++)
		blocks_drain(&held, zone_at(i), 0, 0);
	look_orders(orders);
	blocks_give(&held, true);
	look_orders(orders);
	blocks_end(&held);
	model_end();
}

/* Where the highest order makes the machine very large, so many frames and blocks are enough. */
#define ENOUGH_FRAMES (1ul << 20)
#define ENOUGH_BLOCKS 6000

static void take_places(unsigned zone, unsigned order)
{
	unsigned long places = zone_places(zone, order);
	struct blocks held = { 0 };

	for (unsigned long n = 0; n < places && n << order < ENOUGH_FRAMES && n < ENOUGH_BLOCKS; n++) {
		struct page *page = pages_alloc(zone, order, 0);
		struct block block;

		kept("PAGES-15", page, "after %lu blocks of order %u in fresh memory with %lu places, one is refused",
		     n, order, places);
		block_adopt(&block, zone, order, page);
		blocks_add(&held, &block);
	}
	blocks_give(&held, false);
	blocks_end(&held);
}

static void every_order_is_served(void)
{
	for (unsigned order = 0, orders = 1; order < orders; order++) {
		roomy_up(LOAM_ORDERS);
		orders = model_orders();
		for (unsigned i = 0; i < nr_zones(); i++)
			take_places(zone_at(i), order);
		model_end();
	}
}

/* ---- flags ---- */

static const unsigned hints[] = { LOAM_PAGES_COLD, LOAM_PAGES_MOVABLE, LOAM_PAGES_COLD | LOAM_PAGES_MOVABLE };

/* A large block is split for it, whatever the hint. */
static void one_of_each(unsigned flags)
{
	for (unsigned i = 0; i < nr_zones(); i++)
		blocks_one_of_each(zone_at(i), flags);
}

/* In fresh memory, and in memory where only the places that are left can serve. */
static void hints_refuse_nothing(void)
{
	for (unsigned i = 0; i < LOAM_LEN(hints); i++) {
		roomy_up(LOAM_ORDERS);
		one_of_each(hints[i]);
		model_end();
	}
	for (unsigned round = 0; round < effort(5) * LOAM_LEN(hints); round++) {
		unsigned flags = hints[round % LOAM_LEN(hints)];
		struct blocks held = { 0 }, kept_back = { 0 };

		ragged_up(true);
		for (unsigned i = 0; i < nr_zones(); i++) {
			blocks_drain(&held, zone_at(i), (unsigned)rng_below(&test_rng, pages_orders()), flags);
			blocks_drain(&held, zone_at(i), 0, flags);
		}
		while (kept_back.n < held.n) {
			struct block block = blocks_pick(&held, &test_rng);

			blocks_add(&kept_back, &block);
		}
		blocks_give(&held, true);
		for (unsigned i = 0; i < nr_zones(); i++)
			for (unsigned order = pages_orders(); order--;)
				blocks_drain(&held, zone_at(i), order, flags);
		blocks_give(&held, true);
		blocks_give(&kept_back, true);
		blocks_end(&held);
		blocks_end(&kept_back);
		model_end();
	}
}

static void hints_do_not_bind(void)
{
	for (unsigned from = 0; from < 4; from++) {
		struct blocks all = { 0 };

		roomy_up(LOAM_ORDERS);
		model_blames("PAGES-22");
		for (unsigned i = 0; i < nr_zones(); i++)
			blocks_drain(&all, zone_at(i), 0, from);
		blocks_give(&all, true);
		for (unsigned to = 0; to < 4; to++)
			one_of_each(to);
		blocks_end(&all);
		model_end();
	}
	for (unsigned from = 0; from < 4; from++)
		for (unsigned to = 0; to < 4; to++) {
			struct blocks held = { 0 };
			unsigned zone;

			ragged_up(true);
			model_blames("PAGES-22");
			zone = zone_any(&test_rng);
			blocks_drain(&held, zone, 0, from);
			blocks_give(&held, false);
			blocks_drain(&held, zone, (unsigned)rng_below(&test_rng, pages_orders()), to);
			for (unsigned order = pages_orders(); order--;)
				blocks_drain(&held, zone, order, to);
			blocks_give(&held, true);
			blocks_end(&held);
			model_end();
		}
}

/* ---- random sequences ---- */

static void random_sequences(void)
{
	sequence_test(&pages_sequence, 600);
}

/* ---- the suite ---- */

static const struct capability capabilities[] = {
	{ "BULK", pages_have_bulk },
	{ "WALK", pages_have_walk },
	{ "DOUBLE_FREE", pages_have_double_free },
	{ NULL, NULL },
};

static const struct test tests[] = {
	{ "holes-stay-holes", "PAGES-01", holes_stay_holes, EXHAUSTION, NO_MACHINE, 0 },
	{ "zones-stay-apart", "PAGES-02", zones_stay_apart, EXHAUSTION, NO_MACHINE, 0 },
	{ "no-frame-twice", "PAGES-03", no_frame_twice, EXAMPLE, NO_MACHINE, 0 },
	{ "parts-come-back-alone", "PAGES-04", pages_parts, EXAMPLE, MEMFD, 0 },
	{ "bulk-takes-single-frames", "PAGES-05", pages_bulk_singles, EXAMPLE, NO_MACHINE, 0 },
	{ "bulk-gives-any-frames-back", "PAGES-06", pages_bulk_back, EXAMPLE, NO_MACHINE, 0 },
	{ "aligned-from-frame-0", "PAGES-07", aligned_from_frame_0, EXAMPLE, NO_MACHINE, 0 },
	{ "contents-survive", "PAGES-08", pages_contents, EXAMPLE, MEMFD, 0 },
	{ "high-memory-is-not-touched", "PAGES-09", pages_high_memory, EXAMPLE, MEMFD, 0 },
	{ "words-of-live-frames-survive", "PAGES-10", pages_words_of_holders, EXAMPLE, MEMFD, 0 },
	{ "the-host-s-words-are-not-written", "PAGES-11", pages_words_of_host, EXAMPLE, NO_MACHINE, 0 },
	{ "mapcount-is-zero", "PAGES-12", pages_mapcount, EXAMPLE, MEMFD, 0 },
	{ "add-touches-little", "PAGES-13", pages_add_touches_little, EXAMPLE, NO_MACHINE, 0 },
	{ "orders-are-constant", "PAGES-14", orders_are_constant, EXAMPLE, MEMFD, 0 },
	{ "every-order-is-served", "PAGES-15", every_order_is_served, EXHAUSTION, NO_MACHINE, 0 },
	{ "every-frame-can-be-had", "PAGES-16", pages_every_frame, EXHAUSTION, NO_MACHINE, 0 },
	{ "free-places-are-had", "PAGES-17", pages_free_places, EXHAUSTION, NO_MACHINE, 0 },
	{ "merged-from-any-cut", "PAGES-17", pages_merge_from_any_cut, EXAMPLE, NO_MACHINE, 0 },
	{ "memory-does-not-wear-out", "PAGES-18", pages_do_not_wear_out, EXHAUSTION, NO_MACHINE, 0 },
	{ "a-refusal-changes-nothing", "PAGES-19", pages_refusals, EXHAUSTION, NO_MACHINE, 0 },
	{ "a-zone-used-up-is-used-up-alone", "PAGES-19", pages_zones_apart_when_used_up, EXHAUSTION, NO_MACHINE, 0 },
	{ "bulk-at-the-border", "PAGES-20", pages_bulk_border, EXHAUSTION, NO_MACHINE, 0 },
	{ "hints-refuse-nothing", "PAGES-21", hints_refuse_nothing, EXHAUSTION, NO_MACHINE, 0 },
	{ "hints-do-not-bind", "PAGES-22", hints_do_not_bind, EXHAUSTION, NO_MACHINE, 0 },
	{ "ops-need-no-metadata", "PAGES-23", pages_without_metadata, FAULT, MEMFD, 0 },
	{ "threads-lose-no-frame", "PAGES-24", pages_threads, THREADS, NO_MACHINE, 0 },
	{ "threads-lose-no-frame-in-bulk", "PAGES-24", pages_threads_bulk, THREADS, NO_MACHINE, 0 },
	{ "threads-give-parts-at-once", "PAGES-25", pages_parts_by_threads, THREADS, MEMFD, 0 },
	{ "freed-twice-is-reported", "PAGES-26", pages_double_free, HOSTILE, MEMFD, 0 },
	{ "freed-twice-in-parts-is-reported", "PAGES-26", pages_double_free_of_parts, HOSTILE, MEMFD, 0 },
	{ "counts-agree-with-the-model", "PAGES-27", pages_counts_agree, INTROSPECTION, NO_MACHINE, 0 },
	{ "counts-promise-what-can-be-had", "PAGES-28", pages_counts_promise, INTROSPECTION, NO_MACHINE, 0 },
	{ "walk-agrees-with-the-model", "PAGES-29", pages_walk_agrees, INTROSPECTION, NO_MACHINE, 0 },
	{ "random-sequences", "PAGES-03 PAGES-16 PAGES-17 PAGES-27", random_sequences, MODEL, NO_MACHINE, 0 },
};

static const struct suite suite = {
	.role = LOAM_ROLE_PAGES,
	.name = "pages",
	TESTS(tests),
	.capabilities = capabilities,
	.open = open_zones,
	.take = take,
	.give = give,
	.sequence = &pages_sequence,
};
SUITE(suite);
