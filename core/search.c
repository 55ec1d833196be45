/* SPDX-License-Identifier: MIT */
/* search.c: where plugins are looked for: LOAM_PLUGIN_PATH, then the installed folder. */
#include "search.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int loam__search_folders(int (*fn)(void *arg, const char *folder), void *arg)
{
	const char *env = getenv("LOAM_PLUGIN_PATH");
	char *path = env ? strdup(env) : NULL, *rest = path, *folder;
	int result = 0;

	while (path && !result && (folder = strsep(&rest, ":")))
		if (*folder)
			result = fn(arg, folder);
	free(path);
	return result ? result : fn(arg, LOAM_PLUGIN_DIR);
}

struct finding {
	const char *name;
	char *found;
	char *looked; /* "a, b, c" */
};

static int try_folder(void *arg, const char *folder)
{
	struct finding *finding = arg;
	char *path, *looked;

	if (asprintf(&path, "%s/%s.so", folder, finding->name) < 0)
		return -1;
	if (!access(path, F_OK)) {
		finding->found = path;
		return 1;
	}
	free(path);
	if (asprintf(&looked, "%s%s%s", finding->looked ? finding->looked : "", finding->looked ? ", " : "", folder) <
	    0)
		return -1;
	free(finding->looked);
	finding->looked = looked;
	return 0;
}

struct nearing {
	const char *names[256];
	unsigned nr;
};

static int near_name(void *arg, const char *name, const char *path)
{
	struct nearing *nearing = arg;

	(void)path;
	if (nearing->nr < LOAM_LEN(nearing->names) - 1)
		nearing->names[nearing->nr++] = strdup(name);
	return 0;
}

static void not_found(const struct finding *finding, const char *file, int line, struct loam_diag *diag)
{
	struct nearing nearing = { .nr = 0 };
	const char *near;

	loam__plugin_each(near_name, &nearing);
	nearing.names[nearing.nr] = NULL;
	near = loam__nearest(finding->name, nearing.names);
	if (near)
		loam__diag_add(diag, file, line, "no plugin '%s' in %s; did you mean '%s'?", finding->name,
			       finding->looked, near);
	else
		loam__diag_add(diag, file, line, "no plugin '%s' in %s", finding->name, finding->looked);
	while (nearing.nr)
		free((char *)nearing.names[--nearing.nr]);
}

char *loam__search(const char *name, const char *file, int line, struct loam_diag *diag)
{
	struct finding finding = { .name = name };

	if (strchr(name, '/')) {
		if (access(name, F_OK)) {
			loam__diag_add(diag, file, line, "no plugin file %s", name);
			return NULL;
		}
		return strdup(name);
	}
	loam__search_folders(try_folder, &finding);
	if (!finding.found)
		not_found(&finding, file, line, diag);
	free(finding.looked);
	return finding.found;
}

struct listing {
	int (*fn)(void *arg, const char *name, const char *path);
	void *arg;
	char **seen;
	unsigned nr;
};

/* Whether @name is new; remembers it. */
static bool first_time(struct listing *listing, const char *name)
{
	char **seen;

	for (unsigned i = 0; i < listing->nr; i++)
		if (!strcmp(listing->seen[i], name))
			return false;
	seen = reallocarray(listing->seen, listing->nr + 1, sizeof(*seen));
	if (!seen)
		return false;
	listing->seen = seen;
	listing->seen[listing->nr++] = strdup(name);
	return true;
}

static int is_plugin(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return n > 3 && !strcmp(entry->d_name + n - 3, ".so");
}

static int list_folder(void *arg, const char *folder)
{
	struct listing *listing = arg;
	struct dirent **entries;
	int n = scandir(folder, &entries, is_plugin, alphasort), result = 0;

	for (int i = 0; i < n; i++) {
		char *path;

		if (!result && asprintf(&path, "%s/%s", folder, entries[i]->d_name) >= 0) {
			entries[i]->d_name[strlen(entries[i]->d_name) - 3] = '\0';
			if (first_time(listing, entries[i]->d_name))
				result = listing->fn(listing->arg, entries[i]->d_name, path);
			free(path);
		}
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return result;
}

int loam__plugin_each(int (*fn)(void *arg, const char *name, const char *path), void *arg)
{
	struct listing listing = { .fn = fn, .arg = arg };
	int result = loam__search_folders(list_folder, &listing);

	while (listing.nr)
		free(listing.seen[--listing.nr]);
	free(listing.seen);
	return result;
}
