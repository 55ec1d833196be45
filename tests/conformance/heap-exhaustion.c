/* SPDX-License-Identifier: MIT */
/*
 * heap-exhaustion.c: memory runs out, and comes back.
 *
 * The machines are small, so that a few thousand calls use them up. A foreign heap takes the process's memory: there the limit of
 * addresses is drawn close while a test wants it to be short.
 */
#include "heap-tests.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define SHORT (GFP_KERNEL | __GFP_NOWARN)

/* ---- a foreign heap's memory ---- */

static struct rlimit usual_limit;

/* 64 MiB more than the process has: some heaps take their memory in pieces of 32. */
static void memory_is_short(void)
{
	unsigned long pages = 0;
	struct rlimit tight;
	FILE *statm;

	if (heap_inside())
		return;
	if (job.sanitizer)
		skip("addresses cannot be limited under a sanitizer");
	statm = fopen("/proc/self/statm", "r");
	if (!statm || fscanf(statm, "%lu", &pages) != 1 || getrlimit(RLIMIT_AS, &usual_limit))
		trouble("the size of the process is not known");
	fclose(statm);
	tight = usual_limit;
	tight.rlim_cur = (pages << LOAM_PAGE_SHIFT) + (64 << 20);
	setrlimit(RLIMIT_AS, &tight);
}

static void memory_is_back(void)
{
	if (!heap_inside())
		setrlimit(RLIMIT_AS, &usual_limit);
}

/* ---- a request that fails ---- */

struct filled {
	struct block *blocks;
	size_t n, most;
};

/* Mostly small; one in @large of any size, runs of several pages among them. */
static size_t filling_size(unsigned large)
{
	size_t max = heap_max() < 60000 ? heap_max() : 60000;

	return rng_below(&test_rng, large) ? heap_size(&test_rng, max) : 1 + rng_below(&test_rng, max);
}

/* Until @refusals requests of all sizes were refused. */
static void fill(struct filled *filled, unsigned refusals)
{
	while (refusals && filled->n < filled->most) {
		if (heap_block_take(&filled->blocks[filled->n], filling_size(16), 1, SHORT))
			filled->n++;
		else
			refusals--;
	}
}

static void refused_request(struct filled *filled)
{
	struct loam_stat before = stat_now(), now;
	struct block *block = &filled->blocks[filled->n];
	size_t bytes = filling_size(3);

	if (heap_block_take(block, bytes, 1, SHORT)) {
		filled->n++;
		return;
	}
	now = stat_now();
	kept("HEAP-20",
	     now.live_blocks == before.live_blocks && (!heap_inside() || now.live_bytes == before.live_bytes),
	     "alloc of %zu bytes returned NULL, and live_blocks went from %llu to %llu, live_bytes from %llu to %llu",
	     bytes, (unsigned long long)before.live_blocks, (unsigned long long)now.live_blocks,
	     (unsigned long long)before.live_bytes, (unsigned long long)now.live_bytes);
}

static void give_some(struct filled *filled)
{
	for (unsigned i = 0; i < 3 && filled->n > 1; i++) {
		struct block *block = &filled->blocks[rng_below(&test_rng, filled->n)];

		heap_block_intact(block, "HEAP-20", "requests that were refused");
		heap_free(block->ptr);
		*block = filled->blocks[--filled->n];
	}
}

/* What is there is in pieces now, so that sizes fail of which there would be enough. */
static void at_the_brink(struct filled *filled)
{
	for (unsigned i = 0; i < effort(500); i++) {
		if (i % 4 == 0)
			give_some(filled);
		else if (filled->n < filled->most)
			refused_request(filled);
	}
}

void heap_refused(void)
{
	struct filled filled = { .most = 120000 };
	struct block block;

	filled.blocks = heap_records(filled.most, sizeof(*filled.blocks));
	/* Touched now: no memory of ours is wanted while there is none. */
	memset(filled.blocks, 0xff, filled.most * sizeof(*filled.blocks));
	memory_is_short();
	fill(&filled, 40);
	at_the_brink(&filled);
	memory_is_back();
	heap_blocks_apart(filled.blocks, filled.n, "HEAP-20");
	heap_blocks_intact(filled.blocks, filled.n, "HEAP-20", "requests that were refused");
	heap_blocks_shuffle(filled.blocks, filled.n, &test_rng);
	heap_blocks_give(filled.blocks, filled.n);
	heap_block_have(&block, filling_size(16), 1);
	heap_block_give(&block);
	free(filled.blocks);
}

/* ---- blocks of one size, to the last one ---- */

struct pile {
	void **ptrs;
	size_t n, most;
};

static void pile_open(struct pile *pile, size_t bytes)
{
	*pile = (struct pile){ .most = heap_memory() / bytes + 1 };
	pile->ptrs = heap_records(pile->most, sizeof(void *));
}

/* Returns how many. The memory of each is used. */
static size_t pile_up(struct pile *pile, size_t bytes)
{
	void *ptr;

	pile->n = 0;
	while ((ptr = heap_alloc(bytes, 1, SHORT))) {
		kept("HEAP-20", pile->n < pile->most, "%zu blocks of %zu bytes from %zu bytes of memory", pile->n + 1,
		     bytes, heap_memory());
		memset(ptr, 0xa7, bytes < 64 ? bytes : 64);
		pile->ptrs[pile->n++] = ptr;
	}
	return pile->n;
}

enum { OLDEST_FIRST, NEWEST_FIRST, ANY, ORDERS };

static void pile_down(struct pile *pile, unsigned order)
{
	for (size_t i = pile->n; order == ANY && i > 1; i--) {
		size_t other = rng_below(&test_rng, i);
		void *ptr = pile->ptrs[i - 1];

		pile->ptrs[i - 1] = pile->ptrs[other];
		pile->ptrs[other] = ptr;
	}
	for (size_t i = 0; i < pile->n; i++)
		heap_free(pile->ptrs[order == NEWEST_FIRST ? pile->n - 1 - i : i]);
	pile->n = 0;
}

/* Smaller still: first fit looks at every page for every page that it takes. */
static void small_machine_up(void)
{
	const struct setup setup = { .memory = 4 << 20, .zones = "NORMAL:*" };

	machine_up(&setup);
}

static void again(size_t bytes)
{
	struct pile pile;
	size_t first, now;

	pile_open(&pile, bytes);
	first = pile_up(&pile, bytes);
	kept("HEAP-01", first, "not one block of %zu bytes, and none is live", bytes);
	for (unsigned order = 0; order < ORDERS; order++) {
		pile_down(&pile, order);
		now = pile_up(&pile, bytes);
		kept("HEAP-21", now >= first,
		     "%zu blocks of %zu bytes could be had, and when they were given back, time %u, only %zu", first,
		     bytes, order + 1, now);
	}
	pile_down(&pile, ANY);
	free(pile.ptrs);
}

static size_t any_size(const size_t *sizes, size_t n)
{
	size_t size = sizes[rng_below(&test_rng, n)], max = heap_max();

	return size < max ? size : max;
}

void heap_as_much_again(void)
{
	static const size_t small[] = { 56, 64, 96, 200, 512, 1000 },
			    large[] = { 2048, 3000, 4096, 4097, 12000, 65536 };

	small_machine_up();
	for (unsigned i = 0; i < effort(1); i++) {
		again(any_size(large, LOAM_LEN(large)));
		again(any_size(small, LOAM_LEN(small)));
	}
	machine_down();
}

/* ---- other sizes ---- */

static size_t bytes_on_a_fresh_machine(size_t bytes)
{
	struct pile pile;
	size_t n;

	small_machine_up();
	pile_open(&pile, bytes);
	n = pile_up(&pile, bytes);
	pile_down(&pile, ANY);
	free(pile.ptrs);
	machine_down();
	return n;
}

static void change_of_sizes(size_t from, size_t to)
{
	size_t fresh = bytes_on_a_fresh_machine(to), now;
	struct pile pile;

	small_machine_up();
	pile_open(&pile, from < to ? from : to);
	pile_up(&pile, from);
	pile_down(&pile, ANY);
	shrink_now(~0ul);
	now = pile_up(&pile, to);
	kept("HEAP-22", now >= fresh - fresh / 4,
	     "a fresh machine gives %zu blocks of %zu bytes, one that was full of blocks of %zu bytes, all given back, "
	     "%zu",
	     fresh, to, from, now);
	pile_down(&pile, ANY);
	free(pile.ptrs);
	machine_down();
}

void heap_other_sizes(void)
{
	static const size_t sizes[] = { 48, 160, 700, 2048, 4096, 30000, 100000 };
	size_t max, from, to;

	small_machine_up();
	max = heap_max();
	if (!heap_inside()) {
		machine_down();
		skip("blocks lie outside the machine's memory");
	}
	machine_down();
	for (unsigned i = 0; i < effort(2); i++) {
		/* Small blocks first, of which many share a frame: what they leave is what most heaps keep. */
		from = rng_below(&test_rng, i ? LOAM_LEN(sizes) : 4);
		to = (from + 1 + rng_below(&test_rng, LOAM_LEN(sizes) - 1)) % LOAM_LEN(sizes);
		if (sizes[from] <= max && sizes[to] <= max)
			change_of_sizes(sizes[from], sizes[to]);
	}
}

/* ---- for ever ---- */

struct client {
	struct pile pile;
	size_t *sizes;
	size_t live, limit;
};

static void client_gives(struct client *client)
{
	size_t i = rng_below(&test_rng, client->pile.n);

	heap_free(client->pile.ptrs[i]);
	client->live -= client->sizes[i];
	client->pile.ptrs[i] = client->pile.ptrs[--client->pile.n];
	client->sizes[i] = client->sizes[client->pile.n];
}

static void client_takes(struct client *client, size_t bytes, size_t so_far)
{
	char *ptr;

	while (client->pile.n == client->pile.most || (client->pile.n && client->live + bytes > client->limit))
		client_gives(client);
	ptr = heap_alloc(bytes, 1, GFP_KERNEL);
	kept("HEAP-23", ptr, "after %zu KiB taken and given back, with %zu KiB live, alloc of %zu bytes was refused",
	     so_far >> 10, client->live >> 10, bytes);
	ptr[0] = ptr[bytes - 1] = 1;
	client->pile.ptrs[client->pile.n] = ptr;
	client->sizes[client->pile.n] = heap_usable(ptr);
	client->live += client->sizes[client->pile.n++];
}

void heap_used_again(void)
{
	size_t memory = heap_memory(), end = effort(16) * memory, done = 0, early = 0, late = 0;
	struct client client = { .limit = memory / 8, .pile.most = 4096 };

	client.pile.ptrs = heap_records(client.pile.most, sizeof(void *));
	client.sizes = heap_records(client.pile.most, sizeof(size_t));
	for (unsigned i = 0; done < end; i++) {
		size_t bytes = heap_size(&test_rng, memory / 100), footprint;

		client_takes(&client, bytes, done);
		done += bytes;
		if (i % 128)
			continue;
		footprint = stat_now().footprint;
		if (done < end / 8)
			early = footprint > early ? footprint : early;
		else if (done > end / 4 * 3)
			late = footprint > late ? footprint : late;
	}
	kept("HEAP-23", late <= 2 * early + memory / 8,
	     "with never more than %zu KiB live the footprint was %zu KiB at first and %zu KiB in the end",
	     client.limit >> 10, early >> 10, late >> 10);
	while (client.pile.n)
		client_gives(&client);
	free(client.pile.ptrs);
	free(client.sizes);
}

/* ---- bulk ---- */

static void too_many(size_t bytes)
{
	size_t n, got, now;
	struct loam_stat before, after;
	struct pile pile;
	void **out;

	pile_open(&pile, bytes);
	n = pile_up(&pile, bytes);
	pile_down(&pile, ANY);
	/* Half of it is there, and more than the other half is asked for. */
	while (pile.n < n / 2 && (pile.ptrs[pile.n] = heap_alloc(bytes, 1, SHORT)))
		pile.n++;
	out = heap_records(n + 1, sizeof(void *));
	before = stat_now();
	got = heap_alloc_bulk(bytes, SHORT, (unsigned)n + 1, out);
	after = stat_now();
	kept("HEAP-24", !got, "%zu of at most %zu blocks of %zu bytes are live, and alloc_bulk of %zu returned %zu",
	     pile.n, n, bytes, n + 1, got);
	kept("HEAP-24", after.live_blocks == before.live_blocks,
	     "alloc_bulk of %zu blocks of %zu bytes returned 0, and live_blocks went from %llu to %llu", n + 1, bytes,
	     (unsigned long long)before.live_blocks, (unsigned long long)after.live_blocks);
	pile_down(&pile, ANY);
	now = pile_up(&pile, bytes);
	kept("HEAP-24", now >= n, "%zu blocks of %zu bytes could be had, and after alloc_bulk returned 0 only %zu", n,
	     bytes, now);
	pile_down(&pile, ANY);
	free(pile.ptrs);
	free(out);
}

void heap_bulk_refused(void)
{
	static const size_t sizes[] = { 64, 200, 1000, 4096, 12000 };

	if (!heap_inside())
		skip("blocks lie outside the machine's memory");
	for (unsigned i = 0; i < effort(2); i++)
		too_many(any_size(sizes, LOAM_LEN(sizes)));
}
