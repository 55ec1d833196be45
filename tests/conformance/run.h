/* SPDX-License-Identifier: MIT */
/* run.h: the tests that are to run on the subjects, and what came out. */
#ifndef LOAM_CONFORM_RUN_H
#define LOAM_CONFORM_RUN_H

#include "child.h"

enum verdict { PENDING, PASSED, FAILED, SKIPPED, UNCLAIMED };

/** A test on a subject. */
struct entry {
	const struct test *test;
	const struct suite *owner; /* whose test it is */
	const struct suite *role;  /* of the role that it is run on */
	struct subject *subject;   /* NULL in a list without a plugin */
	char *name;                /* "heap/contents-survive@slub" */
	enum verdict verdict;
	char clause[40]; /* FAILED: what is broken; "" when the test itself could not go on */
	char *text;      /* FAILED, SKIPPED: how, why */
	char *script;    /* of a shrunk sequence, lines */
	char *saved;     /* where the script is */
	unsigned calls;  /* in it */
	char *notes;     /* what the test has to add, lines */
	char *log;       /* what it wrote to standard error and output; the end of it */
	double seconds;
};

struct options {
	struct target target;
	const char *role, *filter, *script, *junit;
	bool list, tap, json, strict, verbose, gdb, no_fork;
	uint64_t seed;
	unsigned effort, threads, shard, shards;
	unsigned long seconds; /* --time SECONDS: run on with new seeds */
};

struct plan {
	const struct options *options;
	struct subject *subjects;
	struct entry *entries;
	unsigned nr;
	double seconds; /* that all took */
};

/** Which tests: by role, filter, shard. false: a message was printed. */
bool plan_make(struct plan *plan);
/** Run them. */
void plan_run(struct plan *plan);
/** The entries and the subjects. */
void plan_free(struct plan *plan);

/** What came out for a clause over all tests. */
enum clause_verdict { NOT_RUN, KEPT, BROKEN, NOT_CLAIMED, CLAUSE_SKIPPED };
enum clause_verdict clause_verdict(const struct plan *plan, const struct clause *clause);
/** Whether @test has @id among its clauses. */
bool test_names(const struct test *test, const char *id);
bool entry_breaks(const struct entry *entry, const char *id);

/* ---- report.c ---- */
void report_list(const struct plan *plan);
/** While it runs: after each test. */
void report_progress(const struct plan *plan, unsigned done);
void report_entry(const struct plan *plan, unsigned i);
/** At the end. */
void report_text(const struct plan *plan, FILE *out);
void report_json(const struct plan *plan, FILE *out);
void report_tap(const struct plan *plan, FILE *out);
bool report_junit(const struct plan *plan, const char *file);
/** Whether everything is as it should be. */
bool report_good(const struct plan *plan);

#endif
