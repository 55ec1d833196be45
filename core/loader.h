/* SPDX-License-Identifier: MIT */
/*
 * loader.h: plugin files: find, check before any code of theirs runs, load, validate the descriptor.
 */
#ifndef LOAM_CORE_LOADER_H
#define LOAM_CORE_LOADER_H

#include "diag.h"
#include <loam/plugin.h>
#include <sys/types.h>

/** A loaded plugin. One for each file, shared by its instances, counted. */
struct loam__plugin {
	struct loam__plugin *next;
	char *path;
	void *handle; /* of dlopen */
	dev_t dev;    /* which file it is */
	ino_t ino;
	unsigned users;
	uint16_t abi_major, abi_minor, host_minor; /* from the note */
	/*
	 * The descriptor, its tables and the ops tables, completed to the host's own sizes: what an older plugin lacks is zero,
	 * what a newer one has more is cut. Code in the host and in other plugins only sees these.
	 */
	struct loam_plugin desc;
	struct loam_param *params;
	struct loam_port_decl *ports;
	struct loam_role_decl *roles;
};

/**
 * Load the plugin @name: a name ("buddy") is looked for along the search path, a text with a slash is a path. Errors go to
 * @diag with @file:@line as the place; NULL then. Loading a file again returns the same record with one more user.
 */
LOAM_EXPORT struct loam__plugin *loam__plugin_load(const char *name, const char *file, int line,
						   struct loam_diag *diag);
/** One user less; the last one unloads. */
LOAM_EXPORT void loam__plugin_put(struct loam__plugin *plugin);
/** The ops table for @role, complete, or NULL when the plugin does not provide it. */
LOAM_EXPORT const void *loam__plugin_ops(const struct loam__plugin *plugin, enum loam_role_id role);

/**
 * Call @fn with the path of each plugin file along the search path, first folder first; a name that an earlier folder had is
 * shadowed and not shown. Stops when @fn returns non-zero; returns that.
 */
LOAM_EXPORT int loam__plugin_each(int (*fn)(void *arg, const char *name, const char *path), void *arg);

/** An op of a role by name. */
struct loam__op_name {
	const char *name; /* NULL ends a list */
	size_t offset;    /* in the role's table */
};

/** What the host knows of a role. */
struct loam__role {
	const char *name;
	size_t size;                            /* of the host's own table */
	const struct loam__op_name *must, *may; /* ops that a plugin must, or may, fill in */
};
LOAM_EXPORT const struct loam__role *loam__role(enum loam_role_id role);

/** "pages", "heap", ... */
LOAM_EXPORT const char *loam__role_name(enum loam_role_id role);
/** The role with this name, or -1. */
LOAM_EXPORT int loam__role_find(const char *name);
/** Bytes of the host's own ops table of @role. */
LOAM_EXPORT size_t loam__role_ops_size(enum loam_role_id role);

/* ---- the ELF note: elfnote.c ---- */

/**
 * Read the loam note from the ELF file open at @fd, without trusting a byte of it. 0; or -ENOEXEC and @why tells what is
 * wrong (not ELF, 32-bit, other machine, truncated, not a shared object, no loam note, malformed note).
 */
LOAM_EXPORT int loam__elfnote_read(int fd, uint32_t *major, uint32_t *minor, uint32_t *host_minor, char *why,
				   size_t why_size);

#endif
