/* SPDX-License-Identifier: MIT */
/* main.c: the conformance runner: options. `loam conform` becomes this program. */
#include "run.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: loam conform [OPTION]... PLUGIN.so [key=value]...\n"
	"       loam conform [OPTION]... CONFIG#INSTANCE [key=value]...\n"
	"       loam conform --list [--json] [--role ROLE] [--filter PATTERN]\n"
	"Judge a plugin by the contract: which clauses of doc/contract it keeps, and for each that it breaks, how.\n\n"
	"  --with port=PLUGIN   what fills a port, instead of the reference (buddy, slub, slob)\n"
	"  --role ROLE          only the tests of this role\n"
	"  --filter PATTERN,... only tests with such a name, or a clause: 'heap/*', contents-survive, HEAP-07\n"
	"  --list               which tests there are\n"
	"  --seed N             of everything random; the report has it\n"
	"  --time quick|long|SECONDS\n"
	"                       less, or more; SECONDS: run on with new seeds until then\n"
	"  --threads N          threads of the threaded tests (4)\n"
	"  --shard I/N          the I-th of N parts, from 1\n"
	"  --strict             what is not claimed counts as broken\n"
	"  --script FILE        run the sequence of calls in FILE instead\n"
	"  --verbose            a line for each test\n"
	"  --tap                the report as TAP, on standard output\n"
	"  --json               the report as JSON, on standard output\n"
	"  --junit FILE         the same as JUnit's XML, beside the report\n"
	"  --gdb                the one test that is left, under gdb\n"
	"  --help               this text\n\n"
	"Exit status: 0 all clauses kept, 1 one was broken or the plugin did not start, 2 wrong usage.\n";

static int usage(const char *fmt, ...) LOAM_PRINTF(1, 2);
static int usage(const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "loam conform: ");
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "; see 'loam conform --help'\n");
	return 2;
}

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 0);
	return !errno && *text != '-' && end != text && !*end && *value >= min && *value <= max;
}

static bool read_time(const char *text, struct options *o)
{
	uint64_t seconds;

	if (!strcmp(text, "quick")) {
		o->effort = 1;
		return true;
	}
	if (!strcmp(text, "long")) {
		o->effort = 32;
		return true;
	}
	if (!number(text, 1, 1000000, &seconds))
		return false;
	o->seconds = seconds;
	return true;
}

static bool read_shard(const char *text, struct options *o)
{
	char *copy = strdup(text), *slash = copy ? strchr(copy, '/') : NULL;
	uint64_t i = 0, n = 0;
	bool good = false;

	if (slash) {
		*slash = '\0';
		good = number(slash + 1, 1, 10000, &n) && number(copy, 1, n, &i);
	}
	free(copy);
	o->shard = (unsigned)i;
	o->shards = (unsigned)n;
	return good;
}

static bool known_role(const char *name)
{
	unsigned n;
	const struct suite *const *all = suites(&n);

	for (unsigned i = 0; i < n; i++)
		if (!all[i]->general && !all[i]->filter && !strcmp(all[i]->name, name))
			return true;
	return false;
}

enum {
	WITH = 256,
	ROLE,
	FILTER,
	LIST,
	SEED,
	TIME,
	THREADS_,
	SHARD,
	STRICT,
	SCRIPT,
	VERBOSE,
	TAP,
	JSON,
	JUNIT,
	GDB,
	HELP,
	NO_FORK
};

static const struct option longs[] = {
	{ "with", 1, NULL, WITH },        { "role", 1, NULL, ROLE },       { "filter", 1, NULL, FILTER },
	{ "list", 0, NULL, LIST },        { "seed", 1, NULL, SEED },       { "time", 1, NULL, TIME },
	{ "threads", 1, NULL, THREADS_ }, { "shard", 1, NULL, SHARD },     { "strict", 0, NULL, STRICT },
	{ "script", 1, NULL, SCRIPT },    { "verbose", 0, NULL, VERBOSE }, { "tap", 0, NULL, TAP },
	{ "json", 0, NULL, JSON },        { "junit", 1, NULL, JUNIT },     { "gdb", 0, NULL, GDB },
	{ "help", 0, NULL, HELP },        { "no-fork", 0, NULL, NO_FORK }, { NULL, 0, NULL, 0 }
};

static int read_with(const char *text, struct options *o)
{
	if (!strchr(text, '=') || strchr(text, '=') == text)
		return usage("--with '%s': expected port=PLUGIN", text);
	if (o->target.nr_with == LOAM_LEN(o->target.with))
		return usage("more than %zu times --with", LOAM_LEN(o->target.with));
	o->target.with[o->target.nr_with++] = text;
	return -1;
}

/* One option; -1 to go on, else the exit status. */
static int read_option(int option, char *value, struct options *o)
{
	uint64_t n;

	switch (option) {
	case WITH:
		return read_with(value, o);
	case ROLE:
		o->role = value;
		return known_role(value) ? -1 : usage("--role '%s': there are no tests of such a role", value);
	case FILTER:
		o->filter = value;
		return -1;
	case LIST:
		o->list = true;
		return -1;
	case SEED:
		return number(value, 0, UINT64_MAX, &o->seed) ? -1 : usage("--seed '%s': expected a number", value);
	case TIME:
		return read_time(value, o) ? -1 : usage("--time '%s': expected quick, long or seconds", value);
	case THREADS_:
		if (!number(value, 2, 256, &n))
			return usage("--threads '%s': expected a number from 2 to 256", value);
		o->threads = (unsigned)n;
		return -1;
	case SHARD:
		return read_shard(value, o) ? -1 : usage("--shard '%s': expected I/N, with I from 1 to N", value);
	case SCRIPT:
		o->script = value;
		return -1;
	case JUNIT:
		o->junit = value;
		return -1;
	case STRICT:
		o->strict = true;
		return -1;
	case VERBOSE:
		o->verbose = true;
		return -1;
	case TAP:
		o->tap = true;
		return -1;
	case JSON:
		o->json = true;
		return -1;
	case GDB:
		o->gdb = true;
		return -1;
	case NO_FORK:
		o->no_fork = true;
		return -1;
	default:
		fputs(usage_text, stdout);
		return 0;
	}
}

static int read_options(int argc, char **argv, struct options *o)
{
	int option, status = -1;

	opterr = 0;
	while (status < 0 && (option = getopt_long(argc, argv, ":h", longs, NULL)) >= 0) {
		if (option == ':')
			return usage("'%s' wants a value", argv[optind - 1]);
		if (option == '?')
			return usage("unknown option '%s'", argv[optind - 1]);
		status = read_option(option, optarg, o);
	}
	if (status >= 0)
		return status;
	if (optind == argc && !o->list)
		return usage("expected a plugin or CONFIG#INSTANCE");
	if (o->script && o->list)
		return usage("--list and --script do not go together");
	o->target.what = argv[optind];
	o->target.values = argv + optind + 1;
	o->target.nr_values = argc > optind ? (unsigned)(argc - optind - 1) : 0;
	for (unsigned i = 0; i < o->target.nr_values; i++)
		if (!strchr(o->target.values[i], '='))
			return usage("'%s': expected key=value", o->target.values[i]);
	return -1;
}

/* A file of this folder is meant, not a plugin of the search path: its path, the caller's to free. NULL: as it is. */
static char *as_path(const char *what)
{
	size_t n = strlen(what);
	char *path;

	if (strchr(what, '/') || n < 3 || strcmp(what + n - 3, ".so") || asprintf(&path, "./%s", what) < 0)
		return NULL;
	return path;
}

/* ---- --script ---- */

static void run_script(void)
{
	sequence_script(job.suite->sequence, job.script);
}

/* The line "role NAME" says whose calls they are. */
static const struct suite *script_suite(const char *file)
{
	FILE *in = fopen(file, "r");
	char line[1000], role[40] = "";
	const struct suite *const *all;
	unsigned n;

	if (!in) {
		fprintf(stderr, "loam conform: %s: %s\n", file, strerror(errno));
		return NULL;
	}
	while (!role[0] && fgets(line, sizeof(line), in))
		if (sscanf(line, "role %39s", role) != 1)
			role[0] = '\0';
	fclose(in);
	all = suites(&n);
	for (unsigned i = 0; i < n; i++)
		if (all[i]->sequence && !strcmp(all[i]->sequence->name, role))
			return all[i];
	fprintf(stderr, "loam conform: %s: expected a line 'role NAME' with a role that has scripts\n", file);
	return NULL;
}

static bool plan_script(struct plan *plan, const char *file)
{
	static struct test test = { .name = "script", .run = run_script, .kind = MODEL, .flags = NO_MACHINE };
	static char none[] = RETURNS;
	const struct suite *suite = script_suite(file);

	test.clauses = none;
	for (struct subject *s = plan->subjects; suite && s; s = s->next) {
		struct entry entry = { .test = &test, .owner = suite, .role = suite, .subject = s };

		if (!(s->roles & LOAM_ROLE_BIT(suite->role)))
			continue;
		if (asprintf(&entry.name, "%s/script%s%s", suite->name, s->variant ? "@" : "",
			     s->variant ? s->variant : "") < 0)
			return false;
		plan->entries = reallocarray(plan->entries, plan->nr + 1, sizeof(*plan->entries));
		if (plan->entries)
			plan->entries[plan->nr++] = entry;
	}
	if (suite && !plan->nr)
		fprintf(stderr, "loam conform: %s has calls of the role %s, which the plugin has not\n", file,
			suite->name);
	return plan->nr != 0;
}

/* ---- --gdb ---- */

static int run_gdb(int argc, char **argv, const struct plan *plan)
{
	char **args, self[4096];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int n = 0;

	if (plan->nr != 1)
		return usage("--gdb wants one test, and %u are left by --role and --filter", plan->nr);
	args = calloc((size_t)argc + 6, sizeof(*args));
	if (!args || length < 0) {
		free(args);
		return 1;
	}
	self[length] = '\0';
	args[n++] = (char *)"gdb";
	args[n++] = (char *)"-q";
	args[n++] = (char *)"--args";
	args[n++] = self;
	args[n++] = (char *)"--no-fork";
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--gdb"))
			args[n++] = argv[i];
	execvp("gdb", args);
	fprintf(stderr, "loam conform: cannot run gdb: %s\n", strerror(errno));
	free(args);
	return 1;
}

/* ---- all of it ---- */

static uint64_t some_seed(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return ((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000) % 1000000000;
}

static int finish(const struct plan *plan)
{
	const struct options *o = plan->options;

	if (o->json)
		report_json(plan, stdout);
	else if (o->tap)
		report_tap(plan, stdout);
	else
		report_text(plan, stdout);
	if (o->junit && !report_junit(plan, o->junit))
		return 1;
	return report_good(plan) ? 0 : 1;
}

/* With everything read: list, or run and report. */
static int act(struct plan *plan, int argc, char **args)
{
	const struct options *o = plan->options;

	if (!(o->script ? plan_script(plan, o->script) : plan_make(plan)))
		return 1;
	if (o->list) {
		report_list(plan);
		return 0;
	}
	if (o->gdb)
		return run_gdb(argc, args, plan);
	plan_run(plan);
	return finish(plan);
}

int main(int argc, char **argv)
{
	struct options o = { .effort = 4, .threads = 4, .seed = some_seed() };
	struct plan plan = { .options = &o };
	char **args = calloc((size_t)argc + 1, sizeof(*args)); /* getopt sorts argv; gdb gets it as it was */
	char *path = NULL;
	int status;

	if (!args)
		return 1;
	memcpy(args, argv, (size_t)argc * sizeof(*args));
	status = read_options(argc, argv, &o);
	if (status < 0 && o.target.what) {
		path = as_path(o.target.what);
		o.target.what = path ? path : o.target.what;
		plan.subjects = subjects_make(&o.target);
		status = plan.subjects ? -1 : 1;
	}
	if (status < 0)
		status = act(&plan, argc, args);
	plan_free(&plan);
	free(path);
	free(args);
	return status;
}
