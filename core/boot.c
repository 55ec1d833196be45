/* SPDX-License-Identifier: MIT */
/*
 * boot.c: start and stop. Providers start before consumers and stop after them; a step that fails undoes all that were done.
 */
#include "internal.h"
#include "param.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define AREA_LIMIT (256u << 10)

struct loam__machine loam__machine;
void (*loam__on_create)(struct loam_self *self);

static const char *const zone_names[LOAM_ZONES] = { "DMA", "DMA32", "Normal", "HighMem", "Movable" };

/* ---- the machine around the instances ---- */

/* What a plugin says of its failure to start. One instance is created at a time. */
static char explanation[200];

static void host_explain(struct loam_self *self, const char *fmt, ...)
{
	va_list args;

	(void)self;
	va_start(args, fmt);
	vsnprintf(explanation, sizeof(explanation), fmt, args);
	va_end(args);
}

static void set_up_host(void)
{
	loam__machine.host = (struct loam_host){
		.size = sizeof(struct loam_host),
		.abi_major = LOAM_ABI_MAJOR,
		.abi_minor = LOAM_ABI_MINOR,
		.map = &loam__machine.map,
		.meta_alloc = loam__meta_alloc,
		.meta_free = loam__meta_free,
		.area = loam__host_area,
		.areas = loam__host_areas,
		.lock_init = loam__host_lock_init,
		.lock_destroy = loam__host_lock_destroy,
		.lock_slow = loam__host_lock_slow,
		.unlock_slow = loam__host_unlock_slow,
		.pages_alloc = loam__pages_alloc,
		.pages_free = loam__pages_free,
		.pages_alloc_bulk = loam__pages_alloc_bulk,
		.pages_free_bulk = loam__pages_free_bulk,
		.cache_create = loam__cache_create,
		.cache_destroy = loam__cache_destroy,
		.report = loam__report,
		.log = loam__host_log,
		.random = loam__host_random,
		.explain = host_explain,
		.stat = loam__host_stat,
		.walk = loam__host_walk,
		.window_open = loam__window_open,
		.window_close = loam__window_close,
		.window_map = loam__window_map,
		.window_map_phys = loam__window_map_phys,
		.window_unmap = loam__window_unmap,
		.nr_cpus = loam__machine.cpus,
	};
}

static void set_up_zones(const struct loam__zone_spec *spec)
{
	unsigned long pfn = 0;

	for (unsigned i = 0; i < LOAM_ZONES; i++) {
		struct loam__zone *zone = &loam__machine.zones[i];

		*zone = (struct loam__zone){ .pub = { .size = sizeof(zone->pub),
						      .id = i,
						      .name = zone_names[i],
						      .start_pfn = pfn,
						      .end_pfn = pfn + spec->pages[i] } };
		zone->spanned = zone->present = spec->pages[i];
		pfn += spec->pages[i];
	}
}

static unsigned long low_pages(const struct loam__zone_spec *spec)
{
	return spec->pages[LOAM_ZONE_DMA] + spec->pages[LOAM_ZONE_DMA32] + spec->pages[LOAM_ZONE_NORMAL];
}

static int set_up_memory(const union loam_value *values, struct loam_diag *diag)
{
	struct loam__machine *m = &loam__machine;
	uint64_t bytes = loam__machine_memory(values);
	struct loam__zone_spec spec;
	char why[200];
	int error;

	error = loam__zones_parse(values[LOAM_M_ZONES].s, bytes >> LOAM_PAGE_SHIFT, m->backing, &spec, why,
				  sizeof(why));
	if (!error)
		error = loam__arena_boot(bytes, low_pages(&spec), m->backing, why, sizeof(why));
	if (error) {
		loam__diag_add(diag, NULL, 0, "%s", why);
		return error;
	}
	set_up_zones(&spec);
	return 0;
}

/* ---- instances ---- */

static int lay_out_areas(struct loam__graph *graph, struct loam_diag *diag)
{
	size_t offset = LOAM__AREA_HEADER;

	for (unsigned i = 0; i < graph->nr; i++) {
		struct loam_self *self = graph->instances[i];

		self->area_offset = offset;
		offset += (self->plugin->desc.area_size + 63) & ~(size_t)63;
		if (offset <= AREA_LIMIT)
			continue;
		loam__diag_add(diag, self->file, self->line, "[%s] the local areas of all instances are over %u KiB",
			       self->name, AREA_LIMIT >> 10);
		return -ENOMEM;
	}
	loam__machine.area_bytes = offset - LOAM__AREA_HEADER;
	return 0;
}

/* Before create: what others point to, and what create is told. */
static int prepare(struct loam_self *self)
{
	const struct loam_plugin *desc = &self->plugin->desc;
	struct loam_self *top = self;

	while (top->filter)
		top = top->filter;
	self->host = &loam__machine.host;
	loam__list_init(&self->locks);
	memset(self->reports, 0, sizeof(self->reports));
	memset(self->links, 0, sizeof(self->links));
	self->meta_bytes = 0;
	self->random_state = loam__machine.seed ^ loam__name_hash(self->name);
	for (uint32_t i = 0; i < desc->nr_roles; i++)
		if (self->roles & LOAM_ROLE_BIT(desc->roles[i].role))
			self->links[desc->roles[i].role].ops = desc->roles[i].ops;
	for (int role = 0; role < LOAM_ROLE_COUNT; role++) {
		bool has = self->lower && self->roles & LOAM_ROLE_BIT(role);

		self->lower_ports[role].link = has ? &self->lower->links[role] : NULL;
		self->lower_ptrs[role] = has ? &self->lower_ports[role] : NULL;
	}
	self->top.link = &top->links[LOAM_ROLE_HEAP];
	for (uint32_t i = 0; i < desc->nr_ports; i++) {
		struct loam_self *target = self->targets[i];

		self->ports[i].link = target ? &target->links[self->target_roles[i]] : NULL;
		self->port_ptrs[i] = target ? &self->ports[i] : NULL;
	}
	self->owner = loam__owner_add(self, NULL);
	return self->owner ? 0 : -ENOMEM;
}

/* An instance behind a filter claims frames in the name of its chain's top. */
static uint32_t chain_owner(const struct loam_self *self)
{
	while (self->filter)
		self = self->filter;
	return self->owner;
}

static int create(struct loam_self *self, struct loam_diag *diag)
{
	const struct loam_plugin *desc = &self->plugin->desc;
	int error;

	self->args = (struct loam_args){ .size = sizeof(self->args),
					 .owner = chain_owner(self),
					 .self = self,
					 .name = self->name,
					 .params = self->params,
					 .ports = self->port_ptrs,
					 .local = { loam__area_tp_offset(), self->area_offset },
					 .lower = self->lower_ptrs };
	self->inst = NULL;
	if (loam__on_create)
		loam__on_create(self);
	explanation[0] = '\0';
	error = desc->create(self->host, &self->args, &self->inst);
	if (error) {
		loam__diag_add(diag, self->file, self->line, "[%s] %s cannot start: %s", self->name, desc->name,
			       explanation[0] ? explanation : strerror(error < 0 ? -error : error));
		return error < 0 ? error : -error;
	}
	self->created = true;
	for (int role = 0; role < LOAM_ROLE_COUNT; role++)
		self->links[role].inst = self->inst;
	if (desc->threads != LOAM_THREADS_SERIALISED)
		return 0;
	error = loam__serial_wrap(self);
	if (error)
		loam__diag_add(diag, self->file, self->line, "[%s] %s is serialised, which its role does not allow",
			       self->name, desc->name);
	return error;
}

static void destroy(struct loam_self *self)
{
	if (!self->created)
		return;
	self->plugin->desc.destroy(self->inst);
	loam__serial_free(self);
	self->created = false;
	memset(self->links, 0, sizeof(self->links));
}

/* The boot allocator and its filters, before all others; who wants memory of it gets it now. */
static int start_early(struct loam__graph *graph, struct loam_diag *diag)
{
	struct loam_self *boot = graph->kernel[LOAM_ROLE_BOOT];
	int error = 0;

	for (unsigned i = 0; boot && !boot->created && i < graph->nr && !error; i++) {
		struct loam_self *self = graph->instances[i];

		if (loam__stands_on(boot, self))
			error = create(self, diag);
	}
	return error ? error : loam__early_boot(boot, diag);
}

static int start_instances(struct loam__graph *graph, struct loam_diag *diag)
{
	int error = lay_out_areas(graph, diag);

	if (!error)
		error = loam__area_boot();
	for (unsigned i = 0; i < graph->nr && !error; i++)
		error = prepare(graph->instances[i]);
	if (!error)
		error = start_early(graph, diag);
	for (unsigned i = 0; i < graph->nr && !error; i++) {
		struct loam_self *self = graph->instances[i];

		if (!self->created)
			error = create(self, diag);
		/* As soon as the whole chain stands: whoever is created next may want frames. */
		if (!error && self == graph->frames)
			error = loam__hand_over(self, diag);
	}
	return error;
}

/* ---- boot ---- */

static void read_settings(const union loam_value *values)
{
	struct loam__machine *m = &loam__machine;

	m->backing = (enum loam__backing)values[LOAM_M_BACKING].i;
	m->release = (enum loam__release)values[LOAM_M_RELEASE].i;
	m->reserve = (enum loam__reserve)values[LOAM_M_RESERVE].i;
	m->on_report = (enum loam__on_report)values[LOAM_M_REPORT].i;
	m->cpus = (unsigned)values[LOAM_M_CPUS].i;
	m->mem = values[LOAM_M_MEM].u;
	m->seed = loam__seed((uint64_t)values[LOAM_M_SEED].i);
	m->nr_reports = 0;
}

/* Everything below the instances, and the graph. */
static void tear_down(void)
{
	struct loam__graph *graph = loam__machine.graph;

	for (unsigned i = 0; i < graph->nr; i++) {
		loam__owner_del(graph->instances[i]->owner);
		graph->instances[i]->owner = 0;
	}
	loam__area_halt();
	loam__large_halt();
	loam__meta_halt();
	loam__arena_halt();
	memset(loam__machine.zones, 0, sizeof(loam__machine.zones));
	loam__machine.graph = NULL;
	loam__machine.foreign = NULL;
	loam__machine.orders = 0;
	loam__early_halt();
	loam__graph_free(graph);
}

static void stop_instances(void)
{
	struct loam__graph *graph = loam__machine.graph;

	loam__area_flush_all();
	loam__machine.up = false;
	for (unsigned i = graph->nr; i--;)
		destroy(graph->instances[i]);
}

int loam__boot(struct loam__graph *graph, struct loam_diag *diag)
{
	struct loam__machine *m = &loam__machine;
	int error;

	if (m->graph) {
		loam__diag_add(diag, NULL, 0, "a machine is up already; there is one at a time");
		loam__graph_free(graph);
		return -EBUSY;
	}
	m->graph = graph;
	read_settings(graph->machine);
	set_up_host();
	loam__owner_boot();
	error = set_up_memory(graph->machine, diag);
	if (!error)
		error = loam__large_boot(m->map.nr_pages << LOAM_PAGE_SHIFT);
	if (!error) {
		m->up = true;
		error = start_instances(graph, diag);
		/* Behind what create may have loaded: the last to be registered is the first to be called before a fork. */
		loam__fork_boot();
	}
	if (error) {
		if (!diag->count)
			loam__diag_add(diag, NULL, 0, "the machine does not start: %s", strerror(-error));
		stop_instances();
		tear_down();
		return error;
	}
	loam__zones_watermarks(m->zones, (unsigned long)(graph->machine[LOAM_M_MIN_FREE].u >> 10));
	m->frames.link = graph->frames ? &graph->frames->links[LOAM_ROLE_PAGES] : NULL;
	m->foreign = graph->foreign ? &graph->foreign->top : NULL;
	m->boot_used = loam__frames_used();
	return 0;
}

/* ---- halt ---- */

struct leaks {
	FILE *out;
	const struct loam_self *self;
	unsigned lines, shown;
};

#define say(leaks, ...) ((leaks)->lines++, (leaks)->out ? fprintf((leaks)->out, __VA_ARGS__) : 0)

static int show_block(void *arg, const struct loam_span *span)
{
	struct leaks *leaks = arg;

	if (span->kind != LOAM_SPAN_LIVE)
		return 0;
	if (leaks->out && leaks->shown < 10)
		fprintf(leaks->out, "  %p %zu bytes%s%s\n", span->addr, span->bytes, span->label ? " of " : "",
			span->label ? span->label : "");
	return ++leaks->shown >= 10;
}

static void show_defect(void *arg, const char *text)
{
	struct leaks *leaks = arg;

	say(leaks, "defect: [%s] %s: %s\n", leaks->self->name, leaks->self->plugin->desc.name, text);
}

/* Live blocks of an instance; frames are counted for the machine as a whole, and what was reserved at boot stays. */
static void report_leaks(struct leaks *leaks)
{
	const struct loam_self *self = leaks->self;
	struct loam_stat stat = { .size = sizeof(stat) };

	/* Behind a filter live blocks may wait in the filter: the top of the chain tells. */
	if (self->links[LOAM_ROLE_PAGES].ops || self->links[LOAM_ROLE_BOOT].ops || self->filter)
		return;
	loam__stat((struct loam_self *)self, &stat);
	if (!stat.live_blocks)
		return;
	say(leaks, "leak: [%s] %s: %llu blocks, %llu bytes\n", self->name, self->plugin->desc.name,
	    (unsigned long long)stat.live_blocks, (unsigned long long)stat.live_bytes);
	leaks->shown = 0;
	if (self->plugin->desc.walk)
		self->plugin->desc.walk(self->inst, show_block, leaks);
}

static void inspect(struct leaks *leaks)
{
	struct loam__graph *graph = loam__machine.graph;

	loam__quiesce();
	for (unsigned i = graph->nr; i--;) {
		leaks->self = graph->instances[i];
		if (leaks->self->plugin->desc.check)
			leaks->self->plugin->desc.check(leaks->self->inst, show_defect, leaks);
	}
	loam__resume();
	for (unsigned i = graph->nr; i--;) {
		leaks->self = graph->instances[i];
		report_leaks(leaks);
	}
}

static void inspect_end(struct leaks *leaks, const struct loam__graph *graph)
{
	unsigned long used = loam__frames_used();

	if (used)
		say(leaks, "leak: %lu frames of the machine were not given back\n", used);
	for (unsigned i = 0; i < graph->nr; i++) {
		const struct loam_self *self = graph->instances[i];
		unsigned windows = loam__window_leaks(self);

		if (self->meta_bytes)
			say(leaks, "leak: [%s] %llu bytes of metadata\n", self->name,
			    (unsigned long long)self->meta_bytes);
		if (windows)
			say(leaks, "leak: [%s] %u windows\n", self->name, windows);
	}
}

unsigned loam__halt(FILE *out)
{
	struct leaks leaks = { .out = out };

	if (!loam__machine.up)
		return 0;
	loam__area_flush_all();
	inspect(&leaks);
	stop_instances();
	inspect_end(&leaks, loam__machine.graph);
	tear_down();
	return leaks.lines;
}

/* Whether @self is reached through @top, which may be it. */
bool loam__stands_on(const struct loam_self *top, const struct loam_self *self)
{
	if (top == self)
		return true;
	for (uint32_t i = 0; i < top->plugin->desc.nr_ports; i++)
		if (top->targets[i] && loam__stands_on(top->targets[i], self))
			return true;
	return false;
}

/* The instance whose link a port holds. */
struct loam_self *loam__port_instance(const struct loam_port *port)
{
	const struct loam_link *link = loam_port_link(port);
	struct loam__graph *graph = loam__machine.graph;

	for (unsigned i = 0; i < graph->nr; i++)
		if (link >= graph->instances[i]->links && link < graph->instances[i]->links + LOAM_ROLE_COUNT)
			return graph->instances[i];
	return NULL;
}

void loam__host_stat(const struct loam_port *port, struct loam_stat *stat)
{
	struct loam_stat full;

	loam__stat(loam__port_instance(port), &full);
	full.size = stat->size;
	memcpy(stat, &full, stat->size < sizeof(full) ? stat->size : sizeof(full));
}

int loam__host_walk(const struct loam_port *port, loam_walk_fn fn, void *arg)
{
	struct loam_self *self = loam__port_instance(port);

	return self->plugin->desc.walk ? self->plugin->desc.walk(self->inst, fn, arg) : -ENOTSUP;
}

/* What is no op of a role runs under a serialised instance's lock too. */
static struct loam_lock *enter(struct loam_self *self) LOAM_UNCHECKED
{
	struct loam_lock *lock = loam__serial_lock(self);

	if (lock)
		loam_lock(&loam__machine.host, lock);
	return lock;
}

static void leave(struct loam_lock *lock) LOAM_UNCHECKED
{
	if (lock)
		loam_unlock(&loam__machine.host, lock);
}

void loam__tell(struct loam_self *self, void (*line)(void *arg, const char *text), void *arg)
{
	struct loam_lock *lock;

	if (!self->plugin->desc.tell)
		return;
	lock = enter(self);
	self->plugin->desc.tell(self->inst, line, arg);
	leave(lock);
}

void loam__stat(struct loam_self *self, struct loam_stat *stat)
{
	struct loam_lock *lock = enter(self);

	*stat = (struct loam_stat){ .size = sizeof(*stat) };
	self->plugin->desc.stat(self->inst, stat);
	leave(lock);
}

unsigned long loam__shrink(struct loam_self *self, unsigned long pages)
{
	struct loam_lock *lock;
	unsigned long got;

	if (!self->created || !self->plugin->desc.shrink)
		return 0;
	lock = enter(self);
	got = self->plugin->desc.shrink(self->inst, pages);
	leave(lock);
	return got;
}
