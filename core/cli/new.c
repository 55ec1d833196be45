/* SPDX-License-Identifier: MIT */
/*
 * new.c: a project for a plugin of one's own, outside the tree.
 *
 * It is made of templates: files in a folder for each role, and in `common` for all roles. In their names and texts the word
 * NAME stands for the plugin's name. Which roles there are is seen from the folders. Names in the code do not depend on the
 * plugin's, so any name of a plugin will do. What could not be finished is taken away again.
 */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORD "NAME"
#define COMMON "common"
#define WORD_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

static const char *const help[] = { "--list", "the roles that there are templates for", "--help", "this text", NULL };

/** What is being made, and of which templates. */
struct project {
	const char *name, *folder, *from;
};

static int failed(const char *path)
{
	fprintf(stderr, "loam new: %s: %s\n", path, strerror(errno));
	return 1;
}

static const char *templates(void)
{
	const char *env = getenv("LOAM_TEMPLATES");

	return env && *env ? env : LOAM_DATA_DIR "/templates";
}

static int is_shown(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Call @fn with each name in @folder, sorted, until it returns non-zero; returns that. 1 and a message when it cannot be read. */
static int each_file(const char *folder, int (*fn)(void *arg, const char *name), void *arg)
{
	struct dirent **entries;
	int n = scandir(folder, &entries, is_shown, alphasort), result = 0;

	if (n < 0)
		return failed(folder);
	for (int i = 0; i < n; i++) {
		if (!result)
			result = fn(arg, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return result;
}

/* ---- roles ---- */

struct roles {
	char text[400]; /* "filter, heap" */
	const char *names[32];
	unsigned nr;
};

static bool is_folder(const char *name)
{
	struct stat st;
	bool yes;
	char *path;

	if (asprintf(&path, "%s/%s", templates(), name) < 0)
		return false;
	yes = !stat(path, &st) && S_ISDIR(st.st_mode);
	free(path);
	return yes;
}

static int add_role(void *arg, const char *name)
{
	struct roles *roles = arg;
	size_t n = strlen(roles->text);

	if (!strcmp(name, COMMON) || !is_folder(name) || roles->nr + 1 == LOAM_LEN(roles->names))
		return 0;
	snprintf(roles->text + n, sizeof(roles->text) - n, "%s%s", n ? ", " : "", name);
	roles->names[roles->nr++] = strdup(name);
	return 0;
}

static bool has_role(const struct roles *roles, const char *name)
{
	for (unsigned i = 0; i < roles->nr; i++)
		if (!strcmp(roles->names[i], name))
			return true;
	return false;
}

static int no_role(const struct roles *roles, const char *name)
{
	const char *near = loam__nearest(name, roles->names);

	if (loam__role_find(name) >= 0)
		return cli_usage(&cli_new, "no plugin can have the role '%s' yet; there are %s", name, roles->text);
	return cli_usage(&cli_new, "no role '%s'%s%s%s; there are %s", name, near ? "; did you mean '" : "",
			 near ? near : "", near ? "'?" : "", roles->text);
}

/* ---- files ---- */

static bool in_word(char c)
{
	return c && strchr(WORD_CHARS, c);
}

/* @text with the plugin's name for each WORD that stands alone. */
static void put_text(FILE *out, const char *text, const char *name)
{
	const size_t n = strlen(WORD);
	const char *start = text;

	for (const char *at; (at = strstr(text, WORD)); text = at + n) {
		bool part = (at > start && in_word(at[-1])) || in_word(at[n]);

		fprintf(out, "%.*s%s", (int)(at - text), text, part ? WORD : name);
	}
	fputs(text, out);
}

static int copy_text(FILE *in, FILE *out, const char *name)
{
	char *line = NULL;
	size_t size = 0;

	while (getline(&line, &size, in) >= 0)
		put_text(out, line, name);
	free(line);
	return ferror(in) || fflush(out);
}

/* The path of a file of the project. Caller frees. */
static char *path_of(const struct project *project, const char *file)
{
	char *path = NULL;
	size_t size;
	FILE *out = open_memstream(&path, &size);

	if (!out)
		return NULL;
	fprintf(out, "%s/", project->folder);
	put_text(out, file, project->name);
	return fclose(out) ? NULL : path;
}

static int copy_file(void *arg, const char *file)
{
	const struct project *project = arg;
	char *from = NULL, *to = path_of(project, file);
	FILE *in = NULL, *out = NULL;
	int error;

	if (to && asprintf(&from, "%s/%s", project->from, file) >= 0)
		in = fopen(from, "r");
	if (in)
		out = fopen(to, "wx");
	error = !out || copy_text(in, out, project->name);
	if (error)
		failed(in ? to : from);
	if (out)
		fclose(out);
	if (in)
		fclose(in);
	free(from);
	free(to);
	return error;
}

static int copy_folder(struct project *project, const char *folder)
{
	char *from;
	int error;

	if (asprintf(&from, "%s/%s", templates(), folder) < 0)
		return failed(folder);
	project->from = from;
	error = each_file(from, copy_file, project);
	free(from);
	return error;
}

static int remove_file(void *arg, const char *file)
{
	const struct project *project = arg;
	char *path;

	if (asprintf(&path, "%s/%s", project->folder, file) < 0)
		return 0;
	unlink(path);
	free(path);
	return 0;
}

static int make(struct project *project, const char *role)
{
	/* No matter which umask: plugins are not loaded from a folder that others may write to. */
	if (mkdir(project->folder, 0755))
		return failed(project->folder);
	if (!copy_folder(project, COMMON) && !copy_folder(project, role)) {
		printf("%s: a plugin with the role %s begins here; see README.md. Next: cd %s && make check\n",
		       project->name, role, project->folder);
		return 0;
	}
	/* The folder was not there before, so what is in it is ours. */
	each_file(project->folder, remove_file, project);
	rmdir(project->folder);
	return 1;
}

/* ---- the command ---- */

/* What the loader takes, but for a name that looks like an option to every tool. */
static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	return n >= 1 && n <= 31 && name[0] != '-' && strspn(name, WORD_CHARS "-") == n;
}

static int run_with(struct roles *roles, int argc, char **argv)
{
	struct project project;

	if (argc < 2 || argc > 3)
		return cli_usage(&cli_new, "expected ROLE NAME, and a folder if it is not to be called NAME");
	if (!has_role(roles, argv[0]))
		return no_role(roles, argv[0]);
	if (!name_ok(argv[1]))
		return cli_usage(&cli_new,
				 "'%s' is no name of a plugin; expected 1 to 31 letters, digits, - and _, but "
				 "no - in front",
				 argv[1]);
	project = (struct project){ .name = argv[1], .folder = argv[argc - 1] };
	return make(&project, argv[0]);
}

static int run(int argc, char **argv)
{
	struct roles roles = { .nr = 0 };
	bool list = argc == 2 && !strcmp(argv[1], "--list");
	struct cli_options options;
	int status = list ? -1 : cli_options(&cli_new, argc, argv, "", true, &options);

	if (status >= 0)
		return status;
	if (each_file(templates(), add_role, &roles))
		return 1;
	for (unsigned i = 0; list && i < roles.nr; i++)
		puts(roles.names[i]);
	status = list ? 0 : run_with(&roles, argc - options.first, argv + options.first);
	while (roles.nr)
		free((char *)roles.names[--roles.nr]);
	return status;
}

const struct cli_command cli_new = { "new", "ROLE NAME [FOLDER] | --list",
				     "begin a plugin of one's own: source, build, configuration, test", help, run };
