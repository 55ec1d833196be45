/* SPDX-License-Identifier: MIT */
/*
 * NAME.c: a boot allocator to begin with: a byte for each frame.
 *
 * While a machine boots there is no page allocator yet. The host tells which ranges are RAM; early code reserves some and has
 * others given to it; then the host asks which ones are free, and the page allocator gets those. What clients name is bytes at
 * physical addresses; what is kept here is whole frames (no LOAM_BOOT_EXACT below), and every rounding errs towards safety: a
 * frame that is not RAM as a whole is none, and a frame of which a byte is reserved is reserved. So each small request has a
 * frame to itself. To pack small ones into one frame is the first thing to improve.
 *
 * Threads: there is one while a machine boots. For who gives memory back later the host takes one lock around each op
 * (LOAM_THREADS_SERIALISED below), so there is none here. No op may call malloc, and none needs memory: the table is made at
 * once.
 */
#include <errno.h>
#include <loam/plugin.h>

/* What the byte of a frame says. What is reserved need not be RAM: a client may know of a range before the host tells it. */
enum { RAM = 1, TAKEN = 2 };

/* An instance: a section of the configuration. There may be several at once, so there are no global variables. */
struct memory {
	const struct loam_host *host; /* the host's services */
	const struct loam_args *args; /* what create was given; lives as long as the instance */
	size_t bytes;                 /* of this record */
	unsigned long nr;             /* frames of the machine */
	uint64_t allocs, frees;       /* frames that became reserved, and free again */
	uint64_t failures;            /* calls */
	uint8_t frames[];             /* by frame number */
};

/* The frame that @at lies in, and the first one that begins at or behind it. */
static unsigned long down(loam_phys_t at)
{
	return at >> LOAM_PAGE_SHIFT;
}

static unsigned long up(loam_phys_t at)
{
	return down(at) + (at % LOAM_PAGE_SIZE != 0);
}

static bool beyond_the_end(loam_phys_t base, loam_phys_t bytes)
{
	return base + bytes < base;
}

/* Set @bit in frames [@from, @to), or clear it; how many changed. What lies outside of the machine is forgotten. */
static unsigned long change(struct memory *memory, unsigned long from, unsigned long to, uint8_t bit, bool set)
{
	unsigned long changed = 0;

	for (unsigned long pfn = from; pfn < to && pfn < memory->nr; pfn++) {
		uint8_t now = (uint8_t)(set ? memory->frames[pfn] | bit : memory->frames[pfn] & ~bit);

		changed += now != memory->frames[pfn];
		memory->frames[pfn] = now;
	}
	return changed;
}

/* Whether a frame of [@from, @to) has @bit. */
static bool any(const struct memory *memory, unsigned long from, unsigned long to, uint8_t bit)
{
	for (unsigned long pfn = from; pfn < to && pfn < memory->nr; pfn++)
		if (memory->frames[pfn] & bit)
			return true;
	return false;
}

/* ---- the role boot ---- */

/*
 * [@base, @base + @bytes) is RAM. Ranges come in any order, may touch and overlap, and are one then. 0, or -EINVAL for a range
 * that goes beyond the last address, as in all ops that take one. -ENOMEM, with nothing changed, is for who needs records for
 * it.
 */
static int boot_add(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	if (beyond_the_end(base, bytes))
		return -EINVAL;
	change(inst, up(base), down(base + bytes), RAM, true);
	return 0;
}

/*
 * It is RAM no longer: never given out again, nor shown as free. What is reserved stays so. 0, or -ENOENT when none of it was
 * RAM.
 */
static int boot_remove(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	if (beyond_the_end(base, bytes))
		return -EINVAL;
	return bytes && change(inst, down(base), up(base + bytes), RAM, false) ? 0 : -ENOENT;
}

/* Keep the range from who asks, be it RAM or not; once more is no error. Only what was not reserved before is counted. */
static int boot_reserve(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	struct memory *memory = inst;

	if (beyond_the_end(base, bytes))
		return -EINVAL;
	if (bytes)
		memory->allocs += change(memory, down(base), up(base + bytes), TAKEN, true);
	return 0;
}

/* Whether the @n frames from @pfn on are RAM, and nobody's. */
static bool is_free(const struct memory *memory, unsigned long pfn, unsigned long n)
{
	for (unsigned long i = pfn; i < pfn + n; i++)
		if (memory->frames[i] != RAM)
			return false;
	return true;
}

/*
 * The lowest frame, or the highest, from which @bytes within [@low, @high) are free, at a multiple of @step; nr: there is none.
 */
static unsigned long find(const struct memory *memory, loam_phys_t bytes, unsigned long step, loam_phys_t low,
			  loam_phys_t high, bool from_top)
{
	loam_phys_t end = (loam_phys_t)memory->nr << LOAM_PAGE_SHIFT;
	unsigned long first = (up(low) + step - 1) & -step, last, pfn;

	high = high < end ? high : end;
	if (bytes > high)
		return memory->nr;
	last = down(high - bytes) & -step;
	/* Downwards it wraps around below 0, and is over the last one then. */
	for (pfn = from_top ? last : first; pfn >= first && pfn <= last; pfn += from_top ? -step : step)
		if (is_free(memory, pfn, up(bytes)))
			return pfn;
	return memory->nr;
}

/*
 * Reserve @bytes that are RAM and free, at a multiple of @align, all of them within [@low, @high): the address into *@at and 0.
 * The lowest place that there is, or with LOAM_BOOT_TOP_DOWN the highest. -EINVAL for no bytes or an alignment that is no power
 * of two; -ENOMEM when nothing is free that fits, which alone is counted as a failure. Then *@at stays as it is. Contents are
 * undefined.
 */
static int boot_alloc(void *inst, loam_phys_t bytes, loam_phys_t align, loam_phys_t low, loam_phys_t high,
		      uint32_t flags, loam_phys_t *at)
{
	struct memory *memory = inst;
	unsigned long pfn;

	if (!bytes || !align || align & (align - 1))
		return -EINVAL;
	pfn = find(memory, bytes, up(align), low, high, flags & LOAM_BOOT_TOP_DOWN);
	if (pfn == memory->nr) {
		memory->failures++;
		return -ENOMEM;
	}
	*at = (loam_phys_t)pfn << LOAM_PAGE_SHIFT;
	return boot_reserve(memory, *at, bytes);
}

/*
 * A reserved range comes back, a part of one or several at once: the frames that it covers as a whole. 0, or -ENOENT when
 * nothing of it was reserved. To give back just what alloc gave must work when memory is short.
 */
static int boot_free(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	struct memory *memory = inst;

	if (beyond_the_end(base, bytes))
		return -EINVAL;
	if (!bytes || !any(memory, down(base), up(base + bytes), TAKEN))
		return -ENOENT;
	memory->frees += change(memory, up(base), down(base + bytes), TAKEN, false);
	return 0;
}

/* The @index-th run of frames whose bits under @mask are @bits: 0, or -ENOENT behind the last one. */
static int next_run(const struct memory *memory, unsigned index, uint8_t mask, uint8_t bits,
		    struct loam_boot_range *range)
{
	for (unsigned long from = 0, to; from < memory->nr; from = to + 1) {
		for (to = from; to < memory->nr && (memory->frames[to] & mask) == bits; to++)
			;
		if (to == from || index--)
			continue;
		range->base = (loam_phys_t)from << LOAM_PAGE_SHIFT;
		range->bytes = (loam_phys_t)(to - from) << LOAM_PAGE_SHIFT;
		return 0;
	}
	return -ENOENT;
}

/*
 * What is RAM and not reserved, in order of addresses; ranges that touch are one. Here the page allocator's memory comes from.
 */
static int boot_next_free(void *inst, unsigned index, struct loam_boot_range *range)
{
	return next_run(inst, index, RAM | TAKEN, RAM, range);
}

/* The same for what is reserved, RAM or not. */
static int boot_next_reserved(void *inst, unsigned index, struct loam_boot_range *range)
{
	return next_run(inst, index, TAKEN, TAKEN, range);
}

static const struct loam_boot_ops ops = {
	.size = sizeof(ops),
	.add = boot_add,
	.remove = boot_remove,
	.reserve = boot_reserve,
	.alloc = boot_alloc,
	.free = boot_free,
	.next_free = boot_next_free,
	.next_reserved = boot_next_reserved,
	/* This may be left out; then there is no capability. */
	.limits = NULL, /* LOAM_BOOT_EXACT: ranges are kept to the byte */
};

/* ---- introspection ---- */

/* Counters, at any time. @stat comes zeroed but for its size. Bytes are counted as blocks: a range may come back in parts. */
static int boot_stat(void *inst, struct loam_stat *stat)
{
	const struct memory *memory = inst;

	stat->allocs = memory->allocs << LOAM_PAGE_SHIFT;
	stat->frees = memory->frees << LOAM_PAGE_SHIFT;
	stat->failures = memory->failures;
	stat->live_blocks = stat->live_bytes = stat->footprint = stat->allocs - stat->frees;
	return 0;
}

/* Tell @fn of every broken invariant, and return how many. Never repairs, never aborts. All threads stand still. */
static int boot_check(void *inst, loam_check_fn fn, void *arg)
{
	const struct memory *memory = inst;
	uint64_t taken = 0;

	for (unsigned long pfn = 0; pfn < memory->nr; pfn++)
		taken += (memory->frames[pfn] & TAKEN) != 0;
	if (taken == memory->allocs - memory->frees)
		return 0;
	fn(arg, "the counters are not what the table says");
	return 1;
}

/* ---- create and destroy ---- */

/* 0, or a negative errno with everything undone. Records come from the host, zeroed, and never from malloc. */
static int create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	size_t bytes = sizeof(struct memory) + host->map->nr_pages;
	struct memory *memory = host->meta_alloc(args->self, bytes, 0);

	if (!memory)
		return -ENOMEM;
	memory->host = host;
	memory->args = args;
	memory->bytes = bytes;
	memory->nr = host->map->nr_pages;
	*inst = memory;
	return 0;
}

/* No call is in progress. The memory is the machine's; the record goes back. */
static void destroy(void *inst)
{
	struct memory *memory = inst;

	memory->host->meta_free(memory->args->self, memory, memory->bytes);
}

static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_BOOT, &ops) };

LOAM_PLUGIN(.name = "NAME", .version = "0.1", .summary = "boot: a byte for each frame",
	    .threads = LOAM_THREADS_SERIALISED, LOAM_ROLES(roles), .create = create, .destroy = destroy,
	    .stat = boot_stat, .check = boot_check);
