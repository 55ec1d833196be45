/* SPDX-License-Identifier: MIT */
/*
 * subject.c: from what the command line names to configurations, one for each wiring in which the plugin is judged.
 *
 * A plugin's ports are filled by reference backends: buddy for pages, slub for objects, slob for a heap, or what --with says. A
 * filter is judged over two lower instances for each role. The plugin is looked at in a process of its own, so that one that
 * crashes when it is loaded, or cannot be created, takes nothing with it.
 */
#include "child.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEEPEST 8
#define VARIANTS 8

static const char *const lowers[] = { "slub", "slob", "buddy", "bitmap" };

struct maker {
	const struct target *target;
	struct loam_diag diag;
	FILE *out;
};

/* ---- text ---- */

static const char *with(const struct target *target, const char *port)
{
	size_t n = strlen(port);

	for (unsigned i = 0; i < target->nr_with; i++)
		if (!strncmp(target->with[i], port, n) && target->with[i][n] == '=')
			return target->with[i] + n + 1;
	return NULL;
}

static const char *reference(uint32_t roles)
{
	if (roles & LOAM_ROLE_BIT(LOAM_ROLE_PAGES))
		return "buddy";
	if (roles & LOAM_ROLE_BIT(LOAM_ROLE_OBJECTS))
		return "slub";
	return roles & LOAM_ROLE_BIT(LOAM_ROLE_HEAP) ? "slob" : NULL;
}

static const struct loam_port_decl *lower_port(const struct loam_plugin *desc)
{
	for (uint32_t i = 0; i < desc->nr_ports; i++)
		if (desc->ports[i].flags & LOAM_PORT_LOWER)
			return &desc->ports[i];
	return NULL;
}

static uint32_t roles_of(const struct loam_plugin *desc)
{
	uint32_t roles = 0;

	for (uint32_t i = 0; i < desc->nr_roles; i++)
		roles |= LOAM_ROLE_BIT(desc->roles[i].role);
	return roles;
}

static bool section(struct maker *maker, const char *name, const char *plugin, const char *lower, unsigned depth,
		    const char *suffix);

/* The port's line, and the section that it names. A pages port of everybody leads to the one page allocator. */
static bool fill_port(struct maker *maker, const struct loam_port_decl *port, const char *lower, unsigned depth,
		      const char *suffix, char *later, size_t later_size)
{
	const char *asked = depth ? NULL : with(maker->target, port->name), *plugin = asked;
	bool is_lower = port->flags & LOAM_PORT_LOWER;

	if (!plugin && port->flags & LOAM_PORT_OPTIONAL)
		return true;
	if (!plugin)
		plugin = is_lower && lower ? lower : reference(port->roles);
	if (!plugin) {
		loam__diag_add(&maker->diag, NULL, 0,
			       "port %s: there is no reference backend for its roles; name one with --with %s=PLUGIN",
			       port->name, port->name);
		return false;
	}
	fprintf(maker->out, "%s = reference-%s%s\n", port->name, port->name, is_lower ? suffix : "");
	snprintf(later, later_size, "%s", plugin);
	return true;
}

static bool section(struct maker *maker, const char *name, const char *plugin, const char *lower, unsigned depth,
		    const char *suffix)
{
	struct loam__plugin *loaded = loam__plugin_load(plugin, NULL, 0, &maker->diag);
	char later[32][256];
	bool good = loaded && depth < DEEPEST;

	if (!good)
		return false;
	fprintf(maker->out, "[%s]\nplugin = %s\n", name, loaded->path);
	for (unsigned i = 0; !depth && i < maker->target->nr_values; i++)
		fprintf(maker->out, "%s\n", maker->target->values[i]);
	memset(later, 0, sizeof(later));
	for (uint32_t i = 0; good && i < loaded->desc.nr_ports && i < LOAM_LEN(later); i++)
		good = fill_port(maker, &loaded->desc.ports[i], lower, depth, suffix, later[i], sizeof(later[i]));
	for (uint32_t i = 0; good && i < loaded->desc.nr_ports && i < LOAM_LEN(later); i++) {
		bool is_lower = loaded->desc.ports[i].flags & LOAM_PORT_LOWER;
		char child[128];

		snprintf(child, sizeof(child), "reference-%s%s", loaded->desc.ports[i].name, is_lower ? suffix : "");
		/* A twin shares what may be shared. */
		if (later[i][0] && (is_lower || !*suffix))
			good = section(maker, child, later[i], NULL, depth + 1, suffix);
	}
	loam__plugin_put(loaded);
	return good;
}

/* The text of a wiring of the plugin, over @lower when it is a filter. NULL: message in the maker. Caller frees. */
static char *wiring(struct maker *maker, const char *name, const char *lower, const char *suffix)
{
	char *text = NULL;
	size_t size;
	bool good;

	maker->out = open_memstream(&text, &size);
	if (!maker->out)
		return NULL;
	if (!*suffix)
		fprintf(maker->out, "[machine]\n");
	good = section(maker, name, maker->target->what, lower, 0, suffix);
	fclose(maker->out);
	if (good)
		return text;
	free(text);
	return NULL;
}

/* What maps frames without a port for them is given some by the test: then the machine has a page allocator beside it. */
static char *with_frames(struct maker *maker, char *config)
{
	char *text = NULL;
	size_t size;
	bool good;

	maker->out = open_memstream(&text, &size);
	if (!maker->out)
		return NULL;
	fputs(config, maker->out);
	good = section(maker, "reference-pages", reference(LOAM_ROLE_BIT(LOAM_ROLE_PAGES)), NULL, 1, "");
	fclose(maker->out);
	free(config);
	if (good)
		return text;
	free(text);
	return NULL;
}

/* ---- in the process that looks ---- */

static uint64_t claims_of(const struct suite *suite)
{
	uint64_t claims = 0;

	for (unsigned i = 0; suite->capabilities && suite->capabilities[i].name; i++)
		if (suite->capabilities[i].has())
			claims |= 1ull << i;
	return claims;
}

/* Whether the suite's questions can be put to this subject. */
static bool concerns(const struct suite *suite, const struct subject *s)
{
	if (suite->filter)
		return s->filter;
	return suite->general || s->roles & LOAM_ROLE_BIT(suite->role);
}

void subject_claims(struct subject *s)
{
	const struct loam_plugin *desc = &subject->plugin->desc;
	unsigned n;
	const struct suite *const *all = suites(&n);

	s->roles = subject->roles;
	s->flags = desc->flags;
	s->filter = lower_port(desc) != NULL;
	snprintf(s->name, sizeof(s->name), "%s", desc->name);
	snprintf(s->version, sizeof(s->version), "%s", desc->version);
	snprintf(s->summary, sizeof(s->summary), "%s", desc->summary);
	for (unsigned i = 0; i < n && i < MAX_SUITES; i++)
		if (concerns(all[i], s))
			s->claims[i] = claims_of(all[i]);
}

/* Lower instances for a filter that have a role which it takes. */
static unsigned choose_lowers(struct maker *maker, const char **chosen)
{
	struct loam__plugin *plugin = loam__plugin_load(maker->target->what, NULL, 0, &maker->diag);
	const struct loam_port_decl *port = plugin ? lower_port(&plugin->desc) : NULL;
	const char *asked = port ? with(maker->target, port->name) : NULL;
	unsigned n = 0;

	if (asked || (plugin && !port)) {
		chosen[0] = asked;
		n = 1;
	}
	for (unsigned i = 0; port && !asked && i < LOAM_LEN(lowers); i++) {
		struct loam__plugin *lower = loam__plugin_load(lowers[i], NULL, 0, &maker->diag);

		if (!lower)
			return 0;
		if (roles_of(&lower->desc) & port->roles)
			chosen[n++] = lowers[i];
		loam__plugin_put(lower);
	}
	if (plugin)
		loam__plugin_put(plugin);
	return n;
}

/* Roles whose instances map frames at addresses of theirs. */
static bool maps_frames(const struct loam_plugin *desc)
{
	return roles_of(desc) &
	       (LOAM_ROLE_BIT(LOAM_ROLE_VMAP) | LOAM_ROLE_BIT(LOAM_ROLE_KMAP) | LOAM_ROLE_BIT(LOAM_ROLE_PERCPU));
}

static const char *alone(const struct loam_plugin *desc)
{
	if (desc->flags & LOAM_PLUGIN_FOREIGN)
		return "a machine has one heap outside its memory";
	if (roles_of(desc) & LOAM_ROLE_BIT(LOAM_ROLE_PAGES))
		return "a machine has one page allocator";
	return NULL;
}

/* Why the plugin cannot stand twice in a machine: of a filter, that is up to what is below. */
static const char *no_twin(struct maker *maker, const struct loam__plugin *plugin, const char *lower)
{
	struct loam__plugin *below = lower ? loam__plugin_load(lower, NULL, 0, &maker->diag) : NULL;
	const char *why = alone(below ? &below->desc : &plugin->desc);

	if (below)
		loam__plugin_put(below);
	return why;
}

static bool make_plugin(struct maker *maker, const char *lower, struct subject *s)
{
	struct loam__plugin *plugin = loam__plugin_load(maker->target->what, NULL, 0, &maker->diag);

	if (!plugin)
		return false;
	s->instance = "subject";
	s->variant = (char *)lower;
	s->memfd = maps_frames(&plugin->desc);
	s->config = wiring(maker, "subject", lower, "");
	if (s->memfd && s->config && !strstr(s->config, "[reference-pages]"))
		s->config = with_frames(maker, s->config);
	s->why_no_twin = no_twin(maker, plugin, lower);
	if (s->config && !s->why_no_twin)
		s->twin = wiring(maker, "twin", lower, "-twin");
	loam__plugin_put(plugin);
	return s->config != NULL;
}

/* CONFIG#INSTANCE */
static bool make_instance(struct maker *maker, const char *what, struct subject *s)
{
	const char *hash = strrchr(what, '#');
	char *path = strndup(what, (size_t)(hash - what));
	struct loam__config *config = loam__config_file(path, &maker->diag);
	struct loam__section *found = config ? loam__config_section(config, hash + 1) : NULL;

	for (unsigned i = 0; config && i < maker->target->nr_values; i++) {
		char *spec;

		if (asprintf(&spec, "%s.%s", hash + 1, maker->target->values[i]) >= 0)
			loam__config_set(config, spec, &maker->diag);
	}
	if (config && !maker->diag.count && !found)
		loam__diag_add(&maker->diag, path, 0, "there is no section [%s]", hash + 1);
	if (found && loam__section_entry(found, "plugin")) {
		struct loam__plugin *plugin =
			loam__plugin_load(loam__section_entry(found, "plugin")->value, path, 0, &maker->diag);

		s->memfd = plugin && maps_frames(&plugin->desc);
		if (plugin)
			loam__plugin_put(plugin);
	}
	s->instance = strdup(hash + 1);
	s->why_no_twin = "judged in the configuration as it is";
	s->config = maker->diag.count ? NULL : loam__config_print(config);
	return s->config != NULL;
}

/* ---- between the two processes ---- */

static void put(FILE *out, const char *text)
{
	size_t n = text ? strlen(text) + 1 : 0;

	fwrite(&n, sizeof(n), 1, out);
	if (n)
		fwrite(text, 1, n, out);
}

static char *take(FILE *in)
{
	size_t n;
	char *text;

	if (fread(&n, sizeof(n), 1, in) != 1 || !n || n > 1 << 20)
		return NULL;
	text = calloc(1, n);
	if (text && fread(text, 1, n, in) != n)
		text[0] = '\0';
	return text;
}

static void put_subject(FILE *out, const struct subject *s)
{
	fwrite(s, sizeof(*s), 1, out);
	put(out, s->variant);
	put(out, s->instance);
	put(out, s->config);
	put(out, s->twin);
	put(out, s->why_no_twin);
}

static struct subject *take_subject(FILE *in)
{
	struct subject *s = calloc(1, sizeof(*s));

	if (!s || fread(s, sizeof(*s), 1, in) != 1) {
		free(s);
		return NULL;
	}
	s->next = NULL;
	s->variant = take(in);
	s->instance = take(in);
	s->config = take(in);
	s->twin = take(in);
	s->why_no_twin = take(in);
	return s;
}

/* Boot it once, for what only a created instance knows. */
static bool boot_once(struct subject *s)
{
	const char *why;

	job.subject = s;
	job.seed = 1ull << 32;
	if (machine_try(NULL, &why)) {
		fprintf(stderr, "loam conform: %s\n", why);
		return false;
	}
	if (!subject) {
		fprintf(stderr, "loam conform: no instance %s\n", s->instance);
		return false;
	}
	if (subject->filter) {
		fprintf(stderr, "loam conform: [%s] is behind the filter [%s], and reached through it alone\n",
			subject->name, subject->filter->name);
		return false;
	}
	subject_claims(s);
	machine_halt();
	return true;
}

static bool look_at(struct maker *maker, const char *lower, FILE *out)
{
	struct subject s = { 0 };
	bool good = strchr(maker->target->what, '#') ? make_instance(maker, maker->target->what, &s)
						     : make_plugin(maker, lower, &s);

	if (!good) {
		loam__diag_print(&maker->diag, stderr);
		return false;
	}
	if (!boot_once(&s))
		return false;
	put_subject(out, &s);
	return true;
}

static int look(const struct target *target, FILE *out)
{
	const char *chosen[VARIANTS] = { NULL };
	struct maker maker = { .target = target };
	unsigned n = 1;
	bool good = true;

	job.results = STDERR_FILENO;
	loam__diag_init(&maker.diag);
	if (!strchr(target->what, '#')) {
		n = choose_lowers(&maker, chosen);
		if (!n)
			loam__diag_print(&maker.diag, stderr);
	}
	for (unsigned i = 0; i < n && good; i++)
		good = look_at(&maker, chosen[i], out);
	fclose(out);
	return n && good ? 0 : 1;
}

void subjects_free(struct subject *first)
{
	while (first) {
		struct subject *s = first;

		first = s->next;
		free(s->variant);
		free(s->instance);
		free(s->config);
		free(s->twin);
		free((char *)s->why_no_twin);
		free(s);
	}
}

struct subject *subjects_make(const struct target *target)
{
	struct subject *first = NULL, **last = &first, *s;
	int ends[2], status = 0;
	FILE *in;
	pid_t pid;

	if (pipe(ends))
		return NULL;
	fflush(NULL);
	pid = fork();
	if (!pid) {
		close(ends[0]);
		_exit(look(target, fdopen(ends[1], "w")));
	}
	close(ends[1]);
	in = fdopen(ends[0], "r");
	while ((s = take_subject(in))) {
		*last = s;
		last = &s->next;
	}
	fclose(in);
	while (waitpid(pid, &status, 0) < 0)
		;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return first;
	if (WIFSIGNALED(status))
		fprintf(stderr, "loam conform: %s: signal %d (%s) while it was loaded and created\n", target->what,
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	return NULL;
}
