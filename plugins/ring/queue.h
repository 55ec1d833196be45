/* SPDX-License-Identifier: MIT */
/*
 * queue.h: a bounded queue of pointers for many producers and many consumers, without a lock.
 *
 * Each cell has a number that says whose turn it is: p when the producer of position p may write it, p + 1 when the consumer of
 * position p may read it, and p + size when that has read it, which is the turn of the producer of the next round. Who wants n
 * cells looks whether the last of them is ready, takes the n positions by one compare-and-swap, and then has them alone; a
 * neighbour who is slow holds up only who needs his cell. Bulk is the primitive.
 */
#ifndef LOAM_RING_QUEUE_H
#define LOAM_RING_QUEUE_H

#include <loam/plugin.h>

struct cell {
	uint64_t turn; /* atomic */
	void *element;
};

struct queue {
	uint64_t head __attribute__((aligned(64))); /* atomic: the next position to write */
	uint64_t tail __attribute__((aligned(64))); /* atomic: the next position to read */
	uint64_t mask __attribute__((aligned(64))); /* cells, less one */
	struct cell *cells;
};

static inline void queue_init(struct queue *queue, struct cell *cells, uint64_t size)
{
	queue->head = queue->tail = 0;
	queue->mask = size - 1;
	queue->cells = cells;
	for (uint64_t i = 0; i < size; i++)
		cells[i].turn = i;
}

/* Take positions [*@at, *@at + @n) of *@end, whose cells are all at their turn, @offset behind their position; false: not so many. */
static inline bool queue_claim(struct queue *queue, uint64_t *end, uint64_t offset, unsigned n, uint64_t *at)
{
	*at = __atomic_load_n(end, __ATOMIC_RELAXED);
	for (;;) {
		bool ready = true;

		/* Acquire: what the cell's last user wrote, or read, is done. */
		for (unsigned i = n; i-- && ready;)
			ready = __atomic_load_n(&queue->cells[(*at + i) & queue->mask].turn, __ATOMIC_ACQUIRE) ==
				*at + i + offset;
		if (!ready) {
			uint64_t now = __atomic_load_n(end, __ATOMIC_RELAXED);

			if (now == *at)
				return false;
			*at = now;
			continue;
		}
		if (__atomic_compare_exchange_n(end, at, *at + n, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return true;
	}
}

/** Put @n elements in, all or none. */
static inline bool queue_put(struct queue *queue, unsigned n, void *const *elements)
{
	uint64_t at;

	if (n > queue->mask + 1 || !queue_claim(queue, &queue->head, 0, n, &at))
		return false;
	for (unsigned i = 0; i < n; i++) {
		struct cell *cell = &queue->cells[(at + i) & queue->mask];

		cell->element = elements[i];
		__atomic_store_n(&cell->turn, at + i + 1, __ATOMIC_RELEASE);
	}
	return true;
}

/** Take @n elements out, all or none. */
static inline bool queue_get(struct queue *queue, unsigned n, void **elements)
{
	uint64_t at;

	if (n > queue->mask + 1 || !queue_claim(queue, &queue->tail, 1, n, &at))
		return false;
	for (unsigned i = 0; i < n; i++) {
		struct cell *cell = &queue->cells[(at + i) & queue->mask];

		elements[i] = cell->element;
		__atomic_store_n(&cell->turn, at + i + queue->mask + 1, __ATOMIC_RELEASE);
	}
	return true;
}

#endif
