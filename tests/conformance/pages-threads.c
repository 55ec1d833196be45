/* SPDX-License-Identifier: MIT */
/*
 * pages-threads.c: the role pages under several threads.
 *
 * Who holds a frame is noted in an array, by one exchange a frame: a frame that two hold shows at once. Blocks and parts of them
 * change hands through a few places that all threads use, so many come back from another thread than the one that had them.
 */
#include "pages-model.h"

#include <stdlib.h>
#include <string.h>

#define PLACES 64
#define HELD 48
#define BULK 32
#define BURST 32

/** A block in the hands of a thread, or in a place. NULL page: none. */
struct owned {
	struct page *page;
	unsigned zone, order;
};

static struct {
	uint8_t *taken;               /* one a frame; atomic */
	struct owned *places[PLACES]; /* atomic */
	unsigned steps, orders;
	unsigned crowded;    /* the largest zone, where threads meet most */
	unsigned long share; /* frames that a thread holds at most in the first half: there are always some to be had */
	bool bulk;
} shared;

/* ---- blocks that change hands ---- */

static unsigned long pfn_of(const struct page *page)
{
	return loam_page_pfn(&loam__machine.map, page);
}

static void note_taken(struct page *page, unsigned order)
{
	kept("PAGES-24", pfn_of(page) < loam__machine.map.nr_pages, "a block of order %u begins at frame %ld", order,
	     (long)pfn_of(page));
	for (unsigned long i = pfn_of(page); i < pfn_of(page) + (1ul << order); i++)
		kept("PAGES-24", !__atomic_exchange_n(&shared.taken[i], 1, __ATOMIC_RELAXED),
		     "frame %lu, of a block of order %u, is held by two threads", i, order);
	page->priv = pfn_of(page);
}

static void give_owned(const struct owned *owned)
{
	kept("PAGES-24", owned->page->priv == pfn_of(owned->page), "priv of frame %lu, which is live, was overwritten",
	     pfn_of(owned->page));
	for (unsigned long i = pfn_of(owned->page); i < pfn_of(owned->page) + (1ul << owned->order); i++)
		__atomic_store_n(&shared.taken[i], 0, __ATOMIC_RELAXED);
	pages_free(owned->zone, owned->page, owned->order);
}

/** A thread, and what it holds. */
struct worker {
	struct rng rng;
	bool greedy; /* the second half: memory is used up, and who asks is often refused */
	unsigned long frames;
	struct owned held[HELD];
};

static unsigned long frames_of(const struct owned *owned)
{
	return owned->page ? 1ul << owned->order : 0;
}

/* Put into a place what comes, take what was there. */
static void swap(struct owned *owned, struct rng *rng)
{
	struct owned *copy = NULL, *other;

	if (owned->page) {
		copy = malloc(sizeof(*copy));
		if (!copy)
			return;
		*copy = *owned;
	}
	/* Acquire and release: the block's words go with it. */
	other = __atomic_exchange_n(&shared.places[rng_below(rng, PLACES)], copy, __ATOMIC_ACQ_REL);
	*owned = other ? *other : (struct owned){ NULL, 0, 0 };
	free(other);
}

/* One half goes back, the other is kept. */
static void give_half(struct owned *owned, struct rng *rng)
{
	struct owned part = *owned;

	owned->order = --part.order;
	if (rng_below(rng, 2))
		part.page += 1ul << part.order;
	else
		owned->page += 1ul << part.order;
	owned->page->priv = pfn_of(owned->page);
	part.page->priv = pfn_of(part.page);
	give_owned(&part);
}

/* As large a block as there is. */
static void take_greedily(struct owned *owned, struct rng *rng)
{
	owned->zone = rng_below(rng, 2) ? shared.crowded : zone_any(rng);
	owned->order = (unsigned)rng_below(rng, shared.orders);
	while (!(owned->page = pages_alloc(owned->zone, owned->order, 0)) && owned->order)
		owned->order--;
}

static void take_in_share(struct worker *worker, struct owned *owned)
{
	struct rng *rng = &worker->rng;

	owned->zone = zone_any(rng);
	owned->order = (unsigned)rng_below(rng, 1 + rng_below(rng, shared.orders));
	while (owned->order && worker->frames + (1ul << owned->order) > shared.share)
		owned->order--;
	if (worker->frames < shared.share)
		owned->page = pages_alloc(owned->zone, owned->order, (unsigned)rng_below(rng, 4));
}

static void take_any(struct worker *worker, struct owned *owned)
{
	if (worker->greedy)
		take_greedily(owned, &worker->rng);
	else
		take_in_share(worker, owned);
	if (owned->page)
		note_taken(owned->page, owned->order);
}

static void work_on(struct worker *worker, struct owned *owned)
{
	struct rng *rng = &worker->rng;

	worker->frames -= frames_of(owned);
	if (!owned->page) {
		take_any(worker, owned);
	} else if ((worker->greedy || owned->order < 3) && rng_below(rng, 3) == 0) {
		swap(owned, rng);
	} else if (owned->order && rng_below(rng, 3) == 0) {
		give_half(owned, rng);
	} else {
		give_owned(owned);
		owned->page = NULL;
	}
	worker->frames += frames_of(owned);
}

static void bulk_round(struct rng *rng)
{
	struct page *pages[BULK];
	unsigned zone = rng_below(rng, 2) ? shared.crowded : zone_any(rng);
	unsigned got = pages_alloc_bulk(zone, 1 + (unsigned)rng_below(rng, BULK), pages);

	for (unsigned i = 0; i < got; i++)
		note_taken(pages[i], 0);
	for (unsigned i = 0; i < got; i++) {
		kept("PAGES-24", pages[i]->priv == pfn_of(pages[i]),
		     "priv of frame %lu, which is live, was overwritten", pfn_of(pages[i]));
		__atomic_store_n(&shared.taken[pfn_of(pages[i])], 0, __ATOMIC_RELAXED);
	}
	if (got)
		pages_free_bulk(zone, got, pages);
}

/* Out and in again, as fast as it goes, where all threads are. */
static void burst(struct rng *rng)
{
	for (unsigned i = 0; i < BURST; i++) {
		struct owned owned = { .zone = shared.crowded, .order = (unsigned)rng_below(rng, 2) };

		owned.order = owned.order < shared.orders ? owned.order : 0;
		owned.page = pages_alloc(owned.zone, owned.order, 0);
		if (!owned.page)
			continue;
		note_taken(owned.page, owned.order);
		give_owned(&owned);
	}
}

static void hammer(void *arg, unsigned index)
{
	struct worker worker = { .rng = { job.seed + 77 * (index + 1) } };

	(void)arg;
	for (unsigned step = 0; step < shared.steps; step++) {
		worker.greedy = step >= shared.steps / 2;
		if (rng_below(&worker.rng, 4) == 0)
			burst(&worker.rng);
		else if (shared.bulk && rng_below(&worker.rng, 4))
			bulk_round(&worker.rng);
		else
			work_on(&worker, &worker.held[rng_below(&worker.rng, HELD)]);
	}
	for (unsigned i = 0; i < HELD; i++)
		if (worker.held[i].page)
			give_owned(&worker.held[i]);
}

static void choose_zones(void)
{
	unsigned long frames = 0;

	shared.crowded = zone_at(0);
	for (unsigned i = 0; i < nr_zones(); i++) {
		frames += zone_free(zone_at(i));
		if (zone_free(zone_at(i)) > zone_free(shared.crowded))
			shared.crowded = zone_at(i);
	}
	shared.share = frames / (2 * job.threads);
}

static void run_hammer(bool bulk)
{
	struct rng rng = { job.seed };
	struct blocks all = { 0 };

	ragged_up(true);
	memset(&shared, 0, sizeof(shared));
	shared.bulk = bulk;
	shared.orders = pages_orders();
	choose_zones();
	shared.steps = effort(job.sanitizer ? 4000 : 15000);
	shared.taken = calloc(loam__machine.map.nr_pages, 1);
	if (!shared.taken)
		trouble("no memory");
	/* What is wrong already when one is alone is not told of threads. */
	for (unsigned i = 0; i < nr_zones(); i++)
		blocks_one_of_each(zone_at(i), 0);
	threads_run_paused(job.threads, hammer, NULL);
	for (unsigned i = 0; i < 20 * PLACES; i++) {
		struct owned owned = { NULL, 0, 0 };

		swap(&owned, &rng);
		if (owned.page)
			give_owned(&owned);
	}
	free(shared.taken);
	model_blames_for_all("PAGES-24");
	look_counts();
	for (unsigned i = 0; i < nr_zones(); i++) {
		blocks_drain_all(&all, zone_at(i), NULL);
		kept("PAGES-24", !zone_free(zone_at(i)), "%lu frames of zone %u are lost", zone_free(zone_at(i)),
		     zone_at(i));
	}
	blocks_give(&all, true);
	blocks_end(&all);
	model_end();
}

void pages_threads(void)
{
	run_hammer(false);
}

void pages_threads_bulk(void)
{
	run_hammer(true);
}

/* ---- parts of one block ---- */

#define PARTED 24

static struct {
	struct block blocks[PARTED];
	unsigned n, part; /* blocks; order of the parts */
	unsigned next;    /* atomic: part that is next, through all blocks */
} parted;

/* The next part is whoever's comes first: neighbours come back at the same time. */
static void give_parts_of(void *arg, unsigned index)
{
	unsigned shift = parted.blocks[0].order - parted.part, next;

	(void)arg, (void)index;
	while ((next = __atomic_fetch_add(&parted.next, 1, __ATOMIC_RELAXED)) >> shift < parted.n) {
		const struct block *block = &parted.blocks[next >> shift];
		unsigned long part = next & ((1ul << shift) - 1);

		pages_free(block->zone, block->page + (part << parted.part), parted.part);
	}
}

/* All threads work on the same block at the same time, and its parts are neighbours. */
void pages_parts_by_threads(void)
{
	unsigned orders = pages_orders(), most = orders > 7 ? 7 : orders - 1;

	model_begin();
	for (unsigned round = 0; round < effort(job.sanitizer ? 60 : 250); round++) {
		struct blocks again = { 0 };
		unsigned zone = zone_any(&test_rng);

		parted.n = parted.next = 0;
		parted.part = round % 4 == 3 && most > 1 ? 1 : 0;
		while (parted.n < PARTED && block_take(&parted.blocks[parted.n], zone, most, 0))
			parted.n++;
		if (!parted.n)
			continue;
		for (unsigned i = 0; i < parted.n; i++)
			block_leave(&parted.blocks[i]);
		threads_run_paused(job.threads, give_parts_of, NULL);
		model_blames_for_all("PAGES-25");
		look_counts();
		kept("PAGES-25", blocks_drain(&again, zone, most, 0) >= parted.n,
		     "%u blocks of order %u came back in parts from %u threads; %zu can be had", parted.n, most,
		     job.threads, again.n);
		blocks_give(&again, false);
		blocks_end(&again);
		model_blames(NULL);
	}
	model_end();
}
