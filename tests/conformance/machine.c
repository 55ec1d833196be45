/* SPDX-License-Identifier: MIT */
/* machine.c: the machine of a test: boot it with the subject, halt it, and what must hold at the end. */
#include "child.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct loam_self *subject, *twin;
static struct loam__config *config;
static bool expected;

/* Under the usual size of a machine: its odd ends are there for the page allocators, whatever size a test asks for. */
#define HOLES 5
static struct loam__range ram[HOLES];

bool machine_is_up(void)
{
	return loam__machine.up;
}

/* Holes with odd ends, in both zones; the first and the last frame are missing. */
static void default_ram(unsigned long frames)
{
	const unsigned long cuts[HOLES + 1] = { 1,          frames / 16 + 3,     frames / 5 + 1,
						frames / 2, frames - frames / 7, frames - 1 };
	const unsigned long gaps[HOLES] = { 0, 7, 1, 130, 33 };

	for (unsigned i = 0; i < HOLES; i++)
		ram[i] = (struct loam__range){ cuts[i] + gaps[i], cuts[i + 1] - cuts[i] - gaps[i] };
}

static void set(const char *fmt, ...) LOAM_PRINTF(1, 2);
static void set(const char *fmt, ...)
{
	struct loam_diag diag;
	char spec[300];
	va_list args;

	va_start(args, fmt);
	vsnprintf(spec, sizeof(spec), fmt, args);
	va_end(args);
	loam__diag_init(&diag);
	if (!loam__config_set(config, spec, &diag))
		trouble("cannot set %s", spec);
	loam__diag_clear(&diag);
}

static size_t memory_of(const struct setup *setup)
{
	unsigned mib = job.test && job.test->memory ? job.test->memory : 32;
	size_t bytes = setup->memory ? setup->memory : (size_t)mib << 20;
	bool high = job.subject->roles & LOAM_ROLE_BIT(LOAM_ROLE_KMAP);

	/* Who maps high memory has some, however small a machine the test asks for. */
	return high && bytes < 32u << 20 ? 32u << 20 : bytes;
}

static const char *usual_zones(bool memfd, size_t memory)
{
	if (!memfd)
		return "DMA:4M NORMAL:*";
	return memory < 24u << 20 ? "DMA:2M NORMAL:4M HIGHMEM:*" : "DMA:4M NORMAL:16M HIGHMEM:*";
}

static void apply(const struct setup *setup)
{
	bool memfd = setup->memfd || job.subject->memfd || (job.test && job.test->flags & MEMFD);

	set("machine.memory=%zuK", memory_of(setup) >> 10);
	set("machine.zones=%s", setup->zones ? setup->zones : usual_zones(memfd, memory_of(setup)));
	set("machine.backing=%s", memfd ? "memfd" : "anon");
	set("machine.seed=%llu", (unsigned long long)(job.seed >> 32 ? job.seed >> 32 : 1));
	set("machine.report=continue");
	/* These have something for each CPU: let there be several. */
	if (job.subject->roles & (LOAM_ROLE_BIT(LOAM_ROLE_PERCPU) | LOAM_ROLE_BIT(LOAM_ROLE_KMAP)))
		set("machine.cpus=4");
	for (unsigned i = 0; setup->sets && setup->sets[i]; i++)
		set("%s", setup->sets[i]);
}

static void read_config(const struct setup *setup)
{
	struct loam_diag diag;
	char *text;

	if (setup->twin && !job.subject->twin)
		skip("%s", job.subject->why_no_twin);
	if (asprintf(&text, "%s%s", job.subject->config, setup->twin ? job.subject->twin : "") < 0)
		trouble("no memory");
	loam__diag_init(&diag);
	config = loam__config_text("conform", text, &diag);
	if (!config || diag.count)
		trouble("the configuration does not read back");
	free(text);
	loam__diag_clear(&diag);
}

static void on_create(struct loam_self *self)
{
	if (!strcmp(self->name, job.subject->instance))
		subject = self;
	else if (!strcmp(self->name, "twin"))
		twin = self;
	else
		return;
	shim_attach(self);
}

static void choose_ram(const struct setup *setup)
{
	loam__ram = setup->ram;
	loam__nr_ram = setup->nr_ram;
	if (loam__ram || !(job.subject->roles & LOAM_ROLE_BIT(LOAM_ROLE_PAGES)))
		return;
	default_ram(memory_of(setup) >> LOAM_PAGE_SHIFT);
	loam__ram = ram;
	loam__nr_ram = HOLES;
}

int machine_try(const struct setup *setup, const char **why)
{
	static const struct setup usual;
	static char message[400];
	struct loam_diag diag;
	struct loam__graph *graph;
	int error = -EINVAL;

	if (!setup)
		setup = &usual;
	read_config(setup);
	apply(setup);
	subject = twin = NULL;
	expected = false;
	shim_reset();
	loam__on_create = on_create;
	choose_ram(setup);
	loam__diag_init(&diag);
	op_enter("create");
	graph = loam__wire(config, &diag);
	if (graph)
		error = loam__boot(graph, &diag);
	op_leave();
	snprintf(message, sizeof(message), "%s", diag.first ? diag.first->text : "");
	loam__diag_clear(&diag);
	if (why)
		*why = message;
	if (error) {
		loam__config_free(config);
		config = NULL;
		shim_detach();
	}
	return error;
}

void machine_up(const struct setup *setup)
{
	const char *why;
	int error = machine_try(setup, &why);

	if (error)
		trouble("the machine does not start: %s", why);
	if (!subject)
		trouble("no instance %s", job.subject->instance);
}

static unsigned halt_into(char **text)
{
	size_t size;
	FILE *out = open_memstream(text, &size);
	unsigned lines;

	if (!out)
		trouble("no memory");
	op_enter("destroy");
	lines = loam__halt(out);
	op_leave();
	fclose(out);
	loam__config_free(config);
	config = NULL;
	shim_detach();
	return lines;
}

unsigned machine_halt(void)
{
	char *text;
	unsigned lines = halt_into(&text);

	free(text);
	return lines;
}

void machine_down(void)
{
	uint64_t false_alarms = expected ? 0 : reports_total();
	const char *defect;
	char *text;

	if (check_now(&defect))
		broken(SOUND, "at the end of the test: %s", defect);
	if (halt_into(&text))
		broken(LEAVES_NOTHING, "at halt: %s", text);
	free(text);
	if (false_alarms)
		broken(NO_FALSE_ALARM, "%llu reports of misuse, and there was none", (unsigned long long)false_alarms);
	if (shim_counts().frames_live || shim_counts().meta_live || shim_counts().windows_live)
		broken(LEAVES_NOTHING, "%llu frames, %llu blocks of metadata and %llu windows did not go back",
		       (unsigned long long)shim_counts().frames_live, (unsigned long long)shim_counts().meta_live,
		       (unsigned long long)shim_counts().windows_live);
}

/* ---- reports ---- */

uint64_t reports(enum loam_report_kind kind)
{
	return __atomic_load_n(&subject->reports[kind], __ATOMIC_RELAXED);
}

uint64_t reports_total(void)
{
	return __atomic_load_n(&loam__machine.nr_reports, __ATOMIC_RELAXED);
}

void reports_expected(void)
{
	expected = true;
}

bool misuse_expected(void)
{
	return expected;
}
