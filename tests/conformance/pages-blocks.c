/* SPDX-License-Identifier: MIT */
/* pages-blocks.c: machines with ragged zones, and many blocks at a time, for the tests of the role pages. */
#include "pages-model.h"

#include <stdlib.h>

#define MAX_RUNS 24

/* ---- machines ---- */

/* Where the next zone begins: anywhere, or at a multiple of some power of two. */
static unsigned long draw_cut(unsigned long from, unsigned long end)
{
	unsigned long cut = from + 1 + rng_below(&test_rng, end - from - 1);

	if (rng_below(&test_rng, 3) == 0)
		cut &= -(1ul << rng_below(&test_rng, 9));
	return cut > from ? cut : from + 1;
}

/* Frames of @n zones out of @frames into a text as [machine] has it; one of low memory first, one of high memory last. */
static void draw_zones(char *text, size_t size, unsigned long frames)
{
	static const char *const low[] = { "DMA", "DMA32", "NORMAL" }, *const high[] = { "HIGHMEM", "MOVABLE" };
	unsigned used_low = 1 + (unsigned)rng_below(&test_rng, 7), used_high = 1 + (unsigned)rng_below(&test_rng, 3);
	unsigned left = (unsigned)(__builtin_popcount(used_low) + __builtin_popcount(used_high));
	unsigned long at = 0;
	int n = 0;

	for (unsigned i = 0; i < LOAM_LEN(low) + LOAM_LEN(high); i++) {
		bool is_low = i < LOAM_LEN(low);
		unsigned bit = is_low ? i : i - (unsigned)LOAM_LEN(low);
		unsigned long end;

		if (!((is_low ? used_low : used_high) >> bit & 1))
			continue;
		end = --left ? draw_cut(at, at + (frames - at) / left) : frames;
		n += snprintf(text + n, size - (size_t)n, "%s%s:%luK", n ? " " : "", is_low ? low[bit] : high[bit],
			      (end - at) * 4);
		at = end;
	}
}

/* Runs from any frame to any frame with any gaps, short ones more often; returns how many. */
static unsigned draw_runs(struct loam__range *runs, unsigned long frames)
{
	unsigned long at = rng_below(&test_rng, 2) ? 0 : rng_size(&test_rng, 40);
	unsigned n = 0;

	while (n < MAX_RUNS && at < frames) {
		unsigned long count = n == MAX_RUNS - 1 ? frames - at : rng_size(&test_rng, frames / 2);

		runs[n] = (struct loam__range){ at, count < frames - at ? count : frames - at };
		at += runs[n].count + rng_size(&test_rng, n % 3 ? 9 : 200);
		n++;
	}
	return n;
}

void ragged_up(bool holes)
{
	static struct loam__range runs[MAX_RUNS];
	unsigned long frames = 512 + rng_size(&test_rng, 20000);
	char zones[200];
	struct setup setup = { .memory = frames << LOAM_PAGE_SHIFT, .zones = zones, .memfd = true, .ram = runs };

	draw_zones(zones, sizeof(zones), frames);
	runs[0] = (struct loam__range){ 0, frames };
	setup.nr_ram = holes ? draw_runs(runs, frames) : 1;
	machine_up(&setup);
	model_begin();
}

void roomy_up(unsigned most)
{
	static struct loam__range all;
	unsigned long top, frames;
	unsigned orders;
	char zones[100] = "NORMAL:*";
	struct setup setup = { .zones = zones, .ram = &all, .nr_ram = 1 };

	machine_up(NULL);
	orders = pages_orders();
	machine_down();
	top = 1ul << ((orders < most ? orders : most) - 1);
	top = top < 64 ? 64 : top;
	frames = 5 * top + 5;
	all = (struct loam__range){ 0, frames };
	setup.memory = frames << LOAM_PAGE_SHIFT;
	/* What a file in memory may hold is limited; where the highest order is that large, one zone must do. */
	setup.memfd = setup.memory <= 256u << 20;
	if (setup.memfd)
		snprintf(zones, sizeof(zones), "DMA:%luK HIGHMEM:*", (2 * top + 3) * 4);
	machine_up(&setup);
	model_begin();
}

/* ---- many blocks ---- */

void blocks_add(struct blocks *blocks, const struct block *block)
{
	if (blocks->n == blocks->room) {
		blocks->room = blocks->room ? 2 * blocks->room : 256;
		blocks->at = realloc(blocks->at, blocks->room * sizeof(*blocks->at));
		if (!blocks->at)
			trouble("no memory for %zu blocks", blocks->room);
	}
	blocks->at[blocks->n++] = *block;
}

struct block blocks_pick(struct blocks *blocks, struct rng *rng)
{
	size_t i = rng_below(rng, blocks->n);
	struct block block = blocks->at[i];

	blocks->at[i] = blocks->at[--blocks->n];
	return block;
}

size_t blocks_drain(struct blocks *blocks, unsigned zone, unsigned order, unsigned flags)
{
	struct block block;
	size_t n = 0;

	for (; block_take(&block, zone, order, flags); n++)
		blocks_add(blocks, &block);
	return n;
}

void blocks_one_of_each(unsigned zone, unsigned flags)
{
	for (unsigned order = 0; order < model_orders(); order++) {
		struct block block;

		if (block_take(&block, zone, order, flags))
			block_give(&block);
	}
}

void blocks_drain_all(struct blocks *blocks, unsigned zone, unsigned long census[LOAM_ORDERS])
{
	for (unsigned order = model_orders(); order--;) {
		size_t n = blocks_drain(blocks, zone, order, 0);

		if (census)
			census[order] = n;
	}
}

void blocks_to_frames(struct blocks *blocks)
{
	struct block upper;

	for (size_t i = 0; i < blocks->n; i++)
		while (blocks->at[i].order) {
			block_halve(&blocks->at[i], &upper);
			blocks_add(blocks, &upper);
		}
}

void blocks_end(struct blocks *blocks)
{
	free(blocks->at);
	*blocks = (struct blocks){ 0 };
}

static void give_parts(struct block block)
{
	struct block upper;

	while (block.order && rng_below(&test_rng, 3)) {
		block_halve(&block, &upper);
		if (rng_below(&test_rng, 2)) {
			give_parts(upper);
		} else {
			give_parts(block);
			block = upper;
		}
	}
	block_give(&block);
}

void blocks_give(struct blocks *blocks, bool parts)
{
	while (blocks->n) {
		struct block block = blocks_pick(blocks, &test_rng);

		if (parts)
			give_parts(block);
		else
			block_give(&block);
	}
}

static void churn_take(struct blocks *blocks, bool bulk)
{
	unsigned zone = zone_any(&test_rng), order;
	struct block block;

	if (bulk && rng_below(&test_rng, 16) == 0) {
		bulk_take(blocks, zone, 1 + (unsigned)rng_below(&test_rng, 40));
		return;
	}
	order = (unsigned)rng_below(&test_rng, 1 + rng_below(&test_rng, model_orders()));
	if (block_take(&block, zone, order, rng_below(&test_rng, 4) ? 0 : (unsigned)rng_below(&test_rng, 4)))
		blocks_add(blocks, &block);
}

static void churn_give(struct blocks *blocks, bool bulk)
{
	struct block block, upper;

	if (bulk && rng_below(&test_rng, 16) == 0) {
		bulk_give(blocks, 1 + (unsigned)rng_below(&test_rng, 40));
		return;
	}
	block = blocks_pick(blocks, &test_rng);
	if (block.order && rng_below(&test_rng, 3) == 0) {
		block_halve(&block, &upper);
		blocks_add(blocks, &upper);
	}
	block_give(&block);
}

static void churn_on(struct blocks *blocks, unsigned steps, bool bulk)
{
	uint64_t taking = 5;

	for (unsigned i = 0; i < steps; i++) {
		if (rng_below(&test_rng, 200) == 0)
			taking = 2 + rng_below(&test_rng, 7);
		if (!blocks->n || rng_below(&test_rng, 10) < taking)
			churn_take(blocks, bulk);
		else
			churn_give(blocks, bulk);
	}
}

void churn(struct blocks *blocks, unsigned steps)
{
	churn_on(blocks, steps, true);
}

void churn_singly(struct blocks *blocks, unsigned steps)
{
	churn_on(blocks, steps, false);
}
