/* SPDX-License-Identifier: MIT */
/*
 * memblock.c: the role boot by two lists of ranges: what is memory, and what of that is reserved.
 *
 * Both are arrays in address order whose ranges do not overlap: what is added merges with what it overlaps, what is removed splits.
 * Memory that touches becomes one range. What is reserved stays apart, so that a block which comes back whole never splits
 * anything: giving back needs no memory. Free is what is memory and not reserved, which a walk along both shows; an
 * allocation reserves the first piece that fits, from the top or from the bottom. So a range costs 16 bytes whatever its size. The
 * arrays double when they are full.
 *
 * There is one thread while a machine boots. The host's lock is for who gives memory back later.
 */
#include <loam/plugin.h>

#include <errno.h>
#include <string.h>

#define FIRST_MAX 64

/** Ranges in address order. */
struct ranges {
	struct loam_boot_range *at;
	unsigned n, max;
};

struct memblock {
	const struct loam_host *host;
	struct loam_self *self;
	struct ranges memory, reserved;
	uint64_t allocs, frees, failures; /* bytes that became reserved, and free; requests */
};

static loam_phys_t end_of(const struct loam_boot_range *range)
{
	return range->base + range->bytes;
}

/* ---- ranges ---- */

/* Room for one more. */
static int make_room(struct memblock *mb, struct ranges *ranges)
{
	unsigned max = ranges->max ? 2 * ranges->max : FIRST_MAX;
	struct loam_boot_range *at;

	if (ranges->n < ranges->max)
		return 0;
	at = mb->host->meta_alloc(mb->self, max * sizeof(*at), 0);
	if (!at)
		return -ENOMEM;
	if (ranges->n)
		memcpy(at, ranges->at, ranges->n * sizeof(*at));
	if (ranges->at)
		mb->host->meta_free(mb->self, ranges->at, ranges->max * sizeof(*at));
	ranges->at = at;
	ranges->max = max;
	return 0;
}

/* Ranges [@from, @to) become the @n at @by, of which at most one is more than there were. */
static int replace(struct memblock *mb, struct ranges *ranges, unsigned from, unsigned to,
		   const struct loam_boot_range *by, unsigned n)
{
	if (n > to - from && make_room(mb, ranges))
		return -ENOMEM;
	if (to < ranges->n)
		memmove(ranges->at + from + n, ranges->at + to, (ranges->n - to) * sizeof(*by));
	if (n)
		memcpy(ranges->at + from, by, n * sizeof(*by));
	ranges->n += n - (to - from);
	return 0;
}

/* The first range that ends behind @base. */
static unsigned first_behind(const struct ranges *ranges, loam_phys_t base)
{
	unsigned low = 0, high = ranges->n;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (end_of(&ranges->at[mid]) <= base)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Bytes of [@base, @end) that are in the ranges. */
static uint64_t common(const struct ranges *ranges, loam_phys_t base, loam_phys_t end)
{
	uint64_t bytes = 0;

	for (unsigned i = first_behind(ranges, base); i < ranges->n && ranges->at[i].base < end; i++) {
		loam_phys_t from = ranges->at[i].base > base ? ranges->at[i].base : base;
		loam_phys_t to = end_of(&ranges->at[i]) < end ? end_of(&ranges->at[i]) : end;

		bytes += to - from;
	}
	return bytes;
}

/* One range with those that it overlaps; @join: with those that it touches too. */
static int insert(struct memblock *mb, struct ranges *ranges, loam_phys_t base, loam_phys_t end, bool join)
{
	unsigned from = first_behind(ranges, base), to;
	struct loam_boot_range whole;

	if (base == end)
		return 0;
	if (join && from && end_of(&ranges->at[from - 1]) == base)
		from--;
	for (to = from; to < ranges->n && (ranges->at[to].base < end || (join && ranges->at[to].base == end)); to++)
		;
	if (to > from) {
		base = ranges->at[from].base < base ? ranges->at[from].base : base;
		end = end_of(&ranges->at[to - 1]) > end ? end_of(&ranges->at[to - 1]) : end;
	}
	whole = (struct loam_boot_range){ base, end - base };
	return replace(mb, ranges, from, to, &whole, 1);
}

static int cut(struct memblock *mb, struct ranges *ranges, loam_phys_t base, loam_phys_t end)
{
	unsigned from = first_behind(ranges, base), to, n = 0;
	struct loam_boot_range rest[2];

	if (!common(ranges, base, end))
		return -ENOENT;
	for (to = from; to < ranges->n && ranges->at[to].base < end; to++)
		;
	if (ranges->at[from].base < base)
		rest[n++] = (struct loam_boot_range){ ranges->at[from].base, base - ranges->at[from].base };
	if (end_of(&ranges->at[to - 1]) > end)
		rest[n++] = (struct loam_boot_range){ end, end_of(&ranges->at[to - 1]) - end };
	return replace(mb, ranges, from, to, rest, n);
}

/* ---- what is free ---- */

/** A walk along both lists. */
struct walk {
	unsigned m, r;
	loam_phys_t at;
};

/* The next free piece at or behind walk->at: memory, up to where something reserved begins. false: none. */
static bool next_piece(const struct memblock *mb, struct walk *walk, struct loam_boot_range *piece)
{
	const struct ranges *reserved = &mb->reserved;

	for (; walk->m < mb->memory.n; walk->m++) {
		const struct loam_boot_range *memory = &mb->memory.at[walk->m];
		loam_phys_t end = end_of(memory);

		walk->at = memory->base > walk->at ? memory->base : walk->at;
		for (; walk->r < reserved->n && reserved->at[walk->r].base <= walk->at; walk->r++)
			if (end_of(&reserved->at[walk->r]) > walk->at)
				walk->at = end_of(&reserved->at[walk->r]);
		if (walk->at >= end)
			continue;
		if (walk->r < reserved->n && reserved->at[walk->r].base < end)
			end = reserved->at[walk->r].base;
		*piece = (struct loam_boot_range){ walk->at, end - walk->at };
		walk->at = end;
		return true;
	}
	return false;
}

/* Where @bytes fit into @piece within the limits. */
static bool fits(const struct loam_boot_range *piece, loam_phys_t bytes, loam_phys_t align, loam_phys_t low,
		 loam_phys_t high, bool down, loam_phys_t *at)
{
	loam_phys_t from = piece->base > low ? piece->base : low;
	loam_phys_t to = end_of(piece) < high ? end_of(piece) : high, place;

	if (to < bytes || from > to - bytes)
		return false;
	place = down ? (to - bytes) & ~(align - 1) : (from + align - 1) & ~(align - 1);
	if (place < from || place > to - bytes)
		return false;
	*at = place;
	return true;
}

/* ---- the role ---- */

static int memblock_add(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	struct memblock *mb = inst;

	return base + bytes < base ? -EINVAL : insert(mb, &mb->memory, base, base + bytes, true);
}

static int memblock_remove(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	struct memblock *mb = inst;

	return base + bytes < base ? -EINVAL : cut(mb, &mb->memory, base, base + bytes);
}

static int memblock_reserve(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	struct memblock *mb = inst;
	uint64_t fresh;
	int error;

	if (base + bytes < base)
		return -EINVAL;
	fresh = bytes - common(&mb->reserved, base, base + bytes);
	error = insert(mb, &mb->reserved, base, base + bytes, false);
	if (!error)
		mb->allocs += fresh;
	return error;
}

static int memblock_alloc(void *inst, loam_phys_t bytes, loam_phys_t align, loam_phys_t low, loam_phys_t high,
			  uint32_t flags, loam_phys_t *at)
{
	bool down = flags & LOAM_BOOT_TOP_DOWN, found = false;
	struct memblock *mb = inst;
	struct loam_boot_range piece;
	struct walk walk = { 0 };
	loam_phys_t place = 0;

	if (!bytes || !align || align & (align - 1))
		return -EINVAL;
	/* From the bottom the first that fits; from the top the last. */
	while (!(found && !down) && next_piece(mb, &walk, &piece) && piece.base < high)
		found |= fits(&piece, bytes, align, low, high, down, &place);
	if (!found || memblock_reserve(mb, place, bytes)) {
		mb->failures++;
		return -ENOMEM;
	}
	*at = place;
	return 0;
}

static int memblock_free(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	struct memblock *mb = inst;
	uint64_t had;
	int error;

	if (base + bytes < base)
		return -EINVAL;
	had = common(&mb->reserved, base, base + bytes);
	error = cut(mb, &mb->reserved, base, base + bytes);
	if (!error)
		mb->frees += had;
	return error;
}

static int memblock_next_free(void *inst, unsigned index, struct loam_boot_range *range)
{
	struct walk walk = { 0 };

	do
		if (!next_piece(inst, &walk, range))
			return -ENOENT;
	while (index--);
	return 0;
}

/* Ranges that touch are shown as one. */
static int memblock_next_reserved(void *inst, unsigned index, struct loam_boot_range *range)
{
	const struct memblock *mb = inst;
	const struct ranges *reserved = &mb->reserved;

	for (unsigned i = 0, to; i < reserved->n; i = to) {
		for (to = i + 1; to < reserved->n && reserved->at[to].base == end_of(&reserved->at[to - 1]); to++)
			;
		if (index--)
			continue;
		*range = (struct loam_boot_range){ reserved->at[i].base,
						   end_of(&reserved->at[to - 1]) - reserved->at[i].base };
		return 0;
	}
	return -ENOENT;
}

static void memblock_limits(void *inst, struct loam_boot_limits *limits)
{
	(void)inst;
	limits->caps = LOAM_BOOT_EXACT;
}

/* Bytes are what is counted. */
static int memblock_stat(void *inst, struct loam_stat *stat)
{
	const struct memblock *mb = inst;

	stat->allocs = mb->allocs;
	stat->frees = mb->frees;
	stat->failures = mb->failures;
	stat->live_blocks = stat->live_bytes = stat->footprint = mb->allocs - mb->frees;
	return 0;
}

static int check_ranges(const struct ranges *ranges, const char *what, loam_check_fn fn, void *arg)
{
	int broken = 0;

	for (unsigned i = 0; i < ranges->n; i++)
		if (!ranges->at[i].bytes || (i && end_of(&ranges->at[i - 1]) > ranges->at[i].base)) {
			fn(arg, what);
			broken++;
		}
	return broken;
}

static int memblock_check(void *inst, loam_check_fn fn, void *arg)
{
	const struct memblock *mb = inst;
	uint64_t bytes = 0;
	int broken = check_ranges(&mb->memory, "memory: a range is empty, or not behind the one before", fn, arg) +
		     check_ranges(&mb->reserved, "reserved: a range is empty, or not behind the one before", fn, arg);

	for (unsigned i = 0; i < mb->reserved.n; i++)
		bytes += mb->reserved.at[i].bytes;
	if (bytes != mb->allocs - mb->frees) {
		fn(arg, "the reserved ranges are not what the counters say");
		broken++;
	}
	return broken;
}

static int memblock_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct memblock *mb = host->meta_alloc(args->self, sizeof(*mb), 0);

	if (!mb)
		return -ENOMEM;
	mb->host = host;
	mb->self = args->self;
	*inst = mb;
	return 0;
}

static void memblock_destroy(void *inst)
{
	struct memblock *mb = inst;
	struct ranges *const both[] = { &mb->memory, &mb->reserved };

	for (unsigned i = 0; i < LOAM_LEN(both); i++)
		if (both[i]->at)
			mb->host->meta_free(mb->self, both[i]->at, both[i]->max * sizeof(*both[i]->at));
	mb->host->meta_free(mb->self, mb, sizeof(*mb));
}

static const struct loam_boot_ops ops = { .size = sizeof(ops),
					  .add = memblock_add,
					  .remove = memblock_remove,
					  .reserve = memblock_reserve,
					  .alloc = memblock_alloc,
					  .free = memblock_free,
					  .next_free = memblock_next_free,
					  .next_reserved = memblock_next_reserved,
					  .limits = memblock_limits };
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_BOOT, &ops) };

LOAM_PLUGIN(.name = "memblock", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_SERIALISED,
	    .summary = "boot: ranges of memory, and what of them is reserved", LOAM_ROLES(roles),
	    .create = memblock_create, .destroy = memblock_destroy, .stat = memblock_stat, .check = memblock_check);
