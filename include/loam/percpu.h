/* SPDX-License-Identifier: MIT */
#ifndef LOAM_PERCPU_H
#define LOAM_PERCPU_H
#include <loam/plugin.h>
#endif
