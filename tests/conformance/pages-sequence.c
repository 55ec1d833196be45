/* SPDX-License-Identifier: MIT */
/* pages-sequence.c: the calls of random sequences on the role pages. Each is judged by the model; see pages-model.h. */
#include "pages-model.h"

#include <string.h>

#define SLOTS 32

static struct {
	struct block block;
	bool used;
} slots[SLOTS];
static struct blocks filled; /* by fill, outside the slots */

static unsigned slot_of(uint64_t arg)
{
	return (unsigned)(arg % SLOTS);
}

static unsigned zone_of(uint64_t arg)
{
	return zone_at((unsigned)(arg % nr_zones()));
}

static unsigned order_of(uint64_t arg)
{
	return (unsigned)(arg % pages_orders());
}

static void begin(void)
{
	memset(slots, 0, sizeof(slots));
	blocks_end(&filled);
	model_begin();
}

static void end(void)
{
	look_counts();
	look_walk();
	for (unsigned i = 0; i < SLOTS; i++)
		if (slots[i].used)
			block_give(&slots[i].block);
	blocks_give(&filled, false);
	look_counts();
	look_walk();
	for (unsigned i = 0; i < nr_zones(); i++)
		blocks_drain_all(&filled, zone_at(i), NULL);
	blocks_give(&filled, false);
	look_counts();
	look_words();
}

/* ---- alloc, free and parts ---- */

static void draw_alloc(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS);
	step->args[1] = rng_below(rng, LOAM_ZONES);
	step->args[2] = rng_below(rng, 1 + rng_below(rng, 12));
	step->args[3] = rng_below(rng, 6) ? 0 : rng_below(rng, 4);
}

static void run_alloc(const struct step *step)
{
	unsigned slot = slot_of(step->args[0]);

	if (!slots[slot].used)
		slots[slot].used = block_take(&slots[slot].block, zone_of(step->args[1]), order_of(step->args[2]),
					      (unsigned)step->args[3] & 3);
}

static void draw_slot(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS);
}

static void run_free(const struct step *step)
{
	unsigned slot = slot_of(step->args[0]);

	if (slots[slot].used)
		block_give(&slots[slot].block);
	slots[slot].used = false;
}

static void draw_two(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS);
	step->args[1] = rng_below(rng, SLOTS);
}

/* The upper half of one block is another one from now on. */
static void run_split(const struct step *step)
{
	unsigned from = slot_of(step->args[0]), to = slot_of(step->args[1]);

	if (!slots[from].used || slots[to].used || !slots[from].block.order)
		return;
	block_halve(&slots[from].block, &slots[to].block);
	slots[to].used = true;
}

/* ---- bulk ---- */

static void draw_bulk(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, LOAM_ZONES);
	step->args[1] = rng_size(rng, 64);
}

static void run_bulk(const struct step *step)
{
	bulk_take(&filled, zone_of(step->args[0]), (unsigned)step->args[1]);
}

static void draw_free_bulk(struct rng *rng, struct step *step)
{
	step->args[0] = rng_size(rng, 64);
}

static void run_free_bulk(const struct step *step)
{
	bulk_give(&filled, (unsigned)step->args[0]);
}

/* ---- to the end and back ---- */

static void draw_fill(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, LOAM_ZONES);
	step->args[1] = rng_below(rng, 12);
}

static void run_fill(const struct step *step)
{
	blocks_drain(&filled, zone_of(step->args[0]), order_of(step->args[1]), 0);
}

static void draw_empty(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, 1000);
	step->args[1] = rng_below(rng, 4);
}

/* One of @every + 1 stays. The sequence is drawn anew from the step's own seed: what other steps there are does not matter. */
static void run_empty(const struct step *step)
{
	struct rng rng = { step->args[0] };
	struct blocks back = { 0 };

	for (size_t left = filled.n; left--;) {
		struct block block = blocks_pick(&filled, &rng);

		if (step->args[1] && left % (step->args[1] + 1) == 0)
			blocks_add(&back, &block);
		else
			block_give(&block);
	}
	blocks_end(&filled);
	filled = back;
}

/* ---- looking ---- */

static void run_look(const struct step *step)
{
	(void)step;
	look_counts();
	look_walk();
	for (unsigned i = 0; i < SLOTS; i++)
		if (slots[i].used)
			block_look(&slots[i].block);
}

static const struct sequence_op ops[] = {
	{ "alloc", { "slot", "zone", "order", "flags", NULL }, 40, draw_alloc, run_alloc },
	{ "free", { "slot", NULL }, 25, draw_slot, run_free },
	{ "split", { "slot", "to", NULL }, 12, draw_two, run_split },
	{ "bulk", { "zone", "n", NULL }, 4, draw_bulk, run_bulk },
	{ "free_bulk", { "n", NULL }, 4, draw_free_bulk, run_free_bulk },
	{ "fill", { "zone", "order", NULL }, 2, draw_fill, run_fill },
	{ "empty", { "seed", "stays", NULL }, 2, draw_empty, run_empty },
	{ "look", { NULL }, 6, NULL, run_look },
	{ NULL, { NULL }, 0, NULL, NULL },
};

const struct sequence_ops pages_sequence = {
	.name = "pages", .ops = ops, .begin = begin, .end = end, .flags = MEMFD, .memory = 24
};
