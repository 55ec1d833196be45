/* SPDX-License-Identifier: MIT */
/*
 * boot-model.h: the model of the role boot, for its tests.
 *
 * It knows four things of each byte of the lowest memory: that it is RAM, that it may be, that it is reserved, that it may be. With
 * EXACT the second of each pair is the first. All RAM of these tests lies there, so a look at everything takes little.
 */
#ifndef LOAM_CONFORM_BOOT_MODEL_H
#define LOAM_CONFORM_BOOT_MODEL_H

#include "conform.h"

#include <loam/boot.h>

#define BOOT_FRAMES 96u
#define BOOT_BYTES ((loam_phys_t)BOOT_FRAMES << LOAM_PAGE_SHIFT)
#define NOWHERE UINT64_MAX

/** What alloc is asked for. */
struct request {
	loam_phys_t bytes, align, low, high;
	unsigned flags;
};

/* The subject's ops, watched. */
int boot_add(loam_phys_t base, loam_phys_t bytes);
int boot_remove(loam_phys_t base, loam_phys_t bytes);
int boot_reserve(loam_phys_t base, loam_phys_t bytes);
int boot_alloc(const struct request *request, loam_phys_t *at);
int boot_free(loam_phys_t base, loam_phys_t bytes);
int boot_range(unsigned index, bool reserved, struct loam_boot_range *range);
bool boot_exact(void);

/** An empty model, on a machine that was just booted. */
void boot_begin(void);
/** Some RAM with holes; all of it. */
void boot_ragged(void);
void boot_all(void);

/* Each calls the op, judges its result, and tells the model. */
void model_add(loam_phys_t base, loam_phys_t bytes);
void model_remove(loam_phys_t base, loam_phys_t bytes);
void model_reserve(loam_phys_t base, loam_phys_t bytes);
void model_free(loam_phys_t base, loam_phys_t bytes);
/** NOWHERE: refused. */
loam_phys_t model_alloc(const struct request *request);
/** The lowest or highest place that is surely free. NOWHERE: none. */
loam_phys_t model_place(const struct request *request);

/** All that is shown against the model. */
void boot_look(void);
/** Bytes that next_reserved shows. */
uint64_t boot_reserved(void);
/** Free all that is reserved. */
void boot_free_all(void);
/** A range of the lowest memory, of whole frames or of any bytes. */
struct loam_boot_range draw_range(struct rng *rng);

extern const struct sequence_ops boot_sequence;

#endif
