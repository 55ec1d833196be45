/* SPDX-License-Identifier: MIT */
/*
 * early.c: memory before there is a page allocator, and the hand-over to it.
 *
 * With a boot allocator ([kernel] boot) the host tells it which ranges are RAM, lets its clients take theirs, and hands what is
 * free then to the page allocator, in whole frames. Without one all RAM is handed over. Memory above [machine] mem is no RAM in
 * this sense: it exists, and is reached by its physical address alone.
 *
 * What is given back after the hand-over goes to the page allocator too, frame by frame, each once: the boot allocator still
 * knows what is reserved, and what of that is RAM.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>

void (*loam__on_early)(void);
const struct loam__range *loam__ram;
unsigned loam__nr_ram;

static struct {
	struct loam_port boot; /* link NULL: no boot allocator */
	bool open;
} early;

static const struct loam_boot_ops *boot_ops(void)
{
	return early.boot.link->ops;
}

/* ---- RAM ---- */

/* The @index-th run of frames that is RAM. */
static bool ram_at(unsigned index, struct loam__range *range)
{
	const struct loam__range all = { 0, loam__machine.map.nr_pages };
	unsigned long limit = loam__machine.mem ? loam__machine.mem >> LOAM_PAGE_SHIFT : all.count;

	if (index >= (loam__ram ? loam__nr_ram : 1))
		return false;
	*range = loam__ram ? loam__ram[index] : all;
	if (range->pfn + range->count > limit)
		range->count = range->pfn < limit ? limit - range->pfn : 0;
	return true;
}

/* The @index-th run of whole frames that is to be handed over. */
static bool free_at(unsigned index, struct loam__range *range)
{
	const uint64_t mask = LOAM_PAGE_SIZE - 1;
	struct loam_boot_range bytes;
	uint64_t from, to;

	if (!early.boot.link)
		return ram_at(index, range);
	if (boot_ops()->next_free(early.boot.link->inst, index, &bytes))
		return false;
	from = (bytes.base + mask) >> LOAM_PAGE_SHIFT;
	to = (bytes.base + bytes.bytes) >> LOAM_PAGE_SHIFT;
	*range = (struct loam__range){ from, from < to ? to - from : 0 };
	return true;
}

int loam__early_boot(struct loam_self *boot, struct loam_diag *diag)
{
	struct loam__range range;
	int error = 0;

	early.boot.link = boot ? &boot->links[LOAM_ROLE_BOOT] : NULL;
	for (unsigned i = 0; boot && !error && ram_at(i, &range); i++)
		if (range.count)
			error = boot_ops()->add(early.boot.link->inst, (uint64_t)range.pfn << LOAM_PAGE_SHIFT,
						(uint64_t)range.count << LOAM_PAGE_SHIFT);
	if (error) {
		loam__diag_add(diag, boot->file, boot->line, "[%s] does not take the machine's memory: %s", boot->name,
			       strerror(-error));
		return error;
	}
	early.open = boot;
	if (loam__on_early)
		loam__on_early();
	return 0;
}

void loam__early_halt(void)
{
	early.boot.link = NULL;
	early.open = false;
}

/* ---- hand-over ---- */

/* What @range has of @zone. */
static struct loam__range clip(const struct loam__zone *zone, const struct loam__range *range)
{
	unsigned long from = range->pfn > zone->pub.start_pfn ? range->pfn : zone->pub.start_pfn;
	unsigned long end = range->pfn + range->count, to = end < zone->pub.end_pfn ? end : zone->pub.end_pfn;

	return (struct loam__range){ from, from < to ? to - from : 0 };
}

static int hand_over_zone(const struct loam_link *link, struct loam__zone *zone)
{
	struct loam__range range;
	int error = 0;

	zone->present = zone->pub.managed = 0;
	for (unsigned i = 0; ram_at(i, &range); i++)
		zone->present += clip(zone, &range).count;
	for (unsigned i = 0; free_at(i, &range); i++)
		zone->pub.managed += clip(zone, &range).count;
	zone->free = zone->pub.managed;
	for (unsigned i = 0; !error && free_at(i, &range); i++) {
		struct loam__range part = clip(zone, &range);

		if (part.count)
			error = loam_pages_ops(link)->add(link->inst, &zone->pub, part.pfn, part.count);
	}
	return error;
}

int loam__hand_over(struct loam_self *frames, struct loam_diag *diag)
{
	struct loam_pages_limits limits = { .size = sizeof(limits) };
	const struct loam_link *link = &frames->links[LOAM_ROLE_PAGES];
	int error = 0;

	early.open = false;
	loam_pages_ops(link)->limits(link->inst, &limits);
	loam__machine.orders = limits.orders < LOAM_ORDERS ? limits.orders : LOAM_ORDERS;
	for (unsigned i = 0; i < LOAM_ZONES && !error; i++)
		error = hand_over_zone(link, &loam__machine.zones[i]);
	if (error)
		loam__diag_add(diag, frames->file, frames->line, "[%s] does not take the machine's frames: %s",
			       frames->name, strerror(-error));
	return error;
}

/* ---- clients ---- */

bool loam__early(void)
{
	return early.open;
}

int loam__early_alloc(uint64_t bytes, uint64_t align, uint64_t low, uint64_t high, uint32_t flags, uint64_t *at)
{
	uint64_t end = loam__machine.map.low_bytes;
	int error;

	if (!early.open)
		return -ENODEV;
	high = high && high < end ? high : end;
	/* Not the frame at address 0, whose address means that there is none. */
	low = low < LOAM_PAGE_SIZE ? LOAM_PAGE_SIZE : low;
	error = boot_ops()->alloc(early.boot.link->inst, bytes, align, low, high, flags, at);
	if (!error)
		memset(loam__machine.map.base + *at, 0, bytes);
	return error;
}

int loam__early_reserve(uint64_t base, uint64_t bytes)
{
	return early.open ? boot_ops()->reserve(early.boot.link->inst, base, bytes) : -ENODEV;
}

int loam__early_add(uint64_t base, uint64_t bytes)
{
	return early.open ? boot_ops()->add(early.boot.link->inst, base, bytes) : -ENODEV;
}

int loam__early_remove(uint64_t base, uint64_t bytes)
{
	return early.open ? boot_ops()->remove(early.boot.link->inst, base, bytes) : -ENODEV;
}

int loam__early_range(unsigned index, bool reserved, struct loam_boot_range *range)
{
	if (!early.boot.link)
		return -ENODEV;
	return (reserved ? boot_ops()->next_reserved : boot_ops()->next_free)(early.boot.link->inst, index, range);
}

/* Frames to the page allocator, each to its zone. */
static int give_late(const struct loam__range *range)
{
	const struct loam_link *link = loam__machine.frames.link;
	int error = 0;

	for (unsigned i = 0; !error && link && i < LOAM_ZONES; i++) {
		struct loam__zone *zone = &loam__machine.zones[i];
		struct loam__range part = clip(zone, range);

		if (!part.count)
			continue;
		error = loam_pages_ops(link)->add(link->inst, &zone->pub, part.pfn, part.count);
		if (error)
			break;
		zone->pub.managed += part.count;
		__atomic_fetch_add(&zone->free, part.count, __ATOMIC_RELAXED);
	}
	return error;
}

/* Frames [@from, @end) are reserved no longer: those that are RAM go on. What was reserved may have been none. */
static int hand_over_late(unsigned long from, unsigned long end)
{
	struct loam__range range;
	int error = 0;

	for (unsigned i = 0; from < end && !error && free_at(i, &range) && range.pfn < end; i++) {
		unsigned long to = range.pfn + range.count < end ? range.pfn + range.count : end;

		range.pfn = range.pfn > from ? range.pfn : from;
		range.count = range.pfn < to ? to - range.pfn : 0;
		error = give_late(&range);
	}
	return error;
}

static int free_frame(unsigned long pfn)
{
	return boot_ops()->free(early.boot.link->inst, (uint64_t)pfn << LOAM_PAGE_SHIFT, LOAM_PAGE_SIZE);
}

/* Frame by frame, for each that was reserved goes on once. Neighbours go together. */
static int free_late(unsigned long pfn, unsigned long end)
{
	int result = -ENOENT, error = 0;

	while (pfn < end && (!error || error == -ENOENT)) {
		unsigned long from = pfn;

		while (pfn < end && !(error = free_frame(pfn)))
			pfn++;
		if (pfn > from)
			result = hand_over_late(from, pfn);
		if (result && result != -ENOENT)
			return result;
		pfn++;
	}
	return error && error != -ENOENT ? error : result;
}

int loam__early_free(uint64_t base, uint64_t bytes)
{
	const uint64_t mask = LOAM_PAGE_SIZE - 1;

	if (!early.boot.link)
		return -ENODEV;
	if (early.open)
		return boot_ops()->free(early.boot.link->inst, base, bytes);
	return free_late((base + mask) >> LOAM_PAGE_SHIFT, (base + bytes) >> LOAM_PAGE_SHIFT);
}
