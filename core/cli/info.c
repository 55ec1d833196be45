/* SPDX-License-Identifier: MIT */
/* info.c: all that a plugin declares. */
#include "cli.h"
#include "json.h"
#include "param.h"

#include <string.h>

static const char *const help[] = { "--json", "as JSON", "--help", "this text", NULL };

static bool has_op(const struct loam_role_decl *decl, const struct loam__op_name *op)
{
	const void *fn;

	memcpy(&fn, (const char *)decl->ops + op->offset, sizeof(fn));
	return fn != NULL;
}

static void ops_text(const struct loam_role_decl *decl, const struct loam__op_name *ops, bool present)
{
	for (; ops->name; ops++)
		if (has_op(decl, ops) == present)
			printf(" %s", ops->name);
}

static const char *threads_name(const struct loam_plugin *desc)
{
	return desc->threads == LOAM_THREADS_PARALLEL ? "parallel" : "serialised by the host";
}

static void roles_of_port(uint32_t roles, char *buf, size_t size)
{
	size_t n = 0;

	for (int role = 0; role < LOAM_ROLE_COUNT && n < size; role++)
		if (roles & LOAM_ROLE_BIT(role))
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? " or " : "", loam__role_name(role));
}

static void put_text(const struct loam__plugin *plugin)
{
	const struct loam_plugin *desc = &plugin->desc;
	char text[200];

	printf("%s %s: %s\n", desc->name, desc->version, desc->summary);
	printf("  file     %s\n  ABI      %u.%u, needs a host with %u.%u\n", plugin->path, plugin->abi_major,
	       plugin->abi_minor, plugin->abi_major, plugin->host_minor);
	printf("  threads  %s; local area %zu bytes\n", threads_name(desc), desc->area_size);
	for (uint32_t i = 0; i < desc->nr_roles; i++) {
		const struct loam__role *role = loam__role(desc->roles[i].role);

		printf("role %s\n  ops     ", role->name);
		ops_text(&desc->roles[i], role->must, true);
		ops_text(&desc->roles[i], role->may, true);
		printf("\n  default ");
		ops_text(&desc->roles[i], role->may, false);
		printf("\n");
	}
	for (uint32_t i = 0; i < desc->nr_ports; i++) {
		roles_of_port(desc->ports[i].roles, text, sizeof(text));
		printf("port %s: %s%s\n  %s\n", desc->ports[i].name, text,
		       desc->ports[i].flags & LOAM_PORT_OPTIONAL ? ", may be left out" : "", desc->ports[i].help);
	}
	for (uint32_t i = 0; i < desc->nr_params; i++) {
		const struct loam_param *param = &desc->params[i];

		printf("parameter %s = %s", param->name, loam__param_type_name(param, text, sizeof(text)));
		if (param->min || param->max)
			printf(" from %lld to %lld", (long long)param->min, (long long)param->max);
		printf(param->def ? ", default %s\n" : ", must be given\n", param->def);
		printf("  %s\n", param->help);
	}
}

static void json_ops(struct json *json, const struct loam_role_decl *decl, const char *key, bool present)
{
	const struct loam__role *role = loam__role(decl->role);

	json_open(json, key, '[');
	for (const struct loam__op_name *op = role->must; present && op->name; op++)
		json_string(json, NULL, op->name);
	for (const struct loam__op_name *op = role->may; op->name; op++)
		if (has_op(decl, op) == present)
			json_string(json, NULL, op->name);
	json_close(json, ']');
}

static void json_tables(struct json *json, const struct loam_plugin *desc)
{
	char text[200];

	json_open(json, "roles", '[');
	for (uint32_t i = 0; i < desc->nr_roles; i++) {
		json_open(json, NULL, '{');
		json_string(json, "name", loam__role_name(desc->roles[i].role));
		json_ops(json, &desc->roles[i], "ops", true);
		json_ops(json, &desc->roles[i], "default", false);
		json_close(json, '}');
	}
	json_close(json, ']');
	json_open(json, "ports", '[');
	for (uint32_t i = 0; i < desc->nr_ports; i++) {
		json_open(json, NULL, '{');
		json_string(json, "name", desc->ports[i].name);
		json_open(json, "roles", '[');
		for (int role = 0; role < LOAM_ROLE_COUNT; role++)
			if (desc->ports[i].roles & LOAM_ROLE_BIT(role))
				json_string(json, NULL, loam__role_name(role));
		json_close(json, ']');
		json_bool(json, "optional", desc->ports[i].flags & LOAM_PORT_OPTIONAL);
		json_bool(json, "lower", desc->ports[i].flags & LOAM_PORT_LOWER);
		json_string(json, "help", desc->ports[i].help);
		json_close(json, '}');
	}
	json_close(json, ']');
	json_open(json, "parameters", '[');
	for (uint32_t i = 0; i < desc->nr_params; i++) {
		json_open(json, NULL, '{');
		json_string(json, "name", desc->params[i].name);
		json_string(json, "type", loam__param_type_name(&desc->params[i], text, sizeof(text)));
		json_string(json, "default", desc->params[i].def);
		json_string(json, "help", desc->params[i].help);
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void put_json(const struct loam__plugin *plugin)
{
	struct json json = { .out = stdout };

	json_open(&json, NULL, '{');
	json_string(&json, "name", plugin->desc.name);
	json_string(&json, "version", plugin->desc.version);
	json_string(&json, "summary", plugin->desc.summary);
	json_string(&json, "path", plugin->path);
	json_number(&json, "abi_major", plugin->abi_major);
	json_number(&json, "abi_minor", plugin->abi_minor);
	json_number(&json, "host_minor", plugin->host_minor);
	json_string(&json, "threads", threads_name(&plugin->desc));
	json_number(&json, "area_size", plugin->desc.area_size);
	json_tables(&json, &plugin->desc);
	json_close(&json, '}');
}

static int run(int argc, char **argv)
{
	struct loam__plugin *plugin;
	struct cli_options options;
	struct loam_diag diag;
	int status = cli_options(&cli_info, argc, argv, "j", true, &options);

	if (status >= 0)
		return status;
	if (options.first + 1 != argc)
		return cli_usage(&cli_info, "expected one PLUGIN, a name or a path");
	loam__diag_init(&diag);
	plugin = loam__plugin_load(argv[options.first], NULL, 0, &diag);
	loam__diag_print(&diag, stderr);
	loam__diag_clear(&diag);
	if (!plugin)
		return 1;
	if (options.json)
		put_json(plugin);
	else
		put_text(plugin);
	loam__plugin_put(plugin);
	return 0;
}

const struct cli_command cli_info = { "info", "PLUGIN [--json]", "show what a plugin provides, needs and takes", help,
				      run };
