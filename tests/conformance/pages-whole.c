/* SPDX-License-Identifier: MIT */
/* pages-whole.c: the role pages when all is used up and when all is back, and what counts and walk say meanwhile. */
#include "pages-model.h"

#include <string.h>

/* ---- exhaustion ---- */

/* Single frames until none is left; then nothing; then one, and again nothing. */
void pages_every_frame(void)
{
	for (unsigned round = 0; round < effort(10); round++) {
		struct blocks held = { 0 };

		ragged_up(true);
		for (unsigned i = 0; i < nr_zones(); i++) {
			unsigned zone = zone_at(i);
			struct block block;
			size_t n = blocks_drain(&held, zone, 0, 0);

			kept("PAGES-16", n == zone_frames(zone), "%zu of %lu frames could be had", n,
			     zone_frames(zone));
			for (unsigned order = 0; order < pages_orders(); order++)
				kept("PAGES-16", !pages_alloc(zone, order, 0),
				     "order %u is served in zone %u when no frame is left", order, zone);
			block = blocks_pick(&held, &test_rng);
			block_give(&block);
			blocks_drain(&held, block.zone, 0, 0);
		}
		blocks_give(&held, false);
		blocks_end(&held);
		model_end();
	}
}

/* Let go of some of what is held, so that the places that are free lie anywhere. */
static void give_some(struct blocks *held)
{
	uint64_t percent = 10 + rng_below(&test_rng, 85);
	struct blocks some = { 0 };

	for (size_t i = 0; i < held->n;) {
		if (rng_below(&test_rng, 100) >= percent) {
			i++;
			continue;
		}
		blocks_add(&some, &held->at[i]);
		held->at[i] = held->at[--held->n];
	}
	blocks_give(&some, true);
	blocks_end(&some);
}

void pages_free_places(void)
{
	for (unsigned round = 0; round < effort(10); round++) {
		struct blocks held = { 0 };

		ragged_up(true);
		for (unsigned turn = 0; turn < 4; turn++) {
			for (unsigned i = 0; i < nr_zones(); i++)
				blocks_drain(&held, zone_at(i), (unsigned)rng_below(&test_rng, 3), 0);
			give_some(&held);
			for (unsigned i = 0; i < nr_zones(); i++)
				blocks_drain_all(&held, zone_at(i), NULL);
			give_some(&held);
		}
		blocks_give(&held, true);
		blocks_end(&held);
		model_end();
	}
}

/* One place of each order, cut in another way each time. */
void pages_merge_from_any_cut(void)
{
	for (unsigned round = 0; round < effort(1); round++) {
		roomy_up(12);
		for (unsigned order = 1; order < pages_orders() && order < 12; order++)
			for (unsigned cut = 0; cut < 6; cut++) {
				struct blocks held = { 0 }, parts = { 0 };
				unsigned zone = zone_any(&test_rng);

				blocks_drain(&held, zone, order, 0);
				blocks_drain(&held, zone, 0, 0);
				while (parts.n < 1) {
					struct block block = blocks_pick(&held, &test_rng);

					blocks_add(block.order == order ? &parts : &held, &block);
				}
				blocks_give(&parts, true);
				kept("PAGES-17", blocks_drain(&parts, zone, order, 0) == 1,
				     "a block of order %u came back in parts, and cannot be had again", order);
				blocks_give(&parts, true);
				blocks_give(&held, true);
				blocks_end(&parts);
				blocks_end(&held);
			}
		model_end();
	}
}

/* How many blocks of each order can be had, the largest first. */
static void census(unsigned long had[LOAM_ZONES][LOAM_ORDERS])
{
	struct blocks held = { 0 };

	memset(had, 0, LOAM_ZONES * sizeof(*had));
	for (unsigned i = 0; i < nr_zones(); i++)
		blocks_drain_all(&held, zone_at(i), had[zone_at(i)]);
	blocks_give(&held, false);
	blocks_end(&held);
}

void pages_do_not_wear_out(void)
{
	unsigned long first[LOAM_ZONES][LOAM_ORDERS], now[LOAM_ZONES][LOAM_ORDERS];

	for (unsigned round = 0; round < effort(5); round++) {
		if (round % 4 == 0)
			roomy_up(12);
		else
			ragged_up(true);
		census(first);
		model_blames("PAGES-18");
		for (unsigned turn = 0; turn < 4; turn++) {
			struct blocks held = { 0 };

			churn(&held, 1000);
			for (unsigned i = 0; i < nr_zones(); i++)
				blocks_drain(&held, zone_at(i), (unsigned)rng_below(&test_rng, pages_orders()), turn);
			blocks_give(&held, turn % 2);
			blocks_end(&held);
			census(now);
			for (unsigned zone = 0; zone < LOAM_ZONES; zone++)
				for (unsigned order = 0; order < LOAM_ORDERS; order++)
					kept("PAGES-18", now[zone][order] == first[zone][order],
					     "%lu blocks of order %u can be had in zone %u; at the start there were "
					     "%lu",
					     now[zone][order], order, zone, first[zone][order]);
		}
		model_end();
	}
}

/* Refuse what there is no place for, a hundred times. */
static void ask_in_vain(void)
{
	for (unsigned n = 0; n < 100; n++) {
		unsigned zone = zone_any(&test_rng), order = (unsigned)rng_below(&test_rng, pages_orders());
		struct page *page;

		if (zone_places(zone, order))
			continue;
		page = pages_alloc(zone, order, (unsigned)rng_below(&test_rng, 4));
		kept("PAGES-19", !page, "order %u is served in zone %u, which has no place for it", order, zone);
	}
}

void pages_refusals(void)
{
	for (unsigned round = 0; round < effort(10); round++) {
		struct blocks held = { 0 };

		ragged_up(true);
		for (unsigned i = 0; i < nr_zones(); i++)
			blocks_drain(&held, zone_at(i), 0, 0);
		model_blames("PAGES-19");
		ask_in_vain();
		look_counts();
		give_some(&held);
		ask_in_vain();
		look_counts();
		for (unsigned i = 0; i < nr_zones(); i++)
			blocks_drain_all(&held, zone_at(i), NULL);
		blocks_give(&held, true);
		blocks_end(&held);
		model_end();
	}
}

void pages_zones_apart_when_used_up(void)
{
	for (unsigned round = 0; round < effort(10); round++) {
		struct blocks first = { 0 }, others = { 0 };
		unsigned zone;

		ragged_up(false);
		zone = zone_any(&test_rng);
		blocks_drain(&first, zone, 0, 0);
		ask_in_vain();
		model_blames("PAGES-19");
		look_counts();
		for (unsigned i = 0; i < nr_zones(); i++)
			if (zone_at(i) != zone)
				blocks_drain_all(&others, zone_at(i), NULL);
		look_counts();
		blocks_give(&first, false);
		blocks_drain_all(&first, zone, NULL);
		blocks_give(&others, true);
		blocks_give(&first, true);
		blocks_end(&first);
		blocks_end(&others);
		model_end();
	}
}

/* ---- context ---- */

void pages_without_metadata(void)
{
	struct blocks held = { 0 };

	model_begin();
	/* What the first op of a thread may ask for is not what is meant. */
	churn(&held, 20);
	model_blames("PAGES-23");
	model_starves(true);
	churn(&held, effort(2000));
	look_counts();
	for (unsigned i = 0; i < nr_zones(); i++) {
		blocks_drain_all(&held, zone_at(i), NULL);
		while (bulk_take(&held, zone_at(i), 8))
			;
	}
	blocks_give(&held, true);
	look_counts();
	for (unsigned i = 0; i < nr_zones(); i++) {
		while (bulk_take(&held, zone_at(i), 40))
			;
		while (held.n)
			bulk_give(&held, 40);
		look_counts();
		blocks_drain_all(&held, zone_at(i), NULL);
		blocks_give(&held, false);
	}
	model_starves(false);
	blocks_end(&held);
	model_end();
}

/* ---- introspection ---- */

void pages_counts_agree(void)
{
	for (unsigned round = 0; round < effort(10); round++) {
		struct blocks held = { 0 };

		ragged_up(true);
		look_counts();
		for (unsigned turn = 0; turn < 60; turn++) {
			churn(&held, 1 + (unsigned)rng_below(&test_rng, 30));
			look_counts();
		}
		for (unsigned i = 0; i < nr_zones(); i++) {
			blocks_drain(&held, zone_at(i), 0, 0);
			look_counts();
		}
		blocks_give(&held, true);
		look_counts();
		blocks_end(&held);
		model_end();
	}
}

/* One past the largest order that counts has. */
static unsigned promised(unsigned zone)
{
	unsigned long counts[LOAM_ORDERS];
	unsigned order = LOAM_ORDERS;

	pages_counts(zone, counts);
	while (order && !counts[order - 1])
		order--;
	return order;
}

void pages_counts_promise(void)
{
	for (unsigned round = 0; round < effort(8); round++) {
		struct blocks held = { 0 };

		ragged_up(true);
		for (unsigned turn = 0; turn < 150; turn++) {
			unsigned zone = zone_any(&test_rng), orders = promised(zone), order;
			struct block block;
			struct page *page;

			if (orders > 1 || (orders && turn % 8 == 0)) {
				order = rng_below(&test_rng, 2) ? orders - 1 : (unsigned)rng_below(&test_rng, orders);
				page = pages_alloc(zone, order, 0);
				kept("PAGES-28", page, "order %u is refused in zone %u; counts has a block of order %u",
				     order, zone, orders - 1);
				block_adopt(&block, zone, order, page);
				blocks_add(&held, &block);
			}
			if (turn % 30 == 29)
				give_some(&held);
			churn(&held, 5);
		}
		blocks_give(&held, true);
		blocks_end(&held);
		model_end();
	}
}

void pages_walk_agrees(void)
{
	for (unsigned round = 0; round < effort(8); round++) {
		struct blocks held = { 0 };

		ragged_up(true);
		look_walk();
		for (unsigned turn = 0; turn < 40; turn++) {
			churn(&held, 1 + (unsigned)rng_below(&test_rng, 40));
			look_walk();
		}
		blocks_give(&held, true);
		look_walk();
		for (unsigned i = 0; i < nr_zones(); i++)
			blocks_drain(&held, zone_at(i), 0, 0);
		look_walk();
		blocks_give(&held, false);
		blocks_end(&held);
		model_end();
	}
}
