/* SPDX-License-Identifier: MIT */
/* list.c: the installed plugins. */
#include "cli.h"
#include "json.h"

static const char *const help[] = { "--json", "as JSON", "--help", "this text", NULL };

struct listing {
	struct json *json; /* NULL: text */
	unsigned nr;
};

static void put_text(const struct loam__plugin *plugin)
{
	char roles[100] = "";
	size_t n = 0;

	for (uint32_t i = 0; i < plugin->desc.nr_roles && n < sizeof(roles); i++)
		n += (size_t)snprintf(roles + n, sizeof(roles) - n, "%s%s", n ? "," : "",
				      loam__role_name(plugin->roles[i].role));
	printf("%-12s %-8s %-19s %s\n", plugin->desc.name, plugin->desc.version, roles, plugin->desc.summary);
}

static void put_json(struct json *json, const struct loam__plugin *plugin)
{
	json_string(json, "version", plugin->desc.version);
	json_string(json, "summary", plugin->desc.summary);
	json_open(json, "roles", '[');
	for (uint32_t i = 0; i < plugin->desc.nr_roles; i++)
		json_string(json, NULL, loam__role_name(plugin->roles[i].role));
	json_close(json, ']');
}

static void put_refused(struct listing *listing, const char *name, const struct loam_diag *diag)
{
	const char *why = diag->first && diag->first->text ? diag->first->text : "cannot be loaded";

	if (listing->json)
		json_string(listing->json, "refused", why);
	else
		printf("%-12s refused: %s\n", name, why);
}

static int show(void *arg, const char *name, const char *path)
{
	struct listing *listing = arg;
	struct loam__plugin *plugin;
	struct loam_diag diag;

	loam__diag_init(&diag);
	plugin = loam__plugin_load(path, NULL, 0, &diag);
	listing->nr++;
	if (listing->json) {
		json_open(listing->json, NULL, '{');
		json_string(listing->json, "name", name);
		json_string(listing->json, "path", path);
	}
	if (!plugin)
		put_refused(listing, name, &diag);
	else if (listing->json)
		put_json(listing->json, plugin);
	else
		put_text(plugin);
	if (listing->json)
		json_close(listing->json, '}');
	if (plugin)
		loam__plugin_put(plugin);
	loam__diag_clear(&diag);
	return 0;
}

static int run(int argc, char **argv)
{
	struct json json = { .out = stdout };
	struct cli_options options;
	struct listing listing = { NULL, 0 };
	int status = cli_options(&cli_list, argc, argv, "j", true, &options);

	if (status >= 0)
		return status;
	if (options.first < argc)
		return cli_usage(&cli_list, "unexpected argument '%s'", argv[options.first]);
	if (options.json) {
		listing.json = &json;
		json_open(&json, NULL, '[');
	}
	loam__plugin_each(show, &listing);
	if (options.json)
		json_close(&json, ']');
	else if (!listing.nr)
		fprintf(stderr, "loam: no plugins in LOAM_PLUGIN_PATH or %s\n", LOAM_PLUGIN_DIR);
	return 0;
}

const struct cli_command cli_list = { "list", "[--json]", "list the installed plugins", help, run };
