/* SPDX-License-Identifier: MIT */
/*
 * wire.h: from a configuration to a checked graph of instances. Nothing is started here.
 */
#ifndef LOAM_CORE_WIRE_H
#define LOAM_CORE_WIRE_H

#include "config.h"
#include "loader.h"

/** An instance: one section of the configuration. The host's record, opaque to plugins. */
struct loam_self {
	const char *name; /* the section's */
	const char *file;
	int line;
	struct loam__plugin *plugin;
	unsigned index; /* place in graph->instances */

	union loam_value *params;
	struct loam_self **targets; /* for each declared port: the instance that fills it, or NULL */
	enum loam_role_id *target_roles;
	struct loam_port *ports; /* for each declared port, filled at boot */
	const struct loam_port **port_ptrs;

	struct loam_self *filter; /* the filter that stands on this instance; NULL: reached directly */
	struct loam_self *lower;  /* what this instance filters; NULL: not a filter */
	uint32_t roles;           /* LOAM_ROLE_BIT of each role of the instance; a filter has those of its lower only */
	/* A conversion of roles has no section of its own: this is the reference that asked for it. Else NULL. */
	const struct loam__entry *implied;
	const struct loam__section *implied_section;

	/* ---- from here on: written by boot ---- */
	struct loam_link links[LOAM_ROLE_COUNT]; /* ops NULL where the role is not provided */
	struct loam_port top;                    /* the face of the filter chain's top: what owner ids lead to */
	struct loam_port lower_ports[LOAM_ROLE_COUNT];
	const struct loam_port *lower_ptrs[LOAM_ROLE_COUNT];
	struct loam_args args;
	void *inst; /* the plugin's; valid when created */
	bool created;
	uint32_t owner;
	size_t area_offset;
	const struct loam_host *host; /* the table that the plugin calls */
	struct list_head locks;       /* struct loam_lock.all */
	void *serial;                 /* the host's lock around a serialised instance's ops */
	uint64_t meta_bytes;          /* metadata memory held; atomic */
	uint64_t reports[LOAM_REPORT_KINDS];
	uint64_t random_state;
};

/* ---- [kernel], beside the instances that answer for each role ---- */

enum loam__kernel_param {
	LOAM_K_TRACK, /* who allocated what is kept, for the report when a module goes */
	LOAM_K_STACK, /* bytes of a kernel thread's stack: one page or two */
	LOAM_K_COUNT
};

/** A checked configuration. */
struct loam__graph {
	const struct loam__config *config;
	struct loam_self **instances; /* providers before consumers */
	unsigned nr;
	union loam_value *machine;                 /* the values of loam__machine_params */
	struct loam_self *kernel[LOAM_ROLE_COUNT]; /* [kernel]: which instance answers; NULL: not configured */
	union loam_value settings[LOAM_K_COUNT];   /* [kernel]: enum loam__kernel_param */
	struct loam_self *heap;                    /* [malloc] heap, or NULL */
	uint64_t large; /* [malloc] large: bytes from which on requests bypass the heap; 0: only over its limit */
	struct loam_self *frames;  /* the top of the chain that owns the machine's frames, or NULL */
	struct loam_self *foreign; /* the top of the chain whose blocks lie outside the machine's memory, or NULL */
};

/**
 * Check @config and load its plugins. Every defect is in @diag; NULL when there was one. The graph refers to @config, which
 * must outlive it.
 *
 * Checked: unknown sections' plugins, missing and unknown keys, parameter values, ports that name no instance or one without
 * an accepted role, cycles, filters (an instance behind a filter is reached by nobody else, and by one filter only), at most
 * one chain of pages, reserved sections.
 */
LOAM_EXPORT struct loam__graph *loam__wire(const struct loam__config *config, struct loam_diag *diag);
LOAM_EXPORT void loam__graph_free(struct loam__graph *graph);
/** The instance of this name, or NULL. */
LOAM_EXPORT struct loam_self *loam__graph_find(const struct loam__graph *graph, const char *name);

#endif
