/* SPDX-License-Identifier: MIT */
/*
 * pages-model.h: what the tests of the role pages share: machines with ragged zones, a model of every frame, and takes and
 * gives that hold the plugin against it.
 *
 * The model is one byte a frame. Each take and give below, in whatever test, judges what can be judged there: zone, run,
 * alignment, `_mapcount`, a frame had twice, a refusal without need; and that the holder's words of struct pages are untouched.
 * One thread at a time.
 *
 *   pages-model.c   the model                         pages-whole.c     used up and back, counts, walk
 *   pages-blocks.c  machines, many blocks             pages-parts.c     contents, struct pages, bulk, misuse
 *   pages.c         the suite; results, limits,       pages-threads.c   several threads
 *                   flags                             pages-sequence.c  random sequences
 */
#ifndef LOAM_CONFORM_PAGES_MODEL_H
#define LOAM_CONFORM_PAGES_MODEL_H

#include "conform.h"

/** A live block, or a part of one that is still live. */
struct block {
	struct page *page;
	unsigned zone, order;
	uint64_t seed; /* of the holder's words in its struct pages, and of its contents */
};

/** Blocks that a test holds, any number. */
struct blocks {
	struct block *at;
	size_t n, room;
};

/* ---- machines: with high memory, and whatever is unusual about zones and runs ---- */

/** Zones that touch at any frames, drawn from the test's seed; runs with holes and odd ends in them, or every frame. */
void ragged_up(bool holes);
/**
 * Two zones, the second from an odd frame on, every frame there: so large that both have two places of the highest order, or
 * of order @most - 1 when that is lower.
 */
void roomy_up(unsigned most);
/** An empty model of the machine that is up. */
void model_begin(void);
/** Nothing is live any more, and everything is sound; the machine goes down. */
void model_end(void);
/**
 * From here on a refusal without need, a frame had twice and wrong counts break @clause, which is what the test is after, and not
 * the general one. NULL: no longer.
 */
void model_blames(const char *clause);
/** The same, and a block that lies where none may too: where the test has seen that one alone keeps these clauses. */
void model_blames_for_all(const char *clause);
/** From here on the first request for metadata inside each op is refused. */
void model_starves(bool on);

/** limits.orders, as it was when the model began. */
unsigned model_orders(void);

/* ---- zones ---- */

/** Zones with frames; @i below nr_zones(). */
unsigned nr_zones(void);
unsigned zone_at(unsigned i);
unsigned zone_any(struct rng *rng);
unsigned long zone_frames(unsigned zone);
/** Free ones. */
unsigned long zone_free(unsigned zone);
/** Places of an order that are free. */
unsigned long zone_places(unsigned zone, unsigned order);
/** Whether the zone's frames have no address. */
bool zone_high(unsigned zone);

/* ---- takes and gives ---- */

/** By alloc. False: refused, and there was no place; or @order is not served at all. */
bool block_take(struct block *block, unsigned zone, unsigned order, unsigned flags);
/** What alloc or alloc_bulk returned is a block from now on. */
void block_adopt(struct block *block, unsigned zone, unsigned order, struct page *page);
/** By free: all of it. */
void block_give(const struct block *block);
/** It is looked at and free in the model; the caller has it freed. */
void block_leave(const struct block *block);
/** @block becomes its lower half, *@upper its upper one. No call is made: each half is a part that may come back alone. */
void block_halve(struct block *block, struct block *upper);
/** The holder's words are as they were left. */
void block_look(const struct block *block);

void blocks_add(struct blocks *blocks, const struct block *block);
/** Take any one out. */
struct block blocks_pick(struct blocks *blocks, struct rng *rng);
/** Take blocks of @order until refused; returns how many. */
size_t blocks_drain(struct blocks *blocks, unsigned zone, unsigned order, unsigned flags);
/** One of every order that has a place, there and back, one at a time. */
void blocks_one_of_each(unsigned zone, unsigned flags);
/** Of the highest order, then of the next, and so on; returns how many of each in @census, when that is not NULL. */
void blocks_drain_all(struct blocks *blocks, unsigned zone, unsigned long census[LOAM_ORDERS]);
/** Halve them all until @blocks are single frames. */
void blocks_to_frames(struct blocks *blocks);
/** Give all of them, in any sequence; with @parts, cut into any parts first. Nothing is held afterwards. */
void blocks_give(struct blocks *blocks, bool parts);
void blocks_end(struct blocks *blocks);
/** By alloc_bulk; returns how many were had. */
unsigned bulk_take(struct blocks *blocks, unsigned zone, unsigned n);
/** Up to @n of the single frames of one zone among them, by free_bulk. */
void bulk_give(struct blocks *blocks, unsigned n);
/** @steps takes and gives of any kind; the number of live frames goes up and down. */
void churn(struct blocks *blocks, unsigned steps);
/** The same, by alloc and free alone. */
void churn_singly(struct blocks *blocks, unsigned steps);

/* ---- the whole ---- */

/** counts of every zone say what the model says. */
void look_counts(void);
/** So does walk, where there is one. */
void look_walk(void);
/** No word of a struct page was written that is not the plugin's. */
void look_words(void);

bool pages_have_walk(void);
bool pages_have_bulk(void);
bool pages_have_double_free(void);

/* ---- tests ---- */

/* pages-whole.c */
void pages_every_frame(void);
void pages_free_places(void);
void pages_merge_from_any_cut(void);
void pages_do_not_wear_out(void);
void pages_refusals(void);
void pages_zones_apart_when_used_up(void);
void pages_counts_agree(void);
void pages_counts_promise(void);
void pages_walk_agrees(void);
void pages_without_metadata(void);

/* pages-parts.c */
void pages_parts(void);
void pages_contents(void);
void pages_high_memory(void);
void pages_words_of_holders(void);
void pages_words_of_host(void);
void pages_mapcount(void);
void pages_add_touches_little(void);
void pages_bulk_singles(void);
void pages_bulk_back(void);
void pages_bulk_border(void);
void pages_double_free(void);
void pages_double_free_of_parts(void);

/* pages-threads.c */
void pages_threads(void);
void pages_threads_bulk(void);
void pages_parts_by_threads(void);

/* pages-sequence.c */
extern const struct sequence_ops pages_sequence;

#endif
