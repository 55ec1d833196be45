/* SPDX-License-Identifier: MIT */
/*
 * heap-tests.h: what the files of the heap's tests share.
 *
 * heap.c             the suite, blocks of a test, the mixed workload     heap-contents.c    contents, zalloc, resize
 * heap-results.c     results, alignment, limits                          heap-exhaustion.c  memory runs out, and comes back
 * heap-flags.c       zones and reserves                                  heap-threads.c     several threads
 * heap-hostile.c     holders that make mistakes                          heap-model.c       random sequences
 */
#ifndef LOAM_CONFORM_HEAP_TESTS_H
#define LOAM_CONFORM_HEAP_TESTS_H

#include "conform.h"

/** A block that a test holds; its usable bytes have the pattern of its seed. */
struct block {
	char *ptr; /* NULL: none */
	size_t bytes, align, usable;
	uint64_t seed;
};

/* ---- heap.c ---- */

/** Condition MACHINE. */
bool heap_inside(void);
/** The largest request, and alignment, that tests make: the limits, or what is large enough where there are none. */
size_t heap_max(void);
size_t heap_max_align(void);
/** Bytes of the machine's memory; for a foreign heap, of what a usual machine has. */
size_t heap_memory(void);
/** A size of a mixed workload: mostly small, at most @max and the heap's limit. */
size_t heap_size(struct rng *rng, size_t max);

/** Memory for a test's own records; zeroed. */
void *heap_records(size_t n, size_t bytes);

/**
 * What a call gave out, as @block: checks its size and alignments (HEAP-02, 14, 15) and fills all of it. false: @ptr is NULL.
 */
bool heap_block_is(struct block *block, void *ptr, size_t bytes, size_t align);
/** From now on it names @clause instead: for a test in which such a block is the consequence of what the test is about. */
void heap_blocks_told_as(const char *clause);
/** That clause, or @clause when none was named. */
const char *heap_told(const char *clause);
/** alloc, refused or not. */
bool heap_block_take(struct block *block, size_t bytes, size_t align, gfp_t gfp);
/** alloc with GFP_KERNEL on a machine with plenty of memory: a refusal breaks HEAP-01. */
void heap_block_have(struct block *block, size_t bytes, size_t align);
/** Contents and usable size are as they were, or @clause is broken; @after: what happened meanwhile. */
void heap_block_intact(const struct block *block, const char *clause, const char *after);
void heap_blocks_intact(const struct block *blocks, size_t n, const char *clause, const char *after);
/** Check the contents (HEAP-07), and free. */
void heap_block_give(struct block *block);
void heap_blocks_give(struct block *blocks, size_t n);
/** No two of them have a byte in common, or @clause is broken. Those without address are left out. */
void heap_blocks_apart(const struct block *blocks, size_t n, const char *clause);
/** Put the elements into a random order. */
void heap_blocks_shuffle(struct block *blocks, size_t n, struct rng *rng);

/** A number of tests hold so many blocks of mixed sizes up to @max. */
void heap_blocks_have(struct block *blocks, size_t n, size_t max);

/* ---- the tests ---- */

/* heap-results.c */
void heap_every_size(void);
void heap_usable_constant(void);
void heap_frames_lead_back(void);
void heap_bulk(void);
void heap_bulk_free(void);
void heap_owns_own(void);
void heap_alignment(void);
void heap_min_align(void);
void heap_natural(void);
void heap_limits_sane(void);
void heap_limits_served(void);
void heap_borders(void);

/* heap-contents.c */
void heap_contents_survive(void);
void heap_apart(void);
void heap_any_contents(void);
void heap_zeroed(void);
void heap_resize_true(void);
void heap_resize_false(void);
void heap_free_ends(void);

/* heap-exhaustion.c */
void heap_refused(void);
void heap_as_much_again(void);
void heap_other_sizes(void);
void heap_used_again(void);
void heap_bulk_refused(void);

/* heap-flags.c */
void heap_dma(void);
void heap_dma_short(void);
void heap_reserve(void);
void heap_all_zones(void);

/* heap-threads.c */
void heap_many_threads(void);
void heap_producer(void);

/* heap-hostile.c */
void heap_double_free(void);
void heap_bad_free(void);
void heap_elsewhere(void);
void heap_overflow(void);
void heap_use_after_free(void);

/* heap-model.c */
extern const struct sequence_ops heap_sequence;
void heap_model(void);

#endif
