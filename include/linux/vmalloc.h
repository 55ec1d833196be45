/* SPDX-License-Identifier: MIT */
/*
 * linux/vmalloc.h: memory that is contiguous in its addresses alone: single frames, mapped behind each other, with a page behind
 * each area that faults. Semantics: Linux 6.1. May sleep: an interrupt is refused, but vfree there is put off.
 */
#ifndef LOAM_LINUX_VMALLOC_H
#define LOAM_LINUX_VMALLOC_H

#include <linux/gfp.h>
#include <linux/types.h>

LOAM_BEGIN_DECLS

#define VM_IOREMAP 0x00000001ul
#define VM_ALLOC 0x00000002ul
#define VM_MAP 0x00000004ul
#define VM_USERMAP 0x00000008ul

typedef struct {
	unsigned long bits;
} pgprot_t;
#define PAGE_KERNEL ((pgprot_t){ 3 })
#define PAGE_KERNEL_RO ((pgprot_t){ 1 })

/** @size bytes, rounded up to pages; contents undefined. NULL: no memory, 0 bytes, or more than all memory (with a warning). */
void *vmalloc(unsigned long size);
void *vzalloc(unsigned long size);
void *vmalloc_user(unsigned long size);
void *vmalloc_32(unsigned long size);
void *__vmalloc(unsigned long size, gfp_t gfp);
#define vmalloc_node(size, node) vmalloc(size)
#define vzalloc_node(size, node) vzalloc(size)
#define __vmalloc_node(size, align, gfp, node, caller) __vmalloc(size, gfp)
void *vcalloc(size_t n, size_t size);
void *vmalloc_array(size_t n, size_t size);
/** NULL is ignored; what is no area, or not its start, is reported. May sleep; in an interrupt it is put off. */
void vfree(const void *addr);

/** Map @pages[0..@count), which stay the caller's, behind each other; NULL. @flags: VM_MAP. */
void *vmap(struct page **pages, unsigned int count, unsigned long flags, pgprot_t prot);
void vunmap(const void *addr);

/** The frame behind an address of an area; NULL. Any context. */
struct page *vmalloc_to_page(const void *addr);
unsigned long vmalloc_to_pfn(const void *addr);
bool is_vmalloc_addr(const void *addr);

LOAM_END_DECLS
#endif
