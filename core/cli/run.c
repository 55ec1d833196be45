/* SPDX-License-Identifier: MIT */
/* run.c: boot a machine, show what the kernel would show in /proc, halt it and tell of leaks. */
#include "cli.h"
#include "json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const help[] = {
	"-o section.key=value", "change or add a key", "--json", "numbers as JSON", "--help", "this text", NULL
};

static int cache_json(void *arg, const struct loam_cache_info *info)
{
	struct json *json = arg;

	json_open(json, NULL, '{');
	json_string(json, "name", info->name);
	json_number(json, "active_objs", info->active_objs);
	json_number(json, "num_objs", info->total_objs);
	json_number(json, "objsize", info->obj_size);
	json_number(json, "objperslab", info->objs_per_slab);
	json_number(json, "pagesperslab", info->pages_per_slab);
	json_number(json, "num_slabs", info->total_slabs);
	json_close(json, '}');
	return 0;
}

static void zones_json(struct json *json)
{
	json_open(json, "zones", '[');
	for (unsigned i = 0; i < LOAM_ZONES; i++) {
		const struct loam__zone *zone = &loam__machine.zones[i];

		if (!zone->present)
			continue;
		json_open(json, NULL, '{');
		json_string(json, "name", zone->pub.name);
		json_number(json, "start_pfn", zone->pub.start_pfn);
		json_number(json, "managed", zone->pub.managed);
		json_number(json, "free", zone->free);
		json_number(json, "min", zone->wmark_min);
		json_number(json, "low", zone->wmark_low);
		json_number(json, "high", zone->wmark_high);
		json_close(json, '}');
	}
	json_close(json, ']');
}

static unsigned run_json(void)
{
	struct json json = { .out = stdout };
	unsigned leaks;

	json_open(&json, NULL, '{');
	json_string(&json, "version", PACKAGE_VERSION);
	json_number(&json, "seed", loam__machine.seed);
	zones_json(&json);
	json_open(&json, "caches", '[');
	for (unsigned i = 0; i < loam__machine.graph->nr; i++)
		loam__caches(loam__machine.graph->instances[i], cache_json, &json);
	json_close(&json, ']');
	leaks = loam__halt(stderr);
	json_number(&json, "leaks", leaks);
	json_close(&json, '}');
	return leaks;
}

static void tell_line(void *arg, const char *text)
{
	(void)arg;
	printf("  %s\n", text);
}

static void tell_all(void)
{
	for (unsigned i = 0; i < loam__machine.graph->nr; i++) {
		struct loam_self *self = loam__machine.graph->instances[i];

		if (!self->plugin->desc.tell)
			continue;
		printf("== [%s] %s\n", self->name, self->plugin->desc.name);
		loam__tell(self, tell_line, NULL);
	}
}

static unsigned run_text(void)
{
	unsigned leaks;

	printf("loam %s, seed %llu\n", PACKAGE_VERSION, (unsigned long long)loam__machine.seed);
	printf("== slabinfo\n");
	loam__slabinfo(stdout);
	printf("== buddyinfo\n");
	loam__buddyinfo(stdout);
	printf("== zoneinfo\n");
	loam__zoneinfo(stdout);
	tell_all();
	printf("== halt\n");
	fflush(stdout);
	leaks = loam__halt(stdout);
	if (!leaks)
		printf("no leaks\n");
	return leaks;
}

static int run(int argc, char **argv)
{
	struct loam__config *config;
	struct loam__graph *graph;
	struct cli_options options;
	struct loam_diag diag;
	unsigned leaks;
	int status = cli_options(&cli_run, argc, argv, "oj", true, &options);

	if (status >= 0)
		return status;
	if (options.first + 1 < argc)
		return cli_usage(&cli_run, "'%s': this version loads no modules; expected one CONFIG",
				 argv[options.first + 1]);
	if (options.first == argc)
		return cli_usage(&cli_run, "expected one CONFIG");
	graph = cli_wire(argv[options.first], options.overrides, options.nr_overrides, &config);
	if (!graph)
		return 1;
	/* Only a new process has more static TLS. Nothing has been started yet. */
	if (cli_static_tls(graph)) {
		loam__graph_free(graph);
		loam__config_free(config);
		execv("/proc/self/exe", cli_argv);
		fprintf(stderr, "loam run: cannot start again with more static TLS: %s\n", strerror(errno));
		return 1;
	}
	loam__diag_init(&diag);
	if (loam__boot(graph, &diag)) {
		loam__diag_print(&diag, stderr);
		loam__diag_clear(&diag);
		loam__config_free(config);
		return 1;
	}
	leaks = options.json ? run_json() : run_text();
	loam__config_free(config);
	return leaks ? 1 : 0;
}

const struct cli_command cli_run = { "run", "CONFIG [-o section.key=value]... [--json]",
				     "boot a configuration, show its memory, halt it and report leaks", help, run };
