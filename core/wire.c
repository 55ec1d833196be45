/* SPDX-License-Identifier: MIT */
/*
 * wire.c: from a configuration to a checked graph.
 *
 * Every step goes on after an error, so that a user sees all of them at once: a section whose plugin cannot be loaded still
 * counts as an instance that others may name, only its own keys cannot be judged.
 */
#include "internal.h"
#include "param.h"

#include <stdlib.h>
#include <string.h>

struct wiring {
	const struct loam__config *config;
	struct loam_diag *diag;
	struct loam__graph *graph;
};

static const char *const reserved[] = { "machine", "kernel", "malloc", NULL };

static bool is_reserved(const char *name)
{
	for (const char *const *r = reserved; *r; r++)
		if (!strcmp(*r, name))
			return true;
	return false;
}

struct loam_self *loam__graph_find(const struct loam__graph *graph, const char *name)
{
	for (unsigned i = 0; i < graph->nr; i++)
		if (!strcmp(graph->instances[i]->name, name))
			return graph->instances[i];
	return NULL;
}

static bool provides(const struct loam_self *self, enum loam_role_id role)
{
	return self->roles & LOAM_ROLE_BIT(role);
}

/* "heap and objects" */
static const char *roles_text(uint32_t bits, char *buf, size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (int role = 0; role < LOAM_ROLE_COUNT && n < size; role++)
		if (bits & LOAM_ROLE_BIT(role))
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", loam__role_name(role));
	return buf;
}

/* The instances that have one of @roles, for a message. */
static const char *candidates(const struct loam__graph *graph, const struct loam_self *but, uint32_t roles, char *buf,
			      size_t size)
{
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < graph->nr && n < size; i++)
		if (graph->instances[i] != but && graph->instances[i]->roles & roles)
			n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? ", " : "", graph->instances[i]->name);
	if (!n)
		snprintf(buf, size, "none here");
	return buf;
}

/* ---- instances ---- */

static void instance_free(struct loam_self *self)
{
	if (self->plugin)
		loam__plugin_put(self->plugin);
	free(self->params);
	free(self->targets);
	free(self->target_roles);
	free(self->ports);
	free(self->port_ptrs);
	if (self->implied)
		free((char *)self->name);
	free(self);
}

static bool instance_tables(struct loam_self *self)
{
	const struct loam_plugin *desc = &self->plugin->desc;
	size_t ports = desc->nr_ports + 1;

	self->params = calloc(desc->nr_params + 1, sizeof(*self->params));
	self->targets = calloc(ports, sizeof(*self->targets));
	self->target_roles = calloc(ports, sizeof(*self->target_roles));
	self->ports = calloc(ports, sizeof(*self->ports));
	self->port_ptrs = calloc(ports, sizeof(*self->port_ptrs));
	return self->params && self->targets && self->target_roles && self->ports && self->port_ptrs;
}

static struct loam_self *instance_new(struct wiring *wiring, const struct loam__section *section)
{
	struct loam_self *self = calloc(1, sizeof(*self));
	const struct loam__entry *plugin = loam__section_entry(section, "plugin");

	if (!self)
		return NULL;
	self->name = section->name;
	self->file = section->file;
	self->line = section->line;
	if (!plugin)
		loam__diag_add(wiring->diag, section->file, section->line, "[%s] has no 'plugin'", section->name);
	else
		self->plugin = loam__plugin_load(plugin->value, plugin->file, plugin->line, wiring->diag);
	if (self->plugin && !instance_tables(self)) {
		instance_free(self);
		return NULL;
	}
	return self;
}

static bool instances_make(struct wiring *wiring)
{
	struct loam__graph *graph = wiring->graph;
	unsigned n = 0;

	for (const struct loam__section *s = wiring->config->sections; s; s = s->next)
		n += !is_reserved(s->name);
	/* Each may bring a heap made of its pages, and objects made of its heap. */
	graph->instances = calloc(3 * n + 1, sizeof(*graph->instances));
	if (!graph->instances)
		return false;
	for (const struct loam__section *s = wiring->config->sections; s; s = s->next) {
		if (is_reserved(s->name))
			continue;
		graph->instances[graph->nr] = instance_new(wiring, s);
		if (!graph->instances[graph->nr])
			return false;
		graph->nr++;
	}
	return true;
}

/* ---- roles ---- */

static uint32_t declared_roles(const struct loam_plugin *desc)
{
	uint32_t bits = 0;

	for (uint32_t i = 0; i < desc->nr_roles; i++)
		bits |= LOAM_ROLE_BIT(desc->roles[i].role);
	return bits;
}

static const struct loam_port_decl *lower_port(const struct loam_plugin *desc)
{
	for (uint32_t i = 0; i < desc->nr_ports; i++)
		if (desc->ports[i].flags & LOAM_PORT_LOWER)
			return &desc->ports[i];
	return NULL;
}

/* What the host can make of roles: a heap of pages, objects of a heap. */
static uint32_t convertible(uint32_t roles)
{
	if (roles & (LOAM_ROLE_BIT(LOAM_ROLE_PAGES) | LOAM_ROLE_BIT(LOAM_ROLE_HEAP)))
		roles |= LOAM_ROLE_BIT(LOAM_ROLE_HEAP) | LOAM_ROLE_BIT(LOAM_ROLE_OBJECTS);
	return roles;
}

/*
 * The roles of an instance: what its plugin declares. A filter has of these what the instance below it has, or the nearest
 * that can be made of it; where that cannot be said, because something is broken, all: the defect has a message of its own.
 */
static uint32_t settle_roles(struct wiring *wiring, struct loam_self *self, unsigned depth)
{
	const struct loam_port_decl *port = self->plugin ? lower_port(&self->plugin->desc) : NULL;
	uint32_t roles = self->plugin ? declared_roles(&self->plugin->desc) : 0, below, both;
	const struct loam__entry *entry;
	struct loam_self *target;

	self->roles = roles;
	entry = port ? loam__section_entry(loam__config_section(wiring->config, self->name), port->name) : NULL;
	target = entry ? loam__graph_find(wiring->graph, entry->value) : NULL;
	if (!target || !target->plugin || depth == wiring->graph->nr)
		return roles;
	below = settle_roles(wiring, target, depth + 1) & port->roles;
	both = roles & below;
	if (!both)
		both = roles & port->roles & convertible(target->roles);
	if (both && !(roles & below))
		both = both & LOAM_ROLE_BIT(LOAM_ROLE_HEAP) ? LOAM_ROLE_BIT(LOAM_ROLE_HEAP) : both & -both;
	self->roles = both ? (roles & ~port->roles) | both : roles;
	return self->roles;
}

/* Parameters of an instance; ports are keys of the section too. */
static void instance_params(struct wiring *wiring, struct loam_self *self)
{
	const struct loam_plugin *desc = &self->plugin->desc;
	const char *others[34];
	unsigned n = 0;

	for (uint32_t i = 0; i < desc->nr_ports; i++)
		others[n++] = desc->ports[i].name;
	others[n++] = "plugin";
	others[n] = NULL;
	loam__params_read(loam__config_section(wiring->config, self->name), desc->params, desc->nr_params, others,
			  self->params, wiring->diag);
}

/* ---- references from one section to another ---- */

/* The instance that makes @want of @have of @target: one for all who ask. NULL: no memory. */
static struct loam_self *imply(struct wiring *wiring, const struct loam__section *section,
			       const struct loam__entry *entry, struct loam_self *target, enum loam_role_id want,
			       enum loam_role_id have)
{
	struct loam__graph *graph = wiring->graph;
	struct loam_self *self;
	char *name;

	if (asprintf(&name, "%s as %s", target->name, loam__role_name(want)) < 0)
		return NULL;
	self = loam__graph_find(graph, name);
	if (self) {
		free(name);
		return self;
	}
	self = calloc(1, sizeof(*self));
	if (!self) {
		free(name);
		return NULL;
	}
	self->name = name;
	self->file = entry->file;
	self->line = entry->line;
	self->implied = entry;
	self->implied_section = section;
	self->plugin = loam__conversion(want, have);
	self->roles = LOAM_ROLE_BIT(want);
	if (!instance_tables(self)) {
		instance_free(self);
		return NULL;
	}
	self->targets[0] = target;
	self->target_roles[0] = have;
	graph->instances[graph->nr++] = self;
	return self;
}

/* @target, or what the host makes of it so that it has one of @roles; NULL: no such conversion. */
static struct loam_self *convert(struct wiring *wiring, const struct loam__section *section,
				 const struct loam__entry *entry, struct loam_self *target, uint32_t roles)
{
	if (target->roles & roles || !(convertible(target->roles) & roles))
		return target->roles & roles ? target : NULL;
	if (!provides(target, LOAM_ROLE_HEAP))
		target = imply(wiring, section, entry, target, LOAM_ROLE_HEAP, LOAM_ROLE_PAGES);
	if (!target || target->roles & roles)
		return target;
	return imply(wiring, section, entry, target, LOAM_ROLE_OBJECTS, LOAM_ROLE_HEAP);
}

/*
 * The instance that @entry names, with one of @roles, which may be made of what it has; NULL with a message. A broken plugin
 * is not complained about twice.
 */
static struct loam_self *resolve(struct wiring *wiring, const struct loam__section *section,
				 const struct loam__entry *entry, uint32_t roles)
{
	struct loam_self *target = loam__graph_find(wiring->graph, entry->value), *fit;
	char want[100], have[100];
	const char *names[64], *near;
	unsigned n = 0;

	if (!target) {
		for (unsigned i = 0; i < wiring->graph->nr && n < LOAM_LEN(names) - 1; i++)
			names[n++] = wiring->graph->instances[i]->name;
		names[n] = NULL;
		near = loam__nearest(entry->value, names);
		loam__diag_add(wiring->diag, entry->file, entry->line, "[%s] %s = %s: no section [%s]%s%s%s",
			       section->name, entry->key, entry->value, entry->value, near ? "; did you mean '" : "",
			       near ? near : "", near ? "'?" : "");
		return NULL;
	}
	if (!target->plugin)
		return NULL;
	fit = convert(wiring, section, entry, target, roles);
	if (!fit) {
		loam__diag_add(wiring->diag, entry->file, entry->line,
			       "[%s] %s = %s: expected an instance with the role %s; [%s] has %s", section->name,
			       entry->key, entry->value, roles_text(roles, want, sizeof(want)), target->name,
			       roles_text(target->roles, have, sizeof(have)));
	}
	return fit;
}

/* Which of the accepted roles a port takes of an instance that has several. */
static enum loam_role_id choose_role(const struct loam_self *target, uint32_t accepted)
{
	static const enum loam_role_id first[] = { LOAM_ROLE_HEAP, LOAM_ROLE_OBJECTS, LOAM_ROLE_PAGES };
	uint32_t both = target->roles & accepted;

	for (unsigned i = 0; i < LOAM_LEN(first); i++)
		if (both & LOAM_ROLE_BIT(first[i]))
			return first[i];
	return (enum loam_role_id)__builtin_ctz(both);
}

static void instance_ports(struct wiring *wiring, struct loam_self *self)
{
	const struct loam__section *section = loam__config_section(wiring->config, self->name);
	const struct loam_plugin *desc = &self->plugin->desc;

	for (uint32_t i = 0; i < desc->nr_ports; i++) {
		const struct loam_port_decl *decl = &desc->ports[i];
		const struct loam__entry *entry = loam__section_entry(section, decl->name);
		struct loam_self *target;
		char roles[100], names[200];

		if (!entry) {
			if (!(decl->flags & LOAM_PORT_OPTIONAL))
				loam__diag_add(
					wiring->diag, section->file, section->line,
					"[%s] port '%s' is not filled; expected an instance with the role %s (%s)",
					self->name, decl->name, roles_text(decl->roles, roles, sizeof(roles)),
					candidates(wiring->graph, self, decl->roles, names, sizeof(names)));
			continue;
		}
		target = resolve(wiring, section, entry, decl->roles);
		if (target == self)
			loam__diag_add(wiring->diag, entry->file, entry->line,
				       "[%s] %s = %s: an instance cannot stand on itself", self->name, decl->name,
				       entry->value);
		if (!target || target == self)
			continue;
		self->targets[i] = target;
		self->target_roles[i] = choose_role(target, decl->roles);
		if (decl->flags & LOAM_PORT_LOWER)
			self->lower = target;
	}
}

/* ---- filters ---- */

static const struct loam__entry *port_entry(const struct wiring *wiring, const struct loam_self *self, uint32_t port)
{
	return loam__section_entry(loam__config_section(wiring->config, self->name),
				   self->plugin->desc.ports[port].name);
}

static void claim_lowers(struct wiring *wiring)
{
	for (unsigned i = 0; i < wiring->graph->nr; i++) {
		struct loam_self *self = wiring->graph->instances[i];

		if (!self->lower)
			continue;
		if (!self->lower->filter)
			self->lower->filter = self;
		else
			loam__diag_add(wiring->diag, self->file, self->line,
				       "[%s] filters [%s], which [%s] filters already; stand on [%s] instead",
				       self->name, self->lower->name, self->lower->filter->name,
				       self->lower->filter->name);
	}
}

/* An instance behind a filter is reached through that filter only. */
static void behind_filter(struct wiring *wiring, const struct loam__section *section, const struct loam__entry *entry,
			  const struct loam_self *user, const struct loam_self *target)
{
	if (target && target->filter && target->filter != user)
		loam__diag_add(wiring->diag, entry->file, entry->line,
			       "[%s] %s = %s: [%s] stands behind the filter [%s]; expected %s = %s", section->name,
			       entry->key, entry->value, target->name, target->filter->name, entry->key,
			       target->filter->name);
}

static void check_filters(struct wiring *wiring)
{
	claim_lowers(wiring);
	for (unsigned i = 0; i < wiring->graph->nr; i++) {
		struct loam_self *self = wiring->graph->instances[i];

		for (uint32_t p = 0; self->plugin && !self->implied && p < self->plugin->desc.nr_ports; p++) {
			/* Two filters on one instance have been told so. */
			if (self->targets[p] && self->targets[p] != self->lower)
				behind_filter(wiring, loam__config_section(wiring->config, self->name),
					      port_entry(wiring, self, p), self, self->targets[p]);
		}
	}
}

/* What a conversion stands on is reached by who asked for it. */
static void check_implied(struct wiring *wiring)
{
	for (unsigned i = 0; i < wiring->graph->nr; i++) {
		const struct loam_self *self = wiring->graph->instances[i];

		if (self->implied)
			behind_filter(wiring, self->implied_section, self->implied, self, self->targets[0]);
	}
}

/* ---- order ---- */

struct ordering {
	struct wiring *wiring;
	struct loam_self **out;
	unsigned nr;
	unsigned char *state; /* by index: 0 new, 1 on the way, 2 done */
	struct loam_self *path[256];
	unsigned depth;
	bool cyclic;
};

static void tell_cycle(struct ordering *o, const struct loam_self *back)
{
	char text[300];
	size_t n = 0;
	unsigned i = 0;

	while (o->path[i] != back)
		i++;
	for (; i < o->depth && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s -> ", o->path[i]->name);
	loam__diag_add(o->wiring->diag, back->file, back->line, "a cycle: %s%s", n < sizeof(text) ? text : "... -> ",
		       back->name);
	o->cyclic = true;
}

static void visit(struct ordering *o, struct loam_self *self)
{
	if (o->state[self->index] == 2)
		return;
	if (o->state[self->index] == 1 || o->depth == LOAM_LEN(o->path)) {
		tell_cycle(o, self);
		return;
	}
	o->state[self->index] = 1;
	o->path[o->depth++] = self;
	for (uint32_t p = 0; self->plugin && p < self->plugin->desc.nr_ports; p++)
		if (self->targets[p])
			visit(o, self->targets[p]);
	o->depth--;
	o->state[self->index] = 2;
	o->out[o->nr++] = self;
}

/* Providers first; otherwise as in the file. */
static bool sort_instances(struct wiring *wiring)
{
	struct loam__graph *graph = wiring->graph;
	struct ordering o = { .wiring = wiring };

	o.state = calloc(graph->nr + 1, 1);
	o.out = calloc(graph->nr + 1, sizeof(*o.out));
	if (!o.state || !o.out) {
		free(o.state);
		free(o.out);
		return false;
	}
	for (unsigned i = 0; i < graph->nr; i++)
		graph->instances[i]->index = i;
	for (unsigned i = 0; i < graph->nr; i++)
		visit(&o, graph->instances[i]);
	free(o.state);
	if (o.cyclic) {
		free(o.out);
		return true;
	}
	free(graph->instances);
	graph->instances = o.out;
	for (unsigned i = 0; i < graph->nr; i++)
		graph->instances[i]->index = i;
	return true;
}

/* ---- the reserved sections ---- */

/* Which chain has the machine's frames: at most one. */
static void find_frames(struct wiring *wiring)
{
	struct loam__graph *graph = wiring->graph;

	for (unsigned i = 0; i < graph->nr; i++) {
		struct loam_self *self = graph->instances[i];

		if (!provides(self, LOAM_ROLE_PAGES) || self->filter)
			continue;
		if (graph->frames)
			loam__diag_add(wiring->diag, self->file, self->line,
				       "[%s] is a second page allocator; [%s] has the machine's frames", self->name,
				       graph->frames->name);
		else
			graph->frames = self;
	}
}

/* Whose are addresses outside the machine's memory: one instance's, reached through its filters. */
static void find_foreign(struct wiring *wiring)
{
	struct loam__graph *graph = wiring->graph;

	for (unsigned i = 0; i < graph->nr; i++) {
		struct loam_self *self = graph->instances[i];

		if (!self->plugin || !(self->plugin->desc.flags & LOAM_PLUGIN_FOREIGN))
			continue;
		if (graph->foreign)
			loam__diag_add(wiring->diag, self->file, self->line,
				       "[%s] is a second heap with memory of its own; [%s] has the addresses outside "
				       "the machine",
				       self->name, graph->foreign->name);
		else
			graph->foreign = self;
	}
	while (graph->foreign && graph->foreign->filter)
		graph->foreign = graph->foreign->filter;
}

static void read_machine(struct wiring *wiring)
{
	const struct loam__section *section = loam__config_section(wiring->config, "machine");
	struct loam__graph *graph = wiring->graph;

	graph->machine = calloc(LOAM_M_COUNT, sizeof(*graph->machine));
	if (graph->machine &&
	    !loam__params_read(section, loam__machine_params, LOAM_M_COUNT, NULL, graph->machine, wiring->diag))
		loam__machine_check(wiring->config, graph->machine, wiring->diag);
}

static void read_kernel(struct wiring *wiring)
{
	static const struct loam_param params[LOAM_K_COUNT] = {
		[LOAM_K_TRACK] = LOAM_PARAM(.type = LOAM_PARAM_BOOL, .name = "track", .def = "off",
					    .help = "keep who allocated what, for the report when a module goes"),
		[LOAM_K_STACK] = LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "stack", .def = "8K", .min = 4096,
					    .max = 8192, .help = "stack of a kernel thread: one page or two"),
	};
	const struct loam__section *section = loam__config_section(wiring->config, "kernel");
	const char *names[LOAM_ROLE_COUNT + 1];
	unsigned n = 0;

	for (int role = 0; role < LOAM_ROLE_DEVICE; role++)
		names[n++] = loam__role_name(role);
	names[n] = NULL;
	loam__params_read(section, params, LOAM_K_COUNT, names, wiring->graph->settings, wiring->diag);
	for (unsigned role = 0; role < n; role++) {
		const struct loam__entry *entry = loam__section_entry(section, names[role]);

		if (!entry)
			continue;
		wiring->graph->kernel[role] = resolve(wiring, section, entry, LOAM_ROLE_BIT(role));
		behind_filter(wiring, section, entry, NULL, wiring->graph->kernel[role]);
	}
}

static void read_malloc(struct wiring *wiring)
{
	static const struct loam_param params[] = {
		LOAM_PARAM(.type = LOAM_PARAM_SIZE, .name = "large", .def = "0",
			   .help = "requests of at least this size bypass the heap; 0: only those over its limit"),
	};
	static const char *const others[] = { "heap", NULL };
	const struct loam__section *section = loam__config_section(wiring->config, "malloc");
	const struct loam__entry *entry = loam__section_entry(section, "heap");
	union loam_value value = { .u = 0 };

	loam__params_read(section, params, LOAM_LEN(params), others, &value, wiring->diag);
	wiring->graph->large = value.u;
	if (!entry)
		return;
	wiring->graph->heap = resolve(wiring, section, entry, LOAM_ROLE_BIT(LOAM_ROLE_HEAP));
	behind_filter(wiring, section, entry, NULL, wiring->graph->heap);
}

/* ---- all together ---- */

static bool wire_all(struct wiring *wiring)
{
	struct loam__graph *graph = wiring->graph;
	unsigned sections;

	if (!instances_make(wiring))
		return false;
	read_machine(wiring);
	for (unsigned i = 0; i < graph->nr; i++)
		settle_roles(wiring, graph->instances[i], 0);
	sections = graph->nr;
	for (unsigned i = 0; i < sections; i++)
		if (graph->instances[i]->plugin) {
			instance_params(wiring, graph->instances[i]);
			instance_ports(wiring, graph->instances[i]);
		}
	check_filters(wiring);
	read_kernel(wiring);
	read_malloc(wiring);
	check_implied(wiring);
	find_frames(wiring);
	find_foreign(wiring);
	return graph->machine && sort_instances(wiring);
}

struct loam__graph *loam__wire(const struct loam__config *config, struct loam_diag *diag)
{
	struct wiring wiring = { .config = config, .diag = diag };

	if (!config)
		return NULL;
	wiring.graph = calloc(1, sizeof(*wiring.graph));
	if (wiring.graph)
		wiring.graph->config = config;
	if (!wiring.graph || !wire_all(&wiring))
		loam__diag_add(diag, NULL, 0, "out of memory");
	if (!diag->count)
		return wiring.graph;
	loam__graph_free(wiring.graph);
	return NULL;
}

void loam__graph_free(struct loam__graph *graph)
{
	if (!graph)
		return;
	/* Consumers first: nothing is unloaded under something that points to it. */
	while (graph->nr)
		instance_free(graph->instances[--graph->nr]);
	free(graph->instances);
	free(graph->machine);
	free(graph);
}
