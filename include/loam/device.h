/* SPDX-License-Identifier: MIT */
#ifndef LOAM_DEVICE_H
#define LOAM_DEVICE_H
#include <loam/plugin.h>
#endif
