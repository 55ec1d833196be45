/* SPDX-License-Identifier: MIT */
/* check.c: validate a configuration without starting anything. */
#include "cli.h"

static const char *const help[] = { "-o section.key=value", "change or add a key", "--help", "this text", NULL };

static int run(int argc, char **argv)
{
	struct loam__config *config;
	struct loam__graph *graph;
	struct cli_options options;
	int status = cli_options(&cli_check, argc, argv, "o", true, &options);

	if (status >= 0)
		return status;
	if (options.first + 1 != argc)
		return cli_usage(&cli_check, "expected one CONFIG");
	graph = cli_wire(argv[options.first], options.overrides, options.nr_overrides, &config);
	if (!graph)
		return 1;
	printf("%s: ok, %u instance%s\n", argv[options.first], graph->nr, graph->nr == 1 ? "" : "s");
	loam__graph_free(graph);
	loam__config_free(config);
	return 0;
}

const struct cli_command cli_check = { "check", "CONFIG [-o section.key=value]...",
				       "check a configuration without starting it", help, run };
