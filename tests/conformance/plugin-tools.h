/* SPDX-License-Identifier: MIT */
/*
 * plugin-tools.h: what the tests for every plugin share: loads of blocks of whatever role, and what walk shows of them.
 *
 * plugin.c            results and counters                   plugin-inspect.c   walk, check, find, shrink, tell
 * plugin-context.c    locks, rights, memory of others        plugin-fault.c     memory that is short
 * plugin-lifetime.c   destroy, twins, many boots, areas      plugin-threads.c   threads
 * plugin-fork.c       children of fork                       filter.c           filters
 */
#ifndef LOAM_CONFORM_PLUGIN_TOOLS_H
#define LOAM_CONFORM_PLUGIN_TOOLS_H

#include "conform.h"

/** Blocks that one thread holds: numbers first, first + 1 ... of the role's mixed workload, as far as they were not given back. */
struct load {
	struct held *held;
	unsigned n, max;
	unsigned next;    /* number of the next block */
	uint64_t takes;   /* that succeeded, in blocks as the counters see them */
	uint64_t gives;   /* likewise */
	unsigned refused; /* takes that did not */
	struct rng rng;
};

/** @n, or less where blocks are frames, all of whose bytes are written and read: how much work is enough. */
unsigned work(unsigned n);

/** For at most @max blocks, with the numbers from @first on. trouble() when there is no memory for the records. */
struct load load_new(unsigned max, unsigned first);
void load_end(struct load *load);

/** Take one; false: refused, or @load is full. */
bool load_take(struct load *load, gfp_t gfp);
/** Take @n, or as many as are to be had; returns how many. Goes on after a refusal, for the next may be smaller. */
unsigned load_fill(struct load *load, unsigned n, gfp_t gfp);
/** Give one of them back, by chance; the newest; all of them. There must be one. */
void load_give(struct load *load);
void load_give_newest(struct load *load);
void load_give_all(struct load *load);
/** @n steps: takes and gives by chance, so that about half of @load->max are held. Contents are checked before each give. */
void load_churn(struct load *load, unsigned n, gfp_t gfp, const char *clause);

/** What was written is still there in all of them, or @clause is broken. */
void load_intact(const struct load *load, const char *clause);
/** The live blocks as the counters see them, and their usable bytes. */
uint64_t load_units(const struct load *load);
uint64_t load_bytes(const struct load *load);
bool held_intact(const struct held *held);

/** What the suite needs before it can take (caches); trouble() when that is refused. And after. */
void role_open(void);
void role_close(void);
/** Whether blocks of the subject lie in the machine's memory. */
bool in_machine(void);
/** Frames behind the subject: of its ports, or of the instance below. */
uint64_t footprint(void);
/** Ask the subject for all that it does not use, until it has no more. Returns the number of frames. */
unsigned long shrink_all(void);

/**
 * Keep the subject's file loaded from machine to machine, as it is in a program that has other uses of it; or let go of it again.
 * With the machine up.
 */
void stay_loaded(bool stay);
/**
 * Halt, when all was given back and closed: every block, frame and record that is left, and all else that halt and check find, breaks
 * @clause. @when: what happened before.
 */
void halt_clean(const char *clause, const char *when);

/* ---- light blocks: cheap to write and check, so that threads are inside ops most of the time ---- */

/** Find out the numbers of light blocks for @threads threads, once the role is open. */
void light_open(unsigned threads);
void light_close(void);
/** Number @i of the thread @index; 64 different ones. */
unsigned light_number(unsigned index, unsigned i);
/** Take and give @n of them, a few at a time, each checked before it is given back; a refusal breaks @clause too. */
void light_burst(unsigned index, unsigned n, const char *clause);

/* ---- walk ---- */

/** Condition WALK. */
bool has_walk(void);

/** The spans of a walk. */
struct spans {
	struct loam_span *span;
	unsigned n, max, live;
	uint64_t live_bytes;
};
struct spans spans_walk(void);
void spans_end(struct spans *spans);
/** Live blocks that a walk shows; of a page allocator, frames. */
uint64_t walk_units(void);
/** Where a span begins, in bytes from the machine's first frame; UINT64_MAX: outside. */
uint64_t span_at(const struct loam_span *span);

/* ---- the subject's counters against what a test did ---- */

/** Counters when the test began. */
struct books {
	struct loam_stat before;
};
struct books books_open(void);
/** @clause: live_blocks, allocs and frees since then are what @n loads say. */
void books_agree(const struct books *books, const struct load *loads, unsigned n, const char *clause);

extern const struct capability plugin_capabilities[];

#endif
