/* SPDX-License-Identifier: MIT */
/* main.c: the program loam: commands, options, help. */
#include "cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct cli_command *const commands[] = { &cli_list, &cli_info, &cli_check,   &cli_graph,
						      &cli_run,  &cli_exec, &cli_conform, &cli_new };

static void usage(FILE *out)
{
	fprintf(out, "usage: loam COMMAND [ARGUMENT]...\n"
		     "Allocators as plugins: boot a machine from a configuration and run real code on it.\n\n");
	for (unsigned i = 0; i < LOAM_LEN(commands); i++)
		fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(out, "\n  --help     this text; also behind a command\n  --version  version of the program and of the "
		     "plugin ABI\n");
}

void cli_help(const struct cli_command *command, FILE *out)
{
	fprintf(out, "usage: loam %s %s\n%s\n", command->name, command->usage, command->summary);
	for (const char *const *help = command->help; *help; help += 2)
		fprintf(out, "  %-24s %s\n", help[0], help[1]);
}

int cli_usage(const struct cli_command *command, const char *fmt, ...)
{
	va_list args;

	fprintf(stderr, "loam %s: ", command->name);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fprintf(stderr, "; see 'loam %s --help'\n", command->name);
	return 2;
}

struct loam__graph *cli_wire(const char *path, char *const *overrides, unsigned n, struct loam__config **config)
{
	struct loam__graph *graph = NULL;
	struct loam_diag diag;

	loam__diag_init(&diag);
	*config = path ? loam__config_file(path, &diag) : loam__config_text("default", loam__default_config, &diag);
	for (unsigned i = 0; *config && i < n; i++)
		loam__config_set(*config, overrides[i], &diag);
	graph = loam__wire(*config, &diag);
	loam__diag_print(&diag, stderr);
	loam__diag_clear(&diag);
	if (!graph) {
		loam__config_free(*config);
		*config = NULL;
	}
	return graph;
}

bool cli_static_tls(const struct loam__graph *graph)
{
	const char *now = getenv("GLIBC_TUNABLES");
	size_t want = 0;
	char *tunables;
	bool changed;

	for (unsigned i = 0; i < graph->nr; i++)
		want += graph->instances[i]->plugin->desc.static_tls;
	if (!want || (now && strstr(now, "glibc.rtld.optional_static_tls=")))
		return false;
	if (asprintf(&tunables, "%s%sglibc.rtld.optional_static_tls=%zu", now ? now : "", now && *now ? ":" : "",
		     want) < 0)
		return false;
	changed = !setenv("GLIBC_TUNABLES", tunables, 1);
	free(tunables);
	return changed;
}

static int add_override(const struct cli_command *command, struct cli_options *options, char *spec)
{
	if (options->nr_overrides == LOAM_LEN(options->overrides))
		return cli_usage(command, "more than %zu overrides", LOAM_LEN(options->overrides));
	options->overrides[options->nr_overrides++] = spec;
	return -1;
}

int cli_options(const struct cli_command *command, int argc, char **argv, const char *accept, bool mixed,
		struct cli_options *options)
{
	static const struct option longs[] = { { "help", no_argument, NULL, 'h' },
					       { "json", no_argument, NULL, 'j' },
					       { "format", required_argument, NULL, 'f' },
					       { "summary", optional_argument, NULL, 's' },
					       { NULL, 0, NULL, 0 } };
	int option, status = -1;

	memset(options, 0, sizeof(*options));
	opterr = 0;
	optind = 1;
	while (status < 0 && (option = getopt_long(argc, argv, mixed ? ":ho:" : "+:ho:", longs, NULL)) >= 0) {
		if (option == 'h') {
			cli_help(command, stdout);
			status = 0;
		} else if (option == ':') {
			status = cli_usage(command, "'%s' wants a value", argv[optind - 1]);
		} else if (option == '?' || !strchr(accept, option)) {
			status = cli_usage(command, "unknown option '%s'", argv[optind - 1]);
		} else if (option == 'o') {
			status = add_override(command, options, optarg);
		} else if (option == 'j') {
			options->json = true;
		} else if (option == 'f') {
			options->format = optarg;
		} else {
			options->summary = optarg ? optarg : "-";
		}
	}
	options->first = optind;
	return status;
}

static const struct cli_command *find(const char *name)
{
	for (unsigned i = 0; i < LOAM_LEN(commands); i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static int unknown(const char *name)
{
	const char *names[LOAM_LEN(commands) + 1] = { NULL }, *near;

	for (unsigned i = 0; i < LOAM_LEN(commands); i++)
		names[i] = commands[i]->name;
	near = loam__nearest(name, names);
	fprintf(stderr, "loam: unknown command '%s'%s%s%s; see 'loam --help'\n", name, near ? "; did you mean '" : "",
		near ? near : "", near ? "'?" : "");
	return 2;
}

char **cli_argv;

int main(int argc, char **argv)
{
	const struct cli_command *command;

	cli_argv = argv;
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("loam %s (plugin ABI %d.%d)\n", PACKAGE_VERSION, LOAM_ABI_MAJOR, LOAM_ABI_MINOR);
		return 0;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || (!strcmp(argv[1], "help") && argc == 2)) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "help")) {
		command = find(argv[2]);
		if (!command)
			return unknown(argv[2]);
		cli_help(command, stdout);
		return 0;
	}
	command = find(argv[1]);
	return command ? command->run(argc - 1, argv + 1) : unknown(argv[1]);
}
