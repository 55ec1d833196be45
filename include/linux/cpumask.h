/* SPDX-License-Identifier: MIT */
/* linux/cpumask.h: the machine's CPUs ([machine] cpus): all of them are there from boot to halt. */
#ifndef LOAM_LINUX_CPUMASK_H
#define LOAM_LINUX_CPUMASK_H

#include <loam/base.h>

LOAM_BEGIN_DECLS

#define NR_CPUS 64

unsigned int loam_nr_cpus(void);
#define nr_cpu_ids loam_nr_cpus()
#define num_online_cpus() loam_nr_cpus()
#define num_possible_cpus() loam_nr_cpus()
#define cpu_online(cpu) ((unsigned int)(cpu) < loam_nr_cpus())
#define for_each_possible_cpu(cpu) for ((cpu) = 0; (unsigned int)(cpu) < loam_nr_cpus(); (cpu)++)
#define for_each_online_cpu(cpu) for_each_possible_cpu (cpu)

LOAM_END_DECLS
#endif
