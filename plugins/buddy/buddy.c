/* SPDX-License-Identifier: MIT */
/*
 * buddy.c: the role pages by the binary buddy system, as Linux has it.
 *
 * Free memory is in blocks of 2^order frames, each at a multiple of its size, on one list for each order and zone. A request
 * takes the smallest block that is large enough and halves it until it fits; each upper half goes to its list. A block
 * that comes back looks at its buddy, the other half of the block that it was cut from: the frame number with one bit
 * turned. If that is free and whole, the two merge, and the result looks again.
 *
 * Both take a number of steps bounded by the number of orders, and memory that was cut up becomes whole again as soon as it
 * is free. The price is that sizes are powers of two, and that merging and splitting alternate when a request of one order
 * comes and goes at a boundary; per-thread lists in front (the filter magazine, or slub's slabs) hide that.
 *
 * A free block's links lie in own[0] and own[1] of its first frame. That it is free, and its order, is said by that frame's
 * _mapcount, which is negative then: nobody else writes to that word, so looking at a buddy that is held races with nobody.
 *
 * Frames that were never handed out are on no list. They are ranges, from which the largest aligned block is cut when the
 * lists have nothing, lowest address first. So boot does not depend on the amount of memory, and a small program stays at the
 * low end of it. A virgin frame's struct page is all zero, which does not say free, so nothing merges into a virgin range.
 *
 * With `shuffle` a free block goes to the head or the tail of its list at random, and virgin blocks come in batches which
 * are shuffled in the same way: who knows one address does not know the next.
 *
 * One lock for each zone; nothing is called under it but the host's random numbers.
 */
#include <loam/plugin.h>

#include "../common/count.h"
#include "../common/list.h"

#include <errno.h>
#include <stdio.h>

#define MARK 0x40000000 /* -(MARK + order) in _mapcount: the first frame of a free block */
#define BATCH 16        /* virgin blocks at a time when they are shuffled */

enum { P_ORDERS, P_SHUFFLE };

static const struct loam_param params[] = {
	[P_ORDERS] = LOAM_PARAM(
			.type = LOAM_PARAM_INT, .name = "orders", .def = "11", .min = 1, .max = LOAM_ORDERS,
			.help = "number of orders, the kernel's MAX_ORDER; the largest block has 2^(orders-1) pages"),
	[P_SHUFFLE] = LOAM_PARAM(.type = LOAM_PARAM_BOOL, .name = "shuffle", .def = "off",
				 .help = "hand out blocks in random order (SHUFFLE_PAGE_ALLOCATOR)"),
};

/** Frames [next, end) that were never handed out. */
struct range {
	struct range *after;
	unsigned long start, next, end;
};

struct zone {
	struct loam_lock lock;
	struct list_head free[LOAM_ORDERS];
	unsigned long nr_free[LOAM_ORDERS];
	struct range *ranges;
};

struct buddy {
	const struct loam_host *host;
	struct loam_self *self;
	struct page *pages;
	unsigned orders;
	bool shuffle;
	uint64_t allocs, frees, failures; /* frames; atomic, relaxed: plain sums */
	struct zone zones[LOAM_ZONES];
};

/* ---- marks and lists: under the zone's lock ---- */

static void mark(struct page *page, int value)
{
	/* Relaxed: read under the same lock; atomic because a holder's neighbour may be looked at while it is claimed. */
	__atomic_store_n(&page->_mapcount, value, __ATOMIC_RELAXED);
}

static bool is_free(const struct page *page, unsigned order)
{
	return __atomic_load_n(&page->_mapcount, __ATOMIC_RELAXED) == -(MARK + (int)order);
}

static struct page *page_of(struct list_head *at)
{
	return list_of(at, struct page, lru);
}

static void put(struct buddy *buddy, struct zone *zone, struct page *page, unsigned order, bool tail)
{
	struct list_head *head = &zone->free[order];

	if (buddy->shuffle)
		tail = buddy->host->random(buddy->self) & 1;
	list_add(&page->lru, tail ? head->prev : head);
	mark(page, -(MARK + (int)order));
	zone->nr_free[order]++;
}

static void take(struct zone *zone, struct page *page, unsigned order)
{
	list_del(&page->lru);
	mark(page, 0);
	zone->nr_free[order]--;
}

/* ---- virgin ranges ---- */

/* The order of the largest aligned block at @pfn that ends by @end. */
static unsigned order_at(const struct buddy *buddy, unsigned long pfn, unsigned long end)
{
	unsigned order = loam_pages_fit(pfn, end - pfn);

	return order < buddy->orders ? order : buddy->orders - 1;
}

/* Move one block, or a shuffled batch, from the ranges to the lists. false: there is no virgin frame left. */
static bool open_virgin(struct buddy *buddy, struct zone *zone)
{
	unsigned n = buddy->shuffle ? BATCH : 1;
	struct range *range = zone->ranges;

	while (range && range->next == range->end)
		range = range->after;
	if (!range)
		return false;
	for (; n && range->next < range->end; n--) {
		unsigned order = order_at(buddy, range->next, range->end);

		put(buddy, zone, buddy->pages + range->next, order, true);
		range->next += 1ul << order;
	}
	return true;
}

static void count_virgin(const struct buddy *buddy, const struct range *range, unsigned long *counts)
{
	unsigned top = buddy->orders - 1;
	unsigned long pfn = range->next;

	while (pfn < range->end) {
		unsigned order = order_at(buddy, pfn, range->end);
		unsigned long n = order == top ? (range->end - pfn) >> top : 1;

		counts[order] += n;
		pfn += n << order;
	}
}

/* ---- alloc and free: under the zone's lock ---- */

static struct page *take_block(struct buddy *buddy, struct zone *zone, unsigned order, unsigned flags)
{
	unsigned have;
	struct page *page;

	do {
		for (have = order; have < buddy->orders && !zone->nr_free[have]; have++)
			;
	} while (have == buddy->orders && open_virgin(buddy, zone));
	if (have == buddy->orders)
		return NULL;
	page = page_of(flags & LOAM_PAGES_COLD ? zone->free[have].prev : zone->free[have].next);
	take(zone, page, have);
	while (have > order) {
		have--;
		put(buddy, zone, page + (1ul << have), have, false);
	}
	return page;
}

static void give_block(struct buddy *buddy, struct zone *zone, const struct loam_zone *pub, struct page *page,
		       unsigned order)
{
	unsigned long pfn = (unsigned long)(page - buddy->pages);

	for (; order < buddy->orders - 1; order++) {
		unsigned long other = pfn ^ 1ul << order;

		if (other < pub->start_pfn || other + (1ul << order) > pub->end_pfn ||
		    !is_free(buddy->pages + other, order))
			break;
		take(zone, buddy->pages + other, order);
		pfn &= ~(1ul << order);
	}
	put(buddy, zone, buddy->pages + pfn, order, false);
}

/* ---- the role ---- */

static int buddy_add(void *inst, const struct loam_zone *pub, unsigned long pfn, unsigned long count)
{
	struct buddy *buddy = inst;
	struct zone *zone = &buddy->zones[pub->id];
	struct range *range, **at;

	if (!count)
		return 0;
	range = buddy->host->meta_alloc(buddy->self, sizeof(*range), 0);
	if (!range)
		return -ENOMEM;
	range->start = range->next = pfn;
	range->end = pfn + count;
	loam_lock(buddy->host, &zone->lock);
	for (at = &zone->ranges; *at && (*at)->start < pfn; at = &(*at)->after)
		;
	range->after = *at;
	*at = range;
	loam_unlock(buddy->host, &zone->lock);
	return 0;
}

static struct page *buddy_alloc(void *inst, const struct loam_zone *pub, unsigned order, unsigned flags)
{
	struct buddy *buddy = inst;
	struct zone *zone = &buddy->zones[pub->id];
	struct page *page;

	loam_lock(buddy->host, &zone->lock);
	page = take_block(buddy, zone, order, flags);
	loam_unlock(buddy->host, &zone->lock);
	count_add(page ? &buddy->allocs : &buddy->failures, page ? 1ul << order : 1);
	return page;
}

static void buddy_free(void *inst, const struct loam_zone *pub, struct page *page, unsigned order)
{
	struct buddy *buddy = inst;
	struct zone *zone = &buddy->zones[pub->id];

	count_add(&buddy->frees, 1ul << order);
	loam_lock(buddy->host, &zone->lock);
	give_block(buddy, zone, pub, page, order);
	loam_unlock(buddy->host, &zone->lock);
}

static unsigned buddy_alloc_bulk(void *inst, const struct loam_zone *pub, unsigned n, struct page **out, unsigned flags)
{
	struct buddy *buddy = inst;
	struct zone *zone = &buddy->zones[pub->id];
	unsigned got = 0;

	loam_lock(buddy->host, &zone->lock);
	while (got < n && (out[got] = take_block(buddy, zone, 0, flags)))
		got++;
	loam_unlock(buddy->host, &zone->lock);
	count_add(&buddy->allocs, got);
	return got;
}

static void buddy_free_bulk(void *inst, const struct loam_zone *pub, unsigned n, struct page **pages)
{
	struct buddy *buddy = inst;
	struct zone *zone = &buddy->zones[pub->id];

	count_add(&buddy->frees, n);
	loam_lock(buddy->host, &zone->lock);
	for (unsigned i = 0; i < n; i++)
		give_block(buddy, zone, pub, pages[i], 0);
	loam_unlock(buddy->host, &zone->lock);
}

static void buddy_counts(void *inst, const struct loam_zone *pub, unsigned long counts[LOAM_ORDERS])
{
	struct buddy *buddy = inst;
	struct zone *zone = &buddy->zones[pub->id];

	loam_lock(buddy->host, &zone->lock);
	for (unsigned order = 0; order < LOAM_ORDERS; order++)
		counts[order] = zone->nr_free[order];
	for (const struct range *range = zone->ranges; range; range = range->after)
		count_virgin(buddy, range, counts);
	loam_unlock(buddy->host, &zone->lock);
}

static void buddy_limits(void *inst, struct loam_pages_limits *limits)
{
	limits->orders = ((struct buddy *)inst)->orders;
}

/* ---- introspection: what is live is counted in frames, for a block may come back in parts ---- */

static int buddy_stat(void *inst, struct loam_stat *stat)
{
	struct buddy *buddy = inst;

	stat->frees = count_read(&buddy->frees);
	stat->allocs = count_read(&buddy->allocs);
	stat->failures = count_read(&buddy->failures);
	stat->live_blocks = stat->allocs > stat->frees ? stat->allocs - stat->frees : 0;
	stat->live_bytes = stat->footprint = stat->live_blocks << LOAM_PAGE_SHIFT;
	return 0;
}

/* The order of a free block that begins here, or -1. */
static int free_order(const struct page *page)
{
	int value = -__atomic_load_n(&page->_mapcount, __ATOMIC_RELAXED) - MARK;

	return value >= 0 && value < LOAM_ORDERS ? value : -1;
}

static int walk_range(struct buddy *buddy, const struct range *range, loam_walk_fn fn, void *arg)
{
	struct loam_span span = { .size = sizeof(span) };
	unsigned long pfn = range->start, n;
	int result = 0;

	for (; pfn < range->end && !result; pfn += n) {
		int order = pfn < range->next ? free_order(buddy->pages + pfn) : -1;

		span.kind = order >= 0 || pfn >= range->next ? LOAM_SPAN_FREE : LOAM_SPAN_LIVE;
		n = pfn >= range->next ? range->end - pfn : order >= 0 ? 1ul << order : 1;
		span.page = buddy->pages + pfn;
		span.addr = loam_page_ptr(buddy->host->map, span.page);
		span.bytes = n << LOAM_PAGE_SHIFT;
		result = fn(arg, &span);
	}
	return result;
}

static int buddy_walk(void *inst, loam_walk_fn fn, void *arg)
{
	struct buddy *buddy = inst;
	int result = 0;

	for (unsigned i = 0; i < LOAM_ZONES; i++)
		for (const struct range *range = buddy->zones[i].ranges; range && !result; range = range->after)
			result = walk_range(buddy, range, fn, arg);
	return result;
}

struct checking {
	struct buddy *buddy;
	loam_check_fn fn;
	void *arg;
	int defects;
};

static void defect(struct checking *checking, const char *what, unsigned order, unsigned long pfn)
{
	char text[120];

	snprintf(text, sizeof(text), "order %u, frame %lu: %s", order, pfn, what);
	checking->defects++;
	checking->fn(checking->arg, text);
}

static bool in_zone(const struct zone *zone, unsigned long pfn)
{
	const struct range *range = zone->ranges;

	while (range && (pfn < range->start || pfn >= range->end))
		range = range->after;
	return range;
}

static void check_list(struct checking *checking, struct zone *zone, unsigned order)
{
	struct buddy *buddy = checking->buddy;
	unsigned long n = 0;

	for (struct list_head *at = zone->free[order].next; at != &zone->free[order]; at = at->next, n++) {
		unsigned long pfn = (unsigned long)(page_of(at) - buddy->pages), other = pfn ^ 1ul << order;

		if (n > zone->nr_free[order] || at->next->prev != at) {
			defect(checking, "list broken", order, pfn);
			return;
		}
		if (!is_free(page_of(at), order))
			defect(checking, "on the list and not marked free", order, pfn);
		if (pfn & ((1ul << order) - 1))
			defect(checking, "not aligned to its size", order, pfn);
		/* Where zones touch, the other half may be another zone's. */
		if (order + 1 < buddy->orders && other > pfn && in_zone(zone, other) &&
		    is_free(buddy->pages + other, order))
			defect(checking, "not merged with its free buddy", order, pfn);
	}
	if (n != zone->nr_free[order])
		defect(checking, "the list's length is not its counter", order, n);
}

static int buddy_check(void *inst, loam_check_fn fn, void *arg)
{
	struct checking checking = { inst, fn, arg, 0 };

	for (unsigned i = 0; i < LOAM_ZONES; i++)
		for (unsigned order = 0; order < checking.buddy->orders; order++)
			check_list(&checking, &checking.buddy->zones[i], order);
	return checking.defects;
}

/* ---- create and destroy ---- */

static int buddy_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct buddy *buddy = host->meta_alloc(args->self, sizeof(*buddy), 64);

	if (!buddy)
		return -ENOMEM;
	buddy->host = host;
	buddy->self = args->self;
	buddy->pages = host->map->pages;
	buddy->orders = (unsigned)args->params[P_ORDERS].i;
	buddy->shuffle = args->params[P_SHUFFLE].b;
	for (unsigned i = 0; i < LOAM_ZONES; i++) {
		host->lock_init(args->self, &buddy->zones[i].lock, 1, "buddy zone");
		for (unsigned order = 0; order < LOAM_ORDERS; order++)
			list_init(&buddy->zones[i].free[order]);
	}
	*inst = buddy;
	return 0;
}

static void buddy_destroy(void *inst)
{
	struct buddy *buddy = inst;
	const struct loam_host *host = buddy->host;

	for (unsigned i = 0; i < LOAM_ZONES; i++) {
		while (buddy->zones[i].ranges) {
			struct range *range = buddy->zones[i].ranges;

			buddy->zones[i].ranges = range->after;
			host->meta_free(buddy->self, range, sizeof(*range));
		}
		host->lock_destroy(&buddy->zones[i].lock);
	}
	host->meta_free(buddy->self, buddy, sizeof(*buddy));
}

static const struct loam_pages_ops ops = {
	.size = sizeof(ops),
	.add = buddy_add,
	.alloc = buddy_alloc,
	.free = buddy_free,
	.alloc_bulk = buddy_alloc_bulk,
	.free_bulk = buddy_free_bulk,
	.counts = buddy_counts,
	.limits = buddy_limits,
};

static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_PAGES, &ops) };

LOAM_PLUGIN(.name = "buddy", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .summary = "pages: the binary buddy system, split and merge, as Linux has it", LOAM_PARAMS(params),
	    LOAM_ROLES(roles), .create = buddy_create, .destroy = buddy_destroy, .stat = buddy_stat, .walk = buddy_walk,
	    .check = buddy_check);
