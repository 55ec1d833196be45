/* SPDX-License-Identifier: MIT */
/*
 * classes.h: the size classes of slub's and slab's heaps.
 *
 * kernel: kmalloc's, powers of two from the smallest (8 for SLUB, 32 for SLAB) to 8192, with 96 and 192. fine: steps of 16 bytes up
 * to 128, then eight classes for each doubling up to 32 KiB, so that at most one eighth of a block is waste.
 */
#ifndef LOAM_CLASSES_H
#define LOAM_CLASSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLASSES_KERNEL 13
#define CLASSES_FINE 72

static inline uint32_t classes_fine_index(size_t bytes)
{
	uint32_t log;

	if (bytes <= 128)
		return (uint32_t)((bytes + 15) / 16 - 1);
	log = 63 - (uint32_t)__builtin_clzl(bytes - 1);
	return 8 + (log - 7) * 8 + (uint32_t)((bytes - 1) >> (log - 3)) - 8;
}

static inline uint32_t classes_fine_size(uint32_t index)
{
	if (index < 8)
		return (index + 1) * 16;
	index -= 8;
	return (index % 8 + 9) << (index / 8 + 4);
}

/** 8 16 32 64 96 128 192 256 ... 8192. */
static inline uint32_t classes_kernel_size(uint32_t index)
{
	static const uint16_t sizes[CLASSES_KERNEL] = { 8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192 };

	return sizes[index];
}

/** @bytes is at most 8192. */
static inline uint32_t classes_kernel_index(size_t bytes)
{
	uint32_t i = 0;

	while (classes_kernel_size(i) < bytes)
		i++;
	return i;
}

static inline uint32_t classes_index(bool fine, size_t bytes)
{
	return fine ? classes_fine_index(bytes) : classes_kernel_index(bytes);
}

static inline uint32_t classes_size(bool fine, uint32_t index)
{
	return fine ? classes_fine_size(index) : classes_kernel_size(index);
}

#endif
