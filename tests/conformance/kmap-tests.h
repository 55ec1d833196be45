/* SPDX-License-Identifier: MIT */
/*
 * kmap-tests.h: what the tests of the role kmap share: frames of high memory, calls of the ops, and a look at a frame by a way of our
 * own, past the subject.
 *
 *   kmap.c        the suite; results, limits, counters    kmap-local.c   local slots
 *   kmap-slots.c  exhaustion, cost, faults, misuse        kmap-model.c   threads; random sequences
 */
#ifndef LOAM_CONFORM_KMAP_TESTS_H
#define LOAM_CONFORM_KMAP_TESTS_H

#include "conform.h"

#include <loam/kmap.h>

/** Frames of high memory that the test holds, from frames_open to frames_close. */
#define FRAMES 1200
extern struct page *frames[FRAMES];
void frames_open(void);
void frames_close(void);

/** The first word of a frame, read and written past the subject. */
uint64_t frame_word(const struct page *page);
void frame_word_set(const struct page *page, uint64_t word);

/* ---- calls, watched ---- */

void *kmap_map(struct page *page);
bool kmap_unmap(struct page *page);
void *kmap_address(struct page *page);
void *kmap_map_local(unsigned cpu, unsigned index, struct page *page);
void kmap_unmap_local(unsigned cpu, unsigned index);
struct loam_kmap_limits kmap_limits(void);
unsigned nr_cpus(void);

/** map, which must not be refused: else @clause is broken. */
void *map_or(const char *clause, struct page *page);
/** The frame shows at @window: a word that is written on one side is seen on the other. */
void look_at_window(const char *clause, void *window, const struct page *page);
/** Whether an address can be read; what faults cannot. */
bool touchable(const void *address);
/** limits.slots; skip() when the test has not the frames for that. */
unsigned slots_or_skip(void);

bool kmap_finite(void);
bool kmap_lazy(void);
bool kmap_strict(void);
bool kmap_flat(void);

/* ---- tests in the other files ---- */

void kmap_exactly_so_many(void);
void kmap_served_after_unmap(void);
void kmap_unmap_tells(void);
void kmap_again_is_free(void);
void kmap_working_set_is_free(void);
void kmap_strict_faults(void);
void kmap_shrink_unmaps(void);
void kmap_failed_map(void);
void kmap_failed_map_local(void);
void kmap_stranger_is_reported(void);
void kmap_idle_local_is_reported(void);

void kmap_local_takes_no_lock(void);
void kmap_local_shows(void);
void kmap_local_addresses(void);
void kmap_local_apart(void);
void kmap_local_cpus_at_once(void);

void kmap_threads(void);
extern const struct sequence_ops kmap_sequence;

#endif
