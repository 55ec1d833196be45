/* SPDX-License-Identifier: MIT */
/*
 * sequence.c: random sequences of calls against a model, and the smallest part of one that still breaks the clause.
 *
 * Each run of a sequence has a machine of its own in a process of its own, so a crash is one result among others, and a run
 * depends on nothing but its steps and the seed. A step that finds its slot not as it wants it does nothing: then every part
 * of a sequence is a sequence, and shrinking is leaving out: first what comes behind the failure, then halves, quarters, and so
 * on down to single steps, then smaller arguments.
 */
#include "child.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHRINK_RUNS 600
#define SHRINK_SECONDS 15
#define SHOWN 40 /* lines of a script in the report */

/** How a run ended. */
struct outcome {
	bool bad;
	char clause[40];
	char text[1000];
	unsigned at; /* step that was running; the number of steps: all had run */
};

struct run {
	const struct sequence_ops *ops;
	struct step *steps;
	unsigned n;
	int results;
	volatile unsigned *at; /* shared with the process that runs */
	unsigned seconds;
};

/* ---- one run ---- */

static void run_steps(const struct run *run)
{
	const struct setup setup = { .memfd = run->ops->flags & MEMFD, .memory = (size_t)run->ops->memory << 20 };

	if (run->ops->up)
		run->ops->up();
	else
		machine_up(&setup);
	run->ops->begin();
	for (unsigned i = 0; i < run->n; i++) {
		*run->at = i;
		run->ops->ops[run->steps[i].op].run(&run->steps[i]);
	}
	*run->at = run->n;
	run->ops->end();
	machine_down();
}

static void read_outcome(const struct run *run, int status, struct outcome *outcome)
{
	char buf[8192], *line, *rest = buf;
	ssize_t n = pread(run->results, buf, sizeof(buf) - 1, 0);
	bool done = false;

	*outcome = (struct outcome){ .at = *run->at };
	buf[n > 0 ? n : 0] = '\0';
	while ((line = strsep(&rest, "\n")) && !outcome->bad) {
		char *kind = strsep(&line, "\t"), *id = strsep(&line, "\t");

		if (!id || !strcmp(kind, "pid"))
			continue;
		done = done || !strcmp(kind, "done");
		if (!strcmp(kind, "trouble"))
			trouble("%s", line);
		if (!strcmp(kind, "skip"))
			skip("%s", line);
		if (!strcmp(kind, "done") || !strcmp(kind, "note"))
			continue;
		outcome->bad = true;
		snprintf(outcome->clause, sizeof(outcome->clause), "%s", id);
		snprintf(outcome->text, sizeof(outcome->text), "%s", line ? line : "");
	}
	if (outcome->bad || done)
		return;
	outcome->bad = true;
	snprintf(outcome->clause, sizeof(outcome->clause), "%s", RETURNS);
	snprintf(outcome->text, sizeof(outcome->text), "the process ended with %s %d",
		 WIFSIGNALED(status) ? "signal" : "status",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static void run_once(struct run *run, struct outcome *outcome)
{
	int status = 0;
	pid_t pid;

	if (ftruncate(run->results, 0))
		trouble("cannot empty the results");
	*run->at = 0;
	fflush(NULL);
	own_fork = true;
	pid = fork();
	own_fork = false;
	if (pid < 0)
		trouble("no process for a sequence");
	if (!pid) {
		child_again(run->results, run->seconds);
		run_steps(run);
		child_end();
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0)
		;
	/* What the plugin may have left behind is the runner's to end. */
	read_outcome(run, status, outcome);
}

static void run_open(struct run *run, const struct sequence_ops *ops)
{
	memset(run, 0, sizeof(*run));
	run->ops = ops;
	run->seconds = job.seconds;
	run->results = child_results();
	run->at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run->results < 0 || run->at == MAP_FAILED)
		trouble("no memory for results");
}

static void run_close(struct run *run)
{
	munmap((void *)run->at, 4096);
	close(run->results);
	free(run->steps);
}

/* ---- drawing ---- */

static unsigned draw_op(const struct sequence_ops *ops, struct rng *rng)
{
	unsigned total = 0, i;
	uint64_t pick;

	for (i = 0; ops->ops[i].name; i++)
		total += ops->ops[i].weight;
	pick = rng_below(rng, total);
	for (i = 0; pick >= ops->ops[i].weight; i++)
		pick -= ops->ops[i].weight;
	return i;
}

static void draw(struct run *run, unsigned n, struct rng *rng)
{
	free(run->steps);
	run->steps = calloc(n, sizeof(*run->steps));
	run->n = n;
	if (!run->steps)
		trouble("no memory for %u steps", n);
	for (unsigned i = 0; i < n; i++) {
		run->steps[i].op = draw_op(run->ops, rng);
		if (run->ops->ops[run->steps[i].op].draw)
			run->ops->ops[run->steps[i].op].draw(rng, &run->steps[i]);
	}
}

/* ---- shrinking ---- */

struct shrink {
	struct run *run;
	struct outcome best;
	unsigned runs;
	time_t end;
};

static bool budget(const struct shrink *shrink)
{
	return shrink->runs < SHRINK_RUNS && time(NULL) < shrink->end;
}

/* Whether @steps break the same clause; then they are the run's from now on. */
static bool still_breaks(struct shrink *shrink, const struct step *steps, unsigned n)
{
	struct run candidate = *shrink->run;
	struct outcome outcome;

	candidate.steps = (struct step *)steps;
	candidate.n = n;
	shrink->runs++;
	run_once(&candidate, &outcome);
	if (!outcome.bad || strcmp(outcome.clause, shrink->best.clause))
		return false;
	memmove(shrink->run->steps, steps, n * sizeof(*steps));
	shrink->run->n = n;
	shrink->best = outcome;
	return true;
}

static void cut_tail(struct shrink *shrink)
{
	if (shrink->best.at < shrink->run->n)
		still_breaks(shrink, shrink->run->steps, shrink->best.at + 1);
}

/* Leave out runs of @chunk steps, from the end. Whether any could go. */
static bool leave_out(struct shrink *shrink, struct step *copy, unsigned chunk)
{
	unsigned from;
	bool any = false;

	for (unsigned end = shrink->run->n; end && budget(shrink); end = from) {
		unsigned n = shrink->run->n;

		from = end > chunk ? end - chunk : 0;
		memcpy(copy, shrink->run->steps, from * sizeof(*copy));
		memcpy(copy + from, shrink->run->steps + end, (n - end) * sizeof(*copy));
		any = still_breaks(shrink, copy, n - (end - from)) || any;
	}
	return any;
}

/* Numbers that mean less work when they are smaller; the rest (flags, zones) stays as it was drawn. */
static bool may_shrink(const char *name)
{
	static const char *const names[] = { "bytes", "align", "n", "order", "count" };

	for (unsigned i = 0; i < LOAM_LEN(names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static void smaller_argument(struct shrink *shrink, struct step *copy, unsigned step, unsigned arg)
{
	uint64_t value = shrink->run->steps[step].args[arg], tries[] = { 1, value / 2, value - value / 4, value - 1 };
	const char *name = shrink->run->ops->ops[shrink->run->steps[step].op].args[arg];

	for (unsigned i = 0; i < LOAM_LEN(tries) && value > 1 && budget(shrink); i++) {
		/* A power of two stays one. */
		if (!tries[i] || tries[i] >= value || (i > 1 && !strcmp(name, "align")))
			continue;
		memcpy(copy, shrink->run->steps, shrink->run->n * sizeof(*copy));
		copy[step].args[arg] = tries[i];
		if (!still_breaks(shrink, copy, shrink->run->n))
			continue;
		smaller_argument(shrink, copy, step, arg);
		return;
	}
}

static void smaller_arguments(struct shrink *shrink, struct step *copy)
{
	for (unsigned i = 0; i < shrink->run->n; i++) {
		const struct sequence_op *op = &shrink->run->ops->ops[shrink->run->steps[i].op];

		for (unsigned a = 0; a < SEQUENCE_ARGS && op->args[a]; a++)
			if (may_shrink(op->args[a]))
				smaller_argument(shrink, copy, i, a);
	}
}

static void shrink_run(struct run *run, struct outcome *outcome)
{
	struct shrink shrink = { .run = run, .best = *outcome, .end = time(NULL) + SHRINK_SECONDS };
	struct step *copy = calloc(run->n + 1, sizeof(*copy));
	bool again = true;

	if (!copy)
		return;
	run->seconds = job.sanitizer ? 10 : 3; /* one that hangs is not waited for that long many times */
	cut_tail(&shrink);
	for (unsigned chunk = run->n / 2; chunk; chunk /= 2)
		leave_out(&shrink, copy, chunk);
	while (again && budget(&shrink))
		again = leave_out(&shrink, copy, 1);
	smaller_arguments(&shrink, copy);
	leave_out(&shrink, copy, 1);
	free(copy);
	*outcome = shrink.best;
}

/* ---- scripts ---- */

static void print_step(const struct sequence_ops *ops, const struct step *step, char *buf, size_t size)
{
	const struct sequence_op *op = &ops->ops[step->op];
	int n = snprintf(buf, size, "%s", op->name);

	for (unsigned a = 0; a < SEQUENCE_ARGS && op->args[a]; a++)
		n += snprintf(buf + n, size - (size_t)n, " %s=%llu", op->args[a], (unsigned long long)step->args[a]);
}

static void save(const struct run *run, const struct outcome *outcome)
{
	char path[200], line[200];
	FILE *out;

	snprintf(path, sizeof(path), "conform-%s-%llx.script", run->ops->name, (unsigned long long)job.seed);
	out = fopen(path, "w");
	if (out)
		fprintf(out, "# breaks %s: %s\nrole %s\nseed %llu\n", outcome->clause, outcome->text, run->ops->name,
			(unsigned long long)job.seed);
	for (unsigned i = 0; i < run->n; i++) {
		print_step(run->ops, &run->steps[i], line, sizeof(line));
		if (out)
			fprintf(out, "%s\n", line);
		if (i < SHOWN)
			child_line("script", "", line);
		else if (i == SHOWN)
			child_line("script", "", "...");
	}
	if (out && !fclose(out))
		child_line("saved", "", path);
	snprintf(line, sizeof(line), "%u", run->n);
	child_line("calls", "", line);
}

void sequence_test(const struct sequence_ops *ops, unsigned steps)
{
	struct outcome outcome = { 0 };
	struct run run;

	child_no_timers(); /* each run has its own */
	run_open(&run, ops);
	for (unsigned round = 0; round < job.effort && !outcome.bad; round++) {
		draw(&run, steps, &test_rng);
		run_once(&run, &outcome);
	}
	if (!outcome.bad) {
		run_close(&run);
		return;
	}
	shrink_run(&run, &outcome);
	save(&run, &outcome);
	broken(outcome.clause, "%s", outcome.text);
}

/* ---- reading a script ---- */

static bool read_argument(const struct sequence_op *op, struct step *step, const char *word)
{
	const char *equals = strchr(word, '=');
	char *end;

	for (unsigned a = 0; equals && a < SEQUENCE_ARGS && op->args[a]; a++) {
		if (strlen(op->args[a]) != (size_t)(equals - word) ||
		    strncmp(op->args[a], word, (size_t)(equals - word)))
			continue;
		step->args[a] = strtoull(equals + 1, &end, 0);
		return equals[1] && !*end;
	}
	return false;
}

static void read_step(struct run *run, const char *file, unsigned number, char *line)
{
	char *word = strsep(&line, " ");
	struct step *step = &run->steps[run->n];
	const struct sequence_op *op;

	for (step->op = 0; run->ops->ops[step->op].name; step->op++)
		if (!strcmp(run->ops->ops[step->op].name, word))
			break;
	op = &run->ops->ops[step->op];
	if (!op->name)
		trouble("%s:%u: '%s' is no call of the role %s", file, number, word, run->ops->name);
	while ((word = strsep(&line, " ")))
		if (*word && !read_argument(op, step, word))
			trouble("%s:%u: '%s': expected one of the arguments of %s, as name=number", file, number, word,
				op->name);
	run->n++;
}

void sequence_script(const struct sequence_ops *ops, const char *file)
{
	FILE *in = fopen(file, "r");
	struct outcome outcome;
	char line[1000];
	unsigned number = 0;
	struct run run;

	if (!in)
		trouble("%s: %s", file, strerror(errno));
	child_no_timers();
	run_open(&run, ops);
	while (fgets(line, sizeof(line), in)) {
		number++;
		line[strcspn(line, "#\n")] = '\0';
		if (!line[strspn(line, " \t")] || !strncmp(line, "role ", 5) || !strncmp(line, "seed ", 5))
			continue;
		run.steps = reallocarray(run.steps, run.n + 1, sizeof(*run.steps));
		if (!run.steps)
			trouble("no memory for %u steps", run.n + 1);
		memset(&run.steps[run.n], 0, sizeof(*run.steps));
		read_step(&run, file, number, line);
	}
	fclose(in);
	if (job.debugger) {
		run_steps(&run);
		return;
	}
	run_once(&run, &outcome);
	if (outcome.bad)
		broken(outcome.clause, "call %u of %u: %s", outcome.at + 1 < run.n ? outcome.at + 1 : run.n, run.n,
		       outcome.text);
	run_close(&run);
}
