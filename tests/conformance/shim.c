/* SPDX-License-Identifier: MIT */
/*
 * shim.c: between the subject and the host. The subject gets a table of the host's services and ports that are ours: every call
 * comes by here, is judged, counted, perhaps made to fail, and goes on to the real one.
 *
 * Judged: no lock is held across a port; nothing is asked for with more rights than the op was given; what goes back was
 * held. A subject's port is `struct port` below, whose link leads to our tables; the host gets its own port back.
 */
#include "child.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PORTS 64

struct port {
	struct loam_port pub; /* first: what the subject sees */
	const struct loam_port *real;
	struct loam_link link;
	enum loam_role_id role;
	union {
		struct loam_heap_ops heap;
		struct loam_objects_ops objects;
		struct loam_pages_ops pages;
	} ops;
};

/** A cache of a port, as the subject sees it. */
struct shim_cache {
	struct loam_cache pub; /* first */
	struct loam_cache *real;
	struct port *port;
};

static struct {
	struct loam_host table;
	struct port ports[PORTS];
	unsigned nr_ports;
	struct shim_counts counts; /* atomic, relaxed: sums */
	unsigned char *frames;     /* one a frame: 1 while the subject holds it; atomic */
	size_t nr_frames;
	uint64_t fail_meta, fail_port; /* atomic */
	bool fail_all;                 /* atomic */
} shim;
static uint64_t create_fail_meta, create_fail_port; /* for the next machine */

/* ---- counters and faults ---- */

static void add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static uint64_t get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

struct shim_counts shim_counts(void)
{
	const struct shim_counts *c = &shim.counts;

	return (struct shim_counts){ get(&c->meta_allocs), get(&c->port_allocs),  get(&c->meta_live),
				     get(&c->meta_bytes),  get(&c->frames_live),  get(&c->port_live),
				     get(&c->failed),      get(&c->windows_live), get(&c->window_calls) };
}

static bool fails(uint64_t *nth, uint64_t *attempts)
{
	bool fail = __atomic_load_n(&shim.fail_all, __ATOMIC_RELAXED);

	add(attempts, 1);
	/* Of several threads one sees the count reach zero. */
	if (get(nth) && !__atomic_sub_fetch(nth, 1, __ATOMIC_RELAXED))
		fail = true;
	if (fail)
		add(&shim.counts.failed, 1);
	return fail;
}

static bool meta_fails(void)
{
	return fails(&shim.fail_meta, &shim.counts.meta_allocs);
}

static bool port_fails(void)
{
	return fails(&shim.fail_port, &shim.counts.port_allocs);
}

void shim_fail_meta(uint64_t nth)
{
	__atomic_store_n(&shim.fail_meta, nth, __ATOMIC_RELAXED);
}

void shim_fail_port(uint64_t nth)
{
	__atomic_store_n(&shim.fail_port, nth, __ATOMIC_RELAXED);
}

void shim_fail_meta_at_create(uint64_t nth)
{
	create_fail_meta = nth;
}

void shim_fail_port_at_create(uint64_t nth)
{
	create_fail_port = nth;
}

void shim_fail_all(bool on)
{
	__atomic_store_n(&shim.fail_all, on, __ATOMIC_RELAXED);
}

/* ---- what is judged at each call of a port ---- */

#define RIGHTS (__GFP_DIRECT_RECLAIM | __GFP_IO | __GFP_FS | __GFP_HIGH | __GFP_MEMALLOC | __GFP_NOFAIL)

static void no_lock_held(const char *call)
{
	const char *name;

	if (loam_unlikely(locks_held(&name)))
		broken(NO_LOCK_ACROSS_PORTS, "%s is called with lock '%s' held", call, name);
}

static void rights(const char *call, gfp_t gfp)
{
	gfp_t op;

	no_lock_held(call);
	if (op_rights(&op) && (gfp & RIGHTS & ~op || op & __GFP_NOMEMALLOC & ~gfp))
		broken(NO_MORE_RIGHTS, "%s is called with gfp %#x inside an op that was given %#x", call, gfp, op);
}

/* ---- frames ---- */

static void frames_taken(const struct page *page, unsigned order)
{
	unsigned long pfn = loam_page_pfn(&loam__machine.map, page);

	for (unsigned long i = 0; i < 1ul << order; i++)
		__atomic_store_n(&shim.frames[pfn + i], 1, __ATOMIC_RELAXED);
	add(&shim.counts.frames_live, 1ul << order);
}

static void frames_given(const struct page *page, unsigned order)
{
	unsigned long pfn = loam_page_pfn(&loam__machine.map, page), held = 0;

	if (pfn >= shim.nr_frames || order >= LOAM_ORDERS || pfn + (1ul << order) > shim.nr_frames)
		broken(HOLDS_WHAT_IT_GIVES, "frame %lu, order %u, goes back; there are %zu frames", pfn, order,
		       shim.nr_frames);
	if (pfn & ((1ul << order) - 1))
		broken(HOLDS_WHAT_IT_GIVES, "frame %lu goes back with order %u, to which it is not aligned", pfn,
		       order);
	/* A filter may pass on what its client frees twice: then it is for who is below to tell. */
	for (unsigned long i = 0; i < 1ul << order; i++)
		if (__atomic_exchange_n(&shim.frames[pfn + i], 0, __ATOMIC_RELAXED))
			held++;
		else if (!misuse_expected())
			broken(HOLDS_WHAT_IT_GIVES, "frame %lu goes back, and is not held", pfn + i);
	add(&shim.counts.frames_live, -held);
}

/* ---- services of the host ---- */

static const struct loam_port *real_port(const struct loam_port *port)
{
	return ((const struct port *)port)->real;
}

static void *meta_alloc(struct loam_self *self, size_t bytes, size_t align)
{
	void *ptr = meta_fails() ? NULL : loam__machine.host.meta_alloc(self, bytes, align);

	if (ptr) {
		add(&shim.counts.meta_live, 1);
		add(&shim.counts.meta_bytes, bytes);
	}
	return ptr;
}

static void meta_free(struct loam_self *self, void *ptr, size_t bytes)
{
	if (ptr) {
		add(&shim.counts.meta_live, -1ul);
		add(&shim.counts.meta_bytes, -bytes);
	}
	loam__machine.host.meta_free(self, ptr, bytes);
}

/* ---- areas ---- */

static void (*between_areas)(void); /* atomic */

void shim_between_areas(void (*fn)(void))
{
	__atomic_store_n(&between_areas, fn, __ATOMIC_RELEASE);
}

struct visit {
	void (*fn)(void *arg, void *area);
	void *arg;
	void (*between)(void);
};

static void visit_area(void *arg, void *area)
{
	const struct visit *visit = arg;

	visit->fn(visit->arg, area);
	visit->between();
}

static void host_areas(struct loam_self *self, void (*fn)(void *arg, void *area), void *arg)
{
	struct visit visit = { fn, arg, __atomic_load_n(&between_areas, __ATOMIC_ACQUIRE) };

	if (visit.between)
		loam__machine.host.areas(self, visit_area, &visit);
	else
		loam__machine.host.areas(self, fn, arg);
}

static struct page *host_pages_alloc(const struct loam_port *port, gfp_t gfp, unsigned order, uint32_t owner)
{
	struct page *page;

	rights("pages_alloc", gfp);
	page = port_fails() ? NULL : loam__machine.host.pages_alloc(real_port(port), gfp, order, owner);
	if (page)
		frames_taken(page, order);
	/* Memory of a fresh machine is zero by chance. */
	if (page && !(gfp & __GFP_ZERO) && job.subject->roles & LOAM_ROLE_BIT(LOAM_ROLE_PERCPU))
		frame_write(page, order, job.seed);
	return page;
}

static void host_pages_free(const struct loam_port *port, struct page *page, unsigned order)
{
	no_lock_held("pages_free");
	frames_given(page, order);
	loam__machine.host.pages_free(real_port(port), page, order);
}

static unsigned host_pages_alloc_bulk(const struct loam_port *port, gfp_t gfp, unsigned n, struct page **out,
				      uint32_t owner)
{
	unsigned got;

	rights("pages_alloc_bulk", gfp);
	got = port_fails() ? 0 : loam__machine.host.pages_alloc_bulk(real_port(port), gfp, n, out, owner);
	for (unsigned i = 0; i < got; i++)
		frames_taken(out[i], 0);
	return got;
}

static void host_pages_free_bulk(const struct loam_port *port, unsigned n, struct page **pages)
{
	no_lock_held("pages_free_bulk");
	for (unsigned i = 0; i < n; i++)
		frames_given(pages[i], 0);
	loam__machine.host.pages_free_bulk(real_port(port), n, pages);
}

static struct loam_cache *wrap_cache(struct port *port, struct loam_cache *real);
static struct loam_cache *unwrap_cache(struct loam_cache *cache);

static struct loam_cache *host_cache_create(const struct loam_port *port, const struct loam_cache_args *args)
{
	struct loam_cache *cache;

	no_lock_held("cache_create");
	if (port_fails()) {
		errno = ENOMEM;
		return NULL;
	}
	cache = loam__machine.host.cache_create(real_port(port), args);
	return cache ? wrap_cache((struct port *)port, cache) : NULL;
}

static int host_cache_destroy(struct loam_cache *cache)
{
	struct shim_cache *wrapped = (struct shim_cache *)cache;
	int error;

	no_lock_held("cache_destroy");
	error = loam__machine.host.cache_destroy(wrapped->real);
	if (!error)
		unwrap_cache(cache);
	return error;
}

/* ---- windows ---- */

static void *host_window_open(struct loam_self *self, size_t bytes, size_t align)
{
	void *window = port_fails() ? NULL : loam__machine.host.window_open(self, bytes, align);

	if (window)
		add(&shim.counts.windows_live, 1);
	return window;
}

static void host_window_close(struct loam_self *self, void *window)
{
	add(&shim.counts.windows_live, -1ul);
	loam__machine.host.window_close(self, window);
}

/* One that fails leaves nothing mapped there, as the host's does. */
static bool window_fails(struct loam_self *self, void *at, unsigned long n)
{
	bool fail = port_fails();

	add(&shim.counts.window_calls, 1);
	if (fail)
		loam__machine.host.window_unmap(self, at, n);
	return fail;
}

static int host_window_map(struct loam_self *self, void *at, struct page *const *pages, unsigned long n, unsigned flags)
{
	return window_fails(self, at, n) ? -ENOMEM : loam__machine.host.window_map(self, at, pages, n, flags);
}

static int host_window_map_phys(struct loam_self *self, void *at, uint64_t phys, unsigned long n, unsigned flags)
{
	return window_fails(self, at, n) ? -ENOMEM : loam__machine.host.window_map_phys(self, at, phys, n, flags);
}

static void host_window_unmap(struct loam_self *self, void *at, unsigned long n)
{
	add(&shim.counts.window_calls, 1);
	loam__machine.host.window_unmap(self, at, n);
}

static void host_stat(const struct loam_port *port, struct loam_stat *stat)
{
	loam__machine.host.stat(real_port(port), stat);
}

static int host_walk(const struct loam_port *port, loam_walk_fn fn, void *arg)
{
	return loam__machine.host.walk(real_port(port), fn, arg);
}

/* ---- ports with the role heap ---- */

static const struct loam_link *real_link(const void *port)
{
	return loam_port_link(((const struct port *)port)->real);
}

static void *taken(void *ptr)
{
	if (ptr)
		add(&shim.counts.port_live, 1);
	return ptr;
}

static void *heap_port_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	const struct loam_link *link = real_link(inst);

	rights("alloc of the heap below", gfp);
	return port_fails() ? NULL : taken(loam_heap_ops(link)->alloc(link->inst, bytes, align, gfp));
}

static void *heap_port_zalloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	const struct loam_link *link = real_link(inst);

	rights("zalloc of the heap below", gfp);
	return port_fails() ? NULL : taken(loam_heap_ops(link)->zalloc(link->inst, bytes, align, gfp));
}

static void heap_port_free(void *inst, void *ptr, struct page *page)
{
	const struct loam_link *link = real_link(inst);

	no_lock_held("free of the heap below");
	add(&shim.counts.port_live, -1ul);
	loam_heap_ops(link)->free(link->inst, ptr, page);
}

static size_t heap_port_usable(void *inst, const void *ptr, struct page *page)
{
	const struct loam_link *link = real_link(inst);

	return loam_heap_ops(link)->usable_size(link->inst, ptr, page);
}

static bool heap_port_resize(void *inst, void *ptr, struct page *page, size_t bytes)
{
	const struct loam_link *link = real_link(inst);

	no_lock_held("resize of the heap below");
	return loam_heap_ops(link)->resize(link->inst, ptr, page, bytes);
}

static unsigned heap_port_alloc_bulk(void *inst, size_t bytes, gfp_t gfp, unsigned n, void **out)
{
	const struct loam_link *link = real_link(inst);
	unsigned got;

	rights("alloc_bulk of the heap below", gfp);
	got = port_fails() ? 0 : loam_heap_ops(link)->alloc_bulk(link->inst, bytes, gfp, n, out);
	add(&shim.counts.port_live, got);
	return got;
}

static void heap_port_free_bulk(void *inst, unsigned n, void **ptrs)
{
	const struct loam_link *link = real_link(inst);

	no_lock_held("free_bulk of the heap below");
	add(&shim.counts.port_live, -(uint64_t)n);
	loam_heap_ops(link)->free_bulk(link->inst, n, ptrs);
}

static bool heap_port_owns(void *inst, const void *ptr)
{
	const struct loam_link *link = real_link(inst);

	return loam_heap_ops(link)->owns(link->inst, ptr);
}

static void heap_port_limits(void *inst, struct loam_heap_limits *limits)
{
	const struct loam_link *link = real_link(inst);

	loam_heap_ops(link)->limits(link->inst, limits);
}

/* An op that the real instance has not stays away here too. */
#define OP(table, real, op, ours) ((table)->op = (real)->op ? (ours) : NULL)

static void heap_table(struct loam_heap_ops *table, const struct loam_heap_ops *real)
{
	table->size = sizeof(*table);
	OP(table, real, alloc, heap_port_alloc);
	OP(table, real, free, heap_port_free);
	OP(table, real, usable_size, heap_port_usable);
	OP(table, real, zalloc, heap_port_zalloc);
	OP(table, real, resize, heap_port_resize);
	OP(table, real, alloc_bulk, heap_port_alloc_bulk);
	OP(table, real, free_bulk, heap_port_free_bulk);
	OP(table, real, owns, heap_port_owns);
	OP(table, real, limits, heap_port_limits);
}

/* ---- ports with the role objects ---- */

static struct loam_cache *real_cache(struct loam_cache *cache)
{
	return ((struct shim_cache *)cache)->real;
}

static struct loam_cache *wrap_cache(struct port *port, struct loam_cache *real)
{
	struct shim_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		trouble("no memory for a cache of the shim");
	cache->pub = *real;
	cache->pub.link = port->link;
	cache->real = real;
	cache->port = port;
	add(&shim.counts.port_live, 1);
	return &cache->pub;
}

static struct loam_cache *unwrap_cache(struct loam_cache *cache)
{
	struct loam_cache *real = real_cache(cache);

	add(&shim.counts.port_live, -1ul);
	free(cache);
	return real;
}

static int objects_port_create(void *inst, const struct loam_cache_args *args, struct loam_cache **cache)
{
	const struct loam_link *link = real_link(inst);
	struct loam_cache *real = NULL;
	int error;

	no_lock_held("create of the objects below");
	error = port_fails() ? -ENOMEM : ((const struct loam_objects_ops *)link->ops)->create(link->inst, args, &real);
	*cache = error ? NULL : wrap_cache(inst, real);
	return error;
}

static int objects_port_destroy(struct loam_cache *cache)
{
	int error;

	no_lock_held("destroy of the objects below");
	error = loam_cache_ops(real_cache(cache))->destroy(real_cache(cache));
	if (!error)
		unwrap_cache(cache);
	return error;
}

static void *objects_port_alloc(struct loam_cache *cache, gfp_t gfp)
{
	rights("alloc of the cache below", gfp);
	return port_fails() ? NULL : taken(loam_cache_ops(real_cache(cache))->alloc(real_cache(cache), gfp));
}

static void objects_port_free(struct loam_cache *cache, void *object)
{
	no_lock_held("free of the cache below");
	add(&shim.counts.port_live, -1ul);
	loam_cache_ops(real_cache(cache))->free(real_cache(cache), object);
}

static unsigned objects_port_alloc_bulk(struct loam_cache *cache, gfp_t gfp, unsigned n, void **out)
{
	unsigned got;

	rights("alloc_bulk of the cache below", gfp);
	got = port_fails() ? 0 : loam_cache_ops(real_cache(cache))->alloc_bulk(real_cache(cache), gfp, n, out);
	add(&shim.counts.port_live, got);
	return got;
}

static void objects_port_free_bulk(struct loam_cache *cache, unsigned n, void **objects)
{
	no_lock_held("free_bulk of the cache below");
	add(&shim.counts.port_live, -(uint64_t)n);
	loam_cache_ops(real_cache(cache))->free_bulk(real_cache(cache), n, objects);
}

static unsigned long objects_port_shrink(struct loam_cache *cache)
{
	no_lock_held("shrink of the cache below");
	return loam_cache_ops(real_cache(cache))->shrink(real_cache(cache));
}

static int objects_port_each(void *inst, loam_cache_fn fn, void *arg)
{
	const struct loam_link *link = real_link(inst);

	return ((const struct loam_objects_ops *)link->ops)->each(link->inst, fn, arg);
}

static void objects_port_limits(void *inst, struct loam_objects_limits *limits)
{
	const struct loam_link *link = real_link(inst);

	((const struct loam_objects_ops *)link->ops)->limits(link->inst, limits);
}

static void objects_table(struct loam_objects_ops *table, const struct loam_objects_ops *real)
{
	table->size = sizeof(*table);
	OP(table, real, create, objects_port_create);
	OP(table, real, destroy, objects_port_destroy);
	OP(table, real, alloc, objects_port_alloc);
	OP(table, real, free, objects_port_free);
	OP(table, real, alloc_bulk, objects_port_alloc_bulk);
	OP(table, real, free_bulk, objects_port_free_bulk);
	OP(table, real, shrink, objects_port_shrink);
	OP(table, real, each, objects_port_each);
	OP(table, real, limits, objects_port_limits);
}

/* ---- ports with the role pages, called by a filter as ops ---- */

static int pages_port_add(void *inst, const struct loam_zone *zone, unsigned long pfn, unsigned long count)
{
	const struct loam_link *link = real_link(inst);

	return loam_pages_ops(link)->add(link->inst, zone, pfn, count);
}

static struct page *pages_port_alloc(void *inst, const struct loam_zone *zone, unsigned order, unsigned flags)
{
	const struct loam_link *link = real_link(inst);
	struct page *page;

	no_lock_held("alloc of the pages below");
	page = port_fails() ? NULL : loam_pages_ops(link)->alloc(link->inst, zone, order, flags);
	if (page)
		frames_taken(page, order);
	return page;
}

static void pages_port_free(void *inst, const struct loam_zone *zone, struct page *page, unsigned order)
{
	const struct loam_link *link = real_link(inst);

	no_lock_held("free of the pages below");
	frames_given(page, order);
	loam_pages_ops(link)->free(link->inst, zone, page, order);
}

static unsigned pages_port_alloc_bulk(void *inst, const struct loam_zone *zone, unsigned n, struct page **out,
				      unsigned flags)
{
	const struct loam_link *link = real_link(inst);
	unsigned got;

	no_lock_held("alloc_bulk of the pages below");
	got = port_fails() ? 0 : loam_pages_ops(link)->alloc_bulk(link->inst, zone, n, out, flags);
	for (unsigned i = 0; i < got; i++)
		frames_taken(out[i], 0);
	return got;
}

static void pages_port_free_bulk(void *inst, const struct loam_zone *zone, unsigned n, struct page **pages)
{
	const struct loam_link *link = real_link(inst);

	no_lock_held("free_bulk of the pages below");
	for (unsigned i = 0; i < n; i++)
		frames_given(pages[i], 0);
	loam_pages_ops(link)->free_bulk(link->inst, zone, n, pages);
}

static void pages_port_counts(void *inst, const struct loam_zone *zone, unsigned long counts[LOAM_ORDERS])
{
	const struct loam_link *link = real_link(inst);

	loam_pages_ops(link)->counts(link->inst, zone, counts);
}

static void pages_port_limits(void *inst, struct loam_pages_limits *limits)
{
	const struct loam_link *link = real_link(inst);

	loam_pages_ops(link)->limits(link->inst, limits);
}

static void pages_table(struct loam_pages_ops *table, const struct loam_pages_ops *real)
{
	table->size = sizeof(*table);
	OP(table, real, add, pages_port_add);
	OP(table, real, alloc, pages_port_alloc);
	OP(table, real, free, pages_port_free);
	OP(table, real, alloc_bulk, pages_port_alloc_bulk);
	OP(table, real, free_bulk, pages_port_free_bulk);
	OP(table, real, counts, pages_port_counts);
	OP(table, real, limits, pages_port_limits);
}

/* ---- set-up ---- */

/* Our port in front of @real, or @real itself where there is none. */
static const struct loam_port *stand_in(const struct loam_port *real, enum loam_role_id role)
{
	struct port *port;

	if (!real || !real->link || !real->link->ops)
		return real;
	if (shim.nr_ports == PORTS)
		trouble("more than %d ports", PORTS);
	port = &shim.ports[shim.nr_ports++];
	port->real = real;
	port->role = role;
	if (role == LOAM_ROLE_HEAP)
		heap_table(&port->ops.heap, real->link->ops);
	else if (role == LOAM_ROLE_OBJECTS)
		objects_table(&port->ops.objects, real->link->ops);
	else if (role == LOAM_ROLE_PAGES)
		pages_table(&port->ops.pages, real->link->ops);
	port->link = (struct loam_link){ &port->ops, port };
	port->pub.link = &port->link;
	return &port->pub;
}

static void make_table(void)
{
	shim.table = loam__machine.host;
	shim.table.meta_alloc = meta_alloc;
	shim.table.meta_free = meta_free;
	shim.table.areas = host_areas;
	shim.table.pages_alloc = host_pages_alloc;
	shim.table.pages_free = host_pages_free;
	shim.table.pages_alloc_bulk = host_pages_alloc_bulk;
	shim.table.pages_free_bulk = host_pages_free_bulk;
	shim.table.cache_create = host_cache_create;
	shim.table.cache_destroy = host_cache_destroy;
	shim.table.stat = host_stat;
	shim.table.walk = host_walk;
	shim.table.window_open = host_window_open;
	shim.table.window_close = host_window_close;
	shim.table.window_map = host_window_map;
	shim.table.window_map_phys = host_window_map_phys;
	shim.table.window_unmap = host_window_unmap;
	locks_watch(&shim.table);
}

/** In front of each create: whoever is judged gets our table and ports. */
void shim_attach(struct loam_self *self)
{
	if (!shim.frames) {
		shim.nr_frames = loam__machine.map.nr_pages;
		shim.frames = mmap(NULL, shim.nr_frames, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (shim.frames == MAP_FAILED)
			trouble("no memory for the table of frames");
		make_table();
	}
	self->host = &shim.table;
	for (uint32_t i = 0; i < self->plugin->desc.nr_ports; i++)
		self->port_ptrs[i] = stand_in(self->port_ptrs[i], self->target_roles[i]);
	for (int role = 0; role < LOAM_ROLE_COUNT; role++)
		self->lower_ptrs[role] = stand_in(self->lower_ptrs[role], (enum loam_role_id)role);
}

void shim_reset(void)
{
	memset(&shim, 0, sizeof(shim));
	shim.fail_meta = create_fail_meta;
	shim.fail_port = create_fail_port;
	create_fail_meta = create_fail_port = 0;
}

/** After the machine is down; the counts can still be read. */
void shim_detach(void)
{
	if (shim.frames)
		munmap(shim.frames, shim.nr_frames);
	shim.frames = NULL;
}
