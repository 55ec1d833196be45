/* SPDX-License-Identifier: MIT */
/* heap-threads.c: several threads on one heap, as far as that is not the same for every role (see plugin-threads.c). */
#include "heap-tests.h"

#include <stdlib.h>
#include <string.h>

/* ---- every op, on blocks of one's own ---- */

#define OWN 40
#define BULK 8
#define OTHERS "calls for other blocks"

struct thread {
	struct rng rng;
	struct block blocks[OWN];
	size_t widest;
};

static size_t own_size(struct thread *thread)
{
	return heap_size(&thread->rng, 9000);
}

static void must_have(const struct block *block, const void *ptr, const char *op)
{
	kept(heap_told("HEAP-01"), ptr, "%s of %zu bytes returned NULL while memory was there", op, block->bytes);
}

static void own_zalloc(struct thread *thread, struct block *block)
{
	size_t bytes = own_size(thread), align = 1u << rng_below(&thread->rng, 8);
	char *ptr;

	align = align < thread->widest ? align : thread->widest;
	ptr = heap_zalloc(bytes, align, GFP_KERNEL);
	block->bytes = bytes;
	must_have(block, ptr, "zalloc");
	for (size_t i = 0; i < bytes; i++)
		kept(heap_told("HEAP-09"), !ptr[i], "byte %zu of a zalloc of %zu is %#x", i, bytes,
		     (unsigned char)ptr[i]);
	heap_block_is(block, ptr, bytes, align);
}

static void own_bulk(struct thread *thread)
{
	unsigned n = 1 + (unsigned)rng_below(&thread->rng, BULK), got;
	struct block blocks[BULK];
	size_t bytes = own_size(thread);
	void *out[BULK];

	got = heap_alloc_bulk(bytes, GFP_KERNEL, n, out);
	kept(heap_told("HEAP-05"), got == n, "alloc_bulk of %u blocks of %zu bytes returned %u", n, bytes, got);
	for (unsigned i = 0; i < n; i++)
		heap_block_is(&blocks[i], out[i], bytes, 1);
	heap_blocks_apart(blocks, n, heap_told("HEAP-08"));
	heap_blocks_intact(blocks, n, heap_told("HEAP-07"), OTHERS);
	heap_free_bulk(n, out);
}

static void own_resize(struct thread *thread, struct block *block)
{
	size_t bytes = own_size(thread), same = bytes < block->usable ? bytes : block->usable, at;

	if (!heap_resize(block->ptr, bytes))
		return;
	kept(heap_told("HEAP-10"),
	     heap_usable(block->ptr) >= bytes && pattern_check(block->ptr, same, block->seed, &at),
	     "resize of %zu usable bytes to %zu returned true; usable_size is %zu", block->usable, bytes,
	     heap_usable(block->ptr));
	block->usable = heap_usable(block->ptr);
	pattern_write(block->ptr, block->usable, block->seed);
}

static void own_step(struct thread *thread)
{
	struct block *block = &thread->blocks[rng_below(&thread->rng, OWN)];
	size_t bytes = own_size(thread);

	if (!block->ptr) {
		if (rng_below(&thread->rng, 2))
			own_zalloc(thread, block);
		else
			must_have(block, heap_block_take(block, bytes, 1, GFP_KERNEL) ? block->ptr : NULL, "alloc");
		return;
	}
	heap_block_intact(block, heap_told("HEAP-07"), OTHERS);
	switch (rng_below(&thread->rng, 8)) {
	case 0:
		own_bulk(thread);
		break;
	case 1:
	case 2:
		own_resize(thread, block);
		break;
	default:
		heap_free(block->ptr);
		block->ptr = NULL;
	}
}

#define HOT 24

/* One size for all threads, and hardly any time between two calls: what two threads share without a lock, they meet at. */
static void hot(size_t bytes, unsigned index)
{
	uint64_t *ptrs[HOT] = { NULL };
	struct rng rng = { job.seed ^ index };

	for (unsigned i = 0; i < effort(150000); i++) {
		unsigned slot = (unsigned)rng_below(&rng, HOT);
		uint64_t tag = (uint64_t)index << 32 | slot;

		if (ptrs[slot]) {
			kept("HEAP-28", *ptrs[slot] == tag, "a block of %zu bytes at %p was given to two threads",
			     bytes, (void *)ptrs[slot]);
			heap_free(ptrs[slot]);
			ptrs[slot] = NULL;
		} else {
			ptrs[slot] = heap_alloc(bytes, 8, GFP_KERNEL);
			kept("HEAP-28", ptrs[slot], "beside other threads alloc of %zu bytes returned NULL", bytes);
			*ptrs[slot] = tag;
		}
	}
	for (unsigned i = 0; i < HOT; i++)
		if (ptrs[i])
			heap_free(ptrs[i]);
}

static void own(unsigned index, bool alone)
{
	struct thread *thread = heap_records(1, sizeof(*thread));

	thread->rng.state = job.seed + index * 0x632be59bd9b4e019u;
	thread->widest = heap_max_align();
	for (unsigned i = 0; i < effort(1500); i++)
		own_step(thread);
	if (!alone)
		hot(heap_max() < 64 ? heap_max() : 16u << job.seed % 3, index);
	heap_blocks_intact(thread->blocks, OWN, heap_told("HEAP-07"), OTHERS);
	heap_blocks_give(thread->blocks, OWN);
	free(thread);
}

static void own_thread(void *arg, unsigned index)
{
	(void)arg;
	own(index, false);
}

void heap_many_threads(void)
{
	struct loam_stat stat;

	/* What is right alone and wrong beside others breaks this clause, whatever is wrong of the block. */
	for (unsigned i = 0; i < job.threads; i++)
		own(i, true);
	heap_blocks_told_as("HEAP-28");
	threads_run_paused(job.threads, own_thread, NULL);
	stat = stat_now();
	kept("HEAP-28", !stat.live_blocks, "all threads gave back all they had, and live_blocks is %llu",
	     (unsigned long long)stat.live_blocks);
}

/* ---- from one thread to another ---- */

#define BATCH 32
#define QUEUE 64 /* batches */

struct belt {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	struct block batches[QUEUE][BATCH]; /* one without address: no more will come */
	size_t head, tail, live, limit, done, end, early, late;
};

/* The belt's lock is held. */
static void note_footprint(struct belt *belt)
{
	size_t footprint = stat_now().footprint;

	if (belt->done < belt->end / 8)
		belt->early = footprint > belt->early ? footprint : belt->early;
	else if (belt->done > belt->end / 4 * 3)
		belt->late = footprint > belt->late ? footprint : belt->late;
}

/* Mostly what has a size class in every heap; one in 64 is large. Returns how many bytes they are. */
static size_t make_batch(const struct belt *belt, struct rng *rng, struct block *batch)
{
	size_t sum = 0, max = heap_max() < 4096 ? heap_max() : 4096;

	for (size_t i = 0; i < BATCH; i++) {
		size_t bytes = rng_below(rng, 64) ? rng_size(rng, max) : heap_size(rng, heap_memory() / 200);

		kept("HEAP-29", heap_block_take(&batch[i], bytes, 1, GFP_KERNEL),
		     "after %zu KiB from the one thread to the other, with %zu KiB live, alloc of %zu bytes was "
		     "refused",
		     belt->done >> 10, (belt->live + sum) >> 10, bytes);
		sum += batch[i].usable;
	}
	return sum;
}

static void produce(struct belt *belt)
{
	struct rng rng = { job.seed ^ 0x9fb21c651e98df25u };
	struct block batch[BATCH];

	while (belt->done < belt->end) {
		size_t bytes = make_batch(belt, &rng, batch);

		pthread_mutex_lock(&belt->lock);
		memcpy(belt->batches[belt->head++ % QUEUE], batch, sizeof(batch));
		belt->live += bytes;
		belt->done += bytes;
		note_footprint(belt);
		pthread_cond_signal(&belt->moved);
		while (belt->head - belt->tail == QUEUE || belt->live > belt->limit)
			pthread_cond_wait(&belt->moved, &belt->lock);
		pthread_mutex_unlock(&belt->lock);
	}
	pthread_mutex_lock(&belt->lock);
	belt->batches[belt->head++ % QUEUE][0].ptr = NULL;
	pthread_cond_signal(&belt->moved);
	pthread_mutex_unlock(&belt->lock);
}

static void consume(struct belt *belt)
{
	struct block batch[BATCH];

	for (;;) {
		size_t bytes = 0;

		pthread_mutex_lock(&belt->lock);
		while (belt->head == belt->tail)
			pthread_cond_wait(&belt->moved, &belt->lock);
		memcpy(batch, belt->batches[belt->tail % QUEUE], sizeof(batch));
		pthread_mutex_unlock(&belt->lock);
		if (!batch[0].ptr)
			return;
		for (size_t i = 0; i < BATCH; i++) {
			heap_block_intact(&batch[i], "HEAP-29", "it went to another thread");
			heap_free(batch[i].ptr);
			bytes += batch[i].usable;
		}
		pthread_mutex_lock(&belt->lock);
		belt->tail++;
		belt->live -= bytes;
		pthread_cond_signal(&belt->moved);
		pthread_mutex_unlock(&belt->lock);
	}
}

static void belt_thread(void *arg, unsigned index)
{
	if (index)
		consume(arg);
	else
		produce(arg);
}

void heap_producer(void)
{
	struct belt *belt = heap_records(1, sizeof(*belt));

	pthread_mutex_init(&belt->lock, NULL);
	pthread_cond_init(&belt->moved, NULL);
	belt->limit = heap_memory() / 12; /* a batch comes on top */
	belt->end = effort(2) * heap_memory();
	threads_run(2, belt_thread, belt);
	kept("HEAP-29", belt->late <= 2 * belt->early + heap_memory() / 8,
	     "with never more than %zu KiB live the footprint was %zu KiB at first and %zu KiB in the end",
	     heap_memory() >> 13, belt->early >> 10, belt->late >> 10);
	free(belt);
}
