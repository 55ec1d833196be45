/* SPDX-License-Identifier: MIT */
/*
 * boot.c: the machine before main.
 *
 * The library is linked with -z initfirst: its constructor runs before every other one, so static constructors of C++ find
 * the machine up. The machine is never booted inside malloc. What is allocated before, and by boot itself (the dynamic linker
 * reads plugins, libinih reads the configuration), comes from an arena that only grows; such blocks are known by their
 * address, and free leaves them alone.
 *
 * The configuration comes as text in LOAM_CONFIG_TEXT, where `loam exec` puts it with all names resolved, or from the file
 * that LOAM_CONFIG names, or is the built-in one. The text stays in the environment: children boot the same machine.
 */
#include "default.h"
#include "face.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- memory from before ---- */

#define EARLY_FIRST (512u << 10)
#define EARLY_MORE (4u << 20)
#define EARLY_CHUNKS 64

struct early {
	char *base, *next, *end;
};

static char first_chunk[EARLY_FIRST] __attribute__((aligned(64)));
static struct early chunks[EARLY_CHUNKS] = { { first_chunk, first_chunk, first_chunk + EARLY_FIRST } };
static unsigned nr_chunks = 1;
static uint32_t early_lock;

/* Each block has its size in front of it. */
static void *carve(struct early *chunk, size_t bytes, size_t align)
{
	uintptr_t at = ((uintptr_t)chunk->next + sizeof(size_t) + align - 1) & ~(align - 1);

	if (at > (uintptr_t)chunk->end || bytes > (uintptr_t)chunk->end - at)
		return NULL;
	((size_t *)at)[-1] = bytes;
	chunk->next = (char *)at + bytes;
	return (void *)at;
}

/* Rarely contended: before main there is one thread. */
static void early_enter(void)
{
	while (__atomic_exchange_n(&early_lock, 1, __ATOMIC_ACQUIRE))
		;
}

void *loam__face_early(size_t bytes, size_t align)
{
	void *ptr = NULL;

	bytes = (bytes + 15) & ~(size_t)15;
	early_enter();
	if (nr_chunks)
		ptr = carve(&chunks[nr_chunks - 1], bytes, align);
	if (!ptr && nr_chunks < EARLY_CHUNKS) {
		size_t size =
			bytes + align + 64 > EARLY_MORE ? (bytes + align + 4096 + 64) & ~(size_t)4095 : EARLY_MORE;
		char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at != MAP_FAILED) {
			chunks[nr_chunks] = (struct early){ at, at, at + size };
			ptr = carve(&chunks[nr_chunks], bytes, align);
			/* Release: is_early reads the count without the lock, then the chunk. */
			__atomic_store_n(&nr_chunks, nr_chunks + 1, __ATOMIC_RELEASE);
			__atomic_store_n(&loam__face.early_bytes, 0, __ATOMIC_RELAXED);
			__atomic_store_n(&loam__face.ours_bytes, SIZE_MAX, __ATOMIC_RELAXED);
		}
	}
	__atomic_store_n(&early_lock, 0, __ATOMIC_RELEASE);
	return ptr;
}

bool loam__face_early_search(const void *ptr)
{
	unsigned n = __atomic_load_n(&nr_chunks, __ATOMIC_ACQUIRE);

	for (unsigned i = 0; i < n; i++)
		if ((const char *)ptr >= chunks[i].base && (const char *)ptr < chunks[i].end)
			return true;
	return false;
}

size_t loam__face_early_size(const void *ptr)
{
	return ((const size_t *)ptr)[-1];
}

/* ---- the machine ---- */

static bool fail(struct loam_diag *diag)
{
	loam__diag_print(diag, stderr);
	loam__diag_clear(diag);
	return false;
}

/* What only the face demands of a configuration. */
static void check_for_malloc(const struct loam__graph *graph, struct loam_diag *diag)
{
	if (!graph->heap)
		loam__diag_add(diag, NULL, 0, "the configuration has no [malloc] heap: which instance serves malloc?");
	if (graph->machine[LOAM_M_BACKING].i != LOAM_BACKING_ANON)
		loam__diag_add(diag, NULL, 0, "a program's malloc needs [machine] backing = anon, which fork copies");
}

static size_t least(size_t a, size_t b)
{
	return a && (a < b || !b) ? a : b;
}

/* From here on the short ways work. Only this thread lives; a thread that is made later sees all of it. */
static void open_face(struct loam__graph *graph)
{
	const struct loam_link *link = loam_port_link(&graph->heap->top);
	struct loam_heap_limits limits = { .size = sizeof(limits) };

	loam_heap_ops(link)->limits(link->inst, &limits);
	loam__face.base = loam__machine.map.base;
	loam__face.low_bytes = loam__machine.map.low_bytes;
	loam__face.pages = loam__machine.map.pages;
	loam__face.graph = graph;
	loam__face.foreign = loam__machine.foreign;
	loam__face.large = loam__large.base;
	loam__face.large_bytes = loam__large.bytes;
	loam__face.early = first_chunk;
	if (nr_chunks == 1)
		loam__face.early_bytes = EARLY_FIRST;
	loam__face.align_max = least(limits.max_align, SIZE_MAX);
	loam__face.heap = &graph->heap->top;
	loam__face.owner = graph->heap->owner;
	loam__face.heap_max = least(limits.max_size, SIZE_MAX / 2);
	if (graph->large)
		loam__face.heap_max = least(graph->large - 1, loam__face.heap_max);
	/* malloc promises 16, and asks each heap for it. One that cannot give it serves nothing. */
	if (loam__face.align_max < 16)
		loam__face.heap_max = 0;
	loam__face.ours_bytes = SIZE_MAX;
	/* A heap without a limit leaves the large window empty. */
	if (loam__face.foreign == loam__face.heap && loam__face.heap_max == SIZE_MAX / 2 && nr_chunks == 1) {
		loam__face.ours = first_chunk;
		loam__face.ours_bytes = EARLY_FIRST;
	}
}

/* From @text, or from the file at @path. @name: for messages; NULL: the text was printed by loam exec. */
static bool boot(const char *name, const char *text, const char *path)
{
	struct loam_diag diag;
	struct loam__config *config;
	struct loam__graph *graph;

	loam__diag_init(&diag);
	config = text ? loam__config_text(name, text, &diag) : loam__config_file(path, &diag);
	graph = loam__wire(config, &diag);
	if (graph)
		check_for_malloc(graph, &diag);
	if (diag.count || loam__boot(graph, &diag))
		return fail(&diag);
	open_face(graph);
	return true;
}

#ifdef LOAM_FACE_PREFIX
bool loam_face_boot(const char *text)
{
	return boot("face", text, NULL);
}
#else

/*
 * The summary is for the process that loam exec started, or the first one that sees the variable: whatever program that
 * process becomes (wrappers exec, tools exec), and not for its children. So its number is in the environment.
 */
static void start_summary(void)
{
	const char *where = getenv("LOAM_SUMMARY"), *whose = getenv("LOAM_SUMMARY_PID");
	char pid[24];

	if (!where || (whose && atol(whose) != getpid()))
		return;
	if (!whose) {
		snprintf(pid, sizeof(pid), "%ld", (long)getpid());
		setenv("LOAM_SUMMARY_PID", pid, 1);
	}
	if (!loam__account_start())
		loam__log(LOAM_LOG_WARN, "no memory for the summary's records");
	else
		loam__summary_start(where, getenv("LOAM_SUMMARY_JSON") != NULL);
}

/*
 * glibc gives constructors main's arguments. We run before the C library's own constructor, which would set environ from the
 * same pointer.
 */
__attribute__((constructor)) static void constructor(int argc, char **argv, char **envp)
{
	const char *text, *path;
	int saved = errno;
	bool up;

	(void)argc, (void)argv;
	if (!environ)
		environ = envp;
	text = getenv("LOAM_CONFIG_TEXT");
	path = getenv("LOAM_CONFIG");
	if (text)
		up = boot(NULL, text, NULL);
	else if (path && *path)
		up = boot(NULL, NULL, path);
	else
		up = boot("default", loam__default_config, NULL);
	if (!up)
		_exit(1);
	loam__crash_boot();
	start_summary();
	errno = saved;
}
#endif
