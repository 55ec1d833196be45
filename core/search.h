/* SPDX-License-Identifier: MIT */
/* search.h: from a plugin's name to its file. */
#ifndef LOAM_CORE_SEARCH_H
#define LOAM_CORE_SEARCH_H

#include "loader.h"

/** Call @fn for each folder of the search path, in order, until it returns non-zero; returns that. */
int loam__search_folders(int (*fn)(void *arg, const char *folder), void *arg);
/** The file of the plugin @name (a name, or a path with a slash). Caller frees. NULL: the message is in @diag. */
char *loam__search(const char *name, const char *file, int line, struct loam_diag *diag);

#endif
