/* SPDX-License-Identifier: MIT */
/* embed.c: the public calls of loam/loam.h. */
#include "internal.h"

#include <loam/heap.h>
#include <loam/loam.h>

#include <errno.h>
#include <stdlib.h>

struct loam_config {
	struct loam__config *config;
};

static char *errors;
static struct loam__config *booted;
static const struct loam_port *heap;

/* Messages to text; frees them. */
static void keep_errors(struct loam_diag *diag)
{
	size_t size;
	FILE *out;

	free(errors);
	errors = NULL;
	out = diag->count ? open_memstream(&errors, &size) : NULL;
	if (out) {
		loam__diag_print(diag, out);
		fclose(out);
	}
	loam__diag_clear(diag);
}

const char *loam_errors(void)
{
	return errors ? errors : "";
}

/* Wraps what was read; NULL when there was an error. */
static struct loam_config *wrap(struct loam__config *config, struct loam_diag *diag)
{
	struct loam_config *wrapped = diag->count ? NULL : calloc(1, sizeof(*wrapped));

	keep_errors(diag);
	if (wrapped)
		wrapped->config = config;
	else
		loam__config_free(config);
	return wrapped;
}

struct loam_config *loam_config_file(const char *path)
{
	struct loam_diag diag;

	loam__diag_init(&diag);
	return wrap(loam__config_file(path, &diag), &diag);
}

struct loam_config *loam_config_text(const char *name, const char *text)
{
	struct loam_diag diag;

	loam__diag_init(&diag);
	return wrap(loam__config_text(name, text, &diag), &diag);
}

int loam_config_set(struct loam_config *config, const char *spec)
{
	struct loam_diag diag;
	bool ok;

	loam__diag_init(&diag);
	ok = loam__config_set(config->config, spec, &diag);
	keep_errors(&diag);
	return ok ? 0 : -EINVAL;
}

void loam_config_free(struct loam_config *config)
{
	if (config)
		loam__config_free(config->config);
	free(config);
}

int loam_boot(struct loam_config *config)
{
	struct loam__config *inner = config->config;
	struct loam__graph *graph;
	struct loam_diag diag;
	int error;

	free(config);
	loam__diag_init(&diag);
	graph = loam__wire(inner, &diag);
	error = graph ? loam__boot(graph, &diag) : -EINVAL;
	keep_errors(&diag);
	if (error) {
		loam__config_free(inner);
		return error;
	}
	booted = inner;
	heap = graph->heap                     ? &graph->heap->top
	       : graph->kernel[LOAM_ROLE_HEAP] ? &graph->kernel[LOAM_ROLE_HEAP]->top
					       : NULL;
	return 0;
}

unsigned loam_halt(FILE *out)
{
	unsigned lines = loam__halt(out);

	heap = NULL;
	loam__config_free(booted);
	booted = NULL;
	return lines;
}

void *loam_alloc(size_t bytes)
{
	void *ptr;

	if (!heap) {
		errno = ENODEV;
		return NULL;
	}
	ptr = loam_heap_alloc(heap, bytes ? bytes : 1, 16, GFP_KERNEL);
	if (!ptr)
		errno = ENOMEM;
	return ptr;
}

void loam_free(void *ptr)
{
	struct page *page = ptr ? loam_ptr_page(&loam__machine.map, ptr) : NULL;
	const struct loam_link *link;

	if (!ptr)
		return;
	link = loam_port_link(page ? loam__owner_of(page)->heap : loam__owners[0].heap);
	loam_heap_ops(link)->free(link->inst, ptr, page);
}
