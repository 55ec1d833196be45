/* SPDX-License-Identifier: MIT */
/*
 * conform.h: what a test of the contract includes.
 *
 * The contract (doc/contract) is a list of clauses, each with a name such as HEAP-07. A test is a function of one file of this
 * folder; it runs in a process of its own, on a machine that was booted for it with the plugin under test, the subject. It calls
 * the subject through the functions below, says `kept(CLAUSE, condition, ...)` of what the contract promises, and gives back
 * what it took: then the machine halts, and whatever is left over breaks a clause too.
 *
 * A role brings one file of clauses (doc/contract/ROLE.md) and one of tests (ROLE.c here), which ends in a struct suite made
 * known by SUITE(). Tests of clauses that hold for every role are in plugin.c; they use the subject through the suite's
 * take, intact and give.
 *
 *   main.c     options                                     calls.c    calls of the subject's ops, watched
 *   run.c      which tests; each in its own process         shim.c     what the subject gets for host and ports: records, fails
 *   report.c   what came out, for people and programs       locks.c    locks of the subject: order, none held where none may be
 *   child.c    inside the process of a test: limits, end    sequence.c random sequences, their shrinking, scripts
 *   subject.c  from a plugin or a configuration to text     tools.c    random numbers, patterns, forks
 *   machine.c  boot and halt inside a test                  threads.c  threads of tests, which pause inside ops
 */
#ifndef LOAM_CONFORM_H
#define LOAM_CONFORM_H

#include "machine.h"

#include <loam/boot.h>
#include <loam/heap.h>
#include <loam/objects.h>
#include <loam/pages.h>
#include <loam/percpu.h>
#include <loam/vmap.h>

#include <pthread.h>

/* ---- the contract ---- */

/** A clause, from doc/contract; the table is generated. */
struct clause {
	const char *id;
	const char *subject;    /* file: "heap" */
	const char *group;      /* "contents" */
	const char *capability; /* "CAPABILITY", as the suite's table names it; NULL: core, cannot be opted out */
	const char *text;       /* in one line */
};
extern const struct clause clauses[];
extern const unsigned nr_clauses;
const struct clause *clause_find(const char *id);

/* ---- tests and suites ---- */

enum kind { EXAMPLE, MODEL, EXHAUSTION, FAULT, THREADS, LIFETIME, HOSTILE, INTROSPECTION };
extern const char *const kind_names[];

#define NO_MACHINE 1u /* the test boots its own, or none */
#define ONCE 2u       /* not for each role of the subject: for the first only */
#define SLOW 4u       /* left out by --time quick */
#define LEAVES 8u     /* blocks may be live at the end; the test answers for what halt says */
#define MEMFD 16u     /* on a machine backed by a memfd, with high memory; no fork there */

struct test {
	const char *name;    /* "contents-survive" */
	const char *clauses; /* those that it can find broken, separated by blanks. The first gives the condition */
	void (*run)(void);
	enum kind kind;
	unsigned flags;
	unsigned memory; /* MiB of the machine; 0: 32 */
};

/** A name of the contract's conditions, "if NAME". */
struct capability {
	const char *name;
	bool (*has)(void); /* asked with the machine up */
};

/** A block that a test holds, of whatever role. */
struct held {
	void *ptr;         /* NULL for high memory */
	struct page *page; /* role pages: the block */
	size_t bytes;      /* that may be used */
	struct loam_cache *cache;
	unsigned order;
	uint64_t seed;  /* of its contents */
	void *own;      /* the suite's */
	uint64_t units; /* as the counters see it; 0: one, or the frames of `page` */
};

struct sequence_ops;

/** All that a role brings. */
struct suite {
	enum loam_role_id role;
	const char *name;     /* of the file of clauses: "heap" */
	bool filter, general; /* tests of filters; tests for every role */
	bool slow;            /* a take or a give may be a call of the system, or clears memory for each CPU */
	const struct test *tests;
	unsigned nr_tests;
	const struct capability *capabilities; /* ended by a NULL name */
	/**
	 * For the general tests. take: block number @i of a mixed workload, contents written from its seed: false when the
	 * subject refuses, then nothing is held. intact: whether the contents are. give: back.
	 * open and close, before and after: what take needs (caches); open may be refused. Any thread, once opened.
	 */
	bool (*open)(void);
	void (*close)(void);
	bool (*take)(struct held *held, unsigned i, gfp_t gfp);
	void (*give)(struct held *held);
	bool (*intact)(const struct held *held); /* NULL: the block is what lies at ptr, or in the frames of page */
	const struct sequence_ops *sequence;     /* for --script and the model-based tests */
};

/** Make a suite known to the runner. */
#define SUITE(suite)                                                                                                   \
	static const struct suite *const suite##_pointer                                                               \
		__attribute__((used, section("conform_suites"), aligned(sizeof(void *)))) = &(suite)
#define TESTS(array) .tests = (array), .nr_tests = LOAM_LEN(array)

/** Call @fn for each suite. */
const struct suite *const *suites(unsigned *n);

/* ---- the test that runs ---- */

/** What the runner tells a test. */
struct job {
	const struct test *test;
	const struct suite
		*suite; /* of the role under test: open, take, give; the same as the test's own but in general tests */
	const struct subject *subject;
	const char *script; /* --script: a file, or NULL */
	uint64_t seed;
	unsigned effort;  /* 1 with --time quick, 4 by default, 32 with --time long */
	unsigned threads; /* --threads */
	unsigned seconds; /* of work, after which the test is taken for one that hangs */
	bool debugger;    /* not in a process of its own */
	bool sanitizer;   /* or valgrind: everything is slower, and needs more addresses */
	bool ended;       /* the test came to its end */
	int results, log; /* file descriptors: what the test tells; its standard output and error */
};
extern struct job job;
/** A test may wait that many times as long as it may work. */
#define PATIENCE 6u

/** The clause @id is broken: says how, and ends the test. Any thread. */
void broken(const char *id, const char *fmt, ...) __attribute__((noreturn, format(printf, 2, 3)));
/** The clause is kept so far, or broken. */
#define kept(id, condition, ...)                                                                                       \
	do {                                                                                                           \
		if (loam_unlikely(!(condition)))                                                                       \
			broken(id, __VA_ARGS__);                                                                       \
	} while (0)
/** The test does not apply to this subject: says why, and ends it. */
void skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/** The test itself cannot go on (no memory for its own records, a reference backend that fails): an error of the suite. */
void trouble(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/** A line for the report of a failing test, for instance the script. */
void note(const char *fmt, ...) LOAM_PRINTF(1, 2);

/** @quick scaled by the effort. */
unsigned effort(unsigned quick);

/** Random numbers: one stream for the test from its seed; or one of your own. */
struct rng {
	uint64_t state;
};
extern struct rng test_rng; /* not for several threads */
uint64_t rng_next(struct rng *rng);
/** 0 to @n - 1; @n > 0. */
uint64_t rng_below(struct rng *rng, uint64_t n);
/** 1 to @max, each doubling as likely as the others. */
size_t rng_size(struct rng *rng, size_t max);

/** Fill @bytes at @ptr with a pattern of @seed; whether it is still there (else *@at is the first wrong byte). */
void pattern_write(void *ptr, size_t bytes, uint64_t seed);
bool pattern_check(const void *ptr, size_t bytes, uint64_t seed, size_t *at);
/** Of a frame of any memory, high memory too. */
void frame_write(struct page *page, unsigned order, uint64_t seed);
bool frame_check(struct page *page, unsigned order, uint64_t seed);

/* ---- the machine in a test ---- */

/** How a machine differs from the usual one: memory of test->memory, one instance, every frame there, anonymous memory. */
struct setup {
	size_t memory;     /* bytes; 0: the test's */
	const char *zones; /* as in [machine]; NULL: DMA and NORMAL */
	const struct loam__range
		*ram; /* the frames that exist; NULL: all. The subject's pages role has holes by default */
	unsigned nr_ram;
	bool memfd;
	bool twin;               /* a second instance, [twin], beside the subject */
	const char *const *sets; /* "section.key=value", ended by NULL */
};

/** The instance under test, and its twin. */
extern struct loam_self *subject, *twin;
/** Boot a machine with the subject. @setup may be NULL. trouble() when it does not start. */
void machine_up(const struct setup *setup);
/** The same; an error is returned, negative errno, its message in *@why. */
int machine_try(const struct setup *setup, const char **why);
/** Halt; every leak, defect, and frame not given back breaks its clause. */
void machine_down(void);
/** Halt with live blocks: how many lines of leaks and defects there were. */
unsigned machine_halt(void);
bool machine_is_up(void);

/** What was reported, by kind, since the machine booted; of the subject or the host. */
uint64_t reports(enum loam_report_kind kind);
uint64_t reports_total(void);
/** From here on reports are expected: they do not fail the test at its end. */
void reports_expected(void);

/* ---- calls of the subject, watched: no lock is held after one, and the call that crashes is known ---- */

void *heap_alloc(size_t bytes, size_t align, gfp_t gfp);
void *heap_zalloc(size_t bytes, size_t align,
		  gfp_t gfp); /* as a client does: clears itself where there is no such op */
/** As kfree does: by the owner of the frame; for foreign addresses through the foreign heap. */
void heap_free(void *ptr);
size_t heap_usable(const void *ptr);
bool heap_resize(void *ptr, size_t bytes); /* false where there is no such op */
/** As a client does: loops and undoes where there is no such op. */
unsigned heap_alloc_bulk(size_t bytes, gfp_t gfp, unsigned n, void **out);
void heap_free_bulk(unsigned n, void **ptrs);
const struct loam_heap_ops *heap_ops(void); /* of the subject, to see which are NULL */
struct loam_heap_limits heap_limits(void);

/** Through the host, as kmem_cache_create; args.size is filled in. NULL and errno. */
struct loam_cache *cache_new(struct loam_cache_args args);
int cache_end(struct loam_cache *cache);
void *cache_alloc(struct loam_cache *cache, gfp_t gfp);
void cache_free(struct loam_cache *cache, void *object);
unsigned cache_alloc_bulk(struct loam_cache *cache, gfp_t gfp, unsigned n, void **out);
void cache_free_bulk(struct loam_cache *cache, unsigned n, void **objects);
unsigned long cache_shrink(struct loam_cache *cache);
const struct loam_objects_ops *objects_ops(void);
struct loam_objects_limits objects_limits(void);

/** The plugin's own ops, past the host's policy: they try once, in one zone. */
struct page *pages_alloc(unsigned zone, unsigned order, unsigned flags);
void pages_free(unsigned zone, struct page *page, unsigned order);
unsigned pages_alloc_bulk(unsigned zone, unsigned n, struct page **out);
void pages_free_bulk(unsigned zone, unsigned n, struct page **pages);
void pages_counts(unsigned zone, unsigned long counts[LOAM_ORDERS]);
unsigned pages_orders(void);
uint32_t pages_caps(void);
const struct loam_pages_ops *pages_ops(void);

int percpu_alloc(size_t bytes, size_t align, gfp_t gfp, size_t *offset);
void percpu_free(size_t offset);
char *percpu_base(unsigned cpu);
size_t percpu_unit(void);
int percpu_reserve_first(size_t bytes);

/** Any role. */
struct loam_stat stat_now(void);
struct loam_stat stat_of(struct loam_self *self);
/** Walk the quiesced subject. -ENOTSUP when it has no walk. */
int walk_now(loam_walk_fn fn, void *arg);
/** Check every instance, quiesced; the number of broken invariants of the subject; *@text the first (may be NULL). */
unsigned check_now(const char **text);
unsigned long shrink_now(unsigned long pages);
/** What the subject's find says of @addr: 0, -ENOENT, -ENOTSUP when it has none. */
int find_now(const void *addr, struct loam_span *span);

/** Around a call that is made past the functions above: what runs, for the report of a crash; what must hold afterwards. */
void op_enter(const char *fmt, ...) LOAM_PRINTF(1, 2);
void op_leave(void);

/* ---- the shim: what the subject asks of the host ---- */

struct shim_counts {
	uint64_t meta_allocs, port_allocs; /* attempts */
	uint64_t meta_live, meta_bytes;    /* blocks, bytes held */
	uint64_t frames_live;              /* frames held from its ports */
	uint64_t port_live;                /* blocks and objects held from its ports */
	uint64_t failed;                   /* made to fail */
	uint64_t windows_live;             /* windows that are open */
	uint64_t window_calls;             /* calls that map or unmap: system calls, or more */
};
struct shim_counts shim_counts(void);
/**
 * The @nth allocation from now on fails, once (from 1; 0: none). For the subject alone. Opening a window and mapping in it count
 * as allocations of a port.
 */
void shim_fail_meta(uint64_t nth);
void shim_fail_port(uint64_t nth);
/** From the next machine on: counted from the subject's creation. */
void shim_fail_meta_at_create(uint64_t nth);
void shim_fail_port_at_create(uint64_t nth);
/** All allocations fail from now on, or no longer. */
void shim_fail_all(bool on);

/** While the subject has its areas visited (host->areas), @fn runs between two of them; NULL: no longer. */
void shim_between_areas(void (*fn)(void));

/* ---- threads ---- */

/** Run @fn(@arg, index) in @n threads at once; returns when all have ended. */
void threads_run(unsigned n, void (*fn)(void *arg, unsigned index), void *arg);
/** The same, and each of them pauses for a moment again and again, wherever it is: for races. Uses SIGUSR2. */
void threads_run_paused(unsigned n, void (*fn)(void *arg, unsigned index), void *arg);
/** Run @fn in a thread that ends before this returns. */
void thread_once(void (*fn)(void *arg), void *arg);
/** Run @fn in a child process made by fork(), which goes on with the machine; false when it failed, which it has reported. */
bool fork_run(void (*fn)(void));

/* ---- sequences: sequence.c ---- */

#define SEQUENCE_ARGS 4

/** One call of a sequence. */
struct step {
	unsigned op; /* index in the ops */
	uint64_t args[SEQUENCE_ARGS];
};

/** An op of a role's sequences. A step whose slot is not as it wants it does nothing, so that any part of a sequence is one. */
struct sequence_op {
	const char *name;                                 /* "alloc" */
	const char *args[SEQUENCE_ARGS + 1];              /* names: "slot", "bytes"; NULL-ended */
	unsigned weight;                                  /* how often, against the others */
	void (*draw)(struct rng *rng, struct step *step); /* arguments by chance */
	void (*run)(
		const struct step *step); /* on the machine that is up, and on the model: kept() where they differ */
};

struct sequence_ops {
	const char *name;              /* of the role */
	const struct sequence_op *ops; /* ended by a NULL name */
	void (*begin)(void);           /* on a fresh machine: an empty model */
	void (*end)(void);             /* everything back; what must hold then */
	unsigned flags;                /* of the machine: MEMFD */
	unsigned memory;               /* MiB */
	void (*up)(void);              /* boot another machine than flags and memory say; NULL: that one */
};

/**
 * Draw sequences of @steps calls and run each on a machine of its own in a process of its own. One that breaks a clause is
 * shrunk, printed and saved as a script. The body of a MODEL test (flags NO_MACHINE).
 */
void sequence_test(const struct sequence_ops *ops, unsigned steps);
/** The test behind --script. */
void sequence_script(const struct sequence_ops *ops, const char *file);

#endif
