/* SPDX-License-Identifier: MIT */
/*
 * objects-tracked.c: caches whose constructor and destructor are watched. Of each object's memory it is known whether it is
 * constructed, whether it is live, and what lies in it: the constructor and each holder leave a pattern of their own, which
 * must be there when the object is next looked at.
 */
#include "objects-tests.h"

#include <stdlib.h>
#include <string.h>

static struct tracked caches[TRACKED];
void (*tracked_aside)(void);

/* ---- marks: under the lock ---- */

static size_t place_of(const struct tracked *tracked, const char *object)
{
	size_t at = (size_t)(((uintptr_t)object >> 3) * 0x9e3779b97f4a7c15u >> 24) & (tracked->room - 1);

	while (tracked->marks[at].object && tracked->marks[at].object != object)
		at = (at + 1) & (tracked->room - 1);
	return at;
}

static void make_room(struct tracked *tracked)
{
	struct tracked_mark *old = tracked->marks;
	unsigned n = tracked->room;

	tracked->room = n ? 2 * n : 4096;
	tracked->marks = objects_records(tracked->room, sizeof(*old));
	for (unsigned i = 0; i < n; i++)
		if (old[i].object)
			tracked->marks[place_of(tracked, old[i].object)] = old[i];
	free(old);
}

static struct tracked_mark *mark_of(struct tracked *tracked, void *object)
{
	struct tracked_mark *mark;

	if (2 * tracked->used >= tracked->room)
		make_room(tracked);
	mark = &tracked->marks[place_of(tracked, object)];
	if (!mark->object) {
		mark->object = object;
		tracked->used++;
	}
	return mark;
}

/* How many live objects begin in the frame of @object: it cannot have gone back since. */
static unsigned *frame_live(struct tracked *tracked, const void *object)
{
	return &tracked->frames[loam_page_pfn(&loam__machine.map, object_page(object))];
}

static bool in_state(const struct tracked *tracked, const struct tracked_mark *mark)
{
	return pattern_check(mark->object, tracked->bytes, mark->seed, NULL);
}

static void new_state(const struct tracked *tracked, struct tracked_mark *mark)
{
	/* Another one each time, and at each address. */
	mark->seed = (mark->seed + 1) * 0x9e3779b97f4a7c15u ^ (uintptr_t)mark->object;
	pattern_write(mark->object, tracked->bytes, mark->seed);
}

/* ---- constructor and destructor ---- */

static void aside(void)
{
	const char *name;

	kept("OBJ-22", !locks_held(&name), "a constructor or destructor runs with lock '%s' held", name);
	if (tracked_aside)
		tracked_aside();
}

static void construct(struct tracked *tracked, void *object)
{
	struct tracked_mark *mark;

	aside();
	kept("OBJ-12", loam_ptr_page(&loam__machine.map, object) && !((uintptr_t)object % 8),
	     "the constructor is called with %p, where there can be no object", object);
	pthread_mutex_lock(&tracked->lock);
	mark = mark_of(tracked, object);
	kept("OBJ-12", !mark->live, "the constructor is called with the live object %p", object);
	kept("OBJ-10", !tracked->once || !mark->constructed || !*frame_live(tracked, object),
	     "object %p is constructed, and is again, and another one in its frame is live", object);
	kept("OBJ-13", !tracked->with_dtor || !mark->constructed, "object %p is constructed twice, and not destructed",
	     object);
	new_state(tracked, mark);
	mark->constructed = true;
	mark->since++;
	tracked->ctors++;
	pthread_mutex_unlock(&tracked->lock);
}

static void destruct(struct tracked *tracked, void *object)
{
	struct tracked_mark *mark;

	aside();
	pthread_mutex_lock(&tracked->lock);
	mark = mark_of(tracked, object);
	kept("OBJ-12", !mark->live, "the destructor is called with the live object %p", object);
	kept("OBJ-13", mark->constructed, "the destructor is called with %p, which is not constructed", object);
	kept("OBJ-13", in_state(tracked, mark), "the destructor finds object %p not as it was left", object);
	kept("OBJ-10", !tracked->once || !*frame_live(tracked, object),
	     "object %p is destructed, and another one in its frame is live", object);
	mark->constructed = false;
	/* Who hands it out as it is now is found out. */
	memset(object, 0xdd, tracked->bytes);
	tracked->dtors++;
	pthread_mutex_unlock(&tracked->lock);
}

#define PAIR(n)                                                                                                        \
	static void construct_##n(void *object)                                                                        \
	{                                                                                                              \
		construct(&caches[n], object);                                                                         \
	}                                                                                                              \
	static void destruct_##n(void *object)                                                                         \
	{                                                                                                              \
		destruct(&caches[n], object);                                                                          \
	}
PAIR(0)
PAIR(1)
PAIR(2)
PAIR(3)
PAIR(4)
PAIR(5)
PAIR(6)
PAIR(7)

static void (*const constructors[TRACKED])(void *) = { construct_0, construct_1, construct_2, construct_3,
						       construct_4, construct_5, construct_6, construct_7 };
static void (*const destructors[TRACKED])(void *) = { destruct_0, destruct_1, destruct_2, destruct_3,
						      destruct_4, destruct_5, destruct_6, destruct_7 };

static void tracked_forget(struct tracked *tracked)
{
	free(tracked->marks);
	free(tracked->frames);
	tracked->marks = NULL;
	tracked->frames = NULL;
	tracked->room = tracked->used = 0;
}

struct tracked *tracked_new(unsigned slot, size_t bytes, uint32_t flags, bool with_dtor)
{
	struct tracked *tracked = &caches[slot];
	struct loam_cache_args args = { .name = "tracked", .object_size = bytes, .flags = flags };

	args.ctor = constructors[slot];
	args.dtor = with_dtor ? destructors[slot] : NULL;
	tracked_forget(tracked);
	*tracked = (struct tracked){ .bytes = bytes, .with_dtor = with_dtor, .lock = PTHREAD_MUTEX_INITIALIZER };
	tracked->once = objects_claim(LOAM_OBJECTS_CONSTRUCTED);
	tracked->frames = objects_records(loam__machine.map.nr_pages, sizeof(*tracked->frames));
	make_room(tracked);
	tracked->cache = cache_maybe(args);
	return tracked->cache ? tracked : NULL;
}

/* ---- objects ---- */

/* An object that alloc has returned. */
static void judge(struct tracked *tracked, void *object)
{
	struct tracked_mark *mark;

	pthread_mutex_lock(&tracked->lock);
	mark = mark_of(tracked, object);
	kept("OBJ-03", !mark->live, "object %p is handed out, and is live", object);
	kept("OBJ-09", mark->constructed, "object %p is handed out, and is not constructed", object);
	kept("OBJ-09", tracked->once || mark->since == 1, "object %p was constructed %u times when it was handed out",
	     object, mark->since);
	kept(mark->since ? "OBJ-09" : "OBJ-11", in_state(tracked, mark), "object %p is handed out not as %s left it",
	     object, mark->since ? "the constructor" : "its last holder");
	mark->live = true;
	mark->since = 0;
	++*frame_live(tracked, object);
	pthread_mutex_unlock(&tracked->lock);
}

void *tracked_alloc(struct tracked *tracked, gfp_t gfp)
{
	void *object = cache_alloc(tracked->cache, gfp);

	if (object)
		judge(tracked, object);
	return object;
}

unsigned tracked_alloc_bulk(struct tracked *tracked, unsigned n, void **out)
{
	unsigned got = cache_alloc_bulk(tracked->cache, QUIET, n, out);

	kept("OBJ-04", got == n || !got, "alloc_bulk of %u returned %u", n, got);
	for (unsigned i = 0; i < got; i++)
		judge(tracked, out[i]);
	return got;
}

void tracked_leave(struct tracked *tracked, void *object, bool change)
{
	struct tracked_mark *mark;

	pthread_mutex_lock(&tracked->lock);
	mark = mark_of(tracked, object);
	kept("OBJ-08", in_state(tracked, mark), "the contents of the live object %p changed", object);
	if (change)
		new_state(tracked, mark);
	mark->live = false;
	--*frame_live(tracked, object);
	/* Without CONSTRUCTED nothing is promised of a free one, where no destructor is to find it. */
	if (!tracked->once && !tracked->with_dtor)
		mark->constructed = false;
	pthread_mutex_unlock(&tracked->lock);
}

/* Three of four holders change it; which ones, the address says. */
static bool changes(const void *object)
{
	return ((uintptr_t)object * 0x9e3779b97f4a7c15u >> 60) % 4 != 0;
}

void tracked_free(struct tracked *tracked, void *object)
{
	tracked_leave(tracked, object, changes(object));
	cache_free(tracked->cache, object);
}

void tracked_free_bulk(struct tracked *tracked, unsigned n, void **objects)
{
	for (unsigned i = 0; i < n; i++)
		tracked_leave(tracked, objects[i], changes(objects[i]));
	cache_free_bulk(tracked->cache, n, objects);
}

void tracked_intact(struct tracked *tracked, void *object, const char *clause)
{
	const struct tracked_mark *mark;

	pthread_mutex_lock(&tracked->lock);
	mark = mark_of(tracked, object);
	kept(clause, mark->live && in_state(tracked, mark), "the contents of the live object %p changed", object);
	pthread_mutex_unlock(&tracked->lock);
}

/* ---- all of them ---- */

static int by_address(const void *a, const void *b)
{
	const struct tracked_mark *x = a, *y = b;

	return x->object < y->object ? -1 : x->object > y->object;
}

/* Without a destructor nobody knows which of them are objects still. */
void tracked_apart(struct tracked *tracked)
{
	struct tracked_mark *sorted = objects_records(tracked->used + 1, sizeof(*sorted));
	unsigned n = 0;

	for (unsigned i = 0; i < tracked->room; i++)
		if (tracked->marks[i].object && tracked->marks[i].constructed && tracked->with_dtor)
			sorted[n++] = tracked->marks[i];
	qsort(sorted, n, sizeof(*sorted), by_address);
	for (unsigned i = 1; i < n; i++)
		kept("OBJ-12", (size_t)(sorted[i].object - sorted[i - 1].object) >= tracked->bytes,
		     "objects of %zu bytes at %p and %p are constructed, and overlap", tracked->bytes,
		     (void *)sorted[i - 1].object, (void *)sorted[i].object);
	free(sorted);
}

void tracked_gone(struct tracked *tracked)
{
	tracked_apart(tracked);
	cache_gone(tracked->cache);
	kept("OBJ-13", !tracked->with_dtor || tracked->ctors == tracked->dtors,
	     "the cache is gone: its constructor was called %llu times, its destructor %llu times",
	     (unsigned long long)tracked->ctors, (unsigned long long)tracked->dtors);
	tracked_forget(tracked);
}
