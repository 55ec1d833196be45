/* SPDX-License-Identifier: MIT */
/* machine-fixture.h: boot a machine from text inside a unit test, and stop it again. */
#ifndef LOAM_TEST_MACHINE_FIXTURE_H
#define LOAM_TEST_MACHINE_FIXTURE_H

#include "machine.h"

#include <check.h>
#include <stdlib.h>
#include <unistd.h>

static struct loam__config *fixture_config;

/* Boot @text and return the instance called @name (NULL: none is wanted). Fails the test when the machine does not start. */
static inline struct loam_self *fixture_boot(const char *text, const char *name)
{
	struct loam_diag diag;
	struct loam__graph *graph;
	struct loam_self *self;

	loam__diag_init(&diag);
	fixture_config = loam__config_text("test", text, &diag);
	graph = loam__wire(fixture_config, &diag);
	if (!graph || loam__boot(graph, &diag)) {
		loam__diag_print(&diag, stderr);
		ck_abort_msg("the machine did not start");
	}
	loam__diag_clear(&diag);
	if (!name)
		return NULL;
	self = loam__graph_find(loam__machine.graph, name);
	ck_assert_msg(self, "no instance %s", name);
	return self;
}

/* Halt; returns the number of leaks and defects. */
static inline unsigned fixture_halt(void)
{
	unsigned lines = loam__halt(stderr);

	loam__config_free(fixture_config);
	fixture_config = NULL;
	return lines;
}

static inline struct loam_stat fixture_stat(struct loam_self *self)
{
	struct loam_stat stat = { .size = sizeof(stat) };

	loam__stat(self, &stat);
	return stat;
}

static int fixture_ear = -1;

/* From now on what goes to standard error goes into a file, for fixture_heard. For the rest of the test's process. */
static inline void fixture_listen(void)
{
	FILE *file = tmpfile();

	ck_assert_ptr_nonnull(file);
	fixture_ear = fileno(file);
	ck_assert_int_eq(dup2(fixture_ear, STDERR_FILENO), STDERR_FILENO);
}

/* What was said since fixture_listen or the last call; good until the next one. */
static inline const char *fixture_heard(void)
{
	static char text[1 << 20];
	static off_t from;
	ssize_t n = pread(fixture_ear, text, sizeof(text) - 1, from);

	ck_assert_int_ge(n, 0);
	text[n] = '\0';
	from += n;
	return text;
}

/* Run one suite in fork mode; what main() returns. */
static inline int fixture_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
