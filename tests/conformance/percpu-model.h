/* SPDX-License-Identifier: MIT */
/*
 * percpu-model.h: what the tests of the role percpu share: allocations that are judged from their first byte to their last, in every
 * unit, against a map of the bytes that are taken.
 */
#ifndef LOAM_CONFORM_PERCPU_MODEL_H
#define LOAM_CONFORM_PERCPU_MODEL_H

#include "conform.h"

#define PCPU_LARGEST (32u << 10) /* bytes that a client may ask for at once */
#define PCPU_WORD 4u             /* the smallest that it asks for, at multiples of it */

/** An allocation that a test holds. */
struct chunk {
	size_t offset, bytes;
	uint64_t seed; /* of its contents; each copy has its own */
};

/** Allocations that are held. */
struct chunks {
	struct chunk *at;
	size_t n, room;
};

/** After the machine is up: nothing is taken. Units that lie wrong break their clause. And before it goes. */
void pcpu_begin(void);
void pcpu_end(void);
/** Whatever breaks from here on breaks @clause; NULL: each its own. */
void pcpu_blames(const char *clause);

unsigned pcpu_cpus(void);
/** The copy of @cpu at @offset. */
char *pcpu_at(unsigned cpu, size_t offset);
/** Bytes of a unit, and those that the model knows as free words. */
size_t pcpu_size(void);
size_t pcpu_free_bytes(void);

/** Allocate, judge place, alignment and zeros, write every copy. false: refused. Any thread. */
bool chunk_take(struct chunk *chunk, size_t bytes, size_t align, gfp_t gfp);
/** Every copy has what was written. */
void chunk_look(const struct chunk *chunk);
void chunk_give(struct chunk *chunk);

void chunks_add(struct chunks *chunks, const struct chunk *chunk);
struct chunk chunks_pick(struct chunks *chunks, struct rng *rng);
/** Of @bytes each until one is refused; returns how many. */
size_t chunks_drain(struct chunks *chunks, size_t bytes);
/** The largest first, down to single words, until nothing is left; @census[i]: how many of PCPU_LARGEST >> i. May be NULL. */
void chunks_drain_all(struct chunks *chunks, size_t census[16]);
void chunks_look(const struct chunks *chunks);
/** All back, by chance, each looked at. */
void chunks_give(struct chunks *chunks);
void chunks_end(struct chunks *chunks);

/** Static variables: [0, @bytes) of each unit is claimed; then every copy is judged and written. Returns what the op does. */
int pcpu_reserve(size_t bytes);
/** What was written there is still there. */
void pcpu_look_reserve(void);

/** A size and an alignment that a client may ask for. */
size_t draw_bytes(struct rng *rng);
size_t draw_align(struct rng *rng);
/** @n takes and gives by chance; about @max are held in the end. */
void pcpu_churn(struct chunks *chunks, unsigned n, unsigned max);

/** Tests in percpu-limits.c and percpu-static.c. */
void pcpu_to_the_last_word(void);
void pcpu_does_not_wear_out(void);
void pcpu_refusals(void);
void pcpu_frames_go_back(void);
void pcpu_without_reclaim(void);
void pcpu_free_needs_nothing(void);
void pcpu_freed_is_there(void);
void pcpu_reserve_is_zero(void);
void pcpu_reserve_stays(void);
void pcpu_reserve_is_first(void);
void pcpu_reserve_is_no_allocation(void);
void pcpu_reserve_fails_cleanly(void);
void pcpu_bad_free(void);
void pcpu_stat_agrees(void);
extern const struct sequence_ops percpu_sequence;

#endif
