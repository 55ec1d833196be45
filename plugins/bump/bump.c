/* SPDX-License-Identifier: MIT */
/*
 * bump.c: the role boot by a bit for each frame and one cursor: as simple as a boot allocator can be.
 *
 * Small requests are packed behind each other into the frame that was taken last; what does not fit there takes the first run of
 * free frames, from the top or the bottom. So what is reserved is whole frames: reserving rounds outwards, and freeing gives back
 * the frames that lie in the range as a whole.
 */
#include <loam/plugin.h>

#include <errno.h>

enum { RAM = 1, TAKEN = 2 };

struct bump {
	const struct loam_host *host;
	struct loam_self *self;
	size_t bytes; /* of this record */
	unsigned long nr;
	loam_phys_t cursor, cursor_end;   /* the rest of the frame that small requests share */
	uint64_t allocs, frees, failures; /* bytes, in whole frames; requests */
	uint8_t frames[];                 /* RAM, TAKEN */
};

static unsigned long down(loam_phys_t at)
{
	return at >> LOAM_PAGE_SHIFT;
}

static unsigned long up(loam_phys_t at)
{
	return (at + LOAM_PAGE_SIZE - 1) >> LOAM_PAGE_SHIFT;
}

/* Set @bits in, or clear them from, frames [@from, @to); how many changed. */
static unsigned long change(struct bump *bump, unsigned long from, unsigned long to, unsigned bits, bool set)
{
	unsigned long changed = 0;

	for (to = to < bump->nr ? to : bump->nr; from < to; from++) {
		uint8_t now = (uint8_t)(set ? bump->frames[from] | bits : bump->frames[from] & ~bits);

		changed += now != bump->frames[from];
		bump->frames[from] = now;
	}
	return changed;
}

/* The frame that small requests share is shared no longer, when [@base, @base + @bytes) touches it. */
static void close_shared(struct bump *bump, loam_phys_t base, loam_phys_t bytes)
{
	loam_phys_t frame = bump->cursor_end - LOAM_PAGE_SIZE;

	if (bump->cursor_end && bytes && base < bump->cursor_end && base + bytes > frame)
		bump->cursor = bump->cursor_end = 0;
}

/* RAM is whole frames: a part of one at either end is none. */
static int bump_add(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	if (base + bytes < base)
		return -EINVAL;
	change(inst, up(base), down(base + bytes), RAM, true);
	return 0;
}

static int bump_remove(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	struct bump *bump = inst;

	if (base + bytes < base)
		return -EINVAL;
	close_shared(bump, base, bytes);
	return bytes && change(bump, down(base), up(base + bytes), RAM, false) ? 0 : -ENOENT;
}

static int bump_reserve(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	struct bump *bump = inst;

	if (base + bytes < base)
		return -EINVAL;
	close_shared(bump, base, bytes);
	if (bytes)
		bump->allocs += change(bump, down(base), up(base + bytes), TAKEN, true) << LOAM_PAGE_SHIFT;
	return 0;
}

/* Behind what was given out last, in the same frame. */
static bool pack(struct bump *bump, loam_phys_t bytes, loam_phys_t align, loam_phys_t low, loam_phys_t high,
		 loam_phys_t *at)
{
	loam_phys_t from = (bump->cursor + align - 1) & ~(align - 1);

	if (from < low || bytes > bump->cursor_end || from > bump->cursor_end - bytes || from + bytes > high)
		return false;
	*at = from;
	bump->cursor = from + bytes;
	return true;
}

static bool is_free(const struct bump *bump, unsigned long from, unsigned long n)
{
	for (unsigned long i = from; i < from + n; i++)
		if (i >= bump->nr || bump->frames[i] != RAM)
			return false;
	return true;
}

static bool find(const struct bump *bump, loam_phys_t bytes, loam_phys_t align, loam_phys_t low, loam_phys_t high,
		 bool from_top, loam_phys_t *at)
{
	loam_phys_t step = align < LOAM_PAGE_SIZE ? LOAM_PAGE_SIZE : align;
	loam_phys_t end = (loam_phys_t)bump->nr << LOAM_PAGE_SHIFT;
	unsigned long n = up(bytes);
	loam_phys_t place;

	high = high < end ? high : end;
	if (bytes > high || low > high - bytes)
		return false;
	low = (low + step - 1) & ~(step - 1);
	place = from_top ? (high - bytes) & ~(step - 1) : low;
	for (; place >= low && place <= high - bytes; place += from_top ? -step : step) {
		if (is_free(bump, down(place), n)) {
			*at = place;
			return true;
		}
		if (from_top && place < step)
			break;
	}
	return false;
}

static int bump_alloc(void *inst, loam_phys_t bytes, loam_phys_t align, loam_phys_t low, loam_phys_t high,
		      uint32_t flags, loam_phys_t *at)
{
	struct bump *bump = inst;

	if (!bytes || !align || align & (align - 1))
		return -EINVAL;
	if (bytes < LOAM_PAGE_SIZE && pack(bump, bytes, align, low, high, at))
		return 0;
	if (!find(bump, bytes, align, low, high, flags & LOAM_BOOT_TOP_DOWN, at)) {
		bump->failures++;
		return -ENOMEM;
	}
	bump_reserve(bump, *at, bytes);
	if (bytes < LOAM_PAGE_SIZE) {
		bump->cursor = *at + bytes;
		bump->cursor_end = (*at | (LOAM_PAGE_SIZE - 1)) + 1;
	}
	return 0;
}

static int bump_free(void *inst, loam_phys_t base, loam_phys_t bytes)
{
	struct bump *bump = inst;
	unsigned long from = up(base), to = down(base + bytes), n;
	bool any = false;

	if (base + bytes < base)
		return -EINVAL;
	for (unsigned long i = down(base); bytes && i < up(base + bytes) && i < bump->nr; i++)
		any |= bump->frames[i] & TAKEN;
	if (!any)
		return -ENOENT;
	n = from < to ? change(bump, from, to, TAKEN, false) : 0;
	bump->frees += n << LOAM_PAGE_SHIFT;
	if (from < to)
		close_shared(bump, (loam_phys_t)from << LOAM_PAGE_SHIFT, (loam_phys_t)(to - from) << LOAM_PAGE_SHIFT);
	return 0;
}

/* The @index-th run of frames whose bits under @mask are @bits. */
static int next_run(const struct bump *bump, unsigned index, unsigned mask, unsigned bits,
		    struct loam_boot_range *range)
{
	for (unsigned long from = 0, to; from < bump->nr; from = to) {
		bool here = (bump->frames[from] & mask) == bits;

		for (to = from + 1; to < bump->nr && ((bump->frames[to] & mask) == bits) == here; to++)
			;
		if (!here || index--)
			continue;
		*range = (struct loam_boot_range){ (loam_phys_t)from << LOAM_PAGE_SHIFT, (loam_phys_t)(to - from)
												 << LOAM_PAGE_SHIFT };
		return 0;
	}
	return -ENOENT;
}

static int bump_next_free(void *inst, unsigned index, struct loam_boot_range *range)
{
	return next_run(inst, index, RAM | TAKEN, RAM, range);
}

static int bump_next_reserved(void *inst, unsigned index, struct loam_boot_range *range)
{
	return next_run(inst, index, TAKEN, TAKEN, range);
}

static int bump_stat(void *inst, struct loam_stat *stat)
{
	const struct bump *bump = inst;

	stat->allocs = bump->allocs;
	stat->frees = bump->frees;
	stat->failures = bump->failures;
	stat->live_blocks = stat->live_bytes = stat->footprint = bump->allocs - bump->frees;
	return 0;
}

static int bump_check(void *inst, loam_check_fn fn, void *arg)
{
	const struct bump *bump = inst;
	uint64_t taken = 0;

	for (unsigned long i = 0; i < bump->nr; i++)
		taken += bump->frames[i] & TAKEN ? LOAM_PAGE_SIZE : 0;
	if (taken == bump->allocs - bump->frees)
		return 0;
	fn(arg, "the frames that are marked taken are not what the counters say");
	return 1;
}

static int bump_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	size_t bytes = sizeof(struct bump) + host->map->nr_pages;
	struct bump *bump = host->meta_alloc(args->self, bytes, 0);

	if (!bump)
		return -ENOMEM;
	bump->host = host;
	bump->self = args->self;
	bump->bytes = bytes;
	bump->nr = host->map->nr_pages;
	*inst = bump;
	return 0;
}

static void bump_destroy(void *inst)
{
	struct bump *bump = inst;

	bump->host->meta_free(bump->self, bump, bump->bytes);
}

static const struct loam_boot_ops ops = { .size = sizeof(ops),
					  .add = bump_add,
					  .remove = bump_remove,
					  .reserve = bump_reserve,
					  .alloc = bump_alloc,
					  .free = bump_free,
					  .next_free = bump_next_free,
					  .next_reserved = bump_next_reserved };
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_BOOT, &ops) };

LOAM_PLUGIN(.name = "bump", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_SERIALISED,
	    .summary = "boot: a bit for each frame and a cursor, the one to read first", LOAM_ROLES(roles),
	    .create = bump_create, .destroy = bump_destroy, .stat = bump_stat, .check = bump_check);
