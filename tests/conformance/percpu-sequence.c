/* SPDX-License-Identifier: MIT */
/* percpu-sequence.c: the calls of random sequences on the role percpu, each judged by the model of percpu-model.c. */
#include "percpu-model.h"

#include <string.h>

#define SLOTS 32

static struct {
	struct chunk chunk;
	bool used;
} slots[SLOTS];
static struct chunks filled; /* by fill, outside the slots */

static void begin(void)
{
	memset(slots, 0, sizeof(slots));
	chunks_end(&filled);
	pcpu_begin();
}

static void run_look(const struct step *step)
{
	struct loam_stat stat = stat_now();
	uint64_t n = filled.n;

	(void)step;
	chunks_look(&filled);
	for (unsigned i = 0; i < SLOTS; i++)
		if (slots[i].used) {
			chunk_look(&slots[i].chunk);
			n++;
		}
	kept("PCPU-23", stat.live_blocks == n, "live_blocks is %llu, and %llu are held",
	     (unsigned long long)stat.live_blocks, (unsigned long long)n);
}

static void end(void)
{
	run_look(NULL);
	for (unsigned i = 0; i < SLOTS; i++)
		if (slots[i].used)
			chunk_give(&slots[i].chunk);
	chunks_give(&filled);
	memset(slots, 0, sizeof(slots));
	run_look(NULL);
	pcpu_end();
}

static void draw_alloc(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS);
	step->args[1] = rng_below(rng, 3) ? rng_size(rng, 300) : rng_size(rng, PCPU_LARGEST);
	step->args[2] = rng_below(rng, 13);
	step->args[3] = rng_below(rng, 4);
}

static void run_alloc(const struct step *step)
{
	static const gfp_t ways[] = { GFP_KERNEL, GFP_NOFS, GFP_ATOMIC, GFP_NOWAIT };
	size_t bytes = (step->args[1] - 1) % PCPU_LARGEST + 1, align = (size_t)1 << step->args[2] % 13;
	gfp_t gfp = ways[step->args[3] % LOAM_LEN(ways)] | __GFP_NOWARN;
	unsigned slot = (unsigned)(step->args[0] % SLOTS);

	if (slots[slot].used)
		return;
	slots[slot].used = chunk_take(&slots[slot].chunk, bytes, align, gfp);
	if (!slots[slot].used && bytes <= PCPU_WORD && align <= PCPU_WORD && gfp & __GFP_DIRECT_RECLAIM)
		kept("PCPU-09", !pcpu_free_bytes(), "one word is refused, and %zu bytes are free", pcpu_free_bytes());
}

static void draw_free(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS);
}

static void run_free(const struct step *step)
{
	unsigned slot = (unsigned)(step->args[0] % SLOTS);

	if (slots[slot].used)
		chunk_give(&slots[slot].chunk);
	slots[slot].used = false;
}

static void draw_number(struct rng *rng, struct step *step)
{
	step->args[0] = rng_size(rng, 300);
}

static void run_shrink(const struct step *step)
{
	shrink_now(step->args[0]);
}

static void draw_fill(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, 4);
}

static void run_fill(const struct step *step)
{
	chunks_drain(&filled, PCPU_LARGEST >> step->args[0] % 4);
}

static void draw_empty(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, 1000);
}

/* The sequence is drawn anew from the step's own seed: what other steps there are does not matter. */
static void run_empty(const struct step *step)
{
	struct rng rng = { step->args[0] };

	for (size_t stays = step->args[0] % 3 ? 0 : filled.n / 3; filled.n > stays;) {
		struct chunk chunk = chunks_pick(&filled, &rng);

		chunk_give(&chunk);
	}
}

static const struct sequence_op ops[] = {
	{ "alloc", { "slot", "bytes", "align", "gfp", NULL }, 40, draw_alloc, run_alloc },
	{ "free", { "slot", NULL }, 30, draw_free, run_free },
	{ "shrink", { "pages", NULL }, 4, draw_number, run_shrink },
	{ "fill", { "size", NULL }, 1, draw_fill, run_fill },
	{ "empty", { "seed", NULL }, 2, draw_empty, run_empty },
	{ "look", { NULL }, 4, NULL, run_look },
	{ NULL, { NULL }, 0, NULL, NULL },
};

const struct sequence_ops percpu_sequence = { .name = "percpu", .ops = ops, .begin = begin, .end = end, .memory = 48 };
