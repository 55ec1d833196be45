/* SPDX-License-Identifier: MIT */
/* pages-model.c: one byte a frame says what it is; whatever the plugin hands out or refuses is held against that. */
#include "pages-model.h"

#include <stdlib.h>
#include <string.h>

enum { HOLE, FREE, LIVE };

#define BULK_MAX 64

static struct {
	uint8_t *frames;
	unsigned long nr; /* frames of the machine */
	unsigned zones[LOAM_ZONES], nr_zones;
	unsigned long free[LOAM_ZONES], all[LOAM_ZONES];
	unsigned orders;
	uint64_t takes; /* for seeds */
	const char *blame;
	bool blame_all;
	bool starves;
} model;

static const char *or_blame(const char *clause)
{
	return model.blame ? model.blame : clause;
}

/* Of what is wrong with a block whatever came before it. */
static const char *or_blame_all(const char *clause)
{
	return model.blame_all ? model.blame : clause;
}

void model_blames(const char *clause)
{
	model.blame = clause;
	model.blame_all = false;
}

void model_blames_for_all(const char *clause)
{
	model.blame = clause;
	model.blame_all = clause != NULL;
}

void model_starves(bool on)
{
	model.starves = on;
	shim_fail_meta(0);
}

/* In front of each op. */
static void starve(void)
{
	if (model.starves)
		shim_fail_meta(1);
}

/* ---- zones ---- */

static const struct loam_zone *zone_pub(unsigned zone)
{
	return &loam__machine.zones[zone].pub;
}

static unsigned long pfn_of(const struct page *page)
{
	return loam_page_pfn(&loam__machine.map, page);
}

unsigned model_orders(void)
{
	return model.orders;
}

unsigned nr_zones(void)
{
	return model.nr_zones;
}

unsigned zone_at(unsigned i)
{
	return model.zones[i];
}

unsigned zone_any(struct rng *rng)
{
	return model.zones[rng_below(rng, model.nr_zones)];
}

unsigned long zone_frames(unsigned zone)
{
	return model.all[zone];
}

unsigned long zone_free(unsigned zone)
{
	return model.free[zone];
}

bool zone_high(unsigned zone)
{
	return !loam_page_ptr(&loam__machine.map, loam__machine.map.pages + zone_pub(zone)->start_pfn);
}

/* Places never reach over a zone's ends: the frames behind them are of another zone or there are none. */
static bool place_free(const struct loam_zone *zone, unsigned long pfn, unsigned order)
{
	const uint8_t *at = model.frames + pfn;

	return pfn >= zone->start_pfn && pfn + (1ul << order) <= zone->end_pfn && *at == FREE &&
	       !memcmp(at, at + 1, (1ul << order) - 1);
}

/* Up to @most of them. */
static unsigned long places(unsigned zone, unsigned order, unsigned long most)
{
	const struct loam_zone *pub = zone_pub(zone);
	unsigned long step = 1ul << order, n = 0;

	for (unsigned long pfn = pub->start_pfn & -step; pfn < pub->end_pfn && n < most; pfn += step)
		n += place_free(pub, pfn, order);
	return n;
}

unsigned long zone_places(unsigned zone, unsigned order)
{
	return places(zone, order, ~0ul);
}

/* ---- the model ---- */

static void add_runs(void)
{
	const struct loam__range all = { 0, model.nr }, *ram = loam__ram ? loam__ram : &all;

	for (unsigned i = 0; i < (loam__ram ? loam__nr_ram : 1); i++)
		memset(model.frames + ram[i].pfn, FREE, ram[i].count);
}

void model_begin(void)
{
	free(model.frames);
	memset(&model, 0, sizeof(model));
	model.nr = loam__machine.map.nr_pages;
	model.frames = calloc(model.nr + 1, 1);
	if (!model.frames)
		trouble("no memory for a model of %lu frames", model.nr);
	add_runs();
	for (unsigned zone = 0; zone < LOAM_ZONES; zone++) {
		const struct loam_zone *pub = zone_pub(zone);

		for (unsigned long pfn = pub->start_pfn; pfn < pub->end_pfn; pfn++)
			model.all[zone] += model.frames[pfn] == FREE;
		model.free[zone] = model.all[zone];
		if (model.all[zone])
			model.zones[model.nr_zones++] = zone;
	}
	model.orders = pages_orders();
	if (loam__machine.boot_used)
		trouble("%lu frames are in use when the test begins", loam__machine.boot_used);
}

void model_end(void)
{
	model_blames(NULL);
	model_starves(false);
	for (unsigned long pfn = 0; pfn < model.nr; pfn++)
		if (model.frames[pfn] == LIVE)
			trouble("the test did not give frame %lu back", pfn);
	look_counts();
	look_words();
	machine_down();
}

/* ---- the holder's words in struct pages ---- */

static uint64_t mix(uint64_t seed, unsigned long i, unsigned word)
{
	uint64_t z = (seed + i * 16 + word) * 0x9e3779b97f4a7c15u;

	return z ^ (z >> 29);
}

/* What the holder of frame @i of @block has in its struct page. */
static struct page words_of(const struct block *block, unsigned long i)
{
	struct page page = { .flags = (mix(block->seed, i, 0) & ~LOAM_PAGE_ZONE_MASK) | block->zone,
			     ._refcount = i ? (int)(mix(block->seed, i, 1) & 0xffff) : 1,
			     ._mapcount = (int)(mix(block->seed, i, 2) & 0xff),
			     .index = mix(block->seed, i, 3),
			     .priv = mix(block->seed, i, 4),
			     .owner = subject->owner,
			     .block = (uint32_t)(i << 8 | block->order) };

	for (unsigned word = 0; word < LOAM_LEN(page.own); word++)
		page.own[word] = (void *)mix(block->seed, i, 5 + word);
	return page;
}

/* Neighbours are looked at by the plugin meanwhile, at their _mapcount. */
static void write_words(struct page *page, const struct page *words)
{
	__atomic_store_n(&page->_mapcount, words->_mapcount, __ATOMIC_RELAXED);
	page->flags = words->flags;
	page->_refcount = words->_refcount;
	memcpy(page->own, words->own, sizeof(page->own));
	page->index = words->index;
	page->priv = words->priv;
	page->owner = words->owner;
	page->block = words->block;
}

static void claim(const struct block *block)
{
	for (unsigned long i = 0; i < 1ul << block->order; i++) {
		struct page words = words_of(block, i);

		write_words(&block->page[i], &words);
	}
}

static const char *changed(const struct page *page, const struct page *words)
{
	return page->flags != words->flags           ? "flags"
	       : page->_refcount != words->_refcount ? "_refcount"
	       : page->_mapcount != words->_mapcount ? "_mapcount"
	       : page->own[0] != words->own[0]       ? "own[0]"
	       : page->own[1] != words->own[1]       ? "own[1]"
	       : page->own[2] != words->own[2]       ? "own[2]"
	       : page->index != words->index         ? "index"
	       : page->priv != words->priv           ? "priv"
	       : page->owner != words->owner         ? "owner"
	       : page->block != words->block         ? "block"
						     : NULL;
}

void block_look(const struct block *block)
{
	for (unsigned long i = 0; i < 1ul << block->order; i++) {
		struct page words = words_of(block, i);
		const char *word = changed(&block->page[i], &words);

		kept("PAGES-10", !word, "%s of frame %lu, which is live, was overwritten", word,
		     pfn_of(block->page) + i);
	}
}

/* As the host leaves them in front of a free. */
static void disclaim(const struct block *block)
{
	for (unsigned long i = 0; i < 1ul << block->order; i++) {
		struct page *page = &block->page[i];

		__atomic_store_n(&page->_mapcount, 0, __ATOMIC_RELAXED);
		page->_refcount = 0;
		page->owner = page->block = 0;
	}
}

/* ---- takes and gives ---- */

static void look_at_fresh(const struct page *page, unsigned zone)
{
	unsigned long pfn = pfn_of(page), bits = page->flags & LOAM_PAGE_ZONE_MASK;

	kept("PAGES-12", !page->_mapcount, "_mapcount of frame %lu is %#x when it is handed out", pfn,
	     (unsigned)page->_mapcount);
	kept("PAGES-11", !page->owner && !page->block && !page->_refcount && (bits == zone || !page->flags),
	     "owner %#x, block %#x, _refcount %d, zone %lu in frame %lu, which is handed out: not as the host left "
	     "them",
	     page->owner, page->block, page->_refcount, bits, pfn);
}

static void judge(unsigned zone, unsigned order, const struct page *page)
{
	const struct loam_zone *pub = zone_pub(zone);
	unsigned long pfn = pfn_of(page), step = 1ul << order;

	kept(or_blame_all("PAGES-01"), page >= loam__machine.map.pages && pfn < model.nr && step <= model.nr - pfn,
	     "a block of order %u at frame %ld; the machine has %lu frames", order, (long)pfn, model.nr);
	kept(or_blame_all("PAGES-07"), !(pfn & (step - 1)), "a block of order %u begins at frame %lu", order, pfn);
	for (unsigned long i = pfn; i < pfn + step; i++) {
		kept(or_blame_all("PAGES-02"), i >= pub->start_pfn && i < pub->end_pfn,
		     "frame %lu of a block of order %u at %lu; zone %s is %lu to %lu", i, order, pfn, pub->name,
		     pub->start_pfn, pub->end_pfn - 1);
		kept(or_blame_all("PAGES-01"), model.frames[i] != HOLE,
		     "frame %lu of a block of order %u at %lu is in a hole", i, order, pfn);
		kept(or_blame("PAGES-03"), model.frames[i] != LIVE,
		     "frame %lu of a block of order %u at %lu is live already", i, order, pfn);
	}
	for (unsigned long i = 0; i < step; i++)
		look_at_fresh(page + i, zone);
}

void block_adopt(struct block *block, unsigned zone, unsigned order, struct page *page)
{
	judge(zone, order, page);
	*block = (struct block){ page, zone, order, job.seed + ++model.takes * 0x10001 };
	memset(model.frames + pfn_of(page), LIVE, 1ul << order);
	model.free[zone] -= 1ul << order;
	claim(block);
}

/* There was a place. Was it the hint that the plugin went by? */
static void __attribute__((noreturn)) blame_refusal(unsigned zone, unsigned order, unsigned flags)
{
	const char *clause = order ? "PAGES-17" : "PAGES-16";

	if (flags && !model.blame && pages_alloc(zone, order, 0))
		clause = "PAGES-21";
	broken(or_blame(clause),
	       "order %u in zone %s, flags %#x, is refused; %lu frames are free there, with %lu places", order,
	       zone_pub(zone)->name, flags, model.free[zone], zone_places(zone, order));
}

bool block_take(struct block *block, unsigned zone, unsigned order, unsigned flags)
{
	struct page *page;

	/* What is not served is not asked for. */
	if (order >= model.orders)
		return false;
	starve();
	page = pages_alloc(zone, order, flags);
	if (!page && places(zone, order, 1))
		blame_refusal(zone, order, flags);
	if (page)
		block_adopt(block, zone, order, page);
	return page;
}

void block_leave(const struct block *block)
{
	block_look(block);
	memset(model.frames + pfn_of(block->page), FREE, 1ul << block->order);
	model.free[block->zone] += 1ul << block->order;
	disclaim(block);
}

void block_give(const struct block *block)
{
	block_leave(block);
	starve();
	pages_free(block->zone, block->page, block->order);
}

void block_halve(struct block *block, struct block *upper)
{
	block_look(block);
	*upper = *block;
	upper->order = --block->order;
	upper->page += 1ul << upper->order;
	block->seed++;
	upper->seed += 2;
	claim(block);
	claim(upper);
}

/* ---- in bulk ---- */

unsigned bulk_take(struct blocks *blocks, unsigned zone, unsigned n)
{
	struct page *pages[BULK_MAX + 1] = { NULL }, beyond;
	const char *shortage;
	struct block block;
	unsigned got;

	n = n < BULK_MAX ? n : BULK_MAX;
	pages[n] = &beyond;
	starve();
	got = pages_alloc_bulk(zone, n, pages);
	kept("PAGES-05", got <= n && pages[n] == &beyond, "alloc_bulk of %u frames returns %u%s", n, got,
	     pages[n] == &beyond ? "" : ", and writes behind its array");
	/* Fewer than asked for is another matter than what is wrong with those that were had. */
	shortage = model.blame && strcmp(model.blame, "PAGES-05") ? model.blame : "PAGES-20";
	kept(shortage, got == n || got == model.free[zone],
	     "alloc_bulk of %u frames returns %u; %lu are free in zone %s", n, got, model.free[zone],
	     zone_pub(zone)->name);
	for (unsigned i = 0; i < got; i++) {
		kept("PAGES-05", pages[i], "alloc_bulk returns %u, and the %u-th frame is NULL", got, i + 1);
		block_adopt(&block, zone, 0, pages[i]);
		blocks_add(blocks, &block);
	}
	return got;
}

void bulk_give(struct blocks *blocks, unsigned n)
{
	struct page *pages[BULK_MAX];
	unsigned zone = LOAM_ZONES, got = 0;

	for (size_t i = blocks->n; i-- && got < n && got < BULK_MAX;) {
		const struct block *block = &blocks->at[i];

		if (block->order || (zone < LOAM_ZONES && zone != block->zone))
			continue;
		zone = block->zone;
		pages[got++] = block->page;
		block_leave(block);
		blocks->at[i] = blocks->at[--blocks->n];
	}
	if (!got)
		return;
	starve();
	pages_free_bulk(zone, got, pages);
}

/* ---- the whole ---- */

void look_counts(void)
{
	for (unsigned i = 0; i < model.nr_zones; i++) {
		unsigned long counts[LOAM_ORDERS], sum = 0;
		unsigned zone = model.zones[i];

		starve();
		pages_counts(zone, counts);
		for (unsigned order = 0; order < LOAM_ORDERS; order++) {
			sum += counts[order] << order;
			kept("PAGES-27", order < model.orders || !counts[order],
			     "counts tells %lu blocks of order %u; %u orders are served", counts[order], order,
			     model.orders);
		}
		kept(or_blame("PAGES-27"), sum == model.free[zone],
		     "counts has %lu frames in zone %s, and %lu are free", sum, zone_pub(zone)->name, model.free[zone]);
	}
}

/* What walk has shown: each frame that is FREE or LIVE in the model once. */
struct seen {
	uint8_t *frames;
	unsigned long n;
};

static void look_at_span(const struct loam_span *span)
{
	unsigned long pfn = pfn_of(span->page);

	kept("PAGES-29",
	     span->page >= loam__machine.map.pages && pfn < model.nr &&
		     span->bytes >> LOAM_PAGE_SHIFT <= model.nr - pfn,
	     "walk shows a span of %zu bytes at frame %ld", span->bytes, (long)pfn);
	kept("PAGES-29", span->bytes && !(span->bytes % LOAM_PAGE_SIZE), "walk shows a span of %zu bytes at frame %lu",
	     span->bytes, pfn);
	kept("PAGES-29", span->addr == loam_page_ptr(&loam__machine.map, span->page),
	     "walk shows frame %lu at %p, which is at %p", pfn, span->addr,
	     loam_page_ptr(&loam__machine.map, span->page));
}

static int see_span(void *arg, const struct loam_span *span)
{
	struct seen *seen = arg;
	unsigned long pfn;

	look_at_span(span);
	pfn = pfn_of(span->page);
	for (unsigned long i = pfn; i < pfn + (span->bytes >> LOAM_PAGE_SHIFT); i++) {
		kept("PAGES-29", model.frames[i] != HOLE, "walk shows frame %lu, which is in a hole", i);
		kept("PAGES-29", !seen->frames[i], "walk shows frame %lu twice", i);
		kept("PAGES-29", (span->kind == LOAM_SPAN_LIVE) == (model.frames[i] == LIVE),
		     "walk shows frame %lu as %s, which is %s", i, span->kind == LOAM_SPAN_LIVE ? "live" : "free",
		     model.frames[i] == LIVE ? "live" : "free");
		seen->frames[i] = 1;
		seen->n++;
	}
	return 0;
}

void look_walk(void)
{
	struct seen seen = { calloc(model.nr, 1), 0 };
	unsigned long all = 0;

	if (!seen.frames)
		trouble("no memory");
	for (unsigned i = 0; i < model.nr_zones; i++)
		all += model.all[model.zones[i]];
	if (!walk_now(see_span, &seen))
		kept("PAGES-29", seen.n == all, "walk shows %lu frames of %lu", seen.n, all);
	free(seen.frames);
}

void look_words(void)
{
	static const struct page zero;

	for (unsigned zone = 0; zone < LOAM_ZONES; zone++)
		for (unsigned long pfn = zone_pub(zone)->start_pfn; pfn < zone_pub(zone)->end_pfn; pfn++) {
			const struct page *page = &loam__machine.map.pages[pfn];
			unsigned long bits = page->flags & LOAM_PAGE_ZONE_MASK;

			if (model.frames[pfn] == HOLE)
				kept("PLUG-16", !memcmp(page, &zero, sizeof(zero)),
				     "the struct page of frame %lu, which is in a hole, was written", pfn);
			if (model.frames[pfn] != FREE)
				continue;
			kept("PAGES-11", !page->owner && !page->block && !page->_refcount,
			     "owner %#x, block %#x, _refcount %d in frame %lu, which is free", page->owner, page->block,
			     page->_refcount, pfn);
			kept("PAGES-11", bits == zone || !page->flags, "flags of frame %lu say zone %lu, not %u", pfn,
			     bits, zone);
		}
}

static int ignore_span(void *arg, const struct loam_span *span)
{
	(void)arg, (void)span;
	return 0;
}

bool pages_have_walk(void)
{
	return !walk_now(ignore_span, NULL);
}

bool pages_have_bulk(void)
{
	return pages_ops()->alloc_bulk;
}

bool pages_have_double_free(void)
{
	return pages_caps() & LOAM_PAGES_DOUBLE_FREE;
}
