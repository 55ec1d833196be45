/* SPDX-License-Identifier: MIT */
/* percpu-model.c: allocations of the role percpu against a map of a unit's bytes; see percpu-model.h. */
#include "percpu-model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct {
	unsigned char *map; /* one a byte of the unit: 1 while it is taken; atomic, for threads */
	size_t size;
	unsigned cpus;
	char *bases[64];
	const char *blame;
	uint64_t seed; /* atomic */
	struct chunk reserve;
} model;

static const char *clause(const char *own)
{
	return model.blame ? model.blame : own;
}

void pcpu_blames(const char *id)
{
	model.blame = id;
}

/* ---- units ---- */

static void look_units(void)
{
	for (unsigned cpu = 0; cpu < model.cpus; cpu++) {
		char *base = percpu_base(cpu);

		kept("PCPU-03", base && !((uintptr_t)base & (LOAM_PAGE_SIZE - 1)), "the unit of CPU %u begins at %p",
		     cpu, (void *)base);
		for (unsigned other = 0; other < cpu; other++)
			kept("PCPU-03",
			     base + model.size <= model.bases[other] || model.bases[other] + model.size <= base,
			     "the units of CPU %u, at %p, and CPU %u, at %p, overlap", cpu, (void *)base, other,
			     (void *)model.bases[other]);
		model.bases[cpu] = base;
	}
}

void pcpu_begin(void)
{
	memset(&model, 0, sizeof(model));
	model.cpus = loam__machine.cpus;
	model.size = percpu_unit();
	model.seed = job.seed;
	kept("PCPU-08", model.size >= LOAM_PAGE_SIZE, "a unit has %zu bytes", model.size);
	look_units();
	model.map = mmap(NULL, model.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (model.map == MAP_FAILED)
		trouble("no memory for the map of a unit");
}

void pcpu_end(void)
{
	kept("PCPU-03", percpu_unit() == model.size, "a unit had %zu bytes, and has %zu now", model.size,
	     percpu_unit());
	for (unsigned cpu = 0; cpu < model.cpus; cpu++)
		kept("PCPU-03", percpu_base(cpu) == model.bases[cpu],
		     "the unit of CPU %u began at %p, and is at %p now", cpu, (void *)model.bases[cpu],
		     (void *)percpu_base(cpu));
	munmap(model.map, model.size);
	model.map = NULL;
}

unsigned pcpu_cpus(void)
{
	return model.cpus;
}

char *pcpu_at(unsigned cpu, size_t offset)
{
	return model.bases[cpu] + offset;
}

size_t pcpu_size(void)
{
	return model.size;
}

size_t pcpu_free_bytes(void)
{
	size_t n = 0;

	for (size_t at = 0; at + PCPU_WORD <= model.size; at += PCPU_WORD)
		if (!model.map[at] && !model.map[at + 1] && !model.map[at + 2] && !model.map[at + 3])
			n += PCPU_WORD;
	return n;
}

/* ---- one allocation ---- */

static void mark(size_t offset, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		kept(clause("PCPU-02"), !__atomic_exchange_n(&model.map[offset + i], 1, __ATOMIC_RELAXED),
		     "%zu bytes at offset %#zx: byte %zu is another's", bytes, offset, i);
}

static void unmark(size_t offset, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		__atomic_store_n(&model.map[offset + i], 0, __ATOMIC_RELAXED);
}

static void look_zero(size_t offset, size_t bytes, const char *id)
{
	for (unsigned cpu = 0; cpu < model.cpus; cpu++) {
		const char *at = pcpu_at(cpu, offset);

		/* All of them are like their neighbours, and the first one is zero. */
		if (loam_likely(!at[0] && !memcmp(at, at + 1, bytes - 1)))
			continue;
		for (size_t i = 0; i < bytes; i++)
			kept(id, !at[i], "%zu bytes at offset %#zx: byte %zu of CPU %u is %#x", bytes, offset, i, cpu,
			     (unsigned char)at[i]);
	}
}

static void write_copies(const struct chunk *chunk)
{
	for (unsigned cpu = 0; cpu < model.cpus; cpu++)
		pattern_write(pcpu_at(cpu, chunk->offset), chunk->bytes, chunk->seed + cpu);
}

static void look_copies(const struct chunk *chunk, const char *id)
{
	for (unsigned cpu = 0; cpu < model.cpus; cpu++) {
		size_t at = 0;

		kept(id, pattern_check(pcpu_at(cpu, chunk->offset), chunk->bytes, chunk->seed + cpu, &at),
		     "%zu bytes at offset %#zx: byte %zu of CPU %u is not what was written", chunk->bytes,
		     chunk->offset, at, cpu);
	}
}

static uint64_t next_seed(void)
{
	return __atomic_add_fetch(&model.seed, 64, __ATOMIC_RELAXED);
}

bool chunk_take(struct chunk *chunk, size_t bytes, size_t align, gfp_t gfp)
{
	size_t offset = SIZE_MAX;
	int error = percpu_alloc(bytes, align, gfp, &offset);

	kept(clause("PCPU-01"), !error || error == -ENOMEM, "alloc(%zu, %zu) returned %d", bytes, align, error);
	if (error)
		return false;
	kept(clause("PCPU-01"), offset < model.size && bytes <= model.size - offset,
	     "%zu bytes are at offset %#zx; a unit has %#zx", bytes, offset, model.size);
	for (unsigned cpu = 0; cpu < model.cpus; cpu++)
		kept(clause("PCPU-04"), !((uintptr_t)pcpu_at(cpu, offset) & (align - 1)),
		     "%zu bytes aligned to %zu are at offset %#zx", bytes, align, offset);
	mark(offset, bytes);
	look_zero(offset, bytes, clause("PCPU-05"));
	*chunk = (struct chunk){ offset, bytes, next_seed() };
	write_copies(chunk);
	return true;
}

void chunk_look(const struct chunk *chunk)
{
	look_copies(chunk, clause("PCPU-06"));
}

void chunk_give(struct chunk *chunk)
{
	chunk_look(chunk);
	unmark(chunk->offset, chunk->bytes);
	percpu_free(chunk->offset);
}

/* ---- many ---- */

void chunks_add(struct chunks *chunks, const struct chunk *chunk)
{
	if (chunks->n == chunks->room) {
		chunks->room = chunks->room ? 2 * chunks->room : 256;
		chunks->at = realloc(chunks->at, chunks->room * sizeof(*chunks->at));
		if (!chunks->at)
			trouble("no memory for %zu records", chunks->room);
	}
	chunks->at[chunks->n++] = *chunk;
}

struct chunk chunks_pick(struct chunks *chunks, struct rng *rng)
{
	size_t i = rng_below(rng, chunks->n);
	struct chunk chunk = chunks->at[i];

	chunks->at[i] = chunks->at[--chunks->n];
	return chunk;
}

size_t chunks_drain(struct chunks *chunks, size_t bytes)
{
	struct chunk chunk;
	size_t n = 0;

	for (; chunk_take(&chunk, bytes, PCPU_WORD, GFP_KERNEL | __GFP_NOWARN); n++)
		chunks_add(chunks, &chunk);
	return n;
}

void chunks_drain_all(struct chunks *chunks, size_t census[16])
{
	for (unsigned i = 0; PCPU_LARGEST >> i >= PCPU_WORD; i++) {
		size_t n = chunks_drain(chunks, PCPU_LARGEST >> i);

		if (census)
			census[i] = n;
	}
}

void chunks_look(const struct chunks *chunks)
{
	for (size_t i = 0; i < chunks->n; i++)
		chunk_look(&chunks->at[i]);
}

void chunks_give(struct chunks *chunks)
{
	while (chunks->n) {
		struct chunk chunk = chunks_pick(chunks, &test_rng);

		chunk_give(&chunk);
	}
}

void chunks_end(struct chunks *chunks)
{
	free(chunks->at);
	*chunks = (struct chunks){ 0 };
}

size_t draw_bytes(struct rng *rng)
{
	size_t most = model.size / 16 < PCPU_LARGEST ? model.size / 16 : PCPU_LARGEST;

	return rng_size(rng, rng_below(rng, 8) ? 600 : most);
}

size_t draw_align(struct rng *rng)
{
	return (size_t)1 << rng_below(rng, rng_below(rng, 4) ? 7 : 13);
}

void pcpu_churn(struct chunks *chunks, unsigned n, unsigned max)
{
	static const gfp_t ways[] = { GFP_KERNEL, GFP_KERNEL, GFP_NOIO, GFP_ATOMIC, GFP_NOWAIT };

	while (n--) {
		struct chunk chunk;

		if (rng_below(&test_rng, 2 * max) < chunks->n) {
			chunk = chunks_pick(chunks, &test_rng);
			chunk_give(&chunk);
		} else if (chunk_take(&chunk, draw_bytes(&test_rng), draw_align(&test_rng),
				      ways[rng_below(&test_rng, LOAM_LEN(ways))] | __GFP_NOWARN)) {
			chunks_add(chunks, &chunk);
		}
	}
}

/* ---- static variables ---- */

int pcpu_reserve(size_t bytes)
{
	int error = percpu_reserve_first(bytes);

	if (error)
		return error;
	kept("PCPU-16", bytes <= model.size, "%zu bytes were claimed, and a unit has %zu", bytes, model.size);
	look_zero(0, bytes, "PCPU-16");
	model.reserve = (struct chunk){ 0, bytes, next_seed() };
	/* Whole words may be left free behind it, the rest of its last one not. */
	memset(model.map, 1, bytes);
	write_copies(&model.reserve);
	return 0;
}

void pcpu_look_reserve(void)
{
	look_copies(&model.reserve, "PCPU-17");
}
