/* SPDX-License-Identifier: MIT */
/*
 * area.c: local areas. A thread has one block; each instance's area lies in it at a fixed offset.
 *
 * The host keeps one thread-local pointer, initial-exec, which plugins read by its offset from the thread pointer. A block is
 * opened at a thread's first slow path and closed when the thread ends: flushed, and kept for the next thread with the
 * contents that flush left. Blocks are never unmapped while the machine is up, for other threads may point into them.
 *
 * The end of a thread is seen by a pthread key's destructor. Other keys' destructors free memory too, so ours asks to be
 * called again until the last round. What the C library frees after that finds no area and takes the slow path.
 *
 * Nothing here calls malloc: it may run inside malloc.
 */
#include "internal.h"

#include <limits.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The thread sanitizer forgets a thread in the last round of its destructors: there we end one round earlier. */
#ifdef __SANITIZE_THREAD__
#define LAST_ROUND (PTHREAD_DESTRUCTOR_ITERATIONS - 1)
#else
#define LAST_ROUND PTHREAD_DESTRUCTOR_ITERATIONS
#endif

#define CHUNK_BLOCKS 16
#define MAX_CHUNKS 4096

/** The first bytes of a block. */
struct block {
	struct block *next_free;
	char **pointer; /* the thread's loam__area_block; NULL: closed */
	pid_t tid;      /* of the thread that opened it; 0: of a logical CPU */
	bool used;      /* was ever opened */
};
LOAM_STATIC_ASSERT(sizeof(struct block) <= LOAM__AREA_HEADER, "the header fits");

__thread char *loam__area_block __attribute__((tls_model("initial-exec")));
static __thread bool closed __attribute__((tls_model("initial-exec")));

struct loam__mutex loam__area_lock;
static char *chunks[MAX_CHUNKS];
static unsigned nr_chunks, nr_open;
static struct block *free_blocks;
static size_t block_bytes;
static pthread_key_t key;
static bool key_made;

/* @round: how often the destructors of this thread have run. */
static void thread_ends(void *round)
{
	uintptr_t n = (uintptr_t)round;

	if (n < LAST_ROUND && loam__machine.up) {
		pthread_setspecific(key, (void *)(n + 1));
		return;
	}
	loam__area_close();
	closed = true;
}

int loam__area_boot(void)
{
	block_bytes = (LOAM__AREA_HEADER + loam__machine.area_bytes + 4095) & ~(size_t)4095;
	if (key_made)
		return 0;
	key_made = !pthread_key_create(&key, thread_ends);
	return key_made ? 0 : -1;
}

ptrdiff_t loam__area_tp_offset(void)
{
	char *tp;

#if defined(__x86_64__)
	__asm__("movq %%fs:0, %0" : "=r"(tp));
#else
	__asm__("mrs %0, tpidr_el0" : "=r"(tp));
#endif
	return (char *)&loam__area_block - tp;
}

/* Under the lock. */
static struct block *new_chunk(void)
{
	char *chunk;

	if (nr_chunks == MAX_CHUNKS)
		return NULL;
	chunk = mmap(NULL, block_bytes * CHUNK_BLOCKS, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (chunk == MAP_FAILED)
		return NULL;
	loam__name_mapping(chunk, block_bytes * CHUNK_BLOCKS, "loam local areas");
	chunks[nr_chunks++] = chunk;
	return (struct block *)chunk;
}

/* A block that has never been used, of the newest chunk; those in front of it are taken. Under the lock. */
static struct block *fresh_block(void)
{
	char *chunk = nr_chunks ? chunks[nr_chunks - 1] : NULL;

	for (unsigned i = 0; chunk && i < CHUNK_BLOCKS; i++) {
		struct block *block = (struct block *)(chunk + i * block_bytes);

		if (!block->used)
			return block;
	}
	return new_chunk();
}

static struct block *take_block(char **pointer, pid_t tid)
{
	struct block *block;

	loam__lock(&loam__area_lock);
	block = free_blocks;
	if (block)
		free_blocks = block->next_free;
	else
		block = fresh_block();
	if (block) {
		block->used = true;
		block->pointer = pointer;
		block->tid = tid;
		nr_open++;
	}
	loam__unlock(&loam__area_lock);
	return block;
}

/* Give the calling thread a block. */
static LOAM_COLD bool open_block(void)
{
	struct block *block = take_block(&loam__area_block, (pid_t)syscall(SYS_gettid));

	if (!block)
		return false;
	loam__area_block = (char *)block;
	/* After the pointer is set: a key beyond the first 32 makes the C library allocate, which comes back to us. */
	pthread_setspecific(key, (void *)1);
	return true;
}

void *loam__host_area(struct loam_self *self)
{
	if (loam_unlikely(!loam__area_block) && (closed || !loam__machine.up || !open_block()))
		return NULL;
	return loam__area_block + self->area_offset;
}

/* Consumers first: what they give back lands in their providers' areas. */
static void flush_block(char *block)
{
	struct loam__graph *graph = loam__machine.graph;

	for (unsigned i = graph->nr; i--;) {
		struct loam_self *self = graph->instances[i];

		if (self->created && self->plugin->desc.area_size)
			self->plugin->desc.flush(self->inst, block + self->area_offset);
	}
}

static void close_block(struct block *block)
{
	flush_block((char *)block);
	*block->pointer = NULL;
	loam__lock(&loam__area_lock);
	block->pointer = NULL;
	block->next_free = free_blocks;
	free_blocks = block;
	nr_open--;
	loam__unlock(&loam__area_lock);
}

void loam__area_close(void)
{
	if (loam__area_block)
		close_block((struct block *)loam__area_block);
}

bool loam__area_cpu_open(char **pointer)
{
	*pointer = (char *)take_block(pointer, 0);
	return *pointer;
}

void loam__area_cpu_move(char **from, char **to)
{
	loam__lock(&loam__area_lock);
	*to = *from;
	*from = NULL;
	((struct block *)*to)->pointer = to;
	loam__unlock(&loam__area_lock);
}

void loam__area_cpu_close(char **pointer)
{
	if (*pointer)
		close_block((struct block *)*pointer);
}

static void each_block(void (*fn)(void *arg, struct block *block), void *arg)
{
	for (unsigned c = 0; c < nr_chunks; c++)
		for (unsigned i = 0; i < CHUNK_BLOCKS; i++) {
			struct block *block = (struct block *)(chunks[c] + i * block_bytes);

			if (block->used)
				fn(arg, block);
		}
}

struct visit {
	struct loam_self *self;
	void (*fn)(void *arg, void *area);
	void *arg;
};

static void visit_block(void *arg, struct block *block)
{
	struct visit *visit = arg;

	visit->fn(visit->arg, (char *)block + visit->self->area_offset);
}

void loam__host_areas(struct loam_self *self, void (*fn)(void *arg, void *area), void *arg)
{
	struct visit visit = { self, fn, arg };

	loam__lock(&loam__area_lock);
	each_block(visit_block, &visit);
	loam__unlock(&loam__area_lock);
}

unsigned loam__area_threads(void)
{
	unsigned n;

	loam__lock(&loam__area_lock);
	n = nr_open;
	loam__unlock(&loam__area_lock);
	return n;
}

static void flush_open(void *arg, struct block *block)
{
	(void)arg;
	if (block->pointer)
		flush_block((char *)block);
}

/** Flush the areas of all threads, from this one. No other thread is inside loam. */
void loam__area_flush_all(void)
{
	each_block(flush_open, NULL);
}

/*
 * A thread that first came to us in a late round of its destructors had no more of them for us: it is gone with its block open,
 * and its memory with it. In a child of fork the ids are others, and the vanished threads' memory is still there.
 */
static bool lives(const struct block *block)
{
	return !block->tid || block->pointer == &loam__area_block || !syscall(SYS_tgkill, getpid(), block->tid, 0);
}

static void forget(void *arg, struct block *block)
{
	(void)arg;
	if (block->pointer && lives(block))
		*block->pointer = NULL;
}

void loam__area_halt(void)
{
	each_block(forget, NULL);
	while (nr_chunks)
		munmap(chunks[--nr_chunks], block_bytes * CHUNK_BLOCKS);
	free_blocks = NULL;
	nr_open = 0;
}
