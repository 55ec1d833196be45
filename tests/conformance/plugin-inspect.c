/* SPDX-License-Identifier: MIT */
/* plugin-inspect.c: tests for every plugin: walk, check, find, shrink, tell. */
#include "plugin-tools.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define BLOCKS 300

/* ---- walk ---- */

static int count_span(void *arg, const struct loam_span *span)
{
	(void)span;
	++*(unsigned *)arg;
	return 0;
}

static int by_place(const void *a, const void *b)
{
	uint64_t x = span_at(a), y = span_at(b);

	return x < y ? -1 : x > y;
}

static void give_half(void *arg)
{
	struct load *load = arg;

	for (unsigned half = load->n / 2; load->n > half;)
		load_give(load);
}

/* Of a thread that ends with them live. */
static void take_some(void *arg)
{
	struct load *load = arg;

	load_fill(load, load->max / 3, GFP_KERNEL);
}

static void walk_shows_each_live_block_once(void)
{
	struct load load = load_new(BLOCKS, 0);
	struct spans before, now;

	role_open();
	before = spans_walk();
	for (unsigned i = 0; i < effort(3); i++) {
		load_fill(&load, BLOCKS, GFP_KERNEL);
		load_churn(&load, BLOCKS + 40 * i, GFP_KERNEL, "PLUG-34");
		/* What another thread gave back, and where that keeps it, is free too. */
		thread_once(give_half, &load);
		now = spans_walk();
		for (unsigned j = 0; j < load.n && !load.held[j].page; j++) {
			const struct held *held = &load.held[j];
			unsigned seen = 0;

			for (unsigned k = 0; k < now.n; k++) {
				const struct loam_span *span = &now.span[k];

				if (span->kind != LOAM_SPAN_LIVE || span->addr != held->ptr)
					continue;
				seen++;
				kept("PLUG-34", span->bytes >= held->bytes, "block %p: %zu bytes, and %zu may be used",
				     held->ptr, span->bytes, held->bytes);
			}
			kept("PLUG-34", seen == 1, "walk shows the live block %p %u times", held->ptr, seen);
		}
		if (subject->roles & LOAM_ROLE_BIT(LOAM_ROLE_PAGES))
			kept("PLUG-34", now.live_bytes - before.live_bytes == load_bytes(&load),
			     "walk shows %llu live bytes more than before, and %llu are held",
			     (unsigned long long)(now.live_bytes - before.live_bytes),
			     (unsigned long long)load_bytes(&load));
		else
			kept("PLUG-34", now.live - before.live == load.n,
			     "walk shows %u live blocks more than before, and %u are held", now.live - before.live,
			     load.n);
		spans_end(&now);
	}
	load_give_all(&load);
	now = spans_walk();
	kept("PLUG-34", now.live_bytes == before.live_bytes, "nothing is held, and walk shows %llu live bytes more",
	     (unsigned long long)(now.live_bytes - before.live_bytes));
	spans_end(&now);
	spans_end(&before);
	role_close();
	load_end(&load);
}

/* Every frame of a block of pages is in exactly one live span. */
static void walk_shows_each_live_frame_once(void)
{
	struct load load = load_new(BLOCKS, 0);
	unsigned char *live;
	struct spans now;

	if (!(subject->roles & LOAM_ROLE_BIT(LOAM_ROLE_PAGES)))
		skip("blocks are no frames; see walk-shows-each-live-block-once");
	live = calloc(loam__machine.map.nr_pages, 1);
	if (!live)
		trouble("no memory");
	role_open();
	load_churn(&load, 2 * BLOCKS, GFP_KERNEL, "PLUG-34");
	now = spans_walk();
	for (unsigned i = 0; i < now.n; i++)
		for (size_t at = 0; now.span[i].kind == LOAM_SPAN_LIVE && at < now.span[i].bytes; at += LOAM_PAGE_SIZE)
			live[(span_at(&now.span[i]) + at) >> LOAM_PAGE_SHIFT]++;
	for (unsigned i = 0; i < load.n; i++)
		for (unsigned long n = 0; n < 1ul << load.held[i].order; n++) {
			unsigned long pfn = loam_page_pfn(&loam__machine.map, load.held[i].page) + n;

			kept("PLUG-34", live[pfn] == 1, "walk shows the held frame %lu in %u live spans", pfn,
			     live[pfn]);
		}
	free(live);
	spans_end(&now);
	load_give_all(&load);
	role_close();
	load_end(&load);
}

/* A frame that walk shows is one of the subject's: by what it holds of its port, or as the machine's page allocator. */
static bool owns_frame(uint64_t at)
{
	const struct page *page = loam__machine.map.pages + (at >> LOAM_PAGE_SHIFT);

	return subject->roles & LOAM_ROLE_BIT(LOAM_ROLE_PAGES) || loam__owner_of(page)->self == subject;
}

static void spans_do_not_overlap(void)
{
	struct load load = load_new(BLOCKS, 0);
	uint64_t bytes = (uint64_t)loam__machine.map.nr_pages << LOAM_PAGE_SHIFT;

	role_open();
	for (unsigned i = 0; i < effort(3); i++) {
		struct spans now;
		uint64_t end = 0;

		load_churn(&load, BLOCKS + 40 * i, GFP_KERNEL, "PLUG-35");
		now = spans_walk();
		qsort(now.span, now.n, sizeof(*now.span), by_place);
		for (unsigned j = 0; j < now.n && in_machine(); j++) {
			uint64_t at = span_at(&now.span[j]);

			kept("PLUG-35", now.span[j].bytes, "walk shows a span of no bytes at %p", now.span[j].addr);
			kept("PLUG-35", at < bytes && now.span[j].bytes <= bytes - at,
			     "walk shows %zu bytes at %p, outside the machine's memory", now.span[j].bytes,
			     now.span[j].addr);
			kept("PLUG-35", at >= end, "walk shows a span at %p that begins %llu bytes before another ends",
			     now.span[j].addr, (unsigned long long)(end - at));
			end = at + now.span[j].bytes;
			kept("PLUG-35", owns_frame(at) && owns_frame(end - 1),
			     "walk shows %zu bytes at %p, in a frame that the instance does not hold",
			     now.span[j].bytes, now.span[j].addr);
		}
		spans_end(&now);
	}
	load_give_all(&load);
	role_close();
	load_end(&load);
}

struct stopping {
	unsigned calls, stop_at;
};

static int stop_walk(void *arg, const struct loam_span *span)
{
	struct stopping *stopping = arg;

	(void)span;
	kept("PLUG-36", stopping->calls < stopping->stop_at, "walk was told to end at span %u, and goes on",
	     stopping->stop_at);
	return ++stopping->calls == stopping->stop_at ? 4711 : 0;
}

static void walk_ends_when_told(void)
{
	struct load load = load_new(BLOCKS, 0);
	unsigned all = 0;

	role_open();
	load_churn(&load, 2 * BLOCKS, GFP_KERNEL, "PLUG-36");
	kept("PLUG-36", !walk_now(count_span, &all), "walk that was not told to end returned something");
	for (unsigned i = 1; i <= all; i += 1 + all / effort(40)) {
		struct stopping stopping = { 0, i };
		int result = walk_now(stop_walk, &stopping);

		kept("PLUG-36", result == 4711, "walk was told to end with 4711 at span %u of %u, and returned %d", i,
		     all, result);
	}
	/* At the very last one too. */
	for (unsigned back = 0; back < 3 && back < all; back++) {
		struct stopping stopping = { 0, all - back };

		kept("PLUG-36", walk_now(stop_walk, &stopping) == 4711, "walk was told to end at its last spans");
	}
	load_give_all(&load);
	role_close();
	load_end(&load);
}

static void walk_changes_nothing(void)
{
	struct load load = load_new(BLOCKS, 0);
	struct shim_counts shim;
	struct loam_stat stat;

	role_open();
	for (unsigned i = 0; i < effort(5); i++) {
		struct stopping stopping = { 0, 1 + i };
		struct loam_stat after;

		load_churn(&load, BLOCKS, GFP_KERNEL, "PLUG-37");
		stat = stat_now();
		shim = shim_counts();
		spans_end(&(struct spans){ .span = spans_walk().span });
		walk_now(stop_walk, &stopping);
		after = stat_now();
		kept("PLUG-37", !memcmp(&stat, &after, sizeof(stat)), "walk changed the counters");
		kept("PLUG-37",
		     shim_counts().meta_live == shim.meta_live && shim_counts().meta_bytes == shim.meta_bytes,
		     "walk keeps %llu blocks of metadata",
		     (unsigned long long)(shim_counts().meta_live - shim.meta_live));
		kept("PLUG-37",
		     shim_counts().port_allocs == shim.port_allocs && shim_counts().frames_live == shim.frames_live &&
			     shim_counts().port_live == shim.port_live,
		     "walk called an op of a port");
		load_intact(&load, "PLUG-37");
	}
	load_give_all(&load);
	role_close();
	load_end(&load);
}

/* ---- check ---- */

static void check_finds_nothing(void)
{
	struct load load = load_new(BLOCKS, 0);
	const char *text;

	role_open();
	for (unsigned i = 0; i < effort(10); i++) {
		struct loam_stat stat, after;
		struct shim_counts shim;
		unsigned found;

		thread_once(take_some, &load);
		load_churn(&load, BLOCKS, GFP_KERNEL, "PLUG-09");
		if (i % 3 == 2)
			load_give_all(&load);
		stat = stat_now();
		shim = shim_counts();
		found = check_now(&text);
		kept("PLUG-09", !found, "check finds %u broken invariants: %s", found, text);
		after = stat_now();
		kept("PLUG-09", !memcmp(&stat, &after, sizeof(stat)), "check changed the counters");
		kept("PLUG-09",
		     shim_counts().meta_live == shim.meta_live && shim_counts().port_allocs == shim.port_allocs &&
			     shim_counts().frames_live == shim.frames_live,
		     "check called an op of a port, or keeps metadata");
		load_intact(&load, "PLUG-09");
	}
	load_give_all(&load);
	kept("PLUG-09", !check_now(&text), "with nothing live check finds: %s", text);
	role_close();
	load_end(&load);
}

/* ---- find ---- */

static void find_at(const struct held *held, size_t offset)
{
	char *addr = (char *)held->ptr + offset;
	struct loam_span span;
	int error = find_now(addr, &span);

	kept("PLUG-38", !error, "find knows nothing of byte %zu of the live block %p of %zu bytes: %d", offset,
	     held->ptr, held->bytes, error);
	kept("PLUG-38", span.kind == LOAM_SPAN_LIVE, "find says that byte %zu of the live block %p is free", offset,
	     held->ptr);
	kept("PLUG-38", span.addr == held->ptr && span.bytes >= held->bytes,
	     "find says that byte %zu of the block %p, %zu bytes, is in one at %p, %zu bytes", offset, held->ptr,
	     held->bytes, span.addr, span.bytes);
}

static void find_knows_each_byte(void)
{
	struct load load = load_new(BLOCKS, 0);

	role_open();
	for (unsigned i = 0; i < effort(3); i++) {
		load_churn(&load, 2 * BLOCKS, GFP_KERNEL, "PLUG-38");
		for (unsigned j = 0; j < load.n; j++) {
			const struct held *held = &load.held[j];

			/* A page allocator holds no block that find could be asked for: its frames are their holders'. */
			if (!held->ptr || held->page)
				continue;
			find_at(held, 0);
			find_at(held, held->bytes - 1);
			find_at(held, held->bytes / 2);
			for (unsigned n = 0; n < 4; n++)
				find_at(held, rng_below(&test_rng, held->bytes));
		}
	}
	load_give_all(&load);
	role_close();
	load_end(&load);
}

/* ---- shrink ---- */

static void shrink_leaves_what_is_live(void)
{
	struct load load = load_new(BLOCKS, 0);

	role_open();
	for (unsigned i = 0; i < effort(8); i++) {
		struct loam_stat stat, after;

		thread_once(take_some, &load);
		load_churn(&load, 2 * BLOCKS, GFP_KERNEL, "PLUG-39");
		stat = stat_now();
		shrink_now(i % 2 ? 1 + i : ~0ul);
		after = stat_now();
		kept("PLUG-39", stat.live_blocks == after.live_blocks && stat.live_bytes == after.live_bytes,
		     "live_blocks was %llu before a shrink and is %llu", (unsigned long long)stat.live_blocks,
		     (unsigned long long)after.live_blocks);
		kept("PLUG-39", stat.allocs == after.allocs && stat.frees == after.frees,
		     "a shrink is counted as takes or gives");
		load_intact(&load, "PLUG-39");
	}
	load_give_all(&load);
	shrink_now(~0ul);
	kept("PLUG-39", load_take(&load, GFP_KERNEL), "after a shrink no block can be had");
	load_give_all(&load);
	role_close();
	load_end(&load);
}

static void shrink_tells_how_much(void)
{
	struct load load = load_new(4 * BLOCKS, 0);

	role_open();
	for (unsigned i = 0; i < effort(5); i++) {
		load_fill(&load, 4 * BLOCKS, GFP_KERNEL);
		while (load.n > BLOCKS)
			load_give(&load);
		if (i % 2)
			load_give_all(&load);
		for (unsigned n = 0; n < 3; n++) {
			uint64_t before = shim_counts().frames_live, after;
			unsigned long told = shrink_now(n ? ~0ul : 4);

			after = shim_counts().frames_live;
			kept("PLUG-40", before - after == told, "shrink says that %lu frames went back, and %lld did",
			     told, (long long)(before - after));
		}
		load_give_all(&load);
	}
	role_close();
	load_end(&load);
}

/* ---- tell ---- */

static void take_line(void *arg, const char *text)
{
	++*(unsigned *)arg;
	for (const char *at = text; *at; at++)
		kept("PLUG-41", *at != '\n' && *at != '\r', "tell tells a line with an end of line in it: %s", text);
	for (const char *at = text; *at; at++)
		kept("PLUG-41", isprint((unsigned char)*at) || *at == '\t' || (unsigned char)*at >= 0x80,
		     "tell tells the character %#x", (unsigned char)*at);
}

static void tell_tells_lines(void)
{
	struct load load = load_new(BLOCKS, 0);
	struct loam_stat stat, after;
	unsigned lines = 0;

	loam__tell(subject, take_line, &lines);
	role_open();
	load_churn(&load, 3 * BLOCKS, GFP_KERNEL, "PLUG-41");
	stat = stat_now();
	op_enter("tell()");
	loam__tell(subject, take_line, &lines);
	op_leave();
	after = stat_now();
	kept("PLUG-41", !memcmp(&stat, &after, sizeof(stat)), "tell changed the counters");
	load_intact(&load, "PLUG-41");
	load_give_all(&load);
	role_close();
	load_end(&load);
}

static const struct test tests[] = {
	{ "walk-shows-each-live-block-once", "PLUG-34", walk_shows_each_live_block_once, INTROSPECTION, 0, 0 },
	{ "walk-shows-each-live-frame-once", "PLUG-34", walk_shows_each_live_frame_once, INTROSPECTION, ONCE, 0 },
	{ "spans-do-not-overlap", "PLUG-35", spans_do_not_overlap, INTROSPECTION, 0, 0 },
	{ "walk-ends-when-told", "PLUG-36", walk_ends_when_told, INTROSPECTION, 0, 0 },
	{ "walk-changes-nothing", "PLUG-37", walk_changes_nothing, INTROSPECTION, 0, 0 },
	{ "check-finds-nothing", "PLUG-09", check_finds_nothing, INTROSPECTION, 0, 0 },
	{ "find-knows-each-byte", "PLUG-38", find_knows_each_byte, INTROSPECTION, 0, 0 },
	{ "shrink-leaves-what-is-live", "PLUG-39", shrink_leaves_what_is_live, INTROSPECTION, 0, 0 },
	{ "shrink-tells-how-much", "PLUG-40", shrink_tells_how_much, INTROSPECTION, 0, 0 },
	{ "tell-tells-lines", "PLUG-41", tell_tells_lines, INTROSPECTION, 0, 0 },
};

static const struct suite suite = {
	.name = "plugin",
	.general = true,
	TESTS(tests),
	.capabilities = plugin_capabilities,
};
SUITE(suite);
