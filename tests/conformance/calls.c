/* SPDX-License-Identifier: MIT */
/*
 * calls.c: calls of the subject's ops. Around each one the watcher knows what runs, for the report of a crash, and with which
 * rights; behind it, no lock may be held.
 */
#include "child.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

/* ---- what runs ---- */

/* Formatted only when somebody wants to know: a call is too cheap for that. */
static _Thread_local struct {
	const char *fmt; /* NULL: nothing ran yet */
	unsigned long a, b, c;
	char text[200];
	gfp_t rights;
	bool limited, over;
} now;

void op_text(char *buf, size_t size)
{
	int n = 0;

	if (!now.fmt || now.over)
		n = snprintf(buf, size, "the test itself%s", now.fmt ? ", after " : "");
	if (now.fmt == now.text)
		snprintf(buf + n, size - (size_t)n, "%s", now.text);
	else if (now.fmt)
		snprintf(buf + n, size - (size_t)n, now.fmt, now.a, now.b, now.c);
}

void op_enter(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(now.text, sizeof(now.text), fmt, args);
	va_end(args);
	now.fmt = now.text;
	now.limited = now.over = false;
}

void op_leave(void)
{
	const char *name;
	char op[250];

	if (loam_unlikely(locks_held(&name))) {
		op_text(op, sizeof(op));
		broken(NO_LOCK_AT_RETURN, "%s returned with lock '%s' held", op, name);
	}
	now.over = true;
	now.limited = false;
}

/* @fmt: with up to three %lu or %#lx. */
static inline void enter(const char *fmt, unsigned long a, unsigned long b, unsigned long c)
{
	now.fmt = fmt;
	now.over = false;
	now.a = a;
	now.b = b;
	now.c = c;
}

static inline void enter_with(const char *fmt, unsigned long a, unsigned long b, gfp_t gfp)
{
	enter(fmt, a, b, gfp);
	now.rights = gfp;
	now.limited = true;
}

bool op_rights(gfp_t *gfp)
{
	*gfp = now.rights;
	return now.limited;
}

/* ---- heap ---- */

static const struct loam_link *heap_link(void)
{
	return &subject->links[LOAM_ROLE_HEAP];
}

const struct loam_heap_ops *heap_ops(void)
{
	return heap_link()->ops;
}

void *heap_alloc(size_t bytes, size_t align, gfp_t gfp)
{
	void *ptr;

	enter_with("alloc(bytes %lu, align %lu, gfp %#lx)", bytes, align, gfp);
	ptr = heap_ops()->alloc(heap_link()->inst, bytes, align, gfp);
	op_leave();
	return ptr;
}

void *heap_zalloc(size_t bytes, size_t align, gfp_t gfp)
{
	void *ptr;

	if (!heap_ops()->zalloc) {
		ptr = heap_alloc(bytes, align, gfp);
		return ptr ? memset(ptr, 0, bytes) : NULL;
	}
	enter_with("zalloc(bytes %lu, align %lu, gfp %#lx)", bytes, align, gfp);
	ptr = heap_ops()->zalloc(heap_link()->inst, bytes, align, gfp);
	op_leave();
	return ptr;
}

/* Who frees an address: the owner of its frame, or the foreign heap. */
static const struct loam_link *freer(const void *ptr, struct page *page)
{
	(void)ptr;
	if (!page && loam__machine.foreign)
		return loam_port_link(loam__machine.foreign);
	return loam_port_link(page ? loam__owner_of(page)->heap : loam__owners[0].heap);
}

void heap_free(void *ptr)
{
	struct page *page = loam_ptr_page(&loam__machine.map, ptr);
	const struct loam_link *link = freer(ptr, page);

	enter_with("free(%#lx)", (unsigned long)ptr, 0, 0);
	loam_heap_ops(link)->free(link->inst, ptr, page);
	op_leave();
}

size_t heap_usable(const void *ptr)
{
	size_t bytes;

	enter("usable_size(%#lx)", (unsigned long)ptr, 0, 0);
	bytes = heap_ops()->usable_size(heap_link()->inst, ptr, loam_ptr_page(&loam__machine.map, ptr));
	op_leave();
	return bytes;
}

bool heap_resize(void *ptr, size_t bytes)
{
	bool done;

	if (!heap_ops()->resize)
		return false;
	enter_with("resize(%#lx, bytes %lu)", (unsigned long)ptr, bytes, 0);
	done = heap_ops()->resize(heap_link()->inst, ptr, loam_ptr_page(&loam__machine.map, ptr), bytes);
	op_leave();
	return done;
}

static unsigned loop_alloc(size_t bytes, gfp_t gfp, unsigned n, void **out)
{
	for (unsigned i = 0; i < n; i++) {
		out[i] = heap_alloc(bytes, 1, gfp);
		if (out[i])
			continue;
		while (i--)
			heap_free(out[i]);
		return 0;
	}
	return n;
}

unsigned heap_alloc_bulk(size_t bytes, gfp_t gfp, unsigned n, void **out)
{
	unsigned got;

	if (!heap_ops()->alloc_bulk)
		return loop_alloc(bytes, gfp, n, out);
	enter_with("alloc_bulk(bytes %lu, n %lu, gfp %#lx)", bytes, n, gfp);
	got = heap_ops()->alloc_bulk(heap_link()->inst, bytes, gfp, n, out);
	op_leave();
	return got;
}

void heap_free_bulk(unsigned n, void **ptrs)
{
	if (!heap_ops()->free_bulk) {
		for (unsigned i = 0; i < n; i++)
			heap_free(ptrs[i]);
		return;
	}
	enter_with("free_bulk(n %lu)", n, 0, 0);
	heap_ops()->free_bulk(heap_link()->inst, n, ptrs);
	op_leave();
}

struct loam_heap_limits heap_limits(void)
{
	struct loam_heap_limits limits = { .size = sizeof(limits) };

	enter("limits(heap)", 0, 0, 0);
	heap_ops()->limits(heap_link()->inst, &limits);
	op_leave();
	return limits;
}

/* ---- objects ---- */

const struct loam_objects_ops *objects_ops(void)
{
	return subject->links[LOAM_ROLE_OBJECTS].ops;
}

struct loam_cache *cache_new(struct loam_cache_args args)
{
	static _Thread_local struct loam_port port;
	struct loam_cache *cache;

	args.size = sizeof(args);
	port.link = &subject->links[LOAM_ROLE_OBJECTS];
	enter("create(object_size %lu, align %lu, flags %#lx)", args.object_size, args.align, args.flags);
	cache = loam__machine.host.cache_create(&port, &args);
	op_leave();
	return cache;
}

int cache_end(struct loam_cache *cache)
{
	int error;

	enter("destroy(cache %#lx)", (unsigned long)cache, 0, 0);
	error = loam__machine.host.cache_destroy(cache);
	op_leave();
	return error;
}

void *cache_alloc(struct loam_cache *cache, gfp_t gfp)
{
	void *object;

	enter_with("alloc(cache of %lu bytes, %#lx, gfp %#lx)", cache->object_size, (unsigned long)cache, gfp);
	object = loam_cache_ops(cache)->alloc(cache, gfp);
	op_leave();
	return object;
}

void cache_free(struct loam_cache *cache, void *object)
{
	enter_with("free(cache %#lx, object %#lx)", (unsigned long)cache, (unsigned long)object, 0);
	loam_cache_ops(cache)->free(cache, object);
	op_leave();
}

static unsigned loop_cache_alloc(struct loam_cache *cache, gfp_t gfp, unsigned n, void **out)
{
	for (unsigned i = 0; i < n; i++) {
		out[i] = cache_alloc(cache, gfp);
		if (out[i])
			continue;
		while (i--)
			cache_free(cache, out[i]);
		return 0;
	}
	return n;
}

unsigned cache_alloc_bulk(struct loam_cache *cache, gfp_t gfp, unsigned n, void **out)
{
	unsigned got;

	if (!loam_cache_ops(cache)->alloc_bulk)
		return loop_cache_alloc(cache, gfp, n, out);
	enter_with("alloc_bulk(cache %#lx, n %lu, gfp %#lx)", (unsigned long)cache, n, gfp);
	got = loam_cache_ops(cache)->alloc_bulk(cache, gfp, n, out);
	op_leave();
	return got;
}

void cache_free_bulk(struct loam_cache *cache, unsigned n, void **objects)
{
	if (!loam_cache_ops(cache)->free_bulk) {
		for (unsigned i = 0; i < n; i++)
			cache_free(cache, objects[i]);
		return;
	}
	enter_with("free_bulk(cache %#lx, n %lu)", (unsigned long)cache, n, 0);
	loam_cache_ops(cache)->free_bulk(cache, n, objects);
	op_leave();
}

unsigned long cache_shrink(struct loam_cache *cache)
{
	unsigned long frames;

	if (!loam_cache_ops(cache)->shrink)
		return 0;
	enter("shrink(cache %#lx)", (unsigned long)cache, 0, 0);
	frames = loam_cache_ops(cache)->shrink(cache);
	op_leave();
	return frames;
}

struct loam_objects_limits objects_limits(void)
{
	struct loam_objects_limits limits = { .size = sizeof(limits) };

	enter("limits(objects)", 0, 0, 0);
	objects_ops()->limits(subject->links[LOAM_ROLE_OBJECTS].inst, &limits);
	op_leave();
	return limits;
}

/* ---- pages ---- */

const struct loam_pages_ops *pages_ops(void)
{
	return subject->links[LOAM_ROLE_PAGES].ops;
}

static void *pages_inst(void)
{
	return subject->links[LOAM_ROLE_PAGES].inst;
}

static const struct loam_zone *zone_of(unsigned zone)
{
	return &loam__machine.zones[zone].pub;
}

struct page *pages_alloc(unsigned zone, unsigned order, unsigned flags)
{
	struct page *page;

	enter("alloc(zone %lu, order %lu, flags %#lx)", zone, order, flags);
	page = pages_ops()->alloc(pages_inst(), zone_of(zone), order, flags);
	op_leave();
	return page;
}

void pages_free(unsigned zone, struct page *page, unsigned order)
{
	enter("free(zone %lu, frame %lu, order %lu)", zone, loam_page_pfn(&loam__machine.map, page), order);
	pages_ops()->free(pages_inst(), zone_of(zone), page, order);
	op_leave();
}

unsigned pages_alloc_bulk(unsigned zone, unsigned n, struct page **out)
{
	unsigned got = 0;

	if (!pages_ops()->alloc_bulk) {
		while (got < n && (out[got] = pages_alloc(zone, 0, 0)))
			got++;
		return got;
	}
	enter("alloc_bulk(zone %lu, n %lu)", zone, n, 0);
	got = pages_ops()->alloc_bulk(pages_inst(), zone_of(zone), n, out, 0);
	op_leave();
	return got;
}

void pages_free_bulk(unsigned zone, unsigned n, struct page **pages)
{
	if (!pages_ops()->free_bulk) {
		for (unsigned i = 0; i < n; i++)
			pages_free(zone, pages[i], 0);
		return;
	}
	enter("free_bulk(zone %lu, n %lu)", zone, n, 0);
	pages_ops()->free_bulk(pages_inst(), zone_of(zone), n, pages);
	op_leave();
}

void pages_counts(unsigned zone, unsigned long counts[LOAM_ORDERS])
{
	memset(counts, 0, LOAM_ORDERS * sizeof(*counts));
	enter("counts(zone %lu)", zone, 0, 0);
	pages_ops()->counts(pages_inst(), zone_of(zone), counts);
	op_leave();
}

static struct loam_pages_limits pages_limits(void)
{
	struct loam_pages_limits limits = { .size = sizeof(limits) };

	enter("limits(pages)", 0, 0, 0);
	pages_ops()->limits(pages_inst(), &limits);
	op_leave();
	return limits;
}

unsigned pages_orders(void)
{
	return pages_limits().orders;
}

uint32_t pages_caps(void)
{
	return pages_limits().caps;
}

/* ---- percpu ---- */

static const struct loam_percpu_ops *percpu_ops(void)
{
	return subject->links[LOAM_ROLE_PERCPU].ops;
}

static void *percpu_inst(void)
{
	return subject->links[LOAM_ROLE_PERCPU].inst;
}

int percpu_alloc(size_t bytes, size_t align, gfp_t gfp, size_t *offset)
{
	int error;

	enter_with("alloc(bytes %lu, align %lu, gfp %#lx)", bytes, align, gfp);
	error = percpu_ops()->alloc(percpu_inst(), bytes, align, gfp, offset);
	op_leave();
	return error;
}

void percpu_free(size_t offset)
{
	enter_with("free(offset %#lx)", offset, 0, 0);
	percpu_ops()->free(percpu_inst(), offset);
	op_leave();
}

char *percpu_base(unsigned cpu)
{
	char *base;

	enter("unit_base(cpu %lu)", cpu, 0, 0);
	base = percpu_ops()->unit_base(percpu_inst(), cpu);
	op_leave();
	return base;
}

size_t percpu_unit(void)
{
	size_t bytes;

	enter("unit_size()", 0, 0, 0);
	bytes = percpu_ops()->unit_size(percpu_inst());
	op_leave();
	return bytes;
}

int percpu_reserve_first(size_t bytes)
{
	int error;

	enter("reserve_first(bytes %lu)", bytes, 0, 0);
	error = percpu_ops()->reserve_first(percpu_inst(), bytes);
	op_leave();
	return error;
}

/* ---- any role ---- */

struct loam_stat stat_of(struct loam_self *self)
{
	struct loam_stat stat = { .size = sizeof(stat) };

	enter("stat()", 0, 0, 0);
	loam__stat(self, &stat);
	op_leave();
	return stat;
}

struct loam_stat stat_now(void)
{
	return stat_of(subject);
}

int walk_now(loam_walk_fn fn, void *arg)
{
	int result;

	if (!subject->plugin->desc.walk)
		return -ENOTSUP;
	loam__quiesce();
	enter("walk()", 0, 0, 0);
	result = subject->plugin->desc.walk(subject->inst, fn, arg);
	loam__resume();
	op_leave();
	return result;
}

struct findings {
	unsigned n;
	char first[300];
};

static void take_finding(void *arg, const char *text)
{
	struct findings *findings = arg;

	if (!findings->n++)
		snprintf(findings->first, sizeof(findings->first), "%s", text);
}

unsigned check_now(const char **text)
{
	static _Thread_local struct findings findings;
	int said = 0;

	findings = (struct findings){ 0 };
	if (subject->plugin->desc.check) {
		loam__quiesce();
		enter("check()", 0, 0, 0);
		said = subject->plugin->desc.check(subject->inst, take_finding, &findings);
		loam__resume();
		op_leave();
	}
	if (text)
		*text = findings.first;
	return findings.n > (unsigned)(said > 0 ? said : 0) ? findings.n : (unsigned)(said > 0 ? said : 0);
}

unsigned long shrink_now(unsigned long pages)
{
	unsigned long got;

	enter("shrink(%lu)", pages, 0, 0);
	got = loam__shrink(subject, pages);
	op_leave();
	return got;
}

int find_now(const void *addr, struct loam_span *span)
{
	int result;

	if (!subject->plugin->desc.find)
		return -ENOTSUP;
	*span = (struct loam_span){ .size = sizeof(*span) };
	enter("find(%#lx)", (unsigned long)addr, 0, 0);
	result = subject->plugin->desc.find(subject->inst, addr, loam_ptr_page(&loam__machine.map, addr), span);
	op_leave();
	return result;
}
