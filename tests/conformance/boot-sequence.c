/* SPDX-License-Identifier: MIT */
/* boot-sequence.c: the calls of random sequences on the role boot. Each is judged by the model; see boot-model.h. */
#include "boot-model.h"

#include <string.h>

#define SLOTS 24

static struct loam_boot_range slots[SLOTS]; /* bytes 0: empty */

static void begin(void)
{
	memset(slots, 0, sizeof(slots));
	boot_begin();
	boot_ragged();
}

static void end(void)
{
	boot_look();
	boot_free_all();
}

static void draw_alloc(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS) | rng_below(rng, 2) << 8;
	step->args[1] =
		rng_below(rng, 3) ? rng_size(rng, 6 * LOAM_PAGE_SIZE) : (1 + rng_below(rng, 4)) << LOAM_PAGE_SHIFT;
	step->args[2] = rng_below(rng, 16);
	step->args[3] = rng_below(rng, 3) ? 0 : rng_next(rng) >> 1;
}

/* The limits, both out of one argument; 0: all. */
static void run_alloc(const struct step *step)
{
	struct loam_boot_range *slot = &slots[(step->args[0] & 0xff) % SLOTS];
	uint64_t limits = step->args[3];
	struct request request = { .bytes = step->args[1],
				   .align = (loam_phys_t)1 << step->args[2] % 16,
				   .low = limits % BOOT_BYTES,
				   .high = BOOT_BYTES,
				   .flags = step->args[0] >> 8 & 1 };
	loam_phys_t at;

	if (slot->bytes || !request.bytes)
		return;
	if (limits)
		request.high = request.low + 1 + (limits >> 32) % BOOT_BYTES;
	at = model_alloc(&request);
	if (at != NOWHERE)
		*slot = (struct loam_boot_range){ at, request.bytes };
}

static void draw_free(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS);
	step->args[1] = rng_below(rng, 4) ? 0 : rng_below(rng, 5000);
}

/* Whole, or the first bytes of it alone. */
static void run_free(const struct step *step)
{
	struct loam_boot_range *slot = &slots[step->args[0] % SLOTS];
	uint64_t part = step->args[1] && step->args[1] < slot->bytes ? step->args[1] : slot->bytes;

	if (!slot->bytes)
		return;
	model_free(slot->base, part);
	slot->base += part;
	slot->bytes -= part;
}

static void draw(struct rng *rng, struct step *step)
{
	struct loam_boot_range range = draw_range(rng);

	step->args[0] = range.base;
	step->args[1] = range.bytes;
}

static void run_range(const struct step *step, void (*fn)(loam_phys_t base, loam_phys_t bytes))
{
	loam_phys_t base = step->args[0] % BOOT_BYTES, room = BOOT_BYTES - base;

	fn(base, step->args[1] < room ? step->args[1] : room);
}

static void run_add(const struct step *step)
{
	run_range(step, model_add);
}

static void run_remove(const struct step *step)
{
	run_range(step, model_remove);
}

static void run_reserve(const struct step *step)
{
	run_range(step, model_reserve);
}

/* Of what is in no slot, for a slot's range may be given out anew then. */
static void run_free_range(const struct step *step)
{
	loam_phys_t base = step->args[0] % BOOT_BYTES, end = base + step->args[1];

	for (unsigned i = 0; i < SLOTS; i++)
		if (slots[i].bytes && slots[i].base < end && slots[i].base + slots[i].bytes > base)
			slots[i].bytes = 0;
	run_range(step, model_free);
}

static void run_look(const struct step *step)
{
	(void)step;
	boot_look();
}

static const struct sequence_op ops[] = {
	{ "alloc", { "slot", "bytes", "align", "limits", NULL }, 40, draw_alloc, run_alloc },
	{ "free", { "slot", "part", NULL }, 25, draw_free, run_free },
	{ "add", { "base", "bytes", NULL }, 5, draw, run_add },
	{ "remove", { "base", "bytes", NULL }, 3, draw, run_remove },
	{ "reserve", { "base", "bytes", NULL }, 3, draw, run_reserve },
	{ "free_range", { "base", "bytes", NULL }, 4, draw, run_free_range },
	{ "look", { NULL }, 5, NULL, run_look },
	{ NULL, { NULL }, 0, NULL, NULL },
};

const struct sequence_ops boot_sequence = { .name = "boot", .ops = ops, .begin = begin, .end = end, .memory = 8 };
