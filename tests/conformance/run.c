/* SPDX-License-Identifier: MIT */
/*
 * run.c: which tests, and each of them in a process of its own.
 *
 * Check starts the process, waits for it and ends it when it takes too long; one runner of Check for each test, so that what came
 * out can be told at once. The runner has no machine and no threads. It is the reaper of all processes below it: what a
 * plugin leaves behind comes to it, is counted and ended.
 */
#include "run.h"

#include <check.h>
#include <errno.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOG_SHOWN 4000

extern const struct suite *const __start_conform_suites[], *const __stop_conform_suites[];

const struct suite *const *suites(unsigned *n)
{
	*n = (unsigned)(__stop_conform_suites - __start_conform_suites);
	return __start_conform_suites;
}

const struct clause *clause_find(const char *id)
{
	for (unsigned i = 0; i < nr_clauses; i++)
		if (!strcmp(clauses[i].id, id))
			return &clauses[i];
	return NULL;
}

/* ---- which tests ---- */

/* Call @fn for each clause that @test names, until it returns true; returns that. */
static bool each_clause(const struct test *test, bool (*fn)(void *arg, const char *id), void *arg)
{
	char names[300], *rest = names, *id;

	snprintf(names, sizeof(names), "%s", test->clauses);
	while ((id = strsep(&rest, " ")))
		if (*id && fn(arg, id))
			return true;
	return false;
}

static bool same(void *arg, const char *id)
{
	return !strcmp(arg, id);
}

bool test_names(const struct test *test, const char *id)
{
	return each_clause(test, same, (void *)id);
}

static bool matches_clause(void *arg, const char *id)
{
	return !fnmatch(arg, id, FNM_CASEFOLD);
}

/* A pattern of the list names the test, with or without its role and variant, or one of its clauses. */
static bool selected(const char *patterns, const struct entry *entry)
{
	char copy[1000], *rest = copy, *pattern, plain[200];

	snprintf(copy, sizeof(copy), "%s", patterns);
	snprintf(plain, sizeof(plain), "%s", entry->name);
	plain[strcspn(plain, "@")] = '\0';
	while ((pattern = strsep(&rest, ",")))
		if (!fnmatch(pattern, entry->name, 0) || !fnmatch(pattern, plain, 0) ||
		    !fnmatch(pattern, entry->test->name, 0) || each_clause(entry->test, matches_clause, pattern))
			return true;
	return false;
}

static void add(struct plan *plan, const struct suite *owner, const struct suite *role, const struct test *test,
		struct subject *s)
{
	const struct options *o = plan->options;
	struct entry entry = { .test = test, .owner = owner, .role = role, .subject = s };
	bool each = s && (owner->general || owner->filter) && !(test->flags & ONCE);
	const char *group = each ? role->name : owner->name;

	if (o->role && strcmp(o->role, role->name))
		return;
	if (o->effort == 1 && test->flags & SLOW)
		return;
	if (asprintf(&entry.name, "%s/%s%s%s", group, test->name, s && s->variant ? "@" : "",
		     s && s->variant ? s->variant : "") < 0)
		return;
	if (o->filter && !selected(o->filter, &entry)) {
		free(entry.name);
		return;
	}
	plan->entries = reallocarray(plan->entries, plan->nr + 1, sizeof(*plan->entries));
	if (plan->entries)
		plan->entries[plan->nr++] = entry;
}

static void add_tests(struct plan *plan, const struct suite *owner, const struct suite *role, struct subject *s,
		      bool first)
{
	for (unsigned i = 0; i < owner->nr_tests; i++)
		if (first || !(owner->tests[i].flags & ONCE))
			add(plan, owner, role, &owner->tests[i], s);
}

static bool is_role(const struct suite *suite, const struct subject *s)
{
	return !suite->general && !suite->filter && (!s || s->roles & LOAM_ROLE_BIT(suite->role));
}

/* The tests of one suite on @s; NULL: for a list of all. Tests for every role run once for each that @s has. */
static void add_suite(struct plan *plan, const struct suite *suite, struct subject *s)
{
	unsigned n;
	const struct suite *const *all = suites(&n);
	bool first = true;

	if (!suite->general && !suite->filter) {
		if (is_role(suite, s))
			add_tests(plan, suite, suite, s, true);
		return;
	}
	if (suite->filter && s && !s->filter)
		return;
	for (unsigned i = 0; i < n && (s || first); i++)
		if (is_role(all[i], s)) {
			add_tests(plan, suite, all[i], s, first);
			first = false;
		}
}

static void add_subject(struct plan *plan, struct subject *s)
{
	unsigned n;
	const struct suite *const *all = suites(&n);

	for (unsigned i = 0; i < n; i++)
		add_suite(plan, all[i], s);
}

static void keep_shard(struct plan *plan)
{
	const struct options *o = plan->options;
	unsigned n = 0;

	for (unsigned i = 0; i < plan->nr; i++)
		if (i % o->shards == o->shard - 1)
			plan->entries[n++] = plan->entries[i];
		else
			free(plan->entries[i].name);
	plan->nr = n;
}

bool plan_make(struct plan *plan)
{
	if (!plan->subjects)
		add_subject(plan, NULL);
	for (struct subject *s = plan->subjects; s; s = s->next)
		add_subject(plan, s);
	if (plan->options->shards)
		keep_shard(plan);
	if (plan->nr || plan->options->shards)
		return true;
	fprintf(stderr, "loam conform: no test is left by --role and --filter; 'loam conform --list' shows all\n");
	return false;
}

/* ---- what the subject claims ---- */

/* Whether the subject claims what the clause stands on: the suite that has the clauses of its file knows. */
static bool claims(const struct subject *s, const struct clause *clause)
{
	unsigned n;
	const struct suite *const *all = suites(&n);

	for (unsigned i = 0; clause->capability && i < n && i < MAX_SUITES; i++) {
		const struct capability *caps = all[i]->capabilities;

		for (unsigned c = 0; !strcmp(all[i]->name, clause->subject) && caps && caps[c].name; c++)
			if (!strcmp(caps[c].name, clause->capability))
				return s->claims[i] >> c & 1;
	}
	if (clause->capability)
		fprintf(stderr, "loam conform: %s: no test knows the capability %s\n", clause->id, clause->capability);
	return true;
}

/* The test's first clause is what it is about. */
static bool claimed(const struct entry *entry)
{
	char id[40];
	const struct clause *clause;

	snprintf(id, sizeof(id), "%.*s", (int)strcspn(entry->test->clauses, " "), entry->test->clauses);
	clause = clause_find(id);
	return !clause || claims(entry->subject, clause);
}

/* ---- one test ---- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t mix(uint64_t seed, const char *text)
{
	struct rng rng = { seed };

	for (; *text; text++)
		rng.state = rng_next(&rng) ^ (unsigned char)*text;
	return rng_next(&rng);
}

START_TEST(run_child)
{
	child_run();
}
END_TEST

/* Processes below us that are still there: end them all. How many there were. */
static unsigned end_strays(void)
{
	unsigned n = 0;
	char path[64], list[4096];

	for (int round = 0; round < 1000; round++) {
		FILE *in;
		char *rest, *word;

		/* Check ended its own, and those of its group that were left. */
		while (waitpid(-1, NULL, WNOHANG) > 0)
			n++;
		snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
		in = fopen(path, "r");
		if (!in)
			return n;
		rest = fgets(list, sizeof(list), in);
		fclose(in);
		if (!rest)
			return n;
		while ((word = strsep(&rest, " \n")))
			if (*word && !kill((pid_t)atoi(word), SIGKILL))
				n++;
		while (waitpid(-1, NULL, 0) > 0)
			;
	}
	return n;
}

static char *read_all(int fd, off_t most)
{
	off_t size = lseek(fd, 0, SEEK_END), from = size > most ? size - most : 0;
	char *text = calloc(1, (size_t)(size - from) + 1);
	ssize_t n = text ? pread(fd, text, (size_t)(size - from), from) : -1;

	if (n >= 0)
		text[n] = '\0';
	return text;
}

static void entry_fails(struct entry *entry, const char *clause, const char *fmt, ...) LOAM_PRINTF(3, 4);
static void entry_fails(struct entry *entry, const char *clause, const char *fmt, ...)
{
	va_list args;

	/* The first thing that went wrong is the one to look at. */
	if (entry->verdict == FAILED)
		return;
	entry->verdict = FAILED;
	free(entry->text);
	snprintf(entry->clause, sizeof(entry->clause), "%s", clause);
	va_start(args, fmt);
	if (vasprintf(&entry->text, fmt, args) < 0)
		entry->text = NULL;
	va_end(args);
}

static void append(char **text, const char *line)
{
	char *longer;

	if (asprintf(&longer, "%s%s\n", *text ? *text : "", line) < 0)
		return;
	free(*text);
	*text = longer;
}

static void read_line(struct entry *entry, const char *kind, const char *id, const char *text, unsigned *done)
{
	if (!strcmp(kind, "done")) {
		++*done;
	} else if (!strcmp(kind, "skip") && entry->verdict == PENDING) {
		entry->verdict = SKIPPED;
		entry->text = strdup(text);
	} else if (!strcmp(kind, "script")) {
		append(&entry->script, text);
	} else if (!strcmp(kind, "saved")) {
		entry->saved = strdup(text);
	} else if (!strcmp(kind, "calls")) {
		entry->calls = (unsigned)strtoul(text, NULL, 10);
	} else if (!strcmp(kind, "note")) {
		append(&entry->notes, text);
	} else if (!strcmp(kind, "trouble")) {
		entry_fails(entry, "", "%s", text);
	} else if (strcmp(kind, "pid")) {
		entry_fails(entry, id, "%s", text);
	}
}

static unsigned read_results(struct entry *entry)
{
	char *text = read_all(job.results, 1 << 20), *rest = text, *line;
	unsigned done = 0;

	while (rest && (line = strsep(&rest, "\n"))) {
		char *kind = strsep(&line, "\t"), *id = strsep(&line, "\t");

		if (id)
			read_line(entry, kind, id, line ? line : "", &done);
	}
	free(text);
	return done;
}

/* What Check saw, for a process that could not say anything itself. */
static char *run_check(const struct entry *entry, bool fork)
{
	Suite *suite = suite_create(entry->name);
	TCase *tcase = tcase_create(entry->test->name);
	SRunner *runner = srunner_create(suite);
	TestResult **results;
	char *message = NULL;

	suite_add_tcase(suite, tcase);
	/* Above the test's own limit; a test with sequences gives each of them one. */
	tcase_set_timeout(tcase, job.seconds * PATIENCE + (entry->test->kind == MODEL ? 20 * job.effort + 60 : 5));
	tcase_add_test(tcase, run_child);
	srunner_set_fork_status(runner, fork ? CK_FORK : CK_NOFORK);
	srunner_run_all(runner, CK_SILENT);
	results = srunner_results(runner);
	if (results && srunner_ntests_run(runner) == 1 && tr_rtype(results[0]) != CK_PASS)
		message = strdup(tr_msg(results[0]));
	free(results);
	srunner_free(runner);
	return message;
}

static unsigned time_limit(void)
{
	unsigned seconds = 8 + 2 * job.effort;

	return job.sanitizer ? 10 * seconds : seconds;
}

static void judge(struct entry *entry, const char *message, unsigned strays)
{
	unsigned done = read_results(entry);

	if (entry->verdict == PENDING && !done)
		entry_fails(entry, RETURNS, "%s",
			    message ? message : "the test's process ended, and not at the test's end");
	if (done > 1)
		entry_fails(entry, RETURNS, "the test came to its end %u times: the plugin makes processes", done);
	if (strays)
		entry_fails(entry, RETURNS, "%u processes were left behind", strays);
	if (entry->verdict == PENDING)
		entry->verdict = PASSED;
}

static bool sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#else
	const char *preload = getenv("LD_PRELOAD");

	return (preload && strstr(preload, "vgpreload")) || getenv("LOAM_SLOW");
#endif
}

static void run_entry(const struct plan *plan, struct entry *entry, uint64_t seed)
{
	const struct options *o = plan->options;
	double start = now();
	char *message;

	if (!claimed(entry)) {
		entry->verdict = UNCLAIMED;
		return;
	}
	job = (struct job){ .test = entry->test,
			    .suite = entry->role,
			    .subject = entry->subject,
			    .script = o->script,
			    .seed = mix(seed, entry->name),
			    .effort = o->effort,
			    .threads = o->threads,
			    .debugger = o->no_fork,
			    .sanitizer = sanitized(),
			    .results = child_results(),
			    .log = memfd_create("loam conform log", MFD_CLOEXEC) };
	job.seconds = time_limit();
	fflush(NULL);
	message = run_check(entry, !o->no_fork);
	judge(entry, message, end_strays());
	free(message);
	free(entry->log);
	entry->log = read_all(job.log, LOG_SHOWN);
	close(job.results);
	close(job.log);
	entry->seconds = now() - start;
}

/* ---- all of them ---- */

/* Until the time is over, the random tests again, with other seeds. */
static void run_on(struct plan *plan, double end)
{
	for (uint64_t round = 1; now() < end; round++) {
		bool any = false;

		for (unsigned i = 0; i < plan->nr && now() < end; i++) {
			struct entry *entry = &plan->entries[i];

			if (entry->test->kind != MODEL || entry->verdict != PASSED)
				continue;
			entry->verdict = PENDING;
			run_entry(plan, entry, plan->options->seed + round);
			any = true;
		}
		if (!any)
			return;
	}
}

void plan_run(struct plan *plan)
{
	double start = now();

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (unsigned i = 0; i < plan->nr; i++) {
		report_progress(plan, i);
		run_entry(plan, &plan->entries[i], plan->options->seed);
		report_entry(plan, i);
	}
	if (plan->options->seconds)
		run_on(plan, start + (double)plan->options->seconds);
	plan->seconds = now() - start;
}

void plan_free(struct plan *plan)
{
	for (unsigned i = 0; i < plan->nr; i++) {
		struct entry *entry = &plan->entries[i];

		free(entry->name);
		free(entry->text);
		free(entry->script);
		free(entry->saved);
		free(entry->notes);
		free(entry->log);
	}
	free(plan->entries);
	subjects_free(plan->subjects);
}

/* ---- clauses ---- */

bool entry_breaks(const struct entry *entry, const char *id)
{
	if (entry->verdict != FAILED)
		return false;
	/* A process that crashed breaks what the test was about, and the promise that an op returns. */
	return !strcmp(entry->clause, id) || (!strcmp(entry->clause, RETURNS) &&
					      !strncmp(entry->test->clauses, id, strcspn(entry->test->clauses, " ")) &&
					      strlen(id) == strcspn(entry->test->clauses, " "));
}

enum clause_verdict clause_verdict(const struct plan *plan, const struct clause *clause)
{
	enum clause_verdict verdict = NOT_RUN;

	for (unsigned i = 0; i < plan->nr; i++) {
		const struct entry *entry = &plan->entries[i];

		if (entry_breaks(entry, clause->id))
			return BROKEN;
		if (!test_names(entry->test, clause->id))
			continue;
		if ((entry->verdict == PASSED || entry->verdict == UNCLAIMED) && !claims(entry->subject, clause))
			verdict = verdict == KEPT ? KEPT : NOT_CLAIMED;
		else if (entry->verdict == PASSED)
			verdict = KEPT;
		else if (entry->verdict == SKIPPED && verdict == NOT_RUN)
			verdict = CLAUSE_SKIPPED;
	}
	return verdict;
}
