/* SPDX-License-Identifier: MIT */
/*
 * broken.c: one plugin in many versions, each with a defect that the loader must see. Without a defect it is a small heap of
 * whole pages. NAME is what it calls itself; a constructor that would show that code ran is in all versions.
 */
#ifndef NAME
#define NAME good
#endif
#include <loam/plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef TELLTALE
__attribute__((constructor)) static void telltale(void)
{
	const char *path = getenv("LOAM_TELLTALE");
	int fd = path ? open(path, O_CREAT | O_WRONLY, 0600) : -1;

	if (fd >= 0)
		close(fd);
}
#endif

struct heap {
	const struct loam_host *host;
	struct loam_self *self;
	const struct loam_port *pages;
	uint32_t owner;
	uint64_t allocs, frees;
};

static void *heap_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct heap *heap = inst;
	unsigned order = 0;
	struct page *page;

	while (LOAM_PAGE_SIZE << order < bytes || LOAM_PAGE_SIZE << order < align)
		order++;
	page = heap->host->pages_alloc(heap->pages, gfp, order, heap->owner);
	if (!page)
		return NULL;
	heap->allocs++;
	return loam_page_ptr(heap->host->map, page);
}

static void heap_free(void *inst, void *ptr, struct page *page)
{
	struct heap *heap = inst;

	(void)ptr;
	heap->frees++;
	heap->host->pages_free(heap->pages, page, loam_page_order(page));
}

static size_t heap_usable(void *inst, const void *ptr, struct page *page)
{
	(void)inst, (void)ptr;
	return LOAM_PAGE_SIZE << loam_page_order(page);
}

static void heap_limits(void *inst, struct loam_heap_limits *limits)
{
	(void)inst;
	limits->max_size = limits->max_align = 4u << 20;
}

static const struct loam_heap_ops ops = {
#ifdef OPS_TOO_SMALL
	.size = 4,
#else
	.size = sizeof(ops),
#endif
#ifndef NO_OP
	.alloc = heap_alloc,
#endif
	.free = heap_free,
	.usable_size = heap_usable,
	.limits = heap_limits,
#ifdef HALF_PAIR
	.free_bulk = (void (*)(void *, unsigned, void **))1,
#endif
};

static int create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct heap *heap = host->meta_alloc(args->self, sizeof(*heap), 0);

#ifdef CREATE_FAILS
	/* Halfway: with metadata and a lock, which it gives back. */
	static struct loam_lock lock;

	host->lock_init(args->self, &lock, 1, "x");
	host->lock_destroy(&lock);
	host->meta_free(args->self, heap, sizeof(*heap));
	return -CREATE_FAILS;
#endif
	if (!heap)
		return -ENOMEM;
	heap->host = host;
	heap->self = args->self;
	heap->owner = args->owner;
	heap->pages = args->ports[0];
	*inst = heap;
	return 0;
}

#ifdef UNDEFINED
void nobody_has_this(void);
#endif

static void destroy(void *inst)
{
#ifdef UNDEFINED
	nobody_has_this();
#endif
	struct heap *heap = inst;

	heap->host->meta_free(heap->self, heap, sizeof(*heap));
}

static int stat_(void *inst, struct loam_stat *stat)
{
	struct heap *heap = inst;

	stat->allocs = heap->allocs;
	stat->frees = heap->frees;
	stat->live_blocks = stat->allocs - stat->frees;
	return 0;
}

#ifdef FLUSH
static void flush(void *inst, void *area)
{
	(void)inst, (void)area;
}
#define FLUSH_OP flush
#else
#define FLUSH_OP NULL
#endif

static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "limit", .def = "4K", .min = 1024, .max = 1 << 20,
		   .help = "a size"),
#ifdef PARAM_TYPE
	LOAM_PARAM(.type = 77, .name = "odd", .def = "1", .help = "x"),
#endif
#ifdef PARAM_DEFAULT
	LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "odd", .def = "many", .help = "x"),
#endif
#ifdef PARAM_TWICE
	LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "limit", .def = "1", .help = "x"),
#endif
#ifdef PARAM_CHOICES
	LOAM_PARAM(.type = LOAM_PARAM_ENUM, .name = "odd", .def = "1", .help = "x"),
#endif
#ifdef PARAM_RESERVED
	LOAM_PARAM(.type = LOAM_PARAM_INT, .name = "plugin", .def = "1", .help = "x"),
#endif
};

static const struct loam_port_decl ports[] = {
#ifdef PORT_ROLE
	LOAM_PORT(.roles = 1u << 30, .name = "pages", .help = "frames"),
#elif defined(FILTER)
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages", .help = "frames"),
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_HEAP), .flags = LOAM_PORT_LOWER, .name = "heap", .help = "below"),
#elif defined(FILTER_ROLE)
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_DMA), .flags = LOAM_PORT_LOWER, .name = "heap", .help = "below"),
#else
	LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages", .help = "frames"),
#endif
};

static const struct loam_role_decl roles[] = {
#ifdef ROLE_UNKNOWN
	LOAM_ROLE(55, &ops),
#endif
#ifdef ROLE_TWICE
	LOAM_ROLE(LOAM_ROLE_HEAP, &ops),
#endif
	LOAM_ROLE(LOAM_ROLE_HEAP, &ops),
};

#ifdef NO_STAT
#define STAT NULL
#else
#define STAT stat_
#endif
#ifndef AREA
#define AREA 0
#endif
#ifndef THREADS
#define THREADS LOAM_THREADS_SERIALISED
#endif
#define FIELDS                                                                                                         \
	.name = LOAM__STR(NAME), .version = "1", .summary = "a heap of pages", .threads = THREADS,                     \
	LOAM_PARAMS(params), LOAM_PORTS(ports), LOAM_ROLES(roles), .area_size = AREA, .create = create,                \
	.destroy = destroy, .flush = FLUSH_OP, .stat = STAT

#ifdef NO_DESCRIPTOR
LOAM__NOTE(LOAM_ABI_MAJOR, LOAM_ABI_MINOR, 0);
extern LOAM_EXPORT const struct loam_plugin another_name;
const struct loam_plugin another_name = { .size = sizeof(struct loam_plugin), FIELDS };
#elif defined(NO_NOTE)
extern LOAM_EXPORT const struct loam_plugin LOAM_DESCRIPTOR;
const struct loam_plugin LOAM_DESCRIPTOR = { .size = sizeof(struct loam_plugin), FIELDS };
#elif defined(NOTE_MAJOR)
LOAM__NOTE(NOTE_MAJOR, NOTE_MINOR, NOTE_HOST);
extern LOAM_EXPORT const struct loam_plugin LOAM_DESCRIPTOR;
const struct loam_plugin LOAM_DESCRIPTOR = { .size = sizeof(struct loam_plugin), FIELDS };
#elif defined(DESCRIPTOR_SMALL)
LOAM__NOTE(LOAM_ABI_MAJOR, LOAM_ABI_MINOR, 0);
extern LOAM_EXPORT const struct loam_plugin LOAM_DESCRIPTOR;
const struct loam_plugin LOAM_DESCRIPTOR = { .size = 16, FIELDS };
#else
LOAM_PLUGIN(FIELDS);
#endif
