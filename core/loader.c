/* SPDX-License-Identifier: MIT */
/*
 * loader.c: one plugin file, from its path to a record whose tables have the host's own sizes.
 *
 * The file is opened once. Owner and mode, ELF header and note are judged on that descriptor, and dlopen is given that very
 * descriptor (through /proc/self/fd), so nobody can put another file in its place in between. Until then nothing of the
 * plugin has run. The descriptor that it exports is then checked field by field, every defect with a message of its own, and
 * copied: what an older plugin lacks is zero, what a newer one has more is cut.
 */
#include "loader.h"
#include "param.h"
#include "search.h"

#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define AREA_MAX (64u << 10)
#define TABLE_MAX 256 /* elements of one table of a descriptor */
#define PORTS_MAX 32

/* Loaded files. Under the lock. */
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
static struct loam__plugin *loaded;

/** Where the messages about one plugin go. */
struct place {
	const char *path, *file;
	int line;
	struct loam_diag *diag;
	unsigned defects;
};

#define complain(place, fmt, ...)                                                                                      \
	((place)->defects++,                                                                                           \
	 loam__diag_add((place)->diag, (place)->file, (place)->line, "%s: " fmt, (place)->path, ##__VA_ARGS__))

/* ---- before dlopen ---- */

static bool trusted_owner(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

/* The folder must not let others swap the file. A sticky one (/tmp) may, for files that are root's or ours. */
static bool folder_ok(struct place *place)
{
	char *slash = strrchr(place->path, '/'),
	     *folder = slash ? strndup(place->path, (size_t)(slash - place->path)) : NULL;
	const char *name = !slash ? "." : *folder ? folder : "/";
	struct stat st;
	bool ok = false;

	if (stat(name, &st))
		complain(place, "cannot look at its folder: %s", strerror(errno));
	else if (st.st_mode & 022 && !(st.st_mode & S_ISVTX))
		complain(place, "refused: others may write to its folder %s (mode %04o)", name, st.st_mode & 07777);
	else if (!trusted_owner(st.st_uid))
		complain(place, "refused: its folder %s belongs to user %u, neither root nor the caller", name,
			 st.st_uid);
	else
		ok = true;
	free(folder);
	return ok;
}

static bool file_ok(struct place *place, int fd, struct stat *st)
{
	if (fstat(fd, st))
		complain(place, "cannot look at it: %s", strerror(errno));
	else if (!S_ISREG(st->st_mode))
		complain(place, "not a regular file");
	else if (st->st_mode & 022)
		complain(place, "refused: others may write to it (mode %04o)", st->st_mode & 07777);
	else if (!trusted_owner(st->st_uid))
		complain(place, "refused: it belongs to user %u, neither root nor the caller", st->st_uid);
	else
		return folder_ok(place);
	return false;
}

static bool note_ok(struct place *place, int fd, struct loam__plugin *plugin)
{
	uint32_t major, minor, host_minor;
	char why[200];

	if (loam__elfnote_read(fd, &major, &minor, &host_minor, why, sizeof(why))) {
		complain(place, "%s", why);
		return false;
	}
	if (major != LOAM_ABI_MAJOR) {
		complain(place, "built for plugin ABI %u.%u; this host has %d.%d", major, minor, LOAM_ABI_MAJOR,
			 LOAM_ABI_MINOR);
		return false;
	}
	if (host_minor > LOAM_ABI_MINOR) {
		complain(place, "needs a host with plugin ABI %u.%u or later; this one has %d.%d", major, host_minor,
			 LOAM_ABI_MAJOR, LOAM_ABI_MINOR);
		return false;
	}
	plugin->abi_major = (uint16_t)major;
	plugin->abi_minor = (uint16_t)minor;
	plugin->host_minor = (uint16_t)host_minor;
	return true;
}

/* ---- the descriptor ---- */

static bool name_ok(const char *name)
{
	size_t n = name ? strlen(name) : 0;

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)name[i]) && name[i] != '-' && name[i] != '_')
			return false;
	return n >= 1 && n <= 31;
}

/**
 * A table of the descriptor, copied element by element to the host's element size. @must: bytes that an element has at
 * least. Returns false when the table cannot be read.
 */
static bool copy_table(struct place *place, const char *what, const void *table, uint32_t n, size_t must, size_t ours,
		       void *out)
{
	const char *at = table;
	uint32_t step;
	char *copy;

	if (!n)
		return true;
	if (!table || n > TABLE_MAX) {
		complain(place, "%s: %u of them, and %s", what, n, table ? "that is too many" : "no table");
		return false;
	}
	step = *(const uint32_t *)table;
	if (step < must || step > 4096 || step % 8) {
		complain(place, "%s: an element of %u bytes; expected at least %zu", what, step, must);
		return false;
	}
	copy = calloc(n, ours);
	if (!copy) {
		complain(place, "out of memory");
		return false;
	}
	for (uint32_t i = 0; i < n; i++, at += step) {
		if (*(const uint32_t *)at != step) {
			complain(place, "%s: element %u has size %u, the first has %u", what, i, *(const uint32_t *)at,
				 step);
			free(copy);
			return false;
		}
		memcpy(copy + i * ours, at, step < ours ? step : ours);
		*(uint32_t *)(copy + i * ours) = (uint32_t)ours;
	}
	*(void **)out = copy;
	return true;
}

static void check_param(struct place *place, const struct loam_param *param)
{
	union loam_value value;
	char why[200];

	if (!name_ok(param->name)) {
		complain(place, "a parameter has no proper name");
	} else if (param->type > LOAM_PARAM_STRING) {
		complain(place, "parameter '%s': unknown type %u", param->name, param->type);
	} else if (param->type == LOAM_PARAM_ENUM && (!param->choices || !param->choices[0])) {
		complain(place, "parameter '%s': no choices", param->name);
	} else if (param->min > param->max) {
		complain(place, "parameter '%s': range from %lld to %lld", param->name, (long long)param->min,
			 (long long)param->max);
	} else if (param->def && loam__param_parse(param, param->def, &value, why, sizeof(why))) {
		complain(place, "parameter '%s': default '%s': %s", param->name, param->def, why);
	}
}

static void check_names(struct place *place, const struct loam_plugin *desc)
{
	for (uint32_t i = 0; i < desc->nr_params + desc->nr_ports; i++) {
		const char *name = i < desc->nr_params ? desc->params[i].name : desc->ports[i - desc->nr_params].name;

		if (!name)
			continue;
		if (!strcmp(name, "plugin"))
			complain(place, "the key 'plugin' is the host's");
		for (uint32_t j = 0; j < i; j++) {
			const char *other =
				j < desc->nr_params ? desc->params[j].name : desc->ports[j - desc->nr_params].name;

			if (other && !strcmp(name, other))
				complain(place, "'%s' is declared twice", name);
		}
	}
}

static uint32_t provided(const struct loam_plugin *desc)
{
	uint32_t bits = 0;

	for (uint32_t i = 0; i < desc->nr_roles; i++)
		if (desc->roles[i].role < LOAM_ROLE_COUNT)
			bits |= LOAM_ROLE_BIT(desc->roles[i].role);
	return bits;
}

static void check_ports(struct place *place, const struct loam_plugin *desc)
{
	unsigned lower = 0;

	for (uint32_t i = 0; i < desc->nr_ports; i++) {
		const struct loam_port_decl *port = &desc->ports[i];

		if (!name_ok(port->name)) {
			complain(place, "a port has no proper name");
			continue;
		}
		if (!port->roles || port->roles >> LOAM_ROLE_COUNT)
			complain(place, "port '%s': %s", port->name,
				 port->roles ? "an unknown role" : "accepts no role");
		if (!(port->flags & LOAM_PORT_LOWER))
			continue;
		if (lower++)
			complain(place, "port '%s': a filter stands on one port, not on two", port->name);
		if (port->roles & ~provided(desc))
			complain(place, "port '%s': a filter provides each role that it can stand on", port->name);
	}
}

static const void *op_at(const void *ops, size_t offset)
{
	const void *op;

	memcpy(&op, (const char *)ops + offset, sizeof(op));
	return op;
}

static void check_pair(struct place *place, const char *role, const char *a, const void *op_a, const char *b,
		       const void *op_b)
{
	if (!op_a != !op_b)
		complain(place, "role %s: '%s' without '%s'", role, op_a ? a : b, op_a ? b : a);
}

/* alloc_bulk and free_bulk go together. */
static void check_pairs(struct place *place, const struct loam__role *role, const void *ops)
{
	const void *bulk[2] = { NULL, NULL };

	for (const struct loam__op_name *op = role->may; op->name; op++) {
		if (!strcmp(op->name, "alloc_bulk"))
			bulk[0] = op_at(ops, op->offset);
		if (!strcmp(op->name, "free_bulk"))
			bulk[1] = op_at(ops, op->offset);
	}
	check_pair(place, role->name, "alloc_bulk", bulk[0], "free_bulk", bulk[1]);
}

/* A role's table, completed to the host's size. */
static void *copy_ops(struct place *place, const struct loam_role_decl *decl)
{
	const struct loam__role *role = loam__role(decl->role);
	uint32_t size = decl->ops ? *(const uint32_t *)decl->ops : 0;
	size_t must = 8;
	void *ops;

	for (const struct loam__op_name *op = role->must; op->name; op++)
		if (op->offset + sizeof(void *) > must)
			must = op->offset + sizeof(void *);
	if (!decl->ops || !role->size) {
		complain(place, "role %s: %s", role->name,
			 role->size ? "no table of functions" : "not known to this host");
		return NULL;
	}
	if (size < 16 || size > 4096 || size % 8) {
		complain(place, "role %s: a table of %u bytes; this host's has %zu", role->name, size, role->size);
		return NULL;
	}
	ops = calloc(1, role->size);
	if (!ops) {
		complain(place, "out of memory");
		return NULL;
	}
	memcpy(ops, decl->ops, size < role->size ? size : role->size);
	*(uint32_t *)ops = (uint32_t)role->size;
	for (const struct loam__op_name *op = role->must; op->name; op++)
		if (!op_at(ops, op->offset))
			complain(place, "role %s: no '%s'", role->name, op->name);
	check_pairs(place, role, ops);
	return ops;
}

static void check_roles(struct place *place, struct loam__plugin *plugin)
{
	uint32_t seen = 0;

	if (!plugin->desc.nr_roles)
		complain(place, "provides no role");
	for (uint32_t i = 0; i < plugin->desc.nr_roles; i++) {
		struct loam_role_decl *decl = &plugin->roles[i];

		if (decl->role >= LOAM_ROLE_COUNT) {
			complain(place, "unknown role %u", decl->role);
			decl->ops = NULL;
			continue;
		}
		if (seen & LOAM_ROLE_BIT(decl->role))
			complain(place, "role %s twice", loam__role_name(decl->role));
		seen |= LOAM_ROLE_BIT(decl->role);
		decl->ops = copy_ops(place, decl);
	}
}

/* "x.so" without folder and ending. */
static bool is_file_of(const char *path, const char *name)
{
	const char *base = strrchr(path, '/');
	size_t n = strlen(name);

	base = base ? base + 1 : path;
	return !strncmp(base, name, n) && !strcmp(base + n, ".so");
}

static void check_head(struct place *place, const struct loam_plugin *desc)
{
	if (!name_ok(desc->name))
		complain(place, "no proper name; expected 1 to 31 letters, digits, '-' and '_'");
	else if (!is_file_of(place->path, desc->name))
		complain(place, "it calls itself '%s'; the file must be called %s.so", desc->name, desc->name);
	if (!desc->version || !*desc->version)
		complain(place, "no version");
	if (!desc->summary || !*desc->summary)
		complain(place, "no summary");
	if (desc->threads > LOAM_THREADS_SERIALISED)
		complain(place, "unknown thread model %u", desc->threads);
	if (desc->area_size > AREA_MAX)
		complain(place, "a local area of %zu bytes; at most %u", desc->area_size, AREA_MAX);
	if (desc->area_size && !desc->flush)
		complain(place, "a local area without 'flush'");
	if (!desc->create)
		complain(place, "no 'create'");
	if (!desc->destroy)
		complain(place, "no 'destroy'");
	if (!desc->stat)
		complain(place, "no 'stat'");
	if (desc->nr_ports > PORTS_MAX)
		complain(place, "%u ports; at most %d", desc->nr_ports, PORTS_MAX);
}

static bool copy_tables(struct place *place, struct loam__plugin *plugin)
{
	struct loam_plugin *desc = &plugin->desc;
	bool ok;

	ok = copy_table(place, "parameters", desc->params, desc->nr_params, offsetof(struct loam_param, help) + 8,
			sizeof(struct loam_param), &plugin->params);
	ok &= copy_table(place, "ports", desc->ports, desc->nr_ports, offsetof(struct loam_port_decl, name) + 8,
			 sizeof(struct loam_port_decl), &plugin->ports);
	ok &= copy_table(place, "roles", desc->roles, desc->nr_roles, sizeof(struct loam_role_decl),
			 sizeof(struct loam_role_decl), &plugin->roles);
	desc->params = plugin->params;
	desc->ports = plugin->ports;
	desc->roles = plugin->roles;
	return ok;
}

static bool descriptor_ok(struct place *place, struct loam__plugin *plugin)
{
	const struct loam_plugin *theirs = dlsym(plugin->handle, "loam_plugin_descriptor");
	size_t must = offsetof(struct loam_plugin, stat) + sizeof(void *), size;

	if (!theirs) {
		complain(place, "no descriptor: the symbol loam_plugin_descriptor is missing");
		return false;
	}
	size = theirs->size;
	if (size < must || size > 65536) {
		complain(place, "a descriptor of %zu bytes; expected at least %zu", size, must);
		return false;
	}
	memcpy(&plugin->desc, theirs, size < sizeof(plugin->desc) ? size : sizeof(plugin->desc));
	plugin->desc.size = sizeof(plugin->desc);
	check_head(place, &plugin->desc);
	if (!copy_tables(place, plugin)) {
		/* The tables of functions are still the plugin's own. */
		plugin->desc.nr_roles = 0;
		return false;
	}
	for (uint32_t i = 0; i < plugin->desc.nr_params; i++)
		check_param(place, &plugin->params[i]);
	check_ports(place, &plugin->desc);
	check_names(place, &plugin->desc);
	check_roles(place, plugin);
	return !place->defects;
}

/* ---- loading ---- */

static void plugin_free(struct loam__plugin *plugin)
{
	for (uint32_t i = 0; plugin->roles && i < plugin->desc.nr_roles; i++)
		free((void *)plugin->roles[i].ops);
	free(plugin->params);
	free(plugin->ports);
	free(plugin->roles);
	if (plugin->handle)
		dlclose(plugin->handle);
	free(plugin->path);
	free(plugin);
}

static struct loam__plugin *find_loaded(const struct stat *st)
{
	for (struct loam__plugin *plugin = loaded; plugin; plugin = plugin->next)
		if (plugin->dev == st->st_dev && plugin->ino == st->st_ino)
			return plugin;
	return NULL;
}

/*
 * dlopen by descriptor. The loader of the C library takes a name that it has seen for the file that it has loaded, and
 * descriptors' numbers come back; so each name is made unique by the ways in which a slash can be written. It is at least as
 * long as the file's real path, which then takes its place in the link map: for debuggers and backtraces.
 */
static void *dlopen_fd(int fd, const char *real)
{
	static unsigned serial; /* under the loading lock */
	char name[PATH_MAX + 128];
	struct link_map *map;
	size_t n, want = strlen(real);
	void *handle;

	n = (size_t)sprintf(name, "/proc/self/fd");
	for (unsigned bits = ++serial; bits; bits >>= 1)
		n += (size_t)sprintf(name + n, bits & 1 ? "/./" : "//");
	while (n < want && n < PATH_MAX)
		name[n++] = '/';
	sprintf(name + n, "/%d", fd);
	handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (handle && !dlinfo(handle, RTLD_DI_LINKMAP, &map) && !strcmp(map->l_name, name))
		strcpy(map->l_name, real);
	return handle;
}

/* @fd has been judged: load it and check what it exports. */
static struct loam__plugin *load_fd(struct place *place, int fd, const struct stat *st)
{
	struct loam__plugin *plugin = calloc(1, sizeof(*plugin));

	if (!plugin || !(plugin->path = realpath(place->path, NULL))) {
		complain(place, "cannot load: %s", strerror(errno));
		free(plugin);
		return NULL;
	}
	plugin->dev = st->st_dev;
	plugin->ino = st->st_ino;
	if (note_ok(place, fd, plugin)) {
		plugin->handle = dlopen_fd(fd, plugin->path);
		/* Where /proc is not mounted the path is the next best. */
		if (!plugin->handle && access("/proc/self/fd", F_OK))
			plugin->handle = dlopen(plugin->path, RTLD_NOW | RTLD_LOCAL);
		if (!plugin->handle)
			complain(place, "cannot load: %s", dlerror());
		else if (descriptor_ok(place, plugin))
			return plugin;
	}
	plugin_free(plugin);
	return NULL;
}

static struct loam__plugin *load_path(struct place *place)
{
	int fd = open(place->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct loam__plugin *plugin = NULL;
	struct stat st;

	if (fd < 0) {
		complain(place, "cannot open: %s", strerror(errno));
		return NULL;
	}
	if (file_ok(place, fd, &st)) {
		plugin = find_loaded(&st);
		if (!plugin) {
			plugin = load_fd(place, fd, &st);
			if (plugin) {
				plugin->next = loaded;
				loaded = plugin;
			}
		}
	}
	close(fd);
	if (plugin)
		plugin->users++;
	return plugin;
}

struct loam__plugin *loam__plugin_load(const char *name, const char *file, int line, struct loam_diag *diag)
{
	struct place place = { .file = file, .line = line, .diag = diag };
	char *path = loam__search(name, file, line, diag);
	struct loam__plugin *plugin;

	if (!path)
		return NULL;
	place.path = path;
	pthread_mutex_lock(&loading);
	plugin = load_path(&place);
	pthread_mutex_unlock(&loading);
	free(path);
	return plugin;
}

void loam__plugin_put(struct loam__plugin *plugin)
{
	struct loam__plugin **at = &loaded;

	pthread_mutex_lock(&loading);
	if (!--plugin->users) {
		while (*at != plugin)
			at = &(*at)->next;
		*at = plugin->next;
		plugin_free(plugin);
	}
	pthread_mutex_unlock(&loading);
}

const void *loam__plugin_ops(const struct loam__plugin *plugin, enum loam_role_id role)
{
	for (uint32_t i = 0; i < plugin->desc.nr_roles; i++)
		if (plugin->roles[i].role == role)
			return plugin->roles[i].ops;
	return NULL;
}
