/* SPDX-License-Identifier: MIT */
/*
 * meta.c: memory for records of plugins and the host, apart from the machine's memory.
 *
 * Small requests are rounded to one of four steps in each doubling and come from free lists over chunks that are mapped
 * when they are needed; requests of 64 KiB and more are mappings of their own. Never the C library's malloc: that may be
 * us. Chunks stay until the machine halts.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK (256u << 10)
#define DIRECT (64u << 10) /* from here on a mapping of its own */
#define STEPS 4            /* classes in a doubling */
#define CLASSES 64

struct chunk {
	struct chunk *next;
	size_t bytes;
};

struct free_block {
	struct free_block *next;
};

struct loam__mutex loam__meta_lock;
static struct chunk *chunks;
static char *bump, *bump_end;
static struct free_block *free_blocks[CLASSES];
static uint64_t total;

static size_t class_size(unsigned class)
{
	return (size_t)(STEPS + class % STEPS) << (class / STEPS + 2);
}

/* 16, 20.. are rounded to multiples of 16 below, so small classes only waste index space. */
static unsigned class_of(size_t bytes)
{
	unsigned log = 63 - (unsigned)__builtin_clzl(bytes), class;

	if (log < 4)
		return 0;
	class = (log - 4) * STEPS + (unsigned)((bytes >> (log - 2)) & (STEPS - 1));
	return class_size(class) < bytes ? class + 1 : class;
}

static void *map(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		return NULL;
	loam__name_mapping(at, bytes, "loam metadata");
	return at;
}

/* Fresh memory is zero. Under the lock. */
static void *carve(size_t bytes, size_t align)
{
	char *at = (char *)(((uintptr_t)bump + align - 1) & ~(align - 1));

	if (!bump || at + bytes > bump_end) {
		struct chunk *chunk = map(CHUNK);

		if (!chunk)
			return NULL;
		chunk->next = chunks;
		chunk->bytes = CHUNK;
		chunks = chunk;
		bump = (char *)(chunk + 1);
		bump_end = (char *)chunk + CHUNK;
		at = (char *)(((uintptr_t)bump + align - 1) & ~(align - 1));
	}
	bump = at + bytes;
	return at;
}

/* Every block of a class begins at this alignment. */
static size_t class_align(size_t size)
{
	return size >= 64 ? 64 : 16;
}

/* Rounded so that blocks of a class keep the alignment of the class: 64 for 64 and more, else 16. */
static size_t rounded(size_t bytes, size_t align)
{
	bytes = bytes > align ? bytes : align;
	if (align > 64)
		return (bytes + align - 1) & ~(align - 1);
	return bytes >= 64 ? (bytes + 63) & ~(size_t)63 : (bytes + 15) & ~(size_t)15;
}

static bool account(struct loam_self *self, size_t bytes)
{
	struct loam__graph *graph = loam__machine.graph;
	uint64_t limit = graph && graph->machine ? graph->machine[LOAM_M_METADATA].u : 0;

	/* Relaxed: plain sums. */
	if (__atomic_add_fetch(&total, bytes, __ATOMIC_RELAXED) > limit && limit) {
		__atomic_fetch_sub(&total, bytes, __ATOMIC_RELAXED);
		return false;
	}
	if (self)
		__atomic_fetch_add(&self->meta_bytes, bytes, __ATOMIC_RELAXED);
	return true;
}

uint64_t loam__meta_fail;

/* For tests: whether it is this one's turn to fail. */
static bool fails(void)
{
	return __atomic_load_n(&loam__meta_fail, __ATOMIC_RELAXED) &&
	       !__atomic_sub_fetch(&loam__meta_fail, 1, __ATOMIC_RELAXED);
}

void *loam__meta_alloc(struct loam_self *self, size_t bytes, size_t align)
{
	size_t size = rounded(bytes ? bytes : 1, align ? align : 16);
	struct free_block *block;
	unsigned class;

	if (align > 4096 || align & (align - 1) || bytes > SIZE_MAX / 2 || fails() || !account(self, bytes))
		return NULL;
	if (size >= DIRECT) {
		void *at = map((size + 4095) & ~(size_t)4095);

		if (!at)
			account(self, -bytes);
		return at;
	}
	class = class_of(size);
	loam__lock(&loam__meta_lock);
	block = align <= 64 ? free_blocks[class] : NULL;
	if (block)
		free_blocks[class] = block->next;
	else
		block = carve(rounded(class_size(class), class_align(size)), align > 64 ? align : class_align(size));
	loam__unlock(&loam__meta_lock);
	if (!block) {
		account(self, -bytes);
		return NULL;
	}
	return memset(block, 0, size);
}

void loam__meta_free(struct loam_self *self, void *ptr, size_t bytes)
{
	struct free_block *block = ptr;
	size_t size = rounded(bytes ? bytes : 1, 16);
	unsigned class = class_of(size);

	if (!ptr)
		return;
	__atomic_fetch_sub(&total, bytes, __ATOMIC_RELAXED);
	if (self)
		__atomic_fetch_sub(&self->meta_bytes, bytes, __ATOMIC_RELAXED);
	if (size >= DIRECT) {
		munmap(ptr, (size + 4095) & ~(size_t)4095);
		return;
	}
	loam__lock(&loam__meta_lock);
	block->next = free_blocks[class];
	free_blocks[class] = block;
	loam__unlock(&loam__meta_lock);
}

uint64_t loam__meta_bytes(void)
{
	return __atomic_load_n(&total, __ATOMIC_RELAXED);
}

/** Give all chunks back. Nobody holds a record any more. */
void loam__meta_halt(void)
{
	while (chunks) {
		struct chunk *chunk = chunks;

		chunks = chunk->next;
		munmap(chunk, chunk->bytes);
	}
	memset(free_blocks, 0, sizeof(free_blocks));
	bump = bump_end = NULL;
	total = 0;
}
