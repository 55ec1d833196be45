/* SPDX-License-Identifier: MIT */
/* linux/numa.h: there is one node. */
#ifndef LOAM_LINUX_NUMA_H
#define LOAM_LINUX_NUMA_H

#define NUMA_NO_NODE (-1)
#define MAX_NUMNODES 1
#define numa_node_id() 0
#define numa_mem_id() 0

#endif
