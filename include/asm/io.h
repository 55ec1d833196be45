/* SPDX-License-Identifier: MIT */
/* asm/io.h: memory by its physical address. In this version that is memory which [machine] mem holds back. */
#ifndef LOAM_ASM_IO_H
#define LOAM_ASM_IO_H

#include <asm/page.h>

LOAM_BEGIN_DECLS

#ifndef __iomem
#define __iomem
#endif

/**
 * A window on @size bytes of physical memory from @phys on, which need not be aligned; NULL, with a warning, where the page
 * allocator has any of it, or nothing is. May sleep.
 */
void *ioremap(phys_addr_t phys, size_t size);
#define ioremap_cache ioremap
#define ioremap_wc ioremap
/** Any context that is no interrupt. */
void iounmap(volatile void *addr);

LOAM_END_DECLS
#endif
