/* SPDX-License-Identifier: MIT */
/*
 * vmap.h: the role `vmap`: virtually contiguous windows over scattered frames (vmalloc, vmap, ioremap's window).
 *
 * The host finds the frames (vmalloc) or is given them (vmap), checks sizes and context, and owns the names for
 * /proc/vmallocinfo; the plugin finds addresses and maps. Each area is followed by a guard page that faults. Semantics: Linux
 * 6.1's vmalloc.
 */
#ifndef LOAM_VMAP_H
#define LOAM_VMAP_H

#include <loam/plugin.h>

LOAM_BEGIN_DECLS

/** An area of the window. The plugin's own record begins with it, and it does not change while the area is live. */
struct loam_vmap_area {
	char *addr;             /* page aligned */
	unsigned long nr_pages; /* without the guard page */
};

struct loam_vmap_ops {
	uint32_t size;
	uint32_t reserved;

	/**
	 * Map @pages[0..@nr), at least one, behind each other at a multiple of @align (a power of two, at least a page): 0, or
	 * -ENOMEM when addresses or mappings run out. One frame may appear any number of times. @writable false: reads only.
	 * May sleep. The frames stay the caller's, and the array too.
	 */
	int (*map)(void *inst, struct page *const *pages, unsigned long nr, size_t align, bool writable,
		   struct loam_vmap_area **area);
	/**
	 * The same over registers of a device: physical addresses from @phys on, a multiple of the page size. They may be held
	 * back from the page allocator. -EINVAL behind the machine's memory.
	 */
	int (*map_phys)(void *inst, uint64_t phys, unsigned long nr, size_t align, struct loam_vmap_area **area);
	/**
	 * The window goes. The mapping may stay until a batch is worth a flush; its address is not given out again before. The
	 * frames may be reused at once. Any context.
	 */
	void (*unmap)(void *inst, struct loam_vmap_area *area);
	/** The area that holds @addr, guard page included, or NULL. Any context. */
	struct loam_vmap_area *(*find)(void *inst, const void *addr);
	/** Really unmap what unmap left. May sleep. NULL where unmap leaves nothing. */
	void (*flush_lazy)(void *inst);
	/** The range of addresses of all windows: is_vmalloc_addr is a comparison. Constant. */
	void (*range)(void *inst, char **start, char **end);
};

LOAM_END_DECLS
#endif
