/* SPDX-License-Identifier: MIT */
/* cli.h: what the commands of the program share. Exit status: 0 good, 1 what was asked for failed, 2 wrong usage. */
#ifndef LOAM_CLI_H
#define LOAM_CLI_H

#include "machine.h"
#include "malloc/default.h"

#include <stdio.h>

struct cli_command {
	const char *name;
	const char *usage;                 /* "CONFIG [-o section.key=value]..." */
	const char *summary;               /* one line */
	const char *const *help;           /* NULL-ended pairs: option, what it does */
	int (*run)(int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct cli_command cli_conform, cli_list, cli_info, cli_check, cli_graph, cli_run, cli_exec, cli_new;

/** main's, for who must start again. */
extern char **cli_argv;

/** Print the command's help to @out. */
void cli_help(const struct cli_command *command, FILE *out);
/** One line "loam COMMAND: ..." with a hint at --help on standard error; returns 2. */
int cli_usage(const struct cli_command *command, const char *fmt, ...) LOAM_PRINTF(2, 3);

/**
 * Read @path (NULL: the built-in default), apply the @n overrides and wire. NULL with all messages printed. On success
 * *@config is the caller's to free after the graph.
 */
struct loam__graph *cli_wire(const char *path, char *const *overrides, unsigned n, struct loam__config **config);

/**
 * Static TLS that the plugins of @graph want for libraries which they load: put into GLIBC_TUNABLES for the next program. True
 * when that changed the environment: this process, once it re-executes itself, has it too.
 */
bool cli_static_tls(const struct loam__graph *graph);

/** Options that several commands have, taken out of argv by cli_options. */
struct cli_options {
	char *overrides[64]; /* -o */
	unsigned nr_overrides;
	bool json;
	const char *format;  /* graph */
	const char *summary; /* exec: NULL, "-" or a file */
	int first;           /* index of the first argument that is no option */
};

/**
 * Read the options of @command that stand in @accept ("o" overrides, "j" json, "f" format, "s" summary) up to the first
 * argument that is none, or all of them when @mixed. -1 to go on, else the exit status (--help: 0, wrong usage: 2).
 */
int cli_options(const struct cli_command *command, int argc, char **argv, const char *accept, bool mixed,
		struct cli_options *options);

#endif
