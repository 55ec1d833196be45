/* SPDX-License-Identifier: MIT */
/*
 * linux/memblock.h: memory before there is a page allocator: for functions that early_initcall names. Semantics: Linux 6.1. What is
 * allocated is zeroed. After the hand-over to the page allocator memblock_alloc warns and does as kzalloc; memblock_free gives
 * to the page allocator.
 */
#ifndef LOAM_LINUX_MEMBLOCK_H
#define LOAM_LINUX_MEMBLOCK_H

#include <asm/page.h>

LOAM_BEGIN_DECLS

#define SMP_CACHE_BYTES 64
#define MEMBLOCK_LOW_LIMIT 0
#define MEMBLOCK_ALLOC_ANYWHERE (~(phys_addr_t)0)
#define MEMBLOCK_ALLOC_ACCESSIBLE 0

/*
 * [@base, @base + @size) is memory; is none any more; is in use. 0, -ENOMEM, -ENOENT (remove: no byte of it was memory), -EINVAL,
 * or -ENODEV after the hand-over.
 */
int memblock_add(phys_addr_t base, phys_addr_t size);
int memblock_remove(phys_addr_t base, phys_addr_t size);
int memblock_reserve(phys_addr_t base, phys_addr_t size);
/** A physical address, or 0: multiples of @align (0: of a cache line) within [@start, @end), from the top or the bottom. */
phys_addr_t memblock_phys_alloc_range(phys_addr_t size, phys_addr_t align, phys_addr_t start, phys_addr_t end);
phys_addr_t memblock_phys_alloc(phys_addr_t size, phys_addr_t align);
/** No longer in use: 0, or -ENOENT when no byte of it was. */
int memblock_phys_free(phys_addr_t base, phys_addr_t size);
/** A logical address or NULL. */
void *memblock_alloc(phys_addr_t size, phys_addr_t align);
void *memblock_alloc_low(phys_addr_t size, phys_addr_t align);
void *memblock_alloc_from(phys_addr_t size, phys_addr_t align, phys_addr_t min_addr);
void *memblock_alloc_try_nid(phys_addr_t size, phys_addr_t align, phys_addr_t min_addr, phys_addr_t max_addr, int nid);
void memblock_free(void *ptr, size_t size);
void memblock_free_late(phys_addr_t base, phys_addr_t size);
/** From the bottom upwards from now on, or from the top downwards, as at the start. */
void memblock_set_bottom_up(bool enable);
bool memblock_bottom_up(void);
/** Bytes of memory, and how much of it is in use; where memory begins and ends; whether @addr is in it. */
phys_addr_t memblock_phys_mem_size(void);
phys_addr_t memblock_reserved_size(void);
phys_addr_t memblock_start_of_DRAM(void);
phys_addr_t memblock_end_of_DRAM(void);
bool memblock_is_memory(phys_addr_t addr);
bool memblock_is_reserved(phys_addr_t addr);

LOAM_END_DECLS
#endif
