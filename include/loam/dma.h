/* SPDX-License-Identifier: MIT */
/*
 * dma.h: the role `dma`: bus addresses (dma_alloc_coherent, dma_map_*, dma_pool_*).
 *
 * A bus address is what a device sees; it differs from the physical one by the machine's offset at least. The host checks masks,
 * directions and ownership (the filter dmadebug does it in full), clears coherent memory, and builds dma_pool_* on `alloc`. Every
 * access of a device's goes through `resolve`: what is not mapped for it faults there. Semantics: Linux 6.1's DMA API.
 */
#ifndef LOAM_DMA_H
#define LOAM_DMA_H

#include <loam/plugin.h>

LOAM_BEGIN_DECLS

typedef uint64_t loam_bus_t;

#define LOAM_DMA_ERROR (~(loam_bus_t)0) /* DMA_MAPPING_ERROR */

enum loam_dma_direction { LOAM_DMA_BIDIRECTIONAL, LOAM_DMA_TO_DEVICE, LOAM_DMA_FROM_DEVICE, LOAM_DMA_NONE };

/** What the role must know of a device. */
struct loam_dma_device {
	uint32_t size;
	uint32_t id;
	uint64_t mask,
		coherent_mask; /* highest bus addresses that the device can send, for streaming and coherent memory */
	size_t max_segment;
	uint64_t boundary; /* a segment does not cross a multiple of boundary + 1; 0: any */
};

struct loam_dma_ops {
	uint32_t size;
	uint32_t reserved;

	/** Coherent memory of @bytes: its address, and *@bus within coherent_mask; NULL when there is none. May sleep by @gfp. */
	void *(*alloc)(void *inst, const struct loam_dma_device *dev, size_t bytes, gfp_t gfp, loam_bus_t *bus);
	void (*free)(void *inst, const struct loam_dma_device *dev, size_t bytes, void *addr, loam_bus_t bus);
	/**
	 * Hand [@offset, @offset + @bytes) of the block at @page to the device: its bus address, through a bounce buffer where
	 * the device does not reach it, or LOAM_DMA_ERROR. Any context.
	 */
	loam_bus_t (*map)(void *inst, const struct loam_dma_device *dev, struct page *page, size_t offset, size_t bytes,
			  enum loam_dma_direction direction);
	void (*unmap)(void *inst, const struct loam_dma_device *dev, loam_bus_t bus, size_t bytes,
		      enum loam_dma_direction direction);
	/** Who may touch the memory changes: @to_device, or to the CPU. A part of a mapping will do. Any context. */
	void (*sync)(void *inst, const struct loam_dma_device *dev, loam_bus_t bus, size_t bytes,
		     enum loam_dma_direction direction, bool to_device);
	/** May the device use @mask? 0 or -EIO. */
	int (*mask_ok)(void *inst, uint64_t mask);
	/**
	 * An access by the device: the memory behind [@bus, @bus + *@bytes), *@bytes lowered to what is contiguous; NULL when
	 * that address is not mapped for it, or not for a @write: the host reports and the device sees a fault.
	 */
	void *(*resolve)(void *inst, const struct loam_dma_device *dev, loam_bus_t bus, size_t *bytes, bool write);
};

LOAM_END_DECLS
#endif
