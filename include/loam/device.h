/* SPDX-License-Identifier: MIT */
/*
 * device.h: the role `device`: registers, ports, interrupts, bus mastering.
 *
 * A device declares its resources; the host places them in the machine's address space, decodes accesses (readl, inb, or a
 * plain pointer) and checks their width. The device reaches memory only by bus address through the dma role, under its mask; it
 * completes work later, on the machine's clock, and raises interrupts. The bus services are in the struct below, handed
 * over by attach. Ops of one device are never called at once.
 */
#ifndef LOAM_DEVICE_H
#define LOAM_DEVICE_H

#include <loam/plugin.h>

LOAM_BEGIN_DECLS

enum loam_resource_kind { LOAM_RESOURCE_MMIO, LOAM_RESOURCE_PORT, LOAM_RESOURCE_IRQ };

/** A declared resource. */
struct loam_resource {
	uint32_t size;
	uint32_t kind; /* enum loam_resource_kind */
	const char *name;
	uint64_t bytes;  /* MMIO: a power of two; PORT: 1 to 256; IRQ: number of lines */
	uint32_t widths; /* accesses allowed: 1 | 2 | 4 | 8 */
	uint32_t reserved;
};

/** What the bus offers a device. Constant while it is attached. */
struct loam_bus {
	uint32_t size;
	uint32_t reserved;

	/** Read or write memory by bus address through the dma role. 0, or -EFAULT: nothing was transferred, and it is reported. */
	int (*dma_read)(struct loam_self *self, uint64_t bus, void *to, size_t bytes);
	int (*dma_write)(struct loam_self *self, uint64_t bus, const void *from, size_t bytes);
	/** Set or clear interrupt line @line. Any thread. */
	void (*irq)(struct loam_self *self, unsigned line, bool level);
	/** Call the device's `timer` op @ns nanoseconds of the machine's time from now; replaces an earlier one of this @id. */
	void (*after)(struct loam_self *self, unsigned id, uint64_t ns);
	/** The machine's time in nanoseconds. */
	uint64_t (*now)(struct loam_self *self);
};

struct loam_device_ops {
	uint32_t size;
	uint32_t reserved;

	/** The resources, @nr of them; constant. */
	const struct loam_resource *(*resources)(void *inst, unsigned *nr);
	/** The device is on the bus from now on, and off it. */
	int (*attach)(void *inst, const struct loam_bus *bus);
	void (*detach)(void *inst);
	/** An access of @width bytes (declared, aligned) at @offset of resource @index. Not defined registers read as all ones. */
	uint64_t (*read)(void *inst, unsigned index, uint64_t offset, unsigned width);
	void (*write)(void *inst, unsigned index, uint64_t offset, unsigned width, uint64_t value);
	/** Power-on state. */
	void (*reset)(void *inst);
	/** What `after` asked for. */
	void (*timer)(void *inst, unsigned id);
};

LOAM_END_DECLS
#endif
