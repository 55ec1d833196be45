/* SPDX-License-Identifier: MIT */
/* heap-model.c: random sequences of calls against a model that knows which blocks are live and what is in them. */
#include "heap-tests.h"

#include <errno.h>

#define SLOTS 48
#define BULK 12

static struct {
	struct block slots[SLOTS];
	struct loam_stat before;
	uint64_t allocs;
	size_t live; /* usable bytes */
} model;

/* ---- arguments ---- */

static uint64_t draw_bytes(struct rng *rng)
{
	return rng_below(rng, 4) ? rng_size(rng, 512) : rng_size(rng, 70000);
}

static void draw_alloc(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS);
	step->args[1] = draw_bytes(rng);
	step->args[2] = rng_below(rng, 4) ? 1 : 1ull << rng_below(rng, 14);
}

static void draw_slot(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS);
}

static void draw_resize(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS);
	step->args[1] = draw_bytes(rng);
}

static void draw_bulk(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS);
	step->args[1] = rng_below(rng, 2) ? rng_size(rng, 512) : rng_size(rng, 9000);
	step->args[2] = 1 + rng_below(rng, BULK);
}

static void draw_bulkfree(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SLOTS);
	step->args[1] = 1 + rng_below(rng, BULK);
}

static void draw_shrink(struct rng *rng, struct step *step)
{
	step->args[0] = rng_size(rng, 4096);
}

/* ---- the model ---- */

static struct block *slot_of(const struct step *step)
{
	return &model.slots[step->args[0] % SLOTS];
}

static size_t bytes_of(uint64_t bytes)
{
	size_t max = heap_max();

	return bytes < 1 ? 1 : bytes < max ? bytes : max;
}

static size_t align_of(uint64_t align)
{
	size_t max = heap_max_align();

	align = align && !(align & (align - 1)) ? align : 1;
	return align < max ? align : max;
}

/* A block came: into @slot. Natural alignment, and that nobody else has a byte of it. */
static void came(struct block *slot, void *ptr, size_t bytes, size_t align)
{
	heap_block_is(slot, ptr, bytes, align);
	if (heap_limits().caps & LOAM_HEAP_NATURAL && !(bytes & (bytes - 1)))
		kept("HEAP-16", !((uintptr_t)ptr % bytes), "a block of %zu bytes lies at %p", bytes, ptr);
	for (size_t i = 0; i < SLOTS; i++) {
		const struct block *other = &model.slots[i];

		if (other != slot && other->ptr)
			kept("HEAP-08",
			     other->ptr + other->usable <= slot->ptr || slot->ptr + slot->usable <= other->ptr,
			     "a block of %zu bytes at %p overlaps a live one of %zu bytes at %p", bytes, ptr,
			     other->bytes, (void *)other->ptr);
	}
	model.allocs++;
	model.live += slot->usable;
}

/* A model never has much of the memory. */
static void refused(const char *op, size_t bytes, size_t align)
{
	kept("HEAP-01", model.live > heap_memory() / 8,
	     "%s of %zu bytes, alignment %zu, returned NULL with %zu bytes live", op, bytes, align, model.live);
}

static void went(struct block *slot)
{
	model.live -= slot->usable;
	slot->ptr = NULL;
}

/* ---- the calls ---- */

static void run_alloc(const struct step *step)
{
	size_t bytes = bytes_of(step->args[1]), align = align_of(step->args[2]);
	struct block *slot = slot_of(step);
	void *ptr;

	if (slot->ptr)
		return;
	ptr = heap_alloc(bytes, align, GFP_KERNEL);
	if (ptr)
		came(slot, ptr, bytes, align);
	else
		refused("alloc", bytes, align);
}

static void run_zalloc(const struct step *step)
{
	size_t bytes = bytes_of(step->args[1]), align = align_of(step->args[2]);
	struct block *slot = slot_of(step);
	char *ptr;

	if (slot->ptr)
		return;
	ptr = heap_zalloc(bytes, align, GFP_KERNEL);
	if (!ptr) {
		refused("zalloc", bytes, align);
		return;
	}
	for (size_t i = 0; i < bytes; i++)
		kept("HEAP-09", !ptr[i], "byte %zu of a zalloc of %zu is %#x", i, bytes, (unsigned char)ptr[i]);
	came(slot, ptr, bytes, align);
}

static void run_free(const struct step *step)
{
	struct block *slot = slot_of(step);

	if (!slot->ptr)
		return;
	heap_block_intact(slot, "HEAP-07", "other calls");
	heap_free(slot->ptr);
	went(slot);
}

static void run_resize(const struct step *step)
{
	size_t bytes = bytes_of(step->args[1]), same, at = 0, usable;
	struct block *slot = slot_of(step);

	if (!slot->ptr)
		return;
	same = bytes < slot->usable ? bytes : slot->usable;
	if (!heap_resize(slot->ptr, bytes)) {
		heap_block_intact(slot, "HEAP-11", "resize that returned false");
		return;
	}
	usable = heap_usable(slot->ptr);
	kept("HEAP-10", usable >= bytes && pattern_check(slot->ptr, same, slot->seed, &at),
	     "resize of %zu usable bytes to %zu returned true: usable_size is %zu, wrong contents from byte %zu",
	     slot->usable, bytes, usable, at);
	model.live += usable - slot->usable;
	slot->bytes = bytes;
	slot->usable = usable;
	pattern_write(slot->ptr, usable, slot->seed);
}

static void run_bulk(const struct step *step)
{
	size_t bytes = bytes_of(step->args[1]);
	unsigned from = (unsigned)(step->args[0] % SLOTS), n = (unsigned)(step->args[2] % (BULK + 1)), got;
	void *out[BULK];

	n = n < SLOTS - from ? n : SLOTS - from;
	for (unsigned i = 0; i < n; i++)
		if (model.slots[from + i].ptr)
			n = i;
	if (!n)
		return;
	got = heap_alloc_bulk(bytes, GFP_KERNEL, n, out);
	kept("HEAP-05", got == n || !got, "alloc_bulk of %u blocks of %zu bytes returned %u", n, bytes, got);
	if (!got)
		refused("alloc_bulk", bytes, 1);
	for (unsigned i = 0; i < got; i++)
		came(&model.slots[from + i], out[i], bytes, 1);
}

static void run_bulkfree(const struct step *step)
{
	unsigned from = (unsigned)(step->args[0] % SLOTS), n = (unsigned)(step->args[1] % (BULK + 1)), live = 0;
	void *ptrs[BULK];

	for (unsigned i = 0; i < n && from + i < SLOTS; i++) {
		struct block *slot = &model.slots[from + i];

		if (!slot->ptr)
			continue;
		heap_block_intact(slot, "HEAP-07", "other calls");
		ptrs[live++] = slot->ptr;
		went(slot);
	}
	if (live)
		heap_free_bulk(live, ptrs);
}

/* All of it is written anew. */
static void run_write(const struct step *step)
{
	struct block *slot = slot_of(step);

	if (!slot->ptr)
		return;
	heap_block_intact(slot, "HEAP-07", "other calls");
	slot->seed++;
	pattern_write(slot->ptr, slot->usable, slot->seed);
}

static void run_usable(const struct step *step)
{
	struct block *slot = slot_of(step);

	if (slot->ptr)
		kept("HEAP-03", heap_usable(slot->ptr) == slot->usable,
		     "usable_size of a live block of %zu bytes was %zu and is %zu", slot->bytes, slot->usable,
		     heap_usable(slot->ptr));
}

static void run_shrink(const struct step *step)
{
	shrink_now(step->args[0]);
}

/* ---- what the subject tells of itself ---- */

static void counters_agree(void)
{
	struct loam_stat now = stat_now();
	uint64_t live = 0;

	for (size_t i = 0; i < SLOTS; i++)
		live += model.slots[i].ptr != NULL;
	kept("PLUG-31", now.live_blocks - model.before.live_blocks == live,
	     "%llu blocks live, and live_blocks went from %llu to %llu", (unsigned long long)live,
	     (unsigned long long)model.before.live_blocks, (unsigned long long)now.live_blocks);
	kept("PLUG-31", now.allocs - now.frees == now.live_blocks && now.allocs - model.before.allocs >= model.allocs,
	     "after %llu allocations allocs went from %llu to %llu; frees is %llu, live_blocks %llu",
	     (unsigned long long)model.allocs, (unsigned long long)model.before.allocs, (unsigned long long)now.allocs,
	     (unsigned long long)now.frees, (unsigned long long)now.live_blocks);
	kept("PLUG-32", !heap_inside() || now.live_bytes - model.before.live_bytes == model.live,
	     "%zu usable bytes live, and live_bytes went from %llu to %llu", model.live,
	     (unsigned long long)model.before.live_bytes, (unsigned long long)now.live_bytes);
}

struct seen {
	bool block[SLOTS];
	unsigned live;
};

static int see(void *arg, const struct loam_span *span)
{
	struct seen *seen = arg;

	if (span->kind != LOAM_SPAN_LIVE)
		return 0;
	seen->live++;
	for (size_t i = 0; i < SLOTS; i++) {
		const struct block *slot = &model.slots[i];

		if (slot->ptr && slot->ptr == span->addr && slot->usable <= span->bytes)
			seen->block[i] = true;
	}
	return 0;
}

static void walk_agrees(void)
{
	struct seen seen = { .live = 0 };
	unsigned live = 0;

	if (walk_now(see, &seen) == -ENOTSUP)
		return;
	for (size_t i = 0; i < SLOTS; i++) {
		live += model.slots[i].ptr != NULL;
		kept("PLUG-34", !model.slots[i].ptr || seen.block[i],
		     "walk does not show a live block of %zu bytes at %p", model.slots[i].bytes,
		     (void *)model.slots[i].ptr);
	}
	kept("PLUG-34", seen.live == live, "%u blocks live, and walk shows %u live spans", live, seen.live);
}

static void run_check(const struct step *step)
{
	const char *defect;

	(void)step;
	heap_blocks_intact(model.slots, SLOTS, "HEAP-07", "other calls");
	counters_agree();
	walk_agrees();
	kept("PLUG-09", !check_now(&defect), "check says: %s", defect);
}

/* ---- from beginning to end ---- */

static void begin(void)
{
	model.before = stat_now();
}

static void end(void)
{
	run_check(NULL);
	for (size_t i = 0; i < SLOTS; i++)
		if (model.slots[i].ptr) {
			heap_block_give(&model.slots[i]);
			went(&model.slots[i]);
		}
	counters_agree();
	walk_agrees();
}

static const struct sequence_op ops[] = {
	{ "alloc", { "slot", "bytes", "align" }, 24, draw_alloc, run_alloc },
	{ "zalloc", { "slot", "bytes", "align" }, 8, draw_alloc, run_zalloc },
	{ "free", { "slot" }, 24, draw_slot, run_free },
	{ "resize", { "slot", "bytes" }, 8, draw_resize, run_resize },
	{ "bulk", { "slot", "bytes", "n" }, 5, draw_bulk, run_bulk },
	{ "bulkfree", { "slot", "n" }, 3, draw_bulkfree, run_bulkfree },
	{ "write", { "slot" }, 6, draw_slot, run_write },
	{ "usable", { "slot" }, 4, draw_slot, run_usable },
	{ "shrink", { "n" }, 1, draw_shrink, run_shrink },
	{ "check", { NULL }, 2, NULL, run_check },
	{ NULL, { NULL }, 0, NULL, NULL },
};

const struct sequence_ops heap_sequence = { .name = "heap", .ops = ops, .begin = begin, .end = end };

void heap_model(void)
{
	sequence_test(&heap_sequence, 1500);
}
