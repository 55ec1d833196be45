/* SPDX-License-Identifier: MIT */
/* boot-model.c: what the subject does with ranges, and what the model says of it; see boot-model.h. */
#include "boot-model.h"

#include <errno.h>
#include <string.h>

enum { RAM = 1, MAY_BE_RAM = 2, TAKEN = 4, MAY_BE_TAKEN = 8, SHOWN_FREE = 16, SHOWN_TAKEN = 32 };

static uint8_t map[BOOT_BYTES];
static char blamed[12]; /* the test's own clause; "": in random sequences */

/* What follows from a mistake shows in many places: a test blames its own clause for it. */
static const char *blame(const char *id)
{
	return blamed[0] ? blamed : id;
}

/* ---- the map ---- */

static void set(loam_phys_t from, loam_phys_t to, unsigned bits)
{
	for (to = to < BOOT_BYTES ? to : BOOT_BYTES; from < to; from++)
		map[from] |= (uint8_t)bits;
}

static void clear(loam_phys_t from, loam_phys_t to, unsigned bits)
{
	for (to = to < BOOT_BYTES ? to : BOOT_BYTES; from < to; from++)
		map[from] &= (uint8_t)~bits;
}

static uint64_t count(loam_phys_t from, loam_phys_t to, unsigned bits)
{
	uint64_t n = 0;

	for (to = to < BOOT_BYTES ? to : BOOT_BYTES; from < to; from++)
		n += (map[from] & bits) == bits;
	return n;
}

static loam_phys_t unit(void)
{
	return boot_exact() ? 1 : LOAM_PAGE_SIZE;
}

static loam_phys_t inner(loam_phys_t at)
{
	return (at + unit() - 1) & ~(unit() - 1);
}

static loam_phys_t outer(loam_phys_t at)
{
	return at & ~(unit() - 1);
}

void boot_begin(void)
{
	memset(map, 0, sizeof(map));
	blamed[0] = '\0';
	if (job.test && job.test->kind != MODEL && !strncmp(job.test->clauses, "BOOT-", 5))
		snprintf(blamed, sizeof(blamed), "%.7s", job.test->clauses);
}

void boot_all(void)
{
	model_add(0, BOOT_BYTES);
}

void boot_ragged(void)
{
	static const unsigned from[] = { 1, 10, 12, 30, 50, 66 }, to[] = { 9, 11, 25, 49, 65, BOOT_FRAMES };

	for (unsigned i = 0; i < LOAM_LEN(from); i++)
		model_add((loam_phys_t)from[i] << LOAM_PAGE_SHIFT, (loam_phys_t)(to[i] - from[i]) << LOAM_PAGE_SHIFT);
}

/* ---- counters ---- */

/** Before a call that changes what is reserved. */
struct before {
	struct loam_stat stat;
	uint64_t reserved;
};

static struct before before(void)
{
	return (struct before){ stat_now(), boot_reserved() };
}

static void counted(const struct before *was, int64_t grown, bool failed)
{
	struct loam_stat now = stat_now();
	uint64_t reserved = boot_reserved();
	int64_t more = (int64_t)(reserved - was->reserved);

	kept(blame("BOOT-18"), now.live_bytes == reserved && now.live_blocks == reserved,
	     "live_bytes is %llu, live_blocks %llu, and %llu bytes are shown as reserved",
	     (unsigned long long)now.live_bytes, (unsigned long long)now.live_blocks, (unsigned long long)reserved);
	kept(blame("BOOT-18"), !boot_exact() || more == grown, "%lld bytes more are reserved, and it should be %lld",
	     (long long)more, (long long)grown);
	kept(blame("BOOT-18"), now.allocs - was->stat.allocs == (uint64_t)(more > 0 ? more : 0),
	     "allocs grew by %llu, and %lld bytes became reserved", (unsigned long long)(now.allocs - was->stat.allocs),
	     (long long)more);
	kept(blame("BOOT-18"), now.frees - was->stat.frees == (uint64_t)(more < 0 ? -more : 0),
	     "frees grew by %llu, and %lld bytes became free", (unsigned long long)(now.frees - was->stat.frees),
	     (long long)-more);
	kept(blame(failed ? "BOOT-14" : "BOOT-18"), now.failures - was->stat.failures == failed,
	     "failures grew by %llu, not %d", (unsigned long long)(now.failures - was->stat.failures), failed);
}

/* ---- ops on subject and model ---- */

void model_add(loam_phys_t base, loam_phys_t bytes)
{
	int result = boot_add(base, bytes);

	kept(blame("BOOT-04"), !result, "add returns %d", result);
	set(base, base + bytes, MAY_BE_RAM);
	if (bytes)
		set(inner(base), outer(base + bytes), RAM);
}

void model_remove(loam_phys_t base, loam_phys_t bytes)
{
	bool some = count(base, base + bytes, MAY_BE_RAM), sure = count(base, base + bytes, RAM);
	int result = boot_remove(base, bytes);

	kept(blame("BOOT-05"), !result || result == -ENOENT, "remove returns %d", result);
	kept(blame("BOOT-05"), !sure || !result, "remove of RAM returns %d", result);
	kept(blame("BOOT-05"), some || result, "remove of what is no RAM returns 0");
	if (!bytes || (result && !sure && boot_exact()))
		return;
	clear(base, base + bytes, MAY_BE_RAM);
	clear(outer(base), inner(base + bytes), RAM);
}

void model_reserve(loam_phys_t base, loam_phys_t bytes)
{
	uint64_t had = count(base, base + bytes, TAKEN);
	struct before was = before();
	int result = boot_reserve(base, bytes);

	kept(blame("BOOT-04"), !result, "reserve returns %d", result);
	if (bytes) {
		set(base, base + bytes, TAKEN);
		set(outer(base), inner(base + bytes), MAY_BE_TAKEN);
	}
	counted(&was, (int64_t)(bytes - had), false);
}

void model_free(loam_phys_t base, loam_phys_t bytes)
{
	uint64_t had = count(base, base + bytes, TAKEN), may = count(base, base + bytes, MAY_BE_TAKEN);
	struct before was = before();
	int result = boot_free(base, bytes);

	kept(blame("BOOT-06"), !result || result == -ENOENT, "free returns %d", result);
	kept(blame("BOOT-06"), !had || !result, "free of %llu reserved bytes returns %d", (unsigned long long)had,
	     result);
	kept(blame("BOOT-06"), may || result, "free of what is not reserved returns 0");
	clear(base, base + bytes, TAKEN);
	if (inner(base) < outer(base + bytes))
		clear(inner(base), outer(base + bytes), MAY_BE_TAKEN);
	counted(&was, -(int64_t)had, false);
}

static bool sure_at(loam_phys_t at)
{
	return (map[at] & (RAM | MAY_BE_TAKEN)) == RAM;
}

/* How many bytes from each one on are surely free. */
static const uint32_t *sure_runs(void)
{
	static uint32_t runs[BOOT_BYTES + 1];

	for (loam_phys_t at = BOOT_BYTES; at--;)
		runs[at] = sure_at(at) ? runs[at + 1] + 1 : 0;
	return runs;
}

loam_phys_t model_place(const struct request *r)
{
	loam_phys_t step = r->align > unit() ? r->align : unit(), found = NOWHERE;
	loam_phys_t high = r->high < BOOT_BYTES ? r->high : BOOT_BYTES, need = inner(r->bytes);
	const uint32_t *runs = sure_runs();

	if (r->low >= BOOT_BYTES || r->bytes > BOOT_BYTES)
		return NOWHERE;
	for (loam_phys_t at = (r->low + step - 1) & ~(step - 1); at < high && at + r->bytes <= high; at += step) {
		if (runs[at] < need)
			continue;
		found = at;
		if (!(r->flags & LOAM_BOOT_TOP_DOWN))
			break;
	}
	return found;
}

static void look_place(const struct request *r, loam_phys_t at, loam_phys_t sure)
{
	bool whole = r->bytes % LOAM_PAGE_SIZE == 0 && r->align >= LOAM_PAGE_SIZE, down = r->flags & LOAM_BOOT_TOP_DOWN;

	kept("BOOT-08", at >= r->low && at + r->bytes <= r->high,
	     "%llu bytes at %#llx, and from %#llx to %#llx was asked for", (unsigned long long)r->bytes,
	     (unsigned long long)at, (unsigned long long)r->low, (unsigned long long)r->high);
	kept("BOOT-09", at % r->align == 0, "%#llx is no multiple of %llu", (unsigned long long)at,
	     (unsigned long long)r->align);
	kept("BOOT-01", at + r->bytes <= BOOT_BYTES && count(at, at + r->bytes, MAY_BE_RAM) == r->bytes,
	     "%llu bytes at %#llx are not all RAM", (unsigned long long)r->bytes, (unsigned long long)at);
	kept("BOOT-02", !count(at, at + r->bytes, TAKEN), "of %llu bytes at %#llx some are reserved already",
	     (unsigned long long)r->bytes, (unsigned long long)at);
	if (sure == NOWHERE || !(whole || boot_exact()))
		return;
	kept(whole ? "BOOT-10" : "BOOT-11", down ? at >= sure : at <= sure, "%llu bytes at %#llx, and %#llx is free",
	     (unsigned long long)r->bytes, (unsigned long long)at, (unsigned long long)sure);
}

loam_phys_t model_alloc(const struct request *r)
{
	loam_phys_t at = 0x5a5a5a, sure = model_place(r);
	struct before was = before();
	int result = boot_alloc(r, &at);

	kept(blame("BOOT-12"), !result || result == -ENOMEM, "alloc returns %d", result);
	kept(blame("BOOT-12"), !result || sure == NOWHERE, "alloc refuses %llu bytes, which fit at %#llx",
	     (unsigned long long)r->bytes, (unsigned long long)sure);
	if (result) {
		kept("BOOT-14", at == 0x5a5a5a, "alloc refuses, and writes to *at");
		counted(&was, 0, true);
		return NOWHERE;
	}
	look_place(r, at, sure);
	set(at, at + r->bytes, TAKEN);
	set(outer(at), inner(at + r->bytes), MAY_BE_TAKEN);
	counted(&was, (int64_t)r->bytes, false);
	return at;
}

/* ---- looking ---- */

static void show(bool reserved, const char *id)
{
	struct loam_boot_range range;
	loam_phys_t end = 0;
	unsigned i = 0;
	int result;

	clear(0, BOOT_BYTES, reserved ? SHOWN_TAKEN : SHOWN_FREE);
	while (!(result = boot_range(i++, reserved, &range))) {
		kept(id, range.bytes, "range %u at %#llx is empty", i, (unsigned long long)range.base);
		kept(id, i == 1 || range.base > end,
		     "range %u at %#llx is not behind the one before, which ends at %#llx", i,
		     (unsigned long long)range.base, (unsigned long long)end);
		end = range.base + range.bytes;
		kept(id, end <= BOOT_BYTES, "range %u ends at %#llx, behind all that there is", i,
		     (unsigned long long)end);
		set(range.base, end, reserved ? SHOWN_TAKEN : SHOWN_FREE);
	}
	kept(id, result == -ENOENT, "behind the last range it returns %d", result);
}

void boot_look(void)
{
	bool exact = boot_exact();

	show(false, blame("BOOT-16"));
	show(true, blame("BOOT-17"));
	for (loam_phys_t at = 0; at < BOOT_BYTES; at++) {
		unsigned is = map[at];
		bool sure = sure_at(at), may = (is & (MAY_BE_RAM | TAKEN)) == MAY_BE_RAM;
		unsigned long long where = at;

		kept(blame("BOOT-16"), may || !(is & SHOWN_FREE), "byte %#llx is shown as free, and is %s", where,
		     is & TAKEN ? "reserved" : "no RAM");
		kept(blame(exact ? "BOOT-07" : "BOOT-16"), !sure || is & SHOWN_FREE,
		     "byte %#llx is free, and not shown", where);
		kept(blame("BOOT-17"), !(is & TAKEN) || is & SHOWN_TAKEN, "byte %#llx is reserved, and not shown",
		     where);
		kept(blame(exact ? "BOOT-07" : "BOOT-17"), is & MAY_BE_TAKEN || !(is & SHOWN_TAKEN),
		     "byte %#llx is not reserved, and shown as that", where);
	}
}

uint64_t boot_reserved(void)
{
	struct loam_boot_range range;
	uint64_t sum = 0;

	for (unsigned i = 0; !boot_range(i, true, &range); i++)
		sum += range.bytes;
	return sum;
}

void boot_free_all(void)
{
	model_free(0, BOOT_BYTES);
	boot_look();
}

struct loam_boot_range draw_range(struct rng *rng)
{
	bool whole = rng_below(rng, 2);
	loam_phys_t mask = whole ? LOAM_PAGE_SIZE - 1 : 0;
	loam_phys_t base = rng_below(rng, BOOT_BYTES) & ~mask;
	loam_phys_t bytes = (rng_size(rng, BOOT_BYTES / 4) + mask) & ~mask;

	return (struct loam_boot_range){ base, base + bytes <= BOOT_BYTES ? bytes : BOOT_BYTES - base };
}
