/* SPDX-License-Identifier: MIT */
/*
 * test-mixes.c: every lawful mix of page allocators, object allocators and filters does the same work, reached by role alone,
 * and memory ends as it was at boot.
 */
#include "machine-fixture.h"

#include <loam/heap.h>
#include <loam/objects.h>

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char *const pages[] = { "buddy", "bitmap" };
static const char *const objects[] = { "slab", "slub", "slob" };
/* Sections of the filters in front of [NAME-0]; %1$s is the name. The last one is called [NAME]. */
static const struct {
	const char *label, *text;
} filters[] = {
	{ "none", NULL },
	{ "stats", "[%1$s]\nplugin = stats\nlower = %1$s-0\n" },
	{ "magazine", "[%1$s]\nplugin = magazine\nlower = %1$s-0\n" },
	{ "stats over magazine",
	  "[%1$s-1]\nplugin = magazine\nlower = %1$s-0\n[%1$s]\nplugin = stats\nlower = %1$s-1\n" },
};

/* One chain called @name: the plugin, its other keys, the filters. */
static void chain(FILE *out, const char *name, const char *plugin, const char *keys, unsigned filter)
{
	fprintf(out, "[%s%s]\nplugin = %s\n%s", name, filter ? "-0" : "", plugin, keys);
	if (filter)
		fprintf(out, filters[filter].text, name);
}

static void boot(unsigned p, unsigned page_filter, unsigned o, unsigned object_filter)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "[machine]\nmemory = 32M\nbacking = memfd\nzones = DMA:4M NORMAL:*\nseed = 5\n");
	chain(out, "frames", pages[p], "", page_filter);
	chain(out, "objects", objects[o], "pages = frames\n", object_filter);
	fprintf(out, "[kernel]\npages = frames\nobjects = objects\nheap = objects\n");
	fclose(out);
	fixture_boot(text, NULL);
	free(text);
}

/* ---- the common workload ---- */

#define SLOTS 200
#define STEPS 6000
#define MAGIC 0x600df00du

struct thing {
	uint32_t magic;
	uint32_t words[11];
};

static struct loam_cache *cache, *plain;

static void ctor(void *object)
{
	((struct thing *)object)->magic = MAGIC;
}

static const struct loam_link *link_of(enum loam_role_id role)
{
	return &loam__machine.graph->kernel[role]->links[role];
}

static struct page *page_of(const void *ptr)
{
	return loam_ptr_page(&loam__machine.map, ptr);
}

static void *take(size_t bytes, size_t align)
{
	const struct loam_link *link = link_of(LOAM_ROLE_HEAP);

	return loam_heap_ops(link)->alloc(link->inst, bytes, align, GFP_KERNEL | __GFP_NOWARN);
}

/* As kfree does: page, owner, heap. */
static void give(void *ptr)
{
	const struct loam_link *link = loam_port_link(loam__owner_of(page_of(ptr))->heap);

	loam_heap_ops(link)->free(link->inst, ptr, page_of(ptr));
}

static struct loam_cache *cache_new(const char *name, size_t bytes, void (*construct)(void *))
{
	static struct loam_port port;
	struct loam_cache_args args = { .size = sizeof(args), .name = name, .object_size = bytes, .ctor = construct };

	port.link = link_of(LOAM_ROLE_OBJECTS);
	return loam__machine.host.cache_create(&port, &args);
}

struct slot {
	unsigned char *ptr;
	size_t bytes;
	unsigned kind;
	unsigned char fill;
};

static uint32_t step(uint32_t *x)
{
	*x = *x * 1664525u + 1013904223u;
	return *x >> 8;
}

static void fill(struct slot *slot, uint32_t *x)
{
	slot->fill = (unsigned char)step(x);
	if (slot->ptr && slot->kind != 1)
		memset(slot->ptr, slot->fill, slot->bytes);
}

static void take_one(struct slot *slot, uint32_t *x)
{
	uint32_t r = step(x);

	slot->kind = r % 8 < 5 ? 0 : r % 8 - 4;
	if (slot->kind == 0) {
		slot->bytes = step(x) % 16 ? step(x) % 600 + 1 : step(x) % 20000 + 1;
		slot->ptr = take(slot->bytes, step(x) % 8 ? 8 : 64);
	} else if (slot->kind == 1) {
		slot->bytes = sizeof(struct thing);
		slot->ptr = loam_cache_alloc(cache, GFP_KERNEL);
		if (slot->ptr && ((struct thing *)slot->ptr)->magic != MAGIC)
			ck_abort_msg("an object was not constructed");
	} else {
		slot->bytes = 40;
		slot->ptr = loam_cache_alloc(plain, GFP_KERNEL);
	}
	if (!slot->ptr)
		ck_abort_msg("no memory");
	fill(slot, x);
}

static void give_one(struct slot *slot)
{
	for (size_t i = 0; i < slot->bytes && slot->kind != 1; i++)
		if (slot->ptr[i] != slot->fill)
			ck_abort_msg("kind %u of %zu bytes: byte %zu changed", slot->kind, slot->bytes, i);
	if (slot->kind == 0)
		give(slot->ptr);
	else
		loam_cache_free(slot->kind == 1 ? cache : plain, slot->ptr);
	slot->ptr = NULL;
}

static void work(uint32_t x)
{
	static const unsigned orders[] = { 0, 0, 0, 1, 3 };
	struct slot slots[SLOTS] = { { .ptr = NULL } };
	struct page *held[8] = { NULL };

	for (unsigned i = 0; i < STEPS; i++) {
		struct slot *slot = &slots[step(&x) % SLOTS];
		struct page **page = &held[step(&x) % 8];
		unsigned order = orders[(page - held) % 5];

		if (slot->ptr)
			give_one(slot);
		else
			take_one(slot, &x);
		if (i % 8)
			continue;
		if (*page)
			loam__pages_free(&loam__machine.frames, *page, order);
		*page = *page ? NULL : loam__pages_alloc(&loam__machine.frames, GFP_KERNEL, order, 0);
	}
	for (unsigned i = 0; i < SLOTS; i++)
		if (slots[i].ptr)
			give_one(&slots[i]);
	for (unsigned i = 0; i < 8; i++)
		if (held[i])
			loam__pages_free(&loam__machine.frames, held[i], orders[i % 5]);
}

static void *thread(void *arg)
{
	work((uint32_t)(uintptr_t)arg);
	return NULL;
}

/* Blocks that one thread took and another one gives back. */
static void *giver(void *arg)
{
	void **blocks = arg;

	for (unsigned i = 0; i < 500; i++)
		give(blocks[i]);
	return NULL;
}

static void hand_over(void)
{
	static void *blocks[500];
	pthread_t other;

	for (unsigned i = 0; i < 500; i++)
		blocks[i] = take(16 + i % 300, 8);
	pthread_create(&other, NULL, giver, blocks);
	pthread_join(other, NULL);
}

/* ---- the end: as at boot ---- */

static void count_defect(void *arg, const char *text)
{
	fprintf(stderr, "defect: %s\n", text);
	++*(unsigned *)arg;
}

static void must_be_clean(void)
{
	struct loam__graph *graph = loam__machine.graph;
	unsigned defects = 0;

	loam__quiesce();
	for (unsigned i = 0; i < graph->nr; i++)
		if (graph->instances[i]->plugin->desc.check)
			graph->instances[i]->plugin->desc.check(graph->instances[i]->inst, count_defect, &defects);
	loam__resume();
	ck_assert_uint_eq(defects, 0);
	for (unsigned i = 0; i < graph->nr; i++) {
		struct loam_stat stat = fixture_stat(graph->instances[i]);

		/* What a filter keeps is live for the instance below it. */
		ck_assert_msg(graph->instances[i]->filter || graph->instances[i]->links[LOAM_ROLE_PAGES].ops ||
				      !stat.live_blocks,
			      "%s has %llu live blocks", graph->instances[i]->name,
			      (unsigned long long)stat.live_blocks);
	}
}

static void shrink_all(void)
{
	struct loam__graph *graph = loam__machine.graph;

	loam__area_close();
	for (unsigned i = graph->nr; i--;)
		if (graph->instances[i]->plugin->desc.shrink)
			graph->instances[i]->plugin->desc.shrink(graph->instances[i]->inst, ~0ul >> 1);
}

static unsigned run(unsigned p, unsigned pf, unsigned o, unsigned of)
{
	unsigned long at_boot, reports;
	pthread_t threads[2];

	boot(p, pf, o, of);
	at_boot = loam__frames_used();
	cache = cache_new("things", sizeof(struct thing), ctor);
	plain = cache_new("plain", 40, NULL);
	ck_assert(cache && plain);
	for (uintptr_t i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, thread, (void *)(i + 1));
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	work(77);
	hand_over();
	must_be_clean();
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), 0);
	ck_assert_int_eq(loam__machine.host.cache_destroy(plain), 0);
	shrink_all();
	ck_assert_msg(loam__frames_used() == at_boot, "%s (%s), %s (%s): %lu frames at boot, %lu at the end", pages[p],
		      filters[pf].label, objects[o], filters[of].label, at_boot, loam__frames_used());
	reports = loam__machine.nr_reports;
	ck_assert_uint_eq(reports, 0);
	ck_assert_uint_eq(fixture_halt(), 0);
	return 1;
}

/* _i: which object filter; the other dimensions in full, filters in front of the page allocator one by one. */
START_TEST(every_mix_does_the_work_and_ends_as_it_began)
{
	unsigned n = 0;

	for (unsigned p = 0; p < LOAM_LEN(pages); p++)
		for (unsigned o = 0; o < LOAM_LEN(objects); o++)
			n += run(p, (unsigned)_i / 4, o, (unsigned)_i % 4);
	ck_assert_uint_eq(n, 6);
	printf("%u mixes with %s in front of the pages and %s in front of the objects\n", n, filters[_i / 4].label,
	       filters[_i % 4].label);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mixes");
	TCase *tc = tcase_create("mixes");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, every_mix_does_the_work_and_ends_as_it_began, 0, 16);
	suite_add_tcase(suite, tc);
	return fixture_run(suite);
}
