/* SPDX-License-Identifier: MIT */
/*
 * plugin-hostile.c: a heap of single pages that is sound in all its ops but one: find does what no plugin may do. `mistake` says what;
 * with "reports" it only tells a misuse that nobody made, which shows by what tests find is called at all.
 */
#include <loam/plugin.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum mistake { NONE, REPORTS, LOOPS, EXITS, VANISHES, CRASHES, FORKS, CLONES, SCRIBBLES };
static const char *const mistakes[] = { "none",    "reports", "loops",  "exits",     "vanishes",
					"crashes", "forks",   "clones", "scribbles", NULL };
static const struct loam_param params[] = {
	LOAM_PARAM(.type = LOAM_PARAM_ENUM, .name = "mistake", .def = "none", .choices = mistakes, .help = "of find"),
};

struct hostile {
	const struct loam_host *host;
	const struct loam_args *args;
	struct list_head live; /* pages that are handed out, by lru; own[2]: that they are */
	uint64_t allocs, frees, failures;
};

static void *my_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	struct hostile *heap = inst;
	struct page *page = heap->host->pages_alloc(heap->args->ports[0], gfp & ~(__GFP_HIGHMEM | __GFP_MOVABLE), 0,
						    heap->args->owner);

	(void)bytes, (void)align;
	if (!page) {
		heap->failures++;
		return NULL;
	}
	page->lru = (struct list_head){ &heap->live, heap->live.prev };
	heap->live.prev->next = &page->lru;
	heap->live.prev = &page->lru;
	page->own[2] = heap;
	heap->allocs++;
	return loam_page_ptr(heap->host->map, page);
}

static void give_back(struct hostile *heap, struct page *page)
{
	page->lru.prev->next = page->lru.next;
	page->lru.next->prev = page->lru.prev;
	heap->host->pages_free(heap->args->ports[0], page, 0);
}

static void my_free(void *inst, void *ptr, struct page *page)
{
	struct hostile *heap = inst;

	(void)ptr;
	heap->frees++;
	give_back(heap, page);
}

static size_t my_usable_size(void *inst, const void *ptr, struct page *page)
{
	(void)inst, (void)ptr, (void)page;
	return LOAM_PAGE_SIZE;
}

static void my_limits(void *inst, struct loam_heap_limits *limits)
{
	(void)inst;
	limits->max_size = limits->max_align = limits->min_align = LOAM_PAGE_SIZE;
}

static int my_stat(void *inst, struct loam_stat *stat)
{
	const struct hostile *heap = inst;

	stat->allocs = heap->allocs;
	stat->frees = heap->frees;
	stat->failures = heap->failures;
	stat->live_blocks = heap->allocs - heap->frees;
	stat->live_bytes = stat->footprint = stat->live_blocks * LOAM_PAGE_SIZE;
	return 0;
}

/* ---- what no plugin may do ---- */

static void loop(void)
{
	for (volatile unsigned n = 0;; n++)
		;
}

/* All that the program may write to and that came with it: its variables, and those of its libraries. */
static void scribble(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long from[64], to[64], a, b;
	unsigned n = 0;
	char line[600], rights[8];

	while (maps && n < 64 && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %7s", &a, &b, rights) == 3 && !strncmp(rights, "rw", 2) &&
		    strstr(line, "loam-conform")) {
			from[n] = a;
			to[n++] = b;
		}
	for (unsigned i = 0; i < n; i++)
		memset((void *)from[i], 0x5a, to[i] - from[i]);
}

static void leave_children(bool hidden)
{
	for (int i = 0; i < 2; i++) {
		long pid = hidden ? syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();

		while (!pid)
			pause();
	}
}

static void misbehave(struct hostile *heap)
{
	switch ((enum mistake)heap->args->params[0].i) {
	case NONE:
		break;
	case REPORTS:
		heap->host->report(heap->args->self, LOAM_REPORT_MISUSE, NULL, "nobody did anything");
		break;
	case LOOPS:
		loop();
		break;
	case EXITS:
		exit(0);
	case VANISHES:
		_exit(0);
	case CRASHES:
		*(volatile int *)8 = 1;
		break;
	case FORKS:
	case CLONES:
		leave_children(heap->args->params[0].i == CLONES);
		break;
	case SCRIBBLES:
		scribble();
		break;
	}
}

static int my_find(void *inst, const void *addr, struct page *page, struct loam_span *span)
{
	struct hostile *heap = inst;

	(void)addr;
	misbehave(heap);
	span->kind = page->own[2] == heap ? LOAM_SPAN_LIVE : LOAM_SPAN_FREE;
	span->addr = loam_page_ptr(heap->host->map, page);
	span->bytes = LOAM_PAGE_SIZE;
	return 0;
}

static int my_create(const struct loam_host *host, const struct loam_args *args, void **inst)
{
	struct hostile *heap = host->meta_alloc(args->self, sizeof(*heap), 0);

	if (!heap)
		return -ENOMEM;
	heap->host = host;
	heap->args = args;
	heap->live = (struct list_head){ &heap->live, &heap->live };
	*inst = heap;
	return 0;
}

static void my_destroy(void *inst)
{
	struct hostile *heap = inst;

	while (heap->live.next != &heap->live)
		give_back(heap, (struct page *)((char *)heap->live.next - offsetof(struct page, lru)));
	heap->host->meta_free(heap->args->self, heap, sizeof(*heap));
}

static const struct loam_port_decl ports[] = { LOAM_PORT(.roles = LOAM_ROLE_BIT(LOAM_ROLE_PAGES), .name = "pages") };
static const struct loam_heap_ops ops = {
	.size = sizeof(ops), .alloc = my_alloc, .free = my_free, .usable_size = my_usable_size, .limits = my_limits
};
static const struct loam_role_decl roles[] = { LOAM_ROLE(LOAM_ROLE_HEAP, &ops) };

LOAM_PLUGIN(.name = "plugin-hostile", .version = "1", .summary = "heap of pages that goes wrong in one op",
	    .threads = LOAM_THREADS_SERIALISED, LOAM_PARAMS(params), LOAM_PORTS(ports), LOAM_ROLES(roles),
	    .create = my_create, .destroy = my_destroy, .stat = my_stat, .find = my_find);
