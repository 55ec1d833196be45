/* SPDX-License-Identifier: MIT */
/*
 * objects-model.c: random sequences of calls. The model knows which caches there are, which objects of them are live, and what lies in
 * each; caches with a constructor are watched by objects-tracked.c besides. What the instance tells must be what the model knows.
 */
#include "objects-tests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CACHES 6
#define SLOTS 512
#define SINGLES 48 /* alloc and free of one object keep to the first slots, so that they meet */
#define BULK 256

struct model_cache {
	struct loam_cache *cache; /* NULL: none */
	struct tracked *tracked;  /* with a constructor; else NULL */
	unsigned live;
};

struct model_object {
	char *ptr; /* NULL: none */
	unsigned cache;
	uint64_t seed; /* of its contents; a tracked one's are tracked */
};

static struct {
	struct model_cache caches[CACHES];
	struct model_object objects[SLOTS];
	unsigned live;
	uint64_t seed, allocs, frees;
	struct loam_stat base;
} model;

static void begin(void)
{
	memset(&model, 0, sizeof(model));
	model.base = stat_now();
}

/* ---- objects in and out ---- */

static void came(struct model_object *object, unsigned cache, void *ptr)
{
	size_t bytes = model.caches[cache].cache->object_size;

	*object = (struct model_object){ ptr, cache, ++model.seed * 0x9e3779b97f4a7c15u };
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct model_object *other = &model.objects[i];

		if (other == object || !other->ptr)
			continue;
		kept("OBJ-03",
		     object->ptr + bytes <= other->ptr ||
			     other->ptr + model.caches[other->cache].cache->object_size <= object->ptr,
		     "object %p of %zu bytes overlaps the live one at %p", ptr, bytes, (void *)other->ptr);
	}
	if (!model.caches[cache].tracked)
		pattern_write(ptr, bytes, object->seed);
	model.caches[cache].live++;
	model.live++;
	model.allocs++;
}

static void intact(const struct model_object *object)
{
	const struct model_cache *cache = &model.caches[object->cache];

	if (cache->tracked)
		tracked_intact(cache->tracked, object->ptr, "OBJ-08");
	else
		kept("OBJ-08", pattern_check(object->ptr, cache->cache->object_size, object->seed, NULL),
		     "the contents of the live object %p (%u bytes) changed", (void *)object->ptr,
		     cache->cache->object_size);
}

/* Before its free. */
static void goes(struct model_object *object)
{
	intact(object);
	object->ptr = NULL;
	model.caches[object->cache].live--;
	model.live--;
	model.frees++;
}

static void free_one(struct model_object *object)
{
	struct model_cache *cache = &model.caches[object->cache];
	void *ptr = object->ptr;

	goes(object);
	if (cache->tracked)
		tracked_free(cache->tracked, ptr);
	else
		cache_free(cache->cache, ptr);
}

/* ---- caches ---- */

enum cache_kind { PLAIN, LINE, BUILT, UNMADE, RED, POISONED, KINDS };

static uint32_t kind_flags(unsigned kind)
{
	uint32_t red = objects_claim(LOAM_OBJECTS_RED_ZONE) ? SLAB_RED_ZONE : 0;
	uint32_t poison = objects_claim(LOAM_OBJECTS_POISON) ? SLAB_POISON : 0;

	return kind == LINE ? SLAB_HWCACHE_ALIGN : kind == RED ? red : kind == POISONED ? red | poison : 0;
}

static void draw_create(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, CACHES);
	step->args[1] = rng_size(rng, 6000);
	step->args[2] = rng_below(rng, 3) ? 0 : 1ul << rng_below(rng, 10);
	step->args[3] = rng_below(rng, KINDS);
}

static void run_create(const struct step *step)
{
	struct model_cache *cache = &model.caches[step->args[0] % CACHES];
	unsigned kind = step->args[3] % KINDS;
	struct loam_cache_args args = { .name = "model", .object_size = step->args[1], .align = step->args[2] };

	if (cache->cache)
		return;
	if (kind == BUILT || kind == UNMADE) {
		cache->tracked = tracked_new((unsigned)(cache - model.caches), step->args[1], 0, kind == UNMADE);
		cache->cache = cache->tracked ? cache->tracked->cache : NULL;
		return;
	}
	args.flags = kind_flags(kind);
	cache->cache = cache_maybe(args);
}

static void draw_cache(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, CACHES);
}

static struct model_cache *cache_of(const struct step *step)
{
	struct model_cache *cache = &model.caches[step->args[0] % CACHES];

	return cache->cache ? cache : NULL;
}

static void end_cache(struct model_cache *cache)
{
	if (cache->tracked)
		tracked_gone(cache->tracked);
	else
		cache_gone(cache->cache);
	*cache = (struct model_cache){ 0 };
}

static void run_destroy(const struct step *step)
{
	struct model_cache *cache = cache_of(step);
	int error;

	if (!cache)
		return;
	if (!cache->live) {
		end_cache(cache);
		return;
	}
	error = cache_destroy_op(cache->cache);
	kept("OBJ-25", error == -EBUSY, "%u objects are live, and destroy returns %d", cache->live, error);
}

static void run_shrink(const struct step *step)
{
	struct model_cache *cache = cache_of(step);

	if (cache)
		cache_shrink(cache->cache);
}

/* ---- single objects ---- */

static void draw_alloc(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, CACHES);
	step->args[1] = rng_below(rng, SINGLES);
}

static void run_alloc(const struct step *step)
{
	struct model_object *object = &model.objects[step->args[1] % SLOTS];
	struct model_cache *cache = cache_of(step);
	void *ptr;

	if (!cache || object->ptr)
		return;
	ptr = cache->tracked ? tracked_alloc(cache->tracked, QUIET) : cache_alloc(cache->cache, QUIET);
	kept("OBJ-16", ptr, "no object of %u bytes, and memory is there", cache->cache->object_size);
	came(object, (unsigned)(cache - model.caches), ptr);
}

static void draw_slot(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, SINGLES);
}

static void run_free(const struct step *step)
{
	struct model_object *object = &model.objects[step->args[0] % SLOTS];

	if (object->ptr)
		free_one(object);
}

static void run_kfree(const struct step *step)
{
	struct model_object *object = &model.objects[step->args[0] % SLOTS];
	void *ptr = object->ptr;

	if (!ptr || !objects_claim(LOAM_OBJECTS_KFREE))
		return;
	goes(object);
	if (model.caches[object->cache].tracked)
		tracked_leave(model.caches[object->cache].tracked, ptr, true);
	heap_free(ptr);
}

/* ---- many at once ---- */

static void draw_bulk(struct rng *rng, struct step *step)
{
	step->args[0] = rng_below(rng, CACHES);
	step->args[1] = rng_below(rng, SLOTS);
	step->args[2] = 1 + rng_below(rng, rng_below(rng, 3) ? 20 : BULK);
}

/* Up to @step's n slots from its slot on that are empty, or have an object of the cache; their numbers into @slots. */
static unsigned find_slots(const struct step *step, bool empty, unsigned *slots)
{
	unsigned n = 0, most = step->args[2] < BULK ? (unsigned)step->args[2] : BULK;

	for (unsigned i = 0; i < SLOTS && n < most; i++) {
		unsigned slot = (unsigned)((step->args[1] + i) % SLOTS);
		const struct model_object *object = &model.objects[slot];

		if (empty ? !object->ptr : object->ptr && object->cache == step->args[0] % CACHES)
			slots[n++] = slot;
	}
	return n;
}

static void run_bulk(const struct step *step)
{
	struct model_cache *cache = cache_of(step);
	unsigned slots[BULK], n, got;
	void *out[BULK];

	/* Large ones would be all there is. */
	if (!cache || cache->cache->object_size * (size_t)SLOTS > 4u << 20)
		return;
	n = find_slots(step, true, slots);
	got = cache->tracked ? tracked_alloc_bulk(cache->tracked, n, out)
			     : cache_alloc_bulk(cache->cache, QUIET, n, out);
	kept("OBJ-04", got == n, "alloc_bulk of %u returns %u, and memory is there", n, got);
	for (unsigned i = 0; i < n; i++)
		came(&model.objects[slots[i]], (unsigned)(cache - model.caches), out[i]);
}

static void run_bulk_free(const struct step *step)
{
	struct model_cache *cache = cache_of(step);
	unsigned slots[BULK], n;
	void *objects[BULK];

	if (!cache)
		return;
	n = find_slots(step, false, slots);
	for (unsigned i = 0; i < n; i++) {
		objects[i] = model.objects[slots[i]].ptr;
		goes(&model.objects[slots[i]]);
	}
	if (cache->tracked)
		tracked_free_bulk(cache->tracked, n, objects);
	else
		cache_free_bulk(cache->cache, n, objects);
}

/* ---- what is told ---- */

static void check_stat(void)
{
	struct loam_stat now = stat_now();
	uint64_t bytes = 0;

	for (unsigned i = 0; i < CACHES; i++)
		if (model.caches[i].cache)
			bytes += (uint64_t)model.caches[i].live * model.caches[i].cache->object_size;
	kept("PLUG-31", now.live_blocks - model.base.live_blocks == model.live, "%u objects are live, stat tells %llu",
	     model.live, (unsigned long long)(now.live_blocks - model.base.live_blocks));
	kept("PLUG-31", now.allocs - model.base.allocs - (now.frees - model.base.frees) == model.live,
	     "%u objects are live, stat tells %llu allocs, %llu frees", model.live,
	     (unsigned long long)(now.allocs - model.base.allocs), (unsigned long long)(now.frees - model.base.frees));
	kept("PLUG-32", now.live_bytes - model.base.live_bytes >= bytes, "%llu bytes are live, stat tells %llu",
	     (unsigned long long)bytes, (unsigned long long)(now.live_bytes - model.base.live_bytes));
}

struct seeing {
	bool seen[SLOTS];
	unsigned live;
};

static int see(void *arg, const struct loam_span *span)
{
	struct seeing *seeing = arg;

	if (span->kind != LOAM_SPAN_LIVE)
		return 0;
	seeing->live++;
	for (unsigned i = 0; i < SLOTS; i++) {
		const struct model_object *object = &model.objects[i];

		if (object->ptr != span->addr)
			continue;
		kept("PLUG-34", !seeing->seen[i], "walk shows the object %p twice", span->addr);
		kept("PLUG-34", span->bytes >= model.caches[object->cache].cache->object_size,
		     "walk shows %zu bytes of the object %p", span->bytes, span->addr);
		seeing->seen[i] = true;
		return 0;
	}
	broken("PLUG-34", "walk shows a live block of %zu bytes at %p, and none is there", span->bytes, span->addr);
}

static void run_check(const struct step *step)
{
	struct seeing seeing = { .live = 0 };
	const char *text;

	(void)step;
	check_stat();
	for (unsigned i = 0; i < SLOTS; i++)
		if (model.objects[i].ptr)
			intact(&model.objects[i]);
	if (walk_now(see, &seeing) == 0)
		kept("PLUG-34", seeing.live == model.live, "%u objects are live, walk shows %u", model.live,
		     seeing.live);
	kept("PLUG-09", !check_now(&text), "check: %s", text);
}

static void end(void)
{
	run_check(NULL);
	for (unsigned i = 0; i < SLOTS; i++)
		if (model.objects[i].ptr)
			free_one(&model.objects[i]);
	run_check(NULL);
	for (unsigned i = 0; i < CACHES; i++)
		if (model.caches[i].cache)
			end_cache(&model.caches[i]);
}

/* ---- the ops ---- */

static const struct sequence_op ops[] = {
	{ "create", { "cache", "bytes", "align", "kind", NULL }, 6, draw_create, run_create },
	{ "destroy", { "cache", NULL }, 3, draw_cache, run_destroy },
	{ "alloc", { "cache", "slot", NULL }, 30, draw_alloc, run_alloc },
	{ "free", { "slot", NULL }, 24, draw_slot, run_free },
	{ "kfree", { "slot", NULL }, 2, draw_slot, run_kfree },
	{ "bulk", { "cache", "slot", "n", NULL }, 8, draw_bulk, run_bulk },
	{ "bulkfree", { "cache", "slot", "n", NULL }, 9, draw_bulk, run_bulk_free },
	{ "shrink", { "cache", NULL }, 3, draw_cache, run_shrink },
	{ "check", { NULL }, 3, NULL, run_check },
	{ NULL, { NULL }, 0, NULL, NULL },
};

const struct sequence_ops objects_sequence = {
	.name = "objects",
	.ops = ops,
	.begin = begin,
	.end = end,
};

void objects_model(void)
{
	sequence_test(&objects_sequence, 400);
}
