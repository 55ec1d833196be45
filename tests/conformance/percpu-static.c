/* SPDX-License-Identifier: MIT */
/* percpu-static.c: tests of the role percpu: static variables of modules, offsets that nobody was given, counters. */
#include "percpu-model.h"

#include <errno.h>
#include <string.h>

/* What must be served: as much as the host asks for, where the unit is large enough. */
static size_t usual(void)
{
	return pcpu_size() / 2 < 65536 ? pcpu_size() / 2 : 65536;
}

static void up_with(size_t bytes)
{
	int error;

	machine_up(NULL);
	pcpu_begin();
	error = pcpu_reserve(bytes && bytes < usual() ? bytes : usual());
	kept("PCPU-16", !error, "reserve_first returned %d, with memory at hand", error);
}

static void down(void)
{
	pcpu_end();
	machine_down();
}

void pcpu_reserve_is_zero(void)
{
	static const size_t sizes[] = { 0, 1, 4096, 100, 16384, 5000, 6 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		up_with(sizes[i]);
		pcpu_look_reserve();
		down();
	}
}

void pcpu_reserve_stays(void)
{
	static const size_t sizes[] = { 0, 4096, 1004, 7 };

	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		struct chunks held = { 0 };

		up_with(sizes[i]);
		pcpu_blames("PCPU-17");
		shrink_now(~0ul);
		pcpu_look_reserve();
		pcpu_churn(&held, 500, 100);
		chunks_give(&held);
		while (shrink_now(~0ul))
			;
		pcpu_look_reserve();
		chunks_drain_all(&held, NULL);
		pcpu_look_reserve();
		chunks_give(&held);
		pcpu_look_reserve();
		pcpu_blames(NULL);
		chunks_end(&held);
		down();
	}
}

void pcpu_reserve_is_first(void)
{
	for (unsigned i = 0; i < 4; i++) {
		struct chunks held = { 0 };
		struct chunk chunk;
		int error;

		machine_up(NULL);
		pcpu_begin();
		if (!chunk_take(&chunk, 40, 4, GFP_KERNEL))
			trouble("40 bytes are refused, with memory at hand");
		if (i % 2)
			chunk_give(&chunk);
		error = percpu_reserve_first(i < 2 ? 4096 : 8);
		kept("PCPU-18", error == -EBUSY, "reserve_first after an alloc%s returned %d",
		     i % 2 ? " and a free" : "", error);
		if (i % 2 == 0) {
			chunk_look(&chunk);
			chunk_give(&chunk);
		}
		chunks_drain_all(&held, NULL);
		kept("PCPU-18", !pcpu_free_bytes(), "reserve_first was refused, and %zu bytes are lost",
		     pcpu_free_bytes());
		chunks_give(&held);
		chunks_end(&held);
		down();
	}
}

void pcpu_reserve_is_no_allocation(void)
{
	struct loam_stat before, after;
	int error;

	machine_up(NULL);
	pcpu_begin();
	before = stat_now();
	error = pcpu_reserve(usual());
	kept("PCPU-16", !error, "reserve_first returned %d, with memory at hand", error);
	after = stat_now();
	kept("PCPU-19",
	     after.allocs == before.allocs && after.frees == before.frees && after.failures == before.failures,
	     "reserve_first is counted as an alloc, a free or a failure");
	kept("PCPU-19", after.live_blocks == before.live_blocks && after.live_bytes == before.live_bytes,
	     "reserve_first makes %llu live bytes", (unsigned long long)(after.live_bytes - before.live_bytes));
	pcpu_end();
	kept("PCPU-19", !machine_halt(), "what reserve_first claimed is told of at halt");
}

/* false: nothing failed. */
static bool reserve_with(void (*fail)(uint64_t), uint64_t nth, bool too_much)
{
	struct chunks held = { 0 };
	bool failed;
	int error;

	machine_up(NULL);
	pcpu_begin();
	fail(nth);
	error = too_much ? percpu_reserve_first(pcpu_size() + 1) : pcpu_reserve(usual());
	fail(0);
	failed = shim_counts().failed;
	kept("PCPU-20", error == -ENOMEM || (!error && !too_much), "reserve_first returned %d", error);
	chunks_drain_all(&held, NULL);
	kept("PCPU-20", !pcpu_free_bytes(), "reserve_first returned %d, and %zu bytes are lost", error,
	     pcpu_free_bytes());
	if (!error)
		pcpu_look_reserve();
	chunks_give(&held);
	chunks_end(&held);
	down();
	return failed;
}

void pcpu_reserve_fails_cleanly(void)
{
	for (uint64_t n = 1; reserve_with(shim_fail_port, n, false); n += job.effort < 4 ? 1 + n / 2 : 1)
		;
	for (uint64_t n = 1; reserve_with(shim_fail_meta, n, false); n++)
		;
	reserve_with(shim_fail_meta, 0, true);
}

/* ---- misuse ---- */

static void free_badly(size_t offset, const char *what)
{
	uint64_t before = reports_total();
	struct loam_stat was = stat_now(), now;

	percpu_free(offset);
	now = stat_now();
	kept("PCPU-22", reports_total() - before == 1, "free of offset %#zx, %s, is reported %llu times", offset, what,
	     (unsigned long long)(reports_total() - before));
	kept("PCPU-22", !memcmp(&was, &now, sizeof(was)), "free of offset %#zx, %s, changed the counters", offset,
	     what);
}

static void free_around(const struct chunk *chunk)
{
	static const size_t inside[] = { 1, 2, 4, 8, 12, 64, 4096 };

	for (unsigned i = 0; i < LOAM_LEN(inside); i++)
		if (inside[i] < chunk->bytes)
			free_badly(chunk->offset + inside[i], "inside a live allocation");
	chunk_look(chunk);
}

void pcpu_bad_free(void)
{
	struct chunks held = { 0 };
	struct chunk chunk, twice;

	up_with(0);
	pcpu_blames("PCPU-22");
	reports_expected();
	pcpu_churn(&held, 300, 100);
	for (size_t i = 0; i < held.n; i++)
		free_around(&held.at[i]);
	for (size_t i = 0; i < 60 && held.n; i++) {
		twice = chunks_pick(&held, &test_rng);
		chunk_give(&twice);
		free_badly(twice.offset, "freed before");
	}
	free_badly(0, "in what is claimed");
	free_badly(64, "in what is claimed");
	free_badly(pcpu_size(), "behind the unit");
	free_badly(pcpu_size() + 4, "behind the unit");
	free_badly(pcpu_size() * 3, "behind the unit");
	free_badly(SIZE_MAX - 3, "behind the unit");
	free_badly(pcpu_size() - 4, "where nothing ever was");
	pcpu_look_reserve();
	chunks_look(&held);
	/* No word was lost, and none is had twice. */
	chunks_drain_all(&held, NULL);
	kept("PCPU-22", !pcpu_free_bytes(), "bad frees lost %zu bytes", pcpu_free_bytes());
	chunk = chunks_pick(&held, &test_rng);
	chunk_give(&chunk);
	chunks_give(&held);
	chunks_end(&held);
	down();
}

/* ---- counters ---- */

static uint64_t bytes_of(const struct chunks *held)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < held->n; i++)
		bytes += (held->at[i].bytes + PCPU_WORD - 1) / PCPU_WORD * PCPU_WORD * pcpu_cpus();
	return bytes;
}

void pcpu_stat_agrees(void)
{
	struct chunks held = { 0 };
	struct loam_stat stat;

	pcpu_begin();
	for (unsigned i = 0; i < effort(30); i++) {
		pcpu_churn(&held, 40, 100);
		stat = stat_now();
		kept("PCPU-23", stat.live_blocks == held.n, "live_blocks is %llu, and %zu are held",
		     (unsigned long long)stat.live_blocks, held.n);
		kept("PCPU-23", stat.live_bytes == bytes_of(&held), "live_bytes is %llu, and %llu are held",
		     (unsigned long long)stat.live_bytes, (unsigned long long)bytes_of(&held));
	}
	chunks_give(&held);
	stat = stat_now();
	kept("PCPU-23", !stat.live_blocks && !stat.live_bytes, "nothing is held, and %llu bytes are live",
	     (unsigned long long)stat.live_bytes);
	chunks_end(&held);
	pcpu_end();
}
