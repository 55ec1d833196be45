/* SPDX-License-Identifier: MIT */
/* vmap-sequence.c: the calls of random sequences on the role vmap, each judged by the model, in a range that is soon full. */
#include "vmap-tests.h"

#include <string.h>

#define SLOTS 24
#define RANGE 96 /* pages */

static struct area slots[SLOTS];

static void up(void)
{
	vmap_small_up(RANGE);
}

static void begin(void)
{
	memset(slots, 0, sizeof(slots));
}

static void end(void)
{
	vmap_look_range("VMAP-11", true);
	vmap_look_counters();
	vmap_areas_give(slots, SLOTS);
	vmap_look_range("VMAP-11", true);
	vmap_look_counters();
	vmap_end();
}

static void draw_map(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS);
	step->args[1] = rng_size(rng, 30);
	step->args[2] = rng_below(rng, 1 + rng_below(rng, 7));
	step->args[3] = rng_below(rng, 4);
}

static void run_map(const struct step *step)
{
	struct area *area = &slots[step->args[0] % SLOTS];

	if (!area->pub && step->args[1])
		vmap_area_take(area, step->args[1], PAGE << step->args[2] % 20, step->args[3]);
}

static void draw_slot(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS);
}

static void run_unmap(const struct step *step)
{
	struct area *area = &slots[step->args[0] % SLOTS];

	if (area->pub)
		vmap_area_give(area);
}

static void run_use(const struct step *step)
{
	struct area *area = &slots[step->args[0] % SLOTS];

	if (area->pub)
		vmap_area_look(area, "VMAP-11");
}

static void run_flush(const struct step *step)
{
	(void)step;
	vmap_flush();
}

static void run_look(const struct step *step)
{
	(void)step;
	vmap_look_range("VMAP-23", false);
	vmap_look_counters();
}

static const struct sequence_op ops[] = {
	{ "map", { "slot", "pages", "align", "writable", NULL }, 40, draw_map, run_map },
	{ "unmap", { "slot", NULL }, 30, draw_slot, run_unmap },
	{ "use", { "slot", NULL }, 20, draw_slot, run_use },
	{ "flush", { NULL }, 2, NULL, run_flush },
	{ "look", { NULL }, 4, NULL, run_look },
	{ NULL, { NULL }, 0, NULL, NULL },
};

const struct sequence_ops vmap_sequence = {
	.name = "vmap", .ops = ops, .begin = begin, .end = end, .flags = MEMFD, .up = up
};
