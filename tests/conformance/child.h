/* SPDX-License-Identifier: MIT */
/*
 * child.h: between the runner and the process of a test.
 *
 * The process writes what it has to say as lines into a memory file that the runner opened: a crash loses nothing that was
 * written before it. A line is "KIND\tID\tTEXT"; the last one of a test that came to its end is "done".
 */
#ifndef LOAM_CONFORM_CHILD_H
#define LOAM_CONFORM_CHILD_H

#include "conform.h"

/** The body of the process: limits, machine, test, halt. Returns when the test came to its end. */
void child_run(void);

/** A file for results; -1: none. */
int child_results(void);
/** In a process that a test made to run a part of it: tells into @results, and has @seconds. Ends with child_end. */
void child_again(int results, unsigned seconds);
/** The test came to its end. */
void child_end(void);
/** The test's own time does not count any more: its parts have theirs. */
void child_no_timers(void);

/** Write a line. Async-signal-safe but for formatting: give it finished text. */
void child_line(const char *kind, const char *id, const char *text);

/* ---- calls.c: what runs, in words, for the report of a crash. Async-signal-safe enough: snprintf into @buf. ---- */
void op_text(char *buf, size_t size);

/** Whether a fork is the test's own; else the subject made it. */
extern _Thread_local bool own_fork;

/** The clauses that the framework itself judges, whatever the test; see doc/contract/plugin.md. */
#define RETURNS "PLUG-01"             /* no crash, no end of the process, no loop, no process left behind */
#define LEAVES_NOTHING "PLUG-02"      /* frames, blocks and metadata are back at halt, and the counters say so */
#define HOLDS_WHAT_IT_GIVES "PLUG-03" /* what goes back through a port was held, and goes back once */
#define NO_LOCK_AT_RETURN "PLUG-04"
#define NO_LOCK_ACROSS_PORTS "PLUG-05"
#define LOCKS_RISE "PLUG-06"
#define NO_MORE_RIGHTS "PLUG-07" /* than the op was given */
#define NO_FALSE_ALARM "PLUG-08" /* nothing is reported of a client without fault */
#define SOUND "PLUG-09"          /* check finds no broken invariant */

/** What a role of the subject claims, from the probe: one bit for each line of the suite's capabilities. */
#define MAX_SUITES 32

/** What is judged: one plugin in one wiring. */
struct subject {
	struct subject *next;
	char *variant;  /* "slub": the lower instance of a filter; NULL */
	char *instance; /* section */
	char *config;   /* text */
	char *twin;     /* text of the sections of a second instance; NULL: there can be none, and why_no_twin */
	const char *why_no_twin;
	/* from the probe */
	uint32_t roles, flags;
	bool filter;
	bool memfd; /* it maps frames: its machines have a memfd, and no fork */
	uint64_t claims[MAX_SUITES];
	char name[32], version[32], summary[160];
};

/** How the plugin was named on the command line. */
struct target {
	const char *what;    /* PLUGIN.so, a plugin's name, or CONFIG#INSTANCE */
	char *const *values; /* key=value */
	unsigned nr_values;
	const char *with[16]; /* port=plugin */
	unsigned nr_with;
};
/**
 * All wirings in which @target is judged. Each was booted once, in a process of its own, to see what it claims. NULL: why not was
 * printed. subject.c
 */
struct subject *subjects_make(const struct target *target);
void subjects_free(struct subject *first);

/** Find out what @subject claims, with its machine up. machine.c and subject.c */
void subject_claims(struct subject *subject);

/** Whether the test misuses the subject. machine.c */
bool misuse_expected(void);

/* ---- shim.c and locks.c ---- */
void shim_attach(struct loam_self *self);
/** Before the machine boots and after it is down. */
void shim_reset(void);
void shim_detach(void);
void locks_watch(struct loam_host *table);
/** Locks of the subject that the calling thread holds; @name of the newest. */
unsigned locks_held(const char **name);
/** The rights of the op that runs on this thread; false: it has none to be measured by (create, shrink). */
bool op_rights(gfp_t *gfp);

#endif
