/* SPDX-License-Identifier: MIT */
/* module.c: modules: shared objects with module_init. */
#include "kernel.h"
#include "modules.h"
#include "param.h"

#include <asm/page.h>
#include <linux/module.h>

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

struct kmodule {
	struct kmodule *next;
	char name[MODULE_NAME_LEN];
	const char *path;
	void *handle;
	const struct loam_module_info *info;
	int (*early)(void);
	void (*exit)(void);
	uintptr_t start, end; /* where it is mapped */
	bool running;
};

static struct kmodule *modules; /* those that are open, in order */

/* ---- parameters ---- */

static bool is_type(const struct loam_module_param *param, const char *type)
{
	/* What stdbool.h makes of it. */
	return !strcmp(!strcmp(param->type, "_Bool") ? "bool" : param->type, type);
}

static const struct {
	const char *type;
	bool is_signed;
	unsigned bits;
} numbers[] = {
	{ "byte", false, 8 },  { "short", true, 16 }, { "ushort", false, 16 }, { "int", true, 32 },
	{ "uint", false, 32 }, { "long", true, 64 },  { "ulong", false, 64 },  { "ullong", false, 64 },
};

static void store(void *at, uint64_t value, unsigned bits)
{
	memcpy(at, &value, bits / 8); /* little-endian, as both machines are */
}

static bool set_number(const struct loam_module_param *param, void *at, const char *text)
{
	for (unsigned i = 0; i < LOAM_LEN(numbers); i++) {
		unsigned bits = numbers[i].bits;
		char *end;
		int64_t value;
		uint64_t magnitude;

		if (!is_type(param, numbers[i].type))
			continue;
		errno = 0;
		if (numbers[i].is_signed) {
			value = strtoll(text, &end, 0);
			if (bits < 64 && (value >= 1ll << (bits - 1) || value < -(1ll << (bits - 1))))
				return false;
			magnitude = (uint64_t)value;
		} else {
			magnitude = strtoull(text, &end, 0);
			if (*text == '-' || (bits < 64 && magnitude >> bits))
				return false;
		}
		if (errno || *end || end == text)
			return false;
		store(at, magnitude, bits);
		return true;
	}
	return false;
}

static bool set_bool(const struct loam_module_param *param, void *at, const char *text)
{
	bool yes = strchr("yY1", *text) || !strcmp(text, "on"), no = strchr("nN0", *text) || !strcmp(text, "off");

	if (!*text || yes == no)
		return false;
	*(bool *)at = yes != is_type(param, "invbool");
	return true;
}

static bool set_one(const struct loam_module_param *param, void *at, const char *text)
{
	if (is_type(param, "charp")) {
		*(const char **)at = text;
		return true;
	}
	if (is_type(param, "string")) {
		if (strlen(text) >= param->width)
			return false;
		strcpy(at, text);
		return true;
	}
	return is_type(param, "bool") || is_type(param, "invbool") ? set_bool(param, at, text)
								   : set_number(param, at, text);
}

static bool set_array(const struct loam_module_param *param, char *text)
{
	unsigned n = 0;
	char *rest = text, *word;

	while ((word = strsep(&rest, ",")))
		if (n == param->size || !set_one(param, (char *)param->value + n++ * param->width, word))
			return false;
	if (param->count)
		*param->count = n;
	return true;
}

/* "name=value"; a bool may go without the value. The text lives as long as the program. */
static bool set_param(const struct kmodule *module, char *spec, struct loam_diag *diag)
{
	char *equals = strchr(spec, '=');
	size_t n = equals ? (size_t)(equals - spec) : strlen(spec);
	const struct loam_module_param *param = module->info->params;
	const char *names[64], *nearest;
	unsigned nr = 0;

	for (; param < module->info->params_end; param++) {
		if (nr < LOAM_LEN(names) - 1)
			names[nr++] = param->name;
		if (strlen(param->name) != n || strncmp(param->name, spec, n))
			continue;
		if (equals ? (param->size ? set_array(param, equals + 1) : set_one(param, param->value, equals + 1))
			   : (is_type(param, "bool") && set_bool(param, param->value, "y")))
			return true;
		loam__diag_add(diag, module->path, 0, "parameter %s: '%s' is not a value of type %s%s", param->name,
			       equals ? equals + 1 : "", is_type(param, "bool") ? "bool" : param->type,
			       param->size ? ", or too many of them" : "");
		return false;
	}
	names[nr] = NULL;
	spec = strndup(spec, n);
	nearest = loam__nearest(spec ? spec : "", names);
	loam__diag_add(diag, module->path, 0, "module %s has no parameter '%s'%s%s%s", module->name, spec ? spec : "?",
		       nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
	free(spec);
	return false;
}

/* ---- files ---- */

static int find_bounds(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct kmodule *module = arg;
	bool found = false;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];

		if (ph->p_type == PT_LOAD && (uintptr_t)module->info - (info->dlpi_addr + ph->p_vaddr) < ph->p_memsz)
			found = true;
	}
	for (int i = 0; i < info->dlpi_phnum && found; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t from = info->dlpi_addr + ph->p_vaddr;

		if (ph->p_type != PT_LOAD)
			continue;
		if (!module->start || from < module->start)
			module->start = from;
		if (from + ph->p_memsz > module->end)
			module->end = from + ph->p_memsz;
	}
	return found;
}

static void name_it(struct kmodule *module, const char *path)
{
	const char *base = strrchr(path, '/');
	char *dot;

	snprintf(module->name, sizeof(module->name), "%s", base ? base + 1 : path);
	dot = strstr(module->name, ".so");
	if (dot)
		*dot = '\0';
}

static bool open_file(struct kmodule *module, const char *path, struct loam_diag *diag)
{
	char real[PATH_MAX];

	/* A name without a slash would be looked for among the system's libraries. */
	if (!realpath(path, real)) {
		loam__diag_add(diag, path, 0, "cannot open the module: %s", strerror(errno));
		return false;
	}
	module->handle = dlopen(real, RTLD_NOW | RTLD_LOCAL);
	if (!module->handle) {
		loam__diag_add(diag, path, 0, "cannot load the module: %s", dlerror());
		return false;
	}
	module->info = dlsym(module->handle, "loam_module_info");
	if (!module->info) {
		loam__diag_add(diag, path, 0, "not a module: it has no module_init");
		return false;
	}
	*(void **)&module->early = dlsym(module->handle, "loam_early_module");
	*(void **)&module->exit = dlsym(module->handle, "loam_module_exit");
	module->info->module->name = module->name;
	dl_iterate_phdr(find_bounds, module);
	return true;
}

static void run_early(void)
{
	loam_kernel_map = loam__machine.map;
	for (struct kmodule *m = modules; m; m = m->next)
		if (m->early && m->early())
			loam__log(LOAM_LOG_WARN, "early_initcall of %s failed", m->name);
}

struct kmodule *module_open(const char *path, char *const *params, unsigned n, struct loam_diag *diag)
{
	struct kmodule *module = calloc(1, sizeof(*module)), **last = &modules;
	bool good = module != NULL;

	if (!good) {
		loam__diag_add(diag, path, 0, "out of memory");
		return NULL;
	}
	module->path = path;
	name_it(module, path);
	good = open_file(module, path, diag);
	for (unsigned i = 0; i < n && good; i++)
		good = set_param(module, params[i], diag);
	if (!good) {
		if (module->handle)
			dlclose(module->handle);
		free(module);
		return NULL;
	}
	while (*last)
		last = &(*last)->next;
	*last = module;
	loam__on_early = run_early;
	return module;
}

void module_close(struct kmodule *module)
{
	for (struct kmodule **at = &modules; *at; at = &(*at)->next)
		if (*at == module) {
			*at = module->next;
			break;
		}
	dlclose(module->handle);
	free(module);
}

/* ---- running ---- */

int module_start(struct kmodule *module, struct loam_diag *diag)
{
	int error = percpu_place(module->info->percpu, module->info->percpu_end);

	if (error) {
		loam__diag_add(
			diag, module->path, 0, "%s",
			error == -ENOTSUP
				? "its per-CPU variables need an instance for [kernel] percpu and backing = memfd"
				: "no room for its per-CPU variables");
		return error;
	}
	error = module->info->init ? module->info->init() : 0;
	if (error > 0) {
		printk(KERN_WARNING "%s: '%s'->init suspiciously returned %d, it should follow 0/-E convention\n",
		       "do_init_module", module->name, error);
		error = 0;
	}
	module->running = !error;
	if (error) {
		track_report(module->name, (void *)module->start, (void *)module->end);
		percpu_remove(module->info->percpu, module->info->percpu_end);
	}
	return error;
}

unsigned module_stop(struct kmodule *module)
{
	unsigned leaks;

	if (!module->running)
		return 0;
	if (module->info->module->refcount)
		printk(KERN_WARNING "module %s is still in use: %d references\n", module->name,
		       module->info->module->refcount);
	if (module->exit)
		module->exit();
	module->running = false;
	leaks = track_report(module->name, (void *)module->start, (void *)module->end);
	percpu_remove(module->info->percpu, module->info->percpu_end);
	return leaks;
}
