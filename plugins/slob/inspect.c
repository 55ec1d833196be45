/* SPDX-License-Identifier: MIT */
/* inspect.c: counters at any time; walk and check while the machine stands still; one address at a time. */
#include "slob.h"

#include <errno.h>
#include <stdio.h>

/* ---- counters ---- */

int slob_stat(void *inst, struct loam_stat *stat)
{
	struct slob *slob = inst;

	loam_lock(slob->host, &slob->lock);
	stat->allocs = slob->allocs;
	stat->frees = slob->frees;
	stat->failures = slob->failures;
	stat->live_blocks = slob->allocs - slob->frees;
	stat->live_bytes = slob->live_bytes;
	stat->footprint = slob->nr_pages << LOAM_PAGE_SHIFT;
	loam_unlock(slob->host, &slob->lock);
	return 0;
}

/* ---- a machine that stands still: no locks, they are all held ---- */

/** Each page, until @fn returns non-zero. The machine stands still. */
int slob_each_page(struct slob *slob, int (*fn)(struct slob *slob, struct page *page, void *arg), void *arg)
{
	struct list_head *heads[ZONES * LISTS + 1];
	int result = 0;

	for (unsigned i = 0; i < ZONES * LISTS; i++)
		heads[i] = &slob->partial[i / LISTS][i % LISTS];
	heads[ZONES * LISTS] = &slob->full;
	for (unsigned i = 0; i <= ZONES * LISTS; i++)
		for (struct list_head *at = heads[i]->next; at != heads[i] && !result; at = at->next)
			result = fn(slob, list_page(at), arg);
	return result;
}

/* The block, live or free, at @unit of a page: its units, or 0 when what stands there makes no sense. */
static uint32_t block_at(const struct slob *slob, char *base, uint32_t unit, const struct hole *hole,
			 struct loam_span *span)
{
	const struct head *head = (const struct head *)hole_at(base, unit);
	uint32_t units;

	span->kind = hole == hole_at(base, unit) ? LOAM_SPAN_FREE : LOAM_SPAN_LIVE;
	if (span->kind == LOAM_SPAN_FREE) {
		units = hole->units;
		span->addr = (void *)hole;
		span->bytes = (size_t)units * UNIT;
		span->label = NULL;
	} else {
		units = head->size <= LOAM_PAGE_SIZE ? units_for(head->size) : 0;
		span->addr = (char *)head + UNIT;
		span->bytes = (size_t)(units - 1) * UNIT;
		span->label = head->cache && head->cache < CACHES && slob->caches[head->cache]
				      ? slob->caches[head->cache]->name
				      : HEAP_NAME;
	}
	return unit + units <= UNITS ? units : 0;
}

struct walking {
	loam_walk_fn fn;
	void *arg;
};

static int walk_page(struct slob *slob, struct page *page, void *arg)
{
	const struct walking *walking = arg;
	char *base = base_of(slob, page);
	struct hole *hole = page->own[0];
	int result = 0;

	for (uint32_t unit = 0, units; unit < UNITS && !result; unit += units) {
		struct loam_span span = { .size = sizeof(span) };

		units = block_at(slob, base, unit, hole, &span);
		if (!units)
			break;
		if (span.kind == LOAM_SPAN_FREE)
			hole = next_hole(base, hole);
		result = walking->fn(walking->arg, &span);
	}
	return result;
}

int slob_walk(void *inst, loam_walk_fn fn, void *arg)
{
	struct slob *slob = inst;
	struct walking walking = { fn, arg };
	int result = slob_each_page(slob, walk_page, &walking);

	for (struct list_head *at = slob->runs.next; at != &slob->runs && !result; at = at->next) {
		struct page *page = list_page(at);
		struct loam_span span = { .size = sizeof(span), .kind = LOAM_SPAN_LIVE, .label = "pages" };

		span.addr = base_of(slob, page);
		span.bytes = LOAM_PAGE_SIZE << page->index;
		result = fn(arg, &span);
	}
	return result;
}

/* ---- invariants ---- */

struct checking {
	loam_check_fn fn;
	void *arg;
	int defects;
};

static void defect(struct checking *checking, const struct slob *slob, const struct page *page, const char *what)
{
	char text[120];

	snprintf(text, sizeof(text), "page at %p: %s", (void *)base_of(slob, page), what);
	checking->defects++;
	checking->fn(checking->arg, text);
}

/* Blocks fill the page without a gap, free ones are linked in order, merged, and as many as the page says. */
static int check_page(struct slob *slob, struct page *page, void *arg)
{
	char *base = base_of(slob, page);
	struct hole *hole = page->own[0];
	uint32_t unit = 0, units, sum = 0;
	bool last_free = false;

	for (; unit < UNITS; unit += units) {
		struct loam_span span;

		units = block_at(slob, base, unit, hole, &span);
		if (!units) {
			defect(arg, slob, page, "the blocks do not fill it");
			return 0;
		}
		if (span.kind == LOAM_SPAN_FREE) {
			if (last_free)
				defect(arg, slob, page, "free neighbours are not merged");
			sum += units;
			hole = next_hole(base, hole);
		}
		last_free = span.kind == LOAM_SPAN_FREE;
	}
	if (hole)
		defect(arg, slob, page, "the list of free blocks is not in order");
	if (sum != page->index)
		defect(arg, slob, page, "wrong number of free units");
	return 0;
}

int slob_check(void *inst, loam_check_fn fn, void *arg)
{
	struct checking checking = { fn, arg, 0 };

	slob_each_page(inst, check_page, &checking);
	return checking.defects;
}

/* ---- one address; may run in a fault handler ---- */

int slob_find(void *inst, const void *addr, struct page *page, struct loam_span *span)
{
	const struct slob *slob = inst;
	struct hole *hole;
	char *base;

	page = loam_page_head(page);
	hole = page->own[0];
	base = base_of(slob, page);
	if (kind_of(page) == KIND_RUN) {
		span->kind = LOAM_SPAN_LIVE;
		span->addr = base;
		span->bytes = LOAM_PAGE_SIZE << page->index;
		span->label = "pages";
		return 0;
	}
	for (uint32_t unit = 0, units; kind_of(page) == KIND_PAGE && unit < UNITS; unit += units) {
		units = block_at(slob, base, unit, hole, span);
		if (!units)
			break;
		if ((const char *)addr < base + (size_t)(unit + units) * UNIT)
			return 0;
		if (span->kind == LOAM_SPAN_FREE)
			hole = next_hole(base, hole);
	}
	return -ENOENT;
}
