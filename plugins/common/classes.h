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
#define CLASSES_SMALL 1024 /* requests up to here can find their class by one table look-up */

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

/** How many classes there are of at most @max bytes. */
static inline uint32_t classes_up_to(bool fine, size_t max)
{
	uint32_t n = fine ? CLASSES_FINE : CLASSES_KERNEL;

	while (n && classes_size(fine, n - 1) > max)
		n--;
	return n;
}

/**
 * The smallest of the first @n classes for @bytes in which every object has the alignment: slabs begin at a page, so the size
 * must be a multiple of it. @n or more: there is none.
 */
static inline uint32_t classes_aligned_index(bool fine, uint32_t n, size_t bytes, size_t align)
{
	uint32_t i = classes_index(fine, bytes > align ? bytes : align);

	while (i < n && classes_size(fine, i) % align)
		i++;
	return i;
}

/** Fill the table for the small ones: @table[(bytes + 7) / 8] is the class. */
static inline void classes_small(bool fine, uint8_t table[CLASSES_SMALL / 8 + 1])
{
	for (size_t bytes = 8; bytes <= CLASSES_SMALL; bytes += 8)
		table[bytes / 8] = (uint8_t)classes_index(fine, bytes);
	table[0] = table[1];
}

#endif
