/* SPDX-License-Identifier: MIT */
/*
 * linux/bootmem.h: the older calls for memory before there is a page allocator, on top of memblock. What cannot be served ends
 * the machine, but for the _nopanic form.
 */
#ifndef LOAM_LINUX_BOOTMEM_H
#define LOAM_LINUX_BOOTMEM_H

#include <linux/memblock.h>

LOAM_BEGIN_DECLS

/** @size bytes on a cache line; normal memory. */
void *alloc_bootmem(unsigned long size);
/** The same from the first 16 MiB, that devices reach which know no more. */
void *alloc_bootmem_low(unsigned long size);
/** The same in whole pages. */
void *alloc_bootmem_pages(unsigned long size);
void *alloc_bootmem_low_pages(unsigned long size);
void *alloc_bootmem_nopanic(unsigned long size);
/** By physical address; only pages that are free as a whole go to the page allocator. */
void free_bootmem(unsigned long physaddr, unsigned long size);
void free_bootmem_late(unsigned long physaddr, unsigned long size);
#define reserve_bootmem(physaddr, size, flags) memblock_reserve(physaddr, size)

LOAM_END_DECLS
#endif
