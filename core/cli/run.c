/* SPDX-License-Identifier: MIT */
/*
 * run.c: boot a machine, load modules, show what the kernel would show in /proc, unload them, halt it and tell of leaks.
 *
 * Modules need libloam-kernel, which is loaded then alone: other uses of the program have nothing of it.
 */
#include "cli.h"
#include "json.h"
#include "kernel/modules.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct loam__kernel_api *kernel; /* NULL: no modules */
static bool kernel_runs;

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

static void show_json(struct json *json)
{
	json_string(json, "version", PACKAGE_VERSION);
	json_number(json, "seed", loam__machine.seed);
	zones_json(json);
	json_open(json, "caches", '[');
	for (unsigned i = 0; i < loam__machine.graph->nr; i++)
		loam__caches(loam__machine.graph->instances[i], cache_json, json);
	json_close(json, ']');
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

static void show_text(void)
{
	printf("loam %s, seed %llu\n", PACKAGE_VERSION, (unsigned long long)loam__machine.seed);
	printf("== slabinfo\n");
	loam__slabinfo(stdout);
	printf("== buddyinfo\n");
	loam__buddyinfo(stdout);
	printf("== zoneinfo\n");
	loam__zoneinfo(stdout);
	if (kernel_runs) {
		printf("== vmallocinfo\n");
		kernel->vmallocinfo(stdout);
	}
	tell_all();
}

/* ---- modules ---- */

#define MODULES 64

static struct kmodule *modules[MODULES];
static unsigned nr_modules;

static bool load_kernel(struct loam_diag *diag)
{
	const char *path = getenv("LOAM_KERNEL_LIB");
	/* Global: modules take the kernel's names from it. */
	void *handle = dlopen(path ? path : LOAM_LIB_DIR "/libloam-kernel.so.0", RTLD_NOW | RTLD_GLOBAL);

	kernel = handle ? dlsym(handle, "loam__kernel_api") : NULL;
	if (!kernel)
		loam__diag_add(diag, NULL, 0, "cannot load libloam-kernel: %s", dlerror());
	return kernel;
}

/* "MODULE.so [name=value]... ..." from argv[@first] on. A module's name ends in .so and has no '='. */
static bool open_modules(int argc, char **argv, int first, struct loam_diag *diag)
{
	for (int i = first; i < argc;) {
		int params = i + 1;

		while (params < argc && strchr(argv[params], '='))
			params++;
		if (nr_modules == MODULES) {
			loam__diag_add(diag, argv[i], 0, "more than %d modules", MODULES);
			return false;
		}
		modules[nr_modules] = kernel->open(argv[i], argv + i + 1, (unsigned)(params - i - 1), diag);
		if (!modules[nr_modules])
			return false;
		nr_modules++;
		i = params;
	}
	return true;
}

static void close_modules(void)
{
	while (nr_modules)
		kernel->close(modules[--nr_modules]);
}

/* Kernel code comes up, and modules start in order. Returns how many did: all, unless something failed and was told. */
static unsigned start_modules(void)
{
	struct loam_diag diag;
	unsigned started = 0;
	int error;

	loam__diag_init(&diag);
	error = kernel->up(&diag);
	kernel_runs = !error;
	while (started < nr_modules && !error) {
		error = kernel->start(modules[started], &diag);
		if (error && !diag.count)
			fprintf(stderr, "loam run: module %u: init returned %d (%s)\n", started + 1, error,
				strerror(-error));
		started += !error;
	}
	loam__diag_print(&diag, stderr);
	loam__diag_clear(&diag);
	return started;
}

/* Stop those in the other order. Returns how many left something behind. */
static unsigned stop_modules(unsigned started)
{
	unsigned bad = 0;
	long frames;

	if (!kernel_runs)
		return 0;
	while (started)
		bad += kernel->stop(modules[--started]) != 0;
	if (kernel->down(&frames)) {
		/* Their code is in use: nothing can be taken from under them. */
		fflush(NULL);
		_exit(1);
	}
	if (frames)
		fprintf(stderr, "leak: modules left %ld frames in use\n", frames);
	return bad + (frames != 0);
}

/* ---- the command ---- */

/* These two return how much was left behind, or did not start. */
static unsigned run_text(void)
{
	unsigned started = nr_modules ? start_modules() : 0, bad = started != nr_modules, leaks;

	show_text();
	fflush(stdout);
	bad += stop_modules(started);
	printf("== halt\n");
	fflush(stdout);
	leaks = loam__halt(stdout);
	if (!leaks)
		printf("no leaks\n");
	return bad + leaks;
}

static unsigned run_json(void)
{
	unsigned started = nr_modules ? start_modules() : 0, bad = started != nr_modules, leaks;
	struct json json = { .out = stdout };

	json_open(&json, NULL, '{');
	show_json(&json);
	bad += stop_modules(started);
	leaks = loam__halt(stderr);
	json_number(&json, "leaks", leaks);
	json_close(&json, '}');
	return bad + leaks;
}

static int run(int argc, char **argv)
{
	struct loam__config *config;
	struct loam__graph *graph;
	struct cli_options options;
	struct loam_diag diag;
	unsigned bad;
	int status = cli_options(&cli_run, argc, argv, "oj", true, &options);

	if (status >= 0)
		return status;
	if (options.first == argc)
		return cli_usage(&cli_run, "expected CONFIG");
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
	if (options.first + 1 < argc && !(load_kernel(&diag) && open_modules(argc, argv, options.first + 1, &diag)))
		loam__graph_free(graph);
	else
		loam__boot(graph, &diag);
	if (diag.count) {
		loam__diag_print(&diag, stderr);
		loam__diag_clear(&diag);
		close_modules();
		loam__config_free(config);
		return 1;
	}
	bad = options.json ? run_json() : run_text();
	close_modules();
	loam__config_free(config);
	return bad ? 1 : 0;
}

const struct cli_command cli_run = { "run", "CONFIG [-o section.key=value]... [--json] [MODULE.so [name=value]...]...",
				     "boot a configuration, run kernel modules on it, show its memory, report leaks",
				     help, run };
