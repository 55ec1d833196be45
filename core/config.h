/* SPDX-License-Identifier: MIT */
/* config.h: the configuration file as sections of keys and values, each with its place. Read by libinih. */
#ifndef LOAM_CORE_CONFIG_H
#define LOAM_CORE_CONFIG_H

#include "diag.h"

struct loam__entry {
	struct loam__entry *next;
	char *key, *value;
	char *file; /* or "-o" for an override */
	int line;
};

struct loam__section {
	struct loam__section *next;
	char *name;
	char *file;
	int line;
	struct loam__entry *entries; /* in the order of the file */
};

struct loam__config {
	struct loam__section *sections; /* in the order of the file */
};

/** Read the file at @path. Always returns a config (what could be read); every error is in @diag. NULL: out of memory. */
LOAM_EXPORT struct loam__config *loam__config_file(const char *path, struct loam_diag *diag);
/** Read @text; @name stands for the file in messages. NULL: it was printed by us, and its messages name the first places. */
LOAM_EXPORT struct loam__config *loam__config_text(const char *name, const char *text, struct loam_diag *diag);
/** Apply "section.key=value" over what the file said; adds the section or the key when it is new. false: error in @diag. */
LOAM_EXPORT bool loam__config_set(struct loam__config *config, const char *spec, struct loam_diag *diag);
/**
 * The whole as text that loam__config_text reads back to the same content, with comments that say where each line stood. Caller
 * frees. NULL: out of memory.
 */
LOAM_EXPORT char *loam__config_print(const struct loam__config *config);
LOAM_EXPORT void loam__config_free(struct loam__config *config);

LOAM_EXPORT struct loam__section *loam__config_section(const struct loam__config *config, const char *name);
LOAM_EXPORT struct loam__entry *loam__section_entry(const struct loam__section *section, const char *key);

#endif
