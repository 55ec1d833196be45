/* SPDX-License-Identifier: MIT */
/* kernel-port.h: what the kernel's ports for heap and objects give, called as a client calls it. */
#ifndef KERNEL_PORT_H
#define KERNEL_PORT_H

#include "machine-fixture.h"

#include <loam/heap.h>
#include <loam/objects.h>

static inline struct page *page_of(const void *ptr)
{
	return loam_ptr_page(&loam__machine.map, ptr);
}

static inline const struct loam_link *heap_link(void)
{
	return &loam__machine.graph->kernel[LOAM_ROLE_HEAP]->links[LOAM_ROLE_HEAP];
}

static inline void *take(size_t bytes)
{
	return loam_heap_ops(heap_link())->alloc(heap_link()->inst, bytes, 8, GFP_KERNEL | __GFP_NOWARN);
}

static inline void give(void *ptr)
{
	loam_heap_ops(heap_link())->free(heap_link()->inst, ptr, page_of(ptr));
}

static inline size_t usable(void *ptr)
{
	return loam_heap_ops(heap_link())->usable_size(heap_link()->inst, ptr, page_of(ptr));
}

static inline struct loam_cache *cache_new(struct loam_cache_args args)
{
	static struct loam_port port;

	port.link = &loam__machine.graph->kernel[LOAM_ROLE_OBJECTS]->links[LOAM_ROLE_OBJECTS];
	args.size = sizeof(args);
	return loam__machine.host.cache_create(&port, &args);
}

#endif
