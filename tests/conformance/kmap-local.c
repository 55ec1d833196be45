/* SPDX-License-Identifier: MIT */
/* kmap-local.c: tests of the local slots: what they show, their addresses, CPUs side by side. */
#include "kmap-tests.h"

#include <stdlib.h>
#include <unistd.h>

static struct page *any(struct rng *rng)
{
	return frames[rng_below(rng, FRAMES)];
}

static void *local_or(const char *clause, unsigned cpu, unsigned index, struct page *page)
{
	void *window = kmap_map_local(cpu, index, page);

	kept(clause, window, "map_local of CPU %u, index %u is refused", cpu, index);
	return window;
}

/* ---- cost ---- */

static bool came_back; /* atomic */

static void *map_while_locked(void *arg)
{
	(void)arg;
	for (unsigned cpu = 0; cpu < nr_cpus(); cpu++) {
		local_or("KMAP-14", cpu, 0, frames[cpu]);
		kmap_unmap_local(cpu, 0);
	}
	__atomic_store_n(&came_back, true, __ATOMIC_RELEASE);
	return NULL;
}

/* All locks of the instance are held, so who takes one does not come back. */
static void beside_held_locks(void)
{
	pthread_t thread;

	loam__quiesce();
	if (pthread_create(&thread, NULL, map_while_locked, NULL))
		trouble("no thread");
	for (unsigned i = 0; i < 2000 && !__atomic_load_n(&came_back, __ATOMIC_ACQUIRE); i++)
		usleep(1000);
	kept("KMAP-14", __atomic_load_n(&came_back, __ATOMIC_ACQUIRE), "map_local waits for a lock of the instance");
	loam__resume();
	pthread_join(thread, NULL);
}

void kmap_local_takes_no_lock(void)
{
	struct shim_counts before, now;

	frames_open();
	for (unsigned i = 0; i < effort(200); i++) {
		unsigned cpu = i % nr_cpus(), index = i % kmap_limits().local_slots;

		before = shim_counts();
		local_or("KMAP-14", cpu, index, any(&test_rng));
		now = shim_counts();
		kept("KMAP-14", now.window_calls - before.window_calls <= 1, "map_local calls the host %llu times",
		     (unsigned long long)(now.window_calls - before.window_calls));
		before = shim_counts();
		kmap_unmap_local(cpu, index);
		kept("KMAP-14", shim_counts().window_calls - before.window_calls <= 1,
		     "unmap_local calls the host often");
		kept("KMAP-14",
		     shim_counts().meta_allocs == now.meta_allocs && shim_counts().meta_live == now.meta_live,
		     "a local slot needs metadata");
	}
	if (subject->plugin->desc.threads == LOAM_THREADS_PARALLEL)
		beside_held_locks();
	frames_close();
}

/* ---- what they show ---- */

void kmap_local_shows(void)
{
	unsigned local = kmap_limits().local_slots;

	frames_open();
	for (unsigned i = 0; i < FRAMES; i++)
		frame_word_set(frames[i], job.seed + i);
	for (unsigned i = 0; i < effort(500); i++) {
		unsigned cpu = (unsigned)rng_below(&test_rng, nr_cpus()), index = (unsigned)rng_below(&test_rng, local);
		struct page *page = frames[rng_below(&test_rng, i % 2 ? FRAMES : 4)];

		look_at_window("KMAP-15", local_or("KMAP-15", cpu, index, page), page);
		if (i % 7 == 0)
			shrink_now(~0ul);
		kmap_unmap_local(cpu, index);
	}
	frames_close();
}

struct used {
	char *window;
	struct page *page;
};

/* All slots of all CPUs; then what is shown in one after the others came and went. */
static struct used *use_all(const char *clause, bool same)
{
	unsigned local = kmap_limits().local_slots;
	struct used *used = calloc((size_t)nr_cpus() * local, sizeof(*used));

	if (!used)
		trouble("no memory");
	for (unsigned i = 0; i < nr_cpus() * local; i++) {
		used[i].page = same ? frames[7] : frames[i % FRAMES];
		used[i].window = local_or(clause, i / local, i % local, used[i].page);
	}
	return used;
}

void kmap_local_addresses(void)
{
	unsigned local = kmap_limits().local_slots, slots = slots_or_skip();
	struct used *used, *again;

	frames_open();
	for (unsigned i = 0; i < slots; i++)
		map_or("KMAP-16", frames[i]);
	used = use_all("KMAP-16", true);
	for (unsigned i = 0; i < nr_cpus() * local; i++) {
		for (unsigned j = 0; j < i; j++)
			kept("KMAP-16", used[i].window != used[j].window, "two local slots have the address %p",
			     (void *)used[i].window);
		for (unsigned j = 0; j < slots; j++)
			kept("KMAP-16", kmap_address(frames[j]) != used[i].window,
			     "a local and a persistent window are at %p", (void *)used[i].window);
	}
	for (unsigned i = 0; i < nr_cpus() * local; i++)
		kmap_unmap_local(i / local, i % local);
	again = use_all("KMAP-16", false);
	for (unsigned i = 0; i < nr_cpus() * local; i++) {
		kept("KMAP-16", used[i].window == again[i].window, "a local slot was at %p, and is at %p",
		     (void *)used[i].window, (void *)again[i].window);
		kmap_unmap_local(i / local, i % local);
	}
	for (unsigned i = 0; i < slots; i++)
		kmap_unmap(frames[i]);
	free(used);
	free(again);
	frames_close();
}

void kmap_local_apart(void)
{
	unsigned local = kmap_limits().local_slots;

	frames_open();
	for (unsigned i = 0; i < FRAMES; i++)
		frame_word_set(frames[i], job.seed + i);
	for (unsigned round = 0; round < 2 * effort(1); round++) {
		struct used *used = use_all("KMAP-17", round % 2);
		unsigned n = nr_cpus() * local;

		for (unsigned i = 0; i < n; i++)
			look_at_window("KMAP-17", used[i].window, used[i].page);
		/* Every other one ends, and comes back with another page; persistent ones come and go. */
		for (unsigned i = 0; i < n; i += 2) {
			kmap_unmap_local(i / local, i % local);
			if (i % 4 == 0)
				continue;
			used[i].page = frames[FRAMES - 1 - i % 500];
			used[i].window = local_or("KMAP-17", i / local, i % local, used[i].page);
		}
		for (unsigned i = 0; i < FRAMES; i++) {
			map_or("KMAP-17", frames[i]);
			kmap_unmap(frames[i]);
		}
		shrink_now(~0ul);
		for (unsigned i = 0; i < n; i++)
			if (i % 4)
				look_at_window("KMAP-17", used[i].window, used[i].page);
		for (unsigned i = 0; i < n; i++)
			if (i % 4)
				kmap_unmap_local(i / local, i % local);
		free(used);
	}
	frames_close();
}

/* ---- CPUs at once ---- */

/* A stack of mappings, as kernel code has; each page a thread's own, so that its words can be trusted. */
static void run_cpu(void *arg, unsigned cpu)
{
	unsigned local = kmap_limits().local_slots, depth = local < 16 ? local : 16, share = FRAMES / nr_cpus();
	struct rng rng = { job.seed + cpu };
	volatile uint64_t *windows[16];
	unsigned at[16];

	(void)arg;
	for (unsigned round = 0; round < effort(200); round++) {
		unsigned n = 1 + (unsigned)rng_below(&rng, depth);

		for (unsigned i = 0; i < n; i++) {
			at[i] = cpu * share + (unsigned)rng_below(&rng, share);
			windows[i] = local_or("KMAP-17", cpu, i, frames[at[i]]);
			*windows[i] = at[i] + 1000;
		}
		for (unsigned i = n; i--;) {
			kept("KMAP-17", *windows[i] == at[i] + 1000, "CPU %u: local slot %u shows another page", cpu,
			     i);
			kmap_unmap_local(cpu, i);
		}
	}
}

void kmap_local_cpus_at_once(void)
{
	struct loam_stat stat;
	unsigned n = nr_cpus() < 8 ? nr_cpus() : 8;

	frames_open();
	threads_run_paused(n, run_cpu, NULL);
	stat = stat_now();
	kept("KMAP-17", !stat.live_blocks && stat.allocs == stat.frees, "nothing is mapped, and %llu blocks are live",
	     (unsigned long long)stat.live_blocks);
	frames_close();
}
