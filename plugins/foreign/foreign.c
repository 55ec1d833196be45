/* SPDX-License-Identifier: MIT */
/*
 * foreign.c: any library's malloc as a heap.
 *
 * The library is opened here, with its symbols to itself, and its malloc and free are called by address. So the system's
 * mallocs stand behind the same role as loam's own: filters stack on them, and one word swaps them. Their blocks lie outside the
 * machine's memory; the host takes every address that it does not know for one of theirs, and so there can be one such
 * instance in a machine.
 *
 * `library` is one of the names below, or what dlopen takes: a soname or a path. malloc and free must be the library's own:
 * a search that ends in the C library behind it would mix two heaps. glibc's own malloc is reached by the handle of the C
 * library, also where a preloaded one stands in front of it.
 *
 * Some mallocs want static TLS, of which a process keeps only little for libraries that are opened late. `static_tls` in the
 * descriptor makes the loam program ask the C library for more before it starts.
 *
 * Counters are in the local areas. With `bytes` on, each call asks the library how large the block is, which costs about as
 * much again as a fast malloc; off, live_bytes and the footprint are the library's own account of itself (mallinfo2), or 0 where
 * it keeps none.
 */
#include <loam/plugin.h>

#include "../common/count.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { P_LIBRARY, P_BYTES };

static const struct loam_param params[] = {
	[P_LIBRARY] = LOAM_PARAM(.type = LOAM_PARAM_STRING, .name = "library", .def = "glibc",
				 .help = "glibc, jemalloc, mimalloc, tcmalloc, or a library's name or path"),
	[P_BYTES] = LOAM_PARAM(.type = LOAM_PARAM_BOOL, .name = "bytes", .def = "off",
			       .help = "count live bytes exactly: asks the library for each block's size, twice"),
};

/** Files behind the short names, in the order in which they are tried. */
static const struct {
	const char *name;
	const char *files[5];
} known[] = {
	{ "glibc", { "libc.so.6" } },
	{ "jemalloc", { "libjemalloc.so.2", "libjemalloc.so" } },
	{ "mimalloc", { "libmimalloc.so.3", "libmimalloc.so.2", "libmimalloc.so.2.0", "libmimalloc.so" } },
	{ "tcmalloc", { "libtcmalloc_minimal.so.4", "libtcmalloc.so.4", "libtcmalloc_minimal.so", "libtcmalloc.so" } },
};

/** Written by one thread at a time, read by anybody. */
struct area {
	uint64_t allocs, frees, bytes_in, bytes_out, failures;
};

struct foreign {
	struct loam_local local;
	void *(*malloc)(size_t bytes);
	void (*free)(void *ptr);
	size_t (*usable_size)(void *ptr);
	void *(*calloc)(size_t n, size_t bytes);
	int (*posix_memalign)(void **out, size_t align, size_t bytes);
	struct mallinfo2 (*mallinfo2)(void);
	bool bytes;
	size_t plain; /* alignments up to here are malloc's, and need no more than counting; 0 when bytes are counted too */
	const struct loam_host *host;
	struct loam_self *self;
	void *handle;
	struct area shared; /* atomic: calls of threads without an area */
};

/* ---- counting ---- */

/* The thread's first call, or one from its end, when it has no area any more. */
static LOAM_NOINLINE void add_slow(struct foreign *foreign, size_t offset, uint64_t n)
{
	struct area *area = foreign->host->area(foreign->self);

	if (area)
		count_own((uint64_t *)((char *)area + offset), n);
	else
		count_add((uint64_t *)((char *)&foreign->shared + offset), n);
}

static inline void add(struct foreign *foreign, size_t offset, uint64_t n)
{
	struct area *area = loam_area(&foreign->local);

	if (loam_likely(area != NULL))
		count_own((uint64_t *)((char *)area + offset), n);
	else
		add_slow(foreign, offset, n);
}

static void *came(struct foreign *foreign, void *ptr)
{
	if (!ptr) {
		add(foreign, offsetof(struct area, failures), 1);
		return NULL;
	}
	add(foreign, offsetof(struct area, allocs), 1);
	if (foreign->bytes)
		add(foreign, offsetof(struct area, bytes_in), foreign->usable_size(ptr));
	return ptr;
}

/* ---- the role ---- */

/* NULL also when the library breaks its word. */
static void *try_aligned(const struct foreign *foreign, size_t bytes, size_t align)
{
	void *ptr = NULL;

	if (foreign->posix_memalign(&ptr, align, bytes))
		return NULL;
	if (loam_likely(!((uintptr_t)ptr & (align - 1))))
		return ptr;
	foreign->free(ptr);
	return NULL;
}

static LOAM_NOINLINE void *alloc_slow(struct foreign *foreign, size_t bytes, size_t align)
{
	void *ptr = align <= 16 ? foreign->malloc(bytes) : try_aligned(foreign, bytes, align);

	/* mimalloc 2.0.9 aligns to 128 only where the size is a power of two and the alignment too. A byte more helps. */
	if (loam_unlikely(!ptr && align > 16))
		ptr = try_aligned(foreign, bytes + 1, align);
	return came(foreign, ptr);
}

static void *foreign_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct foreign *foreign = inst;
	struct area *area = loam_area(&foreign->local);
	void *ptr;

	(void)gfp;
	/* Small blocks may lie at 8: that is enough for what fits in them, not for who asked for 16. */
	bytes = bytes < align ? align : bytes;
	if (loam_unlikely(!area || align > foreign->plain))
		return alloc_slow(foreign, bytes, align);
	ptr = foreign->malloc(bytes);
	count_own(loam_likely(ptr != NULL) ? &area->allocs : &area->failures, 1);
	return ptr;
}

static void *foreign_zalloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct foreign *foreign = inst;
	void *ptr;

	if (loam_likely(align <= 16))
		return came(foreign, foreign->calloc(1, bytes < align ? align : bytes));
	ptr = foreign_alloc(inst, bytes, align, gfp);
	return ptr ? memset(ptr, 0, bytes) : NULL;
}

static LOAM_NOINLINE void free_slow(struct foreign *foreign, void *ptr)
{
	if (foreign->bytes)
		add(foreign, offsetof(struct area, bytes_out), foreign->usable_size(ptr));
	add(foreign, offsetof(struct area, frees), 1);
	foreign->free(ptr);
}

static void foreign_free(void *inst, void *ptr, struct page *page)
{
	struct foreign *foreign = inst;
	struct area *area = loam_area(&foreign->local);

	(void)page;
	if (loam_unlikely(!area || foreign->bytes)) {
		free_slow(foreign, ptr);
		return;
	}
	count_own(&area->frees, 1);
	foreign->free(ptr);
}

static size_t foreign_usable_size(void *inst, const void *ptr, struct page *page)
{
	const struct foreign *foreign = inst;

	(void)page;
	return foreign->usable_size((void *)ptr);
}

static void foreign_limits(void *inst, struct loam_heap_limits *limits)
{
	(void)inst;
	limits->min_align = 8;
}

/* ---- introspection ---- */

static void sum_frees(void *arg, void *at)
{
	struct area *sum = arg, *area = at;

	sum->frees += __atomic_load_n(&area->frees, __ATOMIC_ACQUIRE);
	sum->bytes_out += __atomic_load_n(&area->bytes_out, __ATOMIC_ACQUIRE);
}

static void sum_allocs(void *arg, void *at)
{
	struct area *sum = arg, *area = at;

	sum->allocs += count_read(&area->allocs);
	sum->bytes_in += count_read(&area->bytes_in);
	sum->failures += count_read(&area->failures);
}

static int foreign_stat(void *inst, struct loam_stat *stat)
{
	struct foreign *foreign = inst;
	struct area sum = { .allocs = 0 };

	/*
	 * All frees before any allocation: a block that one thread takes and another one gives back meanwhile is never counted
	 * below zero.
	 */
	foreign->host->areas(foreign->self, sum_frees, &sum);
	sum_frees(&sum, &foreign->shared);
	foreign->host->areas(foreign->self, sum_allocs, &sum);
	sum_allocs(&sum, &foreign->shared);
	stat->allocs = sum.allocs;
	stat->frees = sum.frees;
	stat->failures = sum.failures;
	stat->live_blocks = sum.allocs - sum.frees;
	stat->live_bytes = stat->footprint = sum.bytes_in - sum.bytes_out;
	if (foreign->mallinfo2) {
		struct mallinfo2 info = foreign->mallinfo2();

		stat->footprint = info.arena + info.hblkhd;
		if (!foreign->bytes)
			stat->live_bytes = info.uordblks + info.hblkhd;
	}
	return 0;
}

/* The object of a symbol's address. */
static struct link_map *object_of(void *symbol)
{
	struct link_map *map = NULL;
	Dl_info info;

	return dladdr1(symbol, &info, (void **)&map, RTLD_DL_LINKMAP) ? map : NULL;
}

static void foreign_tell(void *inst, void (*line)(void *arg, const char *text), void *arg)
{
	const struct foreign *foreign = inst;
	const struct link_map *map = object_of((void *)foreign->malloc);
	char text[300];

	snprintf(text, sizeof(text), "library %s", map ? map->l_name : "?");
	line(arg, text);
}

/* Nothing is cached here. */
static void foreign_flush(void *inst, void *area)
{
	(void)inst, (void)area;
}

/* ---- create and destroy ---- */

/* The first of the files that opens; a name that is none of the known is a file itself. @why: what the first one failed of. */
static void *open_library(const char *name, char *why, size_t size)
{
	const char *const only[] = { name, NULL, NULL, NULL, NULL }, *const *files = only;
	void *handle = NULL;

	for (size_t i = 0; i < LOAM_LEN(known); i++)
		if (!strcmp(known[i].name, name))
			files = known[i].files;
	for (size_t i = 0; i < LOAM_LEN(known[0].files) && files[i] && !handle; i++) {
		handle = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
		if (!handle && !i)
			snprintf(why, size, "%s", dlerror());
	}
	return handle;
}

/* A function of the library itself, not of one that it stands on. */
static void *own_symbol(void *handle, const char *name)
{
	struct link_map *map = NULL;
	void *symbol = dlsym(handle, name);

	if (!symbol || dlinfo(handle, RTLD_DI_LINKMAP, &map) || object_of(symbol) != map)
		return NULL;
	return symbol;
}

static int bind(struct foreign *foreign, const char *library)
{
	static const char *const names[] = { "malloc", "free", "malloc_usable_size", "calloc", "posix_memalign" };
	void *symbols[LOAM_LEN(names)];

	for (size_t i = 0; i < LOAM_LEN(names); i++) {
		symbols[i] = own_symbol(foreign->handle, names[i]);
		if (symbols[i])
			continue;
		foreign->host->explain(foreign->self, "library '%s' has no %s of its own", library, names[i]);
		return -EINVAL;
	}
	*(void **)&foreign->malloc = symbols[0];
	*(void **)&foreign->free = symbols[1];
	*(void **)&foreign->usable_size = symbols[2];
	*(void **)&foreign->calloc = symbols[3];
	*(void **)&foreign->posix_memalign = symbols[4];
	*(void **)&foreign->mallinfo2 = own_symbol(foreign->handle, "mallinfo2");
	return 0;
}

static int foreign_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct foreign *foreign = host->meta_alloc(args->self, sizeof(*foreign), 64);
	const char *library = args->params[P_LIBRARY].s;
	char why[160];
	int error = -EINVAL;

	if (!foreign)
		return -ENOMEM;
	foreign->host = host;
	foreign->self = args->self;
	foreign->local = args->local;
	foreign->bytes = args->params[P_BYTES].b;
	foreign->plain = foreign->bytes ? 0 : 16;
	foreign->handle = open_library(library, why, sizeof(why));
	if (!foreign->handle)
		host->explain(args->self, "library '%s': %s", library, why);
	else
		error = bind(foreign, library);
	if (error) {
		if (foreign->handle)
			dlclose(foreign->handle);
		host->meta_free(args->self, foreign, sizeof(*foreign));
		return error;
	}
	*inst = foreign;
	return 0;
}

/* The library stays: its blocks may outlive the machine, and few mallocs can be unloaded. */
static void foreign_destroy(void *inst)
{
	struct foreign *foreign = inst;

	foreign->host->meta_free(foreign->self, foreign, sizeof(*foreign));
}

static const struct loam_heap_ops ops = {
	.size = sizeof(ops),
	.alloc = foreign_alloc,
	.free = foreign_free,
	.usable_size = foreign_usable_size,
	.zalloc = foreign_zalloc,
	.limits = foreign_limits,
};

static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_HEAP, &ops) };

LOAM_PLUGIN(.name = "foreign", .version = PACKAGE_VERSION, .threads = LOAM_THREADS_PARALLEL,
	    .flags = LOAM_PLUGIN_FOREIGN,
	    .summary = "heap: any library's malloc: glibc, jemalloc, mimalloc, tcmalloc, ...", LOAM_PARAMS(params),
	    LOAM_ROLES(roles), .area_size = sizeof(struct area), .create = foreign_create, .destroy = foreign_destroy,
	    .flush = foreign_flush, .stat = foreign_stat, .tell = foreign_tell, .static_tls = 16384);
