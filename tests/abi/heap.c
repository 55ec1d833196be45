/* SPDX-License-Identifier: MIT */
/*
 * heap.c: the source of old-heap.so and new-heap.so, binaries that stand for plugins of another age. They are not built again by
 * the tests: that they still load and work is the test. They were built on x86-64 from this file with
 *
 *     gcc -std=gnu11 -Os -s -fPIC -shared -fvisibility=hidden -nostdlib \
 *         -Wl,-z,noseparate-code -Iinclude -DOLD -o old-heap.so heap.c
 *     gcc -std=gnu11 -Os -s -fPIC -shared -fvisibility=hidden -nostdlib \
 *         -Wl,-z,noseparate-code -Iinclude -DNEW -o new-heap.so heap.c
 *
 * OLD has the shortest tables that were ever lawful, NEW longer ones than there are, with nonsense behind what is known; it
 * asks how long the host's table is before it would use more of it. A block is a page, as in tests/examples/heap.
 */
#include <errno.h>
#include <loam/plugin.h>

#ifdef OLD
#define NAME "old-heap"
struct param {
	uint32_t size, type;
	const char *name, *def, *help;
};
struct port {
	uint32_t size, roles, flags;
	const char *name, *help;
};
struct descriptor {
	uint32_t size, threads;
	const char *name, *version, *summary;
	const struct param *params;
	const struct port *ports;
	const struct loam_role_decl *roles;
	uint32_t nr_params, nr_ports, nr_roles, reserved;
	size_t area_size;
	int (*create)(const struct loam_host *, const struct loam_args *, void **);
	void (*destroy)(void *);
	void (*flush)(void *, void *);
	void (*fork)(void *, enum loam_fork_phase);
	int (*stat)(void *, struct loam_stat *);
};
struct role {
	struct loam_role_decl now;
};
struct ops {
	struct loam_heap_ops now;
};
#define MORE
#define NOTE_MINOR 0
#else
#define NAME "new-heap"
struct param {
	struct loam_param now;
	uint64_t more[3];
};
struct descriptor {
	struct loam_plugin now;
	uint64_t more[8];
};
struct port {
	struct loam_port_decl now;
	uint64_t more[2];
};
struct role {
	struct loam_role_decl now;
	uint64_t more[2];
};
struct ops {
	struct loam_heap_ops now;
	void *more[4];
};
struct host {
	struct loam_host now;
	void *(*later)(void);
};
#define MORE                                                                                                           \
	,                                                                                                              \
	{                                                                                                              \
		0xbad, 0xbad                                                                                           \
	}
#define NOTE_MINOR 99
#endif

struct heap {
	const struct loam_host *host;
	const struct loam_args *args;
	struct page *all, *free;
	uint64_t allocs, frees, failures;
};

static void *heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct heap *heap = inst;
	struct page *page = heap->free;

	if (page) {
		heap->free = page->own[1];
	} else if ((page = heap->host->pages_alloc(heap->args->ports[0], gfp, 0, heap->args->owner))) {
		page->own[0] = heap->all;
		heap->all = page;
	}
	*(page ? &heap->allocs : &heap->failures) += 1;
	return (void)bytes, (void)align, page ? loam_page_ptr(heap->host->map, page) : NULL;
}

static void heap_free(void *inst, void *ptr, struct page *page)
{
	struct heap *heap = inst;

	(void)ptr, page->own[1] = heap->free;
	heap->free = page, heap->frees++;
}

static size_t heap_usable_size(void *inst, const void *ptr, struct page *page)
{
	return (void)inst, (void)ptr, (void)page, LOAM_PAGE_SIZE;
}

static void heap_limits(void *inst, struct loam_heap_limits *limits)
{
	(void)inst, limits->max_size = limits->max_align = limits->min_align = LOAM_PAGE_SIZE;
}

static int heap_stat(void *inst, struct loam_stat *stat)
{
	const struct heap *heap = inst;

	stat->allocs = heap->allocs;
	stat->frees = heap->frees;
	stat->failures = heap->failures;
	stat->live_blocks = stat->allocs - stat->frees;
	stat->live_bytes = stat->footprint = stat->live_blocks * LOAM_PAGE_SIZE;
	return 0;
}

static int heap_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct heap *heap;

	/* The parameters are in their order, whatever the length of their declarations. */
	if (args->params[0].u != 4096 || args->params[1].b)
		return -EINVAL;
#ifdef NEW
	if (host->size >= sizeof(struct host) && ((const struct host *)host)->later())
		return -EINVAL;
#endif
	heap = *inst = host->meta_alloc(args->self, sizeof(*heap), 0);
	if (!heap)
		return -ENOMEM;
	heap->host = host;
	heap->args = args;
	return 0;
}

static void heap_destroy(void *inst)
{
	struct heap *heap = inst;

	for (struct page *page; (page = heap->all); heap->host->pages_free(heap->args->ports[0], page, 0))
		heap->all = page->own[0];
	heap->host->meta_free(heap->args->self, heap, sizeof(*heap));
}

#ifdef OLD
static const struct param params[] = { { sizeof(struct param), LOAM_PARAM_SIZE, "grain", "4K", "a size" },
				       { sizeof(struct param), LOAM_PARAM_BOOL, "odd", "off", "a switch" } };
static const struct port ports[] = { { sizeof(struct port), LOAM_ROLE_BIT(LOAM_ROLE_PAGES), 0, "pages", "frames" } };
#else
static const struct param params[] = {
	{ { .size = sizeof(struct param),
	    .type = LOAM_PARAM_SIZE,
	    .name = "grain",
	    .def = "4K",
	    .help = "a size" } MORE },
	{ { .size = sizeof(struct param),
	    .type = LOAM_PARAM_BOOL,
	    .name = "odd",
	    .def = "off",
	    .help = "a switch" } MORE },
};
static const struct port ports[] = {
	{ { .size = sizeof(struct port),
	    .roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES),
	    .name = "pages",
	    .help = "frames" } MORE },
};
#endif
static const struct ops ops = { { .size = sizeof(ops),
				  .alloc = heap_alloc,
				  .free = heap_free,
				  .usable_size = heap_usable_size,
				  .limits = heap_limits }
#ifdef NEW
				,
				{ (void *)1, (void *)2 }
#endif
};
static const struct role roles[] = { { { .size = sizeof(struct role), .role = LOAM_ROLE_HEAP, .ops = &ops } MORE } };

LOAM__NOTE(1, NOTE_MINOR, 0);
extern LOAM_EXPORT const struct descriptor loam_plugin_descriptor;
#ifdef OLD
const struct descriptor loam_plugin_descriptor = {
	.size = sizeof(struct descriptor),
	.threads = LOAM_THREADS_SERIALISED,
	.name = NAME,
	.version = "1",
	.summary = "an old heap",
	.params = params,
	.ports = ports,
	.roles = &roles[0].now,
	.nr_params = 2,
	.nr_ports = 1,
	.nr_roles = 1,
	.create = heap_create,
	.destroy = heap_destroy,
	.stat = heap_stat,
};
#else
const struct descriptor loam_plugin_descriptor = { { .size = sizeof(struct descriptor),
						     .threads = LOAM_THREADS_SERIALISED,
						     .name = NAME,
						     .version = "1",
						     .summary = "a heap of the future",
						     .params = &params[0].now,
						     .ports = &ports[0].now,
						     .roles = &roles[0].now,
						     .nr_params = 2,
						     .nr_ports = 1,
						     .nr_roles = 1,
						     .create = heap_create,
						     .destroy = heap_destroy,
						     .stat = heap_stat },
						   { 0xbad, 0xbad, 0xbad } };
#endif
