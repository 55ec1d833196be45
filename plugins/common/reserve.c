/* SPDX-License-Identifier: MIT */
/*
 * reserve.c: see reserve.h. That a reserve is full is seen without its lock, which is the common case; the source is never
 * called under it. Poisoned elements are filled with a pattern, which is checked when they leave.
 */
#include "reserve.h"

#include <errno.h>
#include <string.h>

#define POISON 0x6b
#define POISON_END 0xa5

/* ---- poison ---- */

static bool poisoned(const struct reserve *r)
{
	return r->poison && r->element_size;
}

static void poison(const struct reserve *r, void *element)
{
	if (!poisoned(r))
		return;
	memset(element, POISON, r->element_size - 1);
	((uint8_t *)element)[r->element_size - 1] = POISON_END;
}

static void check_poison(const struct reserve *r, const void *element)
{
	const uint8_t *bytes = element;

	for (size_t i = 0; poisoned(r) && i < r->element_size; i++) {
		uint8_t want = i + 1 < r->element_size ? POISON : POISON_END;

		if (bytes[i] == want)
			continue;
		r->host->report(r->self, LOAM_REPORT_CORRUPTION, element,
				"an element of a reserve: byte %zu is %#x instead of %#x", i, bytes[i], want);
		break;
	}
}

/* ---- the stack: under the pool's lock ---- */

/* Relaxed: who looks without the lock reads nothing else by them, and who was handed an element sees what its take wrote. */
static void set(struct reserve *r, uint32_t count, uint32_t min_nr)
{
	__atomic_store_n(&r->count, count, __ATOMIC_RELAXED);
	__atomic_store_n(&r->pub.min_nr, min_nr, __ATOMIC_RELAXED);
	__atomic_store_n(&r->pub.lacking, min_nr - count, __ATOMIC_RELAXED);
}

static void push(struct reserve *r, void *element)
{
	r->elements[r->count] = element;
	set(r, r->count + 1, r->pub.min_nr);
}

static void *pop(struct reserve *r)
{
	void *element = r->elements[r->count - 1];

	set(r, r->count - 1, r->pub.min_nr);
	return element;
}

/* ---- pools ---- */

static void free_element(struct reserve *r, void *element)
{
	check_poison(r, element);
	r->pub.source.free(element, r->pub.source.data);
}

static void free_elements(struct reserve *r)
{
	while (r->count)
		free_element(r, pop(r));
}

static int fill(struct reserve *r)
{
	while (r->count < r->pub.min_nr) {
		void *element = r->pub.source.alloc(GFP_KERNEL, r->pub.source.data);

		if (!element)
			return -ENOMEM;
		poison(r, element);
		push(r, element);
	}
	return 0;
}

int reserve_make(struct reserve *r, const struct loam_host *host, struct loam_self *self, unsigned rank,
		 const struct loam_pool_args *args, struct loam_link link, bool poison_it)
{
	r->pub = (struct loam_pool){ .link = link, .source = args->source, .min_nr = args->min_nr };
	r->host = host;
	r->self = self;
	r->element_size = args->element_size;
	r->poison = poison_it;
	r->room = args->min_nr;
	list_init(&r->link);
	if (!args->min_nr)
		return -EINVAL;
	r->elements = host->meta_alloc(self, r->room * sizeof(void *), 0);
	if (!r->elements)
		return -ENOMEM;
	host->lock_init(self, &r->lock, rank, "reserve");
	if (!fill(r))
		return 0;
	reserve_end(r);
	return -ENOMEM;
}

void reserve_forget(struct reserve *r)
{
	r->host->lock_destroy(&r->lock);
	r->host->meta_free(r->self, r->elements, r->room * sizeof(void *));
}

void reserve_end(struct reserve *r)
{
	free_elements(r);
	reserve_forget(r);
}

/* ---- taking and giving ---- */

void *reserve_take(struct loam_pool *pub)
{
	struct reserve *r = reserve_of(pub);
	void *element = NULL;

	loam_lock(r->host, &r->lock);
	if (r->count) {
		element = pop(r);
		r->allocs++;
	} else {
		r->failures++;
	}
	loam_unlock(r->host, &r->lock);
	if (element)
		check_poison(r, element);
	return element;
}

bool reserve_refill(struct reserve *r, void *element)
{
	bool done;

	loam_lock(r->host, &r->lock);
	done = r->count < r->pub.min_nr;
	if (done) {
		poison(r, element);
		push(r, element);
		r->frees++;
	}
	loam_unlock(r->host, &r->lock);
	return done;
}

uint32_t reserve_count(const struct loam_pool *pub)
{
	return __atomic_load_n(&reserve_of(pub)->count, __ATOMIC_RELAXED);
}

/* ---- resize ---- */

/* One step towards @min_nr: the reserve does not wait for what it lacks any more, or an element is over. NULL: done. */
static void *shrink_step(struct reserve *r, uint32_t min_nr)
{
	uint32_t lacking = r->pub.min_nr - r->count, over = r->pub.min_nr - min_nr;

	lacking = lacking < over ? lacking : over;
	r->frees += lacking;
	set(r, r->count, r->pub.min_nr - lacking);
	if (r->pub.min_nr == min_nr)
		return NULL;
	/* It is full, and stays so: both at once. */
	set(r, r->count - 1, r->pub.min_nr - 1);
	return r->elements[r->count];
}

/*
 * One by one, for the source is not called under the lock. At each step the reserve has not more than min_nr, so that what
 * others take and give meanwhile is counted as ever.
 */
static void shrink(struct reserve *r, uint32_t min_nr)
{
	void *element;

	do {
		loam_lock(r->host, &r->lock);
		element = shrink_step(r, min_nr);
		loam_unlock(r->host, &r->lock);
		if (element)
			free_element(r, element);
	} while (element);
}

/* Room for @room elements. */
static int make_room(struct reserve *r, uint32_t room)
{
	const struct loam_host *host = r->host;
	void **fresh, **old;
	uint32_t old_room;

	if (room <= r->room)
		return 0;
	fresh = host->meta_alloc(r->self, room * sizeof(*fresh), 0);
	if (!fresh)
		return -ENOMEM;
	loam_lock(host, &r->lock);
	memcpy(fresh, r->elements, r->count * sizeof(*fresh));
	old = r->elements;
	old_room = r->room;
	r->elements = fresh;
	r->room = room;
	loam_unlock(host, &r->lock);
	host->meta_free(r->self, old, old_room * sizeof(*old));
	return 0;
}

/* A source that has nothing is no error: the reserve lacks the rest, and what comes back fills it. */
static int grow(struct reserve *r, uint32_t min_nr)
{
	const struct loam_host *host = r->host;
	void *element;

	if (make_room(r, min_nr))
		return -ENOMEM;
	loam_lock(host, &r->lock);
	r->allocs += min_nr - r->pub.min_nr;
	set(r, r->count, min_nr);
	loam_unlock(host, &r->lock);
	while (loam_pool_is_short(&r->pub)) {
		element = r->pub.source.alloc(GFP_KERNEL, r->pub.source.data);
		if (!element)
			break;
		/* Somebody gave meanwhile. */
		if (!reserve_refill(r, element))
			r->pub.source.free(element, r->pub.source.data);
	}
	return 0;
}

int reserve_resize(struct loam_pool *pub, uint32_t min_nr)
{
	if (!min_nr)
		return -EINVAL;
	if (min_nr > pub->min_nr)
		return grow(reserve_of(pub), min_nr);
	shrink(reserve_of(pub), min_nr);
	return 0;
}

/* ---- introspection ---- */

/* A block is an element that a reserve lacks: taken from it, or never had when it grew, and not made good. */
void reserve_stat(struct reserve *r, struct loam_stat *stat)
{
	loam_lock(r->host, &r->lock);
	stat->allocs += r->allocs;
	stat->frees += r->frees;
	stat->failures += r->failures;
	stat->live_bytes += (r->allocs - r->frees) * r->element_size;
	stat->footprint += (uint64_t)r->pub.min_nr * r->element_size;
	loam_unlock(r->host, &r->lock);
}

int reserve_check(const struct reserve *r, loam_check_fn fn, void *arg)
{
	if (r->count <= r->pub.min_nr && r->pub.min_nr <= r->room && r->pub.min_nr - r->count == r->allocs - r->frees)
		return 0;
	fn(arg, "a reserve has not the elements that the counters say");
	return 1;
}
