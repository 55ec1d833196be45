/* SPDX-License-Identifier: MIT */
/* report.c: what came out, for people on a terminal or in a log, and for programs as TAP, JUnit's XML and JSON. */
#include "run.h"

#include "cli/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_LINES 12
#define ALIKE 2 /* failures of one clause that are shown in full */

static const char *const verdict_names[] = { "not run", "passed", "failed", "skipped", "not claimed" };

/* ---- lists ---- */

static void list_json(const struct plan *plan)
{
	struct json json = { .out = stdout };

	json_open(&json, NULL, '[');
	for (unsigned i = 0; i < plan->nr; i++) {
		json_open(&json, NULL, '{');
		json_string(&json, "name", plan->entries[i].name);
		json_string(&json, "kind", kind_names[plan->entries[i].test->kind]);
		json_string(&json, "clauses", plan->entries[i].test->clauses);
		json_close(&json, '}');
	}
	json_close(&json, ']');
}

void report_list(const struct plan *plan)
{
	if (plan->options->json) {
		list_json(plan);
		return;
	}
	for (unsigned i = 0; i < plan->nr; i++)
		printf("%-44s %-13s %s\n", plan->entries[i].name, kind_names[plan->entries[i].test->kind],
		       plan->entries[i].test->clauses);
}

/* ---- while it runs ---- */

static bool on_terminal(const struct plan *plan)
{
	const struct options *o = plan->options;

	return isatty(STDERR_FILENO) && !o->tap && !o->verbose && !o->no_fork;
}

void report_progress(const struct plan *plan, unsigned done)
{
	if (on_terminal(plan))
		fprintf(stderr, "\r\033[K[%u/%u] %s", done + 1, plan->nr, plan->entries[done].name);
}

void report_entry(const struct plan *plan, unsigned i)
{
	const struct entry *entry = &plan->entries[i];

	if (on_terminal(plan) && i + 1 == plan->nr)
		fprintf(stderr, "\r\033[K");
	if (plan->options->verbose && !plan->options->json && !plan->options->tap) {
		printf("%-11s %-44s %.2f s%s%s\n", verdict_names[entry->verdict], entry->name, entry->seconds,
		       entry->verdict == SKIPPED ? "  " : "", entry->verdict == SKIPPED ? entry->text : "");
		fflush(stdout);
	}
}

/* ---- the command that repeats a test ---- */

static void put_word(FILE *out, const char *word)
{
	bool plain = *word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
						 "-_./=+:,@%")];

	if (plain) {
		fprintf(out, " %s", word);
		return;
	}
	fputs(" '", out);
	for (; *word; word++)
		fputs(*word == '\'' ? "'\\''" : (char[]){ *word, '\0' }, out);
	fputc('\'', out);
}

static void put_target(FILE *out, const struct target *target)
{
	for (unsigned i = 0; i < target->nr_with; i++) {
		fputs(" --with", out);
		put_word(out, target->with[i]);
	}
	put_word(out, target->what);
	for (unsigned i = 0; i < target->nr_values; i++)
		put_word(out, target->values[i]);
}

static void put_repeat(FILE *out, const struct plan *plan, const struct entry *entry)
{
	const struct options *o = plan->options;

	fprintf(out, "loam conform --seed %llu", (unsigned long long)o->seed);
	if (o->effort != 4)
		fprintf(out, " --time %s", o->effort == 1 ? "quick" : "long");
	if (o->script)
		fprintf(out, " --script %s", o->script);
	else
		fprintf(out, " --filter %s", entry->name);
	put_target(out, &o->target);
}

static char *repeat_text(const struct plan *plan, const struct entry *entry)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	put_repeat(out, plan, entry);
	fclose(out);
	return text;
}

/* ---- text ---- */

/* The last lines of what the test's process wrote, each behind a mark. */
static void put_lines(FILE *out, const char *text, const char *mark, unsigned most)
{
	unsigned lines = 0;

	for (const char *at = text; at && *at; at++)
		lines += *at == '\n';
	for (const char *at = text; at && *at; lines--) {
		size_t n = strcspn(at, "\n");

		if (lines <= most)
			fprintf(out, "%s%.*s\n", mark, (int)n, at);
		at += n + (at[n] == '\n');
	}
}

/* @text in lines of 100 columns, those behind the first with @indent; @column is where it begins. */
static void put_wrapped(FILE *out, const char *text, unsigned column, unsigned indent)
{
	for (const char *gap = ""; *text; gap = " ") {
		size_t n = strcspn(text, " ");

		if (*gap && column + n > 100) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
			gap = "";
		}
		fprintf(out, "%s%.*s", gap, (int)n, text);
		column += (unsigned)(n + strlen(gap));
		text += n + (text[n] == ' ');
	}
	fputc('\n', out);
}

static void put_failure(FILE *out, const struct plan *plan, const struct entry *entry)
{
	const struct clause *clause = clause_find(entry->clause);

	fprintf(out, "\n%s %s", entry->clause[0] ? "broken" : "trouble", entry->clause);
	if (clause) {
		int column = fprintf(out, " (%s, %s): ", clause->subject, clause->group);

		put_wrapped(out, clause->text, 8 + (unsigned)column, 2);
	}
	fprintf(out, "%s  in %s: %s\n", clause ? "" : "\n", entry->name, entry->text);
	if (entry->script) {
		fprintf(out, "  the shortest sequence found, %u calls%s%s:\n", entry->calls,
			entry->saved ? ", saved as " : "", entry->saved ? entry->saved : "");
		put_lines(out, entry->script, "    ", 50);
	}
	put_lines(out, entry->notes, "  ", 20);
	put_lines(out, entry->log, "  | ", LOG_LINES);
	fprintf(out, "  repeat: ");
	put_repeat(out, plan, entry);
	fputc('\n', out);
}

static void put_unclaimed(FILE *out, const struct plan *plan)
{
	bool any = false;

	for (unsigned i = 0; i < nr_clauses; i++) {
		if (clause_verdict(plan, &clauses[i]) != NOT_CLAIMED)
			continue;
		if (!any)
			fprintf(out, "\nnot claimed\n");
		any = true;
		/* What it is about is enough; the contract has the rest. */
		fprintf(out, "  %-9s %s%s%s%.70s...\n", clauses[i].id, clauses[i].capability ? "if " : "",
			clauses[i].capability ? clauses[i].capability : "", clauses[i].capability ? ": " : "",
			clauses[i].text);
	}
}

static const char *skip_reason(const struct plan *plan, const struct clause *clause)
{
	for (unsigned i = 0; i < plan->nr; i++)
		if (plan->entries[i].verdict == SKIPPED && test_names(plan->entries[i].test, clause->id))
			return plan->entries[i].text;
	return "";
}

static void put_skipped(FILE *out, const struct plan *plan)
{
	bool any = false;

	for (unsigned i = 0; i < nr_clauses; i++) {
		if (clause_verdict(plan, &clauses[i]) != CLAUSE_SKIPPED)
			continue;
		if (!any)
			fprintf(out, "\nskipped\n");
		any = true;
		fprintf(out, "  %-9s %s\n", clauses[i].id, skip_reason(plan, &clauses[i]));
	}
}

struct tally {
	unsigned clauses[CLAUSE_SKIPPED + 1];
	unsigned tests[UNCLAIMED + 1];
};

static struct tally count(const struct plan *plan)
{
	struct tally tally = { { 0 }, { 0 } };

	for (unsigned i = 0; i < nr_clauses; i++)
		tally.clauses[clause_verdict(plan, &clauses[i])]++;
	for (unsigned i = 0; i < plan->nr; i++)
		tally.tests[plan->entries[i].verdict]++;
	return tally;
}

static void put_subject(FILE *out, const struct plan *plan)
{
	const struct subject *s = plan->subjects;

	fprintf(out, "%s %s: %s\n", s->name, s->version, s->summary);
	fprintf(out, "loam %s, seed %llu, %s", PACKAGE_VERSION, (unsigned long long)plan->options->seed, "roles");
	for (int role = 0; role < LOAM_ROLE_COUNT; role++) {
		bool has = false;

		for (const struct subject *each = s; each; each = each->next)
			has = has || each->roles & LOAM_ROLE_BIT(role);
		if (has)
			fprintf(out, " %s", loam__role_name((enum loam_role_id)role));
	}
	if (s->variant)
		for (const struct subject *each = s; each; each = each->next)
			fprintf(out, "%s%s", each == s ? ", over " : " ", each->variant);
	fputc('\n', out);
}

/* One mistake is seen by many tests: the first ones of a clause are shown in full, and those with a sequence. */
static bool in_full(const struct plan *plan, unsigned i)
{
	unsigned earlier = 0;

	for (unsigned j = 0; j < i; j++)
		earlier +=
			plan->entries[j].verdict == FAILED && !strcmp(plan->entries[j].clause, plan->entries[i].clause);
	return plan->entries[i].script || earlier < ALIKE;
}

/* The failures that were left out, by name. */
static void put_more(FILE *out, const struct plan *plan)
{
	bool any = false;

	for (unsigned i = 0; i < plan->nr; i++) {
		if (plan->entries[i].verdict != FAILED || in_full(plan, i))
			continue;
		if (!any)
			fprintf(out, "\nbroken in more tests\n");
		any = true;
		fprintf(out, "  %-9s %s\n", plan->entries[i].clause, plan->entries[i].name);
	}
}

void report_text(const struct plan *plan, FILE *out)
{
	struct tally tally = count(plan);

	put_subject(out, plan);
	for (unsigned i = 0; i < plan->nr; i++)
		if (plan->entries[i].verdict == FAILED && in_full(plan, i))
			put_failure(out, plan, &plan->entries[i]);
	put_more(out, plan);
	put_unclaimed(out, plan);
	put_skipped(out, plan);
	fprintf(out, "\nclauses: %u kept, %u broken, %u not claimed, %u skipped\n", tally.clauses[KEPT],
		tally.clauses[BROKEN], tally.clauses[NOT_CLAIMED], tally.clauses[CLAUSE_SKIPPED]);
	fprintf(out, "tests: %u passed, %u failed, %u not claimed, %u skipped, in %.1f s\n", tally.tests[PASSED],
		tally.tests[FAILED], tally.tests[UNCLAIMED], tally.tests[SKIPPED], plan->seconds);
}

bool report_good(const struct plan *plan)
{
	struct tally tally = count(plan);

	return !tally.tests[FAILED] && !(plan->options->strict && tally.clauses[NOT_CLAIMED]);
}

/* ---- JSON ---- */

static const char *const clause_names[] = { "not run", "kept", "broken", "not claimed", "skipped" };

static void json_entry(struct json *json, const struct plan *plan, const struct entry *entry)
{
	json_open(json, NULL, '{');
	json_string(json, "name", entry->name);
	json_string(json, "kind", kind_names[entry->test->kind]);
	json_string(json, "result", verdict_names[entry->verdict]);
	json_number(json, "milliseconds", (uint64_t)(entry->seconds * 1000));
	if (entry->verdict == FAILED)
		json_string(json, "clause", entry->clause);
	if (entry->text)
		json_string(json, "text", entry->text);
	if (entry->script) {
		json_number(json, "calls", entry->calls);
		json_string(json, "script", entry->script);
	}
	if (entry->verdict == FAILED) {
		char *repeat = repeat_text(plan, entry);

		json_string(json, "repeat", repeat);
		free(repeat);
	}
	json_close(json, '}');
}

void report_json(const struct plan *plan, FILE *out)
{
	struct json json = { .out = out };
	const struct subject *s = plan->subjects;

	json_open(&json, NULL, '{');
	json_string(&json, "version", PACKAGE_VERSION);
	json_number(&json, "seed", plan->options->seed);
	json_string(&json, "plugin", s->name);
	json_string(&json, "plugin_version", s->version);
	json_bool(&json, "good", report_good(plan));
	json_open(&json, "clauses", '[');
	for (unsigned i = 0; i < nr_clauses; i++) {
		enum clause_verdict verdict = clause_verdict(plan, &clauses[i]);

		if (verdict == NOT_RUN)
			continue;
		json_open(&json, NULL, '{');
		json_string(&json, "id", clauses[i].id);
		json_string(&json, "result", clause_names[verdict]);
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_open(&json, "tests", '[');
	for (unsigned i = 0; i < plan->nr; i++)
		json_entry(&json, plan, &plan->entries[i]);
	json_close(&json, ']');
	json_close(&json, '}');
}

/* ---- TAP ---- */

void report_tap(const struct plan *plan, FILE *out)
{
	fprintf(out, "TAP version 13\n1..%u\n", plan->nr);
	for (unsigned i = 0; i < plan->nr; i++) {
		const struct entry *entry = &plan->entries[i];
		bool skipped = entry->verdict == SKIPPED || entry->verdict == UNCLAIMED;

		fprintf(out, "%sok %u - %s%s%s\n", entry->verdict == FAILED ? "not " : "", i + 1, entry->name,
			skipped ? " # SKIP " : "",
			entry->verdict == UNCLAIMED ? "not claimed"
			: skipped                   ? entry->text
						    : "");
		if (entry->verdict == FAILED)
			fprintf(out, "# %s: %s\n", entry->clause[0] ? entry->clause : "trouble", entry->text);
	}
}

/* ---- JUnit ---- */

static void put_xml(FILE *out, const char *text)
{
	for (; text && *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '<' || c == '>' || c == '&' || c == '"')
			fprintf(out, "&#%u;", c);
		else if (c >= 0x20 || c == '\n' || c == '\t')
			fputc(c, out);
	}
}

static void junit_entry(FILE *out, const struct entry *entry)
{
	const char *slash = strchr(entry->name, '/');

	fprintf(out, "  <testcase classname=\"loam.%.*s\" name=\"", (int)(slash - entry->name), entry->name);
	put_xml(out, slash + 1);
	fprintf(out, "\" time=\"%.3f\">", entry->seconds);
	if (entry->verdict == FAILED) {
		fprintf(out, "<failure type=\"%s\" message=\"", entry->clause[0] ? entry->clause : "trouble");
		put_xml(out, entry->text);
		fprintf(out, "\">");
		put_xml(out, entry->script);
		put_xml(out, entry->log);
		fprintf(out, "</failure>");
	} else if (entry->verdict != PASSED) {
		fprintf(out, "<skipped message=\"");
		put_xml(out, entry->verdict == UNCLAIMED ? "not claimed" : entry->text);
		fprintf(out, "\"/>");
	}
	fprintf(out, "</testcase>\n");
}

bool report_junit(const struct plan *plan, const char *file)
{
	struct tally tally = count(plan);
	FILE *out = fopen(file, "w");

	if (!out) {
		fprintf(stderr, "loam conform: %s: %s\n", file, strerror(errno));
		return false;
	}
	fprintf(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"loam conform ");
	put_xml(out, plan->subjects->name);
	fprintf(out, "\" tests=\"%u\" failures=\"%u\" skipped=\"%u\" time=\"%.3f\">\n", plan->nr, tally.tests[FAILED],
		tally.tests[SKIPPED] + tally.tests[UNCLAIMED], plan->seconds);
	for (unsigned i = 0; i < plan->nr; i++)
		junit_entry(out, &plan->entries[i]);
	fprintf(out, "</testsuite>\n");
	if (!fclose(out))
		return true;
	fprintf(stderr, "loam conform: %s: %s\n", file, strerror(errno));
	return false;
}
